// Snapshots of a SQLite store: one file, self-contained, ended by its SHA-256. Blocking calls: use async::run_blocking.
#pragma once
#include <onebin/base/result.hpp>

#include <cstdint>
#include <string>

namespace onebin::storage {

struct SnapshotInfo {
  std::string path;
  std::int64_t revision = 0;   // the newest write it holds
  std::int64_t keys = 0;
  std::int64_t bytes = 0;
  std::int64_t unix_time = 0;  // when it was taken
};

// Copies a store while it is in use, by this process or another. Written beside `snapshot_path` and renamed, so that a
// file of that name is always whole. Volatile keys are as of their last flush.
Result<SnapshotInfo> save_snapshot(const std::string& store_path, const std::string& snapshot_path, std::int64_t unix_time);

// Checks the digest, SQLite's integrity check and the schema version.
Result<SnapshotInfo> verify_snapshot(const std::string& snapshot_path);

// Verifies, then puts the snapshot in the place of the store, which must not be in use; what was there is kept beside it
// as <store_path>.before-restore. Revisions jump far above all that the old store can have issued, and all history
// counts as compacted, so that every watch from before gets Expired and lists anew.
Result<SnapshotInfo> restore_snapshot(const std::string& snapshot_path, const std::string& store_path);

// SQLite's integrity check and the store's own invariants, on a store that is closed or in use.
Result<void> check_store(const std::string& store_path);

}  // namespace onebin::storage
