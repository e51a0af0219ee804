#include <onebin/proxy/policy.hpp>

#include "proxy/family.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/network/nft_rules.hpp>

#include <algorithm>

namespace onebin::proxy {

using namespace network::nft;

namespace {

std::string short_hash(std::string_view text) { return hex_encode(sha256(text)).substr(0, 16); }

// One direction: what its chains and sets are called.
struct Direction {
  bool ingress;
  std::string name() const { return ingress ? "policy-ingress" : "policy-egress"; }
  std::string pods_map(bool v6) const { return of_family(name() + "-pods", v6); }
  std::string check(bool v6) const { return of_family(name(), v6); }
  std::string chain(const Policy& p) const {
    std::string n = name() + "/" + p.key;
    return n.size() > 100 ? n.substr(0, 80) + "-" + short_hash(n) : n;
  }
  const std::optional<std::vector<PolicyRule>>& rules(const Policy& p) const { return ingress ? p.ingress : p.egress; }
};
constexpr Direction kIngress{true}, kEgress{false};

std::string port_set_name(std::uint8_t protocol, const std::string& name, bool v6) {
  return of_family("policy-port/" + std::to_string(protocol) + "/" + name + "/", v6);
}
const char* self_name(bool v6) { return v6 ? "policy-self6" : "policy-self4"; }


using Range = std::pair<std::uint16_t, std::uint16_t>;  // inclusive

Set range_set(std::vector<Range> ranges) {
  Set s = set_of({Type::Port});
  s.interval = true;
  std::sort(ranges.begin(), ranges.end());
  for (std::size_t i = 0; i < ranges.size();) {
    auto [first, last] = ranges[i];
    for (++i; i < ranges.size() && ranges[i].first <= last + 1; ++i) last = std::max(last, ranges[i].second);
    s.elements[u16(first)] = Element{u16(first), {}, false};
    if (last == 65535) continue;
    std::string end = u16(static_cast<std::uint16_t>(last + 1));
    s.elements[end + '\x01'] = Element{end, {}, true};
  }
  return s;
}

// What one rule of a policy lets through. Registers: the peer's address in 0, what the ports are looked up by from 4.
class RuleWriter {
 public:
  RuleWriter(Chain& chain, const PolicyRule& rule, bool ingress) : chain_(chain), rule_(rule), ingress_(ingress) {}

  void write() {
    if (rule_.any_peer) return ports({}, {});
    for (bool v6 : {false, true}) {
      for (const auto& p : rule_.peers) ports(peer(v6).in_set(of_family(p.set_name(), v6), 0), v6);
      if (Set blocks = prefix_set(rule_.blocks, v6); !blocks.elements.empty()) ports(peer(v6).in(std::move(blocks), 0), v6);
    }
  }

 private:
  RuleBuilder peer(bool v6) const {
    RuleBuilder b;
    b.family(v6);
    if (ingress_) b.saddr(v6, 0);
    else b.daddr(v6, 0);
    return b;
  }
  void allow(RuleBuilder b) { chain_.rules.push_back(b.verdict(accept()).done()); }

  void ports(const RuleBuilder& from, std::optional<bool> family) {
    if (rule_.any_port) return allow(from);
    for (std::uint8_t protocol : {6, 17, 132}) {
      std::vector<Range> ranges;
      for (const auto& p : rule_.ports)
        if (p.protocol == protocol && p.name.empty()) ranges.emplace_back(p.first, p.last);
      if (!ranges.empty()) numbers(RuleBuilder(from).protocol(protocol), std::move(ranges));
    }
    for (const auto& p : rule_.ports)
      if (!p.name.empty())
        for (bool v6 : {false, true})
          if (!family || *family == v6) named_port(from, p, v6, !family);
  }

  void numbers(RuleBuilder b, std::vector<Range> ranges) {
    if (std::find(ranges.begin(), ranges.end(), Range(1, 65535)) != ranges.end()) return allow(std::move(b));
    b.dport(4);
    if (ranges.size() == 1 && ranges[0].first == ranges[0].second) b.equals(4, u16(ranges[0].first));
    else b.in(range_set(std::move(ranges)), 4);
    allow(std::move(b));
  }

  void named_port(RuleBuilder b, const PolicyPort& p, bool v6, bool check_family) {
    if (check_family) b.family(v6);
    b.protocol(p.protocol).daddr(v6, 4).dport(Reg(4 + words(v6))).in_set(port_set_name(p.protocol, p.name, v6), 4);
    allow(std::move(b));
  }

  Chain& chain_;
  const PolicyRule& rule_;
  bool ingress_;
};

Rule established() { return RuleBuilder().ct_state(kCtEstablished | kCtRelated).verdict(accept()).done(); }

Rule by_family(Direction d) {
  Set m = set_of({Type::Protocol});
  m.verdict_map = true;
  m.add(u8(2), jump(d.check(false)));
  m.add(u8(10), jump(d.check(true)));
  return RuleBuilder().add(Meta{Meta::Key::NfProto, 0}).vmap_in(std::move(m), 0).done();
}

// After the services' checks (priority 0), which refuse what has no endpoint.
void base_chain(Table& t, const std::string& name, Hook hook, int priority, Rule rest) {
  Chain c;
  c.base = BaseHook{"filter", hook, priority};
  c.rules = {established(), std::move(rest)};
  t.chains[name] = std::move(c);
}

void base_chains(Table& t, const std::vector<Ip>& local_ips) {
  base_chain(t, "policy-egress", Hook::Forward, 10, by_family(kEgress));
  base_chain(t, "policy-ingress", Hook::Forward, 11, by_family(kIngress));
  for (bool v6 : {false, true}) {
    t.sets[self_name(v6)] = set_of({address(v6), address(v6)});
    for (Direction d : {kEgress, kIngress}) {
      Set& pods = t.sets[d.pods_map(v6)] = set_of({address(v6)});
      pods.verdict_map = true;
      Chain& c = t.chains[d.check(v6)];
      c.rules.push_back(RuleBuilder().saddr(v6, 0).daddr(v6, words(v6)).in_set(self_name(v6), 0).verdict(accept()).done());
      RuleBuilder own;
      if (d.ingress) own.daddr(v6, 0);
      else own.saddr(v6, 0);
      c.rules.push_back(own.vmap(d.pods_map(v6), 0).done());
    }
    // What the node answers itself in the place of pods.
    Set local = set_of({address(v6)});
    for (const auto& ip : local_ips)
      if (ip.is_v6() == v6) local.add(ip.bytes());
    if (local.elements.empty()) continue;
    base_chain(t, of_family("policy-egress-local", v6), Hook::Input, 10,
               RuleBuilder().family(v6).daddr(v6, 0).in(std::move(local), 0).verdict(jump(kEgress.check(v6))).done());
  }
}

// The chain of those that these policies select, made where it is not there yet; its name.
std::string shared_chain(Table& t, Direction d, const std::vector<const Policy*>& policies) {
  std::string keys;
  for (const Policy* p : policies) keys += p->key + "\n";
  std::string name = d.name() + "-of/" + short_hash(keys);
  Chain& c = t.chains[name];
  if (!c.rules.empty()) return name;
  for (const Policy* p : policies) c.rules.push_back(RuleBuilder().verdict(jump(d.chain(*p))).done());
  c.rules.push_back(RuleBuilder().verdict(drop()).done());
  return name;
}

void isolate(Table& t, const PolicyView& view, const PolicyPod& pod) {
  for (Direction d : {kEgress, kIngress}) {
    std::vector<const Policy*> policies;
    for (const auto& [key, p] : view.policies)
      if (d.rules(*p) && p->selects(pod.ns, pod.labels)) policies.push_back(p.get());
    if (policies.empty()) continue;
    std::string chain = shared_chain(t, d, policies);
    for (const auto& ip : pod.ips) {
      t.sets[d.pods_map(ip.is_v6())].add(ip.bytes(), goto_(chain));
      t.sets[self_name(ip.is_v6())].add(key({ip.bytes(), ip.bytes()}));
    }
  }
}

}  // namespace

std::string PolicyPeer::set_name() const {
  std::string text = namespaces ? "?" + namespaces->to_string() : ns;
  return "policy-peer/" + short_hash(text + "\n" + pods.to_string() + (pods.selects_nothing() ? "\n" : "")) + "/";
}

bool PolicyPeer::matches(const std::string& pod_ns, const Labels& ns_labels, const Labels& pod_labels) const {
  return (namespaces ? namespaces->matches(ns_labels) : ns == pod_ns) && pods.matches(pod_labels);
}

PolicyView make_view(const std::map<std::string, std::shared_ptr<const Policy>>& policies, const std::map<std::string, PolicyPod>& local_pods) {
  PolicyView v;
  for (const auto& [key, p] : policies)
    for (const auto& [pod_key, pod] : local_pods)
      if (p->selects(pod.ns, pod.labels)) {
        v.policies.emplace(key, p);
        v.pods.emplace(pod_key, pod);
      }
  for (const auto& [key, p] : v.policies)
    for (const auto* rules : {&p->ingress, &p->egress})
      for (const auto& r : rules->value_or(std::vector<PolicyRule>())) {
        for (const auto& peer : r.peers) v.peers.emplace(peer.set_name(), peer);
        for (const auto& port : r.ports)
          if (!port.name.empty()) v.ports.emplace(port.protocol, port.name);
      }
  return v;
}

Table policy_part(const PolicyView& view, const std::vector<Ip>& local_ips) {
  Table t;
  if (view.policies.empty()) return t;
  base_chains(t, local_ips);
  for (bool v6 : {false, true}) {
    for (const auto& [name, peer] : view.peers) t.sets[of_family(name, v6)] = set_of({address(v6)});
    for (const auto& [protocol, name] : view.ports) t.sets[port_set_name(protocol, name, v6)] = set_of({address(v6), Type::Port});
  }
  for (const auto& [key, p] : view.policies)
    for (Direction d : {kEgress, kIngress})
      if (const auto& rules = d.rules(*p)) {
        Chain& c = t.chains[d.chain(*p)];
        for (const auto& r : *rules) RuleWriter(c, r, d.ingress).write();
      }
  for (const auto& [key, pod] : view.pods) isolate(t, view, pod);
  return t;
}

void add_peer(Table& t, const PolicyView& view, const PolicyPod& pod, const Labels& ns_labels, const PolicyView* but) {
  for (const auto& [name, peer] : view.peers) {
    if ((but && but->peers.count(name)) || !peer.matches(pod.ns, ns_labels, pod.labels)) continue;
    for (const auto& ip : pod.ips) t.sets[of_family(name, ip.is_v6())].add(ip.bytes());
  }
  for (const auto& port : pod.ports) {
    if (!view.ports.count({port.protocol, port.name}) || (but && but->ports.count({port.protocol, port.name}))) continue;
    for (const auto& ip : pod.ips) t.sets[port_set_name(port.protocol, port.name, ip.is_v6())].add(key({ip.bytes(), u16(port.port)}));
  }
}

}  // namespace onebin::proxy
