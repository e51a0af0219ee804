#include <onebin/apimachinery/quantity.hpp>

#include <algorithm>
#include <array>
#include <limits>

namespace onebin::apimachinery {
namespace {

using Int128 = Quantity::Int128;
constexpr Int128 kNano = 1000000000;
constexpr Int128 kMax = (static_cast<Int128>(1) << 126);  // of nanos; far beyond what a sum reaches
constexpr Int128 kMaxBinary = static_cast<Int128>(std::numeric_limits<std::int64_t>::max()) * kNano;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The text taken apart, unchecked but for its form.
struct Parts {
  bool negative = false;
  std::string_view whole, fraction, suffix;
};

bool take_apart(std::string_view text, Parts& parts) {
  std::size_t i = 0;
  if (i < text.size() && (text[i] == '-' || text[i] == '+')) parts.negative = text[i++] == '-';
  std::size_t start = i;
  while (i < text.size() && is_digit(text[i])) ++i;
  parts.whole = text.substr(start, i - start);
  if (i < text.size() && text[i] == '.') {
    start = ++i;
    while (i < text.size() && is_digit(text[i])) ++i;
    parts.fraction = text.substr(start, i - start);
  }
  if (parts.whole.empty() && parts.fraction.empty()) return false;
  parts.suffix = text.substr(i);
  return true;
}

struct Unit {
  int base = 10;
  int exponent = 0;
  Quantity::Format format = Quantity::Format::DecimalSI;
};

bool read_suffix(std::string_view suffix, Unit& unit) {
  static constexpr std::array<std::pair<std::string_view, int>, 10> kDecimal{
      {{"", 0}, {"n", -9}, {"u", -6}, {"m", -3}, {"k", 3}, {"M", 6}, {"G", 9}, {"T", 12}, {"P", 15}, {"E", 18}}};
  static constexpr std::array<std::pair<std::string_view, int>, 6> kBinary{
      {{"Ki", 10}, {"Mi", 20}, {"Gi", 30}, {"Ti", 40}, {"Pi", 50}, {"Ei", 60}}};
  for (const auto& [name, exponent] : kDecimal)
    if (suffix == name) return unit = {10, exponent, Quantity::Format::DecimalSI}, true;
  for (const auto& [name, exponent] : kBinary)
    if (suffix == name) return unit = {2, exponent, Quantity::Format::BinarySI}, true;
  if (suffix.size() < 2 || (suffix[0] != 'e' && suffix[0] != 'E')) return false;
  std::size_t i = 1;
  bool negative = false;
  if (suffix[i] == '-' || suffix[i] == '+') negative = suffix[i++] == '-';
  if (i == suffix.size() || suffix.size() - i > 6) return false;
  int exponent = 0;
  for (; i < suffix.size(); ++i) {
    if (!is_digit(suffix[i])) return false;
    exponent = exponent * 10 + (suffix[i] - '0');
  }
  unit = {10, negative ? -exponent : exponent, Quantity::Format::DecimalExponent};
  return true;
}

// digits x 10^power, what is below 1 rounded up. False when it doesn't fit.
bool scale_decimal(std::string digits, int power, Int128& out) {
  bool more = false;
  while (power < 0 && !digits.empty()) {
    more = more || digits.back() != '0';
    digits.pop_back();
    ++power;
  }
  out = 0;
  for (char c : digits) {
    if (out > kMax / 10) return false;
    out = out * 10 + (c - '0');
  }
  for (; power > 0 && out != 0; --power) {
    if (out > kMax / 10) return false;
    out *= 10;
  }
  if (more) ++out;
  return out <= kMax;
}

// digits x 2^exponent / 10^places in nanos, rounded up, at most kMaxBinary.
Int128 scale_binary(std::string digits, int exponent, int places) {
  bool more = false;
  while (digits.size() > 18 && places > 0) {  // beyond any precision: only that there is something counts
    more = more || digits.back() != '0';
    digits.pop_back();
    --places;
  }
  Int128 value = 0;
  for (char c : digits) {
    if (value > (static_cast<Int128>(1) << 64)) return kMaxBinary;
    value = value * 10 + (c - '0');
  }
  long double approximate = static_cast<long double>(value);
  for (int i = 0; i < exponent; ++i) approximate *= 2;
  for (int i = 0; i < places; ++i) approximate /= 10;
  if (approximate > 9.3e18L) return kMaxBinary;
  value <<= exponent;
  for (; places < 9; ++places) value *= 10;
  for (; places > 9; --places) {
    more = more || value % 10 != 0;
    value /= 10;
  }
  if (more) ++value;
  return value > kMaxBinary ? kMaxBinary : value;
}

std::string to_digits(Int128 value) {
  bool negative = value < 0;
  std::string out;
  do {
    int digit = static_cast<int>(value % 10);
    out.push_back(static_cast<char>('0' + (digit < 0 ? -digit : digit)));
    value /= 10;
  } while (value != 0);
  if (negative) out.push_back('-');
  return {out.rbegin(), out.rend()};
}

std::string decimal_suffix(int exponent, Quantity::Format format) {
  if (exponent == 0) return "";
  if (format == Quantity::Format::DecimalExponent) return "e" + std::to_string(exponent);
  static constexpr std::string_view kNames = "num?kMGTPE";  // from -9 in steps of 3
  return std::string(1, kNames[static_cast<std::size_t>(exponent / 3 + 3)]);
}

std::string decimal_text(Int128 nano, Quantity::Format format) {
  int exponent = -9;
  while (nano % 10 == 0 && exponent < 18) {
    nano /= 10;
    ++exponent;
  }
  while (exponent % 3 != 0) {
    nano *= 10;
    --exponent;
  }
  return to_digits(nano) + decimal_suffix(exponent, format);
}

std::int64_t divided_up(Int128 value, Int128 by) {
  Int128 q = value / by;
  if (value % by != 0) q += value < 0 ? -1 : 1;
  constexpr Int128 low = std::numeric_limits<std::int64_t>::min(), high = std::numeric_limits<std::int64_t>::max();
  return static_cast<std::int64_t>(q < low ? low : q > high ? high : q);
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t' || text.front() == '\n' || text.front() == '\r')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

// Upstream writes a text back as it came when it looks canonical to its fast path, "1.500" among them.
bool kept_as_written(std::string_view text) {
  Parts p;
  Unit unit;
  if (!take_apart(text, p) || !read_suffix(p.suffix, unit)) return false;
  std::string_view whole = p.whole;
  while (!whole.empty() && whole.front() == '0') whole.remove_prefix(1);
  std::string shifted = std::string(whole.empty() ? "0" : whole) + std::string(p.fraction);
  if (whole.empty() && p.fraction.empty()) return false;
  int digits = static_cast<int>(shifted.size());
  if (unit.format == Quantity::Format::BinarySI) {
    if (!p.fraction.empty() || 15 - digits - static_cast<int>(static_cast<float>(unit.exponent) * 3 / 10) - 1 < 0) return false;
    return (std::stoll(shifted) & 7) != 0;
  }
  if (18 - digits < 0) return false;
  int scale = unit.exponent - static_cast<int>(p.fraction.size());
  if (scale < -9 || scale % 3 != 0 || shifted[0] == '0') return false;
  return !(shifted.size() >= 3 && shifted.compare(shifted.size() - 3, 3, "000") == 0);
}

// Letters of suffixes, a sign, digits: of the right form, if not one that means something.
bool looks_like_suffix(std::string_view s) {
  s.remove_prefix(std::min(s.find_first_not_of("eEinumkKMGTP"), s.size()));
  if (!s.empty() && (s.front() == '+' || s.front() == '-')) s.remove_prefix(1);
  return s.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

Quantity Quantity::from_units(std::int64_t value, Format format) { return from_nano(static_cast<Int128>(value) * kNano, format); }
Quantity Quantity::from_milli(std::int64_t value, Format format) { return from_nano(static_cast<Int128>(value) * (kNano / 1000), format); }

Quantity Quantity::from_nano(Int128 value, Format format) {
  Quantity q;
  q.set(value);
  q.format_ = format;
  return q;
}

Result<Quantity> Quantity::parse(std::string_view text) {
  // Upstream's words: clients show them.
  constexpr const char* kForm = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
  Parts parts;
  if (!take_apart(text, parts)) return bad_request(kForm);
  Unit unit;
  if (!read_suffix(parts.suffix, unit)) return bad_request(looks_like_suffix(parts.suffix) ? "unable to parse quantity's suffix" : kForm);
  std::string digits = std::string(parts.whole) + std::string(parts.fraction);
  std::size_t zeros = std::min(digits.find_first_not_of('0'), digits.size());
  int places = static_cast<int>(parts.fraction.size());
  digits.erase(0, zeros);
  if (digits.empty()) return from_nano(0, unit.format);
  Int128 value = 0;
  if (unit.base == 2) {
    value = scale_binary(digits, unit.exponent, places);
    if (value < kNano) unit.format = Format::DecimalSI;
  } else if (!scale_decimal(digits, unit.exponent - places + 9, value)) {
    return bad_request("unable to parse numeric part of quantity");
  }
  return from_nano(parts.negative ? -value : value, unit.format);
}

Quantity Quantity::must_parse(std::string_view text) {
  auto q = parse(text);
  ONEBIN_ASSERT(q.is_ok());
  return *q;
}

std::string Quantity::to_string() const {
  Int128 v = nano();
  if (v == 0) return "0";
  bool small = v > -1024 * kNano && v < 1024 * kNano;
  if (format_ != Format::BinarySI || small || v % kNano != 0)
    return decimal_text(v, format_ == Format::BinarySI ? Format::DecimalSI : format_);
  v /= kNano;
  int exponent = 0;
  while (v % 1024 == 0 && exponent < 6) {
    v /= 1024;
    ++exponent;
  }
  static constexpr std::string_view kNames = " KMGTPE";
  std::string out = to_digits(v);
  if (exponent > 0) {
    out.push_back(kNames[static_cast<std::size_t>(exponent)]);
    out.push_back('i');
  }
  return out;
}

std::int64_t Quantity::value() const { return divided_up(nano(), kNano); }
std::int64_t Quantity::milli_value() const { return divided_up(nano(), kNano / 1000); }
double Quantity::as_double() const { return static_cast<double>(nano()) / 1e9; }

namespace {

// What no sum of real amounts reaches; amounts that only an attacker writes stay at it.
Int128 bounded_sum(Int128 a, Int128 b) {
  Int128 sum;
  if (__builtin_add_overflow(a, b, &sum)) sum = a < 0 ? -kMax : kMax;
  return std::clamp(sum, -kMax, kMax);
}

Int128 bounded_product(Int128 a, std::int64_t factor) {
  const Int128 f = factor < 0 ? -static_cast<Int128>(factor) : factor, magnitude = a < 0 ? -a : a;
  if (f != 0 && magnitude > kMax / f) return (a < 0) == (factor < 0) ? kMax : -kMax;
  return a * factor;
}

}  // namespace

Quantity& Quantity::operator+=(const Quantity& other) {
  if (is_zero()) format_ = other.format_;
  set(bounded_sum(nano(), other.nano()));
  return *this;
}

Quantity& Quantity::operator-=(const Quantity& other) {
  if (is_zero()) format_ = other.format_;
  set(bounded_sum(nano(), -other.nano()));
  return *this;
}

Quantity Quantity::operator-() const { return from_nano(-nano(), format_); }
Quantity Quantity::operator*(std::int64_t factor) const { return from_nano(bounded_product(nano(), factor), format_); }

Result<std::string> canonical_quantity(std::string_view text) {
  text = trimmed(text);
  ASSIGN_OR_RETURN(Quantity q, Quantity::parse(text));
  if (kept_as_written(text)) return std::string(text);
  return q.to_string();
}

}  // namespace onebin::apimachinery
