// CustomKind: one version of a CustomResourceDefinition, made into what a built-in kind has: schema tables, a strategy, and an
// entry of the registry.
#pragma once
#include "apiserver/crd/custom_rules.hpp"
#include "apiserver/registry/registry.hpp"

#include <onebin/apimachinery/jsonpath.hpp>
#include <onebin/apimachinery/value_schema.hpp>

#include <optional>

namespace onebin::apiserver {

struct ConversionWebhook;  // crd/conversion.hpp

// Where the scale subresource finds its numbers.
struct ScalePaths {
  std::vector<std::string> spec_replicas, status_replicas, selector;  // names; selector may be empty
  std::string spec_text, status_text, selector_text;                  // as the definition spells them
};

// The parts that outlive a change of the definition as long as a request uses them.
struct CustomKind {
  apimachinery::SchemaArena arena;
  const KindSchema* kind = nullptr;
  const KindSchema* storage = nullptr;
  std::string schema;                                   // openAPIV3Schema as JSON; "" where there is none. A tree would take many times as much
  std::unique_ptr<apimachinery::ValueSchema> values;    // null likewise
  std::unique_ptr<apimachinery::ValueSchema> status_values;  // of properties.status
  std::unique_ptr<CustomRules> rules;                   // x-kubernetes-validations; null likewise
  std::vector<apimachinery::SubresourceSchema> subresources;
  std::vector<apimachinery::PrinterColumn> printer_columns;
  std::vector<apimachinery::TableColumn> columns;
  std::vector<std::string> selectable;                  // "spec.color"
  std::optional<ScalePaths> scale;
  std::shared_ptr<const ConversionWebhook> conversion;  // null: versions differ in nothing but their name
  std::string deprecation_warning;                      // "" unless the version is deprecated
  bool terminating = false;                             // the definition is being deleted: nothing new
  std::shared_ptr<WatchCache> cache;

  // For OpenAPI documents. Null where there is no schema.
  std::shared_ptr<const Document> published_schema() const;
};

// Where a definition's objects are stored.
std::string custom_storage_prefix(const Document& definition);

// The registry's entry for one version of an accepted definition. `rewrite`: stored objects may differ from what this version
// reads (they were stored as another version or under another schema), and are pruned and defaulted on the way.
std::shared_ptr<Served> make_custom_served(const Document& definition, const Document& version, std::shared_ptr<WatchCache> cache, bool rewrite);

}  // namespace onebin::apiserver
