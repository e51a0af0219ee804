// Addresses and ranges as Go's parsers of old read them.
#pragma once
#include "apiserver/allocators.hpp"

#include <optional>
#include <string_view>

namespace onebin::apiserver {

// With leading zeros, which are not octal; and one of IPv4 written as one of IPv6 is what it is.
std::optional<IpAddress> parse_address(std::string_view text);
// A CIDR has neither.
bool is_standard_network(std::string_view cidr);

}  // namespace onebin::apiserver
