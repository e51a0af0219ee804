// The resize subresource of pods: which part of a pod it takes, and what of that may change.
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::semantically_equal;
using apimachinery::string_at;

namespace {

constexpr const char* kLists[] = {"containers", "initContainers"};

// The old containers with the new ones' resources; the new ones as they are where they were reordered or renamed, which is
// validation's to refuse.
Document with_resources(const Document& now, const Document& was) {
  Document out = was;
  for (std::size_t i = 0; i < now.size(); ++i) {
    if (string_at(now[i], "name") != string_at(was[i], "name")) return now;
    for (const char* f : {"resources", "resizePolicy"}) {
      if (const Document* v = find_member(now[i], f)) out[i][f] = *v;
      else out[i].erase(f);
    }
  }
  return out;
}

bool any_removed(const Document& now, const Document& was) {
  if (!was.is_object()) return false;
  for (const auto& [name, quantity] : was.items())
    if (!find_member(now, name)) return true;
  return false;
}

// The requests or limits without what was changed of CPU and memory.
void keep_cpu_and_memory(Document& holder, const Document& was, const char* part) {
  const Document& before = member(member(was, "resources"), part);
  for (const char* r : {"cpu", "memory"}) {
    if (const Document* v = find_member(before, r)) apimachinery::object_at(apimachinery::object_at(holder, "resources"), part)[r] = *v;
    else if (Document* resources = find_member(holder, "resources"))
      if (Document* p = find_member(*resources, part)) p->erase(r);
  }
}

Document unresized(Document holder, const Document& was) {
  for (const char* part : {"requests", "limits"}) keep_cpu_and_memory(holder, was, part);
  return holder;
}

bool has_pod_level(const Document& spec) {
  const Document& r = member(spec, "resources");
  return member(r, "requests").size() + member(r, "limits").size() > 0;
}

void check_pod_level(const Document& spec, const Document& was, FieldErrors& errors) {
  FieldPath path("spec");
  const Document *now = find_member(spec, "resources"), *before = find_member(was, "resources");
  if (before && !now) {
    errors.push_back(field_forbidden(path.child("resources"), "pod-level resources cannot be removed"));
    return;
  }
  if (before)
    for (const char* part : {"requests", "limits"})
      if (any_removed(member(*now, part), member(*before, part)))
        errors.push_back(field_forbidden(path.child("resources").child(part), std::string("pod-level resource ") + part + " cannot be removed"));
  Document kept = unresized(spec, was);
  if (!semantically_equal(find_member(kept, "resources"), before))
    errors.push_back(field_forbidden(path, "only cpu and memory resources are mutable at pod-level"));
}

bool same_order(const Document& spec, const Document& was, FieldErrors& errors) {
  FieldPath path("spec");
  std::size_t known = errors.size();
  for (const char* list : kLists) {
    const Document &now = each(spec, list), &before = each(was, list);
    if (now.size() != before.size()) {
      errors.push_back(field_forbidden(path.child(list), std::string(list) + " may not be added or removed on resize"));
      continue;
    }
    for (std::size_t i = 0; i < now.size(); ++i)
      if (string_at(now[i], "name") != string_at(before[i], "name"))
        errors.push_back(field_forbidden(path.child(list).index(i).child("name"), std::string(list) + " may not be renamed or reordered on resize"));
  }
  return errors.size() == known;
}

void check_container(const Document& now, const Document& was, bool init, const FieldPath& path, FieldErrors& errors) {
  if (!semantically_equal(unresized(now, was), was)) {
    if (init) errors.push_back(field_forbidden(path, "only cpu and memory resources for init or sidecar containers are mutable"));
    else errors.push_back(field_forbidden(FieldPath("spec"), "only cpu and memory resources are mutable"));
  }
  if (!init || string_at(now, "restartPolicy") == "Always" || semantically_equal(now, was)) return;
  for (const auto& p : each(now, "resizePolicy"))
    if (string_at(p, "restartPolicy") == "RestartContainer")
      errors.push_back(field_forbidden(path, "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"));
}

// A node that shows no resources of its running containers cannot change them.
bool node_resizes(const Document& pod) {
  for (const auto& s : each(member(pod, "status"), "containerStatuses"))
    if (find_member(member(s, "state"), "running")) return find_member(s, "resources") != nullptr;
  return true;
}

}  // namespace

void take_resize(Document& pod, const Document& old) {
  const Document &given = member(pod, "spec"), &was = member(old, "spec");
  for (const char* list : kLists)
    if (each(given, list).size() != each(was, list).size()) return;
  Document spec = was;
  if (const Document* resources = find_member(given, "resources")) spec["resources"] = *resources;
  for (const char* list : kLists)
    if (!each(was, list).empty()) spec[list] = with_resources(each(given, list), each(was, list));
  pod["spec"] = std::move(spec);
}

void validate_resize(const Document& pod, const Document& old, FieldErrors& errors) {
  const Document &spec = member(pod, "spec"), &was = member(old, "spec");
  FieldPath path("spec");
  bool mirror = apimachinery::annotations_of(old).contains("kubernetes.io/config.mirror");
  if (mirror || apimachinery::get_string(old, {"spec", "os", "name"}) == "windows") {
    errors = {field_forbidden(FieldPath(""), mirror ? "static pods cannot be resized" : "windows pods cannot be resized")};
    return;
  }
  if (qos_class(spec) != qos_class(was))
    errors.push_back(field_invalid(path, string_at(member(old, "status"), "qosClass"), "Pod QOS Class may not change as a result of resizing"));
  if (!node_resizes(old)) errors.push_back(field_forbidden(path, "Pod running on node without support for resize"));
  if (has_pod_level(spec) || has_pod_level(was)) check_pod_level(spec, was, errors);
  if (!same_order(spec, was, errors)) return;
  for (const char* list : {"initContainers", "containers"}) {
    const Document &now = each(spec, list), &before = each(was, list);
    for (std::size_t i = 0; i < now.size(); ++i)
      for (const char* part : {"requests", "limits"})
        if (any_removed(member(member(now[i], "resources"), part), member(member(before[i], "resources"), part)))
          errors.push_back(field_forbidden(path.child(list).index(i).child("resources").child(part), std::string("resource ") + part + " cannot be removed"));
  }
  for (const char* list : kLists) {
    const Document &now = each(spec, list), &before = each(was, list);
    for (std::size_t i = 0; i < now.size(); ++i) check_container(now[i], before[i], list == kLists[1], path.child(list).index(i), errors);
  }
}

}  // namespace onebin::apiserver
