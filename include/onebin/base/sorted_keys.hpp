// Keys in order in one piece: 16 bytes each, where a node of a set takes four times that. For indexes of many keys, of which few come or
// go at a time. The views' texts belong to others.
#pragma once
#include <algorithm>
#include <string_view>
#include <vector>

namespace onebin {

using SortedKeys = std::vector<std::string_view>;

inline void insert_key(SortedKeys& keys, std::string_view key) {
  auto at = std::lower_bound(keys.begin(), keys.end(), key);
  if (at == keys.end() || *at != key) keys.insert(at, key);
}

inline void erase_key(SortedKeys& keys, std::string_view key) {
  auto at = std::lower_bound(keys.begin(), keys.end(), key);
  if (at != keys.end() && *at == key) keys.erase(at);
}

}  // namespace onebin
