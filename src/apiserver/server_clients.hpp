// Clients to servers that configurations name (webhooks, aggregated API servers), kept with their connections between calls.
#pragma once
#include "apiserver/service_endpoints.hpp"

#include <onebin/net/client.hpp>

#include <map>
#include <optional>

namespace onebin::apiserver {

struct ServerAddress {
  std::string base_url;            // https://host:port
  std::string server_name;         // what its certificate must be for; "": the URL's host
  std::string ca_pem;              // "": the machine's roots
  bool insecure = false;           // whoever it is
  std::string certificate_pem, key_pem;     // ours, where it asks who we are
  std::optional<ServiceEndpoint> endpoint;  // where it is reached in place of the URL's host
};

class ServerClients {
 public:
  // Clients beyond so many go, those first that were unused longest; each keeps so many idle connections.
  static constexpr std::size_t kMaxClients = 64, kMaxIdle = 4;

  explicit ServerClients(Core& core);
  // Held by who uses it. BadRequest where the certificates cannot be read.
  Result<std::shared_ptr<net::HttpClient>> get(const ServerAddress& address);

 private:
  // Connections to an endpoint that is no longer one are ended while it can still be told.
  void on_slice(std::string_view ns, const Bytes& slice);

  struct Entry {
    std::shared_ptr<net::HttpClient> client;
    std::string address;  // of the endpoint
    std::uint64_t used = 0;
  };
  Core& core_;
  std::map<std::string, Entry> clients_;
  std::uint64_t uses_ = 0;
};

}  // namespace onebin::apiserver
