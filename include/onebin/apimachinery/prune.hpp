// Unknown fields: dropping what the tables do not name, and telling which those were.
#pragma once
#include <onebin/apimachinery/document.hpp>

#include <string>
#include <vector>

namespace onebin::apimachinery {
struct TypeSchema;

// Removes members that the schema does not name; what a type preserves unknown stays. Appends the paths of what was
// removed ("spec.foo", "spec.containers[0].bar") to `dropped`, if given, in the document's order.
void prune(const TypeSchema& type, Document& object, std::vector<std::string>* dropped = nullptr);
// Removes members that are null where the schema does not allow null (CRDs).
void drop_nulls(const TypeSchema& type, Document& object);

}  // namespace onebin::apimachinery
