#include "kubelet/pods.hpp"

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::kubelet;
using namespace onebin::kubelet::test;

namespace {
using Ints = std::vector<int>;
PodActions actions(const core::Pod& p, const RuntimePod& r, const ProbeVerdicts& v = {}) { return compute_pod_actions(p, r, v); }
}  // namespace

TEST_CASE("a new pod needs a sandbox and then its containers") {
  core::Pod p = pod("a", {container("x"), container("y")});
  PodActions a = actions(p, {});
  CHECK(a.create_sandbox);
  CHECK(a.kill_pod);
  CHECK(a.attempt == 0);
  CHECK(a.containers_to_start == Ints{0, 1});
  a = actions(p, ready_sandbox(p));
  CHECK_FALSE(a.create_sandbox);
  CHECK(a.containers_to_start == Ints{0, 1});
}

TEST_CASE("everything runs: nothing to do") {
  core::Pod p = pod("a", {container("x"), container("y")});
  RuntimePod r = ready_sandbox(p);
  for (auto& c : p.spec.containers) add(r, c, ContainerState::Running);
  CHECK(actions(p, r).nothing_to_do());
}

TEST_CASE("ended containers are started again as the restart policy says") {
  struct Case { const char* policy; int code; bool start; bool kill_pod; };
  for (const Case& c : {Case{"Always", 0, true, false}, Case{"Always", 1, true, false}, Case{"OnFailure", 0, false, true},
                        Case{"OnFailure", 1, true, false}, Case{"Never", 0, false, true}, Case{"Never", 1, false, true}}) {
    core::Pod p = pod("a", {container("x")}, {}, c.policy);
    RuntimePod r = ready_sandbox(p);
    add(r, p.spec.containers[0], ContainerState::Exited, c.code);
    PodActions a = actions(p, r);
    INFO(c.policy << " exit " << c.code);
    CHECK(a.containers_to_start.empty() == !c.start);
    CHECK(a.kill_pod == c.kill_pod);
  }
}

TEST_CASE("a container's own restart policy and rules go before the pod's") {
  core::Pod p = pod("a", {container("x"), container("y")}, {}, "Never");
  p.spec.containers[0].restart_policy = "OnFailure";
  core::ContainerRestartRule rule;
  rule.action = "Restart";
  rule.exit_codes.emplace();
  rule.exit_codes->operator_ = "In";
  rule.exit_codes->values = {42};
  p.spec.containers[1].restart_policy = "Never";
  p.spec.containers[1].restart_policy_rules = {rule};
  RuntimePod r = ready_sandbox(p);
  add(r, p.spec.containers[0], ContainerState::Exited, 1);
  add(r, p.spec.containers[1], ContainerState::Exited, 42);
  CHECK(actions(p, r).containers_to_start == Ints{0, 1});
  r.containers[1].exit_code = 43;
  CHECK(actions(p, r).containers_to_start == Ints{0});
}

TEST_CASE("init containers run one after the other before the regular ones") {
  core::Pod p = pod("a", {container("x")}, {container("i1"), container("i2")});
  RuntimePod r = ready_sandbox(p);
  CHECK(actions(p, r).init_to_start == Ints{0});
  auto& first = add(r, p.spec.init_containers[0], ContainerState::Running);
  CHECK(actions(p, r).nothing_to_do());
  first.state = ContainerState::Exited;
  CHECK(actions(p, r).init_to_start == Ints{1});
  add(r, p.spec.init_containers[1], ContainerState::Exited);
  PodActions a = actions(p, r);
  CHECK(a.init_to_start.empty());
  CHECK(a.containers_to_start == Ints{0});
}

TEST_CASE("a failed init container is repeated, or ends the pod under policy Never") {
  core::Pod p = pod("a", {container("x")}, {container("i1")});
  RuntimePod r = ready_sandbox(p);
  add(r, p.spec.init_containers[0], ContainerState::Exited, 1);
  CHECK(actions(p, r).init_to_start == Ints{0});
  p.spec.restart_policy = "Never";
  PodActions a = actions(p, r);
  CHECK(a.kill_pod);
  CHECK(a.init_to_start.empty());
}

TEST_CASE("init containers that were removed after the pod came up are not run again") {
  core::Pod p = pod("a", {container("x")}, {container("i1"), container("i2")});
  RuntimePod r = ready_sandbox(p);
  add(r, p.spec.containers[0], ContainerState::Running);
  CHECK(actions(p, r).nothing_to_do());
}

TEST_CASE("a sidecar lets the next container start once it has started, and is kept running") {
  core::Pod p = pod("a", {container("x")}, {sidecar("s"), container("i")});
  RuntimePod r = ready_sandbox(p);
  CHECK(actions(p, r).init_to_start == Ints{0});
  add(r, p.spec.init_containers[0], ContainerState::Running);
  CHECK(actions(p, r).init_to_start == Ints{1});
  SECTION("it waits for the startup probe") {
    p.spec.init_containers[0].startup_probe = core::Probe();
    CHECK(actions(p, r).nothing_to_do());
    ProbeVerdicts v;
    v.startup[r.containers[0].id] = ProbeVerdict::Success;
    CHECK(actions(p, r, v).init_to_start == Ints{1});
    v.startup[r.containers[0].id] = ProbeVerdict::Failure;
    PodActions a = actions(p, r, v);
    REQUIRE(a.to_kill.size() == 1);
    CHECK(a.to_kill[0].reason == KillReason::StartupProbe);
  }
  SECTION("it is restarted under policy Never too") {
    p.spec.restart_policy = "Never";
    add(r, p.spec.init_containers[1], ContainerState::Exited);
    add(r, p.spec.containers[0], ContainerState::Running);
    r.containers[0].state = ContainerState::Exited;
    r.containers[0].exit_code = 1;
    CHECK(actions(p, r).init_to_start == Ints{0});
  }
  SECTION("it does not keep an ended pod alive") {
    p.spec.restart_policy = "Never";
    add(r, p.spec.init_containers[1], ContainerState::Exited);
    add(r, p.spec.containers[0], ContainerState::Exited);
    CHECK(actions(p, r).kill_pod);
  }
}

TEST_CASE("failed liveness and startup probes and changed images kill a container and start it again") {
  core::Pod p = pod("a", {container("x")});
  RuntimePod r = ready_sandbox(p);
  add(r, p.spec.containers[0], ContainerState::Running);
  ProbeVerdicts v;
  v.liveness[r.containers[0].id] = ProbeVerdict::Failure;
  PodActions a = actions(p, r, v);
  REQUIRE(a.to_kill.size() == 1);
  CHECK(a.to_kill[0].message == "Container x failed liveness probe, will be restarted");
  CHECK(a.containers_to_start == Ints{0});
  p.spec.restart_policy = "Never";
  a = actions(p, r, v);
  CHECK(a.to_kill.size() == 1);
  CHECK(a.containers_to_start.empty());
  p.spec.containers[0].image = "busybox:2";
  a = actions(p, r);
  REQUIRE(a.to_kill.size() == 1);
  CHECK(a.containers_to_start == Ints{0});
}

TEST_CASE("a lost sandbox is made anew, unless nothing is left to run") {
  core::Pod p = pod("a", {container("x")});
  RuntimePod r = ready_sandbox(p);
  add(r, p.spec.containers[0], ContainerState::Exited, 1);
  r.sandboxes[0].ready = false;
  PodActions a = actions(p, r);
  CHECK(a.create_sandbox);
  CHECK(a.attempt == 1);
  CHECK(a.containers_to_start == Ints{0});
  p.spec.restart_policy = "Never";
  CHECK_FALSE(actions(p, r).create_sandbox);
  p.spec.restart_policy = "OnFailure";
  r.containers[0].exit_code = 0;
  CHECK_FALSE(actions(p, r).create_sandbox);
}

TEST_CASE("ephemeral containers start once, initialization or not") {
  core::Pod p = pod("a", {container("x")}, {container("i")});
  core::EphemeralContainer e;
  e.name = "debug";
  p.spec.ephemeral_containers.push_back(e);
  RuntimePod r = ready_sandbox(p);
  add(r, p.spec.init_containers[0], ContainerState::Running);
  CHECK(actions(p, r).ephemeral_to_start == Ints{0});
  add(r, as_container(e), ContainerState::Exited, 1);
  CHECK(actions(p, r).ephemeral_to_start.empty());
}

TEST_CASE("nothing is started in a pod that is being deleted") {
  core::Pod p = pod("a", {container("x")});
  p.metadata.deletion_timestamp = from_unix(1000);
  RuntimePod r = ready_sandbox(p);
  add(r, p.spec.containers[0], ContainerState::Exited, 1);
  CHECK(actions(p, r).containers_to_start.empty());
}

TEST_CASE("restart back-off doubles to five minutes and is forgotten after ten quiet ones") {
  Backoff b(std::chrono::seconds(10), std::chrono::seconds(300));
  WallTime t = from_unix(100000);
  CHECK(b.remaining("k", t, t) == Duration::zero());
  Duration expect = std::chrono::seconds(10);
  for (int i = 0; i < 8; ++i) {
    b.next("k", t, t);
    CHECK(b.current("k") == expect);
    CHECK(b.remaining("k", t, t) == expect);
    t += b.current("k");
    CHECK(b.remaining("k", t - b.current("k"), t) == Duration::zero());
    expect = std::min<Duration>(expect * 2, std::chrono::seconds(300));
  }
  t += std::chrono::seconds(601);
  CHECK(b.remaining("k", t, t) == Duration::zero());
  b.next("k", t, t);
  CHECK(b.current("k") == std::chrono::seconds(10));
}

TEST_CASE("sidecars end after the regular containers, the last one first") {
  core::Pod p = pod("a", {container("x"), container("y")}, {sidecar("s1"), container("i"), sidecar("s2")});
  using Stages = std::vector<std::vector<std::string>>;
  CHECK(termination_stages(p, {"x", "s1", "s2", "y"}) == Stages{{"x", "y"}, {"s2"}, {"s1"}});
  CHECK(termination_stages(p, {"s1"}) == Stages{{"s1"}});
  CHECK(termination_stages(p, {}).empty());
}
