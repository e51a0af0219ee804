#include <onebin/client/workqueue.hpp>

#include <onebin/base/log.hpp>

#include <algorithm>

namespace onebin::client {

Workqueue::~Workqueue() {
  for (auto& [key, d] : delayed_) async::Loop::current().cancel_timer(d.second);
}

void Workqueue::add(const std::string& key) {
  if (closed_ || !dirty_.insert(key).second) return;
  if (processing_.count(key)) return;  // done() queues it again
  queue_.push_back(key);
  waiters_.wake_one();
}

void Workqueue::add_after(const std::string& key, Duration delay) {
  if (closed_) return;
  if (delay <= Duration(0)) return add(key);
  auto& loop = async::Loop::current();
  SteadyTime when = loop.now() + delay;
  auto it = delayed_.find(key);
  if (it != delayed_.end()) {
    if (it->second.first <= when) return;
    loop.cancel_timer(it->second.second);
    delayed_.erase(it);
  }
  delayed_[key] = {when, loop.add_timer(when, [this, key] { fire(key); })};
}

void Workqueue::fire(const std::string& key) {
  std::string k = key;  // the timer's own copy goes with the entry
  delayed_.erase(k);
  add(k);
}

void Workqueue::add_rate_limited(const std::string& key) {
  int n = failures_[key]++;
  Duration d = n < 40 ? backoff_.base * (std::int64_t{1} << std::min(n, 30)) : backoff_.max;
  add_after(key, std::min(d, backoff_.max));
}

void Workqueue::forget(const std::string& key) { failures_.erase(key); }

async::Task<Result<std::string>> Workqueue::get() {
  while (queue_.empty()) {
    if (closed_) co_return closed();
    Status s = co_await waiters_.wait();
    if (!s) co_return s;
  }
  std::string key = std::move(queue_.front());
  queue_.pop_front();
  dirty_.erase(key);
  processing_.insert(key);
  co_return Result<std::string>(std::move(key));
}

void Workqueue::done(const std::string& key) {
  processing_.erase(key);
  if (closed_ || !dirty_.count(key)) return;
  queue_.push_back(key);
  waiters_.wake_one();
}

void Workqueue::shut_down() {
  closed_ = true;
  waiters_.wake_all();
}

namespace {

async::Task<void> worker(Workqueue* queue, std::string name, std::function<async::Task<ReconcileResult>(std::string)> reconcile) {
  for (;;) {
    Result<std::string> key = co_await queue->get();
    if (!key) co_return;
    std::string k = *key;
    ReconcileResult r = co_await reconcile(k);
    queue->done(k);
    if (r.status.is(Reason::Cancelled)) co_return;
    if (!r.status) {
      if (!r.status.is(Reason::Conflict) && !r.status.is(Reason::AlreadyExists))
        log_warn("reconcile failed", {{"worker", name}, {"key", k}, {"error", r.status}});
      queue->add_rate_limited(k);
    } else {
      queue->forget(k);
      if (r.requeue_after > Duration(0)) queue->add_after(k, r.requeue_after);
    }
  }
}

}  // namespace

void run_workers(async::TaskGroup& group, Workqueue& queue, int workers, std::string name,
                 std::function<async::Task<ReconcileResult>(std::string key)> reconcile) {
  for (int i = 0; i < workers; ++i) group.spawn(worker(&queue, name, reconcile));
}

}  // namespace onebin::client
