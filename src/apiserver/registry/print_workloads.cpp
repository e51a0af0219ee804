// Workload controllers: apps, batch, autoscaling, policy.
#include "apiserver/registry/print.hpp"

#include <onebin/apimachinery/meta.hpp>

#include <map>

namespace onebin::apiserver::print {
namespace {

using apimachinery::age;
using apimachinery::at_path;
using apimachinery::member;
using apimachinery::string_at;

const Document& containers(const Document& o) { return list(o, {"spec", "template", "spec", "containers"}); }

Document replica_cells(const Document& o, WallTime now, std::string selects) {
  return {name(o), number(o, {"spec", "replicas"}), number(o, {"status", "replicas"}), number(o, {"status", "readyReplicas"}), created(o, now),
          joined(containers(o), "name"), joined(containers(o), "image"), std::move(selects)};
}
Document rs_cells(const Document& o, WallTime now) { return replica_cells(o, now, selector(at_path(o, {"spec", "selector"}))); }
Document rc_cells(const Document& o, WallTime now) {
  std::string s = apimachinery::LabelSelector::from_map(apimachinery::string_map(at_path(o, {"spec", "selector"}))).to_string();
  return replica_cells(o, now, s.empty() ? "<none>" : s);
}

std::string of(std::int64_t a, std::int64_t b) { return std::to_string(a) + "/" + std::to_string(b); }

Document deployment_cells(const Document& o, WallTime now) {
  auto parsed = apimachinery::LabelSelector::from_document(at_path(o, {"spec", "selector"}));
  return {name(o), of(number(o, {"status", "readyReplicas"}), number(o, {"spec", "replicas"})), number(o, {"status", "updatedReplicas"}),
          number(o, {"status", "availableReplicas"}), created(o, now), joined(containers(o), "name"), joined(containers(o), "image"),
          parsed ? parsed->to_string() : "<invalid>"};
}

Document daemonset_cells(const Document& o, WallTime now) {
  std::string nodes = apimachinery::LabelSelector::from_map(apimachinery::string_map(at_path(o, {"spec", "template", "spec", "nodeSelector"}))).to_string();
  return {name(o), number(o, {"status", "desiredNumberScheduled"}), number(o, {"status", "currentNumberScheduled"}), number(o, {"status", "numberReady"}),
          number(o, {"status", "updatedNumberScheduled"}), number(o, {"status", "numberAvailable"}), nodes.empty() ? "<none>" : nodes, created(o, now),
          joined(containers(o), "name"), joined(containers(o), "image"), selector(at_path(o, {"spec", "selector"}))};
}

Document statefulset_cells(const Document& o, WallTime now) {
  return {name(o), of(number(o, {"status", "readyReplicas"}), number(o, {"spec", "replicas"})), created(o, now), joined(containers(o), "name"), joined(containers(o), "image")};
}

bool has_condition(const Document& o, std::string_view type) {
  for (const auto& c : list(o, {"status", "conditions"}))
    if (string_at(c, "type") == type) return string_at(c, "status") == "True";
  return false;
}

Document job_cells(const Document& o, WallTime now) {
  std::int64_t succeeded = number(o, {"status", "succeeded"}), parallelism = number(o, {"spec", "parallelism"});
  std::string completions;
  if (at_path(o, {"spec", "completions"}).is_number()) completions = of(succeeded, number(o, {"spec", "completions"}));
  else completions = parallelism > 1 ? of(succeeded, 1) + " of " + std::to_string(parallelism) : of(succeeded, 1);
  std::string status = "Running";
  if (has_condition(o, "Complete")) status = "Complete";
  else if (has_condition(o, "Failed")) status = "Failed";
  else if (!apimachinery::deletion_timestamp_of(o).empty()) status = "Terminating";
  else if (has_condition(o, "Suspended")) status = "Suspended";
  else if (has_condition(o, "FailureTarget")) status = "FailureTarget";
  else if (has_condition(o, "SuccessCriteriaMet")) status = "SuccessCriteriaMet";
  std::string duration;
  if (auto start = parse_rfc3339(apimachinery::get_string(o, {"status", "startTime"}))) {
    auto end = parse_rfc3339(apimachinery::get_string(o, {"status", "completionTime"}));
    duration = human_duration((end ? *end : now) - *start);
  }
  return {name(o), status, completions, duration, created(o, now), joined(containers(o), "name"), joined(containers(o), "image"), selector(at_path(o, {"spec", "selector"}))};
}

Document cronjob_cells(const Document& o, WallTime now) {
  const Document& c = list(o, {"spec", "jobTemplate", "spec", "template", "spec", "containers"});
  std::string last = text(o, {"status", "lastScheduleTime"});
  const Document& suspend = at_path(o, {"spec", "suspend"});
  return {name(o), text(o, {"spec", "schedule"}), text(o, {"spec", "timeZone"}, "<none>"), suspend.is_boolean() ? (suspend.get<bool>() ? "True" : "False") : "<unset>",
          list(o, {"status", "active"}).size(), last.empty() ? "<none>" : age(last, now), created(o, now), joined(c, "name"), joined(c, "image"),
          selector(at_path(o, {"spec", "jobTemplate", "spec", "selector"}))};
}

Document revision_cells(const Document& o, WallTime now) {
  std::string owner = "<none>";
  if (const Document* ref = apimachinery::controller_of(o)) {
    auto gv = apimachinery::parse_group_version(string_at(*ref, "apiVersion"));
    std::string kind = to_lower(string_at(*ref, "kind"));
    if (gv && !gv->group.empty()) kind += "." + gv->group;
    owner = kind + "/" + std::string(string_at(*ref, "name"));
  }
  return {name(o), owner, number(o, {"revision"}), created(o, now)};
}

std::string or_na(const Document& v) { return v.is_null() ? "N/A" : scalar(v); }

Document pdb_cells(const Document& o, WallTime now) {
  return {name(o), or_na(at_path(o, {"spec", "minAvailable"})), or_na(at_path(o, {"spec", "maxUnavailable"})), number(o, {"status", "disruptionsAllowed"}), created(o, now)};
}

std::string or_unknown(const std::string& s) { return s.empty() ? "<unknown>" : s; }

std::string metric_text(const Document& spec, const Document& status) {
  std::string type(string_at(spec, "type"));
  std::string field = type == "External" ? "external" : type == "Pods" ? "pods" : type == "Object" ? "object" : type == "Resource" ? "resource" : type == "ContainerResource" ? "containerResource" : "";
  if (field.empty()) return "<unknown type>";
  const Document& target = at_path(spec, {field, "target"});
  const Document& current = at_path(status, {field, "current"});
  bool resource = field == "resource" || field == "containerResource";
  std::string prefix = resource ? text(spec, {field, "name"}) + ": " : "";
  std::string average(string_at(target, "averageValue"));
  if (!average.empty()) return prefix + or_unknown(std::string(string_at(current, "averageValue"))) + "/" + average + (field == "external" || field == "object" ? " (avg)" : "");
  if (!resource) return or_unknown(std::string(string_at(current, "value"))) + "/" + std::string(string_at(target, "value"));
  const Document& now = member(current, "averageUtilization");
  const Document& wanted = member(target, "averageUtilization");
  return prefix + (now.is_null() ? "<unknown>" : scalar(now) + "%") + "/" + (wanted.is_null() ? "<auto>" : scalar(wanted) + "%");
}

Document hpa_cells(const Document& o, WallTime now) {
  std::string metrics = "<none>";
  const Document& specs = list(o, {"spec", "metrics"});
  const Document& statuses = list(o, {"status", "currentMetrics"});
  static const Document none;
  std::vector<std::string> all;
  for (std::size_t i = 0; i < specs.size(); ++i) all.push_back(metric_text(specs[i], i < statuses.size() ? statuses[i] : none));
  if (!all.empty()) {
    metrics = all[0];
    if (all.size() > 1) metrics += ", " + all[1];
    if (all.size() > 2) metrics += " + " + std::to_string(all.size() - 2) + " more...";
  }
  const Document& min = at_path(o, {"spec", "minReplicas"});
  return {name(o), text(o, {"spec", "scaleTargetRef", "kind"}) + "/" + text(o, {"spec", "scaleTargetRef", "name"}), metrics, min.is_null() ? "<unset>" : scalar(min),
          number(o, {"spec", "maxReplicas"}), number(o, {"status", "currentReplicas"}), created(o, now)};
}

}  // namespace

void add_workloads(std::map<std::string, Printer>& to) {
  to["apps/ReplicaSet"] = {columns({"Name!", "Desired#", "Current#", "Ready#", "Age", "Containers*", "Images*", "Selector*"}), rs_cells};
  to["/ReplicationController"] = {columns({"Name!", "Desired#", "Current#", "Ready#", "Age", "Containers*", "Images*", "Selector*"}), rc_cells};
  to["apps/Deployment"] = {columns({"Name!", "Ready", "Up-to-date", "Available", "Age", "Containers*", "Images*", "Selector*"}), deployment_cells};
  to["apps/DaemonSet"] = {columns({"Name!", "Desired#", "Current#", "Ready#", "Up-to-date#", "Available#", "Node Selector", "Age", "Containers*", "Images*", "Selector*"}), daemonset_cells};
  to["apps/StatefulSet"] = {columns({"Name!", "Ready", "Age", "Containers*", "Images*"}), statefulset_cells};
  to["apps/ControllerRevision"] = {columns({"Name!", "Controller", "Revision", "Age"}), revision_cells};
  to["batch/Job"] = {columns({"Name!", "Status", "Completions", "Duration", "Age", "Containers*", "Images*", "Selector*"}), job_cells};
  to["batch/CronJob"] = {columns({"Name!", "Schedule", "Timezone", "Suspend?", "Active#", "Last Schedule", "Age", "Containers*", "Images*", "Selector*"}), cronjob_cells};
  to["policy/PodDisruptionBudget"] = {columns({"Name!", "Min Available", "Max Unavailable", "Allowed Disruptions#", "Age"}), pdb_cells};
  to["autoscaling/Scale"] = {columns({"Name", "Desired#", "Available#", "Age"}),
                             [](const Document& o, WallTime now) { return Document{name(o), number(o, {"spec", "replicas"}), number(o, {"status", "replicas"}), created(o, now)}; }};
  to["autoscaling/HorizontalPodAutoscaler"] = {columns({"Name!", "Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age"}), hpa_cells};
}

}  // namespace onebin::apiserver::print
