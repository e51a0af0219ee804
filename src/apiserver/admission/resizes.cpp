// PersistentVolumeClaimResize: a claim grows where it is bound and its class lets it. PodResizeValidator: a pod is given no
// more than its node could ever give.
#include "apiserver/admission/plugins.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/api/quota.hpp>
#include <onebin/api/storage_v1.hpp>
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/base/bytes.hpp>

namespace onebin::apiserver {
namespace {

namespace core = api::core::v1;
using apimachinery::get_string;
using apimachinery::Quantity;

Quantity storage_of(const Document& claim) {
  return Quantity::parse(get_string(claim, {"spec", "resources", "requests", "storage"})).value_or(Quantity());
}

std::string class_of(const Document& claim) {
  std::string_view old = apimachinery::string_at(apimachinery::annotations_of(claim), "volume.beta.kubernetes.io/storage-class");
  return std::string(old.empty() ? get_string(claim, {"spec", "storageClassName"}) : old);
}

class ClaimResize final : public AdmissionPlugin {
 public:
  explicit ClaimResize(const Lister& lister) : lister_(lister) {}
  std::string_view name() const override { return "PersistentVolumeClaimResize"; }
  bool handles(Operation op) const override { return op == Operation::Update; }
  bool concerns(const AdmissionAttributes& a) const override { return a.is("", "persistentvolumeclaims") && a.object; }
  async::Task<Result<void>> validate(const AdmissionAttributes& a) override {
    const Document* old = a.old_object();
    if (!old || storage_of(*a.object) <= storage_of(*old)) co_return Result<void>();
    if (get_string(*old, {"status", "phase"}) != "Bound") co_return admission_forbidden(a, "Only bound persistent volume claims can be expanded");
    std::string name = class_of(*a.object);
    auto c = name.empty() || name != class_of(*old) ? std::nullopt : lister_.get<api::storage::v1::StorageClass>("", name);
    if (c && c->allow_volume_expansion.value_or(false)) co_return Result<void>();
    co_return admission_forbidden(a, "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize");
  }

 private:
  const Lister& lister_;
};

class PodResizeValidator final : public AdmissionPlugin {
 public:
  explicit PodResizeValidator(const Lister& lister) : lister_(lister) {}
  std::string_view name() const override { return "PodResizeValidator"; }
  bool handles(Operation op) const override { return op == Operation::Update; }
  bool concerns(const AdmissionAttributes& a) const override {
    return a.is("", "pods", "resize") && a.object && !get_string(*a.object, {"spec", "nodeName"}).empty();
  }
  async::Task<Result<void>> validate(const AdmissionAttributes& a) override {
    const Document* old = a.old_object();
    if (!old || apimachinery::generation_of(*old) == apimachinery::generation_of(*a.object)) co_return Result<void>();
    std::string at(get_string(*a.object, {"spec", "nodeName"}));
    auto node = lister_.get<core::Node>("", at);
    if (!node) co_return admission_forbidden(a, "node " + apimachinery::go_quote(at) + " not found");
    if (auto os = node->metadata.labels.find("kubernetes.io/os"); os != node->metadata.labels.end() && os->second != "linux")
      co_return refused(a, "pod resize is only supported on linux nodes, node " + apimachinery::go_quote(at) + " is " + apimachinery::go_quote(os->second), "UnsupportedPlatform");
    Result<core::Pod> pod = api::from_document<core::Pod>(*a.object);
    if (!pod) co_return pod.status();
    pod->status = {};
    api::ResourceList asked = api::pod_requests(*pod), &has = node->status.allocatable;
    std::vector<std::string> faults;
    if (asked["cpu"] > has["cpu"]) faults.push_back("cpu, requested: " + std::to_string(asked["cpu"].milli_value()) + ", allocatable: " + std::to_string(has["cpu"].milli_value()));
    if (asked["memory"] > has["memory"]) faults.push_back("memory, requested: " + std::to_string(asked["memory"].value()) + ", allocatable: " + std::to_string(has["memory"].value()));
    if (faults.empty()) co_return Result<void>();
    co_return refused(a, "node didn't have enough allocatable resources: " + join(faults, "; "), "NodeCapacity");
  }

 private:
  static Status refused(const AdmissionAttributes& a, const std::string& why, const char* cause) {
    Status s = admission_forbidden(a, why);
    s.mutable_details().causes.push_back({cause, "", ""});
    return s;
  }
  const Lister& lister_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_claim_resize(const Lister& lister) { return std::make_unique<ClaimResize>(lister); }
std::unique_ptr<AdmissionPlugin> make_pod_resize_validator(const Lister& lister) { return std::make_unique<PodResizeValidator>(lister); }

}  // namespace onebin::apiserver
