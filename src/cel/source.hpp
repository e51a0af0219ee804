// Source: the text of an expression, by characters, and the errors found in it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::cel {

inline constexpr std::int32_t kNoPlace = -1;

class Source {
 public:
  explicit Source(std::string_view text);
  std::size_t size() const { return characters_.size(); }
  char32_t at(std::size_t i) const { return i < characters_.size() ? characters_[i] : 0; }
  std::string text(std::size_t begin, std::size_t end) const;  // as UTF-8

  void error(std::int32_t place, std::string message);
  bool has_errors() const { return count_ != 0; }
  std::size_t errors() const { return count_; }
  // All errors in order of place: "ERROR: <input>:1:1: message", the line, and a caret below.
  std::string display() const;

 private:
  struct Error {
    int line = 0, column = 0;  // from 1, from 0
    std::string message;
  };
  std::vector<char32_t> characters_;
  std::vector<std::int32_t> lines_;  // where each begins
  std::vector<Error> errors_;
  std::size_t count_ = 0;
};

std::string to_utf8(char32_t character);
// Characters of UTF-8; what is no UTF-8 becomes U+FFFD, byte by byte.
std::vector<char32_t> to_characters(std::string_view text);
std::size_t count_characters(std::string_view text);

}  // namespace onebin::cel
