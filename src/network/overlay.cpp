#include <onebin/network/overlay.hpp>

#include "network/rtnl.hpp"

#include <onebin/base/log.hpp>
#include <onebin/network/host.hpp>

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <set>

namespace onebin::network {

Mac vtep_mac(std::string_view node_name) { return Mac::derived("vtep " + std::string(node_name)); }

Ip overlay_address(const Prefix& pod_cidr) { return pod_cidr.ip; }

OverlayPlan plan_overlay(const OverlayConfig& config, const std::vector<NodeRoute>& nodes) {
  std::vector<NodeRoute> ordered = nodes;
  std::sort(ordered.begin(), ordered.end(), [](const NodeRoute& a, const NodeRoute& b) { return a.node_name < b.node_name; });
  bool vxlan = config.mode == OverlayMode::Vxlan;
  std::set<Prefix> taken(config.pod_cidrs.begin(), config.pod_cidrs.end());
  OverlayPlan plan;
  for (const auto& n : ordered) {
    if (n.node_name == config.node_name || !n.internal_ip.is_valid() || n.internal_ip == config.internal_ip) continue;
    if (n.internal_ip.is_v6() != config.internal_ip.is_v6()) continue;  // no tunnel between families
    bool any = false;
    for (const auto& cidr : n.pod_cidrs) {
      if (!taken.insert(cidr).second) continue;
      if (!vxlan) {
        if (cidr.is_v4() == n.internal_ip.is_v4()) plan.routes.push_back({cidr, n.internal_ip, false, false});
        continue;
      }
      any = true;
      Ip gateway = overlay_address(cidr);
      plan.routes.push_back({cidr, gateway, true, true});
      plan.neighbours.push_back({gateway, vtep_mac(n.node_name)});
    }
    if (any) plan.forwards.push_back({vtep_mac(n.node_name), n.internal_ip});
  }
  std::sort(plan.routes.begin(), plan.routes.end());
  std::sort(plan.neighbours.begin(), plan.neighbours.end());
  std::sort(plan.forwards.begin(), plan.forwards.end());
  return plan;
}

namespace {

// Marks the routes that are the overlay's, so that after a restart those of nodes that left are found. Any number above
// those of the known routing daemons.
constexpr std::uint8_t kRouteProtocol = 173;

class RealOverlay final : public Overlay {
 public:
  explicit RealOverlay(OverlayConfig config) : config_(std::move(config)) {}

  int mtu() const override {
    int uplink = interface_mtu_of(config_.internal_ip);
    if (config_.mtu) return config_.mtu;
    if (uplink <= 0) uplink = 1500;
    if (config_.mode == OverlayMode::HostGateway) return uplink;
    return uplink - (config_.internal_ip.is_v6() ? 70 : 50);
  }

  Result<void> apply(const std::vector<NodeRoute>& nodes) override {
    OverlayPlan plan = plan_overlay(config_, nodes);
    ASSIGN_OR_RETURN(Rtnl rtnl, Rtnl::open());
    int device = 0;
    if (config_.mode == OverlayMode::Vxlan) {
      ASSIGN_OR_RETURN(device, ensure_device(rtnl));
      RETURN_IF_ERROR(apply_forwards(rtnl, device, plan.forwards));
      RETURN_IF_ERROR(apply_neighbours(rtnl, device, plan.neighbours));
    }
    return apply_routes(rtnl, device, plan.routes);
  }

  Result<void> remove() override {
    ASSIGN_OR_RETURN(Rtnl rtnl, Rtnl::open());
    RETURN_IF_ERROR(apply_routes(rtnl, 0, {}));
    ASSIGN_OR_RETURN(auto link, rtnl.link(config_.device));
    return link ? rtnl.delete_link(link->index) : Result<void>();
  }

 private:
  Result<int> ensure_device(Rtnl& rtnl) {
    ASSIGN_OR_RETURN(auto link, rtnl.link(config_.device));
    Mac mac = vtep_mac(config_.node_name);
    // What cannot be changed on a device that exists makes a new one necessary.
    if (link && (link->kind != "vxlan" || link->vni != config_.vni || link->vxlan_local != config_.internal_ip ||
                 link->vxlan_port != config_.port || link->mac != mac)) {
      RETURN_IF_ERROR(rtnl.delete_link(link->index));
      link.reset();
    }
    if (!link) {
      RETURN_IF_ERROR(rtnl.create_vxlan(config_.device, config_.vni, config_.port, config_.internal_ip, mac, mtu()));
      ASSIGN_OR_RETURN(link, rtnl.link(config_.device));
      if (!link) return internal_error("the vxlan device vanished");
      RETURN_IF_ERROR(rtnl.no_link_local(link->index));
      // Answers to what the node itself sends may come another way.
      (void)set_net_sysctl("ipv4/conf/" + config_.device + "/rp_filter", "2");
      (void)set_net_sysctl("ipv6/conf/" + config_.device + "/accept_ra", "0");
    }
    if (link->mtu != mtu()) RETURN_IF_ERROR(rtnl.set_mtu(link->index, mtu()));
    if (!link->up()) RETURN_IF_ERROR(rtnl.set_up(link->index));
    for (const auto& cidr : config_.pod_cidrs) {
      Ip own = overlay_address(cidr);
      RETURN_IF_ERROR(rtnl.add_address({link->index, own, own.bits(), RT_SCOPE_UNIVERSE, true}));
    }
    return link->index;
  }

  static Result<void> apply_forwards(Rtnl& rtnl, int device, const std::vector<OverlayPlan::Forward>& wanted) {
    ASSIGN_OR_RETURN(auto present, rtnl.neighbours(device, true));
    for (const auto& n : present) {
      if (n.mac == Mac{}) continue;
      if (!std::binary_search(wanted.begin(), wanted.end(), OverlayPlan::Forward{n.mac, n.ip}))
        RETURN_IF_ERROR(rtnl.delete_forward(device, n.mac, n.ip));
    }
    for (const auto& w : wanted)
      if (std::none_of(present.begin(), present.end(), [&](const Neighbour& n) { return n.mac == w.mac && n.ip == w.destination; }))
        RETURN_IF_ERROR(rtnl.set_forward(device, w.mac, w.destination));
    return {};
  }

  static Result<void> apply_neighbours(Rtnl& rtnl, int device, const std::vector<OverlayPlan::Neighbour>& wanted) {
    ASSIGN_OR_RETURN(auto present, rtnl.neighbours(device, false));
    for (const auto& n : present)
      if ((n.state & NUD_PERMANENT) && std::none_of(wanted.begin(), wanted.end(), [&](const auto& w) { return w.ip == n.ip; }))
        RETURN_IF_ERROR(rtnl.delete_neighbour(device, n.ip));
    for (const auto& w : wanted)
      if (std::none_of(present.begin(), present.end(), [&](const Neighbour& n) { return n.ip == w.ip && n.mac == w.mac && (n.state & NUD_PERMANENT); }))
        RETURN_IF_ERROR(rtnl.set_neighbour(device, w.ip, w.mac));
    return {};
  }

  // One node that cannot be reached (no route to its address) does not keep the others from being.
  Result<void> apply_routes(Rtnl& rtnl, int device, const std::vector<OverlayPlan::Route>& wanted) {
    ASSIGN_OR_RETURN(auto present, rtnl.routes());
    Result<void> first;
    auto same = [&](const Route& r, const OverlayPlan::Route& w) {
      return r.protocol == kRouteProtocol && r.destination == w.destination && r.gateway == w.gateway && (!w.via_device || r.index == device);
    };
    for (const auto& r : present) {
      if (r.protocol != kRouteProtocol || std::any_of(wanted.begin(), wanted.end(), [&](const auto& w) { return same(r, w); })) continue;
      if (auto e = rtnl.delete_route(r); !e && first) first = e;
    }
    for (const auto& w : wanted) {
      if (std::any_of(present.begin(), present.end(), [&](const Route& r) { return same(r, w); })) continue;
      Route r;
      r.destination = w.destination;
      r.gateway = w.gateway;
      r.index = w.via_device ? device : 0;
      r.onlink = w.onlink;
      r.protocol = kRouteProtocol;
      if (auto e = rtnl.set_route(r); !e) {
        log_warn("cannot add the route to a node's pods", {{"pods", w.destination.to_string()}, {"error", e.status()}});
        if (first) first = e;
      }
    }
    return first;
  }

  OverlayConfig config_;
};

}  // namespace

Result<std::unique_ptr<Overlay>> make_overlay(OverlayConfig config) {
  if (!config.internal_ip.is_valid()) return bad_request("the overlay needs the node's internal address");
  return std::unique_ptr<Overlay>(std::make_unique<RealOverlay>(std::move(config)));
}

}  // namespace onebin::network
