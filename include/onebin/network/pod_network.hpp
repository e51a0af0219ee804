// PodNetwork: what the kubelet asks of the network: a namespace with an address for each pod. Injected, so that the
// kubelet's tests run on a fake.
//
// The real one (make_pod_network) gives each pod a network namespace, pinned by a bind mount, and a routed veth: the
// pod's default gateway is link-local (169.254.1.1 by proxy ARP, fe80::1 in IPv6), the node holds one host route for
// each pod address. Everything happens in the network namespace that the process runs in.
#pragma once
#include <onebin/async/task.hpp>
#include <onebin/network/address.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace onebin::network {

// v1.ContainerPort with a hostPort.
struct HostPort {
  Ip host_ip;                 // none or unspecified: all addresses of the node
  std::uint16_t host_port = 0;
  std::uint16_t container_port = 0;
  std::string protocol = "TCP";  // TCP, UDP, SCTP
  bool operator==(const HostPort&) const = default;
};

struct PodNetworkRequest {
  std::string pod_key;  // "namespace/name": for logs only
  std::string pod_uid;  // identity; [A-Za-z0-9-]{1,63}
  std::vector<HostPort> host_ports;
  // Names with dots or slashes under net ("net.ipv4.ip_unprivileged_port_start"); others are refused with BadRequest.
  std::map<std::string, std::string> sysctls;
  // Bits per second; 0 is unlimited. kubernetes.io/egress-bandwidth and ingress-bandwidth.
  std::uint64_t egress_bits_per_second = 0, ingress_bits_per_second = 0;
  // A namespace made beforehand (a user-namespaced pod's, made by the sandbox helper): it is pinned and configured
  // instead of a new one. Empty: make one.
  std::string existing_netns;
};

struct PodNetworkInfo {
  std::string pod_uid;
  std::string netns_path;  // stable until teardown; give it to the engine
  std::vector<Ip> ips;     // the first is the primary one; one per family of the node's pod ranges
  bool operator==(const PodNetworkInfo&) const = default;
};

class PodNetwork {
 public:
  virtual ~PodNetwork() = default;

  // The node's pod ranges (Node.spec.podCIDRs), first is primary, at most one per family. Until they are known, setup
  // fails with ServiceUnavailable. The same ranges again are no change. Pods that hold addresses of other ranges keep them.
  virtual async::Task<Result<void>> set_pod_cidrs(std::vector<Prefix> cidrs) = 0;
  virtual bool ready() const = 0;  // NetworkReady of the node's Ready condition

  // Idempotent by pod uid: a second call returns the same addresses (repairing what is missing). On failure nothing
  // stays behind. ServiceUnavailable: no ranges yet; TooManyRequests: no free address; Conflict: a host port is taken.
  virtual async::Task<Result<PodNetworkInfo>> setup(PodNetworkRequest request) = 0;
  // Idempotent; OK when nothing is known of the pod. Frees the addresses, the host ports, the namespace pin.
  virtual async::Task<Result<void>> teardown(std::string pod_uid) = 0;
  // What is set up, from memory (leases are read back at start).
  virtual std::vector<PodNetworkInfo> list() const = 0;
  // After a restart: tears down every pod that is not in `live`, verifies the others. Returns the uids among `live`
  // whose network is missing or broken (after a reboot, all): their sandboxes must be made anew.
  virtual async::Task<Result<std::vector<std::string>>> reconcile(std::vector<std::string> live_pod_uids) = 0;

  // Runs until it is cancelled: restores the rules of host ports and masquerading when somebody else deletes them.
  virtual async::Task<Result<void>> guard() { co_return Result<void>(); }
};

struct PodNetworkConfig {
  std::string run_dir;       // pins in <run_dir>/netns, leases in <run_dir>/network/leases
  int mtu = 0;               // of pod interfaces; 0: the uplink's, less the overlay's overhead
  bool overlay = true;       // 50 octets (70 over IPv6) are kept free for VXLAN when the MTU is found
  Ip node_ip;                // where the uplink's MTU is looked up; none: the default route's
  std::string interface_prefix = "veth";  // host ends are <prefix><11 hex digits of the uid's hash>
  std::string table = "onebin-pods";       // the nftables table (family inet) for host ports and masquerading
  // Destinations that pods reach under their own addresses (all nodes' pod ranges): others are masqueraded.
  std::vector<Prefix> cluster_cidrs;
  std::vector<Prefix> service_cidrs;  // of which the node may hold an address (the cluster's DNS): no host port takes it
  bool masquerade = true;    // pod traffic that leaves the cluster takes the node's address
};

// Reads the leases, sets the sysctls it needs (forwarding, loose rp_filter on its own interfaces), applies its
// nftables table. Fails when the process lacks the privileges.
Result<std::unique_ptr<PodNetwork>> make_pod_network(PodNetworkConfig config);

// For uninstalling: all pods' namespaces and interfaces, the table, the files.
Result<void> remove_pod_network(const PodNetworkConfig& config);

}  // namespace onebin::network
