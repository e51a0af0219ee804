#include "../network/node_fixture.hpp"
#include "../fakes/fake_api.hpp"
#include "proxy/policy_watch.hpp"

#include <onebin/async/loop.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/network/pod_network.hpp>
#include <onebin/proxy/proxy.hpp>

#include <catch2/catch.hpp>

#include <chrono>

using namespace onebin;
using namespace onebin::proxy;
using namespace onebin::test;
namespace core1 = onebin::api::core::v1;
namespace disc = onebin::api::discovery::v1;
namespace net1 = onebin::api::networking::v1;
using network::PodNetworkInfo;

namespace {

core1::Pod api_pod(const std::string& name, const std::string& address, const std::string& second = {}) {
  core1::Pod p;
  p.metadata.namespace_ = "default";
  p.metadata.name = name;
  p.metadata.labels = {{"app", name}};
  p.metadata.annotations = {{"long", std::string(1000, 'x')}};
  p.spec.node_name = "n1";
  p.status.phase = "Running";
  for (const auto& a : {address, second})
    if (!a.empty()) p.status.pod_ips.push_back({a});
  return p;
}

net1::NetworkPolicy api_policy(const std::string& name, const std::string& selected, const std::string& from) {
  net1::NetworkPolicy p;
  p.metadata.namespace_ = "default";
  p.metadata.name = name;
  p.spec.pod_selector.match_labels = {{"app", selected}};
  p.spec.policy_types = {"Ingress"};
  if (from.empty()) return p;
  net1::NetworkPolicyPeer peer;
  peer.pod_selector.ensure().match_labels = {{"app", from}};
  p.spec.ingress.resize(1);
  p.spec.ingress[0].from = {peer};
  return p;
}

async::Task<void> note_expected(PolicyWatch* watch, std::string key, std::vector<Ip> ips, int* selected) {
  Result<bool> r = co_await watch->expect(std::move(key), std::move(ips));
  *selected = r ? *r : -1;
}
async::Task<void> stop_watch(PolicyWatch* watch, bool* stopped) {
  co_await watch->stop();
  *stopped = true;
}
void stop(async::SimLoop& loop, async::TaskGroup& group, PolicyWatch& watch) {
  group.cancel();
  bool stopped = false;
  async::TaskGroup stopping("stop");
  stopping.spawn(group.join());
  loop.run_ready();
  stopping.spawn(stop_watch(&watch, &stopped));
  loop.run_ready();
  CHECK(stopped);
}

async::Task<Result<void>> admitted(Proxy* proxy, std::string key, std::vector<Ip> ips) {
  co_await proxy->admit(std::move(key), std::move(ips));
  co_return Result<void>();
}
async::Task<Result<void>> stop_all(Proxy* proxy, client::RawInformer* a, client::RawInformer* b) {
  co_await proxy->stop();
  co_await a->stop();
  co_await b->stop();
  co_return Result<void>();
}

// How many of the two addresses answer, IPv4's and IPv6's.
int answers(const PodNetworkInfo& from, const PodNetworkInfo& to) {
  auto fetch = [&](const std::string& address) {
    return shell("nsenter --net=" + from.netns_path + " timeout 5 socat -t2 -T2 - TCP:" + address + ":8080,connect-timeout=1 </dev/null").out == "hello\n";
  };
  return fetch(to.ips.at(0).to_string()) + fetch("[" + to.ips.at(1).to_string() + "]");
}
bool reaches(const PodNetworkInfo& from, const PodNetworkInfo& to) { return answers(from, to) == 2; }
bool blocked(const PodNetworkInfo& from, const PodNetworkInfo& to) { return answers(from, to) == 0; }
bool eventually(const std::function<bool()>& fn) {
  for (int i = 0; i < 100; ++i) {
    if (fn()) return true;
    ::usleep(50000);
  }
  return false;
}

}  // namespace

TEST_CASE("pods and namespaces are read while there is a policy, and half a minute longer") {
  auto loop = async::SimLoop::create(from_unix(1800000000));
  fakes::FakeApi api;
  client::Client client(api, "test");
  int woken = 0;
  PolicyWatch watch(client, "n1", {}, [&] { ++woken; });
  async::TaskGroup group("test");
  api.put(api_pod("a", "10.42.0.2"));
  group.spawn(watch.run());
  loop->run_for(1s);
  CHECK(api.watchers("networkpolicies") == 1);
  CHECK(api.watchers("pods") == 0);
  CHECK_FALSE(watch.changed());

  api.put(api_policy("p", "a", "b"));
  loop->run_for(1s);
  CHECK(api.watchers("pods") == 1);
  CHECK(api.watchers("namespaces") == 1);
  REQUIRE(watch.changed());
  CHECK(describe(watch.take().to).find("10.42.0.2 : goto policy-ingress-of/") != std::string::npos);
  woken = 0;
  api.put(api_pod("a", "10.42.0.2"));
  loop->run_for(1s);
  CHECK(woken == 0);  // nothing of it that matters has changed
  api.put(api_pod("b", "10.42.0.3"));
  loop->run_for(1s);
  CHECK(woken > 0);
  CHECK(describe(watch.take().to).find("{ 10.42.0.3 }") != std::string::npos);

  api.erase<net1::NetworkPolicy>("default", "p");
  loop->run_for(10s);
  REQUIRE(watch.changed());
  CHECK(watch.take().to.chains.empty());
  CHECK(api.watchers("pods") == 1);
  loop->run_for(30s);
  CHECK(api.watchers("pods") == 0);
  CHECK(api.watchers("namespaces") == 0);
  api.put(api_policy("p", "a", ""));
  loop->run_for(1s);
  CHECK(api.watchers("pods") == 1);
  CHECK(describe(watch.everything()).find("10.42.0.2 : goto") != std::string::npos);

  stop(*loop, group, watch);
}

TEST_CASE("a pod's address counts before the API tells of it, and until the API tells of the same") {
  auto loop = async::SimLoop::create(from_unix(1800000000));
  fakes::FakeApi api;
  client::Client client(api, "test");
  PolicyWatch watch(client, "n1", {}, [] {});
  async::TaskGroup group("test");
  int early = -2, free = -2, late = -2;
  group.spawn(note_expected(&watch, "default/a", {*Ip::parse("10.42.0.2")}, &early));
  group.spawn(watch.run());
  loop->run_for(1s);
  CHECK(early == 0);  // no policy
  api.put(api_policy("p", "a", ""));
  api.put(api_pod("b", ""));
  loop->run_for(1s);
  group.spawn(note_expected(&watch, "default/b", {*Ip::parse("10.42.0.3")}, &free));
  group.spawn(note_expected(&watch, "default/a", {*Ip::parse("10.42.0.2")}, &late));
  loop->run_for(1s);
  CHECK(free == 0);
  CHECK(late == -2);  // who is it?
  api.put(api_pod("a", ""));
  loop->run_for(1s);
  CHECK(late == 1);
  auto isolated = [&](const char* address) { return describe(watch.everything()).find(std::string(address) + " : goto") != std::string::npos; };
  CHECK(isolated("10.42.0.2"));
  api.put(api_pod("a", "10.42.0.9"));  // of its sandbox before
  loop->run_for(1s);
  CHECK(isolated("10.42.0.2"));
  CHECK_FALSE(isolated("10.42.0.9"));
  api.put(api_pod("a", "10.42.0.2"));
  loop->run_for(1s);
  api.put(api_pod("a", "10.42.0.4"));
  loop->run_for(1s);
  CHECK(isolated("10.42.0.4"));
  CHECK_FALSE(isolated("10.42.0.2"));
  stop(*loop, group, watch);
}

TEST_CASE("ten thousand pods and a hundred policies: the whole and one change of each kind") {
  if (!can_make_namespaces()) { WARN("no namespaces here"); return; }
  struct Many final : PolicyPods {
    std::map<std::string, PolicyPod> all;
    std::optional<PolicyPod> get(const std::string& key) const override { return all.at(key); }
    void for_each(const std::function<void(const std::string&, const PolicyPod&)>& fn) const override {
      for (const auto& [key, p] : all) fn(key, p);
    }
  } pods;
  PolicyState state(pods, {});
  auto key_of = [](std::uint32_t i) { return "ns" + std::to_string(i % 100) + "/p" + std::to_string(i); };
  for (std::uint32_t i = 0; i < 10000; ++i) {
    PolicyPod p;
    p.ns = "ns" + std::to_string(i % 100);
    p.labels = {{"app", "a" + std::to_string(i % 7)}, {"pod-template-hash", "h" + std::to_string(i % 11)}};
    p.ips = {Ip::v4(0x0a2a0000u + i)};
    p.local = i < 100;
    pods.all[key_of(i)] = p;
    state.change_pod(key_of(i), std::nullopt, p);
  }
  for (std::uint32_t i = 0; i < 100; ++i) {
    net1::NetworkPolicy p = api_policy("n", "", "");
    p.metadata.namespace_ = "ns" + std::to_string(i);
    p.spec.pod_selector = {};
    net1::NetworkPolicyPeer near, far;
    near.pod_selector.ensure();
    far.pod_selector.ensure().match_labels = {{"app", "a" + std::to_string(i % 7)}};
    far.namespace_selector.ensure();
    p.spec.ingress.resize(1);
    p.spec.ingress[0].from = {near, far};
    state.set_policy(p.metadata.namespace_ + "/n", project_policy(p));
  }
  TestNode node("many");
  node.call([&] {
    auto socket = std::move(*network::nft::Socket::open());
    network::nft::TableKeeper keeper(*socket, "onebin");
    using Clock = std::chrono::steady_clock;
    auto ms = [last = Clock::now()]() mutable {
      auto before = std::exchange(last, Clock::now());
      return std::chrono::duration<double, std::milli>(last - before).count();
    };
    network::nft::Table whole = state.everything();
    double computed = ms();
    REQUIRE(keeper.replace(whole));
    double replaced = ms();
    PolicyPod other = pods.all[key_of(5000)];
    other.labels["app"] = "a0";
    std::optional<PolicyPod> before = std::exchange(pods.all[key_of(5000)], other);
    state.change_pod(key_of(5000), before, other);
    PolicyState::Change c = state.take();
    CHECK(difference(c.from, c.to).ops.size() == 2);
    REQUIRE(keeper.update(c.from, c.to));
    double pod = ms();
    net1::NetworkPolicy p = api_policy("more", "a3", "a5");
    p.metadata.namespace_ = "ns7";
    state.set_policy("ns7/more", project_policy(p));
    c = state.take();
    REQUIRE(keeper.update(c.from, c.to));
    std::printf("10000 pods, 100 policies: compute %.1f ms, replace %.1f ms, a pod's change %.2f ms, a policy more %.1f ms\n", computed, replaced, pod, ms());
  });
}

TEST_CASE("the proxy writes policies into the kernel, and a pod starts behind those that select it") {
  if (!can_make_namespaces()) { WARN("no namespaces here"); return; }
  TestNode node("np");
  give_uplink(node);
  std::string run_dir = "/tmp/obt-net-np-" + std::to_string(::getpid());
  shell("rm -rf " + run_dir);
  fakes::FakeApi api;
  client::Client client(api, "proxy");
  std::unique_ptr<network::PodNetwork> network;
  std::unique_ptr<client::Informer<core1::Service>> services;
  std::unique_ptr<client::Informer<disc::EndpointSlice>> slices;
  std::unique_ptr<Proxy> proxy;
  Options options;
  options.node.name = "n1";
  options.node.cluster_cidrs = {*Prefix::parse("10.42.0.0/16"), *Prefix::parse("fd42::/48")};
  options.policies = &client;
  node.call([&] {
    network::PodNetworkConfig c;
    c.run_dir = run_dir;
    c.cluster_cidrs = options.node.cluster_cidrs;
    network = std::move(*network::make_pod_network(c));
    services = std::make_unique<client::Informer<core1::Service>>(client);
    slices = std::make_unique<client::Informer<disc::EndpointSlice>>(client);
    proxy = std::make_unique<Proxy>(*services, *slices, options);
  });
  REQUIRE(node.await<Result<void>>([&] { return network->set_pod_cidrs({*Prefix::parse("10.42.0.0/24"), *Prefix::parse("fd42::/64")}); }));
  auto pod = [&](const char* uid) {
    network::PodNetworkRequest r;
    r.pod_key = r.pod_uid = uid;
    return *node.await<Result<PodNetworkInfo>>([&] { return network->setup(r); });
  };
  PodNetworkInfo a = pod("a"), b = pod("b"), c = pod("c");
  node.call([&] {
    api.put(api_pod("a", a.ips[0].to_string(), a.ips[1].to_string()));
    api.put(api_pod("b", b.ips[0].to_string(), b.ips[1].to_string()));
    api.put(api_pod("c", ""));
  });
  REQUIRE(node.await<Result<void>>([&] { return proxy->start(); }));
  node.call([&] { services->start(); slices->start(); });
  std::string server = "exec socat TCP6-LISTEN:8080,ipv6only=0,fork,reuseaddr SYSTEM:\"echo hello\"";
  Background sa(a.netns_path, server), sc(c.netns_path, server);
  REQUIRE(wait_listening(a.netns_path, 8080));
  REQUIRE(wait_listening(c.netns_path, 8080));
  CHECK(eventually([&] { return reaches(b, a); }));
  CHECK(node.sh("nft list table inet onebin").out.find("policy-") == std::string::npos);

  node.call([&] {
    api.put(api_policy("late", "c", ""));  // whose address the API does not know yet
    api.put(api_policy("deny", "a", ""));
  });
  CHECK(eventually([&] { return blocked(b, a); }));
  CHECK(reaches(b, c));
  CHECK(reaches(a, a));
  CHECK(node.sh("exec socat -t2 - TCP:" + a.ips[0].to_string() + ":8080,connect-timeout=1 </dev/null").out == "hello\n");
  node.call([&] { api.put(api_policy("allow", "a", "b")); });
  CHECK(eventually([&] { return reaches(b, a); }));
  CHECK(blocked(c, a));

  REQUIRE(node.await<Result<void>>([&] { return admitted(proxy.get(), "default/c", c.ips); }));
  CHECK(blocked(b, c));

  node.sh("nft flush ruleset");
  CHECK(eventually([&] { return blocked(c, a) && blocked(b, c) && reaches(b, a); }));
  node.call([&] {
    for (const char* name : {"deny", "allow", "late"}) api.erase<net1::NetworkPolicy>("default", name);
  });
  CHECK(eventually([&] { return reaches(b, c) && reaches(c, a); }));
  // Again, before or after the emptied chains were collected.
  node.call([&] { api.put(api_policy("deny", "a", "")); });
  CHECK(eventually([&] { return blocked(b, a); }));
  node.call([&] { api.erase<net1::NetworkPolicy>("default", "deny"); });
  CHECK(eventually([&] { return node.sh("nft list table inet onebin").out.find("policy-") == std::string::npos; }));  // collected

  REQUIRE(node.await<Result<void>>([&] { return stop_all(proxy.get(), services.get(), slices.get()); }));
  node.call([&] { REQUIRE(Proxy::remove(options)); });
  for (const char* uid : {"a", "b", "c"}) REQUIRE(node.await<Result<void>>([&] { return network->teardown(uid); }));
  node.call([&] { proxy.reset(); services.reset(); slices.reset(); network.reset(); });
  shell("rm -rf " + run_dir);
}
