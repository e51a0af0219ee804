#include "kubelet/pod_actions.hpp"

#include <algorithm>
#include <set>

namespace onebin::kubelet {
namespace {

bool init_failed(const RuntimeContainer& s) {
  if (s.state == ContainerState::Exited && s.exit_code != 0) return true;
  return s.state == ContainerState::Unknown;
}

const char* state_name(ContainerState s) {
  switch (s) {
    case ContainerState::Created: return "created";
    case ContainerState::Running: return "running";
    case ContainerState::Exited: return "exited";
    case ContainerState::Unknown: return "unknown";
  }
  return "unknown";
}

ContainerKill kill_of(const RuntimeContainer& s, std::string message, KillReason reason) { return {s.id, s.name, std::move(message), reason}; }

std::string unknown_state_message(const char* what, ContainerState s) {
  return std::string(what) + " is in " + quote(state_name(s)) + " state, try killing it before restart";
}

// A sidecar that runs. True when it counts as started, so that what comes after it may start.
bool running_sidecar(const core::Container& c, const RuntimeContainer& s, const ProbeVerdicts& probes, int index, PodActions& out) {
  if (c.startup_probe) {
    auto v = ProbeVerdicts::get(probes.startup, s.id);
    if (!v) return false;
    if (*v != ProbeVerdict::Success) {
      if (*v == ProbeVerdict::Failure) {
        out.to_kill.push_back(kill_of(s, "Init container " + c.name + " failed startup probe", KillReason::StartupProbe));
        out.init_to_start.push_back(index);
      }
      return false;
    }
  }
  return true;
}

void check_running_sidecar(const core::Container& c, const RuntimeContainer& s, const ProbeVerdicts& probes, int index, PodActions& out) {
  if (s.hash != hash_container(c)) {
    out.to_kill.push_back(kill_of(s, "Init container " + c.name + " definition changed", KillReason::Changed));
    out.init_to_start.push_back(index);
    return;
  }
  if (!c.liveness_probe) return;
  if (ProbeVerdicts::get(probes.liveness, s.id) == ProbeVerdict::Failure) {
    out.to_kill.push_back(kill_of(s, "Init container " + c.name + " failed liveness probe", KillReason::LivenessProbe));
    out.init_to_start.push_back(index);
  }
}

// Goes backwards, since completed init containers may have been removed: the last one that is known tells how far the pod
// is. Returns whether the regular containers may run. out.kill_pod: initialization has failed for good.
bool init_actions(const core::Pod& pod, const RuntimePod& runtime, const ProbeVerdicts& probes, PodActions& out) {
  const auto& list = pod.spec.init_containers;
  if (list.empty()) return true;
  bool pod_initialized = any_active_regular_started(pod, runtime);
  bool previously = pod_initialized;
  const int last = static_cast<int>(list.size()) - 1;
  for (int i = last; i >= 0; --i) {
    const core::Container& c = list[i];
    const bool sidecar = is_sidecar(c);
    const RuntimeContainer* s = runtime.find_active(c.name);
    if (!s) {
      if (previously && sidecar) out.init_to_start.push_back(i);
      continue;
    }
    if (previously && !sidecar) continue;
    switch (s->state) {
      case ContainerState::Created:
        out.init_to_start.push_back(i);
        break;
      case ContainerState::Running:
        if (!sidecar) break;
        if (!running_sidecar(c, *s, probes, i, out)) break;
        if (i == last) pod_initialized = true;
        else if (!previously) out.init_to_start.push_back(i + 1);
        check_running_sidecar(c, *s, probes, i, out);
        break;
      case ContainerState::Exited:
        if (sidecar) {
          out.init_to_start.push_back(i);
        } else if (init_failed(*s)) {
          if (!should_be_restarted(c, pod, runtime)) {
            out.kill_pod = true;
            out.init_to_start.clear();
            return false;
          }
          out.init_to_start.push_back(i);
        } else if (i == last) {
          pod_initialized = true;
        } else {
          out.init_to_start.push_back(i + 1);
        }
        break;
      case ContainerState::Unknown: {
        bool restart = sidecar || (c.restart_policy ? *c.restart_policy != "Never" : pod.spec.restart_policy != "Never");
        if (!restart) {
          out.kill_pod = true;
          out.init_to_start.clear();
          return false;
        }
        out.to_kill.push_back(kill_of(*s, unknown_state_message("Init container", s->state), KillReason::Unknown));
        out.init_to_start.push_back(i);
        break;
      }
    }
    previously = true;
  }
  if (!previously) out.init_to_start.push_back(0);
  std::reverse(out.init_to_start.begin(), out.init_to_start.end());
  return pod_initialized;
}

// A regular container that runs: kept, or killed and perhaps started again.
bool check_running(const core::Pod& pod, int index, const RuntimeContainer& s, const ProbeVerdicts& probes, PodActions& out) {
  const core::Container& c = pod.spec.containers[index];
  bool restart = c.restart_policy ? *c.restart_policy != "Never" : pod.spec.restart_policy != "Never";
  std::string message;
  KillReason reason = KillReason::Other;
  if (s.hash != hash_container(c)) {
    message = "Container " + c.name + " definition changed";
    reason = KillReason::Changed;
    restart = true;
  } else if (ProbeVerdicts::get(probes.liveness, s.id) == ProbeVerdict::Failure) {
    message = "Container " + c.name + " failed liveness probe";
    reason = KillReason::LivenessProbe;
  } else if (ProbeVerdicts::get(probes.startup, s.id) == ProbeVerdict::Failure) {
    message = "Container " + c.name + " failed startup probe";
    reason = KillReason::StartupProbe;
  } else {
    return true;
  }
  if (restart) {
    message += ", will be restarted";
    out.containers_to_start.push_back(index);
  }
  out.to_kill.push_back(kill_of(s, std::move(message), reason));
  return false;
}

bool succeeded(const core::Container& c, const RuntimePod& runtime) {
  const RuntimeContainer* s = runtime.find(c.name);
  return s && s->state == ContainerState::Exited && s->exit_code == 0;
}

void plan_new_sandbox(const core::Pod& pod, const RuntimePod& runtime, PodActions& out) {
  if (pod.spec.restart_policy == "Never" && out.attempt != 0 && !runtime.containers.empty()) {
    out.create_sandbox = false;
    return;
  }
  std::vector<int> start;
  for (std::size_t i = 0; i < pod.spec.containers.size(); ++i) {
    const auto& c = pod.spec.containers[i];
    bool run_once = c.restart_policy ? *c.restart_policy == "OnFailure" : pod.spec.restart_policy == "OnFailure";
    if (run_once && succeeded(c, runtime)) continue;
    start.push_back(static_cast<int>(i));
  }
  if (start.empty() && any_regular_created(pod, runtime)) {
    out.create_sandbox = false;
    return;
  }
  if (!pod.spec.init_containers.empty()) out.init_to_start = {0};
  else out.containers_to_start = std::move(start);
}

}  // namespace

SandboxChange sandbox_change(const core::Pod& pod, const RuntimePod& runtime) {
  if (runtime.sandboxes.empty()) return {true, 0, {}, "The pod has no sandbox"};
  const RuntimeSandbox& s = runtime.sandboxes.front();
  auto ready = std::count_if(runtime.sandboxes.begin(), runtime.sandboxes.end(), [](const auto& x) { return x.ready; });
  if (ready > 1) return {true, s.attempt + 1, s.id, "The pod has several ready sandboxes"};
  if (!s.ready) return {true, s.attempt + 1, s.id, "The pod's sandbox is not ready"};
  if (s.host_network != pod.spec.host_network) return {true, s.attempt + 1, {}, "The sandbox has another network namespace mode"};
  if (!pod.spec.host_network && s.ips.empty()) return {true, s.attempt + 1, s.id, "The pod's sandbox has no address"};
  return {false, s.attempt, s.id, {}};
}

PodActions compute_pod_actions(const core::Pod& pod, const RuntimePod& runtime, const ProbeVerdicts& probes) {
  SandboxChange change = sandbox_change(pod, runtime);
  PodActions out;
  out.kill_pod = out.create_sandbox = change.needed;
  out.attempt = change.attempt;
  out.sandbox_id = change.sandbox_id;
  out.sandbox_reason = change.reason;
  if (change.needed) {
    plan_new_sandbox(pod, runtime, out);
    return out;
  }
  for (std::size_t i = 0; i < pod.spec.ephemeral_containers.size(); ++i)
    if (!runtime.find(pod.spec.ephemeral_containers[i].name)) out.ephemeral_to_start.push_back(static_cast<int>(i));

  bool initialized = init_actions(pod, runtime, probes, out);
  if (out.kill_pod || !initialized) return out;

  int kept = 0;
  for (std::size_t i = 0; i < pod.spec.containers.size(); ++i) {
    const auto& c = pod.spec.containers[i];
    const RuntimeContainer* s = runtime.find(c.name);
    if (s && s->state == ContainerState::Running) {
      if (check_running(pod, static_cast<int>(i), *s, probes, out)) ++kept;
      continue;
    }
    if (!should_be_restarted(c, pod, runtime)) continue;
    out.containers_to_start.push_back(static_cast<int>(i));
    if (s && s->state == ContainerState::Unknown)
      out.to_kill.push_back(kill_of(*s, unknown_state_message("Container", s->state), KillReason::Unknown));
  }
  if (kept == 0 && out.containers_to_start.empty()) {
    out.kill_pod = true;
    out.init_to_start.clear();
  }
  return out;
}

Duration Backoff::remaining(const std::string& key, WallTime since, WallTime now) const {
  auto i = entries_.find(key);
  if (i == entries_.end() || expired(i->second, since)) return Duration::zero();
  Duration passed = now - since;
  return passed < i->second.delay ? i->second.delay - passed : Duration::zero();
}

Duration Backoff::current(const std::string& key) const {
  auto i = entries_.find(key);
  return i == entries_.end() ? Duration::zero() : i->second.delay;
}

void Backoff::next(const std::string& key, WallTime since, WallTime now) {
  auto [i, fresh] = entries_.try_emplace(key, Entry{initial_, now});
  if (!fresh) i->second.delay = expired(i->second, since) ? initial_ : std::min(i->second.delay * 2, max_);
  i->second.updated = now;
}

void Backoff::forget_prefix(const std::string& prefix) {
  for (auto i = entries_.lower_bound(prefix); i != entries_.end() && i->first.starts_with(prefix);) i = entries_.erase(i);
}

std::vector<std::vector<std::string>> termination_stages(const core::Pod& pod, const std::vector<std::string>& running) {
  std::set<std::string> left(running.begin(), running.end());
  std::vector<std::string> sidecars;
  for (const auto& c : pod.spec.init_containers)
    if (is_sidecar(c) && left.erase(c.name)) sidecars.push_back(c.name);
  std::vector<std::vector<std::string>> stages;
  if (!left.empty()) stages.emplace_back(left.begin(), left.end());
  for (auto i = sidecars.rbegin(); i != sidecars.rend(); ++i) stages.push_back({*i});
  return stages;
}

}  // namespace onebin::kubelet
