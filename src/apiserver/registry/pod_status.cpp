// What a pod's status may say of itself: addresses, conditions, claims.
#include "apiserver/registry/check.hpp"
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>

#include <algorithm>
#include <set>

namespace onebin::apiserver {

using apimachinery::member;
using apimachinery::string_at;

namespace {

// A list of {ip}: each an address, unless the pod had it; at most one of a family.
void check_addresses(const Check& list, const Document& before) {
  std::set<bool> families;
  for (std::size_t i = 0; i < list.size(); ++i) {
    Check ip = list[i]["ip"];
    bool had = std::any_of(before.begin(), before.end(), [&](const Document& b) { return string_at(b, "ip") == ip.text(); });
    if (!had) check_address(Check(Document(std::string(ip.text())), list[i].path(), list.errors()), false);
    families.insert(ip.text().find(':') != std::string_view::npos);
  }
  if (list.size() > 1 && (families.size() < 2 || list.size() > 2)) list.invalid("may specify no more than one IP for each IP family");
}

void check_conditions(const Check& list) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i]["observedGeneration"].number() < 0) list[i]["observedGeneration"].invalid("must be a non-negative integer");
    Check type = list[i]["type"].as(list[i].path().child("Type"));  // upstream's spelling
    if (type.is("PodScheduled") || type.is("Ready") || type.is("Initialized")) continue;
    std::string text(type.text());
    for (auto& m : apimachinery::is_qualified_name(text)) type.invalid_as(text, m);
  }
}

void check_claims(const Check& list, const Document& claims) {
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < list.size(); ++i) {
    Check name = list[i]["name"], claim = list[i]["resourceClaimName"];
    bool known = std::any_of(claims.begin(), claims.end(), [&](const Document& c) { return string_at(c, "name") == name.text(); });
    if (!known) name.invalid_as(std::string(name.text()), "must match the name of an entry in `spec.resourceClaims`");
    if (!seen.insert(name.text()).second) name.duplicate();
    if (claim.set()) claim.format(apimachinery::is_dns1123_subdomain);
  }
}

void check_extended_claim(const Check& status, const Document& spec) {
  if (!status.set()) return;
  Check list = status["requestMappings"], claim = status["resourceClaimName"];
  list.need("at least one request mapping is required");
  for (std::size_t i = 0; i < list.size(); ++i) {
    Check name = list[i]["containerName"], resource = list[i]["resourceName"], request = list[i]["requestName"].as(status.path().child("requestName"));
    const Document* container = nullptr;
    for (const char* of : {"initContainers", "containers"})
      for (const auto& c : each(spec, of))
        if (string_at(c, "name") == name.text()) container = &c;
    if (!container) name.invalid_as(std::string(name.text()), "must match the name of an entry in spec.initContainers.name or spec.containers.name");
    else if (!apimachinery::find_member(member(member(*container, "resources"), "requests"), resource.text()))
      resource.invalid_as(std::string(resource.text()), "must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests");
    std::string text(request.text());
    for (auto& m : apimachinery::is_dns1123_label(text)) request.invalid_as(text, m);
  }
  if (claim.need()) claim.format(apimachinery::is_dns1123_subdomain);
}

}  // namespace

void validate_pod_status(const Document& pod, const Document& old, FieldErrors& errors) {
  Check status(member(pod, "status"), FieldPath("status"), errors);
  const Document& was = member(old, "status");
  check_conditions(status["conditions"]);
  Check nominated = status["nominatedNodeName"];
  if (!nominated.empty() && nominated.text() != string_at(was, "nominatedNodeName")) {
    nominated.format(apimachinery::is_dns1123_subdomain);
    if (!apimachinery::get_string(old, {"spec", "nodeName"}).empty()) nominated.forbidden("may not be set on pods that are already bound to a node");
  }
  if (status["observedGeneration"].number() < 0) status["observedGeneration"].invalid("must be a non-negative integer");
  check_claims(status["resourceClaimStatuses"], each(member(pod, "spec"), "resourceClaims"));
  check_extended_claim(status["extendedResourceClaimStatus"], member(pod, "spec"));
  Check ips = status["podIPs"], hosts = status["hostIPs"];
  check_addresses(ips, each(was, "podIPs"));
  if (status["podIP"].empty() != (ips.size() == 0)) ips.invalid("podIP and podIPs must either both be set or both be unset");
  else if (ips.size() && ips[0]["ip"].text() != status["podIP"].text()) ips[0]["ip"].invalid("must be equal to `podIP`");
  if (hosts.size() && hosts[0]["ip"].text() != status["hostIP"].text()) hosts[0]["ip"].invalid("must be equal to `hostIP`");
  check_addresses(hosts, each(was, "hostIPs"));
}

}  // namespace onebin::apiserver
