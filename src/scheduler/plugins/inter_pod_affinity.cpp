#include "scheduler/framework.hpp"

#include <algorithm>
#include <limits>

namespace onebin::scheduler {
namespace {

using Counts = std::map<std::pair<std::string, std::string>, std::int64_t>;  // {topology key, value} -> pods or weight

bool term_matches(const AffinityTerm& t, const PodInfo& pod, const Snapshot& s) {
  if (!t.namespaces.count(pod.shape->ns)) {
    if (t.namespace_selector.selects_nothing()) return false;
    const Labels* labels = s.namespace_labels ? s.namespace_labels(pod.shape->ns) : nullptr;
    static const Labels none;
    if (!t.namespace_selector.matches(labels ? *labels : none)) return false;
  }
  return t.selector.matches(pod.shape->labels);
}

bool all_match(const std::vector<AffinityTerm>& terms, const PodInfo& pod, const Snapshot& s) {
  return !terms.empty() && std::all_of(terms.begin(), terms.end(), [&](const auto& t) { return term_matches(t, pod, s); });
}

void bump(Counts& counts, const AffinityTerm& t, const NodeInfo& node, std::int64_t by) {
  auto it = node.labels.find(t.topology_key);
  if (it == node.labels.end()) return;
  auto& n = counts[{t.topology_key, it->second}];
  n += by;
  if (n == 0) counts.erase({t.topology_key, it->second});
}

struct AffinityData final : CycleData {
  const Snapshot* snapshot = nullptr;
  Counts existing_anti;  // domains that assigned pods' anti-affinity closes to this pod
  Counts affinity, anti;
  std::unique_ptr<CycleData> clone() const override { return std::make_unique<AffinityData>(*this); }

  void count(const PodInfo& pod, const PodInfo& other, const NodeInfo& node, std::int64_t by) {
    for (const auto& t : other.shape->anti_affinity)
      if (term_matches(t, pod, *snapshot)) bump(existing_anti, t, node, by);
    if (all_match(pod.requirements->affinity, other, *snapshot))
      for (const auto& t : pod.requirements->affinity) bump(affinity, t, node, by);
    for (const auto& t : pod.shape->anti_affinity)
      if (term_matches(t, other, *snapshot)) bump(anti, t, node, by);
  }
};

class InterPodAffinity final : public Plugin {
 public:
  const char* name() const override { return "InterPodAffinity"; }

  std::unique_ptr<CycleData> pre_filter(const PodInfo& pod, const Snapshot& snapshot) const override {
    if (!pod.requirements) return nullptr;
    auto data = std::make_unique<AffinityData>();
    data->snapshot = &snapshot;
    for (const auto& [name, node] : *snapshot.nodes)
      if (node.known)
        for (const auto& other : node.pods) data->count(pod, *other, node, 1);
    if (data->existing_anti.empty() && pod.requirements->affinity.empty() && pod.shape->anti_affinity.empty()) {
      bool any_anti = false;  // preemption trials may still change existing_anti
      for (const auto& [name, node] : *snapshot.nodes)
        for (const auto& other : node.pods) any_anti |= !other->shape->anti_affinity.empty();
      if (!any_anti) return nullptr;
    }
    return data;
  }

  Verdict filter(const PodInfo& pod, const NodeInfo& node, const CycleData* cycle) const override {
    if (!cycle) return Verdict::ok();
    const auto& d = *static_cast<const AffinityData*>(cycle);
    if (!affinity_holds(pod, node, d)) return Verdict::never("node(s) didn't match pod affinity rules");
    for (const auto& t : pod.shape->anti_affinity) {
      auto label = node.labels.find(t.topology_key);
      if (label != node.labels.end() && d.anti.count({t.topology_key, label->second})) return Verdict::no("node(s) didn't match pod anti-affinity rules");
    }
    for (const auto& [key, value] : node.labels)
      if (d.existing_anti.count({key, value})) return Verdict::no("node(s) didn't satisfy existing pods anti-affinity rules");
    return Verdict::ok();
  }

  void add_pod(CycleData* data, const PodInfo& pod, const PodInfo& other, const NodeInfo& node) const override {
    static_cast<AffinityData*>(data)->count(pod, other, node, 1);
  }
  void remove_pod(CycleData* data, const PodInfo& pod, const PodInfo& other, const NodeInfo& node) const override {
    static_cast<AffinityData*>(data)->count(pod, other, node, -1);
  }

  std::vector<std::int64_t> score(const PodInfo& pod, const std::vector<const NodeInfo*>& nodes, const Snapshot& snapshot) const override {
    if (!pod.requirements || (pod.requirements->preferred_affinity.empty() && pod.requirements->preferred_anti_affinity.empty())) return {};
    Counts weights;
    for (const auto& [name, node] : *snapshot.nodes) {
      if (!node.known) continue;
      for (const auto& other : node.pods) {
        for (const auto& t : pod.requirements->preferred_affinity)
          if (term_matches(t, *other, snapshot)) bump(weights, t, node, t.weight);
        for (const auto& t : pod.requirements->preferred_anti_affinity)
          if (term_matches(t, *other, snapshot)) bump(weights, t, node, -t.weight);
      }
    }
    std::vector<std::int64_t> out;
    std::int64_t low = std::numeric_limits<std::int64_t>::max(), high = std::numeric_limits<std::int64_t>::min();
    for (const NodeInfo* n : nodes) {
      std::int64_t sum = 0;
      for (const auto& [domain, w] : weights)
        if (auto l = n->labels.find(domain.first); l != n->labels.end() && l->second == domain.second) sum += w;
      out.push_back(sum);
      low = std::min(low, sum);
      high = std::max(high, sum);
    }
    for (auto& s : out) s = high == low ? 0 : 100 * (s - low) / (high - low);
    return out;
  }

 private:
  // Every term's domain holds a matching pod; the first pod of a group that selects itself may start one.
  static bool affinity_holds(const PodInfo& pod, const NodeInfo& node, const AffinityData& d) {
    bool all = true;
    for (const auto& t : pod.requirements->affinity) {
      auto label = node.labels.find(t.topology_key);
      if (label == node.labels.end()) return false;
      if (!d.affinity.count({t.topology_key, label->second})) all = false;
    }
    return all || (d.affinity.empty() && all_match(pod.requirements->affinity, pod, *d.snapshot));
  }
};

}  // namespace

std::unique_ptr<Plugin> make_inter_pod_affinity() { return std::make_unique<InterPodAffinity>(); }

}  // namespace onebin::scheduler
