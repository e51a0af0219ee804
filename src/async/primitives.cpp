#include <onebin/async/channel.hpp>
#include <onebin/async/timer.hpp>

namespace onebin::async {

Sleep::~Sleep() { if (timer_) Loop::current().cancel_timer(timer_); }

bool Sleep::start() {
  Loop& loop = Loop::current();
  if (until_ <= loop.now()) until_ = loop.now();
  timer_ = loop.add_timer(until_, [this] { timer_ = 0; wake(); });
  return true;
}

void Sleep::abandon() {
  Loop::current().cancel_timer(timer_);
  timer_ = 0;
}

detail::Deadline::Deadline(CancelScope& scope, Duration limit) : scope_(scope) {
  timer_ = Loop::current().add_timer(Loop::current().now() + limit, [this] {
    timer_ = 0;
    expired_ = true;
    scope_.cancel();
  });
}

detail::Deadline::~Deadline() { if (timer_) Loop::current().cancel_timer(timer_); }

bool WaitQueue::Wait::start() {
  at_ = queue_.waiters_.insert(queue_.waiters_.end(), this);
  queued_ = true;
  return true;
}

void WaitQueue::Wait::abandon() {
  if (!queued_) return;
  queue_.waiters_.erase(at_);
  queued_ = false;
}

WaitQueue::~WaitQueue() { ONEBIN_ASSERT(waiters_.empty()); }

bool WaitQueue::wake_one() {
  if (waiters_.empty()) return false;
  Wait* w = waiters_.front();
  waiters_.pop_front();
  w->queued_ = false;
  w->wake();
  return true;
}

void WaitQueue::wake_all() { while (wake_one()) {} }

Task<Result<void>> Notify::wait() {
  if (set_) { set_ = false; co_return Result<void>(); }
  Status s = co_await queue_.wait();
  co_return Result<void>(s);
}

Task<Result<void>> Semaphore::acquire() {
  while (free_ == 0) {
    Status s = co_await queue_.wait();
    if (!s) co_return s;
  }
  --free_;
  co_return Result<void>();
}

void Semaphore::release() {
  ++free_;
  queue_.wake_one();
}

}  // namespace onebin::async
