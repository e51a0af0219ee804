// What the engine knows of a pod, as values that the pure functions decide on.
#pragma once
#include <onebin/base/time.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::kubelet {

enum class ContainerState : std::uint8_t { Created, Running, Exited, Unknown };

struct RuntimeUser {
  std::int64_t uid = 0, gid = 0;
  std::vector<std::int64_t> supplemental_groups;
  bool operator==(const RuntimeUser&) const = default;
};

struct RuntimeContainer {
  std::string id;                     // "onebin://<hex>" in the API; here without the scheme
  std::string name;
  std::string sandbox_id;
  ContainerState state = ContainerState::Created;
  WallTime created_at{}, started_at{}, finished_at{};
  int exit_code = 0;
  std::string reason, message;        // of the termination: Completed, Error, OOMKilled, ...
  std::string image, image_id;        // as asked for; what it resolved to
  int restart_count = 0;
  std::string hash;                   // hash_container() of the definition that it was made from
  std::optional<RuntimeUser> user;
};

struct RuntimeSandbox {
  std::string id;
  std::uint32_t attempt = 0;
  bool ready = false;
  bool host_network = false;
  WallTime created_at{};
  std::vector<std::string> ips;
};

struct RuntimePod {
  std::string uid, ns, name;
  std::vector<RuntimeSandbox> sandboxes;      // newest first
  std::vector<RuntimeContainer> containers;   // newest first, of all sandboxes

  const RuntimeContainer* find(std::string_view container) const {
    for (const auto& c : containers)
      if (c.name == container) return &c;
    return nullptr;
  }
  // Of the newest sandbox only, when that is ready.
  const RuntimeContainer* find_active(std::string_view container) const {
    if (sandboxes.empty() || !sandboxes.front().ready) return nullptr;
    for (const auto& c : containers)
      if (c.name == container && c.sandbox_id == sandboxes.front().id) return &c;
    return nullptr;
  }
  bool any_running() const {
    for (const auto& c : containers)
      if (c.state == ContainerState::Running) return true;
    return false;
  }
};

enum class ProbeKind : std::uint8_t { Startup, Liveness, Readiness };
enum class ProbeVerdict : std::uint8_t { Unknown, Success, Failure };

// What the probes say of the present containers; absent: there is no verdict yet.
struct ProbeVerdicts {
  std::map<std::string, ProbeVerdict> startup, liveness, readiness;  // by container id
  static std::optional<ProbeVerdict> get(const std::map<std::string, ProbeVerdict>& m, const std::string& id) {
    auto i = m.find(id);
    return i == m.end() ? std::nullopt : std::optional(i->second);
  }
};

}  // namespace onebin::kubelet
