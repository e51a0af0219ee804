#include "service_endpoints.hpp"

#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <map>

namespace onebin::controller {
namespace {

namespace v1 = api::core::v1;
namespace discovery = api::discovery::v1;
constexpr std::size_t kMaxEndpoints = 100;   // of a slice
constexpr std::size_t kMaxAddresses = 1000;  // of an Endpoints object
constexpr char kServiceName[] = "kubernetes.io/service-name", kManagedBy[] = "endpointslice.kubernetes.io/managed-by";
constexpr char kHeadless[] = "service.kubernetes.io/headless", kOverCapacity[] = "endpoints.kubernetes.io/over-capacity";
constexpr char kManager[] = "endpointslice-controller.k8s.io";

bool headless(const Service& s) { return s.spec.cluster_ip == "None"; }
bool ready_for(const Pod& p, const Service& s) { return s.spec.publish_not_ready_addresses || is_ready(p); }

Box<v1::ObjectReference> target_of(const Pod& p) {
  v1::ObjectReference r;
  r.kind = "Pod";
  r.namespace_ = p.metadata.namespace_;
  r.name = p.metadata.name;
  r.uid = p.metadata.uid;
  return r;
}

discovery::Endpoint endpoint(const Pod& p, const Service& s, const std::string& address, const std::function<std::string(const std::string&)>& zone_of) {
  discovery::Endpoint e;
  e.addresses = {address};
  bool terminating = !p.metadata.deletion_timestamp.is_zero();
  bool serving = is_ready(p);
  e.conditions.ready = s.spec.publish_not_ready_addresses || (serving && !terminating);
  e.conditions.serving = s.spec.publish_not_ready_addresses || serving;
  e.conditions.terminating = terminating;
  if (std::string h = endpoint_hostname(p, s); !h.empty()) e.hostname = h;
  e.target_ref = target_of(p);
  if (!p.spec.node_name.empty()) {
    e.node_name = p.spec.node_name;
    if (std::string z = zone_of(p.spec.node_name); !z.empty()) e.zone = z;
  }
  return e;
}

// The ports of a service on one pod; pods with equal ports share slices.
std::vector<discovery::EndpointPort> ports_of(const Pod& pod, const Service& s) {
  std::vector<discovery::EndpointPort> out;
  for (const auto& sp : s.spec.ports) {
    std::optional<int> port = target_port(pod, sp);
    if (!port) continue;
    discovery::EndpointPort ep;
    ep.name = sp.name;
    ep.protocol = sp.protocol.empty() ? "TCP" : sp.protocol;
    ep.port = *port;
    ep.app_protocol = sp.app_protocol;
    out.push_back(std::move(ep));
  }
  return out;
}

std::string port_key(const std::vector<discovery::EndpointPort>& ports) {
  std::string k;
  for (const auto& p : ports) k += (p.name ? *p.name : "") + "/" + (p.protocol ? *p.protocol : "") + "/" + std::to_string(p.port ? *p.port : 0) + "/" + (p.app_protocol ? *p.app_protocol : "") + ";";
  return k;
}

bool same_content(const EndpointSlice& a, const EndpointSlice& b) {
  return a.address_type == b.address_type && a.endpoints == b.endpoints && a.ports == b.ports && a.metadata.labels == b.metadata.labels &&
         a.metadata.owner_references == b.metadata.owner_references;
}

}  // namespace

std::optional<int> target_port(const Pod& pod, const v1::ServicePort& port) {
  const auto& t = port.target_port;
  if (!t.is_string) return t.int_value ? t.int_value : port.port;
  std::string protocol = port.protocol.empty() ? "TCP" : port.protocol;
  auto find = [&](const auto& containers, bool sidecars_only) -> std::optional<int> {
    for (const auto& c : containers) {
      if (sidecars_only && !(c.restart_policy && *c.restart_policy == "Always")) continue;
      for (const auto& p : c.ports)
        if (p.name == t.string_value && (p.protocol.empty() ? "TCP" : p.protocol) == protocol) return p.container_port;
    }
    return std::nullopt;
  };
  if (auto p = find(pod.spec.containers, false)) return p;
  return find(pod.spec.init_containers, true);
}

std::string pod_address(const Pod& pod, std::string_view family) {
  bool v6 = family == "IPv6";
  for (const auto& ip : pod.status.pod_ips)
    if ((ip.ip.find(':') != std::string::npos) == v6) return ip.ip;
  if (pod.status.pod_ips.empty() && !pod.status.pod_ip.empty() && (pod.status.pod_ip.find(':') != std::string::npos) == v6) return pod.status.pod_ip;
  return {};
}

bool is_candidate(const Pod& p) {
  return !is_finished(p) && !(p.status.pod_ip.empty() && p.status.pod_ips.empty());
}

std::string endpoint_hostname(const Pod& p, const Service& s) {
  if (p.spec.hostname.empty() || p.spec.subdomain != s.metadata.name || p.metadata.namespace_ != s.metadata.namespace_) return {};
  return p.spec.hostname;
}

std::vector<EndpointSlice> desired_slices(const Service& s, const std::vector<Pod>& pods, const std::string& family,
                                          const std::function<std::string(const std::string&)>& zone_of) {
  std::map<std::string, EndpointSlice> groups;
  auto base = [&](std::vector<discovery::EndpointPort> ports) {
    EndpointSlice slice;
    slice.address_type = family;
    slice.ports = std::move(ports);
    slice.metadata.namespace_ = s.metadata.namespace_;
    slice.metadata.generate_name = s.metadata.name + "-";
    slice.metadata.labels = s.metadata.labels;
    if (headless(s)) slice.metadata.labels[kHeadless] = "";
    else slice.metadata.labels.erase(kHeadless);
    slice.metadata.labels[kServiceName] = s.metadata.name;
    slice.metadata.labels[kManagedBy] = kManager;
    slice.metadata.owner_references = {controller_ref(s)};
    return slice;
  };
  std::vector<EndpointSlice> out;
  for (const auto& p : pods) {
    if (!is_candidate(p)) continue;
    std::string address = pod_address(p, family);
    if (address.empty()) continue;
    auto ports = ports_of(p, s);
    if (ports.empty() && !s.spec.ports.empty()) continue;
    std::string key = port_key(ports);
    auto at = groups.try_emplace(key, base(ports)).first;
    at->second.endpoints.push_back(endpoint(p, s, address, zone_of));
  }
  for (auto& [key, slice] : groups) {
    std::sort(slice.endpoints.begin(), slice.endpoints.end(), [](const auto& a, const auto& b) { return a.addresses < b.addresses; });
    std::vector<discovery::Endpoint> all = std::move(slice.endpoints);
    for (std::size_t i = 0; i < all.size(); i += kMaxEndpoints) {
      EndpointSlice part = slice;
      part.endpoints.assign(all.begin() + static_cast<std::ptrdiff_t>(i), all.begin() + static_cast<std::ptrdiff_t>(std::min(all.size(), i + kMaxEndpoints)));
      out.push_back(std::move(part));
    }
  }
  if (out.empty()) out.push_back(base({}));  // a service without endpoints still has a slice
  return out;
}

SliceChanges plan_slices(const Service&, const std::vector<EndpointSlice>& existing, std::vector<EndpointSlice> desired) {
  SliceChanges out;
  std::vector<const EndpointSlice*> unused;
  for (const auto& e : existing) unused.push_back(&e);
  std::vector<EndpointSlice> changed;
  for (auto& d : desired) {
    auto same = std::find_if(unused.begin(), unused.end(), [&](auto* e) { return same_content(*e, d); });
    if (same != unused.end()) unused.erase(same);
    else changed.push_back(std::move(d));
  }
  for (auto& d : changed) {
    // One with the same ports becomes it; an address type never changes.
    auto like = std::find_if(unused.begin(), unused.end(), [&](auto* e) { return e->address_type == d.address_type && port_key(e->ports) == port_key(d.ports); });
    if (like == unused.end()) like = std::find_if(unused.begin(), unused.end(), [&](auto* e) { return e->address_type == d.address_type; });
    if (like == unused.end()) {
      out.create.push_back(std::move(d));
      continue;
    }
    EndpointSlice u = **like;
    u.endpoints = std::move(d.endpoints);
    u.ports = std::move(d.ports);
    u.metadata.labels = std::move(d.metadata.labels);
    u.metadata.owner_references = std::move(d.metadata.owner_references);
    out.update.push_back(std::move(u));
    unused.erase(like);
  }
  for (const auto* e : unused) out.remove.push_back(e->metadata.name);
  return out;
}

v1::Endpoints desired_endpoints(const Service& s, const std::vector<Pod>& pods) {
  v1::Endpoints out;
  out.metadata.name = s.metadata.name;
  out.metadata.namespace_ = s.metadata.namespace_;
  out.metadata.labels = s.metadata.labels;
  if (headless(s)) out.metadata.labels[kHeadless] = "";
  else out.metadata.labels.erase(kHeadless);
  out.metadata.labels[kManagedBy] = "endpoint-controller";
  std::string family = !s.spec.ip_families.empty() ? s.spec.ip_families[0] : s.spec.cluster_ip.find(':') != std::string::npos ? "IPv6" : "IPv4";
  std::map<std::string, v1::EndpointSubset> groups;
  std::size_t total = 0;
  for (const auto& p : pods) {
    if (!is_candidate(p) || !p.metadata.deletion_timestamp.is_zero()) continue;
    std::string address = pod_address(p, family);
    if (address.empty()) continue;
    std::vector<v1::EndpointPort> ports;
    std::string key;
    for (const auto& sp : s.spec.ports) {
      std::optional<int> port = target_port(p, sp);
      if (!port) continue;
      v1::EndpointPort ep;
      ep.name = sp.name;
      ep.port = *port;
      ep.protocol = sp.protocol.empty() ? "TCP" : sp.protocol;
      ep.app_protocol = sp.app_protocol;
      key += ep.name + "/" + std::to_string(ep.port) + "/" + ep.protocol + ";";
      ports.push_back(std::move(ep));
    }
    if (ports.empty() && !s.spec.ports.empty()) continue;
    if (++total > kMaxAddresses) continue;
    v1::EndpointAddress a;
    a.ip = address;
    a.hostname = endpoint_hostname(p, s);
    if (!p.spec.node_name.empty()) a.node_name = p.spec.node_name;
    a.target_ref = target_of(p);
    auto& subset = groups[key];
    subset.ports = std::move(ports);
    (ready_for(p, s) ? subset.addresses : subset.not_ready_addresses).push_back(std::move(a));
  }
  if (total > kMaxAddresses) out.metadata.annotations[kOverCapacity] = "truncated";
  auto by_ip = [](const auto& a, const auto& b) { return a.ip < b.ip; };
  for (auto& [key, subset] : groups) {
    std::sort(subset.addresses.begin(), subset.addresses.end(), by_ip);
    std::sort(subset.not_ready_addresses.begin(), subset.not_ready_addresses.end(), by_ip);
    out.subsets.push_back(std::move(subset));
  }
  return out;
}

}  // namespace onebin::controller
