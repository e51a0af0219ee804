// Validation of a pod's containers.
#include "apiserver/registry/check.hpp"
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <map>
#include <set>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::Quantity;
using apimachinery::string_at;

namespace {

constexpr const char* kHandlers[] = {"exec", "httpGet", "tcpSocket", "grpc", "sleep"};

void check_port(const Check& at) {
  const Document& port = at.value();
  if (port.is_string()) at.each_problem(apimachinery::is_valid_port_name(at.text()));
  else for (auto& m : apimachinery::is_valid_port_num(at.number())) at.invalid_as(at.number(), m);
}

void check_http_get(const Check& at) {
  at["path"].need();
  check_port(at["port"]);
  Check headers = at["httpHeaders"], protocol = at["protocol"];
  for (std::size_t i = 0; i < headers.size(); ++i)
    for (auto& m : apimachinery::is_http_header_name(headers[i]["name"].text())) headers.invalid_as(headers[i]["name"].text(), m);
  if (!protocol.is("HTTP2")) return;
  if (!at["scheme"].is("HTTP")) protocol.invalid("is only supported with HTTP (H2C)");
  else if (!at["host"].empty()) at["host"].invalid("must be empty when `protocol` is \"HTTP2\"");
}

void check_handler(const Check& at, const Check& grace) {
  bool found = false;
  for (const char* kind : kHandlers) {
    Check h = at[kind];
    if (!h.value().is_object()) continue;
    if (std::exchange(found, true)) {
      h.forbidden("may not specify more than 1 handler type");
      continue;
    }
    std::string_view k = kind;
    if (k == "exec") h["command"].need();
    if (k == "httpGet") check_http_get(h);
    if (k == "tcpSocket" || k == "grpc") check_port(h["port"]);
    std::int64_t seconds = h["seconds"].number();
    if (k == "sleep" && grace.set() && (seconds < 0 || seconds > grace.number()))
      h.invalid_as(seconds, "must be non-negative and less than terminationGracePeriodSeconds (" + std::to_string(grace.number()) + ")");
  }
  if (!found) at.required("must specify a handler type");
}

void check_probe(const Check& probe, const Check& grace, bool once) {
  if (!probe.value().is_object()) return;
  check_handler(probe, grace);
  for (const char* f : {"initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"}) probe[f].nonnegative();
  Check own = probe["terminationGracePeriodSeconds"];
  if (own.set() && own.number() <= 0) own.invalid("must be greater than 0");
  if (once && probe["successThreshold"].number() != 1) probe["successThreshold"].invalid_as(probe["successThreshold"].number(), "must be 1");
  if (!once && own.set()) own.invalid("must not be set for readinessProbes");
}

void check_probes(const Check& c, const Check& spec) {
  Check grace = spec["terminationGracePeriodSeconds"], lifecycle = c["lifecycle"];
  for (const char* hook : {"postStart", "preStop"})
    if (lifecycle[hook].value().is_object()) check_handler(lifecycle[hook], grace);
  if (lifecycle["stopSignal"].set() && !spec["os"].set()) lifecycle["stopSignal"].forbidden("may not be set for containers with empty `spec.os.name`");
  check_probe(c["livenessProbe"], grace, true);
  check_probe(c["readinessProbe"], grace, false);
  check_probe(c["startupProbe"], grace, true);
}

// ---- environment

// As a path with a subscript: metadata.labels['a'].
bool subscripted(std::string_view field, std::string& path, std::string& key) {
  std::size_t at = field.find("['");
  if (at == std::string_view::npos || !ends_with(field, "']") || field.size() < at + 4) return false;
  path = field.substr(0, at);
  key = field.substr(at + 2, field.size() - at - 4);
  return !path.empty();
}

bool known_field(std::string_view field) {
  for (const char* f : {"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.restartPolicy",
                        "spec.serviceAccountName", "spec.schedulerName", "status.phase", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs", "spec.host"})
    if (field == f) return true;
  return false;
}

void check_key_selector(const Check& at) {
  at["name"].format(apimachinery::is_dns1123_subdomain);
  at["key"].need(apimachinery::is_config_map_key);
}

void check_file_key(const Check& at, const Check& spec) {
  at["key"].need(apimachinery::is_relaxed_env_var_name);
  at["volumeName"].need(apimachinery::is_dns1123_label);
  if (at["path"].need()) check_no_backsteps(at["path"]);
  const Document* volume = nullptr;
  for (const auto& v : each(spec.value(), "volumes"))
    if (string_at(v, "name") == at["volumeName"].text()) volume = &v;
  if (!volume) at.errors().push_back(field_not_found(at["volumeName"].path(), at["volumeName"].text()));
  else if (!member(*volume, "emptyDir").is_object()) at["volumeName"].invalid("referenced volume must be of type emptyDir");
}

void check_value_from(const Check& from, const Check& value, const Check& spec) {
  if (!from.value().is_object()) return;
  int sources = 0;
  auto take = [&](const char* f) {
    bool there = from[f].value().is_object();
    sources += there;
    return there;
  };
  if (take("fieldRef"))
    check_field_selector(from["fieldRef"], {"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"});
  if (take("resourceFieldRef")) check_resource_selector(from["resourceFieldRef"], false);
  if (take("configMapKeyRef")) check_key_selector(from["configMapKeyRef"]);
  if (take("secretKeyRef")) check_key_selector(from["secretKeyRef"]);
  if (take("fileKeyRef")) check_file_key(from["fileKeyRef"], spec);
  if (sources == 0) from.invalid_as("", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`");
  else if (!value.empty()) from.invalid_as("", "may not be specified when `value` is not empty");
  else if (sources > 1) from.invalid_as("", "may not have more than one field specified at a time");
}

void check_env(const Check& c, const Check& spec) {
  Check env = c["env"], from = c["envFrom"];
  for (std::size_t i = 0; i < env.size(); ++i) {
    env[i]["name"].need(apimachinery::is_relaxed_env_var_name);
    check_value_from(env[i]["valueFrom"], env[i]["value"], spec);
  }
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (!from[i]["prefix"].empty()) from[i]["prefix"].format(apimachinery::is_relaxed_env_var_name);
    int sources = 0;
    for (const char* f : {"configMapRef", "secretRef"}) {
      Check ref = from[i][f];
      if (!ref.value().is_object()) continue;
      ++sources;
      if (ref["name"].need()) ref["name"].each_problem(apimachinery::name_is_dns_subdomain(ref["name"].text(), true));
    }
    if (sources == 0) from.invalid_as("", "must specify one of: `configMapRef` or `secretRef`");
    if (sources > 1) from.invalid_as("", "may not have more than one field specified at a time");
  }
}

// ---- ports, mounts, devices

void check_ports(const Check& ports) {
  std::set<std::string> names;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    Check name = ports[i]["name"];
    if (!name.empty() && name.format(apimachinery::is_valid_port_name) && !names.emplace(name.text()).second) name.duplicate();
    if (Check port = ports[i]["containerPort"]; port.number() == 0) port.required();
    else port.each_problem(apimachinery::is_valid_port_num(port.number()));
    if (Check port = ports[i]["hostPort"]; port.number() != 0) port.each_problem(apimachinery::is_valid_port_num(port.number()));
  }
}

void check_mounts(const Check& c, const Volumes& volumes) {
  Check mounts = c["volumeMounts"], devices = c["volumeDevices"];
  std::map<std::string, std::string> device_paths;
  for (std::size_t i = 0; i < devices.size(); ++i) device_paths[std::string(devices[i]["name"].text())] = devices[i]["devicePath"].text();
  std::set<std::string> points;
  for (std::size_t i = 0; i < mounts.size(); ++i) {
    Check m = mounts[i], name = m["name"], where = m["mountPath"];
    auto volume = volumes.find(std::string(name.text()));
    name.need();
    if (volume == volumes.end()) m.errors().push_back(field_not_found(name.path(), name.text()));
    where.need();
    if (!points.emplace(where.text()).second) where.invalid("must be unique");
    if (device_paths.count(std::string(name.text()))) name.invalid("must not already exist in volumeDevices");
    for (const auto& [device, path] : device_paths)
      if (path == where.text()) {
        where.invalid("must not already exist as a path in volumeDevices");
        break;
      }
    // Upstream's paths from here on leave the index out.
    auto plain = [&](const char* f) { return m[f].as(mounts.path().child(f)); };
    if (!m["subPath"].empty()) check_descending_path(plain("subPath"));
    if (!m["subPathExpr"].empty()) {
      if (!m["subPath"].empty()) m["subPathExpr"].invalid("subPathExpr and subPath are mutually exclusive");
      check_descending_path(plain("subPathExpr"));
    }
    Check propagation = plain("mountPropagation"), recursive = plain("recursiveReadOnly");
    if (propagation.set()) propagation.one_of({"Bidirectional", "HostToContainer", "None"});
    if (propagation.is("Bidirectional") && !c["securityContext"]["privileged"].flag())
      propagation.forbidden("Bidirectional mount propagation is available only to privileged containers");
    if (!recursive.set() || recursive.is("Disabled") || !recursive.one_of({"Disabled", "Enabled", "IfPossible"})) continue;
    if (!m["readOnly"].flag()) recursive.forbidden("may only be specified when readOnly is true");
    if (propagation.set() && !propagation.is("None")) recursive.forbidden("may only be specified when mountPropagation is None or not specified");
  }
}

void check_devices(const Check& c, const Volumes& volumes) {
  Check mounts = c["volumeMounts"], devices = c["volumeDevices"];
  std::set<std::string> names, paths;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    Check name = devices[i]["name"], path = devices[i]["devicePath"];
    auto volume = volumes.find(std::string(name.text()));
    name.need();
    if (names.count(std::string(name.text()))) name.invalid("must be unique");
    if (volume == volumes.end()) name.errors().push_back(field_not_found(name.path(), name.text()));
    else if (!member(*volume->second, "persistentVolumeClaim").is_object() && !member(*volume->second, "ephemeral").is_object())
      name.invalid("can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode");
    path.need();
    if (paths.count(std::string(path.text()))) path.invalid("must be unique");
    auto parts = split(path.text(), '/');
    if (std::find(parts.begin(), parts.end(), "..") != parts.end()) path.invalid("can not contain backsteps ('..')");
    else paths.emplace(path.text());
    for (std::size_t j = 0; j < mounts.size(); ++j) {
      if (mounts[j]["name"].text() == name.text()) name.invalid("must not already exist in volumeMounts");
      if (mounts[j]["mountPath"].text() == path.text()) path.invalid("must not already exist as a path in volumeMounts");
    }
    if (!name.empty()) names.emplace(name.text());
  }
}

// ---- resources

bool standard_container_resource(std::string_view name) {
  return name == "cpu" || name == "memory" || name == "ephemeral-storage" || starts_with(name, "hugepages-");
}

bool standard_resource(std::string_view name) {
  for (const char* n : {"cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage",
                        "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims", "storage", "requests.storage",
                        "services.nodeports", "services.loadbalancers"})
    if (name == n) return true;
  return starts_with(name, "hugepages-") || starts_with(name, "requests.hugepages-");
}

bool native(std::string_view name) { return name.find('/') == std::string_view::npos || name.find("kubernetes.io/") != std::string_view::npos; }
bool overcommits(std::string_view name) { return native(name) && !starts_with(name, "hugepages-"); }

std::optional<Quantity> amount(const Document& v) {
  auto q = Quantity::parse(v.is_string() ? v.get_ref<const std::string&>() : std::string());
  return q ? std::optional<Quantity>(*q) : std::nullopt;
}

void check_list(const Check& list, bool whole_pod) {
  if (!list.value().is_object()) return;
  for (const auto& [name, value] : list.value().items()) {
    Check at = list.key(name);
    std::size_t before = at.errors().size();
    validate_resource_name(name, !whole_pod, at.path(), at.errors());
    if (whole_pod && at.errors().size() == before && name != "cpu" && name != "memory" && !starts_with(name, "hugepages-"))
      at.errors().push_back(field_not_supported(at.path(), name, {"cpu", "hugepages-", "memory"}));
    auto q = amount(value);
    if (!q) continue;
    if (q->sign() < 0) at.invalid("must be greater than or equal to 0");
    if (!native(name) && q->milli_value() % 1000 != 0) at.invalid("must be an integer");
    if (!starts_with(name, "hugepages-")) continue;
    auto page = Quantity::parse(std::string_view(name).substr(10));
    if (page && page->value() > 0 && q->value() % page->value() != 0) at.invalid(q->to_string() + " is not positive integer multiple of " + name);
  }
}

void check_security(const Check& s, const Check& spec) {
  if (!s.value().is_object()) return;
  check_ids(s, {"runAsUser"}, {"runAsGroup"});
  bool host_users = !spec["hostUsers"].set() || spec["hostUsers"].flag();
  if (s["procMount"].is("Unmasked") && host_users) s["procMount"].invalid("`hostUsers` must be false to use `Unmasked`");
  check_profiles(s);
  check_windows_options(s["windowsOptions"]);
  if (!s["allowPrivilegeEscalation"].set() || s["allowPrivilegeEscalation"].flag()) return;
  if (s["privileged"].flag()) s.invalid("cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
  for (const auto& cap : each(s["capabilities"].value(), "add"))
    if (cap == "CAP_SYS_ADMIN") s.invalid("cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
}

void check_resize_policy(const Check& list, const Check& spec) {
  std::set<std::string> seen;
  for (std::size_t i = 0; i < list.size(); ++i) {
    Check resource = list[i]["resourceName"].as(list.path()), restart = list[i]["restartPolicy"].as(list.path());
    if (!seen.emplace(resource.text()).second) resource.as(list[i].path()).duplicate();
    if (resource.need()) resource.one_of({"cpu", "memory"});
    if (restart.need()) restart.one_of({"NotRequired", "RestartContainer"});
    if (spec["restartPolicy"].is("Never") && !restart.is("NotRequired")) restart.invalid("must be 'NotRequired' when pod `restartPolicy` is 'Never'");
  }
}

void check_restart_rules(const Check& c) {
  Check policy = c["restartPolicy"], rules = c["restartPolicyRules"];
  if (!policy.set() && !rules.empty()) policy.required("must specify restartPolicy when restart rules are used");
  if (policy.set()) policy.one_of({"Always", "Never", "OnFailure"});
  if (rules.size() > 20) rules.too_many(20);
  for (std::size_t i = 0; i < rules.size(); ++i) {
    rules[i]["action"].one_of({"Restart", "RestartAllContainers"});
    Check codes = rules[i]["exitCodes"];
    if (!codes.set()) codes.required("must be specified");
    else {
      codes["operator"].one_of({"In", "NotIn"});
      if (codes["values"].size() > 255) codes["values"].too_many(255);
    }
  }
}

void check_common(const Check& c, const Check& spec, const Volumes& volumes) {
  c["name"].need(apimachinery::is_dns1123_label);
  c["image"].need();
  check_ports(c["ports"]);
  check_env(c, spec);
  check_mounts(c, volumes);
  check_devices(c, volumes);
  check_resources(c["resources"], spec);
  check_resize_policy(c["resizePolicy"], spec);
  check_security(c["securityContext"], spec);
}

void check_ephemeral(const Check& c, const Check& spec) {
  for (const char* f : {"ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules"})
    if (!c[f].empty()) c[f].forbidden("cannot be set for an Ephemeral Container");
  Check mounts = c["volumeMounts"], target = c["targetContainerName"];
  for (std::size_t i = 0; i < mounts.size(); ++i)
    for (const char* f : {"subPath", "subPathExpr"})
      if (!mounts[i][f].empty()) mounts[i][f].forbidden("cannot be set for an Ephemeral Container");
  bool found = target.empty();
  for (const char* list : {"containers", "initContainers"})
    for (const auto& o : each(spec.value(), list)) found = found || string_at(o, "name") == target.text();
  if (!found) c.errors().push_back(field_not_found(target.path(), target.text()));
}

}  // namespace

void check_field_selector(const Check& at, std::initializer_list<const char*> fields) {
  Check field = at["fieldPath"];
  if (!at["apiVersion"].need() || !field.need()) return;
  std::string path, key;
  bool subscript = subscripted(field.text(), path, key);
  std::string_view plain = subscript ? std::string_view(path) : field.text();
  if (!at["apiVersion"].is("v1")) return field.invalid("error converting fieldPath: unsupported pod version: " + std::string(at["apiVersion"].text()));
  if (subscript ? plain != "metadata.annotations" && plain != "metadata.labels" && !known_field(plain) : !known_field(plain))
    return field.invalid("error converting fieldPath: field label not supported: " + std::string(subscript ? plain : field.text()));
  if (!subscript) {
    if (!field.is("spec.host")) field.one_of(fields);  // spec.nodeName of old
  } else if (plain == "metadata.annotations") {
    for (auto& m : apimachinery::is_qualified_name(to_lower(key))) at.invalid_as(to_lower(key), m);
  } else if (plain == "metadata.labels") {
    for (auto& m : apimachinery::is_qualified_name(key)) at.invalid_as(key, m);
  } else {
    at.invalid_as(std::string(plain), "does not support subscript");
  }
}

void check_resource_selector(const Check& at, bool volume) {
  Check resource = at["resource"], divisor = at["divisor"];
  std::string_view name = resource.text();
  bool huge = starts_with(name, "requests.hugepages-") || starts_with(name, "limits.hugepages-");
  if (volume && at["containerName"].empty()) at["containerName"].required();
  else if (name.empty()) resource.required();
  else if (!huge) resource.one_of({"limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"});
  auto q = amount(divisor.value());
  if (!q || q->is_zero()) return;
  std::string text = q->to_string();
  static const std::set<std::string> kUnits = {"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"};
  const char* what = huge ? "hugepages" : ends_with(name, ".memory") ? "memory" : ends_with(name, ".ephemeral-storage") ? "local ephemeral storage" : nullptr;
  if (ends_with(name, ".cpu") && text != "1m" && text != "1") divisor.invalid_as(std::string(name), "only divisor's values 1m and 1 are supported with the cpu resource");
  else if (what && !kUnits.count(text))
    divisor.invalid_as(std::string(name), std::string("only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the ") + what + " resource");
}

bool extended_resource(std::string_view name) {
  return !native(name) && !starts_with(name, "requests.") && apimachinery::is_qualified_name("requests." + std::string(name)).empty();
}

void validate_resource_name(const std::string& name, bool container, const FieldPath& at, FieldErrors& errors) {
  auto problems = apimachinery::is_qualified_name(name);
  for (auto& m : problems) errors.push_back(field_invalid(at, name, m));
  bool plain = name.find('/') == std::string::npos;
  if (problems.empty() && plain && !standard_resource(name)) errors.push_back(field_invalid(at, name, "must be a standard resource type or fully qualified"));
  if (!container) return;
  if (plain && !standard_container_resource(name)) errors.push_back(field_invalid(at, name, "must be a standard resource for containers"));
  if (!native(name) && !extended_resource(name)) errors.push_back(field_invalid(at, name, "doesn't follow extended resource name standard"));
}

void check_resources(const Check& resources, const Check& spec, bool whole_pod) {
  Check limits = resources["limits"], requests = resources["requests"], claims = resources["claims"];
  check_list(limits, whole_pod);
  check_list(requests, whole_pod);
  bool compute = false, huge = false;
  for (const Document* list : {&limits.value(), &requests.value()})
    if (list->is_object())
      for (const auto& [name, value] : list->items()) {
        compute = compute || name == "cpu" || name == "memory";
        huge = huge || starts_with(name, "hugepages-");
      }
  if (requests.value().is_object())
    for (const auto& [name, value] : requests.value().items()) {
      auto request = amount(value), limit = amount(member(limits.value(), name));
      if (!limit) {
        if (!overcommits(name)) limits.required("Limit must be set for non overcommitable resources");
      } else if (request && *request != *limit && !overcommits(name)) {
        requests.invalid_as(request->to_string(), "must be equal to " + name + " limit of " + limit->to_string());
      } else if (request && *request > *limit) {
        requests.invalid_as(request->to_string(), "must be less than or equal to " + name + " limit of " + limit->to_string());
      }
    }
  if (huge && !compute) resources.forbidden("HugePages require cpu or memory");
  std::set<std::string> seen, known;
  for (const auto& c : each(spec.value(), "resourceClaims")) known.emplace(string_at(c, "name"));
  for (std::size_t i = 0; i < claims.size(); ++i) {
    std::string name(claims[i]["name"].text()), request(claims[i]["request"].text());
    if (name.empty()) {
      claims[i].required();
      continue;
    }
    if (!request.empty()) claims[i]["request"].format(apimachinery::is_dns1123_label);
    std::string key = request.empty() ? name : name + "/" + request;
    bool whole = seen.count(name), part = false;
    for (const auto& s : seen) part = part || starts_with(s, name + "/");
    if (whole || seen.count(key) || (request.empty() && part)) claims[i].duplicate_of(whole || request.empty() ? name : key);
    seen.insert(key);
    if (known.count(name)) continue;
    auto e = field_not_found(claims[i].path(), name);
    std::string all;
    for (const auto& k : known) all += (all.empty() ? ": " : ", ") + k;
    e.detail = "must be one of the names in pod.spec.resourceClaims" + (all.empty() ? std::string(" which is empty") : all);
    claims.errors().push_back(std::move(e));
  }
}

void validate_container(const Document& container, const Document& pod_spec, const Volumes& volumes, const FieldPath& path, FieldErrors& errors, ContainerKind kind) {
  Check c(container, path, errors), spec(pod_spec, FieldPath(), errors);
  check_common(c, spec, volumes);
  if (kind == ContainerKind::Ephemeral) return check_ephemeral(c, spec);
  if (kind == ContainerKind::Init && !c["restartPolicy"].set()) {
    if (!c["restartPolicyRules"].empty()) c["restartPolicy"].required("must specify restartPolicy when restart rules are used");
  } else {
    check_restart_rules(c);
  }
  if (kind == ContainerKind::Regular || c["restartPolicy"].is("Always")) return check_probes(c, spec);
  for (const char* f : {"lifecycle", "livenessProbe", "readinessProbe", "startupProbe"})
    if (c[f].set()) c[f].forbidden("may not be set for init containers without restartPolicy=Always");
  Check policies = c["resizePolicy"];
  for (std::size_t i = 0; i < policies.size(); ++i)
    if (Check p = policies[i]["restartPolicy"]; p.is("RestartContainer")) p.invalid("must not be set to 'RestartContainer' for non-sidecar initContainers");
}

}  // namespace onebin::apiserver
