#include "apiserver/rbac/aggregation.hpp"

#include <onebin/api/codec.hpp>
#include <onebin/apimachinery/selectors.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

using apimachinery::Document;
using apimachinery::LabelSelector;

constexpr Duration kRetry = 5s;

bool selects(const std::vector<LabelSelector>& selectors, const std::map<std::string, std::string>& labels) {
  return std::any_of(selectors.begin(), selectors.end(), [&](const LabelSelector& s) { return s.matches(labels); });
}

// A rule as JSON; no schema is at hand for a part of an object.
Document rule_document(const PolicyRule& r) {
  Document d = {{"verbs", r.verbs}};
  if (!r.api_groups.empty()) d["apiGroups"] = r.api_groups;
  if (!r.resources.empty()) d["resources"] = r.resources;
  if (!r.resource_names.empty()) d["resourceNames"] = r.resource_names;
  if (!r.non_resource_urls.empty()) d["nonResourceURLs"] = r.non_resource_urls;
  return d;
}

async::Task<Status> write_rules(client::Transport* transport, std::string name, std::vector<PolicyRule> rules) {
  Document list = Document::array();
  for (const auto& r : rules) list.push_back(rule_document(r));
  client::ApiRequest q;
  q.method = "PATCH";
  q.path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/" + name;
  q.query = "fieldManager=clusterrole-aggregation-controller";
  q.accept = "application/json";
  q.content_type = "application/merge-patch+json";
  q.body = Document({{"rules", std::move(list)}}).dump();
  Result<client::ApiResponse> r = co_await transport->request(std::move(q));
  if (!r) co_return r.status();
  if (r->code == 200 || r->code == 404) co_return Status::ok();
  co_return client::status_from_response(*r);
}

}  // namespace

std::vector<std::pair<std::string, std::vector<PolicyRule>>> plan_aggregation(
    const std::map<std::string, PolicyStore::ClusterRole, std::less<>>& roles) {
  std::vector<std::pair<std::string, std::vector<PolicyRule>>> out;
  for (const auto& [name, role] : roles) {
    if (role.aggregates.empty()) continue;
    std::vector<LabelSelector> selectors;
    for (const auto& s : role.aggregates)
      if (auto parsed = LabelSelector::from_struct(s)) selectors.push_back(std::move(*parsed));
    std::vector<PolicyRule> rules;
    for (const auto& [other, from] : roles) {
      if (other == name || !selects(selectors, from.labels)) continue;
      for (const auto& r : from.rules)
        if (std::find(rules.begin(), rules.end(), r) == rules.end()) rules.push_back(r);
    }
    if (rules != role.rules) out.emplace_back(name, std::move(rules));
  }
  return out;
}

RoleAggregator::RoleAggregator(std::shared_ptr<PolicyStore> policy) : policy_(std::move(policy)) {
  policy_->on_cluster_role_change([this] { changed_.notify(); });
}

async::Task<void> RoleAggregator::run(client::Transport* transport) {
  for (;;) {
    Status failed;
    for (auto& [name, rules] : plan_aggregation(policy_->cluster_roles())) {
      Status s = co_await write_rules(transport, name, std::move(rules));
      if (s.is(Reason::Cancelled)) co_return;
      if (!s) failed = s.with_context(name);
    }
    if (!failed) {
      log_warn("aggregated roles are not up to date", {{"error", failed}});
      Status slept = co_await async::sleep_for(kRetry);
      if (!slept) co_return;
      continue;
    }
    Result<void> woken = co_await changed_.wait();
    if (!woken) co_return;
  }
}

}  // namespace onebin::apiserver
