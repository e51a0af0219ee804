// What goes into the volumes that are made from API objects. Pure.
#pragma once
#include "kubelet/env.hpp"
#include "kubelet/volumes/atomic_writer.hpp"

#include <map>
#include <set>
#include <string>

namespace onebin::kubelet {

// Tokens by the key of token_key(), requested beforehand.
using Tokens = std::map<std::string, Result<std::string>>;
struct TokenSpec {
  std::string ns, service_account, audience;
  std::int64_t expiration_seconds = 3600;
  std::string key() const { return ns + "/" + service_account + "/" + audience + "/" + std::to_string(expiration_seconds); }
};
std::vector<TokenSpec> tokens_of(const core::Pod& pod);

struct PayloadInput {
  const core::Pod* pod = nullptr;
  const PodFacts* facts = nullptr;
  const ReferencedObjects* objects = nullptr;
  const Tokens* tokens = nullptr;
};

// Whether a volume is one of configMap, secret, downwardAPI, projected.
bool is_projection(const core::Volume& v);
Result<Payload> volume_payload(const core::Volume& v, const PayloadInput& in);

struct References {
  std::set<std::string> config_maps, secrets;
  bool operator==(const References&) const = default;
};
References references_of(const core::Pod& pod);

}  // namespace onebin::kubelet
