#include "scheduler/framework.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace onebin::scheduler {
namespace {

constexpr char kHostname[] = "kubernetes.io/hostname", kZone[] = "topology.kubernetes.io/zone";

const std::string* topology(const NodeInfo& node, const std::string& key) {
  auto it = node.labels.find(key);
  return it == node.labels.end() ? nullptr : &it->second;
}

int count_matching(const NodeInfo& node, const PodInfo& pod, const SpreadConstraint& c) {
  int n = 0;
  for (const auto& p : node.pods)
    if (p->shape->ns == pod.shape->ns && !p->terminating && c.selector.matches(p->shape->labels)) ++n;
  return n;
}

// Whether a node takes part in a constraint's domains.
bool eligible(const PodRequirements& req, const NodeInfo& node, const SpreadConstraint& c) {
  if (c.honor_affinity && !matches_node_affinity(req, node)) return false;
  return !c.honor_taints || !first_untolerated(node, req.tolerations);
}

struct SpreadData final : CycleData {
  struct Constraint {
    const SpreadConstraint* rule;
    std::map<std::string, int> counts;  // matching pods by domain
    int minimum() const {
      if (static_cast<int>(counts.size()) < rule->min_domains) return 0;
      int m = std::numeric_limits<int>::max();
      for (const auto& [value, n] : counts) m = std::min(m, n);
      return counts.empty() ? 0 : m;
    }
  };
  std::vector<Constraint> constraints;
  std::unique_ptr<CycleData> clone() const override { return std::make_unique<SpreadData>(*this); }
};

class TopologySpread final : public Plugin {
 public:
  const char* name() const override { return "PodTopologySpread"; }

  std::unique_ptr<CycleData> pre_filter(const PodInfo& pod, const Snapshot& snapshot) const override {
    if (!pod.requirements) return nullptr;
    auto data = std::make_unique<SpreadData>();
    for (const auto& c : pod.requirements->spread)
      if (c.hard) data->constraints.push_back({&c, {}});
    if (data->constraints.empty()) return nullptr;
    for (const auto& [name, node] : *snapshot.nodes) {
      if (!node.known) continue;
      bool all_keys = std::all_of(data->constraints.begin(), data->constraints.end(), [&](const auto& c) { return topology(node, c.rule->topology_key); });
      if (!all_keys) continue;
      for (auto& c : data->constraints)
        if (eligible(*pod.requirements, node, *c.rule)) c.counts[*topology(node, c.rule->topology_key)] += count_matching(node, pod, *c.rule);
    }
    return data;
  }

  Verdict filter(const PodInfo& pod, const NodeInfo& node, const CycleData* data) const override {
    if (!data) return Verdict::ok();
    for (const auto& c : static_cast<const SpreadData*>(data)->constraints) {
      const std::string* domain = topology(node, c.rule->topology_key);
      if (!domain) return Verdict::never("node(s) didn't match pod topology spread constraints (missing required label)");
      auto at = c.counts.find(*domain);
      int here = at == c.counts.end() ? 0 : at->second;
      int self = c.rule->selector.matches(pod.shape->labels) ? 1 : 0;
      if (here + self - c.minimum() > c.rule->max_skew) return Verdict::no("node(s) didn't match pod topology spread constraints");
    }
    return Verdict::ok();
  }

  void add_pod(CycleData* data, const PodInfo& pod, const PodInfo& other, const NodeInfo& node) const override { change(data, pod, other, node, 1); }
  void remove_pod(CycleData* data, const PodInfo& pod, const PodInfo& other, const NodeInfo& node) const override { change(data, pod, other, node, -1); }

  std::vector<std::int64_t> score(const PodInfo& pod, const std::vector<const NodeInfo*>& nodes, const Snapshot& snapshot) const override {
    if (!pod.requirements) return {};
    std::vector<SpreadConstraint> soft;
    for (const auto& c : pod.requirements->spread)
      if (!c.hard) soft.push_back(c);
    if (pod.requirements->spread.empty()) return default_spread(pod, nodes, snapshot);
    if (soft.empty()) return {};
    std::vector<double> sums(nodes.size(), 0);
    std::vector<bool> ignored(nodes.size(), false);
    for (const auto& c : soft) {
      std::map<std::string, int> counts;
      for (const auto& [name, node] : *snapshot.nodes)
        if (const std::string* d = topology(node, c.topology_key); node.known && d && eligible(*pod.requirements, node, c)) counts[*d] += count_matching(node, pod, c);
      double weight = std::log(static_cast<double>(counts.size()) + 2);
      for (std::size_t i = 0; i < nodes.size(); ++i) {
        const std::string* d = topology(*nodes[i], c.topology_key);
        if (!d) ignored[i] = true;
        else sums[i] += counts[*d] * weight + (c.max_skew - 1);
      }
    }
    return spread_scores(sums, ignored);
  }

 private:
  static void change(CycleData* data, const PodInfo& pod, const PodInfo& other, const NodeInfo& node, int by) {
    if (other.shape->ns != pod.shape->ns || other.terminating) return;
    for (auto& c : static_cast<SpreadData*>(data)->constraints) {
      const std::string* d = topology(node, c.rule->topology_key);
      if (!d || !c.rule->selector.matches(other.shape->labels) || !eligible(*pod.requirements, node, *c.rule)) continue;
      if (auto at = c.counts.find(*d); at != c.counts.end()) at->second += by;
    }
  }

  // Without constraints of its own a pod is spread from its siblings (same controller) over hosts and zones, as upstream's
  // built-in defaults do from the selectors of services and controllers.
  static std::vector<std::int64_t> default_spread(const PodInfo& pod, const std::vector<const NodeInfo*>& nodes, const Snapshot& snapshot) {
    if (pod.shape->owner_uid.empty()) return {};
    auto siblings = [&](const NodeInfo& n) {
      return static_cast<int>(std::count_if(n.pods.begin(), n.pods.end(), [&](const auto& p) { return p->shape->owner_uid == pod.shape->owner_uid && !p->terminating; }));
    };
    std::map<std::string, int> hosts, zones;
    for (const auto& [name, node] : *snapshot.nodes) {
      if (!node.known) continue;
      if (const std::string* h = topology(node, kHostname)) hosts[*h] += siblings(node);
      if (const std::string* z = topology(node, kZone)) zones[*z] += siblings(node);
    }
    std::vector<double> sums(nodes.size(), 0);
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      if (const std::string* h = topology(*nodes[i], kHostname)) sums[i] += hosts[*h] * std::log(static_cast<double>(hosts.size()) + 2) + 2;
      if (const std::string* z = topology(*nodes[i], kZone)) sums[i] += zones[*z] * std::log(static_cast<double>(zones.size()) + 2) + 4;
    }
    return spread_scores(sums, std::vector<bool>(nodes.size(), false));
  }

  static std::vector<std::int64_t> spread_scores(const std::vector<double>& sums, const std::vector<bool>& ignored) {
    std::int64_t low = std::numeric_limits<std::int64_t>::max(), high = 0;
    for (std::size_t i = 0; i < sums.size(); ++i) {
      if (ignored[i]) continue;
      low = std::min<std::int64_t>(low, std::llround(sums[i]));
      high = std::max<std::int64_t>(high, std::llround(sums[i]));
    }
    std::vector<std::int64_t> out;
    for (std::size_t i = 0; i < sums.size(); ++i) {
      if (ignored[i]) out.push_back(0);
      else if (high == 0) out.push_back(100);
      else out.push_back(100 * (high + low - std::llround(sums[i])) / high);
    }
    return out;
  }
};

}  // namespace

std::unique_ptr<Plugin> make_topology_spread() { return std::make_unique<TopologySpread>(); }

}  // namespace onebin::scheduler
