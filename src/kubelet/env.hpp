// A container's environment and what its command line makes of it. Pure; the objects it refers to are given.
#pragma once
#include "kubelet/pod_util.hpp"

#include <onebin/api/certificates_v1.hpp>
#include <onebin/base/result.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace onebin::kubelet {

// The ConfigMaps and Secrets of one namespace that a pod refers to, as they are now; or why one cannot be had.
struct ReferencedObjects {
  std::map<std::string, Result<core::ConfigMap>> config_maps;
  std::map<std::string, Result<core::Secret>> secrets;
  Result<std::vector<api::certificates::v1::ClusterTrustBundle>> trust_bundles;  // all of the cluster's, where the pod mounts any
  Result<const core::ConfigMap*> config_map(const std::string& name) const;
  Result<const core::Secret*> secret(const std::string& name) const;
};

// What the pod knows of the node and of its own addresses.
struct PodFacts {
  std::vector<std::string> pod_ips, host_ips;
  std::map<std::string, Quantity> allocatable;  // stands in for limits that a container does not set
};

using EnvMap = std::map<std::string, std::string>;

// $(NAME) is replaced by lookup(NAME), "$$" is one '$'; an unknown reference stays as it is (and clears *all_known).
std::string expand_references(std::string_view text, const std::function<const std::string*(const std::string&)>& lookup,
                              bool* all_known = nullptr);

EnvMap service_env(const std::vector<core::Service>& services);

// metadata.name, .labels['x'], spec.nodeName, status.podIP, ...; BadRequest for others.
Result<std::string> field_value(const core::Pod& pod, const PodFacts& facts, const std::string& path);
Result<std::string> resource_value(const core::ResourceFieldSelector& selector, const core::Container& c, const PodFacts& facts);
std::string format_map(const std::map<std::string, std::string>& m);  // key="value" lines, sorted

Result<EnvMap> container_env(const core::Pod& pod, const core::Container& c, const PodFacts& facts, const ReferencedObjects& objects,
                             const EnvMap& services);

struct CommandLine {
  std::vector<std::string> command, args;
};
CommandLine expand_command(const core::Container& c, const EnvMap& env);
Result<std::string> expand_sub_path(const core::VolumeMount& m, const EnvMap& env);

}  // namespace onebin::kubelet
