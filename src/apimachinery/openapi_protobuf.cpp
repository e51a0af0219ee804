// gnostic's openapi.v2.Document (github.com/google/gnostic-models, openapiv2/OpenAPIv2.proto): field numbers are from there.
#include <onebin/apimachinery/openapi.hpp>

#include "apimachinery/openapi_wire.hpp"

namespace onebin::apimachinery {
namespace {

using namespace openapi_wire;

std::string schema(const Document& s, int depth = 0) {
  std::string out;
  if (!s.is_object() || depth > 100) return out;
  text(out, 1, s, "$ref");
  text(out, 2, s, "format");
  text(out, 3, s, "title");
  text(out, 4, s, "description");
  any_member(out, 5, s, "default");
  real(out, 6, s, "multipleOf");
  real(out, 7, s, "maximum");
  flag(out, 8, s, "exclusiveMaximum");
  real(out, 9, s, "minimum");
  flag(out, 10, s, "exclusiveMinimum");
  integer(out, 11, s, "maxLength");
  integer(out, 12, s, "minLength");
  text(out, 13, s, "pattern");
  integer(out, 14, s, "maxItems");
  integer(out, 15, s, "minItems");
  flag(out, 16, s, "uniqueItems");
  integer(out, 17, s, "maxProperties");
  integer(out, 18, s, "minProperties");
  texts(out, 19, s, "required");
  if (const auto& values = member(s, "enum"); values.is_array())
    for (const auto& v : values) any(out, 20, v);
  if (const auto* more = find_member(s, "additionalProperties")) {
    std::string inner;
    if (more->is_boolean()) append_varint_field(inner, 2, more->get<bool>() ? 1 : 0);
    else append_bytes_field(inner, 1, schema(*more, depth + 1));
    append_bytes_field(out, 21, inner);
  }
  if (auto type = string_at(s, "type"); !type.empty()) {
    std::string inner;
    append_bytes_field(inner, 1, type);
    append_bytes_field(out, 22, inner);
  }
  if (const auto* items = find_member(s, "items")) {
    std::string inner;
    append_bytes_field(inner, 1, schema(*items, depth + 1));
    append_bytes_field(out, 23, inner);
  }
  if (const auto& properties = member(s, "properties"); properties.is_object()) {
    std::string inner;
    for (const auto& [k, v] : properties.items()) named(inner, 1, k, schema(v, depth + 1));
    append_bytes_field(out, 25, inner);
  }
  extensions(out, 31, s);
  return out;
}

// A Parameter, or an item of a list of such, which may also refer to a shared one.
std::string parameter(const Document& p) {
  std::string inner, out;
  auto in = string_at(p, "in");
  if (in == "body") {
    text(inner, 1, p, "description");
    text(inner, 2, p, "name");
    append_bytes_field(inner, 3, in);
    flag(inner, 4, p, "required");
    append_bytes_field(inner, 5, schema(member(p, "schema")));
    append_bytes_field(out, 1, inner);  // body_parameter
  } else {
    bool query = in == "query";  // else a path's
    flag(inner, 1, p, "required");
    append_bytes_field(inner, 2, in);
    text(inner, 3, p, "description");
    text(inner, 4, p, "name");
    text(inner, query ? 6 : 5, p, "type");
    flag(inner, query ? 20 : 19, p, "uniqueItems");
    std::string kind;
    append_bytes_field(kind, query ? 3 : 4, inner);
    append_bytes_field(out, 2, kind);  // non_body_parameter
  }
  return out;
}

std::string parameter_item(const Document& p) {
  std::string item, reference;
  if (p.contains("$ref")) {
    text(reference, 1, p, "$ref");
    append_bytes_field(item, 2, reference);
  } else {
    append_bytes_field(item, 1, parameter(p));
  }
  return item;
}

void parameters(std::string& out, std::uint32_t number, const Document& object) {
  const auto& list = member(object, "parameters");
  if (!list.is_array()) return;
  for (const auto& p : list) append_bytes_field(out, number, parameter_item(p));
}

std::string operation(const Document& op) {
  std::string out;
  texts(out, 1, op, "tags");
  text(out, 3, op, "description");
  text(out, 5, op, "operationId");
  texts(out, 6, op, "produces");
  texts(out, 7, op, "consumes");
  parameters(out, 8, op);
  std::string responses;
  if (const auto& all = member(op, "responses"); all.is_object())
    for (const auto& [code, r] : all.items()) {
      std::string response, value;
      text(response, 1, r, "description");
      if (const auto* s = find_member(r, "schema")) {
        std::string item;
        append_bytes_field(item, 1, schema(*s));
        append_bytes_field(response, 2, item);
      }
      append_bytes_field(value, 1, response);
      named(responses, 1, code, value);
    }
  append_bytes_field(out, 9, responses);
  texts(out, 10, op, "schemes");
  extensions(out, 13, op);
  return out;
}

std::string path_item(const Document& item) {
  std::string out;
  static constexpr std::pair<const char*, std::uint32_t> kMethods[] = {{"get", 2}, {"put", 3}, {"post", 4}, {"delete", 5}, {"options", 6}, {"head", 7}, {"patch", 8}};
  for (auto [name, number] : kMethods)
    if (const auto* op = find_member(item, name)) append_bytes_field(out, number, operation(*op));
  parameters(out, 9, item);
  extensions(out, 10, item);
  return out;
}

}  // namespace

std::string openapi_v2_protobuf(std::string_view swagger_json) {
  const auto swagger = Document::parse(swagger_json, nullptr, false);
  if (!swagger.is_object()) return {};
  std::string out, info, paths, definitions;
  text(out, 1, swagger, "swagger");
  text(info, 1, member(swagger, "info"), "title");
  text(info, 2, member(swagger, "info"), "version");
  append_bytes_field(out, 2, info);
  if (const auto& all = member(swagger, "paths"); all.is_object())
    for (const auto& [path, item] : all.items()) named(paths, 2, path, path_item(item));
  append_bytes_field(out, 8, paths);
  if (const auto& all = member(swagger, "definitions"); all.is_object())
    for (const auto& [name, s] : all.items()) named(definitions, 1, name, schema(s));
  append_bytes_field(out, 9, definitions);
  std::string shared;
  if (const auto& all = member(swagger, "parameters"); all.is_object())
    for (const auto& [name, p] : all.items()) named(shared, 1, name, parameter(p));
  append_bytes_field(out, 10, shared);
  // security: BearerToken with no scopes; its definition an API key in a header.
  std::string requirement, key, item, security;
  named(requirement, 1, "BearerToken", "");
  append_bytes_field(out, 12, requirement);
  const auto& bearer = at_path(swagger, {"securityDefinitions", "BearerToken"});
  text(key, 1, bearer, "type");
  text(key, 2, bearer, "name");
  text(key, 3, bearer, "in");
  text(key, 4, bearer, "description");
  append_bytes_field(item, 2, key);
  named(security, 1, "BearerToken", item);
  append_bytes_field(out, 13, security);
  return out;
}

}  // namespace onebin::apimachinery
