// Server: the cluster's DNS on this node, over UDP and TCP, at the cluster DNS addresses.
#pragma once
#include <onebin/api/core_v1.hpp>
#include <onebin/api/discovery_v1.hpp>
#include <onebin/client/informer.hpp>
#include <onebin/dns/zone.hpp>

#include <memory>
#include <string>
#include <vector>

namespace onebin::dns {

struct Options {
  std::vector<std::string> addresses;       // to serve at; the agent has put them on the loopback interface
  std::uint16_t port = 53;
  std::string cluster_domain = "cluster.local";
  std::string resolv_conf = "/etc/resolv.conf";  // whose name servers answer all else; read again when it changes
  std::size_t max_forwards = 512;           // questions under way to upstream at once; more are answered SERVFAIL
  std::size_t max_connections = 256;        // TCP
};

class Server {
 public:
  // The informers hold all namespaces, without selectors, and outlive the server; the owner starts them.
  Server(client::Informer<api::core::v1::Service>& services, client::Informer<api::discovery::v1::EndpointSlice>& slices, Options options);
  ~Server();  // after stop() has returned
  async::Task<Result<void>> start();  // listens; until the informers are in step, names of the cluster get SERVFAIL
  async::Task<void> stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;  // its handlers stay with the informers
};

}  // namespace onebin::dns
