// What the stores have in common: publishing, watches, expiry by ttl, compaction by age and size, and closing.
#pragma once
#include <onebin/async/group.hpp>
#include <onebin/async/loop.hpp>
#include <onebin/storage/store.hpp>

#include "storage/history_clock.hpp"
#include "storage/watch_hub.hpp"
#include "storage/write_op.hpp"

#include <map>
#include <set>

namespace onebin::storage {

class StoreBase : public Store, protected HistorySource {
 public:
  StoreBase(HistoryLimits history, WatchLimits watch, std::size_t max_value_bytes, std::int64_t revision, std::int64_t oldest);
  ~StoreBase() override;

  async::Task<WriteResult> create(std::string key, Bytes value, WriteOptions options) override;
  async::Task<WriteResult> update(std::string key, Bytes value, std::int64_t expected, WriteOptions options) override;
  async::Task<WriteResult> remove(std::string key, std::int64_t expected) override;
  async::Task<Result<std::unique_ptr<Watch>>> watch(std::string prefix, std::int64_t after_revision) override;
  std::int64_t current_revision() const override { return hub_.revision(); }
  std::int64_t oldest_revision() const override { return oldest_; }
  async::Task<Result<void>> compact(std::int64_t revision) override;
  StoreStats stats() const override;
  async::Task<void> close() override;

 protected:
  // Runs the write to its end. Fills op.status, item, previous.
  virtual async::Task<void> submit(WriteOp* op) = 0;
  // Frees the history up to `revision`, which nobody can read any more; `wait`: return when that is done.
  virtual async::Task<void> forget(std::int64_t revision, bool wait) = 0;
  virtual async::Task<void> do_close() = 0;

  // Makes finished writes visible, in order of revision. `revision` is the store's from now on.
  void publish(const std::vector<WriteOp*>& ops, std::int64_t revision);
  void track_expiry(const std::string& key, std::int64_t mod_revision, std::int64_t expires_ms);
  void arm_expiry();
  void history_exists(std::int64_t revision);  // history from before the start counts as made now

  // OK with the revision to read at.
  Result<std::int64_t> read_revision(std::int64_t asked, std::int64_t oldest) const;

  async::Loop& loop_;
  async::TaskGroup group_;
  WatchHub hub_;
  std::int64_t oldest_;
  std::int64_t writes_ = 0, commits_ = 0;
  bool closed_ = false;

 private:
  struct Expiry {
    std::int64_t at_ms, mod_revision;
  };
  async::Task<WriteResult> write(WriteOp op);
  async::Task<void> expire();
  async::Task<void> compact_task(std::int64_t revision);
  void compact_if_due();
  void arm_compaction();
  std::int64_t wall_ms() const;

  std::size_t max_value_bytes_;
  HistoryClock history_;
  async::TimerId compaction_timer_ = 0, expiry_timer_ = 0;
  std::int64_t expiry_armed_ms_ = 0;
  bool expiring_ = false;
  std::map<std::string, Expiry, std::less<>> expiries_;
  std::set<std::pair<std::int64_t, std::string_view>> expiry_order_;  // views into expiries_
};

}  // namespace onebin::storage
