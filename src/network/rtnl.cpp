#include "network/rtnl.hpp"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>

#include <arpa/inet.h>
#include <cerrno>

namespace onebin::network {

namespace {

std::uint8_t family_of(const Ip& ip) { return ip.is_v6() ? AF_INET6 : AF_INET; }
std::string_view view(const Mac& m) { return {reinterpret_cast<const char*>(m.bytes.data()), 6}; }

Mac to_mac(std::string_view v) {
  Mac m;
  if (v.size() == 6) std::memcpy(m.bytes.data(), v.data(), 6);
  return m;
}

std::string_view find(const NlAttrs& a, std::uint16_t type) {
  auto it = a.find(type);
  return it == a.end() ? std::string_view() : it->second;
}

template <class T>
std::optional<T> head(std::string_view& payload) {
  if (payload.size() < sizeof(T)) return std::nullopt;
  T t;
  std::memcpy(&t, payload.data(), sizeof t);
  payload.remove_prefix(std::min((sizeof(T) + 3) & ~std::size_t{3}, payload.size()));
  return t;
}

std::optional<Link> parse_link(const nlmsghdr& h, std::string_view payload) {
  if (h.nlmsg_type != RTM_NEWLINK) return std::nullopt;
  auto info = head<ifinfomsg>(payload);
  if (!info) return std::nullopt;
  NlAttrs a = nl_attrs(payload);
  Link l;
  l.index = info->ifi_index;
  l.flags = info->ifi_flags;
  l.name = nl_string(a, IFLA_IFNAME);
  l.mtu = static_cast<int>(nl_value<std::uint32_t>(a, IFLA_MTU));
  l.mac = to_mac(find(a, IFLA_ADDRESS));
  l.peer_netns_id = nl_value<std::int32_t>(a, IFLA_LINK_NETNSID, -1);
  NlAttrs link_info = nl_attrs(find(a, IFLA_LINKINFO));
  l.kind = nl_string(link_info, IFLA_INFO_KIND);
  if (l.kind == "vxlan") {
    NlAttrs v = nl_attrs(find(link_info, IFLA_INFO_DATA));
    l.vni = nl_value<std::uint32_t>(v, IFLA_VXLAN_ID);
    l.vxlan_port = ntohs(nl_value<std::uint16_t>(v, IFLA_VXLAN_PORT));
    auto local = find(v, IFLA_VXLAN_LOCAL6);
    l.vxlan_local = Ip::from_bytes(local.empty() ? find(v, IFLA_VXLAN_LOCAL) : local);
  }
  return l;
}

}  // namespace

bool Link::up() const { return flags & IFF_UP; }

Result<Rtnl> Rtnl::open() {
  ASSIGN_OR_RETURN(NlSocket s, NlSocket::open(NETLINK_ROUTE));
  return Rtnl(std::move(s));
}

Result<std::optional<Link>> Rtnl::link(const std::string& name) {
  NlMessage m(RTM_GETLINK, NLM_F_ACK);
  m.header(ifinfomsg{}).attr_str(IFLA_IFNAME, name);
  std::optional<Link> found;
  auto r = socket_.dump(m, "look up link " + name, [&](const nlmsghdr& h, std::string_view p) { found = parse_link(h, p); });
  RETURN_IF_ERROR(nl_tolerate(r, {ENODEV}));
  return found;
}

Result<std::vector<Link>> Rtnl::links() {
  NlMessage m(RTM_GETLINK, NLM_F_DUMP);
  m.header(ifinfomsg{});
  std::vector<Link> out;
  RETURN_IF_ERROR(socket_.dump(m, "list links", [&](const nlmsghdr& h, std::string_view p) {
    if (auto l = parse_link(h, p)) out.push_back(std::move(*l));
  }));
  return out;
}

Result<void> Rtnl::create_veth(const VethEnd& here, const VethEnd& there, int there_netns_fd, int mtu) {
  NlMessage m(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  m.header(ifinfomsg{}).attr_str(IFLA_IFNAME, here.name).attr(IFLA_ADDRESS, view(here.mac));
  m.attr_u32(IFLA_MTU, static_cast<std::uint32_t>(mtu));
  auto info = m.begin(IFLA_LINKINFO);
  m.attr(IFLA_INFO_KIND, "veth");
  auto data = m.begin(IFLA_INFO_DATA);
  auto peer = m.begin(VETH_INFO_PEER);
  m.raw_struct(ifinfomsg{});
  m.attr_str(IFLA_IFNAME, there.name).attr(IFLA_ADDRESS, view(there.mac));
  m.attr_u32(IFLA_MTU, static_cast<std::uint32_t>(mtu)).attr_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(there_netns_fd));
  m.end(peer);
  m.end(data);
  m.end(info);
  return socket_.request(m, "create veth " + here.name);
}

Result<void> Rtnl::create_vxlan(const std::string& name, std::uint32_t vni, std::uint16_t port, const Ip& local, const Mac& mac, int mtu) {
  NlMessage m(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  m.header(ifinfomsg{}).attr_str(IFLA_IFNAME, name).attr(IFLA_ADDRESS, view(mac));
  m.attr_u32(IFLA_MTU, static_cast<std::uint32_t>(mtu));
  auto info = m.begin(IFLA_LINKINFO);
  m.attr(IFLA_INFO_KIND, "vxlan");
  auto data = m.begin(IFLA_INFO_DATA);
  m.attr_u32(IFLA_VXLAN_ID, vni);
  m.attr(local.is_v6() ? IFLA_VXLAN_LOCAL6 : IFLA_VXLAN_LOCAL, local.bytes());
  m.attr_u8(IFLA_VXLAN_LEARNING, 0).attr_u16(IFLA_VXLAN_PORT, htons(port));
  m.end(data);
  m.end(info);
  return socket_.request(m, "create vxlan " + name);
}

Result<void> Rtnl::set_up(int index, bool up) {
  ifinfomsg i{};
  i.ifi_index = index;
  i.ifi_change = IFF_UP;
  i.ifi_flags = up ? IFF_UP : 0;
  NlMessage m(RTM_NEWLINK, 0);
  m.header(i);
  return socket_.request(m, "set link up");
}

Result<void> Rtnl::set_mtu(int index, int mtu) {
  ifinfomsg i{};
  i.ifi_index = index;
  NlMessage m(RTM_NEWLINK, 0);
  m.header(i).attr_u32(IFLA_MTU, static_cast<std::uint32_t>(mtu));
  return socket_.request(m, "set MTU");
}

Result<void> Rtnl::no_link_local(int index) {
  ifinfomsg i{};
  i.ifi_index = index;
  NlMessage m(RTM_NEWLINK, 0);
  m.header(i);
  auto spec = m.begin(IFLA_AF_SPEC);
  auto inet6 = m.begin(AF_INET6);
  m.attr_u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  m.end(inet6);
  m.end(spec);
  return socket_.request(m, "set address generation mode");
}

Result<void> Rtnl::delete_link(int index) {
  ifinfomsg i{};
  i.ifi_index = index;
  NlMessage m(RTM_DELLINK, 0);
  m.header(i);
  return nl_tolerate(socket_.request(m, "delete link"), {ENODEV});
}

Result<std::vector<Address>> Rtnl::addresses() {
  NlMessage m(RTM_GETADDR, NLM_F_DUMP);
  m.header(ifaddrmsg{});
  std::vector<Address> out;
  RETURN_IF_ERROR(socket_.dump(m, "list addresses", [&](const nlmsghdr& h, std::string_view p) {
    auto info = h.nlmsg_type == RTM_NEWADDR ? head<ifaddrmsg>(p) : std::nullopt;
    if (!info) return;
    NlAttrs a = nl_attrs(p);
    auto local = find(a, IFA_LOCAL);
    out.push_back({static_cast<int>(info->ifa_index), Ip::from_bytes(local.empty() ? find(a, IFA_ADDRESS) : local), info->ifa_prefixlen,
                   info->ifa_scope, false});
  }));
  return out;
}

static NlMessage address_message(std::uint16_t type, std::uint16_t flags, const Address& a) {
  ifaddrmsg i{};
  i.ifa_family = family_of(a.ip);
  i.ifa_prefixlen = static_cast<std::uint8_t>(a.length);
  i.ifa_scope = a.scope;
  i.ifa_index = static_cast<std::uint32_t>(a.index);
  NlMessage m(type, flags);
  m.header(i).attr(IFA_LOCAL, a.ip.bytes()).attr(IFA_ADDRESS, a.ip.bytes());
  if (a.no_dad) m.attr_u32(IFA_FLAGS, IFA_F_NODAD);
  return m;
}

Result<void> Rtnl::add_address(const Address& a) {
  NlMessage m = address_message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, a);
  return nl_tolerate(socket_.request(m, "add address " + a.ip.to_string()), {EEXIST});
}

Result<void> Rtnl::delete_address(const Address& a) {
  NlMessage m = address_message(RTM_DELADDR, 0, a);
  return nl_tolerate(socket_.request(m, "delete address " + a.ip.to_string()), {EADDRNOTAVAIL, ENODEV});
}

Result<std::vector<Route>> Rtnl::routes() {
  NlMessage m(RTM_GETROUTE, NLM_F_DUMP);
  m.header(rtmsg{});
  std::vector<Route> out;
  RETURN_IF_ERROR(socket_.dump(m, "list routes", [&](const nlmsghdr& h, std::string_view p) {
    auto info = h.nlmsg_type == RTM_NEWROUTE ? head<rtmsg>(p) : std::nullopt;
    if (!info || info->rtm_table != RT_TABLE_MAIN || info->rtm_type != RTN_UNICAST) return;
    if (info->rtm_family != AF_INET && info->rtm_family != AF_INET6) return;
    NlAttrs a = nl_attrs(p);
    Route r;
    auto dst = find(a, RTA_DST);
    std::string zero(info->rtm_family == AF_INET ? 4 : 16, '\0');
    r.destination = {Ip::from_bytes(dst.empty() ? std::string_view(zero) : dst), info->rtm_dst_len};
    r.index = nl_value<std::int32_t>(a, RTA_OIF);
    r.gateway = Ip::from_bytes(find(a, RTA_GATEWAY));
    r.source = Ip::from_bytes(find(a, RTA_PREFSRC));
    r.scope = info->rtm_scope;
    r.protocol = info->rtm_protocol;
    r.onlink = info->rtm_flags & RTNH_F_ONLINK;
    r.priority = nl_value<std::uint32_t>(a, RTA_PRIORITY);
    r.mtu = static_cast<int>(nl_value<std::uint32_t>(nl_attrs(find(a, RTA_METRICS)), RTAX_MTU));
    out.push_back(std::move(r));
  }));
  return out;
}

static NlMessage route_message(std::uint16_t type, std::uint16_t flags, const Route& r) {
  rtmsg i{};
  i.rtm_family = family_of(r.destination.ip);
  i.rtm_dst_len = static_cast<std::uint8_t>(r.destination.length);
  i.rtm_table = RT_TABLE_MAIN;
  i.rtm_protocol = r.protocol ? r.protocol : RTPROT_STATIC;
  i.rtm_scope = r.scope;
  i.rtm_type = RTN_UNICAST;
  i.rtm_flags = r.onlink ? RTNH_F_ONLINK : 0;
  NlMessage m(type, flags);
  m.header(i);
  if (r.destination.length > 0) m.attr(RTA_DST, r.destination.ip.bytes());
  if (r.index) m.attr_u32(RTA_OIF, static_cast<std::uint32_t>(r.index));
  if (r.gateway.is_valid()) m.attr(RTA_GATEWAY, r.gateway.bytes());
  if (r.source.is_valid()) m.attr(RTA_PREFSRC, r.source.bytes());
  if (r.priority) m.attr_u32(RTA_PRIORITY, r.priority);
  if (r.mtu) {
    auto metrics = m.begin(RTA_METRICS);
    m.attr_u32(RTAX_MTU, static_cast<std::uint32_t>(r.mtu));
    m.end(metrics);
  }
  return m;
}

Result<void> Rtnl::set_route(const Route& r) {
  NlMessage m = route_message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, r);
  return socket_.request(m, "add route " + r.destination.to_string());
}

Result<void> Rtnl::delete_route(const Route& r) {
  NlMessage m = route_message(RTM_DELROUTE, 0, r);
  return nl_tolerate(socket_.request(m, "delete route " + r.destination.to_string()), {ESRCH, ENODEV});
}

Result<std::vector<Neighbour>> Rtnl::neighbours(int index, bool bridge) {
  NlMessage m(RTM_GETNEIGH, NLM_F_DUMP);
  ndmsg n{};
  n.ndm_family = bridge ? AF_BRIDGE : AF_UNSPEC;
  m.header(n);
  std::vector<Neighbour> out;
  RETURN_IF_ERROR(socket_.dump(m, "list neighbours", [&](const nlmsghdr& h, std::string_view p) {
    auto info = h.nlmsg_type == RTM_NEWNEIGH ? head<ndmsg>(p) : std::nullopt;
    if (!info || info->ndm_ifindex != index || (bridge != (info->ndm_family == AF_BRIDGE))) return;
    NlAttrs a = nl_attrs(p);
    out.push_back({index, Ip::from_bytes(find(a, NDA_DST)), to_mac(find(a, NDA_LLADDR)), info->ndm_state, info->ndm_flags});
  }));
  return out;
}

static NlMessage neighbour_message(std::uint16_t type, std::uint16_t flags, int index, const Ip& ip, const Mac* mac, bool bridge) {
  ndmsg n{};
  n.ndm_family = bridge ? AF_BRIDGE : family_of(ip);
  n.ndm_ifindex = index;
  n.ndm_state = NUD_PERMANENT | (bridge ? NUD_NOARP : 0);
  n.ndm_flags = bridge ? NTF_SELF : 0;
  NlMessage m(type, flags);
  m.header(n).attr(NDA_DST, ip.bytes());
  if (mac) m.attr(NDA_LLADDR, view(*mac));
  return m;
}

Result<void> Rtnl::set_neighbour(int index, const Ip& ip, const Mac& mac) {
  NlMessage m = neighbour_message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, index, ip, &mac, false);
  return socket_.request(m, "add neighbour " + ip.to_string());
}
Result<void> Rtnl::delete_neighbour(int index, const Ip& ip) {
  NlMessage m = neighbour_message(RTM_DELNEIGH, 0, index, ip, nullptr, false);
  return nl_tolerate(socket_.request(m, "delete neighbour " + ip.to_string()), {ENOENT, ENODEV});
}
Result<void> Rtnl::set_forward(int index, const Mac& mac, const Ip& destination) {
  NlMessage m = neighbour_message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, index, destination, &mac, true);
  return socket_.request(m, "add forwarding entry " + mac.to_string());
}
Result<void> Rtnl::delete_forward(int index, const Mac& mac, const Ip& destination) {
  NlMessage m = neighbour_message(RTM_DELNEIGH, 0, index, destination, &mac, true);
  return nl_tolerate(socket_.request(m, "delete forwarding entry " + mac.to_string()), {ENOENT, ENODEV});
}

Result<void> Rtnl::limit_rate(int index, std::uint64_t bits_per_second) {
  std::uint64_t rate = std::max<std::uint64_t>(bits_per_second / 8, 1);  // octets per second
  // As long a burst as a 10 ms timer needs, and never less than a GSO packet; 25 ms of queue behind it.
  auto burst = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(rate / 100, 64 * 1024, 64u << 20));
  tc_tbf_qopt q{};
  q.rate.linklayer = 1;  // Ethernet: no rate table is needed
  q.rate.rate = static_cast<std::uint32_t>(std::min<std::uint64_t>(rate, 0xffffffffu));
  q.limit = static_cast<std::uint32_t>(std::min<std::uint64_t>(burst + rate / 40, 0x7fffffffu));
  // psched ticks of 64 ns.
  q.buffer = static_cast<std::uint32_t>(std::min<std::uint64_t>(std::uint64_t{burst} * 1000000000ull / rate / 64, 0xffffffffu));
  tcmsg t{};
  t.tcm_ifindex = index;
  t.tcm_parent = TC_H_ROOT;
  t.tcm_handle = 0x10000;
  NlMessage m(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE);
  m.header(t).attr_str(TCA_KIND, "tbf");
  auto options = m.begin(TCA_OPTIONS);
  m.attr(TCA_TBF_PARMS, {reinterpret_cast<char*>(&q), sizeof q});
  m.attr_u32(TCA_TBF_BURST, burst);
  if (rate > 0xffffffffu) m.attr(TCA_TBF_RATE64, {reinterpret_cast<char*>(&rate), sizeof rate});
  m.end(options);
  return socket_.request(m, "set token bucket");
}

}  // namespace onebin::network
