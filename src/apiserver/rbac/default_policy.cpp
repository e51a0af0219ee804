#include "apiserver/rbac/default_policy.hpp"

#include <onebin/base/assert.hpp>
#include <onebin/base/bytes.hpp>

namespace onebin::apiserver {
namespace {

namespace rbac = api::rbac::v1;
constexpr char kGroup[] = "rbac.authorization.k8s.io";

constexpr std::string_view kUpstream =
#include "apiserver/rbac/default_policy.inc"
    ;
constexpr std::string_view kOwn =
#include "apiserver/rbac/onebin_policy.inc"
    ;

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> out;
  for (auto& w : split(text, ','))
    out.push_back(w == "\"\"" ? std::string() : std::move(w));
  return out;
}

// Reads the table line by line; what is indented belongs to the object before.
class Reader {
 public:
  void read(std::string_view table, bool upstream) {
    upstream_ = upstream;
    for (const auto& line : split(table, '\n')) {
      if (trim(line).empty() || line[0] == '#') continue;
      auto fields = split(trim(line), ' ');
      if (line[0] == ' ') detail(fields);
      else head(fields);
    }
  }
  Policy take() { return std::move(policy_); }

 private:
  template <class T>
  T& begin(std::vector<T>& list, const std::vector<std::string>& f, bool namespaced) {
    T& object = list.emplace_back();
    auto& meta = object.metadata;
    std::size_t at = 1;
    if (namespaced) meta.namespace_ = f[at++];
    meta.name = f[at++];
    meta.annotations[kAutoUpdate] = "true";
    if (upstream_) meta.labels["kubernetes.io/bootstrapping"] = "rbac-defaults";
    for (; at < f.size(); ++at) {
      std::size_t equals = f[at].find('=');
      meta.labels[f[at].substr(0, equals)] = f[at].substr(equals + 1);
    }
    return object;
  }
  template <class T>
  void begin_role(std::vector<T>& list, const std::vector<std::string>& f, bool namespaced) {
    rules_ = &begin(list, f, namespaced).rules;
    cluster_role_ = nullptr;
  }
  template <class T>
  void begin_binding(std::vector<T>& list, const std::vector<std::string>& f, bool namespaced) {
    T& b = begin(list, f, namespaced);
    role_ = &b.role_ref;
    subjects_ = &b.subjects;
  }

  void head(const std::vector<std::string>& f) {
    if (f[0] == "ClusterRole") {
      begin_role(policy_.cluster_roles, f, false);
      cluster_role_ = &policy_.cluster_roles.back();
    } else if (f[0] == "Role") {
      begin_role(policy_.roles, f, true);
    } else if (f[0] == "ClusterRoleBinding") {
      begin_binding(policy_.cluster_role_bindings, f, false);
    } else {
      ONEBIN_ASSERT(f[0] == "RoleBinding");
      begin_binding(policy_.role_bindings, f, true);
    }
  }

  void detail(const std::vector<std::string>& f) {
    if (f[0] == "rule") {
      rbac::PolicyRule r;
      r.api_groups = words(f[1]);
      r.resources = words(f[2]);
      r.verbs = words(f[3]);
      if (f.size() > 4) r.resource_names = words(f[4]);
      rules_->push_back(std::move(r));
    } else if (f[0] == "url") {
      rbac::PolicyRule r;
      r.non_resource_urls = words(f[1]);
      r.verbs = words(f[2]);
      rules_->push_back(std::move(r));
    } else if (f[0] == "aggregate") {
      if (!cluster_role_->aggregation_rule) cluster_role_->aggregation_rule = rbac::AggregationRule();
      api::meta::v1::LabelSelector s;
      for (std::size_t i = 1; i < f.size(); ++i) s.match_labels[f[i].substr(0, f[i].find('='))] = f[i].substr(f[i].find('=') + 1);
      cluster_role_->aggregation_rule->cluster_role_selectors.push_back(std::move(s));
    } else if (f[0] == "role") {
      role_->api_group = kGroup;
      role_->kind = f[1];
      role_->name = f[2];
    } else {
      rbac::Subject s;
      s.kind = f[0];
      std::size_t slash = f[0] == "ServiceAccount" ? f[1].find('/') : std::string::npos;
      s.name = slash == std::string::npos ? f[1] : f[1].substr(slash + 1);
      if (slash != std::string::npos) s.namespace_ = f[1].substr(0, slash);
      else s.api_group = kGroup;
      subjects_->push_back(std::move(s));
    }
  }

  Policy policy_;
  bool upstream_ = true;
  rbac::ClusterRole* cluster_role_ = nullptr;
  std::vector<rbac::PolicyRule>* rules_ = nullptr;
  rbac::RoleRef* role_ = nullptr;
  std::vector<rbac::Subject>* subjects_ = nullptr;
};

}  // namespace

Policy default_policy() {
  Reader r;
  r.read(kUpstream, true);
  r.read(kOwn, false);
  return r.take();
}

std::vector<rbac::PolicyRule> node_rules() {
  for (auto& role : default_policy().cluster_roles)
    if (role.metadata.name == "system:node") return std::move(role.rules);
  return {};
}

}  // namespace onebin::apiserver
