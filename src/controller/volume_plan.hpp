// The persistent volume controller's decisions, pure: what to do with a claim, with a volume, and how their objects change.
// Source: Kubernetes documentation, "Persistent Volumes"; phases and events as upstream's persistentvolume controller has them.
#pragma once
#include "framework.hpp"

#include <onebin/client/volume_binding.hpp>

#include <string>
#include <vector>

namespace onebin::controller {

using client::Claim;
using client::StorageClass;
using client::Volume;

// An Event to record about the object in hand.
struct Note {
  std::string type, reason, message;
};

struct ClaimView {
  std::vector<const Volume*> volumes;
  const Volume* named = nullptr;               // spec.volumeName's; null when it is absent
  const StorageClass* storage_class = nullptr;  // the one that the claim names; null when it is absent
  std::string default_class;                   // "" when there is none
  std::vector<std::string> waiting_pods;       // pods without a node that use the claim
};
struct ClaimPlan {
  enum class Do : std::uint8_t { Bind, Provision, SetClass, SetPhase } action = Do::SetPhase;
  std::string name;   // the volume to bind, the class to set
  std::string phase;  // SetPhase
  std::vector<Note> notes;
  bool notes_once = false;  // recorded only when the phase changes
  Status failure;           // tried again when not OK
};
ClaimPlan plan_claim(const Claim& claim, const ClaimView& view);

struct VolumePlan {
  enum class Do : std::uint8_t { SetPhase, Reclaim, Unbind, AskClaim, Mismatch } action = Do::SetPhase;
  std::string phase;  // SetPhase, and before Reclaim unless it has failed already
};
// `claim` is the one that claimRef names, null when it is known to be gone.
VolumePlan plan_volume(const Volume& volume, const Claim* claim);

// How a released volume goes: by whom its data is deleted.
struct ReclaimPlan {
  enum class Do : std::uint8_t { Keep, External, DeleteLocalPath, Fail } action = Do::Keep;
  std::string reason, message;  // Fail
};
ReclaimPlan plan_reclaim(const Volume& volume);

// Who provisions for a class: the built-in local-path provisioner, somebody outside, or nobody (error).
struct Provisioner {
  bool local_path = false;
  std::string external, error;
};
Provisioner provisioner_of(const StorageClass& c);

// Changes of the objects; false when nothing changed.
bool bind_to_volume(Claim& claim, const Volume& volume);
bool set_claim_phase(Claim& claim, const std::string& phase, const Volume* volume);
void unbind(Volume& volume);

// The volume that the local-path provisioner makes for a claim, its directory being `path` on `node`.
Volume local_path_volume(const Claim& claim, const StorageClass& c, const std::string& node, const std::string& hostname, const std::string& path);
// Why the local-path provisioner cannot serve the claim; "" when it can.
std::string local_path_refusal(const Claim& claim, const StorageClass& c);
inline constexpr char kLocalPathProvisioner[] = "onebin.io/local-path";
inline constexpr char kControllerFinalizer[] = "kubernetes.io/pv-controller";
inline std::string volume_name_of(const Claim& claim) { return "pvc-" + claim.metadata.uid; }

}  // namespace onebin::controller
