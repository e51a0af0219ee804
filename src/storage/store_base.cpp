#include "storage/store_base.hpp"

#include <algorithm>

namespace onebin::storage {

StoreBase::StoreBase(HistoryLimits history, WatchLimits watch, std::size_t max_value_bytes, std::int64_t revision, std::int64_t oldest)
    : loop_(async::Loop::current()), group_("storage"), hub_(*this, watch, revision), oldest_(oldest),
      max_value_bytes_(max_value_bytes), history_(history) {}

StoreBase::~StoreBase() {
  loop_.cancel_timer(compaction_timer_);
  loop_.cancel_timer(expiry_timer_);
}

std::int64_t StoreBase::wall_ms() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(loop_.clock().wall().time_since_epoch()).count();
}

async::Task<WriteResult> StoreBase::create(std::string key, Bytes value, WriteOptions options) {
  WriteOp op;
  op.kind = WriteKind::Create;
  op.key = std::move(key);
  op.value = std::move(value);
  if (options.ttl > Duration::zero()) op.expires_ms = wall_ms() + std::max<std::int64_t>(1, options.ttl / 1ms);
  return write(std::move(op));
}

async::Task<WriteResult> StoreBase::update(std::string key, Bytes value, std::int64_t expected, WriteOptions options) {
  WriteOp op;
  op.kind = WriteKind::Update;
  op.key = std::move(key);
  op.value = std::move(value);
  op.expected = expected;
  if (options.ttl > Duration::zero()) op.expires_ms = wall_ms() + std::max<std::int64_t>(1, options.ttl / 1ms);
  return write(std::move(op));
}

async::Task<WriteResult> StoreBase::remove(std::string key, std::int64_t expected) {
  WriteOp op;
  op.kind = WriteKind::Remove;
  op.key = std::move(key);
  op.expected = expected;
  return write(std::move(op));
}

async::Task<WriteResult> StoreBase::write(WriteOp op) {
  if (closed_) co_return onebin::closed();
  if (op.key.empty() || static_cast<unsigned char>(op.key[0]) == 0xff || op.key.find('\0') != std::string::npos)
    co_return bad_request("a key is not empty, does not begin with 0xff and has no NUL");
  if (op.kind != WriteKind::Remove) {
    if (!op.value) co_return bad_request("a value is not null");
    if (op.value->size() > max_value_bytes_)
      co_return Status(Reason::RequestEntityTooLarge, "the object is " + std::to_string(op.value->size()) +
                                                          " bytes encoded; the limit is " + std::to_string(max_value_bytes_));
  }
  co_await submit(&op);
  co_return result_of(op);
}

async::Task<Result<std::unique_ptr<Watch>>> StoreBase::watch(std::string prefix, std::int64_t after_revision) {
  co_return hub_.subscribe(std::move(prefix), after_revision);
}

Result<std::int64_t> StoreBase::read_revision(std::int64_t asked, std::int64_t oldest) const {
  if (closed_) return onebin::closed();
  if (asked == 0) return current_revision();
  if (asked > current_revision()) return revision_too_large(asked, current_revision());
  if (asked < oldest) return revision_expired(asked, oldest);
  return asked;
}

void StoreBase::publish(const std::vector<WriteOp*>& ops, std::int64_t revision) {
  std::vector<WatchEvent> events;
  std::int64_t bytes = 0;
  for (const WriteOp* op : ops) {
    if (!op->status) continue;
    ++writes_;
    events.push_back(event_of(*op));
    bytes += size_of(events.back());
    track_expiry(op->key, op->item->mod_revision, op->item->expires_ms);
  }
  if (events.empty()) return;
  history_.add(loop_.now(), revision, bytes);
  hub_.publish(events, revision);
  arm_expiry();
  compact_if_due();
  arm_compaction();
}

// ---- ttl

void StoreBase::track_expiry(const std::string& key, std::int64_t mod_revision, std::int64_t expires_ms) {
  if (auto at = expiries_.find(key); at != expiries_.end()) {
    expiry_order_.erase({at->second.at_ms, at->first});
    expiries_.erase(at);
  }
  if (!expires_ms) return;
  auto at = expiries_.emplace(key, Expiry{expires_ms, mod_revision}).first;
  expiry_order_.emplace(expires_ms, at->first);
}

void StoreBase::arm_expiry() {
  if (expiring_ || closed_ || expiry_order_.empty()) return;
  std::int64_t first = expiry_order_.begin()->first;
  if (expiry_timer_ && expiry_armed_ms_ <= first) return;
  loop_.cancel_timer(expiry_timer_);
  expiry_armed_ms_ = first;
  // At most an hour, so that a wall clock which was set meanwhile is noticed.
  Duration wait = std::min<Duration>(std::chrono::milliseconds(std::max<std::int64_t>(0, first - wall_ms())), 1h);
  expiry_timer_ = loop_.add_timer(loop_.now() + wait, [this] {
    expiry_timer_ = 0;
    expiring_ = true;
    group_.spawn(expire());
  });
}

async::Task<void> StoreBase::expire() {
  async::CancelScope* scope = co_await async::current_scope();
  while (!closed_ && !(scope && scope->cancelled()) && !expiry_order_.empty() && expiry_order_.begin()->first <= wall_ms()) {
    WriteOp op;
    op.kind = WriteKind::Remove;
    op.key = std::string(expiry_order_.begin()->second);
    op.expected = expiries_.find(op.key)->second.mod_revision;
    co_await submit(&op);
    if (op.status) continue;
    // Gone or written anew: publishing that write has told us. Else the store is in trouble: try once more in a minute.
    auto at = expiries_.find(op.key);
    if (at == expiries_.end() || at->second.mod_revision != op.expected) continue;
    bool stale = op.status.is(Reason::NotFound) || op.status.is(Reason::Conflict);
    track_expiry(std::string(op.key), op.expected, stale ? 0 : wall_ms() + 60000);
  }
  expiring_ = false;
  arm_expiry();
}

// ---- history

void StoreBase::history_exists(std::int64_t revision) {
  history_.add(loop_.now(), revision, 0);
  arm_compaction();
}

void StoreBase::compact_if_due() {
  if (closed_) return;
  if (auto revision = history_.due(loop_.now())) {
    oldest_ = std::max(oldest_, *revision);
    history_.compacted(*revision);
    group_.spawn(compact_task(*revision));
  }
}

void StoreBase::arm_compaction() {
  auto when = history_.next();
  if (compaction_timer_ || closed_ || !when) return;
  compaction_timer_ = loop_.add_timer(*when, [this] {
    compaction_timer_ = 0;
    compact_if_due();
    arm_compaction();
  });
}

async::Task<void> StoreBase::compact_task(std::int64_t revision) { co_await forget(revision, false); }

async::Task<Result<void>> StoreBase::compact(std::int64_t revision) {
  if (closed_) co_return onebin::closed();
  revision = std::min(revision, current_revision());
  if (revision < oldest_) co_return Result<void>();
  oldest_ = revision;
  history_.compacted(revision);
  co_await forget(revision, true);
  co_return Result<void>();
}

StoreStats StoreBase::stats() const {
  StoreStats s;
  s.current_revision = current_revision();
  s.oldest_revision = oldest_;
  s.writes = writes_;
  s.commits = commits_;
  s.watchers = static_cast<std::int64_t>(hub_.size());
  return s;
}

async::Task<void> StoreBase::close() {
  if (closed_) co_return;
  closed_ = true;
  loop_.cancel_timer(std::exchange(compaction_timer_, 0));
  loop_.cancel_timer(std::exchange(expiry_timer_, 0));
  hub_.close();
  group_.cancel();
  co_await group_.join();
  co_await async::uncancelled(do_close());
}

}  // namespace onebin::storage
