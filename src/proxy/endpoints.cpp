#include <onebin/proxy/ruleset.hpp>

#include <algorithm>

namespace onebin::proxy {

namespace {

bool has(const std::vector<std::string>& hints, const std::string& value) { return std::find(hints.begin(), hints.end(), value) != hints.end(); }

enum class Topology { Everywhere, SameNode, SameZone };

// Hints count only when every ready endpoint has one and one of them is for us.
Topology topology_of(const std::vector<Endpoint>& endpoints, const NodeInfo& node) {
  bool any = false, all_node = true, all_zone = true, for_node = false, for_zone = false;
  for (const auto& e : endpoints) {
    if (!e.ready) continue;
    any = true;
    all_node = all_node && !e.node_hints.empty();
    all_zone = all_zone && !e.zone_hints.empty();
    for_node = for_node || has(e.node_hints, node.name);
    for_zone = for_zone || (!node.zone.empty() && has(e.zone_hints, node.zone));
  }
  if (!any) return Topology::Everywhere;
  if (all_node && for_node) return Topology::SameNode;
  if (all_zone && for_zone) return Topology::SameZone;
  return Topology::Everywhere;
}

template <class Pred>
std::vector<Endpoint> select(const std::vector<Endpoint>& endpoints, Pred pred) {
  std::vector<Endpoint> out;
  std::copy_if(endpoints.begin(), endpoints.end(), std::back_inserter(out), pred);
  return out;
}

bool externally_accessible(const Service& s) {
  if (!s.external_ips.empty() || !s.load_balancer_ips.empty()) return true;
  return std::any_of(s.ports.begin(), s.ports.end(), [](const ServicePort& p) { return p.node_port != 0; });
}

}  // namespace

Chosen choose_endpoints(const Service& service, const std::vector<Endpoint>& endpoints, const NodeInfo& node) {
  Chosen c;
  bool external = externally_accessible(service);
  // Local policy for external traffic still sends what comes from this node's pods and processes everywhere.
  bool uses_cluster = !service.internal_local || external;
  bool uses_local = service.internal_local || (service.external_local && external);
  auto draining = [](const Endpoint& e) { return !e.ready && e.serving && e.terminating; };
  if (uses_cluster) {
    Topology t = topology_of(endpoints, node);
    c.cluster = select(endpoints, [&](const Endpoint& e) {
      return e.ready && (t == Topology::Everywhere || (t == Topology::SameNode ? has(e.node_hints, node.name) : has(e.zone_hints, node.zone)));
    });
    if (c.cluster.empty()) c.cluster = select(endpoints, draining);
    c.any = !c.cluster.empty();
  }
  if (uses_local) {
    c.local = select(endpoints, [](const Endpoint& e) { return e.local && e.ready; });
    if (c.local.empty()) c.local = select(endpoints, [&](const Endpoint& e) { return e.local && draining(e); });
    c.any = c.any || std::any_of(endpoints.begin(), endpoints.end(), [&](const Endpoint& e) { return e.ready || draining(e); });
  }
  return c;
}

}  // namespace onebin::proxy
