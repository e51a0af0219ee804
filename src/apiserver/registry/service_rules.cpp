#include "apiserver/registry/addresses.hpp"
#include "apiserver/registry/service_rules.hpp"

#include "apiserver/registry/check.hpp"
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <optional>
#include <set>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::string_at;

namespace {

constexpr const char* kBalanced = "may only be used when `type` is 'LoadBalancer'";

bool typed(const Document& spec, std::string_view type) { return string_at(spec, "type") == type; }
bool headless(const Document& spec) { return each(spec, "clusterIPs").size() == 1 && each(spec, "clusterIPs")[0] == "None"; }
bool external(const Document& spec) {
  return typed(spec, "NodePort") || typed(spec, "LoadBalancer") || (typed(spec, "ClusterIP") && !each(spec, "externalIPs").empty());
}

// A list that held the value before may keep it, whatever it is.
bool held(const Document* old, const char* list, const Document& value) {
  if (!old) return false;
  for (const auto& v : each(*old, list))
    if (v == value) return true;
  return false;
}

void check_port(const Check& p, bool named, std::set<std::string>& names) {
  Check name = p["name"], target = p["targetPort"], protocol = p["appProtocol"];
  if (named && name.empty()) name.required();
  if (!name.empty()) {
    name.format(apimachinery::is_dns1123_label);
    if (!names.insert(std::string(name.text())).second) name.duplicate();
  }
  for (auto& m : apimachinery::is_valid_port_num(p["port"].number())) p["port"].invalid_as(p["port"].number(), m);
  if (target.value().is_string())
    for (auto& m : apimachinery::is_valid_port_name(std::string(target.text()))) target.invalid(m);
  else
    for (auto& m : apimachinery::is_valid_port_num(target.number())) target.invalid_as(target.number(), m);
  if (protocol.set()) protocol.format(apimachinery::is_qualified_name);
}

void check_ports(const Check& spec) {
  Check ports = spec["ports"];
  if (ports.size() == 0 && !headless(spec.value()) && !spec["type"].is("ExternalName")) ports.required();
  std::set<std::string> names;
  for (std::size_t i = 0; i < ports.size(); ++i) check_port(ports[i], ports.size() > 1, names);
}

void check_port_numbers(const Check& spec) {
  Check ports = spec["ports"];
  if (spec["type"].is("ClusterIP"))
    for (std::size_t i = 0; i < ports.size(); ++i)
      if (ports[i]["nodePort"].number()) ports[i]["nodePort"].forbidden("may not be used when `type` is 'ClusterIP'");
  std::set<std::pair<std::string, std::int64_t>> nodes, seen;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    std::int64_t n = ports[i]["nodePort"].number();
    if (n && !nodes.emplace(std::string(ports[i]["protocol"].text()), n).second) ports[i]["nodePort"].duplicate();
  }
  for (std::size_t i = 0; i < ports.size(); ++i) {
    std::string protocol(ports[i]["protocol"].text());
    std::int64_t n = ports[i]["port"].number();
    if (!seen.emplace(protocol, n).second) ports[i].duplicate_of({{"port", n}, {"protocol", protocol}});
  }
}

void check_name_elsewhere(const Check& spec) {
  if (!each(spec.value(), "clusterIPs").empty()) spec["clusterIPs"].forbidden("may not be set for ExternalName services");
  for (const char* f : {"ipFamilies", "ipFamilyPolicy"})
    if (!spec[f].empty()) spec[f].forbidden("may not be set for ExternalName services");
  Check name = spec["externalName"];
  std::string text(name.text());
  if (text.ends_with('.')) text.pop_back();
  if (text.empty()) name.required();
  else
    for (auto& m : apimachinery::is_dns1123_subdomain(text)) name.invalid_as(text, m);
}

std::optional<std::string_view> note_before(const Document* old, const char* name) {
  const Document* v = old ? find_member(apimachinery::annotations_of(*old), name) : nullptr;
  return v && v->is_string() ? std::optional<std::string_view>(v->get_ref<const std::string&>()) : std::nullopt;
}

void check_sources(const Document& service, const Document* old_service, const Check& spec) {
  const Document* old = old_service ? &member(*old_service, "spec") : nullptr;
  Check ranges = spec["loadBalancerSourceRanges"].as(spec.path().child("LoadBalancerSourceRanges"));  // upstream's spelling
  bool balanced = spec["type"].is("LoadBalancer");
  if (ranges.size() && !balanced) ranges.forbidden(kBalanced);
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    Document text = std::string(trim(ranges[i].text()));
    bool known = false;
    for (const auto& v : old ? each(*old, "loadBalancerSourceRanges") : Document()) known = known || (v.is_string() && trim(v.get_ref<const std::string&>()) == text.get_ref<const std::string&>());
    if (!known) check_network(Check(text, ranges[i].path(), ranges.errors()), false);
  }
  constexpr const char* kAnnotation = "service.beta.kubernetes.io/load-balancer-source-ranges";
  const Document* note = find_member(apimachinery::annotations_of(service), kAnnotation);
  if (ranges.size() || !note || !note->is_string()) return;
  Check at = ranges.as(FieldPath("metadata").child("annotations").key(kAnnotation));
  if (!balanced) at.forbidden(kBalanced);
  std::string text(trim(note->get_ref<const std::string&>()));
  if (text.empty() || note_before(old_service, kAnnotation) == note->get_ref<const std::string&>()) return;
  for (const auto& part : split(text, ',')) {
    Document range = std::string(trim(part));
    check_network(Check(range, at.path(), at.errors()), false);
  }
}

void check_balancer(const Check& spec) {
  bool balanced = spec["type"].is("LoadBalancer");
  if (!balanced && spec["allocateLoadBalancerNodePorts"].set()) spec["allocateLoadBalancerNodePorts"].forbidden(kBalanced);
  Check of_class = spec["loadBalancerClass"];
  if (!of_class.set()) return;
  if (balanced) of_class.format(apimachinery::is_qualified_name);
  else of_class.forbidden(kBalanced);
}

void check_policies(const Check& spec) {
  Check outside = spec["externalTrafficPolicy"], health = spec["healthCheckNodePort"], spread = spec["trafficDistribution"];
  if (!external(spec.value())) {
    if (!outside.empty()) outside.invalid("may only be set for externally-accessible services");
  } else if (outside.empty()) {
    outside.required();
  } else {
    outside.one_of({"Cluster", "Local"});
  }
  if (!spec["type"].is("LoadBalancer") || !outside.is("Local")) {
    if (health.number()) health.invalid("may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'");
  } else if (!health.number()) {
    health.required();
  } else {
    for (auto& m : apimachinery::is_valid_port_num(health.number())) health.invalid(m);
  }
  if (spread.set()) spread.one_of({"PreferClose", "PreferSameZone", "PreferSameNode"});
}

void check_affinity(const Check& spec) {
  Check config = spec["sessionAffinityConfig"], timeout = config["clientIP"]["timeoutSeconds"];
  if (spec["sessionAffinity"].is("ClientIP")) {
    if (timeout.set() && (timeout.number() <= 0 || timeout.number() > 86400)) timeout.invalid("must be greater than 0 and less than 86400");
  } else if (spec["sessionAffinity"].is("None") && config.set()) {
    config.forbidden("must not be set when session affinity is None");
  }
}

// Of a list that holds one thing a family, the first is there for good; the second goes only by a policy that says so.
void check_families_kept(const Document& spec, const Document& was, const char* list, const char* what, FieldErrors& errors) {
  bool addresses = std::string_view(list) == "clusterIPs";
  FieldPath path("spec"), at = path.child(list);
  const Document &now = each(spec, list), &before = each(was, list);
  constexpr const char* kFixed = "may not change once set";
  // Upstream shows addresses where families changed.
  const Document& shown = addresses || now.size() == before.size() ? now : each(spec, "clusterIPs");
  bool first_changed = !now.empty() && !before.empty() && now[0] != before[0];
  if (now.size() == before.size()) {
    for (std::size_t i = 0; i < now.size(); ++i)
      if (now[i] != before[i]) errors.push_back(field_invalid(at.index(addresses ? i : 0), now, kFixed));
    return;
  }
  if (now.size() < before.size() && each(spec, "clusterIPs").empty()) errors.push_back(field_invalid(at.index(0), now, "primary " + std::string(what) + " can not be unset"));
  if (first_changed) errors.push_back(field_invalid(at.index(0), shown, kFixed));
  if (now.size() < before.size() && now.size() == 1 && string_at(spec, "ipFamilyPolicy") != "SingleStack")
    errors.push_back(field_invalid(path.child("ipFamilyPolicy"), member(spec, "ipFamilyPolicy"), "must be set to 'SingleStack' when releasing the secondary " + std::string(what)));
}

// What a service has it keeps: its addresses and families, its class, and the number that its health is asked at.
void check_changes(const Document& spec, const Document& was, FieldErrors& errors) {
  FieldPath path("spec");
  if (!typed(spec, "ExternalName") && !typed(was, "ExternalName")) {
    if (!(headless(spec) && headless(was))) check_families_kept(spec, was, "clusterIPs", "clusterIP", errors);
    if (!headless(spec) && !headless(was)) check_families_kept(spec, was, "ipFamilies", "ipFamily", errors);
  }
  const Document &a = member(spec, "healthCheckNodePort"), &b = member(was, "healthCheckNodePort");
  bool both = true;
  for (const Document* s : {&spec, &was}) both = both && typed(*s, "LoadBalancer") && string_at(*s, "externalTrafficPolicy") == "Local";
  if (typed(spec, "LoadBalancer") && typed(was, "LoadBalancer") && member(spec, "loadBalancerClass") != member(was, "loadBalancerClass"))
    errors.push_back(field_invalid(path.child("loadBalancerClass"), find_member(spec, "loadBalancerClass") ? spec["loadBalancerClass"] : Document(), "may not change once set"));
  if (both && a != b) errors.push_back(field_forbidden(path.child("healthCheckNodePort"), "field is immutable"));
}

}  // namespace

void validate_service_addresses(const Document& value, const Document* old, FieldErrors& errors) {
  Check spec(value, FieldPath("spec"), errors);
  Check ip = spec["clusterIP"], ips = spec["clusterIPs"], families = spec["ipFamilies"];
  if (!ip.empty()) {
    if (!ips.size()) ips.required();
    else if (ips[0].text() != ip.text()) ips.invalid("first value must match `clusterIP`");
  } else if (ips.size()) {
    ips.invalid("must be empty when `clusterIP` is not specified");
  }
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < families.size(); ++i) {
    families[i].one_of({"IPv4", "IPv6"});
    if (!seen.insert(families[i].text()).second) families[i].duplicate();
  }
  bool bad = false;
  for (std::size_t i = 0; i < ips.size(); ++i) {
    if (i == 0 && ips[0].is("None")) {
      if (ips.size() > 1) ips.invalid("'None' must be the first and only value");
      bad = bad || ips.size() > 1;
      continue;
    }
    std::size_t before = errors.size();
    if (!held(old, "clusterIPs", ips[i].value())) check_address(ips[i], false);
    bad = bad || errors.size() > before;
  }
  if (ips.size() > 2) ips.invalid("may only hold up to 2 values");
  if (bad) return;
  auto six = [](std::string_view text) { return text.find(':') != std::string_view::npos; };
  if (ips.size() > 1) {
    std::set<bool> kinds;
    for (std::size_t i = 0; i < ips.size(); ++i) kinds.insert(six(ips[i].text()));
    if (kinds.size() < 2) ips.invalid("may specify no more than one IP for each IP family");
  }
  if (headless(value)) return;
  for (std::size_t i = 0; i < std::min(ips.size(), families.size()); ++i)
    if ((families[i].is("IPv4") && six(ips[i].text())) || (families[i].is("IPv6") && !six(ips[i].text())))
      ips[i].invalid("expected an " + std::string(families[i].text()) + " value as indicated by `ipFamilies[" + std::to_string(i) + "]`");
}

void validate_service(const Document& service, const Document* old, FieldErrors& errors) {
  const Document& value = member(service, "spec");
  const Document* was = old ? &member(*old, "spec") : nullptr;
  if (was) check_changes(value, *was, errors);
  const Document& notes = apimachinery::annotations_of(service);
  constexpr const char *kHints = "service.kubernetes.io/topology-aware-hints", *kMode = "service.kubernetes.io/topology-mode";
  const Document *hints = find_member(notes, kHints), *mode = find_member(notes, kMode);
  if (hints && mode && *hints != *mode)
    errors.push_back(field_invalid(FieldPath("metadata").child("annotations").key(kMode), *mode, std::string("must match annotations[") + kHints + "] when both are specified"));
  Check spec(value, FieldPath("spec"), errors);
  for (const char* type : {"LoadBalancer", "NodePort"})
    if (spec["type"].is(type) && headless(value)) spec["clusterIPs"].as(spec.path().child("clusterIPs").index(0)).invalid_as("None", "may not be set to 'None' for " + std::string(type) + " services");
  if (spec["type"].is("ExternalName")) check_name_elsewhere(spec);
  check_ports(spec);
  if (spec["selector"].set()) spec["selector"].add(apimachinery::validate_labels(spec["selector"].value(), spec["selector"].path()));
  check_affinity(spec);
  if (!spec["type"].is("ExternalName")) validate_service_addresses(value, was, errors);
  Check outside = spec["externalIPs"];
  for (std::size_t i = 0; i < outside.size(); ++i) {
    std::string text(outside[i].text());
    std::size_t before = errors.size();
    if (!held(was, "externalIPs", outside[i].value())) check_address(outside[i], false);
    if (errors.size() == before) validate_endpoint_ip(text, outside[i].path(), errors);
  }
  check_port_numbers(spec);
  check_sources(service, old, spec);
  check_balancer(spec);
  check_policies(spec);
}

void validate_service_status(const Document& service, const Document& old, FieldErrors& errors) {
  Check status(member(service, "status"), FieldPath("status"), errors);
  Check list = status["loadBalancer"]["ingress"];
  if (list.size() && !typed(member(service, "spec"), "LoadBalancer")) return list.forbidden("may only be used when `spec.type` is 'LoadBalancer'");
  std::set<std::string_view> before;
  for (const auto& i : each(member(member(old, "status"), "loadBalancer"), "ingress")) before.insert(string_at(i, "ip"));
  for (std::size_t i = 0; i < list.size(); ++i) {
    Check ip = list[i]["ip"], mode = list[i]["ipMode"], host = list[i]["hostname"];
    std::string text(ip.text()), name(host.text());
    if (!text.empty() && !before.count(text)) check_address(ip, false);
    if (!mode.set() && !text.empty()) mode.required("must be specified when `ip` is set");
    else if (mode.set() && text.empty()) mode.forbidden("may not be specified when `ip` is not set");
    else if (mode.set()) mode.one_of({"Proxy", "VIP"});
    if (name.empty()) continue;
    host.format(apimachinery::is_dns1123_subdomain);
    if (parse_address(name)) host.invalid("must be a DNS name, not an IP address");
  }
}

}  // namespace onebin::apiserver
