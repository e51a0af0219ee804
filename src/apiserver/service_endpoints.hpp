// Where a Service leads to: the API server resolves it to an endpoint and its node itself, so that proxying, webhooks and
// aggregation work whether or not this host routes to Services.
#pragma once
#include "apiserver/core.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace onebin::apiserver {

struct ServiceEndpoint {
  std::string host, node;  // an address, or the name of an ExternalName; node "" where it is on none
  std::uint16_t port = 0;
};

// The ready endpoints of a Service's port, by the port's name.
std::vector<ServiceEndpoint> ready_endpoints(Core& core, const std::string& ns, const std::string& service, const std::string& port_name);

// Whether any of a Service's ready endpoints has this address.
bool is_ready_endpoint(Core& core, std::string_view ns, std::string_view service, std::string_view address);

// One of them, by the port's number. Errors: NotFound; ServiceUnavailable where there is no such port or no ready endpoint.
Result<ServiceEndpoint> resolve_service(Core& core, const std::string& ns, const std::string& service, std::uint16_t port);

}  // namespace onebin::apiserver
