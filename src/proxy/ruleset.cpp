#include <onebin/proxy/ruleset.hpp>

#include "proxy/family.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/network/nft_rules.hpp>

#include <algorithm>

namespace onebin::proxy {

using namespace network::nft;

namespace {

// Names of the sets that all services share, by family.
constexpr const char* kServiceIps = "service-ips";                   // ip . protocol . port -> verdict
constexpr const char* kNodePorts = "node-ports";                     // protocol . port -> verdict
constexpr const char* kNoEndpointIps = "no-endpoint-ips";            // as service-ips: reject or drop
constexpr const char* kNoEndpointNodePorts = "no-endpoint-node-ports";
constexpr const char* kFirewallIps = "firewall-ips";                 // load balancer addresses with source ranges
constexpr const char* kClusterIps = "cluster-ips";
constexpr const char* kHairpin = "hairpin";                          // ip . ip . protocol . port of endpoints on this node


Set verdict_map(std::vector<Type> k) {
  Set s = set_of(std::move(k));
  s.verdict_map = true;
  return s;
}

void shared_sets(Table& t) {
  for (bool v6 : {false, true}) {
    t.sets[of_family(kServiceIps, v6)] = verdict_map({address(v6), Type::Protocol, Type::Port});
    t.sets[of_family(kNodePorts, v6)] = verdict_map({Type::Protocol, Type::Port});
    t.sets[of_family(kNoEndpointIps, v6)] = verdict_map({address(v6), Type::Protocol, Type::Port});
    t.sets[of_family(kNoEndpointNodePorts, v6)] = verdict_map({Type::Protocol, Type::Port});
    t.sets[of_family(kFirewallIps, v6)] = verdict_map({address(v6), Type::Protocol, Type::Port});
    t.sets[of_family(kClusterIps, v6)] = set_of({address(v6)});
    t.sets[of_family(kHairpin, v6)] = set_of({address(v6), address(v6), Type::Protocol, Type::Port});
  }
}

// `destination . protocol . port` in registers 0 and on, then a verdict map.
Rule by_destination(const char* map, bool v6) {
  Reg w = words(v6);
  return RuleBuilder().daddr(v6, 0).l4proto(w).dport(Reg(w + 1)).vmap(of_family(map, v6), 0).done();
}
RuleBuilder not_loopback(bool v6) {
  RuleBuilder b;
  if (v6) return std::move(b.daddr(true, 8).equals(8, Ip::parse("::1")->bytes(), false));
  return std::move(b.daddr(false, 8).masked(8, *Prefix::parse("127.0.0.0/8"), false));
}

Chain services_chain(const NodeInfo& node, bool v6) {
  Chain c;
  Set inside = prefix_set(node.cluster_cidrs, v6);
  // What comes from outside of the cluster to a cluster IP may leave by another node: the answer must come back here.
  RuleBuilder outside;
  outside.daddr(v6, 0).in_set(of_family(kClusterIps, v6), 0);
  if (!inside.elements.empty()) outside.saddr(v6, 4).not_in(std::move(inside), 4);
  c.rules.push_back(outside.or_mark(kMasqueradeMark).done());
  c.rules.push_back(by_destination(kServiceIps, v6));
  c.rules.push_back(not_loopback(v6).address_type(true, 0, kLocal).l4proto(0).dport(1).vmap(of_family(kNodePorts, v6), 0).done());
  return c;
}

Chain cluster_ips_chain(const NodeInfo& node, bool v6) {
  Chain c;
  Set own = set_of({address(v6)});
  for (const auto& ip : node.local_ips)
    if (ip.is_v6() == v6) own.add(ip.bytes());
  if (!own.elements.empty()) c.rules.push_back(RuleBuilder().daddr(v6, 0).in(std::move(own), 0).verdict(return_()).done());
  c.rules.push_back(RuleBuilder().daddr(v6, 0).in_set(of_family(kClusterIps, v6), 0).verdict(goto_("reject")).done());
  Set services = prefix_set(node.service_cidrs, v6);
  if (!services.elements.empty()) c.rules.push_back(RuleBuilder().daddr(v6, 0).in(std::move(services), 0).verdict(drop()).done());
  return c;
}

Chain masquerading_chain(bool v6) {
  Chain c;
  c.rules.push_back(RuleBuilder().mark(kMasqueradeMark, true).clear_mark(kMasqueradeMark).masquerade().done());
  Reg w = words(v6);
  c.rules.push_back(RuleBuilder().ct_status(kCtDestinationNat, true).saddr(v6, 0).daddr(v6, w).l4proto(Reg(2 * w)).dport(Reg(2 * w + 1))
                        .in_set(of_family(kHairpin, v6), 0).masquerade().done());
  return c;
}

Rule by_family(const std::string& chain, bool only_new) {
  Set m = verdict_map({Type::Protocol});  // one octet, as the protocol family is
  m.add(u8(2), jump(of_family(chain.c_str(), false)));
  m.add(u8(10), jump(of_family(chain.c_str(), true)));
  RuleBuilder b;
  if (only_new) b.ct_state(kCtNew);
  return b.add(Meta{Meta::Key::NfProto, 0}).vmap_in(std::move(m), 0).done();
}

void base_chain(Table& t, const std::string& name, BaseHook hook, std::vector<std::pair<std::string, bool>> jumps) {
  Chain c;
  c.base = std::move(hook);
  for (const auto& [chain, only_new] : jumps) c.rules.push_back(by_family(chain, only_new));
  t.chains[name] = std::move(c);
}

// One port of one service in one family: everything that is written for it.
class PortWriter {
 public:
  PortWriter(Table& t, const Service& s, const ServicePort& p, const NodeInfo& node, bool v6) : t_(t), s_(s), p_(p), node_(node), v6_(v6) {
    std::vector<Endpoint> endpoints;
    for (const auto& e : p.endpoints)
      if (e.ip.is_v6() == v6) endpoints.push_back(e);
    chosen_ = choose_endpoints(s, endpoints, node);
    std::string protocol = p.protocol == 6 ? "tcp" : p.protocol == 17 ? "udp" : "sctp";
    suffix_ = s.key + "/" + protocol + "/" + p.name + (v6 ? "/6" : "/4");
    if (suffix_.size() > 100) suffix_ = suffix_.substr(0, 80) + "-" + hex_encode(sha256(suffix_)).substr(0, 16);
  }

  void write() {
    bool internal = s_.internal_local ? !chosen_.local.empty() : chosen_.any;
    bool external = s_.external_local ? !chosen_.local.empty() : chosen_.any;
    frontends(s_.cluster_ips, internal, chain(s_.internal_local ? "local" : "cluster"), internal);
    for (const auto& ip : s_.cluster_ips)
      if (ip.is_v6() == v6_ && !node_.local_ips.count(ip)) t_.sets[of_family(kClusterIps, v6_)].add(ip.bytes());
    frontends(s_.external_ips, chosen_.any, chain("external"), external);
    frontends(s_.load_balancer_ips, chosen_.any, chain("external"), external);
    node_port(external);
    if (uses_external_ && chosen_.any) external_chain(external);
    firewall();
    if (!chosen_.cluster.empty()) t_.chains[chain("cluster")] = endpoint_chain(chosen_.cluster);
    if (!chosen_.local.empty()) t_.chains[chain("local")] = endpoint_chain(chosen_.local);
    if (s_.affinity_seconds && chosen_.any) affinity_map();
    for (const auto* list : {&chosen_.cluster, &chosen_.local})
      for (const auto& e : *list)
        if (e.local) t_.sets[of_family(kHairpin, v6_)].add(key({e.ip.bytes(), e.ip.bytes(), u8(p_.protocol), u16(e.port)}));
  }

 private:
  std::string chain(const char* kind) const { return std::string(kind) + "/" + suffix_; }
  Verdict refusal() const { return chosen_.any ? drop() : goto_("reject"); }

  // Addresses that lead to `target` where `open`; and that are refused where nothing may take what comes from outside.
  void frontends(const std::vector<Ip>& ips, bool open, const std::string& target, bool usable) {
    for (const auto& ip : ips) {
      if (ip.is_v6() != v6_ || node_.local_ips.count(ip) || yielded(ip)) continue;
      std::string k = key({ip.bytes(), u8(p_.protocol), u16(p_.port)});
      if (open) t_.sets[of_family(kServiceIps, v6_)].add(k, goto_(target));
      if (!usable) t_.sets[of_family(kNoEndpointIps, v6_)].add(k, refusal());
      if (target == chain("external")) uses_external_ = true;
    }
  }

  bool yielded(const Ip& ip) const { return std::find(p_.not_at.begin(), p_.not_at.end(), ip) != p_.not_at.end(); }

  void node_port(bool usable) {
    if (!p_.node_port || !has_family()) return;
    std::string k = key({u8(p_.protocol), u16(p_.node_port)});
    uses_external_ = true;
    if (chosen_.any) t_.sets[of_family(kNodePorts, v6_)].add(k, goto_(chain("external")));
    if (!usable) t_.sets[of_family(kNoEndpointNodePorts, v6_)].add(k, refusal());
  }

  bool has_family() const {
    return std::any_of(s_.cluster_ips.begin(), s_.cluster_ips.end(), [&](const Ip& ip) { return ip.is_v6() == v6_; });
  }

  void external_chain(bool usable) {
    Chain c;
    if (!s_.external_local) {
      c.rules.push_back(RuleBuilder().or_mark(kMasqueradeMark).done());
    } else {
      // Traffic of this node's own pods and processes is not bound by the policy, as if it had gone out and come back.
      Set own = prefix_set(node_.pod_cidrs, v6_);
      if (!own.elements.empty() && !chosen_.cluster.empty())
        c.rules.push_back(RuleBuilder().saddr(v6_, 0).in(std::move(own), 0).verdict(goto_(chain("cluster"))).done());
      c.rules.push_back(RuleBuilder().address_type(false, 0, kLocal).or_mark(kMasqueradeMark).done());
      if (!chosen_.cluster.empty()) c.rules.push_back(RuleBuilder().address_type(false, 0, kLocal).verdict(goto_(chain("cluster"))).done());
    }
    if (usable) c.rules.push_back(RuleBuilder().verdict(goto_(chain(s_.external_local ? "local" : "cluster"))).done());
    t_.chains[chain("external")] = std::move(c);
  }

  void firewall() {
    bool any = false;
    if (s_.load_balancer_source_ranges.empty()) return;
    Set itself = set_of({address(v6_), address(v6_)});
    const std::vector<Prefix>& ranges = s_.load_balancer_source_ranges;
    bool node_allowed = std::any_of(ranges.begin(), ranges.end(), [&](const Prefix& r) {
      return std::any_of(node_.ips.begin(), node_.ips.end(), [&](const Ip& ip) { return r.contains(ip); });
    });
    for (const auto& ip : s_.load_balancer_ips) {
      if (ip.is_v6() != v6_ || yielded(ip)) continue;
      any = true;
      t_.sets[of_family(kFirewallIps, v6_)].add(key({ip.bytes(), u8(p_.protocol), u16(p_.port)}), goto_(chain("firewall")));
      itself.add(key({ip.bytes(), ip.bytes()}));
    }
    if (!any) return;
    Chain c;
    // The node reaches a balancer's address that is its own with that address as the source. Another node's is not: its own
    // address must lie in the ranges.
    if (node_allowed) c.rules.push_back(RuleBuilder().saddr(v6_, 0).daddr(v6_, words(v6_)).in(std::move(itself), 0).verdict(return_()).done());
    c.rules.push_back(RuleBuilder().saddr(v6_, 0).not_in(prefix_set(ranges, v6_), 0).verdict(drop()).done());
    t_.chains[chain("firewall")] = std::move(c);
  }

  std::string affinity_name() const { return "affinity/" + std::to_string(s_.affinity_seconds) + "/" + suffix_; }
  void affinity_map() {
    Set m;
    m.key = {address(v6_)};
    m.data = {address(v6_), Type::Port};
    m.dynamic = true;
    m.timeout_ms = std::uint64_t{s_.affinity_seconds} * 1000;
    t_.sets[affinity_name()] = std::move(m);
  }

  // Registers: 0 client, 4 choice, 8 address and port of the endpoint.
  Chain endpoint_chain(const std::vector<Endpoint>& endpoints) {
    Chain c;
    Reg port = Reg(8 + words(v6_));
    Set by_number = set_of({Type::Integer});
    by_number.data = {address(v6_), Type::Port};
    Set known = set_of({address(v6_), Type::Port});
    std::uint32_t n = 0;
    for (const auto& e : endpoints) {
      std::string target = key({e.ip.bytes(), u16(e.port)});
      by_number.add(host32(n++), target);
      known.add(target);
    }
    bool sticky = s_.affinity_seconds != 0;
    if (sticky) {
      // A client that was here lately goes where it went, as long as that endpoint is still one.
      c.rules.push_back(RuleBuilder().saddr(v6_, 0).map(affinity_name(), 0, 8).in(std::move(known), 8).update(affinity_name(), 0, 8)
                            .dnat(v6_, 8, port).done());
    }
    RuleBuilder b;
    if (sticky) b.saddr(v6_, 0);
    if (endpoints.size() == 1) {
      b.load(8, endpoints[0].ip.bytes()).load(port, u16(endpoints[0].port));
    } else {
      b.random(n, 4).map_in(std::move(by_number), 4, 8);
    }
    // An update would keep the endpoint that is remembered, which is one no longer.
    if (sticky) b.forget(affinity_name(), 0, 8).update(affinity_name(), 0, 8);
    c.rules.push_back(b.dnat(v6_, 8, port).done());
    return c;
  }

  Table& t_;
  const Service& s_;
  const ServicePort& p_;
  const NodeInfo& node_;
  bool v6_;
  Chosen chosen_;
  std::string suffix_;
  bool uses_external_ = false;
};

}  // namespace

Table base_table(const NodeInfo& node) {
  Table t;
  shared_sets(t);
  for (bool v6 : {false, true}) {
    t.chains[of_family("services", v6)] = services_chain(node, v6);
    t.chains[of_family("cluster-ips-check", v6)] = cluster_ips_chain(node, v6);
    t.chains[of_family("masquerading", v6)] = masquerading_chain(v6);
    t.chains[of_family("firewall-check", v6)].rules.push_back(by_destination(kFirewallIps, v6));
    t.chains[of_family("endpoints-check", v6)].rules.push_back(by_destination(kNoEndpointIps, v6));
    t.chains[of_family("node-ports-check", v6)].rules.push_back(
        not_loopback(v6).address_type(true, 0, kLocal).l4proto(0).dport(1).vmap(of_family(kNoEndpointNodePorts, v6), 0).done());
  }
  // Resets are not subject to the kernel's limit of one ICMP error a second and peer.
  t.chains["reject"].rules.push_back(RuleBuilder().protocol(6).add(Reject{true}).done());
  t.chains["reject"].rules.push_back(RuleBuilder().reject().done());
  // Priorities: dstnat is -100, filter 0, srcnat 100.
  base_chain(t, "filter-prerouting", {"filter", Hook::Prerouting, -110}, {{"firewall-check", true}});
  base_chain(t, "filter-output-early", {"filter", Hook::Output, -110}, {{"firewall-check", true}});
  base_chain(t, "filter-input", {"filter", Hook::Input, 0}, {{"node-ports-check", true}, {"endpoints-check", true}});
  base_chain(t, "filter-forward", {"filter", Hook::Forward, 0}, {{"endpoints-check", true}, {"cluster-ips-check", true}});
  base_chain(t, "filter-output", {"filter", Hook::Output, 0}, {{"endpoints-check", true}, {"cluster-ips-check", true}});
  base_chain(t, "nat-prerouting", {"nat", Hook::Prerouting, -100}, {{"services", false}});
  base_chain(t, "nat-output", {"nat", Hook::Output, -100}, {{"services", false}});
  base_chain(t, "nat-postrouting", {"nat", Hook::Postrouting, 100}, {{"masquerading", false}});
  return t;
}

Table service_part(const Service& service, const NodeInfo& node) {
  Table t;
  shared_sets(t);
  for (const auto& port : service.ports)
    for (bool v6 : {false, true}) PortWriter(t, service, port, node, v6).write();
  return t;
}

Table compute_ruleset(const std::map<std::string, Service>& services, const NodeInfo& node) {
  Table t = base_table(node);
  for (const auto& [name, s] : services) {
    Table part = service_part(s, node);
    t.chains.merge(part.chains);
    for (auto& [set_name, set] : part.sets) {
      auto& into = t.sets[set_name];
      if (into.key.empty()) into = set;
      else into.elements.merge(set.elements);
    }
  }
  return t;
}

}  // namespace onebin::proxy
