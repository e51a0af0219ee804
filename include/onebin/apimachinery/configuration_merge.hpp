// What a mutating policy's apply configuration makes of an object: structured merge without managers.
// Source: Kubernetes "Mutating Admission Policy", "ApplyConfiguration"; KEP-3962.
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/result.hpp>

namespace onebin::apimachinery {
struct TypeSchema;

// `configuration` has the object's apiVersion and kind. Null type: types are deduced from the values. An error where either does
// not fit the type, and where the configuration has what is replaced as a whole: an atomic list, map or structure.
Result<Document> merge_configuration(const TypeSchema* type, const Document& object, const Document& configuration);

}  // namespace onebin::apimachinery
