#include <onebin/dns/zone.hpp>

#include <onebin/base/bytes.hpp>

namespace onebin::dns {

Zone::Zone(std::string domain) : domain_(to_lower(domain)) {
  while (!domain_.empty() && domain_.back() == '.') domain_.pop_back();
}

static std::string key_of(std::string_view ns, std::string_view name) { return std::string(ns) + "/" + std::string(name); }

void Zone::index(const ZoneService& s, bool add) {
  auto count = [&](const std::string& ip, const std::string& name) {
    auto& names = reverse_[ip];
    int& n = names[name];
    n += add ? 1 : -1;
    if (n <= 0) names.erase(name);
    if (names.empty()) reverse_.erase(ip);
  };
  std::string base = s.name + "." + s.ns + ".svc." + domain_;
  for (const auto& ip : s.cluster_ips) count(ip, base);
  for (const auto& e : s.endpoints) count(e.ip, e.hostname + "." + base);
  int& n = namespaces_[s.ns];
  n += add ? 1 : -1;
  if (n <= 0) namespaces_.erase(s.ns);
}

void Zone::set_service(ZoneService service) {
  auto [it, fresh] = services_.try_emplace(key_of(service.ns, service.name));
  if (!fresh) {
    if (it->second == service) return;
    index(it->second, false);
  }
  it->second = std::move(service);
  index(it->second, true);
  ++serial;
}

void Zone::remove_service(const std::string& ns, const std::string& name) {
  auto it = services_.find(key_of(ns, name));
  if (it == services_.end()) return;
  index(it->second, false);
  services_.erase(it);
  ++serial;
}

const ZoneService* Zone::find(std::string_view ns, std::string_view name) const {
  auto it = services_.find(key_of(ns, name));
  return it == services_.end() ? nullptr : &it->second;
}

bool Zone::has_namespace(std::string_view ns) const { return namespaces_.find(ns) != namespaces_.end(); }

std::vector<std::string> Zone::reverse(const std::string& ip) const {
  std::vector<std::string> out;
  if (auto it = reverse_.find(ip); it != reverse_.end())
    for (const auto& [name, n] : it->second) out.push_back(name);
  return out;
}

}  // namespace onebin::dns
