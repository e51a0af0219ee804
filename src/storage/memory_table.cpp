#include "storage/memory_table.hpp"

#include <algorithm>
#include <map>

namespace onebin::storage {

Entry find_entry(const EntrySet& set, std::string_view key) {
  auto at = set.find(key);
  return at == set.end() ? nullptr : *at;
}

void set_entry(EntrySet& set, Entry entry) {
  auto at = set.lower_bound(std::string_view(entry->key));
  if (at != set.end() && (*at)->key == entry->key) at = set.erase(at);
  set.insert(at, std::move(entry));
}

void MemoryTable::apply(WatchEvent::Type type, Entry item) {
  Change change{type, item, nullptr};
  auto at = current_.find(std::string_view(item->key));
  if (at != current_.end()) {
    change.previous = *at;
    at = current_.erase(at);
  }
  if (type == WatchEvent::Type::Put) current_.insert(at, std::move(item));
  history_.push_back(std::move(change));
}

std::deque<MemoryTable::Change>::const_iterator MemoryTable::first_after(std::int64_t revision) const {
  return std::upper_bound(history_.begin(), history_.end(), revision,
                          [](std::int64_t r, const Change& c) { return r < c.item->mod_revision; });
}

Entry MemoryTable::find_at(std::string_view key, std::int64_t revision) const {
  Entry now = find(key);
  if (now && now->mod_revision <= revision) return now;
  for (auto c = first_after(revision); c != history_.end(); ++c)
    if (c->item->key == key) return c->previous;
  return now;
}

// The present, undone: the first change of a key after the revision tells what it was at the revision.
ListPart MemoryTable::list_at(const KeyRange& range, std::size_t limit, std::int64_t revision) const {
  std::map<std::string_view, const Entry*> undo;
  for (auto c = first_after(revision); c != history_.end(); ++c)
    if (range.contains(c->item->key)) undo.emplace(c->item->key, &c->previous);

  ListPart part;
  auto emit = [&](const Entry& e) {
    ++part.total;
    if (!limit || part.items.size() < limit) part.items.push_back(*e);
  };
  auto at = range.after_begin ? current_.upper_bound(std::string_view(range.begin)) : current_.lower_bound(std::string_view(range.begin));
  auto u = undo.begin();
  for (; at != current_.end() && (*at)->key < range.end; ++at) {
    for (; u != undo.end() && u->first < (*at)->key; ++u)
      if (*u->second) emit(*u->second);
    if (u != undo.end() && u->first == (*at)->key) {
      if (*u->second) emit(*u->second);
      ++u;
    } else {
      emit(*at);
    }
  }
  for (; u != undo.end(); ++u)
    if (*u->second) emit(*u->second);
  return part;
}

HistorySlice MemoryTable::history(const KeyRange& range, std::int64_t after, std::int64_t upto, std::size_t max_events) const {
  HistorySlice slice;
  slice.through = upto;
  for (auto c = first_after(after); c != history_.end() && c->item->mod_revision <= upto; ++c) {
    if (!range.contains(c->item->key)) continue;
    if (slice.events.size() == max_events) {
      slice.through = slice.events.back().kv.mod_revision;
      break;
    }
    WatchEvent e{c->type, *c->item, 0, nullptr};
    if (c->previous) {
      e.previous_revision = c->previous->mod_revision;
      e.previous_value = c->previous->value;
    }
    slice.events.push_back(std::move(e));
  }
  return slice;
}

void MemoryTable::compact(std::int64_t revision) {
  while (!history_.empty() && history_.front().item->mod_revision <= revision) history_.pop_front();
}

}  // namespace onebin::storage
