// Agent: everything that runs on a node: engine, pod network, kubelet, proxy, DNS, overlay.
#pragma once
#include <onebin/async/task.hpp>
#include <onebin/base/pki.hpp>
#include <onebin/base/result.hpp>
#include <onebin/client/transport.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace onebin::agent {

struct Options {
  std::string data_dir = "/var/lib/onebin/agent";   // certificates, images
  std::string root_dir = "/var/lib/kubelet";
  std::string pod_logs_dir = "/var/log/pods";
  std::string run_dir = "/run/onebin";
  std::string cgroup_root;                          // "" is the root of the hierarchies
  std::string images_dir;                           // archives imported at start; "" is data_dir/images
  std::string registries_file = "/etc/onebin/registries.yaml";
  std::string resolv_conf = "/etc/resolv.conf";
  std::string static_pod_dir;
  std::string node_name;
  std::vector<std::string> node_ips;                // empty: found
  std::vector<std::string> node_external_ips;
  std::vector<std::string> labels, taints;          // "key=value", "key=value:Effect"
  std::uint16_t kubelet_port = 10250;
  int max_pods = 110;
  std::string cluster_domain = "cluster.local";
  std::string cluster_dns;                          // told by the server when empty
  std::vector<std::string> cluster_cidrs, service_cidrs;
  std::string flannel_backend = "vxlan";            // "vxlan", "host-gw", "none"
  std::string runc = "runc";
  bool proxy = true, dns = true;                    // --disable kube-proxy, coredns
};

// What the agent proves itself with, and how it reaches the server.
struct Identity {
  client::Transport* transport = nullptr;           // acts as system:node:<node_name>; outlives the agent
  std::string client_ca_pem;                        // who signs the API server's client certificate
  std::string server_url;                           // for pods and logs: "https://10.0.0.1:6443"
};

class Agent {
 public:
  Agent(Options options, Identity identity);
  ~Agent();  // after stop() has returned

  // Returns when the kubelet serves; the node becomes Ready in its own time.
  async::Task<Result<void>> start();
  // Leaves containers running.
  async::Task<void> stop();
  bool node_ready() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Fills in what the options leave open: node name, node IPs, folders. BadRequest with a remedy.
Result<void> complete(Options& options);

}  // namespace onebin::agent
