// Workload controllers of the apps group.
#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::semantically_equal;
using apimachinery::string_at;

namespace {

template <class S>
StrategyPtr make(const KindSchema& k) { return std::make_shared<S>(k); }

void default_to(Document& object, const char* field, Document value) {
  if (const Document* v = find_member(object, field); !v || v->is_null()) object[field] = std::move(value);
}

class Workload : public Strategy {
 public:
  explicit Workload(const KindSchema& k) : Strategy(k) { set_flags(*this); }
  void set_defaults(Document& o) const override {
    Document& spec = apimachinery::object_at(o, "spec");
    default_pod_template(spec);
    default_strategy(spec);
  }
  virtual void default_strategy(Document& spec) const = 0;
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    validate_selector(o, errors, false);
    const Document& t = at_path(o, {"spec", "template"});
    validate_pod_template(t, FieldPath("spec").child("template"), errors, {"Always"});
    if (at_path(t, {"spec", "activeDeadlineSeconds"}).is_number())
      errors.push_back(field_forbidden(FieldPath("spec").child("template").child("spec").child("activeDeadlineSeconds"), "activeDeadlineSeconds in " + std::string(kind->kind) + " is not Supported"));
  }
};

class DeploymentStrategy final : public Workload {
 public:
  using Workload::Workload;
  void default_strategy(Document& spec) const override {
    Document& s = apimachinery::object_at(spec, "strategy");
    default_to(s, "type", "RollingUpdate");
    if (string_at(s, "type") != "RollingUpdate") return;
    Document& r = apimachinery::object_at(s, "rollingUpdate");
    default_to(r, "maxUnavailable", "25%");
    default_to(r, "maxSurge", "25%");
  }
  void validate(WriteContext& c, const Document& o, FieldErrors& errors) const override {
    Workload::validate(c, o, errors);
    const Document& spec = member(o, "spec");
    FieldPath path = FieldPath("spec").child("strategy");
    const Document& s = member(spec, "strategy");
    const Document& rolling = member(s, "rollingUpdate");
    if (string_at(s, "type") == "Recreate" && rolling.is_object())
      errors.push_back(field_forbidden(path.child("rollingUpdate"), "may not be specified when strategy `type` is 'Recreate'"));
    if (string_at(s, "type") == "RollingUpdate") {
      for (const char* f : {"maxUnavailable", "maxSurge"}) check_percent(member(rolling, f), path.child("rollingUpdate").child(f), errors);
      if (zero(member(rolling, "maxUnavailable")) && zero(member(rolling, "maxSurge")))
        errors.push_back(field_invalid(path.child("rollingUpdate").child("maxUnavailable"), member(rolling, "maxUnavailable"), "may not be 0 when `maxSurge` is 0"));
    }
    const Document* deadline = find_member(spec, "progressDeadlineSeconds");
    if (deadline && deadline->is_number() && deadline->get<std::int64_t>() <= apimachinery::int_at(spec, "minReadySeconds"))
      errors.push_back(field_invalid(FieldPath("spec").child("progressDeadlineSeconds"), *deadline, "must be greater than minReadySeconds"));
  }
  void prepare_for_status_update(WriteContext& c, Document& o, const Document& old) const override {
    Workload::prepare_for_status_update(c, o, old);
    Document& meta = apimachinery::object_at(o, "metadata");
    if (const Document* labels = find_member(member(old, "metadata"), "labels")) meta["labels"] = *labels;
    else meta.erase("labels");
  }

 private:
  static bool zero(const Document& v) { return (v.is_number() && v.get<double>() == 0) || (v.is_string() && v.get<std::string>() == "0%"); }
  static void check_percent(const Document& v, const FieldPath& path, FieldErrors& errors) {
    if (v.is_string())
      for (auto& m : apimachinery::is_valid_percent(v.get<std::string>())) errors.push_back(field_invalid(path, v, m));
    else if (v.is_number() && v.get<double>() < 0)
      errors.push_back(field_invalid(path, v, "must be greater than or equal to 0"));
  }
};

class ReplicaSetStrategy final : public Workload {
 public:
  explicit ReplicaSetStrategy(const KindSchema& k) : Workload(k) { select("status.replicas"); }
  void default_strategy(Document&) const override {}
};

// The generation of a DaemonSet's template, which old clients read from an annotation.
constexpr const char* kTemplateGeneration = "deprecated.daemonset.template.generation";

class DaemonSetStrategy final : public Workload {
 public:
  using Workload::Workload;
  void set_defaults(Document& o) const override {
    Workload::set_defaults(o);
    Document& annotations = apimachinery::object_at(apimachinery::object_at(o, "metadata"), "annotations");
    if (!annotations.contains(kTemplateGeneration)) annotations[kTemplateGeneration] = "1";
  }
  void prepare_for_update(WriteContext& c, Document& o, const Document& old) const override {
    Workload::prepare_for_update(c, o, old);
    std::int64_t was = std::strtoll(std::string(string_at(apimachinery::annotations_of(old), kTemplateGeneration)).c_str(), nullptr, 10);
    if (was < 1) was = 1;
    if (!semantically_equal(at_path(o, {"spec", "template"}), at_path(old, {"spec", "template"}))) ++was;
    apimachinery::set_annotation(o, kTemplateGeneration, std::to_string(was));
  }
  void default_strategy(Document& spec) const override {
    Document& s = apimachinery::object_at(spec, "updateStrategy");
    default_to(s, "type", "RollingUpdate");
    if (string_at(s, "type") != "RollingUpdate") return;
    Document& r = apimachinery::object_at(s, "rollingUpdate");
    default_to(r, "maxUnavailable", 1);
    default_to(r, "maxSurge", 0);
  }
};

class StatefulSetStrategy final : public Workload {
 public:
  using Workload::Workload;
  void default_strategy(Document& spec) const override {
    Document& s = apimachinery::object_at(spec, "updateStrategy");
    default_to(s, "type", "RollingUpdate");
    if (string_at(s, "type") == "RollingUpdate") {
      Document& r = apimachinery::object_at(s, "rollingUpdate");
      default_to(r, "partition", 0);
      default_to(r, "maxUnavailable", 1);
    }
    Document* claims = find_member(spec, "volumeClaimTemplates");
    if (!claims || !claims->is_array()) return;
    for (auto& c : *claims) {
      c["kind"] = "PersistentVolumeClaim";
      c["apiVersion"] = "v1";
      default_to(apimachinery::object_at(c, "status"), "phase", "Pending");
    }
  }
  void validate_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    validate(c, o, errors);
    Document now = member(o, "spec"), was = member(old, "spec");
    for (const char* f : {"replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy", "minReadySeconds"}) {
      now.erase(f);
      was.erase(f);
    }
    // What a claim template says of its own kind is not stored.
    for (Document* d : {&now, &was})
      if (Document* claims = find_member(*d, "volumeClaimTemplates"); claims && claims->is_array())
        for (auto& claim : *claims)
          for (const char* f : {"kind", "apiVersion", "status"}) claim.erase(f);
    if (!semantically_equal(now, was))
      errors.push_back(field_forbidden(FieldPath("spec"),
                                       "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', "
                                       "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"));
  }
};

}  // namespace

StrategyMaker apps_strategy(std::string_view kind) {
  if (kind == "Deployment") return make<DeploymentStrategy>;
  if (kind == "ReplicaSet") return make<ReplicaSetStrategy>;
  if (kind == "DaemonSet") return make<DaemonSetStrategy>;
  if (kind == "StatefulSet") return make<StatefulSetStrategy>;
  return nullptr;
}

}  // namespace onebin::apiserver
