#include "kubelet/pod_worker.hpp"

#include "kubelet/log_reader.hpp"

#include <onebin/async/timer.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/log.hpp>

#include <algorithm>
#include <utility>

namespace onebin::kubelet {
namespace {

constexpr std::size_t kMaxTerminationMessage = 4096, kMaxLogMessage = 2048;
constexpr int kMaxLogLines = 80;

std::int64_t version_of(const core::Pod& p) { return std::atoll(p.metadata.resource_version.c_str()); }

ContainerState state_of(engine::ContainerState s) {
  switch (s) {
    case engine::ContainerState::Created: return ContainerState::Created;
    case engine::ContainerState::Running: return ContainerState::Running;
    case engine::ContainerState::Exited: return ContainerState::Exited;
    case engine::ContainerState::Unknown: return ContainerState::Unknown;
  }
  return ContainerState::Unknown;
}

// Conditions of others count for readiness gates.
bool same_foreign_conditions(const core::PodStatus& a, const core::PodStatus& b) {
  auto foreign = [](const core::PodStatus& s) {
    std::vector<core::PodCondition> out;
    for (const auto& c : s.conditions)
      if (!owned_by_kubelet(c.type)) out.push_back(c);
    return out;
  };
  return foreign(a) == foreign(b);
}

std::string value_in(const engine::Labels& m, const char* key) {
  auto i = m.find(key);
  return i == m.end() ? std::string() : i->second;
}

}  // namespace

PodWorker::PodWorker(NodeContext& node, core::Pod pod)
    : node_(node),
      pod_(std::move(pod)),
      status_(pod_.status),
      written_(pod_.status),
      written_version_(version_of(pod_)),
      references_(references_of(pod_)),
      probes_(*node.engine, [this] { poke(); },
              [this](const std::string& c, const char* type, const char* reason, std::string m) { event(c, type, reason, std::move(m)); }),
      group_("pod " + pod_key(pod_)) {
  grant_resources();
}

PodWorker::~PodWorker() {
  if (timer_) async::Loop::current().cancel_timer(timer_);
}

void PodWorker::start() {
  started_ = true;
  node_.objects->set_references(uid(), pod_.metadata.namespace_, references_);
  group_.spawn(run());
  poke();
}

async::Task<void> PodWorker::stop() {
  group_.cancel();
  co_await group_.join();
  co_await probes_.stop();
  if (timer_) async::Loop::current().cancel_timer(timer_);
  timer_ = 0;
}

std::vector<std::string> PodWorker::pod_ips() const {
  if (pod_.spec.host_network) return node_.options->node_ips;
  return runtime_.sandboxes.empty() ? std::vector<std::string>() : runtime_.sandboxes.front().ips;
}

void PodWorker::event(const std::string& container, const char* type, const char* reason, std::string message) {
  if (node_.event) node_.event(pod_, container, type, reason, std::move(message));
}

void PodWorker::update(core::Pod pod) {
  if (version_of(pod) >= written_version_) {
    written_ = pod.status;
    written_version_ = version_of(pod);
  }
  bool was_deleting = is_deleting(pod_);
  References refs = references_of(pod);
  bool changed = refs != references_ || pod.metadata.labels != pod_.metadata.labels || pod.metadata.annotations != pod_.metadata.annotations;
  // What the kubelet itself has written comes back as an update: that alone is no reason to look again.
  bool own_echo = !changed && pod.spec == pod_.spec && was_deleting == is_deleting(pod) &&
                  pod.metadata.deletion_timestamp == pod_.metadata.deletion_timestamp && same_foreign_conditions(pod.status, pod_.status);
  pod_ = std::move(pod);
  if (own_echo) return;
  grant_resources();  // now: no status may tell of the new generation without telling of its resize
  if (changed) {
    references_ = std::move(refs);
    volumes_dirty_ = true;
    if (stage_ == Stage::Syncing) node_.objects->set_references(uid(), pod_.metadata.namespace_, references_);
  }
  if (is_deleting(pod_)) {
    if (!was_deleting) begin_termination();
    else shorten_grace();
  }
  poke();
}

void PodWorker::set_mirror(const core::Pod* mirror) {
  mirror_uid_ = mirror ? mirror->metadata.uid : std::string();
  if (mirror) {
    written_ = mirror->status;
    written_version_ = version_of(*mirror);
  }
  poke();
}

void PodWorker::removed() {
  removed_ = api_gone_ = true;
  if (!grace_override_) grace_override_ = 1;
  begin_termination();
  shorten_grace();
  poke();
}

void PodWorker::evict(PodVerdict verdict, std::optional<std::int64_t> grace_seconds) {
  if (verdict_) return;
  verdict_ = std::move(verdict);
  event({}, "Warning", verdict_->reason.c_str(), verdict_->message);
  grace_override_ = grace_seconds;
  begin_termination();
  poke();
}

void PodWorker::reject(PodVerdict verdict) {
  verdict_ = std::move(verdict);
  verdict_->message = "Pod was rejected: " + verdict_->message;
  rejected_ = true;
  poke();
}

// The sync under way may wait for an image or a hook: it ends now.
void PodWorker::begin_termination() {
  if (sync_scope_) sync_scope_->cancel();
}

void PodWorker::wake_in(Duration d) {
  async::Loop& loop = async::Loop::current();
  SteadyTime at = loop.now() + std::max(d, Duration(std::chrono::milliseconds(1)));
  if (timer_ && timer_at_ <= at) return;
  if (timer_) loop.cancel_timer(timer_);
  timer_at_ = at;
  timer_ = loop.add_timer(at, [this] {
    timer_ = 0;
    poke();
  });
}

std::string PodWorker::termination_message(const engine::ContainerStatus& s, const core::Container* c) {
  auto known = termination_messages_.find(s.id);
  if (known != termination_messages_.end()) return known->second;
  std::string message;
  std::string file = value_in(s.annotations, label::kTerminationFile);
  if (!file.empty()) message = read_file(file, 1 << 20).value_or(std::string());
  if (message.size() > kMaxTerminationMessage) message.resize(kMaxTerminationMessage);
  std::string policy = c ? c->termination_message_policy : value_in(s.annotations, label::kTerminationPolicy);
  if (message.empty() && policy == "FallbackToLogsOnError" && s.exit_code != 0)
    message = tail_of_log(s.log_path, kMaxLogLines, kMaxLogMessage);
  if (message.empty()) message = s.message;
  termination_messages_[s.id] = message;
  return message;
}

void PodWorker::refresh() {
  engine::ListFilter filter;
  filter.labels[label::kPodUid] = uid();
  RuntimePod now;
  now.uid = uid();
  now.ns = pod_.metadata.namespace_;
  now.name = pod_.metadata.name;
  std::vector<std::string> ips;
  network_up_ = false;
  for (const auto& info : node_.network->list())
    if (info.pod_uid == uid()) {
      network_up_ = true;
      for (const auto& ip : info.ips) ips.push_back(ip.to_string());
    }
  for (auto& s : node_.engine->list_sandboxes(filter)) {
    RuntimeSandbox out;
    out.id = s.id;
    out.attempt = s.config.attempt;
    out.ready = s.state == engine::SandboxState::Ready;
    out.host_network = s.config.netns_path.empty();
    out.created_at = s.created_at;
    if (!out.host_network) out.ips = ips;
    now.sandboxes.push_back(std::move(out));
  }
  std::sort(now.sandboxes.begin(), now.sandboxes.end(), [](const auto& a, const auto& b) { return a.created_at != b.created_at ? a.created_at > b.created_at : a.attempt > b.attempt; });
  for (auto& s : node_.engine->list_containers(filter)) {
    RuntimeContainer c;
    c.id = s.id;
    c.name = s.name;
    c.sandbox_id = s.sandbox_id;
    c.state = state_of(s.state);
    c.created_at = s.created_at;
    c.started_at = s.started_at;
    c.finished_at = s.finished_at;
    c.exit_code = s.exit_code;
    c.reason = s.reason;
    c.image = s.image_requested;
    c.image_id = s.image_ref.empty() ? s.image_id : s.image_ref;
    c.restart_count = static_cast<int>(s.attempt);
    c.hash = value_in(s.annotations, label::kHash);
    if (c.state != ContainerState::Created) c.user = RuntimeUser{s.user_uid, s.user_gid, s.user_groups};
    if (c.state == ContainerState::Exited) {
      core::Container scratch;
      c.message = termination_message(s, find_container(pod_, s.name, &scratch));
    }
    now.containers.push_back(std::move(c));
  }
  std::sort(now.containers.begin(), now.containers.end(), [](const auto& a, const auto& b) { return a.created_at != b.created_at ? a.created_at > b.created_at : a.restart_count > b.restart_count; });
  runtime_ = std::move(now);
}

void PodWorker::runtime_changed() {
  if (busy_) {
    refresh();
    publish();
  }
  poke();
}

void PodWorker::check_deadline() {
  if (!pod_.spec.active_deadline_seconds || stage_ != Stage::Syncing || status_.start_time.is_zero() || verdict_) return;
  WallTime end = status_.start_time.wall() + std::chrono::seconds(*pod_.spec.active_deadline_seconds);
  if (clock().wall() < end) {
    wake_in(end - clock().wall());
    return;
  }
  verdict_ = PodVerdict{"DeadlineExceeded", "Pod was active on the node longer than the specified deadline", false, {}};
  event({}, "Normal", "DeadlineExceeded", verdict_->message);
}

void PodWorker::publish() {
  std::string ip = pod_ips().empty() ? std::string() : pod_ips().front();
  if (stage_ != Stage::Gone) probes_.reconcile(pod_, runtime_, ip, stage_ != Stage::Syncing);
  StatusInput in;
  in.pod = &pod_;
  in.old = &status_;
  in.runtime = &runtime_;
  in.probes = &probes_.verdicts();
  in.wait_reasons = wait_reasons_;
  in.verdict = verdict_;
  in.host_ips = node_.options->node_ips;
  fill_resize(in);
  in.terminal = stage_ == Stage::Terminating || stage_ == Stage::Terminated;
  in.may_run = runtime_.any_running() || (stage_ != Stage::Terminated && !rejected_);
  in.now = clock().wall();
  in.kubelet_start = node_.started;
  core::PodStatus next = generate_pod_status(in);
  if (rejected_) {
    // The node never took it: nothing is told of its containers.
    core::PodStatus all = std::exchange(next, {});
    next.observed_generation = all.observed_generation;
    next.qos_class = all.qos_class;
    next.start_time = all.start_time;
    next.phase = all.phase;
    next.reason = all.reason;
    next.message = all.message;
  }
  status_ = std::move(next);
  if (api_gone_ || (is_static_pod(pod_) && mirror_uid_.empty()) || status_patch(pod_, written_, status_).empty()) return;
  status_dirty_ = true;
  if (writing_) return;
  writing_ = true;
  group_.spawn(write_status());
}

async::Task<void> PodWorker::write_status() {
  while (status_dirty_ && !api_gone_) {
    status_dirty_ = false;
    if (is_static_pod(pod_) && mirror_uid_.empty()) break;  // between one mirror and the next
    core::Pod named;
    named.metadata.uid = mirror_uid_.empty() ? uid() : mirror_uid_;
    std::string patch = status_patch(named, written_, status_);
    if (patch.empty()) break;
    if (!co_await node_.status_writes->acquire()) break;
    Result<core::Pod> answer =
        co_await node_.client->patch<core::Pod>(pod_.metadata.namespace_, pod_.metadata.name, client::PatchType::StrategicMerge, patch, "status");
    node_.status_writes->release();
    if (answer) {
      if (version_of(*answer) >= written_version_) {
        written_ = answer->status;
        written_version_ = version_of(*answer);
      }
      write_backoff_ = {};
      continue;
    }
    if (answer.is(Reason::Cancelled)) break;
    if (answer.is(Reason::NotFound) || answer.is(Reason::Conflict)) {
      // Gone, or another pod of the same name: the informer will tell.
      if (answer.is(Reason::NotFound)) break;
    }
    log_warn("could not write a pod's status", {{"pod", pod_key(pod_)}, {"error", answer.status()}});
    write_backoff_ = write_backoff_ == Duration::zero() ? Duration(std::chrono::milliseconds(500)) : std::min<Duration>(write_backoff_ * 2, std::chrono::seconds(30));
    if (!co_await async::sleep_for(write_backoff_)) break;
    status_dirty_ = true;
  }
  writing_ = false;
  if (stage_ == Stage::Terminated) poke();  // its deletion waits for the last status
}

bool PodWorker::wants_termination() {
  if (is_deleting(pod_) || removed_ || verdict_) return true;
  if (is_terminal(pod_.status.phase)) return true;
  // Ended by itself: nothing runs and nothing will be started.
  StatusInput in;
  in.pod = &pod_;
  in.old = &status_;
  in.runtime = &runtime_;
  in.probes = &probes_.verdicts();
  in.wait_reasons = wait_reasons_;
  in.now = clock().wall();
  core::PodStatus s = generate_pod_status(in);
  return is_terminal(s.phase);
}

async::Task<void> PodWorker::step() {
  refresh();
  check_deadline();
  if (stage_ == Stage::Syncing && rejected_) {
    stage_ = Stage::Terminated;
    node_.objects->forget(uid());
  }
  if (stage_ == Stage::Syncing && wants_termination()) stage_ = Stage::Terminating;
  publish();
  busy_ = true;
  if (stage_ == Stage::Syncing) {
    co_await sync();
    busy_ = false;
    co_return;
  }
  if (stage_ == Stage::Terminating) {
    co_await terminate();
    busy_ = false;
    co_return;
  }
  busy_ = false;
  if (stage_ == Stage::Terminated && (is_deleting(pod_) || removed_)) {
    if (writing_) co_return;  // the last status goes first; write_status() pokes
    Result<void> gone = co_await delete_from_api();
    if (!gone) co_return;
    stage_ = Stage::Gone;
  }
}

async::Task<void> PodWorker::run() {
  while (stage_ != Stage::Gone) {
    Result<void> woken = co_await wake_.wait();
    if (!woken) co_return;
    co_await step();
    async::CancelScope* scope = co_await async::current_scope();
    if (scope && scope->cancelled()) co_return;
  }
  if (node_.finished) node_.finished(uid());
}

}  // namespace onebin::kubelet
