#include "apiserver/aggregator/openapi_merge.hpp"

#include <onebin/apimachinery/document.hpp>
#include <onebin/base/bytes.hpp>

#include <set>

namespace onebin::apiserver {
namespace {

using apimachinery::Document;
using apimachinery::member;
using apimachinery::string_at;

constexpr std::string_view kPaths = "\"paths\":{", kDefinitions = "},\"definitions\":{", kRef = "#/definitions/";

void collect_refs(const Document& d, std::set<std::string>& to, int depth = 0) {
  if (depth > 200) return;
  if (d.is_object())
    if (std::string_view ref = string_at(d, "$ref"); starts_with(ref, kRef)) to.emplace(ref.substr(kRef.size()));
  if (d.is_structured())
    for (const auto& v : d) collect_refs(v, to, depth + 1);
}

// Members for the object that begins at `at`, where it may have others.
void insert_members(std::string& text, std::size_t at, std::string members) {
  if (members.empty()) return;
  if (text[at] == '}') members.pop_back();
  text.insert(at, members);
}

}  // namespace

std::string merge_openapi_v2(std::string ours, const std::vector<RemoteOpenApi>& others) {
  std::size_t definitions = ours.find(kDefinitions);
  if (definitions == std::string::npos || ours.find(kPaths) == std::string::npos) return ours;
  auto has = [&](const std::string& name) { return ours.find("\"" + name + "\":{", definitions) != std::string::npos; };
  std::string new_paths, new_definitions;
  std::set<std::string> taken;
  for (const auto& o : others) {
    Document d = Document::parse(*o.document, nullptr, false);
    std::set<std::string> refs, seen;
    if (const Document& paths = member(d, "paths"); paths.is_object())
      for (const auto& [path, item] : paths.items()) {
        if (path != o.path && !starts_with(path, o.path + "/")) continue;
        new_paths += Document(path).dump() + ":" + item.dump() + ",";
        collect_refs(item, refs);
      }
    while (!refs.empty()) {
      std::string name = std::move(refs.extract(refs.begin()).value());
      const Document& schema = member(member(d, "definitions"), name);
      if (!seen.insert(name).second || schema.is_null() || has(name) || !taken.insert(name).second) continue;
      new_definitions += Document(name).dump() + ":" + schema.dump() + ",";
      collect_refs(schema, refs);
    }
  }
  insert_members(ours, definitions + kDefinitions.size(), std::move(new_definitions));
  insert_members(ours, ours.find(kPaths) + kPaths.size(), std::move(new_paths));
  return ours;
}

}  // namespace onebin::apiserver
