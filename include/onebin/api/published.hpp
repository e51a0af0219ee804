// What is published of the built-in types beyond what the schema tables hold: for OpenAPI documents alone.
#pragma once
#include <onebin/apimachinery/published.hpp>

#include <span>
#include <string_view>

namespace onebin::api {

// Fields of which something else is published than is enforced.
std::span<const apimachinery::PublishedField> published_fields();
// Descriptions, compressed (zlib). Text: a line "io.k8s.api.core.v1.PodSpec: what it is", then a line "\tfield: what it is" for
// each of its fields that is described, and so on.
std::string_view packed_descriptions();

}  // namespace onebin::api
