// MemoryTable: current items and their recent history in memory. The memory store's whole content, and the SQLite
// store's volatile part.
#pragma once
#include <onebin/storage/store.hpp>

#include "storage/keys.hpp"

#include <deque>
#include <set>

namespace onebin::storage {

struct Item : KeyValue {
  std::int64_t expires_ms = 0;  // wall time since the epoch; 0: never
};
using Entry = std::shared_ptr<const Item>;

struct ByKey {
  using is_transparent = void;
  bool operator()(const Entry& a, const Entry& b) const { return a->key < b->key; }
  bool operator()(const Entry& a, std::string_view b) const { return a->key < b; }
  bool operator()(std::string_view a, const Entry& b) const { return a < b->key; }
};
using EntrySet = std::set<Entry, ByKey>;
Entry find_entry(const EntrySet& set, std::string_view key);
void set_entry(EntrySet& set, Entry entry);

// Part of a list: items up to the limit, and how many the range holds altogether.
struct ListPart {
  std::vector<KeyValue> items;
  std::int64_t total = 0;
};

// Events of a range of revisions that is complete up to and including `through`.
struct HistorySlice {
  std::vector<WatchEvent> events;
  std::int64_t through = 0;
};

class MemoryTable {
 public:
  Entry find(std::string_view key) const { return find_entry(current_, key); }
  // In order of revision. `item` for a Put is what to store, for a Delete a tombstone with the deletion's revision.
  void apply(WatchEvent::Type type, Entry item);
  void load(Entry item) { set_entry(current_, std::move(item)); }  // without history

  Entry find_at(std::string_view key, std::int64_t revision) const;
  ListPart list_at(const KeyRange& range, std::size_t limit, std::int64_t revision) const;
  HistorySlice history(const KeyRange& range, std::int64_t after, std::int64_t upto, std::size_t max_events) const;
  void compact(std::int64_t revision);
  std::size_t size() const { return current_.size(); }
  const EntrySet& current() const { return current_; }

 private:
  struct Change {
    WatchEvent::Type type;
    Entry item, previous;
  };
  std::deque<Change>::const_iterator first_after(std::int64_t revision) const;
  EntrySet current_;
  std::deque<Change> history_;  // in order of revision
};

}  // namespace onebin::storage
