// A pod's interface in the kernel: namespace, veth, addresses, routes. Blocking; called on the pod network's own thread.
#pragma once
#include <onebin/network/pod_network.hpp>

#include "network/rtnl.hpp"

namespace onebin::network {

std::string host_interface(const std::string& prefix, const std::string& pod_uid);  // at most 15 octets

struct PodLinkSpec {
  std::string netns_path, existing_netns, interface;
  std::vector<Ip> ips;
  std::map<std::string, std::string> sysctls;
  std::uint64_t egress_bits_per_second = 0, ingress_bits_per_second = 0;
  int mtu = 1500;
  bool host_ports = false;
};

Status check_sysctls(const std::map<std::string, std::string>& sysctls);
// Makes what is missing. On failure nothing stays behind that was not there before.
Result<void> make_pod_link(Rtnl& host, const PodLinkSpec& spec);
Result<void> remove_pod_link(Rtnl& host, const std::string& netns_path, const std::string& interface);
// True when the namespace is pinned, and the interface and the routes of the addresses are there.
Result<bool> check_pod_link(Rtnl& host, const std::string& netns_path, const std::string& interface, const std::vector<Ip>& ips);

}  // namespace onebin::network
