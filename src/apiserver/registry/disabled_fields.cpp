// Fields of features that this release does not turn on by default: a write loses them, as it does with upstream.
#include "apiserver/registry/disabled_fields.hpp"

#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>

namespace onebin::apiserver {

using apimachinery::find_member;

namespace {

Document* array_in(Document& holder, const char* name) {
  Document* v = find_member(holder, name);
  return v && v->is_array() ? v : nullptr;
}
Document* object_in(Document& holder, const char* name) {
  Document* v = find_member(holder, name);
  return v && v->is_object() ? v : nullptr;
}

void drop_users(Document& source) {
  for (const char* f : {"defaultUser", "user"}) source.erase(f);
  if (Document* items = array_in(source, "items"))
    for (auto& i : *items)
      if (i.is_object()) i.erase("user");
}

void drop_of_volume(Document& v) {
  if (Document* d = object_in(v, "emptyDir")) d->erase("mode");
  for (const char* f : {"secret", "configMap", "downwardAPI"})
    if (Document* s = object_in(v, f)) drop_users(*s);
  Document* projected = object_in(v, "projected");
  if (!projected) return;
  drop_users(*projected);
  if (Document* sources = array_in(*projected, "sources"))
    for (auto& source : *sources)
      if (source.is_object())
        for (const char* f : {"secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"})
          if (Document* s = object_in(source, f)) drop_users(*s);
}

void drop_of_handler(Document& holder, const char* name) {
  Document* h = object_in(holder, name);
  if (!h) return;
  if (Document* get = object_in(*h, "httpGet")) get->erase("protocol");
  if (Document* grpc = object_in(*h, "grpc")) grpc->erase("mode");
}

void drop_of_container(Document& c) {
  if (Document* mounts = array_in(c, "volumeMounts"))
    for (auto& m : *mounts)
      if (m.is_object()) m.erase("bindMountOptions");
  for (const char* f : {"livenessProbe", "readinessProbe", "startupProbe"}) drop_of_handler(c, f);
  Document* lifecycle = object_in(c, "lifecycle");
  if (!lifecycle) return;
  for (const char* f : {"postStart", "preStop"}) drop_of_handler(*lifecycle, f);
  const Document* signal = find_member(*lifecycle, "stopSignal");
  bool was_set = signal && !signal->is_null();
  lifecycle->erase("stopSignal");
  if (was_set && lifecycle->empty()) c.erase("lifecycle");
}

void drop_of_pod_status(Document& status) {
  for (const char* f : {"nodeAllocatableResourceClaimStatuses", "volumeHealth"}) status.erase(f);
  for (const char* list : {"containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"})
    if (Document* statuses = array_in(status, list))
      for (auto& s : *statuses)
        if (Document* mounts = s.is_object() ? array_in(s, "volumeMounts") : nullptr)
          for (auto& m : *mounts)
            if (m.is_object()) m.erase("volumeStatus");
}

// Of a time before pods had init containers.
void drop_of_annotations(Document* meta) {
  Document* annotations = meta ? object_in(*meta, "annotations") : nullptr;
  if (!annotations) return;
  for (const char* stage : {"alpha", "beta"})
    for (const char* what : {"init-containers", "init-container-statuses"}) annotations->erase(std::string("pod.") + stage + ".kubernetes.io/" + what);
}

void drop_of_pod_spec(Document& spec) {
  for (const char* f : {"evictionResponders", "schedulingGroup"}) spec.erase(f);
  if (Document* volumes = array_in(spec, "volumes"))
    for (auto& v : *volumes)
      if (v.is_object()) drop_of_volume(v);
  for (const char* list : {"containers", "initContainers", "ephemeralContainers"})
    if (Document* containers = array_in(spec, list))
      for (auto& c : *containers)
        if (c.is_object()) drop_of_container(c);
}

Document* along(Document& object, std::initializer_list<const char*> path) {
  Document* at = &object;
  for (const char* name : path)
    if (!(at = object_in(*at, name))) return nullptr;
  return at;
}

}  // namespace

void drop_disabled_fields(const KindSchema& kind, Document& object) {
  std::string_view k = kind.kind;
  Document* pod = nullptr;  // or a template of one
  if (kind.group.empty() && k == "Pod") pod = &object;
  else if (kind.group.empty() && k == "PodTemplate") pod = along(object, {"template"});
  else if (k == "CronJob") pod = along(object, {"spec", "jobTemplate", "spec", "template"});
  else if (kind.group == "apps" || kind.group == "batch" || k == "ReplicationController") pod = along(object, {"spec", "template"});
  if (pod) {
    if (Document* spec = object_in(*pod, "spec")) drop_of_pod_spec(*spec);
    drop_of_annotations(object_in(*pod, "metadata"));
    if (Document* status = pod == &object ? object_in(object, "status") : nullptr) drop_of_pod_status(*status);
  }
  if (kind.group == "batch")
    if (Document* job = k == "Job" ? along(object, {"spec"}) : along(object, {"spec", "jobTemplate", "spec"})) job->erase("scheduling");
  if (kind.group.empty() && k == "Node") {
    if (Document* s = along(object, {"spec"})) {
      s->erase("configSource");
      s->erase("podPreemptionPolicy");
    }
    if (Document* s = along(object, {"status"})) s->erase("config");
  }
  if (k == "Lease")
    if (Document* s = along(object, {"spec"})) {
      s->erase("strategy");
      s->erase("preferredHolder");
    }
}

}  // namespace onebin::apiserver
