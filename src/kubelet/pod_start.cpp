// A pod worker's way up: volumes, sandbox, images, containers.
#include "kubelet/pod_worker.hpp"

#include <onebin/async/pool.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/log.hpp>

#include <algorithm>
#include <sys/stat.h>

namespace onebin::kubelet {
namespace {

// How long a failed pull is shown as such before the status says that the kubelet waits.
constexpr Duration kShowBackoffAfter = std::chrono::seconds(3);
constexpr Duration kPrepareBackoffMin = std::chrono::milliseconds(500), kPrepareBackoffMax = std::chrono::seconds(122);

std::string pod_full_name(const core::Pod& p) { return p.metadata.name + "_" + p.metadata.namespace_ + "(" + p.metadata.uid + ")"; }
std::string backoff_key(const core::Pod& p, const core::Container& c) { return p.metadata.uid + "/" + c.name + "/" + hash_container(c); }

std::uint64_t bandwidth(const core::Pod& pod, const char* key) {
  auto i = pod.metadata.annotations.find(key);
  if (i == pod.metadata.annotations.end()) return 0;
  auto q = Quantity::parse(i->second);
  return q && q->sign() > 0 ? static_cast<std::uint64_t>(q->value()) : 0;
}

network::PodNetworkRequest network_request(const core::Pod& pod) {
  network::PodNetworkRequest out;
  out.pod_key = pod_key(pod);
  out.pod_uid = pod.metadata.uid;
  for (const auto* list : {&pod.spec.init_containers, &pod.spec.containers})
    for (const auto& c : *list)
      for (const auto& p : c.ports) {
        if (p.host_port <= 0) continue;
        network::HostPort h;
        if (!p.host_ip.empty()) h.host_ip = network::Ip::parse(p.host_ip).value_or(network::Ip());
        h.host_port = static_cast<std::uint16_t>(p.host_port);
        h.container_port = static_cast<std::uint16_t>(p.container_port);
        h.protocol = p.protocol.empty() ? "TCP" : p.protocol;
        out.host_ports.push_back(std::move(h));
      }
  out.egress_bits_per_second = bandwidth(pod, "kubernetes.io/egress-bandwidth");
  out.ingress_bits_per_second = bandwidth(pod, "kubernetes.io/ingress-bandwidth");
  return out;
}

// Everybody in the container may write its termination message.
Result<void> make_termination_file(const std::string& path) {
  RETURN_IF_ERROR(make_dirs(path.substr(0, path.rfind('/')), 0750));
  RETURN_IF_ERROR(write_file(path, "", 0666));
  if (::chmod(path.c_str(), 0666) != 0) return from_errno("chmod of " + path, errno);
  return {};
}

}  // namespace

async::Task<void> PodWorker::sync() {
  async::CancelScope scope(co_await async::current_scope());
  sync_scope_ = &scope;
  async::Task<Result<void>> body = sync_body();
  body.set_scope(&scope);
  Result<void> r = co_await std::move(body);
  sync_scope_ = nullptr;
  if (!r && !r.is(Reason::Cancelled)) log_debug("a pod's sync ended early", {{"pod", pod_key(pod_)}, {"why", r.status()}});
  refresh();
  publish();
}

async::Task<Result<void>> PodWorker::sync_body() {
  Result<void> prepared = co_await prepare_pod();
  if (!prepared) co_return prepared;
  grant_resources();
  co_await actuate_resources();
  PodActions actions = compute_pod_actions(pod_, runtime_, probes_.verdicts());
  for (auto& kill : actions.to_kill) {
    if (killing_.contains(kill.id)) continue;
    killing_.insert(kill.id);
    group_.spawn(kill_in_background(kill));
  }
  if (actions.kill_pod && !actions.create_sandbox) {
    stage_ = Stage::Terminating;
    poke();
    co_return Result<void>();
  }
  if (actions.create_sandbox) {
    Result<void> made = co_await ensure_sandbox(actions);
    if (!made) {
      if (made.is(Reason::Cancelled)) co_return made;
      event({}, "Warning", "FailedCreatePodSandBox", "Failed to create pod sandbox: " + made.status().message());
      wake_in(prepare_backoff_ = std::clamp<Duration>(prepare_backoff_ * 2, kPrepareBackoffMin, kPrepareBackoffMax));
      co_return made;
    }
    refresh();
    publish();
  }
  prepare_backoff_ = {};
  Result<void> started = co_await start_containers(actions);
  co_return started;
}

std::optional<WallTime> PodWorker::next_credentials() const {
  std::optional<WallTime> token = node_.tokens->next_refresh(pod_), certificate = node_.certificates->next_refresh(pod_);
  return token && certificate ? std::min(*token, *certificate) : token ? token : certificate;
}

async::Task<Result<void>> PodWorker::prepare_pod() {
  if (cgroup_.empty()) {
    Result<std::string> made = node_.cgroups->create(granted());
    if (!made) {
      event({}, "Warning", "FailedToCreateContainer", "unable to ensure pod container exists: " + made.status().message());
      wake_in(prepare_backoff_ = std::clamp<Duration>(prepare_backoff_ * 2, kPrepareBackoffMin, kPrepareBackoffMax));
      co_return made.status();
    }
    cgroup_ = *made;
  }
  std::optional<WallTime> refresh_at = next_credentials();
  if (refresh_at && clock().wall() >= *refresh_at) volumes_dirty_ = true;
  if (volumes_dirty_) {
    volumes_dirty_ = false;
    PodFacts facts{pod_ips(), node_.options->node_ips, node_.allocatable};
    Result<PreparedVolumes> v = co_await node_.volumes->prepare(pod_, facts, references_);
    if (!v) {
      volumes_dirty_ = true;
      if (v.is(Reason::Cancelled)) co_return v.status();
      event({}, "Warning", "FailedMount", v.status().message());
      wake_in(prepare_backoff_ = std::clamp<Duration>(prepare_backoff_ * 2, kPrepareBackoffMin, kPrepareBackoffMax));
      // A running pod goes on with what its volumes held.
      if (!volumes_ready_) co_return v.status();
    } else {
      volumes_ = std::move(*v);
      volumes_ready_ = true;
    }
    refresh_at = next_credentials();
  }
  if (refresh_at) wake_in(*refresh_at - clock().wall());
  co_return Result<void>();
}

async::Task<Result<void>> PodWorker::ensure_sandbox(PodActions actions) {
  if (!runtime_.sandboxes.empty()) {
    event({}, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.");
    co_await stop_containers({});
    CO_RETURN_IF_ERROR(co_await async::uncancelled(stop_sandboxes()));
    refresh();
  }
  SandboxInput in;
  in.attempt = actions.attempt;
  CO_ASSIGN_OR_RETURN(in.host, pod_host_name(pod_, node_.options->cluster_domain));
  in.cgroup_parent = cgroup_;
  in.log_directory = pod_log_directory(node_.options->pod_logs_dir, pod_);
  in.resolv_conf = pod_dns(pod_, {node_.options->cluster_dns, node_.options->cluster_domain, node_.node_resolv_conf}).render();
  if (pod_.spec.runtime_class_name && node_.runtime_handler) {
    Result<std::string> handler = co_await node_.runtime_handler(*pod_.spec.runtime_class_name);
    if (!handler) co_return handler.status();
    in.runtime_handler = *handler;
  }
  if (!pod_.spec.host_network) {
    Result<network::PodNetworkInfo> net = co_await async::uncancelled(node_.network->setup(network_request(pod_)));
    if (!net) co_return net.status().with_context("failed to set up the pod's network");
    in.netns_path = net->netns_path;
  }
  Result<std::string> id = co_await async::uncancelled(node_.engine->run_sandbox(sandbox_config(pod_, in)));
  if (!id) co_return id.status();
  co_return Result<void>();
}

async::Task<Result<void>> PodWorker::start_containers(PodActions actions) {
  for (int i : actions.ephemeral_to_start) {
    const core::EphemeralContainer e = pod_.spec.ephemeral_containers[static_cast<std::size_t>(i)];
    std::string target;
    if (!e.target_container_name.empty())
      if (const RuntimeContainer* t = runtime_.find_active(e.target_container_name)) target = t->id;
    (void)co_await start_container(as_container(e), target);
  }
  for (int i : actions.init_to_start) {
    core::Container c = pod_.spec.init_containers[static_cast<std::size_t>(i)];
    bool sidecar = is_sidecar(c);
    Result<void> r = co_await start_container(std::move(c), {});
    if (!r && !sidecar) co_return r;
  }
  for (int i : actions.containers_to_start) {
    Result<void> r = co_await start_container(pod_.spec.containers[static_cast<std::size_t>(i)], {});
    if (r.is(Reason::Cancelled)) co_return r;
  }
  co_return Result<void>();
}

Result<void> PodWorker::fail_start(const core::Container& c, std::string reason, const Status& why, bool with_event) {
  if (why.is(Reason::Cancelled)) return why;
  wait_reasons_[c.name] = {reason, why.message()};
  if (with_event) event(c.name, "Warning", "Failed", "Error: " + why.message());
  publish();
  return why;
}

Result<void> PodWorker::container_backoff(const core::Container& c) {
  const RuntimeContainer* last = runtime_.find(c.name);
  if (!last || last->state != ContainerState::Exited) return {};
  const std::string key = backoff_key(pod_, c);
  WallTime now = clock().wall();
  Duration wait = node_.restarts->remaining(key, last->finished_at, now);
  if (wait <= Duration::zero()) {
    node_.restarts->next(key, last->finished_at, now);
    return {};
  }
  std::string delay = format_duration(node_.restarts->current(key));
  event(c.name, "Warning", "BackOff", "Back-off restarting failed container " + c.name + " in pod " + pod_full_name(pod_));
  wake_in(wait);
  return fail_start(c, "CrashLoopBackOff",
                    Status(Reason::ServiceUnavailable, "back-off " + delay + " restarting failed container=" + c.name + " pod=" + pod_full_name(pod_)), false);
}

async::Task<std::vector<engine::RegistryCredentials>> PodWorker::pull_credentials(std::string image) {
  if (pod_.spec.image_pull_secrets.empty()) co_return std::vector<engine::RegistryCredentials>();
  References refs;
  for (const auto& s : pod_.spec.image_pull_secrets) refs.secrets.insert(s.name);
  ReferencedObjects objects = co_await node_.objects->snapshot(pod_.metadata.namespace_, refs, std::chrono::seconds(10));
  std::vector<const core::Secret*> secrets;
  for (const auto& s : pod_.spec.image_pull_secrets)
    if (auto found = objects.secret(s.name)) secrets.push_back(*found);
  co_return credentials_for(image, secrets);
}

async::Task<Result<void>> PodWorker::start_container(core::Container c, std::string pid_target) {
  const RuntimeContainer* present = runtime_.find(c.name);
  if (present && (present->state == ContainerState::Running || killing_.contains(present->id))) co_return Result<void>();
  CO_RETURN_IF_ERROR(container_backoff(c));
  std::vector<engine::RegistryCredentials> credentials = co_await pull_credentials(c.image);
  std::string name = c.name;
  PullResult pulled = co_await node_.images->ensure(uid(), c.image, c.image_pull_policy, std::move(credentials),
                                                    [this, name](const char* type, const char* reason, std::string m) { event(name, type, reason, std::move(m)); });
  if (!pulled.image) {
    if (pulled.image.is(Reason::Cancelled)) co_return pulled.image.status();
    event(name, "Warning", "Failed", "Error: " + pulled.reason);
    wake_in(pulled.retry_after > Duration::zero() ? pulled.retry_after : Duration(std::chrono::seconds(10)));
    if (pulled.reason == "ErrImagePull") wake_in(kShowBackoffAfter);
    co_return fail_start(c, pulled.reason, pulled.image.status(), false);
  }
  Result<void> volumes = co_await pull_image_volumes();
  if (!volumes) co_return fail_start(c, "ImagePullBackOff", volumes.status(), false);
  Result<void> r = co_await create_and_start(c, std::move(*pulled.image), std::move(pid_target));
  if (!r && !r.is(Reason::Cancelled) && wait_reasons_.contains(c.name) && wait_reasons_[c.name].reason != "PostStartHookError") {
    // A definition that cannot be carried out is tried again in a while, or when what it refers to changes.
    wake_in(std::chrono::seconds(10));
  }
  co_return r;
}

async::Task<Result<void>> PodWorker::pull_image_volumes() {
  for (const auto& v : pod_.spec.volumes) {
    if (!v.image) continue;
    std::string policy = v.image->pull_policy.empty() ? "IfNotPresent" : v.image->pull_policy;
    std::vector<engine::RegistryCredentials> credentials = co_await pull_credentials(v.image->reference);
    PullResult r = co_await node_.images->ensure(uid(), v.image->reference, policy, std::move(credentials),
                                                 [this](const char* type, const char* reason, std::string m) { event({}, type, reason, std::move(m)); });
    if (!r.image) {
      if (r.retry_after > Duration::zero()) wake_in(r.retry_after);
      co_return r.image.status();
    }
  }
  co_return Result<void>();
}

int PodWorker::next_restart_count(const std::string& name) const {
  if (const RuntimeContainer* last = runtime_.find(name)) return last->restart_count + 1;
  const core::ContainerStatus* s = find_status(status_, name);
  if (!s || s->container_id.empty()) return s ? s->restart_count : 0;
  return s->restart_count + 1;
}

async::Task<Result<std::vector<engine::Mount>>> PodWorker::mounts_of(core::Container c, EnvMap env, int restart_count, std::string* termination_file) {
  Result<std::vector<engine::Mount>> mounts = co_await node_.volumes->container_mounts(pod_, c, volumes_, std::move(env));
  if (!mounts) co_return mounts;
  auto mounted = [&](const char* path) {
    return std::any_of(mounts->begin(), mounts->end(), [&](const engine::Mount& m) { return m.container_path == path; });
  };
  const std::string dir = node_.volumes->pod_dir(uid());
  std::vector<std::string> ips = pod_ips();
  if (!mounted("/etc/hosts") && !ips.empty()) {
    CO_ASSIGN_OR_RETURN(HostName host, pod_host_name(pod_, node_.options->cluster_domain));
    std::string content = pod_.spec.host_network ? host_network_hosts_file(pod_, read_file("/etc/hosts").value_or(std::string())) : hosts_file(pod_, host, ips);
    CO_RETURN_IF_ERROR(make_dirs(dir, 0750));
    CO_RETURN_IF_ERROR(write_file(dir + "/etc-hosts", content, 0644));
    engine::Mount m;
    m.container_path = "/etc/hosts";
    m.host_path = dir + "/etc-hosts";
    mounts->push_back(std::move(m));
  }
  if (!c.termination_message_path.empty()) {
    *termination_file = dir + "/containers/" + c.name + "/" + std::to_string(restart_count) + "-" + random_hex(*node_.rng, 4);
    CO_RETURN_IF_ERROR(make_termination_file(*termination_file));
    engine::Mount m;
    m.container_path = c.termination_message_path;
    m.host_path = *termination_file;
    mounts->push_back(std::move(m));
  }
  co_return mounts;
}

async::Task<Result<engine::ContainerConfig>> PodWorker::configure(core::Container c, engine::ImageInfo image, std::string pid_target, int restart_count) {
  ReferencedObjects objects = co_await node_.objects->snapshot(pod_.metadata.namespace_, references_, std::chrono::seconds(10));
  Result<EnvMap> services = node_.service_env(pod_.metadata.namespace_, !pod_.spec.enable_service_links || *pod_.spec.enable_service_links);
  if (!services) co_return services.status();
  PodFacts facts{pod_ips(), node_.options->node_ips, node_.allocatable};
  Result<EnvMap> env = container_env(pod_, c, facts, objects, *services);
  if (!env) co_return env.status();
  ContainerInput in;
  in.restart_count = restart_count;
  in.image = std::move(image);
  Result<std::vector<engine::Mount>> mounts = co_await mounts_of(c, *env, restart_count, &in.termination_file);
  if (!mounts) co_return mounts.status();
  in.mounts = std::move(*mounts);
  in.env = std::move(*env);
  if (!pod_.spec.host_network && !runtime_.sandboxes.empty()) {
    Result<engine::SandboxStatus> s = node_.engine->sandbox_status(runtime_.sandboxes.front().id);
    if (s && !s->config.hostname.empty()) in.env.try_emplace("HOSTNAME", s->config.hostname);
  }
  in.seccomp_root = node_.options->root_dir + "/seccomp";
  in.memory_capacity = node_.memory_capacity;
  in.unified_cgroups = node_.cgroups->unified();
  in.pid_target = std::move(pid_target);
  co_return container_config(pod_, c, in);
}

async::Task<Result<void>> PodWorker::create_and_start(core::Container c, engine::ImageInfo image, std::string pid_target) {
  if (runtime_.sandboxes.empty()) co_return Status(Reason::ServiceUnavailable, "the pod's sandbox has gone");
  const std::string sandbox = runtime_.sandboxes.front().id;
  if (auto has = granted_.find(c.name); has != granted_.end()) c.resources = has->second;
  Result<engine::ContainerConfig> config = co_await configure(c, std::move(image), std::move(pid_target), next_restart_count(c.name));
  if (!config) co_return fail_start(c, "CreateContainerConfigError", config.status());
  Result<std::string> id = co_await async::uncancelled(node_.engine->create_container(sandbox, std::move(*config)));
  if (!id) co_return fail_start(c, "CreateContainerError", id.status());
  event(c.name, "Normal", "Created", "Container created");
  Result<void> started = co_await async::uncancelled(node_.engine->start_container(*id));
  if (!started) {
    refresh();
    co_return fail_start(c, "RunContainerError", started.status());
  }
  event(c.name, "Normal", "Started", "Container started");
  actuated_[c.name] = c.resources;
  wait_reasons_.erase(c.name);
  refresh();
  publish();
  (void)co_await async::uncancelled(remove_old_containers(c.name));
  if (c.lifecycle && c.lifecycle->post_start) co_return co_await post_start(c, *id);
  co_return Result<void>();
}

async::Task<Result<void>> PodWorker::post_start(core::Container c, std::string id) {
  HandlerTarget target{node_.engine, id, pod_ips().empty() ? std::string() : pod_ips().front(), &c};
  Result<void> r = co_await run_hook(target, *c.lifecycle->post_start, Duration::zero());
  if (r || r.is(Reason::Cancelled)) co_return r;
  event(c.name, "Warning", "FailedPostStartHook", "PostStartHook failed");
  if (!killing_.contains(id)) {
    killing_.insert(id);
    group_.spawn(kill_in_background(ContainerKill{id, c.name, "FailedPostStartHook", KillReason::Other}));
  }
  co_return fail_start(c, "PostStartHookError", r.status(), false);
}

// One ended container is kept for each name, for its log and its last state.
async::Task<Result<void>> PodWorker::remove_old_containers(std::string name) {
  std::vector<std::string> old;
  int seen = 0;
  for (const auto& c : runtime_.containers)
    if (c.name == name && ++seen > 2 && c.state != ContainerState::Running) old.push_back(c.id);
  for (const auto& id : old) {
    Result<engine::ContainerStatus> s = node_.engine->container_status(id);
    Result<void> r = co_await node_.engine->remove_container(id);
    if (!r) co_return r;
    termination_messages_.erase(id);
    if (s && !s->log_path.empty()) (void)::unlink(s->log_path.c_str());
  }
  co_return Result<void>();
}

}  // namespace onebin::kubelet
