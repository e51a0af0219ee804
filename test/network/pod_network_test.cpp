#include <onebin/network/pod_network.hpp>

#include "node_fixture.hpp"

#include <onebin/base/file.hpp>

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::network;
using namespace onebin::test;

namespace {

struct Net {
  TestNode& node;
  PodNetworkConfig config;
  std::unique_ptr<PodNetwork> network;

  Net(TestNode& n, std::string run_dir) : node(n) {
    config.run_dir = std::move(run_dir);
    config.cluster_cidrs = {*Prefix::parse("10.42.0.0/16"), *Prefix::parse("fd42::/48")};
    open();
  }
  ~Net() { close(); }
  void open() {
    node.call([&] {
      auto r = make_pod_network(config);
      INFO(r.status().to_string());
      REQUIRE(r);
      network = std::move(*r);
    });
  }
  void close() { node.call([&] { network.reset(); }); }
  Result<void> cidrs(std::vector<Prefix> c) { return node.await<Result<void>>([&] { return network->set_pod_cidrs(c); }); }
  Result<PodNetworkInfo> setup(PodNetworkRequest r) { return node.await<Result<PodNetworkInfo>>([&] { return network->setup(r); }); }
  Result<void> teardown(std::string uid) { return node.await<Result<void>>([&] { return network->teardown(uid); }); }
  Result<std::vector<std::string>> reconcile(std::vector<std::string> live) {
    return node.await<Result<std::vector<std::string>>>([&] { return network->reconcile(live); });
  }
};

PodNetworkRequest pod(const std::string& uid) {
  PodNetworkRequest r;
  r.pod_key = "default/" + uid;
  r.pod_uid = uid;
  return r;
}

std::string run_dir() {
  std::string d = "/tmp/obt-net-run-" + std::to_string(::getpid());
  shell("rm -rf " + d);
  return d;
}

std::string tcp_server(int port, const std::string& answer) {
  return "exec socat -T5 TCP6-LISTEN:" + std::to_string(port) + ",fork,reuseaddr SYSTEM:\"echo " + answer + " \\$SOCAT_PEERADDR\"";
}
std::string in(const std::string& netns, const std::string& cmd) { return "nsenter --net=" + netns + " " + cmd; }
async::Task<Result<void>> end_group(async::TaskGroup* group) {
  group->cancel();
  co_await group->join();
  co_return Result<void>();
}
std::string fetch(const std::string& netns, const std::string& address) {
  return shell(in(netns, "timeout 15 socat -t10 -T10 - TCP:" + address + ",connect-timeout=3 </dev/null")).out;
}

}  // namespace

TEST_CASE("pods on one node reach each other, the node, and are reached by it") {
  if (!can_make_namespaces()) { WARN("no namespaces here"); return; }
  TestNode node("pods");
  give_uplink(node);
  Net net(node, run_dir());
  CHECK_FALSE(net.network->ready());
  CHECK(net.setup(pod("a")).is(Reason::ServiceUnavailable));
  REQUIRE(net.cidrs({*Prefix::parse("10.42.0.0/24"), *Prefix::parse("fd42::/64")}));
  REQUIRE(net.network->ready());

  PodNetworkRequest ra = pod("a");
  ra.sysctls["net.ipv4.ip_unprivileged_port_start"] = "1";
  ra.host_ports = {{*Ip::parse("127.0.0.1"), 7001, 8080, "TCP"}, {{}, 7002, 8080, "TCP"}};
  auto a = net.setup(ra);
  INFO(a.status().to_string());
  REQUIRE(a);
  auto b = net.setup(pod("b"));
  REQUIRE(b);
  CHECK(a->ips[0].to_string() == "10.42.0.1");
  CHECK(a->ips[1].to_string() == "fd42::1");
  CHECK(b->ips[0].to_string() == "10.42.0.2");
  auto again = net.setup(ra);
  REQUIRE(again);
  CHECK(*again == *a);
  CHECK(net.network->list().size() == 2);
  CHECK(shell(in(a->netns_path, "sysctl -n net.ipv4.ip_unprivileged_port_start")).out == "1\n");
  CHECK(shell(in(a->netns_path, "cat /sys/class/net/eth0/mtu")).code == 0);
  CHECK(shell(in(a->netns_path, "ip -o link show eth0")).out.find("mtu 1450") != std::string::npos);

  Background server(a->netns_path, tcp_server(8080, "hello"));
  REQUIRE(wait_listening(a->netns_path, 8080));
  CHECK(fetch(b->netns_path, "10.42.0.1:8080") == "hello [0000:0000:0000:0000:0000:ffff:0a2a:0002]\n");
  CHECK(fetch(b->netns_path, "[fd42::1]:8080") == "hello [fd42:0000:0000:0000:0000:0000:0000:0002]\n");
  CHECK(shell("ip netns exec " + node.name() + " timeout 15 socat -t10 - TCP:10.42.0.1:8080 </dev/null").out.find("hello") == 0);
  CHECK(shell("ip netns exec " + node.name() + " timeout 15 socat -t10 - TCP:[fd42::1]:8080 </dev/null").out.find("hello") == 0);
  std::string node_path = "/run/netns/" + node.name();
  // Host ports: by loopback from the node, by an address of the node from it and from another pod and from itself.
  CHECK(fetch(node_path, "127.0.0.1:7001").find("hello") == 0);
  CHECK(fetch(node_path, "127.0.0.1:7002").find("hello") == 0);
  CHECK(fetch(node_path, "172.31.0.1:7002").find("hello") == 0);
  CHECK(fetch(node_path, "172.31.0.1:7001").find("hello") == std::string::npos);
  CHECK(fetch(b->netns_path, "172.31.0.1:7002") == "hello [0000:0000:0000:0000:0000:ffff:0a2a:0002]\n");
  CHECK(fetch(a->netns_path, "172.31.0.1:7002").find("hello") == 0);
  // A pod does not reach the node's loopback through the interface that route_localnet is set on.
  Background local(node_path, "exec socat TCP-LISTEN:7009,bind=127.0.0.1,fork,reuseaddr SYSTEM:\"echo secret\"");
  REQUIRE(wait_listening(node_path, 7009));
  shell(in(a->netns_path, "sysctl -qw net.ipv4.conf.all.route_localnet=1"));
  shell(in(a->netns_path, "ip addr del 127.0.0.1/8 dev lo; nsenter --net=" + a->netns_path + " ip route add 127.0.0.1 via 169.254.1.1 dev eth0"));
  CHECK(fetch(a->netns_path, "127.0.0.1:7009").find("secret") == std::string::npos);

  auto clash = pod("c");
  clash.host_ports = {{*Ip::parse("172.31.0.1"), 7002, 80, "TCP"}};
  CHECK(net.setup(clash).is(Reason::Conflict));
  auto bad = pod("d");
  bad.sysctls["kernel.shm_rmid_forced"] = "1";
  CHECK(net.setup(bad).is(Reason::BadRequest));
  auto unknown_sysctl = pod("e");
  unknown_sysctl.sysctls["net.ipv4.no_such_thing"] = "1";
  CHECK(net.setup(unknown_sysctl).is(Reason::BadRequest));
  CHECK(net.network->list().size() == 2);  // nothing stays behind of what failed
  CHECK(shell("ls " + net.config.run_dir + "/netns | wc -l").out == "2\n");

  REQUIRE(net.teardown("a"));
  REQUIRE(net.teardown("a"));
  CHECK_FALSE(path_exists(a->netns_path));
  CHECK(node.sh("ip route").out.find("10.42.0.1 ") == std::string::npos);
  REQUIRE(net.teardown("b"));
  CHECK(node.sh("ip -o link").out.find("veth") == std::string::npos);
  CHECK(shell("ls " + net.config.run_dir + "/netns " + net.config.run_dir + "/network/leases").out.find("a\n") == std::string::npos);
  shell("rm -rf " + net.config.run_dir);
}

TEST_CASE("a restart finds the pods again, and what is dead or damaged goes") {
  if (!can_make_namespaces()) { WARN("no namespaces here"); return; }
  TestNode node("again");
  Net net(node, run_dir());
  REQUIRE(net.cidrs({*Prefix::parse("10.42.7.0/24")}));
  auto a = net.setup(pod("a"));
  auto b = net.setup(pod("b"));
  auto c = net.setup(pod("c"));
  REQUIRE((a && b && c));
  net.close();
  net.open();
  REQUIRE(net.network->ready());  // the ranges are remembered
  CHECK(net.network->list().size() == 3);
  CHECK(*net.setup(pod("a")) == *a);
  shell("umount " + c->netns_path + "; rm -f " + c->netns_path);
  auto broken = net.reconcile({"a", "c", "never"});
  REQUIRE(broken);
  CHECK(*broken == std::vector<std::string>{"c", "never"});
  CHECK(net.network->list().size() == 1);
  CHECK_FALSE(path_exists(b->netns_path));
  auto d = net.setup(pod("d"));
  REQUIRE(d);
  CHECK(d->ips[0].to_string() == "10.42.7.4");  // not an address that was just in use
  // Somebody flushes the whole ruleset: the next change heals the table.
  node.sh("nft flush ruleset");
  REQUIRE(net.setup(pod("e")));
  CHECK(node.sh("nft list table inet onebin-pods").out.find("10.42.7.5 . 10.42.7.5") != std::string::npos);
  CHECK(node.sh("nft list table inet onebin-pods").out.find("10.42.7.1 . 10.42.7.1") != std::string::npos);
  // With the guard they come back by themselves.
  async::TaskGroup* guard = nullptr;
  node.call([&] { guard = new async::TaskGroup("guard"); guard->spawn(net.network->guard()); });
  node.sh("nft delete table inet onebin-pods");
  bool back = false;
  for (int i = 0; i < 100 && !back; ++i) {
    back = node.sh("nft list table inet onebin-pods").out.find("10.42.7.1 . 10.42.7.1") != std::string::npos;
    ::usleep(20000);
  }
  CHECK(back);
  REQUIRE(node.await<Result<void>>([&] { return end_group(guard); }));
  node.call([&] { delete guard; });
  REQUIRE(net.teardown("a"));
  net.close();
  node.call([&] { REQUIRE(remove_pod_network(net.config)); });
  CHECK(shell("ls " + net.config.run_dir + "/netns").out == "");
  CHECK(node.sh("ip -o link").out.find("veth") == std::string::npos);
  CHECK(node.sh("nft list tables").out == "");
  node.call([&] { REQUIRE(remove_pod_network(net.config)); });
  shell("rm -rf " + net.config.run_dir);
}

namespace {

async::Task<void> setup_one(PodNetwork* network, std::string uid, int* good) {
  Result<PodNetworkInfo> r = co_await network->setup(pod(uid));
  if (r) ++*good;
}
async::Task<void> teardown_one(PodNetwork* network, std::string uid, int* good) {
  Result<void> r = co_await network->teardown(uid);
  if (r) ++*good;
}
async::Task<Result<void>> setup_many(PodNetwork* network, int n) {
  async::TaskGroup group("many");
  int good = 0;
  for (int i = 0; i < n; ++i) group.spawn(setup_one(network, "p" + std::to_string(i), &good));
  co_await group.join();
  if (good != n) co_return internal_error("some failed");
  co_return Result<void>();
}
async::Task<Result<void>> teardown_many(PodNetwork* network, int n) {
  async::TaskGroup group("many");
  int good = 0;
  for (int i = 0; i < n; ++i) group.spawn(teardown_one(network, "p" + std::to_string(i), &good));
  co_await group.join();
  if (good != n) co_return internal_error("some failed");
  co_return Result<void>();
}

}  // namespace

TEST_CASE("many pods at once, and the token bucket") {
  if (!can_make_namespaces()) { WARN("no namespaces here"); return; }
  TestNode node("many");
  Net net(node, run_dir());
  REQUIRE(net.cidrs({*Prefix::parse("10.42.7.0/24")}));
  auto limited = pod("limited");
  limited.egress_bits_per_second = limited.ingress_bits_per_second = 10'000'000;
  auto l = net.setup(limited);
  INFO(l.status().to_string());
  REQUIRE(l);
  CHECK(shell(in(l->netns_path, "tc qdisc show dev eth0")).out.find("rate 10Mbit") != std::string::npos);
  auto start = std::chrono::steady_clock::now();
  REQUIRE(node.await<Result<void>>([&] { return setup_many(net.network.get(), 30); }));
  auto made = std::chrono::steady_clock::now();
  REQUIRE(node.await<Result<void>>([&] { return teardown_many(net.network.get(), 30); }));
  auto gone = std::chrono::steady_clock::now();
  CHECK(net.network->list().size() == 1);
  using Ms = std::chrono::duration<double, std::milli>;
  double setup_ms = Ms(made - start).count() / 30, teardown_ms = Ms(gone - made).count() / 30;
  std::printf("pod network: setup %.1f ms, teardown %.1f ms a pod\n", setup_ms, teardown_ms);
  REQUIRE(net.teardown("limited"));
  shell("rm -rf " + net.config.run_dir);
}
