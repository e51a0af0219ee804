// The API's value types that JSON and protobuf write in their own ways: times, IntOrString.
#pragma once
#include <onebin/base/result.hpp>
#include <onebin/base/time.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace onebin::apimachinery {

// metav1.Time and metav1.MicroTime. Zero ("not set") is Go's zero time, the year 1. A Time field has second precision, a
// MicroTime field microseconds: the codecs cut what is finer.
class Time {
 public:
  Time() = default;
  Time(WallTime t);  // NOLINT: implicit, so that `status.start_time = clock.wall()` reads well
  static Time from_unix(std::int64_t seconds, std::int32_t nanos = 0) { return Time(seconds, nanos); }
  static Result<Time> parse(std::string_view text);  // RFC 3339, any offset and precision

  bool is_zero() const { return seconds_ == kZeroSeconds && nanos_ == 0; }
  explicit operator bool() const { return !is_zero(); }
  std::int64_t unix_seconds() const { return seconds_; }
  std::int32_t nanos() const { return nanos_; }
  WallTime wall() const;  // saturates at what WallTime holds (years 1677 to 2262)
  void reset() { *this = Time(); }

  std::string to_string() const;        // "2026-11-24T17:16:00Z"
  std::string to_micro_string() const;  // "2026-11-24T17:16:00.000000Z"

  friend bool operator==(const Time&, const Time&) = default;
  friend auto operator<=>(const Time&, const Time&) = default;

 private:
  Time(std::int64_t seconds, std::int32_t nanos) : seconds_(seconds), nanos_(nanos) {}
  static constexpr std::int64_t kZeroSeconds = -62135596800;
  std::int64_t seconds_ = kZeroSeconds;
  std::int32_t nanos_ = 0;
};

// A port or a count by number, or a name or a percentage by text.
struct IntOrString {
  IntOrString() = default;
  IntOrString(std::int32_t value) : int_value(value) {}                                      // NOLINT
  IntOrString(std::string value) : is_string(true), string_value(std::move(value)) {}        // NOLINT
  IntOrString(const char* value) : is_string(true), string_value(value) {}                   // NOLINT

  std::string to_string() const;  // the text, or the number's digits
  int to_int() const;             // the number, or the text's number; 0 when it is none
  // A count out of `total`, percentages scaled; BadRequest when the text is neither.
  Result<int> scaled(int total, bool round_up) const;

  bool is_string = false;
  std::int32_t int_value = 0;
  std::string string_value;

  friend bool operator==(const IntOrString&, const IntOrString&) = default;
};

}  // namespace onebin::apimachinery
