#include <onebin/network/host.hpp>
#include <onebin/network/overlay.hpp>
#include <onebin/network/pod_network.hpp>

#include "node_fixture.hpp"

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::network;
using namespace onebin::test;

namespace {

Ip ip(const char* t) { return *Ip::parse(t); }
Prefix prefix(const std::string& t) { return *Prefix::parse(t); }

// One of two nodes: pod network and overlay.
struct OverlayNode {
  TestNode node;
  std::string name, run_dir;
  std::unique_ptr<PodNetwork> network;
  std::unique_ptr<Overlay> overlay;
  PodNetworkInfo pod;

  explicit OverlayNode(const std::string& n) : node(n), name(n), run_dir("/tmp/obt-net-" + n + "-" + std::to_string(::getpid())) {}
  void start(const char* address, std::vector<Prefix> cidrs, OverlayMode mode) {
    node.call([&] {
      PodNetworkConfig c;
      c.run_dir = run_dir;
      c.node_ip = ip(address);
      c.cluster_cidrs = {prefix("10.42.0.0/16"), prefix("fd42::/48")};
      auto r = make_pod_network(c);
      REQUIRE(r);
      network = std::move(*r);
      OverlayConfig o;
      o.mode = mode;
      o.node_name = name;
      o.internal_ip = ip(address);
      o.pod_cidrs = cidrs;
      overlay = std::move(*make_overlay(o));
    });
    REQUIRE(node.await<Result<void>>([&] { return network->set_pod_cidrs(cidrs); }));
    PodNetworkRequest q;
    q.pod_key = q.pod_uid = "p";
    auto p = node.await<Result<PodNetworkInfo>>([&] { return network->setup(q); });
    REQUIRE(p);
    pod = *p;
  }
  void apply(const std::vector<NodeRoute>& nodes) {
    node.call([&] {
      auto r = overlay->apply(nodes);
      INFO(r.status().to_string());
      REQUIRE(r);
    });
  }
  ~OverlayNode() {
    if (network) (void)node.await<Result<void>>([&] { return network->teardown("p"); });
    node.call([&] { network.reset(); overlay.reset(); });
    shell("rm -rf " + run_dir);
  }
};

// Whether the peer's kernel answers: nothing listens there, so it refuses.
bool reaches(const std::string& netns, const Ip& to) {
  std::string host = to.is_v6() ? "[" + to.to_string() + "]" : to.to_string();
  return shell("nsenter --net=" + netns + " timeout 15 socat -t10 - TCP:" + host + ":9,connect-timeout=4 </dev/null").out.find("refused") != std::string::npos;
}

}  // namespace

TEST_CASE("the overlay's plan leaves out this node, nodes without an address, and ranges that are taken") {
  OverlayConfig c;
  c.node_name = "a";
  c.internal_ip = ip("172.31.0.1");
  c.pod_cidrs = {prefix("10.42.0.0/24")};
  std::vector<NodeRoute> nodes{{"c", {prefix("10.42.1.0/24")}, ip("172.31.0.3")},
                               {"a", {prefix("10.42.0.0/24")}, ip("172.31.0.1")},
                               {"b", {prefix("10.42.1.0/24"), prefix("fd42:1::/64")}, ip("172.31.0.2")},
                               {"d", {prefix("10.42.4.0/24")}, {}},
                               {"e", {prefix("10.42.0.0/24")}, ip("172.31.0.5")}};
  OverlayPlan p = plan_overlay(c, nodes);
  REQUIRE(p.routes.size() == 2);
  CHECK(p.routes[0].destination.to_string() == "10.42.1.0/24");
  CHECK(p.routes[0].gateway.to_string() == "10.42.1.0");
  CHECK(p.routes[1].destination.to_string() == "fd42:1::/64");
  REQUIRE(p.forwards.size() == 1);
  CHECK(p.forwards[0].mac == vtep_mac("b"));
  CHECK(p.forwards[0].destination.to_string() == "172.31.0.2");
  CHECK(p.neighbours.size() == 2);

  c.mode = OverlayMode::HostGateway;
  p = plan_overlay(c, nodes);
  REQUIRE(p.routes.size() == 1);
  CHECK(p.routes[0].gateway.to_string() == "172.31.0.2");
  CHECK(p.forwards.empty());
}

TEST_CASE("pods of two nodes reach each other through the tunnel, under their own addresses") {
  if (!can_make_namespaces()) { WARN("no namespaces here"); return; }
  OverlayNode a("oa"), b("ob");
  join_nodes(a.node, "172.31.0.1/24", b.node, "172.31.0.2/24");
  a.start("172.31.0.1", {prefix("10.42.0.0/24"), prefix("fd42:0:0:1::/64")}, OverlayMode::Vxlan);
  b.start("172.31.0.2", {prefix("10.42.1.0/24"), prefix("fd42:0:0:2::/64")}, OverlayMode::Vxlan);
  std::vector<NodeRoute> nodes{{"oa", {prefix("10.42.0.0/24"), prefix("fd42:0:0:1::/64")}, ip("172.31.0.1")},
                               {"ob", {prefix("10.42.1.0/24"), prefix("fd42:0:0:2::/64")}, ip("172.31.0.2")},
                               {"oc", {prefix("10.42.2.0/24")}, ip("172.31.0.3")}};
  a.apply(nodes);
  b.apply(nodes);
  CHECK(reaches(a.pod.netns_path, b.pod.ips[0]));
  CHECK(reaches(a.pod.netns_path, b.pod.ips[1]));
  CHECK(reaches("/run/netns/" + a.node.name(), b.pod.ips[0]));  // the node itself
  CHECK(reaches("/run/netns/" + a.node.name(), b.pod.ips[1]));
  {
    Background server(b.pod.netns_path, "exec socat TCP-LISTEN:8080,fork,reuseaddr SYSTEM:\"echo \\$SOCAT_PEERADDR\"");
    REQUIRE(wait_listening(b.pod.netns_path, 8080));
    CHECK(shell("nsenter --net=" + a.pod.netns_path + " timeout 15 socat -t10 - TCP:10.42.1.1:8080 </dev/null").out == "10.42.0.1\n");
    // Full segments, in either direction. Not an echo: socat writes with blocking calls, so two ends that each wait for the
    // other to read never end.
    Background sink(b.pod.netns_path, "exec socat TCP-LISTEN:8082,fork,reuseaddr SYSTEM:\"head -c 3000000 | wc -c\"");
    REQUIRE(wait_listening(b.pod.netns_path, 8082));
    CHECK(shell("head -c 3000000 /dev/zero | nsenter --net=" + a.pod.netns_path + " timeout 60 socat -t50 - TCP:10.42.1.1:8082").out == "3000000\n");
    Background source(b.pod.netns_path, "exec socat TCP-LISTEN:8083,fork,reuseaddr SYSTEM:\"head -c 3000000 /dev/zero\"");
    REQUIRE(wait_listening(b.pod.netns_path, 8083));
    CHECK(shell("nsenter --net=" + a.pod.netns_path + " timeout 60 socat -u TCP:10.42.1.1:8083 - | wc -c").out == "3000000\n");
    // A pod to another node's own address is off the cluster's pod network: it goes under the node's.
    Background host("/run/netns/" + b.node.name(), "exec socat TCP-LISTEN:8081,fork,reuseaddr SYSTEM:\"echo \\$SOCAT_PEERADDR\"");
    REQUIRE(wait_listening("/run/netns/" + b.node.name(), 8081));
    CHECK(shell("nsenter --net=" + a.pod.netns_path + " timeout 15 socat -t10 - TCP:172.31.0.2:8081 </dev/null").out == "172.31.0.1\n");
  }
  CHECK(a.node.sh("ip route").out.find("10.42.2.0/24") != std::string::npos);
  a.apply(nodes);  // nothing to do
  nodes.pop_back();
  a.apply(nodes);
  CHECK(a.node.sh("ip route").out.find("10.42.2.0/24") == std::string::npos);
  CHECK(a.node.sh("bridge fdb show dev onebin.vxlan").out.find("172.31.0.3") == std::string::npos);
  CHECK(reaches(a.pod.netns_path, b.pod.ips[0]));
  a.node.call([&] { REQUIRE(a.overlay->remove()); });
  CHECK(a.node.sh("ip -o link").out.find("vxlan") == std::string::npos);
}

TEST_CASE("on one segment nodes can be gateways for each other's pods") {
  if (!can_make_namespaces()) { WARN("no namespaces here"); return; }
  OverlayNode a("ga"), b("gb");
  join_nodes(a.node, "172.31.0.1/24", b.node, "172.31.0.2/24");
  a.start("172.31.0.1", {prefix("10.42.0.0/24")}, OverlayMode::HostGateway);
  b.start("172.31.0.2", {prefix("10.42.1.0/24")}, OverlayMode::HostGateway);
  std::vector<NodeRoute> nodes{{"ga", {prefix("10.42.0.0/24")}, ip("172.31.0.1")}, {"gb", {prefix("10.42.1.0/24")}, ip("172.31.0.2")}};
  a.apply(nodes);
  b.apply(nodes);
  CHECK(reaches(a.pod.netns_path, b.pod.ips[0]));
  CHECK(a.overlay->mtu() == 1500);
  a.node.call([&] { REQUIRE(a.overlay->remove()); });
  CHECK_FALSE(reaches(a.pod.netns_path, b.pod.ips[0]));
}
