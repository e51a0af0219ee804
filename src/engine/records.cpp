#include "engine/records.hpp"

#include <nlohmann/json.hpp>

namespace onebin::engine {
namespace {

using nlohmann::json;

// One function a type serves both directions: an Io either stores fields into its JSON or loads them from it. A field
// that is absent or of another type keeps its default, so that an older release's record is readable.
class Io {
 public:
  Io(json& j, bool loading) : j_(j), loading_(loading) {}
  bool loading() const { return loading_; }

  template <class T>
  void field(const char* key, T& value) {
    if (!loading_) {
      j_[key] = value;
      return;
    }
    auto at = j_.find(key);
    if (at == j_.end()) return;
    try {
      value = at->get<T>();
    } catch (const json::exception&) {
    }
  }
  template <class T>
  void optional(const char* key, std::optional<T>& value) {
    if (!loading_) {
      if (value) j_[key] = *value;
      return;
    }
    if (!j_.contains(key)) return;
    value.emplace();
    field(key, *value);
  }
  template <class E>
  void enumeration(const char* key, E& value) {
    int n = static_cast<int>(value);
    field(key, n);
    value = static_cast<E>(n);
  }
  void time(const char* key, WallTime& value) {
    std::int64_t ns = value.time_since_epoch().count();
    field(key, ns);
    value = WallTime(Duration(ns));
  }
  template <class T, class Fn>
  void list(const char* key, std::vector<T>& values, Fn fn) {
    if (!loading_) {
      json out = json::array();
      for (auto& v : values) {
        json element = json::object();
        Io io(element, false);
        fn(io, v);
        out.push_back(std::move(element));
      }
      j_[key] = std::move(out);
      return;
    }
    auto at = j_.find(key);
    if (at == j_.end() || !at->is_array()) return;
    for (auto& element : *at) {
      if (!element.is_object()) continue;
      T v;
      Io io(element, true);
      fn(io, v);
      values.push_back(std::move(v));
    }
  }
  template <class T, class Fn>
  void object(const char* key, T& value, Fn fn) {
    if (!loading_) {
      json out = json::object();
      Io io(out, false);
      fn(io, value);
      j_[key] = std::move(out);
    } else if (auto at = j_.find(key); at != j_.end() && at->is_object()) {
      Io io(*at, true);
      fn(io, value);
    }
  }

 private:
  json& j_;
  bool loading_;
};

void resources(Io& io, Resources& r) {
  io.optional("cpuShares", r.cpu_shares);
  io.optional("cpuQuota", r.cpu_quota);
  io.optional("cpuPeriod", r.cpu_period);
  io.optional("memoryLimit", r.memory_limit);
  io.optional("memorySwapLimit", r.memory_swap_limit);
  io.optional("memoryMin", r.memory_min);
  io.optional("memoryHigh", r.memory_high);
  io.optional("pidsLimit", r.pids_limit);
  io.field("cpus", r.cpuset_cpus);
  io.field("mems", r.cpuset_mems);
  io.field("unified", r.unified);
  io.list("hugepages", r.hugepages, [](Io& e, HugepageLimit& h) {
    e.field("pageSize", h.page_size);
    e.field("limit", h.limit);
  });
}

void mount(Io& io, Mount& m) {
  io.field("containerPath", m.container_path);
  io.field("hostPath", m.host_path);
  io.field("readonly", m.readonly);
  io.field("recursiveReadonly", m.recursive_readonly);
  io.enumeration("propagation", m.propagation);
  io.field("image", m.image);
  io.field("imageSubPath", m.image_sub_path);
}

void sandbox_config(Io& io, SandboxConfig& c) {
  io.field("name", c.name);
  io.field("namespace", c.namespace_);
  io.field("uid", c.uid);
  io.field("attempt", c.attempt);
  io.field("hostname", c.hostname);
  io.field("netns", c.netns_path);
  io.enumeration("ipc", c.ipc);
  io.enumeration("pid", c.pid);
  io.field("sysctls", c.sysctls);
  io.field("cgroupParent", c.cgroup_parent);
  io.field("logDirectory", c.log_directory);
  io.optional("resolvConf", c.resolv_conf);
  io.field("shmSize", c.shm_size);
  io.field("runtimeHandler", c.runtime_handler);
  io.field("labels", c.labels);
  io.field("annotations", c.annotations);
}

void container_config(Io& io, ContainerConfig& c) {
  io.field("name", c.name);
  io.field("attempt", c.attempt);
  io.field("image", c.image);
  io.field("imageRequested", c.image_requested);
  io.list("mounts", c.mounts, mount);
  io.object("resources", c.resources, resources);
  io.field("tty", c.tty);
  io.field("stdin", c.stdin_open);
  io.field("stdinOnce", c.stdin_once);
  io.field("logPath", c.log_path);
  io.field("stopSignal", c.stop_signal);
  io.field("labels", c.labels);
  io.field("annotations", c.annotations);
}

void sandbox(Io& io, SandboxRecord& r) {
  io.field("id", r.id);
  io.object("config", r.config, sandbox_config);
  io.time("createdAt", r.created_at);
  io.field("stopped", r.stopped);
  io.field("pauseID", r.pause_id);
}

void container(Io& io, ContainerRecord& r) {
  io.field("id", r.id);
  io.field("sandboxID", r.sandbox_id);
  io.object("config", r.config, container_config);
  io.field("imageID", r.image_id);
  io.field("imageRef", r.image_ref);
  io.field("layers", r.layer_keys);
  io.time("createdAt", r.created_at);
  io.field("logPath", r.log_path);
  io.field("cgroupPath", r.cgroup_path);
  io.field("runtime", r.runtime);
  io.field("stopSignal", r.stop_signal);
  io.field("uid", r.uid);
  io.field("gid", r.gid);
  io.field("groups", r.groups);
  io.field("mountPoints", r.mount_points);
  io.field("hidden", r.hidden);
}

void life(Io& io, ContainerLife& l) {
  io.enumeration("state", l.state);
  io.time("startedAt", l.started_at);
  io.time("finishedAt", l.finished_at);
  io.field("exitCode", l.exit_code);
  io.field("reason", l.reason);
  io.field("message", l.message);
  io.field("cleaned", l.cleaned);
  io.object("resources", l.resources, resources);
}

template <class T, class Fn>
std::string store(const T& value, Fn fn) {
  json j = json::object();
  Io io(j, false);
  T copy = value;
  fn(io, copy);
  return j.dump(-1, ' ', false, json::error_handler_t::replace);
}

template <class T, class Fn>
Result<T> load(const std::string& text, Fn fn) {
  json j = json::parse(text, nullptr, false);
  if (!j.is_object()) return bad_request("not a JSON object");
  T value;
  Io io(j, true);
  fn(io, value);
  return value;
}

}  // namespace

std::string to_json(const SandboxRecord& r) { return store(r, sandbox); }
Result<SandboxRecord> parse_sandbox(const std::string& text) { return load<SandboxRecord>(text, sandbox); }
std::string to_json(const ContainerRecord& r) { return store(r, container); }
Result<ContainerRecord> parse_container(const std::string& text) { return load<ContainerRecord>(text, container); }
std::string to_json(const ContainerLife& l) { return store(l, life); }
Result<ContainerLife> parse_life(const std::string& text) { return load<ContainerLife>(text, life); }

}  // namespace onebin::engine
