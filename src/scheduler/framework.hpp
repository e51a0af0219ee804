// The scheduling framework: extension points, and the plug-ins of upstream's default profile.
#pragma once
#include "types.hpp"
#include "volumes.hpp"

#include <functional>
#include <memory>
#include <optional>

namespace onebin::scheduler {

// Everything a cycle looks at. The scheduler runs on one loop, so the cache itself is the snapshot of a cycle.
struct Snapshot {
  std::map<std::string, NodeInfo>* nodes = nullptr;  // by name; entries with known == false are skipped
  // Labels of a namespace; null when it is unknown.
  std::function<const Labels*(const std::string& ns)> namespace_labels;
  const VolumeView* volumes = nullptr;  // null: pods' claims are not looked at
};

// Why a node does not fit. Unresolvable: no pod's removal would help.
struct Verdict {
  bool fits = true, unresolvable = false;
  std::string reason;
  bool everywhere = false;  // the reason is the pod's own, whatever the node
  static Verdict ok() { return {}; }
  static Verdict no(std::string why) { return {false, false, std::move(why)}; }
  static Verdict never(std::string why) { return {false, true, std::move(why)}; }
  static Verdict nowhere(std::string why) { return {false, true, std::move(why), true}; }
};

// What a plug-in computes once a cycle for its filter and score. Made anew, or changed by add/remove while preemption tries.
class CycleData {
 public:
  virtual ~CycleData() = default;
  virtual std::unique_ptr<CycleData> clone() const = 0;
};

class Plugin {
 public:
  virtual ~Plugin() = default;
  virtual const char* name() const = 0;
  // PreEnqueue: a reason keeps the pod out of the queue.
  virtual std::optional<std::string> pre_enqueue(const PodInfo&) const { return std::nullopt; }
  // PreFilter; null when the plug-in has nothing to compute for this pod.
  virtual std::unique_ptr<CycleData> pre_filter(const PodInfo&, const Snapshot&) const { return nullptr; }
  virtual Verdict filter(const PodInfo&, const NodeInfo&, const CycleData*) const { return Verdict::ok(); }
  // PreFilterExtensions: as if `other` were added to or removed from `node`.
  virtual void add_pod(CycleData*, const PodInfo& /*pod*/, const PodInfo& /*other*/, const NodeInfo&) const {}
  virtual void remove_pod(CycleData*, const PodInfo& /*pod*/, const PodInfo& /*other*/, const NodeInfo&) const {}
  // PreScore, Score and NormalizeScore at once: a score from 0 to 100 for each node; empty when it has no opinion.
  virtual std::vector<std::int64_t> score(const PodInfo&, const std::vector<const NodeInfo*>&, const Snapshot&) const { return {}; }
  int weight = 0;
};

using Plugins = std::vector<std::unique_ptr<Plugin>>;
// Upstream's default profile, in its order of filters, with its weights.
Plugins default_plugins();

std::unique_ptr<Plugin> make_scheduling_gates();
std::unique_ptr<Plugin> make_node_unschedulable();
std::unique_ptr<Plugin> make_node_name();
std::unique_ptr<Plugin> make_taint_toleration();
std::unique_ptr<Plugin> make_node_affinity();
std::unique_ptr<Plugin> make_node_ports();
std::unique_ptr<Plugin> make_node_resources_fit();
std::unique_ptr<Plugin> make_balanced_allocation();
std::unique_ptr<Plugin> make_volume_restrictions();
std::unique_ptr<Plugin> make_volume_binding();
std::unique_ptr<Plugin> make_topology_spread();
std::unique_ptr<Plugin> make_inter_pod_affinity();
std::unique_ptr<Plugin> make_image_locality();

// Shared by plug-ins.
bool tolerates(const std::vector<api::core::v1::Toleration>& tolerations, const api::core::v1::Taint& taint);
const api::core::v1::Taint* first_untolerated(const NodeInfo& node, const std::vector<api::core::v1::Toleration>& tolerations);
bool matches_node_affinity(const PodRequirements& requirements, const NodeInfo& node);
bool matches_term(const NodeSelectorTerm& term, const NodeInfo& node);
// Scales to 0..100 by the largest; `reverse` turns it round.
void normalize(std::vector<std::int64_t>& scores, bool reverse);

// One pod's way through the plug-ins.
class Cycle {
 public:
  Cycle(const Plugins& plugins, const PodInfo& pod, const Snapshot& snapshot);
  Cycle(const Cycle& other);  // for trials
  Verdict filter(const NodeInfo& node) const;
  void add_pod(const PodInfo& other, const NodeInfo& node);
  void remove_pod(const PodInfo& other, const NodeInfo& node);
  std::vector<std::int64_t> score(const std::vector<const NodeInfo*>& nodes) const;

 private:
  const Plugins& plugins_;
  const PodInfo& pod_;
  const Snapshot& snapshot_;
  std::vector<std::unique_ptr<CycleData>> data_;
};

struct PreemptionPlan {
  std::string node;
  std::vector<PodInfoPtr> victims;
  int pdb_violations = 0;
};
// How many more pods of each budget may go; `matches` says which budgets cover a pod.
struct DisruptionBudget {
  std::string ns;
  LabelSelector selector;
  int allowed = 0;
};
// DefaultPreemption's PostFilter: the node where the least harm lets the pod fit; none where preemption can't help.
// `failed` are the nodes that did not fit, with their verdicts.
std::optional<PreemptionPlan> plan_preemption(const Plugins& plugins, const PodInfo& pod, const Snapshot& snapshot,
                                              const std::map<std::string, Verdict>& failed, const std::vector<DisruptionBudget>& budgets);

// "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s)."
std::string explain_failure(std::size_t nodes, const std::map<std::string, Verdict>& failed);

}  // namespace onebin::scheduler
