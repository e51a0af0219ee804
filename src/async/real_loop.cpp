#include <onebin/async/loop.hpp>
#include <onebin/base/assert.hpp>
#include <onebin/base/small_blocks.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/steady_timer.hpp>

#include <map>
#include <vector>

namespace onebin::async {
namespace {

thread_local Loop* g_current = nullptr;

constexpr std::size_t kKeptBlocks = 512 * 1024;  // what sixteen writes at a time make and drop

class AsioLoop final : public RealLoop {
  struct Idle {
    std::function<void()> fn;
    TimerId late;
  };

 public:
  AsioLoop() : io_(1), work_(io_.get_executor()), timer_(io_) { set_current(this); }
  ~AsioLoop() override { set_current(nullptr); }

  void post(std::function<void()> fn) override { boost::asio::post(io_, std::move(fn)); }

  TimerId add_timer(SteadyTime when, std::function<void()> fn) override {
    TimerId id = ++last_id_;
    auto at = timers_.emplace(std::pair(when, id), std::move(fn)).first;
    deadlines_.emplace(id, when);
    if (at == timers_.begin()) arm();
    return id;
  }

  void cancel_timer(TimerId id) override {
    auto d = deadlines_.find(id);
    if (d == deadlines_.end()) return;
    // The armed timer may fire for nothing: cheaper than arming anew at each cancellation.
    timers_.erase(std::pair(d->second, id));
    deadlines_.erase(d);
  }

  void when_idle(Duration limit, std::function<void()> fn) override {
    TimerId late = add_timer(now() + limit, [this] { run_idle(); });
    idle_.push_back({std::move(fn), late});
  }

  Clock& clock() override { return system_clock(); }
  void run() override {
    keep_small_blocks(kKeptBlocks);
    while (!io_.stopped()) {
      if (idle_.empty()) io_.run_one();
      else if (io_.poll_one() == 0) run_idle();
    }
    keep_small_blocks(0);
  }
  void stop() override { io_.stop(); }
  void* native() override { return &io_; }

 private:
  void run_idle() {
    std::vector<Idle> now;
    now.swap(idle_);
    for (auto& i : now) {
      cancel_timer(i.late);
      i.fn();
    }
  }

  void arm() {
    if (timers_.empty()) return;
    SteadyTime when = timers_.begin()->first.first;
    if (armed_ && armed_at_ <= when) return;
    armed_ = true;
    armed_at_ = when;
    timer_.expires_at(std::chrono::time_point_cast<std::chrono::steady_clock::duration>(when));
    timer_.async_wait([this](const boost::system::error_code& ec) { if (!ec) fire(); });
  }

  void fire() {
    armed_ = false;
    SteadyTime now = system_clock().now();
    while (!timers_.empty() && timers_.begin()->first.first <= now) {
      auto node = timers_.extract(timers_.begin());
      deadlines_.erase(node.key().second);
      node.mapped()();
    }
    arm();
  }

  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer timer_;  // armed for the earliest of timers_
  std::map<std::pair<SteadyTime, TimerId>, std::function<void()>> timers_;
  std::map<TimerId, SteadyTime> deadlines_;
  std::vector<Idle> idle_;
  TimerId last_id_ = 0;
  bool armed_ = false;
  SteadyTime armed_at_;
};

}  // namespace

Loop& Loop::current() {
  ONEBIN_ASSERT(g_current);
  return *g_current;
}
bool Loop::has_current() { return g_current != nullptr; }
void Loop::set_current(Loop* loop) { g_current = loop; }

std::unique_ptr<RealLoop> RealLoop::create() { return std::make_unique<AsioLoop>(); }

}  // namespace onebin::async
