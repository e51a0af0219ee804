// managedFields taken apart: one entry a manager, with its set of fields.
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/field_set.hpp>
#include <onebin/base/result.hpp>

#include <map>
#include <string>
#include <string_view>

namespace onebin::apimachinery {

struct ManagerId {
  std::string manager;
  std::string operation;    // "Apply", "Update"
  std::string api_version;  // "" for Apply: one applier has one entry, whatever its version
  std::string subresource;
  auto operator<=>(const ManagerId&) const = default;
  std::string to_string() const;  // as conflicts name it: `"x" using apps/v1`
};

struct ManagedSet {
  FieldSet set;
  std::string api_version;
  std::string time;  // RFC 3339; "" where unknown
};

using Managers = std::map<ManagerId, ManagedSet>;

Result<Managers> decode_managers(const Document& entries);
// Sorted as upstream sorts them. An empty array for no managers. `as_text`: fieldsV1 is JSON text, as a binary value.
Document encode_managers(const Managers& managers, bool as_text = false);
// Merges the oldest Update entries into "ancient-changes" until at most `limit` are left.
void cap_update_managers(Managers& managers, std::size_t limit);

}  // namespace onebin::apimachinery
