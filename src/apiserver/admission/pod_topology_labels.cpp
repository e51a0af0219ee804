// PodTopologyLabels: a pod that is bound to a node takes over its zone and region as labels.
#include "apiserver/admission/plugins.hpp"
#include "apiserver/cache/object_view.hpp"

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
    Bytes node = lister_.get("", "nodes", "", node_of(a));
    if (!node) co_return Result<void>();
    for (const auto& [key, value] : ObjectView(*node).labels())
      if (key == "topology.kubernetes.io/zone" || key == "topology.kubernetes.io/region")
        apimachinery::make_path(*a.object, {"metadata", "labels"})[std::string(key)] = value;
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
