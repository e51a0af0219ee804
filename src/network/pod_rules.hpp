// The nftables table of the pod network: host ports, masquerading, protection of the node's loopback. Pure.
#pragma once
#include <onebin/network/nft.hpp>
#include <onebin/network/pod_network.hpp>

#include <map>
#include <string>
#include <vector>

namespace onebin::network {

// What the node remembers of a pod.
struct Lease {
  std::string pod_uid;
  std::vector<Ip> ips;
  std::vector<HostPort> host_ports;
  bool operator==(const Lease&) const = default;
};

struct PodRules {
  std::string interface_prefix;
  std::vector<Prefix> pod_cidrs;      // this node's
  std::vector<Prefix> cluster_cidrs;  // pods reach these under their own addresses
  std::vector<Prefix> service_cidrs;  // not host ports, even where they are addresses of the node
  bool masquerade = true;
};

// The table without pods: chains, and the sets that pods are entered in.
nft::Table base_pod_table(const PodRules& rules);
// The part of it that one pod contributes: elements of the sets alone. Every shared set is named.
nft::Table pod_part(const Lease& lease);

// The first host port of `wanted` that another lease holds, as "TCP 0.0.0.0:80"; "" when there is none. Ports clash
// when protocol and number are equal and the addresses are, or one of them is unspecified.
std::string host_port_conflict(const std::vector<HostPort>& wanted, const std::vector<const Lease*>& leases);

}  // namespace onebin::network
