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

std::vector<std::string> addresses_of_type(const v1::Node& n, const char* type, const char* family) {
  std::vector<std::string> out;
  for (const auto& a : n.status.addresses)
    if (a.type == type && std::string(family_of(a.address)) == family) out.push_back(a.address);
  return out;
}

std::vector<std::string> wanted(const Balanced& s) {
  std::vector<std::string> out;
  for (const auto& f : s.families)
    for (const auto& p : s.ports) out.push_back(f + " " + p);
  return out;
}

std::vector<std::string> by_age(const std::map<std::string, Balanced>& services) {
  std::vector<std::string> out;
  for (const auto& [key, s] : services) out.push_back(key);
  std::stable_sort(out.begin(), out.end(), [&](const auto& a, const auto& b) { return services.at(a).created < services.at(b).created; });
  return out;
}

class Planner {
 public:
  Planner(const BalancerState& state, BalancerPlan& plan) : state_(state), plan_(plan) {}

  // What no Service may take from a node, whoever was first: the cluster would lose the node, or a node port its Service.
  std::string reserved(const std::string& key, const Balanced& s) const {
    for (const auto& p : s.ports) {
      std::string taken = "port " + p + " of the nodes is ";
      if (p == state_.api_port) return taken + "the API server's";
      if (p == kOverlayPort) return taken + "the pod network's";
      for (const auto& [name, n] : state_.nodes)
        if (p == n.kubelet_port) return taken + "the kubelet's";
      if (auto it = state_.node_ports.find(p); it != state_.node_ports.end() && it->second != key) return taken + "a node port of Service " + it->second;
    }
    return {};
  }

  bool has_all(const std::string& key, const Balanced& s, const PortClaims& before) const {
    for (const auto& c : wanted(s))
      if (auto it = before.find(c); it == before.end() || it->second != key) return false;
    return true;
  }

  void grant(const std::string& key, const Balanced& s) {
    BalancerDecision& d = plan_.services[key];
    if (s.deleting || !(d.refusal = reserved(key, s)).empty()) return;
    std::vector<std::string> claims = wanted(s);
    for (const auto& c : claims)
      if (auto it = plan_.claims.find(c); it != plan_.claims.end()) {
        d.refusal = "port " + c.substr(c.find(' ') + 1) + " of the nodes is in use by Service " + it->second;
        return;
      }
    for (const auto& c : claims) plan_.claims[c] = key;
    for (const auto& f : s.families) add_addresses(d, s, f);
    if (!d.addresses.empty()) d.refusal.clear();
  }

 private:
  void add_addresses(BalancerDecision& d, const Balanced& s, const std::string& family) const {
    std::vector<std::string> found;
    for (const auto& [name, n] : state_.nodes) {
      if (n.addresses.empty() || (s.local && !s.local_nodes.count(name))) continue;
      if (std::string by = held_by_pod(s, name); !by.empty()) {
        d.refusal = by;
        continue;
      }
      for (const auto& a : n.addresses)
        if (family_of(a) == family) found.push_back(a);
    }
    std::sort(found.begin(), found.end(), [](const std::string& a, const std::string& b) {
      auto x = Prefix::parse(a), y = Prefix::parse(b);
      return x && y ? x->bytes < y->bytes : a < b;
    });
    d.addresses.insert(d.addresses.end(), found.begin(), found.end());
  }

  std::string held_by_pod(const Balanced& s, const std::string& node) const {
    for (const auto& [key, pod] : state_.pods)
      if (pod.node == node)
        for (const auto& p : s.ports)
          if (pod.ports.count(p)) return "port " + p + " of node " + node + " is in use by Pod " + key;
    return {};
  }

  const BalancerState& state_;
  BalancerPlan& plan_;
};

}  // namespace

std::optional<Balanced> project_balanced(const v1::Service& s) {
  const auto& spec = s.spec;
  if (spec.type != "LoadBalancer" || (spec.load_balancer_class && *spec.load_balancer_class != kServiceLbClass)) return std::nullopt;
  Balanced out;
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

BalancerNode project_balancer_node(const v1::Node& n) {
  BalancerNode out;
  int port = n.status.daemon_endpoints.kubelet_endpoint.port;
  out.kubelet_port = port_text(port ? port : 10250, "TCP");
  bool ready = std::any_of(n.status.conditions.begin(), n.status.conditions.end(), [](const auto& c) { return c.type == "Ready" && c.status == "True"; });
  if (!ready || !n.metadata.deletion_timestamp.is_zero() || n.metadata.labels.count(kExcluded)) return out;
  for (const char* family : {"IPv4", "IPv6"}) {
    std::vector<std::string> of_family = addresses_of_type(n, "ExternalIP", family);
    if (of_family.empty()) of_family = addresses_of_type(n, "InternalIP", family);
    out.addresses.insert(out.addresses.end(), of_family.begin(), of_family.end());
  }
  return out;
}

HostPorts host_ports_of(const Pod& pod) {
  HostPorts out;
  if (pod.spec.node_name.empty() || is_finished(pod)) return out;
  out.node = pod.spec.node_name;
  for (const auto* list : {&pod.spec.containers, &pod.spec.init_containers})
    for (const auto& c : *list) {
      // Only init containers that go on running hold their ports.
      if (list == &pod.spec.init_containers && !(c.restart_policy && *c.restart_policy == "Always")) continue;
      for (const auto& p : c.ports)
        if (p.host_port && p.host_ip != "127.0.0.1" && p.host_ip != "::1") out.ports.insert(port_text(p.host_port, p.protocol));
    }
  return out;
}

std::vector<std::string> node_ports_of(const v1::Service& s) {
  std::vector<std::string> out;
  for (const auto& p : s.spec.ports)
    if (p.node_port) out.push_back(port_text(p.node_port, p.protocol));
  if (s.spec.health_check_node_port) out.push_back(port_text(s.spec.health_check_node_port, "TCP"));
  return out;
}

void add_ready_nodes(std::set<std::string>& nodes, const api::discovery::v1::EndpointSlice& slice) {
  for (const auto& e : slice.endpoints)
    if (e.node_name && e.conditions.ready.value_or(true)) nodes.insert(*e.node_name);
}

PortClaims claims_of_status(const BalancerState& state) {
  PortClaims out;
  for (const auto& key : by_age(state.services)) {
    const Balanced& s = state.services.at(key);
    if (s.ingress.empty()) continue;
    for (const auto& c : wanted(s)) out.try_emplace(c, key);
  }
  return out;
}

BalancerPlan plan_balancers(const BalancerState& state, const PortClaims& before) {
  BalancerPlan plan;
  Planner planner(state, plan);
  std::vector<std::string> order = by_age(state.services);
  for (bool holders : {true, false})
    for (const auto& key : order) {
      const Balanced& s = state.services.at(key);
      if (planner.has_all(key, s, before) == holders) planner.grant(key, s);
    }
  return plan;
}

}  // namespace onebin::controller
