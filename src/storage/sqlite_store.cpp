// The SQLite store: durable keys in the file, volatile keys in memory, one order of revisions over both.
#include <onebin/async/channel.hpp>
#include <onebin/async/pool.hpp>
#include <onebin/base/log.hpp>

#include "storage/sqlite_reader.hpp"
#include "storage/sqlite_writer.hpp"
#include "storage/store_base.hpp"
#include "storage/store_lock.hpp"

#include <sys/stat.h>

#include <algorithm>

namespace onebin::storage {
namespace {

constexpr std::size_t kInlineItems = 500;     // what a read may take on the loop's thread: a few milliseconds
constexpr std::int64_t kInlineSpan = 500;     // revisions
constexpr std::size_t kHistoryEvents = 1000;
constexpr std::size_t kHistoryBytes = 1u << 20;

// A wait for one call of wake(), which always comes: not cancellable.
class Completion {
 public:
  bool await_ready() const noexcept { return done_; }
  void await_suspend(std::coroutine_handle<> h) noexcept { waiter_ = h; }
  void await_resume() const noexcept {}
  void finish() {
    done_ = true;
    if (waiter_) waiter_.resume();
  }

 private:
  bool done_ = false;
  std::coroutine_handle<> waiter_;
};

class SubmitAwait {
 public:
  SubmitAwait(SqliteWriter& writer, WriteOp* op) : writer_(writer), op_(op) {}
  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> h) {
    op_->waiter = h;
    if (writer_.submit(op_)) return true;
    op_->status = Status(Reason::TooManyRequests, "too many writes wait for the store");
    return false;
  }
  void await_resume() const noexcept {}

 private:
  SqliteWriter& writer_;
  WriteOp* op_;
};

class SqliteStore final : public StoreBase {
 public:
  SqliteStore(SqliteOptions options, StoreLock lock, std::unique_ptr<SqliteWriter> writer, std::unique_ptr<SqliteReader> reader,
              SqliteWriter::State state)
      : StoreBase(options.history, options.watch, options.max_value_bytes, state.revision, state.compacted),
        options_(std::move(options)), lock_(std::move(lock)), writer_(std::move(writer)), reader_(std::move(reader)),
        started_at_(state.revision) {
    for (auto& beat : state.beats) {
      track_expiry(beat->key, beat->mod_revision, beat->expires_ms);
      volatile_.load(std::move(beat));
    }
    for (const auto& t : state.ttls) track_expiry(t.key, t.revision, t.expires_ms);
    if (state.has_history) history_exists(state.revision);
    arm_expiry();
    writer_->start(loop_, [this](const SqliteWriter::Batch& batch) { finished(batch); });
  }
  ~SqliteStore() override { loop_.cancel_timer(flush_timer_); }

  async::Task<Result<KeyValue>> get(std::string key, std::int64_t revision) override {
    bool beats = has_prefix_of(key, options_.volatile_prefixes);
    CO_ASSIGN_OR_RETURN(std::int64_t at, read_revision(revision, beats ? std::max(oldest_, started_at_) : oldest_));
    Entry e;
    if (beats) {
      e = volatile_.find_at(key, at);
    } else if (current_revision() - at <= kInlineSpan) {
      CO_ASSIGN_OR_RETURN(e, reader_->get(key, at));
    } else {
      ++in_flight_;
      auto read = co_await async::run_blocking([path = options_.path, key, at] { return get_blocking(path, key, at); });
      landed();
      if (at < oldest_) co_return revision_expired(at, oldest_);
      CO_ASSIGN_OR_RETURN(e, std::move(read));
    }
    if (!e) co_return key_not_found(key);
    co_return KeyValue(*e);
  }

  async::Task<Result<ListResult>> list(std::string prefix, std::string start_after, std::size_t limit, std::int64_t revision) override {
    KeyRange range = KeyRange::of(prefix, start_after);
    for (;;) {
      ListResult r;
      CO_ASSIGN_OR_RETURN(r.revision, read_revision(revision, oldest_for(prefix)));
      auto durable = co_await list_durable(prefix, range, limit, r.revision);
      // Compaction may have passed under a long read: one of the present begins again, one of the past has expired.
      if (!closed_ && r.revision < oldest_for(prefix) && revision == 0) continue;
      CO_ASSIGN_OR_RETURN(r.revision, read_revision(r.revision, oldest_for(prefix)));
      if (!durable) co_return durable.status();
      std::int64_t total = durable->total;
      r.items = std::move(durable->items);
      if (overlaps(prefix, options_.volatile_prefixes)) {
        ListPart beats = volatile_.list_at(range, limit, r.revision);
        total += beats.total;
        r.items = merge(std::move(r.items), std::move(beats.items), limit);
      }
      r.remaining = total - static_cast<std::int64_t>(r.items.size());
      r.more = r.remaining > 0;
      co_return r;
    }
  }

  async::Task<Result<std::int64_t>> count(std::string prefix) override {
    if (closed_) co_return closed();
    KeyRange range = KeyRange::of(prefix);
    std::int64_t n = 0;
    if (!only_volatile(prefix)) {
      CO_ASSIGN_OR_RETURN(n, reader_->count(range, current_revision()));
    }
    if (overlaps(prefix, options_.volatile_prefixes)) n += volatile_.list_at(range, 1, current_revision()).total;
    co_return n;
  }

  StoreStats stats() const override {
    StoreStats s = StoreBase::stats();
    s.health = health_;
    struct stat st;
    for (const char* suffix : {"", "-wal"})
      if (::stat((options_.path + suffix).c_str(), &st) == 0) s.bytes_on_disk += st.st_size;
    return s;
  }

 protected:
  async::Task<void> submit(WriteOp* op) override {
    op->is_volatile = has_prefix_of(op->key, options_.volatile_prefixes);
    ++in_flight_;
    co_await SubmitAwait(*writer_, op);
    landed();
  }

  async::Task<void> forget(std::int64_t revision, bool wait) override {
    volatile_.compact(revision);
    if (!wait) {
      writer_->compact(revision, nullptr);
      co_return;
    }
    Completion freed;
    ++in_flight_;
    writer_->compact(revision, [&freed] { freed.finish(); });
    co_await freed;
    landed();
  }

  async::Task<void> do_close() override {
    loop_.cancel_timer(std::exchange(flush_timer_, 0));
    while (in_flight_ > 0) (void)co_await idle_.wait();
    reader_.reset();
    SqliteWriter* writer = writer_.get();
    auto ended = co_await async::run_blocking([writer] { return writer->finish(); });
    if (!ended) log_error("the store could not be closed cleanly", {{"error", ended.status()}});
    writer_.reset();
    lock_ = StoreLock();
  }

  async::Task<Result<HistorySlice>> read_history(std::string prefix, std::int64_t after, std::int64_t upto) override {
    KeyRange range = KeyRange::of(prefix);
    HistorySlice slice;
    slice.through = upto;
    if (only_volatile(prefix)) {
    } else if (upto - after <= kInlineSpan) {
      CO_ASSIGN_OR_RETURN(slice, reader_->history(range, after, upto, kHistoryEvents, kHistoryBytes));
    } else {
      ++in_flight_;
      auto read = co_await async::run_blocking([path = options_.path, range, after, upto] {
        return history_blocking(path, range, after, upto);
      });
      landed();
      CO_ASSIGN_OR_RETURN(slice, std::move(read));
    }
    if (overlaps(prefix, options_.volatile_prefixes)) {
      HistorySlice beats = volatile_.history(range, after, slice.through, kHistoryEvents);
      slice.through = beats.through;
      std::erase_if(slice.events, [&](const WatchEvent& e) { return e.kv.mod_revision > slice.through; });
      std::move(beats.events.begin(), beats.events.end(), std::back_inserter(slice.events));
      std::sort(slice.events.begin(), slice.events.end(),
                [](const WatchEvent& a, const WatchEvent& b) { return a.kv.mod_revision < b.kv.mod_revision; });
    }
    co_return slice;
  }

  std::int64_t oldest_for(std::string_view prefix) const override {
    return overlaps(prefix, options_.volatile_prefixes) ? std::max(oldest_, started_at_) : oldest_;
  }

 private:
  static Result<Entry> get_blocking(const std::string& path, const std::string& key, std::int64_t at) {
    ASSIGN_OR_RETURN(auto reader, SqliteReader::open(path, 256));
    return reader->get(key, at);
  }
  static Result<ListPart> list_blocking(const std::string& path, const KeyRange& range, std::size_t limit, std::int64_t at) {
    ASSIGN_OR_RETURN(auto reader, SqliteReader::open(path, 1024));
    return reader->list(range, limit, at);
  }
  static Result<HistorySlice> history_blocking(const std::string& path, const KeyRange& range, std::int64_t after, std::int64_t upto) {
    ASSIGN_OR_RETURN(auto reader, SqliteReader::open(path, 256));
    return reader->history(range, after, upto, kHistoryEvents, kHistoryBytes);
  }

  bool only_volatile(std::string_view prefix) const { return has_prefix_of(prefix, options_.volatile_prefixes); }

  // What is small is read at once, on the loop's thread; what is large or long past on a thread of the pool.
  async::Task<Result<ListPart>> list_durable(std::string prefix, KeyRange range, std::size_t limit, std::int64_t at) {
    if (only_volatile(prefix)) co_return ListPart{};
    if (closed_) co_return closed();
    if (current_revision() - at <= kInlineSpan) {
      std::size_t cap = limit ? std::min(limit, kInlineItems) : kInlineItems;
      auto part = reader_->list(range, cap, at);
      if (!part || part->total == static_cast<std::int64_t>(part->items.size()) || part->items.size() == limit) co_return part;
    }
    ++in_flight_;
    auto part = co_await async::run_blocking([path = options_.path, range, limit, at] { return list_blocking(path, range, limit, at); });
    landed();
    co_return part;
  }

  static std::vector<KeyValue> merge(std::vector<KeyValue> a, std::vector<KeyValue> b, std::size_t limit) {
    if (a.empty()) return b;
    if (b.empty()) return a;
    std::vector<KeyValue> all;
    all.reserve(a.size() + b.size());
    std::merge(std::make_move_iterator(a.begin()), std::make_move_iterator(a.end()), std::make_move_iterator(b.begin()),
               std::make_move_iterator(b.end()), std::back_inserter(all),
               [](const KeyValue& x, const KeyValue& y) { return x.key < y.key; });
    if (limit && all.size() > limit) all.resize(limit);
    return all;
  }

  // A batch is durable: first it becomes visible, then it is acknowledged.
  void finished(const SqliteWriter::Batch& batch) {
    if (batch.committed) ++commits_;
    health_ = batch.health;
    bool beats = false;
    for (const WriteOp* op : batch.ops) {
      if (!op->status || !op->is_volatile) continue;
      volatile_.apply(op->kind == WriteKind::Remove ? WatchEvent::Type::Delete : WatchEvent::Type::Put, op->item);
      beats = true;
    }
    publish(batch.ops, batch.revision);
    if (beats && !flush_timer_ && !closed_) {
      flush_timer_ = loop_.add_timer(loop_.now() + options_.volatile_flush_interval, [this] {
        flush_timer_ = 0;
        writer_->flush_volatile();
      });
    }
    for (WriteOp* op : batch.ops) op->waiter.resume();
  }

  void landed() {
    if (--in_flight_ == 0) idle_.notify();
  }

  SqliteOptions options_;
  StoreLock lock_;
  std::unique_ptr<SqliteWriter> writer_;
  std::unique_ptr<SqliteReader> reader_;
  MemoryTable volatile_;
  std::int64_t started_at_;  // volatile keys have no history from before
  std::int64_t in_flight_ = 0;  // writes, and reads on the pool, that close() waits for
  async::TimerId flush_timer_ = 0;
  async::Notify idle_;
  Status health_;
};

struct Opened {
  StoreLock lock;
  std::unique_ptr<SqliteWriter> writer;
  std::unique_ptr<SqliteReader> reader;
  SqliteWriter::State state;
};

Result<std::shared_ptr<Opened>> open_blocking(const SqliteOptions& options) {
  auto o = std::make_shared<Opened>();
  ASSIGN_OR_RETURN(o->lock, StoreLock::take(options.path));
  ASSIGN_OR_RETURN(o->writer, SqliteWriter::open(options, o->state));
  ASSIGN_OR_RETURN(o->reader, SqliteReader::open(options.path, 512));
  return o;
}

}  // namespace

async::Task<Result<std::unique_ptr<Store>>> open_sqlite(SqliteOptions options) {
  auto opened = co_await async::run_blocking([options] { return open_blocking(options); });
  if (!opened) co_return opened.status();
  Opened& o = **opened;
  co_return std::unique_ptr<Store>(std::make_unique<SqliteStore>(std::move(options), std::move(o.lock), std::move(o.writer),
                                                                 std::move(o.reader), std::move(o.state)));
}

}  // namespace onebin::storage
