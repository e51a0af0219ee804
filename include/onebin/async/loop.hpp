// Loop: the one thread on which every component of a process runs, so that none needs a mutex.
// What blocks (files, fsync, hashing of layers, waiting for a child) goes to the BlockingPool or to a thread
// that the module owns and that comes back by post().
#pragma once
#include <onebin/base/time.hpp>

#include <cstdint>
#include <functional>
#include <memory>

namespace onebin::async {

using TimerId = std::uint64_t;  // 0 is no timer

class Loop {
 public:
  virtual ~Loop() = default;
  // Runs fn later on the loop's thread, never inside the call. Thread-safe.
  virtual void post(std::function<void()> fn) = 0;
  // Loop thread only. fn runs once, at or after `when`.
  virtual TimerId add_timer(SteadyTime when, std::function<void()> fn) = 0;
  virtual void cancel_timer(TimerId id) = 0;  // harmless when it has run
  // Loop thread only. fn runs once: when nothing else is runnable, at the latest about `limit` from now. For work that is
  // cheaper the more of it comes together.
  virtual void when_idle(Duration limit, std::function<void()> fn) = 0;
  virtual Clock& clock() = 0;
  SteadyTime now() { return clock().now(); }

  // The loop whose thread this is; asserts that there is one.
  static Loop& current();
  static bool has_current();

 protected:
  static void set_current(Loop* loop);
};

// The real loop: Boost.Asio's io_context, system clock.
class RealLoop : public Loop {
 public:
  // Runs until stop(). Makes itself current() on this thread from construction on.
  virtual void run() = 0;
  virtual void stop() = 0;  // thread-safe
  virtual void* native() = 0;  // boost::asio::io_context*; for net, network and async/asio.hpp only
  static std::unique_ptr<RealLoop> create();
};

// The simulated loop: time stands still while anything is runnable, then jumps to the next timer.
class SimLoop : public Loop {
 public:
  virtual void run_until(SteadyTime t) = 0;
  virtual void run_for(Duration d) = 0;
  virtual bool run_ready() = 0;  // runs what is runnable now; false when there was nothing
  static std::unique_ptr<SimLoop> create(WallTime start);
};

}  // namespace onebin::async
