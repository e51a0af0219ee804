// Whether this node takes a pod: what the scheduler checked is checked again, since pods may be bound past it. Pure.
#pragma once
#include "kubelet/pod_status.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace onebin::kubelet {

struct AdmissionInput {
  std::string node_name;
  std::map<std::string, std::string> node_labels;
  std::vector<core::Taint> taints;
  std::map<std::string, Quantity> allocatable;
  std::vector<const core::Pod*> others;  // pods that hold resources here
};
// None: the pod may run. Else why it is Failed: OutOfcpu, NodeAffinity, NodePorts, ...
std::optional<PodVerdict> refuse_pod(const core::Pod& pod, const AdmissionInput& in);

bool matches_node_selector(const core::NodeSelectorTerm& term, const std::map<std::string, std::string>& labels, const std::string& node_name);

}  // namespace onebin::kubelet
