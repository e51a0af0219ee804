// protobuf -> C++ struct, by its reflection table.
#include <onebin/apimachinery/reflect.hpp>

#include "struct_access.hpp"
#include "wire.hpp"

namespace onebin::apimachinery {
namespace {

class Decoder {
 public:
  explicit Decoder(int max_depth) : max_depth_(max_depth) {}

  Status message(std::string_view bytes, char* object, const TypeSchema& type, std::span<const MemberInfo> members, int depth) {
    if (depth > max_depth_) return wire::malformed("nested deeper than " + std::to_string(max_depth_));
    ProtoReader r(bytes);
    while (r.next()) {
      const ProtoEntry* e = type.entry(r.number());
      if (!e) continue;
      std::string_view content = r.wire_type() == wire::kBytes ? r.bytes() : std::string_view();
      if (e->embedded) {
        if (r.wire_type() != wire::kBytes) return wrong(type.go_name);
        RETURN_IF_ERROR(message(content, object, *e->embedded, members.subspan(e->first, e->embedded->fields.size()), depth + 1));
        continue;
      }
      const FieldSchema& f = type.fields[e->first];
      const MemberInfo& m = members[e->first];
      Cardinality cardinality = wire::wire_cardinality(type, f);
      if (f.is_message()) {
        if (r.wire_type() != wire::kBytes) return wrong(f.json_name);
        RETURN_IF_ERROR(nested(content, object + m.offset, f, m, cardinality, depth + 1));
      } else if (!scalar(r.wire_type(), r.varint(), content, object + m.offset, f, cardinality)) {
        return wrong(f.json_name);
      }
    }
    if (r.failed()) return wrong(type.go_name);
    return {};
  }

 private:
  static Status wrong(std::string_view what) { return wire::malformed("malformed " + std::string(what)); }

  Status nested(std::string_view bytes, char* member, const FieldSchema& f, const MemberInfo& m, Cardinality cardinality, int depth) {
    auto* element = static_cast<void*>(member);
    if (cardinality == Cardinality::Map) {
      wire::MapEntry entry;
      if (!wire::read_map_entry(bytes, entry) || (entry.has_value && entry.wire_type != wire::kBytes)) return wrong(f.json_name);
      element = m.ops->add(member, entry.key);
      bytes = entry.bytes;
    } else if (cardinality != Cardinality::Single) {
      element = m.ops->add(member, {});
    }
    return message(bytes, static_cast<char*>(element), *m.message->schema, m.message->members, depth);
  }

  bool scalar(int wire_type, std::uint64_t varint, std::string_view bytes, char* member, const FieldSchema& f, Cardinality cardinality) {
    return with_stored_type(f.kind, [&](auto* null) {
      using T = std::remove_pointer_t<decltype(null)>;
      switch (cardinality) {
        case Cardinality::Single: return value(wire_type, varint, bytes, f, *reinterpret_cast<T*>(member));
        case Cardinality::Optional:
          if (is_self_optional(f.kind)) return value(wire_type, varint, bytes, f, *reinterpret_cast<T*>(member));
          return value(wire_type, varint, bytes, f, reinterpret_cast<std::optional<T>*>(member)->emplace());
        case Cardinality::List: return append(wire_type, varint, bytes, f, *reinterpret_cast<std::vector<T>*>(member));
        case Cardinality::Map: {
          wire::MapEntry e;
          if (wire_type != wire::kBytes || !wire::read_map_entry(bytes, e)) return false;
          T& slot = (*reinterpret_cast<std::map<std::string, T>*>(member))[std::string(e.key)];
          slot = T();
          return !e.has_value || value(e.wire_type, e.varint, e.bytes, f, slot);
        }
      }
      return false;
    });
  }

  template <class T>
  bool append(int wire_type, std::uint64_t varint, std::string_view bytes, const FieldSchema& f, std::vector<T>& list) {
    bool packed = wire_type == wire::kBytes && wire::wire_type_of(f.kind) != wire::kBytes;
    if (!packed) {
      T v{};
      if (!value(wire_type, varint, bytes, f, v)) return false;
      list.push_back(std::move(v));
      return true;
    }
    while (!bytes.empty()) {
      std::uint64_t raw = 0;
      std::size_t n = 0;
      if (f.kind == FieldKind::Double) {
        if (bytes.size() < 8) return false;
        for (; n < 8; ++n) raw |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[n])) << (8 * n);
      } else {
        for (bool more = true; more; ++n) {
          if (n == bytes.size() || n == 10) return false;
          auto b = static_cast<unsigned char>(bytes[n]);
          raw |= static_cast<std::uint64_t>(b & 0x7f) << (7 * n);
          more = b >= 0x80;
        }
      }
      bytes.remove_prefix(n);
      T v{};
      if (!value(wire::wire_type_of(f.kind), raw, {}, f, v)) return false;
      list.push_back(std::move(v));
    }
    return true;
  }

  template <class T>
  static bool value(int wire_type, std::uint64_t varint, std::string_view bytes, const FieldSchema& f, T& out) {
    if (wire_type != wire::wire_type_of(f.kind)) return false;
    std::string_view content;
    bool present = false;
    if constexpr (std::is_same_v<T, bool>) {
      out = varint != 0;
    } else if constexpr (std::is_same_v<T, double>) {
      out = wire::double_of(varint);
    } else if constexpr (std::is_integral_v<T>) {
      out = static_cast<T>(varint);
    } else if constexpr (std::is_same_v<T, Time>) {
      return wire::read_time(bytes, out, f.kind == FieldKind::MicroTime);
    } else if constexpr (std::is_same_v<T, Duration>) {
      std::int64_t ns;
      if (!wire::read_duration(bytes, ns)) return false;
      out = Duration(ns);
    } else if constexpr (std::is_same_v<T, Quantity>) {
      if (!wire::read_wrapped(bytes, content, present)) return false;
      if (!present) return true;
      auto q = Quantity::parse(content);
      if (!q) return false;
      out = *q;
    } else if constexpr (std::is_same_v<T, IntOrString>) {
      if (!wire::read_int_or_string(bytes, out.is_string, out.int_value, content)) return false;
      out.string_value = content;
    } else if (f.kind == FieldKind::String || f.kind == FieldKind::Bytes) {
      out = bytes;
    } else {
      if (!wire::read_wrapped(bytes, content, present)) return false;
      out = content;
    }
    return true;
  }

  int max_depth_;
};

}  // namespace

Status decode_struct(std::string_view message, void* object, const StructInfo& info, int max_depth) {
  return Decoder(max_depth).message(message, static_cast<char*>(object), *info.schema, info.members, 0);
}

}  // namespace onebin::apimachinery
