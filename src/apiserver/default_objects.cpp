// Source of names and numbers: behaviour of Kubernetes 1.37 (priority and fairness, aggregation).
#include "apiserver/default_objects.hpp"

#include <onebin/base/bytes.hpp>

namespace onebin::apiserver {

using apimachinery::Document;

namespace {

struct Level {
  const char* name;
  int shares, lendable, queues, hand;  // no queues: what is too much is rejected
};
constexpr Level kLevels[] = {
    {"catch-all", 5, 0, 0, 0},        {"system", 30, 33, 64, 6},          {"node-high", 40, 25, 64, 6},        {"leader-election", 10, 0, 16, 4},
    {"workload-high", 40, 50, 128, 6}, {"workload-low", 100, 90, 128, 6}, {"global-default", 20, 50, 128, 6},
};

// Subjects: u(ser), g(roup), s(ervice account) and the name, separated by blanks. Rules: verbs|groups|resources|scope, where
// scope is "c" for what has no namespace too, or verbs|paths; "*" is everything.
struct Flow {
  const char* name;
  const char* level;
  int precedence;
  const char* distinguisher;
  const char* subjects;
  std::initializer_list<const char*> rules;
};
constexpr const char* kEverything = "*";
const Flow kFlows[] = {
    {"exempt", "exempt", 1, "", "gsystem:masters", {kEverything}},
    {"catch-all", "catch-all", 10000, "ByUser", "gsystem:unauthenticated gsystem:authenticated", {kEverything}},
    {"system-nodes", "system", 500, "ByUser", "gsystem:nodes", {kEverything}},
    {"system-node-high", "node-high", 400, "ByUser", "gsystem:nodes", {"*||nodes,nodes/status|c", "*|coordination.k8s.io|leases|"}},
    {"probes", "exempt", 2, "", "gsystem:unauthenticated gsystem:authenticated", {"get|/healthz,/readyz,/livez"}},
    {"system-leader-election", "leader-election", 100, "ByUser", "usystem:kube-controller-manager usystem:kube-scheduler s*",
     {"get,create,update|coordination.k8s.io|leases|"}},
    {"kube-controller-manager", "workload-high", 800, "ByNamespace", "usystem:kube-controller-manager", {kEverything}},
    {"kube-scheduler", "workload-high", 800, "ByNamespace", "usystem:kube-scheduler", {kEverything}},
    {"kube-system-service-accounts", "workload-high", 900, "ByNamespace", "s*", {kEverything}},
    {"service-accounts", "workload-low", 9000, "ByUser", "gsystem:serviceaccounts", {kEverything}},
    {"global-default", "global-default", 9900, "ByUser", "gsystem:unauthenticated gsystem:authenticated", {kEverything}},
};

Document object(const char* kind, const char* name, Document spec) {
  return {{"apiVersion", "flowcontrol.apiserver.k8s.io/v1"}, {"kind", kind},
          {"metadata", {{"name", name}, {"annotations", {{"apf.kubernetes.io/autoupdate-spec", "true"}}}}}, {"spec", std::move(spec)}};
}

Document words(std::string_view text, char separator) {
  Document out = Document::array();
  for (auto& w : split(text, separator)) out.push_back(w);
  return out;
}

Document resource_rule(std::string_view verbs, std::string_view groups, std::string_view resources, bool cluster) {
  Document r = {{"verbs", words(verbs, ',')}, {"apiGroups", words(groups, ',')}, {"resources", words(resources, ',')}, {"namespaces", Document::array({"*"})}};
  if (cluster) r["clusterScope"] = true;
  return r;
}

Document subject(const std::string& text) {
  std::string name = text.substr(1);
  if (text[0] == 'u') return {{"kind", "User"}, {"user", {{"name", name}}}};
  if (text[0] == 'g') return {{"kind", "Group"}, {"group", {{"name", name}}}};
  return {{"kind", "ServiceAccount"}, {"serviceAccount", {{"name", name}, {"namespace", "kube-system"}}}};
}

Document flow_schema(const Flow& f) {
  Document rule = {{"subjects", Document::array()}};
  for (const auto& s : split(f.subjects, ' ')) rule["subjects"].push_back(subject(s));
  for (const char* text : f.rules) {
    auto parts = split(text, '|');
    if (parts.size() == 1) {
      rule["resourceRules"].push_back(resource_rule("*", "*", "*", true));
      rule["nonResourceRules"].push_back({{"verbs", Document::array({"*"})}, {"nonResourceURLs", Document::array({"*"})}});
    } else if (parts.size() == 2) {
      rule["nonResourceRules"].push_back({{"verbs", words(parts[0], ',')}, {"nonResourceURLs", words(parts[1], ',')}});
    } else {
      rule["resourceRules"].push_back(resource_rule(parts[0], parts[1], parts[2], parts[3] == "c"));
    }
  }
  Document spec = {{"priorityLevelConfiguration", {{"name", f.level}}}, {"matchingPrecedence", f.precedence}, {"rules", Document::array({rule})}};
  if (*f.distinguisher) spec["distinguisherMethod"] = {{"type", f.distinguisher}};
  return object("FlowSchema", f.name, std::move(spec));
}

Document priority_level(const Level& l) {
  Document response = {{"type", l.queues ? "Queue" : "Reject"}};
  if (l.queues) response["queuing"] = {{"queues", l.queues}, {"handSize", l.hand}, {"queueLengthLimit", 50}};
  Document limited = {{"nominalConcurrencyShares", l.shares}, {"lendablePercent", l.lendable}, {"limitResponse", std::move(response)}};
  return object("PriorityLevelConfiguration", l.name, {{"type", "Limited"}, {"limited", std::move(limited)}});
}

}  // namespace

const std::vector<Document>& default_priority_levels() {
  static const std::vector<Document> all = [] {
    std::vector<Document> out = {object("PriorityLevelConfiguration", "exempt",
                                        {{"type", "Exempt"}, {"exempt", {{"nominalConcurrencyShares", 0}, {"lendablePercent", 0}}}})};
    for (const auto& l : kLevels) out.push_back(priority_level(l));
    return out;
  }();
  return all;
}

const std::vector<Document>& default_flow_schemas() {
  static const std::vector<Document> all = [] {
    std::vector<Document> out;
    for (const auto& f : kFlows) out.push_back(flow_schema(f));
    return out;
  }();
  return all;
}

const Document* mandatory_spec(std::string_view kind, std::string_view name) {
  if (name != "exempt" && name != "catch-all") return nullptr;
  for (const auto& d : kind == "FlowSchema" ? default_flow_schemas() : default_priority_levels())
    if (apimachinery::name_of(d) == name) return apimachinery::find_member(d, "spec");
  return nullptr;
}

std::vector<Document> local_api_services() {
  struct Priority {
    const char *group, *version;
    int group_priority, version_priority;
  };
  static constexpr Priority kPriorities[] = {
      {"", "v1", 18000, 1},
      {"apps", "v1", 17800, 15},
      {"events.k8s.io", "v1", 17750, 15},
      {"authentication.k8s.io", "v1", 17700, 15},
      {"authorization.k8s.io", "v1", 17600, 15},
      {"autoscaling", "v1", 17500, 15},
      {"autoscaling", "v2", 17500, 30},
      {"batch", "v1", 17400, 15},
      {"certificates.k8s.io", "v1", 17300, 15},
      {"networking.k8s.io", "v1", 17200, 15},
      {"policy", "v1", 17100, 15},
      {"rbac.authorization.k8s.io", "v1", 17000, 15},
      {"storage.k8s.io", "v1", 16800, 15},
      {"apiextensions.k8s.io", "v1", 16700, 15},
      {"admissionregistration.k8s.io", "v1", 16700, 15},
      {"scheduling.k8s.io", "v1", 16600, 15},
      {"coordination.k8s.io", "v1", 16500, 15},
      {"node.k8s.io", "v1", 16300, 15},
      {"discovery.k8s.io", "v1", 16200, 15},
      {"resource.k8s.io", "v1", 16200, 21},
      {"flowcontrol.apiserver.k8s.io", "v1", 16100, 21},
      {"storagemigration.k8s.io", "v1", 15800, 15},
  };
  std::vector<Document> out;
  for (const auto& p : kPriorities) {
    Document spec = {{"version", p.version}, {"groupPriorityMinimum", p.group_priority}, {"versionPriority", p.version_priority}};
    if (*p.group) spec["group"] = p.group;
    out.push_back({{"apiVersion", "apiregistration.k8s.io/v1"}, {"kind", "APIService"},
                   {"metadata", {{"name", std::string(p.version) + "." + p.group}, {"labels", {{"kube-aggregator.kubernetes.io/automanaged", "onstart"}}}}},
                   {"spec", std::move(spec)}});
  }
  return out;
}

}  // namespace onebin::apiserver
