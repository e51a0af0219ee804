// What gnostic's two Document messages, of OpenAPI v2 and v3, have in common on the wire.
#pragma once
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/document.hpp>

#include <cstring>

namespace onebin::apimachinery::openapi_wire {

inline std::string dump(const Document& d) { return d.dump(-1, ' ', false, Document::error_handler_t::replace); }

// Writers append a message's fields; the caller frames them.
inline void text(std::string& out, std::uint32_t number, const Document& object, const char* name) {
  auto s = string_at(object, name);
  if (!s.empty()) append_bytes_field(out, number, s);
}
inline void texts(std::string& out, std::uint32_t number, const Document& object, const char* name) {
  const auto& list = member(object, name);
  if (!list.is_array()) return;
  for (const auto& v : list)
    if (v.is_string()) append_bytes_field(out, number, v.get_ref<const std::string&>());
}
inline void flag(std::string& out, std::uint32_t number, const Document& object, const char* name) {
  if (bool_at(object, name)) append_varint_field(out, number, 1);
}
inline void integer(std::string& out, std::uint32_t number, const Document& object, const char* name) {
  if (const auto& v = member(object, name); v.is_number() && v.get<std::int64_t>() != 0)
    append_varint_field(out, number, static_cast<std::uint64_t>(v.get<std::int64_t>()));
}
inline void real(std::string& out, std::uint32_t number, const Document& v) {
  append_varint(out, number << 3 | 1);
  double d = v.get<double>();
  char raw[8];
  std::memcpy(raw, &d, 8);  // little-endian, as all machines that this is built for
  out.append(raw, 8);
}
inline void real(std::string& out, std::uint32_t number, const Document& object, const char* name) {
  if (const auto& v = member(object, name); v.is_number() && v.get<double>() != 0) real(out, number, v);
}
inline void any(std::string& out, std::uint32_t number, const Document& value) {
  std::string inner;
  append_bytes_field(inner, 2, dump(value));  // JSON is YAML
  append_bytes_field(out, number, inner);
}
inline void any_member(std::string& out, std::uint32_t number, const Document& object, const char* name) {
  if (const auto* v = find_member(object, name)) any(out, number, *v);
}

inline void named(std::string& out, std::uint32_t number, const std::string& name, const std::string& value) {
  std::string inner;
  append_bytes_field(inner, 1, name);
  append_bytes_field(inner, 2, value);
  append_bytes_field(out, number, inner);
}

inline void extensions(std::string& out, std::uint32_t number, const Document& object) {
  for (const auto& [k, v] : object.items()) {
    if (k.rfind("x-", 0) != 0) continue;
    std::string value;
    append_bytes_field(value, 2, dump(v));
    named(out, number, k, value);
  }
}

}  // namespace onebin::apimachinery::openapi_wire
