// RuncEngine: the engine's state, all on the loop thread. Its parts: open.cpp (state from disk, reattaching, ending),
// images.cpp, sandboxes.cpp, containers.cpp, exec.cpp.
#pragma once
#include "engine/host.hpp"
#include "engine/image_store.hpp"
#include "engine/records.hpp"
#include "engine/shim_link.hpp"
#include "engine/users.hpp"

#include <onebin/async/channel.hpp>
#include <onebin/async/group.hpp>
#include <onebin/engine/cgroup.hpp>
#include <onebin/engine/runc_engine.hpp>

#include <map>
#include <memory>
#include <string>

namespace onebin::engine {

struct Sandbox {
  SandboxRecord record;
  std::string folder;
  async::Semaphore lock{1};  // stop and remove
};

struct Container {
  ContainerRecord record;
  ContainerLife life;
  std::string folder;        // in run_dir: the OCI bundle, the shim's folder
  std::string disk;          // in root_dir: the writable layer
  std::unique_ptr<ShimLink> link;
  int shim_pid = 0;          // our child, else 0
  int pid = 0;
  int next_exec = 1;
  bool removed = false;
  bool start_told = false;   // the event Started, before Stopped even when that comes at once
  async::Semaphore lock{1};  // start and remove
  async::WaitQueue changed;  // its state, or life.cleaned
  bool running() const { return life.state == ContainerState::Running; }
};
using ContainerPtr = std::shared_ptr<Container>;
using SandboxPtr = std::shared_ptr<Sandbox>;

class RuncEngine final : public Engine {
 public:
  RuncEngine(async::Loop& loop, EngineOptions options);
  ~RuncEngine() override;
  async::Task<Result<void>> open();

  void set_event_listener(EventListener listener) override { listener_ = std::move(listener); }
  async::Task<Result<void>> stop() override;

  async::Task<Result<ImageInfo>> pull_image(std::string reference, RegistryCredentials credentials, ProgressFn progress) override;
  async::Task<Result<std::vector<ImageInfo>>> import_images(std::string path) override;
  async::Task<Result<void>> export_images(std::vector<std::string> references, std::string path) override;
  std::vector<ImageInfo> list_images() override;
  Result<ImageInfo> image_status(const std::string& reference) override;
  async::Task<Result<void>> remove_image(std::string reference) override;
  async::Task<Result<ImageInfo>> tag_image(std::string reference, std::string new_tag) override;
  async::Task<Result<ImageFsUsage>> image_fs_usage() override;

  async::Task<Result<std::string>> run_sandbox(SandboxConfig config) override;
  async::Task<Result<void>> stop_sandbox(std::string id) override;
  async::Task<Result<void>> remove_sandbox(std::string id) override;
  std::vector<SandboxStatus> list_sandboxes(const ListFilter& filter) override;
  Result<SandboxStatus> sandbox_status(const std::string& id) override;

  async::Task<Result<std::string>> create_container(std::string sandbox_id, ContainerConfig config) override;
  async::Task<Result<void>> start_container(std::string id) override;
  async::Task<Result<void>> stop_container(std::string id, Duration grace, std::string signal) override;
  async::Task<Result<void>> kill_container(std::string id, int signal) override;
  async::Task<Result<void>> remove_container(std::string id) override;
  std::vector<ContainerStatus> list_containers(const ListFilter& filter) override;
  Result<ContainerStatus> container_status(const std::string& id) override;
  async::Task<Result<void>> update_container(std::string id, Resources resources) override;
  async::Task<Result<ContainerStats>> container_stats(std::string id) override;
  async::Task<Result<void>> reopen_log(std::string id) override;

  async::Task<Result<ExecResult>> exec_sync(std::string id, std::vector<std::string> command, Duration limit) override;
  async::Task<Result<std::shared_ptr<IoSession>>> exec(std::string id, ExecRequest request) override;
  async::Task<Result<std::shared_ptr<IoSession>>> attach(std::string id, bool with_stdin) override;

  std::string runtime_version() override { return runtime_version_; }

 private:
  // open.cpp
  async::Task<Result<void>> reattach(ContainerPtr c);
  async::Task<void> watch_container(ContainerPtr c);
  async::Task<void> container_ended(ContainerPtr c, bool told);
  async::Task<void> clean_up(ContainerPtr c);
  Result<std::string> runtime_path(const std::string& handler) const;
  void save_life(const Container& c);
  void emit(ContainerEvent::Type type, const Container& c);
  void emit_started(Container& c);

  // images.cpp
  async::Task<Result<ImageInfo>> add_image(ImageRecord record, std::string config);
  async::Task<void> drop_unused_layers();

  // registry_pull.cpp
  struct Pull;
  async::Task<Result<void>> pull_from(Pull* pull, std::string tag_or_digest);
  async::Task<Result<void>> pull_layers(Pull* pull);
  async::Task<Result<void>> unpack_layers(Pull* pull);
  async::Task<void> fetch_layer(Pull* pull, std::size_t index);
  void unpin_layers(const ImageRecord& record);

  // sandboxes.cpp
  async::Task<Result<void>> start_pause(SandboxPtr s);

  // containers.cpp
  Result<ContainerPtr> find_container(const std::string& id) const;
  async::Task<Result<void>> launch(ContainerPtr c);
  async::Task<Result<void>> wait_exit(ContainerPtr c);
  async::Task<Result<void>> wait_cleaned(ContainerPtr c);
  async::Task<Result<void>> kill_and_wait(ContainerPtr c);
  std::vector<ContainerPtr> containers_of(const std::string& sandbox_id) const;
  std::vector<std::string> shim_procs_files() const;
  ContainerStatus status_of(const Container& c) const;

  async::Loop& loop_;
  EngineOptions options_;
  HostLimits host_;
  std::optional<Cgroups> cgroups_;
  ImageStore store_;
  std::string shim_path_, runtime_version_;
  std::map<std::string, SandboxPtr> sandboxes_;
  std::map<std::string, ContainerPtr> containers_;
  async::Semaphore images_lock_{1};  // whoever adds or removes images or layers
  std::map<std::string, int> pinned_layers_;  // of pulls under way
  std::map<std::string, std::weak_ptr<async::Semaphore>> blob_locks_;  // one download of a blob at a time
  EventListener listener_;
  bool stopping_ = false;
  async::TaskGroup tasks_{"engine"};
};

}  // namespace onebin::engine
