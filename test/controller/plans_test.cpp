#include "controller/cidr_set.hpp"
#include "controller/deployment_plan.hpp"
#include "controller/job_indexes.hpp"
#include "controller/job_policy.hpp"
#include "controller/service_endpoints.hpp"

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::controller;
namespace v1 = onebin::api::core::v1;

namespace {

Deployment deployment(int replicas, const char* surge = "25%", const char* unavailable = "25%") {
  Deployment d;
  d.metadata.name = "web";
  d.spec.replicas = replicas;
  d.spec.strategy.type = "RollingUpdate";
  auto& r = d.spec.strategy.rolling_update.ensure();
  r.max_surge = apimachinery::IntOrString(surge);
  r.max_unavailable = apimachinery::IntOrString(unavailable);
  return d;
}
ReplicaSet set(const std::string& name, int replicas, int available, std::int64_t created = 1) {
  ReplicaSet rs;
  rs.metadata.name = name;
  rs.metadata.uid = "uid-" + name;
  rs.metadata.creation_timestamp = apimachinery::Time::from_unix(created);
  rs.spec.replicas = replicas;
  rs.status.replicas = replicas;
  rs.status.available_replicas = available;
  return rs;
}

Pod ready_pod(const std::string& name, const std::string& ip, bool ready = true) {
  Pod p;
  p.metadata.name = name;
  p.metadata.namespace_ = "default";
  p.metadata.uid = "uid-" + name;
  p.spec.node_name = "node";
  v1::Container c;
  v1::ContainerPort port;
  port.name = "http";
  port.container_port = 8080;
  c.ports.push_back(port);
  p.spec.containers.push_back(c);
  p.status.phase = "Running";
  p.status.pod_ip = ip;
  v1::PodIP i;
  i.ip = ip;
  p.status.pod_ips.push_back(i);
  v1::PodCondition cond;
  cond.type = "Ready";
  cond.status = ready ? "True" : "False";
  p.status.conditions.push_back(cond);
  return p;
}
Service service() {
  Service s;
  s.metadata.name = "web";
  s.metadata.namespace_ = "default";
  s.metadata.uid = "svc";
  s.spec.cluster_ip = "10.43.0.5";
  s.spec.selector = {{"app", "web"}};
  v1::ServicePort p;
  p.name = "main";
  p.port = 80;
  p.target_port = apimachinery::IntOrString("http");
  s.spec.ports.push_back(p);
  return s;
}

}  // namespace

TEST_CASE("a rolling update's bounds: surge rounds up, unavailable down, never both nothing") {
  CHECK(max_surge(deployment(10)) == 3);
  CHECK(max_unavailable(deployment(10)) == 2);
  CHECK(max_unavailable(deployment(1, "0%", "0%")) == 1);
}

TEST_CASE("the new ReplicaSet grows into the room that the others leave") {
  Deployment d = deployment(10);
  std::vector<ReplicaSet> all{set("old", 10, 10), set("new", 0, 0, 2)};
  CHECK(new_replicas(d, all, all[1]) == 3);
  all[0].spec.replicas = 8;
  all[1].spec.replicas = 3;
  CHECK(new_replicas(d, all, all[1]) == 5);
}

TEST_CASE("old ReplicaSets shrink as far as enough pods stay available, sick ones first") {
  Deployment d = deployment(10);
  std::vector<ReplicaSet> all{set("old", 10, 10), set("new", 3, 0, 2)};
  CHECK(scale_down_old(d, all, all[1]) == std::map<std::string, int>{{"old", 8}});
  all[0].status.available_replicas = 8;
  CHECK(scale_down_old(d, all, all[1]) == std::map<std::string, int>{{"old", 8}});  // the two that serve nobody
}

TEST_CASE("scaling during a rollout keeps the proportions") {
  Deployment d = deployment(20, "0", "1");
  std::vector<ReplicaSet> all{set("old", 5, 5), set("new", 5, 5, 2)};
  for (auto& rs : all) rs.metadata.annotations[kMaxReplicas] = "10";
  for (auto& rs : all) rs.spec.template_.metadata.labels["v"] = rs.metadata.name;
  auto sizes = scale_proportionally(d, all);
  CHECK(sizes["old"] == 10);
  CHECK(sizes["new"] == 10);
}

TEST_CASE("history: the oldest empty ReplicaSets beyond the limit go") {
  Deployment d = deployment(1);
  d.spec.revision_history_limit = 1;
  std::vector<ReplicaSet> old{set("a", 0, 0, 1), set("b", 0, 0, 2), set("c", 0, 0, 3)};
  old[0].metadata.annotations[kRevision] = "1";
  old[1].metadata.annotations[kRevision] = "2";
  old[2].metadata.annotations[kRevision] = "3";
  old[1].spec.replicas = 1;
  auto gone = beyond_history(d, old);
  REQUIRE(gone.size() == 1);
  CHECK(gone[0]->metadata.name == "a");
}

TEST_CASE("completion indexes, compressed and back") {
  CHECK(format_indexes({1, 3, 4, 5, 7, 8}) == "1,3-5,7,8");
  CHECK(parse_indexes("1,3-5,7", 6) == std::set<int>{1, 3, 4, 5});
  CHECK(parse_indexes("", 6).empty());
  CHECK(parse_indexes("x,2", 6) == std::set<int>{2});
}

TEST_CASE("pod failure policy: the first rule that matches decides") {
  Job j;
  auto& policy = j.spec.pod_failure_policy.ensure();
  api::batch::v1::PodFailurePolicyRule ignore, fail;
  ignore.action = "Ignore";
  api::batch::v1::PodFailurePolicyOnPodConditionsPattern c;
  c.type = "DisruptionTarget";
  ignore.on_pod_conditions.push_back(c);
  fail.action = "FailJob";
  auto& codes = fail.on_exit_codes.ensure();
  codes.operator_ = "In";
  codes.values = {42};
  policy.rules = {ignore, fail};
  Pod p = ready_pod("p", "10.0.0.1");
  v1::ContainerStatus s;
  s.name = "main";
  s.state.terminated.ensure().exit_code = 42;
  p.status.container_statuses.push_back(s);
  CHECK(failure_action(j, p).kind == FailureAction::Kind::FailJob);
  v1::PodCondition disrupted;
  disrupted.type = "DisruptionTarget";
  disrupted.status = "True";
  p.status.conditions.push_back(disrupted);
  CHECK(failure_action(j, p).kind == FailureAction::Kind::Ignore);
}

TEST_CASE("node ranges are handed out once, and again when they are free") {
  auto s = CidrSet::make("10.42.0.0/22", 24);
  REQUIRE(s);
  CHECK(s->size() == 4);
  s->occupy("10.42.1.0/24");
  CHECK(*s->allocate() == "10.42.0.0/24");
  CHECK(*s->allocate() == "10.42.2.0/24");
  CHECK(*s->allocate() == "10.42.3.0/24");
  CHECK_FALSE(s->allocate());
  s->release("10.42.1.0/24");
  CHECK(*s->allocate() == "10.42.1.0/24");
  CHECK(CidrSet::make("fd00::/62", 64)->at(3) == "fd00:0:0:3::/64");
  CHECK_FALSE(CidrSet::make("nonsense", 24));
}

TEST_CASE("endpoints: named ports, readiness, terminating pods") {
  Service s = service();
  std::vector<Pod> pods{ready_pod("a", "10.42.0.2"), ready_pod("b", "10.42.0.3", false), ready_pod("c", "10.42.0.4"), ready_pod("d", "")};
  pods[2].metadata.deletion_timestamp = apimachinery::Time::from_unix(5);
  pods[3].status.pod_ips.clear();
  auto slices = desired_slices(s, pods, "IPv4", [](const std::string&) { return std::string("zone-1"); });
  REQUIRE(slices.size() == 1);
  REQUIRE(slices[0].endpoints.size() == 3);
  CHECK(*slices[0].ports[0].port == 8080);
  CHECK(*slices[0].endpoints[0].conditions.ready);
  CHECK_FALSE(*slices[0].endpoints[1].conditions.ready);
  CHECK_FALSE(*slices[0].endpoints[2].conditions.ready);
  CHECK(*slices[0].endpoints[2].conditions.serving);
  CHECK(*slices[0].endpoints[0].zone == "zone-1");
  auto e = desired_endpoints(s, pods);
  REQUIRE(e.subsets.size() == 1);
  CHECK(e.subsets[0].addresses.size() == 1);
  CHECK(e.subsets[0].not_ready_addresses.size() == 1);
}

TEST_CASE("slices: nothing is written when nothing changed, one update when a pod comes") {
  Service s = service();
  auto zone = [](const std::string&) { return std::string(); };
  std::vector<Pod> pods{ready_pod("a", "10.42.0.2")};
  auto existing = desired_slices(s, pods, "IPv4", zone);
  existing[0].metadata.name = "web-x";
  SliceChanges none = plan_slices(s, existing, desired_slices(s, pods, "IPv4", zone));
  CHECK((none.create.empty() && none.update.empty() && none.remove.empty()));
  pods.push_back(ready_pod("b", "10.42.0.3"));
  SliceChanges one = plan_slices(s, existing, desired_slices(s, pods, "IPv4", zone));
  CHECK(one.create.empty());
  REQUIRE(one.update.size() == 1);
  CHECK(one.update[0].metadata.name == "web-x");
  CHECK(one.update[0].endpoints.size() == 2);
  std::vector<Pod> many;
  for (int i = 0; i < 250; ++i) many.push_back(ready_pod("p" + std::to_string(i), "10.42.1." + std::to_string(i)));
  CHECK(desired_slices(s, many, "IPv4", zone).size() == 3);
}
