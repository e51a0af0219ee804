// CustomSchema: what a CustomResourceDefinition's openAPIV3Schema becomes: the same tables that built-in kinds have, so that
// pruning, defaulting, apply and field selectors take the same path, and beside them what OpenAPI says of values.
// Source: Kubernetes "Extend the Kubernetes API with CustomResourceDefinitions", structural schemas.
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/schema.hpp>

namespace onebin::apimachinery {

// Whether a type came from a CustomResourceDefinition. Its values are checked by validation alone: decoding converts nothing
// in them and refuses nothing but what is wrong with metadata.
inline bool is_custom(const TypeSchema& type) { return type.extension != nullptr; }

// The type of a custom resource at one version. `schema` is a structural openAPIV3Schema (null: nothing is known, all is
// kept); `object_meta` the built-in ObjectMeta. Lives in `arena`.
const TypeSchema* make_custom_type(SchemaArena& arena, std::string_view name, const Document* schema, const TypeSchema& object_meta);

// Nulls that are no values go, then absent fields get their defaults.
void default_custom(const TypeSchema& type, Document& object);

// Whether any field of the schema has a default.
bool has_defaults(const Document& schema);

}  // namespace onebin::apimachinery
