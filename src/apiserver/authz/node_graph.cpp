#include "apiserver/authz/node_graph.hpp"

#include "apiserver/admission/pod_documents.hpp"
#include "apiserver/cache/object_view.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/api/document.hpp>
#include <onebin/api/resource_v1.hpp>
#include <onebin/api/storage_v1.hpp>
#include <onebin/apimachinery/field_mask.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/base/log.hpp>

#include <vector>

namespace onebin::apiserver {
namespace {

namespace core = api::core::v1;
using apimachinery::member;
using apimachinery::string_at;

// Pod.spec and Pod.spec.nodeName in the protobuf message.
constexpr std::uint32_t kSpec = 2, kNodeName = 10;

// What keys_of() reads of a pod.
constexpr std::string_view kNames[] = {
    "metadata.name", "metadata.namespace", "metadata.annotations", "spec.serviceAccountName", "spec.imagePullSecrets", "spec.volumes",
    "spec.containers.env.valueFrom", "spec.containers.envFrom", "spec.initContainers.env.valueFrom", "spec.initContainers.envFrom",
    "spec.ephemeralContainers.env.valueFrom", "spec.ephemeralContainers.envFrom"};

std::string_view spec_bytes(const Bytes& pod) { return message_string(ObjectView(*pod).message(), {kSpec}); }
std::string_view node_name(const Bytes& pod) { return message_string(ObjectView(*pod).message(), {kSpec, kNodeName}); }

std::string key(char kind, std::string_view ns, std::string_view name) {
  std::string k(1, kind);
  return k.append(ns).append("/").append(name);
}

std::vector<std::string> claims_of(const Document& pod) {
  std::vector<std::string> out;
  for (const auto& v : items(member(pod, "spec"), "volumes")) {
    if (std::string_view name = string_at(member(v, "persistentVolumeClaim"), "claimName"); !name.empty()) out.emplace_back(name);
    if (member(v, "ephemeral").is_object()) out.push_back(std::string(apimachinery::name_of(pod)) + "-" + std::string(string_at(v, "name")));
  }
  return out;
}

// What the pod lets its node see, each once.
std::set<std::string> keys_of(const Document& pod) {
  std::set<std::string> out;
  if (is_mirror_pod(pod)) return out;  // what a node makes itself grants it nothing
  std::string_view ns = apimachinery::namespace_of(pod);
  if (std::string_view account = apimachinery::get_string(pod, {"spec", "serviceAccountName"}); !account.empty()) out.insert(key('a', ns, account));
  for (const auto& s : referenced_secrets(pod)) out.insert(key('s', ns, s));
  for (const auto& c : referenced_config_maps(pod)) out.insert(key('c', ns, c));
  for (const auto& c : claims_of(pod)) out.insert(key('v', ns, c));
  return out;
}

// The Secret that a volume's driver is given on the node: CSI's publish and stage secrets, and older drivers' own.
bool volume_names_secret(const Document& volume, std::string_view claim_ns, std::string_view ns, std::string_view name) {
  const Document& spec = member(volume, "spec");
  auto matches = [&](const Document& ref) {
    std::string_view ref_ns = string_at(ref, "namespace");
    return ref.is_object() && string_at(ref, "name") == name && (ref_ns.empty() ? claim_ns : ref_ns) == ns;
  };
  for (const char* f : {"nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef", "controllerExpandSecretRef"})
    if (matches(apimachinery::at_path(spec, {"csi", f}))) return true;
  for (const char* kind : {"cephfs", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"})
    if (matches(apimachinery::at_path(spec, {kind, "secretRef"}))) return true;
  const Document& azure = member(spec, "azureFile");
  std::string_view azure_ns = string_at(azure, "secretNamespace");
  return azure.is_object() && string_at(azure, "secretName") == name && (azure_ns.empty() ? claim_ns : azure_ns) == ns;
}

}  // namespace

NodeGraph::NodeGraph(Lister& lister) : lister_(lister) {
  lister.subscribe("", "pods", [this](std::string_view, std::string_view, const Bytes& before, const Bytes& now) {
    // Most changes are of the status alone.
    if (before && now && spec_bytes(before) == spec_bytes(now)) return;
    if (now) count(now, 1);
    if (before) count(before, -1);
  });
}

void NodeGraph::count(const Bytes& bytes, int by) {
  std::string node(node_name(bytes));
  if (node.empty()) return;
  static const apimachinery::FieldMask mask = apimachinery::FieldMask::of(*api::resource_of<core::Pod>().type, kNames);
  Result<Document> pod = apimachinery::decode_masked(ObjectView(*bytes).message(), *api::resource_of<core::Pod>().type, mask);
  if (!pod) {
    log_error("a pod cannot be decoded", {{"error", pod.status()}});
    return;
  }
  for (const auto& k : keys_of(*pod)) {
    auto& nodes = reach_[k];
    if ((nodes[node] += by) > 0) continue;
    nodes.erase(node);
    if (nodes.empty()) reach_.erase(k);
  }
}

bool NodeGraph::reaches(char kind, std::string_view node, std::string_view ns, std::string_view name) const {
  auto it = reach_.find(key(kind, ns, name));
  return it != reach_.end() && it->second.count(node) > 0;
}

bool NodeGraph::volume(std::string_view node, std::string_view name) const {
  auto v = lister_.get<core::PersistentVolume>("", name);
  return v && v->spec.claim_ref && claim(node, v->spec.claim_ref->namespace_, v->spec.claim_ref->name);
}

bool NodeGraph::secret(std::string_view node, std::string_view ns, std::string_view name) const {
  if (reaches('s', node, ns, name)) return true;
  bool found = false;
  lister_.for_each<core::PersistentVolume>("", [&](const core::PersistentVolume& v) {
    if (!v.spec.claim_ref || !claim(node, v.spec.claim_ref->namespace_, v.spec.claim_ref->name)) return true;
    found = volume_names_secret(api::to_document(v), v.spec.claim_ref->namespace_, ns, name);
    return !found;
  });
  return found;
}

bool NodeGraph::pod(std::string_view node, std::string_view ns, std::string_view name) const {
  Bytes p = lister_.get("", "pods", ns, name);
  return p && !node.empty() && node_name(p) == node;
}

bool NodeGraph::resource_claim(std::string_view node, std::string_view ns, std::string_view name) const {
  bool found = false;
  lister_.for_each_pod_on_node(node, [&](std::string_view pod_ns, std::string_view, const Bytes& bytes) {
    if (pod_ns != ns) return true;
    Result<core::Pod> pod = api::from_protobuf<core::Pod>(*bytes);
    if (!pod) return true;
    for (const auto& c : pod->spec.resource_claims) found = found || (c.resource_claim_name && *c.resource_claim_name == name);
    for (const auto& c : pod->status.resource_claim_statuses) found = found || (c.resource_claim_name && *c.resource_claim_name == name);
    return !found;
  });
  return found;
}

bool NodeGraph::names_node(std::string_view group, std::string_view resource, std::string_view node, std::string_view ns, std::string_view name) const {
  if (resource == "volumeattachments") {
    auto v = lister_.get<api::storage::v1::VolumeAttachment>("", name);
    return v && v->spec.node_name == node;
  }
  if (resource == "resourceslices") {
    auto s = lister_.get<api::resource::v1::ResourceSlice>("", name);
    return s && s->spec.node_name && *s->spec.node_name == node;
  }
  Bytes stored = lister_.get(group, resource, ns, name);
  return stored && resource == "podcertificaterequests" && message_string(ObjectView(*stored).message(), {kSpec, 6}) == node;
}

}  // namespace onebin::apiserver
