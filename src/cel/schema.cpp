// Schemas of openAPIV3Schemas, with the bounds that estimates of cost rest on.
#include <onebin/cel/program.hpp>
#include <onebin/cel/schema.hpp>

#include <algorithm>

namespace onebin::cel {
namespace {

using apimachinery::bool_at;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::string_at;

constexpr int kDepthLimit = 100;
constexpr std::int64_t kNameLength = 253;
constexpr std::int64_t kDurationSize = 32, kDateTimeSize = 32, kDateSize = 12, kMinDurationSize = 3, kMinDateTimeSize = 21;

// A bound that a schema states, or -1.
std::int64_t bound(const Document& schema, std::string_view name) {
  const Document* v = find_member(schema, name);
  return v && v->is_number() ? std::max<std::int64_t>(v->get<std::int64_t>(), 0) : -1;
}

}  // namespace

Schema* Schemas::add(Schema schema) { return &schemas_.emplace_back(std::move(schema)); }

const Type* Schemas::list_of(const Type* item) { return &types_.emplace_back(Type{TypeKind::List, "list", {item}, nullptr}); }
const Type* Schemas::map_of(const Type* key, const Type* value) {
  return &types_.emplace_back(Type{TypeKind::Map, "map", {key, value}, nullptr});
}
const Type* Schemas::optional_of(const Type* value) {
  return &types_.emplace_back(Type{TypeKind::Opaque, "optional_type", {value}, nullptr});
}
const Type* Schemas::type_of(const Type* type) { return &types_.emplace_back(Type{TypeKind::Type, "type", {type}, nullptr}); }
const Type* Schemas::param(std::string name) { return &types_.emplace_back(Type{TypeKind::Param, std::move(name), {}, nullptr}); }
const Type* Schemas::object(std::string name, const Schema* schema) {
  return &types_.emplace_back(Type{TypeKind::Object, std::move(name), {}, schema});
}

const Schema* Schemas::scalar(Schema::Kind kind, const Type& type) {
  Schema s;
  s.kind = kind;
  s.nullable = kind == Schema::Kind::Dyn;
  s.type = &type;
  s.max_elements = kind == Schema::Kind::String || kind == Schema::Kind::Bytes ? kMaxRequestBytes - 2 : 0;
  s.min_size = kind == Schema::Kind::Bool ? 4 : kind == Schema::Kind::String || kind == Schema::Kind::Bytes ? 2 : 1;
  return add(std::move(s));
}
const Schema* Schemas::list(const Schema* items) {
  Schema s;
  s.kind = Schema::Kind::List;
  s.items = items;
  s.type = items->type ? list_of(items->type) : nullptr;
  s.min_size = 2;
  s.max_elements = (kMaxRequestBytes - 2) / (items->min_size + 1);
  return add(std::move(s));
}
const Schema* Schemas::map(const Schema* values) {
  Schema s;
  s.kind = Schema::Kind::Map;
  s.items = values;
  s.type = values->type ? map_of(&types::string, values->type) : nullptr;
  s.min_size = 2;
  s.max_elements = (kMaxRequestBytes - 2) / (values->min_size + 6);
  return add(std::move(s));
}
const Schema* Schemas::object(std::string name, std::vector<SchemaField> fields) {
  Schema* s = add({});
  s->kind = Schema::Kind::Object;
  s->fields = std::move(fields);
  s->min_size = 2;
  for (SchemaField& f : s->fields)
    if (f.escaped.empty()) escape(f.name, f.escaped);
  std::sort(s->fields.begin(), s->fields.end(), [](const SchemaField& a, const SchemaField& b) { return a.name < b.name; });
  s->type = object(std::move(name), s);
  return s;
}

const Schema* Schemas::from_openapi(const Document& schema, bool resource, std::string_view name) {
  return convert(schema, resource, std::string(name), 0);
}

const Schema* Schemas::convert(const Document& schema, bool resource, std::string name, int depth) {
  Schema out;
  out.nullable = bool_at(schema, "nullable");
  out.kind = Schema::Kind::Preserved;
  if (depth > kDepthLimit) return add(std::move(out));
  if (bool_at(schema, "x-kubernetes-int-or-string")) {
    std::int64_t length = bound(schema, "maxLength");
    out.kind = Schema::Kind::IntOrString;
    out.type = &types::dyn;
    out.min_size = 1;
    out.max_elements = length >= 0 ? length * 4 : kMaxRequestBytes - 2;
    return add(std::move(out));
  }
  std::string_view type = string_at(schema, "type");
  if (type == "object") return convert_object(schema, resource, std::move(name), depth, out);
  if (type == "array") {
    const Document* items = find_member(schema, "items");
    out.kind = Schema::Kind::List;
    out.min_size = 2;
    out.items = items ? convert(*items, bool_at(*items, "x-kubernetes-embedded-resource"), name + ".@idx", depth + 1) : nullptr;
    if (out.items && out.items->type) out.type = list_of(out.items->type);
    std::int64_t limit = bound(schema, "maxItems");
    out.max_elements = limit >= 0 ? limit : (kMaxRequestBytes - 2) / ((out.items ? out.items->min_size : 0) + 1);
    std::string_view list_type = string_at(schema, "x-kubernetes-list-type");
    out.list_kind = list_type == "set" ? Schema::ListKind::Set : list_type == "map" ? Schema::ListKind::Map : Schema::ListKind::Atomic;
    for (const Document& key : member(schema, "x-kubernetes-list-map-keys"))
      if (key.is_string()) out.list_keys.push_back(key.get<std::string>());
    return add(std::move(out));
  }
  if (type == "string") convert_text(schema, out);
  else if (type == "boolean") out.kind = Schema::Kind::Bool, out.type = &types::boolean, out.min_size = 4;
  else if (type == "number") out.kind = Schema::Kind::Double, out.type = &types::real, out.min_size = 1;
  else if (type == "integer") out.kind = Schema::Kind::Int, out.type = &types::integer, out.min_size = 1;
  return add(std::move(out));
}

void Schemas::convert_text(const Document& schema, Schema& out) {
  struct Format {
    std::string_view name;
    Schema::Kind kind;
    const Type* type;
    std::int64_t min, max;
  };
  static const Format kFormats[] = {{"duration", Schema::Kind::Duration, &types::duration, kMinDurationSize, kDurationSize},
                                    {"date", Schema::Kind::Date, &types::timestamp, kDateSize, kDateSize},
                                    {"date-time", Schema::Kind::DateTime, &types::timestamp, kMinDateTimeSize, kDateTimeSize}};
  std::string_view format = string_at(schema, "format");
  for (const Format& f : kFormats) {
    if (format != f.name) continue;
    out.kind = f.kind, out.type = f.type, out.min_size = f.min, out.max_elements = f.max;
    return;
  }
  bool bytes = format == "byte";
  out.kind = bytes ? Schema::Kind::Bytes : Schema::Kind::String;
  out.type = bytes ? &types::bytes : &types::string;
  out.min_size = 2;
  std::int64_t limit = bound(schema, "maxLength");
  const Document& values = member(schema, "enum");
  if (limit >= 0) {
    out.max_elements = bytes ? limit : limit * 4;  // characters of up to four bytes
  } else if (!bytes && values.is_array() && !values.empty()) {
    for (const Document& v : values)
      if (v.is_string()) out.max_elements = std::max(out.max_elements, static_cast<std::int64_t>(v.get_ref<const std::string&>().size()));
  } else {
    out.max_elements = kMaxRequestBytes - 2;
  }
}

const Schema* Schemas::convert_object(const Document& schema, bool resource, std::string name, int depth, Schema& out) {
  out.min_size = 2;
  const Document* values = find_member(schema, "additionalProperties");
  if (values && values->is_object() && !resource) {
    out.kind = Schema::Kind::Map;
    out.items = convert(*values, bool_at(*values, "x-kubernetes-embedded-resource"), name + ".@elem", depth + 1);
    if (out.items->type) out.type = map_of(&types::string, out.items->type);
    std::int64_t limit = bound(schema, "maxProperties");
    out.max_elements = limit >= 0 ? limit : (kMaxRequestBytes - 2) / (out.items->min_size + 6);
    return add(std::move(out));
  }
  out.kind = Schema::Kind::Object;
  Document properties = member(schema, "properties");
  if (resource) {
    if (!properties.is_object()) properties = Document::object();
    auto capped = [&](const char* field, std::int64_t most) {
      std::int64_t own = bound(member(member(member(properties, "metadata"), "properties"), field), "maxLength");
      return Document{{"type", "string"}, {"maxLength", own >= 0 && own < most ? own : most}};
    };
    Document names{{"name", capped("name", kNameLength)}, {"generateName", capped("generateName", kNameLength - 1)}};
    properties["kind"] = properties["apiVersion"] = Document{{"type", "string"}};
    properties["metadata"] = Document{{"type", "object"}, {"properties", std::move(names)}};
  }
  const Document& required = member(schema, "required");
  if (properties.is_object())
    for (const auto& [key, property] : properties.items()) {
      SchemaField f;
      f.name = key;
      escape(key, f.escaped);
      f.schema = convert(property, bool_at(property, "x-kubernetes-embedded-resource"), name + "." + f.escaped, depth + 1);
      bool is_required = required.is_array() && std::find(required.begin(), required.end(), Document(key)) != required.end();
      if (f.schema->type && is_required && !find_member(property, "default"))
        out.min_size += static_cast<std::int64_t>(key.size()) + f.schema->min_size + 4;
      if (!f.schema->type) f.escaped.clear();
      out.fields.push_back(std::move(f));
    }
  Schema* s = add(std::move(out));
  s->type = object(std::move(name), s);
  return s;
}

}  // namespace onebin::cel
