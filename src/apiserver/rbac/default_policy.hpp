// The roles and bindings that every cluster has: Kubernetes' own (default_policy.inc, made by scripts/rbac-defaults) and
// what onebin's controllers need beside them (onebin_policy.inc).
#pragma once
#include <onebin/api/rbac_v1.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace onebin::apiserver {

struct Policy {
  std::vector<api::rbac::v1::ClusterRole> cluster_roles;
  std::vector<api::rbac::v1::Role> roles;
  std::vector<api::rbac::v1::ClusterRoleBinding> cluster_role_bindings;
  std::vector<api::rbac::v1::RoleBinding> role_bindings;
};

inline constexpr char kAutoUpdate[] = "rbac.authorization.kubernetes.io/autoupdate";

// Decoded at each call: needed once a start.
Policy default_policy();
// The rules that the node authorizer grants to every node, as upstream does: those of ClusterRole system:node.
std::vector<api::rbac::v1::PolicyRule> node_rules();

}  // namespace onebin::apiserver
