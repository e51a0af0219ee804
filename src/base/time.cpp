#include <onebin/base/time.hpp>

#include <array>
#include <cstdio>
#include <ctime>

namespace onebin {
namespace {

class SystemClock final : public Clock {
 public:
  SteadyTime now() const override { return std::chrono::steady_clock::now(); }
  WallTime wall() const override { return std::chrono::system_clock::now(); }
};

std::string format_with(WallTime t, int digits) {
  using namespace std::chrono;
  auto secs = floor<seconds>(t);
  auto day = floor<days>(secs);
  year_month_day ymd(day);
  hh_mm_ss hms(secs - day);
  char text[64];
  int n = std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d", static_cast<int>(ymd.year()),
                        static_cast<unsigned>(ymd.month()), static_cast<unsigned>(ymd.day()),
                        static_cast<int>(hms.hours().count()), static_cast<int>(hms.minutes().count()),
                        static_cast<int>(hms.seconds().count()));
  std::string out(text, n);
  if (digits > 0) {
    long long frac = (t - secs).count();
    for (int i = 9; i > digits; --i) frac /= 10;
    n = std::snprintf(text, sizeof text, ".%0*lld", digits, frac);
    out.append(text, n);
  }
  out.push_back('Z');
  return out;
}

bool number(std::string_view s, std::size_t at, std::size_t len, int& out) {
  if (at + len > s.size()) return false;
  out = 0;
  for (std::size_t i = at; i < at + len; ++i) {
    if (s[i] < '0' || s[i] > '9') return false;
    out = out * 10 + (s[i] - '0');
  }
  return true;
}

}  // namespace

Clock& system_clock() {
  static SystemClock clock;
  return clock;
}

std::string format_rfc3339(WallTime t) { return format_with(t, 0); }
std::string format_rfc3339_micro(WallTime t) { return format_with(t, 6); }
std::string format_rfc3339_nano(WallTime t) { return format_with(t, 9); }

std::optional<WallTime> parse_rfc3339(std::string_view s) {
  using namespace std::chrono;
  int y, mo, d, h, mi, se;
  if (s.size() < 20 || !number(s, 0, 4, y) || s[4] != '-' || !number(s, 5, 2, mo) || s[7] != '-' || !number(s, 8, 2, d) ||
      (s[10] != 'T' && s[10] != 't') || !number(s, 11, 2, h) || s[13] != ':' || !number(s, 14, 2, mi) || s[16] != ':' ||
      !number(s, 17, 2, se))
    return std::nullopt;
  const year_month_day ymd{year{y}, month{static_cast<unsigned>(mo)}, day{static_cast<unsigned>(d)}};
  if (!ymd.ok() || h > 23 || mi > 59 || se > 59) return std::nullopt;
  std::size_t i = 19;
  long long nanos = 0;
  if (s[i] == '.' || s[i] == ',') {
    long long scale = 100000000;
    std::size_t start = ++i;
    for (; i < s.size() && s[i] >= '0' && s[i] <= '9'; ++i) {
      nanos += (s[i] - '0') * scale;
      scale /= 10;
    }
    if (i == start) return std::nullopt;
  }
  if (i >= s.size()) return std::nullopt;
  int offset = 0;
  if (s[i] == 'Z' || s[i] == 'z') {
    ++i;
  } else {
    int oh, om;
    if ((s[i] != '+' && s[i] != '-') || !number(s, i + 1, 2, oh) || i + 3 >= s.size() || s[i + 3] != ':' || !number(s, i + 4, 2, om) || oh > 23 || om > 59)
      return std::nullopt;
    offset = (oh * 60 + om) * (s[i] == '-' ? -60 : 60);
    i += 6;
  }
  if (i != s.size()) return std::nullopt;
  constexpr std::int64_t kLimit = 9223372035;  // seconds that nanoseconds in 64 bits hold
  std::int64_t at = sys_days(ymd).time_since_epoch().count() * std::int64_t{86400} + h * 3600 + mi * 60 + se - offset;
  if (at > kLimit || at < -kLimit) return WallTime(seconds(at > 0 ? kLimit : -kLimit));
  return WallTime(seconds(at) + nanoseconds(nanos));
}

std::optional<Duration> parse_duration(std::string_view s) {
  bool negative = false;
  if (!s.empty() && (s[0] == '-' || s[0] == '+')) {
    negative = s[0] == '-';
    s.remove_prefix(1);
  }
  if (s == "0") return Duration(0);
  if (s.empty()) return std::nullopt;
  double total = 0;
  while (!s.empty()) {
    double value = 0, scale = 1;
    std::size_t i = 0;
    bool digits = false, dot = false;
    for (; i < s.size() && ((s[i] >= '0' && s[i] <= '9') || (s[i] == '.' && !dot)); ++i) {
      if (s[i] == '.') { dot = true; continue; }
      digits = true;
      if (dot) value += (s[i] - '0') * (scale /= 10);
      else value = value * 10 + (s[i] - '0');
    }
    if (!digits) return std::nullopt;
    s.remove_prefix(i);
    static constexpr std::array<std::pair<std::string_view, double>, 8> units{{{"ns", 1}, {"us", 1e3}, {"\xc2\xb5s", 1e3}, {"\xce\xbcs", 1e3},
        {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}}};
    bool found = false;
    for (const auto& [name, ns] : units)
      if (s.substr(0, name.size()) == name) {
        total += value * ns;
        s.remove_prefix(name.size());
        found = true;
        break;
      }
    if (!found) return std::nullopt;
  }
  if (total > 9.2e18) return std::nullopt;
  return Duration(static_cast<std::int64_t>(negative ? -total : total));
}

std::string format_duration(Duration d) {
  if (d.count() == 0) return "0s";
  std::string out;
  auto ns = d.count();
  if (ns < 0) { out = "-"; ns = -ns; }
  char text[48];
  auto trimmed = [&](double v, const char* unit) {
    std::snprintf(text, sizeof text, "%.9f", v);
    std::string t = text;
    while (t.back() == '0') t.pop_back();
    if (t.back() == '.') t.pop_back();
    return t + unit;
  };
  if (ns < 1000) return out + std::to_string(ns) + "ns";
  if (ns < 1000000) return out + trimmed(ns / 1e3, "\xc2\xb5s");
  if (ns < 1000000000) return out + trimmed(ns / 1e6, "ms");
  auto h = ns / 3600000000000, m = ns / 60000000000 % 60;
  if (h) out += std::to_string(h) + "h";
  if (h || m) out += std::to_string(m) + "m";
  return out + trimmed((ns % 60000000000) / 1e9, "s");
}

std::string human_duration(Duration d) {
  // The thresholds of kubectl's AGE column: two units while the larger one is small.
  auto s = std::chrono::duration_cast<std::chrono::seconds>(d).count();
  auto n = [](long long v, const char* u) { return std::to_string(v) + u; };
  auto two = [&](long long a, const char* ua, long long b, const char* ub) { return b ? n(a, ua) + n(b, ub) : n(a, ua); };
  if (s < -1) return "<invalid>";
  if (s < 0) return "0s";
  if (s < 120) return n(s, "s");
  auto m = s / 60;
  if (m < 10) return two(m, "m", s % 60, "s");
  if (m < 180) return n(m, "m");
  auto h = s / 3600;
  if (h < 8) return two(h, "h", m % 60, "m");
  if (h < 48) return n(h, "h");
  if (h < 192) return two(h / 24, "d", h % 24, "h");
  if (h < 24 * 365 * 2) return n(h / 24, "d");
  if (h < 24 * 365 * 8) return two(h / 24 / 365, "y", h / 24 % 365, "d");
  return n(h / 24 / 365, "y");
}

}  // namespace onebin
