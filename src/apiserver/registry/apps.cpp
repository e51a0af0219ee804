// Workload controllers of the apps group.
#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <optional>
#include <set>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::semantically_equal;
using apimachinery::string_at;

namespace {

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
    validate_workload(o, errors);
    validate_strategy(member(o, "spec"), FieldPath("spec"), errors);
  }
  void validate_status_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    const Document& status = member(o, "status");
    FieldPath path("status");
    if (status.is_object())
      for (const auto& [key, value] : status.items())
        if (value.is_number()) apimachinery::append(errors, apimachinery::validate_nonnegative(value.get<std::int64_t>(), path.child(key)));
    auto more = [&](const char* what, const char* than, const char* why) {
      if (apimachinery::int_at(status, what) > apimachinery::int_at(status, than)) errors.push_back(field_invalid(path.child(what), apimachinery::int_at(status, what), why));
    };
    for (const char* f : parts_of_replicas()) more(f, "replicas", "cannot be greater than status.replicas");
    if (kind->kind != "DaemonSet") more("availableReplicas", "readyReplicas", kind->kind == "StatefulSet" ? "cannot be greater than status.readyReplicas" : "cannot be greater than readyReplicas");
    const Document* before = find_member(member(old, "status"), "collisionCount");
    std::int64_t now = apimachinery::int_at(status, "collisionCount");
    if (before && before->is_number() && (!find_member(status, "collisionCount") || now < before->get<std::int64_t>())) errors.push_back(field_invalid(path.child("collisionCount"), now, "cannot be decremented"));
  }

 protected:
  virtual void validate_strategy(const Document&, const FieldPath&, FieldErrors&) const {}
  virtual std::vector<const char*> parts_of_replicas() const { return {}; }

  // The selector, and the template that it must select.
  void validate_workload(const Document& o, FieldErrors& errors) const {
    FieldPath path("spec");
    const Document& selector = at_path(o, {"spec", "selector"});
    bool daemon = kind->kind == "DaemonSet", stateful = kind->kind == "StatefulSet";
    bool usable = true;
    if (selector.is_object()) {
      FieldErrors found = apimachinery::validate_label_selector(selector, path.child("selector"));
      usable = found.empty();
      apimachinery::append(errors, std::move(found));
      if (each(selector, "matchExpressions").empty() && (!member(selector, "matchLabels").is_object() || member(selector, "matchLabels").empty()))
        errors.push_back(field_invalid(path.child("selector"), selector, std::string("empty selector is invalid for ") + (daemon ? "daemonset" : stateful ? "statefulset" : "deployment")));
    }
    if (!usable && !daemon) {
      errors.push_back(field_invalid(path.child("selector"), selector, stateful ? "" : "invalid label selector"));
      return;
    }
    FieldPath at = path.child("template");
    const Document& t = at_path(o, {"spec", "template"});
    const Document& labels = at_path(t, {"metadata", "labels"});
    auto parsed = usable && selector.is_object() ? apimachinery::LabelSelector::from_document(selector) : Result<apimachinery::LabelSelector>(bad_request(""));
    bool nothing = usable && !selector.is_object();  // no selector selects nothing
    if (nothing || (parsed && !parsed->empty() && !parsed->matches(labels)))
      errors.push_back(field_invalid(at.child("metadata").child("labels"), labels, "`selector` does not match template `labels`"));
    validate_template(o, t, at, errors);
    if (at_path(t, {"spec", "activeDeadlineSeconds"}).is_number())
      errors.push_back(field_forbidden(at.child("spec").child("activeDeadlineSeconds"), std::string("activeDeadlineSeconds in ") + (daemon ? "DaemonSet" : stateful ? "StatefulSet" : "ReplicaSet") + " is not Supported"));
  }
  virtual void validate_template(const Document&, const Document& t, const FieldPath& at, FieldErrors& errors) const { validate_pod_template(t, at, errors, {"Always"}); }

  static std::int64_t amount(const Document& v) {
    if (v.is_number()) return v.get<std::int64_t>();
    if (!v.is_string()) return 0;
    std::string text = v.get<std::string>();
    if (is_percent(v)) text.pop_back();
    char* end = nullptr;
    std::int64_t n = std::strtoll(text.c_str(), &end, 10);
    return end && !*end ? n : 0;
  }
  static bool is_percent(const Document& v) { return v.is_string() && apimachinery::is_valid_percent(v.get_ref<const std::string&>()).empty(); }
  static void check_amount(const Document& v, const FieldPath& path, FieldErrors& errors) {
    if (v.is_string())
      for (auto& m : apimachinery::is_valid_percent(v.get<std::string>())) errors.push_back(field_invalid(path, v, m));
    else apimachinery::append(errors, apimachinery::validate_nonnegative(amount(v), path));
  }
  static void check_not_over_all(const Document& v, const FieldPath& path, FieldErrors& errors) {
    if (is_percent(v) && amount(v) > 100) errors.push_back(field_invalid(path, v, "must not be greater than 100%"));
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
  // Annotations go to the replica sets, so that their changes count too.
  void prepare_for_update(WriteContext& c, Document& o, const Document& old) const override {
    Workload::prepare_for_update(c, o, old);
    if (!semantically_equal(apimachinery::annotations_of(o), apimachinery::annotations_of(old))) apimachinery::set_meta(o, "generation", apimachinery::generation_of(old) + 1);
  }
  void prepare_for_status_update(WriteContext& c, Document& o, const Document& old) const override {
    Workload::prepare_for_status_update(c, o, old);
    Document& meta = apimachinery::object_at(o, "metadata");
    if (const Document* labels = find_member(member(old, "metadata"), "labels")) meta["labels"] = *labels;
    else meta.erase("labels");
  }

 protected:
  std::vector<const char*> parts_of_replicas() const override { return {"updatedReplicas", "readyReplicas", "availableReplicas"}; }
  void validate_strategy(const Document& spec, const FieldPath& top, FieldErrors& errors) const override {
    FieldPath path = top.child("strategy");
    const Document& s = member(spec, "strategy");
    const Document& rolling = member(s, "rollingUpdate");
    FieldPath at = path.child("rollingUpdate");
    if (string_at(s, "type") == "Recreate") {
      if (rolling.is_object()) errors.push_back(field_forbidden(at, "may not be specified when strategy `type` is 'Recreate'"));
    } else if (string_at(s, "type") == "RollingUpdate") {
      const Document& unavailable = member(rolling, "maxUnavailable");
      check_amount(unavailable, at.child("maxUnavailable"), errors);
      check_amount(member(rolling, "maxSurge"), at.child("maxSurge"), errors);
      if (!amount(unavailable) && !amount(member(rolling, "maxSurge"))) errors.push_back(field_invalid(at.child("maxUnavailable"), unavailable, "may not be 0 when `maxSurge` is 0"));
      check_not_over_all(unavailable, at.child("maxUnavailable"), errors);
    } else {
      errors.push_back(field_not_supported(path, s, {"Recreate", "RollingUpdate"}));
    }
    const Document* deadline = find_member(spec, "progressDeadlineSeconds");
    if (deadline && deadline->is_number() && deadline->get<std::int64_t>() <= apimachinery::int_at(spec, "minReadySeconds"))
      errors.push_back(field_invalid(top.child("progressDeadlineSeconds"), *deadline, "must be greater than minReadySeconds"));
  }
};

class ReplicaSetStrategy final : public Workload {
 public:
  explicit ReplicaSetStrategy(const KindSchema& k) : Workload(k) { select("status.replicas"); }
  void default_strategy(Document&) const override {}
  std::vector<const char*> parts_of_replicas() const override { return {"fullyLabeledReplicas", "readyReplicas", "availableReplicas"}; }
};

// The generation of a DaemonSet's template, which old clients read from an annotation.
constexpr const char* kTemplateGeneration = "deprecated.daemonset.template.generation";

class DaemonSetStrategy final : public Workload {
 public:
  using Workload::Workload;
  void set_defaults(Document& o) const override {
    Workload::set_defaults(o);
    Document& annotations = apimachinery::object_at(apimachinery::object_at(o, "metadata"), "annotations");
    if (!annotations.contains(kTemplateGeneration)) annotations[kTemplateGeneration] = "0";
  }
  void prepare_for_create(WriteContext& c, Document& o) const override {
    Workload::prepare_for_create(c, o);
    if (template_generation(o) < 1) apimachinery::set_annotation(o, kTemplateGeneration, "1");
  }
  void prepare_for_status_update(WriteContext& c, Document& o, const Document& old) const override {
    Workload::prepare_for_status_update(c, o, old);
    apimachinery::set_annotation(o, kTemplateGeneration, std::to_string(template_generation(old)));
  }
  static std::int64_t template_generation(const Document& o) { return std::strtoll(std::string(string_at(apimachinery::annotations_of(o), kTemplateGeneration)).c_str(), nullptr, 10); }
  void prepare_for_update(WriteContext& c, Document& o, const Document& old) const override {
    Workload::prepare_for_update(c, o, old);
    std::int64_t was = std::max<std::int64_t>(template_generation(old), 1);
    if (!same_at({"spec", "template"}, o, old)) ++was;
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
  void validate_strategy(const Document& spec, const FieldPath& top, FieldErrors& errors) const override {
    const Document& s = member(spec, "updateStrategy");
    if (string_at(s, "type") == "OnDelete") return;
    if (string_at(s, "type") != "RollingUpdate") {
      errors.push_back(field_not_supported(top.child("updateStrategy"), s, {"RollingUpdate", "OnDelete"}));
      return;
    }
    FieldPath at = top.child("updateStrategy").child("rollingUpdate");
    const Document& rolling = member(s, "rollingUpdate");
    const Document& unavailable = member(rolling, "maxUnavailable");
    const Document& surge = member(rolling, "maxSurge");
    check_amount(unavailable, at.child("maxUnavailable"), errors);
    check_amount(surge, at.child("maxSurge"), errors);
    check_not_over_all(unavailable, at.child("maxUnavailable"), errors);
    check_not_over_all(surge, at.child("maxSurge"), errors);
    if (amount(unavailable) && amount(surge)) errors.push_back(field_invalid(at.child("maxSurge"), surge, "may not be set when maxUnavailable is non-zero"));
    if (!amount(unavailable) && !amount(surge)) errors.push_back(field_required(at.child("maxUnavailable"), "cannot be 0 when maxSurge is 0"));
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
  std::vector<const char*> parts_of_replicas() const override { return {"readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"}; }
  void validate_strategy(const Document& spec, const FieldPath& top, FieldErrors& errors) const override {
    const Document& s = member(spec, "updateStrategy");
    const Document& rolling = member(s, "rollingUpdate");
    FieldPath at = top.child("updateStrategy").child("rollingUpdate");
    if (string_at(s, "type") != "OnDelete" && string_at(s, "type") != "RollingUpdate") errors.push_back(field_invalid(top.child("updateStrategy"), s, "must be 'RollingUpdate' or 'OnDelete'"));
    if (string_at(s, "type") == "OnDelete" && rolling.is_object()) {
      Document shown = {{"Partition", apimachinery::int_at(rolling, "partition")}, {"MaxUnavailable", find_member(rolling, "maxUnavailable") ? rolling["maxUnavailable"] : Document()}};
      errors.push_back(field_invalid(at, shown, "only allowed for updateStrategy 'RollingUpdate'"));
    }
    if (string_at(s, "type") == "RollingUpdate" && rolling.is_object()) {
      apimachinery::append(errors, apimachinery::validate_nonnegative(apimachinery::int_at(rolling, "partition"), at.child("partition")));
      if (const Document* most = find_member(rolling, "maxUnavailable")) {
        check_amount(*most, at.child("maxUnavailable"), errors);
        if (!amount(*most)) errors.push_back(field_invalid(at.child("maxUnavailable"), *most, "cannot be 0"));
        check_not_over_all(*most, at.child("maxUnavailable"), errors);
      }
    }
    if (std::string policy(string_at(spec, "podManagementPolicy")); policy != "OrderedReady" && policy != "Parallel")
      errors.push_back(field_invalid(top.child("podManagementPolicy"), policy, "must be 'OrderedReady' or 'Parallel'"));
    if (std::int64_t start = apimachinery::get_int(spec, {"ordinals", "start"}, 0); start < 0)
      apimachinery::append(errors, apimachinery::validate_nonnegative(start, top.child("ordinals.start")));
  }
  void validate(WriteContext& c, const Document& o, FieldErrors& errors) const override {
    count_claims(o, errors);
    Workload::validate(c, o, errors);
    FieldPath path = FieldPath("spec").child("volumeClaimTemplates");
    std::size_t i = 0;
    if (Check service = Check(member(o, "spec"), FieldPath("spec"), errors)["serviceName"]; !service.empty()) service.format(apimachinery::is_dns1123_label);
    for (const auto& claim : each(member(o, "spec"), "volumeClaimTemplates")) validate_claim_spec(member(claim, "spec"), path.index(i++).child("spec"), errors);
  }
  void validate_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    std::erase_if(errors, [](const apimachinery::FieldError& e) { return starts_with(e.field, "spec.volumeClaimTemplates["); });  // they may not change, so that old ones stand
    count_claims(o, errors);
    Workload::validate(c, o, errors);
    auto templates = [](const Document& of) {
      Document claims = each(member(of, "spec"), "volumeClaimTemplates");
      // What a claim template says of its own kind is not stored.
      for (auto& claim : claims)
        if (claim.is_object())
          for (const char* f : {"kind", "apiVersion", "status"}) claim.erase(f);
      return claims;
    };
    Document now = {{"volumeClaimTemplates", templates(o)}}, was = {{"volumeClaimTemplates", templates(old)}};
    if (!semantically_equal(type_at({"spec"}), now, was))
      errors.push_back(field_invalid(FieldPath("spec").child("volumeClaimTemplates"), now["volumeClaimTemplates"], "field is immutable"));
  }
  // What the tables found in the template's volumes is told of their places among those of the claims, which come first and
  // take the place of volumes of the same name.
  static void count_claims(const Document& o, FieldErrors& errors) {
    constexpr std::string_view kVolumes = "spec.template.spec.volumes[";
    std::set<std::string> made;
    for (const auto& c : each(member(o, "spec"), "volumeClaimTemplates")) made.emplace(apimachinery::name_of(c));
    if (made.empty()) return;
    std::vector<std::optional<std::size_t>> places;
    std::size_t next = made.size();
    for (const auto& v : each(at_path(o, {"spec", "template", "spec"}), "volumes")) {
      bool gone = made.count(std::string(string_at(v, "name")));
      places.push_back(gone ? std::nullopt : std::optional(next));
      next += !gone;
    }
    std::erase_if(errors, [&](apimachinery::FieldError& e) {
      if (!starts_with(e.field, kVolumes)) return false;
      std::size_t end = e.field.find(']'), at = static_cast<std::size_t>(std::atoll(e.field.c_str() + kVolumes.size()));
      if (end == std::string::npos || at >= places.size()) return false;
      if (places[at]) e.field = std::string(kVolumes) + std::to_string(*places[at]) + e.field.substr(end);
      return !places[at];
    });
  }
  // The controller names the pods and adds volumes for the claims: the template is looked at as it will be.
  void validate_template(const Document& o, const Document& t, const FieldPath& at, FieldErrors& errors) const override {
    Document as_made = t;
    if (Document* spec = find_member(as_made, "spec"); spec && spec->is_object()) {
      spec->erase("hostname");
      spec->erase("subdomain");
      const Document& claims = each(member(o, "spec"), "volumeClaimTemplates");
      if (!claims.empty()) {
        Document volumes = Document::array();
        std::set<std::string> made;
        for (const auto& c : claims) {
          std::string name(apimachinery::name_of(c));
          if (made.insert(name).second) volumes.push_back({{"name", name}, {"persistentVolumeClaim", {{"claimName", name}}}});
        }
        for (const auto& v : each(*spec, "volumes"))
          if (!made.count(std::string(string_at(v, "name")))) volumes.push_back(v);
        (*spec)["volumes"] = std::move(volumes);
      }
    }
    validate_pod_template(as_made, at, errors, {"Always"});
  }
};

class ControllerRevisionStrategy final : public Strategy {
 public:
  explicit ControllerRevisionStrategy(const KindSchema& k) : Strategy(k) { set_flags(*this); }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    apimachinery::append(errors, apimachinery::validate_nonnegative(apimachinery::int_at(o, "revision"), FieldPath("revision")));
    const Document* data = find_member(o, "data");
    if (!data || data->is_null()) errors.push_back(field_required(FieldPath("data"), "data is mandatory"));
    else if (!data->is_object()) errors.push_back(field_required(FieldPath("data"), "data must be a valid JSON object"));
  }
  void validate_update(WriteContext&, const Document& o, const Document&, FieldErrors& errors) const override {
    apimachinery::append(errors, apimachinery::validate_nonnegative(apimachinery::int_at(o, "revision"), FieldPath("revision")));
  }
};

}  // namespace

StrategyMaker apps_strategy(std::string_view kind) {
  if (kind == "Deployment") return make<DeploymentStrategy>;
  if (kind == "ReplicaSet") return make<ReplicaSetStrategy>;
  if (kind == "DaemonSet") return make<DaemonSetStrategy>;
  if (kind == "StatefulSet") return make<StatefulSetStrategy>;
  if (kind == "ControllerRevision") return make<ControllerRevisionStrategy>;
  return nullptr;
}

}  // namespace onebin::apiserver
