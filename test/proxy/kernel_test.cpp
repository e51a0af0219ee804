#include "../network/node_fixture.hpp"

#include <onebin/network/host.hpp>
#include <onebin/network/pod_network.hpp>
#include <onebin/proxy/ruleset.hpp>

#include <catch2/catch.hpp>

#include <chrono>
#include <set>

using namespace onebin;
using namespace onebin::network;
using namespace onebin::proxy;
using namespace onebin::test;

namespace {

Ip ip(const char* text) { return *Ip::parse(text); }

Endpoint ep(const Ip& address, std::uint16_t port, bool local = true) {
  Endpoint e;
  e.ip = address;
  e.port = port;
  e.local = local;
  return e;
}

// A node with an uplink to a client outside of the cluster, two pods with servers, and rules for services.
struct Cluster {
  TestNode node{"proxy"}, client{"client"};
  std::string run_dir = "/tmp/obt-net-proxy-" + std::to_string(::getpid());
  std::unique_ptr<PodNetwork> network;
  std::unique_ptr<nft::Socket> socket;
  std::unique_ptr<nft::TableKeeper> keeper;
  PodNetworkInfo a, b;
  NodeInfo info;
  std::map<std::string, Service> services;

  explicit Cluster(bool v6 = false) {
    shell("rm -rf " + run_dir);
    join_nodes(node, "172.31.0.1/24", client, "172.31.0.2/24");
    node.call([&] {
      PodNetworkConfig c;
      c.run_dir = run_dir;
      c.node_ip = ip("172.31.0.1");
      c.cluster_cidrs = {*Prefix::parse("10.42.0.0/16"), *Prefix::parse("fd42::/48")};
      auto n = make_pod_network(c);
      REQUIRE(n);
      network = std::move(*n);
      socket = std::move(*nft::Socket::open());
      keeper = std::make_unique<nft::TableKeeper>(*socket, "onebin");
      REQUIRE(ensure_service_route(*Prefix::parse("10.43.0.0/16"), 1450));
      if (v6) REQUIRE(ensure_service_route(*Prefix::parse("fd43::/112"), 1450));
    });
    std::vector<Prefix> pods{*Prefix::parse("10.42.0.0/24")};
    if (v6) pods.push_back(*Prefix::parse("fd42::/64"));
    REQUIRE(node.await<Result<void>>([&] { return network->set_pod_cidrs(pods); }));
    a = pod("a");
    b = pod("b");
    info.name = "n1";
    info.ips = {ip("172.31.0.1")};
    info.pod_cidrs = pods;
    info.cluster_cidrs = {*Prefix::parse("10.42.0.0/16"), *Prefix::parse("fd42::/48")};
    info.service_cidrs = {*Prefix::parse("10.43.0.0/16"), *Prefix::parse("fd43::/112")};
    node.call([&] {
      auto r = keeper->replace(base_table(info));
      INFO(r.status().to_string());
      REQUIRE(r);
    });
  }
  ~Cluster() {
    for (const char* uid : {"a", "b"}) (void)node.await<Result<void>>([&] { return network->teardown(uid); });
    node.call([&] { keeper.reset(); socket.reset(); network.reset(); });
    shell("rm -rf " + run_dir);
  }
  PodNetworkInfo pod(std::string uid) {
    PodNetworkRequest r;
    r.pod_key = r.pod_uid = uid;
    auto p = node.await<Result<PodNetworkInfo>>([&] { return network->setup(r); });
    REQUIRE(p);
    return *p;
  }
  void set(const Service& s) {
    node.call([&] {
      auto r = keeper->update(service_part(services[s.key], info), service_part(s, info));
      INFO(r.status().to_string());
      REQUIRE(r);
      services[s.key] = s;
    });
  }
  std::string node_path() const { return "/run/netns/" + node.name(); }
  std::string client_path() const { return "/run/netns/" + client.name(); }
};

std::string serve(int port, const std::string& answer) {
  return "exec socat TCP-LISTEN:" + std::to_string(port) + ",fork,reuseaddr SYSTEM:\"echo " + answer + " \\$SOCAT_PEERADDR\"";
}
// The answer, or the reason why there is none.
std::string fetch(const std::string& netns, const std::string& address) {
  Shell r = shell("nsenter --net=" + netns + " timeout 15 socat -t10 -T10 - TCP:" + address + ",connect-timeout=3 </dev/null");
  if (r.out.find("refused") != std::string::npos) return "refused";
  if (r.code == 124 || r.out.find("imed out") != std::string::npos) return "timeout";
  while (!r.out.empty() && r.out.back() == '\n') r.out.pop_back();
  return r.out;
}
std::set<std::string> fetch_many(const std::string& netns, const std::string& address, int n = 16) {
  std::set<std::string> r;
  for (int i = 0; i < n; ++i) r.insert(fetch(netns, address));
  return r;
}
using Answers = std::set<std::string>;

Service web(const Cluster& c) {
  Service s;
  s.key = "default/web";
  s.cluster_ips = {ip("10.43.0.5")};
  s.ports = {{"http", 6, 80, 30080, {ep(c.a.ips[0], 8080), ep(c.b.ips[0], 8080)}}};
  return s;
}

}  // namespace

TEST_CASE("services work in the kernel: cluster IP, node port, balancer, refusal, hairpin, policies") {
  if (!can_make_namespaces()) { WARN("no namespaces here"); return; }
  Cluster c;
  Background sa(c.a.netns_path, serve(8080, "a")), sb(c.b.netns_path, serve(8080, "b"));
  REQUIRE(wait_listening(c.a.netns_path, 8080));
  REQUIRE(wait_listening(c.b.netns_path, 8080));
  Service s = web(c);
  c.set(s);

  // From the node, without a default route.
  Answers from_node = fetch_many(c.node_path(), "10.43.0.5:80");
  CHECK(from_node == Answers{"a 172.31.0.1", "b 172.31.0.1"});
  // From a pod: the other pod sees its address; itself sees the node's, or it would answer behind the node's back.
  Answers from_pod = fetch_many(c.a.netns_path, "10.43.0.5:80");
  CHECK(from_pod.count("b 10.42.0.1") == 1);
  CHECK(from_pod.size() == 2);
  CHECK(from_pod.count("a 10.42.0.1") == 0);
  // Another port of a cluster IP is refused, an address without a service silent.
  CHECK(fetch(c.a.netns_path, "10.43.0.5:81") == "refused");
  CHECK(fetch(c.node_path(), "10.43.0.5:81") == "refused");
  CHECK(fetch(c.a.netns_path, "10.43.0.6:80") == "timeout");
  // Node port, from outside, from the node, from a pod; not on loopback.
  CHECK(fetch_many(c.client_path(), "172.31.0.1:30080").size() == 2);
  CHECK(fetch_many(c.node_path(), "172.31.0.1:30080").size() == 2);
  CHECK(fetch_many(c.a.netns_path, "172.31.0.1:30080").size() == 2);
  CHECK(fetch(c.node_path(), "127.0.0.1:30080") == "refused");

  // Local policy keeps the client's address.
  s.external_local = true;
  s.load_balancer_ips = {ip("192.168.77.7")};
  c.set(s);
  shell("ip -n " + c.client.name() + " route replace 192.168.77.7 via 172.31.0.1");
  CHECK(fetch_many(c.client_path(), "172.31.0.1:30080") == Answers{"a 172.31.0.2", "b 172.31.0.2"});
  CHECK(fetch_many(c.client_path(), "192.168.77.7:80") == Answers{"a 172.31.0.2", "b 172.31.0.2"});
  s.load_balancer_source_ranges = {*Prefix::parse("172.31.9.0/24")};
  c.set(s);
  CHECK(fetch(c.client_path(), "192.168.77.7:80") == "timeout");
  CHECK(fetch(c.client_path(), "172.31.0.1:30080").size() == 12);
  s.load_balancer_source_ranges = {};

  // No endpoint here: dropped for others, elsewhere for the node's own.
  for (auto& e : s.ports[0].endpoints) e.local = false;
  c.set(s);
  CHECK(fetch(c.client_path(), "172.31.0.1:30080") == "timeout");
  CHECK(fetch_many(c.node_path(), "172.31.0.1:30080").size() == 2);
  CHECK(fetch_many(c.b.netns_path, "172.31.0.1:30080").size() == 2);

  // None at all: refused at once, everywhere.
  s.ports[0].endpoints.clear();
  c.set(s);
  for (const auto& from : {c.node_path(), c.a.netns_path}) CHECK(fetch(from, "10.43.0.5:80") == "refused");
  for (const auto& from : {c.node_path(), c.a.netns_path, c.client_path()}) CHECK(fetch(from, "172.31.0.1:30080") == "refused");
  shell("ip -n " + c.node.name() + " addr add 192.168.77.7/32 dev up0");
  CHECK(fetch(c.client_path(), "192.168.77.7:80") == "refused");

  // Gone: nothing of it is left but chains that wait to be collected.
  Service none;
  none.key = s.key;
  c.set(none);
  CHECK(c.keeper->has_stale());
  c.node.call([&] { CHECK(c.keeper->collect()); });
  CHECK(c.node.sh("nft list table inet onebin").out.find("default/web") == std::string::npos);
}

TEST_CASE("session affinity holds a client to its endpoint while it is one") {
  if (!can_make_namespaces()) { WARN("no namespaces here"); return; }
  Cluster c;
  Background sa(c.a.netns_path, serve(8080, "a")), sb(c.b.netns_path, serve(8080, "b"));
  REQUIRE(wait_listening(c.a.netns_path, 8080));
  REQUIRE(wait_listening(c.b.netns_path, 8080));
  Service s = web(c);
  s.affinity_seconds = 60;
  c.set(s);
  Answers first = fetch_many(c.client_path(), "172.31.0.1:30080");
  REQUIRE(first.size() == 1);
  bool on_a = first.begin()->substr(0, 1) == "a";
  CHECK(fetch_many(c.node_path(), "10.43.0.5:80").size() == 1);
  // Its endpoint goes away: the other one takes over; it comes back: the client stays.
  auto both = s.ports[0].endpoints;
  s.ports[0].endpoints = {on_a ? both[1] : both[0]};
  c.set(s);
  Answers second = fetch_many(c.client_path(), "172.31.0.1:30080", 4);
  REQUIRE(second.size() == 1);
  CHECK(second != first);
  s.ports[0].endpoints = both;
  c.set(s);
  CHECK(fetch_many(c.client_path(), "172.31.0.1:30080") == second);
}

TEST_CASE("IPv6 services, beside IPv4 ones") {
  if (!can_make_namespaces()) { WARN("no namespaces here"); return; }
  Cluster c(true);
  REQUIRE(c.a.ips.size() == 2);
  for (auto& n : {&c.node, &c.client}) shell("ip -n " + n->name() + " addr add fd31::" + (n == &c.node ? "1" : "2") + "/64 dev up0 nodad");
  std::string server = "exec socat TCP6-LISTEN:8080,fork,reuseaddr SYSTEM:\"echo ";
  Background sa(c.a.netns_path, server + "a \\$SOCAT_PEERADDR\""), sb(c.b.netns_path, server + "b \\$SOCAT_PEERADDR\"");
  REQUIRE(wait_listening(c.a.netns_path, 8080));
  REQUIRE(wait_listening(c.b.netns_path, 8080));
  Service s = web(c);
  s.cluster_ips.push_back(ip("fd43::5"));
  for (const auto* p : {&c.a, &c.b}) s.ports[0].endpoints.push_back(ep(p->ips[1], 8080));
  c.set(s);
  CHECK(fetch_many(c.node_path(), "[fd43::5]:80").size() == 2);
  CHECK(fetch_many(c.node_path(), "10.43.0.5:80").size() == 2);
  Answers from_pod = fetch_many(c.a.netns_path, "[fd43::5]:80");
  CHECK(from_pod.count("b [fd42:0000:0000:0000:0000:0000:0000:0001]") == 1);
  CHECK(from_pod.size() == 2);  // the other one is itself, by way of the node
  CHECK(fetch_many(c.client_path(), "[fd31::1]:30080").size() == 2);
  CHECK(fetch(c.a.netns_path, "[fd43::5]:81") == "refused");
  CHECK(fetch(c.node_path(), "[fd43::5]:81") == "refused");
  // The node's own addresses as the balancer's: at the Service's port only, and for whom the ranges let in.
  s.load_balancer_ips = {ip("fd31::1"), ip("172.31.0.1")};
  c.set(s);
  for (const char* address : {"[fd31::1]", "172.31.0.1"}) {
    CHECK(fetch_many(c.client_path(), address + std::string(":80")).size() == 2);
    CHECK(fetch_many(c.node_path(), address + std::string(":80")).size() == 2);
    CHECK(fetch(c.client_path(), address + std::string(":81")) == "refused");
  }
  s.load_balancer_source_ranges = {*Prefix::parse("172.31.0.1/32")};
  c.set(s);
  for (const char* address : {"[fd31::1]", "172.31.0.1"}) {
    CHECK(fetch(c.client_path(), address + std::string(":80")) == "timeout");
    CHECK(fetch_many(c.node_path(), address + std::string(":80")).size() == 2);
  }
  s.load_balancer_source_ranges = {};
  s.affinity_seconds = 60;
  c.set(s);
  CHECK(fetch_many(c.client_path(), "[fd31::1]:30080").size() == 1);
  s.ports[0].endpoints.clear();
  c.set(s);
  CHECK(fetch(c.a.netns_path, "[fd43::5]:80") == "refused");
  CHECK(fetch(c.client_path(), "[fd31::1]:30080") == "refused");
}

TEST_CASE("a thousand services: the whole table and one change") {
  if (!can_make_namespaces()) { WARN("no namespaces here"); return; }
  TestNode node("bulk");
  node.call([&] {
    auto socket = std::move(*nft::Socket::open());
    nft::TableKeeper keeper(*socket, "onebin");
    NodeInfo info;
    info.service_cidrs = {*Prefix::parse("10.43.0.0/16")};
    std::map<std::string, Service> all;
    for (std::uint32_t i = 0; i < 1000; ++i) {
      Service s;
      s.key = "default/s" + std::to_string(i);
      s.cluster_ips = {Ip::v4(0x0a2b0100u + i)};
      s.ports = {{"http", 6, 80, static_cast<std::uint16_t>(30000 + i), {}}};
      for (std::uint32_t e = 0; e < 5; ++e) s.ports[0].endpoints.push_back(ep(Ip::v4(0x0a2a0000u + i * 8 + e), 8080));
      all[s.key] = s;
    }
    using Clock = std::chrono::steady_clock;
    using Ms = std::chrono::duration<double, std::milli>;
    auto start = Clock::now();
    nft::Table t = compute_ruleset(all, info);
    auto computed = Clock::now();
    auto r = keeper.replace(t);
    INFO(r.status().to_string().substr(0, 300));
    REQUIRE(r);
    auto replaced = Clock::now();
    Service changed = all["default/s500"];
    changed.ports[0].endpoints.pop_back();
    REQUIRE(keeper.update(service_part(all["default/s500"], info), service_part(changed, info)));
    auto updated = Clock::now();
    std::printf("1000 services of 5 endpoints: compute %.1f ms, replace %.1f ms, one change %.2f ms\n", Ms(computed - start).count(),
                Ms(replaced - computed).count(), Ms(updated - replaced).count());
  });
}
