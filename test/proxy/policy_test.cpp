#include "proxy/policy_state.hpp"

#include <onebin/api/codec.hpp>

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::proxy;
namespace nft = onebin::network::nft;
namespace core1 = onebin::api::core::v1;
namespace net1 = onebin::api::networking::v1;

namespace {

Ip ip(const char* text) { return *Ip::parse(text); }
Prefix prefix(const char* text) { return *Prefix::parse(text); }

// A policy of namespace "shop" unless the name says otherwise, from the JSON of its spec.
Policy policy(const std::string& spec, const std::string& key = "shop/p") {
  auto slash = key.find('/');
  auto p = api::from_json<net1::NetworkPolicy>(R"({"metadata":{"namespace":")" + key.substr(0, slash) + R"(","name":")" + key.substr(slash + 1) +
                                               R"("},"spec":)" + spec + "}");
  REQUIRE(p);
  return project_policy(*p);
}

PolicyPod pod(const char* ns, Labels labels, const char* address, bool local = false, std::vector<PolicyPod::Port> ports = {}) {
  PolicyPod p;
  p.ns = ns;
  p.labels = std::move(labels);
  p.ips = {ip(address)};
  p.local = local;
  p.ports = std::move(ports);
  return p;
}

struct Pods final : PolicyPods {
  std::map<std::string, PolicyPod> all;
  std::optional<PolicyPod> get(const std::string& key) const override {
    auto at = all.find(key);
    return at == all.end() ? std::nullopt : std::optional<PolicyPod>(at->second);
  }
  void for_each(const std::function<void(const std::string&, const PolicyPod&)>& fn) const override {
    for (const auto& [key, p] : all) fn(key, p);
  }
};

// A cluster as a node sees it. What take() gives is applied to `kernel`, which must then be what everything() would write.
struct Cluster {
  Pods pods;
  PolicyState state{pods, {ip("10.43.0.10")}};
  nft::Table kernel;

  void put(const std::string& key, std::optional<PolicyPod> now) {
    std::optional<PolicyPod> before = pods.get(key);
    if (now) pods.all[key] = *now;
    else pods.all.erase(key);
    state.change_pod(key, before, now);
  }
  nft::Difference step() {
    PolicyState::Change c = state.take();
    nft::Difference d = difference(c.from, c.to);
    for (const auto& [name, chain] : c.from.chains) kernel.chains.erase(name);
    for (const auto& [name, chain] : c.to.chains) kernel.chains[name] = chain;
    for (const auto& [name, set] : c.from.sets)
      if (!c.to.sets.count(name)) kernel.sets.erase(name);
    for (const auto& [name, set] : c.to.sets) {
      auto& into = kernel.sets.try_emplace(name, set).first->second;
      if (auto from = c.from.sets.find(name); from != c.from.sets.end())
        for (const auto& [k, e] : from->second.elements) into.elements.erase(k);
      for (const auto& [k, e] : set.elements) into.elements[k] = e;
    }
    return d;
  }
  std::string text() {
    step();
    std::string written = describe(kernel);
    CHECK(written == describe(state.everything()));
    return written;
  }
};

bool has(const std::string& where, const std::string& what) { return where.find(what) != std::string::npos; }
// The lines of one chain.
std::string chain(const std::string& table, const std::string& name) {
  auto at = table.find("chain " + name);
  if (at == std::string::npos) return "none";
  auto end = table.find("\nchain ", at);
  return table.substr(at, end == std::string::npos ? end : end - at);
}
std::string set_of(const std::string& table, const PolicyPeer& peer, const char* family = "4") {
  auto at = table.find(peer.set_name() + family + " ");
  if (at == std::string::npos) return "none";
  at = table.find('{', at);
  return table.substr(at, table.find('}', at) + 1 - at);
}

const char* kDenyAll = R"({"podSelector":{},"policyTypes":["Ingress","Egress"]})";

}  // namespace

TEST_CASE("policy types are as said, and without that ingress, and egress where there are rules of it") {
  CHECK(policy(R"({"podSelector":{}})").ingress);
  CHECK_FALSE(policy(R"({"podSelector":{}})").egress);
  CHECK(policy(R"({"podSelector":{},"egress":[{}]})").egress);
  Policy out = policy(R"({"podSelector":{},"policyTypes":["Egress"],"ingress":[{}]})");
  CHECK_FALSE(out.ingress);
  REQUIRE(out.egress);
  CHECK(out.egress->empty());
  Policy any = policy(R"({"podSelector":{},"ingress":[{}]})");
  CHECK(any.ingress->at(0).any_peer);
  CHECK(any.ingress->at(0).any_port);
}

TEST_CASE("peers are selected by pod, by namespace, by both, within the policy's namespace where none is named") {
  Policy p = policy(R"({"podSelector":{},"ingress":[{"from":[
    {"podSelector":{"matchLabels":{"app":"a"}}},
    {"namespaceSelector":{"matchLabels":{"team":"x"}}},
    {"namespaceSelector":{"matchLabels":{"team":"x"}},"podSelector":{"matchLabels":{"app":"a"}}},
    {"namespaceSelector":{}}, {"podSelector":{}}]}]})");
  const auto& peers = p.ingress->at(0).peers;
  REQUIRE(peers.size() == 5);
  auto who = [&](std::size_t i) {
    std::string r;
    for (const auto& [ns, team] : {std::pair<std::string, std::string>{"shop", "y"}, {"other", "x"}})
      for (const char* app : {"a", "b"})
        if (peers[i].matches(ns, {{"team", team}}, {{"app", app}})) r += ns + "." + app + " ";
    return r;
  };
  CHECK(who(0) == "shop.a ");
  CHECK(who(1) == "other.a other.b ");
  CHECK(who(2) == "other.a ");
  CHECK(who(3) == "shop.a shop.b other.a other.b ");
  CHECK(who(4) == "shop.a shop.b ");
  std::set<std::string> names;
  for (const auto& peer : peers) names.insert(peer.set_name());
  CHECK(names.size() == 5);
}

TEST_CASE("what is left of an address block without its exceptions") {
  CHECK(subtract(prefix("10.0.0.0/8"), {}) == std::vector<Prefix>{prefix("10.0.0.0/8")});
  CHECK(subtract(prefix("10.0.0.0/30"), {prefix("10.0.0.1/32")}) == std::vector<Prefix>{prefix("10.0.0.0/32"), prefix("10.0.0.2/31")});
  CHECK(subtract(prefix("10.0.0.0/30"), {prefix("10.0.0.0/31"), prefix("10.0.0.2/31")}).empty());
  CHECK(subtract(prefix("10.0.0.0/24"), {prefix("10.0.0.0/16")}).empty());
  CHECK(subtract(prefix("10.0.0.0/24"), {prefix("10.0.1.0/24")}) == std::vector<Prefix>{prefix("10.0.0.0/24")});
  CHECK(subtract(prefix("fd00::/126"), {prefix("fd00::3/128")}) == std::vector<Prefix>{prefix("fd00::/127"), prefix("fd00::2/128")});
  auto all = subtract(prefix("0.0.0.0/0"), {prefix("10.42.0.0/16")});
  CHECK(all.size() == 16);
  auto inside = [&](const char* a) { return std::any_of(all.begin(), all.end(), [&](const Prefix& p) { return p.contains(ip(a)); }); };
  CHECK((inside("10.41.255.255") && inside("10.43.0.0") && inside("255.255.255.255") && inside("0.0.0.0")));
  CHECK_FALSE((inside("10.42.0.0") || inside("10.42.255.255")));
}

TEST_CASE("pods that have ended, are on the host's network or have no address are left out") {
  auto parse = [](const std::string& json) { return *api::from_json<core1::Pod>(json); };
  core1::Pod p = parse(R"({"metadata":{"namespace":"shop","name":"a","resourceVersion":"7","labels":{"app":"a"},"annotations":{"x":"y"}},
    "spec":{"nodeName":"n1","containers":[{"name":"c","image":"i","ports":[{"name":"http","containerPort":8080},{"containerPort":9}]}],
    "initContainers":[{"name":"i","ports":[{"name":"no","containerPort":1}]},{"name":"s","restartPolicy":"Always","ports":[{"name":"side","containerPort":53,"protocol":"UDP"}]}]},
    "status":{"phase":"Running","podIPs":[{"ip":"10.42.0.5"},{"ip":"fd42::5"}]}})");
  auto out = project_pod(p, "n1");
  REQUIRE(out);
  CHECK(out->local);
  CHECK(out->ips.size() == 2);
  CHECK(out->ports == std::vector<PolicyPod::Port>{{"http", 6, 8080}, {"side", 17, 53}});
  // What a node keeps of a pod says the same, and is less.
  core1::Pod less = reduced(p);
  CHECK(project_pod(less, "n1") == out);
  CHECK(less.metadata.name == "a");
  CHECK(less.metadata.resource_version == "7");
  CHECK(less.metadata.annotations.empty());
  CHECK(reduced(less) == less);
  CHECK_FALSE(project_pod(p, "n2")->local);
  p.status.phase = "Succeeded";
  CHECK_FALSE(project_pod(p, "n1"));
  CHECK_FALSE(project_pod(reduced(p), "n1"));
  p.status.phase = "Running";
  p.spec.host_network = true;
  CHECK_FALSE(project_pod(reduced(p), "n1"));
  p.spec.host_network = false;
  p.status.pod_ips.clear();
  CHECK_FALSE(project_pod(p, "n1"));
}

TEST_CASE("without a policy that selects a pod of this node nothing is written") {
  Cluster c;
  c.put("shop/a", pod("shop", {{"app", "a"}}, "10.42.0.2", true));
  CHECK(c.text().empty());
  c.state.set_policy("shop/p", policy(R"({"podSelector":{"matchLabels":{"app":"b"}}})"));
  c.state.set_policy("other/p", policy(kDenyAll, "other/p"));
  c.put("shop/b", pod("shop", {{"app", "b"}}, "10.42.1.2"));
  CHECK(c.text().empty());
  c.put("shop/b2", pod("shop", {{"app", "b"}}, "10.42.0.3", true));
  CHECK(has(c.text(), "chain policy-ingress/shop/p"));
}

TEST_CASE("a selected pod is closed in the directions that its policies are about, but for itself") {
  Cluster c;
  c.put("shop/a", pod("shop", {}, "10.42.0.2", true));
  c.state.set_policy("shop/p", policy(R"({"podSelector":{}})"));
  std::string t = c.text();
  INFO(t);
  CHECK(has(t, "map policy-ingress-pods4 { 10.42.0.2 : goto policy-ingress-of/"));
  CHECK(has(t, "map policy-egress-pods4 {}"));
  CHECK(has(t, "set policy-self4 { 10.42.0.2 . 10.42.0.2 }"));
  CHECK(has(t, "jump policy-ingress/shop/p\n  drop\n"));
  CHECK(chain(t, "policy-ingress/shop/p") == "chain policy-ingress/shop/p");
  CHECK(chain(t, "policy-egress/shop/p") == "none");
  CHECK(has(chain(t, "policy-ingress4"), "in @policy-self4; accept\n"));
  CHECK(has(chain(t, "policy-ingress (filter forward 11)"), "accept\n"));

  // Two policies: both are asked, in one chain that pods share.
  c.state.set_policy("shop/q", policy(kDenyAll, "shop/q"));
  c.put("shop/b", pod("shop", {}, "10.42.0.3", true));
  t = c.text();
  CHECK(has(t, "jump policy-ingress/shop/p\n  jump policy-ingress/shop/q\n  drop\n"));
  CHECK(has(t, "jump policy-egress/shop/q\n  drop\n"));
  auto first = t.find("policy-ingress-of/"), second = t.find("policy-ingress-of/", first + 1);
  CHECK(t.substr(first, 34) == t.substr(second, 34));

  c.state.set_policy("shop/p", std::nullopt);
  c.state.set_policy("shop/q", std::nullopt);
  CHECK(c.text().empty());
}

TEST_CASE("ports: numbers, ranges, whole protocols, and names of the destination's ports") {
  Cluster c;
  c.put("shop/a", pod("shop", {{"app", "a"}}, "10.42.0.2", true, {{"http", 6, 8080}}));
  c.put("shop/b", pod("shop", {{"app", "b"}}, "10.42.1.2", false, {{"http", 6, 80}, {"http", 17, 81}}));
  c.state.set_policy("shop/p", policy(R"({"podSelector":{"matchLabels":{"app":"a"}},"ingress":[
    {"ports":[{"protocol":"TCP","port":80}]},
    {"ports":[{"protocol":"TCP","port":81},{"protocol":"TCP","port":90,"endPort":99},{"protocol":"TCP","port":95,"endPort":110},{"protocol":"UDP","port":65000,"endPort":65535}]},
    {"ports":[{"protocol":"SCTP"}]},
    {"ports":[{"protocol":"TCP","port":"http"}]}]})"));
  std::string t = c.text();
  INFO(t);
  std::string rules = chain(t, "policy-ingress/shop/p");
  CHECK(has(rules, "==0x06; r4=th[2,2]; r4==0x0050; accept"));
  CHECK(has(rules, "==0x06; r4=th[2,2]; r4 in { 81, ..<82, 90, ..<111 }; accept"));
  CHECK(has(rules, "==0x11; r4=th[2,2]; r4 in { 65000 }; accept"));
  CHECK(has(rules, "==0x84; accept"));
  CHECK(has(rules, "in @policy-port/6/http/4; accept"));
  CHECK(has(rules, "in @policy-port/6/http/6; accept"));
  CHECK(has(t, "set policy-port/6/http/4 { 10.42.0.2 . 8080, 10.42.1.2 . 80 }"));
  CHECK_FALSE(has(t, "policy-port/17"));
}

TEST_CASE("peers' addresses follow pods, their labels and their namespaces' labels") {
  Cluster c;
  c.put("shop/a", pod("shop", {{"app", "a"}}, "10.42.0.2", true));
  c.put("x/b", pod("x", {{"app", "b"}}, "10.42.1.2"));
  c.state.set_namespace("x", Labels{{"team", "x"}});
  Policy p = policy(R"({"podSelector":{"matchLabels":{"app":"a"}},"ingress":[{"from":[
    {"namespaceSelector":{"matchLabels":{"team":"x"}},"podSelector":{"matchLabels":{"app":"b"}}},
    {"ipBlock":{"cidr":"192.168.0.0/24","except":["192.168.0.128/25"]}},{"ipBlock":{"cidr":"fd00::/64"}}]}]})");
  PolicyPeer peer = p.ingress->at(0).peers.at(0);
  c.state.set_policy("shop/p", p);
  std::string t = c.text();
  INFO(t);
  CHECK(set_of(t, peer) == "{ 10.42.1.2 }");
  CHECK(has(chain(t, "policy-ingress/shop/p"), "r0 in { 192.168.0.0, ..<192.168.0.128 }; accept"));
  CHECK(has(chain(t, "policy-ingress/shop/p"), "r0 in { fd00::, ..<fd00:0:0:1:: }; accept"));

  c.put("x/c", pod("x", {{"app", "b"}}, "10.42.2.2"));
  nft::Difference d = c.step();
  REQUIRE(d.ops.size() == 1);  // one element
  CHECK(has(d.ops[0].describe(), "10.42.2.2"));
  c.put("x/b", pod("x", {{"app", "c"}}, "10.42.1.2"));
  CHECK(set_of(c.text(), peer) == "{ 10.42.2.2 }");
  c.state.set_namespace("x", Labels{{"team", "z"}});
  CHECK(set_of(c.text(), peer) == "{}");
  c.state.set_namespace("x", Labels{{"team", "x"}});
  c.put("x/c", std::nullopt);
  c.put("x/b", pod("x", {{"app", "b"}}, "10.42.1.2"));
  CHECK(set_of(c.text(), peer) == "{ 10.42.1.2 }");
  // A pod that no set holds costs nothing.
  c.put("y/d", pod("y", {{"app", "b"}}, "10.42.3.2"));
  CHECK(c.step().ops.empty());
}

TEST_CASE("an address that one pod gives up and another has stays where the other belongs") {
  Cluster c;
  c.put("shop/a", pod("shop", {{"app", "a"}}, "10.42.0.2", true));
  Policy p = policy(R"({"podSelector":{"matchLabels":{"app":"a"}},"ingress":[{"from":[{"podSelector":{"matchLabels":{"app":"b"}}}]}]})");
  c.state.set_policy("shop/p", p);
  c.put("shop/old", pod("shop", {{"app", "b"}}, "10.42.1.2"));
  (void)c.text();
  c.put("shop/new", pod("shop", {{"app", "b"}}, "10.42.1.2"));
  (void)c.text();
  c.put("shop/old", std::nullopt);
  CHECK(set_of(c.text(), p.ingress->at(0).peers.at(0)) == "{ 10.42.1.2 }");
  c.put("shop/new", std::nullopt);
  CHECK(set_of(c.text(), p.ingress->at(0).peers.at(0)) == "{}");
}

TEST_CASE("policies that come, change and go: only what differs is written, and sets that nobody names go") {
  Cluster c;
  c.put("shop/a", pod("shop", {{"app", "a"}}, "10.42.0.2", true));
  c.put("shop/b", pod("shop", {{"app", "b"}}, "10.42.1.2"));
  const char* by_b = R"({"podSelector":{},"ingress":[{"from":[{"podSelector":{"matchLabels":{"app":"b"}}}]}]})";
  Policy p = policy(by_b), q = policy(by_b, "shop/q");
  PolicyPeer peer = p.ingress->at(0).peers.at(0);
  c.state.set_policy("shop/p", p);
  CHECK(set_of(c.text(), peer) == "{ 10.42.1.2 }");
  c.state.set_policy("shop/q", q);
  nft::Difference d = c.step();
  for (const auto& op : d.ops) CHECK_FALSE(op.kind == nft::Op::Kind::AddSet);
  c.state.set_policy("shop/p", std::nullopt);
  CHECK(set_of(c.text(), peer) == "{ 10.42.1.2 }");
  c.state.set_policy("shop/q", policy(R"({"podSelector":{},"ingress":[{}]})", "shop/q"));
  std::string t = c.text();
  CHECK(set_of(t, peer) == "none");
  CHECK(chain(t, "policy-ingress/shop/p") == "none");
  CHECK(chain(t, "policy-ingress/shop/q") == "chain policy-ingress/shop/q\n  accept");
  c.state.set_policy("shop/q", policy(R"({"podSelector":{},"ingress":[{}]})", "shop/q"));
  CHECK_FALSE(c.state.changed());
}

TEST_CASE("the node's DNS is governed as the pods of kube-dns are, by ports' numbers and names") {
  Cluster c;
  c.put("shop/a", pod("shop", {}, "10.42.0.2", true));
  c.state.set_namespace("kube-system", Labels{{"kubernetes.io/metadata.name", "kube-system"}});
  c.state.set_policy("shop/deny", policy(R"({"podSelector":{},"policyTypes":["Egress"]})", "shop/deny"));
  std::string t = c.text();
  INFO(t);
  CHECK(has(chain(t, "policy-egress-local4 (filter input 10)"), "r0 in { 10.43.0.10 }; jump policy-egress4"));
  Policy dns = policy(R"({"podSelector":{},"policyTypes":["Egress"],"egress":[{"ports":[{"protocol":"UDP","port":53},{"protocol":"TCP","port":"dns-tcp"}],
    "to":[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"kube-system"}},"podSelector":{"matchLabels":{"k8s-app":"kube-dns"}}}]}]})");
  c.state.set_policy("shop/p", dns);
  t = c.text();
  CHECK(set_of(t, dns.egress->at(0).peers.at(0)) == "{ 10.43.0.10 }");
  CHECK(has(t, "set policy-port/6/dns-tcp/4 { 10.43.0.10 . 53 }"));
  c.state.set_namespace("kube-system", Labels{});
  CHECK(set_of(c.text(), dns.egress->at(0).peers.at(0)) == "{}");
}
