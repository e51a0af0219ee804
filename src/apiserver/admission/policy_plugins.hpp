// The admission plug-ins of policies. Made by Core, which knows the kinds that they see and the authorizer that they ask.
#pragma once
#include "apiserver/admission.hpp"

#include <memory>

namespace onebin::apiserver {

class Core;
std::unique_ptr<AdmissionPlugin> make_mutating_admission_policy(Core& core);
std::unique_ptr<AdmissionPlugin> make_validating_admission_policy(Core& core);

}  // namespace onebin::apiserver
