// rtnetlink: links, addresses, routes, neighbours, forwarding entries, in the namespace where the socket was opened.
#pragma once
#include "network/netlink.hpp"

#include <onebin/network/address.hpp>

#include <optional>
#include <vector>

namespace onebin::network {

struct Link {
  int index = 0;
  std::string name, kind;  // kind: "veth", "vxlan", "" for physical ones
  unsigned flags = 0;
  int mtu = 0;
  Mac mac;
  int peer_netns_id = -1;
  std::uint32_t vni = 0;
  Ip vxlan_local;
  std::uint16_t vxlan_port = 0;
  bool up() const;
};

struct Address {
  int index = 0;
  Ip ip;
  int length = 0;
  std::uint8_t scope = 0;
  bool no_dad = false;
};

struct Route {
  Prefix destination;
  int index = 0;
  Ip gateway, source;
  std::uint8_t scope = 0, protocol = 0;
  bool onlink = false;
  int mtu = 0;
  std::uint32_t priority = 0;
};

struct Neighbour {
  int index = 0;
  Ip ip;
  Mac mac;
  std::uint16_t state = 0;
  std::uint8_t flags = 0;
};

class Rtnl {
 public:
  static Result<Rtnl> open();  // of the calling thread's namespace

  Result<std::optional<Link>> link(const std::string& name);
  Result<std::vector<Link>> links();
  struct VethEnd { std::string name; Mac mac; };
  Result<void> create_veth(const VethEnd& here, const VethEnd& there, int there_netns_fd, int mtu);
  Result<void> create_vxlan(const std::string& name, std::uint32_t vni, std::uint16_t port, const Ip& local, const Mac& mac, int mtu);
  Result<void> set_up(int index, bool up = true);
  Result<void> set_mtu(int index, int mtu);
  Result<void> no_link_local(int index);  // no automatic fe80:: address
  Result<void> delete_link(int index);    // OK when it is gone

  Result<std::vector<Address>> addresses();
  Result<void> add_address(const Address& a);     // or replace
  Result<void> delete_address(const Address& a);  // OK when it is gone

  Result<std::vector<Route>> routes();  // of the main table
  Result<void> set_route(const Route& r);     // create or replace
  Result<void> delete_route(const Route& r);  // OK when it is gone

  Result<std::vector<Neighbour>> neighbours(int index, bool bridge);  // bridge: forwarding entries
  Result<void> set_neighbour(int index, const Ip& ip, const Mac& mac);  // permanent
  Result<void> delete_neighbour(int index, const Ip& ip);
  Result<void> set_forward(int index, const Mac& mac, const Ip& destination);
  Result<void> delete_forward(int index, const Mac& mac, const Ip& destination);

  // Limits what leaves by this link (token bucket).
  Result<void> limit_rate(int index, std::uint64_t bits_per_second);

 private:
  explicit Rtnl(NlSocket s) : socket_(std::move(s)) {}
  NlSocket socket_;
};

}  // namespace onebin::network
