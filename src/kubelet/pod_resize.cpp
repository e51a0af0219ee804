// In-place resize: requests and limits that change while the pod runs (KEP-1287). A change is first granted by the node,
// then actuated: by the cgroups, or by a restart where the container's policy asks for one.
#include "kubelet/pod_worker.hpp"

#include <onebin/base/log.hpp>

namespace onebin::kubelet {
namespace {

Quantity value_of(const std::map<std::string, Quantity>& m, const char* name) { return quantity_in(m, name).value_or(Quantity()); }

bool differs(const core::ResourceRequirements& a, const core::ResourceRequirements& b, const char* name) {
  return value_of(a.requests, name) != value_of(b.requests, name) || value_of(a.limits, name) != value_of(b.limits, name);
}

bool same_cpu_and_memory(const core::ResourceRequirements& a, const core::ResourceRequirements& b) {
  return !differs(a, b, "cpu") && !differs(a, b, "memory");
}

bool wants_restart(const core::Container& c, const core::ResourceRequirements& from, const core::ResourceRequirements& to) {
  for (const auto& p : c.resize_policy)
    if (p.restart_policy == "RestartContainer" && differs(from, to, p.resource_name.c_str())) return true;
  return false;
}

}  // namespace

core::Pod PodWorker::granted() const {
  core::Pod p = pod_;
  for (auto* list : {&p.spec.containers, &p.spec.init_containers})
    for (auto& c : *list)
      if (auto i = granted_.find(c.name); i != granted_.end()) c.resources = i->second;
  return p;
}

void PodWorker::grant_resources() {
  bool changed = false;
  for (const auto* list : {&pod_.spec.containers, &pod_.spec.init_containers})
    for (const auto& c : *list) {
      auto [i, fresh] = granted_.try_emplace(c.name, c.resources);
      if (!fresh && !same_cpu_and_memory(i->second, c.resources)) changed = true;
    }
  if (!changed) {
    if (resize_ && resize_->pending) resize_.reset();
    return;
  }
  if (std::optional<ResizeState> no = node_.refuse_resize ? node_.refuse_resize(pod_) : std::nullopt) {
    resize_ = std::move(no);
    return;
  }
  for (const auto* list : {&pod_.spec.containers, &pod_.spec.init_containers})
    for (const auto& c : *list) granted_[c.name] = c.resources;
  resize_ = ResizeState{false, {}, {}};
}

// True when the container runs with what it has been granted.
async::Task<bool> PodWorker::resize_container(const core::Container* spec, const RuntimeContainer* running) {
  const core::ResourceRequirements wanted = granted_[spec->name];
  auto [has, fresh] = actuated_.try_emplace(spec->name, wanted);
  if (fresh) {
    // Found running after a restart of the agent: what the status says it runs with.
    const core::ContainerStatus* s = find_status(status_, spec->name);
    if (s && s->resources && s->container_id.ends_with(running->id)) has->second = *s->resources;
  }
  if (same_cpu_and_memory(has->second, wanted)) {
    has->second = wanted;
    co_return true;
  }
  if (wants_restart(*spec, has->second, wanted)) {
    if (!killing_.contains(running->id)) {
      killing_.insert(running->id);
      group_.spawn(kill_in_background(ContainerKill{running->id, spec->name, "Container " + spec->name + " resize requires restart", KillReason::Other}));
    }
    co_return false;
  }
  core::Container c = *spec;
  c.resources = wanted;
  engine::Resources r = container_resources(pod_, c, node_.cgroups->unified());
  if (!r.memory_limit) r.memory_limit = -1;
  std::string id = running->id;
  Result<void> done = co_await async::uncancelled(node_.engine->update_container(id, r));
  if (!done) {
    resize_ = ResizeState{false, "Error", done.status().message()};
    wake_in(std::chrono::seconds(5));
    co_return false;
  }
  actuated_[c.name] = wanted;
  co_return true;
}

async::Task<void> PodWorker::actuate_resources() {
  if (!resize_ || resize_->pending) co_return;
  // The pod's group grows before its containers and shrinks after them.
  Result<void> grown = node_.cgroups->update(granted());
  if (!grown) log_debug("the pod's cgroup does not take its new limits yet", {{"pod", pod_key(pod_)}, {"error", grown.status()}});
  bool all = true;
  core::Pod spec = pod_;
  RuntimePod now = runtime_;
  for (const auto* list : {&spec.spec.containers, &spec.spec.init_containers})
    for (const auto& c : *list) {
      const RuntimeContainer* r = now.find_active(c.name);
      if (!r || r->state != ContainerState::Running) continue;
      bool done = co_await resize_container(&c, r);
      all = all && done;
    }
  Result<void> shrunk = node_.cgroups->update(granted());
  if (!shrunk) {
    resize_ = ResizeState{false, "Error", shrunk.status().message()};
    wake_in(std::chrono::seconds(5));
    all = false;
  }
  if (all) resize_.reset();
  publish();
}

void PodWorker::fill_resize(StatusInput& in) const {
  in.granted = granted_;
  in.actuated = actuated_;
  in.resize = resize_;
}

}  // namespace onebin::kubelet
