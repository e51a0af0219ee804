#include "openapi_schema.hpp"

#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::apimachinery::openapi {
namespace {

constexpr const char* kMetaPrefix = "io.k8s.apimachinery.pkg.apis.meta.v1.";

std::string dump(const Document& d) { return d.dump(-1, ' ', false, Document::error_handler_t::replace); }

Document any_object() { return {{"type", "object"}}; }

Document strings(std::span<const std::string_view> texts) {
  Document out = Document::array();
  for (auto t : texts) out.push_back(std::string(t));
  return out;
}

void add_rules(Document& schema, const FieldSchema& f) {
  const FieldRules& r = *f.rules;
  if (f.is_list() || f.kind == FieldKind::Bytes) {
    if (f.list_type == ListType::Map) {
      schema["x-kubernetes-list-type"] = "map";
      schema["x-kubernetes-list-map-keys"] = strings(r.list_map_keys);
    } else if (f.list_type != ListType::Unset) {
      schema["x-kubernetes-list-type"] = f.list_type == ListType::Set ? "set" : "atomic";
    }
  } else if (f.atomicity != Atomicity::Unset) {
    schema["x-kubernetes-map-type"] = f.atomicity == Atomicity::Atomic ? "atomic" : "granular";
  }
  std::string strategy;
  if (r.patch_strategy & kPatchMerge) strategy = "merge";
  if (r.patch_strategy & kPatchReplace) strategy += strategy.empty() ? "replace" : ",replace";
  if (r.patch_strategy & kPatchRetainKeys) strategy += strategy.empty() ? "retainKeys" : ",retainKeys";
  if (!strategy.empty()) schema["x-kubernetes-patch-strategy"] = strategy;
  if (!r.patch_merge_key.empty()) schema["x-kubernetes-patch-merge-key"] = std::string(r.patch_merge_key);
}

// Of a field that is always there the zero value, unless the tables say something else.
Document default_of(const FieldSchema& f, std::uint8_t facts) {
  if (!f.rules->default_json.empty() && !(facts & PublishedField::kNoDefault)) {
    auto value = Document::parse(f.rules->default_json, nullptr, false);
    if (!value.is_discarded()) return value;
  }
  if (f.cardinality != Cardinality::Single) return nullptr;
  if (f.kind == FieldKind::Message && f.message->shape == Shape::Object) return Document::object();
  if ((f.omitempty && !(facts & PublishedField::kZeroDefault)) || f.proto_number == 0) return nullptr;
  switch (f.kind) {
    case FieldKind::String: return "";
    case FieldKind::Bool: return false;
    case FieldKind::Int32:
    case FieldKind::Int64:
    case FieldKind::Double: return 0;
    default: return nullptr;
  }
}

// A schema of v2 knows less than one of v3: what cannot be said in it, or what kubectl misreads, is left open. Source:
// behaviour of k8s.io/apiextensions-apiserver's conversion for /openapi/v2.
Document as_v2(const Document& v3, int depth) {
  if (!v3.is_object() || depth > 100) return v3;
  Document out = v3;
  for (const char* name : {"oneOf", "anyOf", "allOf", "not", "nullable"}) out.erase(name);
  bool nullable = bool_at(v3, "nullable"), open = bool_at(v3, "x-kubernetes-preserve-unknown-fields");
  if (nullable) out.erase("type");
  if (nullable || open) {
    out.erase("items");
    out.erase("properties");
  }
  if (string_at(out, "type") == "array" && !out.contains("items")) out.erase("type");
  if (open && string_at(out, "type") == "object") out.erase("type");
  if (auto p = out.find("properties"); p != out.end() && p->is_object()) {
    Document required = Document::array();
    for (const auto& r : member(out, "required"))
      if (!r.is_string() || !bool_at(member(*p, r.get<std::string>()), "nullable")) required.push_back(r);
    if (required.empty()) out.erase("required");
    else out["required"] = std::move(required);
    for (auto& v : *p) v = as_v2(v, depth + 1);
  }
  if (bool_at(member(out, "additionalProperties"), "nullable")) out.erase("required");
  for (const char* name : {"items", "additionalProperties"})
    if (auto i = out.find(name); i != out.end() && i->is_object()) *i = as_v2(*i, depth + 1);
  return out;
}

// Of the fields that every resource has, or most.
std::string_view about_resource_field(std::string_view name) {
  return name == "apiVersion" ? "APIVersion defines the version of the API that this object is written in."
         : name == "kind"     ? "Kind names the type of this object."
         : name == "metadata" ? "Standard object's metadata."
         : name == "spec"     ? "Spec is the state that is wanted."
         : name == "status"   ? "Status is the state that was last observed. The system writes it."
         : name == "items"    ? "The objects of the list."
                              : std::string_view();
}

}  // namespace

Definitions::Definitions(Version version, const OpenApiTypes& types) : version_(version), types_(types) {
  for (const auto& p : types.published) published_[p.type][p.field] |= p.facts;
  for (const KindSchema* k : types.kinds) kind_of_.emplace(k->type, k);
}

std::uint8_t Definitions::facts(const TypeSchema& type, const FieldSchema& field) const {
  auto t = published_.find(&type);
  if (t == published_.end()) return 0;
  auto f = t->second.find(static_cast<std::uint16_t>(&field - type.fields.data()));
  return f == t->second.end() ? 0 : f->second;
}

void Definitions::describe(Document& schema, const std::string& name, std::string_view text) const {
  if (text.empty() && types_.descriptions)
    if (auto at = types_.descriptions->find(name); at != types_.descriptions->end()) text = at->second;
  if (!text.empty()) schema["description"] = std::string(text);
}

Document Definitions::delete_options(const OpenApiResource& r) {
  if (types_.delete_options) name_kind(types_.delete_options->name, {r.group, r.version, "DeleteOptions"});
  if (types_.delete_options) name_kind(types_.delete_options->name, {"", "v1", "DeleteOptions"});
  return reference(types_.delete_options);
}

Document Definitions::watch_event(const OpenApiResource& r) {
  if (types_.watch_event) name_kind(types_.watch_event->name, {r.group, r.version, "WatchEvent"});
  if (types_.watch_event) name_kind(types_.watch_event->name, {"", "v1", "WatchEvent"});
  return reference(types_.watch_event);
}

// What GET /version answers, which is no object of the API.
Document Definitions::version_info() {
  Document properties = Document::object(), required = Document::array();
  for (const char* name : {"buildDate", "compiler", "gitCommit", "gitTreeState", "gitVersion", "goVersion", "major", "minor", "platform"}) {
    properties[name] = {{"type", "string"}};
    if (version_ == Version::V3) properties[name]["default"] = "";
    required.push_back(name);
  }
  for (const char* name : {"emulationMajor", "emulationMinor", "minCompatibilityMajor", "minCompatibilityMinor"}) properties[name] = {{"type", "string"}};
  return builtin("io.k8s.apimachinery.pkg.version.Info", {{"type", "object"}, {"properties", std::move(properties)}, {"required", std::move(required)}});
}

Document Definitions::ref(std::string_view name) const {
  return {{"$ref", (version_ == Version::V2 ? "#/definitions/" : "#/components/schemas/") + std::string(name)}};
}

void Definitions::define(std::string name, Document schema) { written_[std::move(name)] = dump(schema); }

void Definitions::need(const TypeSchema* type) {
  if (!known_.insert(std::string(type->name)).second) return;
  pending_.push_back(type);
  // Of the types that all groups share, those that stand in paths are named there.
  bool shared = type->has_type_meta && type->name.rfind(kMetaPrefix, 0) == 0 && type != types_.delete_options && type != types_.watch_event;
  if (shared) name_kind(type->name, {"", "v1", std::string(type->go_name)});
  if (auto k = kind_of_.find(type); k != kind_of_.end()) name_kind(type->name, {std::string(k->second->group), std::string(k->second->version), std::string(k->second->kind)});
}

Document Definitions::reference(const TypeSchema* type) {
  if (!type) return any_object();
  need(type);
  return ref(type->name);
}

Document Definitions::builtin(std::string_view name, Document schema) {
  if (known_.insert(std::string(name)).second) define(std::string(name), std::move(schema));
  return ref(name);
}

Document Definitions::patch() { return builtin(std::string(kMetaPrefix) + "Patch", any_object()); }

Document Definitions::value_schema(const FieldSchema& f) {
  const std::string meta = kMetaPrefix;
  auto number = [](const char* type, const char* format) { return Document{{"type", type}, {"format", format}}; };
  auto either = [&](const char* first, const char* second) {
    return version_ == Version::V2 ? Document{{"type", "string"}} : Document{{"oneOf", Document::array({{{"type", first}}, {{"type", second}}})}};
  };
  switch (f.kind) {
    case FieldKind::Bool: return {{"type", "boolean"}};
    case FieldKind::Int32: return number("integer", "int32");
    case FieldKind::Int64: return number("integer", "int64");
    case FieldKind::Double: return number("number", "double");
    case FieldKind::String: {
      Document out = {{"type", "string"}};
      // Formats of validation are not OpenAPI's.
      if (!f.rules->format.empty() && f.rules->format.rfind("k8s-", 0) != 0) out["format"] = std::string(f.rules->format);
      return out;
    }
    case FieldKind::Bytes: return {{"type", "string"}, {"format", "byte"}};
    case FieldKind::Time: return builtin(meta + "Time", {{"type", "string"}, {"format", "date-time"}});
    case FieldKind::MicroTime: return builtin(meta + "MicroTime", {{"type", "string"}, {"format", "date-time"}});
    case FieldKind::Duration: return builtin(meta + "Duration", {{"type", "string"}});
    case FieldKind::Quantity: return builtin("io.k8s.apimachinery.pkg.api.resource.Quantity", either("string", "number"));
    case FieldKind::IntOrString: {
      Document schema = either("integer", "string");
      schema["format"] = "int-or-string";
      return builtin("io.k8s.apimachinery.pkg.util.intstr.IntOrString", std::move(schema));
    }
    case FieldKind::RawExtension: return builtin("io.k8s.apimachinery.pkg.runtime.RawExtension", any_object());
    case FieldKind::FieldsV1: return builtin(meta + "FieldsV1", any_object());
    case FieldKind::Json: return builtin("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", Document::object());
    case FieldKind::Message:
      if (f.message->shape == Shape::Array) return {{"type", "array"}, {"items", value_schema(f.message->fields[0])}};
      return reference(f.message);
  }
  return any_object();
}

Document Definitions::field_schema(const TypeSchema& t, const FieldSchema& f) {
  Document value = value_schema(f), out = Document::object();
  if (!f.rules->enum_values.empty() && !(facts(t, f) & PublishedField::kNoEnum)) {
    value["enum"] = strings(f.rules->enum_values);
    std::sort(value["enum"].begin(), value["enum"].end());
  }
  bool reference = version_ == Version::V3 && !f.is_list() && !f.is_map() && value.contains("$ref");
  if (f.is_list()) out = {{"type", "array"}, {"items", std::move(value)}};
  else if (f.is_map()) out = {{"type", "object"}, {"additionalProperties", std::move(value)}};
  else if (!reference) out = std::move(value);
  if (version_ == Version::V3)
    if (Document v = default_of(f, facts(t, f)); !v.is_null()) out["default"] = std::move(v);
  add_rules(out, f);
  describe(out, std::string(t.name) + "." + std::string(f.json_name), f.rules->description);
  if (t.has_type_meta && !out.contains("description"))
    if (auto text = about_resource_field(f.json_name); !text.empty()) out["description"] = text;
  if (!reference) return out;
  if (out.empty()) return value;
  out["allOf"] = Document::array({std::move(value)});  // beside $ref nothing else counts in v3
  return out;
}

// A struct of which one member is set, and the one that says which.
Document Definitions::unions(const TypeSchema& t) const {
  Document u = Document::object(), fields = Document::object();
  bool is_union = false;
  for (const auto& f : t.fields) {
    auto known = facts(t, f);
    if (known & PublishedField::kUnion) is_union = true;
    if (known & PublishedField::kDiscriminator) {
      u["discriminator"] = f.json_name;
      continue;
    }
    std::string go(f.json_name);
    if (!go.empty() && go[0] >= 'a' && go[0] <= 'z') go[0] = static_cast<char>(go[0] - 32);
    fields[std::string(f.json_name)] = go;
  }
  if (!is_union) return nullptr;
  u["fields-to-discriminateBy"] = std::move(fields);
  return Document::array({std::move(u)});
}

Document Definitions::type_schema(const TypeSchema& t) {
  Document out;
  switch (t.shape) {
    case Shape::Object: {
      out = any_object();
      Document properties = Document::object(), required = Document::array();
      for (const auto& f : t.fields) {
        properties[std::string(f.json_name)] = field_schema(t, f);
        if (facts(t, f) & PublishedField::kRequired || (f.required && !(facts(t, f) & PublishedField::kNotRequired))) required.push_back(std::string(f.json_name));
      }
      if (!properties.empty()) out["properties"] = std::move(properties);
      if (!required.empty()) {
        std::sort(required.begin(), required.end());
        out["required"] = std::move(required);
      }
      if (t.atomicity == Atomicity::Atomic) out["x-kubernetes-map-type"] = "atomic";
      if (t.preserve_unknown) out["x-kubernetes-preserve-unknown-fields"] = true;
      if (Document u = unions(t); !u.is_null()) out["x-kubernetes-unions"] = std::move(u);
      break;
    }
    case Shape::Array: out = {{"type", "array"}, {"items", value_schema(t.fields[0])}}; break;
    case Shape::Map: out = {{"type", "object"}, {"additionalProperties", value_schema(t.fields[0])}}; break;
    default: out = Document::object();  // one of several forms, which is more than OpenAPI of these versions can say
  }
  describe(out, std::string(t.name), t.description);
  return out;
}

void Definitions::name_kind(std::string_view definition, GroupVersionKind kind) { kinds_[std::string(definition)].insert(std::move(kind)); }

// What every resource has beside what its definition says.
void Definitions::add_resource_fields(Document& schema) {
  auto& properties = object_at(schema, "properties");
  for (const char* name : {"apiVersion", "kind"}) properties[name] = {{"type", "string"}, {"description", about_resource_field(name)}};
  Document meta = reference(types_.object_meta);
  if (version_ == Version::V3 && meta.contains("$ref")) meta = {{"allOf", Document::array({std::move(meta)})}};
  meta["description"] = about_resource_field("metadata");
  properties["metadata"] = std::move(meta);
}

void Definitions::add_embedded(Document& schema, int depth) {
  if (!schema.is_object() || depth > 100) return;
  if (auto p = schema.find("properties"); p != schema.end() && p->is_object())
    for (auto& v : *p) add_embedded(v, depth + 1);
  for (const char* name : {"items", "additionalProperties"})
    if (auto i = schema.find(name); i != schema.end()) add_embedded(*i, depth + 1);
  // In v2 named properties would make kubectl refuse all others.
  if (version_ == Version::V2 && bool_at(schema, "x-kubernetes-preserve-unknown-fields")) return;
  if (!bool_at(schema, "x-kubernetes-embedded-resource")) return;
  add_resource_fields(schema);
  auto& required = array_at(schema, "required");
  for (const char* name : {"kind", "apiVersion"})
    if (std::find(required.begin(), required.end(), name) == required.end()) required.push_back(name);
}

Document Definitions::custom_schema(const OpenApiResource& r) {
  if (!r.schema || !r.schema->is_object()) return any_object();
  Document out = any_object();
  if (version_ == Version::V3 || !bool_at(*r.schema, "x-kubernetes-preserve-unknown-fields")) {
    out = version_ == Version::V2 ? as_v2(*r.schema, 0) : *r.schema;
    add_embedded(out, 0);
    add_resource_fields(out);
  }
  if (const Document* fields = find_member(*r.schema, "x-kubernetes-selectable-fields")) out["x-kubernetes-selectable-fields"] = *fields;
  return out;
}

Document Definitions::body(const OpenApiResource& r) {
  GroupVersionKind kind{r.kind_version.empty() ? r.group : r.kind_group, r.kind_version.empty() ? r.version : r.kind_version, r.kind};
  if (r.type) {
    name_kind(r.type->name, std::move(kind));
    return reference(r.type);
  }
  auto name = openapi_custom_name(kind.group, kind.version, kind.kind);
  if (known_.insert(name).second) define(name, custom_schema(r));
  name_kind(name, std::move(kind));
  return ref(name);
}

Document Definitions::list_schema(const OpenApiResource&, Document items) {
  Document meta = reference(types_.list_meta);
  if (version_ == Version::V3 && meta.contains("$ref")) meta = {{"allOf", Document::array({std::move(meta)})}};
  return {{"type", "object"},
          {"required", {"items"}},
          {"properties",
           {{"apiVersion", {{"type", "string"}}},
            {"kind", {{"type", "string"}}},
            {"metadata", std::move(meta)},
            {"items", {{"type", "array"}, {"items", std::move(items)}}}}}};
}

Document Definitions::list(const OpenApiResource& r) {
  GroupVersionKind kind{r.group, r.version, r.kind + "List"};
  if (r.list_type) {
    name_kind(r.list_type->name, std::move(kind));
    return reference(r.list_type);
  }
  auto name = r.type ? std::string(r.type->name) + "List" : openapi_custom_name(kind.group, kind.version, kind.kind);
  if (known_.insert(name).second) define(name, list_schema(r, body(r)));
  name_kind(name, std::move(kind));
  return ref(name);
}

void Definitions::write(std::string& out) {
  while (!pending_.empty()) {
    const auto* type = pending_.back();
    pending_.pop_back();
    define(std::string(type->name), type_schema(*type));
  }
  bool first = true;
  for (const auto& [name, json] : written_) {
    out += first ? "\"" : ",\"";
    first = false;
    out.append(name).append("\":");
    auto it = kinds_.find(name);
    if (it == kinds_.end()) {
      out += json;
      continue;
    }
    Document list = Document::array();
    for (const auto& k : it->second) list.push_back({{"group", k.group}, {"version", k.version}, {"kind", k.kind}});
    out.append(json, 0, json.size() - 1);
    out.append(json.size() > 2 ? "," : "").append("\"x-kubernetes-group-version-kind\":").append(dump(list)).append("}");
  }
}

}  // namespace onebin::apimachinery::openapi
