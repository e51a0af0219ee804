// The admission plug-ins that ask webhooks. Made by Core, which they call others through.
#pragma once
#include "apiserver/admission.hpp"

#include <memory>

namespace onebin::apiserver {

class Core;
std::unique_ptr<AdmissionPlugin> make_mutating_webhook(Core& core);
std::unique_ptr<AdmissionPlugin> make_validating_webhook(Core& core);

}  // namespace onebin::apiserver
