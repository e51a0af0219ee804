// What the run folder holds of sandboxes and containers, as JSON, so that a new engine process finds them again.
#pragma once
#include <onebin/base/result.hpp>
#include <onebin/engine/types.hpp>

#include <string>
#include <vector>

namespace onebin::engine {

struct SandboxRecord {
  std::string id;
  SandboxConfig config;
  WallTime created_at{};
  bool stopped = false;
  std::string pause_id;  // container that holds a shared PID namespace
};

// Written at creation, never changed.
struct ContainerRecord {
  std::string id, sandbox_id;
  ContainerConfig config;  // without command, args and env, which config.json has
  std::string image_id, image_ref;
  std::vector<std::string> layer_keys;
  WallTime created_at{};
  std::string log_path, cgroup_path, runtime;
  int stop_signal = 15;
  std::int64_t uid = 0, gid = 0;
  std::vector<std::int64_t> groups;
  std::vector<std::string> mount_points;  // image volumes mounted below the container's folder
  bool hidden = false;                    // a sandbox's pause container
};

// Written at every change.
struct ContainerLife {
  ContainerState state = ContainerState::Created;
  WallTime started_at{}, finished_at{};
  int exit_code = 0;
  std::string reason, message;
  bool cleaned = false;  // cgroup, mounts and the runtime's files are gone
  Resources resources;   // as last updated
};

std::string to_json(const SandboxRecord& r);
Result<SandboxRecord> parse_sandbox(const std::string& text);
std::string to_json(const ContainerRecord& r);
Result<ContainerRecord> parse_container(const std::string& text);
std::string to_json(const ContainerLife& l);
Result<ContainerLife> parse_life(const std::string& text);

}  // namespace onebin::engine
