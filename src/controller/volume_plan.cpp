#include "volume_plan.hpp"

#include <onebin/apimachinery/field_error.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

ClaimPlan to_phase(const char* phase, std::vector<Note> notes = {}) {
  ClaimPlan p;
  p.phase = phase;
  p.notes = std::move(notes);
  return p;
}
ClaimPlan lost(const char* reason, const char* message) {
  ClaimPlan p = to_phase("Lost", {{"Warning", reason, message}});
  p.notes_once = true;
  return p;
}
ClaimPlan bind(const Volume& v) {
  ClaimPlan p;
  p.action = ClaimPlan::Do::Bind;
  p.name = v.metadata.name;
  return p;
}

// Why a volume that the user named is not what the claim asks for; "" when it is.
std::string mismatch(const Volume& v, const Claim& c) {
  if (v.metadata.deletion_timestamp) return "the volume is marked for deletion " + apimachinery::go_quote(v.metadata.name);
  auto size = [](const auto& list) {
    auto it = list.find("storage");
    return it == list.end() ? 0 : it->second.value();
  };
  if (size(v.spec.capacity) < size(c.spec.resources.requests)) return "requested PV is too small";
  if (client::class_of(v) != client::class_of(c)) return "storageClassName does not match";
  if (v.spec.volume_attributes_class_name.value_or("") != c.spec.volume_attributes_class_name.value_or("")) return "volumeAttributesClassName does not match";
  if (!client::same_volume_mode(c, v)) return "incompatible volumeMode";
  if (!client::offers_access_modes(v, c)) return "incompatible accessMode";
  return {};
}

// The claim has no volume and names none.
ClaimPlan plan_any(const Claim& claim, const ClaimView& view) {
  bool waits = view.storage_class && client::waits_for_consumer(*view.storage_class);
  client::VolumeChoice choice;
  choice.wait_for_consumer = waits;
  if (const Volume* v = client::choose_volume(claim, view.volumes, choice)) return bind(*v);
  if (!client::names_class(claim) && !view.default_class.empty()) {
    ClaimPlan p;
    p.action = ClaimPlan::Do::SetClass;
    p.name = view.default_class;
    return p;
  }
  if (waits && !claim.metadata.annotations.count(client::kSelectedNode)) {
    if (view.waiting_pods.empty())
      return to_phase("Pending", {{"Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding"}});
    std::string pods;
    for (const auto& p : view.waiting_pods) pods += (pods.empty() ? "" : ",") + p;
    return to_phase("Pending", {{"Normal", "WaitForPodScheduled", std::string("waiting for pod") + (view.waiting_pods.size() > 1 ? "s " : " ") + pods + " to be scheduled"}});
  }
  std::string name = client::class_of(claim);
  if (name.empty())
    return to_phase("Pending", {{"Normal", "FailedBinding", "no persistent volumes available for this claim and no storage class is set"}});
  if (!view.storage_class)
    return to_phase("Pending", {{"Warning", "ProvisioningFailed", "storageclass.storage.k8s.io " + apimachinery::go_quote(name) + " not found"}});
  ClaimPlan p = to_phase("Pending");
  p.action = ClaimPlan::Do::Provision;
  return p;
}

// The claim names a volume but is not bound to it yet.
ClaimPlan plan_named(const Claim& claim, const ClaimView& view) {
  const Volume* v = view.named;
  if (!v) return to_phase("Pending");
  if (!v->spec.claim_ref) {
    std::string why = mismatch(*v, claim);
    if (why.empty()) return bind(*v);
    return to_phase("Pending", {{"Warning", "VolumeMismatch", "Cannot bind to requested volume " + apimachinery::go_quote(v->metadata.name) + ": " + why}});
  }
  if (client::is_bound_to(*v, claim)) return bind(*v);
  ClaimPlan p = to_phase("Pending", {{"Warning", "FailedBinding", "volume " + apimachinery::go_quote(v->metadata.name) + " already bound to a different claim."}});
  // The controller itself wrote the name, then somebody took the mark of completion away.
  if (claim.metadata.annotations.count(client::kBoundByController))
    p.failure = conflict("persistentvolumeclaims", claim.metadata.name, "invalid binding to volume " + apimachinery::go_quote(v->metadata.name) + ": volume already claimed");
  return p;
}

ClaimPlan plan_bound(const Claim& claim, const ClaimView& view) {
  if (claim.spec.volume_name.empty()) return lost("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!");
  if (!view.named) return lost("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
  const auto& ref = view.named->spec.claim_ref;
  if (!ref || ref->uid == claim.metadata.uid) return bind(*view.named);
  return lost("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly");
}

// In-tree volume types whose provisioning CSI drivers took over.
constexpr std::pair<const char*, const char*> kMigrated[] = {
    {"kubernetes.io/aws-ebs", "ebs.csi.aws.com"},         {"kubernetes.io/gce-pd", "pd.csi.storage.gke.io"},
    {"kubernetes.io/cinder", "cinder.csi.openstack.org"}, {"kubernetes.io/azure-disk", "disk.csi.azure.com"},
    {"kubernetes.io/azure-file", "file.csi.azure.com"},   {"kubernetes.io/vsphere-volume", "csi.vsphere.vmware.com"},
    {"kubernetes.io/portworx-volume", "pxd.portworx.com"}};

bool is_local_path(const std::string& provisioner) {
  return provisioner == kLocalPathProvisioner || provisioner == "rancher.io/local-path";  // k3s' name for the same thing
}

}  // namespace

ClaimPlan plan_claim(const Claim& claim, const ClaimView& view) {
  if (claim.metadata.annotations.count(client::kBindCompleted)) return plan_bound(claim, view);
  return claim.spec.volume_name.empty() ? plan_any(claim, view) : plan_named(claim, view);
}

VolumePlan plan_volume(const Volume& volume, const Claim* claim) {
  using Do = VolumePlan::Do;
  const auto& ref = volume.spec.claim_ref;
  if (!ref || ref->uid.empty()) return {Do::SetPhase, "Available"};
  if (claim && claim->metadata.uid != ref->uid) claim = nullptr;  // another of the same name
  if (!claim) return {Do::Reclaim, "Released"};
  if (claim->spec.volume_name.empty()) return {client::same_volume_mode(*claim, volume) ? Do::AskClaim : Do::Mismatch, ""};
  if (claim->spec.volume_name == volume.metadata.name) return {Do::SetPhase, "Bound"};
  // The claim went elsewhere: what was made for it is not needed any more.
  bool made_for_it = volume.metadata.annotations.count(client::kProvisionedBy) && volume.spec.persistent_volume_reclaim_policy == "Delete";
  return {made_for_it ? Do::Reclaim : Do::Unbind, made_for_it ? "Released" : "Available"};
}

ReclaimPlan plan_reclaim(const Volume& volume) {
  using Do = ReclaimPlan::Do;
  const std::string& policy = volume.spec.persistent_volume_reclaim_policy;
  if (policy == "Retain") return {};
  if (policy == "Recycle") return {Do::Fail, "VolumeFailedRecycle", "No recycler plugin found for the volume!"};
  if (policy != "Delete") return {Do::Fail, "VolumeUnknownReclaimPolicy", "Volume has unrecognized PersistentVolumeReclaimPolicy"};
  auto by = volume.metadata.annotations.find(client::kProvisionedBy);
  if (by != volume.metadata.annotations.end() && !by->second.empty()) {
    if (is_local_path(by->second) && volume.spec.host_path) return {Do::DeleteLocalPath, "", ""};
    if (!by->second.starts_with("kubernetes.io/")) return {Do::External, "", ""};
    return {Do::Fail, "VolumeFailedDelete", "no volume plugin matched name: " + by->second};
  }
  if (volume.metadata.annotations.count("pv.kubernetes.io/migrated-to") || volume.spec.csi) return {Do::External, "", ""};
  return {Do::Fail, "VolumeFailedDelete", "error getting deleter volume plugin for volume " + apimachinery::go_quote(volume.metadata.name) + ": no deletable volume plugin matched"};
}

Provisioner provisioner_of(const StorageClass& c) {
  if (is_local_path(c.provisioner)) return {true, "", ""};
  for (const auto& [in_tree, csi] : kMigrated)
    if (c.provisioner == in_tree) return {false, csi, ""};
  if (!c.provisioner.starts_with("kubernetes.io/")) return {false, c.provisioner, ""};
  return {false, "", "no volume plugin matched name: " + c.provisioner};
}

bool bind_to_volume(Claim& claim, const Volume& volume) {
  bool changed = false;
  if (claim.spec.volume_name != volume.metadata.name) {
    claim.spec.volume_name = volume.metadata.name;
    claim.metadata.annotations.emplace(client::kBoundByController, "yes");
    changed = true;
  }
  return claim.metadata.annotations.emplace(client::kBindCompleted, "yes").second || changed;
}

bool set_claim_phase(Claim& claim, const std::string& phase, const Volume* volume) {
  auto status = claim.status;
  status.phase = phase;
  if (!volume) {
    status.access_modes.clear();
    status.capacity.clear();
    status.current_volume_attributes_class_name.reset();
  } else {
    status.access_modes = volume->spec.access_modes;
    // Only when it becomes bound: later a difference means that the file system is smaller than its device.
    if (claim.status.phase != phase) {
      status.capacity = volume->spec.capacity;
      if (claim.status.phase == "Pending") status.current_volume_attributes_class_name = volume->spec.volume_attributes_class_name;
    }
  }
  if (status == claim.status) return false;
  claim.status = std::move(status);
  return true;
}

void unbind(Volume& volume) {
  if (volume.metadata.annotations.erase(client::kBoundByController)) volume.spec.claim_ref.reset();
  else if (volume.spec.claim_ref) volume.spec.claim_ref->uid.clear();
}

std::string local_path_refusal(const Claim& claim, const StorageClass& c) {
  if (claim.spec.data_source || claim.spec.data_source_ref)
    return "plugin " + apimachinery::go_quote(c.provisioner) + " is not a CSI plugin. Only CSI plugin can provision a claim with a datasource";
  if (claim.spec.volume_mode.value_or("Filesystem") != "Filesystem") return "block volume provisioning is not supported";
  for (const auto& mode : claim.spec.access_modes)
    if (mode != "ReadWriteOnce" && mode != "ReadWriteOncePod") return "local paths only support ReadWriteOnce and ReadWriteOncePod access modes";
  if (claim.spec.selector) return "claim.Spec.Selector is not supported for dynamic provisioning";
  if (!claim.metadata.annotations.count(client::kSelectedNode)) return "no node was specified: the storage class needs volumeBindingMode WaitForFirstConsumer";
  return {};
}

Volume local_path_volume(const Claim& claim, const StorageClass& c, const std::string& node, const std::string& hostname, const std::string& path) {
  Volume v;
  v.metadata.name = volume_name_of(claim);
  v.metadata.annotations = {{client::kProvisionedBy, c.provisioner}, {client::kSelectedNode, node}};
  client::bind_to_claim(v, claim);
  v.spec.capacity["storage"] = claim.spec.resources.requests.count("storage") ? claim.spec.resources.requests.at("storage") : apimachinery::Quantity();
  v.spec.access_modes = claim.spec.access_modes;
  v.spec.persistent_volume_reclaim_policy = c.reclaim_policy.value_or("Delete");
  v.spec.storage_class_name = client::class_of(claim);
  v.spec.volume_mode = "Filesystem";
  v.spec.mount_options = c.mount_options;
  auto& host = v.spec.host_path.ensure();
  host.path = path;
  host.type = "DirectoryOrCreate";
  api::core::v1::NodeSelectorRequirement on;
  on.key = "kubernetes.io/hostname";
  on.operator_ = "In";
  on.values = {hostname};
  auto& terms = v.spec.node_affinity.ensure().required.ensure().node_selector_terms;
  terms.emplace_back();
  terms.back().match_expressions.push_back(std::move(on));
  // The object stays until the data has been deleted.
  if (v.spec.persistent_volume_reclaim_policy == "Delete") v.metadata.finalizers = {kControllerFinalizer};
  return v;
}

}  // namespace onebin::controller
