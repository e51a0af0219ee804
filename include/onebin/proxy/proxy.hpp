// Proxy: keeps the node's service rules in step with Services and EndpointSlices.
#pragma once
#include <onebin/api/core_v1.hpp>
#include <onebin/api/discovery_v1.hpp>
#include <onebin/client/informer.hpp>
#include <onebin/proxy/ruleset.hpp>

#include <memory>

namespace onebin::proxy {

struct Options {
  NodeInfo node;
  std::string table = "onebin";
  Duration min_sync_period = 20ms;  // changes that come within it are applied together
  int service_route_mtu = 1450;     // of the route that lets the node's processes reach service addresses
  client::Client* policies = nullptr;  // where given, NetworkPolicies are read by it and enforced; it outlives the proxy
};

class Proxy {
 public:
  // The informers hold all namespaces, without selectors, and outlive the proxy; the owner starts them.
  Proxy(client::Informer<api::core::v1::Service>& services, client::Informer<api::discovery::v1::EndpointSlice>& slices, Options options);
  ~Proxy();  // after stop() has returned

  // Fails when nftables cannot be used. The first rules are written when both informers are in step.
  async::Task<Result<void>> start();
  // Leaves the rules in place, so that a restart disturbs nothing.
  async::Task<void> stop();
  bool synced() const;  // the first rules are written
  // The node's zone, pod ranges and external addresses, when they become known or change.
  void set_node(std::string zone, std::vector<Prefix> pod_cidrs, std::vector<Ip> external_ips);
  // A pod of this node has got addresses and is about to start. Returns when the policies that select it hold for them, or
  // after a few seconds where they cannot be written.
  async::Task<void> admit(std::string pod_key, std::vector<Ip> ips);
  // Removes the table and the route: for uninstalling.
  static Result<void> remove(const Options& options);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;  // its handlers stay with the informers
};

// The projections of API objects that rules are made from. nullopt: not to be proxied (headless, ExternalName, another's).
std::optional<Service> project_service(const api::core::v1::Service& service);
// Where an external address of the node is the balancer's, its internal ones are too: a router translates one to the other.
void add_internal_addresses(Service& service, const NodeInfo& node);
// Adds a slice's endpoints to the ports of `service`.
void add_slice(Service& service, const api::discovery::v1::EndpointSlice& slice, const std::string& node_name);

}  // namespace onebin::proxy
