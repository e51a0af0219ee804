// The kubelet's parts, put together.
#pragma once
#include "kubelet/admission.hpp"
#include "kubelet/maintenance.hpp"
#include "kubelet/node_manager.hpp"
#include "kubelet/pod_worker.hpp"
#include "kubelet/server.hpp"
#include "kubelet/static_pods.hpp"

#include <onebin/client/events.hpp>
#include <onebin/client/informer.hpp>

#include <map>
#include <memory>
#include <string>

namespace onebin::kubelet {

class Kubelet::Impl {
 public:
  Impl(Options options, client::Client& client, engine::Engine& engine, network::PodNetwork& network);
  // For tests: what stands in for the machine's cgroups and mounts.
  void use(std::unique_ptr<PodCgroups> cgroups, Mounts* mounts);

  async::Task<Result<void>> start();
  async::Task<void> stop();
  void reload_certificates() { server_.reload_certificates(); }
  std::uint16_t port() const { return server_.port(); }
  bool node_ready() const { return node_manager_->ready(); }
  PodWorker* find(const std::string& ns, const std::string& name, const std::string& uid);
  std::vector<PodWorker*> workers();

 private:
  Result<void> prepare_machine();
  void on_pod(const std::string& key, const core::Pod* before, const core::Pod* now);
  void add_pod(const core::Pod& pod);
  void remove_worker(const std::string& uid);
  async::Task<void> retire(std::unique_ptr<PodWorker> worker);
  void on_engine_event(const engine::ContainerEvent& event);
  Result<EnvMap> service_env_of(const std::string& ns, bool links);
  async::Task<Result<std::string>> runtime_handler(std::string runtime_class);
  void record_event(const core::Pod& pod, const std::string& container, const char* type, const char* reason, std::string message);
  async::Task<void> after_sync();
  async::Task<void> remove_orphans();
  async::Task<void> remove_orphan(std::string uid);
  AdmissionInput admission_input() const;
  std::optional<ResizeState> refuse_resize(const core::Pod& pod);
  void on_static_pod(const std::string& uid, const core::Pod* pod);
  async::Task<void> make_mirror(core::Pod pod);
  async::Task<void> remove_mirror(core::Pod mirror);
  std::string stats_summary();
  std::string resource_metrics();

  Options options_;
  client::Client& client_;
  engine::Engine& engine_;
  network::PodNetwork& network_;
  Rng& rng_;
  NodeContext context_;
  ObjectCache objects_;
  TokenCache tokens_;
  CertificateCache certificates_;
  ImagePuller images_;
  Backoff restarts_{std::chrono::seconds(10), std::chrono::seconds(300)};
  async::Semaphore status_writes_{16};
  std::unique_ptr<PodCgroups> cgroups_;
  std::unique_ptr<Volumes> volumes_;
  Mounts* mounts_ = nullptr;
  std::unique_ptr<NodeManager> node_manager_;
  client::EventRecorder events_;
  client::Informer<core::Pod> pods_;
  client::Informer<core::Service> services_;
  std::map<std::string, std::unique_ptr<PodWorker>> workers_;  // by uid
  Server server_;
  std::unique_ptr<Maintenance> maintenance_;
  std::unique_ptr<StaticPods> static_pods_;
  bool stopping_ = false;
  async::TaskGroup group_;
};

}  // namespace onebin::kubelet
