#include "apiserver/authorizer.hpp"

namespace onebin::apiserver {

async::Task<Authorized> UnionAuthorizer::authorize(const Attributes& attributes) {
  std::string reasons;
  for (const auto& a : authorizers_) {
    Authorized d = co_await a->authorize(attributes);
    if (d.decision != Decision::NoOpinion) co_return d;
    if (d.reason.empty()) continue;
    if (!reasons.empty()) reasons += "\n";
    reasons += d.reason;
  }
  co_return Authorized{Decision::NoOpinion, std::move(reasons)};
}

Rules UnionAuthorizer::rules_for(const UserInfo& user, const std::string& ns) {
  Rules all;
  for (const auto& a : authorizers_) {
    Rules r = a->rules_for(user, ns);
    std::move(r.resource.begin(), r.resource.end(), std::back_inserter(all.resource));
    std::move(r.non_resource.begin(), r.non_resource.end(), std::back_inserter(all.non_resource));
    all.incomplete = all.incomplete || r.incomplete;
    if (!r.error.empty()) all.error += all.error.empty() ? r.error : ", " + r.error;
  }
  return all;
}

async::Task<Authorized> MastersAuthorizer::authorize(const Attributes& attributes) {
  if (attributes.user->in_group(kMastersGroup)) co_return Authorized{Decision::Allow, ""};
  co_return Authorized{};
}

// Told by the ClusterRoleBinding cluster-admin.
Rules MastersAuthorizer::rules_for(const UserInfo&, const std::string&) { return {}; }

}  // namespace onebin::apiserver
