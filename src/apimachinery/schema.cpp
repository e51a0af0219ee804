#include <onebin/apimachinery/schema.hpp>
#include <onebin/base/assert.hpp>

#include <algorithm>

namespace onebin::apimachinery {

constinit const FieldRules kNoRules{};

int TypeSchema::index_of(std::string_view json_name) const {
  auto it = std::lower_bound(by_name.begin(), by_name.end(), json_name,
                             [this](std::uint16_t i, std::string_view name) { return name_less(fields[i].json_name, name); });
  if (it == by_name.end() || fields[*it].json_name != json_name) return -1;
  return *it;
}

const FieldSchema* TypeSchema::field(std::string_view json_name) const {
  int i = index_of(json_name);
  return i < 0 ? nullptr : &fields[static_cast<std::size_t>(i)];
}

const SubresourceSchema* KindSchema::subresource(std::string_view name) const {
  for (const auto& s : subresources)
    if (s.name == name) return &s;
  return nullptr;
}

bool KindSchema::has_verb(std::string_view verb) const { return std::find(verbs.begin(), verbs.end(), verb) != verbs.end(); }

std::string_view SchemaArena::keep(std::string_view text) {
  if (text.empty()) return {};
  return texts_.emplace_back(text);
}

std::span<const std::string_view> SchemaArena::keep(const std::vector<std::string>& texts) {
  auto& list = lists_.emplace_back();
  for (const auto& t : texts) list.push_back(keep(t));
  return list;
}

const FieldRules* SchemaArena::keep(FieldRules rules) { return &rules_.emplace_back(std::move(rules)); }

TypeSchema* SchemaArena::declare(std::string_view name) {
  auto& type = types_.emplace_back();
  type.name = keep(name);
  type.go_name = type.name.substr(type.name.rfind('.') + 1);  // npos + 1 is 0
  return &type;
}

void SchemaArena::define(TypeSchema* type, std::vector<FieldSchema> fields) {
  auto& kept = fields_.emplace_back(std::move(fields));
  auto& index = indices_.emplace_back();
  auto& entries = protos_.emplace_back();
  for (std::size_t i = 0; i < kept.size(); ++i) {
    index.push_back(static_cast<std::uint16_t>(i));
    if (kept[i].proto_number != 0) entries.push_back({kept[i].proto_number, static_cast<std::uint16_t>(i), nullptr});
  }
  std::sort(index.begin(), index.end(), [&](auto a, auto b) { return kept[a].json_name < kept[b].json_name; });
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.number < b.number; });
  auto& numbers = numbers_.emplace_back();
  if (!entries.empty()) {
    ONEBIN_ASSERT(entries.back().number < 4096 && entries.size() < 255);
    numbers.resize(entries.back().number + 1u);
    for (std::size_t i = 0; i < entries.size(); ++i) numbers[entries[i].number] = static_cast<std::uint8_t>(i + 1);
  }
  type->fields = kept;
  type->by_name = index;
  type->proto = entries;
  type->by_number = numbers;
  auto is = [&](std::size_t i, std::string_view name) { return i < kept.size() && kept[i].json_name == name; };
  type->has_type_meta = is(0, "kind") && is(1, "apiVersion");
}

KindSchema* SchemaArena::kind(KindSchema kind) { return &kinds_.emplace_back(std::move(kind)); }

}  // namespace onebin::apimachinery
