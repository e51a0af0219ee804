// Services: defaults, addresses and ports from their pools, validation.
#include "apiserver/allocators.hpp"
#include "apiserver/core.hpp"
#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/pod_spec.hpp"
#include "apiserver/registry/service_rules.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>

#include <algorithm>
#include <set>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::string_at;

namespace {

std::string type_of(const Document& spec) { return std::string(string_at(spec, "type")); }
bool is(const Document& spec, std::initializer_list<std::string_view> types) {
  return std::find(types.begin(), types.end(), string_at(spec, "type")) != types.end();
}
bool needs_ip(const Document& spec) { return is(spec, {"ClusterIP", "NodePort", "LoadBalancer"}); }
bool needs_ports(const Document& spec) {
  if (type_of(spec) == "NodePort") return true;
  return type_of(spec) == "LoadBalancer" && apimachinery::bool_at(spec, "allocateLoadBalancerNodePorts", true);
}
bool needs_health_port(const Document& spec) { return type_of(spec) == "LoadBalancer" && string_at(spec, "externalTrafficPolicy") == "Local"; }
bool external(const Document& spec) { return is(spec, {"NodePort", "LoadBalancer"}) || (type_of(spec) == "ClusterIP" && !each(spec, "externalIPs").empty()); }
bool headless(const Document& spec) { return string_at(spec, "clusterIP") == "None"; }
bool selectorless(const Document& spec) { return !member(spec, "selector").is_object() || member(spec, "selector").empty(); }
bool same(const Document& a, const Document& b, std::string_view field) { return apimachinery::semantically_equal(find_member(a, field), find_member(b, field)); }

std::string family_of(std::string_view ip) { return ip.find(':') == std::string_view::npos ? "IPv4" : "IPv6"; }
const char* other_family(std::string_view family) { return family == "IPv4" ? "IPv6" : "IPv4"; }

// What a write took from the pools, given back when it is not stored.
class Taken final : public Strategy::Reservation {
 public:
  Taken(Allocators& pool, std::string owner) : pool_(pool), owner_(std::move(owner)) {}
  void finish(bool stored) override {
    if (stored) return;
    for (const auto& ip : ips) pool_.release_ip(ip, owner_);
    for (int p : ports) pool_.release_port(p, owner_);
  }
  std::vector<std::string> ips;
  std::vector<int> ports;

 private:
  Allocators& pool_;
  std::string owner_;
};

void set_list(Document& spec, const char* field, const std::vector<std::string>& list) {
  if (list.empty()) spec.erase(field);
  else spec[field] = list;
}
std::vector<std::string> get_list(const Document& spec, const char* field) {
  std::vector<std::string> out;
  for (const auto& v : each(spec, field))
    if (v.is_string()) out.push_back(v.get<std::string>());
  return out;
}

class ServiceStrategy final : public Strategy {
 public:
  explicit ServiceStrategy(const KindSchema& k) : Strategy(k) {
    set_flags(*this);
    select("spec.clusterIP");
    select("spec.type");
  }

  void set_defaults(Document& o) const override {
    Document* s = find_member(o, "spec");
    if (!s || !s->is_object()) return;
    Document& spec = *s;
    if (string_at(spec, "sessionAffinity") == "ClientIP") {
      Document& client = apimachinery::object_at(apimachinery::object_at(spec, "sessionAffinityConfig"), "clientIP");
      if (!apimachinery::int_at(client, "timeoutSeconds")) client["timeoutSeconds"] = 10800;
    } else {
      spec.erase("sessionAffinityConfig");
    }
    if (Document* ports = find_member(spec, "ports"); ports && ports->is_array())
      for (auto& p : *ports) {
        if (string_at(p, "protocol").empty()) p["protocol"] = "TCP";
        const Document* target = find_member(p, "targetPort");
        if (!target || *target == 0 || *target == "") p["targetPort"] = p.value("port", 0);
      }
    if (external(spec) && string_at(spec, "externalTrafficPolicy").empty()) spec["externalTrafficPolicy"] = "Cluster";
    if (needs_ip(spec) && string_at(spec, "internalTrafficPolicy").empty()) spec["internalTrafficPolicy"] = "Cluster";
    if (type_of(spec) == "LoadBalancer" && !find_member(spec, "allocateLoadBalancerNodePorts")) spec["allocateLoadBalancerNodePorts"] = true;
  }

  void prepare_for_create(WriteContext& c, Document& o) const override {
    Strategy::prepare_for_create(c, o);
    Document& spec = apimachinery::object_at(o, "spec");
    o["status"] = {{"loadBalancer", Document::object()}};
    unite_ips(spec, nullptr);
  }

  void prepare_for_update(WriteContext& c, Document& o, const Document& old) const override {
    Strategy::prepare_for_update(c, o, old);
    Document& spec = apimachinery::object_at(o, "spec");
    const Document& was = member(old, "spec");
    carry_allocated(spec, was);
    unite_ips(spec, &was);
    drop_needless(spec, was);
    if (type_of(spec) != "LoadBalancer") apimachinery::object_at(o, "status")["loadBalancer"] = Document::object();
  }

  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override { validate_service(o, nullptr, errors); }
  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override { validate_service(o, &old, errors); }
  void validate_status_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override { validate_service_status(o, old, errors); }

  Result<std::unique_ptr<Reservation>> begin_create(WriteContext& c, Document& o) const override { return allocate(c, o, nullptr); }
  Result<std::unique_ptr<Reservation>> begin_update(WriteContext& c, Document& o, const Document& old) const override { return allocate(c, o, &old); }

 private:
  // clusterIP is the first of clusterIPs, whichever of the two the client wrote.
  static void unite_ips(Document& spec, const Document* was) {
    std::string ip(string_at(spec, "clusterIP"));
    auto ips = get_list(spec, "clusterIPs");
    if (!was) {
      if (!ip.empty() && ips.empty()) ips = {ip};
    } else {
      std::string old_ip(string_at(*was, "clusterIP"));
      auto old_ips = get_list(*was, "clusterIPs");
      if (ip != old_ip) {
        if (ip.empty() && ips == old_ips) ips.clear();
        else if (ips == old_ips) ips = ip.empty() ? std::vector<std::string>() : std::vector<std::string>{ip};
      }
      if (!ip.empty() && ips.empty()) ips = {ip};
    }
    set_list(spec, "clusterIPs", ips);
    if (ip.empty()) spec.erase("clusterIP");
    else spec["clusterIP"] = ip;
  }

  // What the client left out and the service has already.
  static void carry_allocated(Document& spec, const Document& was) {
    if (needs_ip(spec) && needs_ip(was)) {
      if (string_at(spec, "clusterIP").empty() && each(spec, "clusterIPs").empty()) {
        if (const Document* v = find_member(was, "clusterIP")) spec["clusterIP"] = *v;
        if (const Document* v = find_member(was, "clusterIPs")) spec["clusterIPs"] = *v;
      } else if (string_at(spec, "clusterIP").empty()) {
        if (const Document* v = find_member(was, "clusterIP")) spec["clusterIP"] = *v;
      } else if (each(spec, "clusterIPs").empty() && string_at(spec, "clusterIP") == string_at(was, "clusterIP")) {
        if (const Document* v = find_member(was, "clusterIPs")) spec["clusterIPs"] = *v;
      }
    }
    if (needs_ports(spec) && needs_ports(was)) {
      std::set<std::int64_t> used;
      for (const auto& p : each(spec, "ports"))
        if (std::int64_t n = apimachinery::int_at(p, "nodePort")) used.insert(n);
      Document* ports = find_member(spec, "ports");
      if (ports && ports->is_array())
        for (auto& p : *ports) {
          if (apimachinery::int_at(p, "nodePort")) continue;
          for (const auto& o : each(was, "ports")) {
            std::int64_t n = apimachinery::int_at(o, "nodePort");
            if (n && string_at(o, "name") == string_at(p, "name") && used.insert(n).second) p["nodePort"] = n;
          }
        }
    }
    if (needs_health_port(spec) && needs_health_port(was) && !apimachinery::int_at(spec, "healthCheckNodePort"))
      if (const Document* v = find_member(was, "healthCheckNodePort")) spec["healthCheckNodePort"] = *v;
  }

  // What the new type has no use for, where the client did not touch it.
  static void drop_needless(Document& spec, const Document& was) {
    if (needs_ip(was) && !needs_ip(spec)) {
      if (same(spec, was, "clusterIPs")) {
        spec.erase("clusterIP");
        spec.erase("clusterIPs");
      }
      for (const char* f : {"ipFamilies", "ipFamilyPolicy"})
        if (same(spec, was, f)) spec.erase(f);
      if (same(spec, was, "internalTrafficPolicy")) spec.erase("internalTrafficPolicy");
    }
    if (needs_ports(was) && !needs_ports(spec) && type_of(spec) != "LoadBalancer")
      if (Document* ports = find_member(spec, "ports"); ports && ports->is_array()) {
        bool untouched = true;
        for (const auto& p : *ports) {
          std::int64_t n = apimachinery::int_at(p, "nodePort");
          bool known = n == 0;
          for (const auto& o : each(was, "ports")) known = known || apimachinery::int_at(o, "nodePort") == n;
          untouched = untouched && known;
        }
        if (untouched)
          for (auto& p : *ports) p.erase("nodePort");
      }
    if (needs_health_port(was) && !needs_health_port(spec) && same(spec, was, "healthCheckNodePort")) spec.erase("healthCheckNodePort");
    if (type_of(was) == "LoadBalancer" && type_of(spec) != "LoadBalancer")
      for (const char* f : {"allocateLoadBalancerNodePorts", "loadBalancerClass"})
        if (same(spec, was, f)) spec.erase(f);
    if (external(was) && !external(spec) && same(spec, was, "externalTrafficPolicy")) spec.erase("externalTrafficPolicy");
  }

  Status invalid(const Document& o, FieldErrors errors) const { return apimachinery::invalid("", "Service", apimachinery::name_of(o), errors); }

  // ipFamilyPolicy and ipFamilies, told or inferred.
  Status settle_families(const Allocators& pool, Document& o, const Document* was) const {
    Document& spec = o["spec"];
    FieldPath path("spec");
    auto ips = get_list(spec, "clusterIPs"), families = get_list(spec, "ipFamilies");
    std::string policy(string_at(spec, "ipFamilyPolicy"));
    if (policy.empty() && was) policy = string_at(*was, "ipFamilyPolicy");
    if (policy.empty()) policy = headless(spec) && selectorless(spec) ? "RequireDualStack" : "SingleStack";
    spec["ipFamilyPolicy"] = policy;
    FieldErrors errors;
    validate_service_addresses(spec, was, errors);
    if (!errors.empty()) return invalid(o, std::move(errors));
    if (was && policy == "SingleStack") {
      if (ips.size() > 1 && ips == get_list(*was, "clusterIPs")) ips.resize(1);
      if (families.size() > 1 && families == get_list(*was, "ipFamilies")) families.resize(1);
    }
    if (policy == "SingleStack" && (ips.size() == 2 || families.size() == 2))
      errors.push_back(field_invalid(path.child("ipFamilyPolicy"), policy, ips.size() == 2 ? "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified"
                                                                                          : "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"));
    for (std::size_t i = 0; i < ips.size() && ips[i] != "None"; ++i) {
      if (i >= families.size()) families.push_back(family_of(ips[i]));
    }
    if (!errors.empty()) return invalid(o, std::move(errors));
    if (headless(spec) && selectorless(spec)) {
      if (families.empty()) families.emplace_back(pool.primary_family());
      if (families.size() < 2 && policy != "SingleStack") families.emplace_back(other_family(families[0]));
    } else {
      bool dual = pool.ranges().size() > 1;
      if (policy == "RequireDualStack" && !dual) errors.push_back(field_invalid(path.child("ipFamilyPolicy"), policy, "this cluster is not configured for dual-stack services"));
      for (std::size_t i = 0; i < families.size(); ++i)
        if (!pool.range_of(families[i])) errors.push_back(field_invalid(path.child("ipFamilies").index(i), families[i], "not configured on this cluster"));
      if (!errors.empty()) return invalid(o, std::move(errors));
      if (families.empty()) families.emplace_back(pool.primary_family());
      if (policy != "SingleStack" && families.size() == 1 && dual) families.emplace_back(other_family(families[0]));
    }
    set_list(spec, "clusterIPs", ips);
    set_list(spec, "ipFamilies", families);
    return Status::ok();
  }

  Status allocate_ips(WriteContext& c, Allocators& pool, Document& o, const std::string& owner, Taken& taken) const {
    Document& spec = o["spec"];
    if (headless(spec)) {
      spec["clusterIPs"] = Document::array({"None"});
      return Status::ok();
    }
    auto ips = get_list(spec, "clusterIPs"), families = get_list(spec, "ipFamilies");
    for (std::size_t i = 0; i < families.size(); ++i) {
      if (i < ips.size()) {
        if (pool.owns_ip(ips[i], owner)) continue;
        if (Status s = pool.take_ip(ips[i], owner); !s) {
          FieldErrors errors{field_invalid(FieldPath("spec").child("clusterIPs"), ips, "failed to allocate IP " + ips[i] + ": " + s.message())};
          return invalid(o, std::move(errors));
        }
        taken.ips.push_back(ips[i]);
        continue;
      }
      auto ip = pool.allocate_ip(families[i], owner, *c.rng);
      if (!ip) return ip.status();
      taken.ips.push_back(*ip);
      ips.push_back(*ip);
    }
    ips.resize(std::min(ips.size(), families.size()));
    set_list(spec, "clusterIPs", ips);
    if (!ips.empty()) spec["clusterIP"] = ips[0];
    return Status::ok();
  }

  Status allocate_ports(WriteContext& c, Allocators& pool, Document& o, const Document* was, const std::string& owner, Taken& taken) const {
    Document& spec = o["spec"];
    std::set<std::int64_t> held;
    if (was) {
      for (const auto& p : each(*was, "ports")) held.insert(apimachinery::int_at(p, "nodePort"));
      held.insert(apimachinery::int_at(*was, "healthCheckNodePort"));
    }
    auto take = [&](std::int64_t port, const FieldPath& path) {
      if (held.count(port)) return Status::ok();
      Status s = pool.take_port(static_cast<int>(port), owner);
      if (!s) return invalid(o, {field_invalid(path, port, s.message())});
      taken.ports.push_back(static_cast<int>(port));
      held.insert(port);
      return Status::ok();
    };
    Document* ports = find_member(spec, "ports");
    // A number asked for twice, for two protocols, is one port.
    std::map<std::int64_t, std::int64_t> by_port;
    if (ports && ports->is_array()) {
      std::size_t i = 0;
      for (auto& p : *ports) {
        FieldPath at = FieldPath("spec").child("ports").index(i++).child("nodePort");
        if (std::int64_t n = apimachinery::int_at(p, "nodePort")) {
          if (Status s = take(n, at); !s) return s;
          by_port[p.value("port", 0)] = n;
        }
      }
      if (needs_ports(spec))
        for (auto& p : *ports) {
          if (apimachinery::int_at(p, "nodePort")) continue;
          std::int64_t number = p.value("port", 0);
          if (auto known = by_port.find(number); known != by_port.end()) {
            p["nodePort"] = known->second;
            continue;
          }
          auto n = pool.allocate_port(owner, *c.rng);
          if (!n) return n.status();
          taken.ports.push_back(*n);
          p["nodePort"] = *n;
          by_port[number] = *n;
        }
    }
    if (!needs_health_port(spec)) return Status::ok();
    if (std::int64_t n = apimachinery::int_at(spec, "healthCheckNodePort")) return take(n, FieldPath("spec").child("healthCheckNodePort"));
    auto n = pool.allocate_port(owner, *c.rng);
    if (!n) return n.status();
    taken.ports.push_back(*n);
    spec["healthCheckNodePort"] = *n;
    return Status::ok();
  }

  Result<std::unique_ptr<Reservation>> allocate(WriteContext& c, Document& o, const Document* old) const {
    Allocators& pool = *c.core->allocators;
    std::string owner = std::string(apimachinery::namespace_of(o)) + "/" + std::string(apimachinery::name_of(o));
    auto taken = std::make_unique<Taken>(pool, owner);
    Document& spec = apimachinery::object_at(o, "spec");
    const Document* was = old ? &member(*old, "spec") : nullptr;
    Status s;
    if (needs_ip(spec)) {
      s = settle_families(pool, o, was);
      if (s) s = allocate_ips(c, pool, o, owner, *taken);
    }
    if (s) s = allocate_ports(c, pool, o, was, owner, *taken);
    if (!s || c.dry_run) taken->finish(false);
    if (!s) return s;
    if (c.dry_run) return std::unique_ptr<Reservation>();
    return std::unique_ptr<Reservation>(std::move(taken));
  }
};

}  // namespace

StrategyPtr make_service_strategy(const KindSchema& k) { return std::make_shared<ServiceStrategy>(k); }

}  // namespace onebin::apiserver
