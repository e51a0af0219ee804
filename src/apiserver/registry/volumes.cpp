// PersistentVolumes and their claims.
#include "apiserver/registry/volumes.hpp"

#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::Quantity;
using apimachinery::semantically_equal;
using apimachinery::string_at;

namespace {

void validate_access_modes(const Document& spec, const FieldPath& path, FieldErrors& errors) {
  static const std::vector<std::string> kModes = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"};
  bool alone = false, others = false;
  for (const auto& mode : each(spec, "accessModes")) {
    bool known = mode.is_string() && std::find(kModes.begin(), kModes.end(), mode.get_ref<const std::string&>()) != kModes.end();
    if (!known) errors.push_back(field_not_supported(path.child("accessModes"), mode, kModes));
    alone = alone || mode == "ReadWriteOncePod";
    others = others || (known && mode != "ReadWriteOncePod");
  }
  if (alone && others) errors.push_back(field_forbidden(path.child("accessModes"), "may not use ReadWriteOncePod with other access modes"));
}

Quantity amount(const Document& list, const char* name) {
  auto q = Quantity::parse(string_at(list, name));
  return q ? *q : Quantity();
}

void validate_class_name(const Document& spec, const char* field, const FieldPath& path, FieldErrors& errors) {
  std::string name(string_at(spec, field));
  if (name.empty()) return;
  for (auto& m : apimachinery::is_dns1123_subdomain(name)) errors.push_back(field_invalid(path.child(field), name, m));
}

void validate_source(const Document& spec, const char* field, bool any_group, const FieldPath& path, FieldErrors& errors) {
  const Document& source = member(spec, field);
  if (!source.is_object()) return;
  FieldPath at = path.child(field);
  std::string kind(string_at(source, "kind")), group(string_at(source, "apiGroup")), ns(string_at(source, "namespace"));
  if (string_at(source, "name").empty()) errors.push_back(field_required(at.child("name")));
  if (kind.empty()) errors.push_back(field_required(at.child("kind")));
  if (group.empty() && kind != "PersistentVolumeClaim") errors.push_back(field_invalid(at, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"));
  if (!group.empty() && !any_group)
    for (auto& m : apimachinery::is_dns1123_subdomain(group)) errors.push_back(field_invalid(at.child("apiGroup"), group, m));
  if (!ns.empty())
    for (auto& m : apimachinery::is_dns1123_label(ns)) errors.push_back(field_invalid(at.child("namespace"), ns, m));
}

// What volume a claim begins with, by the old and the new field. `any_group`: the claim's old one had a group, which need not be valid.
void validate_sources(const Document& spec, bool any_group, const FieldPath& path, FieldErrors& errors) {
  validate_source(spec, "dataSource", any_group, path, errors);
  validate_source(spec, "dataSourceRef", any_group, path, errors);
  const Document &source = member(spec, "dataSource"), &ref = member(spec, "dataSourceRef");
  if (!source.is_object() || !ref.is_object()) return;
  bool same = member(source, "apiGroup") == member(ref, "apiGroup") && string_at(source, "kind") == string_at(ref, "kind") && string_at(source, "name") == string_at(ref, "name");
  const char* wrong = !string_at(ref, "namespace").empty() ? "may not be specified when dataSourceRef.namespace is specified" : same ? nullptr : "must match dataSourceRef";
  if (wrong) errors.push_back(field_invalid(path, Document::object(), wrong));
}

bool names_group(const Document& spec) {
  return find_member(member(spec, "dataSource"), "apiGroup") || find_member(member(spec, "dataSourceRef"), "apiGroup");
}

// "/", "//", "/a/..": what Go's path.Clean makes "/".
bool is_root(std::string_view path) {
  if (!starts_with(path, "/")) return false;
  std::size_t depth = 0;
  for (const auto& part : split(path, '/')) {
    if (part == "..") depth -= depth ? 1 : 0;
    else if (!part.empty() && part != ".") ++depth;
  }
  return depth == 0;
}

void check_claim_spec(const Document& spec, const FieldPath& path, FieldErrors& errors, bool any_group) {
  if (each(spec, "accessModes").empty()) errors.push_back(field_required(path.child("accessModes"), "at least 1 access mode is required"));
  if (const Document* s = find_member(spec, "selector")) apimachinery::append(errors, apimachinery::validate_label_selector(*s, path.child("selector")));
  validate_access_modes(spec, path, errors);
  FieldPath at = path.child("resources").key("storage");
  const Document& requests = at_path(spec, {"resources", "requests"});
  if (string_at(requests, "storage").empty()) {
    errors.push_back(field_required(at));
  } else if (Quantity q = amount(requests, "storage"); q.sign() <= 0) {
    errors.push_back(field_invalid(at, string_at(requests, "storage"), "must be greater than zero"));
  }
  validate_class_name(spec, "storageClassName", path, errors);
  validate_sources(spec, any_group, path, errors);
  validate_class_name(spec, "volumeAttributesClassName", path, errors);
}

}  // namespace

void validate_claim_spec(const Document& spec, const FieldPath& path, FieldErrors& errors) { check_claim_spec(spec, path, errors, false); }

namespace {

// Of an amount below zero both its value and its sign are told.
void check_amount(const Check& at) {
  auto q = Quantity::parse(at.text());
  if (q && q->value() < 0) at.invalid_as(q->value(), "must be a valid resource quantity");
}
void check_amounts(const Check& list) {
  if (list.value().is_object())
    for (const auto& [name, value] : list.value().items()) check_amount(list.key(name));
}
// Storage, or a resource with a domain.
bool check_resource_key(const Check& list, const std::string& name) {
  auto problems = apimachinery::is_qualified_name(name);
  for (auto& m : problems) list.invalid_as(name, m);
  bool native = name.find('/') == std::string::npos || name.find("kubernetes.io/") != std::string::npos;
  if (problems.empty() && native && name != "storage") list.errors().push_back(field_not_supported(list.path(), name, {"storage"}));
  return problems.empty() && (!native || name == "storage");
}

void validate_capacity(const Document& capacity, const FieldPath& path, FieldErrors& errors) {
  if (!capacity.is_object() || capacity.empty()) errors.push_back(field_required(path));
  if (!capacity.is_object() || !capacity.contains("storage") || capacity.size() > 1) errors.push_back(field_not_supported(path, capacity, {"storage"}));
  if (!capacity.is_object()) return;
  for (const auto& [name, value] : capacity.items()) {
    Quantity q = amount(capacity, name.c_str());
    if (q.sign() < 0) errors.push_back(field_invalid(path.key(name), q.value(), "must be a valid resource quantity"));
    if (q.sign() <= 0) errors.push_back(field_invalid(path.key(name), value, "must be greater than zero"));
  }
}
void validate_affinity(const Document& affinity, const FieldPath& path, FieldErrors& errors) {
  if (!affinity.is_object()) return;
  const Document* required = find_member(affinity, "required");
  if (!required) {
    errors.push_back(field_required(path.child("required"), "must specify required node constraints"));
    return;
  }
  validate_node_selector(*required, path.child("required"), errors);
}

// What a volume within another object says of itself only.
void check_inline_volume(const Check& spec) {
  constexpr const char* kHere = "may not be specified in the context of inline volumes";
  if (spec["claimRef"].set()) spec["claimRef"].forbidden(kHere);
  for (const char* f : {"capacity", "storageClassName"})
    if (!spec[f].empty()) spec[f].forbidden(kHere);
  if (spec["nodeAffinity"].set()) spec["nodeAffinity"].forbidden(kHere);
  if (!spec["csi"].set()) spec["csi"].required("has to be specified in the context of inline volumes");
  if (Check policy = spec["persistentVolumeReclaimPolicy"]; !policy.empty() && !policy.is("Retain")) policy.forbidden("may only be Retain in the context of inline volumes");
  if (Check mode = spec["volumeMode"]; mode.set() && !mode.is("Filesystem")) mode.forbidden("may not specify volumeMode other than Filesystem in the context of inline volumes");
}

}  // namespace

void validate_node_selector(const Document& selector, const FieldPath& path, FieldErrors& errors) {
  FieldPath terms = path.child("nodeSelectorTerms");
  if (each(selector, "nodeSelectorTerms").empty()) errors.push_back(field_required(terms, "must have at least one node selector term"));
  std::size_t i = 0;
  for (const auto& t : each(selector, "nodeSelectorTerms")) validate_node_terms(t, terms.index(i++), errors, true);
}

void check_template_metadata(const Check& meta) {
  meta.add(apimachinery::validate_annotations(meta["annotations"].value(), meta["annotations"].path()));
  meta.add(apimachinery::validate_labels(meta["labels"].value(), meta["labels"].path()));
  for (const char* f : {"name", "generateName", "namespace", "selfLink", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
                        "ownerReferences", "finalizers", "managedFields"})
    // Go's zero, but for what a pointer leads to.
    if (meta[f].set() && meta[f].value() != "" && (meta[f].value() != 0 || f == std::string_view("deletionGracePeriodSeconds"))) meta[f].forbidden("cannot be set");
  if (!meta["uid"].empty()) meta["uID"].forbidden("cannot be set");  // as Go spells it
}

void validate_volume_spec(const Document& spec, const FieldPath& path, FieldErrors& errors, bool is_inline) {
  if (each(spec, "accessModes").empty()) errors.push_back(field_required(path.child("accessModes")));
  validate_access_modes(spec, path, errors);
  if (is_inline) {
    check_inline_volume(Check(spec, path, errors));
  } else {
    validate_capacity(member(spec, "capacity"), path.child("capacity"), errors);
    validate_affinity(member(spec, "nodeAffinity"), path.child("nodeAffinity"), errors);
  }
  validate_persistent_source(Check(spec, path, errors), !is_inline && find_member(spec, "nodeAffinity"));
  if (string_at(spec, "persistentVolumeReclaimPolicy") == "Recycle" && is_root(apimachinery::get_string(spec, {"hostPath", "path"})))
    errors.push_back(field_forbidden(path.child("persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'"));
}

namespace {

class PersistentVolumeStrategy final : public Strategy {
 public:
  explicit PersistentVolumeStrategy(const KindSchema& k) : Strategy(k) {
    set_flags(*this);
    select("name", "metadata.name");
  }
  void prepare_for_create(WriteContext& c, Document& o) const override {
    Strategy::prepare_for_create(c, o);
    o["status"] = {{"phase", "Pending"}, {"lastPhaseTransitionTime", format_rfc3339(c.now)}};
  }
  void prepare_for_status_update(WriteContext& c, Document& o, const Document& old) const override {
    Strategy::prepare_for_status_update(c, o, old);
    Document& status = apimachinery::object_at(o, "status");
    const Document& was = member(old, "status");
    const Document *now = find_member(status, "lastPhaseTransitionTime"), *before = find_member(was, "lastPhaseTransitionTime");
    if (string_at(status, "phase") == string_at(was, "phase")) {
      if (!now && before) status["lastPhaseTransitionTime"] = *before;
    } else if (!now || (before && *now == *before)) {
      status["lastPhaseTransitionTime"] = format_rfc3339(c.now);
    }
  }
  void set_defaults(Document& o) const override {
    Document& spec = apimachinery::object_at(o, "spec");
    if (string_at(spec, "persistentVolumeReclaimPolicy").empty()) spec["persistentVolumeReclaimPolicy"] = "Retain";
    if (!find_member(spec, "volumeMode")) spec["volumeMode"] = "Filesystem";
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    const Document& spec = member(o, "spec");
    FieldPath path("spec");
    validate_volume_spec(spec, path, errors, false);
    validate_mount_options(o, errors);
    validate_class_name(spec, "storageClassName", path, errors);
    Check attributes = Check(spec, path, errors)["volumeAttributesClassName"];
    if (!attributes.set()) return;
    if (attributes.need("an empty string is disallowed")) attributes.format(apimachinery::is_dns1123_subdomain);
    if (!find_member(spec, "csi")) errors.push_back(field_required(path.child("csi"), "has to be specified when using volumeAttributesClassName"));
  }
  void validate_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    validate(c, o, errors);
    if (find_member(member(old, "spec"), "volumeAttributesClassName") && !find_member(member(o, "spec"), "volumeAttributesClassName"))
      errors.push_back(field_forbidden(FieldPath("spec").child("volumeAttributesClassName"), "update from non-nil value to nil is forbidden"));
    Document now = source_of(o), was = source_of(old);
    if (Document* csi = find_member(now, "csi"); csi && find_member(was, "csi") && !find_member(member(was, "csi"), "controllerExpandSecretRef")) csi->erase("controllerExpandSecretRef");
    if (!semantically_equal(*kind->type->field("spec")->message, now, was)) errors.push_back(field_forbidden(FieldPath("spec").child("persistentvolumesource"), "spec.persistentvolumesource is immutable after creation\n"));
    const Document& spec = member(o, "spec");
    const Document& before = member(old, "spec");
    apimachinery::append(errors, apimachinery::validate_immutable_field(find_member(spec, "volumeMode"), find_member(before, "volumeMode"), FieldPath("volumeMode")));
    if (const Document* affinity = find_member(before, "nodeAffinity"); affinity && !same_affinity(member(spec, "nodeAffinity"), *affinity))
      errors.push_back(field_invalid(FieldPath("nodeAffinity"), find_member(spec, "nodeAffinity") ? spec["nodeAffinity"] : Document(), "field is immutable, except for updating from beta label to GA"));
  }

 private:
  // Of sources that are not mounted with options.
  static void validate_mount_options(const Document& o, FieldErrors& errors) {
    constexpr const char* kOptions = "volume.beta.kubernetes.io/mount-options";
    for (const char* source : {"gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "nfs", "rbd", "quobyte", "iscsi", "cinder", "cephfs", "azureFile", "vsphereVolume", "azureDisk", "photonPersistentDisk"})
      if (find_member(member(o, "spec"), source)) return;
    if (find_member(apimachinery::annotations_of(o), kOptions))
      errors.push_back(field_forbidden(FieldPath("metadata").child("annotations").child(kOptions), "may not specify mount options for this volume type"));
  }
  // A node's label may be called by its newer name.
  bool same_affinity(const Document& now, Document was) const {
    static constexpr std::pair<const char*, const char*> kLabels[] = {
        {"failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"}, {"failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"},
        {"beta.kubernetes.io/os", "kubernetes.io/os"}, {"beta.kubernetes.io/arch", "kubernetes.io/arch"}, {"beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"}};
    const Document& terms = each(at_path(now, {"required"}), "nodeSelectorTerms");
    Document* required = find_member(was, "required");
    Document* old_terms = required ? find_member(*required, "nodeSelectorTerms") : nullptr;
    if (old_terms && old_terms->is_array() && old_terms->size() == terms.size())
      for (std::size_t i = 0; i < terms.size(); ++i)
        for (const char* list : {"matchExpressions", "matchFields"}) {
          const Document& expressions = each(terms[i], list);
          Document* old_expressions = find_member((*old_terms)[i], list);
          if (!old_expressions || !old_expressions->is_array() || old_expressions->size() != expressions.size()) continue;
          for (std::size_t j = 0; j < expressions.size(); ++j) {
            std::string_view key = string_at(expressions[j], "key"), newer;  // of other labels the newer name is "", upstream
            for (auto [beta, stable] : kLabels)
              if (string_at((*old_expressions)[j], "key") == beta) newer = stable;
            if (key == newer) (*old_expressions)[j]["key"] = std::string(key);
          }
        }
    return semantically_equal(*kind->type->field("spec")->message->field("nodeAffinity")->message, now, was);
  }
  static bool is_common(const std::string& key) {
    for (const char* n : {"accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy", "storageClassName", "volumeAttributesClassName", "volumeMode"})
      if (key == n) return true;
    return false;
  }
  static Document source_of(const Document& o) {
    Document out = Document::object();
    const Document& spec = member(o, "spec");
    if (spec.is_object())
      for (const auto& [key, value] : spec.items())
        if (!is_common(key)) out[key] = value;
    return out;
  }
};

class PersistentVolumeClaimStrategy final : public Strategy {
 public:
  explicit PersistentVolumeClaimStrategy(const KindSchema& k) : Strategy(k) {
    set_flags(*this);
    select("name", "metadata.name");
  }
  void prepare_for_create(WriteContext& c, Document& o) const override {
    Strategy::prepare_for_create(c, o);
    o["status"] = {{"phase", "Pending"}};
    settle_sources(o, false, false);
  }
  void prepare_for_update(WriteContext& c, Document& o, const Document& old) const override {
    Strategy::prepare_for_update(c, o, old);
    const Document& was = member(old, "spec");
    settle_sources(o, find_member(was, "dataSource") || find_member(was, "dataSourceRef"), find_member(was, "dataSourceRef"));
  }
  // What watches volumes' health is off.
  void prepare_for_status_update(WriteContext& c, Document& o, const Document& old) const override {
    Strategy::prepare_for_status_update(c, o, old);
    if (Document* status = find_member(o, "status"); status && status->is_object() && !find_member(member(old, "status"), "healthStatus")) status->erase("healthStatus");
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override { validate_claim_spec(member(o, "spec"), FieldPath("spec"), errors); }
  void validate_status_update(WriteContext&, const Document& o, const Document&, FieldErrors& errors) const override {
    Check status(member(o, "status"), FieldPath("status"), errors);
    check_amounts(status["capacity"]);
    Check states = status["allocatedResourceStatuses"], allocated = status["allocatedResources"];
    if (states.value().is_object())
      for (const auto& [name, state] : states.value().items()) {
        check_resource_key(states, name);
        static const std::vector<std::string> kStates = {"ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"};
        if (!state.is_string() || std::find(kStates.begin(), kStates.end(), state.get_ref<const std::string&>()) == kStates.end()) errors.push_back(field_not_supported(states.path(), name, kStates));
      }
    if (!allocated.value().is_object()) return;
    for (const auto& [name, value] : allocated.value().items())
      if (check_resource_key(allocated, name)) check_amount(allocated.key(name));
  }
  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    Document now = member(o, "spec"), was = member(old, "spec");
    check_claim_spec(now, FieldPath("spec"), errors, names_group(was));
    // What the binding controller fills in.
    if (string_at(was, "volumeName").empty()) was.erase("volumeName"), now.erase("volumeName");
    settle_class(o, old, now, errors);
    bool bound = apimachinery::get_string(o, {"status", "phase"}) == "Bound";
    if (bound) {
      for (Document* d : {&now, &was}) {
        d->erase("volumeAttributesClassName");
        if (Document* r = find_member(*d, "resources"))
          if (Document* requests = find_member(*r, "requests")) requests->erase("storage");
      }
    }
    if (!semantically_equal(*kind->type->field("spec")->message, now, was))
      errors.push_back(field_forbidden(FieldPath("spec"), "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"));
    FieldPath storage = FieldPath("spec").child("resources").child("requests").child("storage");
    Quantity size = amount(at_path(o, {"spec", "resources", "requests"}), "storage"), before = amount(at_path(old, {"spec", "resources", "requests"}), "storage");
    // Less may be asked for where the growth failed, but not less than there is.
    if (before > size && !(size > amount(at_path(old, {"status", "capacity"}), "storage")))
      errors.push_back(field_forbidden(storage, "field can not be less than status.capacity"));
    apimachinery::append(errors, apimachinery::validate_immutable_field(find_member(member(o, "spec"), "volumeMode"), find_member(member(old, "spec"), "volumeMode"), FieldPath("volumeMode")));
    if (!find_member(member(old, "status"), "currentVolumeAttributesClassName")) return;
    FieldPath at = FieldPath("spec").child("volumeAttributesClassName");
    const Document* name = find_member(member(o, "spec"), "volumeAttributesClassName");
    if (!name && find_member(member(old, "spec"), "volumeAttributesClassName"))
      errors.push_back(field_forbidden(at, "update to nil is forbidden when status.currentVolumeAttributesClassName is not nil"));
    else if (name && *name == "")
      errors.push_back(field_forbidden(at, "update to empty string is forbidden when status.currentVolumeAttributesClassName is not nil"));
  }

 private:
  // A claim without a class gets one once, which is the one of its annotation where that says any; the annotation stays or goes then.
  static void settle_class(const Document& o, const Document& old, Document& now, FieldErrors& errors) {
    constexpr const char* kClass = "volume.beta.kubernetes.io/storage-class";
    const Document *before = find_member(apimachinery::annotations_of(old), kClass), *note = find_member(apimachinery::annotations_of(o), kClass);
    const Document* name = find_member(now, "storageClassName");
    bool fresh = name && !find_member(member(old, "spec"), "storageClassName");
    if (fresh && (!before || *name == *before)) now.erase("storageClassName");
    if (fresh && before && *name == *before && (!note || *note == *before)) return;
    std::string_view was_text = before ? std::string_view(before->get_ref<const std::string&>()) : "", text = note ? std::string_view(note->get_ref<const std::string&>()) : "";
    if (was_text != text) errors.push_back(field_invalid(FieldPath("metadata").child("annotations").child(kClass), text, "field is immutable"));
  }

  // dataSource and dataSourceRef say the same where both may; a dataSource that never meant anything is dropped, and so is a
  // reference to another namespace, which is off.
  static void settle_sources(Document& o, bool in_use, bool ref_in_use) {
    Document* spec = find_member(o, "spec");
    if (!spec || !spec->is_object()) return;
    if (!ref_in_use && !string_at(member(*spec, "dataSourceRef"), "namespace").empty()) spec->erase("dataSourceRef");
    const Document* source = find_member(*spec, "dataSource");
    const Document* ref = find_member(*spec, "dataSourceRef");
    if (source && !ref) {
      std::string_view kind = string_at(*source, "kind"), group = string_at(*source, "apiGroup");
      bool means = (group.empty() && kind == "PersistentVolumeClaim") || (group == "snapshot.storage.k8s.io" && kind == "VolumeSnapshot");
      if (!means && !in_use) {
        spec->erase("dataSource");
        return;
      }
      (*spec)["dataSourceRef"] = Document(*source);
    } else if (ref && ref->is_object() && !source && string_at(*ref, "namespace").empty()) {
      Document copy = *ref;
      copy.erase("namespace");
      (*spec)["dataSource"] = std::move(copy);
    }
  }
};

}  // namespace

StrategyPtr make_persistent_volume_strategy(const KindSchema& k) { return std::make_shared<PersistentVolumeStrategy>(k); }
StrategyPtr make_persistent_volume_claim_strategy(const KindSchema& k) { return std::make_shared<PersistentVolumeClaimStrategy>(k); }

}  // namespace onebin::apiserver
