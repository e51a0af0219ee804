// Every resource that the server has now, built-in and custom: for components that work on any kind.
#pragma once
#include <onebin/client/client.hpp>

#include <string>
#include <vector>

namespace onebin::client {

struct DiscoveredResource {
  std::string group, version, plural, kind;
  bool namespaced = false;
  std::vector<std::string> verbs;

  bool has_verb(std::string_view verb) const;
  std::string path(std::string_view ns, std::string_view name = {}) const;
};

// From the server's discovery, preferred versions only, subresources left out. A group that does not answer (an aggregated
// one that is away) makes it fail, or is left out where `failures` takes "group/version: why".
async::Task<Result<std::vector<DiscoveredResource>>> discover(Client& client, std::vector<std::string>* failures = nullptr);

}  // namespace onebin::client
