// managedFields: who set what, on every write; and server-side apply.
// Source: KEP-555, Kubernetes "Server-Side Apply".
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/field_set.hpp>
#include <onebin/base/result.hpp>
#include <onebin/base/time.hpp>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::apimachinery {
struct TypeSchema;

inline constexpr std::size_t kMaxUpdateManagers = 10;
inline constexpr std::string_view kLastAppliedAnnotation = "kubectl.kubernetes.io/last-applied-configuration";

// What the field manager must know of a resource. Lives as long as the resource is served.
struct ManagedResource {
  std::string api_version;  // of the documents given: "apps/v1"
  std::string kind;
  std::string subresource;  // "status"; "" for the main resource
  const TypeSchema* type = nullptr;  // null: types are deduced from the values
  // Fields that a write through this (sub)resource resets, and so never owns: with subresource "" usually {status}, with
  // "status" {spec, metadata but managedFields}. Of members only the path itself counts, all below is included.
  FieldSet reset_fields;
  // Where any are given: all that a write through this subresource may own. Each is a path with all below it; "*" is any element.
  std::vector<std::vector<std::string_view>> only;
  // Another version's schema, null pointer where that version is not served (its managers are then dropped); and the
  // conversion to it. Without these, only api_version is known.
  std::function<const TypeSchema*(std::string_view api_version)> type_of_version;
  std::function<Result<Document>(const Document& object, std::string_view api_version)> convert;
};

// The manager of a write without fieldManager: the user agent up to the first '/', cut to 128 characters.
std::string manager_from_user_agent(std::string_view user_agent);

// Update, patch and create: sets `object`.metadata.managedFields. `live` is null for a create. Never fails a write: where
// fields cannot be tracked (duplicate list keys, …) the live managedFields are kept.
// `as_text`: each fieldsV1 is a binary value that holds its JSON text, which encode_protobuf() takes as it is: a tree that nobody
// looks at is not built. Whoever looks calls expand_managed_fields() first.
void track_update(const ManagedResource& resource, const Document* live, Document& object, std::string_view manager, WallTime now, bool as_text = false);
void expand_managed_fields(Document& object);

// Server-side apply: the merged object with its managedFields, ready for defaulting, validation and storage. `live` is null
// where the object does not exist. Errors: 409 with a cause FieldManagerConflict for each field, 400 for metadata.managedFields
// in the configuration, 422/500 for documents that do not fit the schema.
// A result equal to `live` but for a manager's time keeps that time, so that the write can be left out.
Result<Document> server_side_apply(const ManagedResource& resource, const Document* live, const Document& configuration,
                                   std::string_view manager, bool force, WallTime now);

// Where the number of replicas is, by the parent's apiVersion; empty for a version without a scale subresource.
using ReplicasPaths = std::map<std::string, FieldPathElements>;
// The scale subresource's managedFields: those of its parent's managers that own the number of replicas.
Result<Document> scale_managers(const Document& parent_entries, const ReplicasPaths& paths);
// And the parent's after a write of the scale. Entries of versions that `paths` does not know are dropped.
Result<Document> parent_managers(const Document& parent_entries, const Document& scale_entries, const std::string& parent_version, const ReplicasPaths& paths);

// For tests: all fields of a document that a manager would own ("metadata" and what it strips included).
Result<FieldSet> field_set_of(const TypeSchema* type, const Document& object);

}  // namespace onebin::apimachinery
