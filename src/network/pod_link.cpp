#include "network/pod_link.hpp"

#include "network/netns.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/log.hpp>
#include <onebin/network/host.hpp>

#include <fcntl.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cerrno>

namespace onebin::network {

namespace {

const Ip kGateway4 = *Ip::parse("169.254.1.1");
const Ip kGateway6 = *Ip::parse("fe80::1");
// The host end has the same address in every pod, so that a pod's neighbour entry never grows stale.
const Mac kHostMac = *Mac::parse("ee:ee:ee:ee:ee:ee");
constexpr const char* kPodInterface = "eth0";

bool has_family(const std::vector<Ip>& ips, bool v6) {
  return std::any_of(ips.begin(), ips.end(), [&](const Ip& ip) { return ip.is_v6() == v6; });
}

// Sysctls of an interface that a kernel or namespace may lack (IPv6 switched off) are no error.
Result<void> interface_sysctl(const std::string& family, const std::string& interface, const std::string& name, const std::string& value) {
  return set_net_sysctl(family + "/conf/" + interface + "/" + name, value);
}

Result<void> configure_pod_side(const PodLinkSpec& spec) {
  ASSIGN_OR_RETURN(Rtnl pod, Rtnl::open());
  ASSIGN_OR_RETURN(auto lo, pod.link("lo"));
  if (lo) RETURN_IF_ERROR(pod.set_up(lo->index));
  ASSIGN_OR_RETURN(auto eth, pod.link(kPodInterface));
  if (!eth) return internal_error("the pod's end of the veth is not in its namespace");
  if (has_family(spec.ips, true)) {
    (void)interface_sysctl("ipv6", kPodInterface, "accept_ra", "0");
    (void)interface_sysctl("ipv6", kPodInterface, "accept_dad", "0");
  }
  RETURN_IF_ERROR(pod.set_up(eth->index));
  for (const auto& ip : spec.ips) {
    bool v6 = ip.is_v6();
    const Ip& gateway = v6 ? kGateway6 : kGateway4;
    RETURN_IF_ERROR(pod.add_address({eth->index, ip, ip.bits(), RT_SCOPE_UNIVERSE, v6}));
    RETURN_IF_ERROR(pod.set_neighbour(eth->index, gateway, kHostMac));
    Route to_gateway;
    to_gateway.destination = Prefix::host(gateway);
    to_gateway.index = eth->index;
    to_gateway.scope = v6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    to_gateway.source = ip;
    RETURN_IF_ERROR(pod.set_route(to_gateway));
    Route everything;
    everything.destination = {v6 ? *Ip::parse("::") : *Ip::parse("0.0.0.0"), 0};
    everything.index = eth->index;
    everything.gateway = gateway;
    everything.source = ip;
    RETURN_IF_ERROR(pod.set_route(everything));
  }
  if (spec.egress_bits_per_second) RETURN_IF_ERROR(pod.limit_rate(eth->index, spec.egress_bits_per_second));
  for (const auto& [name, value] : spec.sysctls) {
    std::string path = name.substr(4);  // check_sysctls saw to "net." or "net/"
    // The first separator says which it is; the other one is then part of a name (an interface's).
    if (name[3] == '.')
      for (char& c : path) c = c == '.' ? '/' : c == '/' ? '.' : c;
    if (auto r = set_net_sysctl(path, value); !r) return Status(Reason::BadRequest, r.status().message());
  }
  return {};
}

Result<void> configure_host_side(Rtnl& host, const PodLinkSpec& spec, const Link& link, const Mac& pod_mac) {
  const std::string& name = spec.interface;
  if (has_family(spec.ips, false)) {
    // Strict: what a pod sends must come from its own address.
    RETURN_IF_ERROR(interface_sysctl("ipv4", name, "rp_filter", "1"));
    RETURN_IF_ERROR(interface_sysctl("ipv4", name, "proxy_arp", "1"));
    RETURN_IF_ERROR(interface_sysctl("ipv4", name, "forwarding", "1"));
    (void)interface_sysctl("ipv4", name, "send_redirects", "0");
    // A host port on 127.0.0.1 is translated on its way out to the pod: the packet leaves with a loopback source.
    if (spec.host_ports) RETURN_IF_ERROR(interface_sysctl("ipv4", name, "route_localnet", "1"));
  }
  bool v6 = has_family(spec.ips, true);
  RETURN_IF_ERROR(host.no_link_local(link.index));
  if (v6) {
    (void)interface_sysctl("ipv6", name, "accept_ra", "0");
    RETURN_IF_ERROR(interface_sysctl("ipv6", name, "forwarding", "1"));
  }
  RETURN_IF_ERROR(host.set_up(link.index));
  if (v6) RETURN_IF_ERROR(host.add_address({link.index, kGateway6, 64, RT_SCOPE_LINK, true}));
  for (const auto& ip : spec.ips) {
    RETURN_IF_ERROR(host.set_neighbour(link.index, ip, pod_mac));
    Route r;
    r.destination = Prefix::host(ip);
    r.index = link.index;
    r.scope = ip.is_v6() ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    RETURN_IF_ERROR(host.set_route(r));
  }
  if (spec.ingress_bits_per_second) RETURN_IF_ERROR(host.limit_rate(link.index, spec.ingress_bits_per_second));
  return {};
}

Result<void> connect(Rtnl& host, const PodLinkSpec& spec) {
  ASSIGN_OR_RETURN(auto link, host.link(spec.interface));
  Mac pod_mac = Mac::derived("pod " + spec.interface);
  if (!link) {
    Fd ns(::open(spec.netns_path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!ns) return from_errno("open " + spec.netns_path, errno);
    RETURN_IF_ERROR(host.create_veth({spec.interface, kHostMac}, {kPodInterface, pod_mac}, ns.get(), spec.mtu));
    ASSIGN_OR_RETURN(link, host.link(spec.interface));
    if (!link) return internal_error("the veth vanished");
  }
  RETURN_IF_ERROR(in_netns(spec.netns_path, [&] { return configure_pod_side(spec); }));
  return configure_host_side(host, spec, *link, pod_mac);
}

}  // namespace

std::string host_interface(const std::string& prefix, const std::string& pod_uid) {
  std::string digits = hex_encode(sha256(pod_uid)).substr(0, 11);
  return prefix.substr(0, 15 - digits.size()) + digits;
}

Status check_sysctls(const std::map<std::string, std::string>& sysctls) {
  for (const auto& [name, value] : sysctls) {
    bool good = name.size() > 4 && (starts_with(name, "net.") || starts_with(name, "net/")) && name.find("..") == std::string::npos;
    for (char c : name) good = good && (std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '/' || c == '_' || c == '-');
    if (!good) return bad_request("sysctl \"" + name + "\" does not belong to a network namespace");
  }
  return Status::ok();
}

Result<void> make_pod_link(Rtnl& host, const PodLinkSpec& spec) {
  bool fresh = !is_netns(spec.netns_path);
  if (fresh) {
    // An interface without its namespace is left from a crash; its name is needed.
    if (auto old = host.link(spec.interface); old && *old) RETURN_IF_ERROR(host.delete_link((*old)->index));
    RETURN_IF_ERROR(pin_netns(spec.netns_path, spec.existing_netns));
  }
  Result<void> r = connect(host, spec);
  if (!r && fresh) (void)remove_pod_link(host, spec.netns_path, spec.interface);
  return r;
}

Result<void> remove_pod_link(Rtnl& host, const std::string& netns_path, const std::string& interface) {
  Result<void> first;
  auto link = host.link(interface);
  if (!link) {
    first = link.status();
  } else if (*link) {
    first = host.delete_link((*link)->index);
  }
  auto second = unpin_netns(netns_path);
  return first ? second : first;
}

Result<bool> check_pod_link(Rtnl& host, const std::string& netns_path, const std::string& interface, const std::vector<Ip>& ips) {
  if (!is_netns(netns_path)) return false;
  ASSIGN_OR_RETURN(auto link, host.link(interface));
  if (!link || !link->up()) return false;
  ASSIGN_OR_RETURN(auto routes, host.routes());
  for (const auto& ip : ips) {
    bool found = std::any_of(routes.begin(), routes.end(), [&](const Route& r) { return r.index == link->index && r.destination == Prefix::host(ip); });
    if (!found) return false;
  }
  return true;
}

}  // namespace onebin::network
