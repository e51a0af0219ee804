// Plug-ins that upstream has off unless asked for: AlwaysPullImages, DenyServiceExternalIPs, ExtendedResourceToleration,
// OwnerReferencesPermissionEnforcement.
#include "apiserver/admission/plugins.hpp"
#include "apiserver/admission/pod_documents.hpp"

#include <onebin/api/apiextensions_v1.hpp>
#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <set>

namespace onebin::apiserver {
namespace {

using apimachinery::array_at;
using apimachinery::at_path;
using apimachinery::find_member;
using apimachinery::go_quote;
using apimachinery::member;
using apimachinery::object_at;
using apimachinery::string_at;

constexpr const char* kContainerLists[] = {"initContainers", "containers", "ephemeralContainers"};

// Nobody runs an image that is there already without the right to pull it.
class AlwaysPullImages final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "AlwaysPullImages"; }
  bool handles(Operation op) const override { return op == Operation::Create || op == Operation::Update; }
  bool concerns(const AdmissionAttributes& a) const override {
    return a.object && (a.is("", "pods") || a.is("", "pods", "ephemeralcontainers")) && !(a.operation == Operation::Update && no_new_images(a));
  }
  async::Task<Result<void>> admit(AdmissionAttributes& a) override {
    Document& spec = object_at(*a.object, "spec");
    for (const char* field : kContainerLists)
      if (Document* list = find_member(spec, field); list && list->is_array())
        for (auto& c : *list) c["imagePullPolicy"] = "Always";
    if (Document* volumes = find_member(spec, "volumes"); volumes && volumes->is_array())
      for (auto& v : *volumes)
        if (Document* image = find_member(v, "image"); image && image->is_object()) (*image)["pullPolicy"] = "Always";
    co_return Result<void>();
  }
  async::Task<Result<void>> validate(const AdmissionAttributes& a) override {
    Status refused;
    for_each_container(member(*a.object, "spec"), [&](const Document& c, const char* field, std::size_t i) {
      std::string policy(string_at(c, "imagePullPolicy"));
      if (!refused.is_ok() || policy == "Always") return;
      refused = admission_forbidden(a, "spec." + std::string(field) + "[" + std::to_string(i) + "].imagePullPolicy: Unsupported value: " + go_quote(policy) +
                                           ": supported values: \"Always\"");
    });
    co_return Result<void>(refused);
  }

 private:
  static bool no_new_images(const AdmissionAttributes& a) {
    std::set<std::string> before;
    if (const Document* old = a.old_object())
      for_each_container(member(*old, "spec"), [&](const Document& c, const char*, std::size_t) { before.emplace(string_at(c, "image")); });
    bool none = true;
    for_each_container(member(*a.object, "spec"), [&](const Document& c, const char*, std::size_t) { none = none && before.count(std::string(string_at(c, "image"))); });
    return none;
  }
};

class DenyServiceExternalIPs final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "DenyServiceExternalIPs"; }
  bool handles(Operation op) const override { return op == Operation::Create || op == Operation::Update; }
  bool concerns(const AdmissionAttributes& a) const override { return a.object && a.is("", "services"); }
  async::Task<Result<void>> validate(const AdmissionAttributes& a) override {
    const Document* old = a.operation == Operation::Update ? a.old_object() : nullptr;
    static const Document kNone = Document::object();
    const Document& before = items(old ? member(*old, "spec") : kNone, "externalIPs");
    for (const auto& ip : items(member(*a.object, "spec"), "externalIPs"))
      if (std::find(before.begin(), before.end(), ip) == before.end()) co_return admission_forbidden(a, "Use of external IPs is denied by admission control");
    co_return Result<void>();
  }
};

// A pod that asks for a device tolerates the taint that keeps others off its nodes.
class ExtendedResourceToleration final : public AdmissionPlugin {
 public:
  std::string_view name() const override { return "ExtendedResourceToleration"; }
  bool handles(Operation op) const override { return op == Operation::Create || op == Operation::Update; }
  bool concerns(const AdmissionAttributes& a) const override { return a.object && a.is("", "pods"); }
  async::Task<Result<void>> admit(AdmissionAttributes& a) override {
    std::set<std::string> asked;
    Document& spec = object_at(*a.object, "spec");
    for (const char* field : {"containers", "initContainers"})
      for (const auto& c : items(spec, field))
        if (const Document& requests = at_path(c, {"resources", "requests"}); requests.is_object())
          for (const auto& [k, v] : requests.items())
            if (k.find('/') != std::string::npos && k.find("kubernetes.io/") == std::string::npos) asked.insert(k);
    for (const auto& key : asked) {
      Document toleration = {{"key", key}, {"operator", "Exists"}, {"effect", "NoSchedule"}};
      Document& list = array_at(spec, "tolerations");
      if (std::find(list.begin(), list.end(), toleration) == list.end()) list.push_back(std::move(toleration));
    }
    co_return Result<void>();
  }
};

// Who makes an owner's deletion wait for an object must have the right to the owner's finalizers.
class OwnerReferences final : public AdmissionPlugin {
 public:
  OwnerReferences(const Lister& lister, Authorizer& authorizer) : lister_(lister), authorizer_(authorizer) {}
  std::string_view name() const override { return "OwnerReferencesPermissionEnforcement"; }
  bool handles(Operation op) const override { return op == Operation::Create || op == Operation::Update; }
  bool concerns(const AdmissionAttributes& a) const override { return a.object && !a.is("", "pods", "status"); }

  async::Task<Result<void>> validate(const AdmissionAttributes& a) override {
    static const Document kNone = Document::array();
    const Document* old = a.operation == Operation::Update ? a.old_object() : nullptr;
    const Document &now = apimachinery::owner_references_of(*a.object), &before = old ? apimachinery::owner_references_of(*old) : kNone;
    if (apimachinery::same_value(now, before) || (now.empty() && before.empty())) co_return Result<void>();
    if (a.operation != Operation::Create) {
      Attributes q = question(a, "delete", a.resource_group, a.resource_version, a.resource, a.name);
      q.subresource = a.subresource;
      q.ns = a.ns;
      Authorized d = co_await authorizer_.authorize(q);
      if (d.decision != Decision::Allow) co_return admission_forbidden(a, "cannot set an ownerRef on a resource you can't delete: " + d.reason + ", <nil>");
    }
    std::vector<const Document*> blocking;
    for (const auto& r : now)
      if (apimachinery::bool_at(r, "blockOwnerDeletion") && !blocked_before(before, string_at(r, "uid"))) blocking.push_back(&r);
    if (blocking.empty()) co_return Result<void>();
    Authorized any = co_await authorizer_.authorize(finalizers(a, "*", "*", "*", "*"));
    if (any.decision == Decision::Allow) co_return Result<void>();
    for (const Document* r : blocking) {
      std::string version(string_at(*r, "apiVersion")), kind(string_at(*r, "kind"));
      std::optional<Owner> owner = owner_of(version, kind);
      if (!owner)
        co_return admission_forbidden(a, "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion " + version + " Kind " + kind +
                                             ": no matches for kind " + go_quote(kind) + " in version " + go_quote(version));
      Attributes q = finalizers(a, owner->group, owner->version, owner->resource, std::string(string_at(*r, "name")));
      if (owner->namespaced) q.ns = a.ns;
      Authorized d = co_await authorizer_.authorize(q);
      if (d.decision != Decision::Allow)
        co_return admission_forbidden(a, "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: " + d.reason + ", <nil>");
    }
    co_return Result<void>();
  }

 private:
  struct Owner {
    std::string group, version, resource;
    bool namespaced = false;
  };

  static bool blocked_before(const Document& before, std::string_view uid) {
    return std::any_of(before.begin(), before.end(), [&](const Document& r) { return string_at(r, "uid") == uid && apimachinery::bool_at(r, "blockOwnerDeletion"); });
  }
  static Attributes question(const AdmissionAttributes& a, const char* verb, std::string group, std::string version, std::string resource, std::string name) {
    Attributes q;
    q.user = a.user;
    q.verb = verb;
    q.group = std::move(group);
    q.version = std::move(version);
    q.resource = std::move(resource);
    q.name = std::move(name);
    q.is_resource = true;
    return q;
  }
  static Attributes finalizers(const AdmissionAttributes& a, std::string group, std::string version, std::string resource, std::string name) {
    Attributes q = question(a, "update", std::move(group), std::move(version), std::move(resource), std::move(name));
    q.subresource = "finalizers";
    return q;
  }

  std::optional<Owner> owner_of(const std::string& api_version, const std::string& kind) const {
    auto gv = apimachinery::parse_group_version(api_version);
    if (!gv) return std::nullopt;
    if (const api::KindSchema* k = api::find_kind(gv->group, gv->version, kind); k && !k->plural.empty())
      return Owner{gv->group, gv->version, std::string(k->plural), k->namespaced};
    std::optional<Owner> out;
    lister_.for_each<api::apiextensions::v1::CustomResourceDefinition>("", [&](const api::apiextensions::v1::CustomResourceDefinition& d) {
      if (d.spec.group == gv->group && d.spec.names.kind == kind) out = Owner{gv->group, gv->version, d.spec.names.plural, d.spec.scope == "Namespaced"};
      return !out;
    });
    return out;
  }

  const Lister& lister_;
  Authorizer& authorizer_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_always_pull_images() { return std::make_unique<AlwaysPullImages>(); }
std::unique_ptr<AdmissionPlugin> make_deny_service_external_ips() { return std::make_unique<DenyServiceExternalIPs>(); }
std::unique_ptr<AdmissionPlugin> make_extended_resource_toleration() { return std::make_unique<ExtendedResourceToleration>(); }
std::unique_ptr<AdmissionPlugin> make_owner_references_permission_enforcement(const Lister& lister, Authorizer& authorizer) {
  return std::make_unique<OwnerReferences>(lister, authorizer);
}

}  // namespace onebin::apiserver
