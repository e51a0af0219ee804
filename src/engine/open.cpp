// The engine's beginning and end: state from disk, running shims found again, what an unclean end left removed.
#include "engine/embedded_shim.hpp"
#include "engine/engine_impl.hpp"
#include "engine/layers.hpp"
#include "engine/namespaces.hpp"
#include "engine/process.hpp"

#include <onebin/async/pool.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/log.hpp>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>

namespace onebin::engine {
namespace {

using async::run_blocking;

Result<std::string> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (::access(name.c_str(), X_OK) == 0) return name;
    return Status(Reason::NotFound, "the container runtime " + name + " is not there, or not executable: name another with --runc");
  }
  const char* path = std::getenv("PATH");
  for (const auto& folder : split(path ? path : "/usr/sbin:/usr/bin:/sbin:/bin", ':')) {
    std::string full = (folder.empty() ? "." : folder) + "/" + name;
    if (::access(full.c_str(), X_OK) == 0) return full;
  }
  return Status(Reason::NotFound, "the container runtime " + name + " is not in PATH: install it (apt-get install runc), or name its file with --runc");
}

// Named by content: shims of an older release go on from their own file, and an equal file is not written again.
Result<std::string> place_shim(const std::string& root) {
  std::string folder = root + "/bin";
  std::string path = folder + "/shim-" + sha256_hex(embedded_shim()).substr(0, 12);
  struct stat st;
  if (::stat(path.c_str(), &st) == 0 && st.st_size == static_cast<off_t>(embedded_shim().size())) return path;
  RETURN_IF_ERROR(make_dirs(folder, 0755));
  RETURN_IF_ERROR(write_file_atomic(path, embedded_shim(), 0755));
  return path;
}

std::string version_of(const std::string& runtime) {
  std::string command = runtime + " --version 2>/dev/null";
  FILE* p = ::popen(command.c_str(), "re");
  if (!p) return {};
  char line[256] = {};
  bool ok = std::fgets(line, sizeof line, p) != nullptr;
  while (std::fgetc(p) != EOF) {}
  ::pclose(p);
  auto words = split(trim(ok ? line : ""), ' ');
  return words.size() >= 3 ? words[2] : std::string();
}

struct Loaded {
  std::vector<SandboxRecord> sandboxes;
  std::vector<std::pair<ContainerRecord, ContainerLife>> containers;
};

// Containers whose record is unreadable (a crash in the middle of creation) are removed with their folders.
Loaded load_records(const EngineOptions& o) {
  Loaded out;
  std::set<std::string> known;
  for (const auto& id : list_dir(o.run_dir + "/containers").value_or({})) {
    std::string folder = o.run_dir + "/containers/" + id;
    auto record = parse_container(read_file(folder + "/container.json").value_or(""));
    auto life = parse_life(read_file(folder + "/life.json").value_or("{}"));
    if (record && record->id == id && life) {
      known.insert(id);
      out.containers.emplace_back(std::move(*record), std::move(*life));
      continue;
    }
    for (const auto& n : list_dir(folder).value_or({})) {
      if (n == "rootfs" || starts_with(n, "image-")) (void)unmount(folder + "/" + n);
    }
    (void)remove_all(folder);
  }
  for (const auto& id : list_dir(o.root_dir + "/containers").value_or({})) {
    if (!known.count(id)) (void)remove_all(o.root_dir + "/containers/" + id);
  }
  for (const auto& id : list_dir(o.run_dir + "/sandboxes").value_or({})) {
    std::string folder = o.run_dir + "/sandboxes/" + id;
    auto record = parse_sandbox(read_file(folder + "/sandbox.json").value_or(""));
    if (record && record->id == id) {
      out.sandboxes.push_back(std::move(*record));
      continue;
    }
    (void)unpin_namespaces(folder);
    (void)remove_all(folder);
  }
  return out;
}

}  // namespace

RuncEngine::RuncEngine(async::Loop& loop, EngineOptions options) : loop_(loop), options_(std::move(options)), store_(options_.root_dir, options_.default_registry) {}
RuncEngine::~RuncEngine() = default;

async::Task<Result<void>> RuncEngine::open() {
  ::signal(SIGPIPE, SIG_IGN);  // a pipe whose reader left is an error of write(), not the process's end
  host_ = HostLimits::detect();
  CO_ASSIGN_OR_RETURN(Cgroups cgroups, Cgroups::detect());
  cgroups_ = std::move(cgroups);
  CO_ASSIGN_OR_RETURN(options_.runc, find_program(options_.runc));
  for (auto& [handler, program] : options_.runtimes) {
    CO_ASSIGN_OR_RETURN(program, find_program(program));
  }
  EngineOptions o = options_;
  Result<void> dirs = co_await run_blocking([o]() -> Result<void> {
    for (const auto& d : {o.root_dir + "/containers", o.root_dir + "/empty", o.run_dir + "/containers", o.run_dir + "/sandboxes", o.run_dir + "/runtime"}) {
      RETURN_IF_ERROR(make_dirs(d, 0711));
    }
    return {};
  });
  CO_RETURN_IF_ERROR(dirs);
  shim_path_ = options_.shim_path;
  if (shim_path_.empty()) {
    Result<std::string> placed = co_await run_blocking([o] { return place_shim(o.root_dir); });
    if (!placed) co_return placed.status();
    shim_path_ = std::move(*placed);
  }
  runtime_version_ = co_await run_blocking([o] { return version_of(o.runc); });
  if (!options_.shim_cgroup.empty()) CO_RETURN_IF_ERROR(cgroups_->create(options_.shim_cgroup));
  Loaded loaded = co_await run_blocking([o] { return load_records(o); });
  std::set<std::string> layers;
  for (const auto& [record, life] : loaded.containers) layers.insert(record.layer_keys.begin(), record.layer_keys.end());
  ImageStore* store = &store_;
  WallTime now = loop_.clock().wall();
  Result<void> images = co_await run_blocking([store, layers, now] { return store->load(layers, now); });
  CO_RETURN_IF_ERROR(images);
  for (auto& r : loaded.sandboxes) {
    auto s = std::make_shared<Sandbox>();
    s->folder = options_.run_dir + "/sandboxes/" + r.id;
    s->record = std::move(r);
    sandboxes_[s->record.id] = std::move(s);
  }
  for (auto& [record, life] : loaded.containers) {
    auto c = std::make_shared<Container>();
    c->folder = options_.run_dir + "/containers/" + record.id;
    c->disk = options_.root_dir + "/containers/" + record.id;
    c->record = std::move(record);
    c->life = std::move(life);
    containers_[c->record.id] = c;
    Result<void> r = co_await reattach(c);
    if (!r) log_warn("container not found again", {{"container", c->record.id}, {"error", r.status()}});
  }
  co_return Result<void>();
}

// What became of a container while no engine ran.
async::Task<Result<void>> RuncEngine::reattach(ContainerPtr c) {
  if (c->life.state == ContainerState::Exited) {
    if (!c->life.cleaned) tasks_.spawn(clean_up(c));
    co_return Result<void>();
  }
  auto socket = connect_packet(c->folder, shim::socket_name);
  if (!socket) {
    bool began = path_exists(c->folder + "/" + shim::pid_name) || path_exists(c->folder + "/" + shim::exit_name) ||
                 cgroups_->exists(c->record.cgroup_path);
    if (!began) co_return Result<void>();  // still Created
    if (c->life.started_at == WallTime{}) c->life.started_at = c->record.created_at;
    co_await container_ended(c, true);
    co_return Result<void>();
  }
  c->link = std::make_unique<ShimLink>(std::move(*socket));
  tasks_.spawn(watch_container(c));
  auto hello = co_await async::with_timeout(10s, c->link->hello());
  if (hello && hello->pid == 0) hello = co_await async::with_timeout(120s, c->link->wait_started());
  if (!hello) co_return hello.status();  // the watcher sees the shim's end
  if (c->life.state == ContainerState::Exited) co_return Result<void>();
  c->pid = hello->pid;
  c->life.state = ContainerState::Running;
  if (hello->at_ns) c->life.started_at = WallTime(Duration(hello->at_ns));
  save_life(*c);
  co_return Result<void>();
}

async::Task<void> RuncEngine::watch_container(ContainerPtr c) {
  co_await c->link->run();
  auto scope = co_await async::current_scope();
  if (scope && scope->cancelled()) co_return;
  if (c->life.state == ContainerState::Exited || c->link->start_failed()) co_return;  // launch() tells
  bool started = c->life.state == ContainerState::Running || path_exists(c->folder + "/" + shim::pid_name);
  if (!started) co_return;
  co_await container_ended(c, c->link->exit_known() || path_exists(c->folder + "/" + shim::exit_name));
}

// The shim is gone or going. Its exit file tells how the container ended; without one the shim was killed.
async::Task<void> RuncEngine::container_ended(ContainerPtr c, bool told) {
  if (c->life.state == ContainerState::Exited) co_return;
  auto& life = c->life;
  long long seconds = 0;
  long ns = 0;
  int code = 0;
  auto text = read_file(c->folder + "/" + shim::exit_name, 256);
  if (told && text && std::sscanf(text->c_str(), "%d %lld %ld", &code, &seconds, &ns) == 3) {
    life.exit_code = code;
    life.finished_at = from_unix(seconds) + Duration(ns);
    life.reason = code == 0 ? "Completed" : "Error";
  } else {
    life.exit_code = 255;
    life.finished_at = loop_.clock().wall();
    life.reason = "Unknown";
    life.message = "the shim ended before the container";
  }
  if (life.started_at == WallTime{}) life.started_at = life.finished_at;
  auto stats = cgroups_->stats(c->record.cgroup_path);
  if (stats && stats->oom_kills > 0 && life.exit_code != 0) life.reason = "OOMKilled";
  life.state = ContainerState::Exited;
  c->pid = 0;
  save_life(*c);
  c->changed.wake_all();
  emit_started(*c);
  emit(ContainerEvent::Type::Stopped, *c);
  tasks_.spawn(clean_up(c));
}

// Everything of a dead container but its log, its writable layer and its record.
async::Task<void> RuncEngine::clean_up(ContainerPtr c) {
  int shim = c->shim_pid;
  c->shim_pid = 0;
  Cgroups cgroups = *cgroups_;
  ContainerRecord record = c->record;
  std::string folder = c->folder, runtime_state = options_.run_dir + "/runtime/" + record.id;
  for (int attempt = 0; attempt < 50; ++attempt) {
    Result<void> done = co_await run_blocking([=]() -> Result<void> {
      // A PID namespace that the pod shares does not end with the container.
      RETURN_IF_ERROR(cgroups.kill_all(record.cgroup_path, SIGKILL));
      for (const auto& m : record.mount_points) RETURN_IF_ERROR(unmount(folder + "/" + m));
      RETURN_IF_ERROR(unmount(folder + "/rootfs"));
      RETURN_IF_ERROR(remove_all(runtime_state));
      return cgroups.remove(record.cgroup_path);
    });
    if (done) break;
    if (attempt == 49) log_warn("container not cleaned up", {{"container", record.id}, {"error", done.status()}});
    // Processes that were killed leave their cgroup only when they are reaped.
    Status s = co_await async::sleep_for(std::min<Duration>(10ms * (1 << std::min(attempt, 6)), 500ms));
    if (!s) co_return;
  }
  c->life.cleaned = true;
  save_life(*c);
  c->changed.wake_all();
  // Last: a shim may stay for seconds, until attached readers have all output.
  if (shim > 0) co_await run_blocking([shim] { reap_child(shim); return 0; });
}

Result<std::string> RuncEngine::runtime_path(const std::string& handler) const {
  if (auto at = options_.runtimes.find(handler); at != options_.runtimes.end()) return at->second;
  if (handler.empty() || handler == "runc") return options_.runc;
  return bad_request("no runtime for handler \"" + handler + "\" is configured");
}

void RuncEngine::save_life(const Container& c) {
  if (c.removed) return;
  auto r = replace_file(c.folder + "/life.json", to_json(c.life));
  if (!r) log_warn("container state not saved", {{"container", c.record.id}, {"error", r.status()}});
}

void RuncEngine::emit(ContainerEvent::Type type, const Container& c) {
  if (!listener_ || c.record.hidden) return;
  listener_(ContainerEvent{type, c.record.id, c.record.sandbox_id, c.record.config.labels});
}

void RuncEngine::emit_started(Container& c) {
  if (!c.start_told) emit(ContainerEvent::Type::Started, c);
  c.start_told = true;
}

async::Task<Result<void>> RuncEngine::stop() {
  listener_ = nullptr;
  stopping_ = true;
  tasks_.cancel();
  for (auto& [id, c] : containers_) {
    if (c->link) c->link->close();
  }
  co_await tasks_.join();
  for (auto& [id, c] : containers_) c->link.reset();
  co_return Result<void>();
}

async::Task<Result<std::unique_ptr<Engine>>> open_engine(async::Loop& loop, EngineOptions options) {
  auto engine = std::make_unique<RuncEngine>(loop, std::move(options));
  Result<void> opened = co_await engine->open();
  if (!opened) {
    (void)co_await async::uncancelled(engine->stop());
    co_return opened.status();
  }
  co_return Result<std::unique_ptr<Engine>>(std::unique_ptr<Engine>(std::move(engine)));
}

}  // namespace onebin::engine
