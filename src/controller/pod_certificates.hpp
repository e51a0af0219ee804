// Makers of controllers about pods' certificates, as those of controllers.hpp.
#pragma once
#include "framework.hpp"

namespace onebin::controller {

std::unique_ptr<Controller> make_pod_certificate_request_cleaner(Context& c);
std::unique_ptr<Controller> make_serving_bundle_publisher(Context& c);

}  // namespace onebin::controller
