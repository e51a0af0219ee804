// JSON's small pieces, byte for byte as Go's encoding/json writes them.
#include <onebin/apimachinery/codec.hpp>

#include <array>
#include <charconv>
#include <cmath>

#include "go_number.hpp"
#include "utf8.hpp"

namespace onebin::apimachinery {
namespace {

// What can't stand for itself in a string: quotes, backslashes, control characters, HTML's three, and all that isn't ASCII
// (of which only invalid sequences and two separators change).
constexpr std::array<bool, 256> special_table() {
  std::array<bool, 256> t{};
  for (unsigned i = 0; i < 256; ++i) t[i] = i < 0x20 || i >= 0x80 || i == '"' || i == '\\' || i == '<' || i == '>' || i == '&';
  return t;
}
constexpr std::array<bool, 256> kSpecial = special_table();

void append_u(std::string& out, unsigned code) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out.push_back(kHex[code >> shift & 15]);
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out.push_back('"');
  const char* p = text.data();
  const char* end = p + text.size();
  while (p != end) {
    const char* run = p;
    while (p != end && !kSpecial[static_cast<unsigned char>(*p)]) ++p;
    out.append(run, p);
    if (p == end) break;
    auto c = static_cast<unsigned char>(*p);
    if (c >= 0x80) {
      std::size_t n = utf8_length({p, static_cast<std::size_t>(end - p)});
      if (n == 0) out += "\\ufffd";
      else if (n == 3 && c == 0xe2 && static_cast<unsigned char>(p[1]) == 0x80 && (static_cast<unsigned char>(p[2]) & 0xfe) == 0xa8)
        append_u(out, 0x2028u + (static_cast<unsigned char>(p[2]) & 1u));
      else out.append(p, n);
      p += n == 0 ? 1 : n;
      continue;
    }
    ++p;
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      default: append_u(out, c);
    }
  }
  out.push_back('"');
}

std::string go_number(double value) {
  if (!std::isfinite(value)) return "0";
  double magnitude = std::fabs(value);
  bool scientific = magnitude != 0 && (magnitude < 1e-6 || magnitude >= 1e21);
  char buffer[400];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, value, scientific ? std::chars_format::scientific : std::chars_format::fixed).ptr;
  std::string out(buffer, end);
  // Go writes e-7, not e-07.
  if (std::size_t e = out.find('e'); e != std::string::npos && out.size() == e + 4 && out[e + 1] == '-' && out[e + 2] == '0') out.erase(e + 2, 1);
  return out;
}

}  // namespace onebin::apimachinery
