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
// Requests and limits of a container, or of the pod as a whole, and the claims among the pod's that it uses.
void check_resources(const Check& resources, const Check& spec, bool whole_pod = false);
// spec.resources: what the containers leave open of it, and whether it holds what they ask for.
void default_pod_resources(Document& spec);
void check_pod_resources(const Check& spec);
// An annotation that is to hold an object or a list: null where it is absent or, with an error at `where`, is something else.
Document read_json_annotation(const Check& annotations, const char* key, const FieldPath& where, Document::value_t type);
// Annotations of a pod or a template, whose path is given; `old` are those before an update.
void validate_pod_annotations(const Document& annotations, const Document& spec, const FieldPath& path, FieldErrors& errors, const Document& old = {});
void validate_pod_annotation_changes(const Document& now, const Document& was, const FieldPath& path, FieldErrors& errors);
// Of what is made: seccomp and AppArmor profiles say the same in annotations and in fields.
void validate_profiles_agree(const Document& annotations, const Document& spec, const FieldPath& spec_path, FieldErrors& errors);
void take_app_armor_annotations(const WriteContext& c, Document& pod);  // to the fields that came after them
void check_windows_options(const Check& options);
void check_host_processes(const Check& spec);
void check_os(const Check& spec);
// A resource's name; in a container's list, one that containers may use.
void validate_resource_name(const std::string& name, bool container, const FieldPath& path, FieldErrors& errors);
// A resource of somebody else's than Kubernetes'.
bool extended_resource(std::string_view name);
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
void warn_of_pod_status(const WriteContext& c, const Document& pod);

// Iterates what may be no array.
const Document& each(const Document& object, std::string_view list);

}  // namespace onebin::apiserver
