// Volumes, claims and attribute classes that are in use outlive their deletion: each carries a finalizer from its creation
// (admission puts it there), which goes when it is being deleted and nothing uses it. Source: upstream's protection controllers.
#include "controllers.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/api/storage_v1.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

namespace v1 = api::core::v1;
using api::storage::v1::VolumeAttributesClass;

template <class T>
class Protection : public Controller {
 public:
  Protection(Context& c, std::string name, std::string finalizer)
      : Controller(c, std::move(name)), objects_(c.informers->get<T>()), finalizer_(std::move(finalizer)) {
    needs(objects_);
    objects_.on_event([this](const std::string& key, const T*, const T* now) {
      if (now && waits(*now)) queue_.add(key);
    });
  }

 protected:
  virtual bool used(const T& object) const = 0;
  // Looks again at what waits for its end.
  void look_again() {
    objects_.for_each([this](const std::string& key, const T& object) { if (waits(object)) queue_.add(key); });
  }
  void look_again(const std::string& key) {
    if (objects_.RawInformer::get(key)) queue_.add(key);
  }
  client::Informer<T>& objects_;

 private:
  bool waits(const T& object) const {
    const auto& f = object.metadata.finalizers;
    return object.metadata.deletion_timestamp && std::find(f.begin(), f.end(), finalizer_) != f.end();
  }
  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<T> object = objects_.get(key);
    if (!object || !waits(*object) || used(*object)) co_return ReconcileResult{};
    auto& f = object->metadata.finalizers;
    f.erase(std::remove(f.begin(), f.end(), finalizer_), f.end());
    Result<T> r = co_await client_.update(std::move(*object));
    co_return ReconcileResult{r.is(Reason::NotFound) ? Status() : r.status()};
  }
  std::string finalizer_;
};

class ClaimProtection final : public Protection<v1::PersistentVolumeClaim> {
 public:
  explicit ClaimProtection(Context& c)
      : Protection(c, "pvc-protection-controller", "kubernetes.io/pvc-protection"), pods_(c.informers->get<v1::Pod>()) {
    needs(pods_);
    pods_.on_event([this](const std::string&, const v1::Pod* before, const v1::Pod* now) {
      if (!before || (now && !over(*now))) return;
      for (const auto& v : before->spec.volumes)
        if (std::string claim = claim_of(*before, v); !claim.empty()) look_again(client::object_key(before->metadata.namespace_, claim));
    });
  }

 private:
  static bool over(const v1::Pod& p) { return p.status.phase == "Succeeded" || p.status.phase == "Failed"; }
  static std::string claim_of(const v1::Pod& p, const v1::Volume& v) {
    if (v.persistent_volume_claim) return v.persistent_volume_claim->claim_name;
    return v.ephemeral ? p.metadata.name + "-" + v.name : std::string();
  }
  // A pod without a node cannot have mounted it; one that is over does no more.
  bool used(const v1::PersistentVolumeClaim& claim) const override {
    bool found = false;
    pods_.for_each([&](const std::string&, const v1::Pod& p) {
      if (found || p.metadata.namespace_ != claim.metadata.namespace_ || p.spec.node_name.empty() || over(p)) return;
      for (const auto& v : p.spec.volumes) found = found || claim_of(p, v) == claim.metadata.name;
    });
    return found;
  }
  client::Informer<v1::Pod>& pods_;
};

class VolumeProtection final : public Protection<v1::PersistentVolume> {
 public:
  explicit VolumeProtection(Context& c) : Protection(c, "pv-protection-controller", "kubernetes.io/pv-protection") {}

 private:
  bool used(const v1::PersistentVolume& volume) const override { return volume.status.phase == "Bound"; }
};

class AttributesClassProtection final : public Protection<VolumeAttributesClass> {
 public:
  explicit AttributesClassProtection(Context& c)
      : Protection(c, "volumeattributesclass-protection-controller", "kubernetes.io/vac-protection"),
        claims_(c.informers->get<v1::PersistentVolumeClaim>()), volumes_(c.informers->get<v1::PersistentVolume>()) {
    needs(claims_);
    needs(volumes_);
    claims_.on_event([this](const std::string&, const v1::PersistentVolumeClaim* before, const v1::PersistentVolumeClaim*) { if (before) look_again(); });
    volumes_.on_event([this](const std::string&, const v1::PersistentVolume* before, const v1::PersistentVolume*) { if (before) look_again(); });
  }

 private:
  bool used(const VolumeAttributesClass& c) const override {
    const std::string& name = c.metadata.name;
    bool found = false;
    claims_.for_each([&](const std::string&, const v1::PersistentVolumeClaim& p) {
      const auto& modify = p.status.modify_volume_status;
      found = found || p.spec.volume_attributes_class_name == name || p.status.current_volume_attributes_class_name == name ||
              (modify && modify->target_volume_attributes_class_name == name);
    });
    volumes_.for_each([&](const std::string&, const v1::PersistentVolume& p) { found = found || p.spec.volume_attributes_class_name == name; });
    return found;
  }
  client::Informer<v1::PersistentVolumeClaim>& claims_;
  client::Informer<v1::PersistentVolume>& volumes_;
};

}  // namespace

std::unique_ptr<Controller> make_pvc_protection_controller(Context& c) { return std::make_unique<ClaimProtection>(c); }
std::unique_ptr<Controller> make_pv_protection_controller(Context& c) { return std::make_unique<VolumeProtection>(c); }
std::unique_ptr<Controller> make_vac_protection_controller(Context& c) { return std::make_unique<AttributesClassProtection>(c); }

}  // namespace onebin::controller
