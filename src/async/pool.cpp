#include <onebin/async/pool.hpp>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace onebin::async {

struct BlockingPool::State {
  std::mutex mutex;
  std::condition_variable work, gone;
  std::deque<std::function<void()>> queue;
  std::size_t threads = 0, idle = 0, max = 0;
  bool stopping = false;
};

namespace {
constexpr auto kIdleLimit = std::chrono::seconds(10);

template <class State>
void worker(std::shared_ptr<State> s) {
  std::unique_lock lock(s->mutex);
  for (;;) {
    ++s->idle;
    bool got = s->work.wait_for(lock, kIdleLimit, [&] { return !s->queue.empty() || s->stopping; });
    --s->idle;
    if (!got || s->queue.empty()) break;
    auto fn = std::move(s->queue.front());
    s->queue.pop_front();
    lock.unlock();
    fn();
    fn = nullptr;
    lock.lock();
  }
  --s->threads;
  s->gone.notify_all();
}
}  // namespace

BlockingPool::BlockingPool(std::size_t max_threads) : state_(std::make_shared<State>()) { state_->max = max_threads; }

BlockingPool::~BlockingPool() {
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  state_->work.notify_all();
  state_->gone.wait(lock, [&] { return state_->threads == 0; });
}

void BlockingPool::submit(std::function<void()> fn) {
  auto s = state_;
  std::lock_guard lock(s->mutex);
  s->queue.push_back(std::move(fn));
  if (s->idle >= s->queue.size() || s->threads >= s->max) {
    s->work.notify_one();
    return;
  }
  ++s->threads;
  std::thread([s] { worker(s); }).detach();
}

bool BlockingPool::idle() const {
  std::lock_guard lock(state_->mutex);
  return state_->queue.empty() && state_->threads == state_->idle;
}

BlockingPool& BlockingPool::shared() {
  static BlockingPool* pool = new BlockingPool();
  return *pool;
}

}  // namespace onebin::async
