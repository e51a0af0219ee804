#include "apiserver/server_clients.hpp"

#include "apiserver/handlers/kubelet_clients.hpp"

namespace onebin::apiserver {
namespace {

std::string key_of(const ServerAddress& a) {
  std::string secret = a.ca_pem + '\0' + a.certificate_pem + '\0' + a.key_pem + (a.insecure ? "1" : "0");
  std::string key = a.base_url + ' ' + a.server_name + ' ' + sha256(secret);
  if (a.endpoint) key += ' ' + a.endpoint->node + ' ' + a.endpoint->host + ' ' + std::to_string(a.endpoint->port);
  return key;
}

}  // namespace

ServerClients::ServerClients(Core& core) : core_(core) {
  core_.cacher.subscribe("discovery.k8s.io", "endpointslices", [this](std::string_view ns, std::string_view, const Bytes& before, const Bytes& now) { on_slice(ns, before ? before : now); });
}

void ServerClients::on_slice(std::string_view ns, const Bytes& slice) {
  if (clients_.empty()) return;
  std::string service;
  for (const auto& [key, value] : ObjectView(*slice).labels())
    if (key == "kubernetes.io/service-name") service = value;
  const std::string of_service = "https://" + service + "." + std::string(ns) + ".svc:";
  std::erase_if(clients_, [&](const auto& e) { return starts_with(e.first, of_service) && !e.second.address.empty() && !is_ready_endpoint(core_, ns, service, e.second.address); });
}

Result<std::shared_ptr<net::HttpClient>> ServerClients::get(const ServerAddress& a) {
  Entry& e = clients_[key_of(a)];
  e.used = ++uses_;
  if (e.client) return e.client;
  net::TlsClientConfig tls;
  tls.ca_pem = a.ca_pem;
  tls.system_roots = a.ca_pem.empty();
  tls.insecure = a.insecure;
  tls.server_name = a.server_name;
  tls.certificate_pem = a.certificate_pem;
  tls.key_pem = a.key_pem;
  auto context = net::TlsClientContext::create(tls);
  net::ClientConfig config;
  config.base_url = a.base_url;
  config.max_idle = kMaxIdle;
  config.header_timeout = Duration::zero();  // who calls says how long it may take
  config.user_agent = "kube-apiserver-admission";
  if (context) config.tls = [shared = *context] { return shared; };
  if (a.endpoint)
    config.dialer = [dial = core_.kubelets->dialer(a.endpoint->node), to = *a.endpoint](std::string, std::uint16_t) { return dial(to.host, to.port); };
  auto made = context ? net::HttpClient::create(std::move(config)) : Result<std::unique_ptr<net::HttpClient>>(context.status());
  if (!made) {
    clients_.erase(key_of(a));
    return made.status();
  }
  e.client = std::move(*made);
  if (a.endpoint) e.address = a.endpoint->host;
  std::shared_ptr<net::HttpClient> client = e.client;
  while (clients_.size() > kMaxClients) {
    auto oldest = clients_.begin();
    for (auto at = clients_.begin(); at != clients_.end(); ++at)
      if (at->second.used < oldest->second.used) oldest = at;
    clients_.erase(oldest);
  }
  return client;
}

}  // namespace onebin::apiserver
