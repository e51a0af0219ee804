#include "proxy/policy_state.hpp"

#include <algorithm>

namespace onebin::proxy {

void PolicyState::set_policy(const std::string& key, std::optional<Policy> policy) {
  auto old = policies_.find(key);
  if (!policy) {
    if (old == policies_.end()) return;
    policies_.erase(old);
  } else {
    if (old != policies_.end() && *old->second == *policy) return;
    policies_[key] = std::make_shared<const Policy>(std::move(*policy));
  }
  wide_ = true;
}

void PolicyState::set_namespace(const std::string& name, std::optional<Labels> labels) {
  const Labels& old = labels_of(name);
  if (labels.value_or(Labels()) == old) return;
  namespaces_before_.try_emplace(name, old);
  if (labels) namespaces_[name] = std::move(*labels);
  else namespaces_.erase(name);
}

void PolicyState::change_pod(const std::string& key, const std::optional<PolicyPod>& before, const std::optional<PolicyPod>& now) {
  if (before == now) return;
  if (before)
    for (const auto& ip : before->ips)
      for (auto [at, end] = owners_.equal_range(ip); at != end; ++at)
        if (at->second == key) {
          owners_.erase(at);
          break;
        }
  if (now)
    for (const auto& ip : now->ips) owners_.emplace(ip, key);
  if (local_.erase(key)) wide_ = true;
  if (now && now->local) {
    local_[key] = *now;
    wide_ = true;
  }
  // Without sets nothing of it is written, and what new ones hold is read from the pods as they are.
  if (!written_.peers.empty() || !written_.ports.empty()) pods_before_.try_emplace(key, before);
}

bool PolicyState::selects(const PolicyPod& pod) const {
  return std::any_of(policies_.begin(), policies_.end(), [&](const auto& p) { return p.second->selects(pod.ns, pod.labels); });
}

void PolicyState::forget_cluster() {
  local_.clear();
  owners_.clear();
  namespaces_.clear();
}

void PolicyState::for_each_pod(const Each& fn) const {
  if (!dns_.empty()) fn({}, dns_pod(dns_));
  pods_.for_each(fn);
}

const Labels& PolicyState::labels_of(const std::string& ns) const {
  static const Labels none;
  auto at = namespaces_.find(ns);
  return at == namespaces_.end() ? none : at->second;
}

const Labels& PolicyState::labels_before(const std::string& ns) const {
  auto at = namespaces_before_.find(ns);
  return at == namespaces_before_.end() ? labels_of(ns) : at->second;
}

void PolicyState::settle(PolicyView view) {
  written_ = std::move(view);
  wide_ = false;
  pods_before_.clear();
  namespaces_before_.clear();
}

network::nft::Table PolicyState::everything() {
  settle(make_view(policies_, local_));
  network::nft::Table t = policy_part(written_, dns_);
  if (!written_.peers.empty() || !written_.ports.empty())
    for_each_pod([&](const std::string&, const PolicyPod& pod) { add_peer(t, written_, pod, labels_of(pod.ns)); });
  return t;
}

// The sets' elements: of the pods that have changed, and of those whose namespace has; new sets are filled.
void PolicyState::take_pods(Change& c, const PolicyView& next) const {
  std::set<std::string> others;  // who has an address that another pod has given up
  for (const auto& [key, before] : pods_before_) {
    std::optional<PolicyPod> now = pods_.get(key);
    if (before) add_peer(c.from, written_, *before, labels_before(before->ns));
    if (now) add_peer(c.to, next, *now, labels_of(now->ns));
    if (before)
      for (const auto& ip : before->ips)
        for (auto [at, end] = owners_.equal_range(ip); at != end; ++at)
          if (!pods_before_.count(at->second)) others.insert(at->second);
  }
  for (const auto& key : others)
    if (auto pod = pods_.get(key)) add_peer(c.to, next, *pod, labels_of(pod->ns));
  bool new_sets = false;
  for (const auto& [name, peer] : next.peers) new_sets = new_sets || !written_.peers.count(name);
  for (const auto& port : next.ports) new_sets = new_sets || !written_.ports.count(port);
  if (!new_sets && namespaces_before_.empty()) return;
  for_each_pod([&](const std::string& key, const PolicyPod& pod) {
    if (pods_before_.count(key)) return;
    bool moved = namespaces_before_.count(pod.ns);
    if (moved) add_peer(c.from, written_, pod, labels_before(pod.ns));
    add_peer(c.to, next, pod, labels_of(pod.ns), moved ? nullptr : &written_);
  });
}

PolicyState::Change PolicyState::take() {
  Change c;
  PolicyView next = wide_ ? make_view(policies_, local_) : written_;
  // The node's own part is small; what is the same in both costs nothing.
  c.from = policy_part(written_, dns_);
  c.to = wide_ ? policy_part(next, dns_) : c.from;
  if (!next.policies.empty() || !written_.policies.empty()) take_pods(c, next);
  // A set that goes takes its elements along.
  settle(std::move(next));
  return c;
}

}  // namespace onebin::proxy
