// Small questions about a Pod's definition. Pure.
#pragma once
#include <onebin/api/core_v1.hpp>

#include "kubelet/runtime.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::kubelet {

namespace core = ::onebin::api::core::v1;
using apimachinery::Quantity;
using apimachinery::Time;

// A time that a pointer of the API may leave out reads as the zero time.
inline Time time_or_zero(const Time& t) { return t; }
template <class Optional>
Time time_or_zero(const Optional& t) { return t ? *t : Time(); }
template <class T>
bool true_in(const T& optional_bool) { return optional_bool && *optional_bool; }

inline std::string pod_key(const core::Pod& p) { return p.metadata.namespace_ + "/" + p.metadata.name; }
inline bool is_deleting(const core::Pod& p) { return !time_or_zero(p.metadata.deletion_timestamp).is_zero(); }
inline bool is_terminal(std::string_view phase) { return phase == "Succeeded" || phase == "Failed"; }
inline bool is_static_pod(const core::Pod& p) {
  auto i = p.metadata.annotations.find("kubernetes.io/config.source");
  return i != p.metadata.annotations.end() && i->second != "api";
}
inline bool is_mirror_pod(const core::Pod& p) { return p.metadata.annotations.contains("kubernetes.io/config.mirror"); }
bool is_critical(const core::Pod& p);  // static, mirror, or priority of system-cluster-critical and above

inline bool is_sidecar(const core::Container& c) { return c.restart_policy && *c.restart_policy == "Always"; }
core::Container as_container(const core::EphemeralContainer& c);
// Init, regular or ephemeral; null when there is none of that name. Ephemeral ones are converted into `scratch`.
const core::Container* find_container(const core::Pod& pod, std::string_view name, core::Container* scratch);
bool is_init_container(const core::Pod& pod, std::string_view name);
bool is_ephemeral_container(const core::Pod& pod, std::string_view name);
const core::ContainerStatus* find_status(const core::PodStatus& status, std::string_view name);
const core::ContainerStatus* find_status(const std::vector<core::ContainerStatus>& list, std::string_view name);

// What a change of forces a restart of the container: its name and image.
std::string hash_container(const core::Container& c);

// KEP-5307: the container's rules, then its policy, then the pod's.
bool should_restart_after_exit(const core::Container& c, const core::PodSpec& spec, int exit_code);
// Whether a container that is not running should be started (again).
bool should_be_restarted(const core::Container& c, const core::Pod& pod, const RuntimePod& runtime);
bool any_regular_created(const core::Pod& pod, const RuntimePod& runtime);
bool any_active_regular_started(const core::Pod& pod, const RuntimePod& runtime);
bool any_regular_started(const core::PodSpec& spec, const std::vector<core::ContainerStatus>& statuses);

std::string qos_class(const core::Pod& pod);  // Guaranteed, Burstable, BestEffort
// The pod's effective request and limit of a resource: max(sum of containers and sidecars, init containers), or what the
// pod itself states, plus overhead.
Quantity pod_request(const core::Pod& pod, const std::string& resource);
std::optional<Quantity> pod_limit(const core::Pod& pod, const std::string& resource);  // none: unlimited
std::optional<Quantity> quantity_in(const std::map<std::string, Quantity>& list, const std::string& name);

std::int64_t grace_period_seconds(const core::Pod& pod);  // of deletion: metadata's, else the spec's, else 30

// Go's %v of a string slice: "[a b]".
std::string bracketed(const std::vector<std::string>& names);
std::string quote(std::string_view text);  // Go's %q for plain text

}  // namespace onebin::kubelet
