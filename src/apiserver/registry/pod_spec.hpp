// What pods and pod templates share: defaults that hang on other fields, and validation beyond the schema tables.
#pragma once
#include "apiserver/registry/strategy.hpp"

namespace onebin::apiserver {

void default_pod_spec(Document& spec);
void default_pod_template(Document& holder);       // holder.template.spec, where there is one
void validate_pod_spec(const Document& spec, const FieldPath& path, FieldErrors& errors);
// A template: metadata's labels and annotations, and the spec. `restart` is the policies allowed, empty: all.
void validate_pod_template(const Document& pod_template, const FieldPath& path, FieldErrors& errors, const std::vector<std::string>& restart = {});
// "Guaranteed", "Burstable", "BestEffort".
std::string qos_class(const Document& spec);
// The spec of a PersistentVolumeClaim, or of a template of one.
void validate_claim_spec(const Document& spec, const FieldPath& path, FieldErrors& errors);
// A term of a node selector: its matchExpressions.
void validate_node_terms(const Document& term, const FieldPath& path, FieldErrors& errors);

// Part of validate_pod_spec.
void validate_container(const Document& container, const Document& spec, const FieldPath& path, FieldErrors& errors, bool init, bool ephemeral);
void validate_volumes(const Document& spec, const FieldPath& path, FieldErrors& errors);

// The resize subresource: the part of a pod that it takes, and what of it may change.
void take_resize(Document& pod, const Document& old);
void validate_resize(const Document& pod, const Document& old, FieldErrors& errors);

// Iterates what may be no array.
const Document& each(const Document& object, std::string_view list);

}  // namespace onebin::apiserver
