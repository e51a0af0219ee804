#include <onebin/async/group.hpp>

#include <onebin/base/log.hpp>

namespace onebin::async {

// The outermost frame of a spawned task: destroys itself at its end.
struct TaskGroup::Runner {
  struct promise_type : detail::PromiseBase {
    Runner get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
  std::coroutine_handle<promise_type> handle;
};

struct TaskGroup::JoinWaiter final : Waiter {
  explicit JoinWaiter(TaskGroup& g) : group(g) {}
  bool start() override {
    if (group.running_ == 0) return false;
    ONEBIN_ASSERT(!group.joiner_);
    group.joiner_ = this;
    return true;
  }
  void abandon() override { group.joiner_ = nullptr; }
  void done() { wake(); }
  TaskGroup& group;
};

TaskGroup::TaskGroup(std::string name, CancelScope* parent) : name_(std::move(name)), scope_(parent) {}
TaskGroup::~TaskGroup() { ONEBIN_ASSERT(running_ == 0); }

TaskGroup::Runner TaskGroup::run(Task<void> task) {
  try {
    co_await std::move(task);
  } catch (const std::exception& e) {
    fail(internal_error(e.what()));
  }
  finished();
}

TaskGroup::Runner TaskGroup::run_result(Task<Result<void>> task) {
  try {
    Result<void> r = co_await std::move(task);
    if (!r && !r.is(Reason::Cancelled) && !r.is(Reason::Closed)) fail(r.status());
  } catch (const std::exception& e) {
    fail(internal_error(e.what()));
  }
  finished();
}

void TaskGroup::spawn(Task<void> task) {
  ++running_;
  task.set_scope(&scope_);
  Runner r = run(std::move(task));
  r.handle.promise().scope = &scope_;
  r.handle.resume();
}

void TaskGroup::spawn(Task<Result<void>> task) {
  ++running_;
  task.set_scope(&scope_);
  Runner r = run_result(std::move(task));
  r.handle.promise().scope = &scope_;
  r.handle.resume();
}

void TaskGroup::set_error_sink(std::function<void(const Status&)> sink) { sink_ = std::move(sink); }

void TaskGroup::fail(const Status& status) {
  if (sink_) sink_(status);
  else log_error("task failed", {{"group", name_}, {"error", status}});
}

void TaskGroup::finished() {
  if (--running_ > 0 || !joiner_) return;
  JoinWaiter* j = joiner_;
  joiner_ = nullptr;
  j->done();
}

void TaskGroup::cancel() { scope_.cancel(); }

namespace {
template <class W, class G>
Task<void> join_group(G& group) {
  W wait(group);
  co_await wait;
}
}  // namespace

Task<void> TaskGroup::join() { return uncancelled(join_group<JoinWaiter>(*this)); }

}  // namespace onebin::async
