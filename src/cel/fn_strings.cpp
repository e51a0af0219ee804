// Texts: what the standard library and the extensions for strings and regular expressions do. Positions count characters.
#include "cel/implementations.hpp"
#include "cel/source.hpp"

#include <onebin/base/bytes.hpp>

#include <re2/re2.h>

#include <algorithm>

namespace onebin::cel {

std::shared_ptr<const re2::RE2> make_regex(std::string_view pattern, std::string& problem) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  auto re = std::make_shared<const re2::RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
  if (re->ok()) return re;
  // Go's names of what RE2 finds.
  static constexpr std::pair<re2::RE2::ErrorCode, const char*> kNames[] = {
      {re2::RE2::ErrorBadEscape, "invalid escape sequence"}, {re2::RE2::ErrorBadCharClass, "invalid character class"},
      {re2::RE2::ErrorBadCharRange, "invalid character class range"}, {re2::RE2::ErrorMissingBracket, "missing closing ]"},
      {re2::RE2::ErrorMissingParen, "missing closing )"}, {re2::RE2::ErrorTrailingBackslash, "trailing backslash at end of expression"},
      {re2::RE2::ErrorRepeatArgument, "missing argument to repetition operator"}, {re2::RE2::ErrorRepeatSize, "invalid repeat count"},
      {re2::RE2::ErrorRepeatOp, "invalid nested repetition operator"}, {re2::RE2::ErrorBadPerlOp, "invalid or unsupported Perl syntax"},
      {re2::RE2::ErrorBadUTF8, "invalid UTF-8"}, {re2::RE2::ErrorBadNamedCapture, "invalid named capture"},
      {re2::RE2::ErrorPatternTooLarge, "expression too large"}};
  const char* name = "invalid regular expression";
  for (const auto& [code, text] : kNames)
    if (code == re->error_code()) name = text;
  std::string argument = re->error_arg();
  if (re->error_code() == re2::RE2::ErrorTrailingBackslash) argument.clear();
  if (re->error().find("unexpected )") != std::string::npos) name = "unexpected )", argument = std::string(pattern);
  problem = "error parsing regexp: " + std::string(name) + ": `" + argument + "`";
  return nullptr;
}

namespace fn {
namespace {

using Characters = std::vector<char32_t>;

Value from(const Characters& c, std::size_t begin, std::size_t end) {
  std::string out;
  for (std::size_t i = begin; i < end; ++i) out += to_utf8(c[i]);
  return Value::string(std::move(out));
}
Value out_of_range(std::int64_t i) { return Value::error("index out of range: " + std::to_string(i)); }

bool occurs(const Characters& in, const Characters& what, std::size_t at) {
  return at + what.size() <= in.size() && std::equal(what.begin(), what.end(), in.begin() + static_cast<std::ptrdiff_t>(at));
}

Value list_index(const CallSite& c, bool last) {
  auto n = static_cast<std::int64_t>(c[0].size());
  for (std::int64_t k = 0; k < n; ++k) {
    std::int64_t i = last ? n - 1 - k : k;
    if (equal(c[0].at(static_cast<std::size_t>(i)), c[1]).is_true()) return Value::integer(i);
  }
  return Value::integer(-1);
}

Value mapped(const Value& v, char low, char high, int by) {
  std::string out(v.text());
  for (char& ch : out)
    if (ch >= low && ch <= high) ch = static_cast<char>(ch + by);
  return Value::string(std::move(out));
}

bool space(char32_t c) {
  return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

// How many bytes the character at `i` has.
std::size_t step(std::string_view t, std::size_t i) {
  std::size_t n = 1;
  while (i + n < t.size() && (static_cast<unsigned char>(t[i + n]) & 0xC0) == 0x80) ++n;
  return n;
}

bool both_texts(const CallSite& c) { return c[0].is(ValueKind::String) && c[1].is(ValueKind::String); }

// The regular expression of a call's second argument.
const re2::RE2* regex_of(const CallSite& c, std::shared_ptr<const re2::RE2>& own, Value& problem, const char* prefix) {
  if (c.regex) return c.regex;
  std::string words;
  own = make_regex(c[1].text(), words);
  if (!own) problem = Value::error(prefix + words);
  return own.get();
}

re2::StringPiece piece(std::string_view t) { return {t.data(), t.size()}; }

}  // namespace

Value contains(const CallSite& c) {
  return both_texts(c) ? Value::boolean(c[0].text().find(c[1].text()) != std::string_view::npos) : no_overload();
}
Value starts_with(const CallSite& c) { return both_texts(c) ? Value::boolean(onebin::starts_with(c[0].text(), c[1].text())) : no_overload(); }
Value ends_with(const CallSite& c) { return both_texts(c) ? Value::boolean(onebin::ends_with(c[0].text(), c[1].text())) : no_overload(); }

Value matches(const CallSite& c) {
  if (!both_texts(c)) return no_overload();
  std::shared_ptr<const re2::RE2> own;
  Value problem;
  const re2::RE2* re = regex_of(c, own, problem, "");
  return re ? Value::boolean(re2::RE2::PartialMatch(piece(c[0].text()), *re)) : problem;
}

Value find(const CallSite& c) {
  std::shared_ptr<const re2::RE2> own;
  Value problem;
  const re2::RE2* re = regex_of(c, own, problem, "Illegal regex: ");
  if (!re) return problem;
  re2::StringPiece found;
  re2::StringPiece in = piece(c[0].text());
  if (!re->Match(in, 0, in.size(), re2::RE2::UNANCHORED, &found, 1)) return text("");
  return Value::string(std::string(found.data(), found.size()));
}

Value find_all(const CallSite& c) {
  std::shared_ptr<const re2::RE2> own;
  Value problem;
  const re2::RE2* re = regex_of(c, own, problem, "Illegal regex: ");
  if (!re) return problem;
  std::int64_t limit = c.args.size() == 3 ? c[2].as_int() : -1;
  std::string_view t = c[0].text();
  re2::StringPiece in = piece(t), found;
  Values out;
  std::size_t at = 0, previous = std::string_view::npos;  // where the last match ended
  while (at <= t.size() && (limit < 0 || static_cast<std::int64_t>(out.size()) < limit)) {
    if (!re->Match(in, at, in.size(), re2::RE2::UNANCHORED, &found, 1)) break;
    auto begin = static_cast<std::size_t>(found.data() - in.data());
    std::size_t end = begin + found.size();
    bool accept = !(found.empty() && begin == previous);  // no empty match beside the last one
    at = end > at ? end : at < t.size() ? at + step(t, at) : t.size() + 1;
    previous = end;
    if (accept) out.push_back(Value::string(std::string(found.data(), found.size())));
  }
  return Value::list(std::move(out));
}

Value char_at(const CallSite& c) {
  Characters t = to_characters(c[0].text());
  std::int64_t i = c[1].as_int();
  if (i < 0 || i > static_cast<std::int64_t>(t.size())) return out_of_range(i);
  auto at = static_cast<std::size_t>(i);
  return from(t, at, std::min(at + 1, t.size()));
}

Value index_of(const CallSite& c) {
  if (c[0].is(ValueKind::List)) return list_index(c, false);
  Characters t = to_characters(c[0].text()), what = to_characters(c[1].text());
  std::int64_t offset = c.args.size() == 3 ? c[2].as_int() : 0;
  if (offset < 0) return out_of_range(offset);
  if (what.empty()) return Value::integer(std::min(offset, static_cast<std::int64_t>(t.size())));
  for (auto i = static_cast<std::size_t>(offset); i < t.size(); ++i)
    if (occurs(t, what, i)) return Value::integer(static_cast<std::int64_t>(i));
  return Value::integer(-1);
}

Value last_index_of(const CallSite& c) {
  if (c[0].is(ValueKind::List)) return list_index(c, true);
  Characters t = to_characters(c[0].text()), what = to_characters(c[1].text());
  auto n = static_cast<std::int64_t>(t.size());
  bool given = c.args.size() == 3;
  std::int64_t offset = given ? c[2].as_int() : n - 1;
  if (what.empty()) {
    if (!given) return Value::integer(n);
    return offset < 0 ? out_of_range(offset) : Value::integer(std::min(offset, n));
  }
  if (!given && c[0].text().size() < c[1].text().size()) return Value::integer(-1);
  if (offset < 0) return out_of_range(offset);
  if (offset >= n) return Value::integer(-1);
  for (std::int64_t i = std::min(offset, n - static_cast<std::int64_t>(what.size())); i >= 0; --i)
    if (occurs(t, what, static_cast<std::size_t>(i))) return Value::integer(i);
  return Value::integer(-1);
}

Value lower_ascii(const CallSite& c) { return mapped(c[0], 'A', 'Z', 32); }
Value upper_ascii(const CallSite& c) { return mapped(c[0], 'a', 'z', -32); }

Value replace(const CallSite& c) {
  std::string_view t = c[0].text(), old = c[1].text(), with = c[2].text();
  std::int64_t left = c.args.size() == 4 ? c[3].as_int() : -1;
  std::string out;
  std::size_t at = 0;
  for (; left != 0; --left) {
    if (old.empty()) {  // before each character, and at the end
      out += with;
      if (at == t.size()) break;
      std::size_t n = step(t, at);
      out += t.substr(at, n);
      at += n;
      continue;
    }
    std::size_t found = t.find(old, at);
    if (found == std::string_view::npos) break;
    out.append(t.substr(at, found - at)).append(with);
    at = found + old.size();
  }
  out += t.substr(at);
  return Value::string(std::move(out));
}

Value split(const CallSite& c) {
  std::string_view t = c[0].text(), by = c[1].text();
  std::int64_t limit = c.args.size() == 3 ? c[2].as_int() : -1;
  Values out;
  if (limit == 0) return Value::list({});
  if (by.empty()) {
    for (std::size_t i = 0; i < t.size();) {
      bool last = limit > 0 && static_cast<std::int64_t>(out.size()) == limit - 1;
      std::size_t n = last ? t.size() - i : step(t, i);
      out.push_back(text(t.substr(i, n)));
      i += n;
    }
    return Value::list(std::move(out));
  }
  std::size_t at = 0;
  while (limit < 0 || static_cast<std::int64_t>(out.size()) < limit - 1) {
    std::size_t found = t.find(by, at);
    if (found == std::string_view::npos) break;
    out.push_back(text(t.substr(at, found - at)));
    at = found + by.size();
  }
  out.push_back(text(t.substr(at)));
  return Value::list(std::move(out));
}

Value substring(const CallSite& c) {
  Characters t = to_characters(c[0].text());
  auto n = static_cast<std::int64_t>(t.size());
  std::int64_t start = c[1].as_int(), end = c.args.size() == 3 ? c[2].as_int() : n;
  if (c.args.size() == 3 && start > end)
    return Value::error("invalid substring range. start: " + std::to_string(start) + ", end: " + std::to_string(end));
  if (start < 0 || start > n) return out_of_range(start);
  if (end < 0 || end > n) return out_of_range(end);
  return from(t, static_cast<std::size_t>(start), static_cast<std::size_t>(end));
}

Value trim(const CallSite& c) {
  Characters t = to_characters(c[0].text());
  std::size_t begin = 0, end = t.size();
  while (begin < end && space(t[begin])) ++begin;
  while (end > begin && space(t[end - 1])) --end;
  return from(t, begin, end);
}

Value join(const CallSite& c) {
  std::string out;
  for (std::size_t i = 0, n = c[0].size(); i < n; ++i) {
    Value item = c[0].at(i);
    if (!item.is(ValueKind::String)) return Value::error("join: invalid input: " + (item.is_error() ? std::string(item.text()) : cel::to_string(item.type_of())));
    if (i && c.args.size() == 2) out += c[1].text();
    out += item.text();
  }
  return Value::string(std::move(out));
}

Value quote(const CallSite& c) {
  static constexpr std::string_view kFrom = "\a\b\f\n\r\t\v\\\"", kTo = "abfnrtv\\\"";
  std::string out = "\"";
  for (char32_t ch : to_characters(c[0].text())) {
    std::size_t i = ch < 0x80 ? kFrom.find(static_cast<char>(ch)) : std::string_view::npos;
    if (i != std::string_view::npos) out += '\\', out += kTo[i];
    else out += to_utf8(ch);
  }
  return Value::string(out + "\"");
}

Value escape_key(const CallSite& c) {
  std::string out;
  for (char ch : c[0].text()) {
    if (ch == '~') out += "~0";
    else if (ch == '/') out += "~1";
    else out += ch;
  }
  return Value::string(std::move(out));
}

}  // namespace fn
}  // namespace onebin::cel
