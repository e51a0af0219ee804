// What to do next for a pod: a pure function of its definition, what runs, and what the probes say.
#pragma once
#include "kubelet/pod_util.hpp"
#include "kubelet/runtime.hpp"

#include <map>
#include <string>
#include <vector>

namespace onebin::kubelet {

enum class KillReason : std::uint8_t { Other, StartupProbe, LivenessProbe, Unknown, Changed };

struct ContainerKill {
  std::string id, name, message;
  KillReason reason = KillReason::Other;
};

struct PodActions {
  bool kill_pod = false;        // everything of the present sandbox, and the sandbox
  bool create_sandbox = false;
  std::uint32_t attempt = 0;    // of the sandbox to create
  std::string sandbox_id;       // the present one, "" when there is none
  std::string sandbox_reason;   // why another is needed
  std::vector<int> init_to_start, containers_to_start, ephemeral_to_start;  // indices in the pod's lists, in order
  std::vector<ContainerKill> to_kill;
  bool nothing_to_do() const {
    return !kill_pod && !create_sandbox && init_to_start.empty() && containers_to_start.empty() && ephemeral_to_start.empty() &&
           to_kill.empty();
  }
};

struct SandboxChange {
  bool needed = false;
  std::uint32_t attempt = 0;
  std::string sandbox_id, reason;
};
SandboxChange sandbox_change(const core::Pod& pod, const RuntimePod& runtime);

PodActions compute_pod_actions(const core::Pod& pod, const RuntimePod& runtime, const ProbeVerdicts& probes);

// Restart back-off: 10 s, doubled at each start up to 5 minutes, forgotten 10 minutes after the last one.
class Backoff {
 public:
  Backoff(Duration initial, Duration max) : initial_(initial), max_(max) {}
  // How long after `since` (the last end) `key` has still to wait; zero when it may go on.
  Duration remaining(const std::string& key, WallTime since, WallTime now) const;
  Duration current(const std::string& key) const;
  void next(const std::string& key, WallTime since, WallTime now);
  void forget(const std::string& key) { entries_.erase(key); }
  void forget_prefix(const std::string& prefix);

 private:
  struct Entry {
    Duration delay;
    WallTime updated;
  };
  bool expired(const Entry& e, WallTime since) const { return since - e.updated > 2 * max_; }
  Duration initial_, max_;
  std::map<std::string, Entry> entries_;
};

// The order in which a pod's containers end. Sidecars wait for the regular containers and for the sidecars after them.
// Stage 0 ends first; what shares a stage ends together.
std::vector<std::vector<std::string>> termination_stages(const core::Pod& pod, const std::vector<std::string>& running);

}  // namespace onebin::kubelet
