#include <onebin/proxy/ruleset.hpp>

#include <catch2/catch.hpp>

#include <algorithm>

using namespace onebin;
using namespace onebin::proxy;
namespace nft = onebin::network::nft;

namespace {

Ip ip(const char* text) { return *Ip::parse(text); }

NodeInfo node() {
  NodeInfo n;
  n.name = "n1";
  n.zone = "z1";
  n.ips = {ip("172.31.0.1")};
  n.pod_cidrs = {*Prefix::parse("10.42.0.0/24")};
  n.cluster_cidrs = {*Prefix::parse("10.42.0.0/16")};
  n.service_cidrs = {*Prefix::parse("10.43.0.0/16")};
  n.local_ips = {ip("10.43.0.10")};
  return n;
}

Endpoint ep(const char* address, bool local = false, bool ready = true) {
  Endpoint e;
  e.ip = ip(address);
  e.port = 8080;
  e.local = local;
  e.ready = e.serving = ready;
  return e;
}
Endpoint draining(const char* address, bool local) {
  Endpoint e = ep(address, local, false);
  e.serving = e.terminating = true;
  return e;
}

Service service(std::vector<Endpoint> endpoints) {
  Service s;
  s.key = "default/web";
  s.cluster_ips = {ip("10.43.0.5")};
  s.ports = {{"http", 6, 80, 0, std::move(endpoints)}};
  return s;
}

std::vector<std::string> ips(const std::vector<Endpoint>& list) {
  std::vector<std::string> r;
  for (const auto& e : list) r.push_back(e.ip.to_string());
  return r;
}
using Ips = std::vector<std::string>;

std::string text(const Service& s) { return describe(service_part(s, node())); }
bool has(const std::string& where, const std::string& what) { return where.find(what) != std::string::npos; }

}  // namespace

TEST_CASE("traffic policies choose ready endpoints, then those that still serve") {
  Service s = service({});
  auto choose = [&](std::vector<Endpoint> e) { return choose_endpoints(s, e, node()); };
  CHECK(ips(choose({ep("10.42.0.2", true), ep("10.42.1.2"), ep("10.42.1.3", false, false)}).cluster) == Ips{"10.42.0.2", "10.42.1.2"});
  CHECK(ips(choose({draining("10.42.0.2", true), ep("10.42.1.2")}).cluster) == Ips{"10.42.1.2"});
  CHECK(ips(choose({draining("10.42.0.2", true), ep("10.42.1.2", false, false)}).cluster) == Ips{"10.42.0.2"});
  CHECK_FALSE(choose({ep("10.42.1.2", false, false)}).any);

  s.internal_local = true;
  CHECK(choose({ep("10.42.0.2", true), ep("10.42.1.2")}).cluster.empty());
  CHECK(ips(choose({ep("10.42.0.2", true), ep("10.42.1.2")}).local) == Ips{"10.42.0.2"});
  CHECK(ips(choose({draining("10.42.0.2", true), ep("10.42.1.2")}).local) == Ips{"10.42.0.2"});
  CHECK(choose({ep("10.42.1.2")}).any);
  CHECK(choose({ep("10.42.1.2")}).local.empty());
}

TEST_CASE("topology hints hold when every ready endpoint has one and one is for us") {
  Service s = service({});
  Endpoint a = ep("10.42.0.2"), b = ep("10.42.1.2");
  a.zone_hints = {"z1"};
  b.zone_hints = {"z2"};
  CHECK(ips(choose_endpoints(s, {a, b}, node()).cluster) == Ips{"10.42.0.2"});
  Endpoint plain = ep("10.42.2.2");
  CHECK(ips(choose_endpoints(s, {a, b, plain}, node()).cluster).size() == 3);
  a.zone_hints = {"z3"};
  CHECK(ips(choose_endpoints(s, {a, b}, node()).cluster).size() == 2);
  a.node_hints = {"n1"};
  b.node_hints = {"n2"};
  CHECK(ips(choose_endpoints(s, {a, b}, node()).cluster) == Ips{"10.42.0.2"});
}

TEST_CASE("a cluster IP leads to its endpoints in one rule") {
  std::string t = text(service({ep("10.42.0.2", true), ep("10.42.1.2")}));
  INFO(t);
  CHECK(has(t, "map service-ips4 { 10.43.0.5 . tcp . 80 : goto cluster/default/web/tcp/http/4 }"));
  CHECK(has(t, "set cluster-ips4 { 10.43.0.5 }"));
  CHECK(has(t, "r4=random mod 2; r8=r4 map { 0 : 10.42.0.2 . 8080, 1 : 10.42.1.2 . 8080 }; dnat ip r8:r9"));
  CHECK(has(t, "set hairpin4 { 10.42.0.2 . 10.42.0.2 . tcp . 8080 }"));
  CHECK(has(t, "map no-endpoint-ips4 {}"));
}

TEST_CASE("without endpoints a service is refused, with none that may take it dropped") {
  CHECK(has(text(service({})), "map no-endpoint-ips4 { 10.43.0.5 . tcp . 80 : goto reject }"));
  Service s = service({ep("10.42.1.2")});
  s.internal_local = true;
  s.load_balancer_ips = {ip("192.168.9.9")};
  s.external_local = true;
  s.ports[0].node_port = 30080;
  std::string t = text(s);
  INFO(t);
  CHECK(has(t, "10.43.0.5 . tcp . 80 : drop"));
  CHECK(has(t, "192.168.9.9 . tcp . 80 : drop"));
  CHECK(has(t, "map node-ports4 { tcp . 30080 : goto external/default/web/tcp/http/4 }"));
  CHECK(has(t, "map no-endpoint-node-ports4 { tcp . 30080 : drop }"));
  CHECK(has(t, "goto cluster/default/web"));  // the node's own traffic still passes
}

TEST_CASE("an address that the node serves itself is left alone") {
  Service s = service({});
  s.cluster_ips = {ip("10.43.0.10")};
  std::string t = text(s);
  INFO(t);
  CHECK_FALSE(has(t, "10.43.0.10"));
  CHECK(has(describe(base_table(node())), "r0 in { 10.43.0.10 }; return"));
}

TEST_CASE("a service of both families has rules in both, and source ranges guard a balancer's address") {
  Service s = service({ep("10.42.0.2"), ep("fd42::2")});
  s.cluster_ips.push_back(ip("fd43::5"));
  s.load_balancer_ips = {ip("192.168.9.9")};
  s.load_balancer_source_ranges = {*Prefix::parse("172.31.0.0/24")};
  std::string t = text(s);
  INFO(t);
  CHECK(has(t, "map service-ips6 { fd43::5 . tcp . 80 : goto cluster/default/web/tcp/http/6 }"));
  CHECK(has(t, "dnat ip6 r8:r12"));
  CHECK(has(t, "map firewall-ips4 { 192.168.9.9 . tcp . 80 : goto firewall/default/web/tcp/http/4 }"));
  CHECK(has(t, "in { 192.168.9.9 . 192.168.9.9 }; return"));
  CHECK(has(t, "not in { 172.31.0.0, ..<172.31.1.0 }; drop"));
}

TEST_CASE("a node's address as a balancer's leads to the Service at its ports only") {
  Service s = service({ep("10.42.1.2")});
  s.cluster_ips.clear();
  s.load_balancer_ips = {ip("172.31.0.1"), ip("172.31.0.2")};
  s.load_balancer_source_ranges = {*Prefix::parse("172.31.0.1/32")};
  std::string t = text(s);
  INFO(t);
  CHECK(has(t, "map service-ips4 { 172.31.0.1 . tcp . 80 : goto external/default/web/tcp/http/4, 172.31.0.2 . tcp . 80 : goto external/default/web/tcp/http/4 }"));
  CHECK(has(t, "set cluster-ips4 {}"));
  // The other node is not let in because its address is one of the balancer's.
  CHECK(has(t, "in { 172.31.0.1 . 172.31.0.1, 172.31.0.2 . 172.31.0.2 }; return"));
  CHECK(has(t, "not in { 172.31.0.1, ..<172.31.0.2 }; drop"));
}

TEST_CASE("a change of one endpoint costs the rules of its service") {
  std::map<std::string, Service> all;
  for (int i = 0; i < 50; ++i) {
    Service s = service({ep("10.42.0.2"), ep("10.42.1.2")});
    s.key = "default/s" + std::to_string(i);
    s.cluster_ips = {Ip::v4(0x0a2b0100u + static_cast<std::uint32_t>(i))};
    all[s.key] = s;
  }
  nft::Table before = compute_ruleset(all, node());
  Service changed = all["default/s7"];
  changed.ports[0].endpoints.pop_back();
  nft::Difference part = difference(service_part(all["default/s7"], node()), service_part(changed, node()));
  CHECK(part.ops.size() == 2);  // flush one chain, write one rule
  all["default/s7"] = changed;
  CHECK(difference(before, compute_ruleset(all, node())).ops.size() == 2);
}
