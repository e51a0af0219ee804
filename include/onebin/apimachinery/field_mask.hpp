// FieldMask: decoding only what is read, for readers that need little of many objects (printers, authorizers).
#pragma once
#include <onebin/apimachinery/schema.hpp>
#include <onebin/base/result.hpp>

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string_view>
#include <vector>

namespace onebin::apimachinery {

// Which members of a type are wanted. Made once for a type.
class FieldMask {
 public:
  // Dotted JSON names ("spec.containers.name": the name alone of each item), each wanted whole from there on.
  static FieldMask of(const TypeSchema& type, std::span<const std::string_view> paths);
  // All but metadata.managedFields, which is large and which nobody prints.
  static FieldMask without_managed_fields(const TypeSchema& type);

  // Of a field by its index in the type: whether it is wanted, and what of it (null: all).
  bool wants(std::size_t field) const { return of_field_[field] != 0; }
  const FieldMask* below(std::size_t field) const { return of_field_[field] > 1 ? &below_[of_field_[field] - 2u] : nullptr; }

 private:
  void add(const TypeSchema& type, std::string_view path);
  std::vector<std::uint8_t> of_field_;  // 0 dropped, 1 whole, else 2 + index into below_
  std::vector<FieldMask> below_;
};

// As decode_message; what the mask does not name is left out.
Result<nlohmann::json> decode_masked(std::string_view bytes, const TypeSchema& type, const FieldMask& mask);

}  // namespace onebin::apimachinery
