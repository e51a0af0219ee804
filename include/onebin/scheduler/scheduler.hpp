// Scheduler: binds pods to nodes. A queue of pending pods, a cache of nodes and assigned pods (projections, not objects),
// and a framework of plug-ins at upstream's extension points, run with upstream's default set and weights.
// Source: Kubernetes documentation, "Scheduling Framework", "Scheduler Configuration".
#pragma once
#include <onebin/async/task.hpp>
#include <onebin/base/random.hpp>
#include <onebin/base/result.hpp>
#include <onebin/client/client.hpp>

#include <memory>
#include <string>

namespace onebin::client {
class Informers;
}

namespace onebin::scheduler {

struct Options {
  std::string scheduler_name = "default-scheduler";
  Rng* rng = nullptr;  // breaks ties between nodes; null: the system's
  client::Informers* informers = nullptr;  // shared with others, who start and stop them; null: its own
};

class Scheduler {
 public:
  // `client` acts as system:kube-scheduler and outlives the scheduler.
  Scheduler(client::Client& client, Options options);
  ~Scheduler();  // after stop() has returned
  void start();
  async::Task<void> stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace onebin::scheduler
