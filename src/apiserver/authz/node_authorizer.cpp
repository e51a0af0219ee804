#include "apiserver/authz/node_authorizer.hpp"

#include "apiserver/authz/node_identity.hpp"

#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/selectors.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

constexpr char kSilent[] = " ";

bool one_of(std::string_view text, std::initializer_list<std::string_view> set) { return std::find(set.begin(), set.end(), text) != set.end(); }

bool selects(const Attributes& a, std::string_view field, std::string_view value) {
  if (a.field_selector.empty()) return false;
  auto selector = apimachinery::FieldSelector::parse(a.field_selector);
  return selector && selector->requires_exact_match(field) == std::string(value);
}

std::string unrelated(const std::string& node) { return "no relationship found between node '" + node + "' and this object"; }
std::string related(bool yes, const std::string& node, const Attributes& a) {
  if (a.name.empty()) return "No Object name found";
  return yes ? std::string() : unrelated(node);
}

std::string only_get(const Attributes& a) {
  if (a.verb != "get") return "can only get individual resources of this type";
  return a.subresource.empty() ? "" : "cannot get subresource";
}

std::string only_read_namespaced(const Attributes& a) {
  if (!one_of(a.verb, {"get", "list", "watch"})) return "can only read resources of this type";
  if (!a.subresource.empty()) return "cannot read subresource";
  return a.ns.empty() ? "can only read namespaced object of this type" : "";
}

}  // namespace

std::string NodeAuthorizer::refuse_node_object(const std::string& node, const Attributes& a) const {
  if (a.subresource == "status") return one_of(a.verb, {"update", "patch"}) ? "" : kSilent;
  if (!a.subresource.empty()) return kSilent;
  if (one_of(a.verb, {"create", "update", "patch"})) return {};
  if (!one_of(a.verb, {"get", "list", "watch"})) return kSilent;
  if (a.name == node) return {};
  if (a.name.empty()) return "node '" + node + "' cannot read all nodes, only its own Node object";
  return "node '" + node + "' cannot read '" + a.name + "', only its own Node object";
}

std::string NodeAuthorizer::refuse_pod(const std::string& node, const Attributes& a) const {
  if (a.subresource == "status") return one_of(a.verb, {"update", "patch"}) ? "" : kSilent;
  if (a.subresource == "eviction") return a.verb == "create" ? "" : kSilent;
  if (!a.subresource.empty()) return kSilent;
  if (one_of(a.verb, {"create", "delete"})) return {};
  if (a.verb == "get") return related(graph_.pod(node, a.ns, a.name), node, a);
  if (!one_of(a.verb, {"list", "watch"})) return kSilent;
  if (selects(a, "spec.nodeName", node)) return {};
  if (!a.name.empty()) return related(graph_.pod(node, a.ns, a.name), node, a);
  return "can only list/watch pods with spec.nodeName field selector";
}

std::string NodeAuthorizer::refuse_lease(const std::string& node, const Attributes& a) const {
  if (!one_of(a.verb, {"get", "create", "update", "patch", "delete"})) return "can only get, create, update, patch, or delete a node lease";
  if (a.ns != "kube-node-lease") return "can only access leases in the \"kube-node-lease\" system namespace";
  if (a.verb != "create" && a.name != node) return "can only access node lease with the same name as the requesting node";
  return {};
}

std::string NodeAuthorizer::refuse_csi_node(const std::string& node, const Attributes& a) const {
  if (a.subresource == "status") return "CSINode status access requires CSIVolumeHealth feature";
  if (!a.subresource.empty()) return "cannot authorize CSINode subresources";
  if (!one_of(a.verb, {"get", "create", "update", "patch", "delete"})) return "can only get, create, update, patch, or delete a CSINode";
  if (a.verb != "create" && a.name != node) return "can only access CSINode with the same name as the requesting node";
  return {};
}

std::string NodeAuthorizer::refuse_slice(const std::string& node, const Attributes& a) const {
  if (!a.subresource.empty()) return "cannot authorize ResourceSlice subresources";
  if (a.verb == "create") return {};
  if (one_of(a.verb, {"get", "update", "patch", "delete"})) return related(graph_.names_node(a.group, a.resource, node, "", a.name), node, a);
  if (one_of(a.verb, {"watch", "list", "deletecollection"}))
    return selects(a, "spec.nodeName", node) ? "" : "can only list/watch/deletecollection resourceslices with nodeName field selector";
  return "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection";
}

std::string NodeAuthorizer::refuse_service_account(const std::string& node, const Attributes& a) const {
  if (a.verb == "get" && a.subresource.empty()) return related(graph_.service_account(node, a.ns, a.name), node, a);
  if (a.verb != "create" || a.name.empty()) return "can only create tokens for individual service accounts";
  if (a.subresource != "token") return "can only create token subresource of serviceaccount";
  return related(graph_.service_account(node, a.ns, a.name), node, a);
}

std::string NodeAuthorizer::refuse_certificate_request(const std::string& node, const Attributes& a) const {
  if (!a.subresource.empty()) return "nodes may not access the status subresource of PodCertificateRequests";
  if (a.verb == "create") return {};
  if (a.verb == "get") return related(graph_.names_node(a.group, a.resource, node, a.ns, a.name), node, a);
  if (one_of(a.verb, {"list", "watch"}))
    return selects(a, "spec.nodeName", node) ? "" : "can only list/watch podcertificaterequests with nodeName field selector";
  return "nodes may not " + a.verb + " podcertificaterequests";
}

std::string NodeAuthorizer::refusal(const std::string& node, const Attributes& a) const {
  if (a.is_resource && a.group.empty()) {
    if (a.resource == "secrets" || a.resource == "configmaps") {
      if (std::string why = only_read_namespaced(a); !why.empty()) return why;
      if (a.name.empty()) return related(false, node, a);
      return related(a.resource == "secrets" ? graph_.secret(node, a.ns, a.name) : graph_.config_map(node, a.ns, a.name), node, a);
    }
    if (a.resource == "persistentvolumeclaims" && a.subresource == "status") {
      if (!one_of(a.verb, {"update", "patch"})) return "can only get/update/patch this type";
      return related(graph_.claim(node, a.ns, a.name), node, a);
    }
    if (a.resource == "persistentvolumeclaims" || a.resource == "persistentvolumes") {
      if (std::string why = only_get(a); !why.empty()) return why;
      return related(a.resource == "persistentvolumes" ? graph_.volume(node, a.name) : graph_.claim(node, a.ns, a.name), node, a);
    }
    if (a.resource == "serviceaccounts") return refuse_service_account(node, a);
    if (a.resource == "nodes") return refuse_node_object(node, a);
    if (a.resource == "pods") return refuse_pod(node, a);
  }
  if (a.is_resource && a.group == "resource.k8s.io" && a.resource == "resourceclaims") {
    if (std::string why = only_get(a); !why.empty()) return why;
    return related(graph_.resource_claim(node, a.ns, a.name), node, a);
  }
  if (a.is_resource && a.group == "storage.k8s.io" && a.resource == "volumeattachments") {
    if (std::string why = only_get(a); !why.empty()) return why;
    return related(graph_.names_node(a.group, a.resource, node, "", a.name), node, a);
  }
  if (a.is_resource && a.group == "coordination.k8s.io" && a.resource == "leases") return refuse_lease(node, a);
  if (a.is_resource && a.group == "storage.k8s.io" && a.resource == "csinodes") return refuse_csi_node(node, a);
  if (a.is_resource && a.group == "resource.k8s.io" && a.resource == "resourceslices") return refuse_slice(node, a);
  if (a.is_resource && a.group == "certificates.k8s.io" && a.resource == "podcertificaterequests") return refuse_certificate_request(node, a);
  return rules_allow(rules_, a) ? "" : kSilent;
}

async::Task<Authorized> NodeAuthorizer::authorize(const Attributes& a) {
  std::optional<std::string> node = node_of(*a.user);
  if (!node) co_return Authorized{};
  if (node->empty()) co_return Authorized{Decision::NoOpinion, "unknown node for user " + apimachinery::go_quote(a.user->name)};
  std::string why = refusal(*node, a);
  if (why.empty()) co_return Authorized{Decision::Allow, {}};
  co_return Authorized{Decision::NoOpinion, why == kSilent ? std::string() : why};
}

Rules NodeAuthorizer::rules_for(const UserInfo& user, const std::string&) {
  Rules r;
  if (!node_of(user)) return r;
  r.incomplete = true;
  r.error = "node authorizer does not support user rule resolution";
  return r;
}

}  // namespace onebin::apiserver
