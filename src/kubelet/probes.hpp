// The probes of one pod: a task for each probe of each running container, driven by timers.
#pragma once
#include "kubelet/handlers.hpp"
#include "kubelet/runtime.hpp"

#include <onebin/async/channel.hpp>
#include <onebin/async/group.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace onebin::kubelet {

class ProbeSet {
 public:
  using EventFn = std::function<void(const std::string& container, const char* type, const char* reason, std::string message)>;
  // `changed` is called when a verdict has changed; `random` in [0,1) spreads first probes after a restart.
  ProbeSet(engine::Engine& engine, std::function<void()> changed, EventFn event);
  ~ProbeSet();

  // Starts the probes of containers that run now, ends those of containers that don't. `started`: by container id, whether
  // the status shows it as started. `terminating`: liveness and startup probes end.
  void reconcile(const core::Pod& pod, const RuntimePod& runtime, const std::string& pod_ip, bool terminating);
  const ProbeVerdicts& verdicts() const { return verdicts_; }
  async::Task<void> stop();

 private:
  struct Job;
  using Key = std::pair<std::string, ProbeKind>;  // container id
  async::Task<void> run(std::shared_ptr<Job> job);
  async::Task<bool> probe_once(std::shared_ptr<Job> job, bool early);
  void record(Job& job, bool success);
  std::map<std::string, ProbeVerdict>& map_of(ProbeKind kind);
  void ensure(const core::Pod& pod, const core::Container& c, const RuntimeContainer& r, ProbeKind kind, const std::string& pod_ip);

  engine::Engine& engine_;
  std::function<void()> changed_;
  EventFn event_;
  ProbeVerdicts verdicts_;
  std::map<Key, std::shared_ptr<Job>> jobs_;
  std::unique_ptr<async::TaskGroup> group_;
};

const core::Probe* probe_of(const core::Container& c, ProbeKind kind);

}  // namespace onebin::kubelet
