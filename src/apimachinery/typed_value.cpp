#include "typed_value.hpp"

#include "go_text.hpp"

#include <onebin/apimachinery/field_error.hpp>

#include <algorithm>

namespace onebin::apimachinery::typed {
namespace {

using Form = Type::Form;

bool associative(const FieldSchema& f) {
  return f.list_type == ListType::Set || (f.list_type == ListType::Map && !f.rules->list_map_keys.empty());
}

Type message_type(const TypeSchema& t, Atomicity atomicity) {
  switch (t.shape) {
    case Shape::Object: {
      auto a = atomicity != Atomicity::Unset ? atomicity : t.atomicity;
      if (t.fields.empty() && t.preserve_unknown) return {Form::Deduced, a == Atomicity::Atomic, nullptr, nullptr};
      return {Form::Struct, a == Atomicity::Atomic, &t, nullptr};
    }
    case Shape::Array: return {Form::List, !associative(t.fields[0]), nullptr, &t.fields[0]};
    case Shape::Map: {
      auto a = atomicity != Atomicity::Unset ? atomicity : t.atomicity;
      return {Form::Map, a == Atomicity::Atomic, nullptr, &t.fields[0]};
    }
    default: return {Form::Atomic, true, nullptr, nullptr};
  }
}

// The type of one value of a field, its cardinality aside.
Type value_type(const FieldSchema& f, Atomicity atomicity) {
  switch (f.kind) {
    case FieldKind::Message: return message_type(*f.message, atomicity);
    case FieldKind::RawExtension: return {Form::Atomic, true, nullptr, nullptr};
    case FieldKind::FieldsV1: return {};
    case FieldKind::Json: return {Form::Atomic, true, nullptr, nullptr};
    default: return {Form::Scalar, false, nullptr, &f};
  }
}

// What Go's struct holds for a field that the object doesn't have. Null pointer: the field is left out.
const Document* implied(const FieldSchema& f) {
  static const Document kNull, kEmptyObject = Document::object(), kEmptyText = "", kZero = 0, kFalse = false, kZeroQuantity = "0", kZeroDuration = "0s";
  if (f.omitzero) return nullptr;
  if (f.cardinality == Cardinality::Single) {
    switch (f.kind) {
      // Go's omitempty does nothing for structs.
      case FieldKind::Message: return f.message->shape == Shape::Object ? &kEmptyObject : f.omitempty ? nullptr : &kNull;
      case FieldKind::Time: case FieldKind::MicroTime: case FieldKind::RawExtension: return &kNull;
      case FieldKind::Quantity: return &kZeroQuantity;
      case FieldKind::IntOrString: return &kZero;
      case FieldKind::Duration: return &kZeroDuration;
      default: break;
    }
  }
  if (f.omitempty) return nullptr;
  if (f.cardinality != Cardinality::Single) return &kNull;
  switch (f.kind) {
    case FieldKind::Bool: return &kFalse;
    case FieldKind::Int32: case FieldKind::Int64: case FieldKind::Double: return &kZero;
    case FieldKind::String: return &kEmptyText;
    default: return &kNull;
  }
}

bool is_zero(const FieldSchema& f, const Document& v) {
  if (f.is_list() || f.is_map()) return v.is_structured() && v.empty();
  if (f.cardinality != Cardinality::Single) return false;
  if (v.is_string()) return v.get_ref<const std::string&>().empty();
  if (v.is_boolean()) return !v.get<bool>();
  if (v.is_number()) return f.kind != FieldKind::IntOrString && v.get<double>() == 0;
  return v.is_object() && f.omitzero && v.empty();
}

Document structured_value(const FieldSchema& f, const Document& v, int depth) {
  if (!f.is_message()) return v;
  if (f.is_list() && v.is_array()) {
    Document out = Document::array();
    for (const auto& e : v) out.push_back(structured(*f.message, e, depth));
    return out;
  }
  if (f.is_map() && v.is_object()) {
    Document out = Document::object();
    for (const auto& [k, e] : v.items()) out[k] = structured(*f.message, e, depth);
    return out;
  }
  return structured(*f.message, v, depth);
}

void strip_value(const FieldSchema& f, Document& v) {
  if (!f.is_message() || !v.is_structured()) return;
  if (f.is_list() || f.is_map()) {
    for (auto& e : v) unstructured(*f.message, e);
  } else {
    unstructured(*f.message, v);
  }
}

}  // namespace

const Document* go_member(const FieldSchema& f, const Document* v) {
  if (!v || v->is_null() || ((f.omitempty || f.omitzero) && is_zero(f, *v))) return implied(f);
  return v;
}

Type root_type(const TypeSchema* type) {
  if (!type) return {};
  return message_type(*type, Atomicity::Unset);
}

Type field_type(const FieldSchema& f) {
  if (f.is_list()) return {Form::List, !associative(f), nullptr, &f};
  if (f.is_map()) return {Form::Map, f.atomicity == Atomicity::Atomic, nullptr, &f};
  return value_type(f, f.atomicity);
}

Type item_type(const Type& t) {
  if (t.form == Form::Atomic) return t;
  if (!t.field) return {};
  return value_type(*t.field, Atomicity::Unset);
}

std::optional<Type> member_type(const Type& object, std::string_view name, bool& declared) {
  declared = false;
  if (object.form != Form::Struct) return item_type(object);
  if (const auto* f = object.type->field(name)) {
    declared = true;
    return field_type(*f);
  }
  if (object.type->preserve_unknown) return Type{};
  return std::nullopt;
}

Atom atom_of(const Type& type, const Document* v) {
  switch (type.form) {
    case Form::Struct: case Form::Map: return Atom::Map;
    case Form::List: return Atom::List;
    case Form::Scalar: return Atom::Scalar;
    default: return !v || v->is_null() || v->is_object() ? Atom::Map : v->is_array() ? Atom::List : Atom::Scalar;
  }
}

bool is_atomic(const Type& type, Atom atom) {
  if (type.form == Form::Atomic) return true;
  if (type.form == Form::Deduced) return type.atomic || atom == Atom::List;
  return type.atomic;
}

std::optional<PathElement> item_element(const Type& list, const Document& item, std::string& error) {
  const FieldSchema* f = list.field;
  if (list.form != Form::List || !f || !associative(*f)) {
    error = "invalid indexing of non-associative list";
    return std::nullopt;
  }
  if (f->list_type == ListType::Set) {
    if (item.is_object()) error = "associative list without keys has an element that's a map type";
    else if (item.is_array()) error = "not supported: associative list with lists as elements";
    else if (item.is_null()) error = "associative list without keys has an element that's an explicit null";
    else return PathElement::value(item);
    return std::nullopt;
  }
  if (!item.is_object()) {
    error = item.is_null() ? "associative list with keys may not have a null element" : "associative list with keys may not have non-map elements";
    return std::nullopt;
  }
  if (f->rules->list_map_keys.size() == 1)
    if (const auto* v = find_member(item, f->rules->list_map_keys[0])) return PathElement::key(f->rules->list_map_keys[0], *v);
  Document keys = Document::object();
  for (auto name : f->rules->list_map_keys) {
    if (const auto* v = find_member(item, name)) {
      keys[std::string(name)] = *v;
    } else if (f->is_message()) {
      const auto* kf = f->message->field(name);
      if (!kf) continue;
      if (!kf->rules->default_json.empty()) {
        keys[std::string(name)] = Document::parse(kf->rules->default_json, nullptr, false);
      } else if (kf->proto_number != 0 && kf->cardinality == Cardinality::Single && !kf->omitempty) {
        // What Go's struct can't leave out has its zero value as default in the API's OpenAPI.
        if (const auto* zero = implied(*kf)) keys[std::string(name)] = *zero;
      }
    }
  }
  if (keys.empty()) {
    std::string names;
    for (auto name : f->rules->list_map_keys) names += (names.empty() ? "" : " ") + go_quote(name);
    error = "associative list with keys has an element that omits all key fields [" + names +
            "] (and doesn't have default values for any key fields)";
    return std::nullopt;
  }
  return PathElement::key(keys);
}

Document structured(const TypeSchema& type, const Document& object, int depth) {
  if (type.shape != Shape::Object || !object.is_object()) return object;
  Document out = Document::object();
  auto& members = out.get_ref<Document::object_t&>();
  for (auto i : type.by_name) {
    const FieldSchema& f = type.fields[i];
    if (depth == 1 && f.json_name == "managedFields") continue;  // the object's own are never part of what they record
    if (const Document* v = go_member(f, find_member(object, f.json_name)))
      members.emplace_hint(members.end(), f.json_name, structured_value(f, *v, depth + 1));
  }
  return out;
}

void unstructured(const TypeSchema& type, Document& object) {
  if (type.shape != Shape::Object || !object.is_object()) return;
  for (auto it = object.begin(); it != object.end();) {
    const FieldSchema* f = type.field(it.key());
    if (!f) {
      ++it;
      continue;
    }
    strip_value(*f, *it);
    bool struct_value = f->is_message() && f->cardinality == Cardinality::Single && f->message->shape == Shape::Object;
    bool only_implied = it->is_null() || (struct_value && it->is_object() && it->empty());
    if (!only_implied && f->cardinality == Cardinality::Single && !f->is_message()) {
      const Document* zero = implied(*f);
      only_implied = zero && equal(*zero, *it);
    }
    if (only_implied) it = object.erase(it);
    else ++it;
  }
}

bool equal(const Document& a, const Document& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_number_integer() && b.is_number_integer()) return a == b;
    return a.get<double>() == b.get<double>();
  }
  if (a.type() != b.type()) return false;
  if (a.is_object()) {
    if (a.size() != b.size()) return false;
    for (auto i = a.begin(), k = b.begin(); i != a.end(); ++i, ++k)
      if (i.key() != k.key() || !equal(*i, *k)) return false;
    return true;
  }
  if (a.is_array()) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
      if (!equal(a[i], b[i])) return false;
    return true;
  }
  return a == b;
}

namespace {

// Go's %T and %v of a value as structured-merge-diff prints them.
std::string go_type(const Document& v) {
  if (v.is_null()) return "<nil>";
  if (v.is_string()) return "string";
  if (v.is_boolean()) return "bool";
  if (v.is_number_float()) return "float64";
  if (v.is_number()) return "int64";
  return v.is_array() ? "[]interface {}" : "map[string]interface {}";
}
std::string go_struct(const Document& v) { return "&{" + go_value(v) + "}"; }
std::string go_syntax(const Document& v) {
  std::string inner;
  if (v.is_string()) inner = go_quote(v.get_ref<const std::string&>());
  else if (v.is_structured()) inner = go_type(v) + "{" + (v.empty() ? "" : "…") + "}";
  else inner = go_value(v);
  return "&value.valueUnstructured{Value:" + inner + "}";
}

class Validator {
 public:
  explicit Validator(bool allow_duplicates) : allow_duplicates_(allow_duplicates) {}

  void walk(const Type& t, const Document& v, const std::string& path, int depth = 0) {
    if (depth > 200) return add(path, "nested too deeply");
    switch (atom_of(t, &v)) {
      case Atom::Map: return map(t, v, path, depth);
      case Atom::List: return list(t, v, path, depth);
      case Atom::Scalar: return scalar(t, v, path);
    }
  }

  std::string text() const {
    if (errors_.empty()) return {};
    if (errors_.size() == 1) return errors_[0];
    std::string out = "errors:";
    for (const auto& e : errors_) out += "\n  " + e;
    return out;
  }

 private:
  void map(const Type& t, const Document& v, const std::string& path, int depth) {
    if (v.is_null()) return;
    if (!v.is_object()) return add(path, "expected map, got " + go_struct(v));
    for (const auto& [k, e] : v.items()) {
      bool declared = false;
      auto mt = member_type(t, k, declared);
      std::string at = path + "." + k;
      if (!mt) return add(at, "field not declared in schema");
      walk(*mt, e, at, depth + 1);
    }
  }

  void list(const Type& t, const Document& v, const std::string& path, int depth) {
    if (v.is_null()) return;
    if (!v.is_array()) return add(path, "expected list, got " + go_struct(v));
    std::vector<PathElement> seen;
    bool keyed = !is_atomic(t, Atom::List);
    for (std::size_t i = 0; i < v.size(); ++i) {
      PathElement e = PathElement::index(i);
      if (keyed) {
        std::string error;
        auto found = item_element(t, v[i], error);
        if (!found) return add(path, "element " + std::to_string(i) + ": " + error);
        e = *found;
        if (std::find(seen.begin(), seen.end(), e) != seen.end()) {
          if (!allow_duplicates_) add(path, "duplicate entries for key " + e.to_string());
        } else {
          seen.push_back(e);
        }
      }
      walk(item_type(t), v[i], path + e.to_string(), depth + 1);
    }
  }

  void scalar(const Type& t, const Document& v, const std::string& path) {
    if (v.is_null() || t.form != Type::Form::Scalar) return;
    switch (t.field->kind) {
      case FieldKind::Int32: case FieldKind::Int64: case FieldKind::Double:
        if (!v.is_number()) add(path, "expected numeric (int or float), got " + go_type(v));
        break;
      case FieldKind::String: case FieldKind::Bytes:
        if (!v.is_string()) add(path, "expected string, got " + go_syntax(v));
        break;
      case FieldKind::Bool:
        if (!v.is_boolean()) add(path, "expected boolean, got " + go_struct(v));
        break;
      default:
        if (v.is_structured()) add(path, "expected any scalar, got " + go_struct(v));
    }
  }

  void add(const std::string& path, std::string message) { errors_.push_back(path.empty() ? message : path + ": " + message); }

  bool allow_duplicates_;
  std::vector<std::string> errors_;
};

}  // namespace

std::string validate(const Type& type, const Document& value, bool allow_duplicates) {
  Validator v(allow_duplicates);
  v.walk(type, value, "");
  return v.text();
}

}  // namespace onebin::apimachinery::typed
