// SchedulingQueue: pods that wait for a node. Active ones are popped by priority, then age; a pod that failed waits until
// something changes that may help (and out its back-off), or five minutes.
#pragma once
#include "types.hpp"

#include <onebin/async/channel.hpp>
#include <onebin/async/loop.hpp>
#include <onebin/async/task.hpp>

#include <map>
#include <set>
#include <string>

namespace onebin::scheduler {

class SchedulingQueue {
 public:
  ~SchedulingQueue();
  // `gated`: kept, never popped, until update() without.
  void add(PodInfoPtr pod, bool gated);
  void update(PodInfoPtr pod, bool gated, bool may_help);
  void remove(const std::string& uid);
  // The pod could not be placed, or its binding failed (`error`: retry after back-off without waiting for a change).
  void failed(PodInfoPtr pod, bool error);
  // Nodes or assigned pods changed: what failed is tried again after its back-off.
  void move_all();

  async::Task<Result<PodInfoPtr>> pop();  // Closed after close()
  void close();
  std::size_t pending() const { return entries_.size(); }

 private:
  enum class Where { Active, Backoff, Unschedulable, Gated, InFlight };
  struct Entry {
    PodInfoPtr pod;
    Where where = Where::Active;
    int attempts = 0;
    std::uint64_t sequence = 0;  // order of arrival
    SteadyTime backoff_until{};
    async::TimerId timer = 0;
    bool moved = false;          // while in flight something changed
  };
  using ActiveKey = std::tuple<int, std::uint64_t, std::string>;  // {-priority, sequence, uid}
  void activate(const std::string& uid, Entry& e);
  void wait_backoff(const std::string& uid, Entry& e);
  void leave(const std::string& uid, Entry& e);
  static Duration backoff(int attempts);

  std::map<std::string, Entry> entries_;  // by uid
  std::set<ActiveKey> active_;
  async::WaitQueue waiters_;
  std::uint64_t sequence_ = 0;
  bool closed_ = false;
};

}  // namespace onebin::scheduler
