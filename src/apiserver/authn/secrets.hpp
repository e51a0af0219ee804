// Comparing secrets without telling by the time taken how much was right.
#pragma once
#include <string_view>

namespace onebin::apiserver {

inline bool same_secret(std::string_view a, std::string_view b) {
  if (a.size() != b.size() || a.empty()) return false;
  unsigned char difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

}  // namespace onebin::apiserver
