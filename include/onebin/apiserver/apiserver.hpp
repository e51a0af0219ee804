// ApiServer: the Kubernetes API over a Store: one handler chain for HTTPS and for the components of this process.
#pragma once
#include <onebin/apiserver/node_dialer.hpp>
#include <onebin/apiserver/user_info.hpp>
#include <onebin/async/task.hpp>
#include <onebin/base/random.hpp>
#include <onebin/base/result.hpp>
#include <onebin/client/transport.hpp>
#include <onebin/net/http.hpp>
#include <onebin/net/socket.hpp>
#include <onebin/net/tls.hpp>
#include <onebin/storage/store.hpp>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace onebin::apiserver {

struct StaticToken {
  std::string token;
  UserInfo user;
};

// Users of an OpenID Connect provider; upstream's --oidc-* flags.
struct OidcIssuer {
  std::string url, client_id;             // https; the token's iss and one of its aud
  std::string ca_pem;                     // of the provider; "": the machine's roots
  std::string username_claim = "sub", username_prefix;
  std::string groups_claim, groups_prefix;  // "": no groups
  std::map<std::string, std::string> required_claims;
  std::vector<std::string> signing_algorithms = {"RS256"};
};

// What the admission plug-in PodSecurity is configured with (a PodSecurityConfiguration).
struct PodSecurityDefaults {
  std::map<std::string, std::string> labels;  // as a namespace's without its prefix: "enforce", "warn-version", ...
  std::set<std::string> exempt_users, exempt_namespaces, exempt_runtime_classes;
};

// The audit log; upstream's --audit-* flags.
struct AuditOptions {
  std::string policy;  // text of an audit.k8s.io/v1 Policy; "": nothing is logged
  std::string path;    // of the log; "-" standard output
  int max_age_days = 0, max_backups = 0;  // of the files that are full; 0: no limit
  int max_size_mb = 100;                  // when a file is full
};

struct Options {
  // HTTPS. No address: no listener (local transports and handler() only).
  std::vector<net::Address> listen;
  net::TlsServerProvider tls;           // null: plain HTTP, for tests

  // What the `kubernetes` Service leads to; "" leaves its endpoints alone.
  std::string advertise_address;
  std::uint16_t advertise_port = 6443;

  std::vector<std::string> service_cidrs = {"10.43.0.0/16"};  // one of each family, the first is primary
  std::uint16_t node_port_first = 30000, node_port_last = 32767;
  std::string cluster_domain = "cluster.local";

  // Service account tokens. Keys are PEM (RSA or EC); the first signs, all verify. None: no tokens are issued.
  std::string service_account_issuer = "https://kubernetes.default.svc.cluster.local";
  std::vector<std::string> service_account_keys_pem;
  std::vector<std::string> api_audiences;   // empty: the issuer

  // Certificates: the CA that client certificates chain to, published in kube-system/extension-apiserver-authentication.
  std::string client_ca_pem;
  // Front proxy (aggregation): who may name users by X-Remote-*.
  std::string requestheader_client_ca_pem;
  std::vector<std::string> requestheader_allowed_names;
  // Who this server is to aggregated API servers when it names users to them. None: they are asked anonymously.
  std::string proxy_client_certificate_pem, proxy_client_key_pem;

  std::vector<StaticToken> static_tokens;
  std::vector<OidcIssuer> oidc;
  bool extend_token_expiration = true;      // a pod's default token lives a year, and says when it should have been renewed
  std::int64_t max_token_expiration_seconds = 0;  // of issued tokens; 0: no limit

  // Admission plug-ins by upstream's names, beside or instead of those that are on by default.
  std::set<std::string> enable_admission_plugins, disable_admission_plugins;
  int not_ready_toleration_seconds = 300, unreachable_toleration_seconds = 300;
  PodSecurityDefaults pod_security;
  AuditOptions audit;

  bool anonymous_auth = true;           // RBAC decides what system:anonymous may
  bool allow_privileged = true;
  bool cbor = false;                    // application/cbor: feature gate CBORServingAndStorage

  // The server's client certificate for kubelets (and who signs theirs). Asked at each new connection.
  net::TlsClientProvider kubelet_tls;
  std::uint16_t kubelet_port = 10250;   // where a Node's status does not tell

  // Requests whose path begins with `first` go to `second`, before authentication: a server's own end points.
  std::vector<std::pair<std::string, net::Handler>> extra_handlers;
  // Further checks of /readyz: {name, fn}; fn returns OK or says why not.
  std::vector<std::pair<std::string, std::function<Status()>>> ready_checks;

  std::size_t max_in_flight = 800;      // not counting watches and streams; beyond: 429
  Rng* rng = nullptr;                   // null: the system's
};

// Upstream's flags of kube-apiserver, "NAME=VALUE" with or without leading dashes; reads the files that they name.
// BadRequest names a flag that is not known here and a value that cannot be used.
Result<void> apply_arguments(Options& options, const std::vector<std::string>& arguments);

class ApiServer {
 public:
  // `store` and `dialer` outlive the server. A null dialer connects directly.
  ApiServer(Options options, storage::Store& store, NodeDialer* dialer = nullptr);
  ~ApiServer();  // stop() must have returned

  // Fills the watch cache, listens, then makes what every cluster has (system namespaces, default roles, the `kubernetes`
  // Service). Returns when /readyz would say ok.
  async::Task<Result<void>> start();
  async::Task<void> stop();

  bool ready() const;
  std::vector<net::Address> addresses() const;
  // A component's way in: the same chain with this identity, no sockets, watch events shared with the watch cache.
  // Must not outlive the server.
  std::unique_ptr<client::Transport> local_transport(UserInfo user);
  // The chain itself, for servers that somebody else runs (a unix socket, a test).
  net::Handler handler();

  class Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace onebin::apiserver
