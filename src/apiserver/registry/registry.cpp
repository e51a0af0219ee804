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
  if (subresource == "ephemeralcontainers") m.only = {{"spec", "ephemeralContainers"}};
  if (subresource == "resize")
    for (std::string_view list : {"containers", "initContainers"})
      for (std::string_view member : {"resources", "resizePolicy"}) m.only.push_back({"spec", list, "*", member});
  if (!m.only.empty()) m.reset_fields = {};
  return m;
}

void Registry::add_builtins(Cacher& cacher) {
  for (const KindSchema* k : api::all_kinds()) {
    if (k->plural.empty() || !served_by_default(*k)) continue;
    auto s = std::make_unique<Served>();
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
}

void Registry::add(std::unique_ptr<Served> s) {
  s->api_version = s->kind->api_version();
  s->id = next_id_++;
  set_managed(*s);
  if (s->storage_kind != s->kind) set_conversions(*s);
  std::string group(s->kind->group), version(s->kind->version);
  auto [at, fresh] = groups_.try_emplace(group);
  if (fresh) group_order_.push_back(group);
  if (std::find(at->second.begin(), at->second.end(), version) == at->second.end()) at->second.push_back(version);
  served_[{group, version}].push_back(std::move(s));
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
