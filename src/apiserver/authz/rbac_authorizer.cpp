#include "apiserver/authz/rbac_authorizer.hpp"

#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

// Several errors as one text, each once.
std::string aggregate(const std::vector<std::string>& errors) {
  std::vector<std::string> each;
  for (const auto& e : errors)
    if (std::find(each.begin(), each.end(), e) == each.end()) each.push_back(e);
  if (each.size() < 2) return join(each, "");
  return "[" + join(each, ", ") + "]";
}

}  // namespace

async::Task<Authorized> RbacAuthorizer::authorize(const Attributes& attributes) {
  Authorized out;
  std::vector<std::string> errors;
  policy_->visit(*attributes.user, attributes.ns, [&](const PolicyStore::Binding& binding, const PolicyRule* rule, const std::string& why) {
    if (!rule) {
      errors.push_back(why);
      return true;
    }
    if (!rule_allows(*rule, attributes)) return true;
    out.decision = Decision::Allow;
    out.reason = "RBAC: allowed by " + describe_binding(binding, *attributes.user);
    return false;
  });
  if (out.decision != Decision::Allow && !errors.empty()) out.reason = "RBAC: " + aggregate(errors);
  co_return out;
}

Rules RbacAuthorizer::rules_for(const UserInfo& user, const std::string& ns) {
  Rules out;
  std::vector<std::string> errors;
  for (auto& r : policy_->rules_of(user, ns, &errors)) {
    if (!r.resources.empty()) out.resource.push_back({r.verbs, r.api_groups, r.resources, r.resource_names});
    if (!r.non_resource_urls.empty()) out.non_resource.push_back({r.verbs, r.non_resource_urls});
  }
  out.error = aggregate(errors);
  return out;
}

}  // namespace onebin::apiserver
