#include "framework.hpp"

#include <algorithm>
#include <limits>
#include <tuple>

namespace onebin::scheduler {
namespace {

// More important first: higher priority, then earlier start.
bool more_important(const PodInfoPtr& a, const PodInfoPtr& b) {
  if (a->shape->priority != b->shape->priority) return a->shape->priority > b->shape->priority;
  auto start = [](const PodInfoPtr& p) { return p->start_time ? p->start_time : std::numeric_limits<std::int64_t>::max(); };
  return start(a) < start(b);
}

// Splits pods into those whose removal breaks a budget and the others, counting budgets down as it goes.
void split_by_budget(const std::vector<PodInfoPtr>& pods, std::vector<DisruptionBudget> budgets, std::vector<PodInfoPtr>& violating,
                     std::vector<PodInfoPtr>& others) {
  for (const auto& p : pods) {
    bool violates = false;
    for (auto& b : budgets) {
      if (b.ns != p->shape->ns || b.selector.empty() || !b.selector.matches(p->shape->labels)) continue;
      if (--b.allowed < 0) violates = true;
    }
    (violates ? violating : others).push_back(p);
  }
}

std::optional<PreemptionPlan> victims_on(const Cycle& base, const PodInfo& pod, const NodeInfo& original, const std::vector<DisruptionBudget>& budgets) {
  Cycle cycle(base);
  NodeInfo node = original;
  std::vector<PodInfoPtr> candidates;
  for (const auto& p : original.pods)
    if (p->shape->priority < pod.shape->priority) candidates.push_back(p);
  if (candidates.empty()) return std::nullopt;
  for (const auto& p : candidates) {
    cycle.remove_pod(*p, node);
    node.remove(p->uid);
  }
  if (!cycle.filter(node).fits) return std::nullopt;

  PreemptionPlan plan;
  plan.node = original.name;
  std::sort(candidates.begin(), candidates.end(), more_important);
  std::vector<PodInfoPtr> violating, others;
  split_by_budget(candidates, budgets, violating, others);
  auto reprieve = [&](const PodInfoPtr& p) {
    node.add(p);
    cycle.add_pod(*p, node);
    if (cycle.filter(node).fits) return true;
    cycle.remove_pod(*p, node);
    node.remove(p->uid);
    plan.victims.push_back(p);
    return false;
  };
  for (const auto& p : violating)
    if (!reprieve(p)) ++plan.pdb_violations;
  for (const auto& p : others) reprieve(p);
  std::sort(plan.victims.begin(), plan.victims.end(), more_important);
  return plan;
}

// Upstream's order of harm: budgets broken, highest victim's priority, sum of priorities, number of victims, latest start.
auto harm(const PreemptionPlan& p) {
  std::int64_t sum = 0, latest = 0;
  for (const auto& v : p.victims) sum += static_cast<std::int64_t>(v->shape->priority) + (1ll << 31);
  int highest = p.victims.empty() ? std::numeric_limits<int>::min() : p.victims.front()->shape->priority;
  for (const auto& v : p.victims)
    if (v->shape->priority == highest) latest = std::max(latest, v->start_time);
  return std::tuple(p.pdb_violations, highest, sum, p.victims.size(), -latest, p.node);
}

}  // namespace

std::optional<PreemptionPlan> plan_preemption(const Plugins& plugins, const PodInfo& pod, const Snapshot& snapshot,
                                              const std::map<std::string, Verdict>& failed, const std::vector<DisruptionBudget>& budgets) {
  if (pod.requirements && pod.requirements->never_preempts) return std::nullopt;
  Cycle base(plugins, pod, snapshot);
  std::optional<PreemptionPlan> best;
  for (const auto& [name, verdict] : failed) {
    if (verdict.unresolvable) continue;
    auto node = snapshot.nodes->find(name);
    if (node == snapshot.nodes->end()) continue;
    // Victims of an earlier attempt that are still ending: wait for them rather than end more.
    if (pod.requirements && pod.requirements->nominated_node == name)
      for (const auto& p : node->second.pods)
        if (p->terminating && p->shape->priority < pod.shape->priority) return std::nullopt;
    std::optional<PreemptionPlan> plan = victims_on(base, pod, node->second, budgets);
    if (plan && !plan->victims.empty() && (!best || harm(*plan) < harm(*best))) best = std::move(plan);
  }
  return best;
}

}  // namespace onebin::scheduler
