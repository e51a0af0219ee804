#include <onebin/network/conntrack.hpp>

#include "network/netlink.hpp"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <vector>

namespace onebin::network {

namespace {

struct Entry {
  Flow flow;
  std::string tuple;  // the original tuple's attribute, as the kernel wrote it
  std::string zone;
};

std::string_view find(const NlAttrs& a, std::uint16_t type) {
  auto it = a.find(type);
  return it == a.end() ? std::string_view() : it->second;
}

void read_tuple(std::string_view data, Ip& src, Ip& dst, std::uint16_t& sport, std::uint16_t& dport, std::uint8_t& protocol) {
  NlAttrs t = nl_attrs(data);
  NlAttrs ip = nl_attrs(find(t, CTA_TUPLE_IP));
  NlAttrs proto = nl_attrs(find(t, CTA_TUPLE_PROTO));
  bool v6 = ip.count(CTA_IP_V6_SRC) > 0;
  src = Ip::from_bytes(find(ip, v6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC));
  dst = Ip::from_bytes(find(ip, v6 ? CTA_IP_V6_DST : CTA_IP_V4_DST));
  protocol = nl_value<std::uint8_t>(proto, CTA_PROTO_NUM);
  sport = ntohs(nl_value<std::uint16_t>(proto, CTA_PROTO_SRC_PORT));
  dport = ntohs(nl_value<std::uint16_t>(proto, CTA_PROTO_DST_PORT));
}

constexpr std::uint16_t message_type(int m) { return static_cast<std::uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | m); }

}  // namespace

Result<std::size_t> delete_flows(std::uint8_t protocol, bool ipv6, const std::function<bool(const Flow&)>& match) {
  ASSIGN_OR_RETURN(NlSocket socket, NlSocket::open(NETLINK_NETFILTER));
  nfgenmsg header{};
  header.nfgen_family = ipv6 ? AF_INET6 : AF_INET;
  header.version = NFNETLINK_V0;
  NlMessage dump(message_type(IPCTNL_MSG_CT_GET), NLM_F_DUMP);
  dump.header(header);
  std::vector<Entry> doomed;
  RETURN_IF_ERROR(socket.dump(dump, "list connections", [&](const nlmsghdr&, std::string_view p) {
    if (p.size() < sizeof(nfgenmsg)) return;
    NlAttrs a = nl_attrs(p.substr(sizeof(nfgenmsg)));
    Entry e;
    Ip reply_destination;
    std::uint16_t reply_destination_port = 0;
    std::uint8_t reply_protocol = 0;
    read_tuple(find(a, CTA_TUPLE_ORIG), e.flow.source, e.flow.destination, e.flow.source_port, e.flow.destination_port, e.flow.protocol);
    if (e.flow.protocol != protocol) return;
    read_tuple(find(a, CTA_TUPLE_REPLY), e.flow.reply_source, reply_destination, e.flow.reply_source_port, reply_destination_port, reply_protocol);
    if (!match(e.flow)) return;
    e.tuple = std::string(find(a, CTA_TUPLE_ORIG));
    e.zone = std::string(find(a, CTA_ZONE));
    doomed.push_back(std::move(e));
  }));
  for (const auto& e : doomed) {
    NlMessage del(message_type(IPCTNL_MSG_CT_DELETE), 0);
    del.header(header).attr(NLA_F_NESTED | CTA_TUPLE_ORIG, e.tuple);
    if (!e.zone.empty()) del.attr(CTA_ZONE, e.zone);
    RETURN_IF_ERROR(nl_tolerate(socket.request(del, "delete a connection"), {ENOENT}));
  }
  return doomed.size();
}

}  // namespace onebin::network
