// A Deployment's decisions, pure: which ReplicaSet is the new one, how large each should be, what the status says.
// Source of the behaviour: Kubernetes documentation, "Deployments".
#pragma once
#include "pods.hpp"

#include <onebin/api/apps_v1.hpp>

#include <map>
#include <string>
#include <vector>

namespace onebin::controller {

using api::apps::v1::Deployment;
using api::apps::v1::ReplicaSet;

inline constexpr char kRevision[] = "deployment.kubernetes.io/revision";
inline constexpr char kRevisionHistory[] = "deployment.kubernetes.io/revision-history";
inline constexpr char kDesired[] = "deployment.kubernetes.io/desired-replicas";
inline constexpr char kMaxReplicas[] = "deployment.kubernetes.io/max-replicas";
inline constexpr char kTemplateHash[] = "pod-template-hash";

int replicas_of(const Deployment& d);
int replicas_of(const ReplicaSet& rs);
bool rolling(const Deployment& d);
int max_surge(const Deployment& d);
int max_unavailable(const Deployment& d);
std::int64_t revision_of(const ReplicaSet& rs);

// The ReplicaSet with the Deployment's template; null when there is none. The oldest of several.
const ReplicaSet* find_new(const Deployment& d, const std::vector<ReplicaSet>& all);
bool same_template(const PodTemplateSpec& a, const PodTemplateSpec& b);
// How large the new one may be now, the others given.
int new_replicas(const Deployment& d, const std::vector<ReplicaSet>& all, const ReplicaSet& fresh);
// Rolling update's way down: sizes by name of old ReplicaSets that should change.
std::map<std::string, int> scale_down_old(const Deployment& d, const std::vector<ReplicaSet>& all, const ReplicaSet& fresh);
// After a change of spec.replicas during a rollout: sizes by name that keep the proportions.
std::map<std::string, int> scale_proportionally(const Deployment& d, const std::vector<ReplicaSet>& all);
// A recorded size differs from spec.replicas: somebody scaled the Deployment.
bool is_scaling(const Deployment& d, const std::vector<ReplicaSet>& all);
// Old ReplicaSets beyond revisionHistoryLimit, empty ones, oldest first.
std::vector<const ReplicaSet*> beyond_history(const Deployment& d, const std::vector<ReplicaSet>& old);

api::apps::v1::DeploymentStatus deployment_status(const Deployment& d, const std::vector<ReplicaSet>& all, const ReplicaSet* fresh, WallTime now);
bool complete(const Deployment& d, const api::apps::v1::DeploymentStatus& s);
// The Progressing condition moved on: more updated, ready or available pods, or fewer old ones.
bool progressing(const api::apps::v1::DeploymentStatus& before, const api::apps::v1::DeploymentStatus& now);
bool timed_out(const Deployment& d, const api::apps::v1::DeploymentStatus& s, WallTime now);
const api::apps::v1::DeploymentCondition* find_condition(const api::apps::v1::DeploymentStatus& s, std::string_view type);

}  // namespace onebin::controller
