// Authenticator: finds the user behind a connection's client certificate or a bearer token.
#pragma once
#include <onebin/apiserver/user_info.hpp>
#include <onebin/async/task.hpp>
#include <onebin/base/result.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace onebin::net {
class Headers;
}

namespace onebin::apiserver {

struct Credentials {
  // DER of the client's leaf certificate when the TLS layer verified it against the client CA; else empty.
  std::string client_certificate_der;
  std::string bearer_token;  // of "Authorization: Bearer …"; or of the WebSocket sub-protocol base64url.bearer.authorization.k8s.io.
  std::vector<std::string> audiences;  // empty: the API server's own
  // For front proxies: the leaf that the client showed, verified or not, and the request's headers (null: none).
  std::string presented_certificate_der;
  const net::Headers* headers = nullptr;
};

struct Authenticated {
  UserInfo user;
  std::vector<std::string> audiences;  // those of the request that the token is for
};

class Authenticator {
 public:
  virtual ~Authenticator() = default;
  // A user; or none where these credentials say nothing to this authenticator; or Unauthorized where they are bad.
  virtual async::Task<Result<std::optional<Authenticated>>> authenticate(const Credentials& credentials) = 0;
};

// Issues service account tokens (the `token` subresource).
class TokenIssuer {
 public:
  virtual ~TokenIssuer() = default;
  struct Request {
    std::string ns, service_account, service_account_uid;
    std::vector<std::string> audiences;
    std::int64_t expiration_seconds = 3600;
    // The bound object where there is one.
    std::string bound_kind, bound_api_version, bound_name, bound_uid;
    // For a pod: its node, where it is assigned to one.
    std::string node_name, node_uid;
  };
  struct Token {
    std::string token;
    std::int64_t expiration_unix_seconds = 0;
  };
  virtual Result<Token> issue(const Request& request) = 0;
  virtual std::string issuer() const = 0;
  virtual std::vector<std::string> default_audiences() const = 0;
  // Bodies of /.well-known/openid-configuration and /openid/v1/jwks; empty where there is none.
  virtual std::string discovery_document() const = 0;
  virtual std::string jwks() const = 0;
};

}  // namespace onebin::apiserver
