// Codec of the API's structs: JSON and protobuf, by reflection tables. Unknown JSON fields and protobuf numbers are
// skipped, as client-go's decoders do; wrong types and malformed bytes are BadRequest.
#pragma once
#include <onebin/apimachinery/reflect.hpp>
#include <onebin/base/result.hpp>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace onebin::api {

using ResourceInfo = apimachinery::KindSchema;  // group, version, kind, plural, namespaced, ...

namespace detail {
std::string to_json(const void* object, const apimachinery::StructInfo& info);
std::string to_protobuf(const void* object, const apimachinery::StructInfo& info);
std::string to_message(const void* object, const apimachinery::StructInfo& info);
void to_document(const void* object, const apimachinery::StructInfo& info, nlohmann::json& out);
Status from_json(std::string_view text, void* object, const apimachinery::StructInfo& info);
Status from_protobuf(std::string_view bytes, void* object, const apimachinery::StructInfo& info);
Status from_message(std::string_view bytes, void* object, const apimachinery::StructInfo& info);
Status from_document(const nlohmann::json& document, void* object, const apimachinery::StructInfo& info);
const apimachinery::KindSchema& resource_of(const apimachinery::StructInfo& info);
}  // namespace detail

// Every generated struct T has `const StructInfo& struct_info(const T*)` in its namespace.
template <class T>
const apimachinery::StructInfo& info_of() { return struct_info(static_cast<const T*>(nullptr)); }

// kind and apiVersion are filled in where the struct leaves them empty. A RawExtension member that holds no JSON makes the
// whole "null": such text is the caller's mistake.
template <class T>
std::string to_json(const T& object) { return detail::to_json(&object, info_of<T>()); }
// With the k8s\0 envelope; T must be an object (have a kind).
template <class T>
std::string to_protobuf(const T& object) { return detail::to_protobuf(&object, info_of<T>()); }
// The bare message, of any T.
template <class T>
std::string to_message(const T& object) { return detail::to_message(&object, info_of<T>()); }

template <class T>
Result<T> from_json(std::string_view text) {
  T object{};
  if (Status s = detail::from_json(text, &object, info_of<T>()); !s) return s;
  return object;
}
// kind and api_version come from the envelope. The kind is not compared with T's.
template <class T>
Result<T> from_protobuf(std::string_view bytes) {
  T object{};
  if (Status s = detail::from_protobuf(bytes, &object, info_of<T>()); !s) return s;
  return object;
}
template <class T>
Result<T> from_message(std::string_view bytes) {
  T object{};
  if (Status s = detail::from_message(bytes, &object, info_of<T>()); !s) return s;
  return object;
}
template <class T>
Result<T> from_document(const nlohmann::json& document) {
  T object{};
  if (Status s = detail::from_document(document, &object, info_of<T>()); !s) return s;
  return object;
}

// T must be a kind with a resource.
template <class T>
const ResourceInfo& resource_of() { return detail::resource_of(info_of<T>()); }

}  // namespace onebin::api
