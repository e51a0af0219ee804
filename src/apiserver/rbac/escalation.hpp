// Nobody grants by roles and bindings what they do not hold themselves, unless they hold the verbs escalate or bind.
// Source: Kubernetes "Using RBAC Authorization", privilege escalation prevention and bootstrapping.
#pragma once
#include "apiserver/admission.hpp"
#include "apiserver/authorizer.hpp"
#include "apiserver/rbac/policy_store.hpp"

#include <memory>

namespace onebin::apiserver {

// First in the chain, before other plug-ins see the object. `authorizer` outlives it.
std::unique_ptr<AdmissionPlugin> make_escalation_check(std::shared_ptr<const PolicyStore> policy, Authorizer* authorizer);

}  // namespace onebin::apiserver
