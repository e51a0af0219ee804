// C++ struct -> protobuf, by its reflection table.
#include <onebin/apimachinery/reflect.hpp>

#include "struct_access.hpp"
#include "wire.hpp"

namespace onebin::apimachinery {
namespace {

using wire::BackWriter;

class Encoder {
 public:
  explicit Encoder(BackWriter& out) : out_(out) {}

  void message(const char* object, const TypeSchema& type, std::span<const MemberInfo> members) {
    for (auto e = type.proto.rbegin(); e != type.proto.rend(); ++e) {
      if (e->embedded) {
        std::size_t mark = out_.size();
        message(object, *e->embedded, members.subspan(e->first, e->embedded->fields.size()));
        out_.close(e->number, mark);
        continue;
      }
      const FieldSchema& f = type.fields[e->first];
      const MemberInfo& m = members[e->first];
      if (f.is_message()) nested(object + m.offset, f, m, wire::wire_cardinality(type, f));
      else scalar(object + m.offset, f, wire::wire_cardinality(type, f));
    }
  }

 private:
  void nested(const char* member, const FieldSchema& f, const MemberInfo& m, Cardinality cardinality) {
    auto one = [&](const void* element, std::uint32_t number) {
      std::size_t mark = out_.size();
      message(static_cast<const char*>(element), *m.message->schema, m.message->members);
      bool nil = cardinality == Cardinality::Single && f.message->shape == Shape::Array && out_.size() == mark;
      if (!nil) out_.close(number, mark);
    };
    if (cardinality == Cardinality::Single) return one(member, f.proto_number);
    const std::size_t base = elements_.size();
    m.ops->each(member, this, [](void* self, std::string_view key, const void* element) {
      static_cast<Encoder*>(self)->elements_.push_back({key, element});
    });
    while (elements_.size() > base) {
      auto [key, element] = elements_.back();
      elements_.pop_back();
      if (cardinality != Cardinality::Map) {
        one(element, f.proto_number);
        continue;
      }
      std::size_t mark = out_.size();
      one(element, 2);
      out_.bytes_field(1, key);
      out_.close(f.proto_number, mark);
    }
  }

  void scalar(const char* member, const FieldSchema& f, Cardinality cardinality) {
    with_stored_type(f.kind, [&](auto* null) {
      using T = std::remove_pointer_t<decltype(null)>;
      switch (cardinality) {
        case Cardinality::Single: {
          const T& v = *reinterpret_cast<const T*>(member);
          if (f.kind == FieldKind::Bytes && is_empty(v)) return;
          return value(v, f, f.proto_number);
        }
        case Cardinality::Optional: {
          if (is_self_optional(f.kind)) {
            const T& v = *reinterpret_cast<const T*>(member);
            if (!is_empty(v)) value(v, f, f.proto_number);
            return;
          }
          const auto& v = *reinterpret_cast<const std::optional<T>*>(member);
          if (v) value(*v, f, f.proto_number);
          return;
        }
        case Cardinality::List: {
          const auto& v = *reinterpret_cast<const std::vector<T>*>(member);
          for (std::size_t i = v.size(); i-- > 0;) value(static_cast<const T&>(v[i]), f, f.proto_number);
          return;
        }
        case Cardinality::Map: {
          const auto& v = *reinterpret_cast<const std::map<std::string, T>*>(member);
          for (auto i = v.rbegin(); i != v.rend(); ++i) {
            std::size_t mark = out_.size();
            value(i->second, f, 2);
            out_.bytes_field(1, i->first);
            out_.close(f.proto_number, mark);
          }
        }
      }
    });
  }

  template <class T>
  static bool is_empty(const T& v) {
    if constexpr (std::is_same_v<T, std::string>) return v.empty();
    else if constexpr (std::is_same_v<T, Time>) return v.is_zero();
    else return false;
  }

  template <class T>
  void value(const T& v, const FieldSchema& f, std::uint32_t number) {
    if constexpr (std::is_same_v<T, bool>) out_.varint_field(number, v ? 1 : 0);
    else if constexpr (std::is_same_v<T, double>) out_.double_field(number, v);
    else if constexpr (std::is_integral_v<T>) out_.varint_field(number, static_cast<std::uint64_t>(static_cast<std::int64_t>(v)));
    else if constexpr (std::is_same_v<T, Time>) out_.time_field(number, v, f.kind == FieldKind::MicroTime);
    else if constexpr (std::is_same_v<T, Duration>) out_.duration_field(number, v.count());
    else if constexpr (std::is_same_v<T, Quantity>) out_.wrapped_field(number, v.to_string());
    else if constexpr (std::is_same_v<T, IntOrString>) out_.int_or_string_field(number, v.is_string, v.int_value, v.string_value);
    else if (f.kind == FieldKind::String || f.kind == FieldKind::Bytes) out_.bytes_field(number, v);
    else out_.wrapped_field(number, v, !v.empty());
  }

  struct Element {
    std::string_view key;
    const void* element;
  };
  BackWriter& out_;
  std::vector<Element> elements_;  // a stack
};

}  // namespace

std::string encode_struct(const void* object, const StructInfo& info) {
  BackWriter out;
  Encoder(out).message(static_cast<const char*>(object), *info.schema, info.members);
  return out.take();
}

}  // namespace onebin::apimachinery
