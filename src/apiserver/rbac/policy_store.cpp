#include "apiserver/rbac/policy_store.hpp"

#include <onebin/api/codec.hpp>
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/base/log.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

namespace rbac = api::rbac::v1;
constexpr char kGroup[] = "rbac.authorization.k8s.io";
constexpr char kServiceAccountPrefix[] = "system:serviceaccount:";

std::string slot(std::string_view ns, std::string_view name) {
  std::string s(ns);
  return s.append("/").append(name);
}

// Index key of a user ('U') or group ('G') in a namespace.
std::string subject_key(std::string_view ns, char kind, std::string_view name) {
  std::string s(ns);
  s += '\0';
  s += kind;
  return s.append(name);
}

// "" where the subject can match nobody.
std::string key_of(const rbac::Subject& s, std::string_view binding_ns) {
  if (s.kind == "User") return subject_key(binding_ns, 'U', s.name);
  if (s.kind == "Group") return subject_key(binding_ns, 'G', s.name);
  std::string ns = s.namespace_.empty() ? std::string(binding_ns) : s.namespace_;
  if (s.kind != "ServiceAccount" || ns.empty()) return {};
  return subject_key(binding_ns, 'U', kServiceAccountPrefix + ns + ":" + s.name);
}

bool applies(const rbac::Subject& s, std::string_view binding_ns, const UserInfo& user) {
  if (s.kind == "Group") return user.in_group(s.name);
  std::string key = key_of(s, binding_ns);
  return !key.empty() && key == subject_key(binding_ns, 'U', user.name);
}

// Null where the object cannot be read; nothing is granted by what cannot be read.
template <class T>
std::unique_ptr<T> decode(const Bytes& bytes, std::string_view name) {
  if (!bytes) return nullptr;
  Result<T> r = api::from_protobuf<T>(*bytes);
  if (r) return std::make_unique<T>(std::move(*r));
  log_error("an RBAC object cannot be decoded", {{"name", name}, {"error", r.status()}});
  return nullptr;
}

template <class T>
std::shared_ptr<const PolicyStore::Binding> binding_of(const Bytes& bytes, std::string_view ns, std::string_view name) {
  auto object = decode<T>(bytes, name);
  if (!object) return nullptr;
  auto b = std::make_shared<PolicyStore::Binding>();
  b->ns = ns;
  b->name = name;
  b->role = std::move(object->role_ref);
  b->subjects = std::move(object->subjects);
  return b;
}

}  // namespace

PolicyStore::PolicyStore(Lister& lister) {
  lister.subscribe(kGroup, "clusterroles", [this](std::string_view, std::string_view name, const Bytes&, const Bytes& now) {
    auto role = decode<rbac::ClusterRole>(now, name);
    if (!role) {
      if (auto it = cluster_roles_.find(name); it != cluster_roles_.end()) cluster_roles_.erase(it);
    } else {
      ClusterRole& r = cluster_roles_[std::string(name)];
      r.rules = std::move(role->rules);
      r.labels = std::move(role->metadata.labels);
      r.aggregates.clear();
      if (role->aggregation_rule) r.aggregates = std::move(role->aggregation_rule->cluster_role_selectors);
    }
    if (changed_) changed_();
  });
  lister.subscribe(kGroup, "roles", [this](std::string_view ns, std::string_view name, const Bytes&, const Bytes& now) {
    auto role = decode<rbac::Role>(now, name);
    if (role) roles_[slot(ns, name)] = std::move(role->rules);
    else roles_.erase(slot(ns, name));
  });
  lister.subscribe(kGroup, "clusterrolebindings", [this](std::string_view, std::string_view name, const Bytes&, const Bytes& now) {
    set_binding("", name, binding_of<rbac::ClusterRoleBinding>(now, "", name));
  });
  lister.subscribe(kGroup, "rolebindings", [this](std::string_view ns, std::string_view name, const Bytes&, const Bytes& now) {
    set_binding(ns, name, binding_of<rbac::RoleBinding>(now, ns, name));
  });
}

void PolicyStore::set_binding(std::string_view ns, std::string_view name, std::shared_ptr<const Binding> binding) {
  auto& kept = bindings_[slot(ns, name)];
  if (kept) {
    for (const auto& s : kept->subjects) {
      auto it = by_subject_.find(key_of(s, ns));
      if (it == by_subject_.end()) continue;
      std::erase(it->second, kept);
      if (it->second.empty()) by_subject_.erase(it);
    }
  }
  kept = std::move(binding);
  if (!kept) {
    bindings_.erase(slot(ns, name));
    return;
  }
  for (const auto& s : kept->subjects) {
    std::string key = key_of(s, ns);
    if (key.empty()) continue;
    auto& list = by_subject_[key];
    if (std::find(list.begin(), list.end(), kept) == list.end()) list.push_back(kept);
  }
}

Result<const std::vector<PolicyRule>*> PolicyStore::referenced(const rbac::RoleRef& ref, std::string_view ns) const {
  if (ref.kind == "ClusterRole") {
    auto it = cluster_roles_.find(ref.name);
    if (it != cluster_roles_.end()) return &it->second.rules;
    return not_found("clusterroles", ref.name, kGroup);
  }
  if (ref.kind == "Role") {
    auto it = roles_.find(slot(ns, ref.name));
    if (it != roles_.end()) return &it->second;
    return not_found("roles", ref.name, kGroup);
  }
  return internal_error("unsupported role reference kind: " + apimachinery::go_quote(ref.kind));
}

bool PolicyStore::visit_key(const std::string& key, const Visit& fn) const {
  auto it = by_subject_.find(key);
  if (it == by_subject_.end()) return true;
  for (const auto& b : it->second) {
    auto rules = referenced(b->role, b->ns);
    if (!rules) {
      // In the words of upstream's informers, which name the kind in the singular.
      std::string why = rules.is(Reason::NotFound) ? to_lower(b->role.kind) + "." + kGroup + " " + apimachinery::go_quote(b->role.name) + " not found"
                                                   : rules.status().message();
      if (!fn(*b, nullptr, why)) return false;
      continue;
    }
    for (const auto& rule : **rules)
      if (!fn(*b, &rule, {})) return false;
  }
  return true;
}

void PolicyStore::visit(const UserInfo& user, std::string_view ns, const Visit& fn) const {
  for (std::string_view scope : {std::string_view(), ns}) {
    if (!visit_key(subject_key(scope, 'U', user.name), fn)) return;
    for (const auto& g : user.groups)
      if (!visit_key(subject_key(scope, 'G', g), fn)) return;
    if (ns.empty()) return;
  }
}

std::vector<PolicyRule> PolicyStore::rules_of(const UserInfo& user, std::string_view ns, std::vector<std::string>* errors) const {
  std::vector<PolicyRule> out;
  visit(user, ns, [&](const Binding&, const PolicyRule* rule, const std::string& why) {
    if (rule) out.push_back(*rule);
    else if (errors) errors->push_back(why);
    return true;
  });
  return out;
}

std::string describe_binding(const PolicyStore::Binding& b, const UserInfo& user) {
  using apimachinery::go_quote;
  std::string to;
  for (const auto& s : b.subjects) {
    if (!applies(s, b.ns, user)) continue;
    to = s.kind + " " + go_quote(s.kind == "ServiceAccount" ? s.name + "/" + (s.namespace_.empty() ? b.ns : s.namespace_) : s.name);
    break;
  }
  std::string which = b.ns.empty() ? "ClusterRoleBinding " + go_quote(b.name) : "RoleBinding " + go_quote(b.name + "/" + b.ns);
  return which + " of " + b.role.kind + " " + go_quote(b.role.name) + " to " + to;
}

}  // namespace onebin::apiserver
