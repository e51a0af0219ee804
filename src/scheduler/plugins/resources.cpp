// NodeResourcesFit (LeastAllocated) and NodeResourcesBalancedAllocation, over cpu and memory.
#include "scheduler/framework.hpp"

#include <algorithm>
#include <cmath>

namespace onebin::scheduler {
namespace {

class Fit final : public Plugin {
 public:
  const char* name() const override { return "NodeResourcesFit"; }
  Verdict filter(const PodInfo& pod, const NodeInfo& node, const CycleData*) const override {
    if (static_cast<std::int64_t>(node.pods.size()) + 1 > node.allocatable.pods) return Verdict::no("Too many pods");
    std::string missing;
    bool beyond = false;  // more than the node has in all
    auto check = [&](const std::string& what, std::int64_t want, std::int64_t used, std::int64_t have) {
      if (want == 0 || want <= have - used) return;
      missing += (missing.empty() ? "Insufficient " : ", Insufficient ") + what;
      if (want > have) beyond = true;
    };
    const Resources &r = pod.shape->requests, &u = node.requested, &a = node.allocatable;
    check("cpu", r.milli_cpu, u.milli_cpu, a.milli_cpu);
    check("memory", r.memory, u.memory, a.memory);
    check("ephemeral-storage", r.ephemeral_storage, u.ephemeral_storage, a.ephemeral_storage);
    auto amount = [](const Resources& from, const std::string& k) {
      auto it = from.scalars.find(k);
      return it == from.scalars.end() ? 0 : it->second;
    };
    for (const auto& [k, v] : r.scalars) check(k, v, amount(u, k), amount(a, k));
    if (missing.empty()) return Verdict::ok();
    return beyond ? Verdict::never(missing) : Verdict::no(missing);
  }
  std::vector<std::int64_t> score(const PodInfo& pod, const std::vector<const NodeInfo*>& nodes, const Snapshot&) const override {
    auto least = [](std::int64_t used, std::int64_t have) { return have <= 0 || used > have ? 0 : (have - used) * 100 / have; };
    std::vector<std::int64_t> out;
    for (const NodeInfo* n : nodes)
      out.push_back((least(n->nonzero_cpu + pod.shape->nonzero_cpu, n->allocatable.milli_cpu) + least(n->nonzero_memory + pod.shape->nonzero_memory, n->allocatable.memory)) / 2);
    return out;
  }
};

class Balanced final : public Plugin {
 public:
  const char* name() const override { return "NodeResourcesBalancedAllocation"; }
  std::vector<std::int64_t> score(const PodInfo& pod, const std::vector<const NodeInfo*>& nodes, const Snapshot&) const override {
    if (pod.shape->requests.milli_cpu == 0 && pod.shape->requests.memory == 0) return {};  // best effort: no opinion
    auto share = [](std::int64_t used, std::int64_t have) { return have <= 0 ? 1.0 : std::min(1.0, static_cast<double>(used) / static_cast<double>(have)); };
    std::vector<std::int64_t> out;
    for (const NodeInfo* n : nodes) {
      double cpu = share(n->requested.milli_cpu + pod.shape->requests.milli_cpu, n->allocatable.milli_cpu);
      double memory = share(n->requested.memory + pod.shape->requests.memory, n->allocatable.memory);
      out.push_back(static_cast<std::int64_t>((1 - std::abs(cpu - memory) / 2) * 100));
    }
    return out;
  }
};

}  // namespace

std::unique_ptr<Plugin> make_node_resources_fit() { return std::make_unique<Fit>(); }
std::unique_ptr<Plugin> make_balanced_allocation() { return std::make_unique<Balanced>(); }

}  // namespace onebin::scheduler
