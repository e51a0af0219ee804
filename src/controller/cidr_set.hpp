// The ranges of one address family that nodes can get: fixed-size parts of the cluster's range.
#pragma once
#include <array>
#include <optional>
#include <set>
#include <string>

namespace onebin::controller {

class CidrSet {
 public:
  // None when `cidr` is malformed. At most 65536 parts.
  static std::optional<CidrSet> make(const std::string& cidr, int node_mask);
  std::optional<std::string> allocate();  // the next free one; none when all are taken
  void occupy(const std::string& cidr) { used_.insert(cidr); }
  void release(const std::string& cidr) { used_.erase(cidr); }
  std::string at(unsigned index) const;
  unsigned size() const { return count_; }

 private:
  bool v6_ = false;
  std::array<unsigned char, 16> base_{};
  int node_mask_ = 24;
  unsigned count_ = 0, next_ = 0;
  std::set<std::string> used_;
};

}  // namespace onebin::controller
