// Workqueue: keys to reconcile, each at most once in the queue and by one worker at a time, with delay and back-off.
#pragma once
#include <onebin/async/channel.hpp>
#include <onebin/async/group.hpp>
#include <onebin/async/loop.hpp>
#include <onebin/base/time.hpp>

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>

namespace onebin::client {

class Workqueue {
 public:
  struct Backoff {
    Duration base = 5ms, max = 1000s;  // base * 2^failures, as upstream's default rate limiter
  };
  Workqueue() = default;
  explicit Workqueue(Backoff backoff) : backoff_(backoff) {}
  ~Workqueue();

  void add(const std::string& key);
  void add_after(const std::string& key, Duration delay);  // the earliest of several wins
  void add_rate_limited(const std::string& key);           // after its back-off, which doubles
  void forget(const std::string& key);                     // resets the back-off
  std::size_t size() const { return queue_.size(); }

  async::Task<Result<std::string>> get();                  // Closed after shut_down()
  void done(const std::string& key);                       // queued again if it was added meanwhile
  void shut_down();

 private:
  void fire(const std::string& key);
  Backoff backoff_;
  std::deque<std::string> queue_;
  std::set<std::string> dirty_, processing_;
  std::map<std::string, int> failures_;
  std::map<std::string, std::pair<SteadyTime, async::TimerId>> delayed_;
  async::WaitQueue waiters_;
  bool closed_ = false;
};

// What a reconcile says of its key: done, failed (again after back-off), or again after a time.
struct ReconcileResult {
  Status status;
  Duration requeue_after{0};
};

// Runs `workers` tasks in `group` that take keys from `queue` and await reconcile(key). A failed key is retried with
// back-off for ever; Conflict and AlreadyExists are retried without a log line.
void run_workers(async::TaskGroup& group, Workqueue& queue, int workers, std::string name,
                 std::function<async::Task<ReconcileResult>(std::string key)> reconcile);

}  // namespace onebin::client
