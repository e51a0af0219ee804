// Services: defaults, addresses and ports from their pools, validation.
#include "apiserver/allocators.hpp"
#include "apiserver/core.hpp"
#include "apiserver/registry/check.hpp"
#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/pod_spec.hpp"
#include "apiserver/registry/service_rules.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>

#include <algorithm>
#include <map>
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
bool needs_ip(const Document& spec) { return type_of(spec) != "ExternalName"; }
bool has_node_ports(const Document& spec) { return is(spec, {"NodePort", "LoadBalancer"}); }
bool needs_ports(const Document& spec) {
  return type_of(spec) == "NodePort" || (type_of(spec) == "LoadBalancer" && apimachinery::bool_at(spec, "allocateLoadBalancerNodePorts", true));
}
bool needs_health_port(const Document& spec) { return type_of(spec) == "LoadBalancer" && string_at(spec, "externalTrafficPolicy") == "Local"; }
bool external(const Document& spec) { return has_node_ports(spec) || (type_of(spec) == "ClusterIP" && !each(spec, "externalIPs").empty()); }
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
    if (string_at(spec, "sessionAffinity") == "None") spec.erase("sessionAffinityConfig");
    if (string_at(spec, "sessionAffinity") == "ClientIP" && !find_member(member(member(spec, "sessionAffinityConfig"), "clientIP"), "timeoutSeconds"))
      spec["sessionAffinityConfig"] = {{"clientIP", {{"timeoutSeconds", 10800}}}};
    if (Document* ports = find_member(spec, "ports"); ports && ports->is_array())
      for (auto& p : *ports) {
        if (string_at(p, "protocol").empty()) p["protocol"] = "TCP";
        const Document* target = find_member(p, "targetPort");
        if (!target || *target == 0 || *target == "") p["targetPort"] = p.value("port", 0);
      }
    if (external(spec) && string_at(spec, "externalTrafficPolicy").empty()) spec["externalTrafficPolicy"] = "Cluster";
    if (is(spec, {"ClusterIP", "NodePort", "LoadBalancer"}) && !find_member(spec, "internalTrafficPolicy")) spec["internalTrafficPolicy"] = "Cluster";
    if (type_of(spec) != "LoadBalancer") return;
    if (!find_member(spec, "allocateLoadBalancerNodePorts")) spec["allocateLoadBalancerNodePorts"] = true;
    Document* balancer = find_member(o, "status");
    balancer = balancer ? find_member(*balancer, "loadBalancer") : nullptr;
    if (Document* ingress = balancer ? find_member(*balancer, "ingress") : nullptr; ingress && ingress->is_array())
      for (auto& i : *ingress)
        if (!string_at(i, "ip").empty() && !find_member(i, "ipMode")) i["ipMode"] = "VIP";
  }

  void prepare_for_create(WriteContext& c, Document& o) const override {
    Strategy::prepare_for_create(c, o);
    o["status"] = {{"loadBalancer", Document::object()}};
  }

  void prepare_for_update(WriteContext& c, Document& o, const Document& old) const override {
    Strategy::prepare_for_update(c, o, old);
    if (type_of(member(o, "spec")) != "LoadBalancer") apimachinery::object_at(o, "status")["loadBalancer"] = Document::object();
  }

  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override { validate_service(o, nullptr, errors); }
  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override { validate_service(o, &old, errors); }
  void validate_status_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override { validate_service_status(o, old, errors); }

  Result<std::unique_ptr<Reservation>> begin_create(WriteContext& c, Document& o) const override {
    unite_ips(apimachinery::object_at(o, "spec"), nullptr);
    return allocate(c, o, nullptr);
  }
  // What was allocated goes before what its new type has no use for is dropped: so the service is as the client wrote it.
  Result<std::unique_ptr<Reservation>> begin_update(WriteContext& c, Document& o, const Document& old) const override {
    Document& spec = apimachinery::object_at(o, "spec");
    const Document& was = member(old, "spec");
    carry_allocated(spec, was);
    unite_ips(spec, &was);
    auto taken = allocate(c, o, &old);
    if (taken) drop_needless(spec, was);
    return taken;
  }

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
      if (ips.empty() && ip == old_ip) ips = old_ips;
      if (ip != old_ip && ips == old_ips) ips = ip.empty() ? std::vector<std::string>() : std::vector<std::string>{ip};
    }
    set_list(spec, "clusterIPs", ips);
    if (ip.empty()) spec.erase("clusterIP");
  }

  // What the client left out and the service has already.
  static void carry_allocated(Document& spec, const Document& was) {
    auto carry = [&](const char* f) {
      if (const Document* v = find_member(was, f)) spec[f] = *v;
    };
    if (needs_ip(spec) && needs_ip(was)) {
      if (string_at(spec, "clusterIP").empty()) carry("clusterIP");
      if (each(spec, "clusterIPs").empty()) carry("clusterIPs");
    }
    Document* ports = find_member(spec, "ports");
    if (needs_ports(spec) && needs_ports(was) && ports && ports->is_array()) {
      std::set<std::int64_t> used;
      std::map<std::string_view, std::int64_t> known;
      for (const auto& p : *ports) used.insert(apimachinery::int_at(p, "nodePort"));
      for (const auto& p : each(was, "ports")) known[string_at(p, "name")] = apimachinery::int_at(p, "nodePort");
      for (auto& p : *ports) {
        auto at = known.find(string_at(p, "name"));
        if (!apimachinery::int_at(p, "nodePort") && at != known.end() && at->second && !used.count(at->second)) p["nodePort"] = at->second;
      }
    }
    if (needs_health_port(spec) && needs_health_port(was) && !apimachinery::int_at(spec, "healthCheckNodePort")) carry("healthCheckNodePort");
  }

  // What the new type has no use for, where the client did not touch it.
  static void drop_needless(Document& spec, const Document& was) {
    if (needs_ip(was) && !needs_ip(spec)) {
      if (same(spec, was, "clusterIP") && same(spec, was, "clusterIPs")) {
        spec.erase("clusterIP");
        spec.erase("clusterIPs");
      }
      for (const char* f : {"ipFamilies", "ipFamilyPolicy"})
        if (same(spec, was, f)) spec.erase(f);
    }
    if (has_node_ports(was) && !has_node_ports(spec))
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

  static Status internal(const std::string& why) {
    StatusDetails details;
    details.causes.push_back({"", why, ""});
    return Status(Reason::InternalError, "Internal error occurred: " + why, std::move(details));
  }

  // A service that prefers two families keeps what it has, whatever the cluster has by now.
  static bool prefers_the_same(const Document& spec, const Document* was) {
    if (!was || type_of(spec) != type_of(*was) || !is(spec, {"ClusterIP", "NodePort", "LoadBalancer"})) return false;
    std::string_view before = string_at(*was, "ipFamilyPolicy");
    return string_at(spec, "ipFamilyPolicy") == "PreferDualStack" && (before.empty() || before == "PreferDualStack") && same(spec, *was, "clusterIPs") && same(spec, *was, "ipFamilies");
  }

  // ipFamilyPolicy and ipFamilies, told or inferred.
  Status settle_families(const Allocators& pool, Document& o, const Document* was) const {
    Document& spec = o["spec"];
    FieldPath path("spec");
    auto ips = get_list(spec, "clusterIPs"), families = get_list(spec, "ipFamilies");
    bool anywhere = headless(spec) && selectorless(spec);
    const Document* before = was ? find_member(*was, "ipFamilyPolicy") : nullptr;
    if (!find_member(spec, "ipFamilyPolicy")) spec["ipFamilyPolicy"] = before ? *before : Document(anywhere ? "RequireDualStack" : "SingleStack");
    std::string policy(string_at(spec, "ipFamilyPolicy"));
    FieldErrors errors;
    auto refuse = [&](const char* why) { errors.push_back(field_invalid(path.child("ipFamilyPolicy"), policy, why)); };
    Check(member(spec, "ipFamilyPolicy"), path.child("ipFamilyPolicy"), errors).one_of({"PreferDualStack", "RequireDualStack", "SingleStack"});
    validate_service_addresses(spec, was, errors);
    if (!errors.empty()) return invalid(o, std::move(errors));
    if (was) {
      auto old_ips = get_list(*was, "clusterIPs"), old_families = get_list(*was, "ipFamilies");
      if (policy == "SingleStack") {
        if (ips.size() > 1 && ips == old_ips) ips.resize(1);
        if (families.size() > 1 && families == old_families) families.resize(1);
      } else {
        if (!ips.empty() && ips.size() < old_ips.size()) refuse("must be 'SingleStack' to release the secondary cluster IP");
        if (!families.empty() && families.size() < old_families.size()) refuse("must be 'SingleStack' to release the secondary IP family");
      }
    }
    if (policy == "SingleStack") {
      if (ips.size() == 2) refuse("must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified");
      if (families.size() == 2) refuse("must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified");
    }
    for (std::size_t i = 0; i < ips.size() && ips[i] != "None"; ++i) {
      if (i < families.size()) continue;
      std::string family = family_of(ips[i]);
      if (pool.range_of(family)) families.push_back(family);
      else errors.push_back(field_invalid(path.child("clusterIPs").index(i), ips, family + " is not configured on this cluster"));
    }
    if (!errors.empty()) return invalid(o, std::move(errors));
    if (anywhere) {
      if (families.empty()) families.emplace_back(pool.primary_family());
      if (families.size() < 2 && policy != "SingleStack") families.emplace_back(other_family(families[0]));
    } else {
      bool dual = pool.ranges().size() > 1;
      if (policy == "RequireDualStack" && !dual) refuse("this cluster is not configured for dual-stack services");
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

  // A service that is new, or had no addresses, gets them all; one that becomes of two families the second.
  Status allocate_ips(WriteContext& c, Allocators& pool, Document& o, const Document* was, const std::string& owner, Taken& taken) const {
    Document& spec = o["spec"];
    auto ips = get_list(spec, "clusterIPs"), families = get_list(spec, "ipFamilies");
    bool all = !was || !needs_ip(*was);
    if (all ? !ips.empty() && ips[0] == "None" : !(each(*was, "ipFamilies").size() == 1 && families.size() == 2) || headless(*was)) return Status::ok();
    for (std::size_t i = all ? 0 : 1; i < families.size(); ++i) {
      if (i < ips.size()) {
        if (pool.owns_ip(ips[i], owner)) continue;
        if (Status s = c.dry_run ? pool.try_ip(ips[i]) : pool.take_ip(ips[i], owner); !s)
          return invalid(o, {field_invalid(FieldPath("spec").child("clusterIPs"), ips, "failed to allocate IP " + ips[i] + ": " + s.message())});
        if (!c.dry_run) taken.ips.push_back(ips[i]);
        continue;
      }
      auto ip = pool.allocate_ip(families[i], owner, *c.rng);
      if (!ip) return internal("failed to allocate a serviceIP for Service \"" + std::string(apimachinery::name_of(o)) + "\": range is full");
      taken.ips.push_back(*ip);
      ips.push_back(*ip);
    }
    set_list(spec, "clusterIPs", ips);
    if (!ips.empty()) spec["clusterIP"] = ips[0];
    return Status::ok();
  }

  // Ports that one write takes: by it none is taken twice.
  struct Ports {
    Allocators& pool;
    const std::string& owner;
    Taken& taken;

    Status take(std::int64_t port) {
      if (std::find(taken.ports.begin(), taken.ports.end(), port) != taken.ports.end()) return bad_request("provided port is already allocated");
      Status s = pool.take_port(static_cast<int>(port), owner);
      if (s) taken.ports.push_back(static_cast<int>(port));
      return s;
    }
    Status take_any(Document& holder, const char* field, Rng& rng) {
      auto n = pool.allocate_port(owner, rng);
      if (!n) return n.status();
      taken.ports.push_back(*n);
      holder[field] = *n;
      return Status::ok();
    }
  };

  Status refused_port(const Document& o, std::size_t i, std::int64_t port, const Status& why) const {
    return invalid(o, {field_invalid(FieldPath("spec").child("ports").index(i).child("nodePort"), port, why.message())});
  }

  // Of a new service: a number that is asked for twice, for two protocols of a port, is one.
  Status first_node_ports(WriteContext& c, Document& o, Ports& pool) const {
    Document& spec = o["spec"];
    Document& ports = spec["ports"];
    std::map<std::int64_t, std::int64_t> by_port;
    for (std::size_t i = 0; i < ports.size(); ++i) {
      std::int64_t number = apimachinery::int_at(ports[i], "port"), asked = apimachinery::int_at(ports[i], "nodePort");
      if (!asked && !needs_ports(spec)) continue;
      std::int64_t& known = by_port[number];
      if (known) {
        if (!asked) ports[i]["nodePort"] = known;
        else if (asked != known)
          if (Status s = pool.take(asked); !s) return refused_port(o, i, asked, s);
        continue;
      }
      for (const auto& p : ports)
        if (std::int64_t n = apimachinery::int_at(p, "nodePort"); !known && n && apimachinery::int_at(p, "port") == number) known = n;
      if (known) {
        if (Status s = pool.take(known); !s) return refused_port(o, i, known, s);
        ports[i]["nodePort"] = known;
      } else {
        if (Status s = pool.take_any(ports[i], "nodePort", *c.rng); !s) return internal("failed to allocate a nodePort: range is full");
        known = apimachinery::int_at(ports[i], "nodePort");
      }
    }
    return Status::ok();
  }

  Status more_node_ports(WriteContext& c, Document& o, const Document& was, Ports& pool) const {
    Document& spec = o["spec"];
    Document& ports = spec["ports"];
    std::set<std::int64_t> held;
    for (const auto& p : each(was, "ports")) held.insert(apimachinery::int_at(p, "nodePort"));
    std::set<std::pair<std::string, std::int64_t>> seen;
    for (std::size_t i = 0; i < ports.size(); ++i) {
      std::int64_t n = apimachinery::int_at(ports[i], "nodePort");
      if (!n && !needs_ports(spec)) continue;
      if (!n) {
        if (Status s = pool.take_any(ports[i], "nodePort", *c.rng); !s) return internal("failed to allocate a nodePort: range is full");
        n = apimachinery::int_at(ports[i], "nodePort");
      } else if (held.insert(n).second) {
        if (Status s = pool.take(n); !s) return refused_port(o, i, n, s);
      }
      std::string protocol(string_at(ports[i], "protocol"));
      if (!seen.emplace(protocol, n).second) return Status(Reason::Unknown, "duplicate nodePort: {" + protocol + " " + std::to_string(n) + "}");
    }
    return Status::ok();
  }

  Status allocate_ports(WriteContext& c, Allocators& allocators, Document& o, const Document* was, const std::string& owner, Taken& taken) const {
    Document& spec = o["spec"];
    Ports pool{allocators, owner, taken};
    if (has_node_ports(spec) && each(spec, "ports").size())
      if (Status s = was ? more_node_ports(c, o, *was, pool) : first_node_ports(c, o, pool); !s) return s;
    if (!needs_health_port(spec) || (was && needs_health_port(*was))) return Status::ok();
    std::int64_t n = apimachinery::int_at(spec, "healthCheckNodePort");
    if (!n) return pool.take_any(spec, "healthCheckNodePort", *c.rng) ? Status::ok() : internal("failed to allocate a HealthCheck NodePort 0: range is full");
    if (Status s = pool.take(n); !s) return internal("failed to allocate requested HealthCheck NodePort " + std::to_string(n) + ": " + s.message());
    return Status::ok();
  }

  Result<std::unique_ptr<Reservation>> allocate(WriteContext& c, Document& o, const Document* old) const {
    Allocators& pool = *c.core->allocators;
    std::string owner = std::string(apimachinery::namespace_of(o)) + "/" + std::string(apimachinery::name_of(o));
    auto taken = std::make_unique<Taken>(pool, owner);
    Document& spec = apimachinery::object_at(o, "spec");
    const Document* was = old ? &member(*old, "spec") : nullptr;
    Status s;
    if (needs_ip(spec) && !prefers_the_same(spec, was)) {
      s = settle_families(pool, o, was);
      if (s) s = allocate_ips(c, pool, o, was, owner, *taken);
    }
    if (s) s = allocate_ports(c, pool, o, was, owner, *taken);
    // A name elsewhere has no use for one that is valid.
    std::string_view inside = string_at(spec, "internalTrafficPolicy");
    if (!needs_ip(spec) && (inside == "Cluster" || inside == "Local")) spec.erase("internalTrafficPolicy");
    if (!s || c.dry_run) taken->finish(false);
    if (!s) return s;
    if (c.dry_run) return std::unique_ptr<Reservation>();
    return std::unique_ptr<Reservation>(std::move(taken));
  }
};

}  // namespace

StrategyPtr make_service_strategy(const KindSchema& k) { return std::make_shared<ServiceStrategy>(k); }

}  // namespace onebin::apiserver
