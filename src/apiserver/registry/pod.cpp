// Pods: their life before they run anywhere, what of them may change, how they are deleted.
#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

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
    const Document& spec = member(pod, "spec");
    Document status = {{"phase", "Pending"}, {"qosClass", qos_class(spec)}};
    if (!each(spec, "schedulingGates").empty())
      status["conditions"].push_back({{"type", "PodScheduled"}, {"status", "False"}, {"reason", "SchedulingGated"}, {"message", "Scheduling is blocked due to non-empty scheduling gates"},
                                      {"lastTransitionTime", format_rfc3339(c.now)}, {"observedGeneration", 1}});
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
    } else if (c.subresource.empty()) {
      const Document& before = member(old, "spec");
      if (const Document* e = find_member(before, "ephemeralContainers")) pod["spec"]["ephemeralContainers"] = *e;
      else if (Document* s = find_member(pod, "spec")) s->erase("ephemeralContainers");
    }
    if (const Document* level = find_member(member(old, "spec"), "resources"); level && !find_member(member(pod, "spec"), "resources"))
      pod["spec"]["resources"] = *level;  // clients that don't know of it leave it out
    if (!semantically_equal(member(pod, "spec"), member(old, "spec"))) set_meta(pod, "generation", apimachinery::generation_of(old) + 1);
  }

  void validate(WriteContext&, const Document& pod, FieldErrors& errors) const override {
    validate_pod(pod, errors);
    if (!each(member(pod, "spec"), "ephemeralContainers").empty())
      errors.push_back(field_forbidden(FieldPath("spec").child("ephemeralContainers"), "cannot be set on create"));
  }

  void validate_update(WriteContext& c, const Document& pod, const Document& old, FieldErrors& errors) const override {
    validate_pod(pod, errors);
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
    Document& status = apimachinery::object_at(pod, "status");
    if (string_at(status, "qosClass").empty() && !string_at(member(old, "status"), "qosClass").empty()) status["qosClass"] = string_at(member(old, "status"), "qosClass");
  }

  void validate_status_update(WriteContext&, const Document& pod, const Document& old, FieldErrors& errors) const override {
    validate_pod_status(pod, old, errors);
    const Document* now = find_member(member(pod, "status"), "qosClass");
    const Document* was = find_member(member(old, "status"), "qosClass");
    apimachinery::append(errors, apimachinery::validate_immutable_field(now, was, FieldPath("status").child("qosClass")));
    check_states(pod, old, "containerStatuses", errors);
  }

  std::optional<std::int64_t> grace_period(const Document& pod, std::optional<std::int64_t> asked) const override {
    std::int64_t period = asked ? *asked : apimachinery::get_int(pod, {"spec", "terminationGracePeriodSeconds"}, 0);
    std::string_view phase = apimachinery::get_string(pod, {"status", "phase"});
    if (apimachinery::get_string(pod, {"spec", "nodeName"}).empty() || phase == "Failed" || phase == "Succeeded") period = 0;
    if (period < 0) period = 1;
    return period;
  }

 private:
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

  static void validate_spec_change(const Document& now, const Document& was, FieldErrors& errors) {
    FieldPath path("spec");
    for (const char* list : {"containers", "initContainers"})
      if (each(now, list).size() != each(was, list).size()) {
        errors.push_back(field_forbidden(path.child(list), "pod updates may not add or remove containers"));
        return;
      }
    const Document* deadline = find_member(now, "activeDeadlineSeconds");
    const Document* before = find_member(was, "activeDeadlineSeconds");
    if (deadline && before && deadline->get<std::int64_t>() > before->get<std::int64_t>())
      errors.push_back(field_invalid(path.child("activeDeadlineSeconds"), *deadline, "must be less than or equal to previous value"));
    if (!deadline && before) errors.push_back(field_invalid(path.child("activeDeadlineSeconds"), nullptr, "must not update from a positive integer to nil value"));
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
    for (const auto& g : each(now, "schedulingGates")) {
      bool known = false;
      for (const auto& o : each(was, "schedulingGates")) known = known || o == g;
      if (!known) errors.push_back(field_forbidden(path.child("schedulingGates"), "only deletion is allowed, but found new scheduling gate '" + std::string(string_at(g, "name")) + "'"));
    }
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
      const Document& selector = member(was, "nodeSelector");
      bool grows = true;
      if (selector.is_object())
        for (const auto& [k, v] : selector.items()) grows = grows && member(member(now, "nodeSelector"), k) == v;
      if (!grows) errors.push_back(field_invalid(path.child("nodeSelector"), member(now, "nodeSelector"), "only additions are allowed (no mutations or deletions)"));
      restore("nodeSelector");
      restore("affinity");
    }
    if (semantically_equal(munged, was)) return;
    std::string changed;
    for (const Document* side : {static_cast<const Document*>(&munged), &was})
      for (const auto& [k, v] : side->items())
        if (!semantically_equal(find_member(munged, k), find_member(was, k)) && changed.find(k) == std::string::npos) changed += (changed.empty() ? "" : ", ") + k;
    errors.push_back(field_forbidden(path, "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
                                           "`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
                                           "changed: " + changed));
  }

  static void validate_ephemeral(const Document& pod, const Document& old, FieldErrors& errors) {
    FieldPath path = FieldPath("spec").child("ephemeralContainers");
    if (apimachinery::annotations_of(old).contains("kubernetes.io/config.mirror")) {
      errors.push_back(field_forbidden(FieldPath(""), "static pods do not support ephemeral containers"));
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

  // A container that ended and may not restart stays ended.
  static void check_states(const Document& pod, const Document& old, const char* list, FieldErrors& errors) {
    std::string_view policy = apimachinery::get_string(old, {"spec", "restartPolicy"});
    if (policy == "Always") return;
    std::size_t i = 0;
    for (const auto& s : each(member(pod, "status"), list)) {
      FieldPath at = FieldPath("status").child(list).index(i++).child("state");
      for (const auto& o : each(member(old, "status"), list)) {
        if (string_at(o, "name") != string_at(s, "name")) continue;
        const Document& ended = apimachinery::at_path(o, {"state", "terminated"});
        if (!ended.is_object() || (policy == "OnFailure" && apimachinery::int_at(ended, "exitCode") != 0)) continue;
        if (!apimachinery::at_path(s, {"state", "terminated"}).is_object()) errors.push_back(field_forbidden(at, "may not be transitioned to non-terminated state"));
      }
    }
  }
};

}  // namespace

StrategyPtr make_pod_strategy(const KindSchema& k) { return std::make_shared<PodStrategy>(k); }

}  // namespace onebin::apiserver
