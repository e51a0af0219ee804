// Aggregated ClusterRoles: the rules of a role with an aggregationRule are those of the roles that its selectors find.
#pragma once
#include "apiserver/rbac/policy_store.hpp"
#include "apiserver/security.hpp"

#include <onebin/async/channel.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace onebin::apiserver {

// The aggregated roles whose rules are not what they should be, with the rules that they should have.
std::vector<std::pair<std::string, std::vector<PolicyRule>>> plan_aggregation(
    const std::map<std::string, PolicyStore::ClusterRole, std::less<>>& roles);

class RoleAggregator final : public SecurityBackground {
 public:
  explicit RoleAggregator(std::shared_ptr<PolicyStore> policy);
  ~RoleAggregator() override { policy_->on_cluster_role_change({}); }
  async::Task<void> run(client::Transport* transport) override;

 private:
  std::shared_ptr<PolicyStore> policy_;
  async::Notify changed_;
};

}  // namespace onebin::apiserver
