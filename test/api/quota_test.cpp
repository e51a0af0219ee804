#include <onebin/api/quota.hpp>

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::api;
namespace v1 = onebin::api::core::v1;
using apimachinery::Quantity;

namespace {

v1::Container container(const std::string& name, ResourceList requests, ResourceList limits = {}) {
  v1::Container c;
  c.name = name;
  c.resources.requests = std::move(requests);
  c.resources.limits = std::move(limits);
  return c;
}
Quantity q(const char* text) { return Quantity::must_parse(text); }
const WallTime kNow = from_unix(1800000000);

quota::ResourceQuota quota_of(std::vector<std::string> scopes) {
  quota::ResourceQuota r;
  r.spec.scopes = std::move(scopes);
  return r;
}
quota::ResourceQuota selecting(const char* scope, const char* op, std::vector<std::string> values) {
  quota::ResourceQuota r;
  r.spec.scope_selector.ensure().match_expressions.push_back({scope, op, std::move(values)});
  return r;
}

}  // namespace

TEST_CASE("a pod's effective requests and limits") {
  v1::Pod p;
  p.spec.containers = {container("a", {{"cpu", q("100m")}, {"memory", q("1Gi")}}, {{"cpu", q("1")}}), container("b", {{"cpu", q("200m")}})};
  CHECK(pod_requests(p) == ResourceList{{"cpu", q("300m")}, {"memory", q("1Gi")}});
  CHECK(pod_limits(p) == ResourceList{{"cpu", q("1")}});
  v1::Container sidecar = container("s", {{"cpu", q("50m")}});
  sidecar.restart_policy = "Always";
  p.spec.init_containers = {container("first", {{"cpu", q("10m")}}), sidecar, container("big", {{"cpu", q("2")}})};
  CHECK(pod_requests(p)["cpu"] == q("2050m"));
  p.spec.overhead = {{"cpu", q("5m")}, {"memory", q("1Mi")}};
  CHECK(pod_requests(p)["cpu"] == q("2055m"));
  CHECK(pod_limits(p)["cpu"] == q("1005m"));
  CHECK_FALSE(pod_limits(p).count("memory"));
  p.spec.overhead.clear();
  p.spec.resources.ensure().requests = {{"cpu", q("4")}, {"example.com/gpu", q("9")}};
  CHECK(pod_requests(p)["cpu"] == q("4"));
  CHECK_FALSE(pod_requests(p).count("example.com/gpu"));
}

TEST_CASE("a pod that is being resized needs the most of what was asked, allotted and is in effect") {
  v1::Pod p;
  p.spec.containers = {container("a", {{"cpu", q("1")}})};
  v1::ContainerStatus s;
  s.name = "a";
  s.allocated_resources = {{"cpu", q("2")}};
  s.resources.ensure().requests = {{"cpu", q("3")}};
  p.status.container_statuses = {s};
  CHECK(pod_requests(p)["cpu"] == q("3"));
  p.spec.containers[0].resources.requests["cpu"] = q("8");
  CHECK(pod_requests(p)["cpu"] == q("8"));
  v1::PodCondition c;
  c.type = "PodResizePending";
  c.reason = "Infeasible";
  p.status.conditions = {c};
  CHECK(pod_requests(p)["cpu"] == q("3"));
}

TEST_CASE("what a pod uses of a quota") {
  v1::Pod p;
  p.spec.containers = {container("a", {{"cpu", q("1")}, {"memory", q("1Gi")}, {"example.com/gpu", q("2")}, {"hugepages-2Mi", q("4Mi")}}, {{"memory", q("2Gi")}})};
  quota::Use u = quota::use_of(p, kNow);
  CHECK(u.usage == ResourceList{{"count/pods", 1}, {"pods", 1}, {"cpu", q("1")}, {"requests.cpu", q("1")}, {"memory", q("1Gi")}, {"requests.memory", q("1Gi")},
                                {"limits.memory", q("2Gi")}, {"requests.example.com/gpu", q("2")}, {"hugepages-2Mi", q("4Mi")}, {"requests.hugepages-2Mi", q("4Mi")}});
  CHECK_FALSE(u.best_effort);
  p.status.phase = "Succeeded";
  CHECK(quota::use_of(p, kNow).usage == ResourceList{{"count/pods", 1}});
  p.status.phase = "Running";
  p.metadata.deletion_timestamp = kNow;
  p.metadata.deletion_grace_period_seconds = 30;
  CHECK(quota::use_of(p, kNow + 29s).usage.size() > 1);
  CHECK(quota::use_of(p, kNow + 31s).usage.size() == 1);
  CHECK(*quota::ends_counting(p) == kNow + 30s);
}

TEST_CASE("scopes") {
  v1::Pod p;
  p.spec.containers = {container("a", {})};
  quota::Use plain = quota::use_of(p, kNow);
  CHECK(quota::in_scope(quota_of({}), plain));
  CHECK(quota::in_scope(quota_of({"NotTerminating", "BestEffort"}), plain));
  CHECK_FALSE(quota::in_scope(quota_of({"NotTerminating", "NotBestEffort"}), plain));
  CHECK_FALSE(quota::in_scope(selecting("PriorityClass", "Exists", {}), plain));
  CHECK(quota::in_scope(selecting("PriorityClass", "DoesNotExist", {}), plain));
  CHECK(quota::in_scope(selecting("PriorityClass", "NotIn", {"high"}), plain));
  CHECK_FALSE(quota::in_scope(quota_of({"CrossNamespacePodAffinity"}), plain));
  p.spec.priority_class_name = "high";
  p.spec.active_deadline_seconds = 5;
  v1::PodAffinityTerm term;
  term.namespaces = {"other"};
  p.spec.affinity.ensure().pod_anti_affinity.ensure().required_during_scheduling_ignored_during_execution = {term};
  quota::Use u = quota::use_of(p, kNow);
  CHECK(quota::in_scope(quota_of({"Terminating", "CrossNamespacePodAffinity"}), u));
  CHECK(quota::in_scope(selecting("PriorityClass", "In", {"low", "high"}), u));
  CHECK_FALSE(quota::in_scope(selecting("PriorityClass", "NotIn", {"high"}), u));
  // Only pods have these scopes.
  CHECK_FALSE(quota::in_scope(quota_of({"NotTerminating"}), quota::use_of("", "configmaps")));
  v1::PersistentVolumeClaim claim;
  CHECK_FALSE(quota::in_scope(quota_of({"NotTerminating"}), quota::use_of(claim)));
  CHECK_FALSE(quota::in_scope(selecting("VolumeAttributesClass", "In", {"gold"}), quota::use_of(claim)));
  claim.status.current_volume_attributes_class_name = "gold";
  claim.spec.volume_attributes_class_name = "silver";
  CHECK(quota::in_scope(selecting("VolumeAttributesClass", "In", {"gold"}), quota::use_of(claim)));
  CHECK(quota::in_scope(selecting("VolumeAttributesClass", "NotIn", {"gold"}), quota::use_of(claim)));
}

TEST_CASE("what services, claims and others use") {
  v1::Service s;
  s.spec.type = "LoadBalancer";
  s.spec.ports.resize(2);
  CHECK(quota::use_of(s).usage == ResourceList{{"count/services", 1}, {"services", 1}, {"services.nodeports", 2}, {"services.loadbalancers", 1}});
  s.spec.allocate_load_balancer_node_ports = false;
  s.spec.ports[0].node_port = 30000;
  CHECK(quota::use_of(s).usage["services.nodeports"] == Quantity(1));
  s.spec.type = "ClusterIP";
  CHECK(quota::use_of(s).usage["services.nodeports"].is_zero());
  v1::PersistentVolumeClaim c;
  c.spec.storage_class_name = "gold";
  c.spec.resources.requests["storage"] = q("1500m");
  CHECK(quota::use_of(c).usage == ResourceList{{"persistentvolumeclaims", 1}, {"count/persistentvolumeclaims", 1}, {"requests.storage", 2},
                                               {"gold.storageclass.storage.k8s.io/persistentvolumeclaims", 1},
                                               {"gold.storageclass.storage.k8s.io/requests.storage", 2}});
  c.status.allocated_resources["storage"] = q("1Gi");
  CHECK(quota::use_of(c).usage["requests.storage"] == q("1Gi"));
  CHECK(quota::use_of("", "secrets").usage == ResourceList{{"count/secrets", 1}, {"secrets", 1}});
  CHECK(quota::use_of("apps", "deployments").usage == ResourceList{{"count/deployments.apps", 1}});
  resource::v1::ResourceClaim r;
  r.spec.devices.requests.resize(2);
  auto& exactly = r.spec.devices.requests[0].exactly.ensure();
  exactly.device_class_name = "gpu";
  exactly.allocation_mode = "ExactCount";
  exactly.count = 3;
  r.spec.devices.requests[1].first_available.resize(2);
  r.spec.devices.requests[1].first_available[0].device_class_name = "gpu";
  r.spec.devices.requests[1].first_available[0].allocation_mode = "All";
  r.spec.devices.requests[1].first_available[1] = r.spec.devices.requests[1].first_available[0];
  CHECK(quota::use_of(r).usage == ResourceList{{"count/resourceclaims.resource.k8s.io", 1}, {"gpu.deviceclass.resource.k8s.io/devices", 35}});
}

TEST_CASE("what a quota's names are measured over") {
  CHECK(quota::measures("", "pods", "requests.cpu"));
  CHECK(quota::measures("", "pods", "requests.example.com/gpu"));
  CHECK_FALSE(quota::measures("", "pods", "requests.storage"));
  CHECK(quota::measures("", "persistentvolumeclaims", "requests.storage"));
  CHECK(quota::measures("", "persistentvolumeclaims", "a.storageclass.storage.k8s.io/requests.storage"));
  CHECK(quota::measures("", "secrets", "secrets"));
  CHECK(quota::measures("", "secrets", "count/secrets"));
  CHECK(quota::measures("example.com", "widgets", "count/widgets.example.com"));
  CHECK_FALSE(quota::measures("example.com", "widgets", "widgets"));
  CHECK_FALSE(quota::counts("events.k8s.io", "events"));
  CHECK(quota::counts("apps", "deployments"));
}

TEST_CASE("a quota of CPU or memory demands that containers state them") {
  v1::Pod p;
  p.spec.containers = {container("a", {{"cpu", q("1")}}), container("b", {})};
  CHECK(quota::unstated(p, {"cpu", "limits.memory", "pods"}) == "must specify cpu for: b; limits.memory for: a,b");
  CHECK(quota::unstated(p, {"pods", "requests.ephemeral-storage"}).empty());
  p.spec.resources.ensure().requests = {{"cpu", q("1")}};
  CHECK(quota::unstated(p, {"cpu"}).empty());
}
