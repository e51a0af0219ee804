// CronSchedule: five fields ("30 4 * * mon-fri"), a descriptor ("@daily") or an interval ("@every 1h30m"), as CronJobs write
// them. Source: Kubernetes documentation, "CronJob"; fields, names and errors as in github.com/robfig/cron/v3.
#pragma once
#include <onebin/base/result.hpp>
#include <onebin/base/time.hpp>
#include <onebin/base/time_zone.hpp>

#include <cstdint>
#include <optional>
#include <string_view>

namespace onebin {

class CronSchedule {
 public:
  static Result<CronSchedule> parse(std::string_view text, TimeZone zone = {});  // BadRequest
  // The first time after `t`, on a whole second; none when there is none within five years ("0 0 30 2 *"). A local time that
  // a change of the clocks leaves out is skipped, one that comes twice counts twice.
  std::optional<WallTime> next(WallTime t) const;

 private:
  bool day_matches(std::int64_t local) const;
  std::uint64_t minute_ = 0, hour_ = 0, day_ = 0, month_ = 0, weekday_ = 0;
  bool any_day_ = false, any_weekday_ = false;
  Duration every_{0};
  TimeZone zone_;
};

}  // namespace onebin
