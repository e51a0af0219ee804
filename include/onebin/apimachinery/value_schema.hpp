// ValueSchema: what an openAPIV3Schema says of values, made ready once: types, formats, bounds, patterns (RE2), enumerations,
// required members, and allOf, anyOf, oneOf, not. Messages are those of kube-openapi's validator, which clients see.
// Source: OpenAPI 3.0 "Schema Object", as CustomResourceDefinitions restrict it.
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/field_error.hpp>

#include <memory>
#include <string_view>

namespace onebin::apimachinery {

class ValueSchema {
 public:
  explicit ValueSchema(const Document& schema);
  ~ValueSchema();
  ValueSchema(const ValueSchema&) = delete;

  // What OpenAPI states. With `old`, what did not change is not held against the object.
  FieldErrors validate(const Document& value, const Document* old = nullptr) const;
  // Lists of x-kubernetes-list-type set and map: no item twice.
  FieldErrors validate_lists(const Document& value) const;
  // Resources inside of the object (x-kubernetes-embedded-resource): apiVersion, kind and metadata.
  FieldErrors validate_embedded(const Document& value) const;

  struct Node;

 private:
  std::unique_ptr<const Node> root_;
};

// Whether a format is one that values of the type are checked against ("" as type: text).
bool is_known_format(std::string_view type, std::string_view format);
// Whether a text has the format ("date-time", "ipv4", "uuid", …). Unknown ones accept all.
bool matches_format(std::string_view format, std::string_view text);

}  // namespace onebin::apimachinery
