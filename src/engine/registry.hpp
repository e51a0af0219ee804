// One registry endpoint, by the OCI distribution specification (v2 protocol): manifests and blobs, with token and basic
// authentication, redirects, and downloads that go on where they stopped.
#pragma once
#include <onebin/engine/runc_engine.hpp>
#include <onebin/net/client.hpp>

#include "engine/reference.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace onebin::engine {

struct Endpoint {
  std::string url;         // "https://registry-1.docker.io"
  std::string repository;  // after a mirror's rewrites
  std::string name_space;  // the registry that a mirror stands for, sent as ?ns=; empty for the registry itself
};
// Where to ask for an image, in order: its mirrors, then the registry.
Result<std::vector<Endpoint>> endpoints_of(const Reference& reference, const RegistriesConfig& config);

struct Challenge {
  std::string scheme;  // "bearer", "basic"
  std::map<std::string, std::string> parameters;
};
// A WWW-Authenticate value (RFC 9110, section 11.6.1), its first challenge of a kind that we answer.
std::optional<Challenge> parse_challenge(std::string_view header);

class Registry {
 public:
  static Result<std::unique_ptr<Registry>> create(Endpoint endpoint, const RegistriesConfig& config, RegistryCredentials credentials);
  virtual ~Registry() = default;
  struct Manifest {
    std::string content, media_type, digest;
  };
  virtual async::Task<Result<Manifest>> manifest(std::string tag_or_digest) = 0;  // digest verified when asked for by digest
  virtual async::Task<Result<std::string>> blob(std::string digest, std::uint64_t size) = 0;  // small ones; verified
  // Appends to `path` what is missing of the blob, trying again when the connection breaks while it makes progress.
  // The digest is the reader's to verify.
  virtual async::Task<Result<void>> download(std::string digest, std::uint64_t size, std::string path, std::function<void(std::uint64_t)> on_bytes) = 0;
};

}  // namespace onebin::engine
