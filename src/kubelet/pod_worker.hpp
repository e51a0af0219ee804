// PodWorker: one pod on this node, from its binding to its last trace. One task; woken by changes of the definition, by
// the engine, by probes, by objects it refers to, and by timers it sets itself.
//
// Life: Syncing (compute_pod_actions is applied again and again) -> Terminating (deleted, finished, evicted: containers
// end in order, with grace) -> Terminated (nothing runs, nothing is mounted; logs are kept) -> Gone (deleted in the API).
#pragma once
#include "kubelet/container_spec.hpp"
#include "kubelet/node_context.hpp"
#include "kubelet/pod_status.hpp"
#include "kubelet/probes.hpp"

#include <onebin/async/channel.hpp>
#include <onebin/async/group.hpp>
#include <onebin/async/loop.hpp>

#include <map>
#include <optional>
#include <set>
#include <string>

namespace onebin::kubelet {

class PodWorker {
 public:
  enum class Stage : std::uint8_t { Syncing, Terminating, Terminated, Gone };

  PodWorker(NodeContext& node, core::Pod pod);
  ~PodWorker();  // after stop()
  void start();
  async::Task<void> stop();  // leaves containers running

  void update(core::Pod pod);
  void removed();            // the API has no such pod any more: end at once
  void poke() { wake_.notify(); }
  void runtime_changed();    // a container has started or ended
  void objects_changed() { volumes_dirty_ = true; env_dirty_ = true; poke(); }
  void evict(PodVerdict verdict, std::optional<std::int64_t> grace_seconds);
  void set_mirror(const core::Pod* mirror);  // of a static pod, in the API; null: there is none
  void reject(PodVerdict verdict);  // was never admitted: Failed, nothing is started

  const core::Pod& pod() const { return pod_; }
  const core::PodStatus& status() const { return status_; }
  const RuntimePod& runtime() const { return runtime_; }
  Stage stage() const { return stage_; }
  const std::string& uid() const { return pod_.metadata.uid; }
  // The definition with the resources that the pod has been granted, which a resize that must wait does not have yet.
  core::Pod granted() const;
  bool resize_waits() const { return resize_ && resize_->reason == "Deferred"; }
  bool holds_resources() const { return stage_ == Stage::Syncing || stage_ == Stage::Terminating; }
  std::vector<std::string> pod_ips() const;

 private:
  // pod_worker.cpp
  async::Task<void> run();
  async::Task<void> step();
  void refresh();                       // reads the engine's state into runtime_
  void publish();                       // generates the status; writes it in its own time when it has changed
  async::Task<void> write_status();
  bool wants_termination();
  void wake_in(Duration d);
  void event(const std::string& container, const char* type, const char* reason, std::string message);
  std::string termination_message(const engine::ContainerStatus& s, const core::Container* c);
  void begin_termination();
  void check_deadline();
  Clock& clock() const { return async::Loop::current().clock(); }

  // pod_start.cpp
  async::Task<void> sync();
  async::Task<Result<void>> sync_body();
  async::Task<Result<void>> prepare_pod();                    // cgroup, volumes
  std::optional<WallTime> next_credentials() const;           // when a token or certificate wants renewal
  async::Task<Result<void>> ensure_sandbox(PodActions actions);
  async::Task<Result<void>> start_containers(PodActions actions);
  async::Task<Result<void>> start_container(core::Container c, std::string pid_target);
  async::Task<Result<void>> create_and_start(core::Container c, engine::ImageInfo image, std::string pid_target);
  async::Task<Result<engine::ContainerConfig>> configure(core::Container c, engine::ImageInfo image, std::string pid_target, int restart_count);
  async::Task<Result<void>> post_start(core::Container c, std::string id);
  Result<void> container_backoff(const core::Container& c);
  async::Task<Result<void>> pull_image_volumes();
  async::Task<std::vector<engine::RegistryCredentials>> pull_credentials(std::string image);
  Result<void> fail_start(const core::Container& c, std::string reason, const Status& why, bool with_event = true);
  async::Task<Result<std::vector<engine::Mount>>> mounts_of(core::Container c, EnvMap env, int restart_count, std::string* termination_file);
  int next_restart_count(const std::string& name) const;
  async::Task<Result<void>> remove_old_containers(std::string name);

  // pod_resize.cpp
  void grant_resources();
  async::Task<void> actuate_resources();
  async::Task<bool> resize_container(const core::Container* spec, const RuntimeContainer* running);
  void fill_resize(StatusInput& in) const;
  using ResourceMap = std::map<std::string, core::ResourceRequirements>;  // by container

  // pod_stop.cpp
  async::Task<void> terminate();
  async::Task<void> clean_up();                               // sandbox, network, volumes, cgroup
  struct StopPlan;
  async::Task<void> stop_containers(std::vector<RuntimeContainer> running);
  async::Task<void> stop_in_turn(StopPlan* plan, RuntimeContainer c, std::size_t turn);
  async::Task<Result<void>> run_pre_stop(RuntimeContainer c, Duration limit);
  async::Task<void> kill_in_background(ContainerKill kill);
  async::Task<Result<void>> stop_sandboxes();
  async::Task<Result<void>> delete_from_api();
  Duration remaining_grace() const;
  void shorten_grace();
  async::Task<void> kill_at_deadline();

  NodeContext& node_;
  core::Pod pod_;
  core::PodStatus status_;             // last generated
  core::PodStatus written_;            // what the API has, as far as we know
  std::int64_t written_version_ = 0;
  std::string mirror_uid_;             // static pods are written through their mirror
  bool status_dirty_ = false, writing_ = false;
  Duration write_backoff_{};
  RuntimePod runtime_;
  Stage stage_ = Stage::Syncing;
  std::optional<PodVerdict> verdict_;
  bool rejected_ = false, removed_ = false, api_gone_ = false, started_ = false;
  bool busy_ = false;                                         // inside sync() or terminate()

  ResourceMap granted_, actuated_;
  std::optional<ResizeState> resize_;
  std::map<std::string, WaitReason> wait_reasons_;
  std::map<std::string, std::string> termination_messages_;   // by container id
  std::set<std::string> killing_;                             // container ids
  PreparedVolumes volumes_;
  bool volumes_ready_ = false, volumes_dirty_ = true, env_dirty_ = false, announced_ = false;
  Duration prepare_backoff_{};
  std::string cgroup_;
  References references_;
  bool network_up_ = false;

  std::optional<std::int64_t> grace_override_;
  std::optional<SteadyTime> deadline_;                        // of the termination
  bool shortened_ = false;
  async::Notify deadline_moved_;

  ProbeSet probes_;
  async::Notify wake_;
  async::TimerId timer_ = 0;
  SteadyTime timer_at_{};
  async::TaskGroup group_;
  async::CancelScope* sync_scope_ = nullptr;                  // of the sync under way; cancelled when termination begins
};

}  // namespace onebin::kubelet
