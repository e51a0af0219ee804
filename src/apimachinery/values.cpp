#include <onebin/apimachinery/values.hpp>

#include <onebin/apimachinery/field_error.hpp>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace onebin::apimachinery {
namespace {

// Days since 1970-01-01 of a date of the proleptic Gregorian calendar, and back (H. Hinnant's algorithm).
std::int64_t days_from_civil(std::int64_t y, int m, int d) {
  y -= m <= 2;
  std::int64_t era = (y >= 0 ? y : y - 399) / 400;
  std::int64_t yoe = y - era * 400;
  std::int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
  return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

struct Civil {
  std::int64_t year;
  int month, day, hour, minute, second;
};

Civil civil_from_unix(std::int64_t seconds) {
  std::int64_t days = seconds / 86400, rest = seconds % 86400;
  if (rest < 0) {
    rest += 86400;
    --days;
  }
  days += 719468;
  std::int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  std::int64_t doe = days - era * 146097;
  std::int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  std::int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  int mp = static_cast<int>((5 * doy + 2) / 153);
  int month = mp < 10 ? mp + 3 : mp - 9;
  Civil c{yoe + era * 400 + (month <= 2), month, static_cast<int>(doy - (153 * mp + 2) / 5 + 1), 0, 0, 0};
  c.hour = static_cast<int>(rest / 3600);
  c.minute = static_cast<int>(rest / 60 % 60);
  c.second = static_cast<int>(rest % 60);
  return c;
}

int days_in_month(std::int64_t year, int month) {
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : kDays[month - 1];
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}
  bool number(int digits, int& out) {
    if (text_.size() < static_cast<std::size_t>(digits)) return false;
    out = 0;
    for (int i = 0; i < digits; ++i) {
      char c = text_[static_cast<std::size_t>(i)];
      if (c < '0' || c > '9') return false;
      out = out * 10 + (c - '0');
    }
    text_.remove_prefix(static_cast<std::size_t>(digits));
    return true;
  }
  bool one(char c) {
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool fraction(std::int32_t& nanos) {
    std::int32_t unit = 100000000;
    bool any = false;
    while (!text_.empty() && text_.front() >= '0' && text_.front() <= '9') {
      nanos += unit * (text_.front() - '0');
      unit /= 10;
      any = true;
      text_.remove_prefix(1);
    }
    return any;
  }
  bool at_end() const { return text_.empty(); }
  std::string_view rest() const { return text_; }

 private:
  std::string_view text_;
};

// By digits and not by printf: a list of pods writes tens of thousands. Years are 0 to 9999, which is what RFC 3339 can say.
std::string format(const Civil& c, std::string_view rest) {
  char out[48] = "0000-00-00T00:00:00";
  auto two = [&](int at, int v) {
    out[at] = static_cast<char>('0' + v / 10);
    out[at + 1] = static_cast<char>('0' + v % 10);
  };
  const int year = static_cast<int>(std::clamp<std::int64_t>(c.year, 0, 9999));
  two(0, year / 100);
  two(2, year % 100);
  two(5, c.month);
  two(8, c.day);
  two(11, c.hour);
  two(14, c.minute);
  two(17, c.second);
  std::memcpy(out + 19, rest.data(), rest.size());
  return {out, 19 + rest.size()};
}

}  // namespace

Time::Time(WallTime t) {
  auto ns = t.time_since_epoch().count();
  seconds_ = ns / 1000000000;
  nanos_ = static_cast<std::int32_t>(ns % 1000000000);
  if (nanos_ < 0) {
    nanos_ += 1000000000;
    --seconds_;
  }
}

// What Go's time.Parse says of a text that is no time of the layout.
Result<Time> Time::parse(std::string_view text) {
  std::string head = "parsing time " + go_quote(text.substr(0, 64)) + " as \"2006-01-02T15:04:05Z07:00\": cannot parse ";
  Scanner s(text);
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, zone_hour = 0, zone_minute = 0;
  std::int32_t nanos = 0;
  auto cannot = [&](std::string_view part) { return bad_request(head + go_quote(s.rest()) + " as " + go_quote(part)); };
  struct Step {
    int digits;
    int* into;
    std::string_view part;
  };
  const Step steps[] = {{4, &year, "2006"}, {0, nullptr, "-"}, {2, &month, "01"}, {0, nullptr, "-"}, {2, &day, "02"}, {0, nullptr, "T"},
                        {2, &hour, "15"}, {0, nullptr, ":"}, {2, &minute, "04"}, {0, nullptr, ":"}, {2, &second, "05"}};
  for (const Step& step : steps)
    if (step.into ? !s.number(step.digits, *step.into) : !s.one(step.part[0])) return cannot(step.part);
  auto out_of_range = [&](const char* what) { return bad_request("parsing time " + go_quote(text.substr(0, 64)) + ": " + what + " out of range"); };
  if (month < 1 || month > 12) return out_of_range("month");
  if (hour > 23) return out_of_range("hour");
  if (minute > 59) return out_of_range("minute");
  if (second > 59) return out_of_range("second");
  if (s.one('.') && !s.fraction(nanos)) return cannot("Z07:00");
  std::int64_t offset = 0;
  if (!s.one('Z')) {
    std::string_view zone = s.rest();
    bool plus = s.one('+');
    bool good = (plus || s.one('-')) && s.number(2, zone_hour) && s.one(':') && s.number(2, zone_minute) && zone_hour < 24 && zone_minute < 60;
    if (!good) return bad_request(head + go_quote(zone) + " as \"Z07:00\"");
    offset = (plus ? 1 : -1) * (zone_hour * 3600 + zone_minute * 60);
  }
  if (!s.at_end()) return bad_request("parsing time " + go_quote(text.substr(0, 64)) + ": extra text: " + go_quote(s.rest()));
  if (day < 1 || day > days_in_month(year, month)) return out_of_range("day");
  return Time(days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset, nanos);
}

WallTime Time::wall() const {
  constexpr std::int64_t kLimit = 9223372035;  // seconds that nanoseconds in 64 bits hold
  if (seconds_ > kLimit) return WallTime(Duration(std::chrono::seconds(kLimit)));
  if (seconds_ < -kLimit) return WallTime(Duration(std::chrono::seconds(-kLimit)));
  return WallTime(Duration(std::chrono::seconds(seconds_)) + Duration(nanos_));
}

std::string Time::to_string() const { return format(civil_from_unix(seconds_), "Z"); }

std::string Time::to_micro_string() const {
  char fraction[] = ".000000Z";
  for (int i = 6, v = nanos_ / 1000; i > 0; --i, v /= 10) fraction[i] = static_cast<char>('0' + v % 10);
  return format(civil_from_unix(seconds_), fraction);
}

std::string IntOrString::to_string() const { return is_string ? string_value : std::to_string(int_value); }

int IntOrString::to_int() const {
  if (!is_string) return int_value;
  int value = 0;
  auto [end, error] = std::from_chars(string_value.data(), string_value.data() + string_value.size(), value);
  return error == std::errc() && end == string_value.data() + string_value.size() ? value : 0;
}

Result<int> IntOrString::scaled(int total, bool round_up) const {
  if (!is_string) return int_value;
  std::string_view text = string_value;
  int percent = 0;
  bool good = text.size() > 1 && text.back() == '%';
  if (good) {
    text.remove_suffix(1);
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), percent);
    good = error == std::errc() && end == text.data() + text.size();
  }
  if (!good) return bad_request("\"" + string_value + "\": a number or a percentage is expected");
  std::int64_t product = static_cast<std::int64_t>(percent) * total;
  std::int64_t floor = product / 100 - (product % 100 < 0 ? 1 : 0);
  if (round_up && product % 100 != 0) ++floor;
  return static_cast<int>(floor);
}

}  // namespace onebin::apimachinery
