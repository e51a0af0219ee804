// Document -> protobuf, as upstream's generated Marshal writes it: fields by number, values that are not pointers even
// when empty, maps sorted by key.
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/time.hpp>

#include "member_slots.hpp"
#include "wire.hpp"

namespace onebin::apimachinery {
namespace {

using wire::BackWriter;

class Encoder {
 public:
  explicit Encoder(BackWriter& out) : out_(out) {}
  Status status;

  // `object` null: the message of a struct that is not there, all its values empty.
  void message(const Document* object, const TypeSchema& type) {
    if (type.shape != Shape::Object) return shaped(object, type);
    if (object && !object->is_object()) return fail(type.go_name, "an object");
    MemberSlots<const Document> members(type, object);
    for (auto e = type.proto.rbegin(); e != type.proto.rend(); ++e) {
      if (e->embedded) {
        std::size_t mark = out_.size();
        message(object, *e->embedded);
        out_.close(e->number, mark);
      } else {
        const FieldSchema& f = type.fields[e->first];
        const Document* v = members[e->first];
        field(f, f.cardinality, v && !v->is_null() ? v : nullptr);
      }
    }
  }

 private:
  void fail(std::string_view where, std::string_view expected) {
    if (status) status = internal_error("cannot encode " + std::string(where) + ": " + std::string(expected) + " is expected");
  }

  void field(const FieldSchema& f, Cardinality cardinality, const Document* v) {
    switch (cardinality) {
      case Cardinality::Optional:
        if (v) value(f, f.proto_number, v);
        return;
      case Cardinality::Single:
        // Go's nil, of bytes and of the types that are lists, is not written.
        if (v || !(f.kind == FieldKind::Bytes || (f.is_message() && f.message->shape == Shape::Array))) value(f, f.proto_number, v);
        return;
      case Cardinality::List:
        if (!v) return;
        if (!v->is_array()) return fail(f.json_name, "an array");
        for (auto i = v->rbegin(); i != v->rend(); ++i) value(f, f.proto_number, i->is_null() ? nullptr : &*i);
        return;
      case Cardinality::Map: {
        if (!v) return;
        if (!v->is_object()) return fail(f.json_name, "an object");
        const auto& members = v->get_ref<const Document::object_t&>();
        for (auto i = members.rbegin(); i != members.rend(); ++i) {
          std::size_t mark = out_.size();
          const Document* e = i->second.is_null() ? nullptr : &i->second;
          if (e || f.kind != FieldKind::Bytes) value(f, 2, e);
          out_.bytes_field(1, i->first);
          out_.close(f.proto_number, mark);
        }
      }
    }
  }

  std::string_view text(const FieldSchema& f, const Document* v) {
    if (!v) return {};
    if (v->is_string()) return v->get_ref<const std::string&>();
    fail(f.json_name, "a string");
    return {};
  }

  std::uint64_t integer(const FieldSchema& f, const Document* v) {
    if (!v) return 0;
    if (v->is_number_integer()) return static_cast<std::uint64_t>(v->get<std::int64_t>());
    fail(f.json_name, "an integer");
    return 0;
  }

  void value(const FieldSchema& f, std::uint32_t number, const Document* v) {
    switch (f.kind) {
      case FieldKind::Bool:
        if (v && !v->is_boolean()) return fail(f.json_name, "a boolean");
        return out_.varint_field(number, v && v->get<bool>() ? 1 : 0);
      case FieldKind::Int32:
      case FieldKind::Int64: return out_.varint_field(number, integer(f, v));
      case FieldKind::Double:
        if (v && !v->is_number()) return fail(f.json_name, "a number");
        return out_.double_field(number, v ? v->get<double>() : 0);
      case FieldKind::String: return out_.bytes_field(number, text(f, v));
      case FieldKind::Bytes: {
        auto decoded = base64_decode(text(f, v));
        if (!decoded) return fail(f.json_name, "base64");
        return out_.bytes_field(number, *decoded);
      }
      case FieldKind::Time:
      case FieldKind::MicroTime: {
        Time t;
        if (v) {
          auto parsed = Time::parse(text(f, v));
          if (!parsed) return fail(f.json_name, "a time");
          t = *parsed;
        }
        return out_.time_field(number, t, f.kind == FieldKind::MicroTime);
      }
      case FieldKind::Duration: {
        auto d = v ? parse_duration(text(f, v)) : Duration{};
        if (!d) return fail(f.json_name, "a duration");
        return out_.duration_field(number, d->count());
      }
      case FieldKind::Quantity: return out_.wrapped_field(number, v ? text(f, v) : std::string_view("0"));
      case FieldKind::IntOrString: {
        if (v && v->is_string()) return out_.int_or_string_field(number, true, 0, text(f, v));
        return out_.int_or_string_field(number, false, static_cast<std::int32_t>(integer(f, v)), {});
      }
      case FieldKind::FieldsV1:
        if (v && v->is_binary()) {  // track_update()'s text
          const auto& text = v->get_binary();
          return out_.wrapped_field(number, std::string_view(reinterpret_cast<const char*>(text.data()), text.size()));
        }
        [[fallthrough]];
      case FieldKind::RawExtension:
      case FieldKind::Json:
        return out_.wrapped_field(number, v ? v->dump(-1, ' ', false, Document::error_handler_t::replace) : std::string(), v != nullptr);
      case FieldKind::Message: {
        std::size_t mark = out_.size();
        message(v, *f.message);
        return out_.close(number, mark);
      }
    }
  }

  void shaped(const Document* v, const TypeSchema& type) {
    auto entry = [&](std::size_t i, const Document* e) { field(type.fields[i], type.fields[i].cardinality, e); };
    switch (type.shape) {
      case Shape::Array: return field(type.fields[0], Cardinality::List, v);
      case Shape::SchemaOrBool: {
        static const Document kTrue = true, kFalse = false;
        bool schema = v && v->is_object();
        entry(1, schema ? v : nullptr);
        return entry(0, schema || (v && v->is_boolean() && v->get<bool>()) ? &kTrue : &kFalse);
      }
      case Shape::SchemaOrArray:
      case Shape::SchemaOrStrings:
        entry(1, v && v->is_array() ? v : nullptr);
        return entry(0, v && v->is_object() ? v : nullptr);
      default: return fail(type.go_name, "a type with a protobuf form");
    }
  }

  BackWriter& out_;
};

Result<std::string> encode_with(const Document& object, const TypeSchema& type, bool envelope) {
  BackWriter out;
  Encoder encoder(out);
  encoder.message(&object, type);
  if (!encoder.status) return encoder.status;
  if (!envelope) return out.take();
  return make_envelope(string_at(object, "apiVersion"), string_at(object, "kind"), out.written());
}

}  // namespace

Result<std::string> encode_message(const Document& object, const TypeSchema& type) { return encode_with(object, type, false); }
Result<std::string> encode_protobuf(const Document& object, const TypeSchema& type) { return encode_with(object, type, true); }

}  // namespace onebin::apimachinery
