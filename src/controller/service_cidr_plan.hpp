// The decisions about ServiceCIDRs and IPAddresses, pure. Source: Kubernetes documentation, "Virtual IPs and Service Proxies",
// IPAddress and ServiceCIDR objects (KEP-1880).
#pragma once
#include "framework.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/api/networking_v1.hpp>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::controller {

using api::networking::v1::IPAddress;
using api::networking::v1::ServiceCIDR;

// An address, or a range of them.
struct Prefix {
  static std::optional<Prefix> parse(std::string_view text);  // "10.0.0.0/8", "10.0.0.1", "fd00::/108"
  bool contains(const Prefix& other) const;
  bool v6 = false;
  int bits = 0;
  std::array<unsigned char, 16> bytes{};
};

// Names of ServiceCIDRs that cover all of `range`.
std::vector<std::string> covering(const std::vector<ServiceCIDR>& all, const Prefix& range);
// Nothing would be left without a range: each address (of a Service) is in another one, or the whole range is.
bool can_go(const ServiceCIDR& c, const std::vector<ServiceCIDR>& all, const std::vector<std::string>& addresses);

// The addresses that a Service holds; and the object that says so.
std::vector<std::string> addresses_of(const api::core::v1::Service& s);
IPAddress address_object(const std::string& address, const std::string& ns, const std::string& name);
bool is_allocated(const IPAddress& a);  // written by the allocator, not by a user
bool is_for(const IPAddress& a, const std::string& ns, const std::string& name);

// What the Ready condition says; true when the status changed.
bool set_ready(ServiceCIDR& c, bool ready, WallTime now);

}  // namespace onebin::controller
