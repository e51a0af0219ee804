// The kubelet's HTTPS API: logs, exec, attach, port-forward, stats, metrics. Asked by the API server on behalf of users.
#pragma once
#include "kubelet/log_reader.hpp"
#include "kubelet/pod_worker.hpp"

#include <onebin/net/server.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace onebin::kubelet {

// What the server asks of the kubelet.
struct ServerBackend {
  NodeContext* node = nullptr;
  std::function<PodWorker*(const std::string& ns, const std::string& name, const std::string& uid)> find;
  std::function<std::vector<PodWorker*>()> pods;
  std::function<std::string()> stats_summary, resource_metrics;  // bodies
};

class Server {
 public:
  Server(const Options& options, ServerBackend backend);
  ~Server();
  Result<void> start();
  async::Task<void> stop();
  std::uint16_t port() const { return port_; }
  void reload_certificates();
  // A container has ended: those who follow its log read the rest and stop.
  void container_ended(const std::string& container_id);

 private:
  async::Task<void> handle(net::Request& request, net::ResponseWriter& writer);
  async::Task<void> route(net::Request* request, net::ResponseWriter* writer);
  async::Task<Result<void>> authorize(const net::Request* request);
  async::Task<Result<void>> authorize_token(std::string token, std::string verb, std::string subresource);
  async::Task<void> logs(net::Request* request, net::ResponseWriter* writer, std::vector<std::string> parts);
  async::Task<void> exec(net::Request* request, net::ResponseWriter* writer, std::vector<std::string> parts, bool attach);
  async::Task<void> port_forward(net::Request* request, net::ResponseWriter* writer, std::vector<std::string> parts);
  async::Task<void> run_once(net::Request* request, net::ResponseWriter* writer, std::vector<std::string> parts);
  async::Task<void> local_volume(net::Request* request, net::ResponseWriter* writer, std::string name);
  async::Task<void> list_pods(net::ResponseWriter* writer);
  struct TokenVerdict {
    SteadyTime until;
    bool allowed = false;
  };
  const Options& options_;
  ServerBackend backend_;
  std::shared_ptr<const net::TlsServerContext> tls_;
  std::unique_ptr<net::HttpServer> server_;
  std::uint16_t port_ = 0;
  std::multimap<std::string, LogFollow*> followers_;
  std::map<std::string, TokenVerdict> tokens_;  // by token hash, verb and subresource; at most 256
};

}  // namespace onebin::kubelet
