// SqliteWriter: the thread that owns the one writing connection. It takes all writes that wait, checks their conditions
// in order, and commits them with one transaction and one fsync. A batch is closed once the loop has nothing else to do, or
// some writes wait, so that those that are about to come share it: under load that is fewer fsyncs and fewer pages written
// again, and a single client waits for nothing. Between batches it checkpoints, compacts and shrinks the file in small slices.
#pragma once
#include <onebin/async/loop.hpp>
#include <onebin/storage/store.hpp>

#include "storage/memory_table.hpp"
#include "storage/sqlite_db.hpp"
#include "storage/value_codec.hpp"
#include "storage/write_op.hpp"

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <set>
#include <thread>

namespace onebin::storage {

class SqliteWriter {
 public:
  struct Batch {
    std::vector<WriteOp*> ops;
    std::int64_t revision = 0;  // the store's after the batch
    bool committed = false;     // by a transaction, not in memory alone
    Status health;
  };
  // Called on the loop for each batch, in order.
  using Completion = std::function<void(const Batch&)>;

  // What open() found.
  struct State {
    std::int64_t revision = 0, compacted = 0;
    bool has_history = false;
    std::vector<Entry> beats;
    struct Ttl { std::string key; std::int64_t revision, expires_ms; };
    std::vector<Ttl> ttls;
  };

  // Blocking; makes the file when there is none.
  static Result<std::unique_ptr<SqliteWriter>> open(const SqliteOptions& options, State& state);
  ~SqliteWriter();  // abrupt: what waits is dropped, nothing is flushed

  // Loop thread.
  void start(async::Loop& loop, Completion completion);
  bool submit(WriteOp* op);  // false: too many wait
  void compact(std::int64_t revision, std::function<void()> done);  // done: on the loop, once freed
  void flush_volatile();
  // Blocking: finishes what waits, writes what is volatile, marks the file clean, ends the thread.
  Result<void> finish();

 private:
  void gathered();
  Result<void> prepare();
  Result<void> load(State& state);
  void run();
  bool take(std::vector<WriteOp*>& ops);
  void run_batch(Batch& batch);
  Result<void> commit_batch(Batch& batch);
  Result<void> apply(WriteOp& op);
  Result<void> apply_durable(WriteOp& op);
  Result<Entry> stored(const WriteOp& op);
  Result<void> begin();
  Result<void> commit();
  void roll_back(Batch& batch, std::int64_t revision, const Status& why);
  Result<void> set_meta(const char* name, std::int64_t value);
  Result<void> write_beats();
  void background();
  Result<void> compact_slice(std::int64_t target);
  Result<void> vacuum_slice();
  void checkpoint();

  SqliteOptions options_;
  async::Loop* loop_ = nullptr;
  Completion completion_;
  bool gathering_ = false;  // loop thread: gathered() is on its way
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // loop thread: false once this is gone
  std::thread thread_;

  // Shared with the loop's thread.
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<WriteOp*> queue_;
  bool gathered_ = false;  // what waits may be taken
  std::int64_t compact_target_ = 0;
  std::vector<std::pair<std::int64_t, std::function<void()>>> compact_waiters_;
  bool flush_ = false, finish_ = false, abort_ = false;
  Result<void> finished_;

  // The thread's own (before start(): the opener's).
  Database db_;
  ValueEncoder encoder_;
  Statement find_, value_, insert_log_, put_current_, move_current_, drop_current_, put_ttl_, put_beat_, drop_beat_, set_meta_,
      dead_, drop_log_, begin_, commit_, rollback_;
  std::int64_t revision_ = 0, ceiling_ = 0, compacted_ = 0;
  EntrySet volatile_;
  std::set<std::string> dirty_;                          // volatile keys that beats does not hold as they are
  std::vector<std::pair<std::string, Entry>> volatile_undo_;  // of the batch
  bool in_transaction_ = false, vacuum_ = false;
  Status health_;  // not OK: the disk failed, nothing is written any more
  int wal_frames_ = 0, wal_done_ = 0;  // written, and brought into the database
};

}  // namespace onebin::storage
