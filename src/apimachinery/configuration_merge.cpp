#include <onebin/apimachinery/configuration_merge.hpp>
#include <onebin/apimachinery/meta.hpp>

#include "apimachinery/typed_value.hpp"

namespace onebin::apimachinery {
namespace {

void find_atomic(const typed::Type& type, const Document& v, const std::string& path, std::string& found) {
  if (!v.is_structured()) return;
  bool list = v.is_array();
  if (typed::is_atomic(type, list ? typed::Atom::List : typed::Atom::Map)) found.append(found.empty() ? "" : ", ").append(path);
  if (list) {
    for (std::size_t i = 0; i < v.size(); ++i) find_atomic(typed::item_type(type), v[i], path + "[" + std::to_string(i) + "]", found);
    return;
  }
  // What a map holds under keys of its own is not looked at.
  for (const auto& [name, member] : v.items()) {
    bool declared = false;
    auto below = typed::member_type(type, name, declared);
    if (declared) find_atomic(*below, member, path + "." + name, found);
  }
}

Status failed(std::string text) { return {Reason::Unknown, std::move(text)}; }

}  // namespace

Result<Document> merge_configuration(const TypeSchema* type, const Document& object, const Document& configuration) {
  const typed::Type root = typed::root_type(type);
  if (auto problem = typed::validate(root, configuration, false); !problem.empty())
    return failed("failed to convert patch object to typed object: " + problem);
  std::string atomic;
  find_atomic(root, configuration, "", atomic);
  if (!atomic.empty()) return failed("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: " + atomic);
  if (auto problem = typed::validate(root, object, true); !problem.empty())
    return failed("failed to convert original object to typed object: " + problem);
  bool built_in = type && !type->proto.empty();
  Document live = built_in ? typed::structured(*type, object, 0) : object;
  auto merged = typed::merge(root, live, configuration);
  if (!merged) return failed("failed to merge patch: " + merged.status().message());
  if (built_in) typed::unstructured(*type, *merged);
  // The managers stay who they are: this tracks nothing.
  erase_meta(*merged, "managedFields");
  if (const Document* managers = find(object, {"metadata", "managedFields"})) set_meta(*merged, "managedFields", *managers);
  return std::move(*merged);
}

}  // namespace onebin::apimachinery
