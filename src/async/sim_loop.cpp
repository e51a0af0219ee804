#include <onebin/async/loop.hpp>

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>

namespace onebin::async {
namespace {

class SimClock final : public Clock {
 public:
  explicit SimClock(WallTime start) : start_(start) {}
  SteadyTime now() const override { return now_; }
  WallTime wall() const override { return start_ + now_.time_since_epoch(); }
  void set(SteadyTime t) { now_ = t; }

 private:
  WallTime start_;
  SteadyTime now_{};
};

class SimLoopImpl final : public SimLoop {
 public:
  explicit SimLoopImpl(WallTime start) : clock_(start) { set_current(this); }
  ~SimLoopImpl() override { set_current(nullptr); }

  void post(std::function<void()> fn) override {
    std::lock_guard lock(mutex_);
    ready_.push_back(std::move(fn));
  }
  TimerId add_timer(SteadyTime when, std::function<void()> fn) override {
    TimerId id = ++last_id_;
    timers_.emplace(std::pair(when, id), std::move(fn));
    deadlines_.emplace(id, when);
    return id;
  }
  void cancel_timer(TimerId id) override {
    auto d = deadlines_.find(id);
    if (d == deadlines_.end()) return;
    timers_.erase(std::pair(d->second, id));
    deadlines_.erase(d);
  }
  void when_idle(Duration, std::function<void()> fn) override { idle_.push_back(std::move(fn)); }  // time stands still until then
  Clock& clock() override { return clock_; }

  bool run_ready() override {
    bool any = false;
    for (;;) {
      std::function<void()> fn;
      {
        std::lock_guard lock(mutex_);
        std::deque<std::function<void()>>& from = ready_.empty() ? idle_ : ready_;
        if (from.empty()) return any;
        fn = std::move(from.front());
        from.pop_front();
      }
      any = true;
      fn();
    }
  }
  void run_until(SteadyTime t) override {
    for (;;) {
      run_ready();
      if (timers_.empty() || timers_.begin()->first.first > t) break;
      auto node = timers_.extract(timers_.begin());
      deadlines_.erase(node.key().second);
      if (node.key().first > clock_.now()) clock_.set(node.key().first);
      node.mapped()();
    }
    if (t > clock_.now()) clock_.set(t);
  }
  void run_for(Duration d) override { run_until(clock_.now() + d); }

 private:
  SimClock clock_;
  std::mutex mutex_;  // post() may come from a pool thread
  std::deque<std::function<void()>> ready_;
  std::deque<std::function<void()>> idle_;  // the loop's thread only
  std::map<std::pair<SteadyTime, TimerId>, std::function<void()>> timers_;
  std::map<TimerId, SteadyTime> deadlines_;
  TimerId last_id_ = 0;
};

}  // namespace

std::unique_ptr<SimLoop> SimLoop::create(WallTime start) { return std::make_unique<SimLoopImpl>(start); }

}  // namespace onebin::async
