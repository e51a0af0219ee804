#include "apiserver/rbac/reconcile.hpp"

#include "apiserver/rbac/default_policy.hpp"
#include "apiserver/rbac/rules.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/api/scheduling_v1.hpp>
#include <onebin/async/all.hpp>
#include <onebin/base/log.hpp>

#include <onebin/apimachinery/document.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

namespace rbac = api::rbac::v1;
using apimachinery::Document;
using Writes = std::vector<BootstrapWrite>;

client::ApiRequest json_request(const char* method, std::string path, std::string body) {
  client::ApiRequest q;
  q.method = method;
  q.path = std::move(path);
  q.accept = q.content_type = "application/json";
  q.body = std::move(body);
  return q;
}

template <class T>
std::string collection_of(const std::string& ns) {
  const auto& r = api::resource_of<T>();
  std::string path = r.group.empty() ? "/api/" : "/apis/" + std::string(r.group) + "/";
  path.append(r.version).append("/");
  if (!ns.empty()) path += "namespaces/" + ns + "/";
  return path.append(r.plural);
}

template <class T>
void create(Writes& out, const T& object) {
  out.push_back({json_request("POST", collection_of<T>(object.metadata.namespace_), api::to_json(object)), true});
}
template <class T>
void update(Writes& out, const T& object) {
  out.push_back({json_request("PUT", collection_of<T>(object.metadata.namespace_) + "/" + object.metadata.name, api::to_json(object)), false});
}

// Expected labels and annotations are added; those with other values stay as they were set.
template <class T>
bool merge_metadata(T& kept, const T& expected) {
  auto labels = kept.metadata.labels, annotations = kept.metadata.annotations;
  kept.metadata.labels.insert(expected.metadata.labels.begin(), expected.metadata.labels.end());
  kept.metadata.annotations.insert(expected.metadata.annotations.begin(), expected.metadata.annotations.end());
  return labels != kept.metadata.labels || annotations != kept.metadata.annotations;
}

template <class T>
bool left_alone(const T& kept) {
  auto it = kept.metadata.annotations.find(kAutoUpdate);
  return it != kept.metadata.annotations.end() && it->second == "false";
}

bool merge_rules(std::vector<PolicyRule>& kept, const std::vector<PolicyRule>& expected) {
  std::vector<PolicyRule> missing = missing_rules(kept, expected);
  kept.insert(kept.end(), missing.begin(), missing.end());
  return !missing.empty();
}

bool merge_aggregation(rbac::ClusterRole& kept, const rbac::ClusterRole& expected) {
  if (!expected.aggregation_rule) {
    bool had = static_cast<bool>(kept.aggregation_rule);
    kept.aggregation_rule = {};
    return had;
  }
  bool changed = false;
  if (!kept.aggregation_rule) kept.aggregation_rule = rbac::AggregationRule();
  auto& selectors = kept.aggregation_rule->cluster_role_selectors;
  for (const auto& s : expected.aggregation_rule->cluster_role_selectors) {
    if (std::find(selectors.begin(), selectors.end(), s) != selectors.end()) continue;
    selectors.push_back(s);
    changed = true;
  }
  return changed;
}

template <class T>
void plan_role(Writes& out, const Lister& lister, const T& expected) {
  auto kept = lister.get<T>(expected.metadata.namespace_, expected.metadata.name);
  if (!kept) return create(out, expected);
  if (left_alone(*kept)) return;
  bool changed = merge_metadata(*kept, expected);
  if constexpr (std::is_same_v<T, rbac::ClusterRole>) changed = merge_aggregation(*kept, expected) || changed;
  changed = merge_rules(kept->rules, expected.rules) || changed;
  if (changed) update(out, *kept);
}

template <class T>
void plan_binding(Writes& out, const Lister& lister, const T& expected) {
  auto kept = lister.get<T>(expected.metadata.namespace_, expected.metadata.name);
  if (!kept) return create(out, expected);
  if (left_alone(*kept)) return;
  if (kept->role_ref != expected.role_ref) {
    // A reference cannot be changed. Nobody but an administrator makes it differ; what they made is kept, and told.
    log_warn("a default binding refers to another role", {{"binding", expected.metadata.name}, {"role", kept->role_ref.name}});
    return;
  }
  bool changed = merge_metadata(*kept, expected);
  for (const auto& s : expected.subjects) {
    if (std::find(kept->subjects.begin(), kept->subjects.end(), s) != kept->subjects.end()) continue;
    kept->subjects.push_back(s);
    changed = true;
  }
  if (changed) update(out, *kept);
}

void plan_priority_classes(Writes& out, const Lister& lister) {
  struct Class {
    const char* name;
    std::int32_t value;
    const char* description;
  };
  for (const Class& c : {Class{"system-node-critical", 2000001000, "For pods that the cluster cannot do without and that must stay on their node."},
                         Class{"system-cluster-critical", 2000000000, "For pods that the cluster cannot do without and that may run on any node."}}) {
    if (lister.get<api::scheduling::v1::PriorityClass>("", c.name)) continue;
    api::scheduling::v1::PriorityClass p;
    p.metadata.name = c.name;
    p.value = c.value;
    p.description = c.description;
    create(out, p);
  }
}

// What extension API servers read to know who speaks for the API server.
void plan_authentication(Writes& out, const Lister& lister, const Options& o) {
  api::core::v1::ConfigMap m;
  m.metadata.name = "extension-apiserver-authentication";
  m.metadata.namespace_ = "kube-system";
  if (!o.client_ca_pem.empty()) m.data["client-ca-file"] = o.client_ca_pem;
  if (!o.requestheader_client_ca_pem.empty()) {
    m.data["requestheader-client-ca-file"] = o.requestheader_client_ca_pem;
    m.data["requestheader-allowed-names"] = Document(o.requestheader_allowed_names).dump();
    m.data["requestheader-username-headers"] = R"(["X-Remote-User"])";
    m.data["requestheader-uid-headers"] = R"(["X-Remote-Uid"])";
    m.data["requestheader-group-headers"] = R"(["X-Remote-Group"])";
    m.data["requestheader-extra-headers-prefix"] = R"(["X-Remote-Extra-"])";
  }
  auto kept = lister.get<api::core::v1::ConfigMap>(m.metadata.namespace_, m.metadata.name);
  if (!kept) return create(out, m);
  if (kept->data == m.data) return;
  kept->data = m.data;
  update(out, *kept);
}

async::Task<Result<void>> send_one(client::Transport* transport, BootstrapWrite write) {
  std::string what = write.request.method + " " + write.request.path;
  Result<client::ApiResponse> r = co_await transport->request(std::move(write.request));
  Status s = r.status();
  if (r && r->code != 200 && r->code != 201 && !(r->code == 409 && write.exists_is_fine)) s = client::status_from_response(*r);
  if (!s) co_return s.with_context(what);
  co_return Result<void>();
}

}  // namespace

Writes plan_bootstrap(const Lister& lister, const Options& options) {
  Writes out;
  Policy p = default_policy();
  for (const auto& r : p.cluster_roles) plan_role(out, lister, r);
  for (const auto& r : p.roles) plan_role(out, lister, r);
  for (const auto& b : p.cluster_role_bindings) plan_binding(out, lister, b);
  for (const auto& b : p.role_bindings) plan_binding(out, lister, b);
  plan_priority_classes(out, lister);
  plan_authentication(out, lister, options);
  return out;
}

async::Task<Result<void>> send_all(client::Transport* transport, Writes writes) {
  std::vector<async::Task<Result<void>>> tasks;
  for (auto& w : writes) tasks.push_back(send_one(transport, std::move(w)));
  co_return co_await async::all(std::move(tasks));
}

}  // namespace onebin::apiserver
