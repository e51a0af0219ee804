// Kubelet: runs the pods that are bound to this node and tells the API server how they and the node fare.
//
// Everything that touches the machine is injected: the container engine, the pod network, the client. The kubelet itself
// writes below root_dir (volumes, termination logs, hosts files) and reads /proc and /sys for the node's status.
// Source of the behaviour: Kubernetes documentation, "Pod Lifecycle", and KEP-753 (sidecars), KEP-2221 (probes' grace).
#pragma once
#include <onebin/async/task.hpp>
#include <onebin/base/random.hpp>
#include <onebin/base/result.hpp>
#include <onebin/base/time.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace onebin::client {
class Client;
}
namespace onebin::engine {
class Engine;
}
namespace onebin::network {
class PodNetwork;
}

namespace onebin::kubelet {

struct NodeTaint {
  std::string key, value, effect;
};

struct ServingCertificate {
  std::string certificate_pem;  // the leaf, then what it was signed by
  std::string key_pem;
};

struct Options {
  std::string node_name;
  std::vector<std::string> node_ips;            // InternalIP addresses, the first is primary; one per family
  std::vector<std::string> node_external_ips;   // ExternalIP addresses
  std::string hostname;                         // empty: node_name
  std::string root_dir = "/var/lib/kubelet";
  std::string pod_logs_dir = "/var/log/pods";
  std::string run_dir = "/run/onebin";
  std::string local_volumes_dir = "/var/lib/onebin/storage";  // directories of the local-path provisioner's volumes
  std::string cgroup_root;                      // the group that holds "kubepods"; empty: the root of each hierarchy
  std::string static_pod_dir;                   // empty: none
  std::vector<std::string> cluster_dns;         // nameservers for dnsPolicy ClusterFirst
  std::string cluster_domain = "cluster.local";
  std::string resolv_conf = "/etc/resolv.conf"; // what pods with dnsPolicy Default get
  std::string provider_id;
  std::map<std::string, std::string> labels;    // --node-label
  std::vector<NodeTaint> taints;                // --node-taint
  bool register_node = true;
  int max_pods = 110;
  // Kept back from the pods: allocatable = capacity - reserved. Quantities ("100m", "256Mi").
  std::map<std::string, std::string> reserved;

  // The HTTPS server. Port 0: no server.
  std::string bind_address = "0.0.0.0";
  std::uint16_t port = 10250;
  std::function<ServingCertificate()> serving_certificate;  // asked at start and after reload_certificates()
  std::string client_ca_pem;                    // who signs the API server's client certificate
  // Common names that may use the server besides members of system:masters.
  std::vector<std::string> allowed_clients = {"kube-apiserver", "kube-apiserver-kubelet-client", "system:kube-apiserver"};

  Duration status_update_period = std::chrono::minutes(5);
  Duration lease_period = std::chrono::seconds(10);
  std::int32_t lease_duration_seconds = 40;
  std::string container_runtime_version = "onebin://" ONEBIN_VERSION;
  std::string kubelet_version = ONEBIN_KUBERNETES_VERSION;
  std::int64_t container_log_max_size = 10 << 20;
  int container_log_max_files = 5;
  // Hard eviction thresholds, as a share of the capacity or an absolute number of bytes.
  std::int64_t eviction_memory_available = 100 << 20;
  double eviction_nodefs_available = 0.10;
  double image_gc_high_threshold = 0.85, image_gc_low_threshold = 0.80;
  Rng* rng = nullptr;                           // null: the system's
};

class Kubelet {
 public:
  // `client` acts as system:node:<node_name>. All references outlive the kubelet.
  Kubelet(Options options, client::Client& client, engine::Engine& engine, network::PodNetwork& network);
  ~Kubelet();  // after stop() has returned
  Kubelet(const Kubelet&) = delete;

  // Finds running containers again, registers the node, starts the server and the pod workers. Returns when the server
  // listens; registration and everything else that needs the API server goes on until it succeeds.
  async::Task<Result<void>> start();
  // Leaves containers running: the next start() finds them.
  async::Task<void> stop();

  void reload_certificates();
  std::uint16_t port() const;      // the bound one, when options.port was chosen by the kernel
  bool node_ready() const;         // the Ready condition was written as True

  class Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace onebin::kubelet
