// What PersistentVolumes, and objects that hold their parts, have in common.
#pragma once
#include "apiserver/registry/check.hpp"

namespace onebin::apiserver {

// The spec of a PersistentVolume; or one within another object, which says less.
void validate_volume_spec(const Check::Document& spec, const Check::FieldPath& path, Check::FieldErrors& errors, bool is_inline);
// A node selector that must hold.
void validate_node_selector(const Check::Document& selector, const Check::FieldPath& path, Check::FieldErrors& errors);
// Metadata of a template of a claim: labels and annotations only.
void check_template_metadata(const Check& meta);

}  // namespace onebin::apiserver
