// Validation that every kind shares: ObjectMeta, request options, and what the schema tables state (required fields,
// enumerations, bounds, formats, immutability). A kind's own rules are its strategy's.
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/names.hpp>

#include <string_view>

namespace onebin::apimachinery {
struct TypeSchema;

inline constexpr std::size_t kTotalAnnotationSizeLimit = 256 * 1024;

// `meta` is the object's metadata. Create: after name generation. Update: both as they would be stored. Kinds that are not
// built in take finalizers without a domain too.
FieldErrors validate_object_meta(const Document& meta, bool namespaced, NameRule rule, const FieldPath& path, bool built_in = true);
FieldErrors validate_object_meta_update(const Document& new_meta, const Document& old_meta, const FieldPath& path, bool built_in = true);

FieldErrors validate_annotations(const Document& annotations, const FieldPath& path);
FieldErrors validate_owner_references(const Document& references, const FieldPath& path);
FieldErrors validate_finalizers(const Document& finalizers, const FieldPath& path);
FieldErrors validate_finalizer_name(std::string_view name, const FieldPath& path);
// And that it has a domain, or is one of Kubernetes' own.
FieldErrors validate_own_finalizer(std::string_view name, const FieldPath& path);
FieldErrors validate_no_new_finalizers(const Document& now, const Document& before, const FieldPath& path);
FieldErrors validate_managed_fields(const Document& entries, const FieldPath& path);
FieldErrors validate_conditions(const Document& conditions, const FieldPath& path);
FieldErrors validate_immutable_field(const Document* now, const Document* before, const FieldPath& path);
FieldErrors validate_nonnegative(long long value, const FieldPath& path);

// Query options.
FieldErrors validate_field_manager(std::string_view manager, const FieldPath& path);
FieldErrors validate_dry_run(const std::vector<std::string>& values, const FieldPath& path);
FieldErrors validate_field_validation(std::string_view value, const FieldPath& path);
// Of a whole DeleteOptions document.
FieldErrors validate_delete_options(const Document& options);
// metav1.PatchOptions as they come from the query. `force` set means that the query names it.
FieldErrors validate_patch_options(bool apply, std::string_view field_manager, bool force_is_set,
                                   const std::vector<std::string>& dry_run, std::string_view field_validation);

// Equal as the API sees it: absent, null, the empty list and an object with nothing but such are the same.
bool semantically_equal(const Document* a, const Document* b);
inline bool semantically_equal(const Document& a, const Document& b) { return semantically_equal(&a, &b); }
// The same of two values of a built-in type, as Go's structs hold them: what is no pointer has its zero value where it is absent,
// and a struct that a pointer leads to differs from none, whatever is in it.
bool semantically_equal(const TypeSchema& type, const Document& a, const Document& b);

// What the tables state, depth first in declaration order. With `old`, fields that the tables call immutable must not
// have changed. The object's `metadata` is skipped at the top: see above.
FieldErrors validate_schema(const TypeSchema& type, const Document& object, const Document* old = nullptr,
                            const FieldPath& root = {});

}  // namespace onebin::apimachinery
