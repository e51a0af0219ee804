// What the writer's thread does between batches: slices small enough that no write waits long behind one.
#include "storage/sqlite_writer.hpp"

#include <onebin/base/log.hpp>

#include <sqlite3.h>

namespace onebin::storage {
namespace {
constexpr int kCheckpointFrames = 4000;        // of kPageSize
constexpr std::int64_t kKeepFreePages = 2048;  // for the next writes
}  // namespace

void SqliteWriter::checkpoint() {
  if (wal_frames_ < wal_done_) wal_done_ = 0;  // it began anew
  if (wal_frames_ - wal_done_ < kCheckpointFrames || !health_) return;
  // Never waits for readers; the WAL starts anew once all of it is in the database and nobody reads from it.
  int rc = sqlite3_wal_checkpoint_v2(db_.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  if (rc != SQLITE_OK && rc != SQLITE_BUSY)
    log_warn("checkpoint of the store failed", {{"error", sqlite_status(db_.handle(), rc, options_.path)}});
  wal_done_ = wal_frames_;
}

void SqliteWriter::background() {
  std::int64_t target;
  bool flush;
  {
    std::lock_guard lock(mutex_);
    target = compact_target_;
    flush = std::exchange(flush_, false);
  }
  Result<void> r = health_;
  if (r && flush && !dirty_.empty()) {
    r = begin();
    if (r) r = write_beats();
    if (r) r = commit();
    if (r) dirty_.clear();
  }
  // Losing a compaction costs nothing, so it is not worth an fsync of its own: the next write's covers it.
  if (r && (target > compacted_ || vacuum_)) {
    r = db_.exec("PRAGMA synchronous=NORMAL");
    if (r) r = target > compacted_ ? compact_slice(target) : vacuum_slice();
    auto full = db_.exec("PRAGMA synchronous=FULL");
    if (r) r = full;
  }
  if (!r) {
    if (in_transaction_ && !sqlite3_get_autocommit(db_.handle())) (void)rollback_.run();
    in_transaction_ = false;
    if (is_fatal(r.status()) && health_) health_ = r.status();
    log_warn("upkeep of the store failed", {{"error", r.status()}});
    vacuum_ = false;
  }
  checkpoint();
  std::lock_guard lock(mutex_);
  if (!r) compact_target_ = compacted_;  // not again at once: the next compaction begins where this one failed
  for (auto w = compact_waiters_.begin(); w != compact_waiters_.end();) {
    if (r && (w->first > compacted_ || vacuum_)) { ++w; continue; }
    loop_->post([done = std::move(w->second), alive = alive_] { if (*alive) done(); });
    w = compact_waiters_.erase(w);
  }
}

Result<void> SqliteWriter::write_beats() {
  for (const std::string& key : dirty_) {
    Entry e = find_entry(volatile_, key);
    if (!e) {
      RETURN_IF_ERROR(drop_beat_.bind(1, key).run());
      continue;
    }
    put_beat_.bind(1, key).bind(2, e->create_revision).bind(3, e->mod_revision).bind(4, e->expires_ms).bind_blob(5, encoder_.encode(*e->value));
    RETURN_IF_ERROR(put_beat_.run());
  }
  return {};
}

// A version is dead once its successor is compacted, a deletion once it is compacted itself.
Result<void> SqliteWriter::compact_slice(std::int64_t target) {
  std::vector<std::int64_t> drop;
  std::int64_t upto = target;
  {
    int rows = 0;
    std::int64_t last = 0;
    ResetGuard guard(dead_);
    dead_.bind(1, compacted_).bind(2, upto);
    for (;;) {
      ASSIGN_OR_RETURN(bool row, dead_.step());
      if (!row) break;
      ++rows;
      last = dead_.integer(0);
      if (dead_.integer(1)) drop.push_back(dead_.integer(1));
      if (dead_.integer(2)) drop.push_back(last);
    }
    if (rows == 500) upto = last;
  }
  // While nothing is dropped, history from before is still whole: then the file need not change.
  if (!drop.empty()) {
    RETURN_IF_ERROR(begin());
    for (std::int64_t revision : drop) RETURN_IF_ERROR(drop_log_.bind(1, revision).run());
    RETURN_IF_ERROR(set_meta("compacted", upto));
    RETURN_IF_ERROR(commit());
    vacuum_ = true;
  }
  compacted_ = upto;
  return {};
}

Result<void> SqliteWriter::vacuum_slice() {
  ASSIGN_OR_RETURN(std::int64_t free, db_.query_int("PRAGMA freelist_count"));
  ASSIGN_OR_RETURN(std::int64_t pages, db_.query_int("PRAGMA page_count"));
  if (free <= kKeepFreePages || free <= pages / 4) {
    vacuum_ = false;
    return {};
  }
  RETURN_IF_ERROR(db_.exec("PRAGMA incremental_vacuum(512)"));
  return {};
}

}  // namespace onebin::storage
