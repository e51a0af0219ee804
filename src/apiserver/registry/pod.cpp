// Pods: their life before they run anywhere, what of them may change, how they are deleted.
#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <map>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::semantically_equal;
using apimachinery::set_meta;
using apimachinery::string_at;

namespace {

class PodStrategy final : public Strategy {
 public:
  explicit PodStrategy(const KindSchema& k) : Strategy(k) {
    set_flags(*this);
    graceful = true;
    has_generation = true;
    for (const char* f : {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork", "status.phase", "status.podIP",
                          "status.nominatedNodeName"})
      select(f);
  }

  void set_defaults(Document& pod) const override {
    unite_ips(pod);
    Document* spec = find_member(pod, "spec");
    if (!spec || !spec->is_object()) return;
    default_pod_spec(*spec);
    if (apimachinery::int_at(*spec, "terminationGracePeriodSeconds") < 0) (*spec)["terminationGracePeriodSeconds"] = 1;
    if (!find_member(*spec, "enableServiceLinks")) (*spec)["enableServiceLinks"] = true;
    bool host = apimachinery::bool_at(*spec, "hostNetwork");
    for (const char* list : {"initContainers", "containers"}) {
      Document* l = find_member(*spec, list);
      if (!l || !l->is_array()) continue;
      for (auto& c : *l) {
        requests_from_limits(c);
        if (!host) continue;
        if (Document* ports = find_member(c, "ports"); ports && ports->is_array())
          for (auto& p : *ports)
            if (!apimachinery::int_at(p, "hostPort")) p["hostPort"] = p.value("containerPort", 0);
      }
    }
  }

  void prepare_for_create(WriteContext& c, Document& pod) const override {
    set_meta(pod, "generation", 1);
    take_app_armor_annotations(c, pod);
    if (Document* s = find_member(pod, "spec")) {
      merge_label_keys(*s, apimachinery::labels_of(pod));
      default_pod_resources(*s);
    }
    const Document& spec = member(pod, "spec");
    Document status = {{"phase", "Pending"}, {"qosClass", qos_class(spec)}};
    if (!each(spec, "schedulingGates").empty())
      status["conditions"].push_back({{"type", "PodScheduled"}, {"status", "False"}, {"reason", "SchedulingGated"}, {"message", "Scheduling is blocked due to non-empty scheduling gates"},
                                      {"lastTransitionTime", format_rfc3339(c.now)}});
    pod["status"] = std::move(status);
  }

  void prepare_for_update(WriteContext& c, Document& pod, const Document& old) const override {
    if (const Document* s = find_member(old, "status")) pod["status"] = *s;
    else pod.erase("status");
    if (c.subresource == "ephemeralcontainers") {
      Document spec = member(old, "spec");
      if (const Document* e = find_member(member(pod, "spec"), "ephemeralContainers")) spec["ephemeralContainers"] = *e;
      else spec.erase("ephemeralContainers");
      pod["spec"] = std::move(spec);
      keep_metadata(pod, old);
    } else if (c.subresource == "resize") {
      take_resize(pod, old);
      keep_metadata(pod, old);
    }
    Document& spec = apimachinery::object_at(pod, "spec");
    if (const Document* level = find_member(member(old, "spec"), "resources"); level && !find_member(spec, "resources"))
      spec["resources"] = *level;  // clients that don't know of it leave it out
    if (c.subresource == "resize") default_pod_resources(spec);
    if (!same_at({"spec"}, pod, old)) set_meta(pod, "generation", apimachinery::generation_of(old) + 1);
  }

  void validate(WriteContext&, const Document& pod, FieldErrors& errors) const override {
    validate_pod(pod, errors);
    const Document& spec = member(pod, "spec");
    FieldPath path("spec");
    if (!each(spec, "ephemeralContainers").empty()) errors.push_back(field_forbidden(path.child("ephemeralContainers"), "cannot be set on create"));
    if (!string_at(spec, "nodeName").empty() && !each(spec, "schedulingGates").empty())
      errors.push_back(field_forbidden(path.child("nodeName"), "cannot be set until all schedulingGates have been cleared"));
    validate_pod_annotations(apimachinery::annotations_of(pod), spec, kAnnotations, errors);
    validate_profiles_agree(apimachinery::annotations_of(pod), spec, path, errors);
  }

  void validate_update(WriteContext& c, const Document& pod, const Document& old, FieldErrors& errors) const override {
    validate_pod(pod, errors);
    validate_annotations(pod, old, c.subresource != "resize", errors);
    if (c.subresource == "ephemeralcontainers") return validate_ephemeral(pod, old, errors);
    if (c.subresource == "resize") return validate_resize(pod, old, errors);
    validate_spec_change(member(pod, "spec"), member(old, "spec"), errors);
  }

  void prepare_for_status_update(WriteContext& c, Document& pod, const Document& old) const override {
    Strategy::prepare_for_status_update(c, pod, old);
    Document& meta = apimachinery::object_at(pod, "metadata");
    const Document& was = member(old, "metadata");
    for (const char* f : {"ownerReferences", "deletionTimestamp"}) {
      if (const Document* v = find_member(was, f)) meta[f] = *v;
      else meta.erase(f);
    }
    keep_unknown_status(apimachinery::object_at(pod, "status"), member(old, "status"));
  }

  void validate_status_update(WriteContext&, const Document& pod, const Document& old, FieldErrors& errors) const override {
    validate_annotations(pod, old, true, errors);
    validate_pod_status(pod, old, errors);
  }
  void warnings_on_status_update(WriteContext& c, const Document& pod, const Document&) const override { warn_of_pod_status(c, pod); }

  std::optional<std::int64_t> grace_period(const Document& pod, std::optional<std::int64_t> asked) const override {
    std::int64_t period = asked ? *asked : apimachinery::get_int(pod, {"spec", "terminationGracePeriodSeconds"}, 0);
    std::string_view phase = apimachinery::get_string(pod, {"status", "phase"});
    if (apimachinery::get_string(pod, {"spec", "nodeName"}).empty() || phase == "Failed" || phase == "Succeeded") period = 0;
    if (period < 0) period = 1;
    return period;
  }

 private:
  static inline const FieldPath kAnnotations = FieldPath("metadata").child("annotations");

  static void validate_annotations(const Document& pod, const Document& old, bool changes, FieldErrors& errors) {
    const Document &now = apimachinery::annotations_of(pod), &was = apimachinery::annotations_of(old);
    if (changes) validate_pod_annotation_changes(now, was, kAnnotations, errors);
    validate_pod_annotations(now, member(pod, "spec"), kAnnotations, errors, was);
  }

  // What matchLabelKeys and mismatchLabelKeys mean of this pod's labels becomes part of the selectors.
  static void add_label_keys(Document& term, const Document& labels) {
    Document* selector = find_member(term, "labelSelector");
    if (!selector || !selector->is_object()) return;
    for (auto [field, op] : {std::pair("matchLabelKeys", "In"), std::pair("mismatchLabelKeys", "NotIn")})
      for (const auto& key : each(term, field))
        if (const Document* value = key.is_string() ? find_member(labels, key.get_ref<const std::string&>()) : nullptr)
          apimachinery::array_at(*selector, "matchExpressions").push_back({{"key", key}, {"operator", op}, {"values", Document::array({*value})}});
  }
  static void merge_label_keys(Document& spec, const Document& labels) {
    auto in_each = [&](Document* holder, const char* list, const char* inner) {
      Document* terms = holder ? find_member(*holder, list) : nullptr;
      if (!terms || !terms->is_array()) return;
      for (auto& t : *terms)
        if (Document* term = inner ? find_member(t, inner) : &t) add_label_keys(*term, labels);
    };
    Document* affinity = find_member(spec, "affinity");
    for (const char* which : {"podAffinity", "podAntiAffinity"}) {
      Document* a = affinity ? find_member(*affinity, which) : nullptr;
      in_each(a, "preferredDuringSchedulingIgnoredDuringExecution", "podAffinityTerm");
      in_each(a, "requiredDuringSchedulingIgnoredDuringExecution", nullptr);
    }
    in_each(&spec, "topologySpreadConstraints", nullptr);
  }

  // What a client that does not know of a field leaves out of the status stays.
  static void keep_unknown_status(Document& status, const Document& was) {
    auto keep = [](Document& to, const Document& from, const char* f) {
      if (const Document* v = find_member(from, f)) to[f] = *v;
    };
    for (const char* f : {"resourceClaimStatuses", "extendedResourceClaimStatus"})
      if (!find_member(status, f)) keep(status, was, f);
    if (string_at(status, "qosClass").empty()) keep(status, was, "qosClass");
    if (!apimachinery::int_at(status, "observedGeneration")) keep(status, was, "observedGeneration");
    Document* conditions = find_member(status, "conditions");
    if (!conditions || !conditions->is_array()) return;
    std::vector<const Document*> left;  // of the same type in their order
    for (const auto& c : each(was, "conditions")) left.push_back(&c);
    for (auto& c : *conditions) {
      auto old = std::find_if(left.begin(), left.end(), [&](const Document* o) { return string_at(*o, "type") == string_at(c, "type"); });
      if (old == left.end()) continue;
      if (!apimachinery::int_at(c, "observedGeneration")) keep(c, **old, "observedGeneration");
      left.erase(old);
    }
  }

  static void validate_pod(const Document& pod, FieldErrors& errors) {
    validate_pod_spec(member(pod, "spec"), FieldPath("spec"), errors, std::string(apimachinery::name_of(pod)));
    Check spec = Check(pod, FieldPath(), errors)["spec"].as(FieldPath("spec"));
    if (spec["terminationGracePeriodSeconds"].set()) spec["terminationGracePeriodSeconds"].nonnegative();
    for (const char* list : {"containers", "initContainers", "ephemeralContainers"}) {
      Check containers = spec[list];
      for (std::size_t i = 0; i < containers.size(); ++i)
        if (Check image = containers[i]["image"]; trim(image.text()).size() != image.text().size()) image.invalid("must not have leading or trailing whitespace");
    }
    Check volumes = spec["volumes"];
    for (std::size_t i = 0; spec["serviceAccountName"].empty() && i < volumes.size(); ++i) {
      Check sources = volumes[i]["projected"]["sources"];
      for (std::size_t j = 0; j < sources.size(); ++j)
        if (Check token = sources[j]["serviceAccountToken"]; token.set()) token.forbidden("must not be specified when serviceAccountName is not set");
    }
  }
  // podIP is the first of podIPs, whichever of the two the writer knows.
  static void unite_ips(Document& pod) {
    Document* status = find_member(pod, "status");
    if (!status || !status->is_object()) return;
    std::string ip(string_at(*status, "podIP"));
    const Document& ips = each(*status, "podIPs");
    if (!ip.empty() && (ips.empty() || string_at(ips[0], "ip") != ip)) (*status)["podIPs"] = Document::array({{{"ip", ip}}});
    else if (ip.empty() && !ips.empty()) (*status)["podIP"] = string_at(ips[0], "ip");
  }
  static void requests_from_limits(Document& c) {
    Document* resources = find_member(c, "resources");
    if (!resources || !resources->is_object()) return;
    const Document* limits = find_member(*resources, "limits");
    if (!limits || !limits->is_object() || limits->empty()) return;
    Document copy = *limits;
    Document& requests = apimachinery::object_at(*resources, "requests");
    for (const auto& [name, value] : copy.items())
      if (!requests.contains(name)) requests[name] = value;
  }

  void validate_spec_change(const Document& now, const Document& was, FieldErrors& errors) const {
    FieldPath path("spec");
    for (const char* list : {"containers", "initContainers"})
      if (each(now, list).size() != each(was, list).size()) {
        errors.push_back(field_forbidden(path.child(list), "pod updates may not add or remove containers"));
        return;
      }
    const Document* deadline = find_member(now, "activeDeadlineSeconds");
    const Document* before = find_member(was, "activeDeadlineSeconds");
    FieldPath of_deadline = path.child("activeDeadlineSeconds");
    if (deadline) {
      std::int64_t seconds = deadline->get<std::int64_t>();
      if (seconds < 0 || seconds > 2147483647) {
        errors.push_back(field_invalid(of_deadline, seconds, apimachinery::inclusive_range_error(0, 2147483647)));
        return;
      }
      if (before && seconds > before->get<std::int64_t>()) {
        errors.push_back(field_invalid(of_deadline, seconds, "must be less than or equal to previous value"));
        return;
      }
    } else if (before) {
      errors.push_back(field_invalid(of_deadline, nullptr, "must not update from a positive integer to nil value"));
    }
    for (const auto& t : each(was, "tolerations")) {
      bool kept = false;
      for (const auto& n : each(now, "tolerations")) {
        Document a = t, b = n;
        a.erase("tolerationSeconds");
        b.erase("tolerationSeconds");
        kept = kept || a == b;
      }
      if (!kept) {
        errors.push_back(field_forbidden(path.child("tolerations"), "existing toleration can not be modified except its tolerationSeconds"));
        break;
      }
    }
    std::map<std::string, std::size_t> gates;
    std::size_t index = 0;
    for (const auto& g : each(now, "schedulingGates")) gates[std::string(string_at(g, "name"))] = index++;
    for (const auto& g : each(was, "schedulingGates")) gates.erase(std::string(string_at(g, "name")));
    for (const auto& [name, at] : gates)
      errors.push_back(field_forbidden(path.child("schedulingGates").index(at).child("name"), "only deletion is allowed, but found new scheduling gate '" + name + "'"));
    Document munged = now;
    for (const char* list : {"containers", "initContainers"}) {
      Document* l = find_member(munged, list);
      if (!l) continue;
      for (std::size_t i = 0; i < l->size(); ++i) (*l)[i]["image"] = each(was, list)[i].value("image", "");
    }
    auto restore = [&](const char* f) {
      if (const Document* v = find_member(was, f)) munged[f] = *v;
      else munged.erase(f);
    };
    for (const char* f : {"activeDeadlineSeconds", "tolerations", "schedulingGates"}) restore(f);
    if (apimachinery::int_at(was, "terminationGracePeriodSeconds") < 0 && apimachinery::int_at(now, "terminationGracePeriodSeconds") == 1) restore("terminationGracePeriodSeconds");
    if (!each(was, "schedulingGates").empty()) {
      check_narrowed_selector(now, was, path.child("nodeSelector"), errors);
      restore("nodeSelector");
      restore_node_affinity(munged, now, was, path.child("affinity").child("nodeAffinity"), errors);
    }
    if (semantically_equal(type_at({"spec"}), munged, was)) return;
    std::string changed;
    for (const Document* side : {static_cast<const Document*>(&munged), &was})
      for (const auto& [k, v] : side->items())
        if (!semantically_equal(find_member(munged, k), find_member(was, k)) && changed.find(k) == std::string::npos) changed += (changed.empty() ? "" : ", ") + k;
    errors.push_back(field_forbidden(path, "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
                                           "`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
                                           "changed: " + changed));
  }

  // A pod that is gated may still be told where it runs, if only more narrowly.
  static void check_narrowed_selector(const Document& now, const Document& was, const FieldPath& path, FieldErrors& errors) {
    const Document &selector = member(now, "nodeSelector"), &before = member(was, "nodeSelector");
    if (!before.is_object()) return;
    for (const auto& [k, v] : before.items())
      if (member(selector, k) != v) return errors.push_back(field_invalid(path, selector, "only additions to spec.nodeSelector are allowed (no mutations or deletions)"));
  }
  static bool only_adds(const Document& now, const Document& was, const char* list) {
    const Document &more = each(now, list), &few = each(was, list);
    if (more.size() < few.size()) return false;
    for (std::size_t i = 0; i < few.size(); ++i)
      if (!semantically_equal(more[i], few[i])) return false;
    return true;
  }
  static void restore_node_affinity(Document& munged, const Document& now, const Document& was, const FieldPath& path, FieldErrors& errors) {
    const Document *before = find_member(member(was, "affinity"), "nodeAffinity"), *after = find_member(member(now, "affinity"), "nodeAffinity");
    if (semantically_equal(before, after)) return;
    constexpr const char* kRequired = "requiredDuringSchedulingIgnoredDuringExecution";
    const Document none;
    const Document &few = each(member(before ? *before : none, kRequired), "nodeSelectorTerms"), &more = each(member(after ? *after : none, kRequired), "nodeSelectorTerms");
    FieldPath at = path.child(kRequired).child("nodeSelectorTerms");
    if (!few.empty() && few.size() != more.size()) {
      errors.push_back(field_invalid(at, more.empty() ? Document() : more, "no additions/deletions to non-empty NodeSelectorTerms list are allowed"));
    } else {
      for (std::size_t i = 0; i < few.size(); ++i) {
        bool empty = each(few[i], "matchExpressions").empty() && each(few[i], "matchFields").empty();
        bool grown = !each(more[i], "matchExpressions").empty() || !each(more[i], "matchFields").empty();
        if ((empty && grown) || !only_adds(more[i], few[i], "matchExpressions") || !only_adds(more[i], few[i], "matchFields"))
          errors.push_back(field_invalid(at.index(i), more[i], "only additions are allowed (no mutations or deletions)"));
      }
    }
    Document& affinity = apimachinery::object_at(munged, "affinity");
    if (before) affinity["nodeAffinity"] = *before;
    else affinity.erase("nodeAffinity");
    if (affinity.empty() && !find_member(was, "affinity")) munged.erase("affinity");
  }

  static void validate_ephemeral(const Document& pod, const Document& old, FieldErrors& errors) {
    FieldPath path = FieldPath("spec").child("ephemeralContainers");
    if (apimachinery::annotations_of(old).contains("kubernetes.io/config.mirror")) {
      errors = {field_forbidden(FieldPath(""), "static pods do not support ephemeral containers")};
      return;
    }
    for (const auto& o : each(member(old, "spec"), "ephemeralContainers")) {
      const Document* now = nullptr;
      for (const auto& n : each(member(pod, "spec"), "ephemeralContainers"))
        if (string_at(n, "name") == string_at(o, "name")) now = &n;
      std::string name = apimachinery::go_quote(string_at(o, "name"));
      if (!now) errors.push_back(field_forbidden(path, "existing ephemeral containers " + name + " may not be removed\n"));
      else if (!semantically_equal(*now, o)) errors.push_back(field_forbidden(path, "existing ephemeral containers " + name + " may not be changed\n"));
    }
  }
};

}  // namespace

StrategyPtr make_pod_strategy(const KindSchema& k) { return std::make_shared<PodStrategy>(k); }

}  // namespace onebin::apiserver
