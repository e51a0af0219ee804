// TextBuffer: appends JSON text to a string by a cursor of its own, since a list writes thousands of short pieces and each append
// to a std::string is a call. What is written is in the string after finish().
#pragma once
#include <onebin/apimachinery/codec.hpp>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace onebin::apimachinery {

class TextBuffer {
 public:
  explicit TextBuffer(std::string& out) : out_(out), used_(out.size()) {}
  TextBuffer(const TextBuffer&) = delete;
  ~TextBuffer() { finish(); }
  void finish() { out_.resize(used_); }
  void restore(std::size_t size) { used_ = size; }

  // Where n bytes may be written; advance() says how many were.
  char* room(std::size_t n) {
    if (out_.size() - used_ < n) out_.resize(used_ + n + kStep);
    return out_.data() + used_;
  }
  void advance(std::size_t n) { used_ += n; }

  void put(char c) {
    *room(1) = c;
    ++used_;
  }
  void put(std::string_view text) {
    std::memcpy(room(text.size()), text.data(), text.size());
    used_ += text.size();
  }
  // A JSON string with its quotes.
  void quoted(std::string_view text) {
    char* p = room(text.size() + 2 + 8);
    if (!copy_plain(p + 1, text)) {
      finish();
      append_json_string(out_, text);
      used_ = out_.size();
      return;
    }
    p[0] = p[text.size() + 1] = '"';
    used_ += text.size() + 2;
  }

 private:
  static constexpr std::size_t kStep = 4096;

  // The bytes of `word` that cannot stand for themselves in a JSON string as Go writes it: controls, quotes, backslashes, < > & and
  // all that isn't ASCII; not 0 when there are any.
  static std::uint64_t special(std::uint64_t word) {
    constexpr std::uint64_t kOnes = 0x0101010101010101, kHigh = 0x8080808080808080;
    auto has = [&](unsigned char c) {
      std::uint64_t x = word ^ (kOnes * c);
      return (x - kOnes) & ~x;
    };
    // '<' and '>' are one bit apart.
    return (word | (word - kOnes * 0x20) | has('"') | has('\\') | has('&') |
            [&] { std::uint64_t x = (word & ~(kOnes * 2)) ^ (kOnes * '<'); return (x - kOnes) & ~x; }()) & kHigh;
  }
  // Copies text unless it needs escapes. Writes up to 7 bytes beyond it.
  static bool copy_plain(char* to, std::string_view text) {
    const char* p = text.data();
    std::size_t left = text.size();
    std::uint64_t word;
    for (; left >= 8; left -= 8, p += 8, to += 8) {
      std::memcpy(&word, p, 8);
      if (special(word)) return false;
      std::memcpy(to, &word, 8);
    }
    if (left == 0) return true;
    word = 0x6161616161616161;
    char tail[8];
    std::memcpy(tail, &word, 8);
    for (std::size_t i = 0; i < left; ++i) tail[i] = p[i];
    std::memcpy(&word, tail, 8);
    std::memcpy(to, &word, 8);
    return !special(word);
  }

  std::string& out_;
  std::size_t used_;
};

}  // namespace onebin::apimachinery
