// Time: the steady clock that timers run on, and wall time as the API writes it.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace onebin {

using Duration = std::chrono::nanoseconds;
using namespace std::chrono_literals;

// Steady (monotonic) time; its zero has no meaning.
using SteadyTime = std::chrono::time_point<std::chrono::steady_clock, Duration>;
// Wall time since the Unix epoch, UTC.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

// Injected wherever the present is needed; nothing outside base, async and net reads a clock itself.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual SteadyTime now() const = 0;
  virtual WallTime wall() const = 0;
  std::int64_t unix_seconds() const { return std::chrono::duration_cast<std::chrono::seconds>(wall().time_since_epoch()).count(); }
};
Clock& system_clock();

// RFC 3339 in UTC. metav1.Time has second precision, metav1.MicroTime six decimals.
std::string format_rfc3339(WallTime t);
std::string format_rfc3339_micro(WallTime t);
std::string format_rfc3339_nano(WallTime t);                       // nine decimals; CRI log lines
std::optional<WallTime> parse_rfc3339(std::string_view text);      // any offset, any precision
inline WallTime from_unix(std::int64_t s) { return WallTime(std::chrono::seconds(s)); }

// Go's duration syntax: "1h30m", "250ms".
std::optional<Duration> parse_duration(std::string_view text);
std::string format_duration(Duration d);
// kubectl's AGE column: "5s", "3m20s", "2d3h".
std::string human_duration(Duration d);

}  // namespace onebin
