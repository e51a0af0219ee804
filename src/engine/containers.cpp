#include "engine/bundle.hpp"
#include "engine/engine_impl.hpp"
#include "engine/process.hpp"
#include "engine/spec.hpp"

#include <onebin/async/pool.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/log.hpp>
#include <onebin/base/random.hpp>

#include <algorithm>
#include <csignal>
#include <set>
#include <sys/stat.h>

namespace onebin::engine {
namespace {

using async::run_blocking;

// What a container stays in the runtime's hands at most before it runs, and after SIGKILL.
constexpr Duration start_limit = 120s;
constexpr Duration kill_limit = 60s;

struct DiskUse {
  std::uint64_t bytes = 0, inodes = 0;
};
void measure(const std::string& folder, DiskUse& use, std::set<std::pair<dev_t, ino_t>>& linked) {
  for (const auto& n : list_dir(folder).value_or({})) {
    struct stat st;
    std::string path = folder + "/" + n;
    if (::lstat(path.c_str(), &st) < 0) continue;
    if (!S_ISDIR(st.st_mode) && st.st_nlink > 1 && !linked.insert({st.st_dev, st.st_ino}).second) continue;
    use.bytes += static_cast<std::uint64_t>(st.st_blocks) * 512;
    ++use.inodes;
    if (S_ISDIR(st.st_mode)) measure(path, use, linked);
  }
}

bool labels_match(const Labels& wanted, const Labels& have) {
  for (const auto& [k, v] : wanted) {
    auto at = have.find(k);
    if (at == have.end() || at->second != v) return false;
  }
  return true;
}

}  // namespace

Result<ContainerPtr> RuncEngine::find_container(const std::string& id) const {
  auto at = containers_.find(id);
  if (at == containers_.end()) return not_found("containers", id);
  return at->second;
}

std::vector<ContainerPtr> RuncEngine::containers_of(const std::string& sandbox_id) const {
  std::vector<ContainerPtr> out;
  for (const auto& [id, c] : containers_) {
    if (c->record.sandbox_id == sandbox_id) out.push_back(c);
  }
  return out;
}

async::Task<Result<std::string>> RuncEngine::create_container(std::string sandbox_id, ContainerConfig config) {
  auto at = sandboxes_.find(sandbox_id);
  if (at == sandboxes_.end()) co_return not_found("sandboxes", sandbox_id);
  SandboxPtr s = at->second;
  if (s->record.stopped) co_return Status(Reason::Conflict, "sandbox " + sandbox_id + " is not ready");
  const ImageRecord* image = store_.find(config.image);
  if (!image) co_return not_found("images", config.image);

  auto c = std::make_shared<Container>();
  BundleInputs in;
  ContainerRecord& r = in.record;
  r.id = random_hex(system_rng(), 32);
  r.sandbox_id = sandbox_id;
  r.created_at = loop_.clock().wall();
  r.image_id = image->info.id;
  r.image_ref = image->info.repo_digests.empty() ? image->info.id : image->info.repo_digests[0];
  for (const auto& l : image->layers) r.layer_keys.push_back(l.key());
  CO_ASSIGN_OR_RETURN(r.runtime, runtime_path(s->record.config.runtime_handler));
  r.cgroup_path = s->record.config.cgroup_parent + "/" + r.id;
  if (!config.log_path.empty()) r.log_path = s->record.config.log_directory + "/" + config.log_path;
  std::string stop = !config.stop_signal.empty() ? config.stop_signal : image->info.stop_signal;
  r.stop_signal = stop.empty() ? SIGTERM : parse_signal(stop);
  if (r.stop_signal == 0) co_return bad_request("unknown signal \"" + stop + "\"");
  for (std::size_t i = 0; i < config.mounts.size(); ++i) {
    if (config.mounts[i].image.empty()) continue;
    const ImageRecord* volume = store_.find(config.mounts[i].image);
    if (!volume) co_return not_found("images", config.mounts[i].image);
    ImageVolume v{i, {}};
    for (const auto& l : volume->layers) v.layer_keys.push_back(l.key());
    in.image_volumes.push_back(std::move(v));
  }
  switch (config.pid) {
    case NamespaceMode::Node: break;
    case NamespaceMode::Container: in.pid_ns = "new"; break;
    case NamespaceMode::Pod:
      if (s->record.pause_id.empty()) co_return bad_request("the sandbox shares no PID namespace");
      in.pid_ns = s->folder + "/pid";
      break;
    case NamespaceMode::Target: {
      CO_ASSIGN_OR_RETURN(ContainerPtr target, find_container(config.pid_target));
      if (!target->running()) co_return Status(Reason::Conflict, "container " + config.pid_target + " is not running");
      in.pid_ns = "/proc/" + std::to_string(target->pid) + "/ns/pid";
      break;
    }
  }
  r.config = config;
  in.image = image->info;
  in.config = std::move(config);
  in.sandbox = s->record.config;
  in.host = host_;
  in.cgroup_v2 = cgroups_->unified();
  in.layers_dir = store_.layers_dir();
  in.folder = options_.run_dir + "/containers/" + r.id;
  in.disk = options_.root_dir + "/containers/" + r.id;
  in.sandbox_folder = s->folder;
  c->folder = in.folder;
  c->disk = in.disk;
  c->record = r;
  c->life.resources = r.config.resources;
  store_.touch(r.image_id, r.created_at);
  // Registered before it is made, so that its layers count as used; a removal waits for the lock.
  std::string id = r.id;
  containers_[id] = c;
  CO_RETURN_IF_ERROR(co_await async::uncancelled(c->lock.acquire()));
  Result<ContainerRecord> made = co_await run_blocking([in = std::move(in)] { return make_bundle(in); });
  if (made) c->record = std::move(*made);
  else c->removed = true;
  c->lock.release();
  if (!made) {
    containers_.erase(id);
    co_return made.status();
  }
  emit(ContainerEvent::Type::Created, *c);
  co_return id;
}

std::vector<std::string> RuncEngine::shim_procs_files() const {
  std::vector<std::string> out;
  if (options_.shim_cgroup.empty()) return out;
  std::set<std::string> folders;
  for (const char* controller : {"", "memory", "cpu", "cpuacct", "pids", "cpuset", "blkio", "devices", "freezer", "systemd"}) {
    auto f = cgroups_->folder(controller, options_.shim_cgroup);
    if (!f.empty() && folders.insert(f).second) out.push_back(f + "/cgroup.procs");
  }
  return out;
}

async::Task<Result<void>> RuncEngine::start_container(std::string id) {
  CO_ASSIGN_OR_RETURN(ContainerPtr c, find_container(id));
  CO_RETURN_IF_ERROR(co_await c->lock.acquire());
  // A caller that gives up must not leave a container that runs and counts as created.
  Result<void> r = co_await async::uncancelled(launch(c));
  c->lock.release();
  co_return r;
}

// One process start for the shim, one for the runtime, which creates and starts in one go.
async::Task<Result<void>> RuncEngine::launch(ContainerPtr c) {
  if (c->removed || c->life.state != ContainerState::Created) co_return Status(Reason::Conflict, "container " + c->record.id + " was started before");
  auto at = sandboxes_.find(c->record.sandbox_id);
  if (at == sandboxes_.end() || at->second->record.stopped) co_return Status(Reason::Conflict, "the sandbox is not ready");
  const auto& r = c->record;
  CO_ASSIGN_OR_RETURN(auto ends, packet_pair());
  std::vector<std::string> args = {shim_path_, "shim", "--id", r.id, "--runtime", r.runtime, "--runtime-root", options_.run_dir + "/runtime"};
  for (auto& f : shim_procs_files()) args.insert(args.end(), {"--procs", std::move(f)});
  if (!r.log_path.empty()) args.insert(args.end(), {"--log", r.log_path});
  if (r.config.tty) args.push_back("--tty");
  if (r.config.stdin_open) args.push_back("--stdin");
  if (r.config.stdin_once) args.push_back("--stdin-once");
  int shim_end = ends.second.get();
  std::string folder = c->folder, log_path = r.log_path;
  Result<int> pid = co_await run_blocking([args, folder, shim_end, log_path]() -> Result<int> {
    if (!log_path.empty()) RETURN_IF_ERROR(make_dirs(log_path.substr(0, log_path.rfind('/')), 0755));
    return spawn_program(args, folder, shim_end);
  });
  ends.second.reset();
  if (!pid) co_return pid.status();
  c->shim_pid = *pid;
  c->link = std::make_unique<ShimLink>(std::move(ends.first));
  tasks_.spawn(watch_container(c));
  auto started = co_await async::with_timeout(start_limit, c->link->wait_started());
  if (started) {
    if (c->life.state != ContainerState::Created) co_return Result<void>();  // and is over already
    c->pid = started->pid;
    c->life.started_at = loop_.clock().wall();
    c->life.state = ContainerState::Running;
    save_life(*c);
    c->changed.wake_all();
    emit_started(*c);
    co_return Result<void>();
  }
  if (stopping_) co_return cancelled();  // the shim goes on; the next engine finds it
  if (!c->link->start_failed()) ::kill(*pid, SIGKILL);  // our child, not reaped: still the shim
  std::string why = runtime_error(folder + "/" + shim::runtime_log_name);
  if (why.empty()) why = started.status().message();
  c->life.state = ContainerState::Exited;
  c->life.finished_at = loop_.clock().wall();
  c->life.exit_code = 128;
  c->life.reason = "StartError";
  c->life.message = why;
  save_life(*c);
  c->changed.wake_all();
  tasks_.spawn(clean_up(c));
  co_return internal_error(why);
}

async::Task<Result<void>> RuncEngine::wait_exit(ContainerPtr c) {
  while (c->running()) {
    Status s = co_await c->changed.wait();
    if (!s) co_return s;
  }
  co_return Result<void>();
}

async::Task<Result<void>> RuncEngine::wait_cleaned(ContainerPtr c) {
  while (c->life.state == ContainerState::Exited && !c->life.cleaned) {
    Status s = co_await c->changed.wait();
    if (!s) co_return s;
  }
  co_return Result<void>();
}

async::Task<Result<void>> RuncEngine::kill_and_wait(ContainerPtr c) {
  if (!c->running()) co_return Result<void>();
  Result<void> sent = co_await c->link->kill(SIGKILL, 0);
  if (!sent && !sent.is(Reason::Closed)) log_warn("container not killed", {{"container", c->record.id}, {"error", sent.status()}});
  co_return co_await async::with_timeout(kill_limit, wait_exit(c));
}

async::Task<Result<void>> RuncEngine::stop_container(std::string id, Duration grace, std::string signal) {
  CO_ASSIGN_OR_RETURN(ContainerPtr c, find_container(id));
  if (!c->running()) co_return Result<void>();
  int number = signal.empty() ? c->record.stop_signal : parse_signal(signal);
  if (number == 0) co_return bad_request("unknown signal \"" + signal + "\"");
  if (grace > Duration::zero()) {
    Result<void> sent = co_await c->link->kill(number, 0);
    if (sent) {
      Result<void> r = co_await async::with_timeout(grace, wait_exit(c));
      if (r || !r.is(Reason::Timeout)) co_return r;
    }
  }
  co_return co_await kill_and_wait(c);
}

async::Task<Result<void>> RuncEngine::kill_container(std::string id, int signal) {
  CO_ASSIGN_OR_RETURN(ContainerPtr c, find_container(id));
  if (!c->running()) co_return Status(Reason::Conflict, "container " + id + " is not running");
  co_return co_await c->link->kill(signal, 0);
}

async::Task<Result<void>> RuncEngine::remove_container(std::string id) {
  auto at = containers_.find(id);
  if (at == containers_.end()) co_return Result<void>();
  ContainerPtr c = at->second;
  CO_RETURN_IF_ERROR(co_await c->lock.acquire());
  Result<void> r = co_await kill_and_wait(c);
  if (r) r = co_await async::with_timeout(kill_limit, wait_cleaned(c));
  if (r && !c->removed) {
    c->removed = true;
    ContainerRecord record = c->record;
    std::string folder = c->folder, disk = c->disk;
    co_await run_blocking([=] {
      remove_bundle(folder, disk, record.mount_points);
      return 0;
    });
    containers_.erase(id);
    emit(ContainerEvent::Type::Deleted, *c);
    auto kept = store_.layers_of_images();
    bool orphaned = std::any_of(record.layer_keys.begin(), record.layer_keys.end(), [&](const std::string& k) { return !kept.count(k); });
    if (orphaned) co_await drop_unused_layers();
  }
  c->lock.release();
  co_return r;
}

ContainerStatus RuncEngine::status_of(const Container& c) const {
  ContainerStatus s;
  const auto& r = c.record;
  s.id = r.id;
  s.sandbox_id = r.sandbox_id;
  s.name = r.config.name;
  s.attempt = r.config.attempt;
  s.state = c.life.state;
  s.pid = c.pid;
  s.created_at = r.created_at;
  s.started_at = c.life.started_at;
  s.finished_at = c.life.finished_at;
  s.exit_code = c.life.exit_code;
  s.reason = c.life.reason;
  s.message = c.life.message;
  s.image_id = r.image_id;
  s.image_requested = r.config.image_requested;
  s.image_ref = r.image_ref;
  s.log_path = r.log_path;
  s.cgroup_path = r.cgroup_path;
  s.mounts = r.config.mounts;
  s.labels = r.config.labels;
  s.annotations = r.config.annotations;
  s.resources = c.life.resources;
  s.user_uid = r.uid;
  s.user_gid = r.gid;
  s.user_groups = r.groups;
  return s;
}

std::vector<ContainerStatus> RuncEngine::list_containers(const ListFilter& filter) {
  std::vector<ContainerStatus> out;
  for (const auto& [id, c] : containers_) {
    if (c->record.hidden || (!filter.id.empty() && filter.id != id)) continue;
    if (!filter.sandbox_id.empty() && filter.sandbox_id != c->record.sandbox_id) continue;
    if (labels_match(filter.labels, c->record.config.labels)) out.push_back(status_of(*c));
  }
  return out;
}

Result<ContainerStatus> RuncEngine::container_status(const std::string& id) {
  ASSIGN_OR_RETURN(ContainerPtr c, find_container(id));
  return status_of(*c);
}

async::Task<Result<void>> RuncEngine::update_container(std::string id, Resources resources) {
  CO_ASSIGN_OR_RETURN(ContainerPtr c, find_container(id));
  auto& now = c->life.resources;
  auto merge = [](auto& to, const auto& from) { if (from) to = from; };
  if (c->running()) {
    Resources wanted = resources;
    if (wanted.memory_limit && !wanted.memory_swap_limit && host_.swap_accounting) wanted.memory_swap_limit = wanted.memory_limit;
    CO_RETURN_IF_ERROR(cgroups_->apply(c->record.cgroup_path, wanted));
  } else if (c->life.state == ContainerState::Created) {
    co_return Status(Reason::Conflict, "container " + id + " is not running");
  }
  merge(now.cpu_shares, resources.cpu_shares);
  merge(now.cpu_quota, resources.cpu_quota);
  merge(now.cpu_period, resources.cpu_period);
  merge(now.memory_limit, resources.memory_limit);
  merge(now.memory_swap_limit, resources.memory_swap_limit);
  merge(now.memory_min, resources.memory_min);
  merge(now.memory_high, resources.memory_high);
  merge(now.pids_limit, resources.pids_limit);
  if (!resources.cpuset_cpus.empty()) now.cpuset_cpus = resources.cpuset_cpus;
  if (!resources.cpuset_mems.empty()) now.cpuset_mems = resources.cpuset_mems;
  save_life(*c);
  co_return Result<void>();
}

async::Task<Result<ContainerStats>> RuncEngine::container_stats(std::string id) {
  CO_ASSIGN_OR_RETURN(ContainerPtr c, find_container(id));
  ContainerStats s;
  s.id = id;
  s.at = loop_.clock().wall();
  if (c->running()) {
    CO_ASSIGN_OR_RETURN(CgroupStats g, cgroups_->stats(c->record.cgroup_path));
    s.cpu_usage_ns = g.cpu_usage_ns;
    s.memory_usage = g.memory_usage;
    s.memory_working_set = g.memory_working_set;
    s.memory_rss = g.memory_rss;
    s.memory_limit = g.memory_limit;
    s.memory_page_faults = g.memory_page_faults;
    s.memory_major_page_faults = g.memory_major_page_faults;
    s.pids = g.pids;
  }
  std::string writable = c->disk + "/fs";
  DiskUse use = co_await run_blocking([writable] {
    DiskUse u;
    std::set<std::pair<dev_t, ino_t>> linked;
    measure(writable, u, linked);
    return u;
  });
  s.rootfs_bytes = use.bytes;
  s.rootfs_inodes = use.inodes;
  co_return s;
}

async::Task<Result<void>> RuncEngine::reopen_log(std::string id) {
  CO_ASSIGN_OR_RETURN(ContainerPtr c, find_container(id));
  if (!c->running()) co_return Status(Reason::Conflict, "container " + id + " is not running");
  co_return co_await c->link->reopen_log();
}

}  // namespace onebin::engine
