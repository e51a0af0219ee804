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

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace onebin::apiserver {

struct StaticToken {
  std::string token;
  UserInfo user;
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

  std::vector<StaticToken> static_tokens;
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
