// autoscaling: a HorizontalPodAutoscaler is stored as v2; v1 carries what it has no fields for in annotations.
#include "apiserver/registry/check.hpp"
#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/pod_spec.hpp"
#include "apiserver/registry/registry.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/apimachinery/validation.hpp>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::semantically_equal;
using apimachinery::string_at;

namespace {

constexpr const char* kMetrics = "autoscaling.alpha.kubernetes.io/metrics";
constexpr const char* kCurrent = "autoscaling.alpha.kubernetes.io/current-metrics";
constexpr const char* kConditions = "autoscaling.alpha.kubernetes.io/conditions";
constexpr const char* kBehavior = "autoscaling.alpha.kubernetes.io/behavior";

void drop_annotations(Document& object) {
  Document* meta = find_member(object, "metadata");
  Document* annotations = meta ? find_member(*meta, "annotations") : nullptr;
  if (!annotations || !annotations->is_object()) return;
  for (const char* name : {kMetrics, kCurrent, kConditions, kBehavior, "autoscaling.alpha.kubernetes.io/scale-down-tolerance",
                           "autoscaling.alpha.kubernetes.io/scale-up-tolerance"})
    annotations->erase(name);
  if (annotations->empty()) meta->erase("annotations");
}

void take(Document& to, const char* name, const Document& from, const char* as) {
  if (const Document* v = find_member(from, as)) to[name] = *v;
}
void take_or_zero(Document& to, const char* name, const Document& from, const char* as) {
  const Document* v = find_member(from, as);
  to[name] = v ? *v : Document("0");
}

bool is_zero(const Document& quantity) {
  auto q = quantity.is_string() ? apimachinery::Quantity::parse(quantity.get<std::string>()) : Result<apimachinery::Quantity>(bad_request(""));
  return q && q->is_zero();
}

// ---- one metric: specs name their goal "target", statuses "current"

struct Form {
  const char *state, *value, *average, *utilization;  // v2's member; v1's members
};
constexpr Form kSpec = {"target", "targetValue", "targetAverageValue", "targetAverageUtilization"};
constexpr Form kStatus = {"current", "currentValue", "currentAverageValue", "currentAverageUtilization"};

Document source_to_v1(const std::string& type, const Document& in, const Form& form, bool status) {
  Document out = Document::object();
  const Document &state = member(in, form.state), &metric = member(in, "metric");
  if (type == "resource" || type == "containerResource") {
    take(out, "name", in, "name");
    take(out, "container", in, "container");
    take(out, form.utilization, state, "averageUtilization");
    if (status) take_or_zero(out, form.average, state, "averageValue");
    else take(out, form.average, state, "averageValue");
    return out;
  }
  take(out, "metricName", metric, "name");
  take(out, type == "external" ? "metricSelector" : "selector", metric, "selector");
  if (type == "object") {
    take_or_zero(out, form.value, state, "value");
    take(out, "averageValue", state, "averageValue");
    out["target"] = member(in, "describedObject");
  } else if (type == "pods") {
    take_or_zero(out, form.average, state, "averageValue");
  } else {
    if (status) take_or_zero(out, form.value, state, "value");
    else take(out, form.value, state, "value");
    take(out, form.average, state, "averageValue");
  }
  return out;
}

Document source_to_v2(const std::string& type, const Document& in, const Form& form, bool status) {
  Document out = Document::object(), state = Document::object(), metric = Document::object();
  auto kind = [&](const char* text) {
    if (!status) state["type"] = text;
  };
  if (type == "resource" || type == "containerResource") {
    take(out, "name", in, "name");
    take(out, "container", in, "container");
    take(state, "averageUtilization", in, form.utilization);
    take(state, "averageValue", in, form.average);
    kind(state.contains("averageUtilization") ? "Utilization" : "AverageValue");
  } else {
    take(metric, "name", in, "metricName");
    take(metric, "selector", in, type == "external" ? "metricSelector" : "selector");
    if (type == "object") {
      out["describedObject"] = member(in, "target");
      bool average = find_member(in, "averageValue") != nullptr;
      if (status || !average || !is_zero(member(in, form.value))) take(state, "value", in, form.value);
      take(state, "averageValue", in, "averageValue");
      kind(average ? "AverageValue" : "Value");
    } else {
      if (type == "external") take(state, "value", in, form.value);
      take(state, "averageValue", in, form.average);
      kind(state.contains("value") ? "Value" : "AverageValue");
    }
    out["metric"] = std::move(metric);
  }
  out[form.state] = std::move(state);
  return out;
}

Document metric_to(const Document& in, const Form& form, bool status, Document (*convert)(const std::string&, const Document&, const Form&, bool)) {
  Document out = Document::object();
  take(out, "type", in, "type");
  for (const char* type : {"object", "pods", "resource", "containerResource", "external"})
    if (const Document* source = find_member(in, type)) out[type] = convert(type, *source, form, status);
  return out;
}

Document metrics_to(const Document& list, const Form& form, bool status, Document (*convert)(const std::string&, const Document&, const Form&, bool)) {
  Document out = Document::array();
  if (list.is_array())
    for (const auto& m : list) out.push_back(metric_to(m, form, status, convert));
  return out;
}

bool is_cpu_utilization(const Document& metric) {
  const Document& r = member(metric, "resource");
  return string_at(metric, "type") == "Resource" && string_at(r, "name") == "cpu" && find_member(member(r, "target"), "averageUtilization");
}

Document cpu_utilization(Document percent) {
  return {{"type", "Resource"}, {"resource", {{"name", "cpu"}, {"target", {{"type", "Utilization"}, {"averageUtilization", std::move(percent)}}}}}};
}

// A list of v1's types as the text of an annotation, in the order of their fields.
std::string list_text(const Document& list, const char* type) {
  const auto* schema = api::find_type(std::string("io.k8s.api.autoscaling.v1.") + type);
  std::string out = "[";
  for (const auto& e : list) {
    if (out.size() > 1) out += ",";
    apimachinery::append_json(out, e, schema);
  }
  return out + "]";
}

// Behavior is written with Go's own field names, every one of them.
std::string behavior_text(const Document& b) {
  auto rules = [](const Document& r) -> std::string {
    if (!r.is_object()) return "null";
    auto or_null = [&](const char* name) { return member(r, name).dump(); };
    std::string out = "{\"StabilizationWindowSeconds\":" + or_null("stabilizationWindowSeconds") + ",\"SelectPolicy\":" + or_null("selectPolicy") + ",\"Policies\":";
    const Document& policies = member(r, "policies");
    if (policies.is_array()) {
      out += "[";
      for (const auto& p : policies)
        out.append(out.back() == '[' ? "" : ",").append("{\"Type\":" + member(p, "type").dump() + ",\"Value\":" + std::to_string(apimachinery::int_at(p, "value")) +
                                                       ",\"PeriodSeconds\":" + std::to_string(apimachinery::int_at(p, "periodSeconds")) + "}");
      out += "]";
    } else {
      out += "null";
    }
    return out + ",\"Tolerance\":" + or_null("tolerance") + "}";
  };
  return "{\"ScaleUp\":" + rules(member(b, "scaleUp")) + ",\"ScaleDown\":" + rules(member(b, "scaleDown")) + "}";
}

// The same read back: names in lower case, what is null left out.
Document lower_names(const Document& in) {
  if (in.is_array()) {
    Document out = Document::array();
    for (const auto& e : in) out.push_back(lower_names(e));
    return out;
  }
  if (!in.is_object()) return in;
  Document out = Document::object();
  for (const auto& [k, v] : in.items()) {
    if (v.is_null() || k.empty()) continue;
    std::string name = k;
    if (name[0] >= 'A' && name[0] <= 'Z') name[0] = static_cast<char>(name[0] + 32);
    out[name] = lower_names(v);
  }
  return out;
}

Document annotation_json(const Document& object, const char* name) {
  const Document* text = find_member(apimachinery::annotations_of(object), name);
  if (!text || !text->is_string()) return nullptr;
  Document parsed = Document::parse(text->get<std::string>(), nullptr, false);
  return parsed.is_discarded() ? Document() : parsed;
}

Document retyped(const Document& d, const char* version) {
  Document out = {{"apiVersion", version}, {"kind", "HorizontalPodAutoscaler"}};
  if (const Document* meta = find_member(d, "metadata")) out["metadata"] = *meta;
  return out;
}

Document to_v1(const Document& in) {
  Document out = retyped(in, "autoscaling/v1");
  drop_annotations(out);
  const Document &spec = member(in, "spec"), &status = member(in, "status");
  Document& s = out["spec"] = Document::object();
  for (const char* f : {"scaleTargetRef", "minReplicas", "maxReplicas"}) take(s, f, spec, f);
  Document others = Document::array();
  const Document& metrics = member(spec, "metrics");
  if (metrics.is_array())
    for (const auto& m : metrics) {
      if (!is_cpu_utilization(m)) others.push_back(metric_to(m, kSpec, false, source_to_v1));
      else if (!s.contains("targetCPUUtilizationPercentage")) s["targetCPUUtilizationPercentage"] = m["resource"]["target"]["averageUtilization"];
    }
  if (!others.empty()) apimachinery::set_annotation(out, kMetrics, list_text(others, "MetricSpec"));
  Document current = metrics_to(member(status, "currentMetrics"), kStatus, true, source_to_v1);
  if (!current.empty()) apimachinery::set_annotation(out, kCurrent, list_text(current, "MetricStatus"));
  if (const Document* b = find_member(spec, "behavior")) apimachinery::set_annotation(out, kBehavior, behavior_text(*b));
  if (const Document& c = member(status, "conditions"); c.is_array() && !c.empty())
    apimachinery::set_annotation(out, kConditions, list_text(c, "HorizontalPodAutoscalerCondition"));
  if (!status.is_object()) return out;
  Document& t = out["status"] = Document::object();
  for (const char* f : {"observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas"}) take(t, f, status, f);
  for (const auto& m : current)
    if (string_at(m, "type") == "Resource" && string_at(member(m, "resource"), "name") == "cpu")
      take(t, "currentCPUUtilizationPercentage", m["resource"], "currentAverageUtilization");
  return out;
}

Document to_v2(const Document& in) {
  Document out = retyped(in, "autoscaling/v2");
  drop_annotations(out);
  const Document &spec = member(in, "spec"), &status = member(in, "status");
  Document& s = out["spec"] = Document::object();
  for (const char* f : {"scaleTargetRef", "minReplicas", "maxReplicas"}) take(s, f, spec, f);
  Document metrics = metrics_to(annotation_json(in, kMetrics), kSpec, false, source_to_v2);
  const Document* percent = find_member(spec, "targetCPUUtilizationPercentage");
  if (percent || metrics.empty()) metrics.push_back(cpu_utilization(percent ? *percent : Document(80)));
  s["metrics"] = std::move(metrics);
  if (Document b = lower_names(annotation_json(in, kBehavior)); b.is_object() && !b.empty()) s["behavior"] = std::move(b);
  if (!status.is_object()) return out;
  Document& t = out["status"] = Document::object();
  for (const char* f : {"observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas"}) take(t, f, status, f);
  Document current = annotation_json(in, kCurrent);
  if (current.is_array()) t["currentMetrics"] = metrics_to(current, kStatus, true, source_to_v2);
  else if (const Document* cpu = find_member(status, "currentCPUUtilizationPercentage"))
    t["currentMetrics"] = Document::array({{{"type", "Resource"}, {"resource", {{"name", "cpu"}, {"current", {{"averageUtilization", *cpu}}}}}}});
  if (Document c = annotation_json(in, kConditions); c.is_array()) t["conditions"] = std::move(c);
  return out;
}

// ---- validation, of v2's form

bool needs_group(const Check& ref) { return !ref["kind"].is("ReplicationController"); }

void check_reference(const Check& ref, bool check_version, bool group_required) {
  for (const char* f : {"kind", "name"})
    if (!ref[f].empty()) ref[f].format(path_segment);
  if (!check_version) return;
  Check version = ref["apiVersion"];
  auto gv = apimachinery::parse_group_version(version.text());
  if (!gv) version.invalid("unexpected GroupVersion string: " + std::string(version.text()));
  else if (group_required && gv->group.empty()) version.invalid("apiVersion must specify API group");
}

void check_target(const Check& t) {
  if (t["type"].empty()) t["type"].required("must specify a metric target type");
  if (!t["type"].is("Utilization") && !t["type"].is("Value") && !t["type"].is("AverageValue")) t["type"].invalid("must be either Utilization, Value, or AverageValue");
  for (const char* f : {"value", "averageValue"}) {
    if (!t[f].set()) continue;
    auto q = apimachinery::Quantity::parse(t[f].text());
    if (!q || q->sign() != 1) t[f].invalid("must be positive");
  }
  if (t["averageUtilization"].set() && t["averageUtilization"].number() < 1) t["averageUtilization"].invalid("must be greater than 0");
}

void check_metric_name(const Check& m) {
  if (m["name"].need("must specify a metric name")) m["name"].format(path_segment);
}

// `versions`: whether what the metric describes must have a version that can be read.
void check_source(const std::string& type, const Check& s, bool versions) {
  Check target = s["target"], value = target["value"], average = target["averageValue"], utilization = target["averageUtilization"];
  if (type == "resource" || type == "containerResource") {
    if (s["name"].need("must specify a resource name") && type == "containerResource")
      validate_resource_name(std::string(s["name"].text()), true, s["name"].path(), s.errors());
    if (type == "containerResource" && s["container"].need("must specify a container")) s["container"].format(apimachinery::is_dns1123_label);
    check_target(target);
    if (!utilization.set() && !average.set()) utilization.required("must set either a target raw value or a target utilization");
    if (utilization.set() && average.set()) average.forbidden("may not set both a target raw value and a target utilization");
    return;
  }
  if (type == "object") check_reference(s["describedObject"], versions, false);
  check_metric_name(s["metric"]);
  check_target(target);
  if (type == "pods") {
    if (!average.set()) average.required("must specify a positive target averageValue");
    return;
  }
  bool external = type == "external";
  if (!value.set() && !average.set())
    average.required(external ? "must set either a target value for metric or a per-pod target" : "must set either a target value or averageValue");
  if (external && value.set() && average.set()) value.forbidden("may not set both a target value for metric and a per-pod target");
}

struct MetricType {
  const char *type, *member;
};
// In the order in which they are looked at.
constexpr MetricType kMetricTypes[] = {{"Object", "object"}, {"External", "external"}, {"Pods", "pods"}, {"Resource", "resource"}, {"ContainerResource", "containerResource"}};

void check_metric(const Check& m, bool versions) {
  Check type = m["type"];
  std::string expected;
  std::vector<std::string> present;
  for (auto [name, source] : kMetricTypes) {
    if (type.is(name)) expected = source;
    if (!m[source].set()) continue;
    present.push_back(source);
    if (present.size() == 1) check_source(source, m[source], versions);
  }
  if (type.empty()) type.required("must specify a metric source type");
  if (expected.empty()) type.unsupported({"ContainerResource", "External", "Object", "Pods", "Resource"});
  else if (!m[expected].set()) m[expected].required("must populate information for the given metric source");
  if (present.size() == 1) return;
  for (const auto& p : present)
    if (p != expected) m[p].forbidden("must populate the given metric source only");
}

void check_scaling_rules(const Check& r) {
  if (!r.set()) return;
  Check window = r["stabilizationWindowSeconds"], select = r["selectPolicy"], policies = r["policies"];
  if (window.number() < 0) window.invalid("must be greater than or equal to zero");
  if (window.number() > 3600) window.invalid("must be less than or equal to 3600");
  if (select.set()) select.one_of({"Disabled", "Max", "Min"});
  policies.need("must specify at least one Policy");
  for (std::size_t i = 0; i < policies.size(); ++i) {
    Check p = policies[i], seconds = p["periodSeconds"];
    p["type"].one_of({"Percent", "Pods"});
    if (p["value"].number() <= 0) p["value"].invalid_as(p["value"].number(), "must be greater than zero");
    if (seconds.number() <= 0) seconds.invalid_as(seconds.number(), "must be greater than zero");
    if (seconds.number() > 1800) seconds.invalid("must be less than or equal to 1800");
  }
  if (r["tolerance"].set()) check_quantity_nonnegative(r["tolerance"]);
}

class AutoscalerStrategy final : public Strategy {
 public:
  explicit AutoscalerStrategy(const KindSchema& k) : Strategy(k), v1_(k.version == "v1") { set_flags(*this); }

  void set_defaults(Document& o) const override {
    if (v1_) o = to_v1(to_v2(o));  // what it says in annotations and what it does not say is as if v2 had been written
    Document* spec = find_member(o, "spec");
    if (v1_ || !spec || !spec->is_object()) return;
    if (Document* m = find_member(*spec, "metrics"); m && m->empty()) *m = Document::array({cpu_utilization(80)});
    if (Document* b = find_member(*spec, "behavior"); b && b->is_object()) default_behavior(*b);
  }

  // What v1 says in annotations belongs to the spec and the status: both are kept and compared as v2 has them.
  void prepare_for_create(WriteContext& c, Document& o) const override {
    as_v2(o, [&](Document& d) { Strategy::prepare_for_create(c, d); });
  }
  void prepare_for_update(WriteContext&, Document& o, const Document& old) const override {
    static const auto* spec = api::find_type("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec");
    Document before = v1_ ? to_v2(old) : old;
    as_v2(o, [&](Document& d) {
      keep(d, before, "status");
      if (!semantically_equal(*spec, member(d, "spec"), member(before, "spec"))) apimachinery::set_meta(d, "generation", apimachinery::generation_of(old) + 1);
    });
  }
  void prepare_for_status_update(WriteContext&, Document& o, const Document& old) const override {
    as_v2(o, [&](Document& d) { keep(d, v1_ ? to_v2(old) : old, "spec"); });
  }

  Document cells(const Document& o, WallTime now) const override { return Strategy::cells(v1_ ? to_v2(o) : o, now); }

  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override { check(o, nullptr, errors); }
  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override { check(o, &old, errors); }
  void validate_status_update(WriteContext&, const Document& o, const Document&, FieldErrors& errors) const override {
    Check status(member(o, "status"), FieldPath("status"), errors);
    Check conditions = status["conditions"];
    for (std::size_t i = 0; i < conditions.size(); ++i) conditions[i]["observedGeneration"].nonnegative();
    for (const char* f : {"currentReplicas", "desiredReplicas"}) status[f].nonnegative();
  }

 private:
  template <class Change>
  void as_v2(Document& o, Change change) const {
    if (v1_) o = to_v2(o);
    else drop_annotations(o);
    change(o);
    if (v1_) o = to_v1(o);
  }
  static void keep(Document& o, const Document& old, const char* part) {
    if (const Document* v = find_member(old, part)) o[part] = *v;
    else o.erase(part);
  }
  static void default_behavior(Document& b) {
    auto rules = [&](const char* name, Document policies) {
      Document& r = apimachinery::object_at(b, name);
      if (!find_member(r, "selectPolicy")) r["selectPolicy"] = "Max";
      if (!find_member(r, "policies")) r["policies"] = std::move(policies);
      return &r;
    };
    Document percent = {{"type", "Percent"}, {"value", 100}, {"periodSeconds", 15}}, pods = {{"type", "Pods"}, {"value", 4}, {"periodSeconds", 15}};
    Document* up = rules("scaleUp", Document::array({pods, percent}));
    if (!find_member(*up, "stabilizationWindowSeconds")) (*up)["stabilizationWindowSeconds"] = 0;
    rules("scaleDown", Document::array({percent}));
  }

  // Whether an object's metric describes something whose version cannot be read, which an update may then keep.
  static bool describes_nothing(const Document& o) {
    for (const auto& m : each(member(o, "spec"), "metrics"))
      if (string_at(m, "type") == "Object" && find_member(m, "object") && !apimachinery::parse_group_version(string_at(at_path(m, {"object", "describedObject"}), "apiVersion"))) return true;
    return false;
  }

  void check(const Document& given, const Document* given_old, FieldErrors& errors) const {
    Document converted, converted_old;
    if (v1_) converted = to_v2(given);
    if (v1_ && given_old) converted_old = to_v2(*given_old);
    const Document& o = v1_ ? converted : given;
    const Document* old = !given_old ? nullptr : v1_ ? &converted_old : given_old;
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    Check min = spec["minReplicas"], max = spec["maxReplicas"], ref = spec["scaleTargetRef"], metrics = spec["metrics"];
    min.nonnegative();
    if (min.set() && max.number() < min.number()) max.invalid_as(max.number(), "must be greater than or equal to `minReplicas`");
    const Document& old_ref = old ? at_path(*old, {"spec", "scaleTargetRef"}) : Document();
    bool same = old && string_at(old_ref, "apiVersion") == ref["apiVersion"].text() && string_at(old_ref, "kind") == ref["kind"].text();
    check_reference(ref, !same, needs_group(ref));
    bool scales_to_zero = false;
    for (std::size_t i = 0; i < metrics.size(); ++i) {
      check_metric(metrics[i], !(old && describes_nothing(*old)));
      scales_to_zero = scales_to_zero || metrics[i]["type"].is("Object") || metrics[i]["type"].is("External");
    }
    if (min.set() && min.number() == 0 && !scales_to_zero) metrics.forbidden("must specify at least one Object or External metric to support scaling to zero replicas");
    check_scaling_rules(spec["behavior"]["scaleUp"]);
    check_scaling_rules(spec["behavior"]["scaleDown"]);
  }

  bool v1_;
};

}  // namespace

StrategyPtr make_autoscaler_strategy(const KindSchema& k) { return std::make_shared<AutoscalerStrategy>(k); }

void set_autoscaler_conversions(Served& served) {
  served.from_storage = [](const Document& d) { return Result<Document>(to_v1(d)); };
  served.to_storage = [](const Document& d) { return Result<Document>(to_v2(d)); };
}

}  // namespace onebin::apiserver
