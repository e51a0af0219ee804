// protobuf -> Document: what Go's JSON of the decoded object would be, without its nulls: empty values that omitempty
// leaves out are absent, structs that are not pointers are there.
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/field_mask.hpp>
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/time.hpp>

#include "utf8.hpp"
#include "wire.hpp"

namespace onebin::apimachinery {
namespace {

using wire::WireType;

// One value as it stands on the wire.
struct Raw {
  int wire_type = wire::kBytes;
  std::uint64_t varint = 0;
  std::string_view bytes;
  const FieldMask* mask = nullptr;  // what is wanted of it
};

class Decoder {
 public:
  explicit Decoder(int max_depth) : max_depth_(max_depth) {}

  // `base`: where an embedded struct's fields begin in the mask of the object that they belong to.
  Status message(std::string_view bytes, const TypeSchema& type, Document& out, int depth, const FieldMask* mask = nullptr, std::size_t base = 0) {
    if (depth > max_depth_) return wire::malformed("nested deeper than " + std::to_string(max_depth_));
    if (type.shape != Shape::Object) return shaped(bytes, type, out, depth);
    if (!out.is_object()) out = Document::object();
    ProtoReader r(bytes);
    while (r.next()) {
      const ProtoEntry* e = type.entry(r.number());
      if (!e) continue;
      if (e->embedded) {
        if (r.wire_type() != wire::kBytes) return wrong(type, "embedded struct");
        RETURN_IF_ERROR(message(r.bytes(), *e->embedded, out, depth + 1, mask, base + e->first));
        continue;
      }
      if (mask && !mask->wants(base + e->first)) continue;
      const FieldSchema& f = type.fields[e->first];
      Raw raw{r.wire_type(), r.varint(), r.wire_type() == wire::kBytes ? r.bytes() : std::string_view(), mask ? mask->below(base + e->first) : nullptr};
      RETURN_IF_ERROR(field(raw, f, f.cardinality, out, depth));
    }
    if (r.failed()) return wrong(type, "message");
    return {};
  }

 private:
  static Status wrong(const TypeSchema& type, std::string_view what) {
    return wire::malformed("malformed " + std::string(type.go_name) + " (" + std::string(what) + ")");
  }
  static Status wrong(const FieldSchema& f) { return wire::malformed("malformed value of " + std::string(f.json_name)); }

  Status field(const Raw& raw, const FieldSchema& f, Cardinality cardinality, Document& object, int depth) {
    switch (cardinality) {
      case Cardinality::Single:
      case Cardinality::Optional: {
        if (f.is_message()) {  // a second occurrence adds to the first, as in upstream
          if (raw.wire_type != wire::kBytes) return wrong(f);
          return message(raw.bytes, *f.message, object[std::string(f.json_name)], depth + 1, raw.mask);
        }
        Document v;
        RETURN_IF_ERROR(value(raw, f, v, depth));
        bool drop = v.is_null() || (cardinality == Cardinality::Single && (f.omitempty || f.omitzero) && empty(f, v));
        if (drop) object.erase(std::string(f.json_name));
        else object[std::string(f.json_name)] = std::move(v);
        return {};
      }
      case Cardinality::List: return list(raw, f, object[std::string(f.json_name)], depth);
      case Cardinality::Map: {
        wire::MapEntry entry;
        if (raw.wire_type != wire::kBytes || !wire::read_map_entry(raw.bytes, entry)) return wrong(f);
        Document& map = object[std::string(f.json_name)];
        if (!map.is_object()) map = Document::object();
        Raw inner{entry.has_value ? entry.wire_type : wire::wire_type_of(f.kind), entry.varint, entry.bytes, raw.mask};
        Document v;
        RETURN_IF_ERROR(value(inner, f, v, depth));
        map[valid_utf8(entry.key)] = std::move(v);
        return {};
      }
    }
    return {};
  }

  Status list(const Raw& raw, const FieldSchema& f, Document& array, int depth) {
    if (!array.is_array()) array = Document::array();
    if (raw.wire_type != wire::kBytes || wire::wire_type_of(f.kind) == wire::kBytes) {
      Document v;
      RETURN_IF_ERROR(value(raw, f, v, depth));
      array.push_back(std::move(v));
      return {};
    }
    // Packed numbers: bare varints, or 8 bytes each.
    std::string_view rest = raw.bytes;
    while (!rest.empty()) {
      Raw one{wire::wire_type_of(f.kind), 0, {}, nullptr};
      if (one.wire_type == wire::kFixed64) {
        if (rest.size() < 8) return wrong(f);
        for (unsigned i = 0; i < 8; ++i) one.varint |= static_cast<std::uint64_t>(static_cast<unsigned char>(rest[i])) << (8 * i);
        rest.remove_prefix(8);
      } else {
        std::size_t n = 0;
        bool more = true;
        while (more) {
          if (n == rest.size() || n == 10) return wrong(f);
          auto b = static_cast<unsigned char>(rest[n]);
          one.varint |= static_cast<std::uint64_t>(b & 0x7f) << (7 * n);
          more = b >= 0x80;
          ++n;
        }
        rest.remove_prefix(n);
      }
      Document v;
      RETURN_IF_ERROR(value(one, f, v, depth));
      array.push_back(std::move(v));
    }
    return {};
  }

  // What Go's omitempty leaves out; structs and value types never are.
  static bool empty(const FieldSchema& f, const Document& v) {
    switch (f.kind) {
      case FieldKind::Bool: return !v.get<bool>();
      case FieldKind::Int32:
      case FieldKind::Int64: return v.get<std::int64_t>() == 0;
      case FieldKind::Double: return v.get<double>() == 0;
      case FieldKind::String:
      case FieldKind::Bytes: return v.get_ref<const std::string&>().empty();
      default: return false;
    }
  }

  Status value(const Raw& raw, const FieldSchema& f, Document& out, int depth) {
    if (raw.wire_type != wire::wire_type_of(f.kind)) return wrong(f);
    switch (f.kind) {
      case FieldKind::Bool: out = raw.varint != 0; return {};
      case FieldKind::Int32: out = static_cast<std::int32_t>(raw.varint); return {};
      case FieldKind::Int64: out = static_cast<std::int64_t>(raw.varint); return {};
      case FieldKind::Double: {
        double d = wire::double_of(raw.varint);
        if (d != d || d - d != 0) return wrong(f);  // JSON has no such number
        out = d;
        return {};
      }
      case FieldKind::String: out = valid_utf8(raw.bytes); return {};
      case FieldKind::Bytes: out = base64_encode(raw.bytes); return {};
      case FieldKind::Message: return message(raw.bytes, *f.message, out, depth + 1, raw.mask);
      default: return value_type(raw.bytes, f, out);
    }
  }

  Status value_type(std::string_view bytes, const FieldSchema& f, Document& out) {
    std::string_view content;
    bool present = false;
    switch (f.kind) {
      case FieldKind::Time:
      case FieldKind::MicroTime: {
        Time t;
        bool micro = f.kind == FieldKind::MicroTime;
        if (!wire::read_time(bytes, t, micro)) return wrong(f);
        if (!t.is_zero()) out = micro ? t.to_micro_string() : t.to_string();
        return {};
      }
      case FieldKind::Duration: {
        std::int64_t ns;
        if (!wire::read_duration(bytes, ns)) return wrong(f);
        out = format_duration(Duration(ns));
        return {};
      }
      case FieldKind::Quantity: {
        if (!wire::read_wrapped(bytes, content, present)) return wrong(f);
        if (!present) out = "0";
        else {
          ASSIGN_OR_RETURN(out, canonical_quantity(content));
        }
        return {};
      }
      case FieldKind::IntOrString: {
        bool is_string;
        std::int32_t number;
        if (!wire::read_int_or_string(bytes, is_string, number, content)) return wrong(f);
        if (is_string) out = valid_utf8(content);
        else out = number;
        return {};
      }
      default: {
        if (!wire::read_wrapped(bytes, content, present)) return wrong(f);
        if (!present || content.empty()) return {};
        if (wire::is_protobuf_object(content)) return wire::malformed(std::string(f.json_name) + " " + std::string(wire::kNotJson));
        DecodeOptions options;
        options.typed = false;
        options.max_depth = max_depth_;
        ASSIGN_OR_RETURN(out, decode_json(content, nullptr, options));
        return {};
      }
    }
  }

  Status shaped(std::string_view bytes, const TypeSchema& type, Document& out, int depth) {
    Document parts = Document::object();
    ProtoReader r(bytes);
    while (r.next()) {
      const ProtoEntry* e = type.entry(r.number());
      if (!e) continue;
      const FieldSchema& f = type.fields[e->first];
      Raw raw{r.wire_type(), r.varint(), r.wire_type() == wire::kBytes ? r.bytes() : std::string_view(), nullptr};
      RETURN_IF_ERROR(field(raw, f, wire::wire_cardinality(type, f), parts, depth));
    }
    if (r.failed()) return wrong(type, "message");
    auto take = [&](std::size_t i) -> Document* { return find_member(parts, type.fields[i].json_name); };
    if (type.shape == Shape::Array) {
      out = take(0) ? std::move(*take(0)) : Document::array();
    } else if (type.shape == Shape::SchemaOrBool) {
      if (Document* schema = take(1)) out = std::move(*schema);
      else out = take(0) && take(0)->get<bool>();
    } else {
      if (Document* list = take(1)) out = std::move(*list);
      else if (Document* schema = take(0)) out = std::move(*schema);
    }
    return {};
  }

  int max_depth_;
};

}  // namespace

void FieldMask::add(const TypeSchema& type, std::string_view path) {
  if (of_field_.empty()) of_field_.resize(type.fields.size());
  std::size_t dot = path.find('.');
  int index = type.index_of(path.substr(0, dot));
  if (index < 0) return;
  std::uint8_t& at = of_field_[static_cast<std::size_t>(index)];
  const TypeSchema* below = type.fields[static_cast<std::size_t>(index)].message;
  if (at == 1) return;
  if (dot == std::string_view::npos || !below || below->shape != Shape::Object) {
    at = 1;
    return;
  }
  if (at == 0) {
    below_.emplace_back();
    at = static_cast<std::uint8_t>(below_.size() + 1);
  }
  below_[at - 2u].add(*below, path.substr(dot + 1));
}

FieldMask FieldMask::of(const TypeSchema& type, std::span<const std::string_view> paths) {
  FieldMask mask;
  mask.of_field_.resize(type.fields.size());
  for (std::string_view p : paths) mask.add(type, p);
  return mask;
}

FieldMask FieldMask::without_managed_fields(const TypeSchema& type) {
  FieldMask mask;
  mask.of_field_.assign(type.fields.size(), 1);
  int meta = type.index_of("metadata");
  const TypeSchema* below = meta < 0 ? nullptr : type.fields[static_cast<std::size_t>(meta)].message;
  int managed = below ? below->index_of("managedFields") : -1;
  if (managed < 0) return mask;
  mask.of_field_[static_cast<std::size_t>(meta)] = 2;
  mask.below_.emplace_back().of_field_.assign(below->fields.size(), 1);
  mask.below_[0].of_field_[static_cast<std::size_t>(managed)] = 0;
  return mask;
}

Result<Document> decode_message(std::string_view bytes, const TypeSchema& type, int max_depth) {
  Document out;
  RETURN_IF_ERROR(Decoder(max_depth).message(bytes, type, out, 0));
  return out;
}

Result<Document> decode_masked(std::string_view bytes, const TypeSchema& type, const FieldMask& mask) {
  constexpr int kMaxDepth = 128;
  Document out;
  RETURN_IF_ERROR(Decoder(kMaxDepth).message(bytes, type, out, 0, &mask));
  return out;
}

Result<Document> decode_protobuf(std::string_view bytes, const TypeSchema& type, int max_depth) {
  ASSIGN_OR_RETURN(Envelope envelope, open_envelope(bytes));
  ASSIGN_OR_RETURN(Document out, decode_message(envelope.raw, type, max_depth));
  if (!envelope.api_version.empty()) out["apiVersion"] = valid_utf8(envelope.api_version);
  if (!envelope.kind.empty()) out["kind"] = valid_utf8(envelope.kind);
  return out;
}

}  // namespace onebin::apimachinery
