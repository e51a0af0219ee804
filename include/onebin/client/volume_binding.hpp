// Which PersistentVolume a claim may take: the rules that the volume controller and the scheduler share, pure.
// Source: Kubernetes documentation, "Persistent Volumes", "Storage Classes" (volume binding mode).
#pragma once
#include <onebin/api/core_v1.hpp>
#include <onebin/api/storage_v1.hpp>

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace onebin::client {

// Annotations by which the parties to a binding tell each other how far it is.
inline constexpr char kBindCompleted[] = "pv.kubernetes.io/bind-completed";          // of a claim: both sides are written
inline constexpr char kBoundByController[] = "pv.kubernetes.io/bound-by-controller";  // not by the user: may be undone
inline constexpr char kProvisionedBy[] = "pv.kubernetes.io/provisioned-by";           // of a volume: who deletes it
inline constexpr char kSelectedNode[] = "volume.kubernetes.io/selected-node";         // of a claim: where its first pod goes
inline constexpr char kStorageProvisioner[] = "volume.kubernetes.io/storage-provisioner";
inline constexpr char kStorageProvisionerBeta[] = "volume.beta.kubernetes.io/storage-provisioner";
inline constexpr char kStorageClassBeta[] = "volume.beta.kubernetes.io/storage-class";
inline constexpr char kNoProvisioner[] = "kubernetes.io/no-provisioner";

using Volume = api::core::v1::PersistentVolume;
using Claim = api::core::v1::PersistentVolumeClaim;
using StorageClass = api::storage::v1::StorageClass;

std::string class_of(const Claim& claim);  // "" when it asks for none
std::string class_of(const Volume& volume);
bool names_class(const Claim& claim);      // even if the name is ""
bool waits_for_consumer(const StorageClass& c);

// The volume's claimRef means this claim: by name, and by uid once that is set.
bool is_bound_to(const Volume& volume, const Claim& claim);
// The claim has its volume and both sides are written.
bool is_fully_bound(const Claim& claim);
bool same_volume_mode(const Claim& claim, const Volume& volume);
bool offers_access_modes(const Volume& volume, const Claim& claim);

struct VolumeChoice {
  // Whether the volume's node affinity admits the node in question; empty where no node is chosen yet.
  std::function<bool(const Volume&)> reachable;
  const std::set<std::string>* taken = nullptr;  // names that other claims of the same pod have got
  bool wait_for_consumer = false;                // without a node only what is bound to the claim already counts
};
// The volume that is reserved for the claim, else the smallest that fits; null when there is none.
const Volume* choose_volume(const Claim& claim, const std::vector<const Volume*>& volumes, const VolumeChoice& choice);

// The volume's half of a binding. False when it was complete.
bool bind_to_claim(Volume& volume, const Claim& claim);

// The claim that a pod's volume stands for: by name, or its own ("POD-VOLUME") where the volume is ephemeral; "" otherwise.
std::string claim_name(const std::string& pod, const api::core::v1::Volume& v);

}  // namespace onebin::client
