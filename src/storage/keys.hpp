// Ranges of keys, and the statuses that both stores answer with.
#pragma once
#include <onebin/base/bytes.hpp>
#include <onebin/storage/store.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace onebin::storage {

// The smallest string greater than every string that begins with prefix; "\xff" for the empty prefix, since no key
// begins with that byte.
std::string prefix_end(std::string_view prefix);

// A half-open or open range of keys: begin <(=) key < end.
struct KeyRange {
  std::string begin;
  bool after_begin = false;  // begin itself is excluded
  std::string end;
  static KeyRange of(std::string_view prefix, std::string_view start_after = {});
  bool contains(std::string_view key) const { return (after_begin ? key > begin : key >= begin) && key < end; }
};

bool has_prefix_of(std::string_view key, const std::vector<std::string>& prefixes);   // key begins with one of them
bool overlaps(std::string_view prefix, const std::vector<std::string>& prefixes);     // some key may begin with both

Status key_not_found(std::string_view key);
Status key_exists(std::string_view key);
Status key_conflict(std::string_view key, std::int64_t expected, std::int64_t found);
Status revision_expired(std::int64_t revision, std::int64_t oldest);
Status revision_too_large(std::int64_t revision, std::int64_t current);

inline std::int64_t size_of(const WatchEvent& e) {
  return static_cast<std::int64_t>(sizeof(WatchEvent) + e.kv.key.size() + (e.kv.value ? e.kv.value->size() : 0));
}

}  // namespace onebin::storage
