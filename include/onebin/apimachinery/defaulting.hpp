// Defaults that the schema tables state. Defaults that depend on other fields are the kind's strategy's.
#pragma once
#include <onebin/apimachinery/document.hpp>

namespace onebin::apimachinery {
struct TypeSchema;

// Sets absent fields (and nulls, where the field may not be null) to their defaults, depth first; a default that is an
// object or list is itself defaulted.
void apply_defaults(const TypeSchema& type, Document& object);

}  // namespace onebin::apimachinery
