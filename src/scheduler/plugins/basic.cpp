// The plug-ins that look at one node alone: gates, unschedulable, node name, taints, ports, images.
#include "scheduler/framework.hpp"

#include <algorithm>

namespace onebin::scheduler {
namespace {

using api::core::v1::Taint;
using api::core::v1::Toleration;
constexpr char kUnschedulableTaint[] = "node.kubernetes.io/unschedulable";

bool blocks(const Taint& t) { return t.effect == "NoSchedule" || t.effect == "NoExecute"; }
const PodRequirements& needs(const PodInfo& pod) {
  static const PodRequirements none;
  return pod.requirements ? *pod.requirements : none;
}

class SchedulingGates final : public Plugin {
 public:
  const char* name() const override { return "SchedulingGates"; }
  std::optional<std::string> pre_enqueue(const PodInfo& pod) const override {
    const auto& gates = needs(pod).gates;
    if (gates.empty()) return std::nullopt;
    std::string list;
    for (const auto& g : gates) list += (list.empty() ? "" : " ") + g;
    return "waiting for scheduling gates: [" + list + "]";
  }
};

class NodeUnschedulable final : public Plugin {
 public:
  const char* name() const override { return "NodeUnschedulable"; }
  Verdict filter(const PodInfo& pod, const NodeInfo& node, const CycleData*) const override {
    if (!node.unschedulable) return Verdict::ok();
    Taint t;
    t.key = kUnschedulableTaint;
    t.effect = "NoSchedule";
    if (tolerates(needs(pod).tolerations, t)) return Verdict::ok();
    return Verdict::never("node(s) were unschedulable");
  }
};

class NodeName final : public Plugin {
 public:
  const char* name() const override { return "NodeName"; }
  Verdict filter(const PodInfo& pod, const NodeInfo& node, const CycleData*) const override {
    if (pod.node_name.empty() || pod.node_name == node.name) return Verdict::ok();
    return Verdict::never("node(s) didn't match the requested node name");
  }
};

class TaintToleration final : public Plugin {
 public:
  const char* name() const override { return "TaintToleration"; }
  Verdict filter(const PodInfo& pod, const NodeInfo& node, const CycleData*) const override {
    const Taint* t = first_untolerated(node, needs(pod).tolerations);
    if (!t) return Verdict::ok();
    return Verdict::never("node(s) had untolerated taint(s)");
  }
  std::vector<std::int64_t> score(const PodInfo& pod, const std::vector<const NodeInfo*>& nodes, const Snapshot&) const override {
    std::vector<Toleration> soft;
    for (const auto& t : needs(pod).tolerations)
      if (t.effect.empty() || t.effect == "PreferNoSchedule") soft.push_back(t);
    std::vector<std::int64_t> out;
    for (const NodeInfo* n : nodes)
      out.push_back(std::count_if(n->taints.begin(), n->taints.end(), [&](const Taint& t) { return t.effect == "PreferNoSchedule" && !tolerates(soft, t); }));
    normalize(out, true);
    return out;
  }
};

class NodePorts final : public Plugin {
 public:
  const char* name() const override { return "NodePorts"; }
  Verdict filter(const PodInfo& pod, const NodeInfo& node, const CycleData*) const override {
    if (pod.shape->ports.empty()) return Verdict::ok();
    for (const auto& other : node.pods)
      for (const auto& used : other->shape->ports)
        for (const auto& wanted : pod.shape->ports)
          if (conflicts(used, wanted)) return Verdict::no("node(s) didn't have free ports for the requested pod ports");
    return Verdict::ok();
  }
};

class ImageLocality final : public Plugin {
 public:
  const char* name() const override { return "ImageLocality"; }
  std::vector<std::int64_t> score(const PodInfo& pod, const std::vector<const NodeInfo*>& nodes, const Snapshot& snapshot) const override {
    constexpr std::int64_t kMin = 23ll << 20, kMaxPerContainer = 1000ll << 20;
    const auto& images = needs(pod).images;
    if (images.empty()) return {};
    auto full = [](const std::string& image) {  // an image without a tag is :latest
      auto slash = image.find_last_of('/');
      return image.find(':', slash == std::string::npos ? 0 : slash) == std::string::npos ? image + ":latest" : image;
    };
    std::map<std::string, std::int64_t> holders;
    std::int64_t known = 0;
    for (const auto& [name, n] : *snapshot.nodes) {
      if (!n.known) continue;
      ++known;
      for (const auto& i : images) holders[full(i)] += n.images.count(full(i));
    }
    std::vector<std::int64_t> out;
    for (const NodeInfo* n : nodes) {
      std::int64_t sum = 0;
      for (const auto& i : images)
        if (auto at = n->images.find(full(i)); at != n->images.end()) sum += at->second * holders[full(i)] / std::max<std::int64_t>(known, 1);
      std::int64_t max = kMaxPerContainer * static_cast<std::int64_t>(images.size());
      sum = std::clamp(sum, kMin, max);
      out.push_back(100 * (sum - kMin) / (max - kMin));
    }
    return out;
  }
};

}  // namespace

bool tolerates(const std::vector<Toleration>& tolerations, const Taint& taint) {
  return std::any_of(tolerations.begin(), tolerations.end(), [&](const Toleration& t) {
    if (!t.effect.empty() && t.effect != taint.effect) return false;
    if (!t.key.empty() && t.key != taint.key) return false;
    if (t.operator_ == "Exists") return true;
    return (t.operator_.empty() || t.operator_ == "Equal") && t.value == taint.value;
  });
}

const Taint* first_untolerated(const NodeInfo& node, const std::vector<Toleration>& tolerations) {
  for (const auto& t : node.taints)
    if (blocks(t) && !tolerates(tolerations, t)) return &t;
  return nullptr;
}

std::unique_ptr<Plugin> make_scheduling_gates() { return std::make_unique<SchedulingGates>(); }
std::unique_ptr<Plugin> make_node_unschedulable() { return std::make_unique<NodeUnschedulable>(); }
std::unique_ptr<Plugin> make_node_name() { return std::make_unique<NodeName>(); }
std::unique_ptr<Plugin> make_taint_toleration() { return std::make_unique<TaintToleration>(); }
std::unique_ptr<Plugin> make_node_ports() { return std::make_unique<NodePorts>(); }
std::unique_ptr<Plugin> make_image_locality() { return std::make_unique<ImageLocality>(); }

}  // namespace onebin::scheduler
