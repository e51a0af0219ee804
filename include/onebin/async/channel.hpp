// Channel<T>: a bounded queue between tasks of one loop. Notify: wake-ups that coalesce. Semaphore.
#pragma once
#include <onebin/async/task.hpp>

#include <deque>
#include <list>
#include <optional>

namespace onebin::async {

// A set of waiters in order. The building block of what follows.
class WaitQueue {
 public:
  class Wait final : public Waiter {
   public:
    explicit Wait(WaitQueue& q) : queue_(q) {}
    ~Wait() override { abandon(); }

   private:
    friend class WaitQueue;
    bool start() override;
    void abandon() override;
    WaitQueue& queue_;
    std::list<Wait*>::iterator at_;
    bool queued_ = false;
  };
  ~WaitQueue();            // asserts that nobody waits
  Wait wait() { return Wait(*this); }
  bool wake_one();         // false when nobody waits
  void wake_all();
  bool empty() const { return waiters_.empty(); }

 private:
  std::list<Wait*> waiters_;
};

// notify() wakes the waiters, or the next one to come when there is none; several coalesce into one.
class Notify {
 public:
  void notify() { if (queue_.empty()) set_ = true; else queue_.wake_all(); }
  Task<Result<void>> wait();

 private:
  WaitQueue queue_;
  bool set_ = false;
};

class Semaphore {
 public:
  explicit Semaphore(std::size_t n) : free_(n) {}
  Task<Result<void>> acquire();
  void release();

 private:
  std::size_t free_;
  WaitQueue queue_;
};

template <class T>
class Channel {
 public:
  explicit Channel(std::size_t capacity) : capacity_(capacity) {}

  // False when full or closed: the caller states what overflow means.
  bool try_send(T value) {
    if (closed_ || items_.size() >= capacity_) return false;
    items_.push_back(std::move(value));
    receivers_.wake_one();
    return true;
  }
  // Waits for room. Closed or Cancelled otherwise.
  Task<Result<void>> send(T value) {
    while (!closed_ && items_.size() >= capacity_) {
      Status s = co_await senders_.wait();
      if (!s) co_return s;
    }
    if (closed_) co_return onebin::closed();
    items_.push_back(std::move(value));
    receivers_.wake_one();
    co_return Result<void>();
  }
  // What was sent before close() is still delivered; then Closed.
  Task<Result<T>> recv() {
    while (items_.empty()) {
      if (closed_) co_return onebin::closed();
      Status s = co_await receivers_.wait();
      if (!s) co_return s;
    }
    T v = std::move(items_.front());
    items_.pop_front();
    senders_.wake_one();
    if (!items_.empty()) receivers_.wake_one();
    co_return Result<T>(std::move(v));
  }
  std::optional<T> try_recv() {
    if (items_.empty()) return std::nullopt;
    std::optional<T> v(std::move(items_.front()));
    items_.pop_front();
    senders_.wake_one();
    return v;
  }
  void close() { closed_ = true; receivers_.wake_all(); senders_.wake_all(); }
  bool closed() const { return closed_; }
  std::size_t size() const { return items_.size(); }

 private:
  std::size_t capacity_;
  bool closed_ = false;
  std::deque<T> items_;
  WaitQueue receivers_, senders_;
};

}  // namespace onebin::async
