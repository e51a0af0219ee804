// Document: an object as a tree, alive only while one request changes it. The one public header with nlohmann in full.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace onebin::apimachinery {

// Keys are sorted; the order in which text is written comes from the schema.
using Document = nlohmann::json;

// Member access that never throws and never creates: a missing or differently typed member reads as null / "" / fallback.
const Document& member(const Document& object, std::string_view name);
Document* find_member(Document& object, std::string_view name);              // null when there is none
const Document* find_member(const Document& object, std::string_view name);
const Document& at_path(const Document& object, std::initializer_list<std::string_view> path);
std::string_view string_at(const Document& object, std::string_view name);   // view into the document
std::int64_t int_at(const Document& object, std::string_view name, std::int64_t fallback = 0);
bool bool_at(const Document& object, std::string_view name, bool fallback = false);
// The object at `name`, created (or put in place of null) when it is not one.
Document& object_at(Document& object, std::string_view name);
Document& array_at(Document& object, std::string_view name);

// Names of metadata, for any object.
std::string_view name_of(const Document& object);
std::string_view namespace_of(const Document& object);
std::string_view uid_of(const Document& object);

// Equal as values: 1 and 1.0 are equal, null and absent are not.
bool same_value(const Document& a, const Document& b);

}  // namespace onebin::apimachinery
