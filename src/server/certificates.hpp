// The cluster's keys and certificates on disk: made once, renewed when they near their end or their names change.
#pragma once
#include <onebin/base/pki.hpp>
#include <onebin/base/result.hpp>

#include <string>
#include <vector>

namespace onebin::server {

struct Certificates {
  pki::KeyPair server_ca;   // signs the API server's certificate; what clients and pods trust
  pki::KeyPair client_ca;   // signs client certificates
  pki::KeyPair kubelet_ca;  // signs the kubelets' serving certificates
  pki::KeyPair front_proxy_ca;
  pki::KeyPair serving;     // with the CA's certificate after the leaf, so that a pinned hash can be found
  pki::KeyPair admin;       // system:masters
  pki::KeyPair kubelet_client;
  pki::KeyPair front_proxy;
  std::string service_account_key;
};

struct ServingNames {
  std::vector<std::string> dns, ips;
};

// Everything below `dir` (mode 0700). Blocking.
Result<Certificates> load_certificates(const std::string& dir, const ServingNames& names, WallTime now);
// A new serving certificate: for renewal while running.
Result<pki::KeyPair> renew_serving(const std::string& dir, const pki::KeyPair& ca, const ServingNames& names, WallTime now);

std::string kubeconfig(const std::string& server, const std::string& ca_pem, const pki::KeyPair& user, const std::string& name);

}  // namespace onebin::server
