#include "storage/sqlite_reader.hpp"

namespace onebin::storage {

Result<std::unique_ptr<SqliteReader>> SqliteReader::open(const std::string& path, int cache_kib) {
  auto r = std::make_unique<SqliteReader>();
  ASSIGN_OR_RETURN(r->db_, Database::open(path, Database::Mode::ReadWrite, cache_kib));
  // A connection that never writes; closing it must not checkpoint on the loop's thread.
  RETURN_IF_ERROR(r->db_.exec("PRAGMA query_only=1; PRAGMA wal_autocheckpoint=0"));
  Database& db = r->db_;
  ASSIGN_OR_RETURN(r->get_, db.prepare("SELECT l.rev, l.created, l.value "
                                       "FROM current c CROSS JOIN log l ON l.rev = c.rev WHERE c.key = ?1"));
  ASSIGN_OR_RETURN(r->version_, db.prepare("SELECT key, created, value FROM log WHERE rev = ?1"));
  ASSIGN_OR_RETURN(r->first_change_, db.prepare("SELECT prev FROM log WHERE rev > ?1 AND key = ?2 ORDER BY rev LIMIT 1"));
  ASSIGN_OR_RETURN(r->undo_, db.prepare("SELECT key, prev, value IS NOT NULL FROM log "
                                        "WHERE rev > ?1 AND key >= ?2 AND key < ?3 ORDER BY rev"));
  ASSIGN_OR_RETURN(r->list_, db.prepare("SELECT c.key, l.created, l.rev, l.value FROM current c CROSS JOIN log l ON l.rev = c.rev "
                                        "WHERE c.key >= ?1 AND c.key < ?2 ORDER BY c.key"));
  ASSIGN_OR_RETURN(r->count_, db.prepare("SELECT count(*) FROM current WHERE key >= ?1 AND key < ?2"));
  ASSIGN_OR_RETURN(r->history_, db.prepare("SELECT l.rev, l.key, l.created, l.value, l.prev, p.value FROM log l "
                                           "LEFT JOIN log p ON p.rev = l.prev "
                                           "WHERE l.rev > ?1 AND l.rev <= ?2 AND l.key >= ?3 AND l.key < ?4 ORDER BY l.rev"));
  ASSIGN_OR_RETURN(r->begin_, db.prepare("BEGIN"));
  ASSIGN_OR_RETURN(r->commit_, db.prepare("COMMIT"));
  return r;
}

namespace {
Entry make_entry(std::string key, std::int64_t created, std::int64_t revision, Bytes value) {
  auto item = std::make_shared<Item>();
  item->key = std::move(key);
  item->create_revision = created;
  item->mod_revision = revision;
  item->value = std::move(value);
  return item;
}
// The smallest key of the range: after "k" comes "k\0", which no key is.
std::string first_key(const KeyRange& range) { return range.after_begin ? range.begin + '\0' : range.begin; }
}  // namespace

Result<Entry> SqliteReader::version(std::int64_t revision) {
  ResetGuard guard(version_);
  ASSIGN_OR_RETURN(bool row, version_.bind(1, revision).step());
  if (!row)
    return internal_error("store: version " + std::to_string(revision) +
                          " is missing: the file is damaged; restore a snapshot (onebin snapshot restore)");
  ASSIGN_OR_RETURN(Bytes value, version_.value(2));
  return make_entry(version_.text(0), version_.integer(1), revision, std::move(value));
}

Result<Entry> SqliteReader::get(const std::string& key, std::int64_t revision) {
  Entry now;
  {
    ResetGuard guard(get_);
    ASSIGN_OR_RETURN(bool row, get_.bind(1, key).step());
    if (row) {
      ASSIGN_OR_RETURN(Bytes value, get_.value(2));
      now = make_entry(key, get_.integer(1), get_.integer(0), std::move(value));
      if (now->mod_revision <= revision) return now;
    }
  }
  std::int64_t was = 0;
  {
    ResetGuard guard(first_change_);
    ASSIGN_OR_RETURN(bool row, first_change_.bind(1, revision).bind(2, key).step());
    if (row) was = first_change_.integer(0);
  }
  if (!was) return Entry();
  return version(was);
}

Result<SqliteReader::UndoMap> SqliteReader::undo_after(const KeyRange& range, std::int64_t revision) {
  UndoMap undo;
  std::string first = first_key(range);
  ResetGuard guard(undo_);
  undo_.bind(1, revision).bind(2, first).bind(3, range.end);
  for (;;) {
    ASSIGN_OR_RETURN(bool row, undo_.step());
    if (!row) return undo;
    auto [at, fresh] = undo.try_emplace(undo_.text(0), Undo{undo_.integer(1), false});
    at->second.is = undo_.integer(2) != 0;
  }
}

Result<std::int64_t> SqliteReader::count_with(const KeyRange& range, const UndoMap& undo) {
  std::string first = first_key(range);
  ResetGuard guard(count_);
  ASSIGN_OR_RETURN(bool row, count_.bind(1, first).bind(2, range.end).step());
  std::int64_t n = row ? count_.integer(0) : 0;
  for (const auto& [key, u] : undo) n += (u.was != 0) - u.is;
  return n;
}

Result<std::int64_t> SqliteReader::count(const KeyRange& range, std::int64_t revision) {
  RETURN_IF_ERROR(begin_.run());
  Result<std::int64_t> n = 0;
  if (auto undo = undo_after(range, revision)) n = count_with(range, *undo);
  else n = undo.status();
  RETURN_IF_ERROR(commit_.run());
  return n;
}

Result<ListPart> SqliteReader::list(const KeyRange& range, std::size_t limit, std::int64_t revision) {
  RETURN_IF_ERROR(begin_.run());
  auto part = list_in_snapshot(range, limit, revision);
  RETURN_IF_ERROR(commit_.run());
  return part;
}

Result<ListPart> SqliteReader::list_in_snapshot(const KeyRange& range, std::size_t limit, std::int64_t revision) {
  ASSIGN_OR_RETURN(UndoMap undo, undo_after(range, revision));
  ListPart part;
  auto u = undo.begin();
  // Puts in what `u` was, when it was; true when the page is full.
  auto full = [&] { return limit && part.items.size() >= limit; };
  auto undone = [&]() -> Result<void> {
    if (u->second.was) {
      ASSIGN_OR_RETURN(Entry e, version(u->second.was));
      part.items.push_back(*e);
    }
    ++u;
    return {};
  };
  std::string first = first_key(range);
  ResetGuard guard(list_);
  list_.bind(1, first).bind(2, range.end);
  while (!full()) {
    ASSIGN_OR_RETURN(bool row, list_.step());
    if (!row) break;
    std::string_view key = list_.view(0);
    while (!full() && u != undo.end() && u->first < key) RETURN_IF_ERROR(undone());
    if (full()) break;
    if (u != undo.end() && u->first == key) {
      RETURN_IF_ERROR(undone());
      continue;
    }
    ASSIGN_OR_RETURN(Bytes value, list_.value(3));
    part.items.push_back(KeyValue{std::string(list_.view(0)), list_.integer(1), list_.integer(2), std::move(value)});
  }
  while (!full() && u != undo.end()) RETURN_IF_ERROR(undone());
  if (full()) {
    ASSIGN_OR_RETURN(part.total, count_with(range, undo));
  } else {
    part.total = static_cast<std::int64_t>(part.items.size());
  }
  return part;
}

Result<HistorySlice> SqliteReader::history(const KeyRange& range, std::int64_t after, std::int64_t upto, std::size_t max_events,
                                           std::size_t max_bytes) {
  HistorySlice slice;
  slice.through = upto;
  std::size_t bytes = 0;
  std::string first = first_key(range);
  ResetGuard guard(history_);
  history_.bind(1, after).bind(2, upto).bind(3, first).bind(4, range.end);
  for (;;) {
    ASSIGN_OR_RETURN(bool row, history_.step());
    if (!row) return slice;
    if (slice.events.size() >= max_events || bytes >= max_bytes) {
      slice.through = slice.events.back().kv.mod_revision;
      return slice;
    }
    WatchEvent e;
    ASSIGN_OR_RETURN(Bytes value, history_.value(3));
    e.kv = KeyValue{history_.text(1), history_.integer(2), history_.integer(0), std::move(value)};
    e.previous_revision = history_.integer(4);
    ASSIGN_OR_RETURN(e.previous_value, history_.value(5));
    if (!e.kv.value) {
      e.type = WatchEvent::Type::Delete;
      e.kv.value = e.previous_value;
    }
    bytes += static_cast<std::size_t>(size_of(e));
    slice.events.push_back(std::move(e));
  }
}

}  // namespace onebin::storage
