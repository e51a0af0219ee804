#include "../network/node_fixture.hpp"
#include "../fakes/fake_api.hpp"
#include "proxy/state.hpp"

#include <onebin/async/loop.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/network/pod_network.hpp>
#include <onebin/proxy/proxy.hpp>

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::proxy;
using namespace onebin::test;
namespace core1 = onebin::api::core::v1;
namespace disc = onebin::api::discovery::v1;
using network::PodNetwork;
using network::PodNetworkInfo;
using network::PodNetworkRequest;

namespace {

Ip ip(const std::string& t) { return *Ip::parse(t); }

core1::Service api_service(const std::string& name, const std::string& cluster_ip, const std::string& protocol, int port) {
  core1::Service s;
  s.metadata.namespace_ = "default";
  s.metadata.name = name;
  s.spec.type = "ClusterIP";
  s.spec.cluster_ip = cluster_ip;
  s.spec.cluster_ips = {cluster_ip};
  core1::ServicePort p;
  p.name = "main";
  p.protocol = protocol;
  p.port = port;
  s.spec.ports = {p};
  return s;
}

disc::EndpointSlice api_slice(const std::string& service, const std::string& suffix, const std::string& protocol, int port, std::vector<Ip> ips) {
  disc::EndpointSlice s;
  s.metadata.namespace_ = "default";
  s.metadata.name = service + "-" + suffix;
  s.metadata.labels["kubernetes.io/service-name"] = service;
  s.address_type = "IPv4";
  disc::EndpointPort p;
  p.name = "main";
  p.protocol = protocol;
  p.port = port;
  s.ports = {p};
  for (const auto& i : ips) {
    disc::Endpoint e;
    e.addresses = {i.to_string()};
    e.conditions.ready = true;
    e.node_name = "n1";
    s.endpoints.push_back(e);
  }
  return s;
}

async::Task<Result<void>> wait_for(Proxy* proxy) {
  for (int i = 0; i < 250 && !proxy->synced(); ++i) {
    Status s = co_await async::sleep_for(20ms);
    if (!s) co_return s;
  }
  if (!proxy->synced()) co_return timeout("not in step");
  co_return Result<void>();
}
async::Task<Result<void>> stop_all(Proxy* proxy, client::RawInformer* a, client::RawInformer* b) {
  co_await proxy->stop();
  co_await a->stop();
  co_await b->stop();
  co_return Result<void>();
}

std::string fetch(const std::string& netns, const std::string& address) {
  std::string out = shell("nsenter --net=" + netns + " timeout 15 socat -t10 -T10 - TCP:" + address + ",connect-timeout=3 </dev/null").out;
  if (out.find("refused") != std::string::npos) return "refused";
  while (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}
bool eventually(const std::function<bool()>& fn) {
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (std::chrono::steady_clock::now() < until) {
    if (fn()) return true;
    ::usleep(50000);
  }
  return false;
}

}  // namespace

TEST_CASE("API objects are projected with upstream's defaults") {
  core1::Service s = api_service("web", "10.43.0.5", "TCP", 80);
  s.spec.type = "LoadBalancer";
  s.spec.ports[0].node_port = 30080;
  s.spec.session_affinity = "ClientIP";
  s.spec.external_traffic_policy = "Local";
  s.spec.load_balancer_source_ranges = {" 10.0.0.0/8 "};
  core1::LoadBalancerIngress vip, proxied;
  vip.ip = "192.168.1.1";
  proxied.ip = "192.168.1.2";
  proxied.ip_mode = "Proxy";
  s.status.load_balancer.ingress = {vip, proxied};
  auto p = project_service(s);
  REQUIRE(p);
  CHECK(p->affinity_seconds == 10800);
  CHECK(p->external_local);
  CHECK(p->load_balancer_ips == std::vector<Ip>{ip("192.168.1.1")});
  CHECK(p->load_balancer_source_ranges.size() == 1);
  CHECK(p->ports[0].node_port == 30080);

  auto slice = api_slice("web", "a", "TCP", 8080, {ip("10.42.0.3"), ip("10.42.0.2")});
  slice.endpoints[0].node_name = "other";
  slice.endpoints[1].conditions = {};
  add_slice(*p, slice, "n1");
  auto moving = api_slice("web", "b", "TCP", 8080, {ip("10.42.0.3")});
  moving.endpoints[0].conditions.ready = false;
  moving.endpoints[0].conditions.serving = false;
  add_slice(*p, moving, "n1");
  auto& e = p->ports[0].endpoints;
  REQUIRE(e.size() == 2);
  CHECK(e[0].ip == ip("10.42.0.2"));
  CHECK((e[0].ready && e[0].serving && !e[0].terminating && e[0].local));
  CHECK((e[1].ready && !e[1].local));

  s.spec.cluster_ip = "None";
  CHECK_FALSE(project_service(s));
  s = api_service("x", "10.43.0.6", "TCP", 1);
  s.metadata.labels["service.kubernetes.io/service-proxy-name"] = "other";
  CHECK_FALSE(project_service(s));
}

TEST_CASE("what comes to an external address of the node may arrive for its internal one") {
  NodeInfo node;
  node.ips = {ip("172.31.0.1"), ip("fd00::1")};
  Service s;
  s.load_balancer_ips = {ip("203.0.113.1"), ip("203.0.113.2")};
  add_internal_addresses(s, node);
  CHECK(s.load_balancer_ips.size() == 2);
  node.external_ips = {ip("203.0.113.1")};
  add_internal_addresses(s, node);
  CHECK(s.load_balancer_ips == std::vector<Ip>{ip("203.0.113.1"), ip("203.0.113.2"), ip("172.31.0.1")});
  add_internal_addresses(s, node);
  CHECK(s.load_balancer_ips.size() == 3);
}

TEST_CASE("two services that want one address and port: the first by name has it, and the other when it leaves") {
  State state(NodeInfo{});
  auto make = [](const char* key) {
    Service s;
    s.key = key;
    s.cluster_ips = {ip(std::string("10.43.0.") + key[2])};
    s.external_ips = {ip("192.168.7.7")};
    s.ports = {{"", 6, 80, 0, {}, {}}};
    return s;
  };
  (void)state.everything();
  state.set("d/2", make("d/2"));
  std::string text = describe(state.take().to);
  CHECK(text.find("192.168.7.7 . tcp . 80") != std::string::npos);
  state.set("d/1", make("d/1"));
  State::Change c = state.take();
  CHECK(c.after.size() == 2);
  CHECK(difference(c.from, c.to).ops.size() == 2);  // the new one's own address, in two sets; the shared one leads to the same refusal
  CHECK(c.after[1].ports[0].not_at == std::vector<Ip>{ip("192.168.7.7")});
  state.set("d/1", std::nullopt);
  c = state.take();
  REQUIRE(c.after.size() == 1);
  CHECK(c.after[0].ports[0].not_at.empty());
  CHECK_FALSE(state.changed());
  state.set("d/2", make("d/2"));
  CHECK_FALSE(state.changed());
}

TEST_CASE("the proxy follows the API") {
  if (!can_make_namespaces()) { WARN("no namespaces here"); return; }
  TestNode node("px");
  give_uplink(node);
  std::string run_dir = "/tmp/obt-net-px-" + std::to_string(::getpid());
  shell("rm -rf " + run_dir);
  fakes::FakeApi api;
  client::Client client(api, "proxy");
  std::unique_ptr<PodNetwork> network;
  std::unique_ptr<client::Informer<core1::Service>> services;
  std::unique_ptr<client::Informer<disc::EndpointSlice>> slices;
  std::unique_ptr<Proxy> proxy;
  Options options;
  options.node.name = "n1";
  options.node.cluster_cidrs = {*Prefix::parse("10.42.0.0/16")};
  options.node.service_cidrs = {*Prefix::parse("10.43.0.0/16")};
  node.call([&] {
    network::PodNetworkConfig c;
    c.run_dir = run_dir;
    c.cluster_cidrs = options.node.cluster_cidrs;
    network = std::move(*network::make_pod_network(c));
    services = std::make_unique<client::Informer<core1::Service>>(client);
    slices = std::make_unique<client::Informer<disc::EndpointSlice>>(client);
    proxy = std::make_unique<Proxy>(*services, *slices, options);
  });
  REQUIRE(node.await<Result<void>>([&] { return network->set_pod_cidrs({*Prefix::parse("10.42.0.0/24")}); }));
  auto pod = [&](const char* uid) {
    PodNetworkRequest r;
    r.pod_key = r.pod_uid = uid;
    return *node.await<Result<PodNetworkInfo>>([&] { return network->setup(r); });
  };
  PodNetworkInfo a = pod("a"), b = pod("b");
  REQUIRE(node.await<Result<void>>([&] { return proxy->start(); }));
  node.call([&] { services->start(); slices->start(); });
  REQUIRE(node.await<Result<void>>([&] { return wait_for(proxy.get()); }));
  node.call([&] { proxy->set_node("z1", {*Prefix::parse("10.42.0.0/24")}, {}); });

  Background sa(a.netns_path, "exec socat TCP-LISTEN:8080,fork,reuseaddr SYSTEM:\"echo a\"");
  Background sb(b.netns_path, "exec socat TCP-LISTEN:8080,fork,reuseaddr SYSTEM:\"echo b\"");
  REQUIRE(wait_listening(a.netns_path, 8080));
  REQUIRE(wait_listening(b.netns_path, 8080));
  std::string here = "/run/netns/" + node.name();
  node.call([&] { api.put(api_service("web", "10.43.0.5", "TCP", 80)); });
  CHECK(eventually([&] { return fetch(here, "10.43.0.5:80") == "refused"; }));
  node.call([&] { api.put(api_slice("web", "x", "TCP", 8080, {a.ips[0]})); });
  CHECK(eventually([&] { return fetch(here, "10.43.0.5:80") == "a"; }));
  node.call([&] { api.put(api_slice("web", "x", "TCP", 8080, {b.ips[0]})); });
  CHECK(eventually([&] { return fetch(here, "10.43.0.5:80") == "b"; }));

  // A UDP client that keeps its socket follows the service from one endpoint to the other.
  Background ua(a.netns_path, "exec socat UDP-LISTEN:5000,fork,reuseaddr SYSTEM:\"while read x; do echo a; done\"");
  Background ub(b.netns_path, "exec socat UDP-LISTEN:5000,fork,reuseaddr SYSTEM:\"while read x; do echo b; done\"");
  REQUIRE(wait_listening(a.netns_path, 5000, true));
  REQUIRE(wait_listening(b.netns_path, 5000, true));
  node.call([&] {
    api.put(api_service("udp", "10.43.0.7", "UDP", 53));
    api.put(api_slice("udp", "x", "UDP", 5000, {a.ips[0]}));
  });
  // Asks from one socket until told otherwise.
  std::string asker = "(for i in 1 2 3 4 5 6 7 8; do echo q; sleep 0.5; done) | timeout 8 nsenter --net=" + here +
                      " socat -t1 - UDP:10.43.0.7:53,sourceport=4444";
  ::usleep(500000);
  std::string heard;
  std::thread asking([&] { heard = shell(asker).out; });
  ::usleep(1700000);
  node.call([&] { api.put(api_slice("udp", "x", "UDP", 5000, {b.ips[0]})); });
  asking.join();
  INFO(heard);
  CHECK(heard.find("a\n") == 0);
  CHECK(heard.find("b\n") != std::string::npos);

  // Somebody flushes the rules: they come back at once. What is added beside them stays.
  node.sh("nft flush ruleset");
  CHECK(eventually([&] { return fetch(here, "10.43.0.5:80") == "b"; }));
  node.sh("nft add chain inet onebin mine");
  node.call([&] { api.put(api_slice("web", "x", "TCP", 8080, {a.ips[0]})); });
  CHECK(eventually([&] { return fetch(here, "10.43.0.5:80") == "a"; }));
  CHECK(node.sh("nft list chain inet onebin mine").code == 0);

  node.call([&] { api.erase<core1::Service>("default", "web"); });
  CHECK(eventually([&] { return node.sh("nft list table inet onebin").out.find("10.43.0.5") == std::string::npos; }));
  CHECK(eventually([&] { return node.sh("nft list table inet onebin").out.find("default/web") == std::string::npos; }));  // collected

  REQUIRE(node.await<Result<void>>([&] { return stop_all(proxy.get(), services.get(), slices.get()); }));
  CHECK(node.sh("nft list table inet onebin").out.find("10.43.0.7") != std::string::npos);  // rules stay
  node.call([&] { REQUIRE(Proxy::remove(options)); });
  CHECK(node.sh("nft list tables").out.find("inet onebin\n") == std::string::npos);
  for (const char* uid : {"a", "b"}) REQUIRE(node.await<Result<void>>([&] { return network->teardown(uid); }));
  node.call([&] { proxy.reset(); services.reset(); slices.reset(); network.reset(); });
  shell("rm -rf " + run_dir);
}
