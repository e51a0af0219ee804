#include "yaml_scalar.hpp"

#include <charconv>
#include <cstdlib>

namespace onebin::apimachinery {
namespace {

bool one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  for (auto w : words)
    if (text == w) return true;
  return false;
}

// Go's ParseInt with base 0: a sign, 0x, 0o, 0b or a leading 0.
bool whole_number(std::string_view text, Document& out) {
  bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  int base = 10;
  if (text.size() > 1 && text[0] == '0') {
    char c = static_cast<char>(text[1] | 0x20);
    base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
    text.remove_prefix(c == 'x' || c == 'b' || c == 'o' ? 2 : 1);
  }
  std::uint64_t magnitude = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), magnitude, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return false;
  constexpr std::uint64_t kLimit = static_cast<std::uint64_t>(1) << 63;
  if (negative) {
    if (magnitude > kLimit) return false;
    out = static_cast<std::int64_t>(0 - magnitude);
  } else if (magnitude < kLimit) {
    out = static_cast<std::int64_t>(magnitude);
  } else {
    out = magnitude;
  }
  return true;
}

// [-+]? digits* .? digits+ ([eE][-+]?digits+)?
bool float_number(std::string_view text, Document& out) {
  std::size_t i = 0;
  auto digits = [&] {
    std::size_t start = i;
    while (i < text.size() && text[i] >= '0' && text[i] <= '9') ++i;
    return i > start;
  };
  if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
  bool any = digits();
  if (i < text.size() && text[i] == '.') {
    ++i;
    any = digits() || any;
  }
  if (!any) return false;
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
    if (!digits()) return false;
  }
  if (i != text.size()) return false;
  if (text[0] == '+') text.remove_prefix(1);
  double d = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), d).ec != std::errc()) return false;
  out = d;
  return true;
}

}  // namespace

std::optional<Document> resolve_plain(const std::string& text) {
  if (one_of(text, {"", "~", "null", "Null", "NULL"})) return Document(nullptr);
  if (one_of(text, {"true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON"})) return Document(true);
  if (one_of(text, {"false", "False", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF"})) return Document(false);
  if (one_of(text, {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", ".nan", ".NaN", ".NAN"})) return std::nullopt;
  char first = text[0];
  if ((first >= '0' && first <= '9') || first == '-' || first == '+' || first == '.') {
    std::string plain;
    for (char c : text)
      if (c != '_') plain.push_back(c);
    Document number;
    if (!plain.empty() && (whole_number(plain, number) || float_number(plain, number))) return number;
  }
  return Document(text);
}

}  // namespace onebin::apimachinery
