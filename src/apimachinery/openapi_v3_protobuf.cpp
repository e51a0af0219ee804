// gnostic's openapi.v3.Document (github.com/google/gnostic-models, openapiv3/OpenAPIv3.proto): field numbers are from there.
#include <onebin/apimachinery/openapi.hpp>

#include "apimachinery/openapi_wire.hpp"

namespace onebin::apimachinery {
namespace {

using namespace openapi_wire;

using Message = std::string (*)(const Document&);

void message(std::string& out, std::uint32_t number, const Document& object, const char* name, Message of) {
  if (const auto* v = find_member(object, name)) append_bytes_field(out, number, of(*v));
}
void messages(std::string& out, std::uint32_t number, const Document& object, const char* name, Message of) {
  if (const auto& list = member(object, name); list.is_array())
    for (const auto& v : list) append_bytes_field(out, number, of(v));
}
// The message of a map: pairs of name and value.
std::string map_of(const Document& object, Message of) {
  std::string out;
  if (object.is_object())
    for (const auto& [k, v] : object.items()) named(out, 1, k, of(v));
  return out;
}
void map(std::string& out, std::uint32_t number, const Document& object, const char* name, Message of) {
  if (const auto* v = find_member(object, name)) append_bytes_field(out, number, map_of(*v, of));
}

// What may stand in place, or be referred to.
template <Message whole>
std::string or_reference(const Document& o) {
  std::string out, reference;
  if (o.is_object() && o.contains("$ref")) {
    text(reference, 1, o, "$ref");
    text(reference, 2, o, "summary");
    text(reference, 3, o, "description");
    append_bytes_field(out, 2, reference);
  } else {
    append_bytes_field(out, 1, whole(o));
  }
  return out;
}

std::string strings(const Document& list) {
  std::string out;
  if (list.is_array())
    for (const auto& v : list)
      if (v.is_string()) append_bytes_field(out, 1, v.get_ref<const std::string&>());
  return out;
}

std::string external_docs(const Document& o) {
  std::string out;
  text(out, 1, o, "description");
  text(out, 2, o, "url");
  extensions(out, 3, o);
  return out;
}

// A default that is no number, boolean or string cannot be said: it is there, but empty.
std::string default_value(const Document& v) {
  std::string out;
  if (v.is_boolean()) append_varint_field(out, 2, v.get<bool>() ? 1 : 0);
  else if (v.is_string()) append_bytes_field(out, 3, v.get_ref<const std::string&>());
  else if (v.is_number()) real(out, 1, v);
  return out;
}

std::string schema(const Document& s);

std::string items(const Document& s) {
  std::string out;
  append_bytes_field(out, 1, or_reference<schema>(s));
  return out;
}
std::string additional_properties(const Document& v) {
  std::string out;
  if (v.is_boolean()) append_varint_field(out, 2, v.get<bool>() ? 1 : 0);
  else append_bytes_field(out, 1, or_reference<schema>(v));
  return out;
}

// As deep as the document, whose depth its parser bounds.
std::string schema(const Document& s) {
  std::string out;
  if (!s.is_object()) return out;
  flag(out, 1, s, "nullable");
  flag(out, 3, s, "readOnly");
  flag(out, 4, s, "writeOnly");
  message(out, 6, s, "externalDocs", external_docs);
  any_member(out, 7, s, "example");
  flag(out, 8, s, "deprecated");
  text(out, 9, s, "title");
  real(out, 10, s, "multipleOf");
  real(out, 11, s, "maximum");
  flag(out, 12, s, "exclusiveMaximum");
  real(out, 13, s, "minimum");
  flag(out, 14, s, "exclusiveMinimum");
  integer(out, 15, s, "maxLength");
  integer(out, 16, s, "minLength");
  text(out, 17, s, "pattern");
  integer(out, 18, s, "maxItems");
  integer(out, 19, s, "minItems");
  flag(out, 20, s, "uniqueItems");
  integer(out, 21, s, "maxProperties");
  integer(out, 22, s, "minProperties");
  texts(out, 23, s, "required");
  if (const auto& values = member(s, "enum"); values.is_array())
    for (const auto& v : values) any(out, 24, v);
  text(out, 25, s, "type");
  messages(out, 26, s, "allOf", or_reference<schema>);
  messages(out, 27, s, "oneOf", or_reference<schema>);
  messages(out, 28, s, "anyOf", or_reference<schema>);
  message(out, 29, s, "not", schema);
  message(out, 30, s, "items", items);
  map(out, 31, s, "properties", or_reference<schema>);
  message(out, 32, s, "additionalProperties", additional_properties);
  message(out, 33, s, "default", default_value);
  text(out, 34, s, "description");
  text(out, 35, s, "format");
  extensions(out, 36, s);
  return out;
}

std::string media_type(const Document& m) {
  std::string out;
  message(out, 1, m, "schema", or_reference<schema>);
  any_member(out, 2, m, "example");
  extensions(out, 5, m);
  return out;
}

std::string parameter(const Document& p) {
  std::string out;
  text(out, 1, p, "name");
  text(out, 2, p, "in");
  text(out, 3, p, "description");
  flag(out, 4, p, "required");
  flag(out, 5, p, "deprecated");
  flag(out, 6, p, "allowEmptyValue");
  text(out, 7, p, "style");
  flag(out, 8, p, "explode");
  flag(out, 9, p, "allowReserved");
  message(out, 10, p, "schema", or_reference<schema>);
  map(out, 13, p, "content", media_type);
  extensions(out, 14, p);
  return out;
}

std::string request_body(const Document& b) {
  std::string out;
  text(out, 1, b, "description");
  map(out, 2, b, "content", media_type);
  flag(out, 3, b, "required");
  extensions(out, 4, b);
  return out;
}

std::string response(const Document& r) {
  std::string out;
  text(out, 1, r, "description");
  map(out, 3, r, "content", media_type);
  extensions(out, 5, r);
  return out;
}

std::string responses(const Document& all) {
  std::string out;
  message(out, 1, all, "default", or_reference<response>);
  if (all.is_object())
    for (const auto& [code, r] : all.items())
      if (code != "default" && code.rfind("x-", 0) != 0) named(out, 2, code, or_reference<response>(r));
  extensions(out, 3, all);
  return out;
}

std::string requirement(const Document& r) { return map_of(r, strings); }

std::string operation(const Document& op) {
  std::string out;
  texts(out, 1, op, "tags");
  text(out, 2, op, "summary");
  text(out, 3, op, "description");
  message(out, 4, op, "externalDocs", external_docs);
  text(out, 5, op, "operationId");
  messages(out, 6, op, "parameters", or_reference<parameter>);
  message(out, 7, op, "requestBody", or_reference<request_body>);
  message(out, 8, op, "responses", responses);
  flag(out, 10, op, "deprecated");
  messages(out, 11, op, "security", requirement);
  extensions(out, 13, op);
  return out;
}

std::string path_item(const Document& item) {
  std::string out;
  text(out, 1, item, "$ref");
  text(out, 2, item, "summary");
  text(out, 3, item, "description");
  static constexpr std::pair<const char*, std::uint32_t> kMethods[] = {{"get", 4}, {"put", 5}, {"post", 6}, {"delete", 7}, {"options", 8}, {"head", 9}, {"patch", 10}, {"trace", 11}};
  for (auto [name, number] : kMethods) message(out, number, item, name, operation);
  messages(out, 13, item, "parameters", or_reference<parameter>);
  extensions(out, 14, item);
  return out;
}

std::string security_scheme(const Document& s) {
  std::string out;
  text(out, 1, s, "type");
  text(out, 2, s, "description");
  text(out, 3, s, "name");
  text(out, 4, s, "in");
  text(out, 5, s, "scheme");
  text(out, 6, s, "bearerFormat");
  extensions(out, 9, s);
  return out;
}

std::string components(const Document& c) {
  std::string out;
  map(out, 1, c, "schemas", or_reference<schema>);
  map(out, 2, c, "responses", or_reference<response>);
  map(out, 3, c, "parameters", or_reference<parameter>);
  map(out, 5, c, "requestBodies", or_reference<request_body>);
  map(out, 7, c, "securitySchemes", or_reference<security_scheme>);
  return out;
}

std::string info(const Document& i) {
  std::string out;
  text(out, 1, i, "title");
  text(out, 2, i, "description");
  text(out, 6, i, "version");
  return out;
}

}  // namespace

std::string openapi_v3_protobuf(std::string_view json) {
  const auto document = Document::parse(json, nullptr, false);
  if (!document.is_object()) return {};
  std::string out;
  text(out, 1, document, "openapi");
  message(out, 2, document, "info", info);
  map(out, 4, document, "paths", path_item);
  message(out, 5, document, "components", components);
  messages(out, 6, document, "security", requirement);
  return out;
}

}  // namespace onebin::apimachinery
