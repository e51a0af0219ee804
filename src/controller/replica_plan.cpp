#include "replica_plan.hpp"

#include <onebin/apimachinery/selectors.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

template <class To, class From>
std::vector<To> convert(const std::vector<From>& from) {
  std::vector<To> out;
  for (const auto& c : from) {
    To& t = out.emplace_back();
    t.type = c.type;
    t.status = c.status;
    t.last_transition_time = c.last_transition_time;
    t.reason = c.reason;
    t.message = c.message;
  }
  return out;
}

}  // namespace

ReplicaSet as_replica_set(const ReplicationController& rc) {
  ReplicaSet rs;
  rs.metadata = rc.metadata;
  rs.spec.replicas = rc.spec.replicas;
  rs.spec.min_ready_seconds = rc.spec.min_ready_seconds;
  if (rc.spec.template_) rs.spec.template_ = *rc.spec.template_;
  if (!rc.spec.selector.empty()) rs.spec.selector.ensure().match_labels = rc.spec.selector;
  rs.status.replicas = rc.status.replicas;
  rs.status.fully_labeled_replicas = rc.status.fully_labeled_replicas;
  rs.status.ready_replicas = rc.status.ready_replicas;
  rs.status.available_replicas = rc.status.available_replicas;
  rs.status.observed_generation = rc.status.observed_generation;
  rs.status.conditions = convert<api::apps::v1::ReplicaSetCondition>(rc.status.conditions);
  return rs;
}

void set_replication_status(ReplicationController& rc, const api::apps::v1::ReplicaSetStatus& status) {
  rc.status.replicas = status.replicas;
  rc.status.fully_labeled_replicas = status.fully_labeled_replicas;
  rc.status.ready_replicas = status.ready_replicas;
  rc.status.available_replicas = status.available_replicas;
  rc.status.observed_generation = status.observed_generation;
  rc.status.conditions = convert<api::core::v1::ReplicationControllerCondition>(status.conditions);
}

api::apps::v1::ReplicaSetStatus replica_status(const ReplicaSet& rs, const std::vector<Pod>& pods, int terminating, const Status& failure, WallTime now) {
  api::apps::v1::ReplicaSetStatus s;
  s.conditions = rs.status.conditions;
  auto full = apimachinery::LabelSelector::from_map(rs.spec.template_.metadata.labels);
  for (const auto& p : pods) {
    ++s.replicas;
    if (full.matches(p.metadata.labels)) ++s.fully_labeled_replicas;
    if (is_ready(p)) ++s.ready_replicas;
    if (is_available(p, rs.spec.min_ready_seconds, now)) ++s.available_replicas;
  }
  s.terminating_replicas = terminating;
  s.observed_generation = rs.metadata.generation;
  if (failure) {
    std::erase_if(s.conditions, [](const auto& c) { return c.type == "ReplicaFailure"; });
    return s;
  }
  // The first failure stays told: the next one's message names another pod, and a write for each would be an event for each.
  if (std::any_of(s.conditions.begin(), s.conditions.end(), [](const auto& c) { return c.type == "ReplicaFailure"; })) return s;
  api::apps::v1::ReplicaSetCondition c;
  c.type = "ReplicaFailure";
  c.status = "True";
  c.reason = s.replicas < rs.spec.replicas.value_or(1) ? "FailedCreate" : "FailedDelete";
  c.message = failure.message();
  c.last_transition_time = now;
  s.conditions.push_back(std::move(c));
  return s;
}

}  // namespace onebin::controller
