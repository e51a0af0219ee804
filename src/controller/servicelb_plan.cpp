#include "servicelb_plan.hpp"

#include "pods.hpp"
#include "service_cidr_plan.hpp"

#include <algorithm>

namespace onebin::controller {
namespace {

namespace v1 = api::core::v1;
constexpr char kExcluded[] = "node.kubernetes.io/exclude-from-external-load-balancers";
constexpr char kOverlayPort[] = "4789/UDP";  // VXLAN between nodes

std::string port_text(int port, const std::string& protocol) { return std::to_string(port) + "/" + (protocol.empty() ? "TCP" : protocol); }
const char* family_of(const std::string& address) { return address.find(':') == std::string::npos ? "IPv4" : "IPv6"; }

std::vector<std::string> wanted(const Balanced& s) {
  std::vector<std::string> out;
  for (const auto& f : s.families)
    for (const auto& p : s.ports) out.push_back(f + " " + p);
  return out;
}

// Keys by age.
Entries by_age(const BalancerState& state) {
  Entries out;
  for (const auto& [key, s] : state.services) out[s.created + " " + key] = key;
  return out;
}

bool has_all(const std::string& key, const Balanced& s, const PortClaims& claims) {
  for (const auto& c : wanted(s))
    if (auto it = claims.find(c); it == claims.end() || it->second != key) return false;
  return true;
}

// What no Service may take from a node, whoever was first: the cluster would lose the node, or a node port its Service.
std::string whose(const BalancerState& state, const std::string& key, const std::string& port) {
  if (port == state.api_port) return "the API server's";
  if (port == kOverlayPort) return "the pod network's";
  for (const auto& [node, kubelets] : state.kubelet_ports)
    if (port == kubelets) return "the kubelet's";
  auto it = state.node_ports.find(port);
  return it == state.node_ports.end() || it->second == key ? std::string() : "a node port of Service " + it->second;
}

std::string reserved(const BalancerState& state, const std::string& key, const Balanced& s) {
  for (const auto& p : s.ports)
    if (std::string who = whose(state, key, p); !who.empty()) return "port " + p + " of the nodes is " + who;
  return {};
}

// `place` is a node or an address.
std::string held_at(const BalancerState& state, const BalancerDecision& d, const Balanced& s, const std::string& place) {
  for (const auto& p : s.ports)
    if (auto it = state.held.find(place + " " + p); it != state.held.end() && it->second != "Service " + d.key)
      return "port " + p + " of " + place + " is in use by " + it->second;
  return {};
}

void add_addresses(BalancerDecision& d, const BalancerState& state, const Balanced& s) {
  for (const auto& family : s.families)
    for (const auto& [address, node] : state.addresses) {
      if (family_of(address) != family || (s.local && !s.local_nodes.count(node))) continue;
      std::string held = held_at(state, d, s, node);
      if (held.empty()) held = held_at(state, d, s, address);
      if (held.empty()) d.addresses.push_back(address);
      else d.refusal = std::move(held);
    }
  if (!d.addresses.empty()) d.refusal.clear();
}

BalancerDecision decide(const BalancerState& state, const std::string& key, const Balanced& s, PortClaims& claims) {
  BalancerDecision d;
  d.key = key;
  if (s.deleting) return d;
  d.refusal = reserved(state, key, s);
  for (const auto& p : s.ports)
    for (const auto& f : s.families)
      if (auto it = claims.find(f + " " + p); d.refusal.empty() && it != claims.end()) d.refusal = "port " + p + " of the nodes is in use by Service " + it->second;
  if (!d.refusal.empty()) return d;
  for (const auto& c : wanted(s)) claims[c] = key;
  add_addresses(d, state, s);
  return d;
}

}  // namespace

Balanced project_balanced(const v1::Service& s) {
  Balanced out;
  const auto& spec = s.spec;
  if (spec.type != "LoadBalancer" || (spec.load_balancer_class && *spec.load_balancer_class != kServiceLbClass)) return out;
  out.uid = s.metadata.uid;
  out.created = format_rfc3339(s.metadata.creation_timestamp.wall());
  out.families = spec.ip_families;
  out.local = spec.external_traffic_policy == "Local";
  out.deleting = !s.metadata.deletion_timestamp.is_zero();
  for (const auto& p : spec.ports) out.ports.push_back(port_text(p.port, p.protocol));
  for (const auto& i : s.status.load_balancer.ingress)
    out.ingress.push_back(i.hostname.empty() && i.ports.empty() && (!i.ip_mode || *i.ip_mode == "VIP") ? i.ip : "?");
  return out;
}

Entries addresses_of(const v1::Node& n) {
  Entries out;
  bool ready = std::any_of(n.status.conditions.begin(), n.status.conditions.end(), [](const auto& c) { return c.type == "Ready" && c.status == "True"; });
  if (!ready || !n.metadata.deletion_timestamp.is_zero() || n.metadata.labels.count(kExcluded)) return out;
  std::set<std::string> external;  // families
  for (const char* type : {"ExternalIP", "InternalIP"})
    for (const auto& a : n.status.addresses) {
      std::string family = family_of(a.address);
      if (a.type != type || (a.type == "InternalIP" && external.count(family)) || !Prefix::parse(a.address)) continue;
      if (a.type == "ExternalIP") external.insert(family);
      out[a.address] = n.metadata.name;
    }
  return out;
}

std::string kubelet_port_of(const v1::Node& n) {
  int port = n.status.daemon_endpoints.kubelet_endpoint.port;
  return port_text(port ? port : 10250, "TCP");
}

Entries host_ports_of(const Pod& pod) {
  Entries out;
  if (pod.spec.node_name.empty() || is_finished(pod)) return out;
  for (const auto* list : {&pod.spec.containers, &pod.spec.init_containers})
    for (const auto& c : *list) {
      // Only init containers that go on running hold their ports.
      if (list == &pod.spec.init_containers && !(c.restart_policy && *c.restart_policy == "Always")) continue;
      for (const auto& p : c.ports)
        if (p.host_port && p.host_ip != "127.0.0.1" && p.host_ip != "::1") out[pod.spec.node_name + " " + port_text(p.host_port, p.protocol)] = "Pod " + key_of(pod);
    }
  return out;
}

Entries node_ports_of(const v1::Service& s) {
  Entries out;
  for (const auto& p : s.spec.ports)
    if (p.node_port) out[port_text(p.node_port, p.protocol)] = key_of(s);
  if (s.spec.health_check_node_port) out[port_text(s.spec.health_check_node_port, "TCP")] = key_of(s);
  return out;
}

Entries external_ports_of(const v1::Service& s) {
  Entries out;
  for (const auto& ip : s.spec.external_ips)
    for (const auto& p : s.spec.ports) out[ip + " " + port_text(p.port, p.protocol)] = "Service " + key_of(s);
  return out;
}

void add_ready_nodes(std::set<std::string>& nodes, const api::discovery::v1::EndpointSlice& slice) {
  for (const auto& e : slice.endpoints)
    if (e.node_name && e.conditions.ready.value_or(true)) nodes.insert(*e.node_name);
}

PortClaims claims_of_status(const BalancerState& state) {
  PortClaims out;
  for (const auto& [age, key] : by_age(state)) {
    const Balanced& s = state.services.at(key);
    if (s.ingress.empty()) continue;
    for (const auto& c : wanted(s)) out.try_emplace(c, key);
  }
  return out;
}

BalancerPlan plan_balancers(const BalancerState& state, const PortClaims& before) {
  BalancerPlan plan;
  Entries order = by_age(state);
  for (bool holders : {true, false})
    for (const auto& [age, key] : order) {
      const Balanced& s = state.services.at(key);
      if (has_all(key, s, before) == holders) plan.services.push_back(decide(state, key, s, plan.claims));
    }
  return plan;
}

}  // namespace onebin::controller
