// What the server itself puts into a new cluster: the bootstrap token, cluster-info, the DNS Service,
// the default StorageClass.
#pragma once
#include <onebin/agent/join.hpp>
#include <onebin/client/client.hpp>

#include <string>

namespace onebin::server {

struct ClusterSetup {
  agent::JoinToken token;
  std::string ca_pem, server_url, cluster_dns;
  bool with_dns = true, with_local_storage = true;
};

// Reads the join token of `dir`/token, or makes it: `wanted` ("id.secret" or a whole token) where given. Blocking.
Result<agent::JoinToken> load_token(const std::string& dir, const std::string& wanted, const std::string& ca_pem);
// Idempotent; run at each start.
async::Task<Result<void>> set_up_cluster(client::Client& client, ClusterSetup setup);

}  // namespace onebin::server
