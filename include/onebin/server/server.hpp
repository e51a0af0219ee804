// Server: a whole control plane in one process, and a node too unless told otherwise.
#pragma once
#include <onebin/agent/agent.hpp>
#include <onebin/async/task.hpp>
#include <onebin/base/result.hpp>

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace onebin::server {

struct Options {
  std::string data_dir = "/var/lib/onebin";
  std::string bind_address = "0.0.0.0";
  std::uint16_t https_listen_port = 6443;
  std::string advertise_address;                       // "" is the node's address
  std::vector<std::string> tls_sans;
  std::string write_kubeconfig = "/etc/onebin/onebin.yaml";
  std::string write_kubeconfig_mode = "600";
  std::string token;                                   // a shared secret; "" makes one
  std::vector<std::string> cluster_cidrs = {"10.42.0.0/16"}, service_cidrs = {"10.43.0.0/16"};
  std::string service_node_port_range = "30000-32767";
  std::string cluster_dns;                             // "" is the tenth address of the service range
  std::string cluster_domain = "cluster.local";
  std::set<std::string> disable;                       // coredns, servicelb, kube-proxy, scheduler, controller-manager, or a controller
  std::vector<std::string> kube_apiserver_args;        // kube-apiserver's flags, "NAME=VALUE", as apiserver::apply_arguments takes them
  std::vector<std::string> feature_gates;              // NAME=true or NAME=false, of those that are off unless turned on
  bool disable_agent = false;
  agent::Options agent;
};

class Server {
 public:
  explicit Server(Options options);
  ~Server();  // after stop() has returned

  // Returns when /readyz says ok and the kubeconfig is written.
  async::Task<Result<void>> start();
  async::Task<void> stop();
  // The join token, once started.
  std::string join_token() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace onebin::server
