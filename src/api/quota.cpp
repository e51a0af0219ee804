#include <onebin/api/quota.hpp>

#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::api {
namespace {

using apimachinery::Quantity;
using core::v1::Container;
using core::v1::ContainerStatus;
using core::v1::Pod;

void raise_to(ResourceList& to, const ResourceList& other) {
  for (const auto& [k, v] : other) {
    auto [it, fresh] = to.emplace(k, v);
    if (!fresh && it->second < v) it->second = v;
  }
}

const ContainerStatus* status_of(const Pod& pod, const std::string& name) {
  for (const auto* list : {&pod.status.container_statuses, &pod.status.init_container_statuses})
    for (const auto& s : *list)
      if (s.name == name) return &s;
  return nullptr;
}

// A resize that no node can give leaves what is in effect as it is.
bool resize_infeasible(const Pod& pod) {
  for (const auto& c : pod.status.conditions)
    if (c.type == "PodResizePending") return c.reason == "Infeasible";
  return false;
}

template <class Of>
ResourceList sum_of_containers(const Pod& pod, Of of) {
  ResourceList total, sidecars, peak;
  for (const auto& c : pod.spec.containers) add_to(total, of(c));
  for (const auto& c : pod.spec.init_containers) {
    ResourceList its = of(c);
    if (c.restart_policy && *c.restart_policy == "Always") {
      add_to(total, its);
      add_to(sidecars, its);
      raise_to(peak, sidecars);
    } else {
      add_to(its, sidecars);
      raise_to(peak, its);
    }
  }
  raise_to(total, peak);
  return total;
}

bool of_pod_level(const std::string& name) { return name == "cpu" || name == "memory" || starts_with(name, "hugepages-"); }

bool states_pod_level(const Pod& pod) {
  if (!pod.spec.resources) return false;
  for (const auto* list : {&pod.spec.resources->requests, &pod.spec.resources->limits})
    for (const auto& [k, v] : *list)
      if (of_pod_level(k)) return true;
  return false;
}

void apply_pod_level(ResourceList& to, const ResourceList& stated) {
  for (const auto& [k, v] : stated)
    if (of_pod_level(k)) to[k] = v;
}

bool asks_compute(const core::v1::ResourceRequirements& r) {
  for (const auto* list : {&r.requests, &r.limits})
    for (const char* name : {"cpu", "memory"})
      if (auto it = list->find(name); it != list->end() && it->second.sign() > 0) return true;
  return false;
}

}  // namespace

void add_to(ResourceList& to, const ResourceList& more) {
  for (const auto& [k, v] : more) {
    auto [it, fresh] = to.emplace(k, v);
    if (!fresh) it->second += v;
  }
}

ResourceList masked(const ResourceList& list, const std::vector<std::string>& names) {
  ResourceList out;
  for (const auto& name : names)
    if (auto it = list.find(name); it != list.end()) out.insert(*it);
  return out;
}

std::vector<std::string> names_of(const ResourceList& list) {
  std::vector<std::string> out;
  for (const auto& [k, v] : list) out.push_back(k);
  return out;
}

ResourceList pod_requests(const Pod& pod) {
  bool infeasible = resize_infeasible(pod);
  auto asked = [](const Container& c) { return c.resources.requests; };
  auto allotted = [&](const Container& c) {
    const ContainerStatus* s = status_of(pod, c.name);
    if (s && !s->allocated_resources.empty()) return s->allocated_resources;
    return infeasible ? ResourceList() : c.resources.requests;
  };
  auto in_effect = [&](const Container& c) {
    const ContainerStatus* s = status_of(pod, c.name);
    if (s && s->resources && !s->resources->requests.empty()) return s->resources->requests;
    return allotted(c);
  };
  ResourceList total;
  if (!infeasible) total = sum_of_containers(pod, asked);
  if (!pod.status.container_statuses.empty() || !pod.status.init_container_statuses.empty() || infeasible) {
    raise_to(total, sum_of_containers(pod, in_effect));
    raise_to(total, sum_of_containers(pod, allotted));
  }
  if (pod.spec.resources) apply_pod_level(total, pod.spec.resources->requests);
  add_to(total, pod.spec.overhead);
  return total;
}

ResourceList pod_limits(const Pod& pod) {
  bool infeasible = resize_infeasible(pod);
  auto in_effect = [&](const Container& c) {
    const ContainerStatus* s = status_of(pod, c.name);
    if (s && s->resources && !s->resources->limits.empty()) return s->resources->limits;
    return infeasible ? ResourceList() : c.resources.limits;
  };
  ResourceList total = sum_of_containers(pod, in_effect);
  if (!infeasible) raise_to(total, sum_of_containers(pod, [](const Container& c) { return c.resources.limits; }));
  if (pod.spec.resources) apply_pod_level(total, pod.spec.resources->limits);
  for (const auto& [k, v] : pod.spec.overhead)
    if (auto it = total.find(k); it != total.end() && !it->second.is_zero()) it->second += v;
  return total;
}

bool is_best_effort(const Pod& pod) {
  if (!pod.status.qos_class.empty()) return pod.status.qos_class == "BestEffort";
  if (pod.spec.resources && asks_compute(*pod.spec.resources)) return false;
  for (const auto* list : {&pod.spec.containers, &pod.spec.init_containers})
    for (const auto& c : *list)
      if (asks_compute(c.resources)) return false;
  return true;
}

namespace quota {
namespace {

constexpr std::string_view kStorageClass = ".storageclass.storage.k8s.io/", kDeviceClass = ".deviceclass.resource.k8s.io/devices", kRequests = "requests.";
constexpr std::string_view kPodNames[] = {"count/pods", "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage",
                                          "limits.cpu", "limits.memory", "limits.ephemeral-storage", "pods"};
constexpr std::string_view kServiceNames[] = {"count/services", "services", "services.nodeports", "services.loadbalancers"};
constexpr std::string_view kClaimNames[] = {"persistentvolumeclaims", "requests.storage"};
// These may be counted by their bare names too.
constexpr std::string_view kBareNames[] = {"configmaps", "resourcequotas", "replicationcontrollers", "secrets"};
constexpr std::string_view kNeverCounted[] = {"/bindings", "/componentstatuses", "/events", "events.k8s.io/events", "authentication.k8s.io/tokenreviews",
                                              "authentication.k8s.io/selfsubjectreviews", "authorization.k8s.io/subjectaccessreviews",
                                              "authorization.k8s.io/selfsubjectaccessreviews", "authorization.k8s.io/localsubjectaccessreviews",
                                              "authorization.k8s.io/selfsubjectrulesreviews"};
// What a claim for all devices may be given at most (resource.k8s.io's AllocationResultsMaxSize).
constexpr std::int64_t kAllDevices = 32;

template <class Set>
bool is_one(const Set& set, std::string_view name) {
  return std::find(std::begin(set), std::end(set), name) != std::end(set);
}

bool native(std::string_view name) { return name.find('/') == std::string_view::npos || name.find("kubernetes.io/") != std::string_view::npos; }
bool implicit_device(std::string_view name) { return starts_with(name, "deviceclass.resource.kubernetes.io/"); }

bool pod_measures(std::string_view name) {
  if (is_one(kPodNames, name) || starts_with(name, "hugepages-") || starts_with(name, "requests.hugepages-")) return true;
  return starts_with(name, kRequests) && (!native(name) || implicit_device(name.substr(kRequests.size())));
}

bool claim_measures(std::string_view name) {
  if (name == "count/persistentvolumeclaims") return true;
  for (std::string_view k : kClaimNames)
    if (name == k || ends_with(name, std::string(kStorageClass) + std::string(k))) return true;
  return false;
}

const Quantity& one() {
  static const Quantity kOne(1);
  return kOne;
}

// What compute resources are called in quotas.
ResourceList compute_usage(const ResourceList& requests, const ResourceList& limits) {
  ResourceList out;
  out["pods"] = one();
  for (const char* name : {"cpu", "memory", "ephemeral-storage"}) {
    if (auto it = requests.find(name); it != requests.end()) {
      out[name] = it->second;
      out["requests." + std::string(name)] = it->second;
    }
    if (auto it = limits.find(name); it != limits.end()) out["limits." + std::string(name)] = it->second;
  }
  for (const auto& [k, v] : requests) {
    bool huge = starts_with(k, "hugepages-");
    if (huge) out[k] = v;
    if (huge || implicit_device(k) || (!native(k) && !starts_with(k, kRequests))) out["requests." + k] = v;
  }
  return out;
}

bool crosses(const core::v1::PodAffinityTerm& t) { return !t.namespaces.empty() || t.namespace_selector; }

template <class Affinity>
bool any_crosses(const Affinity& a) {
  if (!a) return false;
  for (const auto& t : a->required_during_scheduling_ignored_during_execution)
    if (crosses(t)) return true;
  for (const auto& t : a->preferred_during_scheduling_ignored_during_execution)
    if (crosses(t.pod_affinity_term)) return true;
  return false;
}

bool selects(const core::v1::ScopedResourceSelectorRequirement& s, const std::set<std::string>& values) {
  if (s.operator_ == "Exists") return !values.empty();
  if (s.operator_ == "DoesNotExist") return values.empty();
  bool in = s.operator_ == "In";
  if (!in && s.operator_ != "NotIn") return false;
  if (values.empty()) return !in;
  return std::any_of(values.begin(), values.end(), [&](const std::string& v) { return is_one(s.values, v) == in; });
}

bool selects(const core::v1::ScopedResourceSelectorRequirement& s, const Use& use) {
  const std::string& scope = s.scope_name;
  if (use.has == Use::Scopes::Claim) return scope == "VolumeAttributesClass" && selects(s, use.attribute_classes);
  if (use.has != Use::Scopes::Pod) return false;
  if (scope == "Terminating") return use.terminating;
  if (scope == "NotTerminating") return !use.terminating;
  if (scope == "BestEffort") return use.best_effort;
  if (scope == "NotBestEffort") return !use.best_effort;
  if (scope == "CrossNamespacePodAffinity") return use.cross_namespace;
  if (scope != "PriorityClass") return false;
  return selects(s, use.priority_class.empty() ? std::set<std::string>() : std::set<std::string>{use.priority_class});
}

Quantity whole(const Quantity& q) { return Quantity::from_units(q.value(), q.format()); }

std::int64_t devices(const std::string& mode, std::int64_t count) { return mode == "All" ? kAllDevices : mode == "ExactCount" ? count : 0; }

}  // namespace

bool counts(std::string_view group, std::string_view resource) {
  return !is_one(kNeverCounted, std::string(group) + "/" + std::string(resource));
}

std::string object_count_name(std::string_view group, std::string_view resource) {
  std::string name = "count/" + std::string(resource);
  if (!group.empty()) name.append(".").append(group);
  return name;
}

bool measures(std::string_view group, std::string_view resource, std::string_view name) {
  if (group.empty()) {
    if (resource == "pods") return pod_measures(name);
    if (resource == "services") return is_one(kServiceNames, name);
    if (resource == "persistentvolumeclaims") return claim_measures(name);
    if (name == resource && is_one(kBareNames, resource)) return true;
  }
  if (name == object_count_name(group, resource)) return true;
  return group == "resource.k8s.io" && resource == "resourceclaims" && ends_with(name, kDeviceClass);
}

std::vector<std::string> measured(std::string_view group, std::string_view resource, const ResourceList& hard) {
  std::vector<std::string> out;
  for (const auto& [name, limit] : hard)
    if (measures(group, resource, name)) out.push_back(name);
  return out;
}

std::optional<WallTime> ends_counting(const Pod& pod) {
  if (!pod.metadata.deletion_timestamp || !pod.metadata.deletion_grace_period_seconds) return std::nullopt;
  return pod.metadata.deletion_timestamp.wall() + std::chrono::seconds(*pod.metadata.deletion_grace_period_seconds);
}

Use use_of(const Pod& pod, WallTime now) {
  Use u;
  u.has = Use::Scopes::Pod;
  u.usage["count/pods"] = one();
  u.terminating = pod.spec.active_deadline_seconds && *pod.spec.active_deadline_seconds >= 0;
  u.best_effort = is_best_effort(pod);
  if (const auto& a = pod.spec.affinity) u.cross_namespace = any_crosses(a->pod_affinity) || any_crosses(a->pod_anti_affinity);
  u.priority_class = pod.spec.priority_class_name;
  bool over = pod.status.phase == "Failed" || pod.status.phase == "Succeeded";
  auto end = ends_counting(pod);
  if (!over && !(end && now > *end)) u.usage.merge(compute_usage(pod_requests(pod), pod_limits(pod)));
  return u;
}

Use use_of(const core::v1::Service& service) {
  Use u;
  u.usage["count/services"] = one();
  u.usage["services"] = one();
  std::int64_t ports = 0, balancers = 0;
  if (service.spec.type == "NodePort") ports = static_cast<std::int64_t>(service.spec.ports.size());
  if (service.spec.type == "LoadBalancer") {
    balancers = 1;
    bool given = !service.spec.allocate_load_balancer_node_ports || *service.spec.allocate_load_balancer_node_ports;
    for (const auto& p : service.spec.ports)
      if (given || p.node_port) ++ports;
  }
  u.usage["services.nodeports"] = Quantity(ports);
  u.usage["services.loadbalancers"] = Quantity(balancers);
  return u;
}

Use use_of(const core::v1::PersistentVolumeClaim& claim) {
  Use u;
  u.has = Use::Scopes::Claim;
  std::string klass = claim.spec.storage_class_name.value_or("");
  if (auto it = claim.metadata.annotations.find("volume.beta.kubernetes.io/storage-class"); it != claim.metadata.annotations.end()) klass = it->second;
  std::string of_class = klass + std::string(kStorageClass);
  u.usage["persistentvolumeclaims"] = one();
  u.usage["count/persistentvolumeclaims"] = one();
  if (!klass.empty()) u.usage[of_class + "persistentvolumeclaims"] = one();
  if (auto it = claim.spec.resources.requests.find("storage"); it != claim.spec.resources.requests.end()) {
    Quantity bytes = whole(it->second);
    if (auto given = claim.status.allocated_resources.find("storage"); given != claim.status.allocated_resources.end() && given->second > bytes)
      bytes = whole(given->second);
    u.usage["requests.storage"] = bytes;
    if (!klass.empty()) u.usage[of_class + "requests.storage"] = bytes;
  }
  auto note = [&](const std::string& name) {
    if (!name.empty()) u.attribute_classes.insert(name);
  };
  note(claim.spec.volume_attributes_class_name.value_or(""));
  note(claim.status.current_volume_attributes_class_name.value_or(""));
  if (const auto& m = claim.status.modify_volume_status) note(m->target_volume_attributes_class_name);
  return u;
}

Use use_of(const resource::v1::ResourceClaim& claim) {
  Use u = use_of("resource.k8s.io", "resourceclaims");
  for (const auto& r : claim.spec.devices.requests) {
    ResourceList worst;  // of the alternatives, by class
    if (!r.first_available.empty()) {
      for (const auto& s : r.first_available)
        if (std::int64_t n = devices(s.allocation_mode, s.count)) raise_to(worst, {{s.device_class_name + std::string(kDeviceClass), Quantity(n)}});
    } else if (r.exactly) {
      worst[r.exactly->device_class_name + std::string(kDeviceClass)] = Quantity(devices(r.exactly->allocation_mode, r.exactly->count));
    }
    add_to(u.usage, worst);
  }
  return u;
}

Use use_of(std::string_view group, std::string_view resource) {
  Use u;
  u.usage[object_count_name(group, resource)] = one();
  if (group.empty() && is_one(kBareNames, resource)) u.usage[std::string(resource)] = one();
  return u;
}

bool in_scope(const ResourceQuota& quota, const Use& use) {
  for (const auto& scope : quota.spec.scopes)
    if (!selects({scope, "Exists", {}}, use)) return false;
  if (quota.spec.scope_selector)
    for (const auto& s : quota.spec.scope_selector->match_expressions)
      if (!selects(s, use)) return false;
  return true;
}

std::string unstated(const Pod& pod, const std::vector<std::string>& names) {
  constexpr std::string_view kDemanded[] = {"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"};
  if (states_pod_level(pod)) return {};
  std::map<std::string, std::set<std::string>> missing;
  for (const auto* list : {&pod.spec.containers, &pod.spec.init_containers})
    for (const auto& c : *list) {
      ResourceList stated = compute_usage(c.resources.requests, c.resources.limits);
      for (const auto& name : names)
        if (is_one(kDemanded, name) && !stated.count(name)) missing[name].insert(c.name);
    }
  std::vector<std::string> parts;
  for (const auto& [name, containers] : missing) parts.push_back(name + " for: " + join({containers.begin(), containers.end()}, ","));
  return parts.empty() ? std::string() : "must specify " + join(parts, "; ");
}

}  // namespace quota
}  // namespace onebin::api
