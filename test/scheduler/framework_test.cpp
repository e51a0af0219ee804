#include "scheduler/framework.hpp"
#include "scheduler/queue.hpp"

#include <onebin/async/group.hpp>

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::scheduler;
namespace v1 = onebin::api::core::v1;

namespace {

struct Cluster {
  std::map<std::string, NodeInfo> nodes;
  ShapePool pool;
  Plugins plugins = default_plugins();
  Snapshot snapshot{&nodes, nullptr};

  NodeInfo& add_node(const std::string& name, const std::string& cpu = "2", const std::string& memory = "4Gi", Labels labels = {}) {
    v1::Node n;
    n.metadata.name = name;
    n.metadata.labels = std::move(labels);
    n.metadata.labels["kubernetes.io/hostname"] = name;
    n.status.allocatable = {{"cpu", apimachinery::Quantity::must_parse(cpu)}, {"memory", apimachinery::Quantity::must_parse(memory)},
                            {"pods", apimachinery::Quantity(110)}};
    update_node(nodes[name], n);
    return nodes[name];
  }
  void place(v1::Pod pod, const std::string& node) {
    pod.spec.node_name = node;
    nodes[node].add(std::make_shared<const PodInfo>(pod_info(pod, pool)));
  }
  std::map<std::string, std::string> verdicts(const v1::Pod& pod) {
    PodInfo info = pending_pod_info(pod, pool);
    Cycle cycle(plugins, info, snapshot);
    std::map<std::string, std::string> out;
    for (const auto& [name, n] : nodes) out[name] = cycle.filter(n).reason;
    return out;
  }
  std::string best(const v1::Pod& pod) {
    PodInfo info = pending_pod_info(pod, pool);
    Cycle cycle(plugins, info, snapshot);
    std::vector<const NodeInfo*> fitting;
    for (const auto& [name, n] : nodes)
      if (cycle.filter(n).fits) fitting.push_back(&n);
    auto scores = cycle.score(fitting);
    std::size_t at = 0;
    for (std::size_t i = 1; i < fitting.size(); ++i)
      if (scores[i] > scores[at]) at = i;
    return fitting.empty() ? "" : fitting[at]->name;
  }
};

v1::Pod pod(const std::string& name, const std::string& cpu = "", Labels labels = {}, int priority = 0) {
  v1::Pod p;
  p.metadata.name = name;
  p.metadata.namespace_ = "default";
  p.metadata.uid = "uid-" + name;
  p.metadata.labels = std::move(labels);
  p.spec.priority = priority;
  v1::Container c;
  c.name = "c";
  c.image = "image";
  if (!cpu.empty()) c.resources.requests["cpu"] = apimachinery::Quantity::must_parse(cpu);
  p.spec.containers.push_back(std::move(c));
  return p;
}

v1::PodAffinityTerm term(const std::string& key, Labels labels) {
  v1::PodAffinityTerm t;
  t.topology_key = key;
  t.label_selector.ensure().match_labels = std::move(labels);
  return t;
}

}  // namespace

TEST_CASE("resources: what does not fit, and the emptier node wins") {
  Cluster c;
  c.add_node("a");
  c.add_node("b");
  c.place(pod("big", "1500m"), "a");
  auto v = c.verdicts(pod("p", "1"));
  CHECK(v["a"] == "Insufficient cpu");
  CHECK(v["b"].empty());
  CHECK(c.best(pod("small", "100m")) == "b");
}

TEST_CASE("requests: init containers count by their peak, sidecars beside the others") {
  v1::Pod p = pod("p", "500m");
  v1::Container init;
  init.resources.requests["cpu"] = apimachinery::Quantity::must_parse("2");
  p.spec.init_containers.push_back(init);
  CHECK(pod_requests(p).milli_cpu == 2000);
  v1::Container sidecar;
  sidecar.restart_policy = "Always";
  sidecar.resources.requests["cpu"] = apimachinery::Quantity::must_parse("300m");
  p.spec.init_containers.insert(p.spec.init_containers.begin(), sidecar);
  CHECK(pod_requests(p).milli_cpu == 2300);  // the sidecar runs beside the init container that comes after it
}

TEST_CASE("taints, unschedulable nodes and node affinity keep pods away") {
  Cluster c;
  v1::Taint t;
  t.key = "dedicated";
  t.value = "gpu";
  t.effect = "NoSchedule";
  c.add_node("tainted").taints.push_back(t);
  c.add_node("closed").unschedulable = true;
  c.add_node("ssd", "2", "4Gi", {{"disk", "ssd"}});
  v1::Pod p = pod("p");
  auto v = c.verdicts(p);
  CHECK(v["tainted"] == "node(s) had untolerated taint(s)");
  CHECK(v["closed"] == "node(s) were unschedulable");
  CHECK(v["ssd"].empty());
  v1::Toleration tol;
  tol.key = "dedicated";
  tol.operator_ = "Exists";
  p.spec.tolerations.push_back(tol);
  CHECK(c.verdicts(p)["tainted"].empty());
  v1::NodeSelectorRequirement r;
  r.key = "disk";
  r.operator_ = "NotIn";
  r.values = {"ssd"};
  v1::NodeSelectorTerm term;
  term.match_expressions.push_back(r);
  p.spec.affinity.ensure().node_affinity.ensure().required_during_scheduling_ignored_during_execution.ensure().node_selector_terms.push_back(term);
  CHECK(c.verdicts(p)["ssd"] == "node(s) didn't match Pod's node affinity/selector");
}

TEST_CASE("host ports collide by address and protocol") {
  Cluster c;
  c.add_node("a");
  v1::Pod p = pod("p");
  v1::ContainerPort port;
  port.container_port = port.host_port = 80;
  port.protocol = "TCP";
  p.spec.containers[0].ports.push_back(port);
  c.place(p, "a");
  v1::Pod q = pod("q");
  q.spec.containers[0].ports = {port};
  CHECK(c.verdicts(q)["a"] == "node(s) didn't have free ports for the requested pod ports");
  q.spec.containers[0].ports[0].protocol = "UDP";
  CHECK(c.verdicts(q)["a"].empty());
}

TEST_CASE("spread constraints bound the skew between domains") {
  Cluster c;
  c.add_node("a", "4", "8Gi", {{"zone", "x"}});
  c.add_node("b", "4", "8Gi", {{"zone", "y"}});
  c.place(pod("one", "", {{"app", "web"}}), "a");
  v1::Pod p = pod("two", "", {{"app", "web"}});
  v1::TopologySpreadConstraint s;
  s.max_skew = 1;
  s.topology_key = "zone";
  s.when_unsatisfiable = "DoNotSchedule";
  s.label_selector.ensure().match_labels = {{"app", "web"}};
  p.spec.topology_spread_constraints.push_back(s);
  auto v = c.verdicts(p);
  CHECK(v["a"] == "node(s) didn't match pod topology spread constraints");
  CHECK(v["b"].empty());
}

TEST_CASE("pods of one controller are spread without being told") {
  Cluster c;
  c.add_node("a", "4", "8Gi");
  c.add_node("b", "4", "8Gi");
  v1::Pod p = pod("one");
  api::meta::v1::OwnerReference o;
  o.uid = "rs";
  o.controller = true;
  p.metadata.owner_references.push_back(o);
  c.place(p, "a");
  v1::Pod q = p;
  q.metadata.uid = "uid-two";
  CHECK(c.best(q) == "b");
}

TEST_CASE("pod affinity and anti-affinity, both ways") {
  Cluster c;
  c.add_node("a");
  c.add_node("b");
  c.place(pod("db", "", {{"app", "db"}}), "a");
  v1::Pod near = pod("near");
  near.spec.affinity.ensure().pod_affinity.ensure().required_during_scheduling_ignored_during_execution.push_back(term("kubernetes.io/hostname", {{"app", "db"}}));
  auto v = c.verdicts(near);
  CHECK(v["a"].empty());
  CHECK(v["b"] == "node(s) didn't match pod affinity rules");
  v1::Pod far = pod("far", "", {{"app", "far"}});
  far.spec.affinity.ensure().pod_anti_affinity.ensure().required_during_scheduling_ignored_during_execution.push_back(term("kubernetes.io/hostname", {{"app", "db"}}));
  CHECK(c.verdicts(far)["a"] == "node(s) didn't match pod anti-affinity rules");
  // An assigned pod's anti-affinity keeps others away too.
  c.place(far, "b");
  CHECK(c.verdicts(pod("db2", "", {{"app", "db"}}))["b"] == "node(s) didn't satisfy existing pods anti-affinity rules");
  // The first of a group that wants to be together may start one.
  v1::Pod self = pod("self", "", {{"app", "self"}});
  self.spec.affinity.ensure().pod_affinity.ensure().required_during_scheduling_ignored_during_execution.push_back(term("kubernetes.io/hostname", {{"app", "self"}}));
  CHECK(c.verdicts(self)["a"].empty());
}

TEST_CASE("preemption ends the fewest and least important pods, and none that would not help") {
  Cluster c;
  c.add_node("a");
  c.add_node("b");
  c.place(pod("low", "1500m", {}, 1), "a");
  c.place(pod("mid", "1500m", {}, 5), "b");
  v1::Pod p = pod("high", "1", {}, 10);
  PodInfo info = pending_pod_info(p, c.pool);
  Cycle cycle(c.plugins, info, c.snapshot);
  std::map<std::string, Verdict> failed;
  for (const auto& [name, n] : c.nodes) failed[name] = cycle.filter(n);
  auto plan = plan_preemption(c.plugins, info, c.snapshot, failed, {});
  REQUIRE(plan);
  CHECK(plan->node == "a");
  REQUIRE(plan->victims.size() == 1);
  CHECK(plan->victims[0]->name == "low");
  // A budget makes the other node the lesser harm.
  c.nodes["a"].remove("uid-low");
  c.place(pod("low", "1500m", {{"app", "kept"}}, 1), "a");
  DisruptionBudget budget{"default", LabelSelector::from_map({{"app", "kept"}}), 0};
  plan = plan_preemption(c.plugins, info, c.snapshot, failed, {budget});
  REQUIRE(plan);
  CHECK(plan->node == "b");
  v1::Pod weak = pod("weak", "1", {}, 0);
  CHECK_FALSE(plan_preemption(c.plugins, pending_pod_info(weak, c.pool), c.snapshot, failed, {}));
}

TEST_CASE("a failure is told by its reasons' counts") {
  std::map<std::string, Verdict> failed{{"a", Verdict::no("Insufficient cpu")}, {"b", Verdict::no("Insufficient cpu")}, {"c", Verdict::never("node(s) were unschedulable")}};
  CHECK(explain_failure(3, failed) == "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu.");
}

namespace {
async::Task<void> pop_all(SchedulingQueue* q, std::vector<std::string>* out) {
  for (;;) {
    auto p = co_await q->pop();
    if (!p) co_return;
    out->push_back((*p)->name);
  }
}
}  // namespace

TEST_CASE("the queue: priority first, back-off doubles, changes bring failed pods back") {
  auto loop = async::SimLoop::create(WallTime{});
  ShapePool pool;
  SchedulingQueue q;
  auto info = [&](const v1::Pod& p) { return std::make_shared<const PodInfo>(pending_pod_info(p, pool)); };
  PodInfoPtr low = info(pod("low", "", {}, 1)), high = info(pod("high", "", {}, 9)), gated = info(pod("gated"));
  q.add(low, false);
  q.add(high, false);
  q.add(gated, true);
  async::TaskGroup group("test");
  std::vector<std::string> got;
  group.spawn(pop_all(&q, &got));
  loop->run_ready();
  CHECK(got == std::vector<std::string>{"high", "low"});
  q.failed(low, false);
  loop->run_for(30s);
  CHECK(got.size() == 2);  // nothing changed: it waits
  q.move_all();
  loop->run_ready();
  CHECK(got.back() == "low");
  q.failed(low, false);
  q.move_all();  // its back-off, two seconds by now, is not over
  loop->run_for(1s);
  CHECK(got.size() == 3);
  loop->run_for(2s);
  CHECK(got.size() == 4);
  q.update(gated, false, true);
  loop->run_ready();
  CHECK(got.back() == "gated");
  q.failed(low, false);
  q.remove(low->uid);
  loop->run_for(10min);
  CHECK(got.size() == 5);
  q.close();
  loop->run_ready();
}
