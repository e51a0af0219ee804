// What keeps a node in order while its pods run: log rotation, image garbage collection, eviction under pressure.
// One timer; nothing is done while nothing runs.
#pragma once
#include "kubelet/node_manager.hpp"
#include "kubelet/pod_worker.hpp"

#include <onebin/async/group.hpp>

#include <functional>
#include <vector>

namespace onebin::kubelet {

// Pods in the order in which they go when memory is short: those above their requests first, then by priority, then by how
// far above. Pure.
struct EvictionCandidate {
  std::string uid;
  std::int32_t priority = 0;
  std::int64_t usage = 0, request = 0;
  bool critical = false;
};
std::vector<std::string> rank_for_memory(std::vector<EvictionCandidate> candidates);

class Maintenance {
 public:
  Maintenance(const Options& options, engine::Engine& engine, PodCgroups& cgroups, NodeManager& node,
              std::function<std::vector<PodWorker*>()> workers);
  void start();
  async::Task<void> stop();

 private:
  async::Task<void> run();
  async::Task<void> rotate_logs();
  async::Task<Result<void>> rotate(std::string container_id, std::string path);
  async::Task<void> check_disk();
  async::Task<void> collect_images(std::int64_t bytes_to_free);
  void check_memory();
  void check_ephemeral_limits();

  const Options& options_;
  engine::Engine& engine_;
  PodCgroups& cgroups_;
  NodeManager& node_;
  std::function<std::vector<PodWorker*>()> workers_;
  bool memory_pressure_ = false, disk_pressure_ = false;
  SteadyTime pressure_since_{};
  async::TaskGroup group_;
};

}  // namespace onebin::kubelet
