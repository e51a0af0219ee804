#include <onebin/network/host.hpp>

#include "network/rtnl.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>

#include <fcntl.h>
#include <linux/rtnetlink.h>

#include <cerrno>
#include <map>

namespace onebin::network {

Result<std::vector<HostAddress>> host_addresses() {
  ASSIGN_OR_RETURN(Rtnl rtnl, Rtnl::open());
  ASSIGN_OR_RETURN(auto links, rtnl.links());
  std::map<int, std::string> names;
  for (const auto& l : links) names[l.index] = l.name;
  ASSIGN_OR_RETURN(auto addresses, rtnl.addresses());
  std::vector<HostAddress> out;
  for (const auto& a : addresses) out.push_back({names[a.index], a.ip, a.length, a.scope == RT_SCOPE_UNIVERSE});
  return out;
}

Result<Ip> default_node_ip(bool ipv6) {
  ASSIGN_OR_RETURN(Rtnl rtnl, Rtnl::open());
  ASSIGN_OR_RETURN(auto addresses, rtnl.addresses());
  ASSIGN_OR_RETURN(auto routes, rtnl.routes());
  auto usable = [&](const Address& a) { return a.ip.is_v6() == ipv6 && a.scope == RT_SCOPE_UNIVERSE && !a.ip.is_loopback(); };
  for (const auto& r : routes) {
    if (r.destination.length != 0 || r.destination.ip.is_v6() != ipv6) continue;
    if (r.source.is_valid()) return r.source;
    for (const auto& a : addresses)
      if (a.index == r.index && usable(a)) return a.ip;
  }
  ASSIGN_OR_RETURN(auto lo, rtnl.link("lo"));
  for (const auto& a : addresses)
    if (usable(a) && (!lo || a.index != lo->index)) return a.ip;
  return Status(Reason::NotFound, ipv6 ? "the node has no global IPv6 address" : "the node has no global IPv4 address");
}

int interface_mtu_of(const Ip& ip) {
  auto rtnl = Rtnl::open();
  if (!rtnl) return 0;
  auto addresses = rtnl->addresses();
  auto links = rtnl->links();
  if (!addresses || !links) return 0;
  for (const auto& a : *addresses)
    if (a.ip == ip)
      for (const auto& l : *links)
        if (l.index == a.index) return l.mtu;
  return 0;
}

static Result<int> loopback(Rtnl& rtnl) {
  ASSIGN_OR_RETURN(auto lo, rtnl.link("lo"));
  if (!lo) return internal_error("there is no loopback interface");
  if (!lo->up()) RETURN_IF_ERROR(rtnl.set_up(lo->index));
  return lo->index;
}

Result<void> ensure_loopback_address(const Ip& ip) {
  ASSIGN_OR_RETURN(Rtnl rtnl, Rtnl::open());
  ASSIGN_OR_RETURN(int lo, loopback(rtnl));
  return rtnl.add_address({lo, ip, ip.bits(), RT_SCOPE_HOST, true});
}

Result<void> remove_loopback_address(const Ip& ip) {
  ASSIGN_OR_RETURN(Rtnl rtnl, Rtnl::open());
  ASSIGN_OR_RETURN(int lo, loopback(rtnl));
  return rtnl.delete_address({lo, ip, ip.bits(), RT_SCOPE_HOST, true});
}

static constexpr const char* kServiceInterface = "onebin0";

Result<void> ensure_service_route(const Prefix& services, int mtu) {
  ASSIGN_OR_RETURN(Rtnl rtnl, Rtnl::open());
  ASSIGN_OR_RETURN(auto link, rtnl.link(kServiceInterface));
  if (!link) {
    Fd here(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!here) return from_errno("open the network namespace", errno);
    std::string name = kServiceInterface;
    RETURN_IF_ERROR(rtnl.create_veth({name, Mac::derived(name)}, {name + "p", Mac::derived(name + "p")}, here.get(), 1500));
    ASSIGN_OR_RETURN(link, rtnl.link(kServiceInterface));
    if (!link) return internal_error("the service interface vanished");
  }
  ASSIGN_OR_RETURN(auto peer, rtnl.link(std::string(kServiceInterface) + "p"));
  for (const auto& end : {link, peer}) {
    if (!end) continue;
    RETURN_IF_ERROR(rtnl.no_link_local(end->index));
    RETURN_IF_ERROR(rtnl.set_up(end->index));
  }
  Route r;
  r.index = link->index;
  r.destination = services;
  r.scope = services.is_v4() ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  r.mtu = mtu;
  return rtnl.set_route(r);
}

Result<void> remove_service_routes() {
  ASSIGN_OR_RETURN(Rtnl rtnl, Rtnl::open());
  ASSIGN_OR_RETURN(auto link, rtnl.link(kServiceInterface));
  return link ? rtnl.delete_link(link->index) : Result<void>();
}

Result<void> set_net_sysctl(const std::string& name, const std::string& value) {
  std::string path = "/proc/sys/net/" + name;
  if (auto now = read_file(path, 4096); now && trim(*now) == value) return {};  // works where /proc/sys is read-only
  Fd f(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!f) return from_errno("set sysctl net/" + name, errno);
  if (::write(f.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size())) return from_errno("set sysctl net/" + name, errno);
  return {};
}

}  // namespace onebin::network
