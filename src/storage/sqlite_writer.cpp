#include "storage/sqlite_writer.hpp"

#include <onebin/base/log.hpp>

#include <sqlite3.h>

#include <algorithm>

namespace onebin::storage {
namespace {
constexpr std::size_t kBatchOps = 256;
constexpr std::size_t kWorthACommit = 8;  // so many share enough: more are worked on while they are committed
constexpr std::size_t kBatchBytes = 1u << 20;
constexpr Duration kGatherLimit = std::chrono::milliseconds(5);  // of a loop that is never idle
}  // namespace

Result<std::unique_ptr<SqliteWriter>> SqliteWriter::open(const SqliteOptions& options, State& state) {
  auto w = std::make_unique<SqliteWriter>();
  w->options_ = options;
  ASSIGN_OR_RETURN(w->db_, Database::open(options.path, Database::Mode::Create, 1024));
  ASSIGN_OR_RETURN(std::int64_t tables, w->db_.query_int("SELECT count(*) FROM sqlite_master"));
  if (tables == 0) RETURN_IF_ERROR(create_schema(w->db_));
  RETURN_IF_ERROR(check_schema(w->db_, options.path));
  // A file of schema 1 is one of schema 2 without a deflated value.
  RETURN_IF_ERROR(w->db_.exec(("PRAGMA user_version=" + std::to_string(kSchemaVersion)).c_str()));
  RETURN_IF_ERROR(w->db_.exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                                 "PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=16777216"));
  if (options.max_database_bytes > 0)
    RETURN_IF_ERROR(w->db_.exec(("PRAGMA max_page_count=" + std::to_string(options.max_database_bytes / kPageSize + 1)).c_str()));
  RETURN_IF_ERROR(w->prepare());
  RETURN_IF_ERROR(w->load(state));
  return w;
}

Result<void> SqliteWriter::prepare() {
  struct { Statement* statement; const char* sql; } all[] = {
      {&find_, "SELECT rev, created FROM current WHERE key = ?1"},
      {&value_, "SELECT value FROM log WHERE rev = ?1"},
      {&insert_log_, "INSERT INTO log(rev, prev, created, key, value) VALUES(?1, ?2, ?3, ?4, ?5)"},
      {&put_current_, "INSERT INTO current(key, rev, created) VALUES(?1, ?2, ?2)"},
      {&move_current_, "UPDATE current SET rev = ?2 WHERE key = ?1"},
      {&drop_current_, "DELETE FROM current WHERE key = ?1"},
      {&put_ttl_, "INSERT OR REPLACE INTO ttl(key, rev, expires) VALUES(?1, ?2, ?3)"},
      {&put_beat_, "INSERT OR REPLACE INTO beats(key, created, rev, expires, value) VALUES(?1, ?2, ?3, ?4, ?5)"},
      {&drop_beat_, "DELETE FROM beats WHERE key = ?1"},
      {&set_meta_, "UPDATE meta SET value = ?2 WHERE name = ?1"},
      {&dead_, "SELECT rev, prev, value IS NULL FROM log WHERE rev > ?1 AND rev <= ?2 ORDER BY rev LIMIT 500"},
      {&drop_log_, "DELETE FROM log WHERE rev = ?1"},
      {&begin_, "BEGIN IMMEDIATE"},
      {&commit_, "COMMIT"},
      {&rollback_, "ROLLBACK"},
  };
  for (auto& s : all) {
    ASSIGN_OR_RETURN(*s.statement, db_.prepare(s.sql));
  }
  sqlite3_wal_hook(db_.handle(), [](void* self, sqlite3*, const char*, int frames) {
    static_cast<SqliteWriter*>(self)->wal_frames_ = frames;
    return SQLITE_OK;
  }, this);
  return {};
}

Result<void> SqliteWriter::load(State& state) {
  ASSIGN_OR_RETURN(ceiling_, db_.query_int("SELECT value FROM meta WHERE name = 'ceiling'"));
  ASSIGN_OR_RETURN(compacted_, db_.query_int("SELECT value FROM meta WHERE name = 'compacted'"));
  ASSIGN_OR_RETURN(std::int64_t newest, db_.query_int("SELECT coalesce(max(rev), 0) FROM log"));
  // After a clean end the ceiling is the last revision; after any other, no revision up to it is issued again.
  revision_ = std::max(ceiling_, newest);
  state.revision = revision_;
  state.compacted = compacted_;
  state.has_history = newest > compacted_;
  ASSIGN_OR_RETURN(Statement beats, db_.prepare("SELECT key, created, rev, expires, value FROM beats"));
  for (;;) {
    ASSIGN_OR_RETURN(bool row, beats.step());
    if (!row) break;
    auto item = std::make_shared<Item>();
    item->key = beats.text(0);
    item->create_revision = beats.integer(1);
    item->mod_revision = beats.integer(2);
    item->expires_ms = beats.integer(3);
    ASSIGN_OR_RETURN(item->value, beats.value(4));
    state.beats.push_back(item);
    set_entry(volatile_, item);
  }
  // A row whose key has moved on is stale.
  ASSIGN_OR_RETURN(Statement ttls, db_.prepare("SELECT t.key, t.rev, t.expires FROM ttl t "
                                               "JOIN current c ON c.key = t.key AND c.rev = t.rev"));
  for (;;) {
    ASSIGN_OR_RETURN(bool row, ttls.step());
    if (!row) break;
    state.ttls.push_back({ttls.text(0), ttls.integer(1), ttls.integer(2)});
  }
  return db_.exec("DELETE FROM ttl WHERE NOT EXISTS(SELECT 1 FROM current c WHERE c.key = ttl.key AND c.rev = ttl.rev)");
}

SqliteWriter::~SqliteWriter() {
  *alive_ = false;
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    abort_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void SqliteWriter::start(async::Loop& loop, Completion completion) {
  loop_ = &loop;
  completion_ = std::move(completion);
  thread_ = std::thread([this] { run(); });
}

bool SqliteWriter::submit(WriteOp* op) {
  std::size_t waiting;
  {
    std::lock_guard lock(mutex_);
    if (queue_.size() >= options_.max_pending_writes) return false;
    queue_.push_back(op);
    waiting = queue_.size();
  }
  if (waiting == kWorthACommit) gathered();
  if (std::exchange(gathering_, true)) return true;
  loop_->when_idle(kGatherLimit, [this, alive = alive_] {
    if (!*alive) return;
    gathering_ = false;
    gathered();
  });
  return true;
}

void SqliteWriter::gathered() {
  {
    std::lock_guard lock(mutex_);
    gathered_ = !queue_.empty();
  }
  wake_.notify_one();
}

void SqliteWriter::compact(std::int64_t revision, std::function<void()> done) {
  std::lock_guard lock(mutex_);
  compact_target_ = std::max(compact_target_, revision);
  if (done) compact_waiters_.emplace_back(revision, std::move(done));
  wake_.notify_one();
}

void SqliteWriter::flush_volatile() {
  std::lock_guard lock(mutex_);
  flush_ = true;
  wake_.notify_one();
}

Result<void> SqliteWriter::finish() {
  {
    std::lock_guard lock(mutex_);
    finish_ = true;
  }
  wake_.notify_one();
  thread_.join();
  return finished_;
}

// ---- the thread

bool SqliteWriter::take(std::vector<WriteOp*>& ops) {
  std::size_t bytes = 0;
  if (!gathered_ && !finish_) return false;
  while (!queue_.empty() && ops.size() < kBatchOps && bytes < kBatchBytes) {
    ops.push_back(queue_.front());
    queue_.pop_front();
    bytes += ops.back()->value ? ops.back()->value->size() : 0;
  }
  if (queue_.empty()) gathered_ = false;
  return !ops.empty();
}

void SqliteWriter::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    auto has_background = [&] { return compact_target_ > compacted_ || !compact_waiters_.empty() || flush_ || vacuum_; };
    wake_.wait(lock, [&] { return gathered_ || finish_ || abort_ || has_background(); });
    if (abort_) return;
    auto batch = std::make_shared<Batch>();
    bool got = take(batch->ops);
    if (!got && finish_) break;
    lock.unlock();
    if (got) {
      run_batch(*batch);
      loop_->post([this, batch, alive = alive_] {
        if (*alive) completion_(*batch);
      });
    }
    background();
    lock.lock();
  }
  lock.unlock();
  finished_ = health_;
  if (finished_) finished_ = begin();
  if (finished_) finished_ = write_beats();
  if (finished_) finished_ = set_meta("ceiling", revision_);
  if (finished_) finished_ = commit();
  if (finished_) sqlite3_wal_checkpoint_v2(db_.handle(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
}

void SqliteWriter::run_batch(Batch& batch) {
  std::int64_t before = revision_;
  volatile_undo_.clear();
  auto done = health_ ? commit_batch(batch) : Result<void>(health_);
  if (!done) roll_back(batch, before, done.status());
  batch.revision = revision_;
  batch.health = health_;
}

Result<void> SqliteWriter::commit_batch(Batch& batch) {
  for (WriteOp* op : batch.ops) RETURN_IF_ERROR(apply(*op));
  if (revision_ > ceiling_) {
    RETURN_IF_ERROR(begin());
    RETURN_IF_ERROR(set_meta("ceiling", revision_ + options_.revision_block));
  }
  if (!in_transaction_) return {};
  batch.committed = true;
  RETURN_IF_ERROR(commit());
  if (revision_ > ceiling_) ceiling_ = revision_ + options_.revision_block;
  return {};
}

void SqliteWriter::roll_back(Batch& batch, std::int64_t revision, const Status& why) {
  if (in_transaction_ && !sqlite3_get_autocommit(db_.handle())) (void)rollback_.run();
  in_transaction_ = false;
  for (auto u = volatile_undo_.rbegin(); u != volatile_undo_.rend(); ++u) {
    if (u->second) set_entry(volatile_, u->second);
    else if (auto at = volatile_.find(std::string_view(u->first)); at != volatile_.end()) volatile_.erase(at);
  }
  revision_ = revision;  // none of the batch's was shown
  batch.committed = false;
  Status seen = why;
  if (is_fatal(why)) {
    // What the disk holds after a failed write or fsync is unknown: whatever is said from now on could be a lie.
    if (health_) log_error("the store's disk failed; no more writes until a restart", {{"error", why}});
    health_ = why;
    seen = internal_error(why.message());
  }
  for (WriteOp* op : batch.ops) {
    op->status = seen;
    op->item = nullptr;
  }
}

Result<Entry> SqliteWriter::stored(const WriteOp& op) {
  if (op.is_volatile) return find_entry(volatile_, op.key);
  auto item = std::make_shared<Item>();
  {
    ResetGuard guard(find_);
    ASSIGN_OR_RETURN(bool row, find_.bind(1, op.key).step());
    if (!row) return Entry();
    item->mod_revision = find_.integer(0);
    item->create_revision = find_.integer(1);
  }
  item->key = op.key;
  ResetGuard guard(value_);
  ASSIGN_OR_RETURN(bool row, value_.bind(1, item->mod_revision).step());
  if (!row) return internal_error("store: version " + std::to_string(item->mod_revision) +
                                  " is missing: the file is damaged; restore a snapshot (onebin snapshot restore)");
  ASSIGN_OR_RETURN(item->value, value_.value(0));
  return Entry(item);
}

Result<void> SqliteWriter::apply(WriteOp& op) {
  ASSIGN_OR_RETURN(Entry now, stored(op));
  if (!check_conditions(op, now)) return {};
  settle(op, ++revision_);
  if (!op.is_volatile) return apply_durable(op);
  volatile_undo_.emplace_back(op.key, now);
  dirty_.insert(op.key);
  if (op.kind == WriteKind::Remove) volatile_.erase(volatile_.find(std::string_view(op.key)));
  else set_entry(volatile_, op.item);
  return {};
}

Result<void> SqliteWriter::apply_durable(WriteOp& op) {
  RETURN_IF_ERROR(begin());
  std::int64_t revision = op.item->mod_revision;
  insert_log_.bind(1, revision).bind(2, op.previous ? op.previous->mod_revision : 0).bind(3, op.item->create_revision).bind(4, op.key);
  if (op.kind == WriteKind::Remove) insert_log_.bind_null(5);
  else insert_log_.bind_blob(5, encoder_.encode(*op.value));
  RETURN_IF_ERROR(insert_log_.run());
  if (op.item->expires_ms) RETURN_IF_ERROR(put_ttl_.bind(1, op.key).bind(2, revision).bind(3, op.item->expires_ms).run());
  switch (op.kind) {
    case WriteKind::Create: return put_current_.bind(1, op.key).bind(2, revision).run();
    case WriteKind::Update: return move_current_.bind(1, op.key).bind(2, revision).run();
    case WriteKind::Remove: return drop_current_.bind(1, op.key).run();
  }
  return {};
}

Result<void> SqliteWriter::begin() {
  if (in_transaction_) return {};
  RETURN_IF_ERROR(begin_.run());
  in_transaction_ = true;
  return {};
}

Result<void> SqliteWriter::commit() {
  RETURN_IF_ERROR(commit_.run());
  in_transaction_ = false;
  return {};
}

Result<void> SqliteWriter::set_meta(const char* name, std::int64_t value) {
  return set_meta_.bind(1, std::string_view(name)).bind(2, value).run();
}

}  // namespace onebin::storage
