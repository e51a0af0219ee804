#include <onebin/apimachinery/custom_schema.hpp>

#include <onebin/apimachinery/defaulting.hpp>
#include <onebin/apimachinery/prune.hpp>

namespace onebin::apimachinery {
namespace {

constexpr char kCustom = 0;  // what TypeSchema::extension of these types points to

class Builder {
 public:
  Builder(SchemaArena& arena, std::string_view name, const TypeSchema& meta) : arena_(arena), name_(name), meta_(meta) {}

  const TypeSchema* object(const Document& schema, bool embedded, bool preserve) {
    TypeSchema* type = declare();
    type->preserve_unknown = preserve || bool_at(schema, "x-kubernetes-preserve-unknown-fields");
    type->embedded_resource = bool_at(schema, "x-kubernetes-embedded-resource");
    type->atomicity = atomicity(schema);
    embedded = embedded || type->embedded_resource;
    std::vector<FieldSchema> fields;
    const Document& properties = member(schema, "properties");
    const Document& required = member(schema, "required");
    if (properties.is_object()) {
      for (const auto& [name, s] : properties.items()) {
        if (embedded && (name == "metadata" || name == "kind" || name == "apiVersion")) continue;
        FieldSchema f = field(name, s);
        if (required.is_array())
          for (const auto& r : required) f.required = f.required || r == name;
        fields.push_back(f);
      }
      // Members beside the named ones, of any form.
      if (member(schema, "additionalProperties").is_boolean()) type->preserve_unknown = type->preserve_unknown || bool_at(schema, "additionalProperties");
    }
    if (embedded) {
      for (const char* name : {"apiVersion", "kind"}) {
        FieldSchema f;
        f.json_name = name;
        fields.push_back(f);
      }
      FieldSchema f;
      f.json_name = "metadata";
      f.kind = FieldKind::Message;
      f.message = &meta_;
      fields.push_back(f);
    }
    arena_.define(type, std::move(fields));
    type->has_object_meta = embedded;
    return type;
  }

  // Any value at all.
  const TypeSchema* any() {
    if (!any_) {
      TypeSchema* type = declare();
      type->preserve_unknown = true;
      arena_.define(type, {});
      any_ = type;
    }
    return any_;
  }

 private:
  TypeSchema* declare() {
    TypeSchema* type = arena_.declare(name_);
    type->extension = &kCustom;
    return type;
  }

  static Atomicity atomicity(const Document& schema) {
    std::string_view t = string_at(schema, "x-kubernetes-map-type");
    return t == "atomic" ? Atomicity::Atomic : t == "granular" ? Atomicity::Granular : Atomicity::Unset;
  }

  FieldSchema field(std::string_view name, const Document& schema) {
    FieldSchema f;
    f.json_name = arena_.keep(name);
    FieldRules rules;
    describe(f, rules, schema, false);
    if (const Document* d = find_member(schema, "default"); d && !d->is_null()) rules.default_json = arena_.keep(d->dump(-1, ' ', false, Document::error_handler_t::replace));
    f.nullable = bool_at(schema, "nullable");
    if (!rules.default_json.empty() || !rules.list_map_keys.empty()) f.rules = arena_.keep(std::move(rules));
    return f;
  }

  void message(FieldSchema& f, const TypeSchema* type) {
    f.kind = FieldKind::Message;
    f.message = type;
  }

  // Kind, cardinality and list keys, from the schema of a value. `preserve`: unknown members are kept because the list
  // around says so.
  void describe(FieldSchema& f, FieldRules& rules, const Document& schema, bool preserve) {
    std::string_view type = string_at(schema, "type");
    if (bool_at(schema, "x-kubernetes-int-or-string")) {
      f.kind = FieldKind::IntOrString;
    } else if (type == "string") {
      f.kind = FieldKind::String;
    } else if (type == "integer") {
      f.kind = FieldKind::Int64;
    } else if (type == "number") {
      f.kind = FieldKind::Double;
    } else if (type == "boolean") {
      f.kind = FieldKind::Bool;
    } else if (type == "array") {
      std::string_view list = string_at(schema, "x-kubernetes-list-type");
      f.list_type = list == "map" ? ListType::Map : list == "set" ? ListType::Set : list == "atomic" ? ListType::Atomic : ListType::Unset;
      const Document& keys = member(schema, "x-kubernetes-list-map-keys");
      if (keys.is_array() && !keys.empty()) {
        std::vector<std::string> names;
        for (const auto& k : keys)
          if (k.is_string()) names.push_back(k.get<std::string>());
        rules.list_map_keys = arena_.keep(names);
      }
      items(f, member(schema, "items"), Cardinality::List, preserve || bool_at(schema, "x-kubernetes-preserve-unknown-fields"));
    } else if (type == "object" && find_member(schema, "additionalProperties") && !find_member(schema, "properties")) {
      const Document& values = member(schema, "additionalProperties");
      f.atomicity = atomicity(schema);
      if (values.is_boolean() && !values.get<bool>()) message(f, object(schema, false, preserve));
      else items(f, values, Cardinality::Map, false);
    } else if (type == "object") {
      message(f, object(schema, false, preserve));
      f.atomicity = f.message->atomicity;
    } else {
      message(f, any());
    }
  }

  // The element of a list or map. One that is itself a list or map is a type of its own.
  void items(FieldSchema& f, const Document& schema, Cardinality cardinality, bool preserve) {
    f.cardinality = cardinality;
    if (!schema.is_object()) return message(f, any());
    FieldSchema element;
    FieldRules rules;
    describe(element, rules, schema, preserve);
    element.nullable = bool_at(schema, "nullable");
    if (element.cardinality == Cardinality::Single) {
      f.kind = element.kind;
      f.message = element.message;
      return;
    }
    TypeSchema* type = declare();
    type->shape = element.cardinality == Cardinality::List ? Shape::Array : Shape::Map;
    type->atomicity = element.atomicity;
    element.cardinality = Cardinality::Single;
    element.rules = arena_.keep(std::move(rules));
    arena_.define(type, {element});
    message(f, type);
  }

  SchemaArena& arena_;
  std::string name_;
  const TypeSchema& meta_;
  const TypeSchema* any_ = nullptr;
};

}  // namespace

const TypeSchema* make_custom_type(SchemaArena& arena, std::string_view name, const Document* schema, const TypeSchema& object_meta) {
  static const Document kOpen = {{"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}};
  return Builder(arena, name, object_meta).object(schema && schema->is_object() ? *schema : kOpen, true, false);
}

void default_custom(const TypeSchema& type, Document& object) {
  drop_nulls(type, object);
  apply_defaults(type, object);
}

bool has_defaults(const Document& schema) {
  if (!schema.is_object()) return false;
  if (find_member(schema, "default")) return true;
  const Document& properties = member(schema, "properties");
  if (properties.is_object())
    for (const auto& p : properties)
      if (has_defaults(p)) return true;
  return has_defaults(member(schema, "items")) || has_defaults(member(schema, "additionalProperties"));
}

}  // namespace onebin::apimachinery
