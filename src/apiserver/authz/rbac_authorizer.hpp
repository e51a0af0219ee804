// RBAC: roles and bindings decide.
#pragma once
#include "apiserver/authorizer.hpp"
#include "apiserver/rbac/policy_store.hpp"

#include <memory>

namespace onebin::apiserver {

class RbacAuthorizer final : public Authorizer {
 public:
  explicit RbacAuthorizer(std::shared_ptr<const PolicyStore> policy) : policy_(std::move(policy)) {}
  async::Task<Authorized> authorize(const Attributes& attributes) override;
  Rules rules_for(const UserInfo& user, const std::string& ns) override;

 private:
  std::shared_ptr<const PolicyStore> policy_;
};

}  // namespace onebin::apiserver
