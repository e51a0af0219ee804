// Requests and limits as cgroup settings. Pure. Source of the formulas: Kubernetes docs, "Resource Management for Pods and
// Containers"; KEP-753 for sidecars' oom_score_adj.
#pragma once
#include "kubelet/pod_util.hpp"

#include <onebin/engine/types.hpp>

#include <string>

namespace onebin::kubelet {

inline constexpr std::uint64_t kMinShares = 2, kMaxShares = 262144, kCpuPeriod = 100000;

std::uint64_t milli_cpu_to_shares(std::int64_t milli);
std::int64_t milli_cpu_to_quota(std::int64_t milli);  // microseconds in kCpuPeriod, at least 1000

engine::Resources container_resources(const core::Pod& pod, const core::Container& c, bool unified);
engine::Resources pod_resources(const core::Pod& pod, bool unified);
int oom_score_adj(const core::Pod& pod, const core::Container& c, std::int64_t memory_capacity);

// "/kubepods", "/kubepods/burstable", "/kubepods/besteffort" below `root`.
std::string qos_cgroup(const std::string& root, const std::string& qos);
std::string pod_cgroup(const std::string& root, const std::string& qos, const std::string& uid);

}  // namespace onebin::kubelet
