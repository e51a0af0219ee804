// Manager: the controllers of kube-controller-manager, each under its own identity, on shared informers.
#pragma once
#include <onebin/async/task.hpp>
#include <onebin/base/pki.hpp>
#include <onebin/base/random.hpp>
#include <onebin/base/time.hpp>
#include <onebin/client/transport.hpp>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace onebin::client {
class Informers;
}

namespace onebin::controller {

struct Options {
  std::vector<std::string> cluster_cidrs = {"10.42.0.0/16"};  // pods' ranges, one of each family
  int node_mask_v4 = 24, node_mask_v6 = 64;                   // of the range that each node gets
  std::string root_ca_pem;           // published to every namespace as kube-root-ca.crt
  pki::KeyPair client_ca;            // signs kube-apiserver-client and kube-apiserver-client-kubelet
  pki::KeyPair kubelet_ca;           // signs kubelet-serving: apart, so that no node can pose as the API server
  Duration certificate_validity = 365 * 24h;
  Duration node_monitor_grace = 50s;    // without a Lease renewal: Ready becomes Unknown
  std::uint16_t api_port = 6443;        // of the API server, on nodes' addresses: no load balancer takes it
  std::set<std::string> disabled;       // controllers by upstream's names, "deployment-controller"; and "servicelb"
  Rng* rng = nullptr;                   // null: the system's
};

// The transport of a user: "system:serviceaccount:kube-system:deployment-controller", "system:kube-controller-manager".
// The same name gives the same transport, which outlives the manager.
using TransportOf = std::function<client::Transport&(const std::string& user)>;

// Names of all controllers, as Options::disabled takes them.
std::vector<std::string> controller_names();

class Manager {
 public:
  Manager(TransportOf transport_of, Options options);
  ~Manager();  // after stop() has returned
  // What the controllers read by, for other components beside them. Runs from start() to stop(); handlers must not outlive it.
  client::Informers& informers();
  void start();
  async::Task<void> stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace onebin::controller
