#include <onebin/base/cron.hpp>

#include <onebin/base/bytes.hpp>
#include <onebin/base/status.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <vector>

namespace onebin {
namespace {

struct Bounds {
  unsigned min, max;
  const char* names;  // of three letters each, from `min` on
};
constexpr Bounds kFields[] = {{0, 59, ""}, {0, 23, ""}, {1, 31, ""}, {1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"}, {0, 6, "sunmontuewedthufrisat"}};

std::uint64_t bits(unsigned from, unsigned to, unsigned step) {
  std::uint64_t out = 0;
  for (unsigned i = from; i <= to; i += step) out |= 1ull << i;
  return out;
}

Result<unsigned> number(std::string_view text) {
  std::string t(text);
  if (t.empty() || t.find_first_not_of("0123456789") != std::string::npos) {
    if (t.size() > 1 && t[0] == '-' && t.find_first_not_of("0123456789", 1) == std::string::npos)
      return bad_request("negative number (" + t + ") not allowed: " + t);
    return bad_request("failed to parse int from " + t + ": strconv.Atoi: parsing \"" + t + "\": invalid syntax");
  }
  if (t.size() > 9) return bad_request("failed to parse int from " + t + ": strconv.Atoi: parsing \"" + t + "\": value out of range");
  return static_cast<unsigned>(std::stoul(t));
}
Result<unsigned> number_or_name(std::string_view text, const Bounds& b) {
  std::string low = to_lower(std::string(text));
  std::string_view names = b.names;
  if (low.size() == 3)
    for (std::size_t i = 0; i + 3 <= names.size(); i += 3)
      if (names.substr(i, 3) == low) return b.min + static_cast<unsigned>(i / 3);
  return number(text);
}

// One of a field's comma-separated parts: "*", "5", "1-5", "*/15", "10-50/20".
Result<std::uint64_t> range(std::string_view part, const Bounds& b, bool& any) {
  const std::string expr(part);
  std::vector<std::string> steps = split(expr, '/'), ends = split(steps[0], '-');
  unsigned from = b.min, to = b.max, step = 1;
  bool star = ends[0] == "*" || ends[0] == "?";
  if (!star) {
    ASSIGN_OR_RETURN(from, number_or_name(ends[0], b));
    if (ends.size() > 2) return bad_request("too many hyphens: " + expr);
    to = from;
    if (ends.size() == 2) {
      ASSIGN_OR_RETURN(to, number_or_name(ends[1], b));
    }
  }
  if (steps.size() > 2) return bad_request("too many slashes: " + expr);
  if (steps.size() == 2) {
    ASSIGN_OR_RETURN(step, number(steps[1]));
    if (ends.size() == 1) to = b.max;
  }
  auto n = [](unsigned v) { return std::to_string(v); };
  if (from < b.min) return bad_request("beginning of range (" + n(from) + ") below minimum (" + n(b.min) + "): " + expr);
  if (to > b.max) return bad_request("end of range (" + n(to) + ") above maximum (" + n(b.max) + "): " + expr);
  if (from > to) return bad_request("beginning of range (" + n(from) + ") beyond end of range (" + n(to) + "): " + expr);
  if (step == 0) return bad_request("step of range should be a positive number: " + expr);
  if (star && step == 1) any = true;
  return bits(from, to, step);
}

// Civil fields of local seconds.
struct Civil {
  explicit Civil(std::int64_t local) {
    using namespace std::chrono;
    auto day_point = floor<days>(sys_seconds(seconds(local)));
    year_month_day d(day_point);
    year = static_cast<int>(d.year());
    month = static_cast<unsigned>(d.month());
    day = static_cast<unsigned>(d.day());
    weekday = std::chrono::weekday(day_point).c_encoding();
    std::int64_t rest = local - day_point.time_since_epoch().count() * 86400;
    hour = static_cast<unsigned>(rest / 3600);
    minute = static_cast<unsigned>(rest / 60 % 60);
  }
  int year = 0;
  unsigned month = 0, day = 0, weekday = 0, hour = 0, minute = 0;
};
std::int64_t midnight(int year, unsigned month, unsigned day) {
  using namespace std::chrono;
  return sys_days(std::chrono::year(year) / std::chrono::month(month) / std::chrono::day(day)).time_since_epoch().count() * 86400;
}

}  // namespace

Result<CronSchedule> CronSchedule::parse(std::string_view text, TimeZone zone) {
  CronSchedule out;
  out.zone_ = std::move(zone);
  std::string spec(text);
  std::replace(spec.begin(), spec.end(), '\t', ' ');
  if (spec.empty()) return bad_request("empty spec string");
  if (spec.starts_with("TZ=") || spec.starts_with("CRON_TZ=")) {
    std::size_t equals = spec.find('='), space = std::min(spec.find(' '), spec.size());
    std::string name = spec.substr(equals + 1, space - equals - 1);
    Result<TimeZone> named = TimeZone::load(name);
    if (!named) return bad_request("provided bad location " + name + ": " + std::string(named.status().message()));
    out.zone_ = std::move(*named);
    spec = std::string(trim(std::string_view(spec).substr(space)));
    if (spec.empty()) return bad_request("expected exactly 5 fields, found 0: []");
  }
  if (spec[0] == '@') {
    static constexpr std::array<std::pair<const char*, const char*>, 7> kKnown = {{{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
        {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"}, {"@midnight", "0 0 * * *"}, {"@hourly", "0 * * * *"}}};
    for (const auto& [name, fields] : kKnown)
      if (spec == name) return parse(fields, std::move(out.zone_));
    if (!spec.starts_with("@every ")) return bad_request("unrecognized descriptor: " + spec);
    std::string interval = spec.substr(7);
    auto d = parse_duration(interval);
    if (!d) return bad_request("failed to parse duration " + spec + ": time: invalid duration \"" + interval + "\"");
    out.every_ = std::max<Duration>(1s, std::chrono::floor<std::chrono::seconds>(*d));
    return out;
  }
  std::vector<std::string> fields;
  for (auto& f : split(spec, ' '))
    if (!f.empty()) fields.push_back(std::move(f));
  if (fields.size() != 5) {
    std::string all;
    for (const auto& f : fields) all += (all.empty() ? "" : " ") + f;
    return bad_request("expected exactly 5 fields, found " + std::to_string(fields.size()) + ": [" + all + "]");
  }
  std::uint64_t* to[] = {&out.minute_, &out.hour_, &out.day_, &out.month_, &out.weekday_};
  bool ignored = false;
  bool* any[] = {&ignored, &ignored, &out.any_day_, &ignored, &out.any_weekday_};
  for (std::size_t i = 0; i < 5; ++i)
    for (const auto& part : split(fields[i], ',')) {
      if (part.empty()) continue;
      ASSIGN_OR_RETURN(std::uint64_t b, range(part, kFields[i], *any[i]));
      *to[i] |= b;
    }
  return out;
}

bool CronSchedule::day_matches(std::int64_t local) const {
  Civil c(local);
  bool day = (day_ >> c.day) & 1, weekday = (weekday_ >> c.weekday) & 1;
  // Where both are restricted, either will do.
  return any_day_ || any_weekday_ ? day && weekday : day || weekday;
}

std::optional<WallTime> CronSchedule::next(WallTime after) const {
  if (every_.count()) return std::chrono::floor<std::chrono::seconds>(after) + every_;
  std::int64_t t = std::chrono::floor<std::chrono::minutes>(after).time_since_epoch().count() * 60 + 60;
  const int last_year = Civil(t + zone_.offset_at(t)).year + 5;
  // The instant at which a local midnight comes; an hour later where the clocks skip it.
  auto instant = [&](std::int64_t local) {
    std::int64_t u = local - zone_.offset_at(local - zone_.offset_at(local));
    while (u + zone_.offset_at(u) < local) u += 1800;
    return u;
  };
  for (;;) {
    std::int64_t local = t + zone_.offset_at(t);
    Civil c(local);
    if (c.year > last_year) return std::nullopt;
    if (!((month_ >> c.month) & 1)) {
      t = c.month == 12 ? instant(midnight(c.year + 1, 1, 1)) : instant(midnight(c.year, c.month + 1, 1));
    } else if (!day_matches(local)) {
      t = std::max(t + 60, instant(midnight(c.year, c.month, c.day) + 86400));
    } else if (!((hour_ >> c.hour) & 1)) {
      t += (60 - c.minute) * 60;
    } else if (!((minute_ >> c.minute) & 1)) {
      t += 60;
    } else {
      return from_unix(t);
    }
  }
}

}  // namespace onebin
