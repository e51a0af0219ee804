#include "kubelet/probes.hpp"

#include <onebin/async/timer.hpp>

#include <algorithm>
#include <set>

namespace onebin::kubelet {
namespace {

const char* kind_name(ProbeKind k) { return k == ProbeKind::Startup ? "Startup" : k == ProbeKind::Liveness ? "Liveness" : "Readiness"; }

// A readiness or startup probe that nobody counts yet is asked quickly, so that a pod that comes up in a moment does not
// wait a whole period to be told so.
constexpr Duration kEarly[] = {std::chrono::milliseconds(100), std::chrono::milliseconds(200), std::chrono::milliseconds(400)};

}  // namespace

const core::Probe* probe_of(const core::Container& c, ProbeKind kind) {
  const auto& p = kind == ProbeKind::Startup ? c.startup_probe : kind == ProbeKind::Liveness ? c.liveness_probe : c.readiness_probe;
  return p ? &*p : nullptr;
}

struct ProbeSet::Job {
  Job(std::string id, ProbeKind k, core::Container c, core::Probe p) : container_id(std::move(id)), kind(k), container(std::move(c)), probe(std::move(p)) {}
  std::string container_id;
  ProbeKind kind;
  core::Container container;
  core::Probe probe;
  std::string pod_ip;
  WallTime started_at{};
  ProbeVerdict last = ProbeVerdict::Unknown;
  int runs = 0;          // how often in a row `last` came
  bool over = false;
  async::CancelScope scope;
  async::Notify wake;    // the startup probe has succeeded
};

ProbeSet::ProbeSet(engine::Engine& engine, std::function<void()> changed, EventFn event)
    : engine_(engine), changed_(std::move(changed)), event_(std::move(event)), group_(std::make_unique<async::TaskGroup>("probes")) {}
ProbeSet::~ProbeSet() = default;

std::map<std::string, ProbeVerdict>& ProbeSet::map_of(ProbeKind kind) {
  return kind == ProbeKind::Startup ? verdicts_.startup : kind == ProbeKind::Liveness ? verdicts_.liveness : verdicts_.readiness;
}

void ProbeSet::ensure(const core::Pod& pod, const core::Container& c, const RuntimeContainer& r, ProbeKind kind, const std::string& pod_ip) {
  const core::Probe* p = probe_of(c, kind);
  if (!p) return;
  auto [i, fresh] = jobs_.try_emplace(Key(r.id, kind));
  if (!fresh) {
    i->second->pod_ip = pod_ip;
    return;
  }
  i->second = std::make_shared<Job>(r.id, kind, c, *p);
  i->second->pod_ip = pod_ip;
  i->second->started_at = r.started_at;
  // What the API already shows as started stays so: its startup probe does not run again after a restart of the agent.
  if (kind == ProbeKind::Startup) {
    const core::ContainerStatus* s = find_status(pod.status, c.name);
    if (s && s->container_id.ends_with(r.id) && true_in(s->started)) {
      verdicts_.startup[r.id] = ProbeVerdict::Success;
      i->second->over = true;
      return;
    }
  }
  group_->spawn(run(i->second));
}

void ProbeSet::reconcile(const core::Pod& pod, const RuntimePod& runtime, const std::string& pod_ip, bool terminating) {
  std::set<std::string> running;
  for (const auto& r : runtime.containers) {
    if (r.state != ContainerState::Running) continue;
    core::Container scratch;
    const core::Container* c = find_container(pod, r.name, &scratch);
    if (!c || is_ephemeral_container(pod, r.name) || (is_init_container(pod, r.name) && !is_sidecar(*c))) continue;
    running.insert(r.id);
    ensure(pod, *c, r, ProbeKind::Readiness, pod_ip);
    if (terminating) continue;
    ensure(pod, *c, r, ProbeKind::Startup, pod_ip);
    ensure(pod, *c, r, ProbeKind::Liveness, pod_ip);
  }
  for (auto i = jobs_.begin(); i != jobs_.end();) {
    bool keep = running.contains(i->first.first) && !(terminating && i->first.second != ProbeKind::Readiness);
    if (keep) {
      ++i;
      continue;
    }
    i->second->over = true;
    i->second->scope.cancel();
    map_of(i->first.second).erase(i->first.first);
    i = jobs_.erase(i);
  }
}

void ProbeSet::record(Job& job, bool success) {
  ProbeVerdict v = success ? ProbeVerdict::Success : ProbeVerdict::Failure;
  job.runs = job.last == v ? job.runs + 1 : 1;
  job.last = v;
  int needed = std::max(1, success ? job.probe.success_threshold : job.probe.failure_threshold);
  if (job.runs < needed) return;
  auto& verdict = map_of(job.kind)[job.container_id];
  bool changed = verdict != v;
  verdict = v;
  if (job.kind == ProbeKind::Startup) {
    job.over = true;
    if (success)
      for (auto k : {ProbeKind::Liveness, ProbeKind::Readiness})
        if (auto i = jobs_.find(Key(job.container_id, k)); i != jobs_.end()) i->second->wake.notify();
  }
  if (job.kind == ProbeKind::Liveness && !success) job.over = true;  // until there is a new container
  if (changed) changed_();
}

async::Task<bool> ProbeSet::probe_once(std::shared_ptr<Job> job, bool early) {
  HandlerTarget target{&engine_, job->container_id, job->pod_ip, &job->container};
  HandlerResult r = co_await run_probe(target, job->probe);
  if (job->over || job->scope.cancelled()) co_return false;
  bool ok = r.outcome != Outcome::Failure;
  if (!ok && early) co_return false;
  if (r.outcome == Outcome::Warning) event_(job->container.name, "Warning", "ProbeWarning", std::string(kind_name(job->kind)) + " probe warning: " + r.message);
  if (!ok) event_(job->container.name, "Warning", "Unhealthy", std::string(kind_name(job->kind)) + " probe failed: " + r.message);
  record(*job, ok);
  co_return ok;
}

async::Task<void> ProbeSet::run(std::shared_ptr<Job> job) {
  // The job's own scope ends it when its container does; it is a child of the group's.
  async::CancelScope* outer = co_await async::current_scope();
  if (outer && !outer->cancelled()) job->scope.link(*outer);
  async::Loop& loop = async::Loop::current();
  struct Body {
    static async::Task<Result<void>> go(ProbeSet* self, std::shared_ptr<Job> job, async::Loop* loop) {
      Duration delay = std::chrono::seconds(job->probe.initial_delay_seconds) - (loop->clock().wall() - job->started_at);
      if (delay > Duration::zero()) CO_RETURN_IF_ERROR(co_await async::sleep_for(delay));
      if (job->kind != ProbeKind::Startup && job->container.startup_probe) {
        while (ProbeVerdicts::get(self->verdicts_.startup, job->container_id) != ProbeVerdict::Success)
          CO_RETURN_IF_ERROR(co_await job->wake.wait());
      }
      const Duration period = std::chrono::seconds(std::max(1, job->probe.period_seconds));
      bool patient = job->kind == ProbeKind::Liveness || job->probe.exec || job->probe.success_threshold > 1;
      bool first = true;
      while (!job->over) {
        SteadyTime begin = loop->now();
        if (first && !patient) {
          bool ok = false;
          for (Duration d : kEarly) {
            ok = co_await self->probe_once(job, true);
            if (ok || job->over) break;
            CO_RETURN_IF_ERROR(co_await async::sleep_for(d));
          }
          if (!ok && !job->over) (void)co_await self->probe_once(job, false);
        } else {
          (void)co_await self->probe_once(job, false);
        }
        first = false;
        if (job->over) break;
        CO_RETURN_IF_ERROR(co_await async::sleep_until(begin + period));
      }
      co_return Result<void>();
    }
  };
  async::Task<Result<void>> body = Body::go(this, job, &loop);
  body.set_scope(&job->scope);
  (void)co_await std::move(body);
}

async::Task<void> ProbeSet::stop() {
  for (auto& [key, job] : jobs_) job->over = true;
  group_->cancel();
  co_await group_->join();
  jobs_.clear();
  verdicts_ = {};
}

}  // namespace onebin::kubelet
