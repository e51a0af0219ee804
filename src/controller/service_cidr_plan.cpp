#include "service_cidr_plan.hpp"

#include "pods.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdlib>

namespace onebin::controller {
namespace {
constexpr char kManagedBy[] = "ipaddress.kubernetes.io/managed-by", kFamily[] = "ipaddress.kubernetes.io/ip-family", kAllocator[] = "ipallocator.k8s.io";
}

std::optional<Prefix> Prefix::parse(std::string_view text) {
  Prefix p;
  std::size_t slash = text.find('/');
  std::string address(text.substr(0, slash));
  p.v6 = address.find(':') != std::string::npos;
  if (inet_pton(p.v6 ? AF_INET6 : AF_INET, address.c_str(), p.bytes.data()) != 1) return std::nullopt;
  int width = p.v6 ? 128 : 32;
  p.bits = slash == std::string_view::npos ? width : std::atoi(std::string(text.substr(slash + 1)).c_str());
  if (p.bits < 0 || p.bits > width) return std::nullopt;
  return p;
}

bool Prefix::contains(const Prefix& o) const {
  if (o.v6 != v6 || o.bits < bits) return false;
  for (int i = 0; i < bits; ++i) {
    auto at = static_cast<std::size_t>(i / 8);
    if ((bytes[at] ^ o.bytes[at]) & (0x80 >> (i % 8))) return false;
  }
  return true;
}

std::vector<std::string> covering(const std::vector<ServiceCIDR>& all, const Prefix& range) {
  std::vector<std::string> out;
  for (const auto& c : all)
    if (std::any_of(c.spec.cidrs.begin(), c.spec.cidrs.end(), [&](const std::string& text) {
          auto p = Prefix::parse(text);
          return p && p->contains(range);
        }))
      out.push_back(c.metadata.name);
  return out;
}

bool can_go(const ServiceCIDR& c, const std::vector<ServiceCIDR>& all, const std::vector<std::string>& addresses) {
  auto only_here = [&](const Prefix& p) {
    auto names = covering(all, p);
    return names.empty() || (names.size() == 1 && names[0] == c.metadata.name);
  };
  std::vector<Prefix> own;
  for (const auto& text : c.spec.cidrs)
    if (auto p = Prefix::parse(text)) own.push_back(*p);
  if (std::none_of(own.begin(), own.end(), only_here)) return true;
  return std::none_of(addresses.begin(), addresses.end(), [&](const std::string& text) {
    auto a = Prefix::parse(text);
    return a && std::any_of(own.begin(), own.end(), [&](const Prefix& p) { return p.contains(*a); }) && only_here(*a);
  });
}

std::vector<std::string> addresses_of(const api::core::v1::Service& s) {
  if (s.spec.type == "ExternalName") return {};
  std::vector<std::string> out = s.spec.cluster_ips;
  if (out.empty() && !s.spec.cluster_ip.empty()) out.push_back(s.spec.cluster_ip);
  std::erase_if(out, [](const std::string& ip) { return ip.empty() || ip == "None"; });
  return out;
}

IPAddress address_object(const std::string& address, const std::string& ns, const std::string& name) {
  IPAddress a;
  a.metadata.name = address;
  a.metadata.labels = {{kFamily, address.find(':') == std::string::npos ? "IPv4" : "IPv6"}, {kManagedBy, kAllocator}};
  auto& parent = a.spec.parent_ref.ensure();
  parent.resource = "services";
  parent.namespace_ = ns;
  parent.name = name;
  return a;
}
bool is_allocated(const IPAddress& a) {
  auto it = a.metadata.labels.find(kManagedBy);
  return it != a.metadata.labels.end() && it->second == kAllocator;
}
bool is_for(const IPAddress& a, const std::string& ns, const std::string& name) {
  const auto& p = a.spec.parent_ref;
  return p && p->group.empty() && p->resource == "services" && p->namespace_ == ns && p->name == name;
}

bool set_ready(ServiceCIDR& c, bool ready, WallTime now) {
  // The default range's own words stay.
  for (const auto& k : c.status.conditions)
    if (ready && k.type == "Ready" && k.status == "True") return false;
  api::meta::v1::Condition k;
  k.type = "Ready";
  k.status = ready ? "True" : "False";
  k.reason = ready ? "" : "Terminating";
  k.message = ready ? "Kubernetes Service CIDR is ready" : "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
  k.last_transition_time = now;
  return set_condition(c.status.conditions, std::move(k));
}

}  // namespace onebin::controller
