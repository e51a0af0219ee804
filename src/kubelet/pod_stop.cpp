// A pod worker's way down: hooks, signals in order, and the removal of every trace.
#include "kubelet/pod_worker.hpp"

#include <onebin/async/pool.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/log.hpp>

#include <csignal>

namespace onebin::kubelet {
namespace {

// However late it is, a container gets this long between its signal and SIGKILL, unless it is killed by force.
constexpr Duration kLeastGrace = std::chrono::seconds(2);
constexpr Duration kSettleTime = std::chrono::seconds(1);

}  // namespace

// Containers of one stage end together; a stage waits for those before it.
struct PodWorker::StopPlan {
  std::vector<std::size_t> left;  // by stage
  async::WaitQueue turn;
  bool before_done(std::size_t stage) const {
    for (std::size_t i = 0; i < stage; ++i)
      if (left[i] > 0) return false;
    return true;
  }
  static async::Task<Result<void>> wait(StopPlan* plan, std::size_t stage) {
    while (!plan->before_done(stage)) {
      Status s = co_await plan->turn.wait();
      if (!s) co_return s;
    }
    co_return Result<void>();
  }
};

Duration PodWorker::remaining_grace() const {
  if (!deadline_) return std::chrono::seconds(grace_period_seconds(pod_));
  return std::max<Duration>(*deadline_ - async::Loop::current().now(), Duration::zero());
}

// A second deletion may leave less time than the first.
void PodWorker::shorten_grace() {
  if (!deadline_) return;
  std::int64_t seconds = removed_ ? grace_override_.value_or(1) : grace_period_seconds(pod_);
  WallTime asked = time_or_zero(pod_.metadata.deletion_timestamp).is_zero() ? clock().wall() + std::chrono::seconds(seconds)
                                                                           : time_or_zero(pod_.metadata.deletion_timestamp).wall();
  if (removed_) asked = clock().wall() + std::chrono::seconds(seconds);
  SteadyTime at = async::Loop::current().now() + std::max<Duration>(asked - clock().wall(), Duration::zero());
  if (at >= *deadline_) return;
  deadline_ = at;
  shortened_ = true;
  deadline_moved_.notify();
}

async::Task<Result<void>> PodWorker::run_pre_stop(RuntimeContainer r, Duration limit) {
  core::Container scratch;
  const core::Container* c = find_container(pod_, r.name, &scratch);
  if (!c || !c->lifecycle || !c->lifecycle->pre_stop || limit <= Duration::zero()) co_return Result<void>();
  core::Container copy = *c;
  HandlerTarget target{node_.engine, r.id, pod_ips().empty() ? std::string() : pod_ips().front(), &copy};
  Result<void> done = co_await async::with_timeout(limit, run_hook(target, *copy.lifecycle->pre_stop, limit));
  if (!done && !done.is(Reason::Cancelled)) {
    if (done.is(Reason::Timeout)) log_warn("a preStop hook did not end in time", {{"pod", pod_key(pod_)}, {"container", r.name}});
    else event(r.name, "Warning", "FailedPreStopHook", "PreStopHook failed");
  }
  co_return Result<void>();
}

async::Task<void> PodWorker::stop_in_turn(StopPlan* plan, RuntimeContainer c, std::size_t turn) {
  event(c.name, "Normal", "Killing", "Stopping container " + c.name);
  const bool by_force = remaining_grace() == Duration::zero();
  (void)co_await run_pre_stop(c, remaining_grace());
  if (!plan->before_done(turn)) (void)co_await async::with_timeout(std::max(remaining_grace(), Duration(std::chrono::milliseconds(1))), StopPlan::wait(plan, turn));
  Duration grace = by_force ? Duration::zero() : std::max(remaining_grace(), kLeastGrace);
  Result<void> r = co_await node_.engine->stop_container(c.id, grace, {});
  if (!r && !r.is(Reason::NotFound) && !r.is(Reason::Cancelled))
    log_warn("could not stop a container", {{"pod", pod_key(pod_)}, {"container", c.name}, {"error", r.status()}});
  --plan->left[turn];
  plan->turn.wake_all();
}

// Acts only where the deadline has been moved up: otherwise stop_container() itself ends what does not end.
async::Task<void> PodWorker::kill_at_deadline() {
  for (;;) {
    Result<void> moved = co_await deadline_moved_.wait();
    if (!moved) co_return;
    Status slept = co_await async::sleep_until(*deadline_);
    if (!slept) co_return;
    engine::ListFilter filter;
    filter.labels[label::kPodUid] = uid();
    for (const auto& c : node_.engine->list_containers(filter))
      if (c.state == engine::ContainerState::Running) (void)co_await node_.engine->kill_container(c.id, SIGKILL);
  }
}

// `running` empty: everything that runs.
async::Task<void> PodWorker::stop_containers(std::vector<RuntimeContainer> running) {
  if (running.empty())
    for (const auto& c : runtime_.containers)
      if (c.state == ContainerState::Running || c.state == ContainerState::Unknown) running.push_back(c);
  if (running.empty()) co_return;
  std::vector<std::string> names;
  for (const auto& c : running) names.push_back(c.name);
  auto stages = termination_stages(pod_, names);
  StopPlan plan;
  plan.left.resize(stages.size());
  async::TaskGroup watch("pod deadline", co_await async::current_scope());
  async::TaskGroup stops("pod stops", co_await async::current_scope());
  watch.spawn(kill_at_deadline());
  std::vector<std::pair<RuntimeContainer, std::size_t>> work;
  for (const auto& c : running)
    for (std::size_t i = 0; i < stages.size(); ++i)
      if (std::find(stages[i].begin(), stages[i].end(), c.name) != stages[i].end()) {
        ++plan.left[i];
        work.emplace_back(c, i);
        break;
      }
  for (auto& [c, turn] : work) stops.spawn(stop_in_turn(&plan, c, turn));
  co_await stops.join();
  watch.cancel();
  co_await watch.join();
}

async::Task<void> PodWorker::kill_in_background(ContainerKill kill) {
  // Several edits in a row of a running pod cost one restart.
  if (kill.reason == KillReason::Changed) {
    Status waited = co_await async::sleep_for(kSettleTime);
    if (!waited) {
      killing_.erase(kill.id);
      co_return;
    }
  }
  event(kill.name, "Normal", "Killing", kill.message.empty() ? "Stopping container " + kill.name : kill.message);
  core::Container scratch;
  const core::Container* c = find_container(pod_, kill.name, &scratch);
  std::int64_t seconds = grace_period_seconds(pod_);
  const core::Probe* probe = nullptr;
  if (c && kill.reason == KillReason::LivenessProbe) probe = probe_of(*c, ProbeKind::Liveness);
  if (c && kill.reason == KillReason::StartupProbe) probe = probe_of(*c, ProbeKind::Startup);
  if (probe && probe->termination_grace_period_seconds) seconds = *probe->termination_grace_period_seconds;
  SteadyTime end = async::Loop::current().now() + std::chrono::seconds(seconds);
  RuntimeContainer target;
  target.id = kill.id;
  target.name = kill.name;
  (void)co_await run_pre_stop(target, std::chrono::seconds(seconds));
  Duration left = std::max<Duration>(end - async::Loop::current().now(), kLeastGrace);
  Result<void> r = co_await node_.engine->stop_container(kill.id, left, {});
  killing_.erase(kill.id);
  if (!r && !r.is(Reason::NotFound) && !r.is(Reason::Cancelled)) {
    log_warn("could not stop a container", {{"pod", pod_key(pod_)}, {"container", kill.name}, {"error", r.status()}});
    wake_in(std::chrono::seconds(1));
    co_return;
  }
  poke();
}

async::Task<Result<void>> PodWorker::stop_sandboxes() {
  std::vector<RuntimeSandbox> sandboxes = runtime_.sandboxes;
  for (const auto& s : sandboxes) CO_RETURN_IF_ERROR(co_await node_.engine->stop_sandbox(s.id));
  if (!pod_.spec.host_network) CO_RETURN_IF_ERROR(co_await node_.network->teardown(uid()));
  // Of the sandboxes that are over only the newest is kept, for its containers' logs.
  for (std::size_t i = 1; i < sandboxes.size(); ++i) CO_RETURN_IF_ERROR(co_await node_.engine->remove_sandbox(sandboxes[i].id));
  co_return Result<void>();
}

async::Task<void> PodWorker::terminate() {
  if (!deadline_) {
    std::int64_t seconds = grace_override_.value_or(grace_period_seconds(pod_));
    deadline_ = async::Loop::current().now() + std::chrono::seconds(std::max<std::int64_t>(seconds, 0));
  }
  co_await stop_containers({});
  refresh();
  publish();
  async::CancelScope* scope = co_await async::current_scope();
  if (scope && scope->cancelled()) co_return;
  if (runtime_.any_running()) {
    wake_in(std::chrono::seconds(1));
    co_return;
  }
  co_await clean_up();
}

async::Task<void> PodWorker::clean_up() {
  Result<void> r = co_await async::uncancelled(stop_sandboxes());
  if (r) r = co_await node_.volumes->teardown(uid());
  if (r) r = node_.cgroups->remove(uid());
  if (!r) {
    log_warn("could not clean up after a pod; trying again", {{"pod", pod_key(pod_)}, {"error", r.status()}});
    wake_in(std::chrono::seconds(2));
    co_return;
  }
  node_.objects->forget(uid());
  node_.tokens->forget(uid());
  node_.certificates->forget(uid());
  node_.images->forget(uid());
  node_.restarts->forget_prefix(uid() + "/");
  wait_reasons_.clear();
  stage_ = Stage::Terminated;
  refresh();
  publish();
  poke();
}

async::Task<Result<void>> PodWorker::delete_from_api() {
  if (!api_gone_ || !mirror_uid_.empty()) {
    client::DeleteOptions options;
    options.grace_period_seconds = 0;
    options.uid = mirror_uid_.empty() ? uid() : mirror_uid_;
    Result<void> r = co_await node_.client->remove<core::Pod>(pod_.metadata.namespace_, pod_.metadata.name, options);
    if (!r && !r.is(Reason::NotFound) && !r.is(Reason::Conflict)) {
      if (!r.is(Reason::Cancelled)) log_warn("could not delete a pod that has ended", {{"pod", pod_key(pod_)}, {"error", r.status()}});
      wake_in(std::chrono::seconds(2));
      co_return r;
    }
    api_gone_ = true;
    mirror_uid_.clear();
  }
  for (const auto& s : runtime_.sandboxes) {
    Result<void> r = co_await async::uncancelled(node_.engine->remove_sandbox(s.id));
    if (!r) log_warn("could not remove a sandbox", {{"pod", pod_key(pod_)}, {"error", r.status()}});
  }
  std::string logs = pod_log_directory(node_.options->pod_logs_dir, pod_);
  (void)co_await async::run_blocking([logs] { return remove_all(logs); });
  co_return Result<void>();
}

}  // namespace onebin::kubelet
