// What the scheduler keeps of pods and nodes: the few fields that decisions rest on.
#pragma once
#include <onebin/api/core_v1.hpp>
#include <onebin/apimachinery/selectors.hpp>
#include <onebin/base/time.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace onebin::scheduler {

using apimachinery::LabelSelector;
using Labels = std::map<std::string, std::string>;

struct Resources {
  std::int64_t milli_cpu = 0, memory = 0, ephemeral_storage = 0;
  std::int64_t pods = 0;                        // allowed; of nodes only
  std::map<std::string, std::int64_t> scalars;  // extended resources and huge pages

  void add(const Resources& other);
  void sub(const Resources& other);
  void set_max(const Resources& other);
  static Resources from(const std::map<std::string, apimachinery::Quantity>& list);
};

// The requirements of one node selector term: all must hold.
struct NodeSelectorTerm {
  std::vector<apimachinery::LabelRequirement> labels;
  std::vector<std::pair<bool, std::string>> names;  // metadata.name: {must equal, value}
  bool never = false;                               // an empty or invalid term selects nothing
};
struct PreferredNode {
  int weight = 0;
  NodeSelectorTerm term;
};
// A pod (anti-)affinity term with its namespaces resolved as far as they can be.
struct AffinityTerm {
  LabelSelector selector;
  std::set<std::string> namespaces;
  LabelSelector namespace_selector = LabelSelector::nothing();
  std::string topology_key;
  int weight = 0;  // of preferred terms
};
struct SpreadConstraint {
  int max_skew = 1, min_domains = 1;
  std::string topology_key;
  bool hard = true;  // DoNotSchedule
  LabelSelector selector;
  bool honor_affinity = true, honor_taints = false;
};
struct UsedPort {
  std::string ip, protocol;
  int port = 0;
  auto operator<=>(const UsedPort&) const = default;
};
bool conflicts(const UsedPort& a, const UsedPort& b);

// What only a pod that waits needs; assigned pods keep just the affinity that others must respect.
struct PodRequirements {
  Labels node_selector;
  bool has_required_node_affinity = false;
  std::vector<NodeSelectorTerm> required_nodes;
  std::vector<PreferredNode> preferred_nodes;
  std::vector<api::core::v1::Toleration> tolerations;
  std::vector<SpreadConstraint> spread;
  std::vector<AffinityTerm> affinity, preferred_affinity, preferred_anti_affinity;
  std::vector<std::string> images;
  std::vector<std::string> gates;
  std::set<std::string> own_claims;  // of `claims`: of ephemeral volumes, made for this pod only
  std::string nominated_node;
  bool never_preempts = false;
};

// What pods made from one template have in common: they share one.
struct PodShape {
  std::string ns;
  std::map<std::string, std::string> labels;
  std::string owner_uid;  // of the controller; "" when there is none
  int priority = 0;
  Resources requests;
  std::int64_t nonzero_cpu = 0, nonzero_memory = 0;  // with upstream's floor for containers that ask for nothing
  std::vector<UsedPort> ports;
  std::vector<std::string> claims;                   // keys of the PersistentVolumeClaims that its volumes stand for
  std::vector<AffinityTerm> anti_affinity;           // required terms: they also keep others away
};
using PodShapePtr = std::shared_ptr<const PodShape>;

struct PodInfo {
  PodShapePtr shape;
  std::string name, uid, node_name;
  std::int64_t start_time = 0;  // unix seconds, 0 not started
  bool terminating = false;
  std::shared_ptr<const PodRequirements> requirements;  // of pending pods
  std::string key() const { return shape->ns + "/" + name; }
};
using PodInfoPtr = std::shared_ptr<const PodInfo>;

struct NodeInfo {
  std::string name;
  Labels labels;
  std::vector<api::core::v1::Taint> taints;
  bool unschedulable = false;
  Resources allocatable, requested;
  std::int64_t nonzero_cpu = 0, nonzero_memory = 0;
  std::map<std::string, std::int64_t> images;  // name -> size
  std::vector<PodInfoPtr> pods;
  bool known = false;                          // false: pods came before their node

  void add(PodInfoPtr pod);
  void remove(std::string_view uid);
};

// Shares equal shapes.
class ShapePool {
 public:
  PodShapePtr intern(PodShape shape);

 private:
  std::map<std::string, std::weak_ptr<const PodShape>> pool_;  // by all that the shape says
};

PodInfo pod_info(const api::core::v1::Pod& pod, ShapePool& pool);
// With requirements: for pods that are to be scheduled.
PodInfo pending_pod_info(const api::core::v1::Pod& pod, ShapePool& pool);
NodeSelectorTerm node_term(const api::core::v1::NodeSelectorTerm& term);
// Fills in everything but pods and what they use.
void update_node(NodeInfo& node, const api::core::v1::Node& object);
Resources pod_requests(const api::core::v1::Pod& pod);

}  // namespace onebin::scheduler
