#include "cel/lexer.hpp"

#include <array>

namespace onebin::cel {
namespace {

constexpr std::array<const char*, 36> kNames{
    "<EOF>", "'=='", "'!='", "'in'", "'<'", "'<='", "'>='", "'>'", "'&&'", "'||'", "'['", "']'", "'{'", "'}'", "'('", "')'", "'.'", "','",
    "'-'", "'!'", "'?'", "':'", "'+'", "'*'", "'/'", "'%'", "'true'", "'false'", "'null'", "NUM_FLOAT", "NUM_INT", "NUM_UINT", "STRING",
    "BYTES", "IDENTIFIER", "ESC_IDENTIFIER"};

bool digit(char32_t c) { return c >= '0' && c <= '9'; }
bool letter(char32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool hex(char32_t c) { return digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

class Lexer {
 public:
  explicit Lexer(Source& s) : s_(s) {}

  std::vector<Lexeme> run() {
    std::vector<Lexeme> out;
    while (skip_space(), i_ < s_.size()) {
      std::size_t begin = i_;
      Token t = Token::End;
      std::size_t length = match(t);
      if (length == 0) {
        // What a longer token would have needed next is part of what is not recognized.
        std::size_t end = begin + unrecognized_;
        s_.error(static_cast<std::int32_t>(begin), "Syntax error: token recognition error at: '" + shown(begin, end) + "'");
        i_ = end > begin ? end : begin + 1;
        continue;
      }
      i_ += length;
      out.push_back({t, static_cast<std::int32_t>(begin), static_cast<std::int32_t>(i_)});
    }
    auto end = static_cast<std::int32_t>(s_.size());
    out.push_back({Token::End, end, end});
    return out;
  }

 private:
  std::string shown(std::size_t begin, std::size_t end) const {
    std::string out;
    for (std::size_t i = begin; i < end; ++i) {
      if (i >= s_.size()) break;
      out += to_utf8(s_.at(i));
    }
    return out;
  }
  void skip_space() {
    for (;;) {
      char32_t c = s_.at(i_);
      if (i_ >= s_.size()) return;
      if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f') ++i_;
      else if (c == '/' && s_.at(i_ + 1) == '/') while (i_ < s_.size() && s_.at(i_) != '\n') ++i_;
      else return;
    }
  }
  std::size_t match(Token& t) {
    unrecognized_ = 1;
    char32_t c = s_.at(i_), d = s_.at(i_ + 1);
    if (std::size_t n = text(i_, t)) return n;
    if (letter(c) || c == '_') return word(t);
    if (digit(c) || (c == '.' && digit(d))) return number(t);
    if (c == '`') return escaped(t);
    return sign(c, d, t);
  }
  std::size_t sign(char32_t c, char32_t d, Token& t) {
    struct Sign {
      char a, b;
      Token token;
    };
    static constexpr Sign kSigns[] = {
        {'=', '=', Token::EqualsEquals}, {'!', '=', Token::NotEquals}, {'<', '=', Token::LessEquals}, {'>', '=', Token::GreaterEquals},
        {'&', '&', Token::And}, {'|', '|', Token::Or}, {'<', 0, Token::Less}, {'>', 0, Token::Greater}, {'[', 0, Token::LeftBracket},
        {']', 0, Token::RightBracket}, {'{', 0, Token::LeftBrace}, {'}', 0, Token::RightBrace}, {'(', 0, Token::LeftParen},
        {')', 0, Token::RightParen}, {'.', 0, Token::Dot}, {',', 0, Token::Comma}, {'-', 0, Token::Minus}, {'!', 0, Token::Not},
        {'?', 0, Token::Question}, {':', 0, Token::Colon}, {'+', 0, Token::Plus}, {'*', 0, Token::Star}, {'/', 0, Token::Slash},
        {'%', 0, Token::Percent}};
    for (const Sign& s : kSigns) {
      if (c != static_cast<char32_t>(s.a)) continue;
      if (s.b == 0) return t = s.token, 1;
      if (d == static_cast<char32_t>(s.b)) return t = s.token, 2;
      if (c == '=' || c == '&' || c == '|') unrecognized_ = i_ + 1 < s_.size() ? 2 : 1;
    }
    return 0;
  }
  std::size_t word(Token& t) {
    std::size_t k = i_ + 1;
    while (letter(s_.at(k)) || digit(s_.at(k)) || s_.at(k) == '_') ++k;
    std::string w = s_.text(i_, k);
    t = w == "in" ? Token::In : w == "true" ? Token::True : w == "false" ? Token::False : w == "null" ? Token::Null : Token::Identifier;
    return k - i_;
  }
  std::size_t number(Token& t) {
    std::size_t k = i_;
    if (s_.at(k) == '0' && s_.at(k + 1) == 'x' && hex(s_.at(k + 2))) {
      k += 2;
      while (hex(s_.at(k))) ++k;
      t = Token::Int;
      if (s_.at(k) == 'u' || s_.at(k) == 'U') ++k, t = Token::Uint;
      return k - i_;
    }
    while (digit(s_.at(k))) ++k;
    t = Token::Int;
    if (s_.at(k) == '.' && digit(s_.at(k + 1))) {
      for (++k; digit(s_.at(k)); ++k) {}
      t = Token::Float;
    }
    if (s_.at(k) == 'e' || s_.at(k) == 'E') {
      std::size_t e = k + 1;
      if (s_.at(e) == '+' || s_.at(e) == '-') ++e;
      if (digit(s_.at(e))) {
        for (k = e; digit(s_.at(k)); ++k) {}
        t = Token::Float;
      }
    }
    if (t == Token::Int && (s_.at(k) == 'u' || s_.at(k) == 'U')) ++k, t = Token::Uint;
    return k - i_;
  }
  std::size_t escaped(Token& t) {
    std::size_t k = i_ + 1;
    auto fits = [](char32_t c) { return letter(c) || digit(c) || c == '_' || c == '.' || c == '-' || c == '/' || c == ' '; };
    while (fits(s_.at(k))) ++k;
    if (s_.at(k) != '`' || k == i_ + 1) return unrecognized_ = k - i_ + (k < s_.size() ? 1 : 0), 0;
    return t = Token::EscapedIdentifier, k + 1 - i_;
  }
  // A literal of text or bytes, or 0.
  std::size_t text(std::size_t begin, Token& t) {
    std::size_t k = begin;
    bool raw = false;
    t = Token::String;
    if (s_.at(k) == 'b' || s_.at(k) == 'B') ++k, t = Token::Bytes;
    if (s_.at(k) == 'r' || s_.at(k) == 'R') ++k, raw = true;
    char32_t q = s_.at(k);
    if (q != '"' && q != '\'') return 0;
    if (s_.at(k + 1) == q && s_.at(k + 2) == q)
      if (std::size_t end = body(k + 3, q, true, raw)) return end - begin;
    if (std::size_t end = body(k + 1, q, false, raw)) return end - begin;
    return 0;
  }
  std::size_t body(std::size_t k, char32_t q, bool triple, bool raw) {
    for (; k < s_.size(); ++k) {
      char32_t c = s_.at(k);
      if (c == q && !triple) return k + 1;
      if (c == q && s_.at(k + 1) == q && s_.at(k + 2) == q) return k + 3;
      if (!triple && (c == '\n' || c == '\r')) break;
      if (c != '\\' || raw) continue;
      std::size_t n = escape(k + 1);
      if (n == 0) {
        ++k;
        break;
      }
      k += n;
    }
    std::size_t length = (k < s_.size() ? k + 1 : k) - i_;
    if (length > unrecognized_) unrecognized_ = length;
    return 0;
  }
  // How many characters an escape has after its backslash.
  std::size_t escape(std::size_t k) const {
    char32_t c = s_.at(k);
    std::size_t digits = c == 'x' || c == 'X' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    for (std::size_t d = 1; d <= digits; ++d)
      if (!hex(s_.at(k + d))) return 0;
    if (digits) return digits + 1;
    if (c >= '0' && c <= '3') {
      auto octal = [&](std::size_t i) { return s_.at(i) >= '0' && s_.at(i) <= '7'; };
      return octal(k + 1) && octal(k + 2) ? 3 : 0;
    }
    return c && c < 0x80 && std::string_view("abfnrtv\"'\\?`").find(static_cast<char>(c)) != std::string_view::npos ? 1 : 0;
  }

  Source& s_;
  std::size_t i_ = 0, unrecognized_ = 1;
};

// Append an escape's character; as a byte where bytes are meant.
bool append_escape(const Source& s, std::size_t& k, std::size_t end, bool bytes, std::string& out, std::string& problem) {
  static constexpr std::string_view kFrom = "abfnrtv\\'\"`?", kTo = "\a\b\f\n\r\t\v\\'\"`?";
  char32_t c = s.at(k++);
  if (c < 0x80)
    if (std::size_t n = kFrom.find(static_cast<char>(c)); n != std::string_view::npos) return out += kTo[n], true;
  bool octal = c >= '0' && c <= '3';
  std::size_t digits = octal ? 3 : c == 'x' || c == 'X' ? 2 : c == 'u' ? 4 : 8;
  if (octal) --k;
  if (bytes && (c == 'u' || c == 'U')) return problem = "unable to unescape string", false;
  char32_t value = 0;
  for (std::size_t d = 0; d < digits && k < end; ++d, ++k) {
    char32_t x = s.at(k);
    value = value * (octal ? 8 : 16) + (digit(x) ? x - '0' : (x | 0x20) - 'a' + 10);
  }
  if (bytes) return out += static_cast<char>(value), true;
  if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return problem = "invalid unicode code point", false;
  return out += to_utf8(value), true;
}

}  // namespace

const char* display_name(Token token) { return kNames[static_cast<std::size_t>(token)]; }

std::vector<Lexeme> tokenize(Source& source) { return Lexer(source).run(); }

bool unquote(const Source& s, const Lexeme& lexeme, std::string& out, std::string& problem) {
  auto k = static_cast<std::size_t>(lexeme.begin), end = static_cast<std::size_t>(lexeme.end);
  bool bytes = lexeme.token == Token::Bytes, raw = false;
  if (bytes) ++k;
  if (s.at(k) == 'r' || s.at(k) == 'R') ++k, raw = true;
  char32_t q = s.at(k);
  bool triple = end - k >= 6 && s.at(k + 1) == q && s.at(k + 2) == q;
  k += triple ? 3 : 1;
  end -= triple ? 3 : 1;
  while (k < end) {
    char32_t c = s.at(k++);
    if (c == '\r') {  // line ends are one character, however they are written
      if (s.at(k) == '\n' && k < end) ++k;
      out += '\n';
    } else if (c == '\\' && !raw) {
      if (!append_escape(s, k, end, bytes, out, problem)) return false;
    } else {
      out += to_utf8(c);
    }
  }
  return true;
}

}  // namespace onebin::cel
