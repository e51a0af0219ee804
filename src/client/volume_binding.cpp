#include <onebin/client/volume_binding.hpp>

#include <onebin/apimachinery/selectors.hpp>

#include <algorithm>

namespace onebin::client {
namespace {

const std::string* beta_class(const api::meta::v1::ObjectMeta& m) {
  auto it = m.annotations.find(kStorageClassBeta);
  return it == m.annotations.end() ? nullptr : &it->second;
}
apimachinery::Quantity storage(const std::map<std::string, apimachinery::Quantity>& list) {
  auto it = list.find("storage");
  return it == list.end() ? apimachinery::Quantity() : it->second;
}

}  // namespace

std::string class_of(const Claim& claim) {
  if (const auto* beta = beta_class(claim.metadata)) return *beta;
  return claim.spec.storage_class_name.value_or("");
}
std::string class_of(const Volume& volume) {
  const auto* beta = beta_class(volume.metadata);
  return beta ? *beta : volume.spec.storage_class_name;
}
bool names_class(const Claim& claim) { return beta_class(claim.metadata) || claim.spec.storage_class_name.has_value(); }
bool waits_for_consumer(const StorageClass& c) { return c.volume_binding_mode && *c.volume_binding_mode == "WaitForFirstConsumer"; }

bool is_bound_to(const Volume& volume, const Claim& claim) {
  if (!volume.spec.claim_ref) return false;
  const auto& ref = *volume.spec.claim_ref;
  return ref.name == claim.metadata.name && ref.namespace_ == claim.metadata.namespace_ && (ref.uid.empty() || ref.uid == claim.metadata.uid);
}
bool is_fully_bound(const Claim& claim) { return !claim.spec.volume_name.empty() && claim.metadata.annotations.count(kBindCompleted); }
bool same_volume_mode(const Claim& claim, const Volume& volume) {
  return claim.spec.volume_mode.value_or("Filesystem") == volume.spec.volume_mode.value_or("Filesystem");
}
bool offers_access_modes(const Volume& volume, const Claim& claim) {
  const auto& has = volume.spec.access_modes;
  return std::all_of(claim.spec.access_modes.begin(), claim.spec.access_modes.end(),
                     [&](const std::string& m) { return std::find(has.begin(), has.end(), m) != has.end(); });
}

const Volume* choose_volume(const Claim& claim, const std::vector<const Volume*>& volumes, const VolumeChoice& choice) {
  auto selector = apimachinery::LabelSelector::everything();
  if (claim.spec.selector) {
    auto s = apimachinery::LabelSelector::from_struct(*claim.spec.selector);
    selector = s ? *s : apimachinery::LabelSelector::nothing();
  }
  const apimachinery::Quantity wanted = storage(claim.spec.resources.requests);
  const std::string storage_class = class_of(claim);
  const Volume* best = nullptr;
  for (const Volume* v : volumes) {
    if (choice.taken && choice.taken->count(v->metadata.name)) continue;
    bool ours = is_bound_to(*v, claim);
    if (v->spec.claim_ref && !ours) continue;
    if (storage(v->spec.capacity) < wanted || !same_volume_mode(claim, *v) || v->metadata.deletion_timestamp) continue;
    if (claim.spec.volume_attributes_class_name.value_or("") != v->spec.volume_attributes_class_name.value_or("")) continue;
    bool reachable = !choice.reachable || choice.reachable(*v);
    // What is reserved for the claim is all that it may have.
    if (ours) return reachable ? v : nullptr;
    if (!choice.reachable && choice.wait_for_consumer) continue;
    if (v->status.phase != "Available" || !selector.matches(v->metadata.labels) || class_of(*v) != storage_class || !reachable) continue;
    if (!offers_access_modes(*v, claim)) continue;
    if (!best || storage(v->spec.capacity) < storage(best->spec.capacity)) best = v;
  }
  return best;
}

bool bind_to_claim(Volume& volume, const Claim& claim) {
  bool by_user = is_bound_to(volume, claim), changed = false;
  if (!by_user || volume.spec.claim_ref->uid != claim.metadata.uid) {
    auto& ref = volume.spec.claim_ref.ensure();
    ref = {};
    ref.kind = "PersistentVolumeClaim";
    ref.api_version = "v1";
    ref.namespace_ = claim.metadata.namespace_;
    ref.name = claim.metadata.name;
    ref.uid = claim.metadata.uid;
    ref.resource_version = claim.metadata.resource_version;
    changed = true;
  }
  if (!by_user && volume.metadata.annotations.emplace(kBoundByController, "yes").second) changed = true;
  return changed;
}

std::string claim_name(const std::string& pod, const api::core::v1::Volume& v) {
  if (v.persistent_volume_claim) return v.persistent_volume_claim->claim_name;
  return v.ephemeral ? pod + "-" + v.name : std::string();
}

}  // namespace onebin::client
