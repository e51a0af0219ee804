#include "apiserver/admission/pod_documents.hpp"

#include <onebin/apimachinery/meta.hpp>

namespace onebin::apiserver {
namespace {

using apimachinery::at_path;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::string_at;
using Names = std::set<std::string>;

void add(Names& out, const Document& reference, std::string_view field = "name") {
  if (!reference.is_object()) return;
  if (std::string_view name = string_at(reference, field); !name.empty()) out.emplace(name);
}

// `key_ref` and `from_ref`: secretKeyRef and secretRef, or configMapKeyRef and configMapRef.
void add_environment(Names& out, const Document& spec, std::string_view key_ref, std::string_view from_ref) {
  for_each_container(spec, [&](const Document& c, const char*, std::size_t) {
    for (const auto& e : items(c, "env")) add(out, at_path(e, {"valueFrom", key_ref}));
    for (const auto& e : items(c, "envFrom")) add(out, member(e, from_ref));
  });
}

}  // namespace

const Document& items(const Document& object, std::string_view field) {
  static const Document kNone = Document::array();
  const Document* d = find_member(object, field);
  return d && d->is_array() ? *d : kNone;
}

bool is_mirror_pod(const Document& pod) { return find_member(apimachinery::annotations_of(pod), kMirrorAnnotation) != nullptr; }

void for_each_container(const Document& spec, const std::function<void(const Document&, const char*, std::size_t)>& fn) {
  for (const char* field : {"initContainers", "containers", "ephemeralContainers"}) {
    std::size_t i = 0;
    for (const auto& c : items(spec, field)) fn(c, field, i++);
  }
}

Names referenced_secrets(const Document& pod) {
  Names out;
  const Document& spec = member(pod, "spec");
  for (const auto& s : items(spec, "imagePullSecrets")) add(out, s);
  add_environment(out, spec, "secretKeyRef", "secretRef");
  for (const auto& v : items(spec, "volumes")) {
    add(out, member(v, "secret"), "secretName");
    add(out, member(v, "azureFile"), "secretName");
    for (const char* kind : {"cephfs", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"}) add(out, at_path(v, {kind, "secretRef"}));
    add(out, at_path(v, {"csi", "nodePublishSecretRef"}));
    for (const auto& s : items(member(v, "projected"), "sources")) add(out, member(s, "secret"));
  }
  return out;
}

Names referenced_config_maps(const Document& pod) {
  Names out;
  const Document& spec = member(pod, "spec");
  add_environment(out, spec, "configMapKeyRef", "configMapRef");
  for (const auto& v : items(spec, "volumes")) {
    add(out, member(v, "configMap"));
    for (const auto& s : items(member(v, "projected"), "sources")) add(out, member(s, "configMap"));
  }
  return out;
}

}  // namespace onebin::apiserver
