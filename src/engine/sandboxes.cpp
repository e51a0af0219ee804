#include "engine/bundle.hpp"
#include "engine/engine_impl.hpp"
#include "engine/namespaces.hpp"
#include "engine/process.hpp"

#include <onebin/async/pool.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>
#include <onebin/base/random.hpp>

namespace onebin::engine {
namespace {

using async::run_blocking;

Result<void> prepare(const SandboxRecord& record, const std::string& folder) {
  const auto& c = record.config;
  if (!c.log_directory.empty()) RETURN_IF_ERROR(make_dirs(c.log_directory, 0755));
  RETURN_IF_ERROR(make_dirs(folder, 0711));
  RETURN_IF_ERROR(write_file(folder + "/hostname", c.hostname + "\n"));
  if (c.resolv_conf) RETURN_IF_ERROR(write_file(folder + "/resolv.conf", *c.resolv_conf));
  return pin_namespaces(c, folder);
}

SandboxStatus sandbox_of(const Sandbox& s) {
  return SandboxStatus{s.record.id, s.record.stopped ? SandboxState::NotReady : SandboxState::Ready, s.record.created_at, s.record.config};
}

}  // namespace

async::Task<Result<std::string>> RuncEngine::run_sandbox(SandboxConfig config) {
  CO_ASSIGN_OR_RETURN(std::string runtime, runtime_path(config.runtime_handler));
  if (!config.cgroup_parent.empty() && (config.cgroup_parent[0] != '/' || config.cgroup_parent.find("..") != std::string::npos)) {
    co_return bad_request("bad cgroup parent \"" + config.cgroup_parent + "\"");
  }
  auto s = std::make_shared<Sandbox>();
  s->record.id = random_hex(system_rng(), 32);
  s->record.config = std::move(config);
  s->record.created_at = loop_.clock().wall();
  s->folder = options_.run_dir + "/sandboxes/" + s->record.id;
  SandboxRecord record = s->record;
  std::string folder = s->folder;
  Result<void> ready = co_await run_blocking([record, folder]() -> Result<void> {
    RETURN_IF_ERROR(prepare(record, folder));
    return replace_file(folder + "/sandbox.json", to_json(record));
  });
  if (ready) {
    sandboxes_[record.id] = s;
    if (record.config.pid == NamespaceMode::Pod) ready = co_await start_pause(s);
  }
  if (!ready) {
    if (!s->record.pause_id.empty()) {
      Result<void> removed = co_await async::uncancelled(remove_container(s->record.pause_id));
      if (!removed) log_warn("pause container not removed", {{"error", removed.status()}});
    }
    co_await run_blocking([folder] {
      (void)unpin_namespaces(folder);
      (void)remove_all(folder);
      return 0;
    });
    sandboxes_.erase(record.id);
    co_return ready.status();
  }
  co_return record.id;
}

// Process 1 of a shared PID namespace: in an empty root, as nobody, without capabilities, so that what the pod's
// containers reach through /proc/1 is nothing.
async::Task<Result<void>> RuncEngine::start_pause(SandboxPtr s) {
  auto c = std::make_shared<Container>();
  BundleInputs in;
  ContainerRecord& r = in.record;
  r.id = random_hex(system_rng(), 32);
  r.sandbox_id = s->record.id;
  r.created_at = loop_.clock().wall();
  r.hidden = true;
  CO_ASSIGN_OR_RETURN(r.runtime, runtime_path(s->record.config.runtime_handler));
  r.cgroup_path = s->record.config.cgroup_parent + "/" + r.id;
  auto& config = in.config;
  config.name = "pause";
  config.command = {"/pause", "pause"};
  config.run_as_user = config.run_as_group = 65535;
  config.drop_capabilities = {"ALL"};
  config.readonly_rootfs = config.no_new_privs = true;
  config.oom_score_adj = -998;
  config.resources.cpu_shares = 2;
  Mount program;
  program.container_path = "/pause";
  program.host_path = shim_path_;
  program.readonly = true;
  config.mounts.push_back(program);
  r.config = config;
  in.sandbox = s->record.config;
  in.host = host_;
  in.cgroup_v2 = cgroups_->unified();
  in.folder = options_.run_dir + "/containers/" + r.id;
  in.sandbox_folder = s->folder;
  in.pid_ns = "new";
  in.plain_rootfs = s->folder + "/pause-root";
  c->folder = in.folder;
  c->record = r;
  Result<ContainerRecord> made = co_await run_blocking([in]() -> Result<ContainerRecord> {
    RETURN_IF_ERROR(make_dirs(in.plain_rootfs, 0755));
    return make_bundle(in);
  });
  if (!made) co_return made.status();
  c->record = std::move(*made);
  containers_[c->record.id] = c;
  s->record.pause_id = c->record.id;
  CO_RETURN_IF_ERROR(co_await async::uncancelled(launch(c)));
  CO_RETURN_IF_ERROR(pin_pid_namespace(c->pid, s->folder));
  co_return replace_file(s->folder + "/sandbox.json", to_json(s->record));
}

async::Task<Result<void>> RuncEngine::stop_sandbox(std::string id) {
  auto at = sandboxes_.find(id);
  if (at == sandboxes_.end()) co_return not_found("sandboxes", id);
  SandboxPtr s = at->second;
  CO_RETURN_IF_ERROR(co_await s->lock.acquire());
  Result<void> r;
  if (!s->record.stopped) {
    // No container starts from here on.
    s->record.stopped = true;
    for (const auto& c : containers_of(id)) {
      Result<void> killed = co_await c->lock.acquire();  // a start under way ends first
      if (killed) {
        killed = co_await kill_and_wait(c);
        c->lock.release();
      }
      if (killed) killed = co_await async::with_timeout(60s, wait_cleaned(c));
      if (!killed) r = killed;
    }
    std::string folder = s->folder;
    SandboxRecord record = s->record;
    Result<void> unpinned = co_await run_blocking([folder, record]() -> Result<void> {
      RETURN_IF_ERROR(unpin_namespaces(folder));
      return replace_file(folder + "/sandbox.json", to_json(record));
    });
    if (!unpinned) r = unpinned;
    if (!r) s->record.stopped = false;  // to be tried again
  }
  s->lock.release();
  co_return r;
}

async::Task<Result<void>> RuncEngine::remove_sandbox(std::string id) {
  auto at = sandboxes_.find(id);
  if (at == sandboxes_.end()) co_return Result<void>();
  SandboxPtr s = at->second;
  CO_RETURN_IF_ERROR(co_await stop_sandbox(id));
  for (const auto& c : containers_of(id)) CO_RETURN_IF_ERROR(co_await remove_container(c->record.id));
  std::string folder = s->folder;
  Result<void> removed = co_await run_blocking([folder] { return remove_all(folder); });
  CO_RETURN_IF_ERROR(removed);
  sandboxes_.erase(id);
  co_return Result<void>();
}

std::vector<SandboxStatus> RuncEngine::list_sandboxes(const ListFilter& filter) {
  std::vector<SandboxStatus> out;
  for (const auto& [id, s] : sandboxes_) {
    if (!filter.id.empty() && filter.id != id) continue;
    bool fits = true;
    for (const auto& [k, v] : filter.labels) {
      auto at = s->record.config.labels.find(k);
      fits &= at != s->record.config.labels.end() && at->second == v;
    }
    if (fits) out.push_back(sandbox_of(*s));
  }
  return out;
}

Result<SandboxStatus> RuncEngine::sandbox_status(const std::string& id) {
  auto at = sandboxes_.find(id);
  if (at == sandboxes_.end()) return not_found("sandboxes", id);
  return sandbox_of(*at->second);
}

}  // namespace onebin::engine
