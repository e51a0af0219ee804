// Which addresses a Service of type LoadBalancer gets: those of the nodes, as k3s's ServiceLB gives them. Pure.
#pragma once
#include "framework.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/api/discovery_v1.hpp>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace onebin::controller {

// spec.loadBalancerClass; a Service without a class is served too, one of another class never.
constexpr char kServiceLbClass[] = "onebin.io/servicelb";

// Ports are written as "80/TCP".
struct Balanced {
  std::string uid, created;  // no uid: not ours. RFC 3339: their order is that of the times
  std::vector<std::string> families, ports;
  std::vector<std::string> ingress;  // what the status says; "?" for what is not a plain address
  bool local = false;                // externalTrafficPolicy
  bool deleting = false;
  std::set<std::string> local_nodes;  // with a ready endpoint; only where `local`
  bool operator==(const Balanced&) const = default;
};
Balanced project_balanced(const api::core::v1::Service& service);

// What an object adds to one of the maps below.
using Entries = std::map<std::string, std::string>;
Entries addresses_of(const api::core::v1::Node& node);  // none: it is not to be used
std::string kubelet_port_of(const api::core::v1::Node& node);
Entries host_ports_of(const api::core::v1::Pod& pod);
Entries node_ports_of(const api::core::v1::Service& service);
Entries external_ports_of(const api::core::v1::Service& service);  // of spec.externalIPs
// Nodes with a ready endpoint.
void add_ready_nodes(std::set<std::string>& nodes, const api::discovery::v1::EndpointSlice& slice);

// All that is decided on.
struct BalancerState {
  std::map<std::string, Balanced> services;  // by key
  Entries addresses;                         // of nodes that serve -> the node: external ones, internal ones where a family has none
  Entries kubelet_ports;                     // node -> its kubelet's
  Entries held;                              // "NODE 80/TCP" or "ADDRESS 80/TCP" -> "Pod d/p" or "Service d/s" that has it in its spec
  Entries node_ports;                        // of any Service -> its key
  std::string api_port = "6443/TCP";
};

// Who has a port of the nodes' addresses, by family: "IPv4 80/TCP" -> the Service's key. Who has it keeps it; else the older gets it.
using PortClaims = Entries;
PortClaims claims_of_status(const BalancerState& state);  // as a former process left them

struct BalancerDecision {
  std::string key;
  std::vector<std::string> addresses;  // in the order of the Service's families
  std::string refusal;                 // why there are none, where somebody should know
};
struct BalancerPlan {
  std::vector<BalancerDecision> services;
  PortClaims claims;
};
BalancerPlan plan_balancers(const BalancerState& state, const PortClaims& before);

}  // namespace onebin::controller
