// x-kubernetes-validations: the rules of a custom resource's schema, when objects are written and when the definition is.
// Source: Kubernetes "Validation rules" of CustomResourceDefinitions; behaviour of k8s.io/apiextensions-apiserver's
// schema/cel and validation packages.
#pragma once
#include <onebin/apimachinery/field_error.hpp>

#include <memory>
#include <string>
#include <vector>

namespace onebin::apiserver {

using apimachinery::Document;
using apimachinery::FieldErrors;
using apimachinery::FieldPath;

// The rules of one version, compiled when the first object is checked.
class CustomRules {
 public:
  // Null when the schema has none.
  static std::unique_ptr<CustomRules> make(const Document& schema);
  ~CustomRules();
  CustomRules(const CustomRules&) = delete;

  // `object` after defaults, and valid by its schema. With `old`, what did not change only warns.
  void validate(const Document& object, const Document* old, FieldErrors& errors, std::vector<std::string>* warnings) const;
  // Whether errors leave the rules unchecked; one more error says so then.
  static bool blocked(FieldErrors& errors);

  struct Compiled;

 private:
  explicit CustomRules(std::string schema);
  std::string schema_;  // JSON, until it is compiled
  mutable std::unique_ptr<const Compiled> compiled_;
  struct Once;
  std::unique_ptr<Once> once_;
};

// A rule's fieldPath (".spec.x", "['a b']"), which must lead to a field of the schema. False when it does not.
bool rule_field_path(std::string_view path, const Document& schema, FieldPath& out);

// What compiling a schema's rules finds: errors of expressions, and costs beyond the limits. Only for a schema that is sound otherwise.
void validate_custom_rules(const Document& schema, const FieldPath& path, FieldErrors& errors);

}  // namespace onebin::apiserver
