// What objects use of ResourceQuotas: pure, shared by admission (which charges) and the quota controller (which measures).
// Source: Kubernetes documentation, "Resource Quotas"; the API conventions of pods' effective requests (KEP-753, KEP-1287).
#pragma once
#include <onebin/api/core_v1.hpp>
#include <onebin/api/resource_v1.hpp>
#include <onebin/base/time.hpp>

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::api {

using ResourceList = std::map<std::string, apimachinery::Quantity>;

// What a pod needs at once: its containers and sidecars together, or an init container beside the sidecars before it; what
// the pod states for itself goes before; overhead on top. Where it is being resized, the most of what is asked for, allotted
// and in effect. A limit is named where any container has one.
ResourceList pod_requests(const core::v1::Pod& pod);
ResourceList pod_limits(const core::v1::Pod& pod);
bool is_best_effort(const core::v1::Pod& pod);

namespace quota {

using core::v1::ResourceQuota;

// False for what is never counted: events, and what is not stored.
bool counts(std::string_view group, std::string_view resource);
std::string object_count_name(std::string_view group, std::string_view resource);  // "count/deployments.apps"
// Whether the quota name `name` is measured over objects of that resource.
bool measures(std::string_view group, std::string_view resource, std::string_view name);
// The names of `hard` that are.
std::vector<std::string> measured(std::string_view group, std::string_view resource, const ResourceList& hard);

// One object as quotas see it.
struct Use {
  ResourceList usage;
  enum class Scopes : unsigned char { None, Pod, Claim } has = Scopes::None;  // which scopes may select it
  bool terminating = false, best_effort = false, cross_namespace = false;
  std::string priority_class;
  std::set<std::string> attribute_classes;
  bool operator==(const Use&) const = default;
};
// A pod that is over counts as an object only; so does one whose grace to end has passed at `now`.
Use use_of(const core::v1::Pod& pod, WallTime now);
Use use_of(const core::v1::Service& service);
Use use_of(const core::v1::PersistentVolumeClaim& claim);
Use use_of(const resource::v1::ResourceClaim& claim);
Use use_of(std::string_view group, std::string_view resource);  // any other object

// Whether all scopes of the quota select the object.
bool in_scope(const ResourceQuota& quota, const Use& use);
// When the pod stops to count though nobody writes it: the end of its grace. None: never so.
std::optional<WallTime> ends_counting(const core::v1::Pod& pod);
// A quota of CPU or memory demands that every container states them: "must specify limits.cpu for: a,b"; "" where all do.
std::string unstated(const core::v1::Pod& pod, const std::vector<std::string>& names);

}  // namespace quota

// By name; a name that one side lacks is zero there.
void add_to(ResourceList& to, const ResourceList& more);
ResourceList masked(const ResourceList& list, const std::vector<std::string>& names);
std::vector<std::string> names_of(const ResourceList& list);

}  // namespace onebin::api
