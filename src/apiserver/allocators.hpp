// Allocators: cluster IPs and node ports. What is taken follows from the Services in the watch cache and from the writes
// under way; nothing is stored, since one process writes. Ranges are those configured, which serve from the first moment,
// and those of ready ServiceCIDRs; IPAddress objects that are not a Service's reserve theirs.
#pragma once
#include "apiserver/cache/cacher.hpp"

#include <onebin/apiserver/apiserver.hpp>
#include <onebin/base/random.hpp>

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace onebin::apiserver {

// An IP address as bytes, network order.
struct IpAddress {
  bool v6 = false;
  std::array<unsigned char, 16> bytes{};
  static std::optional<IpAddress> parse(std::string_view text);
  std::string to_string() const;
};

class IpRange {
 public:
  static Result<IpRange> parse(std::string_view cidr);
  bool v6() const { return base_.v6; }
  std::string_view family() const { return v6() ? "IPv6" : "IPv4"; }
  const std::string& cidr() const { return cidr_; }
  bool contains(const IpAddress& ip) const;
  // Offsets 1 to size() are assignable.
  std::uint64_t size() const { return size_; }
  std::string at(std::uint64_t offset) const;
  // Below it are the addresses that are given out last, so that people may choose them.
  std::uint64_t static_band() const;

 private:
  IpAddress base_;
  int prefix_ = 0;
  std::uint64_t size_ = 0;
  std::string cidr_;
};

class Allocators {
 public:
  Allocators(const Options& options, Cacher& cacher);

  const std::vector<IpRange>& ranges() const { return ranges_; }
  const IpRange* range_of(std::string_view family) const;
  std::string_view primary_family() const { return ranges_.empty() ? "IPv4" : ranges_.front().family(); }
  // The address of the `kubernetes` Service.
  std::string first_ip() const { return ranges_.empty() ? std::string() : ranges_.front().at(1); }

  // `owner` is "ns/name" of the Service. Errors: InternalError "range is full"; Invalid texts for take.
  Result<std::string> allocate_ip(std::string_view family, const std::string& owner, Rng& rng);
  // Why the address cannot be had; OK when it is now the owner's.
  Status take_ip(const std::string& ip, const std::string& owner);
  // What a dry run asks in its place: whether the address is one that could be given. A range's own answer, as upstream's.
  Status try_ip(const std::string& ip) const;
  bool owns_ip(const std::string& ip, const std::string& owner) const;
  void release_ip(const std::string& ip, const std::string& owner);

  // Ports by number and protocol: one number may serve TCP and UDP of one Service.
  Result<int> allocate_port(const std::string& owner, Rng& rng);
  Status take_port(int port, const std::string& owner);
  void release_port(int port, const std::string& owner);
  int first_port() const { return first_port_; }
  int last_port() const { return last_port_; }

 private:
  void changed(const std::string& owner, const Bytes& before, const Bytes& now);
  void cidr_changed(const std::string& name, const Bytes& now);
  void address_changed(const std::string& name, const Bytes& now);
  std::vector<const IpRange*> ranges_of(std::string_view family) const;
  bool free(const std::string& ip) const { return !ips_.count(ip) && !reserved_.count(ip); }
  std::vector<IpRange> ranges_;
  int first_port_, last_port_;
  std::map<std::string, std::vector<IpRange>> more_ranges_;  // of ServiceCIDRs, by name
  std::map<std::string, std::string> ips_;                   // address -> owner
  std::map<std::string, std::string> reserved_;              // by IPAddress objects of others: address -> "ns/name" of the Service it is for
  std::map<int, std::string> ports_;
};

}  // namespace onebin::apiserver
