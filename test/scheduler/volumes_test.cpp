#include "scheduler/framework.hpp"

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::scheduler;
namespace v1 = onebin::api::core::v1;

namespace {

struct View final : VolumeView {
  std::optional<Claim> claim(const std::string& key) const override { return find(claims, key); }
  std::optional<Volume> volume(const std::string& name) const override { return find(all, name); }
  std::optional<StorageClass> storage_class(const std::string& name) const override { return find(classes, name); }
  std::vector<Volume> volumes() const override {
    std::vector<Volume> out;
    for (const auto& [name, v] : all) out.push_back(v);
    return out;
  }
  template <class T>
  static std::optional<T> find(const std::map<std::string, T>& in, const std::string& key) {
    auto it = in.find(key);
    return it == in.end() ? std::nullopt : std::optional<T>(it->second);
  }
  std::map<std::string, Claim> claims;
  std::map<std::string, Volume> all;
  std::map<std::string, StorageClass> classes;

  Claim& add_claim(const std::string& name, const std::string& storage_class, const char* size = "1Gi") {
    Claim& c = claims["default/" + name];
    c.metadata.name = name;
    c.metadata.namespace_ = "default";
    c.metadata.uid = "uid-" + name;
    c.spec.storage_class_name = storage_class;
    c.spec.access_modes = {"ReadWriteOnce"};
    c.spec.resources.requests["storage"] = apimachinery::Quantity::must_parse(size);
    c.status.phase = "Pending";
    return c;
  }
  Volume& add_volume(const std::string& name, const std::string& storage_class, const char* size = "1Gi", const std::string& node = "") {
    Volume& v = all[name];
    v.metadata.name = name;
    v.spec.storage_class_name = storage_class;
    v.spec.access_modes = {"ReadWriteOnce"};
    v.spec.capacity["storage"] = apimachinery::Quantity::must_parse(size);
    v.status.phase = "Available";
    if (node.empty()) return v;
    auto& terms = v.spec.node_affinity.ensure().required.ensure().node_selector_terms;
    terms.emplace_back();
    terms[0].match_expressions.emplace_back();
    terms[0].match_expressions[0].key = "kubernetes.io/hostname";
    terms[0].match_expressions[0].operator_ = "In";
    terms[0].match_expressions[0].values = {node};
    return v;
  }
  void add_class(const std::string& name, const std::string& provisioner, bool waits = true) {
    StorageClass& c = classes[name];
    c.metadata.name = name;
    c.provisioner = provisioner;
    c.volume_binding_mode = waits ? "WaitForFirstConsumer" : "Immediate";
  }
};

struct Cluster {
  std::map<std::string, NodeInfo> nodes;
  ShapePool pool;
  Plugins plugins = default_plugins();
  View view;
  Snapshot snapshot{&nodes, nullptr, &view};

  Cluster() {
    for (const char* name : {"a", "b"}) {
      v1::Node n;
      n.metadata.name = name;
      n.metadata.labels["kubernetes.io/hostname"] = name;
      n.status.allocatable = {{"cpu", apimachinery::Quantity(4)}, {"memory", apimachinery::Quantity(1 << 30)}, {"pods", apimachinery::Quantity(10)}};
      update_node(nodes[name], n);
    }
  }
  std::map<std::string, Verdict> failures(const v1::Pod& p) {
    PodInfo info = pending_pod_info(p, pool);
    Cycle cycle(plugins, info, snapshot);
    std::map<std::string, Verdict> out;
    for (const auto& [name, n] : nodes)
      if (Verdict v = cycle.filter(n); !v.fits) out[name] = v;
    return out;
  }
};

v1::Pod pod_with(std::vector<std::string> claims) {
  v1::Pod p;
  p.metadata.name = "p";
  p.metadata.namespace_ = "default";
  p.metadata.uid = "uid-p";
  for (const auto& c : claims) {
    auto& v = p.spec.volumes.emplace_back();
    v.name = c;
    v.persistent_volume_claim.ensure().claim_name = c;
  }
  return p;
}

}  // namespace

TEST_CASE("a pod whose claim is not there, or not bound and not waiting for it, fits nowhere") {
  Cluster c;
  auto f = c.failures(pod_with({"data"}));
  REQUIRE(f.size() == 2);
  CHECK(explain_failure(2, f) == "0/2 nodes are available: persistentvolumeclaim \"data\" not found.");
  c.view.add_class("fast", "example.com/fast", false);
  c.view.add_claim("data", "fast");
  CHECK(explain_failure(2, c.failures(pod_with({"data"}))) == "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.");
}

TEST_CASE("a bound claim takes its pod where the volume is") {
  Cluster c;
  Claim& claim = c.view.add_claim("data", "");
  claim.spec.volume_name = "v";
  claim.metadata.annotations[client::kBindCompleted] = "yes";
  c.view.add_volume("v", "", "1Gi", "b");
  auto f = c.failures(pod_with({"data"}));
  REQUIRE(f.size() == 1);
  CHECK(f["a"].reason == "node(s) didn't match PersistentVolume's node affinity");
  CHECK(f["a"].unresolvable);
  c.view.all.clear();
  CHECK(c.failures(pod_with({"data"}))["b"].reason == "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)");
}

TEST_CASE("waiting claims: volumes of the node, the smallest that fits, each once; else made there") {
  Cluster c;
  c.view.add_class("local", client::kNoProvisioner);
  c.view.add_claim("small", "local", "1Gi");
  c.view.add_claim("large", "local", "5Gi");
  c.view.add_volume("a5", "local", "5Gi", "a");
  c.view.add_volume("a10", "local", "10Gi", "a");
  c.view.add_volume("b5", "local", "5Gi", "b");
  auto p = pod_with({"small", "large"});
  auto f = c.failures(p);
  REQUIRE(f.size() == 1);
  CHECK(f["b"].reason == "node(s) didn't find available persistent volumes to bind");
  NodeVolumes plan = place_volumes(volume_needs(pending_pod_info(p, c.pool), c.view), c.nodes["a"]);
  REQUIRE(plan.bindings.size() == 2);
  CHECK(plan.bindings[0].first.metadata.name == "small");
  CHECK(plan.bindings[0].second.metadata.name == "a5");
  CHECK(plan.bindings[1].second.metadata.name == "a10");

  c.view.add_class("made", "example.com/maker");
  c.view.add_claim("fresh", "made");
  auto fresh = pod_with({"fresh"});
  CHECK(c.failures(fresh).empty());
  plan = place_volumes(volume_needs(pending_pod_info(fresh, c.pool), c.view), c.nodes["b"]);
  CHECK(plan.provisions.size() == 1);
  c.view.claims["default/fresh"].metadata.annotations[client::kSelectedNode] = "a";
  CHECK(c.failures(fresh).count("b") == 1);
}

TEST_CASE("an ephemeral volume's claim must be the pod's own") {
  Cluster c;
  v1::Pod p = pod_with({});
  p.spec.volumes.emplace_back().name = "scratch";
  p.spec.volumes[0].ephemeral.ensure();
  CHECK(explain_failure(2, c.failures(p)) ==
        "0/2 nodes are available: waiting for ephemeral volume controller to create the persistentvolumeclaim \"p-scratch\".");
  c.view.add_class("made", "example.com/maker");
  Claim& claim = c.view.add_claim("p-scratch", "made");
  CHECK(c.failures(p)["a"].reason == "PVC default/p-scratch was not created for pod default/p (pod is not owner)");
  auto& o = claim.metadata.owner_references.emplace_back();
  o.uid = "uid-p";
  o.controller = true;
  CHECK(c.failures(p).empty());
}

TEST_CASE("ReadWriteOncePod: one pod at a time") {
  Cluster c;
  Claim& claim = c.view.add_claim("data", "");
  claim.spec.access_modes = {"ReadWriteOncePod"};
  claim.spec.volume_name = "v";
  claim.metadata.annotations[client::kBindCompleted] = "yes";
  c.view.add_volume("v", "");
  CHECK(c.failures(pod_with({"data"})).empty());
  v1::Pod other = pod_with({"data"});
  other.metadata.uid = "uid-other";
  other.spec.node_name = "b";
  c.nodes["b"].add(std::make_shared<const PodInfo>(pod_info(other, c.pool)));
  auto f = c.failures(pod_with({"data"}));
  CHECK(f.size() == 2);
  CHECK_FALSE(f["a"].unresolvable);
}
