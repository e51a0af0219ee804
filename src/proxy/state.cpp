#include "proxy/state.hpp"

#include <algorithm>

namespace onebin::proxy {

std::vector<State::Frontend> State::frontends(const Service& s) {
  std::vector<Frontend> out;
  for (const auto& p : s.ports)
    for (const auto* list : {&s.cluster_ips, &s.external_ips, &s.load_balancer_ips})
      for (const auto& ip : *list) out.emplace_back(ip, p.protocol, p.port);
  return out;
}

void State::set(const std::string& key, std::optional<Service> service) {
  auto old = wanted_.find(key);
  if (old != wanted_.end() ? service && *service == old->second : !service) return;
  dirty_.insert(key);
  if (old != wanted_.end()) {
    for (const auto& f : frontends(old->second)) {
      auto c = claims_.find(f);
      if (c == claims_.end()) continue;
      c->second.erase(key);
      dirty_.insert(c->second.begin(), c->second.end());
      if (c->second.empty()) claims_.erase(c);
    }
    wanted_.erase(old);
  }
  if (!service) return;
  for (const auto& f : frontends(*service)) {
    auto& c = claims_[f];
    dirty_.insert(c.begin(), c.end());
    c.insert(key);
  }
  wanted_[key] = std::move(*service);
}

void State::set_node(NodeInfo node) {
  if (!next_node_ && node == node_) return;
  next_node_ = std::move(node);
}

Service State::resolved(const Service& s) const {
  Service out = s;
  for (auto& p : out.ports) {
    p.not_at.clear();
    for (const auto* list : {&s.cluster_ips, &s.external_ips, &s.load_balancer_ips})
      for (const auto& ip : *list) {
        auto c = claims_.find({ip, p.protocol, p.port});
        if (c != claims_.end() && *c->second.begin() != s.key) p.not_at.push_back(ip);
      }
  }
  return out;
}

void State::settle() {
  written_.clear();
  for (const auto& [key, s] : wanted_) written_[key] = resolved(s);
  if (next_node_) node_ = std::move(*next_node_);
  next_node_.reset();
  dirty_.clear();
}

network::nft::Table State::everything() {
  settle();
  return compute_ruleset(written_, node_);
}

void merge(network::nft::Table& into, network::nft::Table&& part) {
  into.chains.merge(part.chains);
  for (auto& [name, set] : part.sets) {
    auto [it, fresh] = into.sets.try_emplace(name, set);
    if (!fresh) it->second.elements.merge(set.elements);
  }
}

State::Change State::take() {
  Change c;
  if (next_node_) {
    for (const auto& [key, s] : written_) c.before.push_back(s);
    c.from = compute_ruleset(written_, node_);
    c.to = everything();
    for (const auto& [key, s] : written_) c.after.push_back(s);
    return c;
  }
  // An empty part names the shared sets.
  merge(c.from, service_part({}, node_));
  merge(c.to, service_part({}, node_));
  for (const auto& key : dirty_) {
    auto old = written_.find(key);
    auto now = wanted_.find(key);
    std::optional<Service> after;
    if (now != wanted_.end()) after = resolved(now->second);
    if (old != written_.end() && after && old->second == *after) continue;
    if (old != written_.end()) {
      merge(c.from, service_part(old->second, node_));
      c.before.push_back(std::move(old->second));
      written_.erase(old);
    }
    if (after) {
      merge(c.to, service_part(*after, node_));
      c.after.push_back(*after);
      written_[key] = std::move(*after);
    }
  }
  dirty_.clear();
  return c;
}

void StaleFlows::add(const Service& s, bool present) {
  for (const auto& p : s.ports) {
    if (p.protocol != 17) continue;
    std::set<Target> serving;
    // Policies and topology do not end a connection; only that its endpoint serves no more.
    if (present)
      for (const auto& e : p.endpoints)
        if (e.serving) serving.insert({e.ip, e.port});
    for (const auto* list : {&s.cluster_ips, &s.external_ips, &s.load_balancer_ips})
      for (const auto& ip : *list)
        if (std::find(p.not_at.begin(), p.not_at.end(), ip) == p.not_at.end()) frontends_[{ip, p.port}] = serving;
    if (p.node_port) node_ports_[p.node_port] = serving;
  }
}

StaleFlows::StaleFlows(const std::vector<Service>& before, const std::vector<Service>& after) {
  for (const auto& s : before) add(s, false);
  for (const auto& s : after) add(s, true);
}

bool StaleFlows::matches(const network::Flow& f, const std::set<Ip>& node_addresses) const {
  Target answered{f.reply_source, f.reply_source_port};
  if (auto it = frontends_.find({f.destination, f.destination_port}); it != frontends_.end()) return !it->second.count(answered);
  auto it = node_ports_.find(f.destination_port);
  return it != node_ports_.end() && node_addresses.count(f.destination) && !it->second.count(answered);
}

}  // namespace onebin::proxy
