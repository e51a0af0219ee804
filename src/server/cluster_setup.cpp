#include "cluster_setup.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/async/all.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/random.hpp>
#include <onebin/net/tls.hpp>

#include <nlohmann/json.hpp>

namespace onebin::server {
namespace {

namespace v1 = api::core::v1;
constexpr char kSystem[] = "kube-system";

Result<std::string> ca_hash(const std::string& ca_pem) {
  ASSIGN_OR_RETURN(std::vector<net::Certificate> chain, net::parse_certificates_pem(ca_pem));
  if (chain.empty()) return internal_error("the cluster CA's file holds no certificate");
  return net::public_key_hash(chain[0].der);
}

bool token_part(const std::string& s, std::size_t size) {
  if (s.size() != size) return false;
  for (char c : s)
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) return false;
  return true;
}

// Server-side apply, so that a restart changes nothing that is as it should be.
async::Task<Result<void>> apply(client::Client* client, std::string path, std::string body, std::string what) {
  client::ApiRequest q = client->patch_request(std::move(path), client::PatchType::Apply, std::move(body));
  q.accept = "application/json";
  Result<std::string> r = co_await client->raw(std::move(q));
  if (!r) co_return r.status().with_context(what);
  co_return Result<void>();
}

std::string bootstrap_secret(const agent::JoinToken& t) {
  nlohmann::json o = {{"apiVersion", "v1"}, {"kind", "Secret"}, {"type", "bootstrap.kubernetes.io/token"}};
  o["metadata"] = {{"name", "bootstrap-token-" + t.id}, {"namespace", kSystem}};
  auto put = [&](const char* k, const std::string& v) { o["data"][k] = base64_encode(v); };
  put("token-id", t.id);
  put("token-secret", t.secret);
  put("usage-bootstrap-authentication", "true");
  put("usage-bootstrap-signing", "true");
  put("auth-extra-groups", "system:bootstrappers:onebin:default-node-token");
  put("description", "the join token of onebin server");
  return o.dump();
}

std::string cluster_info(const ClusterSetup& s) {
  std::string config = "apiVersion: v1\nkind: Config\nclusters:\n- name: \"\"\n  cluster:\n    server: " + s.server_url +
                       "\n    certificate-authority-data: " + base64_encode(s.ca_pem) + "\ncontexts: []\nusers: []\ncurrent-context: \"\"\n";
  nlohmann::json o = {{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"data", {{"kubeconfig", config}}}};
  o["metadata"] = {{"name", "cluster-info"}, {"namespace", "kube-public"}};
  return o.dump();
}

// Every node's agent answers at this address itself; the Service is there for clients that look for it.
std::string dns_service(const ClusterSetup& s) {
  nlohmann::json o = {{"apiVersion", "v1"}, {"kind", "Service"}};
  o["metadata"] = {{"name", "kube-dns"}, {"namespace", kSystem},
                   {"labels", {{"k8s-app", "kube-dns"}, {"kubernetes.io/cluster-service", "true"}, {"kubernetes.io/name", "CoreDNS"}}}};
  auto port = [](const char* name, const char* protocol, int n) { return nlohmann::json{{"name", name}, {"port", n}, {"protocol", protocol}, {"targetPort", n}}; };
  o["spec"] = {{"clusterIP", s.cluster_dns}, {"ports", {port("dns", "UDP", 53), port("dns-tcp", "TCP", 53)}}};
  return o.dump();
}

// The default class: directories on the node of the claim's first pod.
std::string local_path_class() {
  nlohmann::json o = {{"apiVersion", "storage.k8s.io/v1"}, {"kind", "StorageClass"}, {"provisioner", "onebin.io/local-path"},
                      {"reclaimPolicy", "Delete"}, {"volumeBindingMode", "WaitForFirstConsumer"}};
  o["metadata"] = {{"name", "local-path"}, {"annotations", {{"storageclass.kubernetes.io/is-default-class", "true"}}}};
  return o.dump();
}

// Made once: what people change about it stays.
async::Task<Result<void>> create(client::Client* client, std::string path, std::string body, std::string what) {
  client::ApiRequest q;
  q.method = "POST";
  q.path = std::move(path);
  q.content_type = q.accept = "application/json";
  q.body = std::move(body);
  Result<std::string> r = co_await client->raw(std::move(q));
  if (!r && !r.is(Reason::AlreadyExists)) co_return r.status().with_context(what);
  co_return Result<void>();
}

// What nodes and joining hosts may do beyond upstream's defaults: the agent serves Services and DNS, and enforces
// NetworkPolicies, under the node's identity.
struct Grant {
  const char *name, *role, *group;
};
constexpr Grant kGrants[] = {
    {"onebin:node-proxier", "system:node-proxier", "system:nodes"},
    {"onebin:network-policy", "onebin:network-policy", "system:nodes"},
    {"onebin:node-bootstrapper", "system:node-bootstrapper", "system:bootstrappers:onebin:default-node-token"},
    {"onebin:node-autoapprove-bootstrap", "system:certificates.k8s.io:certificatesigningrequests:nodeclient", "system:bootstrappers:onebin:default-node-token"},
    {"onebin:node-autoapprove-renewal", "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient", "system:nodes"},
};
std::string grant_binding(const Grant& g) {
  nlohmann::json o = {{"apiVersion", "rbac.authorization.k8s.io/v1"}, {"kind", "ClusterRoleBinding"}};
  o["metadata"]["name"] = g.name;
  o["roleRef"] = {{"apiGroup", "rbac.authorization.k8s.io"}, {"kind", "ClusterRole"}, {"name", g.role}};
  o["subjects"] = nlohmann::json::array({{{"apiGroup", "rbac.authorization.k8s.io"}, {"kind", "Group"}, {"name", g.group}}});
  return o.dump();
}

}  // namespace

Result<agent::JoinToken> load_token(const std::string& dir, const std::string& wanted, const std::string& ca_pem) {
  ASSIGN_OR_RETURN(std::string hash, ca_hash(ca_pem));
  std::string path = dir + "/token";
  agent::JoinToken t;
  Result<std::string> kept = read_file(path);
  if (!wanted.empty()) {
    ASSIGN_OR_RETURN(t, agent::parse_join_token(wanted));
    if (!t.ca_hash.empty() && t.ca_hash != hash)
      return bad_request("--token names another cluster's CA; give only the part after '::', or use the data folder of that cluster");
  } else if (kept) {
    Result<agent::JoinToken> r = agent::parse_join_token(trim(*kept));
    if (!r) return r.status().with_context(path);
    t = std::move(*r);
  } else if (kept.is(Reason::NotFound)) {
    t.id = random_hex(system_rng(), 3);
    t.secret = random_hex(system_rng(), 8);
  } else {
    return kept.status();
  }
  if (!token_part(t.id, 6) || !token_part(t.secret, 16))
    return bad_request("--token: want ID.SECRET of 6 and 16 characters a-z, 0-9");
  t.ca_hash = hash;
  if (!kept || trim(*kept) != t.to_string()) RETURN_IF_ERROR(write_file_atomic(path, t.to_string() + "\n", 0600));
  return t;
}

async::Task<Result<void>> set_up_cluster(client::Client& client, ClusterSetup s) {
  const std::string base = "/api/v1/namespaces/";
  std::vector<async::Task<Result<void>>> tasks;
  tasks.push_back(apply(&client, base + kSystem + "/secrets/bootstrap-token-" + s.token.id, bootstrap_secret(s.token), "bootstrap token"));
  tasks.push_back(apply(&client, base + "kube-public/configmaps/cluster-info", cluster_info(s), "cluster-info"));
  for (const Grant& g : kGrants) tasks.push_back(apply(&client, std::string("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/") + g.name, grant_binding(g), g.name));
  if (s.with_dns) tasks.push_back(apply(&client, base + kSystem + "/services/kube-dns", dns_service(s), "kube-dns service"));
  if (s.with_local_storage) tasks.push_back(create(&client, "/apis/storage.k8s.io/v1/storageclasses", local_path_class(), "local-path storage class"));
  co_return co_await async::all(std::move(tasks));
}

}  // namespace onebin::server
