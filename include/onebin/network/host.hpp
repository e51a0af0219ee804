// The node's own addresses and routes, by rtnetlink, in the network namespace of the calling thread.
#pragma once
#include <onebin/base/result.hpp>
#include <onebin/network/address.hpp>

#include <string>
#include <vector>

namespace onebin::network {

struct HostAddress {
  std::string interface;
  Ip ip;
  int prefix_length = 0;
  bool global = false;  // scope global (neither link-local nor host)
};
Result<std::vector<HostAddress>> host_addresses();

// The address that the node would use towards the outside: that of the default route, else the first global one.
Result<Ip> default_node_ip(bool ipv6);
int interface_mtu_of(const Ip& ip);  // of the interface with this address; 0 when there is none

// An address of the node on the loopback interface, of host scope, so that it is never chosen as a source. Idempotent.
Result<void> ensure_loopback_address(const Ip& ip);
Result<void> remove_loopback_address(const Ip& ip);

// A route that lets local processes reach service addresses when there is no default route: the packet is translated or
// refused in the output hook and routed anew. It leads into a veth of its own ("onebin0"), which no other end uses: the
// kernel sends no refusals for routes over the loopback, and a route over an uplink goes when the uplink flaps. `mtu` is
// what connections take for the path's. Idempotent.
Result<void> ensure_service_route(const Prefix& services, int mtu);
Result<void> remove_service_routes();  // all of them, and the veth

// /proc/sys/net of the calling thread's namespace. `name` with slashes, below net: "ipv4/ip_forward".
Result<void> set_net_sysctl(const std::string& name, const std::string& value);

}  // namespace onebin::network
