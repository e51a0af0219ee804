// From NetworkPolicies, pods and namespaces to nftables: values and pure functions (networking.k8s.io/v1, "Network Policies"
// in Kubernetes' documentation). A node enforces for its own pods; what it writes for them:
//
// - two base chains where packets are routed, one for each direction, after the services' DNAT: an allowed packet ends its
//   way through one of them and still passes the other;
// - in each a verdict map from the addresses of isolated pods to the chain of the policies that select them. A packet of an
//   established connection costs one rule, a first one a look-up and the rules of those policies;
// - a chain for each policy that selects a pod here; pods that the same policies select share a chain that jumps to these;
// - sets of the addresses that a peer selects in the whole cluster, and of the addresses and numbers of a named port. A pod
//   that comes or goes is an element in each set that it belongs to.
//
// Never checked, as documented: what the node itself says to its pods and they to it, and what a pod says to itself.
#pragma once
#include <onebin/api/core_v1.hpp>
#include <onebin/api/networking_v1.hpp>
#include <onebin/apimachinery/selectors.hpp>
#include <onebin/network/nft.hpp>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace onebin::proxy {

using network::Ip;
using network::Prefix;
using Labels = std::map<std::string, std::string>;

struct PolicyPeer {
  std::string ns;                                          // where there is no selector of namespaces: the policy's own
  std::optional<apimachinery::LabelSelector> namespaces;
  apimachinery::LabelSelector pods;
  std::string set_name() const;                            // without the family; equal for equal peers
  bool matches(const std::string& pod_ns, const Labels& ns_labels, const Labels& pod_labels) const;
  bool operator==(const PolicyPeer&) const = default;
};

struct PolicyPort {
  std::uint8_t protocol = 6;
  std::uint16_t first = 1, last = 65535;
  std::string name;  // of a port of the destination, in place of the numbers
  bool operator==(const PolicyPort&) const = default;
};

struct PolicyRule {
  bool any_peer = false, any_port = false;
  std::vector<PolicyPeer> peers;
  std::vector<Prefix> blocks;  // ipBlocks without their exceptions
  std::vector<PolicyPort> ports;
  bool operator==(const PolicyRule&) const = default;
};

struct Policy {
  std::string key, ns;  // "namespace/name"
  apimachinery::LabelSelector pods;
  // A direction without rules is closed; one that the policy is not about has none here.
  std::optional<std::vector<PolicyRule>> ingress, egress;
  bool selects(const std::string& pod_ns, const Labels& labels) const { return pod_ns == ns && pods.matches(labels); }
  bool operator==(const Policy&) const = default;
};

struct PolicyPod {
  std::string ns;
  Labels labels;
  std::vector<Ip> ips;
  bool local = false;  // on this node
  struct Port {
    std::string name;
    std::uint8_t protocol = 6;
    std::uint16_t port = 0;
    bool operator==(const Port&) const = default;
  };
  std::vector<Port> ports;  // those with a name
  bool operator==(const PolicyPod&) const = default;
};

// What is left of an ipBlock without its exceptions.
std::vector<Prefix> subtract(const Prefix& cidr, const std::vector<Prefix>& except);

Policy project_policy(const api::networking::v1::NetworkPolicy& policy);
// nullopt: not to be considered (on the host's network, ended, without address yet).
std::optional<PolicyPod> project_pod(const api::core::v1::Pod& pod, const std::string& node_name);
// The parts of a pod that project_pod() looks at, with its identity: all that a node keeps of the cluster's pods.
api::core::v1::Pod reduced(const api::core::v1::Pod& pod);
// The node's own DNS as policies see it: a pod with the labels of the cluster's DNS.
PolicyPod dns_pod(std::vector<Ip> ips);

// The policies that select pods of this node, these pods, and what the sets of addresses are made of.
struct PolicyView {
  std::map<std::string, std::shared_ptr<const Policy>> policies;  // those that select one
  std::map<std::string, PolicyPod> pods;                          // those that one selects, by "namespace/name"
  std::map<std::string, PolicyPeer> peers;                        // by set_name()
  std::set<std::pair<std::uint8_t, std::string>> ports;           // protocol and name
};
PolicyView make_view(const std::map<std::string, std::shared_ptr<const Policy>>& policies, const std::map<std::string, PolicyPod>& local_pods);

// All that is written for a view but the elements of its sets of peers and named ports, which are there and empty. `local_ips`:
// addresses of the node that policies do govern (the cluster's DNS).
network::nft::Table policy_part(const PolicyView& view, const std::vector<Ip>& local_ips);
// Adds a pod's elements to those sets of peers and named ports of the view that are not in `but`.
void add_peer(network::nft::Table& table, const PolicyView& view, const PolicyPod& pod, const Labels& ns_labels, const PolicyView* but = nullptr);

}  // namespace onebin::proxy
