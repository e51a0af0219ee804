// What a pod's status may say of itself: addresses, conditions, claims, containers.
#include "apiserver/registry/check.hpp"
#include "apiserver/registry/pod_spec.hpp"
#include "apiserver/registry/warnings.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/quantity.hpp>
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
  if (list.size() < 2) return;
  bool all = true;  // can be read
  for (std::size_t i = 0; i < list.size() && all; ++i) {
    std::string text(list[i]["ip"].text());
    all = parse_network(text + "/0").has_value();
    if (!all) list.internal("failed to check for dual stack with error:invalid IP[" + std::to_string(i) + "]: " + text);
  }
  if (!all || families.size() < 2 || list.size() > 2) list.invalid("may specify no more than one IP for each IP family");
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
  std::set<std::string> seen;
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
    if (seen.insert(std::string(name.text()) + "/" + std::string(resource.text()) + "/" + text).second) continue;
    for (const char* f : {"containerName", "resourceName", "requestName"}) list[i][f].duplicate();
  }
  if (claim.need()) claim.format(apimachinery::is_dns1123_subdomain);
}

// ---- containers

const Document* named(const Document& list, std::string_view name) {
  for (const auto& o : list)
    if (string_at(o, "name") == name) return &o;
  return nullptr;
}

bool restarts_all(const Document& spec) {
  for (const char* list : {"initContainers", "containers"})
    for (const auto& c : each(spec, list))
      for (const auto& rule : each(c, "restartPolicyRules"))
        if (string_at(rule, "action") == "RestartAllContainers") return true;
  return false;
}

bool by_policy(std::string_view policy, std::int64_t code) { return policy == "OnFailure" ? code != 0 : policy != "Never"; }

bool restarts(const Document& container, const Document& spec, std::int64_t code) {
  std::string_view own = string_at(container, "restartPolicy");
  if (own.empty()) return by_policy(string_at(spec, "restartPolicy"), code);
  for (const auto& rule : each(container, "restartPolicyRules")) {
    const Document& codes = member(rule, "exitCodes");
    const Document& values = each(codes, "values");
    bool in = std::find(values.begin(), values.end(), Document(code)) != values.end();
    if (codes.is_object() && in == (string_at(codes, "operator") == "In")) return true;
  }
  return by_policy(own, code);
}

// A container that ended and may not restart stays ended.
void check_ended(const Document& was, const Document& now, const FieldPath& path, const Document& spec, const char* containers, FieldErrors& errors) {
  std::size_t i = 0;
  for (const auto& old : was) {
    FieldPath at = path.index(i++).child("state");
    const Document& ended = apimachinery::at_path(old, {"state", "terminated"});
    const Document* after = ended.is_object() ? named(now, string_at(old, "name")) : nullptr;
    if (!after || apimachinery::at_path(*after, {"state", "terminated"}).is_object()) continue;
    const Document* container = containers ? named(each(spec, containers), string_at(old, "name")) : nullptr;
    if (container && restarts(*container, spec, apimachinery::int_at(ended, "exitCode"))) continue;
    errors.push_back(field_forbidden(at, "may not be transitioned to non-terminated state"));
  }
}

void check_user(const Check& status, bool windows) {
  Check user = status["user"]["linux"];
  if (!user.value().is_object()) return;
  if (windows) return user.forbidden("cannot be set for a windows pod");
  std::int64_t uid = user["uid"].number();
  if (uid < 0 || uid > 4294967295) user["uid"].invalid_as(uid, "must be between 0 and 4294967295, inclusive");
  for (auto& m : apimachinery::is_valid_group_id(user["gid"].number())) user["gid"].invalid_as(user["gid"].number(), m);
  Check groups = user["supplementalGroups"];
  for (std::size_t i = 0; i < groups.size(); ++i) groups[i].each_problem(apimachinery::is_valid_group_id(groups[i].number()));
}

// "claim:NAME" or "claim:NAME/REQUEST" of what the container claims, by itself or for an extended resource.
bool claimed(std::string_view name, const Document& container, const Document& extended) {
  std::string claim(name.substr(6)), request;
  for (const auto& c : each(member(container, "resources"), "claims")) {
    std::string of(string_at(c, "name")), part(string_at(c, "request"));
    if (claim == (part.empty() ? of : of + "/" + part)) return true;
  }
  std::size_t slash = claim.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == claim.size()) return false;
  request = claim.substr(slash + 1);
  claim.resize(slash);
  if (claim != string_at(extended, "resourceClaimName")) return false;
  for (const auto& m : each(extended, "requestMappings")) {
    if (string_at(m, "containerName") != string_at(container, "name") || string_at(m, "requestName") != request) continue;
    auto q = apimachinery::Quantity::parse(string_at(member(member(container, "resources"), "requests"), string_at(m, "resourceName")));
    if (q && !q->is_zero()) return true;
  }
  return false;
}

void check_health(const Check& list) {
  std::set<std::string> seen;
  for (std::size_t i = 0; i < list.size(); ++i) {
    Check health = list[i]["health"], message = list[i]["message"], id = list[i]["resourceID"];
    health.one_of({"Healthy", "Unhealthy", "Unknown"});
    if (message.set() && message.text().empty()) message.required("must be non-empty if specified");
    message.at_most_bytes(1024);
    if (!seen.emplace(id.text()).second) id.duplicate();
  }
}

void check_allocated(const Check& status, const Document* container, const Document& extended) {
  Check list = status["allocatedResourcesStatus"];
  for (std::size_t i = 0; i < list.size(); ++i) {
    Check name = list[i]["name"];
    bool claim = name.text().substr(0, 6) == "claim:";
    if (container && claim && !claimed(name.text(), *container, extended))
      name.invalid_as(std::string(name.text()),
                      "must match one of the container's resource claims as 'claim:<claimName>/<requestName>' when container.resources.claims[*].request is set or 'claim:<claimName>' when it is empty");
    else if (container && !claim && !apimachinery::find_member(member(member(*container, "resources"), "requests"), name.text()))
      name.invalid_as(std::string(name.text()), "must match one of the container's resource requests");
    check_health(list[i]["resources"]);
  }
}

struct ContainerList {
  const char* statuses;
  const char* containers;  // null: those that never restart
};
constexpr ContainerList kLists[] = {{"containerStatuses", "containers"}, {"initContainerStatuses", "initContainers"}, {"ephemeralContainerStatuses", nullptr}};

void check_containers(const Check& status, const Document& spec, const Document& was, const Document& spec_was) {
  bool windows = apimachinery::get_string(spec, {"os", "name"}) == "windows", any = restarts_all(spec_was);
  const Document& extended = member(status.value(), "extendedResourceClaimStatus");
  for (const auto& [field, containers] : kLists) {
    Check list = status[field];
    if (!any || !containers) check_ended(each(was, field), each(status.value(), field), list.path(), spec_was, containers, status.errors());
    for (std::size_t i = 0; i < list.size(); ++i) {
      check_user(list[i], windows);
      if (containers) check_allocated(list[i], named(each(spec, containers), list[i]["name"].text()), extended);
      else if (Check a = list[i]["allocatedResourcesStatus"]; !a.empty()) a.forbidden("must not be specified in container status");
    }
  }
}

}  // namespace

void warn_of_pod_status(const WriteContext& c, const Document& pod) {
  for (const char* list : {"podIPs", "hostIPs"}) {
    std::size_t i = 0;
    for (const auto& ip : each(member(pod, "status"), list)) warn_of_ip(c, FieldPath("status").child(list).index(i++).child("ip"), string_at(ip, "ip"));
  }
}

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
  check_containers(status, member(pod, "spec"), was, member(old, "spec"));
  apimachinery::append(errors, apimachinery::validate_immutable_field(apimachinery::find_member(status.value(), "qosClass"), apimachinery::find_member(was, "qosClass"), FieldPath("status").child("qosClass")));
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
