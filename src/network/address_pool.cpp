#include "network/address_pool.hpp"

#include <algorithm>

namespace onebin::network {

// The distance of two addresses of one range, in its low 64 bits.
static std::uint64_t offset_of(const Ip& ip, const Ip& base) {
  auto low = [](const Ip& a) {
    std::uint64_t v = 0;
    for (char c : a.bytes()) v = v << 8 | static_cast<std::uint8_t>(c);
    return v;
  };
  return low(ip) - low(base);
}

bool AddressPool::reserve(const Ip& ip) {
  if (!taken_.insert(ip).second) return false;
  // Turns continue behind the highest address in use after a restart, not at the range's start.
  if (range_.contains(ip)) next_ = std::max(next_, offset_of(ip, range_.ip) + 1);
  return true;
}

Ip AddressPool::take() {
  std::uint64_t size = range_.size();
  std::uint64_t end = range_.is_v4() ? size - 1 : size;  // exclusive
  if (size < 3 || taken_.size() >= end) return {};
  // Among taken + 1 consecutive offsets at least one is free.
  for (std::uint64_t tries = 0; tries < std::min(end, taken_.size() + 2); ++tries) {
    if (next_ == 0 || next_ >= end) next_ = 1;
    Ip ip = range_.ip.plus(next_++);
    if (taken_.insert(ip).second) return ip;
  }
  return {};
}

}  // namespace onebin::network
