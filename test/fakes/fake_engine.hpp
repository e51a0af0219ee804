// FakeEngine: sandboxes and containers as records. Tests end containers, fail calls, and read what was asked.
#pragma once
#include <onebin/async/channel.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/engine/engine.hpp>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace onebin::fakes {

class FakeEngine final : public engine::Engine {
 public:
  // What tests set and read.
  std::set<std::string> images;                    // present; pull_image() adds, unless listed in `missing`
  std::set<std::string> missing;                   // cannot be pulled
  Duration pull_time{};
  std::map<std::string, Duration> stop_time;       // by container name: how long it takes to obey the stop signal
  std::map<std::string, int> stop_code;            // its exit code then (default 0)
  std::map<std::string, Status> start_errors;      // by container name
  std::function<Result<engine::ExecResult>(const std::string& container, const std::vector<std::string>& command)> on_exec;
  std::vector<std::string> calls;                  // "create main", "start main", "stop main", "kill main", "pull busybox", ...

  engine::ContainerStatus* running(const std::string& name) {
    for (auto& [id, c] : containers_)
      if (c.name == name && c.state == engine::ContainerState::Running) return &c;
    return nullptr;
  }
  const engine::ContainerConfig* config(const std::string& id) const {
    auto i = configs_.find(id);
    return i == configs_.end() ? nullptr : &i->second;
  }
  int starts(const std::string& name) const {
    int n = 0;
    for (const auto& c : calls) n += c == "start " + name;
    return n;
  }
  // Ends a running container.
  void exit(const std::string& name, int code, std::string reason = {}) {
    if (engine::ContainerStatus* c = running(name)) finish(*c, code, std::move(reason));
  }
  void sandbox_dies() {
    for (auto& [id, s] : sandboxes_) s.state = engine::SandboxState::NotReady;
    for (auto& [id, c] : containers_)
      if (c.state == engine::ContainerState::Running) finish(c, 255, "Unknown");
  }

  void set_event_listener(EventListener l) override { listener_ = std::move(l); }
  async::Task<Result<void>> stop() override { co_return Result<void>(); }

  async::Task<Result<engine::ImageInfo>> pull_image(std::string ref, engine::RegistryCredentials, ProgressFn) override {
    calls.push_back("pull " + ref);
    if (pull_time > Duration::zero()) CO_RETURN_IF_ERROR(co_await async::sleep_for(pull_time));
    if (missing.contains(ref)) co_return Status(Reason::NotFound, "manifest unknown");
    images.insert(ref);
    co_return image_status(ref);
  }
  async::Task<Result<std::vector<engine::ImageInfo>>> import_images(std::string) override { co_return std::vector<engine::ImageInfo>(); }
  async::Task<Result<void>> export_images(std::vector<std::string>, std::string) override { co_return Result<void>(); }
  std::vector<engine::ImageInfo> list_images() override {
    std::vector<engine::ImageInfo> out;
    for (const auto& i : images) out.push_back(*image_status(i));
    return out;
  }
  Result<engine::ImageInfo> image_status(const std::string& ref) override {
    if (!images.contains(ref)) return not_found("image", ref);
    engine::ImageInfo i;
    i.id = "sha256:" + ref;
    i.repo_tags = {ref};
    i.uid = 0;
    return i;
  }
  async::Task<Result<void>> remove_image(std::string ref) override {
    images.erase(ref);
    co_return Result<void>();
  }
  async::Task<Result<engine::ImageInfo>> tag_image(std::string ref, std::string) override { co_return image_status(ref); }
  async::Task<Result<engine::ImageFsUsage>> image_fs_usage() override { co_return engine::ImageFsUsage(); }

  async::Task<Result<std::string>> run_sandbox(engine::SandboxConfig config) override {
    calls.push_back("sandbox");
    engine::SandboxStatus s;
    s.id = "sandbox" + std::to_string(++ids_);
    s.state = engine::SandboxState::Ready;
    s.created_at = now();
    s.config = std::move(config);
    std::string id = s.id;
    sandboxes_[id] = std::move(s);
    co_return id;
  }
  async::Task<Result<void>> stop_sandbox(std::string id) override {
    if (auto i = sandboxes_.find(id); i != sandboxes_.end()) {
      calls.push_back("stop sandbox");
      i->second.state = engine::SandboxState::NotReady;
    }
    for (auto& [cid, c] : containers_)
      if (c.sandbox_id == id && c.state == engine::ContainerState::Running) finish(c, 137, {});
    co_return Result<void>();
  }
  async::Task<Result<void>> remove_sandbox(std::string id) override {
    sandboxes_.erase(id);
    std::erase_if(containers_, [&](const auto& c) { return c.second.sandbox_id == id; });
    co_return Result<void>();
  }
  std::vector<engine::SandboxStatus> list_sandboxes(const engine::ListFilter& f) override {
    std::vector<engine::SandboxStatus> out;
    for (const auto& [id, s] : sandboxes_)
      if (matches(f, s.config.labels)) out.push_back(s);
    return out;
  }
  Result<engine::SandboxStatus> sandbox_status(const std::string& id) override {
    auto i = sandboxes_.find(id);
    if (i == sandboxes_.end()) return not_found("sandbox", id);
    return i->second;
  }

  async::Task<Result<std::string>> create_container(std::string sandbox, engine::ContainerConfig config) override {
    calls.push_back("create " + config.name);
    engine::ContainerStatus c;
    c.id = "container" + std::to_string(++ids_);
    c.sandbox_id = std::move(sandbox);
    c.name = config.name;
    c.attempt = config.attempt;
    c.state = engine::ContainerState::Created;
    c.created_at = now();
    c.image_id = c.image_ref = config.image;
    c.image_requested = config.image_requested;
    c.labels = config.labels;
    c.annotations = config.annotations;
    std::string id = c.id;
    containers_[id] = std::move(c);
    configs_[id] = std::move(config);
    co_return id;
  }
  async::Task<Result<void>> start_container(std::string id) override {
    auto i = containers_.find(id);
    if (i == containers_.end()) co_return not_found("container", id);
    calls.push_back("start " + i->second.name);
    if (auto e = start_errors.find(i->second.name); e != start_errors.end()) {
      i->second.state = engine::ContainerState::Exited;
      i->second.exit_code = 128;
      i->second.reason = "StartError";
      i->second.finished_at = now();
      co_return e->second;
    }
    i->second.state = engine::ContainerState::Running;
    i->second.started_at = now();
    tell(engine::ContainerEvent::Type::Started, i->second);
    co_return Result<void>();
  }
  async::Task<Result<void>> stop_container(std::string id, Duration grace, std::string) override {
    auto i = containers_.find(id);
    if (i == containers_.end()) co_return not_found("container", id);
    std::string name = i->second.name;
    if (i->second.state != engine::ContainerState::Running) co_return Result<void>();
    calls.push_back("stop " + name);
    Duration takes = stop_time.contains(name) ? stop_time[name] : Duration::zero();
    SteadyTime until = async::Loop::current().now() + std::min(takes, grace);
    while (async::Loop::current().now() < until) {
      i = containers_.find(id);
      if (i == containers_.end() || i->second.state != engine::ContainerState::Running) co_return Result<void>();
      CO_RETURN_IF_ERROR(co_await async::sleep_for(std::min<Duration>(until - async::Loop::current().now(), std::chrono::milliseconds(100))));
    }
    i = containers_.find(id);
    if (i == containers_.end() || i->second.state != engine::ContainerState::Running) co_return Result<void>();
    if (takes > grace) {
      calls.push_back("kill " + name);
      finish(i->second, 137, "Error");
    } else {
      finish(i->second, stop_code.contains(name) ? stop_code[name] : 0, {});
    }
    co_return Result<void>();
  }
  async::Task<Result<void>> kill_container(std::string id, int) override {
    auto i = containers_.find(id);
    if (i == containers_.end() || i->second.state != engine::ContainerState::Running) co_return Result<void>();
    calls.push_back("kill " + i->second.name);
    finish(i->second, 137, "Error");
    co_return Result<void>();
  }
  async::Task<Result<void>> remove_container(std::string id) override {
    containers_.erase(id);
    co_return Result<void>();
  }
  std::vector<engine::ContainerStatus> list_containers(const engine::ListFilter& f) override {
    std::vector<engine::ContainerStatus> out;
    for (const auto& [id, c] : containers_)
      if (matches(f, c.labels)) out.push_back(c);
    return out;
  }
  Result<engine::ContainerStatus> container_status(const std::string& id) override {
    auto i = containers_.find(id);
    if (i == containers_.end()) return not_found("container", id);
    return i->second;
  }
  std::vector<std::string> updates;  // "NAME QUOTA"
  async::Task<Result<void>> update_container(std::string id, engine::Resources r) override {
    updates.push_back(containers_[id].name + " " + std::to_string(r.cpu_quota.value_or(0)));
    co_return Result<void>();
  }
  async::Task<Result<engine::ContainerStats>> container_stats(std::string) override { co_return engine::ContainerStats(); }
  async::Task<Result<void>> reopen_log(std::string) override { co_return Result<void>(); }
  async::Task<Result<engine::ExecResult>> exec_sync(std::string id, std::vector<std::string> command, Duration) override {
    auto i = containers_.find(id);
    if (i == containers_.end() || i->second.state != engine::ContainerState::Running) co_return Status(Reason::Conflict, "not running");
    if (!on_exec) co_return engine::ExecResult();
    co_return on_exec(i->second.name, command);
  }
  async::Task<Result<std::shared_ptr<engine::IoSession>>> exec(std::string, engine::ExecRequest) override { co_return bad_request("not in the fake"); }
  async::Task<Result<std::shared_ptr<engine::IoSession>>> attach(std::string, bool) override { co_return bad_request("not in the fake"); }
  std::string runtime_version() override { return "fake"; }

 private:
  static WallTime now() { return async::Loop::current().clock().wall(); }
  static bool matches(const engine::ListFilter& f, const engine::Labels& labels) {
    for (const auto& [k, v] : f.labels) {
      auto i = labels.find(k);
      if (i == labels.end() || i->second != v) return false;
    }
    return true;
  }
  void finish(engine::ContainerStatus& c, int code, std::string reason) {
    c.state = engine::ContainerState::Exited;
    c.exit_code = code;
    c.reason = !reason.empty() ? reason : code == 0 ? "Completed" : "Error";
    c.finished_at = now();
    tell(engine::ContainerEvent::Type::Stopped, c);
  }
  void tell(engine::ContainerEvent::Type type, const engine::ContainerStatus& c) {
    if (!listener_) return;
    engine::ContainerEvent e;
    e.type = type;
    e.container_id = c.id;
    e.sandbox_id = c.sandbox_id;
    e.labels = c.labels;
    listener_(e);
  }
  EventListener listener_;
  std::map<std::string, engine::SandboxStatus> sandboxes_;
  std::map<std::string, engine::ContainerStatus> containers_;
  std::map<std::string, engine::ContainerConfig> configs_;
  int ids_ = 0;
};

}  // namespace onebin::fakes
