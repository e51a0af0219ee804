// From Services and their endpoints to nftables: values and pure functions. One table of family inet; maps and verdict
// maps, so that what a packet costs does not depend on the number of services.
#pragma once
#include <onebin/network/nft.hpp>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace onebin::proxy {

using network::Ip;
using network::Prefix;

// An endpoint of one port of a service. Conditions as EndpointSlice has them, defaults applied.
struct Endpoint {
  Ip ip;
  std::uint16_t port = 0;
  bool ready = true, serving = true, terminating = false;
  bool local = false;  // on this node
  std::vector<std::string> zone_hints, node_hints;
  auto operator<=>(const Endpoint&) const = default;
};

struct ServicePort {
  std::string name;
  std::uint8_t protocol = 6;
  std::uint16_t port = 0, node_port = 0;
  std::vector<Endpoint> endpoints;  // of both families, ordered, each address and port once
  std::vector<Ip> not_at;           // of the service's addresses, those where another service has this port
  bool operator==(const ServicePort&) const = default;
};

struct Service {
  std::string key;  // "namespace/name"
  std::vector<Ip> cluster_ips, external_ips, load_balancer_ips;
  std::vector<Prefix> load_balancer_source_ranges;
  bool internal_local = false, external_local = false;  // traffic policies
  std::uint32_t affinity_seconds = 0;                   // ClientIP; 0: none
  std::vector<ServicePort> ports;
  bool operator==(const Service&) const = default;
};

struct NodeInfo {
  std::string name, zone;
  std::vector<Ip> ips;
  std::vector<Ip> external_ips;           // of its status: what comes to them may arrive for `ips`, by way of a router
  std::vector<Prefix> pod_cidrs;      // of this node
  std::vector<Prefix> cluster_cidrs;  // of all pods; traffic from elsewhere to a cluster IP is masqueraded
  std::vector<Prefix> service_cidrs;  // what of them is not allocated is dropped
  std::set<Ip> local_ips;             // service addresses that the node serves itself (DNS): left alone
  bool operator==(const NodeInfo&) const = default;
};

constexpr std::uint32_t kMasqueradeMark = 0x4000;  // the bit that kube-proxy uses by default

// The endpoints that each traffic policy uses, per family (KEP-1669 for terminating ones, KEP-2433 and KEP-3015 for hints).
struct Chosen {
  std::vector<Endpoint> cluster, local;
  bool any = false;  // whether there is one anywhere
};
Chosen choose_endpoints(const Service& service, const std::vector<Endpoint>& endpoints, const NodeInfo& node);

// The table without services, what one service contributes to it, and both together.
network::nft::Table base_table(const NodeInfo& node);
network::nft::Table service_part(const Service& service, const NodeInfo& node);
network::nft::Table compute_ruleset(const std::map<std::string, Service>& services, const NodeInfo& node);

}  // namespace onebin::proxy
