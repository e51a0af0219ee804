#include <onebin/api/registry.hpp>

#include <algorithm>
#include <tuple>

#include "tables.hpp"

namespace onebin::api {

const KindSchema* find_kind(std::string_view group, std::string_view version, std::string_view kind) {
  auto key = std::tie(group, version, kind);
  auto it = std::lower_bound(tables::kKinds.begin(), tables::kKinds.end(), key,
                             [](const KindSchema& k, const auto& want) { return std::tie(k.group, k.version, k.kind) < want; });
  if (it == tables::kKinds.end() || std::tie(it->group, it->version, it->kind) != key) return nullptr;
  return &*it;
}

const KindSchema* find_resource(std::string_view group, std::string_view version, std::string_view plural) {
  for (const KindSchema* k : tables::kResources)
    if (k->plural == plural && k->group == group && k->version == version) return k;
  return nullptr;
}

std::span<const KindSchema* const> all_kinds() { return tables::kResources; }

const TypeSchema* find_type(std::string_view name) {
  auto it = std::lower_bound(tables::kTypes.begin(), tables::kTypes.end(), name,
                             [](const TypeSchema* t, std::string_view want) { return t->name < want; });
  return it == tables::kTypes.end() || (*it)->name != name ? nullptr : *it;
}

std::span<const TypeSchema* const> all_types() { return tables::kTypes; }

}  // namespace onebin::api
