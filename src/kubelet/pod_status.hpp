// The status that the API shows for a pod: a pure function of its definition, what runs, and what was shown before.
#pragma once
#include "kubelet/pod_actions.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace onebin::kubelet {

struct WaitReason {
  std::string reason, message;
};

// A verdict over the whole pod that its containers do not show: rejected by the node, evicted, past its deadline.
struct PodVerdict {
  std::string reason, message;
  bool disruption_target = false;       // adds the DisruptionTarget condition
  std::string disruption_reason;        // "TerminationByKubelet"
};

// Why a resize has not happened yet. KEP-1287.
struct ResizeState {
  bool pending = false;         // PodResizePending: not granted (Deferred, Infeasible); else PodResizeInProgress
  std::string reason, message;
};

struct StatusInput {
  const core::Pod* pod = nullptr;
  const core::PodStatus* old = nullptr;             // what was last generated, else the API's
  const RuntimePod* runtime = nullptr;
  const ProbeVerdicts* probes = nullptr;
  std::map<std::string, WaitReason> wait_reasons;   // by container: why its last start failed or waits
  std::optional<PodVerdict> verdict;                // makes the phase Failed
  // What each container has been granted, and what it runs with; absent: what its definition says.
  std::map<std::string, core::ResourceRequirements> granted, actuated;
  std::optional<ResizeState> resize;
  std::vector<std::string> host_ips;
  bool terminal = false;                            // nothing will be restarted any more
  bool may_run = false;                             // containers may still run: no terminal phase yet
  WallTime now{};
  WallTime kubelet_start{};                         // readiness of containers older than this is kept until probed
};

core::PodStatus generate_pod_status(const StatusInput& in);

// The phase by itself, from generated container statuses. `infos`: regular, then init.
std::string pod_phase(const core::Pod& pod, const std::vector<core::ContainerStatus>& infos, bool terminal, bool initialized);

const core::PodCondition* find_condition(const core::PodStatus& status, std::string_view type);
bool owned_by_kubelet(std::string_view condition_type);

// The strategic merge patch to the status subresource that turns `before` into `after`; empty when nothing differs.
std::string status_patch(const core::Pod& pod, const core::PodStatus& before, const core::PodStatus& after);

inline constexpr std::string_view kContainerIdScheme = "onebin://";

}  // namespace onebin::kubelet
