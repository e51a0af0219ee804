#include "types.hpp"

#include <onebin/client/informer.hpp>
#include <onebin/client/volume_binding.hpp>

#include <algorithm>

namespace onebin::scheduler {
namespace {

namespace v1 = api::core::v1;
using apimachinery::LabelRequirement;
using apimachinery::SelectorOp;

// What a container that asks for nothing counts as when nodes are scored (upstream's DefaultMilliCPURequest, DefaultMemoryRequest).
constexpr std::int64_t kDefaultMilliCpu = 100, kDefaultMemory = 200ll << 20;

template <class C>
bool is_sidecar(const C& c) { return c.restart_policy && *c.restart_policy == "Always"; }

// Sums containers; init containers run one by one beside the sidecars that were started before them.
template <class RequestOf>
Resources sum_containers(const v1::Pod& pod, RequestOf request_of) {
  Resources total, sidecars, init_peak;
  for (const auto& c : pod.spec.containers) total.add(request_of(c));
  for (const auto& c : pod.spec.init_containers) {
    Resources r = request_of(c);
    if (is_sidecar(c)) {
      sidecars.add(r);
      total.add(r);
      r = sidecars;
    } else {
      r.add(sidecars);
    }
    init_peak.set_max(r);
  }
  total.set_max(init_peak);
  return total;
}

void finish(const v1::Pod& pod, Resources& total) {
  if (pod.spec.resources) {
    Resources level = Resources::from(pod.spec.resources->requests);
    if (pod.spec.resources->requests.count("cpu")) total.milli_cpu = level.milli_cpu;
    if (pod.spec.resources->requests.count("memory")) total.memory = level.memory;
  }
  total.add(Resources::from(pod.spec.overhead));
}

AffinityTerm affinity_term(const v1::Pod& pod, const v1::PodAffinityTerm& t) {
  AffinityTerm out;
  auto s = LabelSelector::from_struct(t.label_selector);
  out.selector = s ? *s : LabelSelector::nothing();
  auto add_keys = [&](const std::vector<std::string>& keys, SelectorOp op) {
    for (const auto& k : keys) {
      auto label = pod.metadata.labels.find(k);
      if (label == pod.metadata.labels.end()) continue;
      auto r = LabelRequirement::make(k, op, {label->second});
      if (r && !out.selector.selects_nothing()) out.selector.add(std::move(*r));
    }
  };
  add_keys(t.match_label_keys, SelectorOp::In);
  add_keys(t.mismatch_label_keys, SelectorOp::NotIn);
  out.namespaces.insert(t.namespaces.begin(), t.namespaces.end());
  if (t.namespace_selector) {
    auto ns = LabelSelector::from_struct(*t.namespace_selector);
    if (ns) out.namespace_selector = *ns;
  } else if (t.namespaces.empty()) {
    out.namespaces.insert(pod.metadata.namespace_);
  }
  out.topology_key = t.topology_key;
  return out;
}

void read_affinity(const v1::Pod& pod, PodShape& shape, PodRequirements* req) {
  if (!pod.spec.affinity) return;
  const auto& a = *pod.spec.affinity;
  if (a.pod_anti_affinity) {
    for (const auto& t : a.pod_anti_affinity->required_during_scheduling_ignored_during_execution) shape.anti_affinity.push_back(affinity_term(pod, t));
  }
  if (!req) return;
  if (a.pod_anti_affinity) {
    for (const auto& w : a.pod_anti_affinity->preferred_during_scheduling_ignored_during_execution) {
      req->preferred_anti_affinity.push_back(affinity_term(pod, w.pod_affinity_term));
      req->preferred_anti_affinity.back().weight = w.weight;
    }
  }
  if (a.pod_affinity) {
    for (const auto& t : a.pod_affinity->required_during_scheduling_ignored_during_execution) req->affinity.push_back(affinity_term(pod, t));
    for (const auto& w : a.pod_affinity->preferred_during_scheduling_ignored_during_execution) {
      req->preferred_affinity.push_back(affinity_term(pod, w.pod_affinity_term));
      req->preferred_affinity.back().weight = w.weight;
    }
  }
  if (a.node_affinity) {
    if (const auto& required = a.node_affinity->required_during_scheduling_ignored_during_execution) {
      req->has_required_node_affinity = true;
      for (const auto& t : required->node_selector_terms) req->required_nodes.push_back(node_term(t));
    }
    for (const auto& p : a.node_affinity->preferred_during_scheduling_ignored_during_execution)
      if (p.weight) req->preferred_nodes.push_back({p.weight, node_term(p.preference)});
  }
}

SpreadConstraint spread_constraint(const v1::Pod& pod, const v1::TopologySpreadConstraint& c) {
  SpreadConstraint out;
  out.max_skew = c.max_skew;
  out.min_domains = c.min_domains ? *c.min_domains : 1;
  out.topology_key = c.topology_key;
  out.hard = c.when_unsatisfiable == "DoNotSchedule";
  auto s = LabelSelector::from_struct(c.label_selector);
  out.selector = s ? *s : LabelSelector::nothing();
  for (const auto& k : c.match_label_keys) {
    auto label = pod.metadata.labels.find(k);
    if (label == pod.metadata.labels.end()) continue;
    auto r = LabelRequirement::make(k, SelectorOp::In, {label->second});
    if (r && !out.selector.selects_nothing()) out.selector.add(std::move(*r));
  }
  out.honor_affinity = !c.node_affinity_policy || *c.node_affinity_policy == "Honor";
  out.honor_taints = c.node_taints_policy && *c.node_taints_policy == "Honor";
  return out;
}

}  // namespace

NodeSelectorTerm node_term(const v1::NodeSelectorTerm& t) {
  NodeSelectorTerm out;
  if (t.match_expressions.empty() && t.match_fields.empty()) out.never = true;
  for (const auto& e : t.match_expressions) {
    SelectorOp op = e.operator_ == "In" ? SelectorOp::In : e.operator_ == "NotIn" ? SelectorOp::NotIn : e.operator_ == "Exists" ? SelectorOp::Exists
                    : e.operator_ == "DoesNotExist" ? SelectorOp::DoesNotExist : e.operator_ == "Gt" ? SelectorOp::GreaterThan : SelectorOp::LessThan;
    auto r = LabelRequirement::make(e.key, op, e.values);
    if (r) out.labels.push_back(std::move(*r));
    else out.never = true;
  }
  for (const auto& f : t.match_fields) {
    if (f.key == "metadata.name" && f.values.size() == 1) out.names.emplace_back(f.operator_ == "In", f.values[0]);
    else out.never = true;
  }
  return out;
}

void Resources::add(const Resources& o) {
  milli_cpu += o.milli_cpu;
  memory += o.memory;
  ephemeral_storage += o.ephemeral_storage;
  for (const auto& [k, v] : o.scalars) scalars[k] += v;
}
void Resources::sub(const Resources& o) {
  milli_cpu -= o.milli_cpu;
  memory -= o.memory;
  ephemeral_storage -= o.ephemeral_storage;
  for (const auto& [k, v] : o.scalars) scalars[k] -= v;
}
void Resources::set_max(const Resources& o) {
  milli_cpu = std::max(milli_cpu, o.milli_cpu);
  memory = std::max(memory, o.memory);
  ephemeral_storage = std::max(ephemeral_storage, o.ephemeral_storage);
  for (const auto& [k, v] : o.scalars) scalars[k] = std::max(scalars[k], v);
}
Resources Resources::from(const std::map<std::string, apimachinery::Quantity>& list) {
  Resources r;
  for (const auto& [name, q] : list) {
    if (name == "cpu") r.milli_cpu = q.milli_value();
    else if (name == "memory") r.memory = q.value();
    else if (name == "ephemeral-storage") r.ephemeral_storage = q.value();
    else if (name == "pods") r.pods = q.value();
    else r.scalars[name] = q.value();
  }
  return r;
}

bool conflicts(const UsedPort& a, const UsedPort& b) {
  return a.port == b.port && a.protocol == b.protocol && (a.ip == b.ip || a.ip == "0.0.0.0" || b.ip == "0.0.0.0");
}

Resources pod_requests(const v1::Pod& pod) {
  Resources total = sum_containers(pod, [](const auto& c) { return Resources::from(c.resources.requests); });
  finish(pod, total);
  return total;
}

PodInfo pod_info(const v1::Pod& pod, ShapePool& pool) {
  PodInfo p;
  PodShape s;
  s.ns = pod.metadata.namespace_;
  p.name = pod.metadata.name;
  p.uid = pod.metadata.uid;
  p.node_name = pod.spec.node_name;
  s.labels = pod.metadata.labels;
  for (const auto& o : pod.metadata.owner_references)
    if (o.controller && *o.controller) s.owner_uid = o.uid;
  s.priority = pod.spec.priority ? *pod.spec.priority : 0;
  p.terminating = static_cast<bool>(pod.metadata.deletion_timestamp);
  if (pod.status.start_time) p.start_time = pod.status.start_time.unix_seconds();
  s.requests = pod_requests(pod);
  Resources nonzero = sum_containers(pod, [](const auto& c) {
    Resources r = Resources::from(c.resources.requests);
    if (!c.resources.requests.count("cpu")) r.milli_cpu = kDefaultMilliCpu;
    if (!c.resources.requests.count("memory")) r.memory = kDefaultMemory;
    return r;
  });
  finish(pod, nonzero);
  s.nonzero_cpu = nonzero.milli_cpu;
  s.nonzero_memory = nonzero.memory;
  auto ports = [&](const auto& containers, bool only_sidecars) {
    for (const auto& c : containers) {
      if (only_sidecars && !is_sidecar(c)) continue;
      for (const auto& port : c.ports)
        if (port.host_port > 0)
          s.ports.push_back({port.host_ip.empty() ? "0.0.0.0" : port.host_ip, port.protocol.empty() ? "TCP" : port.protocol, port.host_port});
    }
  };
  for (const auto& v : pod.spec.volumes)
    if (std::string claim = client::claim_name(p.name, v); !claim.empty()) s.claims.push_back(client::object_key(s.ns, claim));
  ports(pod.spec.containers, false);
  ports(pod.spec.init_containers, true);
  read_affinity(pod, s, nullptr);
  p.shape = pool.intern(std::move(s));
  return p;
}

PodInfo pending_pod_info(const v1::Pod& pod, ShapePool& pool) {
  PodInfo p = pod_info(pod, pool);
  auto req = std::make_shared<PodRequirements>();
  req->node_selector = pod.spec.node_selector;
  req->tolerations = pod.spec.tolerations;
  for (const auto& c : pod.spec.topology_spread_constraints) req->spread.push_back(spread_constraint(pod, c));
  for (const auto& c : pod.spec.containers) req->images.push_back(c.image);
  for (const auto& c : pod.spec.init_containers) req->images.push_back(c.image);
  for (const auto& g : pod.spec.scheduling_gates) req->gates.push_back(g.name);
  for (const auto& v : pod.spec.volumes)
    if (v.ephemeral) req->own_claims.insert(client::object_key(p.shape->ns, client::claim_name(p.name, v)));
  req->nominated_node = pod.status.nominated_node_name;
  req->never_preempts = pod.spec.preemption_policy && *pod.spec.preemption_policy == "Never";
  PodShape unused;
  read_affinity(pod, unused, req.get());
  p.requirements = std::move(req);
  return p;
}

void update_node(NodeInfo& node, const v1::Node& object) {
  node.name = object.metadata.name;
  node.labels = object.metadata.labels;
  node.taints = object.spec.taints;
  node.unschedulable = object.spec.unschedulable;
  node.allocatable = Resources::from(object.status.allocatable);
  node.images.clear();
  for (const auto& image : object.status.images)
    for (const auto& name : image.names) node.images[name] = image.size_bytes;
  node.known = true;
}

void NodeInfo::add(PodInfoPtr pod) {
  remove(pod->uid);
  requested.add(pod->shape->requests);
  nonzero_cpu += pod->shape->nonzero_cpu;
  nonzero_memory += pod->shape->nonzero_memory;
  pods.push_back(std::move(pod));
}

void NodeInfo::remove(std::string_view uid) {
  auto it = std::find_if(pods.begin(), pods.end(), [&](const PodInfoPtr& p) { return p->uid == uid; });
  if (it == pods.end()) return;
  PodInfoPtr pod = std::move(*it);
  pods.erase(it);
  requested.sub(pod->shape->requests);
  nonzero_cpu -= pod->shape->nonzero_cpu;
  nonzero_memory -= pod->shape->nonzero_memory;
}

PodShapePtr ShapePool::intern(PodShape shape) {
  // What only some pods have is seldom the same.
  if (!shape.ports.empty() || !shape.claims.empty() || !shape.anti_affinity.empty()) return std::make_shared<const PodShape>(std::move(shape));
  std::string key = shape.ns + '\n' + shape.owner_uid;
  auto add = [&key](std::string_view text) { key.append(1, '\n').append(text); };
  for (const auto& [name, value] : shape.labels) {
    add(name);
    add(value);
  }
  for (std::int64_t n : {std::int64_t{shape.priority}, shape.requests.milli_cpu, shape.requests.memory, shape.requests.ephemeral_storage, shape.nonzero_cpu,
                         shape.nonzero_memory})
    add(std::to_string(n));
  for (const auto& [name, n] : shape.requests.scalars) {
    add(name);
    add(std::to_string(n));
  }
  auto& slot = pool_[std::move(key)];
  PodShapePtr out = slot.lock();
  if (!out) slot = out = std::make_shared<const PodShape>(std::move(shape));
  if (pool_.size() > 4096) std::erase_if(pool_, [](const auto& e) { return e.second.expired(); });
  return out;
}

}  // namespace onebin::scheduler
