// Document -> JSON text, in the order of the schema, as Go writes the struct that the Document stands for.
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/custom_schema.hpp>
#include <onebin/apimachinery/document.hpp>

#include "go_number.hpp"

namespace onebin::apimachinery {
namespace {

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  void object(const Document* v, const TypeSchema& type) {
    if (type.shape != Shape::Object) return shaped(v, type);
    if (v && !v->is_object()) return any(*v);
    out_.push_back('{');
    first_ = true;
    std::size_t known = 0;
    for (const FieldSchema& f : type.fields) {
      const Document* m = v ? find_member(*v, f.json_name) : nullptr;
      known += m != nullptr;
      if (m && m->is_null() && !f.nullable) m = nullptr;
      if (left_out(f, m)) continue;
      name(f.json_name);
      field(m, f);
      first_ = false;
    }
    if (v && known < v->size()) {
      for (const auto& [key, m] : v->get_ref<const Document::object_t&>()) {
        if (type.field(key)) continue;
        name(key);
        any(m);
        first_ = false;
      }
    }
    out_.push_back('}');
    first_ = false;
  }

  void any(const Document& v) {
    switch (v.type()) {
      case Document::value_t::object: {
        out_.push_back('{');
        bool first = true;
        for (const auto& [key, m] : v.get_ref<const Document::object_t&>()) {
          if (!first) out_.push_back(',');
          first = false;
          append_json_string(out_, key);
          out_.push_back(':');
          any(m);
        }
        out_.push_back('}');
        return;
      }
      case Document::value_t::array:
        list(v, [this](const Document& e) { any(e); });
        return;
      case Document::value_t::string: return append_json_string(out_, v.get_ref<const std::string&>());
      case Document::value_t::boolean: out_ += v.get<bool>() ? "true" : "false"; return;
      case Document::value_t::number_integer: out_ += std::to_string(v.get<std::int64_t>()); return;
      case Document::value_t::number_unsigned: out_ += std::to_string(v.get<std::uint64_t>()); return;
      case Document::value_t::number_float: out_ += go_number(v.get<double>()); return;
      default: out_ += "null";
    }
  }

 private:
  void name(std::string_view key) {
    if (!first_) out_.push_back(',');
    append_json_string(out_, key);
    out_.push_back(':');
  }

  template <class F>
  void list(const Document& v, F&& element) {
    out_.push_back('[');
    for (std::size_t i = 0; i < v.size(); ++i) {
      if (i > 0) out_.push_back(',');
      element(v[i]);
    }
    out_.push_back(']');
  }

  // Go's omitempty: empty lists, maps and scalars, null pointers; never a struct, which most value types are.
  static bool left_out(const FieldSchema& f, const Document* v) {
    if (!f.omitempty && !f.omitzero) return false;
    bool scalar = f.kind <= FieldKind::Bytes;
    if (!v) return f.cardinality != Cardinality::Single || scalar || f.omitzero || (f.is_message() && f.message->shape == Shape::Array);
    if (f.cardinality == Cardinality::Optional) return false;
    if (f.cardinality != Cardinality::Single) return v->empty();
    if (v->is_string()) return f.kind <= FieldKind::Bytes && v->get_ref<const std::string&>().empty();
    if (v->is_boolean()) return f.kind == FieldKind::Bool && !v->get<bool>();
    if (v->is_number()) return scalar && v->get<double>() == 0;
    if (f.is_message() && f.message->shape == Shape::Array) return v->empty();
    return false;
  }

  void field(const Document* v, const FieldSchema& f) {
    if (f.cardinality == Cardinality::Single) return value(v, f);
    if (!v || v->is_null()) {
      out_ += "null";
      return;
    }
    if (f.is_list() && v->is_array()) return list(*v, [&](const Document& e) { element(e, f); });
    if (f.is_map() && v->is_object()) {
      out_.push_back('{');
      bool first = true;
      for (const auto& [key, e] : v->get_ref<const Document::object_t&>()) {
        if (!first) out_.push_back(',');
        first = false;
        append_json_string(out_, key);
        out_.push_back(':');
        element(e, f);
      }
      out_.push_back('}');
      return;
    }
    value(v, f);
  }

  void element(const Document& e, const FieldSchema& f) { f.nullable && e.is_null() ? any(e) : value(&e, f); }

  // `v` null or absent: the empty value.
  void value(const Document* v, const FieldSchema& f) {
    if (v && v->is_null()) v = nullptr;
    if (f.is_message()) return object(v, *f.message);
    if (v) return any(*v);
    switch (f.kind) {
      case FieldKind::Bool: out_ += "false"; return;
      case FieldKind::Int32:
      case FieldKind::Int64:
      case FieldKind::Double:
      case FieldKind::IntOrString: out_ += "0"; return;
      case FieldKind::String: out_ += "\"\""; return;
      case FieldKind::Quantity: out_ += "\"0\""; return;
      case FieldKind::Duration: out_ += "\"0s\""; return;
      default: out_ += "null";
    }
  }

  void shaped(const Document* v, const TypeSchema& type) {
    if (!v || v->is_null()) {
      out_ += type.shape == Shape::SchemaOrBool ? "false" : "null";
      return;
    }
    const FieldSchema& f = type.fields[0];
    if (type.shape == Shape::Array && v->is_array()) return list(*v, [&](const Document& e) { element(e, f); });
    if (type.shape == Shape::Map && v->is_object()) {
      FieldSchema map = f;
      map.cardinality = Cardinality::Map;
      return field(v, map);
    }
    if (v->is_object() && type.shape != Shape::Array && type.shape != Shape::Map)
      return object(v, *type.fields[type.shape == Shape::SchemaOrBool ? 1 : 0].message);
    if (v->is_array() && type.shape == Shape::SchemaOrArray) return list(*v, [&](const Document& e) { value(&e, type.fields[1]); });
    any(*v);
  }

  std::string& out_;
  bool first_ = true;  // of the object that is being written
};

}  // namespace

void append_json(std::string& out, const Document& object, const TypeSchema* type) {
  Writer writer(out);
  // A custom resource's members are sorted, as Go's maps are written.
  if (type && !is_custom(*type)) writer.object(&object, *type);
  else writer.any(object);
}

std::string encode_json(const Document& object, const TypeSchema* type) {
  std::string out;
  append_json(out, object, type);
  return out;
}

}  // namespace onebin::apimachinery
