// How values are written and read as text, as Go does it: times, durations, numbers.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace onebin::cel {

inline constexpr std::int64_t kMinSeconds = -62135596800, kMaxSeconds = 253402300799;  // years 1 to 9999

struct Civil {
  std::int64_t year = 1970;
  int month = 1, day = 1, hour = 0, minute = 0, second = 0;  // month and day from 1
  int day_of_year = 0, day_of_week = 0;                      // from 0; Sunday is 0
};
Civil civil_of(std::int64_t seconds);
std::int64_t days_of(std::int64_t year, int month, int day);

// RFC 3339 with any fraction and offset. False when it is none.
bool parse_timestamp(std::string_view text, std::int64_t& seconds, std::int32_t& nanos, std::int16_t& offset_minutes);
std::string format_timestamp(std::int64_t seconds, std::int32_t nanos, std::int16_t offset_minutes);  // with as many digits of a fraction as it has
std::string format_seconds(std::int64_t nanoseconds);                    // "5400s", "0.001s"

// Go's %g and %f of a float64.
std::string format_g(double value);
std::string format_shortest(double value);  // decimal, without an exponent
bool parse_double(std::string_view text, double& out);

}  // namespace onebin::cel
