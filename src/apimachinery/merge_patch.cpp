#include <onebin/apimachinery/merge_patch.hpp>

namespace onebin::apimachinery {
namespace {

// In a value that is new to the target, nulls mean nothing, also within lists.
void drop_nulls_within(Document& value) {
  if (value.is_object()) {
    for (auto it = value.begin(); it != value.end();) {
      if (it->is_null()) it = value.erase(it);
      else drop_nulls_within(*it++);
    }
  } else if (value.is_array()) {
    for (auto& v : value) drop_nulls_within(v);
  }
}

}  // namespace

Document apply_merge_patch(Document target, const Document& patch) {
  if (!patch.is_object() || !target.is_object()) {
    Document out = patch;
    drop_nulls_within(out);
    return out;
  }
  for (const auto& [key, value] : patch.items()) {
    if (value.is_null()) {
      target.erase(key);
      continue;
    }
    auto& slot = target[key];
    slot = apply_merge_patch(std::move(slot), value);
  }
  return target;
}

Document create_merge_patch(const Document& before, const Document& after) {
  Document out = Document::object();
  for (const auto& [key, value] : before.items())
    if (!after.contains(key)) out[key] = nullptr;
  for (const auto& [key, value] : after.items()) {
    auto it = before.find(key);
    if (it == before.end()) {
      out[key] = value;
    } else if (it->is_object() && value.is_object()) {
      if (auto inner = create_merge_patch(*it, value); !inner.empty()) out[key] = std::move(inner);
    } else if (*it != value) {
      out[key] = value;
    }
  }
  return out;
}

}  // namespace onebin::apimachinery
