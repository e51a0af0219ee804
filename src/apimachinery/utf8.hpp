// UTF-8 as Go's decoders treat it: every byte that is not part of a valid sequence becomes U+FFFD.
#pragma once
#include <string>
#include <string_view>

namespace onebin::apimachinery {

// The length of the valid sequence at text[0], 0 when there is none. `text` is not empty.
inline std::size_t utf8_length(std::string_view text) {
  auto at = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  auto more = [&](std::size_t i) { return (at(i) & 0xc0) == 0x80; };
  unsigned a = at(0), b = at(1);
  if (a < 0x80) return 1;
  if (a >= 0xc2 && a <= 0xdf) return more(1) ? 2 : 0;
  if (a >= 0xe0 && a <= 0xef) {
    bool good = more(1) && more(2) && !(a == 0xe0 && b < 0xa0) && !(a == 0xed && b > 0x9f);
    return good ? 3 : 0;
  }
  if (a >= 0xf0 && a <= 0xf4) {
    bool good = more(1) && more(2) && more(3) && !(a == 0xf0 && b < 0x90) && !(a == 0xf4 && b > 0x8f);
    return good ? 4 : 0;
  }
  return 0;
}

inline std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    std::size_t n = utf8_length(text);
    if (n == 0) {
      out += "\xEF\xBF\xBD";
      n = 1;
    } else {
      out.append(text.substr(0, n));
    }
    text.remove_prefix(n);
  }
  return out;
}

}  // namespace onebin::apimachinery
