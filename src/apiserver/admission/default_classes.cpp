// DefaultStorageClass and DefaultIngressClass: what names no class gets the default one, the newest where there are several.
// StorageObjectInUseProtection: volumes and claims are not removed while they are used.
#include "apiserver/admission/plugins.hpp"

#include <onebin/api/networking_v1.hpp>
#include <onebin/api/storage_v1.hpp>
#include <onebin/apimachinery/meta.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

using apimachinery::find_member;
using apimachinery::object_at;

// The newest class that `annotation` marks; of several made in one second, the first by name. "" when there is none.
template <class T>
std::string default_class(const Lister& lister, std::initializer_list<const char*> annotations) {
  std::string name;
  apimachinery::Time made;
  lister.for_each<T>("", [&](const T& c) {
    bool marked = std::any_of(annotations.begin(), annotations.end(), [&](const char* key) {
      auto it = c.metadata.annotations.find(key);
      return it != c.metadata.annotations.end() && it->second == "true";
    });
    if (marked && (name.empty() || c.metadata.creation_timestamp > made)) {
      name = c.metadata.name;
      made = c.metadata.creation_timestamp;
    }
    return true;
  });
  return name;
}

class DefaultStorageClass final : public AdmissionPlugin {
 public:
  explicit DefaultStorageClass(const Lister& lister) : lister_(lister) {}
  std::string_view name() const override { return "DefaultStorageClass"; }
  bool handles(Operation op) const override { return op == Operation::Create; }
  bool concerns(const AdmissionAttributes& a) const override { return a.is("", "persistentvolumeclaims") && a.object; }
  async::Task<Result<void>> admit(AdmissionAttributes& a) override {
    Document& spec = object_at(*a.object, "spec");
    bool asked = find_member(spec, "storageClassName") || find_member(apimachinery::annotations_of(*a.object), "volume.beta.kubernetes.io/storage-class");
    if (asked) co_return Result<void>();
    std::string name = default_class<api::storage::v1::StorageClass>(
        lister_, {"storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"});
    if (!name.empty()) spec["storageClassName"] = name;
    co_return Result<void>();
  }

 private:
  const Lister& lister_;
};

class DefaultIngressClass final : public AdmissionPlugin {
 public:
  explicit DefaultIngressClass(const Lister& lister) : lister_(lister) {}
  std::string_view name() const override { return "DefaultIngressClass"; }
  bool handles(Operation op) const override { return op == Operation::Create; }
  bool concerns(const AdmissionAttributes& a) const override { return a.is("networking.k8s.io", "ingresses") && a.object; }
  async::Task<Result<void>> admit(AdmissionAttributes& a) override {
    Document& spec = object_at(*a.object, "spec");
    if (find_member(spec, "ingressClassName") || find_member(apimachinery::annotations_of(*a.object), "kubernetes.io/ingress.class")) co_return Result<void>();
    std::string name = default_class<api::networking::v1::IngressClass>(lister_, {"ingressclass.kubernetes.io/is-default-class"});
    if (!name.empty()) spec["ingressClassName"] = name;
    co_return Result<void>();
  }

 private:
  const Lister& lister_;
};

class StorageObjectInUseProtection final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "StorageObjectInUseProtection"; }
  bool handles(Operation op) const override { return op == Operation::Create; }
  bool concerns(const AdmissionAttributes& a) const override { return a.object && !finalizer(a).empty(); }
  async::Task<Result<void>> admit(AdmissionAttributes& a) override {
    std::vector<std::string> all = apimachinery::finalizers_of(*a.object);
    std::string mine(finalizer(a));
    if (std::find(all.begin(), all.end(), mine) != all.end()) co_return Result<void>();
    all.push_back(std::move(mine));
    apimachinery::set_finalizers(*a.object, all);
    co_return Result<void>();
  }

 private:
  static std::string_view finalizer(const AdmissionAttributes& a) {
    if (a.is("", "persistentvolumes")) return "kubernetes.io/pv-protection";
    if (a.is("", "persistentvolumeclaims")) return "kubernetes.io/pvc-protection";
    if (a.is("storage.k8s.io", "volumeattributesclasses")) return "kubernetes.io/vac-protection";
    return {};
  }
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_default_storage_class(const Lister& lister) { return std::make_unique<DefaultStorageClass>(lister); }
std::unique_ptr<AdmissionPlugin> make_default_ingress_class(const Lister& lister) { return std::make_unique<DefaultIngressClass>(lister); }
std::unique_ptr<AdmissionPlugin> make_storage_object_in_use_protection() { return std::make_unique<StorageObjectInUseProtection>(); }

}  // namespace onebin::apiserver
