// What ReplicaSets and ReplicationControllers share, pure: a ReplicationController as a ReplicaSet, and the status of either.
#pragma once
#include "pods.hpp"

#include <onebin/api/apps_v1.hpp>

#include <vector>

namespace onebin::controller {

using api::apps::v1::ReplicaSet;
using api::core::v1::ReplicationController;

// Same metadata, so that writes carry the same preconditions.
ReplicaSet as_replica_set(const ReplicationController& rc);
void set_replication_status(ReplicationController& rc, const api::apps::v1::ReplicaSetStatus& status);

// The status that active pods give a ReplicaSet. `failure` of making or deleting pods becomes its condition.
api::apps::v1::ReplicaSetStatus replica_status(const ReplicaSet& rs, const std::vector<Pod>& pods, int terminating, const Status& failure, WallTime now);

}  // namespace onebin::controller
