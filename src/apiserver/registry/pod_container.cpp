// Validation of a container and of a pod's volumes.
#include "apiserver/registry/pod_certificates.hpp"
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <set>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::Quantity;
using apimachinery::string_at;

namespace {

constexpr const char* kHandlers[] = {"exec", "httpGet", "tcpSocket", "grpc", "sleep"};

void validate_port_value(const Document& port, const FieldPath& path, FieldErrors& errors) {
  if (port.is_number_integer()) {
    for (auto& m : apimachinery::is_valid_port_num(port.get<std::int64_t>())) errors.push_back(field_invalid(path, port, m));
  } else if (port.is_string()) {
    for (auto& m : apimachinery::is_valid_port_name(port.get<std::string>())) errors.push_back(field_invalid(path, port, m));
  }
}

void validate_handler(const Document& handler, const FieldPath& path, FieldErrors& errors) {
  int n = 0;
  for (const char* kind : kHandlers) {
    const Document& h = member(handler, kind);
    if (!h.is_object()) continue;
    if (n++) {
      errors.push_back(field_forbidden(path.child(kind), "may not specify more than 1 handler type"));
      continue;
    }
    std::string_view k = kind;
    if (k == "exec" && each(h, "command").empty()) errors.push_back(field_required(path.child("exec").child("command")));
    if (k == "httpGet" && string_at(h, "path").empty()) errors.push_back(field_required(path.child("httpGet").child("path")));
    if (k == "httpGet" || k == "tcpSocket" || k == "grpc") validate_port_value(member(h, "port"), path.child(kind).child("port"), errors);
  }
  if (n == 0) errors.push_back(field_required(path, "must specify a handler type"));
}

void validate_probe(const Document& container, const char* name, const FieldPath& path, FieldErrors& errors, bool once) {
  const Document& p = member(container, name);
  if (!p.is_object()) return;
  FieldPath at = path.child(name);
  validate_handler(p, at, errors);
  if (const Document* g = find_member(p, "terminationGracePeriodSeconds"); g && g->is_number() && g->get<std::int64_t>() <= 0)
    errors.push_back(field_invalid(at.child("terminationGracePeriodSeconds"), *g, "must be greater than 0"));
  if (once && apimachinery::int_at(p, "successThreshold", 1) != 1)
    errors.push_back(field_invalid(at.child("successThreshold"), apimachinery::int_at(p, "successThreshold"), "must be 1"));
  if (!once && std::string_view(name) == "readinessProbe" && p.contains("terminationGracePeriodSeconds"))
    errors.push_back(field_invalid(at.child("terminationGracePeriodSeconds"), p["terminationGracePeriodSeconds"], "must not be set for readinessProbes"));
}

void validate_env(const Document& c, const FieldPath& path, FieldErrors& errors) {
  std::size_t i = 0;
  for (const auto& e : each(c, "env")) {
    FieldPath at = path.child("env").index(i++);
    std::string name(string_at(e, "name"));
    if (!name.empty())
      for (auto& m : apimachinery::is_relaxed_env_var_name(name)) errors.push_back(field_invalid(at.child("name"), name, m));
    const Document& from = member(e, "valueFrom");
    if (!from.is_object()) continue;
    int sources = 0;
    for (const char* s : {"fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"}) sources += member(from, s).is_object();
    FieldPath p = at.child("valueFrom");
    if (const Document& ref = member(from, "fieldRef"); ref.is_object()) {
      std::string field(string_at(ref, "fieldPath"));
      static const std::set<std::string> known = {"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"};
      bool map_key = (starts_with(field, "metadata.annotations['") || starts_with(field, "metadata.labels['")) && ends_with(field, "']");
      if (!field.empty() && !map_key && !known.count(field)) {
        if (starts_with(field, "metadata.") || starts_with(field, "spec.") || starts_with(field, "status."))
          errors.push_back(field_not_supported(p.child("fieldRef").child("fieldPath"), field, std::vector<std::string>(known.begin(), known.end())));
        else
          errors.push_back(field_invalid(p.child("fieldRef").child("fieldPath"), field, "error converting fieldPath: field label not supported: " + field));
      }
    }
    if (sources == 0) errors.push_back(field_invalid(p, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"));
    else if (!string_at(e, "value").empty()) errors.push_back(field_invalid(p, "", "may not be specified when `value` is not empty"));
    else if (sources > 1) errors.push_back(field_invalid(p, "", "may not have more than one field specified at a time"));
  }
  i = 0;
  for (const auto& e : each(c, "envFrom")) {
    FieldPath at = path.child("envFrom").index(i++);
    int sources = member(e, "configMapRef").is_object() + member(e, "secretRef").is_object();
    if (sources == 0) errors.push_back(field_invalid(at, "", "must specify one of: `configMapRef` or `secretRef`"));
    if (sources > 1) errors.push_back(field_invalid(at, "", "may not have more than one field specified at a time"));
    if (auto prefix = string_at(e, "prefix"); !prefix.empty())
      for (auto& m : apimachinery::is_relaxed_env_var_name(prefix)) errors.push_back(field_invalid(at.child("prefix"), prefix, m));
  }
}

void validate_ports(const Document& c, const FieldPath& path, FieldErrors& errors) {
  std::set<std::string> names;
  std::size_t i = 0;
  for (const auto& p : each(c, "ports")) {
    FieldPath at = path.child("ports").index(i++).child("name");
    std::string name(string_at(p, "name"));
    if (name.empty()) continue;
    auto problems = apimachinery::is_valid_port_name(name);
    for (auto& m : problems) errors.push_back(field_invalid(at, name, m));
    if (problems.empty() && !names.insert(name).second) errors.push_back(field_duplicate(at, name));
  }
}

void validate_descending(const std::string& value, const FieldPath& path, FieldErrors& errors) {
  if (!value.empty() && value[0] == '/') errors.push_back(field_invalid(path, value, "must be a relative path"));
  for (const auto& part : split(value, '/'))
    if (part == "..") {
      errors.push_back(field_invalid(path, value, "must not contain '..'"));
      break;
    }
}

void validate_mounts(const Document& c, const Document& spec, const FieldPath& path, FieldErrors& errors) {
  std::set<std::string> volumes, points;
  for (const auto& v : each(spec, "volumes")) volumes.emplace(string_at(v, "name"));
  std::size_t i = 0;
  for (const auto& m : each(c, "volumeMounts")) {
    FieldPath at = path.child("volumeMounts").index(i++);
    std::string name(string_at(m, "name")), where(string_at(m, "mountPath"));
    if (!volumes.count(name)) errors.push_back(field_not_found(at.child("name"), name));
    if (!where.empty() && !points.insert(where).second) errors.push_back(field_invalid(at.child("mountPath"), where, "must be unique"));
    std::string sub(string_at(m, "subPath")), expr(string_at(m, "subPathExpr"));
    if (!sub.empty()) validate_descending(sub, path.child("volumeMounts").child("subPath"), errors);
    if (!expr.empty() && !sub.empty()) errors.push_back(field_invalid(at.child("subPathExpr"), expr, "subPathExpr and subPath are mutually exclusive"));
    if (!expr.empty()) validate_descending(expr, path.child("volumeMounts").child("subPathExpr"), errors);
    if (string_at(m, "mountPropagation") == "Bidirectional" && !apimachinery::bool_at(member(c, "securityContext"), "privileged"))
      errors.push_back(field_forbidden(path.child("volumeMounts").child("mountPropagation"), "Bidirectional mount propagation is available only to privileged containers"));
  }
  i = 0;
  for (const auto& d : each(c, "volumeDevices")) {
    FieldPath at = path.child("volumeDevices").index(i++);
    if (!volumes.count(std::string(string_at(d, "name")))) errors.push_back(field_not_found(at.child("name"), string_at(d, "name")));
  }
}

bool standard_resource(std::string_view name) {
  return name == "cpu" || name == "memory" || name == "ephemeral-storage" || starts_with(name, "hugepages-");
}

void validate_resource_list(const Document& list, const FieldPath& path, FieldErrors& errors) {
  if (!list.is_object()) return;
  for (const auto& [name, value] : list.items()) {
    FieldPath at = path.key(name);
    for (auto& m : apimachinery::is_qualified_name(name)) errors.push_back(field_invalid(at, name, m));
    if (name.find('/') == std::string::npos && !standard_resource(name)) errors.push_back(field_invalid(at, name, "must be a standard resource type or fully qualified"));
    auto q = value.is_string() ? Quantity::parse(value.get<std::string>()) : Result<Quantity>(Quantity());
    if (q && q->sign() < 0) errors.push_back(field_invalid(at, value, "must be greater than or equal to 0"));
    if (q && name.find('/') != std::string::npos && q->nano() % 1000000000 != 0) errors.push_back(field_invalid(at, value, "must be an integer"));
  }
}

void validate_resources(const Document& c, const FieldPath& parent, FieldErrors& errors) {
  const Document& resources = member(c, "resources");
  FieldPath path = parent.child("resources");
  const Document& limits = member(resources, "limits");
  const Document& requests = member(resources, "requests");
  validate_resource_list(limits, path.child("limits"), errors);
  validate_resource_list(requests, path.child("requests"), errors);
  if (!requests.is_object()) return;
  for (const auto& [name, value] : requests.items()) {
    if (!limits.is_object() || !limits.contains(name) || !value.is_string() || !limits[name].is_string()) continue;
    auto request = Quantity::parse(value.get<std::string>()), limit = Quantity::parse(limits[name].get<std::string>());
    if (!request || !limit) continue;
    bool extended = name.find('/') != std::string::npos;
    if (extended && !(*request == *limit)) errors.push_back(field_invalid(path.child("requests"), value, "must be equal to " + name + " limit of " + limit->to_string()));
    else if (*request > *limit) errors.push_back(field_invalid(path.child("requests"), value, "must be less than or equal to " + name + " limit of " + limit->to_string()));
  }
}

void validate_security(const Document& c, const FieldPath& path, FieldErrors& errors) {
  const Document& s = member(c, "securityContext");
  if (!s.is_object()) return;
  bool escalation_off = s.contains("allowPrivilegeEscalation") && s["allowPrivilegeEscalation"] == false;
  if (escalation_off && apimachinery::bool_at(s, "privileged"))
    errors.push_back(field_invalid(path.child("securityContext"), s, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"));
  if (escalation_off)
    for (const auto& cap : each(member(s, "capabilities"), "add"))
      if (cap == "CAP_SYS_ADMIN") errors.push_back(field_invalid(path.child("securityContext"), s, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"));
}

}  // namespace

void validate_container(const Document& c, const Document& spec, const FieldPath& path, FieldErrors& errors, bool init, bool ephemeral) {
  std::string name(string_at(c, "name"));
  if (!name.empty())
    for (auto& m : apimachinery::is_dns1123_label(name)) errors.push_back(field_invalid(path.child("name"), name, m));
  if (string_at(c, "image").empty()) errors.push_back(field_required(path.child("image")));
  validate_ports(c, path, errors);
  validate_env(c, path, errors);
  validate_mounts(c, spec, path, errors);
  validate_resources(c, path, errors);
  validate_security(c, path, errors);
  bool sidecar = init && string_at(c, "restartPolicy") == "Always";
  if (ephemeral) {
    for (const char* f : {"ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"})
      if (find_member(c, f)) errors.push_back(field_forbidden(path.child(f), "cannot be set for an Ephemeral Container"));
    if (const Document& r = member(c, "resources"); r.is_object() && !r.empty()) errors.push_back(field_forbidden(path.child("resources"), "cannot be set for an Ephemeral Container"));
    std::string target(string_at(c, "targetContainerName"));
    bool found = target.empty();
    for (const char* list : {"containers", "initContainers"})
      for (const auto& o : each(spec, list)) found = found || string_at(o, "name") == target;
    if (!found) errors.push_back(field_not_found(path.child("targetContainerName"), target));
    return;
  }
  if (init && !sidecar) {
    for (const char* f : {"lifecycle", "livenessProbe", "readinessProbe", "startupProbe"})
      if (find_member(c, f)) errors.push_back(field_forbidden(path.child(f), "may not be set for init containers without restartPolicy=Always"));
    return;
  }
  validate_probe(c, "livenessProbe", path, errors, true);
  validate_probe(c, "readinessProbe", path, errors, false);
  validate_probe(c, "startupProbe", path, errors, true);
  const Document& lifecycle = member(c, "lifecycle");
  for (const char* hook : {"postStart", "preStop"})
    if (const Document& h = member(lifecycle, hook); h.is_object()) validate_handler(h, path.child("lifecycle").child(hook), errors);
}

void validate_volumes(const Document& spec, const FieldPath& path, FieldErrors& errors) {
  std::set<std::string> names;
  std::size_t i = 0;
  for (const auto& v : each(spec, "volumes")) {
    FieldPath at = path.child("volumes").index(i++);
    std::string name(string_at(v, "name"));
    if (!name.empty()) {
      auto problems = apimachinery::is_dns1123_label(name);
      for (auto& m : problems) errors.push_back(field_invalid(at.child("name"), name, m));
      if (problems.empty() && !names.insert(name).second) errors.push_back(field_duplicate(at.child("name"), name));
    }
    int sources = 0;
    for (const auto& [key, value] : v.items()) {
      if (key == "name" || value.is_null()) continue;
      if (sources++) errors.push_back(field_forbidden(at.child(key), "may not specify more than 1 volume type"));
    }
    if (sources == 0) errors.push_back(field_required(at, "must specify a volume type"));
    if (const Document& secret = member(v, "secret"); secret.is_object() && string_at(secret, "secretName").empty()) errors.push_back(field_required(at.child("secret").child("secretName")));
    if (const Document& cm = member(v, "configMap"); cm.is_object() && string_at(cm, "name").empty()) errors.push_back(field_required(at.child("configMap").child("name")));
    if (const Document& projected = member(v, "projected"); projected.is_object()) validate_projected(projected, at.child("projected"), errors);
    if (const Document& host = member(v, "hostPath"); host.is_object()) {
      auto parts = split(string_at(host, "path"), '/');
      if (std::find(parts.begin(), parts.end(), "..") != parts.end()) errors.push_back(field_invalid(at.child("hostPath").child("path"), string_at(host, "path"), "must not contain '..'"));
    }
  }
}

}  // namespace onebin::apiserver
