// From a Service and its pods to endpoints: what the Endpoints and EndpointSlice controllers share. Pure.
#pragma once
#include "pods.hpp"

#include <onebin/api/discovery_v1.hpp>

#include <optional>
#include <string>
#include <vector>

namespace onebin::controller {

using api::core::v1::Service;
using api::discovery::v1::EndpointSlice;

// Container port that a service port leads to on this pod; none when the pod has no port of that name.
std::optional<int> target_port(const Pod& pod, const api::core::v1::ServicePort& port);
// The pod's address of a family ("IPv4", "IPv6"); "" when it has none.
std::string pod_address(const Pod& pod, std::string_view family);
// Whether the pod stands behind the service at all (has an address, is not finished).
bool is_candidate(const Pod& pod);
// Hostname for DNS: when the pod names its subdomain after the service.
std::string endpoint_hostname(const Pod& pod, const Service& service);

// The slices that should exist for one family, at most 100 endpoints each; without names. `zone_of(node)` gives a node's zone.
std::vector<EndpointSlice> desired_slices(const Service& service, const std::vector<Pod>& pods, const std::string& family,
                                          const std::function<std::string(const std::string&)>& zone_of);
api::core::v1::Endpoints desired_endpoints(const Service& service, const std::vector<Pod>& pods);

struct SliceChanges {
  std::vector<EndpointSlice> create, update;
  std::vector<std::string> remove;  // names
};
// How to get from the existing slices of a service to the desired ones with few writes.
SliceChanges plan_slices(const Service& service, const std::vector<EndpointSlice>& existing, std::vector<EndpointSlice> desired);

}  // namespace onebin::controller
