// TimeZone: a zone of the system's tz database (RFC 8536 files below /usr/share/zoneinfo, or $ZONEINFO), for schedules.
#pragma once
#include <onebin/base/result.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace onebin {

class TimeZone {
 public:
  TimeZone() = default;  // UTC
  // "Europe/Vienna"; "" and "UTC" need no database. NotFound: "unknown time zone X".
  static Result<TimeZone> load(const std::string& name);
  // The bytes of a file of the database. BadRequest when they are none.
  static Result<TimeZone> parse(std::string_view tzif);

  // Seconds east of UTC at a Unix time.
  std::int64_t offset_at(std::int64_t unix_seconds) const;

 private:
  // A POSIX TZ rule ("CET-1CEST,M3.5.0,M10.5.0/3"), which holds after the last transition.
  struct Change {
    char kind = 'M';  // 'M' month.week.day, 'J' day without leap days, 'D' day with them
    int month = 0, week = 0, day = 0;
    std::int64_t time = 7200;
  };
  struct Rule {
    bool set = false, has_dst = false;
    std::int64_t standard = 0, dst = 0;
    Change start, end;
  };
  static bool parse_rule(std::string_view text, Rule& rule);
  static std::int64_t change_in(const Change& c, int year);  // local seconds since the epoch
  std::int64_t by_rule(std::int64_t t) const;

  std::vector<std::int64_t> transitions_;  // ascending
  std::vector<std::int64_t> offsets_;      // from each transition on
  std::int64_t first_ = 0;                 // before the first transition
  Rule rule_;
};

}  // namespace onebin
