// From API objects to what rules are made of.
#include <onebin/proxy/proxy.hpp>

#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::proxy {

namespace {

constexpr std::uint32_t kDefaultAffinitySeconds = 3 * 3600;  // v1.ClientIPConfig

void add_ips(std::vector<Ip>& out, const std::vector<std::string>& texts) {
  for (const auto& t : texts)
    if (auto ip = Ip::parse(t)) out.push_back(*ip);
}

std::uint8_t protocol_of(const std::string& name) { return name.empty() ? 6 : network::nft::protocol_number(name); }

std::vector<Ip> balancer_ips(const api::core::v1::Service& s) {
  std::vector<Ip> out;
  for (const auto& i : s.status.load_balancer.ingress)
    if (!i.ip_mode || *i.ip_mode == "VIP")
      if (auto ip = Ip::parse(i.ip)) out.push_back(*ip);
  return out;
}

}  // namespace

std::optional<Service> project_service(const api::core::v1::Service& s) {
  const auto& spec = s.spec;
  if (spec.type == "ExternalName" || spec.cluster_ip.empty() || spec.cluster_ip == "None") return std::nullopt;
  if (s.metadata.labels.count("service.kubernetes.io/service-proxy-name")) return std::nullopt;
  Service out;
  out.key = s.metadata.namespace_ + "/" + s.metadata.name;
  add_ips(out.cluster_ips, spec.cluster_ips.empty() ? std::vector<std::string>{spec.cluster_ip} : spec.cluster_ips);
  add_ips(out.external_ips, spec.external_ips);
  bool balancer = spec.type == "LoadBalancer", node_ports = balancer || spec.type == "NodePort";
  if (balancer) {
    out.load_balancer_ips = balancer_ips(s);
    for (const auto& r : spec.load_balancer_source_ranges)
      if (auto p = Prefix::parse(trim(r))) out.load_balancer_source_ranges.push_back(*p);
  }
  out.internal_local = spec.internal_traffic_policy && *spec.internal_traffic_policy == "Local";
  out.external_local = spec.external_traffic_policy == "Local" && (node_ports || !out.external_ips.empty());
  if (spec.session_affinity == "ClientIP") {
    out.affinity_seconds = kDefaultAffinitySeconds;
    if (spec.session_affinity_config && spec.session_affinity_config->client_ip && spec.session_affinity_config->client_ip->timeout_seconds)
      out.affinity_seconds = static_cast<std::uint32_t>(std::max(1, *spec.session_affinity_config->client_ip->timeout_seconds));
  }
  for (const auto& p : spec.ports) {
    ServicePort port;
    port.name = p.name;
    port.protocol = protocol_of(p.protocol);
    port.port = static_cast<std::uint16_t>(p.port);
    if (node_ports) port.node_port = static_cast<std::uint16_t>(p.node_port);
    if (port.protocol && port.port) out.ports.push_back(std::move(port));
  }
  return out;
}

void add_internal_addresses(Service& service, const NodeInfo& node) {
  auto& ips = service.load_balancer_ips;
  auto among = [&ips](const Ip& ip) { return std::find(ips.begin(), ips.end(), ip) != ips.end(); };
  for (const auto& external : node.external_ips) {
    if (!among(external)) continue;
    for (const auto& ip : node.ips)
      if (ip.is_v6() == external.is_v6() && !among(ip)) ips.push_back(ip);
  }
}

static Endpoint project_endpoint(const api::discovery::v1::Endpoint& e, const std::string& node_name) {
  Endpoint out;
  if (!e.addresses.empty())
    if (auto ip = Ip::parse(e.addresses.front())) out.ip = *ip;
  out.ready = e.conditions.ready.value_or(true);
  out.serving = e.conditions.serving.value_or(true);
  out.terminating = e.conditions.terminating.value_or(false);
  out.local = e.node_name && *e.node_name == node_name;
  if (e.hints) {
    for (const auto& z : e.hints->for_zones) out.zone_hints.push_back(z.name);
    for (const auto& n : e.hints->for_nodes) out.node_hints.push_back(n.name);
  }
  return out;
}

void add_slice(Service& service, const api::discovery::v1::EndpointSlice& slice, const std::string& node_name) {
  if (slice.address_type == "FQDN") return;
  for (const auto& port : slice.ports) {
    if (!port.port || *port.port <= 0) continue;
    std::uint8_t protocol = protocol_of(port.protocol.value_or("TCP"));
    for (auto& sp : service.ports) {
      if (sp.name != port.name.value_or("") || sp.protocol != protocol) continue;
      for (const auto& e : slice.endpoints) {
        Endpoint out = project_endpoint(e, node_name);
        if (!out.ip.is_valid()) continue;
        out.port = static_cast<std::uint16_t>(*port.port);
        auto less = [](const Endpoint& a, const Endpoint& b) { return std::tie(a.ip, a.port) < std::tie(b.ip, b.port); };
        auto at = std::lower_bound(sp.endpoints.begin(), sp.endpoints.end(), out, less);
        // An endpoint that moves from one slice to another is in both for a moment: the usable one counts.
        if (at == sp.endpoints.end() || less(out, *at)) sp.endpoints.insert(at, std::move(out));
        else if (out.ready || (!at->ready && out.serving)) *at = std::move(out);
      }
    }
  }
}

}  // namespace onebin::proxy
