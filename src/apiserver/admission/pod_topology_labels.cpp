// PodTopologyLabels: a pod that is bound to a node takes over its zone and region as labels.
#include "apiserver/admission/plugins.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/apimachinery/meta.hpp>

namespace onebin::apiserver {
namespace {

using apimachinery::get_string;

class PodTopologyLabels final : public AdmissionPlugin {
 public:
  explicit PodTopologyLabels(const Lister& lister) : lister_(lister) {}
  std::string_view name() const override { return "PodTopologyLabels"; }
  bool handles(Operation op) const override { return op == Operation::Create || op == Operation::Update; }
  bool concerns(const AdmissionAttributes& a) const override {
    return a.object && (a.is("", "pods") || a.is("", "pods", "binding")) && !get_string(*a.object, {"spec", "nodeName"}).empty();
  }

  async::Task<Result<void>> admit(AdmissionAttributes& a) override {
    // A binding is an update of the pod that gives it its node; later updates change nothing.
    const Document* old = a.operation == Operation::Update ? a.old_object() : nullptr;
    if (old && !get_string(*old, {"spec", "nodeName"}).empty()) co_return Result<void>();
    auto node = lister_.get<api::core::v1::Node>("", get_string(*a.object, {"spec", "nodeName"}));
    if (!node) co_return Result<void>();
    for (const char* key : {"topology.kubernetes.io/zone", "topology.kubernetes.io/region"})
      if (auto it = node->metadata.labels.find(key); it != node->metadata.labels.end())
        apimachinery::make_path(*a.object, {"metadata", "labels"})[key] = it->second;
    co_return Result<void>();
  }

 private:
  const Lister& lister_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_pod_topology_labels(const Lister& lister) { return std::make_unique<PodTopologyLabels>(lister); }

}  // namespace onebin::apiserver
