#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>
#include <onebin/storage/snapshot.hpp>

#include "storage/sqlite_db.hpp"
#include "storage/store_lock.hpp"

#include <openssl/evp.h>
#include <sqlite3.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/stat.h>

namespace onebin::storage {
namespace {

constexpr off_t kDigestBytes = 32;
// No store issues this many revisions between a snapshot and its restore.
constexpr std::int64_t kRestoreJump = 1'000'000'000;

Result<Fd> open_file(const std::string& path, int flags) {
  Fd fd(::open(path.c_str(), flags | O_CLOEXEC, 0600));
  if (!fd) return from_errno(path, errno);
  return fd;
}

Result<void> sync_folder_of(const std::string& path) {
  auto slash = path.rfind('/');
  std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  ASSIGN_OR_RETURN(Fd fd, open_file(folder, O_RDONLY | O_DIRECTORY));
  if (::fsync(fd.get()) != 0) return from_errno(folder, errno);
  return {};
}

Result<off_t> size_of_file(const Fd& fd, const std::string& path) {
  struct stat st;
  if (::fstat(fd.get(), &st) != 0) return from_errno(path, errno);
  return st.st_size;
}

// Reads `bytes` of `from`, copies them to `to` when that is given, and returns their SHA-256.
Result<std::string> digest(const Fd& from, off_t bytes, const Fd* to, const std::string& path) {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> md(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(md.get(), EVP_sha256(), nullptr);
  std::string buffer(1u << 18, '\0');
  for (off_t at = 0; at < bytes;) {
    ssize_t n = ::pread(from.get(), buffer.data(), std::min<std::size_t>(buffer.size(), static_cast<std::size_t>(bytes - at)), at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return from_errno(path, n < 0 ? errno : EIO);
    EVP_DigestUpdate(md.get(), buffer.data(), static_cast<std::size_t>(n));
    for (ssize_t done = 0; to && done < n;) {
      ssize_t w = ::write(to->get(), buffer.data() + done, static_cast<std::size_t>(n - done));
      if (w < 0 && errno == EINTR) continue;
      if (w < 0) return from_errno("copy of " + path, errno);
      done += w;
    }
    at += n;
  }
  std::string out(kDigestBytes, '\0');
  EVP_DigestFinal_ex(md.get(), reinterpret_cast<unsigned char*>(out.data()), nullptr);
  return out;
}

Result<void> integrity(Database& db, const std::string& path) {
  RETURN_IF_ERROR(db.exec("BEGIN"));  // all of one moment; the connection is closed after a failure
  ASSIGN_OR_RETURN(Statement s, db.prepare("PRAGMA integrity_check(1)"));
  ASSIGN_OR_RETURN(bool row, s.step());
  ResetGuard guard(s);
  if (!row || s.text(0) != "ok")
    return internal_error(path + " is damaged (" + (row ? s.text(0) : "no answer") + "): restore a snapshot (onebin snapshot restore)");
  // Each live key has its version, and the counter is ahead of every version.
  ASSIGN_OR_RETURN(std::int64_t orphans, db.query_int(
      "SELECT count(*) FROM current c LEFT JOIN log l ON l.rev = c.rev "
      "WHERE l.rev IS NULL OR l.value IS NULL OR l.key <> c.key OR l.created <> c.created"));
  ASSIGN_OR_RETURN(std::int64_t ahead, db.query_int(
      "SELECT (SELECT coalesce(max(rev), 0) FROM log) > (SELECT value FROM meta WHERE name = 'ceiling')"));
  // The newest version of a key is the live one, or a deletion.
  ASSIGN_OR_RETURN(std::int64_t lost, db.query_int(
      "SELECT count(*) FROM (SELECT key, max(rev) AS rev, value IS NOT NULL AS live FROM log GROUP BY key) v "
      "LEFT JOIN current c ON c.key = v.key WHERE (v.live AND c.rev IS NOT v.rev) OR (NOT v.live AND c.key IS NOT NULL)"));
  if (orphans || ahead || lost)
    return internal_error(path + " breaks the store's own rules (" + std::to_string(orphans) + " keys without a version, " +
                          std::to_string(lost) + " versions without a key): restore a snapshot (onebin snapshot restore)");
  return db.exec("COMMIT");
}

Result<void> read_info(Database& db, SnapshotInfo& info) {
  ASSIGN_OR_RETURN(info.revision, db.query_int(
      "SELECT max((SELECT coalesce(max(rev), 1) FROM log), (SELECT coalesce(max(rev), 1) FROM beats), "
      "(SELECT value FROM meta WHERE name = 'compacted'))"));
  ASSIGN_OR_RETURN(info.keys, db.query_int("SELECT (SELECT count(*) FROM current) + (SELECT count(*) FROM beats)"));
  ASSIGN_OR_RETURN(info.unix_time, db.query_int("SELECT coalesce((SELECT value FROM meta WHERE name = 'taken'), 0)"));
  return {};
}

Result<void> back_up(const std::string& from_path, const std::string& to_path, std::int64_t unix_time) {
  ASSIGN_OR_RETURN(Database from, Database::open(from_path, Database::Mode::ReadWrite, 256));
  RETURN_IF_ERROR(from.exec("PRAGMA query_only=1; PRAGMA wal_autocheckpoint=0"));
  RETURN_IF_ERROR(check_schema(from, from_path));
  ASSIGN_OR_RETURN(Database to, Database::open(to_path, Database::Mode::Create, 256));
  sqlite3_backup* backup = sqlite3_backup_init(to.handle(), "main", from.handle(), "main");
  if (!backup) return sqlite_status(to.handle(), sqlite3_errcode(to.handle()), to_path);
  // In one step: the copy is of one moment, and a reader holds up no writer.
  int rc = sqlite3_backup_step(backup, -1);
  sqlite3_backup_finish(backup);
  if (rc != SQLITE_DONE) return sqlite_status(nullptr, rc, to_path);
  RETURN_IF_ERROR(to.exec("PRAGMA journal_mode=DELETE"));
  return to.exec(("INSERT OR REPLACE INTO meta VALUES('taken', " + std::to_string(unix_time) + ")").c_str());
}

Result<void> seal(const std::string& path) {
  ASSIGN_OR_RETURN(Fd fd, open_file(path, O_RDWR));
  ASSIGN_OR_RETURN(off_t size, size_of_file(fd, path));
  ASSIGN_OR_RETURN(std::string sum, digest(fd, size, nullptr, path));
  if (::pwrite(fd.get(), sum.data(), sum.size(), size) != static_cast<ssize_t>(sum.size())) return from_errno(path, errno);
  if (::fsync(fd.get()) != 0) return from_errno(path, errno);
  return {};
}

void remove_database(const std::string& path) {
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) ::unlink((path + suffix).c_str());
}

// Makes a copy of a snapshot a store: revisions far ahead, no history.
Result<void> rebase(const std::string& path, std::int64_t old_ceiling) {
  ASSIGN_OR_RETURN(Database db, Database::open(path, Database::Mode::ReadWrite, 1024));
  ASSIGN_OR_RETURN(std::int64_t ceiling, db.query_int("SELECT value FROM meta WHERE name = 'ceiling'"));
  std::string revision = std::to_string(std::max(ceiling, old_ceiling) + kRestoreJump);
  std::string sql = "PRAGMA synchronous=FULL; BEGIN IMMEDIATE;"
                    "DELETE FROM log WHERE rev NOT IN (SELECT rev FROM current);"
                    "UPDATE meta SET value = " + revision + " WHERE name IN ('ceiling', 'compacted');"
                    "DELETE FROM meta WHERE name = 'taken'; COMMIT";
  return db.exec(sql.c_str());
}

// Brings the old store's WAL into its file, so that one rename can replace it; and says how far its revisions went.
std::int64_t settle_old(const std::string& path) {
  auto db = Database::open(path, Database::Mode::ReadWrite, 256);
  if (!db) return 0;
  auto ceiling = db->query_int("SELECT value FROM meta WHERE name = 'ceiling'");
  (void)db->exec("PRAGMA wal_checkpoint(TRUNCATE)");
  return ceiling.value_or(0);
}

}  // namespace

Result<SnapshotInfo> save_snapshot(const std::string& store_path, const std::string& snapshot_path, std::int64_t unix_time) {
  std::string part = snapshot_path + ".part";
  remove_database(part);
  Result<void> r = back_up(store_path, part, unix_time);
  if (r) r = seal(part);
  Result<SnapshotInfo> info = r ? verify_snapshot(part) : Result<SnapshotInfo>(r.status());
  if (!info) {
    remove_database(part);
    return info;
  }
  if (::rename(part.c_str(), snapshot_path.c_str()) != 0) return from_errno(snapshot_path, errno);
  RETURN_IF_ERROR(sync_folder_of(snapshot_path));
  info->path = snapshot_path;
  return info;
}

Result<SnapshotInfo> verify_snapshot(const std::string& snapshot_path) {
  SnapshotInfo info;
  info.path = snapshot_path;
  ASSIGN_OR_RETURN(Fd fd, open_file(snapshot_path, O_RDONLY));
  ASSIGN_OR_RETURN(off_t size, size_of_file(fd, snapshot_path));
  info.bytes = size;
  if (size <= kDigestBytes || size % 512 != kDigestBytes)
    return bad_request(snapshot_path + " is not a whole snapshot of onebin: use another one");
  ASSIGN_OR_RETURN(std::string sum, digest(fd, size - kDigestBytes, nullptr, snapshot_path));
  std::string stored(kDigestBytes, '\0');
  if (::pread(fd.get(), stored.data(), stored.size(), size - kDigestBytes) != kDigestBytes) return from_errno(snapshot_path, errno);
  if (stored != sum) return bad_request(snapshot_path + " does not match its digest: it was damaged or cut short; use another one");
  ASSIGN_OR_RETURN(Database db, Database::open(snapshot_path, Database::Mode::ReadOnly, 256));
  RETURN_IF_ERROR(check_schema(db, snapshot_path));
  RETURN_IF_ERROR(integrity(db, snapshot_path));
  RETURN_IF_ERROR(read_info(db, info));
  return info;
}

Result<SnapshotInfo> restore_snapshot(const std::string& snapshot_path, const std::string& store_path) {
  ASSIGN_OR_RETURN(StoreLock lock, StoreLock::take(store_path));
  ASSIGN_OR_RETURN(SnapshotInfo info, verify_snapshot(snapshot_path));
  std::string part = store_path + ".restore";
  remove_database(part);
  {
    ASSIGN_OR_RETURN(Fd from, open_file(snapshot_path, O_RDONLY));
    ASSIGN_OR_RETURN(Fd to, open_file(part, O_WRONLY | O_CREAT | O_EXCL));
    ASSIGN_OR_RETURN(std::string sum, digest(from, static_cast<off_t>(info.bytes) - kDigestBytes, &to, snapshot_path));
    if (::fsync(to.get()) != 0) return from_errno(part, errno);
  }
  bool had = path_exists(store_path);
  RETURN_IF_ERROR(rebase(part, had ? settle_old(store_path) : 0));
  std::string kept = store_path + ".before-restore";
  remove_database(kept);
  if (had && ::link(store_path.c_str(), kept.c_str()) != 0) return from_errno(kept, errno);
  // A WAL that could not be brought in belongs to the old file and must not meet the new one.
  ::rename((store_path + "-wal").c_str(), (kept + "-wal").c_str());
  ::unlink((store_path + "-shm").c_str());
  if (::rename(part.c_str(), store_path.c_str()) != 0) return from_errno(store_path, errno);
  RETURN_IF_ERROR(sync_folder_of(store_path));
  return info;
}

Result<void> check_store(const std::string& store_path) {
  ASSIGN_OR_RETURN(Database db, Database::open(store_path, Database::Mode::ReadWrite, 1024));
  RETURN_IF_ERROR(db.exec("PRAGMA query_only=1; PRAGMA wal_autocheckpoint=0"));
  RETURN_IF_ERROR(check_schema(db, store_path));
  return integrity(db, store_path);
}

}  // namespace onebin::storage
