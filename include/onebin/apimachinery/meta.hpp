// Metadata of a Document: reading and writing the parts of ObjectMeta that the generic paths need. A missing or mistyped
// field reads as its zero value.
#pragma once
#include <onebin/apimachinery/document.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onebin {
class Rng;
}

namespace onebin::apimachinery {

struct GroupVersion {
  std::string group, version;
  std::string to_string() const { return group.empty() ? version : group + "/" + version; }
  bool operator==(const GroupVersion&) const = default;
};
// "apps/v1", "v1"; none for "a/b/c". "" gives both empty.
std::optional<GroupVersion> parse_group_version(std::string_view api_version);

// A string member reached by names; "" where absent.
std::string_view get_string(const Document& object, std::initializer_list<std::string_view> path);
std::int64_t get_int(const Document& object, std::initializer_list<std::string_view> path, std::int64_t otherwise = 0);
bool get_bool(const Document& object, std::initializer_list<std::string_view> path, bool otherwise = false);
// The member reached by names, null pointer where absent. A JSON null is found as null.
const Document* find(const Document& object, std::initializer_list<std::string_view> path);
// Makes the objects on the way. What lies on the way and is no object is replaced.
Document& make_path(Document& object, std::initializer_list<std::string_view> path);
// Removes a member; objects on the way stay.
void erase_path(Document& object, std::initializer_list<std::string_view> path);

std::string_view api_version_of(const Document& object);
std::string_view kind_of(const Document& object);
std::string_view generate_name_of(const Document& object);
std::string_view resource_version_of(const Document& object);
std::string_view creation_timestamp_of(const Document& object);
std::string_view deletion_timestamp_of(const Document& object);  // "" while not being deleted
std::optional<std::int64_t> deletion_grace_period_of(const Document& object);
std::int64_t generation_of(const Document& object);
// Never null pointers: an empty object or array stands for what is absent.
const Document& labels_of(const Document& object);
const Document& annotations_of(const Document& object);
const Document& owner_references_of(const Document& object);
const Document& managed_fields_of(const Document& object);
std::vector<std::string> finalizers_of(const Document& object);
std::map<std::string, std::string> string_map(const Document& object);  // of labels, annotations

void set_meta(Document& object, std::string_view field, Document value);  // metadata.<field>
void erase_meta(Document& object, std::string_view field);
void set_finalizers(Document& object, const std::vector<std::string>& finalizers);  // none: the field goes
void set_annotation(Document& object, std::string_view key, std::string_view value);

// metadata.resourceVersion as a number: "" and "0" are 0, none where it is not a number.
std::optional<std::uint64_t> parse_resource_version(std::string_view text);

// The owner reference with controller: true; null pointer where there is none.
const Document* controller_of(const Document& object);
bool is_controlled_by(const Document& object, std::string_view owner_uid);

// `base` and five random characters, cut to 63.
std::string generate_name(std::string_view base, Rng& rng);

}  // namespace onebin::apimachinery
