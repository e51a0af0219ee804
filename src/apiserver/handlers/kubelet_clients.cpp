#include "apiserver/handlers/kubelet_clients.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>

#include "apiserver/respond.hpp"

namespace onebin::apiserver {
namespace {

class DirectDialer final : public NodeDialer {
 public:
  async::Task<Result<std::unique_ptr<net::Stream>>> dial(std::string, std::string host, std::uint16_t port) override {
    return net::connect_tcp(std::move(host), port);
  }
};

std::string bracketed(const std::string& host) { return host.find(':') == std::string::npos ? host : "[" + host + "]"; }

std::string address_of(const Document& node) {
  const Document& list = apimachinery::at_path(node, {"status", "addresses"});
  for (const char* type : {"InternalIP", "ExternalIP", "Hostname"}) {
    if (!list.is_array()) break;
    for (const auto& a : list)
      if (apimachinery::string_at(a, "type") == type) return std::string(apimachinery::string_at(a, "address"));
  }
  return {};
}

}  // namespace

std::unique_ptr<NodeDialer> make_direct_dialer() { return std::make_unique<DirectDialer>(); }

net::Dialer KubeletClients::dialer(std::string node) const {
  NodeDialer* d = core_.dialer;
  return [d, node = std::move(node)](std::string host, std::uint16_t port) { return d->dial(node, std::move(host), port); };
}

Result<net::HttpClient*> KubeletClients::of(const std::string& node) {
  Served* nodes = core_.registry.find("", "v1", "nodes");
  Bytes stored = core_.cacher.get("", "nodes", "", node);
  if (!nodes || !stored) return not_found("nodes", node);
  Result<Document> d = decode_stored(*nodes, stored);
  if (!d) return d.status();
  std::string host = address_of(*d);
  if (host.empty()) return internal_error("no preferred addresses found; known addresses: []");
  std::int64_t port = apimachinery::get_int(*d, {"status", "daemonEndpoints", "kubeletEndpoint", "Port"}, core_.options.kubelet_port);
  if (port <= 0) port = core_.options.kubelet_port;
  std::string url = "https://" + bracketed(host) + ":" + std::to_string(port);
  Entry& e = clients_[node];
  if (e.client && e.url == url) return e.client.get();
  net::ClientConfig config;
  config.base_url = url;
  config.dialer = dialer(node);
  config.tls = core_.options.kubelet_tls;
  config.user_agent = "onebin-apiserver";
  auto client = net::HttpClient::create(std::move(config));
  if (!client) return client.status();
  if (e.client) retired_.push_back(std::move(e.client));
  e.client = std::move(*client);
  e.url = std::move(url);
  return e.client.get();
}

}  // namespace onebin::apiserver
