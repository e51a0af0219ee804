// The admission plug-ins that are on by default, one maker each. What a maker is given outlives the plug-in.
#pragma once
#include "apiserver/admission.hpp"
#include "apiserver/authorizer.hpp"
#include "apiserver/lister.hpp"

#include <onebin/apiserver/apiserver.hpp>
#include <onebin/base/random.hpp>

#include <memory>

namespace onebin::apiserver {

std::unique_ptr<AdmissionPlugin> make_namespace_lifecycle(const Lister& lister);
std::unique_ptr<AdmissionPlugin> make_service_account_admission(Lister& lister, Rng& rng);
std::unique_ptr<AdmissionPlugin> make_taint_nodes_by_condition();
std::unique_ptr<AdmissionPlugin> make_priority_admission(Lister& lister);
std::unique_ptr<AdmissionPlugin> make_default_toleration_seconds(int not_ready, int unreachable);
std::unique_ptr<AdmissionPlugin> make_node_restriction(const Lister& lister, Authorizer& authorizer);
std::unique_ptr<AdmissionPlugin> make_node_identity(const Lister& lister);
std::unique_ptr<AdmissionPlugin> make_pod_security(const Lister& lister, const PodSecurityDefaults& defaults);
std::unique_ptr<AdmissionPlugin> make_limit_ranger(const Lister& lister);
std::unique_ptr<AdmissionPlugin> make_runtime_class_admission(const Lister& lister);
std::unique_ptr<AdmissionPlugin> make_default_storage_class(const Lister& lister);
std::unique_ptr<AdmissionPlugin> make_default_ingress_class(const Lister& lister);
std::unique_ptr<AdmissionPlugin> make_storage_object_in_use_protection();
std::unique_ptr<AdmissionPlugin> make_certificate_approval(Authorizer& authorizer);
std::unique_ptr<AdmissionPlugin> make_certificate_signing(Authorizer& authorizer);
std::unique_ptr<AdmissionPlugin> make_pod_certificate_signing(Authorizer& authorizer);
std::unique_ptr<AdmissionPlugin> make_cluster_trust_bundle_attest(Authorizer& authorizer);
std::unique_ptr<AdmissionPlugin> make_certificate_subject_restriction();
std::unique_ptr<AdmissionPlugin> make_pod_topology_labels(const Lister& lister);
std::unique_ptr<AdmissionPlugin> make_claim_resize(const Lister& lister);
std::unique_ptr<AdmissionPlugin> make_pod_resize_validator(const Lister& lister);

// Off unless asked for.
std::unique_ptr<AdmissionPlugin> make_always_pull_images();
std::unique_ptr<AdmissionPlugin> make_deny_service_external_ips();
std::unique_ptr<AdmissionPlugin> make_extended_resource_toleration();
std::unique_ptr<AdmissionPlugin> make_owner_references_permission_enforcement(const Lister& lister, Authorizer& authorizer);

}  // namespace onebin::apiserver
