// NodeRestriction: a node changes only its own Node, Lease and CSINode and the pods bound to it, gives itself no labels
// that steer work, and asks only for tokens of its pods.
#include "apiserver/admission/plugins.hpp"
#include "apiserver/admission/pod_documents.hpp"
#include "apiserver/authz/node_identity.hpp"
#include "apiserver/errors.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/api/storage_v1.hpp>
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/pki.hpp>

#include <algorithm>
#include <set>

namespace onebin::apiserver {
namespace {

namespace core = api::core::v1;
using apimachinery::at_path;
using apimachinery::find_member;
using apimachinery::get_string;
using apimachinery::go_quote;
using apimachinery::member;
using apimachinery::string_at;

bool in_domain(std::string_view ns, std::string_view domain) {
  return ns == domain || (ns.size() > domain.size() && ends_with(ns, domain) && ns[ns.size() - domain.size() - 1] == '.');
}

// Whether a kubelet may set this label on its own Node.
bool label_allowed(std::string_view key) {
  std::size_t slash = key.find('/');
  std::string_view ns = slash == std::string_view::npos ? std::string_view() : key.substr(0, slash);
  if (in_domain(ns, "node-restriction.kubernetes.io")) return false;
  if (!in_domain(ns, "kubernetes.io") && !in_domain(ns, "k8s.io")) return true;
  if (in_domain(ns, "kubelet.kubernetes.io") || in_domain(ns, "node.kubernetes.io")) return true;
  for (std::string_view known : {"kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
                                 "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region", "beta.kubernetes.io/instance-type",
                                 "kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/os", "beta.kubernetes.io/arch"})
    if (key == known) return true;
  return false;
}

// Labels that differ between the two and that a kubelet may not set, comma-separated.
std::string forbidden_labels(const Document& now, const Document& before) {
  auto a = apimachinery::string_map(now), b = apimachinery::string_map(before);
  std::set<std::string> bad;
  for (const auto& [from, to] : {std::pair(&a, &b), std::pair(&b, &a)})
    for (const auto& [k, v] : *from) {
      auto it = to->find(k);
      if ((it == to->end() || it->second != v) && !label_allowed(k)) bad.insert(k);
    }
  return join({bad.begin(), bad.end()}, ", ");
}

// What a mirror pod must not name, "" when it names nothing.
std::string api_reference(const Document& pod) {
  const Document& spec = member(pod, "spec");
  if (!string_at(spec, "serviceAccountName").empty()) return "serviceaccounts";
  for (const auto& v : items(spec, "volumes")) {
    for (const auto& [field, what] :
         {std::pair("configMap", "configmaps (via configmap volumes)"), std::pair("secret", "secrets (via secret volumes)"),
          std::pair("csi", "csidrivers (via CSI volumes)"), std::pair("glusterfs", "endpoints (via glusterFS volumes)"),
          std::pair("persistentVolumeClaim", "persistentvolumeclaims"), std::pair("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
          std::pair("azureFile", "secrets (via azureFile volumes)")})
      if (member(v, field).is_object()) return what;
    for (const auto& s : items(member(v, "projected"), "sources"))
      for (const auto& [field, what] : {std::pair("configMap", "configmaps (via projected volumes)"), std::pair("secret", "secrets (via projected volumes)"),
                                        std::pair("serviceAccountToken", "serviceaccounts (via projected volumes)"),
                                        std::pair("clusterTrustBundle", "clustertrustbundles"), std::pair("podCertificate", "podcertificates")})
        if (member(s, field).is_object()) return what;
  }
  if (!referenced_secrets(pod).empty()) return "secrets";
  if (!referenced_config_maps(pod).empty()) return "configmaps";
  if (!items(spec, "resourceClaims").empty()) return "resourceclaims";
  return {};
}

bool same(const Document* a, const Document* b, std::initializer_list<std::string_view> path) {
  static const Document kNone;
  return apimachinery::same_value(a ? at_path(*a, path) : kNone, b ? at_path(*b, path) : kNone);
}

class NodeRestriction final : public AdmissionPlugin {
 public:
  NodeRestriction(const Lister& lister, Authorizer& authorizer) : lister_(lister), authorizer_(authorizer) {}
  std::string_view name() const override { return "NodeRestriction"; }
  bool handles(Operation op) const override { return op != Operation::Connect; }
  bool concerns(const AdmissionAttributes& a) const override { return node_of(*a.user).has_value(); }

  async::Task<Result<void>> admit(AdmissionAttributes& a) override {
    std::string node = node_of(*a.user).value_or("");
    if (node.empty()) co_return admission_forbidden(a, "could not determine node from user " + go_quote(a.user->name));
    Attributes unless;
    Result<std::string> why = refusal(node, a, &unless);
    if (!why) co_return why.status();
    if (why->empty()) co_return Result<void>();
    if (!unless.verb.empty()) {
      Authorized d = co_await authorizer_.authorize(unless);
      if (d.decision == Decision::Allow) co_return Result<void>();
    }
    co_return admission_forbidden(a, *why);
  }

 private:
  using Why = Result<std::string>;  // "": admitted; a status where another error than 403 is due

  // `unless`: a right that outweighs the refusal, where there is one.
  Why refusal(const std::string& node, const AdmissionAttributes& a, Attributes* unless) const {
    if (a.resource_group.empty() && a.resource == "pods") {
      if (a.subresource.empty()) return pod(node, a);
      if (a.subresource == "status") return pod_status(node, a);
      if (a.subresource == "eviction") return eviction(node, a);
      return Why("unexpected pod subresource " + go_quote(a.subresource) + ", only 'status' and 'eviction' are allowed");
    }
    if (a.resource_group.empty() && a.resource == "nodes") return node_object(node, a);
    if (a.resource_group.empty() && a.resource == "persistentvolumeclaims") return claim(node, a);
    if (a.is("", "serviceaccounts", "token")) return token(node, a, unless);
    if (a.is("coordination.k8s.io", "leases")) return lease(node, a);
    if (a.is("storage.k8s.io", "csinodes")) {
      if (object_name(a) == node) return Why("");
      return Why("can only access CSINode with the same name as the requesting node");
    }
    if (a.is("resource.k8s.io", "resourceslices")) return slice(node, a);
    if (a.is("certificates.k8s.io", "certificatesigningrequests")) return csr(node, a);
    if (a.is("certificates.k8s.io", "podcertificaterequests")) return pod_certificate(node, a, unless);
    return Why("");
  }

  static std::string object_name(const AdmissionAttributes& a) {
    return a.operation == Operation::Create && a.object ? std::string(apimachinery::name_of(*a.object)) : a.name;
  }

  Why pod(const std::string& node, const AdmissionAttributes& a) const {
    if (a.operation == Operation::Create) return mirror_pod(node, *a.object);
    if (a.operation != Operation::Delete)
      return Why("unexpected operation " + go_quote(to_string(a.operation)) + ", node " + go_quote(node) + " can only create and delete mirror pods");
    if (a.name.empty()) return Why("");  // a collection: each of its pods is asked about
    auto kept = lister_.get<core::Pod>(a.ns, a.name);
    if (!kept) return not_found("pods", a.name);
    if (kept->spec.node_name != node) return Why("node " + go_quote(node) + " can only delete pods with spec.nodeName set to itself");
    return Why("");
  }

  Why mirror_pod(const std::string& node, const Document& p) const {
    std::string me = "node " + go_quote(node);
    if (!is_mirror_pod(p)) return Why("pod does not have " + go_quote(kMirrorAnnotation) + " annotation, " + me + " can only create mirror pods");
    if (get_string(p, {"spec", "nodeName"}) != node) return Why(me + " can only create pods with spec.nodeName set to itself");
    const Document& owners = apimachinery::owner_references_of(p);
    if (owners.size() > 1) return Why(me + " can only create pods with a single owner reference set to itself");
    if (owners.empty()) return Why(me + " can only create pods with an owner reference set to itself");
    const Document& owner = owners[0];
    if (string_at(owner, "apiVersion") != "v1" || string_at(owner, "kind") != "Node" || string_at(owner, "name") != node)
      return Why(me + " can only create pods with an owner reference set to itself");
    if (!apimachinery::bool_at(owner, "controller")) return Why(me + " can only create pods with a controller owner reference set to itself");
    if (apimachinery::bool_at(owner, "blockOwnerDeletion")) return Why(me + " must not set blockOwnerDeletion on an owner reference");
    auto object = lister_.get<core::Node>("", node);
    if (!object) return not_found("nodes", node);
    if (object->metadata.uid != string_at(owner, "uid"))
      return Why("node " + node + " UID mismatch: expected " + std::string(string_at(owner, "uid")) + " got " + object->metadata.uid);
    std::string named = api_reference(p);
    if (!named.empty()) return Why(me + " can not create pods that reference " + named);
    return Why("");
  }

  Why pod_status(const std::string& node, const AdmissionAttributes& a) const {
    if (a.operation != Operation::Update) return Why("unexpected operation " + go_quote(to_string(a.operation)));
    const Document* old = a.old_object();
    std::string me = "node " + go_quote(node);
    if (!old || get_string(*old, {"spec", "nodeName"}) != node) return Why(me + " can only update pod status for pods with spec.nodeName set to itself");
    if (!same(a.object, old, {"metadata", "labels"})) return Why(me + " cannot update labels through pod status");
    if (!same(a.object, old, {"status", "resourceClaimStatuses"})) return Why(me + " cannot update resource claim statues");
    if (!same(a.object, old, {"status", "extendedResourceClaimStatus"})) return Why(me + " cannot update extended resource claim status");
    if (!same(a.object, old, {"status", "nodeAllocatableResourceClaimStatuses"})) return Why(me + " cannot update node allocatable resource claim statuses");
    return Why("");
  }

  Why eviction(const std::string& node, const AdmissionAttributes& a) const {
    if (a.operation != Operation::Create) return Why("unexpected operation " + std::string(to_string(a.operation)));
    std::string pod_name = !a.name.empty() ? a.name : a.object ? std::string(apimachinery::name_of(*a.object)) : "";
    if (pod_name.empty()) return Why("could not determine pod from request data");
    auto kept = lister_.get<core::Pod>(a.ns, pod_name);
    if (!kept) return not_found("pods", pod_name);
    if (kept->spec.node_name != node) return Why("node " + node + " can only evict pods with spec.nodeName set to itself");
    return Why("");
  }

  Why node_object(const std::string& node, const AdmissionAttributes& a) const {
    std::string requested = object_name(a), me = "node " + go_quote(node);
    if (requested != node) return Why(me + " is not allowed to modify node " + go_quote(requested));
    static const Document kNone = Document::object();
    if (a.operation == Operation::Create) {
      if (at_path(*a.object, {"spec", "configSource"}).is_object()) return Why(me + " is not allowed to create pods with a non-nil configSource");
      std::string bad = forbidden_labels(apimachinery::labels_of(*a.object), kNone);
      if (!bad.empty()) return Why(me + " is not allowed to set the following labels: " + bad);
    }
    if (a.operation != Operation::Update) return Why("");
    const Document* old = a.old_object();
    if (at_path(*a.object, {"spec", "configSource"}).is_object() && !same(a.object, old, {"spec", "configSource"}))
      return Why(me + " is not allowed to update configSource to a new non-nil configSource");
    if (!same(a.object, old, {"spec", "taints"})) return Why(me + " is not allowed to modify taints");
    if (!same(a.object, old, {"metadata", "ownerReferences"})) return Why(me + " is not allowed to modify ownerReferences");
    std::string bad = forbidden_labels(apimachinery::labels_of(*a.object), old ? apimachinery::labels_of(*old) : kNone);
    if (!bad.empty()) return Why("is not allowed to modify labels: " + bad);
    return Why("");
  }

  static Why claim(const std::string& node, const AdmissionAttributes& a) {
    if (a.subresource != "status") return Why("may only update PVC status");
    const Document* old = a.old_object();
    if (a.operation != Operation::Update || !old) return Why("unexpected operation " + go_quote(to_string(a.operation)));
    Document now = *a.object, before = *old;
    for (Document* d : {&now, &before}) {
      for (const char* f : {"resourceVersion", "managedFields"}) apimachinery::erase_meta(*d, f);
      for (const char* f : {"capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"}) apimachinery::erase_path(*d, {"status", f});
    }
    if (apimachinery::same_value(now, before)) return Why("");
    return Why("node " + go_quote(node) + " is not allowed to update fields other than status.quantity and status.conditions");
  }

  Why token(const std::string& node, const AdmissionAttributes& a, Attributes* unless) const {
    if (a.operation != Operation::Create || !a.object) return Why("");
    const Document& ref = at_path(*a.object, {"spec", "boundObjectRef"});
    std::string name(string_at(ref, "name"));
    if (string_at(ref, "apiVersion") != "v1" || string_at(ref, "kind") != "Pod" || name.empty()) return Why("node requested token not bound to a pod");
    std::string_view uid = string_at(ref, "uid");
    if (uid.empty()) return Why("node requested token with a pod binding without a uid");
    auto kept = lister_.get<core::Pod>(a.ns, name);
    if (!kept) return not_found("pods", name);
    if (kept->metadata.uid != uid)
      return Why("the UID in the bound object reference (" + std::string(uid) +
                 ") does not match the UID in record. The object might have been deleted and then recreated");
    if (kept->spec.node_name != node) return Why("node requested token bound to a pod scheduled on a different node");
    return audience(*kept, a, unless);
  }

  // One audience, which the pod names in a projected token or by way of a CSI driver.
  Why audience(const core::Pod& pod, const AdmissionAttributes& a, Attributes* unless) const {
    const Document& audiences = items(member(*a.object, "spec"), "audiences");
    if (audiences.size() > 1) return Why("node may only request 0 or 1 audiences");
    std::string wanted = audiences.empty() || !audiences[0].is_string() ? "" : audiences[0].get<std::string>();
    for (const auto& v : pod.spec.volumes) {
      if (v.projected)
        for (const auto& s : v.projected->sources)
          if (s.service_account_token && s.service_account_token->audience == wanted) return Why("");
      std::string driver = csi_driver(pod, v);
      if (driver.empty()) continue;
      auto d = lister_.get<api::storage::v1::CSIDriver>("", driver);
      if (d)
        for (const auto& t : d->spec.token_requests)
          if (t.audience == wanted) return Why("");
    }
    *unless = right(a, "request-serviceaccounts-token-audience", wanted, a.name);
    return Why(a.user->name + " is not authorized to request tokens for audience " + go_quote(wanted));
  }

  std::string csi_driver(const core::Pod& pod, const core::Volume& v) const {
    if (v.csi) return v.csi->driver;
    std::string claim_name;
    if (v.persistent_volume_claim) claim_name = v.persistent_volume_claim->claim_name;
    else if (v.ephemeral) claim_name = pod.metadata.name + "-" + v.name;
    if (claim_name.empty()) return {};
    auto c = lister_.get<core::PersistentVolumeClaim>(pod.metadata.namespace_, claim_name);
    auto volume = c ? lister_.get<core::PersistentVolume>("", c->spec.volume_name) : std::nullopt;
    return volume && volume->spec.csi ? volume->spec.csi->driver : std::string();
  }

  static Why lease(const std::string& node, const AdmissionAttributes& a) {
    if (a.ns != "kube-node-lease") return Why("can only access leases in the \"kube-node-lease\" system namespace");
    if (object_name(a) != node) return Why("can only access node lease with the same name as the requesting node");
    return Why("");
  }

  static Why slice(const std::string& node, const AdmissionAttributes& a) {
    const Document* object = a.operation == Operation::Create ? a.object : a.operation == Operation::Delete ? a.old_object() : nullptr;
    if (!object || get_string(*object, {"spec", "nodeName"}) == node) return Why("");
    return Why(a.operation == Operation::Create ? "can only create ResourceSlice with the same NodeName as the requesting node"
                                                : "can only delete ResourceSlice with the same NodeName as the requesting node");
  }

  static Why csr(const std::string& node, const AdmissionAttributes& a) {
    if (a.operation != Operation::Create) return Why("");
    std::string_view signer = get_string(*a.object, {"spec", "signerName"});
    if (signer != "kubernetes.io/kubelet-serving" && signer != "kubernetes.io/kube-apiserver-client-kubelet") return Why("");
    auto request = base64_decode(get_string(*a.object, {"spec", "request"}));
    auto parsed = request ? pki::parse_request(*request) : Result<pki::RequestInfo>(bad_request("spec.request is not base64"));
    if (!parsed) return Why("unable to parse csr: " + parsed.status().message());
    if (parsed->subject.common_name != "system:node:" + node) return Why("can only create a node CSR with CN=system:node:" + node);
    return Why("");
  }

  Why pod_certificate(const std::string& node, const AdmissionAttributes& a, Attributes* unless) const {
    if (a.operation != Operation::Create) return Why("unexpected operation " + std::string(to_string(a.operation)));
    const Document& spec = member(*a.object, "spec");
    std::string named(string_at(spec, "nodeName")), pod_name(string_at(spec, "podName")), where = go_quote(a.ns + "/" + pod_name);
    std::string account(string_at(spec, "serviceAccountName")), signer(string_at(spec, "signerName"));
    if (named != node) return Why("PodCertificateRequest.Spec.NodeName=" + go_quote(named) + ", which is not the requesting node " + go_quote(node));
    auto self = lister_.get<core::Node>("", node);
    if (!self) return not_found("nodes", node);
    // An object that was replaced a moment ago is no offence: the node may try again.
    if (self->metadata.uid != string_at(spec, "nodeUID"))
      return internal_error("PodCertificateRequest for pod " + where + " names node UID " + go_quote(string_at(spec, "nodeUID")) + ", inconsistent with the running node (" +
                            go_quote(self->metadata.uid) + ")");
    auto kept = lister_.get<core::Pod>(a.ns, pod_name);
    if (!kept) return not_found("pods", pod_name);
    if (kept->metadata.uid != string_at(spec, "podUID"))
      return internal_error("PodCertificateRequest for pod " + where + " contains pod UID (" + go_quote(string_at(spec, "podUID")) + ") which differs from running pod " +
                            go_quote(kept->metadata.uid));
    if (kept->spec.node_name != node) return Why("pod " + where + " is not running on node " + go_quote(node) + " named in the PodCertificateRequest");
    if (kept->metadata.annotations.count(kMirrorAnnotation)) return Why("pod " + where + " is a mirror pod");
    if (kept->spec.service_account_name != account)
      return Why("PodCertificateRequest for pod " + where + " contains serviceAccountName (" + go_quote(account) + ") that differs from running pod (" +
                 go_quote(kept->spec.service_account_name) + ")");
    auto object = lister_.get<core::ServiceAccount>(a.ns, account);
    if (!object) return not_found("serviceaccounts", account);
    if (object->metadata.uid != string_at(spec, "serviceAccountUID"))
      return internal_error("PodCertificateRequest for pod " + where + " names service account UID " + go_quote(string_at(spec, "serviceAccountUID")) +
                            ", which differs from the running service account (" + go_quote(object->metadata.uid) + ")");
    for (const auto& v : kept->spec.volumes)
      if (v.projected)
        for (const auto& s : v.projected->sources)
          if (s.pod_certificate && s.pod_certificate->signer_name == signer) return Why("");
    std::string munged = signer;
    std::replace(munged.begin(), munged.end(), '/', ':');
    *unless = right(a, "request-serviceaccounts-podcertificate-signer", munged, account);
    return Why("pod " + where + " does not mount a podCertificate projected volume for signer " + go_quote(signer));
  }

  static Attributes right(const AdmissionAttributes& a, const char* verb, const std::string& resource, const std::string& name) {
    Attributes q;
    q.user = a.user;
    q.verb = verb;
    q.group = a.resource_group;
    q.version = a.resource_version;
    q.resource = resource;
    q.ns = a.ns;
    q.name = name;
    q.is_resource = true;
    return q;
  }

  const Lister& lister_;
  Authorizer& authorizer_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_node_restriction(const Lister& lister, Authorizer& authorizer) {
  return std::make_unique<NodeRestriction>(lister, authorizer);
}

}  // namespace onebin::apiserver
