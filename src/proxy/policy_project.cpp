// From API objects to what policies are made of.
#include <onebin/proxy/policy.hpp>

#include <algorithm>

namespace onebin::proxy {

namespace {
namespace net1 = api::networking::v1;
using apimachinery::LabelSelector;

// A selector that cannot be read selects nothing: the API server lets none in.
template <class S>
LabelSelector selector_of(const S& s) {
  auto r = LabelSelector::from_struct(s);
  return r ? std::move(*r) : LabelSelector::nothing();
}

// The halves of a prefix.
std::pair<Prefix, Prefix> split(const Prefix& p) {
  std::string upper = p.ip.bytes();
  auto at = static_cast<std::size_t>(p.length / 8);
  upper[at] = static_cast<char>(upper[at] | (0x80 >> (p.length % 8)));
  return {{p.ip, p.length + 1}, {Ip::from_bytes(upper), p.length + 1}};
}

void subtract_one(const Prefix& p, const Prefix& except, std::vector<Prefix>& out) {
  if (except.is_v4() != p.is_v4() || (!p.contains(except.ip) && !except.contains(p.ip))) return out.push_back(p);
  if (except.length <= p.length) return;
  auto [lower, upper] = split(p);
  subtract_one(lower, except, out);
  subtract_one(upper, except, out);
}

PolicyPeer peer_of(const net1::NetworkPolicyPeer& p, const std::string& ns) {
  PolicyPeer out;
  if (p.namespace_selector) out.namespaces = selector_of(*p.namespace_selector);
  else out.ns = ns;
  if (p.pod_selector) out.pods = selector_of(*p.pod_selector);
  return out;
}

std::optional<PolicyPort> port_of(const net1::NetworkPolicyPort& p) {
  PolicyPort out;
  if (p.protocol) out.protocol = network::nft::protocol_number(*p.protocol);
  if (!out.protocol) return std::nullopt;
  if (!p.port) return out;
  if (p.port->is_string) {
    out.name = p.port->string_value;
    return out;
  }
  int first = p.port->int_value, last = p.end_port.value_or(first);
  if (first < 1 || last > 65535 || last < first) return std::nullopt;
  out.first = static_cast<std::uint16_t>(first);
  out.last = static_cast<std::uint16_t>(last);
  return out;
}

PolicyRule rule_of(const std::vector<net1::NetworkPolicyPeer>& peers, const std::vector<net1::NetworkPolicyPort>& ports, const std::string& ns) {
  PolicyRule out;
  out.any_peer = peers.empty();
  out.any_port = ports.empty();
  for (const auto& p : peers) {
    if (!p.ip_block) {
      out.peers.push_back(peer_of(p, ns));
      continue;
    }
    auto cidr = Prefix::parse(p.ip_block->cidr);
    std::vector<Prefix> except;
    for (const auto& text : p.ip_block->except)
      if (auto e = Prefix::parse(text)) except.push_back(*e);
    if (!cidr) continue;
    auto left = subtract(*cidr, except);
    out.blocks.insert(out.blocks.end(), left.begin(), left.end());
  }
  for (const auto& p : ports)
    if (auto port = port_of(p)) out.ports.push_back(std::move(*port));
  return out;
}

template <class Fn>
void for_each_port(const api::core::v1::PodSpec& spec, Fn fn) {
  for (const auto& c : spec.containers)
    for (const auto& p : c.ports) fn(p);
  for (const auto& c : spec.init_containers)
    if (c.restart_policy && *c.restart_policy == "Always")
      for (const auto& p : c.ports) fn(p);
}

}  // namespace

std::vector<Prefix> subtract(const Prefix& cidr, const std::vector<Prefix>& except) {
  std::vector<Prefix> left{cidr};
  for (const auto& e : except) {
    std::vector<Prefix> next;
    for (const auto& p : left) subtract_one(p, e, next);
    left = std::move(next);
  }
  return left;
}

Policy project_policy(const net1::NetworkPolicy& p) {
  Policy out;
  out.ns = p.metadata.namespace_;
  out.key = out.ns + "/" + p.metadata.name;
  out.pods = selector_of(p.spec.pod_selector);
  const auto& types = p.spec.policy_types;
  auto about = [&](const char* type, bool unless_said) { return types.empty() ? unless_said : std::find(types.begin(), types.end(), type) != types.end(); };
  if (about("Ingress", true)) {
    out.ingress.emplace();
    for (const auto& r : p.spec.ingress) out.ingress->push_back(rule_of(r.from, r.ports, out.ns));
  }
  if (about("Egress", !p.spec.egress.empty())) {
    out.egress.emplace();
    for (const auto& r : p.spec.egress) out.egress->push_back(rule_of(r.to, r.ports, out.ns));
  }
  return out;
}

std::optional<PolicyPod> project_pod(const api::core::v1::Pod& pod, const std::string& node_name) {
  if (pod.spec.host_network || pod.status.phase == "Succeeded" || pod.status.phase == "Failed") return std::nullopt;
  PolicyPod out;
  for (const auto& p : pod.status.pod_ips)
    if (auto ip = Ip::parse(p.ip)) out.ips.push_back(*ip);
  if (out.ips.empty()) return std::nullopt;
  out.ns = pod.metadata.namespace_;
  out.labels = pod.metadata.labels;
  out.local = pod.spec.node_name == node_name;
  for_each_port(pod.spec, [&](const api::core::v1::ContainerPort& p) {
    std::uint8_t protocol = p.protocol.empty() ? 6 : network::nft::protocol_number(p.protocol);
    if (!p.name.empty() && protocol) out.ports.push_back({p.name, protocol, static_cast<std::uint16_t>(p.container_port)});
  });
  return out;
}

api::core::v1::Pod reduced(const api::core::v1::Pod& pod) {
  api::core::v1::Pod out;
  out.metadata.namespace_ = pod.metadata.namespace_;
  out.metadata.name = pod.metadata.name;
  out.metadata.resource_version = pod.metadata.resource_version;
  out.metadata.labels = pod.metadata.labels;
  out.spec.node_name = pod.spec.node_name;
  out.spec.host_network = pod.spec.host_network;
  out.status.phase = pod.status.phase;
  out.status.pod_ips = pod.status.pod_ips;
  api::core::v1::Container ports;
  for_each_port(pod.spec, [&](const api::core::v1::ContainerPort& p) {
    if (!p.name.empty()) ports.ports.push_back(p);
  });
  if (!ports.ports.empty()) out.spec.containers.push_back(std::move(ports));
  return out;
}

PolicyPod dns_pod(std::vector<Ip> ips) {
  PolicyPod out;
  out.ns = "kube-system";
  out.labels = {{"k8s-app", "kube-dns"}};
  out.ips = std::move(ips);
  out.ports = {{"dns", 17, 53}, {"dns-tcp", 6, 53}};
  return out;
}

}  // namespace onebin::proxy
