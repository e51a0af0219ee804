// AddressPool: the addresses of one pod range. Pure.
#pragma once
#include <onebin/network/address.hpp>

#include <set>

namespace onebin::network {

// Addresses are given in turn, so that one that was just freed is the last to come back: peers and connection tracking
// may still remember it. The first address (the node's own in the overlay) and IPv4's last (broadcast) are kept.
class AddressPool {
 public:
  explicit AddressPool(Prefix range) : range_(range) {}
  const Prefix& range() const { return range_; }
  Ip take();                 // none when all are taken
  bool reserve(const Ip& ip);  // false when it is taken; OK for addresses of other ranges, which are merely remembered
  void release(const Ip& ip) { taken_.erase(ip); }
  std::size_t taken() const { return taken_.size(); }

 private:
  Prefix range_;
  std::uint64_t next_ = 1;
  std::set<Ip> taken_;
};

}  // namespace onebin::network
