// Connection tracking entries, by ctnetlink.
#pragma once
#include <onebin/base/result.hpp>
#include <onebin/network/address.hpp>

#include <functional>

namespace onebin::network {

struct Flow {
  std::uint8_t protocol = 0;
  Ip source, destination;              // as the first packet had them
  std::uint16_t source_port = 0, destination_port = 0;
  Ip reply_source;                     // who answers: the endpoint after DNAT
  std::uint16_t reply_source_port = 0;
};

// Deletes the entries of one protocol for which `match` is true; returns how many. Blocking, in proportion to the table.
Result<std::size_t> delete_flows(std::uint8_t protocol, bool ipv6, const std::function<bool(const Flow&)>& match);

}  // namespace onebin::network
