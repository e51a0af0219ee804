// A StatefulSet's decisions, pure: which pods to make, to give up and to mend now, in which order, and what the status says.
// Source of the behaviour: Kubernetes documentation, "StatefulSets", with MaxUnavailableStatefulSet as 1.37 has it by default.
#pragma once
#include "pods.hpp"

#include <onebin/api/apps_v1.hpp>

#include <map>
#include <string>
#include <vector>

namespace onebin::controller {

using api::apps::v1::ControllerRevision;
using api::apps::v1::StatefulSet;
using api::apps::v1::StatefulSetStatus;
using PodClaim = api::core::v1::PersistentVolumeClaim;
using PodClaims = std::map<std::string, PodClaim>;  // by name

inline constexpr char kRevisionLabel[] = "controller-revision-hash";
inline constexpr char kPodNameLabel[] = "statefulset.kubernetes.io/pod-name";
inline constexpr char kPodIndexLabel[] = "apps.kubernetes.io/pod-index";

int replicas_of(const StatefulSet& s);
int start_ordinal(const StatefulSet& s);
// The number at the end of a member's name; -1 of a pod that is none of the set's.
int ordinal_in(const StatefulSet& s, const std::string& pod_name);
// The claims of a pod, from the set's templates; by the template's name.
PodClaims claims_for(const StatefulSet& s, int ordinal);
std::string claim_name(const StatefulSet& s, const std::string& claim_template, int ordinal);
Pod stateful_pod(const StatefulSet& s, const PodTemplateSpec& t, const std::string& revision, int ordinal);
// Name, labels and volumes as the set wants them; false when nothing had to change.
bool mend_pod(const StatefulSet& s, Pod& pod);

// Whether a claim's owners are what the retention policy asks for; and making them so.
bool owners_up_to_date(const PodClaim& claim, const StatefulSet& s, const Pod& pod);
void update_owners(PodClaim& claim, const StatefulSet& s, const Pod& pod);
// Another controller, or a namesake, owns the claim: the policy is not applied to it.
bool has_other_controller(const PodClaim& claim, const StatefulSet& s, const Pod& pod);

struct Revision {
  std::string name;
  PodTemplateSpec template_;
};
struct StatefulStep {
  enum class Do : std::uint8_t { Create, Delete, Mend, MakeClaims, FixOwners } action;
  Pod pod;
};
struct StatefulPlan {
  StatefulSetStatus status;
  std::vector<StatefulStep> steps;  // in this order; the first that fails ends it
};
// `pods` are the set's members in any order, `claims` those that exist of their and the missing pods' names.
StatefulPlan plan_stateful_set(const StatefulSet& s, const std::vector<Pod>& pods, const PodClaims& claims, const Revision& current,
                               const Revision& update, WallTime now);

}  // namespace onebin::controller
