// VolumeBinding: a node is good for a pod when its claims' volumes can be reached or had there. VolumeRestrictions: a claim
// with access mode ReadWriteOncePod has one pod.
#include "scheduler/framework.hpp"

#include <algorithm>

namespace onebin::scheduler {
namespace {

class Binding final : public Plugin {
 public:
  const char* name() const override { return "VolumeBinding"; }
  std::unique_ptr<CycleData> pre_filter(const PodInfo& pod, const Snapshot& snapshot) const override {
    if (pod.shape->claims.empty() || !snapshot.volumes) return nullptr;
    auto data = std::make_unique<Data>();
    data->needs = std::make_shared<const VolumeNeeds>(volume_needs(pod, *snapshot.volumes));
    return data;
  }
  Verdict filter(const PodInfo&, const NodeInfo& node, const CycleData* data) const override {
    if (!data) return Verdict::ok();
    const VolumeNeeds& needs = *static_cast<const Data*>(data)->needs;
    if (!needs.refusal.empty()) return Verdict::nowhere(needs.refusal);
    NodeVolumes v = place_volumes(needs, node);
    return v.problem.empty() ? Verdict::ok() : Verdict::never(v.problem);
  }

 private:
  struct Data final : CycleData {
    std::unique_ptr<CycleData> clone() const override { return std::make_unique<Data>(*this); }
    std::shared_ptr<const VolumeNeeds> needs;  // pods come and go, volumes stay
  };
};

class Restrictions final : public Plugin {
 public:
  const char* name() const override { return "VolumeRestrictions"; }
  std::unique_ptr<CycleData> pre_filter(const PodInfo& pod, const Snapshot& snapshot) const override {
    if (pod.shape->claims.empty() || !snapshot.volumes) return nullptr;
    auto data = std::make_unique<Data>();
    for (const auto& key : pod.shape->claims) {
      auto claim = snapshot.volumes->claim(key);
      if (claim && std::count(claim->spec.access_modes.begin(), claim->spec.access_modes.end(), "ReadWriteOncePod")) data->exclusive.push_back(key);
    }
    if (data->exclusive.empty()) return nullptr;
    for (const auto& [name, node] : *snapshot.nodes)
      for (const auto& other : node.pods) data->in_use += uses(*data, *other);
    return data;
  }
  Verdict filter(const PodInfo&, const NodeInfo&, const CycleData* data) const override {
    if (!data || static_cast<const Data*>(data)->in_use == 0) return Verdict::ok();
    return Verdict::no("node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode");
  }
  void add_pod(CycleData* data, const PodInfo&, const PodInfo& other, const NodeInfo&) const override {
    auto* d = static_cast<Data*>(data);
    d->in_use += uses(*d, other);
  }
  void remove_pod(CycleData* data, const PodInfo&, const PodInfo& other, const NodeInfo&) const override {
    auto* d = static_cast<Data*>(data);
    d->in_use -= uses(*d, other);
  }

 private:
  struct Data final : CycleData {
    std::unique_ptr<CycleData> clone() const override { return std::make_unique<Data>(*this); }
    std::vector<std::string> exclusive;
    int in_use = 0;
  };
  static int uses(const Data& data, const PodInfo& other) {
    int n = 0;
    for (const auto& key : data.exclusive) n += static_cast<int>(std::count(other.shape->claims.begin(), other.shape->claims.end(), key));
    return n;
  }
};

}  // namespace

std::unique_ptr<Plugin> make_volume_binding() { return std::make_unique<Binding>(); }
std::unique_ptr<Plugin> make_volume_restrictions() { return std::make_unique<Restrictions>(); }

}  // namespace onebin::scheduler
