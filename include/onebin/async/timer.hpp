// Sleeping and time limits.
#pragma once
#include <onebin/async/loop.hpp>
#include <onebin/async/task.hpp>

namespace onebin::async {

// co_await sleep_for(5s): OK, or Cancelled.
class Sleep final : public Waiter {
 public:
  explicit Sleep(SteadyTime until) : until_(until) {}
  ~Sleep() override;

 private:
  bool start() override;
  void abandon() override;
  SteadyTime until_;
  TimerId timer_ = 0;
};
inline Sleep sleep_until(SteadyTime t) { return Sleep(t); }
inline Sleep sleep_for(Duration d) { return Sleep(Loop::current().now() + d); }

namespace detail {
// Cancels a scope at a time.
class Deadline {
 public:
  Deadline(CancelScope& scope, Duration limit);
  ~Deadline();
  bool expired() const { return expired_; }

 private:
  CancelScope& scope_;
  TimerId timer_;
  bool expired_ = false;
};
}  // namespace detail

// Awaits `task` for at most `limit`; past it the task is cancelled, awaited to its end, and Reason::Timeout returned.
template <class T>
Task<Result<T>> with_timeout(Duration limit, Task<Result<T>> task) {
  CancelScope scope(co_await current_scope());
  detail::Deadline deadline(scope, limit);
  task.set_scope(&scope);
  Result<T> r = co_await std::move(task);
  if (!r && r.is(Reason::Cancelled) && deadline.expired()) co_return timeout("timed out");
  co_return r;
}

}  // namespace onebin::async
