// Reading a stored custom resource without a tree: its JSON is compact, with members sorted, as encode_json wrote it.
#pragma once
#include <string>
#include <string_view>

namespace onebin::apiserver {

// The text of an object's member; "" where there is none, or where the text is no compact JSON object.
std::string_view json_member(std::string_view object, std::string_view name);

// The object with metadata.resourceVersion set, members still sorted. "" where it has no metadata, or has whitespace in it.
std::string json_with_revision(std::string_view object, std::string_view revision);

}  // namespace onebin::apiserver
