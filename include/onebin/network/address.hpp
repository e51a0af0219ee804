// Internet addresses, prefixes and link-layer addresses as values. IPv4 and IPv6 alike; an IPv4-mapped IPv6 address
// is kept as what it is written as.
#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::network {

class Ip {
 public:
  Ip() = default;  // "none": is_valid() is false
  static std::optional<Ip> parse(std::string_view text);
  static Ip v4(std::uint32_t host_order);
  static Ip from_bytes(std::string_view network_order);  // 4 or 16 bytes; otherwise none
  bool is_valid() const { return size_ != 0; }
  bool is_v4() const { return size_ == 4; }
  bool is_v6() const { return size_ == 16; }
  bool is_loopback() const;
  bool is_unspecified() const;
  bool is_link_local() const;
  bool is_multicast() const;
  std::string bytes() const { return std::string(reinterpret_cast<const char*>(bytes_.data()), size_); }
  int bits() const { return size_ * 8; }
  std::string to_string() const;  // RFC 5952; "" for none
  // The address `offset` above this one; none when it would overflow.
  Ip plus(std::uint64_t offset) const;
  auto operator<=>(const Ip&) const = default;

 private:
  std::uint8_t size_ = 0;
  std::array<std::uint8_t, 16> bytes_{};
};

struct Prefix {
  Ip ip;  // host bits are zero
  int length = 0;
  static std::optional<Prefix> parse(std::string_view text);  // "10.42.1.0/24"; host bits are cleared
  static Prefix host(const Ip& ip) { return {ip, ip.bits()}; }
  bool contains(const Ip& a) const;
  bool is_v4() const { return ip.is_v4(); }
  std::uint64_t size() const;  // number of addresses, at most 2^63
  std::string to_string() const;
  auto operator<=>(const Prefix&) const = default;
};

struct Mac {
  std::array<std::uint8_t, 6> bytes{};
  static std::optional<Mac> parse(std::string_view text);
  // A locally administered unicast address that every node computes alike from the same text.
  static Mac derived(std::string_view text);
  std::string to_string() const;
  auto operator<=>(const Mac&) const = default;
};

}  // namespace onebin::network
