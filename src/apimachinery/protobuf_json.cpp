// protobuf -> JSON text without a tree: the path of get, list and watch. Each message is scanned once for where its fields
// are, then written in the schema's order.
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/time.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>

#include "go_number.hpp"
#include "text_buffer.hpp"
#include "wire.hpp"

namespace onebin::apimachinery {
namespace {

using wire::WireType;

// What stored JSON must be free of to be written out as it is: characters that are escaped here, white space, and the first byte of
// U+2028 and U+2029.
constexpr auto kReparse = [] {
  std::array<bool, 256> t{};
  for (char c : {'<', '>', '&', '\n', '\t', '\r', ' ', '\xe2'}) t[static_cast<unsigned char>(c)] = true;
  return t;
}();

// Where a field is in its message.
struct Slot {
  const char* begin;  // of its first occurrence's tag; null: absent
  const char* end;    // after its last occurrence
  wire::FieldOnWire last;
  std::uint32_t count;
};
constexpr Slot kAbsent{};

class Writer {
 public:
  Writer(std::string& out, const TranscodeOptions& options) : out_(out), options_(options) {}

  void restore(std::size_t size) { out_.restore(size); }

  bool top(std::string_view bytes, const TypeSchema& type) {
    if (type.shape != Shape::Object) return value_message(bytes, type, 0, false);
    out_.put('{');
    bool first = true;
    if (!options_.kind.empty()) {
      name("kind", first);
      out_.quoted(options_.kind);
    }
    if (!options_.api_version.empty()) {
      name("apiVersion", first);
      out_.quoted(options_.api_version);
    }
    if (!members(bytes, type, 0, first, false)) return false;
    out_.put('}');
    return true;
  }

 private:
  static constexpr int kMaxDepth = 128;
  static constexpr std::size_t kMaxFields = 64;  // of one message: more than any has, and the bits of a word

  void name(std::string_view key, bool& first) {
    const std::size_t comma = first ? 0 : 1;
    first = false;
    char* p = out_.room(key.size() + 4);
    out_.advance(comma + key.size() + 3);
    if (comma) *p++ = ',';
    *p++ = '"';
    std::memcpy(p, key.data(), key.size());  // the schema's names need no escapes
    p += key.size();
    p[0] = '"';
    p[1] = ':';
  }

  // The fields, by bit, that JSON has even when they are absent. Without branches: it is asked of every field of every message.
  static std::uint64_t spoken(std::span<const FieldSchema> fields) {
    std::uint64_t out = 0;
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const FieldSchema& f = fields[i];
      const unsigned empty = f.omitempty, zero = f.omitzero, single = f.cardinality == Cardinality::Single, optional = f.cardinality == Cardinality::Optional;
      const unsigned plain = f.kind <= FieldKind::Bytes, time = (f.kind == FieldKind::Time) | (f.kind == FieldKind::MicroTime);
      const unsigned silent = (empty & (!single | plain)) | (zero & (optional | (single & time)));
      out |= static_cast<std::uint64_t>((silent ^ 1u) & (f.proto_number != 0)) << i;
    }
    return out;
  }

  // Where the fields of a message are, each in the slot of its index; `seen`: the bits of those that are there.
  static bool scan(std::string_view bytes, const TypeSchema& type, Slot* slots, std::uint64_t& seen) {
    const char* p = bytes.data();
    const char* end = p + bytes.size();
    while (p != end) {
      const char* begin = p;
      wire::FieldOnWire w;
      if (!wire::read_field(p, end, w)) return false;
      const ProtoEntry* e = type.entry(w.number);
      if (!e) continue;
      Slot& s = slots[e->first];
      if (!(seen >> e->first & 1)) {
        seen |= std::uint64_t{1} << e->first;
        s.begin = begin;
        s.count = 0;
      }
      s.end = p;
      s.last = w;
      ++s.count;
    }
    return true;
  }

  // The fields of one message as members of the object that is open. `object_meta`: metadata of the object itself.
  bool members(std::string_view bytes, const TypeSchema& type, int depth, bool& first, bool object_meta) {
    if (depth > kMaxDepth || type.fields.size() > kMaxFields) return false;
    Slot slots[kMaxFields];  // by field, an embedded struct at its first one; only what was seen is filled in
    std::uint64_t seen = 0;
    if (!scan(bytes, type, slots, seen)) return false;
    // On the wire fields go by number, in JSON by declaration.
    std::uint64_t left = seen | spoken(type.fields);
    if (object_meta) left |= ~std::uint64_t{0} >> (kMaxFields - type.fields.size());  // the version to write may be stored nowhere
    while (left != 0) {
      const auto i = static_cast<std::size_t>(std::countr_zero(left));
      left &= left - 1;
      const FieldSchema& f = type.fields[i];
      if (!f.inlined) {
        if (f.proto_number != 0 && !field(seen >> i & 1 ? slots[i] : kAbsent, f, depth, first, object_meta)) return false;
        continue;
      }
      const ProtoEntry* e = embedding(type, i);
      if (!e) continue;
      if (!embedded(seen >> e->first & 1 ? slots[e->first] : kAbsent, *e->embedded, depth, first)) return false;
      const std::size_t after = e->first + e->embedded->fields.size();
      left = after < kMaxFields ? left >> after << after : 0;
    }
    return true;
  }

  // The entry of the embedded struct that has field `index`.
  static const ProtoEntry* embedding(const TypeSchema& type, std::size_t index) {
    for (const ProtoEntry& e : type.proto)
      if (e.embedded && e.first <= index && index < e.first + e.embedded->fields.size()) return &e;
    return nullptr;
  }

  // Occurrences of a message that isn't repeated add up, which is what their concatenation says.
  static std::string joined(const Slot& s, std::uint32_t number) {
    std::string all;
    ProtoReader r({s.begin, static_cast<std::size_t>(s.end - s.begin)});
    while (r.next())
      if (r.number() == number && r.wire_type() == wire::kBytes) all += r.bytes();
    return all;
  }
  static std::uint32_t number_of(const Slot& s) {
    ProtoReader r({s.begin, static_cast<std::size_t>(s.end - s.begin)});
    r.next();
    return r.number();
  }

  bool embedded(const Slot& s, const TypeSchema& type, int depth, bool& first) {
    if (!s.begin) return members({}, type, depth + 1, first, false);
    if (s.last.wire_type != wire::kBytes) return false;
    if (s.count > 1) {
      std::string all = joined(s, number_of(s));
      return members(all, type, depth + 1, first, false);
    }
    return members(s.last.bytes, type, depth + 1, first, false);
  }

  bool field(const Slot& s, const FieldSchema& f, int depth, bool& first, bool object_meta) {
    const bool there = s.begin != nullptr;
    switch (f.cardinality) {
      case Cardinality::Single: return single(s, f, depth, first, object_meta);
      case Cardinality::Optional:
        if (!there && (f.omitempty || f.omitzero)) return true;
        name(f.json_name, first);
        if (!there) return null();
        return one(s, f, depth);
      case Cardinality::List:
      case Cardinality::Map:
        if (!there && f.omitempty) return true;
        name(f.json_name, first);
        if (!there) return null();
        return f.is_list() ? list(s, f, depth) : map(s, f, depth);
    }
    return false;
  }

  bool single(const Slot& s, const FieldSchema& f, int depth, bool& first, bool object_meta) {
    if (object_meta && f.json_name == "resourceVersion" && !options_.resource_version.empty()) {
      name(f.json_name, first);
      out_.quoted(options_.resource_version);
      return true;
    }
    bool empty = !s.begin;
    if (s.begin && s.last.wire_type != wire::wire_type_of(f.kind)) return false;
    switch (f.kind) {
      case FieldKind::Bool:
      case FieldKind::Int32:
      case FieldKind::Int64: empty = s.last.varint == 0; break;
      case FieldKind::Double: empty = wire::double_of(s.last.varint) == 0; break;
      case FieldKind::String:
      case FieldKind::Bytes: empty = s.last.bytes.empty(); break;
      case FieldKind::Time:
      case FieldKind::MicroTime:
        if (f.omitzero && s.last.bytes.empty()) return true;
        break;
      case FieldKind::Message:
        if (f.message->shape == Shape::Array && f.omitempty && s.last.bytes.empty()) return true;
        break;
      default: break;
    }
    if (empty && f.omitempty && f.kind <= FieldKind::Bytes) return true;
    name(f.json_name, first);
    if (s.begin) {
      if (f.is_message() && depth == 0 && f.json_name == "metadata") return nested(s, f, depth, true);
      return one(s, f, depth);
    }
    return zero(f, depth);
  }

  bool null() { return out_.put("null"), true; }

  // A value that isn't on the wire.
  bool zero(const FieldSchema& f, int depth) {
    switch (f.kind) {
      case FieldKind::Bool: return out_.put("false"), true;
      case FieldKind::Int32:
      case FieldKind::Int64:
      case FieldKind::Double:
      case FieldKind::IntOrString: return out_.put('0'), true;
      case FieldKind::String: return out_.put("\"\""), true;
      case FieldKind::Quantity: return out_.put("\"0\""), true;
      case FieldKind::Duration: return out_.put("\"0s\""), true;
      case FieldKind::Message:
        if (f.message->shape == Shape::Array) return null();
        return value_message({}, *f.message, depth + 1, depth == 0 && f.json_name == "metadata");
      default: return null();
    }
  }

  bool one(const Slot& s, const FieldSchema& f, int depth) {
    if (f.is_message()) return nested(s, f, depth, false);
    return value(s.last.wire_type, s.last.varint, s.last.bytes, f, depth);
  }

  bool nested(const Slot& s, const FieldSchema& f, int depth, bool object_meta) {
    if (s.last.wire_type != wire::kBytes) return false;
    if (s.count > 1) {
      std::string all = joined(s, f.proto_number);
      return value_message(all, *f.message, depth + 1, object_meta);
    }
    return value_message(s.last.bytes, *f.message, depth + 1, object_meta);
  }

  bool list(const Slot& s, const FieldSchema& f, int depth) {
    out_.put('[');
    bool first = true;
    wire::FieldOnWire w;
    for (const char* p = s.begin; p != s.end;) {
      if (!wire::read_field(p, s.end, w)) return false;
      if (w.number != f.proto_number) continue;
      if (!first) out_.put(',');
      first = false;
      if (!value(w.wire_type, w.varint, w.bytes, f, depth)) return false;  // also of packed numbers: see append_json_from_message
    }
    out_.put(']');
    return true;
  }

  bool map(const Slot& s, const FieldSchema& f, int depth) {
    // Upstream writes maps sorted; what came from elsewhere may not be, and a key may come twice: then the last one counts.
    std::vector<wire::MapEntry> entries;
    bool sorted = true;
    wire::FieldOnWire w;
    for (const char* p = s.begin; p != s.end;) {
      if (!wire::read_field(p, s.end, w)) return false;
      if (w.number != f.proto_number) continue;
      wire::MapEntry e;
      if (w.wire_type != wire::kBytes || !wire::read_map_entry(w.bytes, e)) return false;
      if (!e.has_value) e.wire_type = wire::wire_type_of(f.kind);
      sorted = sorted && (entries.empty() || entries.back().key < e.key);
      entries.push_back(e);
    }
    if (!sorted) {
      std::map<std::string_view, wire::MapEntry> last;
      for (const auto& e : entries) last[e.key] = e;
      entries.clear();
      for (const auto& [key, e] : last) entries.push_back(e);
    }
    out_.put('{');
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_.put(',');
      out_.quoted(entries[i].key);
      out_.put(':');
      if (!value(entries[i].wire_type, entries[i].varint, entries[i].bytes, f, depth)) return false;
    }
    out_.put('}');
    return true;
  }

  void integer(std::int64_t v) {
    char buffer[24];
    char* end = buffer + sizeof buffer;
    char* p = end;
    auto u = v < 0 ? 0 - static_cast<std::uint64_t>(v) : static_cast<std::uint64_t>(v);
    do *--p = static_cast<char>('0' + u % 10);
    while (u /= 10);
    if (v < 0) *--p = '-';
    out_.put(std::string_view(p, static_cast<std::size_t>(end - p)));
  }

  bool value(int wire_type, std::uint64_t varint, std::string_view bytes, const FieldSchema& f, int depth) {
    if (wire_type != wire::wire_type_of(f.kind)) return false;
    switch (f.kind) {
      case FieldKind::Bool: return out_.put(varint ? "true" : "false"), true;
      case FieldKind::Int32: return integer(static_cast<std::int32_t>(varint)), true;
      case FieldKind::Int64: return integer(static_cast<std::int64_t>(varint)), true;
      case FieldKind::Double: {
        double d = wire::double_of(varint);
        if (!std::isfinite(d)) return false;
        return out_.put(go_number(d)), true;
      }
      case FieldKind::String: return out_.quoted(bytes), true;
      case FieldKind::Bytes:
        out_.put('"');
        out_.put(base64_encode(bytes));
        out_.put('"');
        return true;
      case FieldKind::Message: return value_message(bytes, *f.message, depth + 1, false);
      default: return value_type(bytes, f);
    }
  }

  bool value_type(std::string_view bytes, const FieldSchema& f) {
    std::string_view content;
    bool present = false;
    switch (f.kind) {
      case FieldKind::Time:
      case FieldKind::MicroTime: {
        Time t;
        bool micro = f.kind == FieldKind::MicroTime;
        if (!wire::read_time(bytes, t, micro)) return false;
        if (t.is_zero()) return null();
        out_.put('"');
        out_.put(micro ? t.to_micro_string() : t.to_string());
        out_.put('"');
        return true;
      }
      case FieldKind::Duration: {
        std::int64_t ns;
        if (!wire::read_duration(bytes, ns)) return false;
        out_.quoted(format_duration(Duration(ns)));
        return true;
      }
      case FieldKind::Quantity:
        // Stored canonically: whoever wrote it had parsed it.
        if (!wire::read_wrapped(bytes, content, present)) return false;
        out_.quoted(present ? content : "0");
        return true;
      case FieldKind::IntOrString: {
        bool is_string;
        std::int32_t number;
        if (!wire::read_int_or_string(bytes, is_string, number, content)) return false;
        if (is_string) out_.quoted(content);
        else integer(number);
        return true;
      }
      default:
        if (!wire::read_wrapped(bytes, content, present)) return false;
        if (content.empty()) return null();
        if (wire::is_protobuf_object(content)) return false;
        return json(content);
    }
  }

  // JSON as it is stored, escaped as the rest: < > & only ever stand within its strings.
  bool json(std::string_view text) {
    if (std::none_of(text.begin(), text.end(), [](char c) { return kReparse[static_cast<unsigned char>(c)]; })) {
      out_.put(text);
      return true;
    }
    DecodeOptions options;
    options.typed = false;
    return append_reparsed(text, options);
  }
  bool append_reparsed(std::string_view text, const DecodeOptions& options);

  bool value_message(std::string_view bytes, const TypeSchema& type, int depth, bool object_meta) {
    if (type.shape != Shape::Object) return shaped(bytes, type, depth);
    out_.put('{');
    bool first = true;
    if (!members(bytes, type, depth, first, object_meta)) return false;
    out_.put('}');
    return true;
  }

  bool shaped(std::string_view bytes, const TypeSchema& type, int depth) {
    if (depth > kMaxDepth) return false;
    Slot slots[2] = {};
    std::uint64_t seen = 0;
    if (type.fields.size() > std::size(slots) || !scan(bytes, type, slots, seen)) return false;
    switch (type.shape) {
      case Shape::Array:
        if (!slots[0].begin) return out_.put("[]"), true;
        return list(slots[0], type.fields[0], depth);
      case Shape::SchemaOrBool:
        if (slots[1].begin) return one(slots[1], type.fields[1], depth);
        return out_.put(slots[0].last.varint ? "true" : "false"), true;
      default:
        if (slots[1].begin) return list(slots[1], type.fields[1], depth);
        if (slots[0].begin) return one(slots[0], type.fields[0], depth);
        return null();
    }
  }

  TextBuffer out_;
  const TranscodeOptions& options_;
};

bool Writer::append_reparsed(std::string_view text, const DecodeOptions& options) {
  auto v = decode_json(text, nullptr, options);
  if (!v) return false;
  out_.put(encode_json(*v, nullptr));
  return true;
}

}  // namespace

Status append_json_from_message(std::string& out, std::string_view message, const TypeSchema& type, const TranscodeOptions& options) {
  const std::size_t start = out.size();
  {
    Writer writer(out, options);
    if (writer.top(message, type)) return {};
    writer.restore(start);
  }
  // The rare forms (packed numbers) and the reason of a failure come from the slow way.
  ASSIGN_OR_RETURN(Document object, decode_message(message, type));
  if (!options.kind.empty()) object["kind"] = options.kind;
  if (!options.api_version.empty()) object["apiVersion"] = options.api_version;
  if (!options.resource_version.empty()) object_at(object, "metadata")["resourceVersion"] = options.resource_version;
  append_json(out, object, &type);
  return {};
}

}  // namespace onebin::apimachinery
