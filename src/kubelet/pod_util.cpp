#include "kubelet/pod_util.hpp"

#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::kubelet {

namespace {
constexpr std::int32_t kSystemCriticalPriority = 2000000000;

bool has_resource(const core::ResourceRequirements& r) { return !r.requests.empty() || !r.limits.empty(); }

// "" for a set that says nothing of cpu and memory.
std::string requirements_qos(const core::ResourceRequirements& r) {
  if (!has_resource(r)) return "BestEffort";
  std::string qos;
  for (const char* name : {"cpu", "memory"}) {
    Quantity request = quantity_in(r.requests, name).value_or(Quantity());
    Quantity limit = quantity_in(r.limits, name).value_or(Quantity());
    if (request != limit) return "Burstable";
    std::string one = request.is_zero() ? "BestEffort" : "Guaranteed";
    if (qos.empty()) qos = one;
    else if (qos != one) return "Burstable";
  }
  return qos;
}

}  // namespace

bool is_critical(const core::Pod& p) {
  return is_static_pod(p) || is_mirror_pod(p) || (p.spec.priority && *p.spec.priority >= kSystemCriticalPriority);
}

core::Container as_container(const core::EphemeralContainer& e) {
  core::Container c;
  c.name = e.name;
  c.image = e.image;
  c.command = e.command;
  c.args = e.args;
  c.working_dir = e.working_dir;
  c.ports = e.ports;
  c.env_from = e.env_from;
  c.env = e.env;
  c.resources = e.resources;
  c.volume_mounts = e.volume_mounts;
  c.volume_devices = e.volume_devices;
  c.termination_message_path = e.termination_message_path;
  c.termination_message_policy = e.termination_message_policy;
  c.image_pull_policy = e.image_pull_policy;
  c.security_context = e.security_context;
  c.stdin = e.stdin;
  c.stdin_once = e.stdin_once;
  c.tty = e.tty;
  return c;
}

const core::Container* find_container(const core::Pod& pod, std::string_view name, core::Container* scratch) {
  for (const auto& c : pod.spec.init_containers)
    if (c.name == name) return &c;
  for (const auto& c : pod.spec.containers)
    if (c.name == name) return &c;
  for (const auto& e : pod.spec.ephemeral_containers)
    if (e.name == name) {
      *scratch = as_container(e);
      return scratch;
    }
  return nullptr;
}

bool is_init_container(const core::Pod& pod, std::string_view name) {
  return std::any_of(pod.spec.init_containers.begin(), pod.spec.init_containers.end(), [&](const auto& c) { return c.name == name; });
}
bool is_ephemeral_container(const core::Pod& pod, std::string_view name) {
  return std::any_of(pod.spec.ephemeral_containers.begin(), pod.spec.ephemeral_containers.end(),
                     [&](const auto& c) { return c.name == name; });
}

const core::ContainerStatus* find_status(const std::vector<core::ContainerStatus>& list, std::string_view name) {
  for (const auto& s : list)
    if (s.name == name) return &s;
  return nullptr;
}
const core::ContainerStatus* find_status(const core::PodStatus& status, std::string_view name) {
  for (const auto* list : {&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses})
    if (const auto* s = find_status(*list, name)) return s;
  return nullptr;
}

std::string hash_container(const core::Container& c) {
  std::uint64_t h = fnv1a64(c.name + "\n" + c.image);
  std::string raw;
  for (int i = 56; i >= 0; i -= 8) raw.push_back(static_cast<char>(h >> i));
  return hex_encode(raw);
}

bool should_restart_after_exit(const core::Container& c, const core::PodSpec& spec, int exit_code) {
  std::string policy = spec.restart_policy;
  if (c.restart_policy) {
    for (const auto& rule : c.restart_policy_rules) {
      if (!rule.exit_codes) continue;
      const auto& values = rule.exit_codes->values;
      bool listed = std::find(values.begin(), values.end(), exit_code) != values.end();
      const auto& op = rule.exit_codes->operator_;
      if ((op == "In" && listed) || (op == "NotIn" && !listed)) {
        if (rule.action == "Restart" || rule.action == "RestartAllContainers") return true;
        break;
      }
    }
    policy = *c.restart_policy;
  }
  if (policy == "Never") return false;
  if (policy == "OnFailure") return exit_code != 0;
  return true;
}

bool should_be_restarted(const core::Container& c, const core::Pod& pod, const RuntimePod& runtime) {
  if (is_deleting(pod)) return false;
  const RuntimeContainer* s = runtime.find(c.name);
  if (!s) return true;
  if (s->state == ContainerState::Running) return false;
  if (s->state == ContainerState::Unknown || s->state == ContainerState::Created) return true;
  return should_restart_after_exit(c, pod.spec, s->exit_code);
}

bool any_regular_created(const core::Pod& pod, const RuntimePod& runtime) {
  return std::any_of(pod.spec.containers.begin(), pod.spec.containers.end(), [&](const auto& c) { return runtime.find(c.name) != nullptr; });
}

bool any_active_regular_started(const core::Pod& pod, const RuntimePod& runtime) {
  for (const auto& c : pod.spec.containers) {
    const RuntimeContainer* s = runtime.find_active(c.name);
    if (s && (s->state == ContainerState::Running || s->state == ContainerState::Exited)) return true;
  }
  return false;
}

bool any_regular_started(const core::PodSpec& spec, const std::vector<core::ContainerStatus>& statuses) {
  for (const auto& c : spec.containers) {
    const auto* s = find_status(statuses, c.name);
    if (!s) continue;
    bool started = s->state.running || s->state.terminated || s->last_state.terminated || s->restart_count > 0 ||
                   true_in(s->started);
    if (started) return true;
  }
  return false;
}

std::optional<Quantity> quantity_in(const std::map<std::string, Quantity>& list, const std::string& name) {
  auto i = list.find(name);
  return i == list.end() ? std::nullopt : std::optional(i->second);
}

std::string qos_class(const core::Pod& pod) {
  if (pod.spec.resources && has_resource(*pod.spec.resources)) return requirements_qos(*pod.spec.resources);
  std::string qos;
  for (const auto* list : {&pod.spec.init_containers, &pod.spec.containers})
    for (const auto& c : *list) {
      std::string one = requirements_qos(c.resources);
      if (one == "Burstable") return one;
      if (qos.empty()) qos = one;
      else if (qos != one) return "Burstable";
    }
  return qos.empty() ? "BestEffort" : qos;
}

Quantity pod_request(const core::Pod& pod, const std::string& resource) {
  Quantity sum, sidecars, init_peak;
  for (const auto& c : pod.spec.containers)
    if (auto q = quantity_in(c.resources.requests, resource)) sum += *q;
  for (const auto& c : pod.spec.init_containers) {
    Quantity own = quantity_in(c.resources.requests, resource).value_or(Quantity());
    if (is_sidecar(c)) {
      sidecars += own;
      init_peak = std::max(init_peak, sidecars);
    } else {
      init_peak = std::max(init_peak, sidecars + own);
    }
  }
  Quantity total = std::max(sum + sidecars, init_peak);
  if (pod.spec.resources)
    if (auto q = quantity_in(pod.spec.resources->requests, resource)) total = *q;
  if (auto q = quantity_in(pod.spec.overhead, resource)) total += *q;
  return total;
}

std::optional<Quantity> pod_limit(const core::Pod& pod, const std::string& resource) {
  std::optional<Quantity> total;
  if (pod.spec.resources) total = quantity_in(pod.spec.resources->limits, resource);
  if (!total) {
    Quantity sum, sidecars, init_peak;
    for (const auto& c : pod.spec.containers) {
      auto q = quantity_in(c.resources.limits, resource);
      if (!q) return std::nullopt;
      sum += *q;
    }
    for (const auto& c : pod.spec.init_containers) {
      auto q = quantity_in(c.resources.limits, resource);
      if (!q) return std::nullopt;
      if (is_sidecar(c)) sidecars += *q;
      init_peak = std::max(init_peak, is_sidecar(c) ? sidecars : sidecars + *q);
    }
    total = std::max(sum + sidecars, init_peak);
  }
  if (auto q = quantity_in(pod.spec.overhead, resource)) *total += *q;
  return total;
}

std::int64_t grace_period_seconds(const core::Pod& pod) {
  if (is_deleting(pod) && pod.metadata.deletion_grace_period_seconds) return *pod.metadata.deletion_grace_period_seconds;
  if (pod.spec.termination_grace_period_seconds) return *pod.spec.termination_grace_period_seconds;
  return 30;
}

std::string bracketed(const std::vector<std::string>& names) { return "[" + join(names, " ") + "]"; }
std::string quote(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') { out += "\\n"; continue; }
    out += c;
  }
  return out + "\"";
}

}  // namespace onebin::kubelet
