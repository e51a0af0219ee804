#include "apiserver/registry/registry.hpp"

#include <onebin/api/registry.hpp>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::FieldSet;
using apimachinery::PathElement;

std::string Served::storage_key(std::string_view ns, std::string_view name) const {
  std::string key(storage_kind->storage_prefix);
  if (kind->namespaced) key.append(ns).append("/");
  key.append(name);
  return key;
}

namespace {

// "v1" is served by default, "v1beta1" and "v1alpha1" are not.
bool served_by_default(const KindSchema& k) {
  return k.version.find("alpha") == std::string_view::npos && k.version.find("beta") == std::string_view::npos;
}

FieldSet fields(std::initializer_list<std::initializer_list<std::string_view>> paths) {
  FieldSet set;
  for (const auto& p : paths) {
    apimachinery::FieldPathElements path;
    for (auto part : p) path.push_back(PathElement::field(part));
    set.insert(path);
  }
  return set;
}

void set_managed(Served& s) {
  auto fill = [&](apimachinery::ManagedResource& m, std::string subresource) {
    m.api_version = s.api_version;
    m.kind = s.kind->kind;
    m.subresource = std::move(subresource);
    m.type = s.kind->type;
  };
  fill(s.managed, "");
  fill(s.managed_status, "status");
  if (!s.strategy->has_status) return;
  s.managed.reset_fields = fields({{"status"}});
  if (s.custom) {
    s.managed_status.reset_fields = fields({{"metadata"}, {"spec"}});
    return;
  }
  // A write to status resets everything else that it might say.
  FieldSet reset;
  for (const auto& f : s.kind->type->fields) {
    std::string_view name = f.json_name;
    if (name == "status" || name == "metadata" || name == "kind" || name == "apiVersion") continue;
    reset.insert({PathElement::field(name)});
  }
  if (s.kind->group == "apps" && s.kind->kind == "Deployment")
    reset.insert({PathElement::field("metadata"), PathElement::field("labels")});
  if (s.kind->group.empty() && s.kind->kind == "Pod") {
    reset.insert({PathElement::field("metadata"), PathElement::field("deletionTimestamp")});
    reset.insert({PathElement::field("metadata"), PathElement::field("ownerReferences")});
  }
  if (s.kind->group == "certificates.k8s.io" && s.kind->kind == "CertificateSigningRequest") {
    s.managed.reset_fields.insert({PathElement::field("spec")});
    reset.insert({PathElement::field("status"), PathElement::field("conditions")});
  }
  s.managed_status.reset_fields = std::move(reset);
}

}  // namespace

apimachinery::ManagedResource managed_part(const Served& served, std::string_view subresource) {
  if (subresource == "status") return served.managed_status;
  apimachinery::ManagedResource m = served.managed;
  m.subresource = subresource;
  if (subresource == "approval") m.reset_fields = fields({{"spec"}, {"status", "certificate"}});
  if (subresource == "ephemeralcontainers" || subresource == "resize") m.reset_fields = {};  // as upstream, which takes note of what it does not take
  return m;
}

void Registry::add_builtins(Cacher& cacher) {
  for (const KindSchema* k : api::all_kinds()) {
    if (k->plural.empty() || !served_by_default(*k)) continue;
    auto s = std::make_shared<Served>();
    s->kind = s->storage_kind = k;
    s->strategy = make_strategy(*k);
    if (k->has_verb("get") && k->plural != "componentstatuses") {
      if (k->storage_group != k->group || k->storage_version != k->version) {
        if (const KindSchema* stored = api::find_kind(k->storage_group, k->storage_version, k->kind)) s->storage_kind = stored;
      }
      std::string group(k->storage_group), resource(s->storage_kind->plural);
      s->cache = &cacher.add(group, resource, std::string(k->storage_prefix), k->namespaced);
    }
    add(std::move(s));
  }
  builtin_groups_ = group_order_.size();
}

namespace {

// v2 before v1 before v1beta1 before v1alpha1 before what is no such version.
struct VersionRank {
  int stability = 0;  // 3 stable, 2 beta, 1 alpha, 0 none
  long major = 0, minor = 0;
  explicit VersionRank(std::string_view v) {
    auto digits = [&](long& out) {
      std::size_t n = 0;
      for (out = 0; n < v.size() && n < 9 && v[n] >= '0' && v[n] <= '9'; ++n) out = out * 10 + (v[n] - '0');
      v.remove_prefix(n);
      return n > 0;
    };
    if (v.empty() || v[0] != 'v') return;
    v.remove_prefix(1);
    if (!digits(major)) return;
    int found = v.empty() ? 3 : starts_with(v, "beta") ? 2 : starts_with(v, "alpha") ? 1 : 0;
    if (found == 2 || found == 1) {
      v.remove_prefix(found == 2 ? 4 : 5);
      if (!digits(minor) || !v.empty()) found = 0;
    }
    stability = found;
  }
};

}  // namespace

bool version_before(std::string_view a, std::string_view b) {
  VersionRank x(a), y(b);
  if (x.stability != y.stability) return x.stability > y.stability;
  if (x.stability == 0) return a < b;
  if (x.major != y.major) return x.major > y.major;
  return x.minor > y.minor;
}

void Registry::place_group(const std::string& group, bool custom) {
  auto at = group_order_.end();
  if (custom) at = std::lower_bound(group_order_.begin() + static_cast<std::ptrdiff_t>(builtin_groups_), group_order_.end(), group);
  group_order_.insert(at, group);
}

void Registry::add(std::shared_ptr<Served> s) {
  s->api_version = s->kind->api_version();
  s->id = next_id_++;
  set_managed(*s);
  if (!s->custom) set_conversions(*s);
  std::string group(s->kind->group), version(s->kind->version);
  auto [at, fresh] = groups_.try_emplace(group);
  bool custom = s->custom != nullptr;
  if (fresh) place_group(group, custom);
  auto& versions = at->second;
  if (std::find(versions.begin(), versions.end(), version) == versions.end())
    versions.insert(custom ? std::lower_bound(versions.begin(), versions.end(), version, version_before) : versions.end(), version);
  if (custom) {
    auto other_type = [this, group, plural = std::string(s->kind->plural)](std::string_view api_version) -> const apimachinery::TypeSchema* {
      std::size_t slash = api_version.find('/');
      Served* other = slash == std::string_view::npos ? nullptr : find(api_version.substr(0, slash), api_version.substr(slash + 1), plural);
      return other ? other->kind->type : nullptr;
    };
    s->managed.type_of_version = s->managed_status.type_of_version = other_type;
  }
  auto& list = served_[{group, version}];
  auto place = list.end();
  if (custom) place = std::lower_bound(list.begin(), list.end(), s, [](const auto& a, const auto& b) { return a->kind->plural < b->kind->plural; });
  list.insert(place, std::move(s));
  ++generation_;
}

void Registry::remove(std::string_view group, std::string_view version, std::string_view resource) {
  auto at = served_.find({std::string(group), std::string(version)});
  if (at == served_.end()) return;
  std::erase_if(at->second, [&](const auto& s) { return s->kind->plural == resource; });
  ++generation_;
  if (!at->second.empty()) return;
  served_.erase(at);
  auto g = groups_.find(std::string(group));
  std::erase(g->second, std::string(version));
  if (!g->second.empty()) return;
  std::erase(group_order_, g->first);
  groups_.erase(g);
}

Served* Registry::find(std::string_view group, std::string_view version, std::string_view resource) const {
  auto at = served_.find({std::string(group), std::string(version)});
  if (at == served_.end()) return nullptr;
  for (const auto& s : at->second)
    if (s->kind->plural == resource) return s.get();
  return nullptr;
}

Served* Registry::preferred(std::string_view group, std::string_view resource) const {
  for (const auto& v : versions(group))
    if (Served* s = find(group, v, resource)) return s;
  return nullptr;
}

bool Registry::built_in(std::string_view group) const {
  auto end = group_order_.begin() + static_cast<std::ptrdiff_t>(builtin_groups_);
  return std::find(group_order_.begin(), end, group) != end;
}

bool Registry::has_group_version(std::string_view group, std::string_view version) const {
  return served_.count({std::string(group), std::string(version)}) > 0;
}

std::vector<std::string> Registry::versions(std::string_view group) const {
  auto at = groups_.find(std::string(group));
  return at == groups_.end() ? std::vector<std::string>() : at->second;
}

std::vector<Served*> Registry::resources(std::string_view group, std::string_view version) const {
  std::vector<Served*> out;
  auto at = served_.find({std::string(group), std::string(version)});
  if (at != served_.end())
    for (const auto& s : at->second) out.push_back(s.get());
  return out;
}

std::vector<Served*> Registry::all() const {
  std::vector<Served*> out;
  for (const auto& g : group_order_)
    for (const auto& v : versions(g))
      for (Served* s : resources(g, v)) out.push_back(s);
  return out;
}

}  // namespace onebin::apiserver
