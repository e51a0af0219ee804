// Quantity: a fixed-point number with a suffix ("100m", "1536Mi", "2k"), as k8s.io/apimachinery/pkg/api/resource has it:
// steps of 1e-9, magnitude up to 2^63-1 and beyond for sums; parsing rounds what is finer up, away from zero.
#pragma once
#include <onebin/base/result.hpp>

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace onebin::apimachinery {

class Quantity {
 public:
  enum class Format : std::uint8_t { DecimalSI, BinarySI, DecimalExponent };
  __extension__ using Int128 = __int128;

  Quantity() = default;
  Quantity(std::int64_t value) : Quantity(from_units(value)) {}  // NOLINT: whole units
  static Quantity from_units(std::int64_t value, Format format = Format::DecimalSI);
  static Quantity from_milli(std::int64_t value, Format format = Format::DecimalSI);
  static Quantity from_nano(Int128 value, Format format = Format::DecimalSI);
  static Result<Quantity> parse(std::string_view text);  // BadRequest
  static Quantity must_parse(std::string_view text);     // for constants: asserts

  std::string to_string() const;       // canonical
  std::int64_t value() const;          // whole units, rounded up; saturates
  std::int64_t milli_value() const;    // thousandths, rounded up; saturates
  double as_double() const;
  Int128 nano() const { return (static_cast<Int128>(high_) << 64) | low_; }
  Format format() const { return format_; }
  bool is_zero() const { return high_ == 0 && low_ == 0; }
  int sign() const { return high_ < 0 ? -1 : is_zero() ? 0 : 1; }

  // As upstream's Add and Sub: the format is kept, but a zero takes the other's.
  Quantity& operator+=(const Quantity& other);
  Quantity& operator-=(const Quantity& other);
  friend Quantity operator+(Quantity a, const Quantity& b) { return a += b; }
  friend Quantity operator-(Quantity a, const Quantity& b) { return a -= b; }
  Quantity operator-() const;
  Quantity operator*(std::int64_t factor) const;
  // By value, not by format.
  friend bool operator==(const Quantity& a, const Quantity& b) { return a.high_ == b.high_ && a.low_ == b.low_; }
  friend std::strong_ordering operator<=>(const Quantity& a, const Quantity& b) {
    return a.high_ != b.high_ ? a.high_ <=> b.high_ : a.low_ <=> b.low_;
  }

 private:
  void set(Int128 value) { high_ = static_cast<std::int64_t>(value >> 64); low_ = static_cast<std::uint64_t>(value); }
  std::int64_t high_ = 0;  // two halves: an __int128 member would align every struct to 16
  std::uint64_t low_ = 0;
  Format format_ = Format::DecimalSI;
};

// The canonical form of a quantity's text; error as parse.
Result<std::string> canonical_quantity(std::string_view text);

}  // namespace onebin::apimachinery
