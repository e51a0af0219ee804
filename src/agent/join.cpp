#include <onebin/agent/join.hpp>

#include <onebin/api/certificates_v1.hpp>
#include <onebin/async/group.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/log.hpp>
#include <onebin/base/random.hpp>
#include <onebin/client/https.hpp>
#include <onebin/client/node_identity.hpp>
#include <onebin/net/client.hpp>
#include <onebin/net/tls_error.hpp>

#include <nlohmann/json.hpp>

namespace onebin::agent {
namespace {

namespace certs = api::certificates::v1;
constexpr Duration kSignLimit = 60s, kRetry = 5s;
constexpr std::size_t kConfigLimit = 1u << 20;
constexpr char kClientSigner[] = "kubernetes.io/kube-apiserver-client-kubelet", kServingSigner[] = "kubernetes.io/kubelet-serving";

std::shared_ptr<const net::TlsClientContext> tls_context(const net::TlsClientConfig& c, Status* why = nullptr) {
  auto r = net::TlsClientContext::create(c);
  if (!r) {
    if (why) *why = r.status();
    return nullptr;
  }
  return *r;
}

// The request is decided by a controller and signed by another; what they wrote is read until the certificate is there.
async::Task<Result<std::string>> await_certificate(client::Client* client, std::string name) {
  Duration pause = 20ms;
  for (;;) {
    Result<certs::CertificateSigningRequest> csr = co_await client->get<certs::CertificateSigningRequest>("", name);
    if (!csr) co_return csr.status();
    for (const auto& c : csr->status.conditions)
      if ((c.type == "Denied" || c.type == "Failed") && c.status == "True")
        co_return Status(Reason::Forbidden, "the server refused the certificate: " + c.message);
    if (!csr->status.certificate.empty()) co_return Result<std::string>(csr->status.certificate);
    Status s = co_await async::sleep_for(pause);
    if (!s) co_return s;
    pause = std::min<Duration>(pause * 2, 1s);
  }
}

struct Request {
  std::string signer, node_name, key, csr;
  std::string identity_public, proof;  // of a join
};

async::Task<Result<std::string>> request_certificate(client::Client* client, Request r) {
  certs::CertificateSigningRequest csr;
  csr.metadata.generate_name = r.signer == kClientSigner ? "node-csr-" : "csr-";
  if (!r.proof.empty()) {
    csr.metadata.annotations[client::kIdentityAnnotation] = base64_encode(r.identity_public);
    csr.metadata.annotations[client::kProofAnnotation] = r.proof;
  }
  csr.spec.request = r.csr;
  csr.spec.signer_name = r.signer;
  csr.spec.usages = {"digital signature", r.signer == kClientSigner ? "client auth" : "server auth"};
  Result<certs::CertificateSigningRequest> made = co_await client->create("", std::move(csr));
  if (!made) co_return made.status().with_context("request a certificate");
  std::string name = made->metadata.name;
  Result<std::string> certificate = co_await async::with_timeout(kSignLimit, await_certificate(client, name));
  if (certificate.is(Reason::Timeout))
    co_return timeout("nobody signed CertificateSigningRequest " + name + ": is the controller manager running?");
  co_return certificate;
}

Result<pki::KeyPair> read_pair(const std::string& dir, const std::string& name) {
  pki::KeyPair p;
  ASSIGN_OR_RETURN(p.certificate, read_file(dir + "/" + name + ".crt"));
  ASSIGN_OR_RETURN(p.key, read_file(dir + "/" + name + ".key"));
  return p;
}
Result<void> write_pair(const std::string& dir, const std::string& name, const pki::KeyPair& p) {
  RETURN_IF_ERROR(make_dirs(dir, 0700));
  RETURN_IF_ERROR(write_file_atomic(dir + "/" + name + ".key", p.key, 0600));
  return write_file_atomic(dir + "/" + name + ".crt", p.certificate, 0600);
}

Result<std::string> identity_key(const std::string& dir) {
  std::string path = dir + "/node-identity.key";
  Result<std::string> key = read_file(path);
  if (key || !key.is(Reason::NotFound)) return key;
  ASSIGN_OR_RETURN(std::string made, pki::generate_key());
  RETURN_IF_ERROR(make_dirs(dir, 0700));
  RETURN_IF_ERROR(write_file_atomic(path, made, 0600));
  return made;
}

// The cluster's settings, over a connection whose CA the token's hash proves.
async::Task<Result<ClusterConfig>> fetch_config(std::string server, std::string ca_hash) {
  net::TlsClientConfig tls;
  tls.ca_public_key_hash = ca_hash;
  Status why;
  auto context = tls_context(tls, &why);
  if (!context) co_return why;
  net::ClientConfig c;
  c.base_url = server;
  c.tls = [context] { return context; };
  auto http = net::HttpClient::create(std::move(c));
  if (!http) co_return http.status();
  net::ClientRequest q;
  q.target = "/v1-onebin/config";
  std::unique_ptr<net::HttpClient> client = std::move(*http);
  Result<net::WholeResponse> r = co_await client->fetch(std::move(q), kConfigLimit);
  if (!r && net::is_unknown_authority(r.status()))
    co_return Status(Reason::Unauthorized, "cannot join " + server + ": its CA is not the one whose hash the token carries (" + ca_hash.substr(0, 12) +
                                               "...): wrong address, or a token of another cluster; give what 'onebin token' prints on that server");
  if (!r) co_return r.status().with_context("cannot join " + server);
  if (r->status != 200) co_return internal_error(server + " answered " + std::to_string(r->status) + " to /v1-onebin/config: is it an onebin server?");
  co_return cluster_config_from_json(r->body);
}

class Session final : public NodeSession {
 public:
  Session(JoinOptions options, ClusterConfig config) : options_(std::move(options)), config_(std::move(config)), group_("node session") {}

  async::Task<Result<void>> open() {
    Result<pki::KeyPair> kept = read_pair(dir(), "client-kubelet");
    if (kept && usable(*kept)) {
      pair_ = std::move(*kept);
    } else {
      if (options_.token.secret.empty()) co_return bad_request("this node has no valid certificate: give --token to join");
      net::TlsClientConfig tls;
      tls.ca_pem = config_.ca_pem;
      Status why;
      auto context = tls_context(tls, &why);
      if (!context) co_return why;
      client::HttpsOptions o;
      o.server = options_.server_url;
      o.tls = [context] { return context; };
      o.bearer_token = [t = options_.token.bearer()] { return t; };
      Result<std::unique_ptr<client::Transport>> bootstrap = client::make_https_transport(std::move(o));
      if (!bootstrap) co_return bootstrap.status();
      Result<void> got = co_await obtain(bootstrap->get());
      if (!got && got.is(Reason::Unauthorized))
        co_return Status(Reason::Unauthorized, "the server does not know this token (or it has expired): give what 'onebin token' prints there");
      if (!got) co_return got.status();
    }
    Result<void> opened = open_transport();
    if (!opened) co_return opened.status();
    group_.spawn(renew());
    co_return Result<void>();
  }

  client::Transport& transport() override { return *transport_; }
  const ClusterConfig& config() const override { return config_; }
  async::Task<void> stop() override {
    group_.cancel();
    co_await group_.join();
  }

 private:
  std::string dir() const { return options_.data_dir; }

  bool usable(const pki::KeyPair& p) const {
    WallTime now = system_clock().wall();
    auto info = pki::parse_certificate(p.certificate);
    return info && info->subject.common_name == "system:node:" + options_.node_name && info->not_after > now + 1min &&
           pki::verify_chain(p.certificate, config_.client_ca_pem, now);
  }

  async::Task<Result<void>> obtain(client::Transport* transport) {
    Request r;
    r.signer = kClientSigner;
    r.node_name = options_.node_name;
    Result<std::string> key = pki::generate_key();
    if (!key) co_return key.status();
    r.key = *key;
    Result<std::string> csr = pki::create_request(r.key, {"system:node:" + options_.node_name, {"system:nodes"}});
    if (!csr) co_return csr.status();
    r.csr = *csr;
    Result<std::string> identity = identity_key(dir());
    if (!identity) co_return identity.status();
    Result<std::string> pub = pki::public_key_of(*identity);
    Result<std::string> proof = pki::jws_sign(*identity, r.csr);
    if (!pub || !proof) co_return internal_error("the node's identity key in " + dir() + " is damaged: remove node-identity.key and delete the node's Secret on the server");
    r.identity_public = *pub;
    r.proof = base64url_encode(*proof);
    client::Client client(*transport, "onebin-agent");
    std::string private_key = r.key;
    Result<std::string> certificate = co_await request_certificate(&client, std::move(r));
    if (!certificate) co_return certificate.status();
    pair_ = {*certificate, private_key};
    co_return write_pair(dir(), "client-kubelet", pair_);
  }

  Result<void> open_transport() {
    RETURN_IF_ERROR(load_tls());
    client::HttpsOptions o;
    o.server = options_.server_url;
    o.tls = [this] { return tls_; };
    ASSIGN_OR_RETURN(transport_, client::make_https_transport(std::move(o)));
    return {};
  }
  Result<void> load_tls() {
    net::TlsClientConfig c;
    c.ca_pem = config_.ca_pem;
    c.certificate_pem = pair_.certificate;
    c.key_pem = pair_.key;
    ASSIGN_OR_RETURN(tls_, net::TlsClientContext::create(c));
    return {};
  }

  async::Task<void> renew() {
    for (;;) {
      auto info = pki::parse_certificate(pair_.certificate);
      Duration wait = info ? until_renewal(*info, async::Loop::current().clock().wall()) : Duration(kRetry);
      Status s = co_await async::sleep_for(std::max<Duration>(wait, kRetry));
      if (!s) co_return;
      Result<void> r = co_await obtain(transport_.get());
      if (r) r = load_tls();
      if (!r) log_error("client certificate not renewed", {{"error", r.status()}});
    }
  }

  JoinOptions options_;
  ClusterConfig config_;
  pki::KeyPair pair_;
  std::shared_ptr<const net::TlsClientContext> tls_;
  std::unique_ptr<client::Transport> transport_;
  async::TaskGroup group_;
};

}  // namespace

std::string JoinToken::to_string() const { return "K10" + ca_hash + "::" + bearer(); }

Result<JoinToken> parse_join_token(std::string_view text) {
  JoinToken t;
  if (starts_with(text, "K10")) {
    auto at = text.find("::");
    if (at == std::string_view::npos || at - 3 != 64) return bad_request("malformed join token: want K10<hash>::<id>.<secret>, as 'onebin token' prints it");
    t.ca_hash = std::string(text.substr(3, at - 3));
    for (char c : t.ca_hash)
      if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return bad_request("malformed join token: its CA hash is not hexadecimal");
    text.remove_prefix(at + 2);
  }
  auto dot = text.find('.');
  if (dot == std::string_view::npos || dot == 0 || dot + 1 == text.size()) return bad_request("malformed join token: want K10<hash>::<id>.<secret>, as 'onebin token' prints it");
  t.id = std::string(text.substr(0, dot));
  t.secret = std::string(text.substr(dot + 1));
  return t;
}

std::string to_json(const ClusterConfig& c) {
  nlohmann::json o = {{"ca", c.ca_pem}, {"clientCA", c.client_ca_pem}, {"clusterDNS", c.cluster_dns}, {"clusterDomain", c.cluster_domain},
                      {"clusterCIDRs", c.cluster_cidrs}, {"serviceCIDRs", c.service_cidrs}, {"flannelBackend", c.flannel_backend}};
  return o.dump();
}

Result<ClusterConfig> cluster_config_from_json(std::string_view text) {
  nlohmann::json o = nlohmann::json::parse(text, nullptr, false);
  Status bad = bad_request("the server's cluster settings are malformed");
  if (!o.is_object()) return bad;
  ClusterConfig c;
  auto str = [&](const char* key, std::string& out) {
    auto it = o.find(key);
    if (it == o.end() || !it->is_string()) return false;
    out = it->get<std::string>();
    return true;
  };
  auto list = [&](const char* key, std::vector<std::string>& out) {
    auto it = o.find(key);
    if (it == o.end() || !it->is_array()) return false;
    for (const auto& v : *it) {
      if (!v.is_string()) return false;
      out.push_back(v.get<std::string>());
    }
    return true;
  };
  if (!str("ca", c.ca_pem) || !str("clientCA", c.client_ca_pem) || !str("clusterDNS", c.cluster_dns) || !str("clusterDomain", c.cluster_domain) ||
      !list("clusterCIDRs", c.cluster_cidrs) || !list("serviceCIDRs", c.service_cidrs) || !str("flannelBackend", c.flannel_backend))
    return bad;
  return c;
}

async::Task<Result<std::unique_ptr<NodeSession>>> join(JoinOptions options) {
  std::string hash = options.token.ca_hash;
  std::string kept = options.data_dir + "/server-ca.hash";
  if (hash.empty()) {
    // A restart without the token's hash: the CA of the first join.
    Result<std::string> r = read_file(kept);
    if (!r) co_return bad_request("the token lacks the cluster CA's hash: use the whole token that 'onebin token' prints on the server");
    hash = std::string(trim(*r));
  }
  Result<ClusterConfig> config = co_await fetch_config(options.server_url, hash);
  if (!config) co_return config.status();
  Result<void> dir = make_dirs(options.data_dir, 0700);
  if (!dir) co_return dir.status();
  auto session = std::make_unique<Session>(options, std::move(*config));
  Result<void> opened = co_await session->open();
  if (!opened) co_return opened.status();
  Result<void> written = write_file_atomic(kept, hash + "\n", 0600);
  if (!written) {
    co_await session->stop();
    co_return written.status();
  }
  std::unique_ptr<NodeSession> out = std::move(session);
  co_return Result<std::unique_ptr<NodeSession>>(std::move(out));
}

async::Task<Result<pki::KeyPair>> serving_certificate(client::Client& client, std::string dir, std::string node_name, std::vector<std::string> ips) {
  WallTime now = async::Loop::current().clock().wall();
  Result<pki::KeyPair> kept = read_pair(dir, "serving-kubelet");
  if (kept) {
    auto info = pki::parse_certificate(kept->certificate);
    if (info && info->ip_addresses == ips && info->dns_names == std::vector<std::string>{node_name} && until_renewal(*info, now) > Duration(0)) co_return kept;
  }
  Request r;
  r.signer = kServingSigner;
  r.node_name = node_name;
  Result<std::string> key = pki::generate_key();
  if (!key) co_return key.status();
  r.key = *key;
  Result<std::string> csr = pki::create_request(r.key, {"system:node:" + node_name, {"system:nodes"}}, {node_name}, ips);
  if (!csr) co_return csr.status();
  r.csr = *csr;
  std::string private_key = r.key;
  Result<std::string> certificate = co_await request_certificate(&client, std::move(r));
  if (!certificate) co_return certificate.status();
  pki::KeyPair pair{*certificate, private_key};
  Result<void> written = write_pair(dir, "serving-kubelet", pair);
  if (!written) co_return written.status();
  co_return Result<pki::KeyPair>(std::move(pair));
}

Duration until_renewal(const pki::CertificateInfo& info, WallTime now) {
  return info.not_before + (info.not_after - info.not_before) / 5 * 4 - now;
}

}  // namespace onebin::agent
