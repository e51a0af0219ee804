// networking.k8s.io: Ingress, IngressClass, NetworkPolicy, ServiceCIDR, IPAddress.
#include "apiserver/registry/addresses.hpp"
#include "apiserver/registry/check.hpp"
#include "apiserver/registry/empty_lists.hpp"
#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/selectors.hpp>
#include <onebin/apimachinery/validation.hpp>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::string_at;

namespace {

constexpr const char* kClassAnnotation = "kubernetes.io/ingress.class";

// ---- NetworkPolicy

void check_policy_port(const Check& p) {
  if (!p["protocol"].empty()) p["protocol"].one_of({"TCP", "UDP", "SCTP"});
  Check port = p["port"], end = p["endPort"];
  if (!port.set()) {
    if (end.set()) end.invalid("may not be specified when `port` is not specified");
  } else if (port.value().is_number()) {
    port.range(1, 65535);
    if (!end.set()) return;
    if (end.number() < port.number()) end.invalid("must be greater than or equal to `port`");
    end.range(1, 65535);
  } else {
    if (end.set()) end.invalid("may not be specified when `port` is non-numeric");
    port.each_problem(apimachinery::is_valid_port_name(port.text()));
  }
}

// `known`: what the policy has already, which stays as it is.
void check_ip_block(const Check& block, const std::vector<std::string>& known) {
  auto check = [&](const Check& at) {
    if (std::find(known.begin(), known.end(), at.text()) == known.end()) check_network(at, false);
    return parse_network(at.text());
  };
  if (!block["cidr"].need()) return;
  auto outer = check(block["cidr"]);
  if (!outer) return;
  Check except = block["except"];
  for (std::size_t i = 0; i < except.size(); ++i) {
    auto inner = check(except[i]);
    if (inner && !inner->strict_subset_of(*outer)) except[i].invalid("must be a strict subset of `cidr`");
  }
}

void check_peer(const Check& peer, const std::vector<std::string>& known) {
  int peers = 0;
  for (const char* name : {"podSelector", "namespaceSelector"}) {
    Check s = peer[name];
    if (!s.set()) continue;
    ++peers;
    s.add(apimachinery::validate_label_selector(s.value(), s.path()));
  }
  if (peer["ipBlock"].set()) {
    ++peers;
    check_ip_block(peer["ipBlock"], known);
  }
  if (peers == 0) peer.required("must specify a peer");
  else if (peers > 1 && peer["ipBlock"].set()) peer.forbidden("may not specify both ipBlock and another peer");
}

// A map without members, which storage makes none, and upstream counts as a change here.
bool has_empty_labels(const Document& value) {
  if (const Document* labels = find_member(value, "matchLabels"); labels && labels->is_object() && labels->empty()) return true;
  return value.is_structured() && std::any_of(value.begin(), value.end(), has_empty_labels);
}

struct Direction {
  const char *rules, *peers;
};
constexpr Direction kDirections[] = {{"ingress", "from"}, {"egress", "to"}};

class NetworkPolicyStrategy final : public Strategy {
 public:
  explicit NetworkPolicyStrategy(const KindSchema& k) : Strategy(k) { set_flags(*this); }

  void prepare_for_update(WriteContext& c, Document& o, const Document& old) const override {
    Strategy::prepare_for_update(c, o, old);
    if (const Document& spec = member(o, "spec"); has_empty_list(spec) || has_empty_labels(spec)) apimachinery::set_meta(o, "generation", apimachinery::generation_of(old) + 1);
  }
  void set_defaults(Document& o) const override {
    Document& spec = apimachinery::object_at(o, "spec");
    if (!each(spec, "policyTypes").empty()) return;
    spec["policyTypes"] = Document::array({"Ingress"});
    if (!each(spec, "egress").empty()) spec["policyTypes"].push_back("Egress");
  }

  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override { check(o, {}, errors); }

  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    std::vector<std::string> known;
    for (auto [rules, peers] : kDirections)
      for (const auto& r : each(member(old, "spec"), rules))
        for (const auto& p : each(r, peers)) {
          const Document& block = member(p, "ipBlock");
          if (!block.is_object()) continue;
          known.emplace_back(string_at(block, "cidr"));
          for (const auto& e : each(block, "except"))
            if (e.is_string()) known.push_back(e.get<std::string>());
        }
    check(o, known, errors);
  }

 private:
  static void check(const Document& o, const std::vector<std::string>& known, FieldErrors& errors) {
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    Check selector = spec["podSelector"];
    selector.add(apimachinery::validate_label_selector(selector.value(), selector.path()));
    for (auto [rules, peers] : kDirections)
      for (std::size_t i = 0; i < spec[rules].size(); ++i) {
        Check rule = spec[rules][i], ports = rule["ports"], list = rule[peers];
        for (std::size_t j = 0; j < ports.size(); ++j) check_policy_port(ports[j]);
        for (std::size_t j = 0; j < list.size(); ++j) check_peer(list[j], known);
      }
    Check types = spec["policyTypes"];
    if (types.size() > 2) return types.invalid("may not specify more than two policyTypes");
    for (std::size_t i = 0; i < types.size(); ++i) types[i].one_of({"Ingress", "Egress"});
  }
};

// ---- Ingress

void check_host(const Check& host) {
  host.each_problem(host.text().find('*') != std::string_view::npos ? apimachinery::is_wildcard_dns1123_subdomain(host.text())
                                                                   : apimachinery::is_dns1123_subdomain(host.text()));
}

void check_object_reference(const Check& ref) {
  if (ref["apiGroup"].set()) ref["apiGroup"].format(apimachinery::is_dns1123_subdomain);
  ref["kind"].need(path_segment);
  ref["name"].need(path_segment);
}

void check_backend(const Check& b) {
  Check resource = b["resource"], service = b["service"];
  if (resource.set() && service.set()) return b.invalid_as("", "cannot set both resource and service backends");
  if (resource.set()) return check_object_reference(resource);
  if (!service.set()) return b.invalid_as("", "resource or service backend is required");
  service["name"].need(apimachinery::is_dns1123_label);
  Check port = service["port"], name = port["name"], number = port["number"];
  bool named = !name.empty(), numbered = number.number() != 0;
  if (named && numbered) b.invalid_as("", "cannot set both port name & port number");
  else if (named) name.each_problem(apimachinery::is_valid_port_name(name.text()));
  else if (numbered) number.range(1, 65535);
  else b.required("port name or number is required");
}

void check_http_path(const Check& p) {
  Check type = p["pathType"], path = p["path"];
  if (!type.set()) return type.required("pathType must be specified");
  if (type.is("")) type.unsupported({"Exact", "ImplementationSpecific", "Prefix"});  // which the tables' check takes for not set
  std::string_view text = path.text();
  bool exact = type.is("Exact") || type.is("Prefix");
  bool known = exact || type.is("ImplementationSpecific");  // of another the tables' check tells
  if (known && !starts_with(text, "/") && (exact || !text.empty())) path.invalid("must be an absolute path");
  if (exact) {
    for (const char* s : {"//", "/./", "/../", "%2f", "%2F"})
      if (text.find(s) != std::string_view::npos) path.invalid("must not contain '" + std::string(s) + "'");
    for (const char* s : {"/..", "/."})
      if (text.ends_with(s)) path.invalid("cannot end with '" + std::string(s) + "'");
  }
  check_backend(p["backend"]);
}

class IngressStrategy final : public Strategy {
 public:
  explicit IngressStrategy(const KindSchema& k) : Strategy(k) { set_flags(*this); }

  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    check(o, false, errors);
    const Document* annotation = find_member(apimachinery::annotations_of(o), kClassAnnotation);
    const Document* name = find_member(member(o, "spec"), "ingressClassName");
    if (annotation && name && *annotation != *name)
      errors.push_back(field_invalid(FieldPath("annotations").child(kClassAnnotation), *annotation, "must match `ingressClassName` when both are specified"));
  }

  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    bool bad_secret = false;
    for (const auto& t : each(member(old, "spec"), "tls"))
      bad_secret = bad_secret || (!string_at(t, "secretName").empty() && !apimachinery::is_dns1123_subdomain(string_at(t, "secretName")).empty());
    check(o, bad_secret, errors);
  }

  void validate_status_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    Check list = Check(member(o, "status"), FieldPath("status"), errors)["loadBalancer"]["ingress"];
    const Document& before = apimachinery::at_path(old, {"status", "loadBalancer"});
    for (std::size_t i = 0; i < list.size(); ++i) {
      Check ip = list[i]["ip"], host = list[i]["hostname"];
      bool known = false;
      for (const auto& e : each(before, "ingress")) known = known || string_at(e, "ip") == ip.text();
      if (!ip.empty() && !known) check_address(ip, false);
      if (host.empty()) continue;
      host.format(apimachinery::is_dns1123_subdomain);
      if (parse_address(host.text())) host.invalid("must be a DNS name, not an IP address");
    }
  }

  void warnings_on_create(WriteContext& c, const Document& o) const override {
    if (find_member(apimachinery::annotations_of(o), kClassAnnotation) && !find_member(member(o, "spec"), "ingressClassName"))
      c.warn("annotation \"" + std::string(kClassAnnotation) + "\" is deprecated, please use 'spec.ingressClassName' instead");
  }
  void warnings_on_update(WriteContext&, const Document&, const Document&) const override {}

 private:
  static void check(const Document& o, bool bad_secrets, FieldErrors& errors) {
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    Check rules = spec["rules"], tls = spec["tls"], backend = spec["defaultBackend"], name = spec["ingressClassName"];
    if (rules.empty() && !backend.set()) spec.invalid_as(nullptr, "either `defaultBackend` or `rules` must be specified");
    if (backend.set()) check_backend(backend);
    for (std::size_t i = 0; i < rules.size(); ++i) {
      Check host = rules[i]["host"], http = rules[i]["http"];
      if (!host.empty()) {
        if (parse_address(host.text())) host.invalid("must be a DNS name, not an IP address");
        check_host(host);
      }
      if (!http.set()) continue;
      http["paths"].need();
      for (std::size_t j = 0; j < http["paths"].size(); ++j) check_http_path(http["paths"][j]);
    }
    for (std::size_t i = 0; i < tls.size(); ++i) {
      Check hosts = tls[i]["hosts"], secret = tls[i]["secretName"];
      for (std::size_t j = 0; j < hosts.size(); ++j) check_host(hosts[j]);
      if (!secret.empty() && !bad_secrets) secret.format(apimachinery::is_dns1123_subdomain);
    }
    if (name.set()) name.format(apimachinery::is_dns1123_subdomain);
  }
};

class IngressClassStrategy final : public Strategy {
 public:
  explicit IngressClassStrategy(const KindSchema& k) : Strategy(k) { set_flags(*this); }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    spec["controller"].at_most_bytes(250);
    check_domain_prefixed_path(spec["controller"]);
    Check p = spec["parameters"];
    if (!p.set()) return;
    check_object_reference(p);
    Check scope = p["scope"], ns = p["namespace"];
    if (!scope.set()) return scope.required();
    if (!scope.one_of({"Cluster", "Namespace"})) return;
    if (scope.is("Cluster")) {
      if (ns.set()) ns.forbidden("`parameters.scope` is set to 'Cluster'");
    } else if (!ns.set()) {
      ns.required("`parameters.scope` is set to 'Namespace'");
    } else {
      ns.format(apimachinery::is_dns1123_label);
    }
  }
};

// ---- addresses of Services

class ServiceCidrStrategy final : public Strategy {
 public:
  explicit ServiceCidrStrategy(const KindSchema& k) : Strategy(k) { set_flags(*this); }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    Check cidrs = Check(member(o, "spec"), FieldPath("spec"), errors)["cidrs"];
    if (!cidrs.need("at least one CIDR required")) return;
    if (cidrs.size() > 2) return cidrs.invalid_as(member(o, "spec"), "may only hold up to 2 values");
    for (std::size_t i = 0; i < cidrs.size(); ++i) check_network(cidrs[i], true);
    if (cidrs.size() < 2) return;
    auto a = parse_network(cidrs[0].text()), b = parse_network(cidrs[1].text());
    if (a && b && a->base.v6 == b->base.v6)
      cidrs.invalid("may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64");
  }
  // One range may be joined by one of the other family; nothing else changes.
  void validate_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    Check cidrs = Check(member(o, "spec"), FieldPath("spec"), errors)["cidrs"];
    const Document& before = each(member(old, "spec"), "cidrs");
    bool joined = before.size() == 1 && cidrs.size() == 2;
    if (before.size() != cidrs.size() && !joined) return cidrs.invalid("field is immutable");
    for (std::size_t i = 0; i < before.size(); ++i)
      if (cidrs[i].value() != before[i]) cidrs[i].invalid("field is immutable");
    if (joined) validate(c, o, errors);
  }
};

// An IPAddress is named by its address, in the one form in which that is written.
apimachinery::NameProblems name_is_ip(std::string_view name, bool) {
  FieldErrors errors;
  Document text = std::string(name);
  check_address(Check(text, FieldPath(), errors), true);
  apimachinery::NameProblems out;
  for (auto& e : errors) out.push_back(e.detail);
  return out;
}

class IpAddressStrategy final : public Strategy {
 public:
  explicit IpAddressStrategy(const KindSchema& k) : Strategy(k) {
    set_flags(*this);
    name_rule = name_is_ip;
    select("spec.parentRef.name");
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    Check ref = Check(member(o, "spec"), FieldPath("spec"), errors)["parentRef"];
    if (!ref.set()) return;
    if (!ref["group"].empty()) ref["group"].format(apimachinery::is_dns1123_subdomain);
    for (const char* f : {"resource", "name", "namespace"})
      if (!ref[f].empty()) ref[f].format(path_segment);
  }
  void validate_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    validate(c, o, errors);
    const auto& type = *kind->type->field("spec")->message->field("parentRef")->message;
    const Document &now = apimachinery::at_path(o, {"spec", "parentRef"}), &before = apimachinery::at_path(old, {"spec", "parentRef"});
    if (!apimachinery::semantically_equal(type, now, before)) errors.push_back(field_invalid(FieldPath("spec").child("parentRef"), now, "field is immutable"));
  }
};

}  // namespace

StrategyMaker networking_strategy(std::string_view kind) {
  if (kind == "NetworkPolicy") return make<NetworkPolicyStrategy>;
  if (kind == "Ingress") return make<IngressStrategy>;
  if (kind == "IngressClass") return make<IngressClassStrategy>;
  if (kind == "ServiceCIDR") return make<ServiceCidrStrategy>;
  if (kind == "IPAddress") return make<IpAddressStrategy>;
  return nullptr;
}

}  // namespace onebin::apiserver
