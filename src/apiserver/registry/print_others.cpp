// Networking, RBAC, storage, certificates and the rest.
#include "apiserver/registry/print.hpp"

#include <onebin/apimachinery/meta.hpp>

#include <map>
#include <set>

namespace onebin::apiserver::print {
namespace {

using apimachinery::at_path;
using apimachinery::member;
using apimachinery::string_at;

Document ingress_cells(const Document& o, WallTime now) {
  std::vector<std::string> hosts;
  const Document& rules = list(o, {"spec", "rules"});
  for (const auto& r : rules)
    if (!string_at(r, "host").empty() && hosts.size() < 3) hosts.emplace_back(string_at(r, "host"));
  std::string text_of_hosts = hosts.empty() ? "*" : join(hosts, ",");
  if (hosts.size() == 3 && rules.size() > 3) text_of_hosts += " + " + std::to_string(rules.size() - 3) + " more...";
  std::set<std::string> addresses;
  for (const auto& i : list(o, {"status", "loadBalancer", "ingress"})) {
    std::string v(string_at(i, "ip"));
    addresses.insert(v.empty() ? std::string(string_at(i, "hostname")) : v);
  }
  return {name(o), text(o, {"spec", "ingressClassName"}, "<none>"), text_of_hosts, join(std::vector<std::string>(addresses.begin(), addresses.end()), ","),
          list(o, {"spec", "tls"}).empty() ? "80" : "80, 443", created(o, now)};
}

bool is_default(const Document& o, const char* annotation) { return string_at(apimachinery::annotations_of(o), annotation) == "true"; }

Document ingress_class_cells(const Document& o, WallTime now) {
  const Document& p = at_path(o, {"spec", "parameters"});
  std::string parameters = "<none>";
  if (p.is_object()) {
    parameters = string_at(p, "kind");
    if (!string_at(p, "apiGroup").empty()) parameters += "." + std::string(string_at(p, "apiGroup"));
    parameters += "/" + std::string(string_at(p, "name"));
  }
  return {name(o) + (is_default(o, "ingressclass.kubernetes.io/is-default-class") ? " (default)" : ""), text(o, {"spec", "controller"}), parameters, created(o, now)};
}

Document binding_cells(const Document& o, WallTime now) {
  std::string users, groups, accounts;
  for (const auto& s : list(o, {"subjects"})) {
    std::string kind(string_at(s, "kind")), n(string_at(s, "name")), ns(string_at(s, "namespace"));
    std::string& to = kind == "ServiceAccount" ? accounts : kind == "Group" ? groups : users;
    if (!to.empty()) to += ", ";
    to += kind == "ServiceAccount" && !ns.empty() ? ns + "/" + n : n;
  }
  return {name(o), text(o, {"roleRef", "kind"}) + "/" + text(o, {"roleRef", "name"}), created(o, now), users, groups, accounts};
}

Document csr_cells(const Document& o, WallTime now) {
  bool approved = false, denied = false, failed = false;
  for (const auto& c : list(o, {"status", "conditions"})) {
    std::string_view t = string_at(c, "type");
    approved = approved || t == "Approved";
    denied = denied || t == "Denied";
    failed = failed || t == "Failed";
  }
  std::string condition = denied ? "Denied" : approved ? "Approved" : "Pending";
  if (failed) condition += ",Failed";
  if (!text(o, {"status", "certificate"}).empty()) condition += ",Issued";
  std::int64_t seconds = number(o, {"spec", "expirationSeconds"});
  return {name(o), created(o, now), text(o, {"spec", "signerName"}, "<none>"), text(o, {"spec", "username"}),
          seconds ? human_duration(std::chrono::seconds(seconds)) : "<none>", condition};
}

Document slice_cells(const Document& o, WallTime now) {
  std::vector<std::string> ports, addresses;
  for (const auto& p : list(o, {"ports"})) {
    const Document& n = member(p, "port");
    std::string port_name(string_at(p, "name"));
    ports.push_back(n.is_number() ? scalar(n) : port_name.empty() ? "*" : port_name);
  }
  for (const auto& e : list(o, {"endpoints"}))
    for (const auto& a : list(e, {"addresses"})) addresses.push_back(scalar(a));
  return {name(o), text(o, {"addressType"}), first_of(ports, 3, "<unset>"), first_of(addresses, 3, "<unset>"), created(o, now)};
}

Document storage_class_cells(const Document& o, WallTime now) {
  bool expansion = apimachinery::bool_at(o, "allowVolumeExpansion");
  return {name(o) + (is_default(o, "storageclass.kubernetes.io/is-default-class") ? " (default)" : ""), text(o, {"provisioner"}), text(o, {"reclaimPolicy"}, "Delete"),
          text(o, {"volumeBindingMode"}, "Immediate"), expansion, created(o, now)};
}

Document csi_driver_cells(const Document& o, WallTime now) {
  std::string modes = joined(list(o, {"spec", "volumeLifecycleModes"}), "");
  const Document& requests = at_path(o, {"spec", "tokenRequests"});
  return {name(o), apimachinery::get_bool(o, {"spec", "attachRequired"}, true), apimachinery::get_bool(o, {"spec", "podInfoOnMount"}), apimachinery::get_bool(o, {"spec", "storageCapacity"}),
          requests.is_array() ? joined(requests, "audience") : "<unset>", apimachinery::get_bool(o, {"spec", "requiresRepublish"}), modes.empty() ? "<none>" : modes, created(o, now)};
}

Document attachment_cells(const Document& o, WallTime now) {
  return {name(o), text(o, {"spec", "attacher"}), text(o, {"spec", "source", "persistentVolumeName"}), text(o, {"spec", "nodeName"}), apimachinery::get_bool(o, {"status", "attached"}), created(o, now)};
}

Document flow_cells(const Document& o, WallTime now) {
  std::string dangling = "?";
  for (const auto& c : list(o, {"status", "conditions"}))
    if (string_at(c, "type") == "Dangling") dangling = string_at(c, "status");
  return {name(o), text(o, {"spec", "priorityLevelConfiguration", "name"}), number(o, {"spec", "matchingPrecedence"}), text(o, {"spec", "distinguisherMethod", "type"}, "<none>"), created(o, now), dangling};
}

Document or_none(const Document& v) { return v.is_null() ? Document("<none>") : v; }

Document level_cells(const Document& o, WallTime now) {
  const Document& limited = at_path(o, {"spec", "limited"});
  const Document& queuing = at_path(limited, {"limitResponse", "queuing"});
  return {name(o), text(o, {"spec", "type"}), or_none(member(limited, "nominalConcurrencyShares")), or_none(member(queuing, "queues")), or_none(member(queuing, "handSize")),
          or_none(member(queuing, "queueLengthLimit")), created(o, now)};
}

Document ip_cells(const Document& o, WallTime) {
  const Document& ref = at_path(o, {"spec", "parentRef"});
  std::string parent = "<none>";
  if (ref.is_object()) {
    parent = to_lower(string_at(ref, "resource"));
    if (!string_at(ref, "group").empty()) parent += "." + to_lower(string_at(ref, "group"));
    if (!string_at(ref, "namespace").empty()) parent += "/" + std::string(string_at(ref, "namespace"));
    parent += "/" + std::string(string_at(ref, "name"));
  }
  return {name(o), parent};
}

Document claim_cells(const Document& o, WallTime now) {
  bool deleting = !apimachinery::deletion_timestamp_of(o).empty();
  std::string state = deleting ? "deleted" : "";
  auto add = [&](const char* s) { state += (state.empty() ? "" : ",") + std::string(s); };
  if (!at_path(o, {"status", "allocation"}).is_object()) {
    if (!deleting) add("pending");
  } else {
    add("allocated");
    if (!list(o, {"status", "reservedFor"}).empty()) add("reserved");
  }
  return {name(o), state, created(o, now)};
}

std::string kind_text(const Document& k) {
  if (!k.is_object()) return "<unset>";
  return std::string(string_at(k, "apiVersion")) + "/" + std::string(string_at(k, "kind"));
}

std::string param_text(const Document& r) {
  if (!r.is_object()) return "<unset>";
  std::string ns(string_at(r, "namespace")), n(string_at(r, "name"));
  if (!n.empty()) return ns.empty() ? "*/" + n : ns + "/" + n;
  return selector(member(r, "selector"));
}

Document pod_certificate_cells(const Document& o, WallTime) {
  std::string state = "Pending", annotations;
  for (const auto& c : list(o, {"status", "conditions"})) {
    std::string_view t = string_at(c, "type");
    if (t == "Issued" || t == "Denied" || t == "Failed") state = t;
  }
  const Document& all = at_path(o, {"spec", "unverifiedUserAnnotations"});
  if (all.is_object())
    for (const auto& [k, v] : all.items()) annotations += (annotations.empty() ? "" : ",") + k + "=" + scalar(v);
  return {name(o), text(o, {"spec", "podName"}), text(o, {"spec", "serviceAccountName"}), text(o, {"spec", "nodeName"}), text(o, {"spec", "signerName"}), state,
          annotations.empty() ? "<none>" : annotations};
}

Document taint_rule_cells(const Document& o, WallTime now) {
  const Document& t = at_path(o, {"spec", "taint"});
  return {name(o), std::string(string_at(t, "key")), std::string(string_at(t, "value")), std::string(string_at(t, "effect")), apimachinery::age(string_at(t, "timeAdded"), now), created(o, now)};
}

Document api_service_cells(const Document& o, WallTime now) {
  const Document& service = at_path(o, {"spec", "service"});
  std::string where = "Local", available = "Unknown";
  if (service.is_object()) where = std::string(string_at(service, "namespace")) + "/" + std::string(string_at(service, "name"));
  for (const auto& c : list(o, {"status", "conditions"})) {
    if (string_at(c, "type") != "Available") continue;
    available = string_at(c, "status");
    std::string_view reason = string_at(c, "reason");
    if (available != "True" && !reason.empty()) available += " (" + std::string(reason) + ")";
  }
  return {name(o), where, available, created(o, now)};
}

Document definition_cells(const Document& o, WallTime) {
  std::set<std::string> versions;
  for (const auto& v : list(o, {"spec", "versions"}))
    if (apimachinery::bool_at(v, "served")) versions.insert(std::string(string_at(v, "name")) + (apimachinery::bool_at(v, "storage") ? "(storage)" : ""));
  bool established = false;
  for (const auto& c : list(o, {"status", "conditions"})) established = established || (string_at(c, "type") == "Established" && string_at(c, "status") == "True");
  return {name(o), text(o, {"spec", "scope"}), join(std::vector<std::string>(versions.begin(), versions.end()), ","), std::string(apimachinery::creation_timestamp_of(o)),
          text(o, {"spec", "group"}), text(o, {"spec", "names", "kind"}), joined(list(o, {"spec", "names", "shortNames"}), ""), established};
}

Document name_age(const Document& o, WallTime now) { return {name(o), created(o, now)}; }

}  // namespace

void add_others(std::map<std::string, Printer>& to) {
  to["networking.k8s.io/Ingress"] = {columns({"Name!", "Class", "Hosts", "Address", "Ports", "Age"}), ingress_cells};
  to["networking.k8s.io/IngressClass"] = {columns({"Name!", "Controller", "Parameters", "Age"}), ingress_class_cells};
  to["networking.k8s.io/NetworkPolicy"] = {columns({"Name!", "Pod-Selector", "Age"}), [](const Document& o, WallTime now) { return Document{name(o), selector(at_path(o, {"spec", "podSelector"})), created(o, now)}; }};
  to["networking.k8s.io/ServiceCIDR"] = {columns({"Name!", "CIDRs", "Age"}), [](const Document& o, WallTime now) { return Document{name(o), joined(list(o, {"spec", "cidrs"}), ""), created(o, now)}; }};
  to["networking.k8s.io/IPAddress"] = {columns({"Name!", "ParentRef"}), ip_cells};
  for (const char* kind : {"RoleBinding", "ClusterRoleBinding"})
    to[std::string("rbac.authorization.k8s.io/") + kind] = {columns({"Name!", "Role", "Age", "Users*", "Groups*", "ServiceAccounts*"}), binding_cells};
  to["certificates.k8s.io/CertificateSigningRequest"] = {columns({"Name!", "Age", "SignerName", "Requestor", "RequestedDuration", "Condition"}), csr_cells};
  to["certificates.k8s.io/ClusterTrustBundle"] = {columns({"Name!", "SignerName"}), [](const Document& o, WallTime) { return Document{name(o), text(o, {"spec", "signerName"}, "<none>")}; }};
  to["certificates.k8s.io/PodCertificateRequest"] = {
      columns({"Name!", "PodName", "ServiceAccountName", "NodeName", "SignerName", "State", "UnverifiedUserAnnotations"}), pod_certificate_cells};
  auto& definition = to["apiextensions.k8s.io/CustomResourceDefinition"] = {
      columns({"Name!", "Scope", "Versions", "Created At", "Group*", "Kind*", "ShortNames*", "Established?*"}), definition_cells};
  definition.columns[3].type = "date";
  to["apiregistration.k8s.io/APIService"] = {columns({"Name!", "Service", "Available", "Age"}), api_service_cells};
  to["resource.k8s.io/DeviceTaintRule"] = {columns({"Name!", "Key", "Value", "Effect", "TimeAdded", "Age"}), taint_rule_cells};
  to["coordination.k8s.io/Lease"] = {columns({"Name!", "Holder", "Age"}), [](const Document& o, WallTime now) { return Document{name(o), text(o, {"spec", "holderIdentity"}), created(o, now)}; }};
  to["discovery.k8s.io/EndpointSlice"] = {columns({"Name!", "AddressType", "Ports", "Endpoints", "Age"}), slice_cells};
  to["storage.k8s.io/StorageClass"] = {columns({"Name!", "Provisioner", "ReclaimPolicy", "VolumeBindingMode", "AllowVolumeExpansion", "Age"}), storage_class_cells};
  to["storage.k8s.io/VolumeAttributesClass"] = {columns({"Name!", "DriverName", "Age"}), [](const Document& o, WallTime now) { return Document{name(o), text(o, {"driverName"}), created(o, now)}; }};
  to["storage.k8s.io/CSIDriver"] = {columns({"Name!", "AttachRequired?", "PodInfoOnMount?", "StorageCapacity?", "TokenRequests", "RequiresRepublish?", "Modes", "Age"}), csi_driver_cells};
  to["storage.k8s.io/CSINode"] = {columns({"Name!", "Drivers#", "Age"}), [](const Document& o, WallTime now) { return Document{name(o), list(o, {"spec", "drivers"}).size(), created(o, now)}; }};
  to["storage.k8s.io/VolumeAttachment"] = {columns({"Name!", "Attacher!", "PV", "Node", "Attached?", "Age"}), attachment_cells};
  to["scheduling.k8s.io/PriorityClass"] = {columns({"Name!", "Value#", "Global-Default?", "Age", "PreemptionPolicy"}), [](const Document& o, WallTime now) {
    return Document{name(o), apimachinery::int_at(o, "value"), apimachinery::bool_at(o, "globalDefault"), created(o, now), text(o, {"preemptionPolicy"})};
  }};
  to["node.k8s.io/RuntimeClass"] = {columns({"Name!", "Handler", "Age"}), [](const Document& o, WallTime now) { return Document{name(o), text(o, {"handler"}), created(o, now)}; }};
  for (const char* kind : {"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"})
    to[std::string("admissionregistration.k8s.io/") + kind] = {columns({"Name!", "Webhooks#", "Age"}), [](const Document& o, WallTime now) { return Document{name(o), list(o, {"webhooks"}).size(), created(o, now)}; }};
  to["admissionregistration.k8s.io/ValidatingAdmissionPolicy"] = {columns({"Name!", "Validations#", "ParamKind", "Age"}), [](const Document& o, WallTime now) {
    return Document{name(o), list(o, {"spec", "validations"}).size(), kind_text(at_path(o, {"spec", "paramKind"})), created(o, now)};
  }};
  to["admissionregistration.k8s.io/MutatingAdmissionPolicy"] = {columns({"Name!", "Mutations#", "ParamKind", "Age"}), [](const Document& o, WallTime now) {
    return Document{name(o), list(o, {"spec", "mutations"}).size(), kind_text(at_path(o, {"spec", "paramKind"})), created(o, now)};
  }};
  for (const char* kind : {"ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicyBinding"})
    to[std::string("admissionregistration.k8s.io/") + kind] = {columns({"Name!", "PolicyName", "ParamRef", "Age"}), [](const Document& o, WallTime now) {
      return Document{name(o), text(o, {"spec", "policyName"}), param_text(at_path(o, {"spec", "paramRef"})), created(o, now)};
    }};
  to["flowcontrol.apiserver.k8s.io/FlowSchema"] = {columns({"Name!", "PriorityLevel", "MatchingPrecedence", "DistinguisherMethod", "Age", "MissingPL"}), flow_cells};
  to["flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration"] = {columns({"Name!", "Type", "NominalConcurrencyShares", "Queues", "HandSize", "QueueLengthLimit", "Age"}), level_cells};
  to["resource.k8s.io/DeviceClass"] = {columns({"Name!", "Age"}), name_age};
  to["resource.k8s.io/ResourceClaim"] = {columns({"Name!", "State", "Age"}), claim_cells};
  to["resource.k8s.io/ResourceClaimTemplate"] = {columns({"Name!", "Age"}), name_age};
  to["resource.k8s.io/ResourceSlice"] = {columns({"Name!", "Node", "Driver", "Pool", "Age"}), [](const Document& o, WallTime now) {
    return Document{name(o), text(o, {"spec", "nodeName"}), text(o, {"spec", "driver"}), text(o, {"spec", "pool", "name"}), created(o, now)};
  }};
  to["storagemigration.k8s.io/StorageVersionMigration"] = {columns({"Name", "Resource", "Status"}), [](const Document& o, WallTime) {
    std::string status = "Unknown";
    for (const auto& c : list(o, {"status", "conditions"})) {
      std::string_view t = string_at(c, "type");
      if (string_at(c, "status") == "True" && (t == "Running" || t == "Failed" || t == "Succeeded")) status = t;
    }
    std::string g = text(o, {"spec", "resource", "group"}), r = text(o, {"spec", "resource", "resource"});
    return Document{name(o), g.empty() ? r : r + "." + g, status};
  }};
}

}  // namespace onebin::apiserver::print
