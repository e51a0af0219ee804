#include "cel/text_forms.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace onebin::cel {
namespace {

bool digits(std::string_view text, std::size_t at, std::size_t count, int& out) {
  if (at + count > text.size()) return false;
  out = 0;
  for (std::size_t i = at; i < at + count; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    out = out * 10 + (text[i] - '0');
  }
  return true;
}

bool leap(std::int64_t y) { return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0); }
int month_length(std::int64_t y, int m) {
  static constexpr std::array<int, 12> kDays{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return kDays[static_cast<std::size_t>(m) - 1] + (m == 2 && leap(y) ? 1 : 0);
}

// Seconds of an offset "Z", "+01:00"; moves past it.
bool read_offset(std::string_view text, std::size_t& i, std::int64_t& offset) {
  offset = 0;
  if (i < text.size() && text[i] == 'Z') return ++i, true;
  int hours = 0, minutes = 0;
  if (i >= text.size() || (text[i] != '+' && text[i] != '-') || !digits(text, i + 1, 2, hours) || i + 3 >= text.size() || text[i + 3] != ':' ||
      !digits(text, i + 4, 2, minutes) || hours > 24 || minutes >= 60)
    return false;
  offset = (hours * 60 + minutes) * 60 * (text[i] == '-' ? -1 : 1);
  i += 6;
  return true;
}

std::string pad(std::int64_t value, std::size_t width) {
  std::string s = std::to_string(value);
  return s.size() < width ? std::string(width - s.size(), '0') + s : s;
}

}  // namespace

// Days since the epoch of the proleptic Gregorian calendar, counted in eras of 400 years that begin in March.
std::int64_t days_of(std::int64_t y, int m, int d) {
  y -= m <= 2;
  std::int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
  std::int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1, doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + doe - 719468;
}

Civil civil_of(std::int64_t seconds) {
  std::int64_t days = seconds / 86400, rest = seconds % 86400;
  if (rest < 0) rest += 86400, --days;
  Civil c;
  c.hour = static_cast<int>(rest / 3600), c.minute = static_cast<int>(rest / 60 % 60), c.second = static_cast<int>(rest % 60);
  c.day_of_week = static_cast<int>(((days + 4) % 7 + 7) % 7);
  std::int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
  std::int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  std::int64_t mp = (5 * doy + 2) / 153;
  c.day = static_cast<int>(doy - (153 * mp + 2) / 5 + 1);
  c.month = static_cast<int>(mp < 10 ? mp + 3 : mp - 9);
  c.year = yoe + era * 400 + (c.month <= 2);
  c.day_of_year = static_cast<int>(days - days_of(c.year, 1, 1));
  return c;
}

bool parse_timestamp(std::string_view t, std::int64_t& seconds, std::int32_t& nanos, std::int16_t& offset_minutes) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (!digits(t, 0, 4, year) || !digits(t, 5, 2, month) || !digits(t, 8, 2, day) || !digits(t, 11, 2, hour) || !digits(t, 14, 2, minute) ||
      !digits(t, 17, 2, second) || t[4] != '-' || t[7] != '-' || t[10] != 'T' || t[13] != ':' || t[16] != ':')
    return false;
  if (month < 1 || month > 12 || day < 1 || day > month_length(year, month) || hour > 23 || minute > 59 || second > 59) return false;
  std::size_t i = 19;
  nanos = 0;
  if (i < t.size() && (t[i] == '.' || t[i] == ',')) {
    std::size_t begin = ++i;
    for (std::int32_t unit = 100'000'000; i < t.size() && t[i] >= '0' && t[i] <= '9'; ++i, unit /= 10) nanos += (t[i] - '0') * unit;
    if (i == begin) return false;
  }
  std::int64_t offset = 0;
  if (!read_offset(t, i, offset) || i != t.size()) return false;
  seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
  offset_minutes = static_cast<std::int16_t>(offset / 60);
  return true;
}

std::string format_timestamp(std::int64_t seconds, std::int32_t nanos, std::int16_t offset) {
  Civil c = civil_of(seconds + offset * 60);
  std::string out = pad(c.year, 4) + "-" + pad(c.month, 2) + "-" + pad(c.day, 2) + "T" + pad(c.hour, 2) + ":" + pad(c.minute, 2) + ":" +
                    pad(c.second, 2);
  if (nanos) {
    std::string fraction = pad(nanos, 9);
    fraction.erase(fraction.find_last_not_of('0') + 1);
    out += "." + fraction;
  }
  if (offset == 0) return out + "Z";
  int minutes = offset < 0 ? -offset : offset;
  return out + (offset < 0 ? "-" : "+") + pad(minutes / 60, 2) + ":" + pad(minutes % 60, 2);
}

std::string format_seconds(std::int64_t ns) {
  // As Go's Duration.Seconds(): whole seconds and the rest, added as doubles.
  double value = static_cast<double>(ns / 1'000'000'000) + static_cast<double>(ns % 1'000'000'000) / 1e9;
  return format_shortest(value) + "s";
}

std::string format_shortest(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Inf" : "+Inf";
  std::array<char, 400> b;
  auto r = std::to_chars(b.data(), b.data() + b.size(), value, std::chars_format::fixed);
  return {b.data(), r.ptr};
}

std::string format_g(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Inf" : "+Inf";
  std::array<char, 64> b;
  auto r = std::to_chars(b.data(), b.data() + b.size(), value, std::chars_format::scientific);
  std::string s(b.data(), r.ptr);
  std::size_t e = s.find('e');
  int exponent = std::atoi(s.c_str() + e + 1);
  // An exponent is written where there are more than six digits before the point, or four zeros after it.
  if (exponent >= -4 && exponent < 6) return format_shortest(value);
  return s;
}

bool parse_double(std::string_view text, double& out) {
  if (text.empty() || text.size() > 4096) return false;
  std::string_view rest = text;
  bool negative = rest[0] == '-';
  if (rest[0] == '-' || rest[0] == '+') rest.remove_prefix(1);
  std::string lower;
  for (char c : rest) lower += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  if (lower == "inf" || lower == "infinity") return out = negative ? -INFINITY : INFINITY, true;
  if (lower == "nan" && rest.size() == text.size()) return out = NAN, true;
  if (lower.empty() || !((lower[0] >= '0' && lower[0] <= '9') || lower[0] == '.')) return false;
  const char *b = lower.data(), *end = b + lower.size();
  bool hex = lower.size() > 2 && lower[0] == '0' && lower[1] == 'x';
  if (hex && lower.find('p') == std::string::npos) return false;
  auto r = std::from_chars(hex ? b + 2 : b, end, out, hex ? std::chars_format::hex : std::chars_format::general);
  if (r.ec != std::errc() || r.ptr != end) return false;
  if (negative) out = -out;
  return true;
}

}  // namespace onebin::cel
