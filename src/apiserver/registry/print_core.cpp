// Kinds of the core group but the workload controllers.
#include "apiserver/registry/print.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/quantity.hpp>

#include <algorithm>
#include <map>
#include <set>

namespace onebin::apiserver::print {
namespace {

using apimachinery::age;
using apimachinery::at_path;
using apimachinery::member;
using apimachinery::string_at;

bool condition_true(const Document& o, std::string_view type) {
  for (const auto& c : list(o, {"status", "conditions"}))
    if (string_at(c, "type") == type) return string_at(c, "status") == "True";
  return false;
}

std::string terminated_reason(const Document& t) {
  std::string reason(string_at(t, "reason"));
  if (!reason.empty()) return reason;
  if (std::int64_t signal = apimachinery::int_at(t, "signal")) return "Signal:" + std::to_string(signal);
  return "ExitCode:" + std::to_string(apimachinery::int_at(t, "exitCode"));
}

struct PodLine {
  std::string reason, last_restart;
  std::int64_t restarts = 0, ready = 0, total = 0;

  void count(const Document& status) {
    restarts += apimachinery::int_at(status, "restartCount");
    std::string_view at = apimachinery::get_string(status, {"lastState", "terminated", "finishedAt"});
    if (at > last_restart) last_restart = at;
  }
};

// True while the pod's init containers are not through.
bool init_phase(const Document& pod, PodLine& line, PodLine& sidecars) {
  std::set<std::string> restartable;
  const Document& specs = list(pod, {"spec", "initContainers"});
  for (const auto& c : specs)
    if (string_at(c, "restartPolicy") == "Always") {
      restartable.emplace(string_at(c, "name"));
      ++line.total;
    }
  std::size_t i = 0;
  for (const auto& s : list(pod, {"status", "initContainerStatuses"})) {
    bool sidecar = restartable.count(std::string(string_at(s, "name"))) > 0;
    line.count(s);
    if (sidecar) sidecars.count(s);
    const Document& terminated = at_path(s, {"state", "terminated"});
    const Document& waiting = at_path(s, {"state", "waiting"});
    std::size_t index = i++;
    if (terminated.is_object() && apimachinery::int_at(terminated, "exitCode") == 0) continue;
    if (sidecar && apimachinery::bool_at(s, "started")) {
      if (apimachinery::bool_at(s, "ready")) ++line.ready;
      continue;
    }
    std::string_view why = string_at(waiting, "reason");
    if (terminated.is_object()) line.reason = "Init:" + terminated_reason(terminated);
    else if (!why.empty() && why != "PodInitializing") line.reason = "Init:" + std::string(why);
    else line.reason = "Init:" + std::to_string(index) + "/" + std::to_string(specs.size());
    return true;
  }
  return false;
}

void main_phase(const Document& pod, PodLine& line) {
  bool running = false;
  std::string error;
  const Document& statuses = list(pod, {"status", "containerStatuses"});
  for (auto it = statuses.rbegin(); it != statuses.rend(); ++it) {
    const Document& s = *it;
    line.count(s);
    const Document& terminated = at_path(s, {"state", "terminated"});
    std::string_view waiting = apimachinery::get_string(s, {"state", "waiting", "reason"});
    if (!waiting.empty()) {
      line.reason = waiting;
    } else if (terminated.is_object()) {
      line.reason = terminated_reason(terminated);
      if (apimachinery::int_at(terminated, "exitCode") != 0) error = line.reason;
    } else if (apimachinery::bool_at(s, "ready") && at_path(s, {"state", "running"}).is_object()) {
      running = true;
      ++line.ready;
    }
  }
  if (line.reason != "Completed") return;
  if (running && condition_true(pod, "Ready")) line.reason = "Running";
  else if (!error.empty()) line.reason = error;
  else if (running) line.reason = "NotReady";
}

Document pod_cells(const Document& pod, WallTime now) {
  PodLine line, sidecars;
  line.total = static_cast<std::int64_t>(list(pod, {"spec", "containers"}).size());
  std::string phase = text(pod, {"status", "phase"}), reason = text(pod, {"status", "reason"});
  line.reason = reason.empty() ? phase : reason;
  for (const auto& c : list(pod, {"status", "conditions"}))
    if (string_at(c, "type") == "PodScheduled" && string_at(c, "reason") == "SchedulingGated") line.reason = "SchedulingGated";
  bool initializing = init_phase(pod, line, sidecars);
  if (!initializing || condition_true(pod, "Initialized")) {
    line.restarts = sidecars.restarts;
    line.last_restart = sidecars.last_restart;
    main_phase(pod, line);
  }
  if (!apimachinery::deletion_timestamp_of(pod).empty()) {
    if (reason == "NodeLost") line.reason = "Unknown";
    else if (phase != "Failed" && phase != "Succeeded") line.reason = "Terminating";
  }
  std::string restarts = std::to_string(line.restarts);
  if (line.restarts && !line.last_restart.empty()) restarts += " (" + age(line.last_restart, now) + " ago)";
  std::string gates = "<none>";
  const Document& wanted = list(pod, {"spec", "readinessGates"});
  if (!wanted.empty()) {
    std::size_t open = 0;
    for (const auto& g : wanted) open += condition_true(pod, string_at(g, "conditionType"));
    gates = std::to_string(open) + "/" + std::to_string(wanted.size());
  }
  const Document& ips = list(pod, {"status", "podIPs"});
  std::string ip = ips.empty() ? std::string() : std::string(string_at(ips[0], "ip"));
  return {name(pod), std::to_string(line.ready) + "/" + std::to_string(line.total), line.reason, restarts, created(pod, now), ip.empty() ? "<none>" : ip,
          text(pod, {"spec", "nodeName"}, "<none>"), text(pod, {"status", "nominatedNodeName"}, "<none>"), gates};
}

std::string external_ip(const Document& s) {
  std::string type = text(s, {"spec", "type"}), external = joined(list(s, {"spec", "externalIPs"}), "");
  if (type == "ExternalName") return text(s, {"spec", "externalName"});
  if (type == "ClusterIP" || type == "NodePort") return external.empty() ? "<none>" : external;
  if (type != "LoadBalancer") return "<unknown>";
  std::set<std::string> set;
  for (const auto& i : list(s, {"status", "loadBalancer", "ingress"})) {
    std::string v(string_at(i, "ip"));
    if (v.empty()) v = string_at(i, "hostname");
    if (!v.empty()) set.insert(v);
  }
  std::string ips = join(std::vector<std::string>(set.begin(), set.end()), ",");
  if (!external.empty()) return ips.empty() ? external : ips + "," + external;
  return ips.empty() ? "<pending>" : ips;
}

Document service_cells(const Document& s, WallTime now) {
  std::string ports;
  for (const auto& p : list(s, {"spec", "ports"})) {
    if (!ports.empty()) ports += ",";
    ports += std::to_string(apimachinery::int_at(p, "port"));
    if (std::int64_t n = apimachinery::int_at(p, "nodePort")) ports += ":" + std::to_string(n);
    ports += "/" + std::string(string_at(p, "protocol"));
  }
  std::string selects = apimachinery::LabelSelector::from_map(apimachinery::string_map(at_path(s, {"spec", "selector"}))).to_string();
  const Document& ips = list(s, {"spec", "clusterIPs"});
  std::string ip = ips.empty() ? text(s, {"spec", "clusterIP"}) : scalar(ips[0]);
  return {name(s), text(s, {"spec", "type"}), ip.empty() ? "<none>" : ip, external_ip(s), ports.empty() ? "<none>" : ports, created(s, now), selects.empty() ? "<none>" : selects};
}

std::string host_port(std::string_view ip, std::int64_t port) {
  std::string h(ip);
  if (h.find(':') != std::string::npos) h = "[" + h + "]";
  return h + ":" + std::to_string(port);
}

Document endpoints_cells(const Document& e, WallTime now) {
  std::vector<std::string> all;
  for (const auto& s : list(e, {"subsets"})) {
    const Document& ports = list(s, {"ports"});
    if (ports.empty())
      for (const auto& a : list(s, {"addresses"})) all.emplace_back(string_at(a, "ip"));
    for (const auto& p : ports)
      for (const auto& a : list(s, {"addresses"})) all.push_back(host_port(string_at(a, "ip"), apimachinery::int_at(p, "port")));
  }
  return {name(e), first_of(all, 3, "<none>"), created(e, now)};
}

std::string node_address(const Document& n, std::string_view type) {
  for (const auto& a : list(n, {"status", "addresses"}))
    if (string_at(a, "type") == type) return std::string(string_at(a, "address"));
  return "<none>";
}

Document node_cells(const Document& n, WallTime now) {
  std::string status = "Unknown";
  for (const auto& c : list(n, {"status", "conditions"}))
    if (string_at(c, "type") == "Ready") status = string_at(c, "status") == "True" ? "Ready" : "NotReady";
  if (apimachinery::get_bool(n, {"spec", "unschedulable"})) status += ",SchedulingDisabled";
  std::set<std::string> roles;
  for (const auto& [key, value] : apimachinery::labels_of(n).items()) {
    constexpr std::string_view kPrefix = "node-role.kubernetes.io/";
    if (starts_with(key, kPrefix) && key.size() > kPrefix.size()) roles.insert(key.substr(kPrefix.size()));
    else if (key == "kubernetes.io/role" && value.is_string() && !value.get<std::string>().empty()) roles.insert(value.get<std::string>());
  }
  std::string kernel = text(n, {"status", "nodeInfo", "kernelVersion"}, "<unknown>"), arch = text(n, {"status", "nodeInfo", "architecture"});
  if (!arch.empty()) kernel += " (" + arch + ")";
  return {name(n), status, roles.empty() ? "<none>" : join(std::vector<std::string>(roles.begin(), roles.end()), ","), created(n, now),
          text(n, {"status", "nodeInfo", "kubeletVersion"}), node_address(n, "InternalIP"), node_address(n, "ExternalIP"),
          text(n, {"status", "nodeInfo", "osImage"}, "<unknown>"), kernel, text(n, {"status", "nodeInfo", "containerRuntimeVersion"}, "<unknown>")};
}

Document event_cells(const Document& e, WallTime now) {
  bool events_group = e.contains("regarding");
  auto field = [&](std::string_view core, std::string_view group) { return text(e, {events_group ? group : core}); };
  std::string first = field("firstTimestamp", "deprecatedFirstTimestamp");
  std::string first_age = age(first.empty() ? text(e, {"eventTime"}) : first, now);
  std::string last = field("lastTimestamp", "deprecatedLastTimestamp");
  std::string last_age = last.empty() ? first_age : age(last, now);
  std::int64_t count = apimachinery::int_at(e, events_group ? "deprecatedCount" : "count");
  if (const Document& series = member(e, "series"); series.is_object()) {
    last_age = age(string_at(series, "lastObservedTime"), now);
    count = apimachinery::int_at(series, "count");
  } else if (count == 0) {
    count = 1;
  }
  const Document& about = member(e, events_group ? "regarding" : "involvedObject");
  std::string target = to_lower(string_at(about, "kind"));
  if (!string_at(about, "name").empty()) target += "/" + std::string(string_at(about, "name"));
  const Document& source = member(e, events_group ? "deprecatedSource" : "source");
  std::string component(string_at(source, "component")), host(string_at(source, "host"));
  if (component.empty()) component = field("reportingComponent", "reportingController");
  if (host.empty()) host = text(e, {"reportingInstance"});
  return {last_age, text(e, {"type"}), text(e, {"reason"}), target, std::string(string_at(about, "fieldPath")), host.empty() ? component : component + ", " + host,
          std::string(trim(field("message", "note"))), first_age, count, name(e)};
}

std::string access_modes(const Document& modes) {
  std::string out;
  for (auto [mode, abbreviation] : {std::pair<const char*, const char*>{"ReadWriteOnce", "RWO"}, {"ReadOnlyMany", "ROX"}, {"ReadWriteMany", "RWX"}, {"ReadWriteOncePod", "RWOP"}})
    for (const auto& m : modes)
      if (m == mode) {
        out += (out.empty() ? "" : ",") + std::string(abbreviation);
        break;
      }
  return out;
}

std::string storage_class(const Document& o) {
  std::string legacy = text(o, {"metadata", "annotations", "volume.beta.kubernetes.io/storage-class"});
  return legacy.empty() ? text(o, {"spec", "storageClassName"}) : legacy;
}

Document pv_cells(const Document& v, WallTime now) {
  bool deleting = !apimachinery::deletion_timestamp_of(v).empty();
  const Document& ref = at_path(v, {"spec", "claimRef"});
  std::string claim = ref.is_object() ? std::string(string_at(ref, "namespace")) + "/" + std::string(string_at(ref, "name")) : "";
  return {name(v), text(v, {"spec", "capacity", "storage"}, "0"), access_modes(list(v, {"spec", "accessModes"})), text(v, {"spec", "persistentVolumeReclaimPolicy"}),
          deleting ? "Terminating" : text(v, {"status", "phase"}), claim, storage_class(v), text(v, {"spec", "volumeAttributesClassName"}, "<unset>"),
          text(v, {"status", "reason"}), created(v, now), text(v, {"spec", "volumeMode"}, "<unset>")};
}

Document pvc_cells(const Document& c, WallTime now) {
  bool deleting = !apimachinery::deletion_timestamp_of(c).empty();
  std::string volume = text(c, {"spec", "volumeName"});
  return {name(c), deleting ? "Terminating" : text(c, {"status", "phase"}), volume, volume.empty() ? "" : text(c, {"status", "capacity", "storage"}, "0"),
          volume.empty() ? "" : access_modes(list(c, {"status", "accessModes"})), storage_class(c), text(c, {"spec", "volumeAttributesClassName"}, "<unset>"),
          created(c, now), text(c, {"spec", "volumeMode"}, "<unset>")};
}

Document quota_cells(const Document& q, WallTime now) {
  std::string requests, limits;
  const Document& hard = at_path(q, {"status", "hard"});
  if (hard.is_object())
    for (const auto& [key, value] : hard.items()) {
      std::string& to = starts_with(key, "limits.") ? limits : requests;
      to += (to.empty() ? "" : ", ") + key + ": " + text(q, {"status", "used", key}, "0") + "/" + scalar(value);
    }
  return {name(q), requests, limits, created(q, now)};
}

std::size_t size_of(const Document& o, const char* field) {
  const Document& d = member(o, field);
  return d.is_object() ? d.size() : 0;
}

Document component_cells(const Document& o, WallTime) {
  std::string status = "Unknown", message, error;
  for (const auto& c : list(o, {"conditions"})) {
    if (string_at(c, "type") != "Healthy") continue;
    status = string_at(c, "status") == "True" ? "Healthy" : "Unhealthy";
    message = string_at(c, "message");
    error = string_at(c, "error");
  }
  return {name(o), status, message, error};
}

}  // namespace

void add_core(std::map<std::string, Printer>& to) {
  to["/Pod"] = {columns({"Name!", "Ready", "Status", "Restarts", "Age", "IP*", "Node*", "Nominated Node*", "Readiness Gates*"}), pod_cells,
                {"metadata.name", "metadata.creationTimestamp", "metadata.deletionTimestamp", "spec.containers.name", "spec.initContainers.name",
                 "spec.initContainers.restartPolicy", "spec.readinessGates", "spec.nodeName", "status.phase", "status.reason", "status.conditions.type",
                 "status.conditions.status", "status.conditions.reason", "status.initContainerStatuses", "status.containerStatuses", "status.podIPs",
                 "status.nominatedNodeName"}};
  to["/Service"] = {columns({"Name!", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector*"}), service_cells};
  to["/Endpoints"] = {columns({"Name!", "Endpoints", "Age"}), endpoints_cells};
  to["/Node"] = {columns({"Name!", "Status", "Roles", "Age", "Version", "Internal-IP*", "External-IP*", "OS-Image*", "Kernel-Version*", "Container-Runtime*"}), node_cells};
  Printer events{columns({"Last Seen", "Type", "Reason", "Object", "Subobject*", "Source*", "Message", "First Seen*", "Count*", "Name!*"}), event_cells};
  to["/Event"] = to["events.k8s.io/Event"] = events;
  to["/Namespace"] = {columns({"Name!", "Status", "Age"}), [](const Document& o, WallTime now) { return Document{name(o), text(o, {"status", "phase"}), created(o, now)}; }};
  to["/Secret"] = {columns({"Name!", "Type", "Data", "Age"}),
                   [](const Document& o, WallTime now) { return Document{name(o), text(o, {"type"}), size_of(o, "data"), created(o, now)}; }};
  to["/ConfigMap"] = {columns({"Name!", "Data", "Age"}),
                      [](const Document& o, WallTime now) { return Document{name(o), size_of(o, "data") + size_of(o, "binaryData"), created(o, now)}; }};
  to["/ServiceAccount"] = {columns({"Name!", "Age"}), [](const Document& o, WallTime now) { return Document{name(o), created(o, now)}; }};
  to["/PersistentVolume"] = {columns({"Name!", "Capacity", "Access Modes", "Reclaim Policy", "Status", "Claim", "StorageClass", "VolumeAttributesClass", "Reason", "Age", "VolumeMode*"}), pv_cells};
  to["/PersistentVolumeClaim"] = {columns({"Name!", "Status", "Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass", "Age", "VolumeMode*"}), pvc_cells};
  to["/ResourceQuota"] = {columns({"Name!", "Request", "Limit", "Age"}), quota_cells};
  to["/ComponentStatus"] = {columns({"Name!", "Status", "Message", "Error"}), component_cells};
  to["/PodTemplate"] = {columns({"Name!", "Containers", "Images", "Pod Labels"}), [](const Document& o, WallTime) {
                          const Document& c = list(o, {"template", "spec", "containers"});
                          std::string labels = apimachinery::LabelSelector::from_map(apimachinery::string_map(at_path(o, {"template", "metadata", "labels"}))).to_string();
                          return Document{name(o), joined(c, "name"), joined(c, "image"), labels.empty() ? "<none>" : labels};
                        }};
}

}  // namespace onebin::apiserver::print
