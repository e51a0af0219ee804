// Reflection: how the codecs reach a C++ struct's members. One table a struct, generated; no code per struct beyond the
// thunks of its containers.
#pragma once
#include <onebin/apimachinery/schema.hpp>
#include <onebin/base/status.hpp>

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace onebin::apimachinery {

struct StructInfo;

// Type-erased access to std::vector<M>, std::map<std::string, M>, Box<M> of a struct M.
struct ContainerOps {
  std::size_t (*size)(const void* container);
  void* (*add)(void* container, std::string_view key);  // a new, default element (for a map: the one at key)
  void (*each)(const void* container, void* context, void (*visit)(void* context, std::string_view key, const void* element));
};

struct MemberInfo {
  std::uint32_t offset = 0;
  const StructInfo* message = nullptr;   // for FieldKind::Message
  const ContainerOps* ops = nullptr;     // for messages that are not Single
};

// members[i] belongs to schema->fields[i].
struct StructInfo {
  const TypeSchema* schema = nullptr;
  std::span<const MemberInfo> members;
  std::string_view group, version, kind;  // of an object; kind "" for a part of one
};

// The struct's bare protobuf message, and back into a default-constructed struct (what is malformed: BadRequest).
std::string encode_struct(const void* object, const StructInfo& info);
Status decode_struct(std::string_view message, void* object, const StructInfo& info, int max_depth = 128);

template <class V>
struct VectorOps {
  static std::size_t size(const void* c) { return static_cast<const V*>(c)->size(); }
  static void* add(void* c, std::string_view) { return &static_cast<V*>(c)->emplace_back(); }
  static void each(const void* c, void* context, void (*visit)(void*, std::string_view, const void*)) {
    for (const auto& e : *static_cast<const V*>(c)) visit(context, {}, &e);
  }
  static constexpr ContainerOps ops{&size, &add, &each};
};

template <class M>
struct MapOps {
  static std::size_t size(const void* c) { return static_cast<const M*>(c)->size(); }
  static void* add(void* c, std::string_view key) { return &(*static_cast<M*>(c))[std::string(key)]; }
  static void each(const void* c, void* context, void (*visit)(void*, std::string_view, const void*)) {
    for (const auto& [k, v] : *static_cast<const M*>(c)) visit(context, k, &v);
  }
  static constexpr ContainerOps ops{&size, &add, &each};
};

template <class B>
struct BoxOps {
  static std::size_t size(const void* c) { return static_cast<const B*>(c)->has_value() ? 1 : 0; }
  static void* add(void* c, std::string_view) { return &static_cast<B*>(c)->ensure(); }
  static void each(const void* c, void* context, void (*visit)(void*, std::string_view, const void*)) {
    const auto* p = static_cast<const B*>(c)->get();
    if (p) visit(context, {}, p);
  }
  static constexpr ContainerOps ops{&size, &add, &each};
};

}  // namespace onebin::apimachinery
