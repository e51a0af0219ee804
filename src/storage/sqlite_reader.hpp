// Reads of the durable keys at a revision, over a connection of its own. Used by one thread at a time.
#pragma once
#include "storage/keys.hpp"
#include "storage/memory_table.hpp"
#include "storage/sqlite_db.hpp"

#include <map>

namespace onebin::storage {

class SqliteReader {
 public:
  static Result<std::unique_ptr<SqliteReader>> open(const std::string& path, int cache_kib);

  Result<Entry> get(const std::string& key, std::int64_t revision);  // null: not there
  // At most `limit` items (0: all); total is counted when there are more.
  Result<ListPart> list(const KeyRange& range, std::size_t limit, std::int64_t revision);
  Result<std::int64_t> count(const KeyRange& range, std::int64_t revision);
  Result<HistorySlice> history(const KeyRange& range, std::int64_t after, std::int64_t upto, std::size_t max_events, std::size_t max_bytes);

 private:
  // What a key was before its first change after the revision read at, and whether it is there now.
  struct Undo {
    std::int64_t was;
    bool is;
  };
  using UndoMap = std::map<std::string, Undo, std::less<>>;
  Result<Entry> version(std::int64_t revision);
  Result<UndoMap> undo_after(const KeyRange& range, std::int64_t revision);
  Result<ListPart> list_in_snapshot(const KeyRange& range, std::size_t limit, std::int64_t revision);
  Result<std::int64_t> count_with(const KeyRange& range, const UndoMap& undo);

  Database db_;
  Statement get_, version_, first_change_, undo_, list_, count_, history_, begin_, commit_;
};

}  // namespace onebin::storage
