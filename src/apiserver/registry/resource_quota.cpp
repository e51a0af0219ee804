// ResourceQuota: which resources may be limited, and which scopes go with them.
#include "apiserver/registry/resource_quota.hpp"

#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <set>

namespace onebin::apiserver {
namespace {

using apimachinery::member;
using apimachinery::Quantity;
using apimachinery::string_at;

constexpr std::string_view kCompute[] = {"cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"};
constexpr std::string_view kStorage[] = {"ephemeral-storage", "requests.storage", "requests.ephemeral-storage", "limits.ephemeral-storage"};
constexpr std::string_view kWhole[] = {"pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims",
                                       "services.nodeports", "services.loadbalancers"};
constexpr std::string_view kScopes[] = {"Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity", "VolumeAttributesClass"};

template <class Set>
bool in(const Set& set, std::string_view name) { return std::find(std::begin(set), std::end(set), name) != std::end(set); }

bool standard(std::string_view name) {
  return in(kCompute, name) || in(kStorage, name) || in(kWhole, name) || starts_with(name, "hugepages-") || starts_with(name, "requests.hugepages-");
}

bool whole(std::string_view name) {
  return in(kWhole, name) || extended_resource(name);
}

bool goes_with(std::string_view scope, std::string_view resource) {
  if (scope == "BestEffort") return resource == "pods";
  if (scope == "VolumeAttributesClass") return resource == "persistentvolumeclaims" || resource == "requests.storage";
  return !in(kScopes, scope) || resource == "pods" || in(kCompute, resource);
}

void validate_list(const Document& list, const FieldPath& path, FieldErrors& errors) {
  if (!list.is_object()) return;
  for (const auto& [name, value] : list.items()) {
    FieldPath at = path.key(name);
    validate_resource_name(name, false, at, errors);
    if (name.find('/') == std::string::npos && !standard(name)) errors.push_back(field_invalid(at, name, "must be a standard resource for quota"));
    auto amount = Quantity::parse(value.is_string() ? value.get_ref<const std::string&>() : std::string());
    if (!amount) continue;
    if (amount->sign() < 0) errors.push_back(field_invalid(at, value, "must be greater than or equal to 0"));
    if (whole(name) && amount->milli_value() % 1000 != 0) errors.push_back(field_invalid(at, value, "must be an integer"));
  }
}

void conflicts(const std::set<std::string>& scopes, const Document& shown, const FieldPath& path, FieldErrors& errors) {
  for (auto [a, b] : {std::pair("BestEffort", "NotBestEffort"), std::pair("Terminating", "NotTerminating")})
    if (scopes.count(a) && scopes.count(b)) errors.push_back(field_invalid(path, shown, "conflicting scopes"));
}

void unsupported(std::string_view scope, const Document& hard, const Document& shown, const FieldPath& path, FieldErrors& errors) {
  if (!hard.is_object()) return;
  for (const auto& [name, value] : hard.items())
    if (standard(name) && !goes_with(scope, name)) errors.push_back(field_invalid(path, shown, "unsupported scope applied to resource"));
}

void validate_selector(const Document& spec, const FieldPath& path, FieldErrors& errors) {
  const Document& selector = member(spec, "scopeSelector");
  std::set<std::string> seen;
  for (const auto& r : each(selector, "matchExpressions")) {
    std::string scope(string_at(r, "scopeName")), op(string_at(r, "operator"));
    const Document& values = each(r, "values");
    if (!in(kScopes, scope)) errors.push_back(field_invalid(path.child("scopeName"), scope, "unsupported scope"));
    unsupported(scope, member(spec, "hard"), selector, path, errors);
    if (op != "In" && op != "NotIn" && op != "Exists" && op != "DoesNotExist") errors.push_back(field_invalid(path.child("operator"), op, "not a valid selector operator"));
    if (scope != "PriorityClass" && scope != "VolumeAttributesClass" && in(kScopes, scope) && op != "Exists")
      errors.push_back(field_invalid(path.child("operator"), op,
                                     "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
                                     "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"));
    if ((op == "In" || op == "NotIn") && values.empty())
      errors.push_back(field_required(path.child("values"), "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"));
    if ((op == "Exists" || op == "DoesNotExist") && !values.empty())
      errors.push_back(field_invalid(path.child("values"), values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"));
    seen.insert(std::move(scope));
  }
  conflicts(seen, member(spec, "scopes"), path, errors);
}

std::set<std::string> scopes_of(const Document& spec) {
  std::set<std::string> out;
  for (const auto& s : each(spec, "scopes"))
    if (s.is_string()) out.insert(s.get<std::string>());
  return out;
}

class ResourceQuotaStrategy final : public Strategy {
 public:
  explicit ResourceQuotaStrategy(const KindSchema& k) : Strategy(k) { set_flags(*this); }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    const Document& spec = member(o, "spec");
    FieldPath path("spec");
    validate_list(member(spec, "hard"), path.child("hard"), errors);
    std::set<std::string> scopes = scopes_of(spec);
    for (const auto& s : each(spec, "scopes"))
      if (s.is_string()) {
        if (!in(kScopes, s.get_ref<const std::string&>())) errors.push_back(field_invalid(path.child("scopes"), member(spec, "scopes"), "unsupported scope"));
        unsupported(s.get_ref<const std::string&>(), member(spec, "hard"), member(spec, "scopes"), path.child("scopes"), errors);
      }
    conflicts(scopes, member(spec, "scopes"), path.child("scopes"), errors);
    if (member(spec, "scopeSelector").is_object()) validate_selector(spec, path.child("scopeSelector").child("matchExpressions"), errors);
  }
  void validate_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    validate(c, o, errors);
    if (scopes_of(member(o, "spec")) != scopes_of(member(old, "spec")))
      errors.push_back(field_invalid(FieldPath("spec").child("scopes"), member(member(o, "spec"), "scopes"), "field is immutable"));
  }
  void validate_status_update(WriteContext&, const Document& o, const Document&, FieldErrors& errors) const override {
    for (const char* f : {"hard", "used"}) validate_list(member(member(o, "status"), f), FieldPath("status").child(f), errors);
  }
};

}  // namespace

StrategyPtr make_resource_quota_strategy(const KindSchema& kind) { return std::make_shared<ResourceQuotaStrategy>(kind); }

}  // namespace onebin::apiserver
