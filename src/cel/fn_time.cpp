// Parts of times, in UTC or a named or numbered zone, and of durations.
#include "cel/implementations.hpp"
#include "cel/text_forms.hpp"

#include <onebin/base/time_zone.hpp>

#include <charconv>

namespace onebin::cel::fn {
namespace {

Value bad_number(std::string_view t) { return Value::error("strconv.Atoi: parsing \"" + std::string(t) + "\": invalid syntax"); }

bool to_number(std::string_view t, int& out) {
  if (!t.empty() && t[0] == '+') t.remove_prefix(1);
  auto r = std::from_chars(t.data(), t.data() + t.size(), out);
  return r.ec == std::errc() && r.ptr == t.data() + t.size() && out > -100000 && out < 100000;
}

// Seconds east of UTC of a zone at a time; an error in `problem`.
bool offset_of(std::string_view zone, std::int64_t at, std::int64_t& offset, Value& problem) {
  std::size_t colon = zone.find(':');
  if (colon == std::string_view::npos) {
    Result<TimeZone> z = TimeZone::load(std::string(zone));
    if (!z) return problem = Value::error(z.status().message()), false;
    offset = z->offset_at(at);
    return true;
  }
  int hours = 0, minutes = 0;
  if (!to_number(zone.substr(0, colon), hours)) return problem = bad_number(zone.substr(0, colon)), false;
  if (!to_number(zone.substr(colon + 1), minutes)) return problem = bad_number(zone.substr(colon + 1)), false;
  offset = (zone[0] == '-' ? hours * 60 - minutes : hours * 60 + minutes) * std::int64_t{60};
  return true;
}

Value part(const CallSite& c, std::int64_t (*of)(const Civil&)) {
  std::int64_t offset = 0;
  Value problem;
  if (c.args.size() == 2 && !offset_of(c[1].text(), c[0].as_int(), offset, problem)) return problem;
  return Value::integer(of(civil_of(c[0].as_int() + offset)));
}

// Of a duration: how many units it has; of a time: its part.
Value part(const CallSite& c, std::int64_t unit, std::int64_t (*of)(const Civil&)) {
  if (c[0].is(ValueKind::Duration)) return Value::integer(c[0].as_int() / unit);
  return part(c, of);
}

}  // namespace

Value full_year(const CallSite& c) { return part(c, [](const Civil& t) { return t.year; }); }
Value month(const CallSite& c) { return part(c, [](const Civil& t) { return std::int64_t{t.month - 1}; }); }
Value day_of_year(const CallSite& c) { return part(c, [](const Civil& t) { return std::int64_t{t.day_of_year}; }); }
Value day_of_month(const CallSite& c) { return part(c, [](const Civil& t) { return std::int64_t{t.day - 1}; }); }
Value date(const CallSite& c) { return part(c, [](const Civil& t) { return std::int64_t{t.day}; }); }
Value day_of_week(const CallSite& c) { return part(c, [](const Civil& t) { return std::int64_t{t.day_of_week}; }); }
Value hours(const CallSite& c) { return part(c, 3'600'000'000'000, [](const Civil& t) { return std::int64_t{t.hour}; }); }
Value minutes(const CallSite& c) { return part(c, 60'000'000'000, [](const Civil& t) { return std::int64_t{t.minute}; }); }
Value seconds(const CallSite& c) { return part(c, 1'000'000'000, [](const Civil& t) { return std::int64_t{t.second}; }); }
Value milliseconds(const CallSite& c) {
  if (c[0].is(ValueKind::Duration)) return Value::integer(c[0].as_int() / 1'000'000);
  std::int64_t offset = 0;
  Value problem;
  if (c.args.size() == 2 && !offset_of(c[1].text(), c[0].as_int(), offset, problem)) return problem;
  return Value::integer(c[0].nanos() / 1'000'000);
}

}  // namespace onebin::cel::fn
