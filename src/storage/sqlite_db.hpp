// A thin owner of SQLite's handles, and the schema of the store's file.
//
//   log      every version of every key that is still held, by revision: appended only, so that a create costs little
//            more than its bytes. value NULL is a deletion. prev is the revision it replaced (0: none).
//   current  the live keys and the revision of each. Reads of the present go through it and never walk the past.
//   ttl      when live keys of the log end (rare: what expires is mostly volatile).
//   beats    the volatile keys as of the last flush.
//   meta     ceiling (no revision above it was issued), compacted (history begins after it).
//
// A version is dead once the version that replaced it is compacted; compaction therefore needs no index of the past.
#pragma once
#include <onebin/base/bytes.hpp>
#include <onebin/base/result.hpp>

#include <cstdint>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace onebin::storage {

inline constexpr int kSchemaVersion = 2;
inline constexpr int kApplicationId = 0x6f6e626e;  // "onbn"
inline constexpr int kPageSize = 1024;

class Statement {
 public:
  Statement() = default;
  Statement(sqlite3* db, sqlite3_stmt* stmt) : db_(db), stmt_(stmt) {}
  Statement(Statement&& o) noexcept;
  Statement& operator=(Statement&& o) noexcept;
  ~Statement();

  Statement& bind(int index, std::int64_t value);
  Statement& bind(int index, std::string_view text);  // must stay valid until reset()
  Statement& bind_blob(int index, std::string_view bytes);
  Statement& bind_null(int index);
  Result<bool> step();    // true: a row; false: done
  Result<void> run();     // steps to the end and resets
  void reset();
  std::int64_t integer(int column) const;
  std::string text(int column) const;
  std::string_view view(int column) const;  // until the next step
  bool null(int column) const;
  Result<Bytes> value(int column) const;  // as ValueEncoder wrote it; null for NULL

 private:
  sqlite3* db_ = nullptr;
  sqlite3_stmt* stmt_ = nullptr;
};

// Resets a statement at the end of a scope: one that is left open would hold its snapshot and stop the WAL's reuse.
class ResetGuard {
 public:
  explicit ResetGuard(Statement& s) : statement_(s) {}
  ResetGuard(const ResetGuard&) = delete;
  ~ResetGuard() { statement_.reset(); }

 private:
  Statement& statement_;
};

class Database {
 public:
  enum class Mode { ReadWrite, Create, ReadOnly };
  Database() = default;
  Database(Database&& o) noexcept;
  Database& operator=(Database&& o) noexcept;
  ~Database() { close(); }

  static Result<Database> open(const std::string& path, Mode mode, int cache_kib);
  Result<void> exec(const char* sql);
  Result<Statement> prepare(const char* sql);  // kept for long
  Result<std::int64_t> query_int(const char* sql);
  sqlite3* handle() const { return db_; }
  void close();

 private:
  sqlite3* db_ = nullptr;
  std::string path_;
};

// `rc` as a Status that names the remedy.
Status sqlite_status(sqlite3* db, int rc, std::string_view what);
bool is_fatal(const Status& status);  // after which the state of the file on the disk is not known

// The schema of an opened file: made when the file is empty, else checked.
Result<void> create_schema(Database& db);
Result<void> check_schema(Database& db, const std::string& path);

}  // namespace onebin::storage
