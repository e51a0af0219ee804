// Task<T>: a lazy coroutine on the Loop, and CancelScope: how a tree of tasks is ended.
//
// A Task starts when it is awaited (or given to a TaskGroup) and is finished before it is destroyed. Coroutines are
// named functions with by-value parameters, never capturing lambdas. An await that is cancelled returns a Status with
// Reason::Cancelled; a coroutine then ends in its own time, and everything it awaits later is cancelled too.
// The exception: awaits inside an `Uncancelled` scope (clean-up that must happen).
#pragma once
#include <onebin/base/assert.hpp>
#include <onebin/base/result.hpp>

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace onebin::async {

class CancelScope;

// A link in a scope's list: something that wants to hear of its cancellation. Unlinks itself on destruction.
class CancelNode {
 public:
  CancelNode() = default;
  CancelNode(const CancelNode&) = delete;
  CancelNode& operator=(const CancelNode&) = delete;
  virtual ~CancelNode() { unlink(); }
  virtual void on_cancel() = 0;  // already unlinked when called
  void link(CancelScope& scope);
  void unlink();

 private:
  friend class CancelScope;
  CancelScope* scope_ = nullptr;
  CancelNode* prev_ = nullptr;
  CancelNode* next_ = nullptr;
};

class CancelScope final : public CancelNode {
 public:
  CancelScope() = default;
  explicit CancelScope(CancelScope* parent);
  ~CancelScope() override;
  void cancel();  // idempotent
  bool cancelled() const { return cancelled_; }

 private:
  friend class CancelNode;
  void on_cancel() override { cancel(); }
  bool cancelled_ = false;
  CancelNode* head_ = nullptr;
};

namespace detail {

struct PromiseBase {
  std::coroutine_handle<> continuation;
  CancelScope* scope = nullptr;  // inherited from the awaiting coroutine unless set before
  std::exception_ptr exception;

  std::suspend_always initial_suspend() noexcept { return {}; }
  struct Final {
    bool await_ready() noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> h) noexcept {
      // A child that finishes inside its parent's await has no continuation yet: the parent goes on by itself.
      if (auto c = h.promise().continuation) c.resume();
    }
    void await_resume() noexcept {}
  };
  Final final_suspend() noexcept { return {}; }
  void unhandled_exception() { exception = std::current_exception(); }
};

}  // namespace detail

template <class T = void>
class [[nodiscard]] Task {
 public:
  struct promise_type : detail::PromiseBase {
    std::optional<T> value;
    Task get_return_object() { return Task(std::coroutine_handle<promise_type>::from_promise(*this)); }
    template <class U>
    void return_value(U&& v) { value.emplace(std::forward<U>(v)); }
  };
  using value_type = T;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle h) : handle_(h) {}
  Task(Task&& o) noexcept : handle_(std::exchange(o.handle_, {})) {}
  Task& operator=(Task&& o) noexcept { if (this != &o) { destroy(); handle_ = std::exchange(o.handle_, {}); } return *this; }
  ~Task() { destroy(); }

  bool await_ready() const noexcept { return false; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> parent) {
    auto& p = handle_.promise();
    if (!p.scope) p.scope = parent.promise().scope;
    handle_.resume();
    if (handle_.done()) return false;
    p.continuation = parent;
    return true;
  }
  T await_resume() {
    auto& p = handle_.promise();
    if (p.exception) std::rethrow_exception(p.exception);
    return std::move(*p.value);
  }
  Handle handle() const { return handle_; }
  void set_scope(CancelScope* scope) { handle_.promise().scope = scope; }

 private:
  void destroy() { if (handle_) handle_.destroy(); }
  Handle handle_;
};

template <>
class [[nodiscard]] Task<void> {
 public:
  struct promise_type : detail::PromiseBase {
    Task get_return_object() { return Task(std::coroutine_handle<promise_type>::from_promise(*this)); }
    void return_void() {}
  };
  using value_type = void;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle h) : handle_(h) {}
  Task(Task&& o) noexcept : handle_(std::exchange(o.handle_, {})) {}
  Task& operator=(Task&& o) noexcept { if (this != &o) { destroy(); handle_ = std::exchange(o.handle_, {}); } return *this; }
  ~Task() { destroy(); }

  bool await_ready() const noexcept { return false; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> parent) {
    auto& p = handle_.promise();
    if (!p.scope) p.scope = parent.promise().scope;
    handle_.resume();
    if (handle_.done()) return false;
    p.continuation = parent;
    return true;
  }
  void await_resume() {
    if (auto& p = handle_.promise(); p.exception) std::rethrow_exception(p.exception);
  }
  Handle handle() const { return handle_; }
  void set_scope(CancelScope* scope) { handle_.promise().scope = scope; }

 private:
  void destroy() { if (handle_) handle_.destroy(); }
  Handle handle_;
};

// co_await current_scope(): the scope of this coroutine (may be null), for awaiters and child scopes.
struct CurrentScope {
  CancelScope* scope = nullptr;
  bool await_ready() const noexcept { return false; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> h) { scope = h.promise().scope; return false; }
  CancelScope* await_resume() const { return scope; }
};
inline CurrentScope current_scope() { return {}; }

// Base of awaiters that wait for one wake(). Derived classes register themselves where they will be found.
// wake() may be called once, on the loop thread; the coroutine resumes from the loop, not inside wake().
class Waiter : private CancelNode {
 public:
  Waiter() = default;
  bool await_ready() const noexcept { return false; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> h) {
    handle_ = h;
    if (h.promise().scope && h.promise().scope->cancelled()) { cancelled_ = true; return false; }
    if (!start()) return false;
    if (h.promise().scope) link(*h.promise().scope);
    return true;
  }
  // OK, or Cancelled.
  Status await_resume() const { return cancelled_ ? onebin::cancelled() : Status::ok(); }

 protected:
  ~Waiter() override = default;
  virtual bool start() = 0;   // register; false: ready already, do not suspend
  virtual void abandon() = 0; // cancelled: unregister, wake() will not be called any more
  void wake();

 private:
  void on_cancel() override;
  std::coroutine_handle<> handle_;
  bool cancelled_ = false;
};

// Runs `task` in a scope of its own that is not cancelled with the caller's.
template <class T>
Task<T> uncancelled(Task<T> task) {
  CancelScope scope;
  task.set_scope(&scope);
  co_return co_await std::move(task);
}

}  // namespace onebin::async
