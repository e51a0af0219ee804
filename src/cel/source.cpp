#include "cel/source.hpp"

#include <algorithm>

namespace onebin::cel {
namespace {

constexpr std::size_t kErrorLimit = 100;
constexpr std::size_t kSnippetLimit = 16384;  // a longer line is not shown

// One character and how many bytes it takes.
char32_t decode(std::string_view text, std::size_t i, std::size_t& length) {
  auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
  unsigned char c = byte(i);
  length = 1;
  if (c < 0x80) return c;
  int more = c >= 0xF0 && c < 0xF5 ? 3 : c >= 0xE0 && c < 0xF0 ? 2 : c >= 0xC2 && c < 0xE0 ? 1 : 0;
  if (more == 0 || i + static_cast<std::size_t>(more) >= text.size()) return 0xFFFD;
  char32_t value = c & (0x3F >> more);
  for (int k = 1; k <= more; ++k) {
    unsigned char d = byte(i + static_cast<std::size_t>(k));
    if ((d & 0xC0) != 0x80) return 0xFFFD;
    value = (value << 6) | (d & 0x3F);
  }
  if ((more == 2 && (value < 0x800 || (value >= 0xD800 && value < 0xE000))) || (more == 3 && (value < 0x10000 || value > 0x10FFFF)))
    return 0xFFFD;
  length = static_cast<std::size_t>(more) + 1;
  return value;
}

}  // namespace

std::string to_utf8(char32_t c) {
  std::string out;
  if (c < 0x80) {
    out += static_cast<char>(c);
    return out;
  }
  int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  static constexpr unsigned char kLead[] = {0, 0xC0, 0xE0, 0xF0};
  out += static_cast<char>(kLead[more] | (c >> (6 * more)));
  for (int k = more - 1; k >= 0; --k) out += static_cast<char>(0x80 | ((c >> (6 * k)) & 0x3F));
  return out;
}

std::vector<char32_t> to_characters(std::string_view text) {
  std::vector<char32_t> out;
  out.reserve(text.size());
  for (std::size_t i = 0, n = 0; i < text.size(); i += n) out.push_back(decode(text, i, n));
  return out;
}

std::size_t count_characters(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t i = 0, n = 0; i < text.size(); i += n, ++count) {
    if (static_cast<unsigned char>(text[i]) < 0x80) n = 1;
    else decode(text, i, n);
  }
  return count;
}

Source::Source(std::string_view text) : characters_(to_characters(text)) {
  lines_.push_back(0);
  for (std::size_t i = 0; i < characters_.size(); ++i)
    if (characters_[i] == '\n') lines_.push_back(static_cast<std::int32_t>(i) + 1);
}

std::string Source::text(std::size_t begin, std::size_t end) const {
  std::string out;
  for (std::size_t i = begin; i < end && i < characters_.size(); ++i) out += to_utf8(characters_[i]);
  return out;
}

void Source::error(std::int32_t place, std::string message) {
  if (++count_ > kErrorLimit) return;
  Error e{-1, -1, std::move(message)};
  if (place >= 0 && characters_.empty()) {
    e.line = 1;
  } else if (place >= 0) {
    auto it = std::upper_bound(lines_.begin(), lines_.end(), place) - 1;
    e.line = static_cast<int>(it - lines_.begin()) + 1;
    e.column = place - *it;
  }
  errors_.push_back(std::move(e));
}

std::string Source::display() const {
  std::vector<const Error*> sorted;
  for (const Error& e : errors_) sorted.push_back(&e);
  std::stable_sort(sorted.begin(), sorted.end(), [](const Error* a, const Error* b) {
    return a->line != b->line ? a->line < b->line : a->column < b->column;
  });
  std::string out;
  for (const Error* e : sorted) {
    if (!out.empty()) out += '\n';
    out += "ERROR: <input>:" + std::to_string(e->line) + ":" + std::to_string(e->column + 1) + ": " + e->message;
    if (e->column < 0) continue;
    auto begin = static_cast<std::size_t>(lines_[static_cast<std::size_t>(e->line) - 1]);
    std::size_t end = begin;
    while (end < characters_.size() && characters_[end] != '\n') ++end;
    std::string line = text(begin, end);
    if (line.size() > kSnippetLimit) continue;
    std::replace(line.begin(), line.end(), '\t', ' ');
    out += "\n | " + line + "\n | ";
    auto wide = [&](std::size_t i) { return i < end && characters_[i] >= 0x80; };
    for (int c = 0; c < e->column; ++c) {
      std::size_t i = begin + static_cast<std::size_t>(c);
      if (i >= end) break;
      out += wide(i) ? "\xEF\xBC\x8E" : ".";
    }
    out += wide(begin + static_cast<std::size_t>(e->column)) ? "\xEF\xBC\xBE" : "^";
  }
  if (count_ > kErrorLimit) out += "\n" + std::to_string(count_ - kErrorLimit) + " more errors were truncated";
  return out;
}

}  // namespace onebin::cel
