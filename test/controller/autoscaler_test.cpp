#include "cluster.hpp"
#include "controller/autoscaler_plan.hpp"

using namespace onebin;
using namespace onebin::controller;
using namespace onebin::controller::test;

namespace {

const WallTime kNow = from_unix(1800000000);

Pod pod(const std::string& name, const char* cpu = "100m", bool ready = true) {
  Pod p;
  p.metadata.name = name;
  p.status.phase = "Running";
  p.status.start_time = kNow - 1h;
  auto& c = p.spec.containers.emplace_back();
  c.name = "c";
  if (*cpu) c.resources.requests["cpu"] = apimachinery::Quantity::must_parse(cpu);
  auto& k = p.status.conditions.emplace_back();
  k.type = "Ready";
  k.status = ready ? "True" : "False";
  k.last_transition_time = kNow - 50min;
  return p;
}
PodMetric used(std::int64_t milli) {
  PodMetric m;
  m.value = milli;
  m.at = kNow;
  return m;
}
HorizontalPodAutoscaler bounds(int least, int most) {
  HorizontalPodAutoscaler h;
  h.spec.min_replicas = least;
  h.spec.max_replicas = most;
  return h;
}
std::string limited(const Sized& s) {
  for (const auto& c : s.conditions)
    if (c.type == "ScalingLimited") return c.reason;
  return "";
}

}  // namespace

TEST_CASE("utilization: the ratio to the target, of ready pods, beyond the tolerance") {
  std::vector<Pod> pods{pod("a"), pod("b")};
  auto p = by_utilization(pods, {{"a", used(150)}, {"b", used(150)}}, 2, 50, "cpu", "", {}, kNow);
  REQUIRE(p.failure);
  CHECK(p.replicas == 6);
  CHECK(p.utilization == 150);
  CHECK(p.average == 150);
  CHECK(by_utilization(pods, {{"a", used(52)}, {"b", used(53)}}, 2, 50, "cpu", "", {}, kNow).replicas == 2);
  CHECK(by_utilization(pods, {{"a", used(10)}, {"b", used(10)}}, 2, 50, "cpu", "", {}, kNow).replicas == 1);
  CHECK(by_utilization({pod("a", "")}, {{"a", used(10)}}, 1, 50, "cpu", "", {}, kNow).failure.message() == "missing request for cpu in container c of Pod a");
  CHECK(by_utilization({}, {}, 1, 50, "cpu", "", {}, kNow).failure.message() == "no pods returned by selector while calculating replica count");
}

TEST_CASE("pods without figures, or not ready, speak against scaling") {
  std::vector<Pod> pods{pod("a"), pod("b"), pod("c")};
  // Missing ones count as idle on the way up, as fully used on the way down.
  CHECK(by_utilization(pods, {{"a", used(100)}}, 3, 50, "cpu", "", {}, kNow).replicas == 3);
  CHECK(by_utilization(pods, {{"a", used(10)}}, 3, 50, "cpu", "", {}, kNow).replicas == 3);
  pods[2] = pod("c", "100m", false);
  pods[2].status.start_time = kNow - 1min;
  CHECK(by_utilization(pods, {{"a", used(200)}, {"b", used(200)}, {"c", used(900)}}, 3, 50, "cpu", "", {}, kNow).replicas == 8);
  CHECK(by_average(pods, {{"a", used(400)}, {"b", used(400)}, {"c", used(400)}}, 3, 200, "", {}, kNow).replicas == 6);
}

TEST_CASE("sizes stay within bounds and rates, and go down only when nothing higher was recommended lately") {
  ScalingHistory history;
  auto h = bounds(1, 10);
  Sized s = limit_size(h, 2, 9, history, kNow);
  CHECK(s.replicas == 4);
  CHECK(limited(s) == "ScaleUpLimit");
  s = limit_size(h, 8, 20, history, kNow + 15s);
  CHECK(s.replicas == 10);
  CHECK(limited(s) == "TooManyReplicas");
  s = limit_size(h, 10, 3, history, kNow + 30s);
  CHECK(s.replicas == 10);
  CHECK(s.conditions[0].reason == "ScaleDownStabilized");
  s = limit_size(h, 10, 0, history, kNow + 10min);
  CHECK(s.replicas == 1);
  CHECK(limited(s) == "TooFewReplicas");
}

TEST_CASE("behavior: policies bound how much may change in a period") {
  auto h = bounds(1, 100);
  auto& up = h.spec.behavior.ensure().scale_up.ensure();
  up.stabilization_window_seconds = 0;
  up.policies.push_back({"Pods", 2, 60});
  up.policies.push_back({"Percent", 50, 60});
  up.select_policy = "Max";
  auto& down = h.spec.behavior->scale_down.ensure();
  down.stabilization_window_seconds = 0;
  down.policies.push_back({"Pods", 1, 60});
  down.select_policy = "Max";
  ScalingHistory history;
  CHECK(limit_size(h, 10, 50, history, kNow).replicas == 15);
  note_scaling(h, 10, 15, history, kNow);
  CHECK(limit_size(h, 15, 50, history, kNow + 30s).replicas == 15);
  CHECK(limit_size(h, 15, 50, history, kNow + 2min).replicas == 23);
  CHECK(limit_size(h, 15, 1, history, kNow + 4min).replicas == 14);
  up.select_policy = "Disabled";
  CHECK(limit_size(h, 15, 50, history, kNow + 6min).replicas == 15);
}

TEST_CASE("an autoscaler whose metrics nobody serves says so; its bounds hold nevertheless") {
  Cluster c({"horizontal-pod-autoscaler-controller", "deployment-controller", "replicaset-controller"});
  const std::string apps = "/apis/apps/v1/namespaces/default/deployments", path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
  c.create(apps, object("apps/v1", "Deployment", "web", {{"replicas", 1}, {"selector", selector("web")}, {"template", pod_template("web")}}));
  Document metric = {{"type", "Resource"}, {"resource", {{"name", "cpu"}, {"target", {{"type", "Utilization"}, {"averageUtilization", 50}}}}}};
  c.create(path, object("autoscaling/v2", "HorizontalPodAutoscaler", "web", {{"minReplicas", 2}, {"maxReplicas", 4}, {"metrics", Document::array({metric})},
                                                                              {"scaleTargetRef", {{"apiVersion", "apps/v1"}, {"kind", "Deployment"}, {"name", "web"}}}}));
  CHECK(c.get(apps + "/web").body["spec"]["replicas"] == 2);
  CHECK(c.has_event("SuccessfulRescale"));
  c.settle(16s);
  auto h = c.get(path + "/web").body;
  std::map<std::string, Document> conditions;
  for (const auto& k : h["status"]["conditions"]) conditions[k["type"]] = k;
  CHECK(conditions["AbleToScale"]["reason"] == "SucceededGetScale");
  CHECK(conditions["ScalingActive"]["reason"] == "FailedGetResourceMetric");
  CHECK(conditions["ScalingActive"]["message"] ==
        "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource "
        "metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)");
  CHECK(h["status"]["currentReplicas"] == 2);
  CHECK(c.has_event("FailedComputeMetricsReplicas"));
}
