// What pods and pod templates share: defaults that hang on other fields, and validation beyond the schema tables.
#pragma once
#include "apiserver/registry/check.hpp"
#include "apiserver/registry/strategy.hpp"

#include <map>

namespace onebin::apiserver {

void default_pod_spec(Document& spec);
void default_pod_template(Document& holder);       // holder.template.spec, where there is one
// `pod_name` for a Pod's own spec: it names the claims that are made for the pod.
void validate_pod_spec(const Document& spec, const FieldPath& path, FieldErrors& errors, const std::string& pod_name = {});
// A template: metadata's labels and annotations, and the spec. `restart` is the policies allowed, empty: all.
void validate_pod_template(const Document& pod_template, const FieldPath& path, FieldErrors& errors, const std::vector<std::string>& restart = {});
// "Guaranteed", "Burstable", "BestEffort".
std::string qos_class(const Document& spec);
// The spec of a PersistentVolumeClaim, or of a template of one.
void validate_claim_spec(const Document& spec, const FieldPath& path, FieldErrors& errors);
// A term of a node selector.
void validate_node_terms(const Document& term, const FieldPath& path, FieldErrors& errors, bool check_values = false);

// Parts of validate_pod_spec.
using Volumes = std::map<std::string, const Document*>;  // those without an error, by name
enum class ContainerKind : unsigned char { Regular, Init, Ephemeral };
void validate_container(const Document& container, const Document& spec, const Volumes& volumes, const FieldPath& path, FieldErrors& errors, ContainerKind kind);
Volumes validate_volumes(const Document& spec, const FieldPath& path, FieldErrors& errors, const std::string& pod_name);
// Requests and limits of a container, and the claims among the pod's that it uses.
void check_resources(const Check& resources, const Check& spec);
// A resource's name; in a container's list, one that containers may use.
void validate_resource_name(const std::string& name, bool container, const FieldPath& path, FieldErrors& errors);
void check_field_selector(const Check& ref, std::initializer_list<const char*> fields);
void check_resource_selector(const Check& ref, bool volume);
void check_ids(const Check& security, std::initializer_list<const char*> users, std::initializer_list<const char*> groups);
void check_profiles(const Check& security);  // seccomp, AppArmor
void check_tolerations(const Check& list);
void check_descending_path(const Check& path);  // relative, without ".."
void check_no_backsteps(const Check& path);
void check_local_path(const Check& path);       // also not beginning with ".."
void check_key_to_path(const Check& item);
void check_downward_file(const Check& file);
void check_volume_user(const Check& user);
// The source of a PersistentVolume's spec; a local one needs node affinity.
void validate_persistent_source(const Check& spec, bool node_affinity);
void check_host_path_volume(const Check& source);

// The resize subresource: the part of a pod that it takes, and what of it may change.
void take_resize(Document& pod, const Document& old);
void validate_resize(const Document& pod, const Document& old, FieldErrors& errors);
// Of an update of the status: addresses, conditions, claims.
void validate_pod_status(const Document& pod, const Document& old, FieldErrors& errors);

// Iterates what may be no array.
const Document& each(const Document& object, std::string_view list);

}  // namespace onebin::apiserver
