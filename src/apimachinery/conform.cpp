// Values made what the schema says they are, in their canonical forms.
#include "conform.hpp"

#include <onebin/apimachinery/custom_schema.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/apimachinery/strategic_merge_patch.hpp>
#include <onebin/apimachinery/values.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/time.hpp>

#include <limits>
#include <utility>
#include <vector>

#include "go_number.hpp"

namespace onebin::apimachinery {
namespace {

std::string value_text(const Document& v) {
  if (v.is_object()) return "object";
  if (v.is_array()) return "array";
  if (v.is_string()) return "string";
  if (v.is_boolean()) return "bool";
  return "number";
}

// As Go's reflection names what JSON holds.
std::string go_kind(const Document& v) {
  if (v.is_object()) return "map";
  if (v.is_array()) return "slice";
  if (v.is_number()) return v.is_number_float() ? "float64" : "int64";
  return value_text(v);
}

std::string number_text(const Document& v) { return v.is_number_float() ? go_number(v.get<double>()) : v.dump(); }

// "v1.PodSpec" of "io.k8s.api.core.v1.PodSpec".
std::string go_type(const TypeSchema& type) {
  std::string_view name = type.name;
  std::size_t last = name.rfind('.');
  std::size_t before = last == std::string_view::npos ? last : name.rfind('.', last - 1);
  return std::string(before == std::string_view::npos ? name : name.substr(before + 1));
}

std::string go_type(const FieldSchema& f, bool element) {
  std::string of;
  switch (f.kind) {
    case FieldKind::Bool: of = "bool"; break;
    case FieldKind::Int32:
    case FieldKind::IntOrString: of = "int32"; break;
    case FieldKind::Int64: of = "int64"; break;
    case FieldKind::Double: of = "float64"; break;
    case FieldKind::Bytes: of = "[]uint8"; break;
    case FieldKind::Quantity:
      if (f.is_map() && !element) return "v1.ResourceList";
      of = "resource.Quantity";
      break;
    case FieldKind::Message: of = go_type(*f.message); break;
    case FieldKind::Json: of = "v1.JSON"; break;
    default: of = "string"; break;
  }
  if (element) return of;
  return f.is_list() ? "[]" + of : f.is_map() ? "map[string]" + of : of;
}

// The field of a path as Go's JSON decoder names it: the struct that declares it, then the fields' names from the root on,
// with those of embedded structs, without positions and keys.
std::string go_place(const TypeSchema& root, const JsonPath& path) {
  std::vector<const JsonPath*> steps;
  for (const JsonPath* p = &path; p && p->parent; p = p->parent) steps.push_back(p);
  const TypeSchema* type = &root;
  bool in_map = false;
  std::string holder, names;
  for (auto i = steps.rbegin(); i != steps.rend() && type; ++i) {
    if ((*i)->index >= 0) continue;
    if (std::exchange(in_map, false)) continue;
    int at = type->index_of((*i)->name);
    if (at < 0) break;
    holder = type->go_name;
    const TypeSchema* within = type;
    for (std::size_t offset = static_cast<std::size_t>(at); within;) {
      const TypeSchema* embedded = nullptr;
      for (const auto& e : within->proto)
        if (e.embedded && offset >= e.first && offset < e.first + e.embedded->fields.size()) {
          embedded = e.embedded;
          offset -= e.first;
          names.append(".").append(embedded->go_name);
          break;
        }
      within = embedded;
    }
    names.append(".").append((*i)->name);
    const FieldSchema& f = type->fields[static_cast<std::size_t>(at)];
    in_map = f.is_map();
    type = f.message;
  }
  return holder + names;
}

class Conformer {
 public:
  // `map`: made from a map rather than from JSON.
  Conformer(const TypeSchema& root, const DecodeOptions& options, Problems& problems, bool map) : root_(root), options_(options), problems_(problems), map_(map) {}

  Status object(Document& v, const TypeSchema& type, const JsonPath& path, int depth) {
    if (depth > options_.max_depth) return bad_request("nested deeper than " + std::to_string(options_.max_depth));
    if (is_custom(type)) return custom(v, type, path, depth);
    if (type.shape != Shape::Object) return shaped(v, type, path, depth);
    if (!v.is_object() && map_) return bad_request("cannot restore struct from: " + go_kind(v));
    if (!v.is_object()) return wrong(value_text(v), go_type(type), path);
    auto& members = v.get_ref<Document::object_t&>();
    for (auto i = members.begin(); i != members.end();) {
      JsonPath at{&path, i->first};
      const FieldSchema* f = type.field(i->first);
      bool drop = false;
      if (!f) {
        if (!type.preserve_unknown) {
          if (!loosely_) problems_.unknown(at);
          drop = !options_.keep_unknown;
        }
      } else if (i->second.is_null()) {
        drop = !f->nullable;
      } else {
        RETURN_IF_ERROR(field(i->second, *f, at, depth + 1));
        // A zero time is no time; RawExtension and the like keep what they are given.
        drop = i->second.is_null() || left_out(*f, i->second);
      }
      i = drop ? members.erase(i) : std::next(i);
    }
    return {};
  }

 private:
  Status wrong(const std::string& value, const std::string& type, const JsonPath& path) const {
    std::string place = go_place(root_, path);
    return bad_request("json: cannot unmarshal " + value + " into Go " + (place.empty() ? "value" : "struct field " + place) + " of type " + type);
  }

  // Values of a custom resource stay as they are; what its schema doesn't know is reported, and metadata must be metadata.
  Status custom(Document& v, const TypeSchema& type, const JsonPath& path, int depth) {
    if (type.shape != Shape::Object) return custom_items(v, type.fields[0], path, depth);
    if (!v.is_object()) return {};
    auto& members = v.get_ref<Document::object_t&>();
    for (auto i = members.begin(); i != members.end();) {
      JsonPath at{&path, i->first};
      const FieldSchema* f = type.field(i->first);
      bool drop = false;
      if (!f) {
        if (!type.preserve_unknown) {
          problems_.unknown(at);
          drop = !options_.keep_unknown;
        }
      } else if (f->is_message()) {
        bool items = f->is_list() || f->is_map();
        drop = !items && !is_custom(*f->message) && i->second.is_null();
        Status s = drop ? Status() : items ? custom_items(i->second, *f, at, depth + 1) : object(i->second, *f->message, at, depth + 1);
        if (!s) return s;
      }
      i = drop ? members.erase(i) : std::next(i);
    }
    return {};
  }

  Status custom_items(Document& v, const FieldSchema& f, const JsonPath& path, int depth) {
    if (!f.is_message()) return {};
    if (v.is_array()) {
      for (std::size_t i = 0; i < v.size(); ++i) {
        JsonPath at{&path, {}, static_cast<std::ptrdiff_t>(i)};
        RETURN_IF_ERROR(object(v[i], *f.message, at, depth + 1));
      }
    } else if (v.is_object()) {
      for (auto& [key, e] : v.get_ref<Document::object_t&>()) {
        JsonPath at{&path, key};
        RETURN_IF_ERROR(object(e, *f.message, at, depth + 1));
      }
    }
    return {};
  }

  // What Go's struct holds without a pointer and its JSON leaves out is the same whether it is given or not.
  static bool left_out(const FieldSchema& f, const Document& v) {
    if (f.cardinality != Cardinality::Single || !f.omitempty) return false;
    switch (f.kind) {
      case FieldKind::Bool: return !v.get<bool>();
      case FieldKind::Int32:
      case FieldKind::Int64:
      case FieldKind::Double: return v.get<double>() == 0;
      case FieldKind::String: return v.get_ref<const std::string&>().empty();
      default: return false;
    }
  }

  Status field(Document& v, const FieldSchema& f, const JsonPath& path, int depth) {
    if (f.is_list()) return elements(v, f, path, depth);
    if (f.is_map()) return entries(v, f, path, depth);
    return value(v, f, path, depth);
  }

  Status elements(Document& v, const FieldSchema& f, const JsonPath& path, int depth) {
    if (!v.is_array() && map_) return bad_request("cannot restore slice from " + go_kind(v));
    if (!v.is_array()) return wrong(value_text(v), go_type(f, false), path);
    for (std::size_t i = 0; i < v.size(); ++i) {
      JsonPath at{&path, {}, static_cast<std::ptrdiff_t>(i)};
      RETURN_IF_ERROR(element(v[i], f, at, depth));
    }
    return {};
  }

  Status entries(Document& v, const FieldSchema& f, const JsonPath& path, int depth) {
    if (!v.is_object() && map_) return bad_request("cannot restore map from " + go_kind(v));
    if (!v.is_object()) return wrong(value_text(v), go_type(f, false), path);
    for (auto& [key, e] : v.get_ref<Document::object_t&>()) {
      JsonPath at{&path, key};
      RETURN_IF_ERROR(element(e, f, at, depth));
    }
    return {};
  }

  // null in a list or map is the empty value, as in Go.
  Status element(Document& v, const FieldSchema& f, const JsonPath& path, int depth) {
    if (!v.is_null() || f.nullable) return v.is_null() ? Status() : value(v, f, path, depth);
    switch (f.kind) {
      case FieldKind::Bool: v = false; break;
      case FieldKind::Int32:
      case FieldKind::Int64:
      case FieldKind::IntOrString: v = 0; break;
      case FieldKind::Double: v = 0.0; break;
      case FieldKind::String:
      case FieldKind::Bytes: v = ""; break;
      case FieldKind::Quantity: v = "0"; break;
      case FieldKind::Duration: v = "0s"; break;
      case FieldKind::Message:
        v = f.message->shape == Shape::Array ? Document::array() : Document::object();
        break;
      default: break;
    }
    return {};
  }

  static bool fits(const Document& v, std::int64_t low, std::int64_t high) {
    if (v.is_number_unsigned()) return v.get<std::uint64_t>() <= static_cast<std::uint64_t>(high);
    return v.is_number_integer() && v.get<std::int64_t>() >= low && v.get<std::int64_t>() <= high;
  }
  static bool fits32(const Document& v) { return fits(v, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()); }

  Status value(Document& v, const FieldSchema& f, const JsonPath& path, int depth) {
    bool good = true;
    switch (f.kind) {
      case FieldKind::Bool: good = v.is_boolean(); break;
      case FieldKind::Int32: good = fits32(v); break;
      case FieldKind::Int64: good = fits(v, std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()); break;
      case FieldKind::Double: good = v.is_number(); break;
      case FieldKind::String: good = v.is_string(); break;
      case FieldKind::IntOrString: good = v.is_string() || fits32(v); break;
      case FieldKind::FieldsV1: good = v.is_object() || v.is_binary(); break;  // track_update()'s text: no decoder makes one
      case FieldKind::RawExtension:
      case FieldKind::Json: break;
      case FieldKind::Message: return object(v, *f.message, path, depth);
      case FieldKind::Quantity: return quantity(v);
      default: return text_value(v, f, path);
    }
    if (good) return {};
    if (map_ && (f.kind == FieldKind::Bool || f.kind == FieldKind::Int32 || f.kind == FieldKind::Int64 || f.kind == FieldKind::Double || f.kind == FieldKind::String)) {
      // Go could convert these, but must not.
      bool convertible = v.is_number() && (f.kind == FieldKind::String ? !v.is_number_float() : f.kind != FieldKind::Bool);
      return bad_request(convertible ? "cannot convert " + go_kind(v) + " to " + go_type(f, true) : "unrecognized type: " + go_type(f, true));
    }
    bool integer = f.kind == FieldKind::Int32 || f.kind == FieldKind::Int64 || f.kind == FieldKind::IntOrString;
    return wrong(v.is_number() && integer ? "number " + number_text(v) : value_text(v), go_type(f, true), path);
  }

  static Status quantity(Document& v) {
    std::string text;
    if (v.is_string()) text = v.get_ref<const std::string&>();
    else if (v.is_number()) text = number_text(v);
    else text = v.dump();
    auto canonical = canonical_quantity(text);
    if (!canonical) return canonical.status();
    v = std::move(*canonical);
    return {};
  }

  Status text_value(Document& v, const FieldSchema& f, const JsonPath& path) const {
    if (!v.is_string()) return wrong(value_text(v), go_type(f, true), path);
    const std::string& text = v.get_ref<const std::string&>();
    if (f.kind == FieldKind::Bytes) {
      std::string plain;
      for (char c : text)
        if (c != '\n' && c != '\r') plain.push_back(c);
      if (!base64_decode(plain)) return bad_request("illegal base64 data at input byte " + std::to_string(plain.find_first_not_of(kBase64)));
      v = std::move(plain);
    } else if (f.kind == FieldKind::Duration) {
      auto d = parse_duration(text);
      if (!d) return bad_request("time: invalid duration " + go_quote(text.substr(0, 64)));
      v = format_duration(*d);
    } else {
      auto t = Time::parse(text);
      if (!t) return t.status();
      if (t->is_zero()) v = nullptr;
      else v = f.kind == FieldKind::MicroTime ? t->to_micro_string() : t->to_string();
    }
    return {};
  }

  Status shaped(Document& v, const TypeSchema& type, const JsonPath& path, int depth) {
    switch (type.shape) {
      case Shape::Array: return elements(v, type.fields[0], path, depth + 1);
      case Shape::Map: return entries(v, type.fields[0], path, depth + 1);
      case Shape::SchemaOrBool:
        if (v.is_boolean()) return {};
        if (!v.is_object()) return bad_request("boolean or JSON schema expected");
        return loosely(v, *type.fields[1].message, path, depth + 1);
      default:  // an array of the second field's elements, or the schema
        if (v.is_array() && !v.empty()) return elements(v, type.fields[1], path, depth + 1);
        if (!v.is_object()) {  // upstream reads nothing of what is neither, and writes nothing of an array without elements
          v = nullptr;
          return {};
        }
        return loosely(v, *type.fields[0].message, path, depth + 1);
    }
  }

  // The unions of JSON schema read what is in them by themselves, and not strictly.
  Status loosely(Document& v, const TypeSchema& type, const JsonPath& path, int depth) {
    bool before = std::exchange(loosely_, true);
    Status s = object(v, type, path, depth);
    loosely_ = before;
    return s;
  }

  static constexpr const char* kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const TypeSchema& root_;
  const DecodeOptions& options_;
  Problems& problems_;
  bool map_;
  bool loosely_ = false;
};

Status conform(Document& object, const TypeSchema& type, const DecodeOptions& options, DecodeReport* report, bool map) {
  Problems problems(options, report);
  RETURN_IF_ERROR(Conformer(type, options, problems, map).object(object, type, JsonPath{}, 0));
  return problems.verdict();
}

}  // namespace

Status conform(Document& object, const TypeSchema& type, const DecodeOptions& options, DecodeReport* report) {
  return conform(object, type, options, report, false);
}

Status conform_map(Document& object, const TypeSchema& type, const DecodeOptions& options, DecodeReport* report) {
  return conform(object, type, options, report, true);
}

}  // namespace onebin::apimachinery
