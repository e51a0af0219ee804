#include "kubelet/pod_status.hpp"

#include <algorithm>
#include <set>

namespace onebin::kubelet {
namespace {

constexpr const char* kStatusUnknown = "ContainerStatusUnknown";

template <class State>
void set_waiting(State& s, std::string reason, std::string message = {}) {
  s = {};
  core::ContainerStateWaiting w;
  w.reason = std::move(reason);
  w.message = std::move(message);
  s.waiting = w;
}

core::ContainerStateTerminated lost_container(std::string message) {
  core::ContainerStateTerminated t;
  t.exit_code = 137;
  t.reason = kStatusUnknown;
  t.message = std::move(message);
  return t;
}

core::ContainerStatus from_runtime(const RuntimeContainer& c, const core::ContainerStatus* old) {
  core::ContainerStatus s;
  s.name = c.name;
  s.restart_count = c.restart_count;
  s.image = c.image;
  s.image_id = c.image_id;
  s.container_id = std::string(kContainerIdScheme) + c.id;
  if (old) {
    s.restart_count = std::max(s.restart_count, old->restart_count);
    if (old->container_id != s.container_id && old->state.terminated) s.last_state.terminated = old->state.terminated;
    else if (old->last_state.terminated) s.last_state.terminated = old->last_state.terminated;
  }
  switch (c.state) {
    case ContainerState::Running: {
      core::ContainerStateRunning r;
      r.started_at = c.started_at;
      s.state.running = r;
      break;
    }
    case ContainerState::Exited: {
      core::ContainerStateTerminated t;
      t.exit_code = c.exit_code;
      t.reason = c.reason;
      t.message = c.message;
      // The message's file goes with the pod's volumes; what was told once stays told.
      if (t.message.empty() && old && old->state.terminated && old->container_id == s.container_id) t.message = old->state.terminated->message;
      t.started_at = c.started_at;  // of what could not be started: the epoch
      t.finished_at = c.finished_at;
      t.container_id = s.container_id;
      s.state.terminated = t;
      break;
    }
    case ContainerState::Unknown:
      if (old && old->state.running) {
        core::ContainerStateTerminated t = lost_container("The container could not be located when the pod was terminated");
        t.container_id = s.container_id;
        t.started_at = old->state.running->started_at;
        s.state.terminated = t;
        break;
      }
      [[fallthrough]];
    case ContainerState::Created:
      s.state.waiting = core::ContainerStateWaiting{};
      break;
  }
  if (c.user) {
    core::ContainerUser user;
    core::LinuxContainerUser linux_user;
    linux_user.uid = c.user->uid;
    linux_user.gid = c.user->gid;
    linux_user.supplemental_groups = c.user->supplemental_groups;
    user.linux = linux_user;
    s.user = user;
  }
  return s;
}

void add_mount_statuses(const core::Container& c, core::ContainerStatus& s) {
  for (const auto& m : c.volume_mounts) {
    core::VolumeMountStatus v;
    v.name = m.name;
    v.mount_path = m.mount_path;
    v.read_only = m.read_only;
    if (m.read_only) {
      bool rro = m.recursive_read_only && (*m.recursive_read_only == "Enabled" || *m.recursive_read_only == "IfPossible");
      v.recursive_read_only = rro ? "Enabled" : "Disabled";
    }
    s.volume_mounts.push_back(std::move(v));
  }
}

// A container that the runtime does not know: waiting by default, but what has run before is not shown as new.
core::ContainerStatus absent_status(const core::Container& c, const core::ContainerStatus* old, const char* default_reason, bool deleting) {
  core::ContainerStatus s;
  s.name = c.name;
  s.image = c.image;
  set_waiting(s.state, default_reason);
  add_mount_statuses(c, s);
  if (!old) return s;
  if (old->state.terminated) return *old;
  s.restart_count = old->restart_count;
  s.last_state = old->last_state;
  if (old->state.running && !s.last_state.terminated) {
    s.last_state.terminated = lost_container("The container could not be located when the pod was deleted.  The container used to be Running");
    if (!deleting) ++s.restart_count;
  }
  return s;
}

struct Lists {
  const StatusInput& in;
  bool has_init;
};

bool completed_init(const Lists& l, const core::Container& c, core::ContainerStatus& s) {
  const RuntimeContainer* r = l.in.runtime->find(c.name);
  if (r) return r->state == ContainerState::Exited && r->exit_code == 0;
  if (is_sidecar(c) || !s.state.waiting || !any_regular_created(*l.in.pod, *l.in.runtime)) return false;
  core::ContainerStateTerminated t;
  t.reason = "Completed";
  t.message = "Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally";
  s.state = {};
  s.state.terminated = t;
  return true;
}

std::vector<core::ContainerStatus> container_statuses(const Lists& l, const std::vector<core::Container>& containers,
                                                      const std::vector<core::ContainerStatus>& old_list, bool init) {
  const StatusInput& in = l.in;
  std::vector<core::ContainerStatus> out;
  for (const auto& c : containers) {
    const core::ContainerStatus* old = find_status(old_list, c.name);
    core::ContainerStatus s = absent_status(c, old, l.has_init ? "PodInitializing" : "ContainerCreating", is_deleting(*in.pod));
    int seen = 0;
    for (const auto& r : in.runtime->containers) {
      if (r.name != c.name) continue;
      core::ContainerStatus one = from_runtime(r, old);
      if (seen == 0) {
        add_mount_statuses(c, one);
        if (r.state == ContainerState::Running && old && old->started) one.started = old->started;
        auto granted = in.granted.find(c.name), actuated = in.actuated.find(c.name);
        const core::ResourceRequirements& has = granted == in.granted.end() ? c.resources : granted->second;
        one.allocated_resources = has.requests;
        one.resources = r.state == ContainerState::Running && actuated != in.actuated.end() ? actuated->second : has;
        s = std::move(one);
        // Made but not started yet: it waits as it did before.
        if (s.state.waiting && s.state.waiting->reason.empty()) set_waiting(s.state, l.has_init ? "PodInitializing" : "ContainerCreating");
      } else {
        s.last_state = one.state;
      }
      if (++seen == 2) break;
    }
    bool done = init && completed_init(l, c, s);
    if (!done && should_be_restarted(c, *in.pod, *in.runtime)) {
      auto why = in.wait_reasons.find(c.name);
      if (why != in.wait_reasons.end()) {
        if (s.state.terminated) s.last_state = s.state;
        set_waiting(s.state, why->second.reason, why->second.message);
      }
    }
    out.push_back(std::move(s));
  }
  return out;
}

bool started(const StatusInput& in, const core::Container& c, const core::ContainerStatus& s, const std::string& id) {
  if (!s.state.running) return false;
  if (auto v = ProbeVerdicts::get(in.probes->startup, id)) return *v == ProbeVerdict::Success;
  if (true_in(s.started)) return true;
  return !c.startup_probe;
}

bool ready(const StatusInput& in, const core::Container& c, const core::ContainerStatus& s, const std::string& id) {
  if (!s.state.running) return false;
  if (!c.readiness_probe) return true;
  if (auto v = ProbeVerdicts::get(in.probes->readiness, id)) return *v == ProbeVerdict::Success;
  // Not probed since the kubelet started: what ran before then keeps its readiness.
  if (time_or_zero(s.state.running->started_at).wall() >= in.kubelet_start) return false;
  const auto* was = find_condition(in.pod->status, "Ready");
  return was && was->status == "True";
}

void apply_probes(const StatusInput& in, const std::vector<core::Container>& containers, std::vector<core::ContainerStatus>& list, bool init) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    auto& s = list[i];
    const auto& c = containers[i];
    std::string id = s.container_id.size() > kContainerIdScheme.size() ? s.container_id.substr(kContainerIdScheme.size()) : std::string();
    bool up = started(in, c, s, id);
    s.started = up;
    if (init && !is_sidecar(c)) {
      s.ready = s.state.terminated && s.state.terminated->exit_code == 0;
      continue;
    }
    s.ready = up && ready(in, c, s, id);
  }
}

struct PhaseCounts {
  int pending_sidecars = 0, pending_init = 0, failed_init = 0;
  int unknown = 0, running = 0, waiting = 0, stopped = 0, stopped_for_good = 0, succeeded = 0;
};

void count_init(const core::Pod& pod, const core::Container& c, const core::ContainerStatus* s, PhaseCounts& n) {
  const core::ContainerStateTerminated* ended = nullptr;
  if (s && s->state.terminated) ended = &*s->state.terminated;
  else if (s && s->state.waiting && s->last_state.terminated) ended = &*s->last_state.terminated;
  if (!ended) {
    ++n.pending_init;
    return;
  }
  if (ended->exit_code != 0 && !should_restart_after_exit(c, pod.spec, ended->exit_code)) ++n.failed_init;
}

void count_sidecar(const core::ContainerStatus* s, PhaseCounts& n) {
  if (!s) {
    ++n.unknown;
  } else if (s->state.running) {
    if (!true_in(s->started)) ++n.pending_sidecars;
    ++n.running;
  } else if (s->state.terminated) {
    return;
  } else if (s->state.waiting) {
    if (s->last_state.terminated) return;
    ++n.pending_sidecars;
    ++n.waiting;
  } else {
    ++n.pending_sidecars;
    ++n.unknown;
  }
}

void count_regular(const core::Pod& pod, const core::Container& c, const core::ContainerStatus* s, PhaseCounts& n) {
  if (!s) {
    ++n.unknown;
  } else if (s->state.running) {
    ++n.running;
  } else if (s->state.terminated) {
    ++n.stopped;
    if (!should_restart_after_exit(c, pod.spec, s->state.terminated->exit_code)) ++n.stopped_for_good;
    if (s->state.terminated->exit_code == 0) ++n.succeeded;
  } else if (s->state.waiting) {
    if (!s->last_state.terminated) {
      ++n.waiting;
      return;
    }
    ++n.stopped;
    if (!should_restart_after_exit(c, pod.spec, s->last_state.terminated->exit_code)) ++n.stopped_for_good;
  } else {
    ++n.unknown;
  }
}

struct ConditionMaker {
  const StatusInput& in;
  core::PodStatus& status;

  core::PodCondition make(std::string type, bool yes, std::string reason = {}, std::string message = {}) const {
    core::PodCondition c;
    c.type = std::move(type);
    c.status = yes ? "True" : "False";
    c.reason = std::move(reason);
    c.message = std::move(message);
    c.observed_generation = in.pod->metadata.generation;
    return c;
  }
  core::PodCondition ready_to_start() const {
    SandboxChange change = sandbox_change(*in.pod, *in.runtime);
    if (!change.needed) return make("PodReadyToStartContainers", true);
    return make("PodReadyToStartContainers", false);
  }
  core::PodCondition initialized(const std::vector<core::ContainerStatus>& all) const {
    std::vector<std::string> unknown, incomplete;
    for (const auto& c : in.pod->spec.init_containers) {
      const auto* s = find_status(all, c.name);
      if (!s) unknown.push_back(c.name);
      else if (is_sidecar(c) ? !true_in(s->started) : !s->ready) incomplete.push_back(c.name);
    }
    if (status.phase == "Succeeded" && unknown.empty()) return make("Initialized", true, "PodCompleted");
    if (any_regular_started(in.pod->spec, all)) return make("Initialized", true);
    std::string message = messages("containers with unknown status: ", unknown, "containers with incomplete status: ", incomplete);
    if (message.empty()) return make("Initialized", true);
    return make("Initialized", false, "ContainersNotInitialized", message);
  }
  core::PodCondition containers_ready(const std::vector<core::ContainerStatus>& all) const {
    std::vector<std::string> unknown, unready;
    auto look = [&](const core::Container& c) {
      const auto* s = find_status(all, c.name);
      if (!s) unknown.push_back(c.name);
      else if (!s->ready) unready.push_back(c.name);
    };
    for (const auto& c : in.pod->spec.init_containers)
      if (is_sidecar(c)) look(c);
    for (const auto& c : in.pod->spec.containers) look(c);
    if (status.phase == "Succeeded" && unknown.empty()) return make("ContainersReady", false, "PodCompleted");
    if (status.phase == "Failed") return make("ContainersReady", false, "PodFailed");
    std::string message = messages("containers with unknown status: ", unknown, "containers with unready status: ", unready);
    if (message.empty()) return make("ContainersReady", true);
    return make("ContainersReady", false, "ContainersNotReady", message);
  }
  core::PodCondition ready(core::PodCondition base) const {
    base.type = "Ready";
    if (base.status != "True") return base;
    std::vector<std::string> missing;
    for (const auto& gate : in.pod->spec.readiness_gates) {
      const core::PodCondition* c = find_condition(status, gate.condition_type);
      if (!c) missing.push_back("corresponding condition of pod readiness gate " + quote(gate.condition_type) + " does not exist.");
      else if (c->status != "True")
        missing.push_back("the status of pod readiness gate " + quote(gate.condition_type) + " is not \"True\", but " + c->status);
    }
    if (missing.empty()) return base;
    std::string text;
    for (const auto& m : missing) text += (text.empty() ? "" : ", ") + m;
    return make("Ready", false, "ReadinessGatesNotReady", text);
  }
  static std::string messages(const char* a, const std::vector<std::string>& as, const char* b, const std::vector<std::string>& bs) {
    std::string out;
    if (!as.empty()) out = a + bracketed(as);
    if (!bs.empty()) out += (out.empty() ? "" : ", ") + std::string(b) + bracketed(bs);
    return out;
  }
};

void add_condition(const StatusInput& in, core::PodStatus& status, core::PodCondition c) {
  const core::PodCondition* old = find_condition(*in.old, c.type);
  if (old && old->status == c.status && !time_or_zero(old->last_transition_time).is_zero()) c.last_transition_time = old->last_transition_time;
  else c.last_transition_time = in.now;
  status.conditions.push_back(std::move(c));
}

void fill_conditions(const StatusInput& in, core::PodStatus& status) {
  for (const auto& c : in.pod->status.conditions)
    if (!owned_by_kubelet(c.type)) status.conditions.push_back(c);
  std::vector<core::ContainerStatus> all = status.init_container_statuses;
  all.insert(all.end(), status.container_statuses.begin(), status.container_statuses.end());
  ConditionMaker make{in, status};
  core::PodCondition containers_ready = make.containers_ready(all);
  core::PodCondition pod_ready = make.ready(containers_ready);
  if (in.resize && !is_terminal(status.phase))
    add_condition(in, status, make.make(in.resize->pending ? "PodResizePending" : "PodResizeInProgress", true, in.resize->reason, in.resize->message));
  add_condition(in, status, make.ready_to_start());
  add_condition(in, status, make.initialized(all));
  add_condition(in, status, std::move(pod_ready));
  add_condition(in, status, std::move(containers_ready));
  add_condition(in, status, make.make("PodScheduled", true));
  if (in.verdict && in.verdict->disruption_target && is_terminal(status.phase) && !find_condition(status, "DisruptionTarget"))
    add_condition(in, status, make.make("DisruptionTarget", true, in.verdict->disruption_reason, in.verdict->message));
}

void fill_addresses(const StatusInput& in, core::PodStatus& status) {
  std::vector<std::string> pod_ips;
  if (!in.pod->spec.host_network && !in.runtime->sandboxes.empty()) pod_ips = in.runtime->sandboxes.front().ips;
  if (in.pod->spec.host_network) {
    for (const auto& p : in.old->pod_ips) pod_ips.push_back(p.ip);
    for (std::size_t i = pod_ips.size(); i < in.host_ips.size(); ++i) pod_ips.push_back(in.host_ips[i]);
  }
  // A pod that has ended keeps the address that it had.
  if (pod_ips.empty() && (in.terminal || is_terminal(status.phase)))
    for (const auto& p : in.old->pod_ips) pod_ips.push_back(p.ip);
  for (const auto& ip : pod_ips) {
    core::PodIP p;
    p.ip = ip;
    status.pod_ips.push_back(p);
  }
  if (!pod_ips.empty()) status.pod_ip = pod_ips.front();
  for (const auto& ip : in.host_ips) {
    core::HostIP h;
    h.ip = ip;
    status.host_ips.push_back(h);
  }
  if (!in.host_ips.empty()) status.host_ip = in.host_ips.front();
}

void fill_phase(const StatusInput& in, core::PodStatus& status) {
  std::vector<core::ContainerStatus> all = status.container_statuses;
  all.insert(all.end(), status.init_container_statuses.begin(), status.init_container_statuses.end());
  status.phase = pod_phase(*in.pod, all, in.terminal, any_active_regular_started(*in.pod, *in.runtime));
  if (!is_terminal(status.phase)) {
    if (is_terminal(in.old->phase)) status.phase = in.old->phase;
    else if (is_terminal(in.pod->status.phase)) status.phase = in.pod->status.phase;
  }
  if (is_terminal(in.pod->status.phase)) status.phase = in.pod->status.phase;
  if (status.phase == in.old->phase) {
    status.reason = in.old->reason;
    status.message = in.old->message;
  }
  if (in.verdict) {
    status.phase = "Failed";
    status.reason = in.verdict->reason;
    status.message = in.verdict->message;
  }
  if (in.may_run && is_terminal(status.phase) && !is_terminal(in.old->phase)) {
    status.phase = in.old->phase.empty() ? "Pending" : in.old->phase;
    status.reason = in.old->reason;
    status.message = in.old->message;
  }
}

}  // namespace

const core::PodCondition* find_condition(const core::PodStatus& status, std::string_view type) {
  for (const auto& c : status.conditions)
    if (c.type == type) return &c;
  return nullptr;
}

bool owned_by_kubelet(std::string_view t) {
  return t == "PodScheduled" || t == "Ready" || t == "Initialized" || t == "ContainersReady" || t == "PodReadyToStartContainers" ||
         t == "PodResizePending" || t == "PodResizeInProgress" || t == "AllContainersRestarting";
}

std::string pod_phase(const core::Pod& pod, const std::vector<core::ContainerStatus>& infos, bool terminal, bool initialized) {
  PhaseCounts n;
  for (const auto& c : pod.spec.init_containers) {
    if (is_sidecar(c)) count_sidecar(find_status(infos, c.name), n);
    else count_init(pod, c, find_status(infos, c.name), n);
  }
  for (const auto& c : pod.spec.containers) count_regular(pod, c, find_status(infos, c.name), n);
  if (n.failed_init > 0) return "Failed";
  if (n.pending_init > 0 || (n.pending_sidecars > 0 && !initialized) || n.waiting > 0) return "Pending";
  if (n.running > 0 && n.unknown == 0) return "Running";
  if (n.running == 0 && n.stopped > 0 && n.unknown == 0) {
    if (!(terminal && !is_static_pod(pod)) && n.stopped != n.stopped_for_good) return "Running";
    return n.stopped == n.succeeded ? "Succeeded" : "Failed";
  }
  return "Pending";
}

core::PodStatus generate_pod_status(const StatusInput& in) {
  core::PodStatus status;
  const core::Pod& pod = *in.pod;
  status.observed_generation = pod.metadata.generation;
  status.qos_class = pod.status.qos_class.empty() ? qos_class(pod) : pod.status.qos_class;
  status.start_time = time_or_zero(in.old->start_time).is_zero() ? Time(in.now) : time_or_zero(in.old->start_time);
  Lists lists{in, !pod.spec.init_containers.empty()};
  std::vector<core::Container> ephemeral;
  for (const auto& e : pod.spec.ephemeral_containers) ephemeral.push_back(as_container(e));
  status.container_statuses = container_statuses(lists, pod.spec.containers, in.old->container_statuses, false);
  status.init_container_statuses = container_statuses(lists, pod.spec.init_containers, in.old->init_container_statuses, true);
  status.ephemeral_container_statuses = container_statuses(lists, ephemeral, in.old->ephemeral_container_statuses, false);
  apply_probes(in, pod.spec.containers, status.container_statuses, false);
  apply_probes(in, pod.spec.init_containers, status.init_container_statuses, true);
  fill_phase(in, status);
  if (is_terminal(status.phase))
    for (auto* list : {&status.container_statuses, &status.init_container_statuses})
      for (auto& s : *list)
        if (!s.state.terminated) s.ready = false;
  fill_addresses(in, status);
  fill_conditions(in, status);
  auto by_name = [](const auto& a, const auto& b) { return a.name < b.name; };
  std::sort(status.container_statuses.begin(), status.container_statuses.end(), by_name);
  std::sort(status.ephemeral_container_statuses.begin(), status.ephemeral_container_statuses.end(), by_name);
  return status;
}

}  // namespace onebin::kubelet
