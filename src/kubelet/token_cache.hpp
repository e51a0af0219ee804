// Service account tokens bound to pods, by TokenRequest; renewed when four fifths of their life, or a day, have passed.
#pragma once
#include "kubelet/volumes/payload.hpp"

#include <onebin/client/client.hpp>
#include <onebin/base/random.hpp>

#include <map>
#include <string>

namespace onebin::kubelet {

class TokenCache {
 public:
  TokenCache(client::Client& client, Rng& rng) : client_(client), rng_(rng) {}
  // A present token, or a new one. A token that could not be renewed serves until it expires.
  async::Task<Result<std::string>> get(core::Pod pod, TokenSpec spec);
  // When the earliest of a pod's tokens wants renewal; none when it has none.
  std::optional<WallTime> next_refresh(const core::Pod& pod) const;
  void forget(const std::string& pod_uid);

 private:
  struct Entry {
    std::string token;
    WallTime expires{}, refresh{};
  };
  std::string key(const std::string& uid, const TokenSpec& spec) const { return uid + "/" + spec.key(); }
  client::Client& client_;
  Rng& rng_;
  std::map<std::string, Entry> entries_;
};

}  // namespace onebin::kubelet
