// Store: the revisioned key-value store under the API server, in the place of etcd.
//
// Revisions are global, strictly increasing int64 numbers, starting at 1 in an empty store. Each successful write takes
// one. A revision that was shown to anybody is never issued again, not even after a crash or the restore of a snapshot.
// Reads see everything up to current_revision() and nothing beyond. A write becomes visible to readers and watchers
// after it is durable and before it is acknowledged, in order of revision.
//
// All calls are made on the loop's thread. Writes in flight are not cancellable: they always return their outcome.
#pragma once
#include <onebin/async/task.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/result.hpp>
#include <onebin/base/time.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace onebin::storage {

struct KeyValue {
  std::string key;
  std::int64_t create_revision = 0;
  std::int64_t mod_revision = 0;
  Bytes value;
};

// The outcome of a write. `current` is set with Conflict and AlreadyExists: what is stored under the key now.
class WriteResult : public Result<KeyValue> {
 public:
  using Result<KeyValue>::Result;
  std::optional<KeyValue> current;
};

struct WatchEvent {
  enum class Type : std::uint8_t { Put, Delete };
  Type type = Type::Put;
  // A Delete carries the last value, with the revision of the deletion as its mod_revision.
  KeyValue kv;
  // What was stored before; value is null and mod_revision 0 for a creation. For a Delete the value equals kv's.
  std::int64_t previous_revision = 0;
  Bytes previous_value;
  bool is_create() const { return type == Type::Put && previous_revision == 0; }
};

// A watch is ended by destroying it (never while a next() is being awaited: cancel that first).
// It must not outlive its Store.
class Watch {
 public:
  virtual ~Watch() = default;
  // The next events in order of revision, at least one; waits while there is none. After an error the watch is over:
  // Expired (410) when the reader was too slow or history was compacted under it, Closed when the store was closed,
  // Cancelled (the watch itself stays usable then).
  virtual async::Task<Result<std::vector<WatchEvent>>> next() = 0;
  // Every event up to this revision was returned by next(): what a bookmark may say.
  virtual std::int64_t progress() const = 0;
};

struct ListResult {
  std::vector<KeyValue> items;  // in order of key (bytewise)
  std::int64_t revision = 0;    // the revision the list is of
  bool more = false;
  std::int64_t remaining = 0;   // how many matched but are beyond the limit
};

struct WriteOptions {
  Duration ttl{};  // not zero: the key is deleted this long after the write, as a deletion that watchers see
};

struct StoreStats {
  std::int64_t current_revision = 0, oldest_revision = 0;
  std::int64_t bytes_on_disk = 0;  // database and WAL; 0 in memory
  std::int64_t writes = 0;         // acknowledged since the start
  std::int64_t commits = 0;        // transactions that carried them
  std::int64_t watchers = 0;
  Status health;                   // not OK: the disk failed, all writes fail until a restart
};

class Store {
 public:
  virtual ~Store() = default;

  // AlreadyExists when the key exists.
  virtual async::Task<WriteResult> create(std::string key, Bytes value, WriteOptions options = {}) = 0;
  // NotFound; Conflict when expected_mod_revision is not 0 and not the key's. Without a ttl an earlier one is dropped.
  virtual async::Task<WriteResult> update(std::string key, Bytes value, std::int64_t expected_mod_revision,
                                          WriteOptions options = {}) = 0;
  // The removed value, with the revision of the deletion as mod_revision. NotFound, Conflict as above.
  virtual async::Task<WriteResult> remove(std::string key, std::int64_t expected_mod_revision) = 0;

  // revision 0: now. Expired when the revision was compacted; Timeout with cause ResourceVersionTooLarge when it is
  // above current_revision().
  virtual async::Task<Result<KeyValue>> get(std::string key, std::int64_t revision = 0) = 0;
  // Keys that begin with prefix and are greater than start_after (a whole key; "" for the beginning). limit 0: all.
  virtual async::Task<Result<ListResult>> list(std::string prefix, std::string start_after = {}, std::size_t limit = 0,
                                               std::int64_t revision = 0) = 0;
  virtual async::Task<Result<std::int64_t>> count(std::string prefix) = 0;

  // Events with a revision greater than after_revision, exactly and in order; 0: from now on. To continue a list, pass
  // its revision. Expired when after_revision < oldest_revision(), or when the prefix reaches volatile keys and
  // after_revision is from before the last start.
  virtual async::Task<Result<std::unique_ptr<Watch>>> watch(std::string prefix, std::int64_t after_revision) = 0;

  virtual std::int64_t current_revision() const = 0;
  // The oldest revision that reads may name and watches may start after.
  virtual std::int64_t oldest_revision() const = 0;
  // Forgets history up to and including `revision` (clamped to current). Happens by itself too, by age and size.
  virtual async::Task<Result<void>> compact(std::int64_t revision) = 0;
  virtual StoreStats stats() const = 0;

  // Ends all watches with Closed, finishes the writes in flight, writes what is volatile, closes cleanly. Await it
  // before destruction; later calls return Closed. Without it the next start treats the store as crashed.
  virtual async::Task<void> close() = 0;
};

// Keys that beat: kept in memory, written at a slow cadence and on close(), lost for at most that cadence by a crash.
inline const std::vector<std::string> kDefaultVolatilePrefixes = {"/registry/events/", "/registry/leases/kube-node-lease/"};

struct HistoryLimits {
  Duration min_age = std::chrono::minutes(5);   // history younger than this is kept (unless max_bytes is passed)
  Duration max_age = std::chrono::minutes(10);  // older is compacted, in idle too
  std::int64_t max_bytes = 64 << 20;            // keys and values written since the oldest revision
};

struct WatchLimits {
  std::size_t max_events = 10000;      // buffered per watch; beyond: Expired
  std::size_t max_bytes = 8u << 20;
};

struct SqliteOptions {
  std::string path;  // the database file; its folder must exist. path-wal, path-shm and path.lock lie beside it
  std::vector<std::string> volatile_prefixes = kDefaultVolatilePrefixes;
  Duration volatile_flush_interval = std::chrono::minutes(5);
  HistoryLimits history;
  WatchLimits watch;
  std::size_t max_pending_writes = 8192;       // beyond: TooManyRequests
  std::size_t max_value_bytes = 4u << 20;      // beyond: RequestEntityTooLarge
  std::int64_t revision_block = 10000;         // how far ahead the ceiling is persisted
  std::int64_t max_database_bytes = 0;         // beyond, writes fail with ServiceUnavailable; 0: no limit but the disk's
};

// ServiceUnavailable when another process has it open; InternalError, naming the remedy, when it was written by a newer
// version, is not ours or is damaged. The clock is the loop's.
async::Task<Result<std::unique_ptr<Store>>> open_sqlite(SqliteOptions options);

struct MemoryOptions {
  HistoryLimits history;
  WatchLimits watch;
  std::size_t max_value_bytes = 4u << 20;
};
// The same contract without a disk, for tests and simulation. Needs a current Loop.
std::unique_ptr<Store> make_memory_store(MemoryOptions options = {});

}  // namespace onebin::storage
