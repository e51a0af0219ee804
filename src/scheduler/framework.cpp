#include "framework.hpp"

#include <algorithm>

namespace onebin::scheduler {

Plugins default_plugins() {
  Plugins p;
  auto add = [&](std::unique_ptr<Plugin> plugin, int weight) {
    plugin->weight = weight;
    p.push_back(std::move(plugin));
  };
  add(make_scheduling_gates(), 0);
  add(make_node_unschedulable(), 0);
  add(make_node_name(), 0);
  add(make_taint_toleration(), 3);
  add(make_node_affinity(), 2);
  add(make_node_ports(), 0);
  add(make_node_resources_fit(), 1);
  add(make_volume_restrictions(), 0);
  add(make_volume_binding(), 0);
  add(make_topology_spread(), 2);
  add(make_inter_pod_affinity(), 2);
  add(make_balanced_allocation(), 1);
  add(make_image_locality(), 1);
  return p;
}

void normalize(std::vector<std::int64_t>& scores, bool reverse) {
  std::int64_t top = 0;
  for (auto s : scores) top = std::max(top, s);
  for (auto& s : scores) {
    if (top == 0) s = reverse ? 100 : 0;
    else s = reverse ? 100 - s * 100 / top : s * 100 / top;
  }
}

Cycle::Cycle(const Plugins& plugins, const PodInfo& pod, const Snapshot& snapshot) : plugins_(plugins), pod_(pod), snapshot_(snapshot) {
  for (const auto& p : plugins_) data_.push_back(p->pre_filter(pod_, snapshot_));
}

Cycle::Cycle(const Cycle& o) : plugins_(o.plugins_), pod_(o.pod_), snapshot_(o.snapshot_) {
  for (const auto& d : o.data_) data_.push_back(d ? d->clone() : nullptr);
}

Verdict Cycle::filter(const NodeInfo& node) const {
  for (std::size_t i = 0; i < plugins_.size(); ++i) {
    Verdict v = plugins_[i]->filter(pod_, node, data_[i].get());
    if (!v.fits) return v;
  }
  return Verdict::ok();
}

void Cycle::add_pod(const PodInfo& other, const NodeInfo& node) {
  for (std::size_t i = 0; i < plugins_.size(); ++i)
    if (data_[i]) plugins_[i]->add_pod(data_[i].get(), pod_, other, node);
}

void Cycle::remove_pod(const PodInfo& other, const NodeInfo& node) {
  for (std::size_t i = 0; i < plugins_.size(); ++i)
    if (data_[i]) plugins_[i]->remove_pod(data_[i].get(), pod_, other, node);
}

std::vector<std::int64_t> Cycle::score(const std::vector<const NodeInfo*>& nodes) const {
  std::vector<std::int64_t> total(nodes.size(), 0);
  for (const auto& p : plugins_) {
    if (!p->weight) continue;
    std::vector<std::int64_t> s = p->score(pod_, nodes, snapshot_);
    for (std::size_t i = 0; i < s.size(); ++i) total[i] += s[i] * p->weight;
  }
  return total;
}

std::string explain_failure(std::size_t nodes, const std::map<std::string, Verdict>& failed) {
  std::map<std::string, int> reasons;
  for (const auto& [name, v] : failed) {
    if (v.everywhere) return "0/" + std::to_string(nodes) + " nodes are available: " + v.reason + ".";
    ++reasons[v.reason];
  }
  std::vector<std::string> parts;
  for (const auto& [reason, n] : reasons) parts.push_back(std::to_string(n) + " " + reason);
  std::sort(parts.begin(), parts.end());
  std::string out = "0/" + std::to_string(nodes) + " nodes are available";
  for (std::size_t i = 0; i < parts.size(); ++i) out += (i ? ", " : ": ") + parts[i];
  return out + ".";
}

}  // namespace onebin::scheduler
