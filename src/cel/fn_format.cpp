// "...".format([...]), as cel-go's extension for strings writes it at version 2, in the locale en_US.
#include "cel/format_clause.hpp"
#include "cel/implementations.hpp"
#include "cel/map_value.hpp"
#include "cel/text_forms.hpp"
#include "cel/work.hpp"

#include <onebin/apimachinery/field_error.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace onebin::cel {

bool FormatReader::more(std::string& out) {
  for (; i_ < text_.size(); ++i_) {
    if (text_[i_] != '%') out += text_[i_];
    else if (i_ + 1 < text_.size() && text_[i_ + 1] == '%') out += '%', ++i_;
    else return true;
  }
  return false;
}

bool FormatReader::clause(FormatClause& clause, std::string& problem) {
  static constexpr const char* kWhere = "could not parse formatting clause: ";
  if (++i_ >= text_.size()) return problem = "unexpected end of string", false;
  if (text_[i_] == '.') {
    std::size_t begin = ++i_;
    while (i_ < text_.size() && text_[i_] >= '0' && text_[i_] <= '9') ++i_;
    std::string where = std::string(kWhere) + "error while parsing precision: ";
    if (i_ >= text_.size()) return problem = where + "could not find end of precision specifier", false;
    std::string digits(text_.substr(begin, i_ - begin));
    auto r = std::from_chars(digits.data(), digits.data() + digits.size(), clause.precision);
    if (r.ec != std::errc() || clause.precision > 1000) {
      problem = where + "error while converting precision to integer: strconv.Atoi: parsing \"" + digits + "\": " +
                (digits.empty() ? "invalid syntax" : "value out of range");
      return false;
    }
  }
  clause.verb = text_[i_++];
  if (std::string_view("sdfebxXo").find(clause.verb) != std::string_view::npos) return true;
  problem = std::string(kWhere) + "unrecognized formatting clause \"" + clause.verb + "\"";
  return false;
}

std::string wrong_type(char verb, std::string_view type) {
  const char* what = verb == 's'   ? "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps"
                     : verb == 'd' ? "decimal clause can only be used on integers"
                     : verb == 'f' ? "fixed-point clause can only be used on doubles"
                     : verb == 'e' ? "scientific clause can only be used on doubles"
                     : verb == 'b' ? "only integers and bools can be formatted as binary"
                     : verb == 'o' ? "octal clause can only be used on integers"
                                   : "only integers, byte buffers, and strings can be formatted as hex";
  return "error during formatting: " + std::string(what) + ", was given " + std::string(type);
}

namespace fn {
namespace {

std::string number(std::uint64_t u, int base, bool negative) {
  std::array<char, 66> b;
  auto r = std::to_chars(b.data(), b.data() + b.size(), u, base);
  return (negative ? "-" : "") + std::string(b.data(), r.ptr);
}
bool integral(const Value& v) { return v.is(ValueKind::Int) || v.is(ValueKind::Uint); }
std::string in_base(const Value& v, int base) {
  bool negative = v.is(ValueKind::Int) && v.as_int() < 0;
  return number(negative ? 0 - v.as_uint() : v.as_uint(), base, negative);
}

std::string fixed(double d, int precision) {
  std::array<char, 1500> b;
  auto r = std::to_chars(b.data(), b.data() + b.size(), d, std::chars_format::fixed, precision);
  return {b.data(), r.ptr};
}
// With a comma before each three digits.
std::string grouped(std::string s) {
  std::size_t end = std::min(s.find('.'), s.size()), begin = s[0] == '-' ? 1 : 0;
  for (std::size_t i = end; i > begin + 3;) s.insert(i -= 3, ",");
  return s;
}
// "1.052033×10⁰³": always six decimals; the clause's precision is the least width.
std::string scientific(double d, int width) {
  std::array<char, 64> b;
  auto r = std::to_chars(b.data(), b.data() + b.size(), d, std::chars_format::scientific, 6);
  std::string s(b.data(), r.ptr);
  std::size_t e = s.find('e'), shown = e + 3;
  std::string out = s.substr(0, e) + "\u00d710";
  for (char c : s.substr(e + 1)) {
    static constexpr const char* kDigits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    if (c == '-') out += "⁻", ++shown;
    else if (c != '+') out += kDigits[c - '0'], ++shown;
  }
  return shown < static_cast<std::size_t>(width) ? std::string(static_cast<std::size_t>(width) - shown, ' ') + out : out;
}

bool text_of(const Value& v, std::string& out, std::string& problem);

std::string as_literal(const Value& v, std::string text) {
  if (v.is(ValueKind::String)) return apimachinery::go_quote(text);
  if (v.is(ValueKind::Bytes)) return "b" + apimachinery::go_quote(text);
  if (v.is(ValueKind::Double) && !std::isfinite(v.as_double())) return apimachinery::go_quote(text);
  return text;
}

// A member of a list or map.
bool member_of(const Value& v, std::string& out, std::string& problem) {
  std::string t;
  if (v.is(ValueKind::Double)) t = std::isfinite(v.as_double()) ? fixed(v.as_double(), 6) : format_g(v.as_double());
  else if (!text_of(v, t, problem)) return false;
  if (v.is(ValueKind::Timestamp)) t = "timestamp(" + apimachinery::go_quote(t) + ")";
  if (v.is(ValueKind::Duration)) t = "duration(" + apimachinery::go_quote(t) + ")";
  out += as_literal(v, std::move(t));
  return true;
}

bool text_of(const Value& v, std::string& out, std::string& problem) {
  if (!spend(1)) return problem = "operation cancelled: actual cost limit exceeded", false;
  switch (v.kind()) {
    case ValueKind::List:
      out += '[';
      for (std::size_t i = 0, n = v.size(); i < n; ++i) {
        if (i) out += ", ";
        if (!member_of(v.at(i), out, problem)) return false;
      }
      out += ']';
      return true;
    case ValueKind::Map: {
      std::vector<std::pair<std::string, std::string>> entries;
      for (const Value& k : v.keys()) {
        if (!k.is(ValueKind::String) && !k.is(ValueKind::Bool) && !integral(k))
          return problem = "error during formatting: no formatting function for map key of type " + k.type_of().name, false;
        auto& [key, value] = entries.emplace_back();
        Value item;
        v.find(k, item);
        if (!member_of(k, key, problem) || !member_of(item, value, problem)) return false;
      }
      std::sort(entries.begin(), entries.end());
      out += '{';
      for (std::size_t i = 0; i < entries.size(); ++i) out += (i ? ", " : "") + entries[i].first + ":" + entries[i].second;
      out += '}';
      return true;
    }
    case ValueKind::Null: out += "null"; return true;
    case ValueKind::Type: out += v.as_type()->name; return true;
    case ValueKind::Int: case ValueKind::Uint: case ValueKind::Double: case ValueKind::Bool: case ValueKind::String: case ValueKind::Timestamp:
    case ValueKind::Bytes: case ValueKind::Duration: {
      Value t = to_string({{&v, 1}, nullptr, nullptr});
      if (t.is_error()) return problem = "error during formatting: could not convert argument " + apimachinery::go_quote(t.text()) + " to string", false;
      out += t.text();
      return true;
    }
    default: problem = wrong_type('s', v.type_of().name); return false;
  }
}

bool real_of(const Value& v, double& d) {
  if (v.is(ValueKind::Double)) return d = v.as_double(), true;
  if (!v.is(ValueKind::String)) return false;
  std::string_view t = v.text();
  return (t == "NaN" || t == "Infinity" || t == "-Infinity") && parse_double(t, d);
}

bool write(const FormatClause& clause, const Value& v, std::string& out, std::string& problem) {
  double d = 0;
  switch (clause.verb) {
    case 's': return text_of(v, out, problem);
    case 'd':
      if (!integral(v)) break;
      out += in_base(v, 10);
      return true;
    case 'b':
      if (!integral(v) && !v.is(ValueKind::Bool)) break;
      out += v.is(ValueKind::Bool) ? (v.is_true() ? "1" : "0") : in_base(v, 2);
      return true;
    case 'o':
      if (!integral(v)) break;
      out += in_base(v, 8);
      return true;
    case 'x':
    case 'X': {
      std::string t;
      if (integral(v)) t = in_base(v, 16);
      else if (v.is(ValueKind::String) || v.is(ValueKind::Bytes))
        for (unsigned char c : v.text()) t += (c < 16 ? "0" : "") + number(c, 16, false);
      else break;
      if (clause.verb == 'X') std::transform(t.begin(), t.end(), t.begin(), [](char c) { return c >= 'a' ? static_cast<char>(c - 32) : c; });
      out += t;
      return true;
    }
    default: {
      if (!real_of(v, d)) break;
      bool exponent = clause.verb == 'e';
      std::string t = std::isnan(d) ? "NaN" : std::isinf(d) ? (d < 0 ? "-∞" : "∞") : exponent ? scientific(d, clause.precision) : grouped(fixed(d, clause.precision));
      std::size_t width = std::isnan(d) ? 3 : d < 0 ? 2 : 1;
      if (exponent && !std::isfinite(d) && width < static_cast<std::size_t>(clause.precision)) out.append(static_cast<std::size_t>(clause.precision) - width, ' ');
      out += t;
      return true;
    }
  }
  problem = wrong_type(clause.verb, v.type_of().name);
  return false;
}

}  // namespace

Value format(const CallSite& c) {
  FormatReader reader(c[0].text());
  std::string out, problem;
  for (std::size_t n = 0; reader.more(out); ++n) {
    if (n >= c[1].size()) return Value::error("index " + std::to_string(n) + " out of range");
    FormatClause clause;
    if (!reader.clause(clause, problem) || !write(clause, c[1].at(n), out, problem)) return Value::error(problem);
  }
  return Value::string(std::move(out));
}

}  // namespace fn
}  // namespace onebin::cel
