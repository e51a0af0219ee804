#include "queue.hpp"

#include <algorithm>

namespace onebin::scheduler {
namespace {
// Upstream's podInitialBackoff, podMaxBackoff and the longest stay among the unschedulable.
constexpr Duration kInitialBackoff = 1s, kMaxBackoff = 10s, kMaxUnschedulable = 5min;
}  // namespace

SchedulingQueue::~SchedulingQueue() {
  for (auto& [uid, e] : entries_)
    if (e.timer) async::Loop::current().cancel_timer(e.timer);
}

Duration SchedulingQueue::backoff(int attempts) { return std::min(kInitialBackoff * (1 << std::clamp(attempts - 1, 0, 10)), kMaxBackoff); }

void SchedulingQueue::leave(const std::string& uid, Entry& e) {
  if (e.timer) async::Loop::current().cancel_timer(e.timer);
  e.timer = 0;
  if (e.where == Where::Active) active_.erase({-e.pod->shape->priority, e.sequence, uid});
}

void SchedulingQueue::activate(const std::string& uid, Entry& e) {
  leave(uid, e);
  e.where = Where::Active;
  active_.insert({-e.pod->shape->priority, e.sequence, uid});
  waiters_.wake_one();
}

void SchedulingQueue::wait_backoff(const std::string& uid, Entry& e) {
  leave(uid, e);
  auto& loop = async::Loop::current();
  if (e.backoff_until <= loop.now()) return activate(uid, e);
  e.where = Where::Backoff;
  e.timer = loop.add_timer(e.backoff_until, [this, uid] {
    Entry& entry = entries_.at(uid);
    entry.timer = 0;
    activate(std::string(uid), entry);
  });
}

void SchedulingQueue::add(PodInfoPtr pod, bool gated) {
  std::string uid = pod->uid;
  auto [it, fresh] = entries_.try_emplace(uid);
  if (!fresh) return update(std::move(pod), gated, true);
  it->second.pod = std::move(pod);
  it->second.sequence = ++sequence_;
  if (gated) it->second.where = Where::Gated;
  else activate(uid, it->second);
}

void SchedulingQueue::update(PodInfoPtr pod, bool gated, bool may_help) {
  auto it = entries_.find(pod->uid);
  if (it == entries_.end()) return add(std::move(pod), gated);
  std::string uid = pod->uid;
  Entry& e = it->second;
  bool active = e.where == Where::Active;
  if (active) leave(uid, e);
  e.pod = std::move(pod);
  if (active) {
    activate(uid, e);
  } else if (e.where == Where::Gated) {
    if (!gated) activate(uid, e);
  } else if (e.where == Where::Unschedulable && may_help) {
    wait_backoff(uid, e);
  }
}

void SchedulingQueue::remove(const std::string& uid) {
  auto it = entries_.find(uid);
  if (it == entries_.end()) return;
  leave(uid, it->second);
  entries_.erase(it);
}

void SchedulingQueue::failed(PodInfoPtr pod, bool error) {
  auto it = entries_.find(pod->uid);
  if (it == entries_.end()) return;  // deleted meanwhile
  Entry& e = it->second;
  if (e.where != Where::InFlight) return;
  auto& loop = async::Loop::current();
  std::string uid = pod->uid;
  e.backoff_until = loop.now() + backoff(e.attempts);
  if (error || e.moved) return wait_backoff(uid, e);
  e.where = Where::Unschedulable;
  e.timer = loop.add_timer(loop.now() + kMaxUnschedulable, [this, uid] {
    Entry& entry = entries_.at(uid);
    entry.timer = 0;
    activate(std::string(uid), entry);
  });
}

void SchedulingQueue::move_all() {
  for (auto& [uid, e] : entries_) {
    if (e.where == Where::Unschedulable) wait_backoff(uid, e);
    else if (e.where == Where::InFlight) e.moved = true;
  }
}

async::Task<Result<PodInfoPtr>> SchedulingQueue::pop() {
  while (active_.empty()) {
    if (closed_) co_return closed();
    Status s = co_await waiters_.wait();
    if (!s) co_return s;
  }
  std::string uid = std::get<2>(*active_.begin());
  Entry& e = entries_.at(uid);
  leave(uid, e);
  e.where = Where::InFlight;
  e.moved = false;
  ++e.attempts;
  co_return Result<PodInfoPtr>(e.pod);
}

void SchedulingQueue::close() {
  closed_ = true;
  waiters_.wake_all();
}

}  // namespace onebin::scheduler
