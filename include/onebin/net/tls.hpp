// TLS 1.2 and 1.3 over any Stream, by OpenSSL.
#pragma once
#include <onebin/net/stream.hpp>

#include <vector>

namespace onebin::net {

// What a certificate tells, as authentication reads it.
struct Certificate {
  std::string common_name;
  std::vector<std::string> organizations;
  std::string issuer_common_name;
  std::string serial_hex;
  std::vector<std::string> dns_names, ip_addresses, uris;
  std::string der;
  WallTime not_before, not_after;
};
Result<Certificate> parse_certificate_der(std::string_view der);
// Every CERTIFICATE block of a PEM text, in order; others are skipped.
Result<std::vector<Certificate>> parse_certificates_pem(std::string_view pem);
// SHA-256 of a certificate's SubjectPublicKeyInfo in hex: kubeadm's discovery-token-ca-cert-hash without "sha256:".
Result<std::string> public_key_hash(std::string_view der);

// Who is at the other end of a server's connection. Shared by all requests of the connection.
struct PeerInfo {
  std::string remote_host;         // IP address; "" for a unix socket
  std::uint16_t remote_port = 0;
  std::string local_host;
  std::uint16_t local_port = 0;
  bool tls = false;
  std::string server_name;         // SNI
  std::vector<std::string> presented;      // DER, leaf first; empty when the client showed none
  std::shared_ptr<const Certificate> certificate;  // the leaf, when `presented` is not empty
  bool verified = false;           // `certificate` chains to the client CA, is in date and allows client authentication
  std::string verify_error;        // why not, when it was presented and is not
};

struct TlsServerConfig {
  std::string certificate_pem;     // leaf first, then intermediates
  std::string key_pem;
  std::string client_ca_pem;       // empty: no client certificate is asked for. Asked for, never required.
  std::vector<std::string> alpn = {"h2", "http/1.1"};  // in order of preference
  struct Extra { std::string certificate_pem, key_pem; };
  std::vector<Extra> by_name;      // chosen by SNI among the DNS names of their leaf (one leading "*." allowed)
};
class TlsServerContext {           // immutable; SSL_CTX inside
 public:
  virtual ~TlsServerContext() = default;
  static Result<std::shared_ptr<const TlsServerContext>> create(const TlsServerConfig& config);
};
// Asked at each new connection: to change certificate or client CA without a restart, return another context.
using TlsServerProvider = std::function<std::shared_ptr<const TlsServerContext>()>;

struct TlsClientConfig {
  std::string ca_pem;              // roots to trust
  bool system_roots = false;       // also the machine's own
  std::string ca_public_key_hash;  // hex SHA-256; trust a chain that holds a CA certificate with this public_key_hash
  bool insecure = false;           // trust anybody
  std::string certificate_pem, key_pem;  // client certificate, when given
  std::string server_name;         // verified and sent as SNI in place of the host dialled, when given
  std::vector<std::string> alpn;
};
class TlsClientContext {
 public:
  virtual ~TlsClientContext() = default;
  static Result<std::shared_ptr<const TlsClientContext>> create(const TlsClientConfig& config);
};
using TlsClientProvider = std::function<std::shared_ptr<const TlsClientContext>()>;

class TlsStream : public Stream {
 public:
  virtual const std::string& alpn() const = 0;               // "" when nothing was agreed
  virtual std::vector<std::string> peer_chain() const = 0;   // DER, leaf first
  virtual std::size_t memory_held() const = 0;               // of our own buffers, for tests
};
// Handshakes over `lower`, which the returned stream owns. `peer` gets the TLS part filled in.
Task<Result<std::unique_ptr<TlsStream>>> tls_accept(StreamPtr lower, std::shared_ptr<const TlsServerContext> context,
                                                    PeerInfo* peer, Duration timeout = 10s);
// `host` is verified against the certificate's names or addresses (config's server_name goes before).
Task<Result<std::unique_ptr<TlsStream>>> tls_connect(StreamPtr lower, std::shared_ptr<const TlsClientContext> context,
                                                     std::string host, Duration timeout = 10s);

}  // namespace onebin::net
