#include "kubelet/admission.hpp"

#include <algorithm>
#include <set>

namespace onebin::kubelet {
namespace {

bool holds(const core::NodeSelectorRequirement& r, const std::string* value) {
  const std::string& op = r.operator_;
  if (op == "Exists") return value != nullptr;
  if (op == "DoesNotExist") return value == nullptr;
  bool listed = value && std::find(r.values.begin(), r.values.end(), *value) != r.values.end();
  if (op == "In") return listed;
  if (op == "NotIn") return !listed;
  if (!value || r.values.size() != 1) return false;
  char *end_a = nullptr, *end_b = nullptr;
  long long a = std::strtoll(value->c_str(), &end_a, 10), b = std::strtoll(r.values[0].c_str(), &end_b, 10);
  if (*end_a || *end_b || value->empty() || r.values[0].empty()) return false;
  return op == "Gt" ? a > b : op == "Lt" && a < b;
}

bool affinity_holds(const core::Pod& pod, const AdmissionInput& in) {
  for (const auto& [k, v] : pod.spec.node_selector) {
    auto have = in.node_labels.find(k);
    if (have == in.node_labels.end() || have->second != v) return false;
  }
  if (!pod.spec.affinity || !pod.spec.affinity->node_affinity) return true;
  const auto& required = pod.spec.affinity->node_affinity->required_during_scheduling_ignored_during_execution;
  if (!required) return true;
  return std::any_of(required->node_selector_terms.begin(), required->node_selector_terms.end(),
                     [&](const auto& term) { return matches_node_selector(term, in.node_labels, in.node_name); });
}

bool tolerates(const core::Pod& pod, const core::Taint& taint) {
  for (const auto& t : pod.spec.tolerations) {
    if (!t.effect.empty() && t.effect != taint.effect) continue;
    if (!t.key.empty() && t.key != taint.key) continue;
    if (t.operator_ == "Exists") return true;
    if (t.value == taint.value && !t.key.empty()) return true;
  }
  return false;
}

std::set<std::string> host_ports(const core::Pod& pod) {
  std::set<std::string> out;
  auto add = [&](const core::Container& c) {
    for (const auto& p : c.ports)
      if (p.host_port > 0) out.insert((p.protocol.empty() ? "TCP" : p.protocol) + "/" + std::to_string(p.host_port) + "/" + (p.host_ip.empty() ? "0.0.0.0" : p.host_ip));
  };
  for (const auto& c : pod.spec.containers) add(c);
  for (const auto& c : pod.spec.init_containers)
    if (is_sidecar(c)) add(c);
  return out;
}

bool ports_clash(const std::set<std::string>& a, const std::set<std::string>& b) {
  for (const auto& x : a)
    for (const auto& y : b) {
      auto cut_x = x.rfind('/'), cut_y = y.rfind('/');
      if (x.substr(0, cut_x) != y.substr(0, cut_y)) continue;
      std::string ip_x = x.substr(cut_x + 1), ip_y = y.substr(cut_y + 1);
      if (ip_x == ip_y || ip_x == "0.0.0.0" || ip_y == "0.0.0.0") return true;
    }
  return false;
}

std::set<std::string> requested_resources(const core::Pod& pod) {
  std::set<std::string> out = {"cpu", "memory", "ephemeral-storage"};
  for (const auto* list : {&pod.spec.containers, &pod.spec.init_containers})
    for (const auto& c : *list)
      for (const auto& [k, q] : c.resources.requests) out.insert(k);
  return out;
}

PodVerdict rejected(std::string reason, std::string message) { return {std::move(reason), std::move(message), false, {}}; }

std::string amount(const std::string& resource, const Quantity& q) {
  return std::to_string(resource == "cpu" ? q.milli_value() : q.value());
}

}  // namespace

bool matches_node_selector(const core::NodeSelectorTerm& term, const std::map<std::string, std::string>& labels, const std::string& node_name) {
  if (term.match_expressions.empty() && term.match_fields.empty()) return false;
  for (const auto& r : term.match_expressions) {
    auto i = labels.find(r.key);
    if (!holds(r, i == labels.end() ? nullptr : &i->second)) return false;
  }
  for (const auto& r : term.match_fields)
    if (r.key != "metadata.name" || !holds(r, &node_name)) return false;
  return true;
}

std::optional<PodVerdict> refuse_pod(const core::Pod& pod, const AdmissionInput& in) {
  auto os = pod.spec.node_selector.find("kubernetes.io/os");
  if (os != pod.spec.node_selector.end() && os->second != "linux")
    return rejected("PodOSSelectorNodeLabelDoesNotMatch", "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label");
  if (pod.spec.os && pod.spec.os->name != "linux") return rejected("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS");
  auto pods = quantity_in(in.allocatable, "pods");
  if (pods && static_cast<std::int64_t>(in.others.size()) + 1 > pods->value())
    return rejected("OutOfpods", "Node didn't have enough resource: pods, requested: 1, used: " + std::to_string(in.others.size()) + ", capacity: " + std::to_string(pods->value()));
  for (const auto& name : requested_resources(pod)) {
    Quantity wanted = pod_request(pod, name);
    auto capacity = quantity_in(in.allocatable, name);
    if (wanted.is_zero() || !capacity) continue;  // extended resources that the node does not know are the cluster's
    Quantity used;
    for (const core::Pod* o : in.others) used += pod_request(*o, name);
    if (used + wanted > *capacity)
      return rejected("OutOf" + name, "Node didn't have enough resource: " + name + ", requested: " + amount(name, wanted) + ", used: " + amount(name, used) +
                                          ", capacity: " + amount(name, *capacity));
  }
  if (!affinity_holds(pod, in)) return rejected("NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector");
  std::set<std::string> ports = host_ports(pod);
  for (const core::Pod* o : in.others)
    if (!ports.empty() && ports_clash(ports, host_ports(*o)))
      return rejected("NodePorts", "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports");
  if (!is_static_pod(pod))
    for (const auto& t : in.taints)
      if (t.effect == "NoExecute" && !tolerates(pod, t)) return rejected("TaintToleration", "Predicate TaintToleration failed");
  return std::nullopt;
}

}  // namespace onebin::kubelet
