#include "network/pod_rules.hpp"

#include <onebin/network/nft_rules.hpp>

namespace onebin::network {

using namespace nft;

namespace {

// Names of the shared sets, by family.
const char* any_name(bool v6) { return v6 ? "hostports6" : "hostports4"; }
const char* one_name(bool v6) { return v6 ? "hostports-ip6" : "hostports-ip4"; }
const char* pods_name(bool v6) { return v6 ? "pods6" : "pods4"; }

Set any_set(bool v6) {
  Set s;
  s.key = {Type::Protocol, Type::Port};
  s.data = {v6 ? Type::Ip6 : Type::Ip4, Type::Port};
  return s;
}
Set one_set(bool v6) {
  Set s = any_set(v6);
  s.key = {v6 ? Type::Ip6 : Type::Ip4, Type::Protocol, Type::Port};
  return s;
}
Set pods_set(bool v6) {
  Set s;
  s.key = {v6 ? Type::Ip6 : Type::Ip4, v6 ? Type::Ip6 : Type::Ip4};
  return s;
}
void shared_sets(Table& t) {
  for (bool v6 : {false, true}) {
    t.sets[any_name(v6)] = any_set(v6);
    t.sets[one_name(v6)] = one_set(v6);
    t.sets[pods_name(v6)] = pods_set(v6);
  }
}

Set prefix_set(const std::vector<Prefix>& prefixes, bool v6) {
  Set s;
  s.key = {v6 ? Type::Ip6 : Type::Ip4};
  s.interval = true;
  std::vector<Prefix> of_family;
  for (const auto& p : prefixes)
    if (p.is_v4() != v6) of_family.push_back(p);
  s.add_prefixes(of_family);
  return s;
}

// Host ports of one address come before those of all addresses; both hold only for addresses of the node.
Chain host_port_chain(const PodRules& rules) {
  Chain c;
  for (bool v6 : {false, true}) {
    Set services = prefix_set(rules.service_cidrs, v6);
    if (!services.elements.empty()) c.rules.push_back(RuleBuilder().family(v6).daddr(v6, 0).in(std::move(services), 0).verdict(return_()).done());
  }
  for (bool v6 : {false, true}) {
    Reg w = v6 ? 4 : 1;  // words of an address
    c.rules.push_back(RuleBuilder().family(v6).daddr(v6, 0).l4proto(w).dport(Reg(w + 1)).map(one_name(v6), 0, 8).dnat(v6, 8, Reg(8 + w)).done());
    c.rules.push_back(RuleBuilder().family(v6).l4proto(0).dport(1).map(any_name(v6), 0, 8).dnat(v6, 8, Reg(8 + w)).done());
  }
  return c;
}

Chain nat_entry(Hook hook) {
  Chain c;
  c.base = BaseHook{"nat", hook, -101};  // just before services: a host port is a pod's own
  c.rules.push_back(RuleBuilder().address_type(true, 0, kLocal).verdict(jump("hostports")).done());
  return c;
}

Chain postrouting(const PodRules& rules) {
  Chain c;
  c.base = BaseHook{"nat", Hook::Postrouting, 100};
  for (bool v6 : {false, true}) {
    // A pod that reaches itself through an address of the node: the answer must pass the node again.
    c.rules.push_back(RuleBuilder().family(v6).ct_status(kCtDestinationNat, true).saddr(v6, 0).daddr(v6, v6 ? 4 : 1)
                          .in_set(pods_name(v6), 0).masquerade().done());
  }
  // A process of the node that reaches a host port by 127.0.0.1.
  c.rules.push_back(RuleBuilder().family(false).ct_status(kCtDestinationNat, true).saddr(false, 0)
                        .masked(0, *Prefix::parse("127.0.0.0/8")).masquerade().done());
  if (!rules.masquerade) return c;
  std::vector<Prefix> kept = rules.cluster_cidrs;
  kept.push_back(*Prefix::parse("224.0.0.0/4"));
  kept.push_back(*Prefix::parse("ff00::/8"));
  kept.push_back(*Prefix::parse("fe80::/10"));
  kept.push_back(*Prefix::parse("169.254.0.0/16"));
  kept.push_back(*Prefix::parse("255.255.255.255/32"));
  kept.insert(kept.end(), rules.pod_cidrs.begin(), rules.pod_cidrs.end());
  for (bool v6 : {false, true}) {
    Set own = prefix_set(rules.pod_cidrs, v6);
    if (own.elements.empty()) continue;
    c.rules.push_back(RuleBuilder().family(v6).saddr(v6, 0).in(std::move(own), 0).daddr(v6, 4).not_in(prefix_set(kept, v6), 4).masquerade().done());
  }
  return c;
}

// Interfaces with host ports have route_localnet set, and a pod must not reach the node's loopback by it. IPv6 has no
// rp_filter: a packet whose source does not belong to the interface is dropped here.
Chain guard(const PodRules& rules) {
  Chain c;
  c.base = BaseHook{"filter", Hook::Prerouting, -300};
  c.rules.push_back(RuleBuilder().family(false).in_interface_prefix(rules.interface_prefix).daddr(false, 0)
                        .masked(0, *Prefix::parse("127.0.0.0/8")).verdict(drop()).done());
  c.rules.push_back(RuleBuilder().family(true).in_interface_prefix(rules.interface_prefix).not_link_local_source().reverse_path_missing(0)
                        .verdict(drop()).done());
  return c;
}

}  // namespace

Table base_pod_table(const PodRules& rules) {
  Table t;
  shared_sets(t);
  t.chains["hostports"] = host_port_chain(rules);
  t.chains["nat-prerouting"] = nat_entry(Hook::Prerouting);
  t.chains["nat-output"] = nat_entry(Hook::Output);
  t.chains["nat-postrouting"] = postrouting(rules);
  t.chains["guard"] = guard(rules);
  return t;
}

Table pod_part(const Lease& lease) {
  Table t;
  shared_sets(t);
  for (const auto& ip : lease.ips) t.sets[pods_name(ip.is_v6())].add(key({ip.bytes(), ip.bytes()}));
  for (const auto& p : lease.host_ports) {
    std::uint8_t protocol = protocol_number(p.protocol);
    bool all = !p.host_ip.is_valid() || p.host_ip.is_unspecified();
    for (const auto& ip : lease.ips) {
      bool v6 = ip.is_v6();
      std::string target = key({ip.bytes(), u16(p.container_port)});
      // 0.0.0.0 means every IPv4 address, :: and none every address.
      if (all && p.host_ip.is_v4() && v6) continue;
      if (all) {
        t.sets[any_name(v6)].add(key({u8(protocol), u16(p.host_port)}), target);
      } else if (p.host_ip.is_v6() == v6) {
        t.sets[one_name(v6)].add(key({p.host_ip.bytes(), u8(protocol), u16(p.host_port)}), target);
      }
    }
  }
  return t;
}

std::string host_port_conflict(const std::vector<HostPort>& wanted, const std::vector<const Lease*>& leases) {
  auto open = [](const Ip& ip) { return !ip.is_valid() || ip.is_unspecified(); };
  for (const auto& w : wanted)
    for (const Lease* lease : leases)
      for (const auto& h : lease->host_ports)
        if (h.host_port == w.host_port && protocol_number(h.protocol) == protocol_number(w.protocol) &&
            (open(h.host_ip) || open(w.host_ip) || h.host_ip == w.host_ip))
          return w.protocol + " " + (open(w.host_ip) ? std::string("*") : w.host_ip.to_string()) + ":" + std::to_string(w.host_port);
  return {};
}

}  // namespace onebin::network
