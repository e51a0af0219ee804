// The OCI runtime configuration (config.json) of a container: a pure function of what is asked for and what is there.
#pragma once
#include "engine/host.hpp"
#include "engine/users.hpp"

#include <onebin/base/result.hpp>
#include <onebin/engine/types.hpp>

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <vector>

namespace onebin::engine {

struct SpecInputs {
  const ContainerConfig& config;
  const ImageInfo& image;
  const SandboxConfig& sandbox;
  const HostLimits& host;
  bool cgroup_v2 = false;
  std::string rootfs, cgroup_path;
  std::string net_ns, ipc_ns, uts_ns;  // paths; empty: the host's
  std::string pid_ns;                  // a path, "new", or empty: the host's
  std::string shm_path;                // bound to /dev/shm
  std::string resolv_conf_path, hostname_path;  // bound when not empty and the pod mounts nothing there
  ResolvedUser user;
  std::vector<Mount> mounts;           // the config's, with image mounts turned into host paths
  std::vector<Device> host_devices;    // of a privileged container
};

Result<nlohmann::json> make_spec(const SpecInputs& in);

// The process part for an exec in a container of this spec.
nlohmann::json exec_process(const nlohmann::json& container_process, const std::vector<std::string>& command, bool tty);

nlohmann::json resources_json(const Resources& r, bool cgroup_v2, bool swap_accounting);

// The seccomp profile for RuntimeDefault: what containers commonly need, less what reaches the kernel's own keys, clocks,
// modules and other processes' memory; more with some capabilities.
nlohmann::json default_seccomp(const std::vector<std::string>& capabilities);

// Device nodes of the host's /dev. Blocking.
std::vector<Device> list_host_devices();

}  // namespace onebin::engine
