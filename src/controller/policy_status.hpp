// What is told of the types in the expressions of validating admission policies.
#pragma once
#include "framework.hpp"

namespace onebin::controller {

std::unique_ptr<Controller> make_policy_status_controller(Context& c);

}  // namespace onebin::controller
