// What the proxy's rulesets have once for each family of addresses.
#pragma once
#include <onebin/network/nft.hpp>

#include <string>
#include <utility>
#include <vector>

namespace onebin::proxy {

constexpr network::nft::Type address(bool v6) { return v6 ? network::nft::Type::Ip6 : network::nft::Type::Ip4; }
constexpr network::nft::Reg words(bool v6) { return v6 ? 4 : 1; }
inline std::string of_family(std::string name, bool v6) { return std::move(name) + (v6 ? "6" : "4"); }

inline network::nft::Set set_of(std::vector<network::nft::Type> key) {
  network::nft::Set s;
  s.key = std::move(key);
  return s;
}
// Those of the prefixes that are of the family.
inline network::nft::Set prefix_set(const std::vector<network::Prefix>& prefixes, bool v6) {
  network::nft::Set s = set_of({address(v6)});
  s.interval = true;
  std::vector<network::Prefix> some;
  for (const auto& p : prefixes)
    if (p.is_v4() != v6) some.push_back(p);
  s.add_prefixes(std::move(some));
  return s;
}

}  // namespace onebin::proxy
