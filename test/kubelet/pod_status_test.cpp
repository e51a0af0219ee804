#include "kubelet/pods.hpp"

#include <onebin/api/codec.hpp>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace onebin;
using namespace onebin::kubelet;
using namespace onebin::kubelet::test;

namespace {

struct Maker {
  core::Pod pod;
  RuntimePod runtime;
  ProbeVerdicts probes;
  core::PodStatus old;
  StatusInput in;
  explicit Maker(core::Pod p) : pod(std::move(p)), runtime(ready_sandbox(pod)) {
    in.now = from_unix(2000);
    in.kubelet_start = from_unix(0);
    in.host_ips = {"192.168.0.1"};
  }
  core::PodStatus make() {
    in.pod = &pod;
    in.old = &old;
    in.runtime = &runtime;
    in.probes = &probes;
    return old = generate_pod_status(in);
  }
};
std::string condition(const core::PodStatus& s, const char* type) {
  const auto* c = find_condition(s, type);
  return c ? c->status + (c->reason.empty() ? "" : " " + c->reason) : "absent";
}

}  // namespace

TEST_CASE("a pod that has just come waits for its containers") {
  Maker m(pod("a", {container("x")}));
  m.runtime = {};
  core::PodStatus s = m.make();
  CHECK(s.phase == "Pending");
  CHECK(s.start_time == Time(from_unix(2000)));
  CHECK(s.host_ip == "192.168.0.1");
  CHECK(s.qos_class == "BestEffort");
  CHECK(s.observed_generation == 1);
  REQUIRE(s.container_statuses.size() == 1);
  REQUIRE(s.container_statuses[0].state.waiting);
  CHECK(s.container_statuses[0].state.waiting->reason == "ContainerCreating");
  CHECK(condition(s, "PodReadyToStartContainers") == "False");
  CHECK(condition(s, "Initialized") == "True");
  CHECK(condition(s, "ContainersReady") == "False ContainersNotReady");
  CHECK(find_condition(s, "Ready")->message == "containers with unready status: [x]");
  CHECK(condition(s, "PodScheduled") == "True");
}

TEST_CASE("a running pod is Ready, and keeps its transition times") {
  Maker m(pod("a", {container("x")}));
  add(m.runtime, m.pod.spec.containers[0], ContainerState::Running);
  core::PodStatus s = m.make();
  CHECK(s.phase == "Running");
  CHECK(s.pod_ip == "10.42.0.2");
  CHECK(s.container_statuses[0].ready);
  CHECK(*s.container_statuses[0].started);
  CHECK(s.container_statuses[0].container_id == "onebin://id-x0");
  CHECK(condition(s, "Ready") == "True");
  m.in.now = from_unix(3000);
  core::PodStatus t = m.make();
  CHECK(t == s);
}

TEST_CASE("readiness and startup probes decide") {
  Maker m(pod("a", {container("x")}));
  m.in.kubelet_start = from_unix(900);
  m.pod.spec.containers[0].readiness_probe = core::Probe();
  m.pod.spec.containers[0].startup_probe = core::Probe();
  auto& c = add(m.runtime, m.pod.spec.containers[0], ContainerState::Running);
  core::PodStatus s = m.make();
  CHECK_FALSE(*s.container_statuses[0].started);
  CHECK_FALSE(s.container_statuses[0].ready);
  m.probes.startup[c.id] = ProbeVerdict::Success;
  s = m.make();
  CHECK(*s.container_statuses[0].started);
  CHECK_FALSE(s.container_statuses[0].ready);
  m.probes.readiness[c.id] = ProbeVerdict::Success;
  CHECK(condition(m.make(), "Ready") == "True");
  m.probes.readiness[c.id] = ProbeVerdict::Failure;
  CHECK(condition(m.make(), "Ready") == "False ContainersNotReady");
}

TEST_CASE("a pod that was Ready before the kubelet started stays so until it is probed") {
  Maker m(pod("a", {container("x")}));
  m.pod.spec.containers[0].readiness_probe = core::Probe();
  core::PodCondition was;
  was.type = "Ready";
  was.status = "True";
  m.pod.status.conditions.push_back(was);
  m.in.kubelet_start = from_unix(1900);
  auto& c = add(m.runtime, m.pod.spec.containers[0], ContainerState::Running);
  CHECK(condition(m.make(), "Ready") == "True");
  m.probes.readiness[c.id] = ProbeVerdict::Failure;
  CHECK(condition(m.make(), "Ready") == "False ContainersNotReady");
}

TEST_CASE("a crashing container waits, and shows how it ended") {
  Maker m(pod("a", {container("x")}));
  auto& c = add(m.runtime, m.pod.spec.containers[0], ContainerState::Exited, 3);
  c.message = "bad thing";
  m.in.wait_reasons["x"] = {"CrashLoopBackOff", "back-off 10s"};
  core::PodStatus s = m.make();
  CHECK(s.phase == "Running");
  const auto& x = s.container_statuses[0];
  REQUIRE(x.state.waiting);
  CHECK(x.state.waiting->reason == "CrashLoopBackOff");
  REQUIRE(x.last_state.terminated);
  CHECK(x.last_state.terminated->exit_code == 3);
  CHECK(x.last_state.terminated->message == "bad thing");
}

TEST_CASE("the last state is that of the container before") {
  Maker m(pod("a", {container("x")}));
  add(m.runtime, m.pod.spec.containers[0], ContainerState::Running).restart_count = 1;
  add(m.runtime, m.pod.spec.containers[0], ContainerState::Exited, 7);
  core::PodStatus s = m.make();
  CHECK(s.container_statuses[0].restart_count == 1);
  REQUIRE(s.container_statuses[0].last_state.terminated);
  CHECK(s.container_statuses[0].last_state.terminated->exit_code == 7);
}

TEST_CASE("phases of ended pods") {
  struct Case { const char* policy; int a, b; const char* phase; };
  for (const Case& c : {Case{"Never", 0, 0, "Succeeded"}, Case{"Never", 0, 1, "Failed"}, Case{"OnFailure", 0, 0, "Succeeded"},
                        Case{"OnFailure", 0, 1, "Running"}, Case{"Always", 0, 0, "Running"}}) {
    Maker m(pod("a", {container("x"), container("y")}, {}, c.policy));
    add(m.runtime, m.pod.spec.containers[0], ContainerState::Exited, c.a);
    add(m.runtime, m.pod.spec.containers[1], ContainerState::Exited, c.b);
    INFO(c.policy << c.a << c.b);
    CHECK(m.make().phase == c.phase);
  }
}

TEST_CASE("no terminal phase while something may run, and none is left again") {
  Maker m(pod("a", {container("x")}, {}, "Never"));
  add(m.runtime, m.pod.spec.containers[0], ContainerState::Running);
  m.make();
  m.runtime.containers[0].state = ContainerState::Exited;
  m.in.may_run = true;
  CHECK(m.make().phase == "Running");
  m.in.may_run = false;
  core::PodStatus s = m.make();
  CHECK(s.phase == "Succeeded");
  CHECK(condition(s, "Ready") == "False PodCompleted");
  CHECK(condition(s, "Initialized") == "True PodCompleted");
  m.runtime = {};
  CHECK(m.make().phase == "Succeeded");
}

TEST_CASE("a deleted pod's containers decide between Succeeded and Failed") {
  Maker m(pod("a", {container("x")}));
  m.in.terminal = true;
  add(m.runtime, m.pod.spec.containers[0], ContainerState::Exited, 0);
  CHECK(m.make().phase == "Succeeded");
  Maker n(pod("b", {container("x")}));
  n.in.terminal = true;
  add(n.runtime, n.pod.spec.containers[0], ContainerState::Exited, 137);
  CHECK(n.make().phase == "Failed");
}

TEST_CASE("initialization shows in conditions and phase") {
  Maker m(pod("a", {container("x")}, {container("i")}));
  auto& i = add(m.runtime, m.pod.spec.init_containers[0], ContainerState::Running);
  core::PodStatus s = m.make();
  CHECK(s.phase == "Pending");
  CHECK(condition(s, "Initialized") == "False ContainersNotInitialized");
  CHECK(s.container_statuses[0].state.waiting->reason == "PodInitializing");
  i.state = ContainerState::Exited;
  s = m.make();
  CHECK(condition(s, "Initialized") == "True");
  CHECK(s.init_container_statuses[0].ready);
  m.pod.spec.restart_policy = "Never";
  m.runtime.containers[0].exit_code = 1;
  m.old = {};
  CHECK(m.make().phase == "Failed");
}

TEST_CASE("readiness gates and foreign conditions are respected") {
  Maker m(pod("a", {container("x")}));
  core::PodReadinessGate g;
  g.condition_type = "example.com/ok";
  m.pod.spec.readiness_gates.push_back(g);
  add(m.runtime, m.pod.spec.containers[0], ContainerState::Running);
  CHECK(condition(m.make(), "Ready") == "False ReadinessGatesNotReady");
  core::PodCondition c;
  c.type = "example.com/ok";
  c.status = "True";
  m.pod.status.conditions.push_back(c);
  core::PodStatus s = m.make();
  CHECK(condition(s, "Ready") == "True");
  CHECK(condition(s, "example.com/ok") == "True");
}

TEST_CASE("an evicted pod is Failed with the reason and a DisruptionTarget condition") {
  Maker m(pod("a", {container("x")}));
  m.in.verdict = PodVerdict{"Evicted", "memory was short", true, "TerminationByKubelet"};
  add(m.runtime, m.pod.spec.containers[0], ContainerState::Exited, 137);
  core::PodStatus s = m.make();
  CHECK(s.phase == "Failed");
  CHECK(s.reason == "Evicted");
  CHECK(condition(s, "DisruptionTarget") == "True TerminationByKubelet");
}

TEST_CASE("a container that vanished while it ran is counted as restarted") {
  Maker m(pod("a", {container("x")}));
  add(m.runtime, m.pod.spec.containers[0], ContainerState::Running);
  m.make();
  m.runtime.containers.clear();
  core::PodStatus s = m.make();
  CHECK(s.container_statuses[0].restart_count == 1);
  CHECK(s.container_statuses[0].last_state.terminated->reason == "ContainerStatusUnknown");
  CHECK(s.phase == "Running");
}

TEST_CASE("the status patch holds only what differs, and the pod's uid") {
  Maker m(pod("a", {container("x")}));
  core::PodStatus before = m.make();
  CHECK(status_patch(m.pod, before, before).empty());
  add(m.runtime, m.pod.spec.containers[0], ContainerState::Running);
  core::PodStatus after = m.make();
  auto patch = nlohmann::json::parse(status_patch(m.pod, before, after));
  CHECK(patch["metadata"]["uid"] == "uid-of-a");
  CHECK(patch["status"]["phase"] == "Running");
  CHECK_FALSE(patch["status"].contains("startTime"));
  CHECK_FALSE(patch["status"].contains("qosClass"));
  for (const auto& c : patch["status"]["conditions"]) CHECK(c["type"] != "PodScheduled");
  core::PodStatus moved = after;
  moved.pod_ips[0].ip = moved.pod_ip = "10.42.0.3";
  moved.reason = "X";
  patch = nlohmann::json::parse(status_patch(m.pod, moved, after));
  CHECK(patch["status"]["podIPs"].back()["$patch"] == "replace");
  CHECK(patch["status"]["reason"].is_null());
}
