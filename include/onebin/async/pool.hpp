// BlockingPool: threads for calls that block. Threads start on demand and leave after ten idle seconds.
#pragma once
#include <onebin/async/loop.hpp>
#include <onebin/async/task.hpp>

#include <functional>
#include <memory>
#include <optional>

namespace onebin::async {

class BlockingPool {
 public:
  explicit BlockingPool(std::size_t max_threads = 8);
  ~BlockingPool();  // waits for what runs
  void submit(std::function<void()> fn);  // thread-safe; FIFO
  bool idle() const;  // nothing waits or runs; for simulations, which let no time pass meanwhile
  static BlockingPool& shared();          // the process's own

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// co_await run_blocking([=] { return read_file(path); }): runs on a pool thread, resumes on the loop.
// Not cancellable: it always waits for the call's end. fn must not throw; it owns copies of what it needs.
template <class Fn>
class RunBlocking {
 public:
  using R = std::invoke_result_t<Fn&>;
  RunBlocking(BlockingPool& pool, Fn fn) : pool_(pool), fn_(std::move(fn)) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) {
    Loop* loop = &Loop::current();
    pool_.submit([this, h, loop] {
      result_.emplace(fn_());
      loop->post([h] { h.resume(); });
    });
  }
  R await_resume() { return std::move(*result_); }

 private:
  BlockingPool& pool_;
  Fn fn_;
  std::optional<R> result_;
};
template <class Fn>
RunBlocking<Fn> run_blocking(Fn fn) { return RunBlocking<Fn>(BlockingPool::shared(), std::move(fn)); }
template <class Fn>
RunBlocking<Fn> run_blocking(BlockingPool& pool, Fn fn) { return RunBlocking<Fn>(pool, std::move(fn)); }

}  // namespace onebin::async
