#include <onebin/base/time_zone.hpp>

#include <onebin/base/file.hpp>
#include <onebin/base/status.hpp>

#include <algorithm>
#include <chrono>
#include <cctype>
#include <cstdlib>

namespace onebin {
namespace {

constexpr std::int64_t kDay = 86400;
constexpr std::size_t kHeader = 44;

std::int64_t days_of(int year, unsigned month, unsigned day) {
  using namespace std::chrono;
  return sys_days(std::chrono::year(year) / std::chrono::month(month) / std::chrono::day(day)).time_since_epoch().count();
}
int year_of(std::int64_t local) {
  using namespace std::chrono;
  return static_cast<int>(year_month_day(floor<days>(sys_seconds(seconds(local)))).year());
}

std::int64_t big_endian(std::string_view s, std::size_t at, std::size_t size) {
  std::uint64_t v = static_cast<unsigned char>(s[at]) & 0x80 ? ~0ull : 0;
  for (std::size_t i = 0; i < size; ++i) v = (v << 8) | static_cast<unsigned char>(s[at + i]);
  return static_cast<std::int64_t>(v);
}

// Reads a POSIX TZ string from left to right.
struct Reader {
  std::string_view s;
  bool bad = false;
  char peek() const { return s.empty() ? '\0' : s[0]; }
  bool take(char c) {
    if (peek() != c) return false;
    s.remove_prefix(1);
    return true;
  }
  void name() {
    if (take('<')) {
      auto end = s.find('>');
      if (end == std::string_view::npos) bad = true;
      else s.remove_prefix(end + 1);
      return;
    }
    std::size_t n = 0;
    while (n < s.size() && std::isalpha(static_cast<unsigned char>(s[n]))) ++n;
    if (n < 3) bad = true;
    s.remove_prefix(n);
  }
  int number() {
    int v = 0;
    std::size_t n = 0;
    for (; n < s.size() && n < 4 && std::isdigit(static_cast<unsigned char>(s[n])); ++n) v = v * 10 + (s[n] - '0');
    if (n == 0) bad = true;
    s.remove_prefix(n);
    return v;
  }
  std::int64_t time() {
    bool minus = take('-');
    if (!minus) take('+');
    std::int64_t v = number() * 3600ll;
    if (take(':')) v += number() * 60ll;
    if (take(':')) v += number();
    return minus ? -v : v;
  }
};

bool name_ok(const std::string& name) {
  if (name.empty() || name[0] == '/' || name.find("..") != std::string::npos) return false;
  return std::all_of(name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '/' || c == '_' || c == '-' || c == '+'; });
}

}  // namespace

bool TimeZone::parse_rule(std::string_view text, Rule& rule) {
  Reader r{text};
  r.name();
  rule.standard = -r.time();
  rule.set = !r.bad;
  if (r.s.empty()) return !r.bad;
  r.name();
  rule.has_dst = true;
  rule.dst = rule.standard + 3600;
  if (r.peek() != ',') rule.dst = -r.time();
  for (Change* c : {&rule.start, &rule.end}) {
    if (!r.take(',')) return false;
    if (r.take('M')) {
      c->kind = 'M';
      c->month = r.number();
      r.bad = r.bad || !r.take('.');
      c->week = r.number();
      r.bad = r.bad || !r.take('.');
      c->day = r.number();
      if (c->month < 1 || c->month > 12 || c->week < 1 || c->week > 5 || c->day > 6) return false;
    } else {
      c->kind = r.take('J') ? 'J' : 'D';
      c->day = r.number();
    }
    c->time = r.take('/') ? r.time() : 7200;
  }
  return !r.bad && r.s.empty();
}

std::int64_t TimeZone::change_in(const Change& c, int year) {
  using namespace std::chrono;
  std::int64_t day = 0;
  if (c.kind == 'M') {
    unsigned m = static_cast<unsigned>(c.month);
    std::int64_t first = days_of(year, m, 1);
    int weekday_of_first = static_cast<int>(((first + 4) % 7 + 7) % 7);
    day = first + (c.day - weekday_of_first + 7) % 7 + (c.week - 1) * 7;
    std::int64_t next = c.month == 12 ? days_of(year + 1, 1, 1) : days_of(year, m + 1, 1);
    if (day >= next) day -= 7;  // week 5 is the last
  } else {
    day = days_of(year, 1, 1) + c.day - (c.kind == 'J' ? 1 : 0);
    if (c.kind == 'J' && std::chrono::year(year).is_leap() && c.day >= 60) ++day;
  }
  return day * kDay + c.time;
}

std::int64_t TimeZone::by_rule(std::int64_t t) const {
  if (!rule_.has_dst) return rule_.standard;
  int year = year_of(t + rule_.standard);
  std::int64_t start = change_in(rule_.start, year) - rule_.standard, end = change_in(rule_.end, year) - rule_.dst;
  bool dst = start < end ? t >= start && t < end : t >= start || t < end;
  return dst ? rule_.dst : rule_.standard;
}

std::int64_t TimeZone::offset_at(std::int64_t t) const {
  if (transitions_.empty() || t < transitions_.front()) return transitions_.empty() && rule_.set ? by_rule(t) : first_;
  if (t >= transitions_.back() && rule_.set) return by_rule(t);
  auto after = std::upper_bound(transitions_.begin(), transitions_.end(), t);
  return offsets_[static_cast<std::size_t>(after - transitions_.begin() - 1)];
}

Result<TimeZone> TimeZone::parse(std::string_view s) {
  auto bad = [] { return bad_request("not a time zone file"); };
  if (s.size() < kHeader || s.substr(0, 4) != "TZif") return bad();
  std::size_t at = 0, width = 4;
  std::int64_t n[6];  // isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt
  for (int pass = 0; pass < 2; ++pass) {
    if (s.size() < at + kHeader) return bad();
    for (std::size_t i = 0; i < 6; ++i) {
      n[i] = big_endian(s, at + 20 + 4 * i, 4);
      if (n[i] < 0 || n[i] > 100000) return bad();
    }
    bool second = s[4] >= '2' && pass == 0;
    if (!second) break;
    // The first block is for readers of 32 bits only.
    at += kHeader + static_cast<std::size_t>(n[3] * 5 + n[4] * 6 + n[5] + n[2] * 8 + n[1] + n[0]);
    width = 8;
  }
  at += kHeader;
  auto times = static_cast<std::size_t>(n[3]), types = static_cast<std::size_t>(n[4]);
  std::size_t body = times * (width + 1) + types * 6 + static_cast<std::size_t>(n[5]) + static_cast<std::size_t>(n[2]) * (width + 4) + static_cast<std::size_t>(n[1] + n[0]);
  if (types == 0 || s.size() < at + body) return bad();
  TimeZone z;
  std::size_t type_table = at + times * (width + 1);
  auto offset_of = [&](std::size_t type) { return big_endian(s, type_table + type * 6, 4); };
  z.first_ = offset_of(0);
  for (std::size_t i = 0; i < times; ++i) {
    auto type = static_cast<std::size_t>(static_cast<unsigned char>(s[at + times * width + i]));
    if (type >= types) return bad();
    z.transitions_.push_back(big_endian(s, at + i * width, width));
    z.offsets_.push_back(offset_of(type));
    if (i > 0 && z.transitions_[i] <= z.transitions_[i - 1]) return bad();
  }
  if (width == 8 && s.size() > at + body && s[at + body] == '\n') {
    std::string_view footer = s.substr(at + body + 1);
    footer = footer.substr(0, footer.find('\n'));
    if (!footer.empty() && !parse_rule(footer, z.rule_)) return bad();
  }
  return z;
}

Result<TimeZone> TimeZone::load(const std::string& name) {
  if (name.empty() || name == "UTC") return TimeZone();
  Status unknown(Reason::NotFound, "unknown time zone " + name);
  if (!name_ok(name)) return unknown;
  const char* dir = std::getenv("ZONEINFO");
  Result<std::string> bytes = read_file(std::string(dir && *dir ? dir : "/usr/share/zoneinfo") + "/" + name, 1u << 20);
  if (!bytes) return unknown;
  Result<TimeZone> z = parse(*bytes);
  return z ? std::move(z) : Result<TimeZone>(unknown);
}

}  // namespace onebin
