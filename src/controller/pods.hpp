// What several controllers ask of pods, as pure functions; and creating, deleting, adopting them.
#pragma once
#include "framework.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/apimachinery/selectors.hpp>

#include <optional>
#include <string>
#include <vector>

namespace onebin::controller {

using api::core::v1::Pod;
using api::core::v1::PodTemplateSpec;

bool is_active(const Pod& pod);  // neither finished nor being deleted
bool is_finished(const Pod& pod);
bool is_ready(const Pod& pod);
const api::core::v1::PodCondition* pod_condition(const Pod& pod, std::string_view type);
// Ready for at least `min_ready_seconds` at `now`.
bool is_available(const Pod& pod, int min_ready_seconds, WallTime now);
// When a ready pod that is not available yet will be; none when it is available or not ready.
std::optional<Duration> available_in(const Pod& pod, int min_ready_seconds, WallTime now);

// The order in which pods are given up when there are too many: first the unassigned, pending, not ready, cheapest to
// delete, doubled on a node (`on_node` counts siblings there), youngest.
bool give_up_before(const Pod& a, const Pod& b, const std::map<std::string, int>& on_node);

// A pod from a template, controlled by `owner`. The name is owner's and a suffix.
Pod pod_from_template(const PodTemplateSpec& t, const std::string& ns, const std::string& owner_name, api::meta::v1::OwnerReference owner);

// Creates `count` pods in batches that double as long as they succeed. The number created; the first failure, if any, ended it.
struct Created {
  int count = 0;
  Status failure;
};
// Each pod made, removed or refused is told of by an Event about the owner.
struct Teller {
  client::EventRecorder* events;
  client::ObjectRef owner;
  void operator()(const char* type, const char* reason, std::string message) const { events->event(owner, type, reason, std::move(message)); }
};
async::Task<Created> create_pods(Client* client, Teller tell, Pod pod, int count);
async::Task<Status> delete_pods(Client* client, Teller tell, std::vector<Pod> pods);

// Of an owner's candidates: what it controls already and still matches, after adopting matching orphans and releasing what
// matches no more. `can_adopt` false leaves orphans alone (the owner is being deleted).
struct ClaimResult {
  std::vector<Pod> pods;
  Status failure;
};
async::Task<ClaimResult> claim_pods(Client* client, std::vector<Pod> owned, std::vector<Pod> orphans, apimachinery::LabelSelector selector,
                                    api::meta::v1::OwnerReference owner, bool can_adopt);

// A short name-safe hash of a template, changed by `collisions`.
std::string template_hash(const PodTemplateSpec& t, std::optional<std::int32_t> collisions);

// The data of a ControllerRevision, which keeps a template as a patch; and the template in it, none when it is no such data.
std::string revision_data(const PodTemplateSpec& t);
std::optional<PodTemplateSpec> template_of_revision(const std::string& data);
bool same_revision_data(const std::string& a, const std::string& b);

// Sets a condition of a status by type; last_transition_time moves only when the status does. True when something changed.
template <class Condition>
bool set_condition(std::vector<Condition>& conditions, Condition c) {
  for (auto& old : conditions) {
    if (old.type != c.type) continue;
    if (old.status == c.status) c.last_transition_time = old.last_transition_time;
    if (old.status == c.status && old.reason == c.reason && old.message == c.message) return false;
    old = std::move(c);
    return true;
  }
  conditions.push_back(std::move(c));
  return true;
}

}  // namespace onebin::controller
