// The transport to an API server on another host: HTTPS with a client certificate or a bearer token.
#pragma once
#include <onebin/client/transport.hpp>
#include <onebin/net/tls.hpp>

#include <functional>
#include <memory>
#include <string>

namespace onebin::client {

struct HttpsOptions {
  std::string server;                         // "https://10.0.0.1:6443"
  net::TlsClientProvider tls;                 // asked at each new connection: renewed certificates take effect
  std::function<std::string()> bearer_token;  // when set, asked at each request
  std::string user_agent = "onebin/" ONEBIN_VERSION;
  Duration request_timeout = 30s;             // of a whole request that is no watch
};
Result<std::unique_ptr<Transport>> make_https_transport(HttpsOptions options);

}  // namespace onebin::client
