// Overlay: how pods of different nodes reach each other. A pure plan (what routes, neighbours and forwarding entries
// should exist) and a shell that applies the difference by netlink.
#pragma once
#include <onebin/base/result.hpp>
#include <onebin/network/address.hpp>

#include <memory>
#include <string>
#include <vector>

namespace onebin::network {

enum class OverlayMode { Vxlan, HostGateway };

// One node as the others need it. Every node computes another's VTEP MAC from its name (vtep_mac), so that no
// annotation has to be exchanged.
struct NodeRoute {
  std::string node_name;
  std::vector<Prefix> pod_cidrs;
  Ip internal_ip;
  bool operator==(const NodeRoute&) const = default;
};
Mac vtep_mac(std::string_view node_name);
// The node's own address inside the overlay: the first address of its pod range, which is never given to a pod.
Ip overlay_address(const Prefix& pod_cidr);

struct OverlayConfig {
  OverlayMode mode = OverlayMode::Vxlan;
  std::string node_name;       // this node
  Ip internal_ip;              // the VXLAN tunnel's own end
  std::vector<Prefix> pod_cidrs;
  std::string device = "onebin.vxlan";
  std::uint32_t vni = 4242;
  std::uint16_t port = 4789;   // IANA's
  int mtu = 0;                 // 0: that of the interface with internal_ip, less the overhead
};

// The desired state, each entry ordered and comparable.
struct OverlayPlan {
  struct Route { Prefix destination; Ip gateway; bool onlink = false; bool via_device = false; auto operator<=>(const Route&) const = default; };
  struct Neighbour { Ip ip; Mac mac; auto operator<=>(const Neighbour&) const = default; };
  struct Forward { Mac mac; Ip destination; auto operator<=>(const Forward&) const = default; };
  std::vector<Route> routes;
  std::vector<Neighbour> neighbours;  // on the VXLAN device
  std::vector<Forward> forwards;      // bridge fdb of the VXLAN device
  bool operator==(const OverlayPlan&) const = default;
};
// This node itself, nodes without an address or a range, and repeated ranges (the first by name wins) are left out.
OverlayPlan plan_overlay(const OverlayConfig& config, const std::vector<NodeRoute>& nodes);

class Overlay {
 public:
  virtual ~Overlay() = default;
  // Makes the device when it is missing, then adds and deletes what differs from the kernel's state.
  virtual Result<void> apply(const std::vector<NodeRoute>& nodes) = 0;
  virtual int mtu() const = 0;  // of pod interfaces
  virtual Result<void> remove() = 0;
};
Result<std::unique_ptr<Overlay>> make_overlay(OverlayConfig config);

}  // namespace onebin::network
