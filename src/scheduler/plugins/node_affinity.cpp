#include "scheduler/framework.hpp"

#include <algorithm>

namespace onebin::scheduler {
namespace {

class NodeAffinity final : public Plugin {
 public:
  const char* name() const override { return "NodeAffinity"; }
  Verdict filter(const PodInfo& pod, const NodeInfo& node, const CycleData*) const override {
    if (!pod.requirements || matches_node_affinity(*pod.requirements, node)) return Verdict::ok();
    return Verdict::never("node(s) didn't match Pod's node affinity/selector");
  }
  std::vector<std::int64_t> score(const PodInfo& pod, const std::vector<const NodeInfo*>& nodes, const Snapshot&) const override {
    if (!pod.requirements || pod.requirements->preferred_nodes.empty()) return {};
    std::vector<std::int64_t> out;
    for (const NodeInfo* n : nodes) {
      std::int64_t sum = 0;
      for (const auto& p : pod.requirements->preferred_nodes)
        if (matches_term(p.term, *n)) sum += p.weight;
      out.push_back(sum);
    }
    normalize(out, false);
    return out;
  }
};

}  // namespace

bool matches_term(const NodeSelectorTerm& term, const NodeInfo& node) {
  if (term.never) return false;
  for (const auto& r : term.labels) {
    auto it = node.labels.find(r.key);
    if (!r.matches(it == node.labels.end() ? std::nullopt : std::optional<std::string_view>(it->second))) return false;
  }
  for (const auto& [equal, value] : term.names)
    if ((node.name == value) != equal) return false;
  return true;
}

bool matches_node_affinity(const PodRequirements& requirements, const NodeInfo& node) {
  for (const auto& [k, v] : requirements.node_selector) {
    auto it = node.labels.find(k);
    if (it == node.labels.end() || it->second != v) return false;
  }
  if (!requirements.has_required_node_affinity) return true;
  return std::any_of(requirements.required_nodes.begin(), requirements.required_nodes.end(), [&](const auto& t) { return matches_term(t, node); });
}

std::unique_ptr<Plugin> make_node_affinity() { return std::make_unique<NodeAffinity>(); }

}  // namespace onebin::scheduler
