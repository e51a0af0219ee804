// The core group's kinds but Pods and Services.
#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/limit_range.hpp"
#include "apiserver/registry/pod_spec.hpp"
#include "apiserver/registry/resource_quota.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::semantically_equal;
using apimachinery::string_at;

StrategyPtr make_pod_strategy(const KindSchema& k);
StrategyPtr make_service_strategy(const KindSchema& k);
StrategyPtr make_endpoints_strategy(const KindSchema& k);
StrategyPtr make_persistent_volume_strategy(const KindSchema& k);
StrategyPtr make_persistent_volume_claim_strategy(const KindSchema& k);

namespace {

class Base : public Strategy {
 public:
  explicit Base(const KindSchema& k) : Strategy(k) { set_flags(*this); }
};

class NamespaceStrategy final : public Base {
 public:
  explicit NamespaceStrategy(const KindSchema& k) : Base(k) {
    select("status.phase");
    select("name", "metadata.name");
  }
  void set_defaults(Document& o) const override {
    std::string name(apimachinery::name_of(o));
    if (!name.empty()) apimachinery::object_at(apimachinery::object_at(o, "metadata"), "labels")["kubernetes.io/metadata.name"] = name;
  }
  void prepare_for_create(WriteContext&, Document& o) const override {
    o["status"] = {{"phase", "Active"}};
    Document& finalizers = apimachinery::array_at(apimachinery::object_at(o, "spec"), "finalizers");
    for (const auto& f : finalizers)
      if (f == "kubernetes") return;
    finalizers.push_back("kubernetes");
    std::string name(apimachinery::name_of(o));
    apimachinery::object_at(apimachinery::object_at(o, "metadata"), "labels")["kubernetes.io/metadata.name"] = name;
  }
  void prepare_for_update(WriteContext& c, Document& o, const Document& old) const override {
    Base::prepare_for_update(c, o, old);
    if (c.subresource == "finalize") return;
    const Document& was = at_path(old, {"spec", "finalizers"});
    if (was.is_array()) apimachinery::object_at(o, "spec")["finalizers"] = was;
    else if (Document* spec = find_member(o, "spec")) spec->erase("finalizers");
  }
  void validate(WriteContext& c, const Document& o, FieldErrors& errors) const override {
    FieldPath path = FieldPath("spec").child("finalizers");
    std::size_t i = 0;
    for (const auto& f : each(member(o, "spec"), "finalizers"))
      apimachinery::append(errors, apimachinery::validate_own_finalizer(f.is_string() ? f.get<std::string>() : "", c.subresource == "finalize" ? path.index(i++) : path));
  }
  void validate_status_update(WriteContext&, const Document& o, const Document&, FieldErrors& errors) const override {
    std::string phase(apimachinery::get_string(o, {"status", "phase"}));
    bool goes = !apimachinery::deletion_timestamp_of(o).empty();
    if (goes && phase != "Terminating") errors.push_back(field_invalid(FieldPath("status").child("Phase"), phase, "may only be 'Terminating' if `deletionTimestamp` is not empty"));
    if (!goes && phase != "Active") errors.push_back(field_invalid(FieldPath("status").child("Phase"), phase, "may only be 'Active' if `deletionTimestamp` is empty"));
  }
  bool deletes_on_update(const Document& o, const Document&) const override {
    return !apimachinery::deletion_timestamp_of(o).empty() && apimachinery::finalizers_of(o).empty() && each(member(o, "spec"), "finalizers").empty();
  }
};

class NodeStrategy final : public Base {
 public:
  explicit NodeStrategy(const KindSchema& k) : Base(k) { select("spec.unschedulable"); }
  // A node may come with its status: the kubelet registers so.
  void prepare_for_create(WriteContext&, Document&) const override {}
  void set_defaults(Document& o) const override {
    unite_ranges(o);
    Document* status = find_member(o, "status");
    if (!status || !status->is_object()) return;
    const Document* capacity = find_member(*status, "capacity");
    if (capacity && !find_member(*status, "allocatable")) (*status)["allocatable"] = Document(*capacity);
  }
  // podCIDR is the first of podCIDRs, and wins where they differ.
  static void unite_ranges(Document& o) {
    Document* spec = find_member(o, "spec");
    if (!spec || !spec->is_object()) return;
    std::string first(string_at(*spec, "podCIDR"));
    const Document& all = each(*spec, "podCIDRs");
    if (!first.empty() && (all.empty() || all[0] != first)) (*spec)["podCIDRs"] = Document::array({first});
    else if (first.empty() && !all.empty() && all[0].is_string() && all[0] != "") (*spec)["podCIDR"] = Document(all[0]);
  }
  static void check_ranges(const Check& list) {
    int v4 = 0, v6 = 0;
    std::string bad;
    for (std::size_t i = 0; i < list.size(); ++i) {
      check_network(list[i], false);
      auto n = parse_network(list[i].text());
      if (!n && bad.empty()) bad = "invalid CIDR[" + std::to_string(i) + "]: <nil> (invalid CIDR address: " + std::string(list[i].text()) + ")";
      if (n) ++(n->base.v6 ? v6 : v4);
      if (!n && list.size() > 1 && i + 1 == list.size()) break;
    }
    if (list.size() < 2) return;
    bool all_read = static_cast<std::size_t>(v4 + v6) == list.size();
    if (!all_read) list.internal("invalid PodCIDRs. failed to check with dual stack with error:" + bad);
    if (!all_read || !(v4 && v6) || list.size() > 2) list.invalid("may specify no more than one CIDR for each IP family");
  }
  static void check_status(const Document& o, FieldErrors& errors) {
    Check status(member(o, "status"), FieldPath("status"), errors);
    for (const char* f : {"capacity", "allocatable"}) {
      const Document& list = status[f].value();
      if (!list.is_object()) continue;
      for (const auto& [name, value] : list.items()) {
        Check at = status[f][name];
        auto q = apimachinery::Quantity::parse(at.text());
        if (!q) continue;
        if (q->sign() < 0) at.invalid("must be greater than or equal to 0");
        bool whole = name == "pods" || (name.find('/') != std::string::npos && name.find("kubernetes.io/") == std::string::npos);
        if (whole && q->milli_value() % 1000 != 0) at.invalid("must be an integer");
      }
    }
    Check features = status["declaredFeatures"];
    for (std::size_t i = 0; i < features.size(); ++i) {
      std::string_view feature = features[i].text();
      bool too_long = feature.size() > 253;
      if (too_long || !feature_name(feature))
        features[i].invalid("invalid feature name " + apimachinery::go_quote(feature) +
                            (too_long ? ": must be no more than 253 characters"
                                      : ": must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"));
      if (i == 0) continue;
      if (features[i].text() == features[i - 1].text()) features[i].duplicate();
      else if (features[i - 1].text() > features[i].text()) features[i].invalid("list must be sorted alphabetically");
    }
  }
  static bool feature_name(std::string_view name) {
    bool first = true;
    for (const auto& part : split(name, '/')) {
      if (part.empty() || !std::isalpha(static_cast<unsigned char>(part[0])) || (first && !std::isupper(static_cast<unsigned char>(part[0])))) return false;
      for (char ch : part)
        if (!std::isalnum(static_cast<unsigned char>(ch))) return false;
      first = false;
    }
    return true;
  }
  void validate_status_update(WriteContext&, const Document& o, const Document&, FieldErrors& errors) const override {
    check_status(o, errors);
    Check addresses = Check(member(o, "status"), FieldPath("status"), errors)["addresses"];
    std::vector<const Document*> seen;
    for (std::size_t i = 0; i < addresses.size(); ++i) {
      for (const Document* s : seen)
        if (*s == addresses[i].value()) {
          addresses[i].duplicate();
          break;
        }
      seen.push_back(&addresses[i].value());
    }
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    check_ranges(Check(member(o, "spec"), FieldPath("spec"), errors)["podCIDRs"]);
    check_status(o, errors);
    FieldPath meta("metadata");  // upstream's path of what is not there
    check_annotations(Check(apimachinery::annotations_of(o), meta.child("annotations"), errors));
    check_taints(Check(member(o, "spec"), meta, errors)["taints"]);
    Check swap = Check(o, FieldPath(), errors)["status"]["nodeInfo"]["swap"]["capacity"].as(meta.child("nodeSwapStatus").child("capacity"));
    if (swap.set() && swap.number() <= 0) swap.invalid("must be greater than zero");
  }
  static void check_annotations(const Check& annotations) {
    constexpr const char *kTaints = "scheduler.alpha.kubernetes.io/taints", *kAvoid = "scheduler.alpha.kubernetes.io/preferAvoidPods";
    Document taints = read_json_annotation(annotations, kTaints, annotations.path(), Document::value_t::array);
    check_taints(Check(taints, annotations.path().child(kTaints), annotations.errors()));
    Document avoids = read_json_annotation(annotations, kAvoid, annotations.path().child("AvoidPods"), Document::value_t::object);
    Check list = Check(avoids, annotations.path(), annotations.errors())["preferAvoidPods"].as(annotations.path().child(kAvoid));
    for (std::size_t i = 0; i < list.size(); ++i) {
      Check controller = list[i]["podSignature"]["podController"];
      if (!controller.set()) list[i]["PodSignature"].required();
      else if (!controller["controller"].flag()) list[i]["PodSignature"]["PodController"]["Controller"].invalid_as(false, "must point to a controller");
    }
  }
  static void check_taints(const Check& taints) {
    std::vector<std::string> seen;
    for (std::size_t i = 0; i < taints.size(); ++i) {
      Check key = taints[i]["key"], value = taints[i]["value"], effect = taints[i]["effect"];
      key.add(apimachinery::validate_label_name(key.text(), key.path()));
      if (auto problems = apimachinery::is_valid_label_value(value.text()); !problems.empty()) value.invalid(join(problems, ";"));
      if (effect.need()) effect.one_of({"NoSchedule", "PreferNoSchedule", "NoExecute"});
      std::string both = std::string(key.text()) + ":" + std::string(effect.text());
      if (std::find(seen.begin(), seen.end(), both) != seen.end()) {
        apimachinery::FieldError e = field_duplicate(taints[i].path(), taints[i].value());
        e.detail = "taints must be unique by key and effect pair";
        taints.errors().push_back(std::move(e));
      }
      seen.push_back(std::move(both));
    }
  }
  void validate_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    validate(c, o, errors);
    const Document& spec = member(o, "spec");
    const Document& before = member(old, "spec");
    if (!each(before, "podCIDRs").empty() && each(spec, "podCIDRs") != each(before, "podCIDRs"))
      errors.push_back(field_forbidden(FieldPath("spec").child("podCIDRs"), "node updates may not change podCIDR except from \"\" to valid"));
    std::string was(string_at(before, "providerID")), now(string_at(spec, "providerID"));
    if (!was.empty() && was != now)
      errors.push_back(field_invalid(FieldPath("spec").child("providerID"), Document(), now.empty() ? "field cannot be cleared once set" : "field cannot be modified once set"));
    if (string_at(spec, "externalID") != string_at(before, "externalID")) errors.push_back(field_forbidden(FieldPath("spec").child("externalID"), "may not be updated"));
  }
};

// What base64 text stands for, in bytes.
std::size_t decoded_size(std::string_view text) {
  std::size_t padding = text.size() - std::min(text.size(), text.find_last_not_of('=') + 1);
  return text.size() / 4 * 3 - std::min(padding, text.size() / 4 * 3);
}

void validate_keys(const Document& o, const char* field, bool encoded, FieldErrors& errors, std::size_t& total) {
  const Document& data = member(o, field);
  if (!data.is_object()) return;
  for (const auto& [key, value] : data.items()) {
    for (auto& m : apimachinery::is_config_map_key(key)) errors.push_back(field_invalid(FieldPath(field).key(key), key, m));
    if (const auto* text = value.is_string() ? &value.get_ref<const std::string&>() : nullptr) total += encoded ? decoded_size(*text) : text->size();
  }
}

constexpr std::size_t kMaxData = 1 << 20;

void validate_immutable_data(const Document& o, const Document& old, FieldErrors& errors, std::initializer_list<const char*> fields) {
  if (!apimachinery::bool_at(old, "immutable")) return;
  if (!apimachinery::bool_at(o, "immutable")) errors.push_back(field_forbidden(FieldPath("immutable"), "field is immutable when `immutable` is set"));
  for (const char* f : fields)
    if (!semantically_equal(find_member(o, f), find_member(old, f))) errors.push_back(field_forbidden(FieldPath(f), "field is immutable when `immutable` is set"));
}

class ConfigMapStrategy final : public Base {
 public:
  using Base::Base;
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    std::size_t total = 0;
    validate_keys(o, "data", false, errors, total);
    const Document& data = member(o, "data");
    const Document& binary = member(o, "binaryData");
    validate_keys(o, "binaryData", true, errors, total);
    if (data.is_object() && binary.is_object())
      for (const auto& [key, value] : binary.items())
        if (data.contains(key)) errors.push_back(field_invalid(FieldPath("data").key(key), key, "duplicate of key present in binaryData"));
    if (total > kMaxData) errors.push_back(field_too_long(FieldPath(""), kMaxData));
  }
  void validate_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    validate_immutable_data(o, old, errors, {"data", "binaryData"});
    validate(c, o, errors);
  }
};

class SecretStrategy final : public Base {
 public:
  explicit SecretStrategy(const KindSchema& k) : Base(k) { select("type"); }
  // stringData is a way of writing data.
  void set_defaults(Document& o) const override {
    Document* text = find_member(o, "stringData");
    if (!text) return;
    if (text->is_object()) {
      Document copy = std::move(*text);
      Document& data = apimachinery::object_at(o, "data");
      for (const auto& [key, value] : copy.items())
        if (value.is_string()) data[key] = base64_encode(value.get<std::string>());
    }
    o.erase("stringData");
  }
  void prepare_for_update(WriteContext& c, Document& o, const Document& old) const override {
    Base::prepare_for_update(c, o, old);
    if (string_at(o, "type").empty()) o["type"] = string_at(old, "type");
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    std::size_t total = 0;
    validate_keys(o, "data", true, errors, total);
    if (total > kMaxData) errors.push_back(field_too_long(FieldPath("data"), kMaxData));
    std::string type(string_at(o, "type"));
    const Document& data = member(o, "data");
    auto require = [&](const char* key) {
      if (!data.is_object() || !data.contains(key)) errors.push_back(field_required(FieldPath("data").key(key)));
    };
    if (type == "kubernetes.io/service-account-token" && string_at(apimachinery::annotations_of(o), "kubernetes.io/service-account.name").empty())
      errors.push_back(field_required(FieldPath("metadata").child("annotations").key("kubernetes.io/service-account.name")));
    auto require_json = [&](const char* key) {
      require(key);
      if (!data.is_object() || !data.contains(key)) return;
      auto text = base64_decode(string_at(data, key));
      auto parsed = apimachinery::decode_json(text ? *text : std::string(), nullptr);
      if (!parsed) errors.push_back(field_invalid(FieldPath("data").key(key), "<secret contents redacted>", parsed.status().message()));
    };
    if (type == "kubernetes.io/dockerconfigjson") require_json(".dockerconfigjson");
    if (type == "kubernetes.io/dockercfg") require_json(".dockercfg");
    if (type == "kubernetes.io/ssh-auth" && string_at(data, "ssh-privatekey").empty()) errors.push_back(field_required(FieldPath("data").key("ssh-privatekey")));
    if (type == "kubernetes.io/tls") {
      require("tls.crt");
      require("tls.key");
    }
    if (type == "kubernetes.io/basic-auth" && (!data.is_object() || (!data.contains("username") && !data.contains("password")))) {
      require("username");
      require("password");
    }
  }
  void validate_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    validate_immutable_data(o, old, errors, {"data"});
    validate(c, o, errors);
  }
};

class ServiceAccountStrategy final : public Base {
 public:
  using Base::Base;
  void prepare_for_create(WriteContext& c, Document& o) const override {
    Base::prepare_for_create(c, o);
    keep_names(o);
  }
  void prepare_for_update(WriteContext& c, Document& o, const Document& old) const override {
    Base::prepare_for_update(c, o, old);
    keep_names(o);
  }

 private:
  static void keep_names(Document& o) {
    Document* secrets = find_member(o, "secrets");
    if (!secrets || !secrets->is_array()) return;
    for (auto& s : *secrets) {
      std::string name(string_at(s, "name"));
      s = name.empty() ? Document::object() : Document{{"name", name}};
    }
  }
};

// An Event's source is its source.component, or who reports it where that is empty.
std::string event_source(std::string_view message) {
  std::string_view component = message_string(message, {5, 1});
  return std::string(component.empty() ? message_string(message, {14}) : component);
}

class EventStrategy final : public Base {
 public:
  explicit EventStrategy(const KindSchema& k) : Base(k) {
    // Selectors read what is stored: core events, whichever group asks.
    const KindSchema* stored = api::find_kind("", "v1", "Event");
    bool core = k.group.empty();
    auto add = [&](std::string_view name, std::string_view path) { selectable.push_back(make_selectable(*stored->type, name, path)); };
    for (const char* f : {"kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"})
      add(std::string(core ? "involvedObject." : "regarding.") + f, std::string("involvedObject.") + f);
    for (const char* f : {"reason", "type"}) add(f, f);
    add(core ? "reportingComponent" : "reportingController", "reportingComponent");
    if (!core) return;
    selectable.push_back(make_selectable(*stored->type, "source", "source.component"));
    selectable.back().custom = event_source;
  }
  Duration time_to_live(const Document&) const override { return std::chrono::hours(1); }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    bool core = kind->group.empty();
    check_legacy(o, errors);
    if (core) return;
    check_series(o, errors);
    Check e(o, FieldPath(), errors);
    auto top = [&](const char* member, const char* path) { return e[member].as(FieldPath(path)); };
    if (!top("eventTime", "eventTime").set()) top("eventTime", "eventTime").required();
    Check type = top("type", "type");
    if (!type.is("Normal") && !type.is("Warning")) type.invalid_as("", "has invalid value: " + std::string(type.text()));
    for (auto [member, path] : {std::pair("deprecatedFirstTimestamp", "firstTimestamp"), std::pair("deprecatedLastTimestamp", "lastTimestamp")})
      if (top(member, path).set()) top(member, path).invalid_as("", "needs to be unset");
    if (top("deprecatedCount", "count").number()) top("deprecatedCount", "count").invalid_as("", "needs to be unset");
    Check source = top("deprecatedSource", "source");
    if (!source["component"].empty() || !source["host"].empty()) source.invalid_as("", "needs to be unset");
  }
  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    check_legacy(o, errors);
    if (kind->group.empty()) return;
    if (!semantically_equal(find_member(o, "series"), find_member(old, "series"))) check_series(o, errors);
    for (auto [member, path] : {std::pair("regarding", "involvedObject"), std::pair("reason", "reason"), std::pair("note", "message"), std::pair("deprecatedSource", "source"),
                                std::pair("deprecatedFirstTimestamp", "firstTimestamp"), std::pair("deprecatedLastTimestamp", "lastTimestamp"), std::pair("deprecatedCount", "count"),
                                std::pair("type", "type"), std::pair("eventTime", "eventTime"), std::pair("action", "action"), std::pair("related", "related"),
                                std::pair("reportingController", "reportingController"), std::pair("reportingInstance", "reportingInstance")})
      if (!unset(find_member(o, member)) || !unset(find_member(old, member)))
        apimachinery::append(errors, apimachinery::validate_immutable_field(find_member(o, member), find_member(old, member), FieldPath(path)));
  }

 private:
  // Whether a text or a number is what Go has where none is given.
  static bool unset(const Document* v) {
    return !v || v->is_null() || (v->is_string() && v->get_ref<const std::string&>().empty()) || (v->is_number() && v->get<double>() == 0);
  }
  // Upstream's paths are those of core's Event.
  static void check_series(const Document& o, FieldErrors& errors) {
    const Document* series = find_member(o, "series");
    if (!series || !series->is_object()) return;
    if (apimachinery::int_at(*series, "count") < 2) errors.push_back(field_invalid(FieldPath("series.count"), "", "should be at least 2"));
    if (string_at(*series, "lastObservedTime").empty()) errors.push_back(field_required(FieldPath("series.lastObservedTime")));
  }
  void check_legacy(const Document& o, FieldErrors& errors) const {
    bool core = kind->group.empty();
    std::string ns(apimachinery::namespace_of(o)), target(string_at(member(o, core ? "involvedObject" : "regarding"), "namespace"));
    bool timed = !string_at(o, "eventTime").empty();
    bool ok = timed ? !target.empty() || ns == "default" || ns == "kube-system" : target.empty() ? ns.empty() || ns == "default" : target == ns;
    if (!ok) errors.push_back(field_invalid(FieldPath("involvedObject").child("namespace"), target, "does not match event.namespace"));
    if (!timed) return;
    Check e(o, FieldPath(), errors);
    auto top = [&](const char* member, const char* path) { return e[member].as(FieldPath(path)); };
    Check controller = core ? top("reportingComponent", "reportingComponent") : top("reportingController", "reportingController");
    controller.need();
    check_qualified_name(controller);
    auto bounded = [](const Check& at, std::size_t most, bool needed) {
      if (needed) at.need();
      if (at.text().size() > most) at.invalid_as("", "can have at most " + std::to_string(most) + " characters");
    };
    bounded(top("reportingInstance", "reportingInstance"), 128, true);
    bounded(top("action", "action"), 128, true);
    bounded(top("reason", "reason"), 128, true);
    bounded(top(core ? "message" : "note", "message"), 1024, false);
  }
};

class ReplicationControllerStrategy final : public Base {
 public:
  explicit ReplicationControllerStrategy(const KindSchema& k) : Base(k) { select("status.replicas"); }
  void set_defaults(Document& o) const override {
    Document& spec = apimachinery::object_at(o, "spec");
    default_pod_template(spec);
    const Document labels = at_path(spec, {"template", "metadata", "labels"});
    if (labels.is_object() && !labels.empty()) {
      const Document& selector = member(spec, "selector");
      if (!selector.is_object() || selector.empty()) spec["selector"] = labels;
      if (apimachinery::labels_of(o).empty()) apimachinery::object_at(o, "metadata")["labels"] = labels;
    }
    if (!find_member(spec, "replicas")) spec["replicas"] = 1;
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    const Document& spec = member(o, "spec");
    const Document& selector = member(spec, "selector");
    FieldPath path("spec");
    if (!selector.is_object() || selector.empty()) errors.push_back(field_required(path.child("selector")));
    const Document* t = find_member(spec, "template");
    if (!t) {
      errors.push_back(field_required(path.child("template")));
      return;
    }
    validate_pod_template(*t, path.child("template"), errors, {"Always"});
    if (!at_path(*t, {"spec", "activeDeadlineSeconds"}).is_null())
      errors.push_back(field_forbidden(path.child("template").child("spec").child("activeDeadlineSeconds"), "activeDeadlineSeconds in ReplicationController is not Supported"));
    auto s = apimachinery::LabelSelector::from_map(apimachinery::string_map(selector));
    const Document& labels = at_path(*t, {"metadata", "labels"});
    if (!selector.empty() && !s.matches(labels))
      errors.push_back(field_invalid(path.child("template").child("metadata").child("labels"), labels, "`selector` does not match template `labels`"));
  }
  void validate_status_update(WriteContext&, const Document& o, const Document&, FieldErrors& errors) const override {
    Check status(member(o, "status"), FieldPath("status"), errors);
    std::int64_t all = status["replicas"].number();
    for (const char* f : {"replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"})
      if (status[f].number() < 0) status[f].nonnegative();
    for (const char* f : {"fullyLabeledReplicas", "readyReplicas", "availableReplicas"})
      if (status[f].number() > all) status[f].invalid_as(status[f].number(), "cannot be greater than status.replicas");
    if (status["availableReplicas"].number() > status["readyReplicas"].number()) status["availableReplicas"].invalid_as(status["availableReplicas"].number(), "cannot be greater than readyReplicas");
  }
};

class PodTemplateStrategy final : public Base {
 public:
  using Base::Base;
  void set_defaults(Document& o) const override { default_pod_template(o); }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override { validate_pod_template(member(o, "template"), FieldPath("template"), errors); }
};

class LimitRangeStrategy final : public Base {
 public:
  using Base::Base;
  // What of a container's limits is not said follows from what is.
  void set_defaults(Document& o) const override {
    Document* spec = find_member(o, "spec");
    Document* limits = spec ? find_member(*spec, "limits") : nullptr;
    if (!limits || !limits->is_array()) return;
    for (auto& l : *limits) {
      if (string_at(l, "type") != "Container") continue;
      auto fill = [&](const char* to, const char* from) {
        const Document* f = find_member(l, from);
        if (!f || !f->is_object()) return;
        Document copy = *f;
        Document& t = apimachinery::object_at(l, to);
        for (const auto& [k, v] : copy.items())
          if (!t.contains(k)) t[k] = v;
      };
      fill("default", "max");
      fill("defaultRequest", "default");
      fill("defaultRequest", "min");
    }
  }
  void prepare_for_create(WriteContext& c, Document& o) const override {
    Base::prepare_for_create(c, o);
    if (apimachinery::name_of(o).empty()) apimachinery::set_meta(o, "name", random_uuid(*c.rng));
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override { validate_limit_range(o, errors); }
};

}  // namespace

StrategyMaker core_strategy(std::string_view kind) {
  if (kind == "Pod") return make_pod_strategy;
  if (kind == "Service") return make_service_strategy;
  if (kind == "Namespace") return make<NamespaceStrategy>;
  if (kind == "Node") return make<NodeStrategy>;
  if (kind == "ConfigMap") return make<ConfigMapStrategy>;
  if (kind == "Secret") return make<SecretStrategy>;
  if (kind == "ServiceAccount") return make<ServiceAccountStrategy>;
  if (kind == "Event") return make<EventStrategy>;
  if (kind == "ReplicationController") return make<ReplicationControllerStrategy>;
  if (kind == "PodTemplate") return make<PodTemplateStrategy>;
  if (kind == "PersistentVolume") return make_persistent_volume_strategy;
  if (kind == "PersistentVolumeClaim") return make_persistent_volume_claim_strategy;
  if (kind == "LimitRange") return make<LimitRangeStrategy>;
  if (kind == "ResourceQuota") return make_resource_quota_strategy;
  if (kind == "Endpoints") return make_endpoints_strategy;
  return nullptr;
}

// events.k8s.io: the same resource.
StrategyPtr make_event_strategy(const KindSchema& k) { return make<EventStrategy>(k); }

}  // namespace onebin::apiserver
