// The resource quota controller's maker, as those of controllers.hpp.
#pragma once
#include "framework.hpp"

namespace onebin::controller {

std::unique_ptr<Controller> make_resource_quota_controller(Context& c);

}  // namespace onebin::controller
