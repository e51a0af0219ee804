// TaskGroup: the owner of running tasks. Every coroutine that is not awaited belongs to one.
#pragma once
#include <onebin/async/task.hpp>

#include <functional>
#include <string>

namespace onebin::async {

class TaskGroup {
 public:
  // Cancelled with `parent`, when given. `name` appears in the log where a task fails.
  explicit TaskGroup(std::string name = {}, CancelScope* parent = nullptr);
  TaskGroup(const TaskGroup&) = delete;
  ~TaskGroup();  // asserts that no task is running: cancel() and join() first

  // Starts the task at once, up to its first suspension. A failed Result (other than Cancelled, Closed) and an
  // exception go to the error sink, whose default logs them.
  void spawn(Task<void> task);
  void spawn(Task<Result<void>> task);
  void set_error_sink(std::function<void(const Status&)> sink);

  void cancel();               // all tasks; later spawns start cancelled
  Task<void> join();           // returns when no task is left; not itself cancellable
  std::size_t size() const { return running_; }
  CancelScope& scope() { return scope_; }

 private:
  struct Runner;
  Runner run(Task<void> task);
  Runner run_result(Task<Result<void>> task);
  void finished();
  void fail(const Status& status);
  struct JoinWaiter;
  std::string name_;
  CancelScope scope_;
  std::size_t running_ = 0;
  JoinWaiter* joiner_ = nullptr;
  std::function<void(const Status&)> sink_;
};

}  // namespace onebin::async
