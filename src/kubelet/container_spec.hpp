// What the engine is told of a pod's sandbox and containers: a pure function of the definition and what was prepared.
#pragma once
#include "kubelet/env.hpp"
#include "kubelet/etc_files.hpp"
#include "kubelet/resources.hpp"

#include <onebin/engine/types.hpp>

#include <map>
#include <string>

namespace onebin::kubelet {

// Labels and annotations by which containers are found again after a restart of the agent.
namespace label {
inline constexpr const char* kPodName = "io.kubernetes.pod.name";
inline constexpr const char* kPodNamespace = "io.kubernetes.pod.namespace";
inline constexpr const char* kPodUid = "io.kubernetes.pod.uid";
inline constexpr const char* kContainerName = "io.kubernetes.container.name";
inline constexpr const char* kHash = "io.kubernetes.container.hash";
inline constexpr const char* kRestartCount = "io.kubernetes.container.restartCount";
inline constexpr const char* kTerminationFile = "io.onebin.terminationMessageFile";  // on the host
inline constexpr const char* kTerminationPolicy = "io.kubernetes.container.terminationMessagePolicy";
inline constexpr const char* kStopSignal = "io.onebin.stopSignal";
}  // namespace label

struct SandboxInput {
  std::uint32_t attempt = 0;
  HostName host;
  std::string netns_path, cgroup_parent, log_directory, resolv_conf, runtime_handler;
};
engine::SandboxConfig sandbox_config(const core::Pod& pod, const SandboxInput& in);

struct ContainerInput {
  int restart_count = 0;
  engine::ImageInfo image;
  EnvMap env;
  std::vector<engine::Mount> mounts;    // volumes, hosts file, termination message file
  std::string termination_file;         // on the host, "" for none
  std::string seccomp_root;             // folder of Localhost profiles
  std::int64_t memory_capacity = 0;
  bool unified_cgroups = false;
  std::string pid_target;               // container id, for an ephemeral container with a target
};
// Errors are CreateContainerConfigError: runAsNonRoot that cannot hold, ...
Result<engine::ContainerConfig> container_config(const core::Pod& pod, const core::Container& c, const ContainerInput& in);

std::string pod_log_directory(const std::string& root, const core::Pod& pod);
std::optional<std::int64_t> effective_user(const core::Pod& pod, const core::Container& c);
// The user that every container runs as, when they agree: the owner of projected service account tokens.
std::optional<std::int64_t> common_user(const core::Pod& pod);

}  // namespace onebin::kubelet
