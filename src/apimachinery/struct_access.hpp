// How a struct's scalar members are stored, by kind.
#pragma once
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/apimachinery/schema.hpp>
#include <onebin/apimachinery/values.hpp>
#include <onebin/base/time.hpp>

#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace onebin::apimachinery {

// Calls f with a null pointer of the type that holds one value of this kind. Not for Message.
template <class F>
auto with_stored_type(FieldKind kind, F&& f) {
  switch (kind) {
    case FieldKind::Bool: return f(static_cast<bool*>(nullptr));
    case FieldKind::Int32: return f(static_cast<std::int32_t*>(nullptr));
    case FieldKind::Int64: return f(static_cast<std::int64_t*>(nullptr));
    case FieldKind::Double: return f(static_cast<double*>(nullptr));
    case FieldKind::Time:
    case FieldKind::MicroTime: return f(static_cast<Time*>(nullptr));
    case FieldKind::Duration: return f(static_cast<Duration*>(nullptr));
    case FieldKind::Quantity: return f(static_cast<Quantity*>(nullptr));
    case FieldKind::IntOrString: return f(static_cast<IntOrString*>(nullptr));
    default: return f(static_cast<std::string*>(nullptr));
  }
}

// Whose absence is a value of its own, so that a pointer to it is no std::optional: see src/api/schema/compile.py.
inline bool is_self_optional(FieldKind kind) {
  switch (kind) {
    case FieldKind::Time: case FieldKind::MicroTime: case FieldKind::RawExtension: case FieldKind::FieldsV1: case FieldKind::Json: return true;
    default: return false;
  }
}

}  // namespace onebin::apimachinery
