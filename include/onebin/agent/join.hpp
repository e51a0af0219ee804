// Joining: from a token to certificates, by Kubernetes' TLS bootstrap.
//
// A token is K10<hash>::<id>.<secret>: the SHA-256 of the cluster CA's public key, then a bootstrap token. The agent trusts
// the server only by that hash before it sends anything, then asks for a client certificate by a CertificateSigningRequest.
// A node's identity key, made at the first join and kept in the data folder, signs that request: a node's name is given
// again only to the holder of its key.
#pragma once
#include <onebin/async/task.hpp>
#include <onebin/base/pki.hpp>
#include <onebin/base/result.hpp>
#include <onebin/client/client.hpp>

#include <memory>
#include <string>
#include <vector>

namespace onebin::agent {

struct JoinToken {
  std::string ca_hash;  // hexadecimal; empty in a bare "id.secret"
  std::string id, secret;
  std::string bearer() const { return id + "." + secret; }
  std::string to_string() const;
};
Result<JoinToken> parse_join_token(std::string_view text);

// What the server tells a node that joins, at GET /v1-onebin/config (with the bootstrap token or a node's certificate).
struct ClusterConfig {
  std::string ca_pem, client_ca_pem;
  std::string cluster_dns, cluster_domain;
  std::vector<std::string> cluster_cidrs, service_cidrs;
  std::string flannel_backend;
};
std::string to_json(const ClusterConfig& config);
Result<ClusterConfig> cluster_config_from_json(std::string_view text);

struct JoinOptions {
  std::string server_url;
  JoinToken token;
  std::string data_dir;      // holds the certificates and the identity key
  std::string node_name;
};

// A session with the server as this node, with its certificate renewed in the background.
class NodeSession {
 public:
  virtual ~NodeSession() = default;  // after stop() has returned
  virtual client::Transport& transport() = 0;
  virtual const ClusterConfig& config() const = 0;
  virtual async::Task<void> stop() = 0;
};
// Uses the certificate of an earlier join where it is still good; else asks for one with the token.
async::Task<Result<std::unique_ptr<NodeSession>>> join(JoinOptions options);

// A kubelet-serving certificate for the node, asked for through `client`; kept in `dir`, asked for again past 80 % of its life.
async::Task<Result<pki::KeyPair>> serving_certificate(client::Client& client, std::string dir, std::string node_name, std::vector<std::string> ips);
// How long until a certificate has reached 80 % of its life.
Duration until_renewal(const pki::CertificateInfo& info, WallTime now);

}  // namespace onebin::agent
