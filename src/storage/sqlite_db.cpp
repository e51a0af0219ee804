#include "storage/sqlite_db.hpp"

#include "storage/value_codec.hpp"

#include <sqlite3.h>

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>
#include <utility>

namespace onebin::storage {
namespace {
constexpr int kFatalCode = 597;  // marks a status within this module; never seen by a client
}

Status sqlite_status(sqlite3* db, int rc, std::string_view what) {
  std::string text = std::string(what) + ": " + (db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
  switch (rc & 0xff) {
    case SQLITE_FULL:
      return Status(Reason::ServiceUnavailable, text + ": free space on the disk of the data folder");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Status(Reason::ServiceUnavailable, text + ": another process uses the store");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return internal_error(text + ": the store's file is damaged; restore a snapshot (onebin snapshot restore)");
    case SQLITE_IOERR: {
      Status s = internal_error(text + ": the disk failed; check it, then start again");
      s.set_code(kFatalCode);
      return s;
    }
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return internal_error(text + ": check the owner and mode of the data folder");
    default:
      return internal_error(text);
  }
}

bool is_fatal(const Status& status) { return status.code() == kFatalCode; }

// ---- Statement

Statement::Statement(Statement&& o) noexcept : db_(o.db_), stmt_(std::exchange(o.stmt_, nullptr)) {}
Statement& Statement::operator=(Statement&& o) noexcept {
  if (this != &o) {
    sqlite3_finalize(stmt_);
    db_ = o.db_;
    stmt_ = std::exchange(o.stmt_, nullptr);
  }
  return *this;
}
Statement::~Statement() { sqlite3_finalize(stmt_); }

Statement& Statement::bind(int index, std::int64_t value) {
  sqlite3_bind_int64(stmt_, index, value);
  return *this;
}
Statement& Statement::bind(int index, std::string_view text) {
  sqlite3_bind_text(stmt_, index, text.data() ? text.data() : "", static_cast<int>(text.size()), SQLITE_STATIC);
  return *this;
}
Statement& Statement::bind_blob(int index, std::string_view bytes) {
  sqlite3_bind_blob(stmt_, index, bytes.data() ? bytes.data() : "", static_cast<int>(bytes.size()), SQLITE_STATIC);
  return *this;
}
Statement& Statement::bind_null(int index) {
  sqlite3_bind_null(stmt_, index);
  return *this;
}

Result<bool> Statement::step() {
  int rc = sqlite3_step(stmt_);
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) return false;
  return sqlite_status(db_, rc, "store");
}

Result<void> Statement::run() {
  Result<void> r;
  for (;;) {
    auto row = step();
    if (!row) r = row.status();
    if (!row || !*row) break;
  }
  reset();
  return r;
}

void Statement::reset() {
  sqlite3_reset(stmt_);
  sqlite3_clear_bindings(stmt_);
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(stmt_, column); }
std::string_view Statement::view(int column) const {
  const void* p = sqlite3_column_blob(stmt_, column);
  return {static_cast<const char*>(p), p ? static_cast<std::size_t>(sqlite3_column_bytes(stmt_, column)) : 0};
}
std::string Statement::text(int column) const { return std::string(view(column)); }
bool Statement::null(int column) const { return sqlite3_column_type(stmt_, column) == SQLITE_NULL; }
Result<Bytes> Statement::value(int column) const {
  if (null(column)) return Bytes();
  return decode_value(view(column));
}

// ---- Database

Database::Database(Database&& o) noexcept : db_(std::exchange(o.db_, nullptr)), path_(std::move(o.path_)) {}
Database& Database::operator=(Database&& o) noexcept {
  if (this != &o) {
    close();
    db_ = std::exchange(o.db_, nullptr);
    path_ = std::move(o.path_);
  }
  return *this;
}

void Database::close() {
  if (db_) sqlite3_close_v2(std::exchange(db_, nullptr));
}

Result<Database> Database::open(const std::string& path, Mode mode, int cache_kib) {
  // One connection is used by one thread at a time: no mutexes, no counting of memory across threads.
  static const int once = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  (void)once;
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
  if (mode == Mode::ReadOnly) flags |= SQLITE_OPEN_READONLY;
  else flags |= SQLITE_OPEN_READWRITE | (mode == Mode::Create ? SQLITE_OPEN_CREATE : 0);
  if (mode == Mode::Create) {
    // Secrets lie in it. SQLite gives the WAL and the journal the mode of the file.
    int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return from_errno(path, errno);
    ::close(fd);
  }
  Database d;
  d.path_ = path;
  int rc = sqlite3_open_v2(path.c_str(), &d.db_, flags, nullptr);
  if (rc != SQLITE_OK) return sqlite_status(d.db_, rc, path);
  sqlite3_extended_result_codes(d.db_, 1);
  sqlite3_busy_timeout(d.db_, 5000);
  std::string pragmas = "PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-" + std::to_string(cache_kib);
  RETURN_IF_ERROR(d.exec(pragmas.c_str()));
  return d;
}

Result<void> Database::exec(const char* sql) {
  int rc = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return sqlite_status(db_, rc, path_);
  return {};
}

Result<Statement> Database::prepare(const char* sql) {
  sqlite3_stmt* stmt = nullptr;
  int rc = sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, nullptr);
  if (rc != SQLITE_OK) return sqlite_status(db_, rc, path_);
  return Statement(db_, stmt);
}

Result<std::int64_t> Database::query_int(const char* sql) {
  ASSIGN_OR_RETURN(Statement s, prepare(sql));
  ASSIGN_OR_RETURN(bool row, s.step());
  if (!row) return internal_error(path_ + ": no row for: " + sql);
  return s.integer(0);
}

// ---- schema

Result<void> create_schema(Database& db) {
  static const std::string sql =
      "PRAGMA page_size=" + std::to_string(kPageSize) + "; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL;"
      "BEGIN IMMEDIATE;"
      "CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
      "CREATE TABLE log(rev INTEGER PRIMARY KEY, prev INTEGER NOT NULL, created INTEGER NOT NULL, key TEXT NOT NULL, value BLOB);"
      "CREATE TABLE current(key TEXT PRIMARY KEY, rev INTEGER NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;"
      "CREATE TABLE ttl(key TEXT PRIMARY KEY, rev INTEGER NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;"
      "CREATE TABLE beats(key TEXT PRIMARY KEY, created INTEGER NOT NULL, rev INTEGER NOT NULL, expires INTEGER NOT NULL,"
      " value BLOB NOT NULL);"
      "INSERT INTO meta VALUES('ceiling', 1), ('compacted', 1);"
      "PRAGMA application_id=" + std::to_string(kApplicationId) + "; PRAGMA user_version=" + std::to_string(kSchemaVersion) + ";"
      "COMMIT;";
  return db.exec(sql.c_str());
}

Result<void> check_schema(Database& db, const std::string& path) {
  ASSIGN_OR_RETURN(std::int64_t id, db.query_int("PRAGMA application_id"));
  if (id != kApplicationId)
    return internal_error(path + " is an SQLite file, but not one of onebin: move it away, or name another data folder");
  ASSIGN_OR_RETURN(std::int64_t version, db.query_int("PRAGMA user_version"));
  if (version > kSchemaVersion)
    return internal_error(path + " was written by a newer onebin (schema " + std::to_string(version) + ", this one knows " +
                          std::to_string(kSchemaVersion) + "): start that version again, or restore a snapshot made by this one");
  if (version < 1) return internal_error(path + " has an unknown schema " + std::to_string(version) + ": restore a snapshot");
  return {};
}

}  // namespace onebin::storage
