// Kinds outside core, apps and batch that have rules of their own.
#include "apiserver/crd/definition_strategy.hpp"
#include "apiserver/registry/check.hpp"
#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/selectors.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <set>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::semantically_equal;
using apimachinery::string_at;

StrategyPtr make_event_strategy(const KindSchema& k);
StrategyPtr make_endpoint_slice_strategy(const KindSchema& k);

namespace {

class Base : public Strategy {
 public:
  explicit Base(const KindSchema& k) : Strategy(k) { set_flags(*this); }
};

class RoleBindingStrategy final : public Base {
 public:
  using Base::Base;
  void set_defaults(Document& o) const override {
    if (Document* ref = find_member(o, "roleRef"); ref && ref->is_object() && string_at(*ref, "apiGroup").empty()) (*ref)["apiGroup"] = "rbac.authorization.k8s.io";
    if (Document* subjects = find_member(o, "subjects"); subjects && subjects->is_array())
      for (auto& s : *subjects)
        if (string_at(s, "apiGroup").empty() && (string_at(s, "kind") == "User" || string_at(s, "kind") == "Group")) s["apiGroup"] = "rbac.authorization.k8s.io";
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    const Document& ref = member(o, "roleRef");
    FieldPath path("roleRef");
    if (string_at(ref, "apiGroup") != "rbac.authorization.k8s.io") errors.push_back(field_not_supported(path.child("apiGroup"), string_at(ref, "apiGroup"), {"rbac.authorization.k8s.io"}));
    std::string k(string_at(ref, "kind"));
    bool cluster = kind->kind == "ClusterRoleBinding";
    if (k != "ClusterRole" && (cluster || k != "Role"))
      errors.push_back(field_not_supported(path.child("kind"), k, cluster ? std::vector<std::string>{"ClusterRole"} : std::vector<std::string>{"ClusterRole", "Role"}));
    Check name = Check(ref, path, errors)["name"];
    if (name.need()) name.format(path_segment);
    std::size_t i = 0;
    for (const auto& s : each(o, "subjects")) {
      Check at(s, FieldPath("subjects").index(i++), errors);
      Check sk = at["kind"], name = at["name"], group = at["apiGroup"];
      name.need();
      if (!sk.one_of({"ServiceAccount", "User", "Group"})) continue;
      if (!sk.is("ServiceAccount")) {
        group.one_of({"rbac.authorization.k8s.io"});
        continue;
      }
      if (!name.empty()) name.format(apimachinery::is_dns1123_subdomain);
      if (!group.empty()) group.unsupported({""});
      if (cluster) at["namespace"].need();
    }
  }
};

class RoleStrategy final : public Base {
 public:
  using Base::Base;
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    if (Check rule = Check(o, FieldPath(), errors)["aggregationRule"].as(FieldPath("aggregationRule")); rule.set()) {
      Check list = rule["clusterRoleSelectors"];
      list.need("at least one clusterRoleSelector required if aggregationRule is non-nil");
      for (std::size_t n = 0; n < list.size(); ++n) {
        list.add(apimachinery::validate_label_selector(list[n].value(), list[n].path()));
        if (!apimachinery::LabelSelector::from_document(list[n].value())) list[n].invalid_as(Document(), "invalid label selector.");
      }
    }
    std::size_t i = 0;
    for (const auto& r : each(o, "rules")) {
      FieldPath at = FieldPath("rules").index(i++);
      if (each(r, "verbs").empty()) errors.push_back(field_required(at.child("verbs")));
      if (!each(r, "nonResourceURLs").empty()) {
        if (kind->namespaced) errors.push_back(field_invalid(at.child("nonResourceURLs"), r["nonResourceURLs"], "namespaced rules cannot apply to non-resource URLs"));
        if (!each(r, "apiGroups").empty() || !each(r, "resources").empty() || !each(r, "resourceNames").empty())
          errors.push_back(field_invalid(at.child("nonResourceURLs"), r["nonResourceURLs"], "rules cannot apply to both regular resources and non-resource URLs"));
        continue;
      }
      if (each(r, "apiGroups").empty()) errors.push_back(field_required(at.child("apiGroups"), "resource rules must supply at least one api group"));
      if (each(r, "resources").empty()) errors.push_back(field_required(at.child("resources"), "resource rules must supply at least one resource"));
    }
  }
};

class DisruptionBudgetStrategy final : public Base {
 public:
  using Base::Base;
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    const Document& spec = member(o, "spec");
    FieldPath path("spec");
    if (find_member(spec, "minAvailable") && find_member(spec, "maxUnavailable"))
      errors.push_back(field_invalid(path, spec, "minAvailable and maxUnavailable cannot be both set"));
    for (const char* f : {"minAvailable", "maxUnavailable"}) {
      const Document& v = member(spec, f);
      if (v.is_string())
        for (auto& m : apimachinery::is_valid_percent(v.get<std::string>())) errors.push_back(field_invalid(path.child(f), v, m));
      else if (v.is_number() && v.get<std::int64_t>() < 0)
        errors.push_back(field_invalid(path.child(f), v, "must be greater than or equal to 0"));
      if (v.is_string() && v.get<std::string>().ends_with('%') && std::strtoll(v.get<std::string>().c_str(), nullptr, 10) > 100)
        errors.push_back(field_invalid(path.child(f), v, "must not be greater than 100%"));
    }
    if (const Document* s = find_member(spec, "selector")) apimachinery::append(errors, apimachinery::validate_label_selector(*s, path.child("selector")));
  }
  void validate_status_update(WriteContext&, const Document& o, const Document&, FieldErrors& errors) const override {
    Check status(member(o, "status"), FieldPath("status"), errors), conditions = status["conditions"];
    conditions.add(apimachinery::validate_conditions(conditions.value(), conditions.path()));
    for (const char* f : {"disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"}) status[f].nonnegative();
  }
};

class LeaseStrategy final : public Base {
 public:
  using Base::Base;
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    const Document& spec = member(o, "spec");
    FieldPath path("spec");
    const Document* d = find_member(spec, "leaseDurationSeconds");
    if (d && d->is_number() && d->get<std::int64_t>() <= 0) errors.push_back(field_invalid(path.child("leaseDurationSeconds"), *d, "must be greater than 0"));
    const Document* t = find_member(spec, "leaseTransitions");
    if (t && t->is_number() && t->get<std::int64_t>() < 0) errors.push_back(field_invalid(path.child("leaseTransitions"), *t, "must be greater than or equal to 0"));
  }
};

class RuntimeClassStrategy final : public Base {
 public:
  using Base::Base;
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    Check scheduling = Check(o, FieldPath(), errors)["scheduling"].as(FieldPath("scheduling"));
    Check selector = scheduling["nodeSelector"], tolerations = scheduling["tolerations"];
    if (selector.set()) selector.add(apimachinery::validate_labels(selector.value(), selector.path()));
    std::set<std::string> seen;
    for (std::size_t i = 0; i < tolerations.size(); ++i) {
      Document key = tolerations[i].value();
      key.erase("tolerationSeconds");
      if (!seen.insert(key.dump()).second) tolerations[i].duplicate();
    }
    check_tolerations(tolerations);
    Check fixed = Check(o, FieldPath(), errors)["overhead"].as(FieldPath("overhead"))["podFixed"];
    if (!fixed.set()) return;
    Document limits = {{"limits", fixed.value()}};
    check_resources(Check(limits, FieldPath("overhead"), errors), Check(o, FieldPath(), errors));
  }
  // That the handler may not change does not hide what else is wrong with a changed one.
  void validate_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    validate(c, o, errors);
    std::string handler(apimachinery::string_at(o, "handler"));
    if (handler.empty() || handler == apimachinery::string_at(old, "handler")) return;
    for (auto& m : apimachinery::is_dns1123_label(handler)) errors.push_back(field_invalid(FieldPath("handler"), handler, m));
  }
};

// What a migration has come to is final.
class MigrationStrategy final : public Base {
 public:
  using Base::Base;
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    Check resource = spec["resource"]["resource"], group = spec["resource"]["group"];
    if (resource.need("resource is required to be set")) joined(resource, apimachinery::is_dns1035_label(resource.text()));
    if (!group.empty()) joined(group, apimachinery::is_dns1123_subdomain(group.text()));
  }
  void validate_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    validate(c, o, errors);
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    if (!semantically_equal(*kind->type->field("spec")->message, spec.value(), member(old, "spec"))) spec.invalid("field is immutable");
  }
  void validate_status_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    Check status(member(o, "status"), FieldPath("status"), errors);
    Check list = status["conditions"], version = status["resourceVersion"];
    list.add(apimachinery::validate_conditions(list.value(), list.path()));
    std::string_view text = version.text();
    if (!text.empty() && (text[0] == '0' || text.find_first_not_of("0123456789") != std::string_view::npos)) version.invalid("resource version is not well formed: " + std::string(text));
    std::string_view before = string_at(member(old, "status"), "resourceVersion");
    if (!before.empty() && before != version.text()) version.invalid("field is immutable");
    if (is_true(o, "Succeeded") && is_true(o, "Failed")) list.invalid("Both success and failed conditions cannot be true at the same time");
    if (is_true(old, "Succeeded") && !is_true(o, "Succeeded")) list.invalid("Success condition cannot be set to false once it is true");
    if (is_true(old, "Failed") && !is_true(o, "Failed")) list.invalid("Failed condition cannot be set to false once it is true");
  }

 private:
  static void joined(const Check& at, const apimachinery::NameProblems& problems) {
    if (!problems.empty()) at.invalid(join(problems, ","));
  }
  static bool is_true(const Document& o, std::string_view type) {
    for (const auto& c : each(member(o, "status"), "conditions"))
      if (string_at(c, "type") == type && string_at(c, "status") == "True") return true;
    return false;
  }
};

class PriorityClassStrategy final : public Base {
 public:
  using Base::Base;
  // Upstream sets the generation on creation and never again.
  void prepare_for_update(WriteContext&, Document&, const Document&) const override {}
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    std::string name(apimachinery::name_of(o));
    std::int64_t value = apimachinery::int_at(o, "value");
    if (starts_with(name, "system-")) {
      if (std::string why = reserved(o, name, value); !why.empty())
        errors.push_back(field_forbidden(FieldPath("metadata").child("name"), "priority class names with 'system-' prefix are reserved for system use only. error: " + why));
    } else if (value > 1000000000) {
      errors.push_back(field_forbidden(FieldPath("value"), "maximum allowed value of a user defined priority is 1000000000"));
    }
    if (Check policy = Check(o, FieldPath(), errors)["preemptionPolicy"].as(FieldPath("preemptionPolicy")); policy.set() && policy.need()) policy.one_of({"Never", "PreemptLowerPriority"});
  }
  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    if (apimachinery::int_at(o, "value") != apimachinery::int_at(old, "value")) errors.push_back(field_forbidden(FieldPath("value"), "may not be changed in an update."));
    apimachinery::append(errors, apimachinery::validate_immutable_field(find_member(o, "preemptionPolicy"), find_member(old, "preemptionPolicy"), FieldPath("preemptionPolicy")));
  }

 private:
  // Why a class of a system's name is none of the system's own.
  static std::string reserved(const Document& o, const std::string& name, std::int64_t value) {
    std::int64_t fixed = name == "system-node-critical" ? 2000001000 : name == "system-cluster-critical" ? 2000000000 : 0;
    if (!fixed) return name + " is not a known system priority class";
    if (value != fixed) return "value of " + name + " PriorityClass must be " + std::to_string(fixed);
    return apimachinery::bool_at(o, "globalDefault") ? "globalDefault of " + name + " PriorityClass must be false" : std::string();
  }
};

}  // namespace

StrategyMaker other_strategy(std::string_view group, std::string_view kind) {
  if (group == "events.k8s.io" && kind == "Event") return make_event_strategy;
  if (kind == "CustomResourceDefinition") return make_definition_strategy;
  if (group == "networking.k8s.io") return networking_strategy(kind);
  if (kind == "HorizontalPodAutoscaler") return make_autoscaler_strategy;
  if (group == "storage.k8s.io") return storage_strategy(kind);
  if (group == "flowcontrol.apiserver.k8s.io" || group == "apiregistration.k8s.io") return flowcontrol_strategy(kind);
  if (kind == "RoleBinding" || kind == "ClusterRoleBinding") return make<RoleBindingStrategy>;
  if (kind == "Role" || kind == "ClusterRole") return make<RoleStrategy>;
  if (kind == "PodDisruptionBudget") return make<DisruptionBudgetStrategy>;
  if (kind == "EndpointSlice") return make_endpoint_slice_strategy;
  if (kind == "Lease") return make<LeaseStrategy>;
  if (kind == "RuntimeClass") return make<RuntimeClassStrategy>;
  if (kind == "StorageVersionMigration") return make<MigrationStrategy>;
  if (kind == "PriorityClass") return make<PriorityClassStrategy>;
  if (group == "admissionregistration.k8s.io") return admissionregistration_strategy(kind);
  if (group == "certificates.k8s.io") return certificates_strategy(kind);
  if (group == "resource.k8s.io") return resource_strategy(kind);
  return nullptr;
}

}  // namespace onebin::apiserver
