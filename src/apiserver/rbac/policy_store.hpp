// PolicyStore: the roles and bindings of the watch cache, decoded and indexed by subject, for decisions without a scan.
#pragma once
#include "apiserver/lister.hpp"
#include "apiserver/rbac/rules.hpp"

#include <onebin/api/rbac_v1.hpp>
#include <onebin/apiserver/user_info.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace onebin::apiserver {

class PolicyStore {
 public:
  // Subscribes; the store outlives every later change of the lister.
  explicit PolicyStore(Lister& lister);
  PolicyStore(const PolicyStore&) = delete;

  struct ClusterRole {
    std::vector<PolicyRule> rules;
    std::map<std::string, std::string> labels;
    std::vector<api::meta::v1::LabelSelector> aggregates;  // aggregationRule's selectors
  };
  struct Binding {
    std::string ns, name;  // ns "": of the cluster
    api::rbac::v1::RoleRef role;
    std::vector<api::rbac::v1::Subject> subjects;
  };

  // Every rule that holds for `user` in `ns` ("": cluster-wide rules only), with the binding that grants it; `rule` is null
  // where the binding's role is missing, `why` then says so. Stops when fn returns false.
  using Visit = std::function<bool(const Binding& binding, const PolicyRule* rule, const std::string& why)>;
  void visit(const UserInfo& user, std::string_view ns, const Visit& fn) const;
  // All rules of `user`, and what went wrong in finding them.
  std::vector<PolicyRule> rules_of(const UserInfo& user, std::string_view ns, std::vector<std::string>* errors = nullptr) const;
  // The rules that a reference from a binding in `ns` means; NotFound, in upstream's words.
  Result<const std::vector<PolicyRule>*> referenced(const api::rbac::v1::RoleRef& ref, std::string_view ns) const;

  const std::map<std::string, ClusterRole, std::less<>>& cluster_roles() const { return cluster_roles_; }
  // Called after each change of a ClusterRole. One listener.
  void on_cluster_role_change(std::function<void()> fn) { changed_ = std::move(fn); }

 private:
  void set_binding(std::string_view ns, std::string_view name, std::shared_ptr<const Binding> binding);
  bool visit_key(const std::string& key, const Visit& fn) const;

  std::map<std::string, ClusterRole, std::less<>> cluster_roles_;
  std::map<std::string, std::vector<PolicyRule>, std::less<>> roles_;  // "ns/name"
  std::map<std::string, std::shared_ptr<const Binding>, std::less<>> bindings_;  // "ns/name"
  std::unordered_map<std::string, std::vector<std::shared_ptr<const Binding>>> by_subject_;  // scope, kind and name
  std::function<void()> changed_;
};

// `ClusterRoleBinding "b" of ClusterRole "r" to Group "g"`, for the user that it applies to.
std::string describe_binding(const PolicyStore::Binding& binding, const UserInfo& user);

}  // namespace onebin::apiserver
