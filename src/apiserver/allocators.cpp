#include "apiserver/allocators.hpp"

#include <onebin/api/codec.hpp>
#include <onebin/api/core_v1.hpp>
#include <onebin/api/networking_v1.hpp>
#include <onebin/base/log.hpp>

#include <arpa/inet.h>

#include <algorithm>
#include <set>

namespace onebin::apiserver {

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  std::string s(text);
  IpAddress ip;
  if (inet_pton(AF_INET, s.c_str(), ip.bytes.data()) == 1) return ip;
  ip.v6 = true;
  if (inet_pton(AF_INET6, s.c_str(), ip.bytes.data()) == 1) return ip;
  return std::nullopt;
}

std::string IpAddress::to_string() const {
  char buffer[INET6_ADDRSTRLEN];
  return inet_ntop(v6 ? AF_INET6 : AF_INET, bytes.data(), buffer, sizeof buffer) ? buffer : "";
}

Result<IpRange> IpRange::parse(std::string_view cidr) {
  std::size_t slash = cidr.find('/');
  auto ip = IpAddress::parse(cidr.substr(0, slash));
  if (slash == std::string_view::npos || !ip) return bad_request("not a CIDR: " + std::string(cidr));
  int bits = std::atoi(std::string(cidr.substr(slash + 1)).c_str());
  int width = ip->v6 ? 128 : 32;
  if (bits < 1 || bits >= width) return bad_request("not a usable service range: " + std::string(cidr));
  IpRange r;
  r.base_ = *ip;
  r.prefix_ = bits;
  r.cidr_ = cidr;
  for (int i = bits; i < width; ++i) r.base_.bytes[static_cast<std::size_t>(i / 8)] &= static_cast<unsigned char>(~(0x80 >> (i % 8)));
  int host = std::min(width - bits, 20);
  r.size_ = (std::uint64_t{1} << host) - 1;
  if (!ip->v6 && r.size_ > 1) r.size_ -= 1;  // the broadcast address
  return r;
}

bool IpRange::contains(const IpAddress& ip) const {
  if (ip.v6 != base_.v6) return false;
  for (int i = 0; i < prefix_; ++i) {
    unsigned char mask = static_cast<unsigned char>(0x80 >> (i % 8));
    if ((ip.bytes[static_cast<std::size_t>(i / 8)] ^ base_.bytes[static_cast<std::size_t>(i / 8)]) & mask) return false;
  }
  return true;
}

std::string IpRange::at(std::uint64_t offset) const {
  IpAddress ip = base_;
  for (std::size_t i = ip.v6 ? 16 : 4; i-- > 0 && offset;) {
    offset += ip.bytes[i];
    ip.bytes[i] = static_cast<unsigned char>(offset & 0xff);
    offset >>= 8;
  }
  return ip.to_string();
}

std::uint64_t IpRange::static_band() const {
  if (size_ < 16) return 0;
  return std::clamp<std::uint64_t>(size_ / 16, 16, 256);
}

Allocators::Allocators(const Options& options, Cacher& cacher) : first_port_(options.node_port_first), last_port_(options.node_port_last) {
  for (const auto& cidr : options.service_cidrs) {
    auto r = IpRange::parse(cidr);
    if (r) ranges_.push_back(std::move(*r));
    else log_error("a service range cannot be used", {{"error", r.status()}});
  }
  cacher.subscribe("", "services", [this](std::string_view ns, std::string_view name, const Bytes& before, const Bytes& now) {
    changed(std::string(ns) + "/" + std::string(name), before, now);
  });
  cacher.subscribe("networking.k8s.io", "servicecidrs", [this](std::string_view, std::string_view name, const Bytes&, const Bytes& now) { cidr_changed(std::string(name), now); });
  cacher.subscribe("networking.k8s.io", "ipaddresses", [this](std::string_view, std::string_view name, const Bytes&, const Bytes& now) { address_changed(std::string(name), now); });
}

void Allocators::cidr_changed(const std::string& name, const Bytes& now) {
  more_ranges_.erase(name);
  if (!now) return;
  auto c = api::from_protobuf<api::networking::v1::ServiceCIDR>(*now);
  if (!c || c->metadata.deletion_timestamp) return;
  bool ready = std::any_of(c->status.conditions.begin(), c->status.conditions.end(), [](const auto& k) { return k.type == "Ready" && k.status == "True"; });
  if (!ready) return;
  for (const auto& cidr : c->spec.cidrs) {
    bool known = std::any_of(ranges_.begin(), ranges_.end(), [&](const IpRange& r) { return r.cidr() == cidr; });
    auto range = IpRange::parse(cidr);
    if (!known && range) more_ranges_[name].push_back(std::move(*range));
  }
}

void Allocators::address_changed(const std::string& name, const Bytes& now) {
  reserved_.erase(name);
  if (!now) return;
  auto a = api::from_protobuf<api::networking::v1::IPAddress>(*now);
  if (!a || !a->spec.parent_ref) return;
  auto by = a->metadata.labels.find("ipaddress.kubernetes.io/managed-by");
  if (by != a->metadata.labels.end() && by->second == "ipallocator.k8s.io") return;  // the Service itself says so
  const auto& parent = *a->spec.parent_ref;
  reserved_[name] = parent.group.empty() && parent.resource == "services" ? parent.namespace_ + "/" + parent.name : "";
}

std::vector<const IpRange*> Allocators::ranges_of(std::string_view family) const {
  std::vector<const IpRange*> out;
  for (const auto& r : ranges_)
    if (r.family() == family) out.push_back(&r);
  for (const auto& [name, ranges] : more_ranges_)
    for (const auto& r : ranges)
      if (r.family() == family) out.push_back(&r);
  return out;
}

const IpRange* Allocators::range_of(std::string_view family) const {
  for (const auto& r : ranges_)
    if (r.family() == family) return &r;
  return nullptr;
}

namespace {
struct Held {
  std::set<std::string> ips;
  std::set<int> ports;
};
Held held_by(const Bytes& service) {
  Held h;
  if (!service) return h;
  auto s = api::from_protobuf<api::core::v1::Service>(*service);
  if (!s || !s->spec.type.compare("ExternalName")) return h;
  for (const auto& ip : s->spec.cluster_ips)
    if (ip != "None") h.ips.insert(ip);
  for (const auto& p : s->spec.ports)
    if (p.node_port) h.ports.insert(p.node_port);
  if (s->spec.health_check_node_port) h.ports.insert(s->spec.health_check_node_port);
  return h;
}
}  // namespace

void Allocators::changed(const std::string& owner, const Bytes& before, const Bytes& now) {
  Held was = held_by(before), is = held_by(now);
  for (const auto& ip : was.ips)
    if (!is.ips.count(ip)) release_ip(ip, owner);
  for (int p : was.ports)
    if (!is.ports.count(p)) release_port(p, owner);
  for (const auto& ip : is.ips) ips_[ip] = owner;
  for (int p : is.ports) ports_[p] = owner;
}

Result<std::string> Allocators::allocate_ip(std::string_view family, const std::string& owner, Rng& rng) {
  std::vector<const IpRange*> ranges = ranges_of(family);
  if (ranges.empty()) return internal_error("no service range of family " + std::string(family) + " is configured");
  for (const IpRange* r : ranges) {
    // The upper part first, at a random place; then what is kept for chosen addresses.
    std::uint64_t band = r->static_band();
    for (auto [low, n] : {std::pair<std::uint64_t, std::uint64_t>{band + 1, r->size() - band}, {1, band}}) {
      if (n == 0) continue;
      std::uint64_t start = rng.below(n);
      for (std::uint64_t i = 0; i < n; ++i) {
        std::string ip = r->at(low + (start + i) % n);
        if (!free(ip)) continue;
        ips_[ip] = owner;
        return ip;
      }
    }
  }
  return internal_error("failed to allocate a serviceIP: range is full");
}

Status Allocators::take_ip(const std::string& text, const std::string& owner) {
  auto ip = IpAddress::parse(text);
  if (!ip) return bad_request("not an IP address");
  std::vector<const IpRange*> family = ranges_of(ip->v6 ? "IPv6" : "IPv4");
  if (std::none_of(family.begin(), family.end(), [&](const IpRange* r) { return r->contains(*ip); }))
    return bad_request("the provided network does not match the current range");
  std::string canonical = ip->to_string();
  if (auto other = reserved_.find(canonical); other != reserved_.end() && other->second != owner) return bad_request("provided IP is already allocated");
  auto [at, fresh] = ips_.try_emplace(canonical, owner);
  if (!fresh && at->second != owner) return bad_request("provided IP is already allocated");
  return Status::ok();
}

Status Allocators::try_ip(const std::string& text) const {
  auto ip = IpAddress::parse(text);
  if (!ip) return bad_request("not an IP address");
  std::vector<const IpRange*> family = ranges_of(ip->v6 ? "IPv6" : "IPv4");
  if (family.empty()) return bad_request("the provided network does not match the current range");
  if (std::any_of(family.begin(), family.end(), [&](const IpRange* r) { return r->contains(*ip); })) return Status::ok();
  return bad_request("the provided IP (" + text + ") is not in the valid range. The range of valid IPs is " + family.front()->cidr());
}

bool Allocators::owns_ip(const std::string& ip, const std::string& owner) const {
  auto at = ips_.find(ip);
  return at != ips_.end() && at->second == owner;
}

void Allocators::release_ip(const std::string& ip, const std::string& owner) {
  auto at = ips_.find(ip);
  if (at != ips_.end() && at->second == owner) ips_.erase(at);
}

Result<int> Allocators::allocate_port(const std::string& owner, Rng& rng) {
  std::uint64_t n = static_cast<std::uint64_t>(last_port_ - first_port_ + 1);
  // The first ports are left for those who choose one.
  std::uint64_t band = n < 32 ? 0 : std::clamp<std::uint64_t>(n / 32, 16, 128);
  for (auto [low, count] : {std::pair<std::uint64_t, std::uint64_t>{band, n - band}, {0, band}}) {
    if (count == 0) continue;
    std::uint64_t start = rng.below(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      int port = first_port_ + static_cast<int>(low + (start + i) % count);
      if (ports_.count(port)) continue;
      ports_[port] = owner;
      return port;
    }
  }
  return internal_error("failed to allocate a nodePort: range is full");
}

Status Allocators::take_port(int port, const std::string& owner) {
  if (port < first_port_ || port > last_port_)
    return bad_request("provided port is not in the valid range. The range of valid ports is " + std::to_string(first_port_) + "-" + std::to_string(last_port_));
  auto [at, fresh] = ports_.try_emplace(port, owner);
  if (!fresh && at->second != owner) return bad_request("provided port is already allocated");
  return Status::ok();
}

void Allocators::release_port(int port, const std::string& owner) {
  auto at = ports_.find(port);
  if (at != ports_.end() && at->second == owner) ports_.erase(at);
}

}  // namespace onebin::apiserver
