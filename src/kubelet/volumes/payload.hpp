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

// A certificate that a signer made for the pod, with its key. PEM.
struct Credential {
  std::string key, chain;
};
// A podCertificate source and where it stands.
struct CertificateSource {
  std::string volume;
  std::size_t index = 0;  // among the volume's sources
  core::PodCertificateProjection projection;
  std::string key() const { return volume + "/" + std::to_string(index); }
};
std::vector<CertificateSource> certificates_of(const core::Pod& pod);
using Credentials = std::map<std::string, Result<Credential>>;  // by CertificateSource::key(), requested beforehand

struct PayloadInput {
  const core::Pod* pod = nullptr;
  const PodFacts* facts = nullptr;
  const ReferencedObjects* objects = nullptr;
  const Tokens* tokens = nullptr;
  const Credentials* credentials = nullptr;
};

// Whether a volume is one of configMap, secret, downwardAPI, projected.
bool is_projection(const core::Volume& v);
Result<Payload> volume_payload(const core::Volume& v, const PayloadInput& in);

struct References {
  std::set<std::string> config_maps, secrets;
  bool trust_bundles = false;  // any of the cluster's
  bool operator==(const References&) const = default;
};
References references_of(const core::Pod& pod);

}  // namespace onebin::kubelet
