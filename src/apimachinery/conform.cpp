// Values made what the schema says they are, in their canonical forms.
#include "conform.hpp"

#include <onebin/apimachinery/custom_schema.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/apimachinery/values.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/time.hpp>

#include <limits>

#include "go_number.hpp"

namespace onebin::apimachinery {
namespace {

constexpr std::string_view kExpected[] = {"true or false", "an integer of 32 bits", "an integer of 64 bits", "a number", "a string", "base64",
                                          "a time", "a time", "a duration", "a quantity", "an integer or a string", "a value", "an object",
                                          "a value", "an object"};

std::string_view type_of(const Document& v) {
  switch (v.type()) {
    case Document::value_t::object: return "an object";
    case Document::value_t::array: return "an array";
    case Document::value_t::string: return "a string";
    case Document::value_t::boolean: return "a boolean";
    case Document::value_t::null: return "null";
    default: return "a number";
  }
}

class Conformer {
 public:
  Conformer(const DecodeOptions& options, Problems& problems) : options_(options), problems_(problems) {}

  Status object(Document& v, const TypeSchema& type, const JsonPath& path, int depth) {
    if (depth > options_.max_depth) return bad_request("nested deeper than " + std::to_string(options_.max_depth));
    if (is_custom(type)) return custom(v, type, path, depth);
    if (type.shape != Shape::Object) return shaped(v, type, path, depth);
    if (!v.is_object()) return wrong(v, "an object", path);
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
      } else if (i->second.is_null()) {
        drop = !f->nullable;
      } else {
        RETURN_IF_ERROR(field(i->second, *f, at, depth + 1));
        // A zero time is no time; RawExtension and the like keep what they are given.
        drop = i->second.is_null();
      }
      i = drop ? members.erase(i) : std::next(i);
    }
    return {};
  }

 private:
  static Status wrong(const Document& v, std::string_view expected, const JsonPath& path, std::string_view more = {}) {
    std::string where = path.text();
    std::string text = (where.empty() ? "the document" : where) + ": " + std::string(type_of(v)) + " where " + std::string(expected) + " is expected";
    if (!more.empty()) text += ": " + std::string(more);
    return bad_request(text);
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

  Status field(Document& v, const FieldSchema& f, const JsonPath& path, int depth) {
    if (f.is_list()) return elements(v, f, path, depth);
    if (f.is_map()) return entries(v, f, path, depth);
    return value(v, f, path, depth);
  }

  Status elements(Document& v, const FieldSchema& f, const JsonPath& path, int depth) {
    if (!v.is_array()) return wrong(v, "an array", path);
    for (std::size_t i = 0; i < v.size(); ++i) {
      JsonPath at{&path, {}, static_cast<std::ptrdiff_t>(i)};
      RETURN_IF_ERROR(element(v[i], f, at, depth));
    }
    return {};
  }

  Status entries(Document& v, const FieldSchema& f, const JsonPath& path, int depth) {
    if (!v.is_object()) return wrong(v, "an object", path);
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
    std::string_view expected = kExpected[static_cast<std::size_t>(f.kind)];
    bool good = true;
    switch (f.kind) {
      case FieldKind::Bool: good = v.is_boolean(); break;
      case FieldKind::Int32: good = fits32(v); break;
      case FieldKind::Int64: good = fits(v, std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()); break;
      case FieldKind::Double: good = v.is_number(); break;
      case FieldKind::String: good = v.is_string(); break;
      case FieldKind::IntOrString: good = v.is_string() || fits32(v); break;
      case FieldKind::FieldsV1: good = v.is_object(); break;
      case FieldKind::RawExtension:
      case FieldKind::Json: break;
      case FieldKind::Message: return object(v, *f.message, path, depth);
      case FieldKind::Quantity: return quantity(v, path);
      default: return text_value(v, f, path);
    }
    return good ? Status() : wrong(v, expected, path);
  }

  static Status quantity(Document& v, const JsonPath& path) {
    std::string text;
    if (v.is_string()) text = v.get_ref<const std::string&>();
    else if (v.is_number_float()) text = go_number(v.get<double>());
    else if (v.is_number()) text = v.dump();
    else return wrong(v, "a quantity", path);
    auto canonical = canonical_quantity(text);
    if (!canonical) return wrong(v, "a quantity", path, canonical.status().message());
    v = std::move(*canonical);
    return {};
  }

  static Status text_value(Document& v, const FieldSchema& f, const JsonPath& path) {
    std::string_view expected = kExpected[static_cast<std::size_t>(f.kind)];
    if (!v.is_string()) return wrong(v, expected, path);
    const std::string& text = v.get_ref<const std::string&>();
    if (f.kind == FieldKind::Bytes) {
      std::string plain;
      for (char c : text)
        if (c != '\n' && c != '\r') plain.push_back(c);
      if (!base64_decode(plain)) return wrong(v, expected, path);
      v = std::move(plain);
    } else if (f.kind == FieldKind::Duration) {
      auto d = parse_duration(text);
      if (!d) return wrong(v, expected, path, "\"" + text.substr(0, 64) + "\"");
      v = format_duration(*d);
    } else {
      auto t = Time::parse(text);
      if (!t) return wrong(v, expected, path, t.status().message());
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
        return object(v, *type.fields[1].message, path, depth + 1);
      default:  // an array of the second field's elements, or the schema
        if (v.is_array()) return elements(v, type.fields[1], path, depth + 1);
        return object(v, *type.fields[0].message, path, depth + 1);
    }
  }

  const DecodeOptions& options_;
  Problems& problems_;
};

}  // namespace

Status conform(Document& object, const TypeSchema& type, const DecodeOptions& options, DecodeReport* report) {
  Problems problems(options, report);
  RETURN_IF_ERROR(Conformer(options, problems).object(object, type, JsonPath{}, 0));
  return problems.verdict();
}

}  // namespace onebin::apimachinery
