// A transaction as netlink messages, by libnftnl.
#pragma once
#include <onebin/network/nft.hpp>

#include <string>
#include <vector>

namespace onebin::network::nft {

struct Encoded {
  std::string bytes;                                       // the batch, from BATCH_BEGIN to BATCH_END
  std::vector<std::pair<std::uint32_t, std::size_t>> index;  // sequence number -> operation, ascending
};
Result<Encoded> encode(const std::string& table, const Transaction& transaction, std::uint32_t first_sequence);

}  // namespace onebin::network::nft
