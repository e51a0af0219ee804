// What a CustomResourceDefinition's schema must be: structural, and within what the API server supports.
// Source: Kubernetes "Specifying a structural schema"; texts as k8s.io/apiextensions-apiserver's validation has them.
#include "apiserver/crd/custom_rules.hpp"
#include "apiserver/crd/definition_strategy.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/custom_schema.hpp>
#include <onebin/apimachinery/prune.hpp>
#include <onebin/apimachinery/value_schema.hpp>
#include <onebin/base/bytes.hpp>

#include <re2/re2.h>

#include <algorithm>
#include <set>

namespace onebin::apiserver {
namespace {

using apimachinery::bool_at;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::string_at;

enum class Level : unsigned char { Root, Item, Field };
constexpr int kDeepest = 100;

bool filled(const Document& s, const char* name) {
  const Document* v = find_member(s, name);
  return v && !v->is_null() && !(v->is_structured() && v->empty()) && !(v->is_string() && v->get_ref<const std::string&>().empty());
}
bool is_meta(std::string_view name) { return name == "metadata" || name == "kind" || name == "apiVersion"; }

// ---- structural: every value validation applies to a value whose place and type are known

class Structure {
 public:
  explicit Structure(FieldErrors& errors) : errors_(errors) {}

  void invariants(const Document& s, Level level, const FieldPath& path, int depth) {
    if (!s.is_object() || depth > kDeepest) return;
    std::string_view type = string_at(s, "type");
    bool embedded = bool_at(s, "x-kubernetes-embedded-resource"), preserve = bool_at(s, "x-kubernetes-preserve-unknown-fields");
    bool either = bool_at(s, "x-kubernetes-int-or-string"), metadata = level == Level::Root || embedded;
    if (type == "array" && !member(s, "items").is_object()) required(path.child("items"), "must be specified");
    invariants(member(s, "items"), Level::Item, path.child("items"), depth + 1);
    const Document& properties = member(s, "properties");
    if (properties.is_object())
      for (const auto& [name, p] : properties.items()) invariants(p, Level::Field, path.child("properties").key(name), depth + 1);
    if (const Document* others = find_member(s, "additionalProperties")) {
      if (level == Level::Root) forbidden(path.child("additionalProperties"), "must not be used at the root");
      if (embedded) forbidden(path.child("additionalProperties"), "must not be used if x-kubernetes-embedded-resource is set");
      invariants(*others, Level::Field, path.child("additionalProperties"), depth + 1);
    }
    if (either && preserve) invalid(path.child("x-kubernetes-preserve-unknown-fields"), true, "must be false if x-kubernetes-int-or-string is true");
    if (either && embedded) invalid(path.child("x-kubernetes-embedded-resource"), true, "must be false if x-kubernetes-int-or-string is true");
    const Document& all = member(s, "allOf");
    bool any_pattern = int_or_string(member(s, "anyOf"));
    bool all_pattern = all.is_array() && !all.empty() && int_or_string(member(all[0], "anyOf"));
    values(s, any_pattern, all_pattern, level, path, depth);
    if (embedded && type != "object") {
      if (type.empty()) required(path.child("type"), "must be object if x-kubernetes-embedded-resource is true");
      else invalid(path.child("type"), type, "must be object if x-kubernetes-embedded-resource is true");
    } else if (type.empty() && !either && !preserve) {
      required(path.child("type"), level == Level::Root   ? "must not be empty at the root"
                                   : level == Level::Item ? "must not be empty for specified array items"
                                                          : "must not be empty for specified object fields");
    }
    if (level == Level::Root && !type.empty() && type != "object") invalid(path.child("type"), type, "must be object at the root");
    for (const char* name : {"kind", "apiVersion"})
      if (const Document* p = find_member(properties, name); p && metadata && string_at(*p, "type") != "string")
        invalid(path.child("properties").key(name).child("type"), string_at(*p, "type"), "must be string");
    if (const Document* p = find_member(properties, "metadata")) object_meta(*p, metadata, level, path.child("properties").key("metadata"));
    if (embedded && !preserve && !filled(s, "properties"))
      required(path.child("properties"), "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields");
  }

  // What a validation speaks of must have its place in the structure. `s` is null where there is none.
  void completeness(const Document& v, const Document* s, const FieldPath& at, const FieldPath& path, int depth) {
    if (depth > kDeepest) return;
    auto each = [&](const char* name) {
      const Document& list = member(v, name);
      if (!list.is_array()) return;
      for (std::size_t i = 0; i < list.size(); ++i) nested_completeness(list[i], s, at, path.child(name).index(i), depth + 1);
    };
    nested_completeness(member(v, "not"), s, at, path.child("not"), depth + 1);
    each("allOf");
    each("anyOf");
    each("oneOf");
  }

 private:
  static bool int_or_string(const Document& any) {
    return any.is_array() && any.size() == 2 && any[0] == Document{{"type", "integer"}} && any[1] == Document{{"type", "string"}};
  }

  void object_meta(const Document& s, bool checked, Level level, const FieldPath& path) {
    if (checked && string_at(s, "type") != "object") invalid(path.child("type"), string_at(s, "type"), "must be object");
    if (level != Level::Root) return;
    // Name and generateName may be restricted, nothing else.
    bool good = true;
    for (const auto& [name, v] : s.items()) {
      if (name == "type" || name == "default") continue;
      if (name == "description") continue;
      if (name != "properties") good = false;
      else if (v.is_object())
        for (const auto& [p, ignored] : v.items()) good = good && (p == "name" || p == "generateName");
    }
    if (!good) forbidden(path, "must not specify anything other than name and generateName, but metadata is implicitly specified");
  }

  void values(const Document& v, bool skip_any, bool skip_first_all, Level level, const FieldPath& path, int depth) {
    auto each = [&](const char* name, bool skip_first) {
      const Document& list = member(v, name);
      if (!list.is_array()) return;
      for (std::size_t i = 0; i < list.size(); ++i) nested(list[i], skip_first && i == 0, level, path.child(name).index(i), depth + 1);
    };
    if (!skip_any) each("anyOf", false);
    each("allOf", skip_first_all);
    each("oneOf", false);
    nested(member(v, "not"), false, level, path.child("not"), depth + 1);
    if (auto pattern = string_at(v, "pattern"); !pattern.empty()) {
      RE2 re{std::string(pattern), RE2::Quiet};
      if (!re.ok()) invalid(path.child("pattern"), pattern, "must be a valid regular expression, but isn't: error parsing regexp: " + re.error());
    }
  }

  // A schema below allOf and the like: only values, nothing that makes structure.
  void nested(const Document& v, bool skip_any, Level level, const FieldPath& path, int depth) {
    if (!v.is_object() || depth > kDeepest) return;
    values(v, skip_any, false, level, path, depth);
    nested(member(v, "items"), false, level, path.child("items"), depth + 1);
    const Document& properties = member(v, "properties");
    if (properties.is_object())
      for (const auto& [name, p] : properties.items()) nested(p, false, Level::Field, path.child("properties").key(name), depth + 1);
    struct Forbidden {
      const char *name, *must_be;
    };
    static constexpr Forbidden kForbidden[] = {{"type", "empty"}, {"additionalProperties", "undefined"}, {"default", "undefined"}, {"title", "empty"},
                                               {"description", "empty"}, {"nullable", "false"}, {"x-kubernetes-preserve-unknown-fields", "false"},
                                               {"x-kubernetes-embedded-resource", "false"}, {"x-kubernetes-int-or-string", "false"},
                                               {"x-kubernetes-list-map-keys", "empty"}, {"x-kubernetes-list-type", "undefined"},
                                               {"x-kubernetes-map-type", "undefined"}, {"x-kubernetes-validations", "empty"}};
    for (const auto& f : kForbidden) {
      const Document* m = find_member(v, f.name);
      if (!m || m->is_null() || (m->is_boolean() && !m->get<bool>() && std::string_view(f.must_be) == "false") ||
          (std::string_view(f.must_be) == "empty" && !filled(v, f.name)))
        continue;
      forbidden(path.child(f.name), std::string("must be ") + f.must_be + " to be structural");
    }
    if (find_member(properties, "metadata")) forbidden(path.child("properties").key("metadata"), "must not be specified in a nested context");
  }

  void nested_completeness(const Document& v, const Document* s, const FieldPath& at, const FieldPath& path, int depth) {
    if (!v.is_object() || depth > kDeepest) return;
    if (!s) return required(at, "because it is defined in " + path.to_string());
    completeness(v, s, at, path, depth);
    auto place = [&](const char* name) {
      const Document* p = find_member(*s, name);
      return p && p->is_object() ? p : nullptr;
    };
    if (member(v, "items").is_object()) nested_completeness(v["items"], place("items"), at.child("items"), path.child("items"), depth + 1);
    const Document& properties = member(v, "properties");
    if (!properties.is_object()) return;
    const Document* known = place("properties");
    for (const auto& [name, p] : properties.items())
      nested_completeness(p, known ? find_member(*known, name) : nullptr, at.child("properties").key(name), path.child("properties").key(name), depth + 1);
  }

  void required(const FieldPath& p, std::string why) { errors_.push_back(field_required(p, std::move(why))); }
  void forbidden(const FieldPath& p, std::string why) { errors_.push_back(field_forbidden(p, std::move(why))); }
  void invalid(const FieldPath& p, Document v, std::string why) { errors_.push_back(field_invalid(p, std::move(v), std::move(why))); }

  FieldErrors& errors_;
};

// ---- defaults: valid by their own schema, and nothing in them that would be pruned

// What a default of x-kubernetes-int-or-string is, upstream does not look at.
Document without_either(Document s) {
  if (s.is_object()) s.erase("x-kubernetes-int-or-string");
  if (s.is_structured())
    for (auto& v : s) v = without_either(std::move(v));
  return s;
}

void check_defaults(const Document& s, const FieldPath& path, bool in_meta, FieldErrors& errors, int depth) {
  if (!s.is_object() || depth > kDeepest) return;
  bool embedded = bool_at(s, "x-kubernetes-embedded-resource");
  if (embedded) in_meta = false;
  if (const Document* d = find_member(s, "default"); d && !d->is_null()) {
    FieldPath at = path.child("default");
    static const apimachinery::TypeSchema* meta = api::find_type("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    apimachinery::SchemaArena arena;
    // The value as the only member of an object, so that lists and scalars have a place to be pruned in.
    Document around = {{"type", "object"}, {"properties", {{"v", s}}}}, object = {{"v", *d}};
    apimachinery::prune(*apimachinery::make_custom_type(arena, "default", &around, *meta), object);
    if (!in_meta && object["v"] != *d) errors.push_back(field_invalid(at, *d, "must not have unknown fields"));
    apimachinery::ValueSchema values(without_either(s));
    FieldErrors found = values.validate_embedded(*d);
    apimachinery::append(found, values.validate(*d));
    for (auto& e : found) {
      e.field = e.field.empty() || e.field == "<nil>" ? at.text() : at.child(e.field).text();
      errors.push_back(std::move(e));
    }
  }
  check_defaults(member(s, "items"), path.child("items"), in_meta, errors, depth + 1);
  check_defaults(member(s, "additionalProperties"), path.child("additionalProperties"), in_meta, errors, depth + 1);
  const Document& properties = member(s, "properties");
  if (properties.is_object())
    for (const auto& [name, p] : properties.items())
      check_defaults(p, path.child("properties").key(name), in_meta || ((embedded || depth == 0) && is_meta(name)), errors, depth + 1);
}

// ---- what is supported

struct Context {
  bool defaults = true, in_meta = false;
  std::string why_no_defaults;
};

class Supported {
 public:
  explicit Supported(FieldErrors& errors) : errors_(errors) {}

  void check(const Document& s, const FieldPath& path, const Context& c, bool root, int depth) {
    if (!s.is_object() || depth > kDeepest) return;
    standard(s, path, c);
    if (bool_at(s, "uniqueItems")) forbidden(path.child("uniqueItems"), "uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
    children(s, path, c, root, depth);
    extensions(s, path);
    list_map(s, path);
    rules(s, path);
  }

 private:
  void standard(const Document& s, const FieldPath& path, const Context& c) {
    static const std::vector<std::string> kTypes = {"array", "boolean", "integer", "number", "object", "string"};
    std::string type(string_at(s, "type"));
    if (!type.empty() && std::find(kTypes.begin(), kTypes.end(), type) == kTypes.end()) errors_.push_back(field_not_supported(path.child("type"), type, kTypes));
    if (filled_or_false(s, "default") && !c.defaults) forbidden(path.child("default"), "must not be set" + (c.why_no_defaults.empty() ? "" : " " + c.why_no_defaults));
    for (const char* name : {"id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"})
      if (filled_or_false(s, name)) forbidden(path.child(name), std::string(name) + " is not supported");
    if (type == "null") forbidden(path.child("type"), "type cannot be set to null, use nullable as an alternative");
    if (member(s, "items").is_array() && !member(s, "items").empty()) forbidden(path.child("items"), "items must be a schema object and not an array");
    if (c.in_meta && bool_at(s, "x-kubernetes-embedded-resource")) forbidden(path.child("x-kubernetes-embedded-resource"), "must not be used inside of resource meta");
  }
  static bool filled_or_false(const Document& s, const char* name) {
    const Document* v = find_member(s, name);
    return v && !v->is_null() && (filled(s, name) || v->is_boolean() || std::string_view(name) == "default" || std::string_view(name) == "dependencies" || std::string_view(name) == "$ref");
  }

  void children(const Document& s, const FieldPath& path, const Context& c, bool root, int depth) {
    const Document& properties = member(s, "properties");
    if (const Document* others = find_member(s, "additionalProperties")) {
      bool open = others->is_boolean() && others->get<bool>();
      if (properties.is_object() && !properties.empty() && !open) forbidden(path.child("additionalProperties"), "additionalProperties and properties are mutual exclusive");
      Context inner = c;
      if (c.in_meta) {
        inner.defaults = false;
        inner.why_no_defaults = "inside additionalProperties applying to object metadata";
      }
      check(*others, path.child("additionalProperties"), inner, false, depth + 1);
    }
    if (properties.is_object()) {
      for (const auto& [name, p] : properties.items()) {
        Context inner = c;
        if ((root || bool_at(s, "x-kubernetes-embedded-resource")) && is_meta(name)) {
          inner.in_meta = true;
          if (root) {
            inner.defaults = false;
            inner.why_no_defaults = "in top-level " + name;
          }
        }
        check(p, path.child("properties").key(name), inner, false, depth + 1);
      }
    }
    check(member(s, "not"), path.child("not"), c, false, depth + 1);
    for (const char* name : {"allOf", "oneOf", "anyOf"}) {
      const Document& list = member(s, name);
      if (list.is_array())
        for (std::size_t i = 0; i < list.size(); ++i) check(list[i], path.child(name).index(i), c, false, depth + 1);
    }
    const Document& items = member(s, "items");
    if (items.is_array())
      for (std::size_t i = 0; i < items.size(); ++i) check(items[i], path.child("items").index(i), c, false, depth + 1);
    else check(items, path.child("items"), c, false, depth + 1);
  }

  void of_type(const Document& s, const FieldPath& path, const char* extension, const char* type) {
    if (!find_member(s, extension) || string_at(s, "type") == type) return;
    std::string why = std::string("must be ") + type + " if " + extension + " is specified";
    if (string_at(s, "type").empty()) errors_.push_back(field_required(path.child("type"), why));
    else errors_.push_back(field_invalid(path.child("type"), string_at(s, "type"), why));
  }

  void extensions(const Document& s, const FieldPath& path) {
    const Document* preserve = find_member(s, "x-kubernetes-preserve-unknown-fields");
    if (preserve && preserve->is_boolean() && !preserve->get<bool>())
      errors_.push_back(field_invalid(path.child("x-kubernetes-preserve-unknown-fields"), false, "must be true or undefined"));
    of_type(s, path, "x-kubernetes-map-type", "object");
    std::string map(string_at(s, "x-kubernetes-map-type")), list(string_at(s, "x-kubernetes-list-type"));
    if (find_member(s, "x-kubernetes-map-type") && map != "atomic" && map != "granular")
      errors_.push_back(field_not_supported(path.child("x-kubernetes-map-type"), map, {"atomic", "granular"}));
    of_type(s, path, "x-kubernetes-list-type", "array");
    if (list == "set" && string_at(s, "type") == "array") {
      const Document& items = member(s, "items");
      std::string_view type = string_at(items, "type"), inner = string_at(items, "x-kubernetes-list-type");
      if (type == "array" && !inner.empty() && inner != "atomic")
        errors_.push_back(field_invalid(path.child("items").child("x-kubernetes-list-type"), inner, "must be atomic as item of a list with x-kubernetes-list-type=set"));
      if (type == "object" && string_at(items, "x-kubernetes-map-type") != "atomic")
        errors_.push_back(field_invalid(path.child("items").child("x-kubernetes-map-type"), nullptr, "must be atomic as item of a list with x-kubernetes-list-type=set"));
    }
    if (find_member(s, "x-kubernetes-list-type") && list != "atomic" && list != "set" && list != "map")
      errors_.push_back(field_not_supported(path.child("x-kubernetes-list-type"), list, {"atomic", "set", "map"}));
    if (filled(s, "x-kubernetes-list-map-keys") && list != "map") {
      FieldPath at = path.child("x-kubernetes-list-type");
      if (list.empty()) errors_.push_back(field_required(at, "must be map if x-kubernetes-list-map-keys is non-empty"));
      else errors_.push_back(field_invalid(at, list, "must be map if x-kubernetes-list-map-keys is non-empty"));
    }
  }

  void list_map(const Document& s, const FieldPath& path) {
    std::string list(string_at(s, "x-kubernetes-list-type"));
    if (list != "map" && list != "set") return;
    const Document& items = member(s, "items");
    if (items.is_object() && bool_at(items, "nullable"))
      forbidden(path.child("items").child("nullable"), "cannot be nullable when x-kubernetes-list-type is " + list);
    if (list != "map") return;
    const Document& keys = member(s, "x-kubernetes-list-map-keys");
    FieldPath at = path.child("x-kubernetes-list-map-keys");
    if (!filled(s, "x-kubernetes-list-map-keys")) errors_.push_back(field_required(at, "must not be empty if x-kubernetes-list-type is map"));
    if (!find_member(s, "items")) errors_.push_back(field_required(path.child("items"), "must have a schema if x-kubernetes-list-type is map"));
    if (!items.is_object() || !keys.is_array()) return;
    if (string_at(items, "type") != "object") {
      errors_.push_back(field_invalid(path.child("items").child("type"), string_at(items, "type"), "must be object if parent array's x-kubernetes-list-type is map"));
      return;
    }
    std::set<std::string> seen;
    const Document& properties = member(items, "properties");
    const Document& required = member(items, "required");
    for (const auto& k : keys) {
      if (!k.is_string()) continue;
      std::string name = k.get<std::string>();
      FieldPath where = path.child("items").child("properties").key(name);
      if (!seen.insert(name).second) errors_.push_back(field_invalid(at, keys, "must not contain duplicate entries"));
      const Document* p = find_member(properties, name);
      if (!p) {
        errors_.push_back(field_invalid(at, keys, "entries must all be names of item properties"));
        continue;
      }
      std::string_view type = string_at(*p, "type");
      if (type == "array" || type == "object")
        errors_.push_back(field_invalid(where.child("type"), string_at(items, "type"), "must be a scalar type if parent array's x-kubernetes-list-type is map"));
      bool must = required.is_array() && std::find(required.begin(), required.end(), k) != required.end();
      if (!must && !find_member(*p, "default"))
        errors_.push_back(field_required(where.child("default"), "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"));
      if (bool_at(*p, "nullable")) forbidden(where.child("nullable"), "this property is in x-kubernetes-list-map-keys, so it cannot be nullable");
    }
  }

  // x-kubernetes-validations: their form.
  void rules(const Document& s, const FieldPath& path) {
    const Document& list = member(s, "x-kubernetes-validations");
    if (!list.is_array()) return;
    auto lines = [](std::string_view t) { return t.find('\n') != std::string_view::npos || t.find('\r') != std::string_view::npos; };
    for (std::size_t i = 0; i < list.size(); ++i) {
      FieldPath at = path.child("x-kubernetes-validations").index(i);
      std::string_view rule = trim(string_at(list[i], "rule")), raw = string_at(list[i], "message"), message = trim(raw);
      if (rule.empty()) errors_.push_back(field_required(at.child("rule"), "rule is not specified"));
      else if (!raw.empty() && message.empty()) errors_.push_back(field_invalid(at.child("message"), raw, "must be non-empty if specified"));
      else if (lines(message)) errors_.push_back(field_invalid(at.child("message"), raw, "must not contain line breaks"));
      else if (lines(rule) && message.empty()) errors_.push_back(field_required(at.child("message"), "message must be specified if rule contains line breaks"));
      std::string_view expression = string_at(list[i], "messageExpression");
      if (!expression.empty() && trim(expression).empty()) errors_.push_back(field_required(at.child("messageExpression"), "messageExpression must be non-empty if specified"));
      static const std::vector<std::string> kReasons = {"FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"};
      if (const Document* reason = find_member(list[i], "reason"); reason && std::find(kReasons.begin(), kReasons.end(), string_at(list[i], "reason")) == kReasons.end())
        errors_.push_back(field_not_supported(at.child("reason"), *reason, kReasons));
      std::string_view field = string_at(list[i], "fieldPath");
      if (!field.empty() && trim(field).empty()) errors_.push_back(field_invalid(at.child("fieldPath"), field, "must be non-empty if specified"));
      if (lines(field)) errors_.push_back(field_invalid(at.child("fieldPath"), field, "must not contain line breaks"));
      FieldPath found;
      if (!field.empty() && !rule_field_path(field, s, found)) errors_.push_back(field_invalid(at.child("fieldPath"), field, "must be a valid path"));
    }
  }

  void forbidden(const FieldPath& p, std::string why) { errors_.push_back(field_forbidden(p, std::move(why))); }

  FieldErrors& errors_;
};

void check_root(const Document& schema, bool status, const FieldPath& path, FieldErrors& errors) {
  if (status) {
    if (string_at(schema, "type") != "object")
      errors.push_back(field_invalid(FieldPath(path.text() + ".type"), string_at(schema, "type"), "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled"));
    static const std::set<std::string, std::less<>> kAllowed = {
        "description", "type", "format", "title", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength", "pattern", "maxItems", "minItems",
        "uniqueItems", "multipleOf", "required", "items", "properties", "externalDocs", "example", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations"};
    for (const auto& [name, v] : schema.items()) {
      if (kAllowed.count(name) || v.is_null() || (v.is_structured() && v.empty())) continue;
      errors.push_back(field_invalid(path, schema, "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems UniqueItems "
                                                   "MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the "
                                                   "status subresource is enabled"));
      break;
    }
  }
  if (bool_at(schema, "nullable")) errors.push_back(field_forbidden(FieldPath(path.text() + ".nullable"), "nullable cannot be true at the root"));
}

}  // namespace

void validate_custom_schema(const Document& schema, bool status, const FieldPath& path, FieldErrors& errors) {
  if (!schema.is_object()) return;
  check_root(schema, status, path, errors);
  FieldErrors structural;
  Structure structure(structural);
  structure.invariants(schema, Level::Root, path, 0);
  structure.completeness(schema, &schema, path, path, 0);
  std::sort(structural.begin(), structural.end(), [](const auto& a, const auto& b) { return a.to_string() < b.to_string(); });
  if (structural.empty()) check_defaults(schema, path, false, structural, 0);
  std::size_t before = errors.size();
  apimachinery::append(errors, std::move(structural));
  Supported(errors).check(schema, path, Context(), true, 0);
  if (errors.size() == before) validate_custom_rules(schema, path, errors);  // the types of a schema that is not sound are not known
}

}  // namespace onebin::apiserver
