#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/apimachinery/validation.hpp>

#include <set>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::Quantity;
using apimachinery::string_at;

const Document& each(const Document& object, std::string_view list) {
  static const Document none = Document::array();
  const Document& v = member(object, list);
  return v.is_array() ? v : none;
}

namespace {

// "Always" for an image without a tag or with :latest, as container runtimes would otherwise never look again.
const char* pull_policy(std::string_view image) {
  std::size_t at = image.find('@');
  std::string_view rest = image.substr(0, at);
  std::size_t slash = rest.rfind('/'), colon = rest.rfind(':');
  bool tagged = colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash);
  if (tagged) return rest.substr(colon + 1) == "latest" ? "Always" : "IfNotPresent";
  return at != std::string_view::npos ? "IfNotPresent" : "Always";
}

void default_container(Document& c) {
  if (string_at(c, "imagePullPolicy").empty()) c["imagePullPolicy"] = pull_policy(string_at(c, "image"));
  if (!find_member(c, "resources")) c["resources"] = Document::object();
}

constexpr const char* kContainerLists[] = {"initContainers", "containers", "ephemeralContainers"};

// A volume that names no source is an emptyDir.
void default_volume(Document& v) {
  for (const auto& [key, value] : v.items())
    if (key != "name" && !value.is_null()) return;
  v["emptyDir"] = Document::object();
}

}  // namespace

void default_pod_spec(Document& spec) {
  if (!spec.is_object()) return;
  for (const char* list : kContainerLists)
    if (Document* l = find_member(spec, list); l && l->is_array())
      for (auto& c : *l)
        if (c.is_object()) default_container(c);
  if (Document* l = find_member(spec, "volumes"); l && l->is_array())
    for (auto& v : *l)
      if (v.is_object()) default_volume(v);
  // The old name of the service account's field follows the new one.
  std::string account(string_at(spec, "serviceAccountName"));
  if (account.empty()) account = string_at(spec, "serviceAccount");
  if (!account.empty()) spec["serviceAccountName"] = spec["serviceAccount"] = account;
  else spec.erase("serviceAccount");
}

void default_pod_template(Document& holder) {
  if (Document* t = find_member(holder, "template"); t && t->is_object())
    if (Document* spec = find_member(*t, "spec")) default_pod_spec(*spec);
}

namespace {

bool same_amounts(const Document& a, const Document& b) {
  for (const char* r : {"cpu", "memory"}) {
    auto x = Quantity::parse(string_at(a, r)), y = Quantity::parse(string_at(b, r));
    if (!x || !y || x->is_zero() || y->is_zero() || !(*x == *y)) return false;
  }
  return true;
}

bool sets_any(const Document& list) {
  for (const char* r : {"cpu", "memory"}) {
    auto q = Quantity::parse(string_at(list, r));
    if (q && !q->is_zero()) return true;
  }
  return false;
}

}  // namespace

std::string qos_class(const Document& spec) {
  bool any = false, all_equal = true;
  auto look = [&](const Document& resources) {
    const Document& requests = member(resources, "requests");
    const Document& limits = member(resources, "limits");
    if (sets_any(requests) || sets_any(limits)) any = true;
    if (!same_amounts(requests, limits)) all_equal = false;
  };
  const Document& pod_level = member(spec, "resources");
  if (pod_level.is_object() && (sets_any(member(pod_level, "requests")) || sets_any(member(pod_level, "limits")))) {
    look(pod_level);
  } else {
    for (const char* list : {"initContainers", "containers"})
      for (const auto& c : each(spec, list)) look(member(c, "resources"));
  }
  if (!any) return "BestEffort";
  return all_equal ? "Guaranteed" : "Burstable";
}

void validate_pod_template(const Document& t, const FieldPath& path, FieldErrors& errors, const std::vector<std::string>& restart) {
  const Document& meta = member(t, "metadata");
  if (const Document* labels = find_member(meta, "labels")) apimachinery::append(errors, apimachinery::validate_labels(*labels, path.child("metadata").child("labels")));
  if (const Document* a = find_member(meta, "annotations")) apimachinery::append(errors, apimachinery::validate_annotations(*a, path.child("metadata").child("annotations")));
  const Document& spec = member(t, "spec");
  validate_pod_spec(spec, path.child("spec"), errors);
  if (!each(spec, "ephemeralContainers").empty())
    errors.push_back(field_forbidden(path.child("spec").child("ephemeralContainers"), "ephemeral containers not allowed in pod template"));
  if (restart.empty()) return;
  std::string policy(string_at(spec, "restartPolicy"));
  for (const auto& r : restart)
    if (r == policy) return;
  errors.push_back(field_not_supported(path.child("spec").child("restartPolicy"), policy, restart));
}

void validate_node_terms(const Document& term, const FieldPath& at, FieldErrors& errors) {
  std::size_t i = 0;
  for (const auto& e : each(term, "matchExpressions")) {
    FieldPath p = at.child("matchExpressions").index(i++);
    std::string op(string_at(e, "operator"));
    std::size_t n = each(e, "values").size();
    if ((op == "In" || op == "NotIn") && n == 0) errors.push_back(field_required(p.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"));
    if ((op == "Exists" || op == "DoesNotExist") && n) errors.push_back(field_forbidden(p.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
    if ((op == "Gt" || op == "Lt") && n != 1) errors.push_back(field_required(p.child("values"), "must be specified single value when `operator` is 'Lt' or 'Gt'"));
    if (op != "In" && op != "NotIn" && op != "Exists" && op != "DoesNotExist" && op != "Gt" && op != "Lt")
      errors.push_back(field_invalid(p.child("operator"), op, "not a valid selector operator"));
    if (auto k = string_at(e, "key"); !k.empty()) apimachinery::append(errors, apimachinery::validate_label_name(k, p.child("key")));
  }
}

namespace {

void validate_host_ports(const Document& spec, const FieldPath& path, FieldErrors& errors) {
  std::set<std::string> seen;
  std::size_t i = 0;
  for (const auto& c : each(spec, "containers")) {
    std::size_t j = 0;
    for (const auto& p : each(c, "ports")) {
      FieldPath at = path.child("containers").index(i).child("ports").index(j++).child("hostPort");
      std::int64_t port = apimachinery::int_at(p, "hostPort");
      if (!port) continue;
      std::string key = std::string(string_at(p, "protocol")) + "/" + std::string(string_at(p, "hostIP")) + "/" + std::to_string(port);
      if (!seen.insert(key).second) errors.push_back(field_duplicate(at, key));
    }
    ++i;
  }
}

void validate_host_network(const Document& spec, const FieldPath& path, FieldErrors& errors) {
  if (!apimachinery::bool_at(spec, "hostNetwork")) return;
  std::size_t i = 0;
  for (const auto& c : each(spec, "containers")) {
    std::size_t j = 0;
    for (const auto& p : each(c, "ports")) {
      std::int64_t host = apimachinery::int_at(p, "hostPort"), own = apimachinery::int_at(p, "containerPort");
      if (host && host != own)
        errors.push_back(field_invalid(path.child("containers").index(i).child("ports").index(j).child("hostPort"), host, "must match `containerPort` when `hostNetwork` is true"));
      ++j;
    }
    ++i;
  }
}

void validate_tolerations(const Document& spec, const FieldPath& path, FieldErrors& errors) {
  std::size_t i = 0;
  for (const auto& t : each(spec, "tolerations")) {
    FieldPath at = path.child("tolerations").index(i++);
    std::string key(string_at(t, "key")), op(string_at(t, "operator")), effect(string_at(t, "effect"));
    if (!key.empty()) apimachinery::append(errors, apimachinery::validate_label_name(key, at.child("key")));
    if (key.empty() && op != "Exists")
      errors.push_back(field_invalid(at.child("operator"), op, "operator must be Exists when `key` is empty, which means \"match all values and all keys\""));
    if (t.contains("tolerationSeconds") && effect != "NoExecute")
      errors.push_back(field_invalid(at.child("effect"), effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"));
    if ((op.empty() || op == "Equal") && !string_at(t, "value").empty()) {
      for (auto& m : apimachinery::is_valid_label_value(string_at(t, "value"))) errors.push_back(field_invalid(at.child("operator"), string_at(t, "value"), m));
    }
    if (op == "Exists" && !string_at(t, "value").empty())
      errors.push_back(field_invalid(at.child("operator"), t, "value must be empty when `operator` is 'Exists'"));
    if (!effect.empty() && effect != "NoSchedule" && effect != "PreferNoSchedule" && effect != "NoExecute")
      errors.push_back(field_not_supported(at.child("effect"), effect, {"NoExecute", "NoSchedule", "PreferNoSchedule"}));
  }
}

void validate_spread(const Document& spec, const FieldPath& path, FieldErrors& errors) {
  std::set<std::string> seen;
  std::size_t i = 0;
  for (const auto& t : each(spec, "topologySpreadConstraints")) {
    FieldPath at = path.child("topologySpreadConstraints").index(i++);
    std::string key(string_at(t, "topologyKey")), when(string_at(t, "whenUnsatisfiable"));
    if (!key.empty()) apimachinery::append(errors, apimachinery::validate_label_name(key, at.child("topologyKey")));
    if (!seen.insert(key + "," + when).second) errors.push_back(field_duplicate(at.child("{topologyKey, whenUnsatisfiable}"), "{" + key + ", " + when + "}"));
    if (t.contains("minDomains") && when != "DoNotSchedule")
      errors.push_back(field_invalid(at.child("minDomains"), t["minDomains"], "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not " + when));
    if (const Document* s = find_member(t, "labelSelector")) apimachinery::append(errors, apimachinery::validate_label_selector(*s, at.child("labelSelector")));
  }
}

void validate_pod_affinity_terms(const Document& affinity, const char* name, const FieldPath& path, FieldErrors& errors) {
  const Document& a = member(affinity, name);
  FieldPath at = path.child("affinity").child(name);
  std::size_t i = 0;
  for (const auto& t : each(a, "requiredDuringSchedulingIgnoredDuringExecution")) {
    FieldPath p = at.child("requiredDuringSchedulingIgnoredDuringExecution").index(i++);
    if (const Document* s = find_member(t, "labelSelector")) apimachinery::append(errors, apimachinery::validate_label_selector(*s, p.child("labelSelector")));
    if (auto k = string_at(t, "topologyKey"); !k.empty()) apimachinery::append(errors, apimachinery::validate_label_name(k, p.child("topologyKey")));
  }
  i = 0;
  for (const auto& w : each(a, "preferredDuringSchedulingIgnoredDuringExecution")) {
    FieldPath p = at.child("preferredDuringSchedulingIgnoredDuringExecution").index(i++).child("podAffinityTerm");
    const Document& t = member(w, "podAffinityTerm");
    if (const Document* s = find_member(t, "labelSelector")) apimachinery::append(errors, apimachinery::validate_label_selector(*s, p.child("labelSelector")));
  }
}

void validate_affinity(const Document& spec, const FieldPath& path, FieldErrors& errors) {
  const Document& affinity = member(spec, "affinity");
  if (!affinity.is_object()) return;
  const Document& node = member(affinity, "nodeAffinity");
  FieldPath at = path.child("affinity").child("nodeAffinity");
  if (const Document* required = find_member(node, "requiredDuringSchedulingIgnoredDuringExecution")) {
    FieldPath terms = at.child("requiredDuringSchedulingIgnoredDuringExecution").child("nodeSelectorTerms");
    if (each(*required, "nodeSelectorTerms").empty()) errors.push_back(field_required(terms, "must have at least one node selector term"));
    std::size_t i = 0;
    for (const auto& t : each(*required, "nodeSelectorTerms")) validate_node_terms(t, terms.index(i++), errors);
  }
  std::size_t i = 0;
  for (const auto& t : each(node, "preferredDuringSchedulingIgnoredDuringExecution"))
    validate_node_terms(member(t, "preference"), at.child("preferredDuringSchedulingIgnoredDuringExecution").index(i++).child("preference"), errors);
  validate_pod_affinity_terms(affinity, "podAffinity", path, errors);
  validate_pod_affinity_terms(affinity, "podAntiAffinity", path, errors);
}

void validate_sysctls(const Document& spec, const FieldPath& path, FieldErrors& errors) {
  std::set<std::string> seen;
  std::size_t i = 0;
  for (const auto& s : each(member(spec, "securityContext"), "sysctls")) {
    FieldPath at = path.child("securityContext").child("sysctls").index(i++).child("name");
    std::string name(string_at(s, "name"));
    if (name.empty()) continue;
    bool ok = name.size() <= 253;
    char before = '.';
    for (char ch : name) {
      bool word = (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9');
      bool inner = word || ch == '-' || ch == '_';
      bool separator = ch == '.' || ch == '/';
      ok = ok && (inner || separator) && !(separator && (before == '.' || before == '/'));
      if (before == '.' || before == '/') ok = ok && word;
      before = ch;
    }
    ok = ok && before != '.' && before != '/' && before != '-' && before != '_';
    if (!ok)
      errors.push_back(field_invalid(at, name, "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"));
    else if (!seen.insert(name).second) errors.push_back(field_duplicate(at, name));
  }
}

void check_label_text(const Document& spec, const char* field, const FieldPath& path, FieldErrors& errors, apimachinery::NameProblems (*rule)(std::string_view)) {
  std::string value(string_at(spec, field));
  if (value.empty()) return;
  for (auto& m : rule(value)) errors.push_back(field_invalid(path.child(field), value, m));
}

void validate_names(const Document& spec, const FieldPath& path, FieldErrors& errors) {
  check_label_text(spec, "serviceAccountName", path, errors, apimachinery::is_dns1123_subdomain);
  check_label_text(spec, "nodeName", path, errors, apimachinery::is_dns1123_subdomain);
  check_label_text(spec, "hostname", path, errors, apimachinery::is_dns1123_label);
  check_label_text(spec, "subdomain", path, errors, apimachinery::is_dns1123_label);
  check_label_text(spec, "priorityClassName", path, errors, apimachinery::is_dns1123_subdomain);
  check_label_text(spec, "runtimeClassName", path, errors, apimachinery::is_dns1123_subdomain);
  if (const Document* labels = find_member(spec, "nodeSelector")) apimachinery::append(errors, apimachinery::validate_labels(*labels, path.child("nodeSelector")));
}

void validate_container_names(const Document& spec, const FieldPath& path, FieldErrors& errors) {
  std::set<std::string> seen;
  for (const char* list : {"containers", "initContainers", "ephemeralContainers"}) {
    std::size_t i = 0;
    for (const auto& c : each(spec, list)) {
      std::string name(string_at(c, "name"));
      FieldPath at = path.child(list).index(i++).child("name");
      if (name.empty()) continue;
      if (!seen.insert(name).second) errors.push_back(field_duplicate(at, name));
    }
  }
}

}  // namespace

void validate_pod_spec(const Document& spec, const FieldPath& path, FieldErrors& errors) {
  validate_volumes(spec, path, errors);
  if (each(spec, "containers").empty()) errors.push_back(field_required(path.child("containers")));
  for (const char* list : {"containers", "initContainers", "ephemeralContainers"}) {
    std::string_view which = list;
    std::size_t i = 0;
    for (const auto& c : each(spec, list)) validate_container(c, spec, path.child(list).index(i++), errors, which == "initContainers", which == "ephemeralContainers");
  }
  validate_container_names(spec, path, errors);
  validate_host_ports(spec, path, errors);
  validate_host_network(spec, path, errors);
  validate_names(spec, path, errors);
  validate_tolerations(spec, path, errors);
  validate_spread(spec, path, errors);
  validate_affinity(spec, path, errors);
  validate_sysctls(spec, path, errors);
  std::size_t i = 0;
  for (const auto& a : each(spec, "hostAliases")) {
    FieldPath at = path.child("hostAliases").index(i++);
    std::size_t j = 0;
    for (const auto& h : each(a, "hostnames")) {
      if (h.is_string())
        for (auto& m : apimachinery::is_dns1123_subdomain(h.get<std::string>())) errors.push_back(field_invalid(at.child("hostnames").index(j), h, m));
      ++j;
    }
  }
}

}  // namespace onebin::apiserver
