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
  bool handles(Operation op) const override { return op == Operation::Create; }
  bool concerns(const AdmissionAttributes& a) const override { return a.object && !node_of(a).empty(); }

  async::Task<Result<void>> admit(AdmissionAttributes& a) override {
    // A binding's labels become the pod's.
    auto node = lister_.get<api::core::v1::Node>("", node_of(a));
    if (!node) co_return Result<void>();
    for (const char* key : {"topology.kubernetes.io/zone", "topology.kubernetes.io/region"})
      if (auto it = node->metadata.labels.find(key); it != node->metadata.labels.end())
        apimachinery::make_path(*a.object, {"metadata", "labels"})[key] = it->second;
    co_return Result<void>();
  }

 private:
  static std::string_view node_of(const AdmissionAttributes& a) {
    if (a.is("", "pods")) return get_string(*a.object, {"spec", "nodeName"});
    bool binding = (a.is("", "pods", "binding") || a.is("", "bindings")) && get_string(*a.object, {"target", "kind"}) == "Node";
    return binding ? get_string(*a.object, {"target", "name"}) : std::string_view();
  }
  const Lister& lister_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_pod_topology_labels(const Lister& lister) { return std::make_unique<PodTopologyLabels>(lister); }

}  // namespace onebin::apiserver
