#include <onebin/apimachinery/strategic_merge_patch.hpp>

#include "go_text.hpp"

#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/schema.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <limits>
#include <map>

namespace onebin::apimachinery {
namespace {

constexpr const char* kDirective = "$patch";
constexpr const char* kRetainKeys = "$retainKeys";
constexpr std::string_view kDeletePrefix = "$deleteFromPrimitiveList";
constexpr std::string_view kOrderPrefix = "$setElementOrder";

Status bad_retain_keys() { return bad_request("invalid patch format of retainKeys"); }
// What upstream answers with 500 and the bare text.
Status unexpected(std::string message) { return {Reason::Unknown, std::move(message)}; }
Status no_merge_key(const Document& map, std::string_view key) {
  return unexpected("map: " + go_value(map) + " does not contain declared merge key: " + std::string(key));
}
Status bad_patch_type(const Document& directive, const Document& map) {
  return unexpected("unknown patch type: " + go_value(directive) + " in map: " + go_value(map));
}
std::string_view go_type(const Document& v) {
  if (v.is_object()) return "map[string]interface {}";
  if (v.is_array()) return "[]interface {}";
  if (v.is_string()) return "string";
  if (v.is_boolean()) return "bool";
  if (v.is_number_float()) return "float64";
  if (v.is_number()) return "int64";
  return "<nil>";
}
Status bad_argument(std::string_view expected, const Document& got) {
  return unexpected("expected a " + std::string(expected) + ", but received a " + std::string(go_type(got)));
}

// The type that the members of an object are looked up in.
struct Scope {
  const TypeSchema* type = nullptr;  // null: no struct, so that nothing in it can be looked up
  std::string_view what = "struct";  // Go's kind of it
};

struct PatchMeta {
  Scope element;  // of the struct or map, or of a list's items
  bool merge = false, replace = false;
  std::string_view merge_key;
};

Result<PatchMeta> lookup(const Scope& scope, std::string_view name) {
  if (!scope.type || scope.type->shape != Shape::Object)
    return unexpected("merging an object in json but data type is not struct, instead is: " + std::string(scope.type ? "slice" : scope.what));
  const FieldSchema* f = scope.type->field(name);
  if (!f)
    return unexpected("unable to find api field in struct " + std::string(scope.type->go_name) + " for the json field " + go_quote(name));
  PatchMeta out;
  out.merge = f->rules->patch_strategy & kPatchMerge;
  out.replace = f->rules->patch_strategy & kPatchReplace;
  out.merge_key = f->rules->patch_merge_key;
  if (f->is_map()) out.element = {nullptr, "map"};
  else if (f->is_message()) out.element = {f->message, "struct"};
  else out.element = {nullptr, "interface"};
  return out;
}

class Merger {
 public:
  Status merge_map(Document& original, Document patch, const Scope& scope);

 private:
  Status merge_member(Document& original, std::string key, Document value, const Scope& scope);
  Status merge_ordered(Document& original, Document& patch, const Scope& scope);
  Status merge_one_ordered(Document& original, Document& patch, const std::string& order_key, const Document& order, const Scope& scope);
  Status merge_list(Document& original, Document patch, const PatchMeta& meta, bool deletion);
  Status merge_objects(Document& original, Document& patch, const PatchMeta& meta);
  int depth_ = 0;
};

// What remains of a value that the original did not have: without directives. False: nothing remains.
bool remove_directives(Document& value) {
  if (value.is_object()) {
    if (value.contains(kDirective)) return false;
    for (auto it = value.begin(); it != value.end();) {
      if (remove_directives(*it)) ++it;
      else it = value.erase(it);
    }
  } else if (value.is_array()) {
    Document kept = Document::array();
    for (auto& v : value)
      if (remove_directives(v)) kept.push_back(std::move(v));
    value = std::move(kept);
  }
  return true;
}

void discard_nulls(Document& value) {
  if (value.is_object()) {
    for (auto it = value.begin(); it != value.end();) {
      if (it->is_null()) it = value.erase(it);
      else discard_nulls(*it++);
    }
  } else if (value.is_array()) {
    for (auto& v : value) discard_nulls(v);
  }
}

Status retain_keys(Document& original, Document& patch) {
  auto it = patch.find(kRetainKeys);
  if (it == patch.end()) return {};
  Document keys = std::move(*it);
  patch.erase(it);
  if (!keys.is_array()) return bad_retain_keys();
  auto named = [&](const std::string& k) {
    return std::any_of(keys.begin(), keys.end(), [&](const Document& v) { return v.is_string() && v.get_ref<const std::string&>() == k; });
  };
  for (const auto& [k, v] : patch.items()) {
    if (v.is_null() || starts_with(k, kDeletePrefix) || starts_with(k, kOrderPrefix)) continue;
    if (!named(k)) return bad_retain_keys();
  }
  for (auto o = original.begin(); o != original.end();) {
    if (named(o.key())) ++o;
    else o = original.erase(o);
  }
  return {};
}

// The name after "prefix/".
Result<std::string> strip_prefix(std::string_view key, std::string_view prefix, const char* error) {
  auto slash = key.find('/');
  if (slash == std::string_view::npos || key.substr(0, slash) != prefix) return bad_request(error);
  return std::string(key.substr(slash + 1));
}

// Items are of one type, and no lists.
Result<bool> are_objects(std::initializer_list<const Document*> lists) {
  const Document* first = nullptr;
  for (const auto* list : lists)
    for (const auto& v : *list) {
      if (!first) {
        first = &v;
        if (v.is_array()) return Status(Reason::Invalid, "the server rejected our request due to an error in our request");
        if (v.is_null()) return unexpected("list element types are not identical: null");
      } else if (go_type(v) != go_type(*first)) {
        Document all = Document::array();
        for (const auto* l : lists) all.push_back(*l);
        return unexpected("list element types are not identical: " + go_value(all));
      }
    }
  if (!first) return unexpected("no elements in any of the given slices");
  return first->is_object();
}

const Document* identity(const Document& item, std::string_view merge_key) {
  if (merge_key.empty() || !item.is_object()) return &item;
  return find_member(item, merge_key);
}

// Where a list's items are, by identity; the first counts. Points into the items, which must stay where they are.
class Places {
 public:
  explicit Places(std::string_view merge_key) : merge_key_(merge_key) {}
  Places(const Document& list, std::string_view merge_key) : merge_key_(merge_key) {
    for (std::size_t i = 0; i < list.size(); ++i) add(list[i], i);
  }
  // False when there is such an item already.
  bool add(const Document& item, std::size_t at) {
    const auto* key = identity(item, merge_key_);
    return key && places_.try_emplace(key, static_cast<int>(at)).second;
  }
  int of(const Document& item) const {
    const auto* key = identity(item, merge_key_);
    auto found = key ? places_.find(key) : places_.end();
    return found == places_.end() ? -1 : found->second;
  }

 private:
  struct Less {
    bool operator()(const Document* a, const Document* b) const { return *a < *b; }
  };
  std::string_view merge_key_;
  std::map<const Document*, int, Less> places_;
};

Status all_have_key(const Document& list, std::string_view merge_key) {
  for (const auto& v : list) {
    if (!v.is_object()) return bad_argument("map[string]interface {}", v);
    if (!v.contains(std::string(merge_key))) return no_merge_key(v, merge_key);
  }
  return {};
}

void sort_by(std::vector<Document>& items, const Places& order) {
  std::vector<std::pair<int, std::size_t>> at(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    int k = order.of(items[i]);
    at[i] = {k < 0 ? std::numeric_limits<int>::max() : k, i};
  }
  std::sort(at.begin(), at.end());
  std::vector<Document> sorted;
  sorted.reserve(items.size());
  for (auto [k, i] : at) sorted.push_back(std::move(items[i]));
  items = std::move(sorted);
}

// Items named by `patch_order` come in its order, all others in the server's; the two are interleaved by the server's order
// as well as can be.
Result<Document> in_order(Document merged, const Document& patch_order, const Document& server_order, std::string_view merge_key) {
  if (!merge_key.empty()) {
    RETURN_IF_ERROR(all_have_key(merged, merge_key));
    RETURN_IF_ERROR(all_have_key(patch_order, merge_key));
    RETURN_IF_ERROR(all_have_key(server_order, merge_key));
  }
  std::vector<Document> right, left;
  Places in_patch(patch_order, merge_key), in_server(server_order, merge_key);
  for (auto& v : merged) (in_patch.of(v) >= 0 ? right : left).push_back(std::move(v));
  sort_by(right, in_patch);
  sort_by(left, in_server);
  Document out = Document::array();
  std::size_t i = 0, j = 0;
  while (i < left.size() || j < right.size()) {
    bool take_left = j >= right.size();
    if (!take_left && i < left.size()) {
      int l = in_server.of(left[i]), r = in_server.of(right[j]);
      take_left = l >= 0 && r >= 0 && l < r;
    }
    out.push_back(std::move(take_left ? left[i++] : right[j++]));
  }
  return out;
}

// The items of the patch must come in the order that its $setElementOrder states.
Status check_order(const Document& patch, const Document& order, std::string_view merge_key) {
  if (patch.empty() || order.empty()) return {};
  std::size_t p = 0, o = 0;
  while (p < patch.size() && o < order.size()) {
    if (patch[p].is_object() && patch[p].contains(kDirective)) {
      ++p;
      continue;
    }
    const auto* a = identity(patch[p], merge_key);
    const auto* b = identity(order[o], merge_key);
    if (!a) return no_merge_key(patch[p], merge_key);
    if (!b) return no_merge_key(order[o], merge_key);
    if (*a == *b) ++p;
    ++o;
  }
  while (p < patch.size() && patch[p].is_object() && patch[p].contains(kDirective)) ++p;
  if (p < patch.size())
    return unexpected("The order in patch list:\n" + go_value(patch) + "\n doesn't match " + std::string(kOrderPrefix) + " list:\n" +
                      go_value(order) + "\n");
  return {};
}

Status Merger::merge_map(Document& original, Document patch, const Scope& scope) {
  if (depth_ > 200) return bad_request("patch is nested too deeply");
  if (auto d = patch.find(kDirective); d != patch.end()) {
    if (*d == "replace") {
      patch.erase(d);
      original = std::move(patch);
    } else if (*d == "delete") {
      original = Document::object();
    } else {
      return bad_patch_type(*d, patch);
    }
    return {};
  }
  if (!original.is_object()) original = Document::object();
  RETURN_IF_ERROR(retain_keys(original, patch));
  RETURN_IF_ERROR(merge_ordered(original, patch, scope));
  ++depth_;
  for (auto& [key, value] : patch.get_ref<Document::object_t&>()) {
    Status s = merge_member(original, key, std::move(value), scope);
    if (!s) return s;
  }
  --depth_;
  return {};
}

Status Merger::merge_member(Document& original, std::string key, Document value, const Scope& scope) {
  bool deletion = starts_with(key, kDeletePrefix);
  if (deletion) {
    ASSIGN_OR_RETURN(key, strip_prefix(key, kDeletePrefix, "invalid patch format of primitive list"));
  }
  if (value.is_null()) {
    original.erase(key);
    return {};
  }
  auto it = original.find(key);
  bool alike = it != original.end() && go_type(*it) == go_type(value);
  if (!alike || !value.is_structured()) {
    if (deletion) return {};
    if (!alike) discard_nulls(value);
    if (remove_directives(value)) original[key] = std::move(value);
    else original.erase(key);
    return {};
  }
  ASSIGN_OR_RETURN(auto meta, lookup(scope, key));
  if (value.is_object()) {
    if (meta.replace) {
      *it = std::move(value);
      return {};
    }
    return merge_map(*it, std::move(value), meta.element);
  }
  if (meta.merge || deletion) return merge_list(*it, std::move(value), meta, deletion);
  *it = std::move(value);
  return {};
}

// Lists that come with a $setElementOrder: merged and ordered here, and taken out of the patch.
Status Merger::merge_ordered(Document& original, Document& patch, const Scope& scope) {
  std::vector<std::pair<std::string, Document>> orders;
  for (auto it = patch.begin(); it != patch.end();) {
    if (!starts_with(it.key(), kOrderPrefix)) {
      ++it;
      continue;
    }
    orders.emplace_back(it.key(), std::move(*it));
    it = patch.erase(it);
  }
  for (const auto& [key, order] : orders) RETURN_IF_ERROR(merge_one_ordered(original, patch, key, order, scope));
  return {};
}

Status Merger::merge_one_ordered(Document& original, Document& patch, const std::string& order_key, const Document& order, const Scope& scope) {
  if (!order.is_array()) return bad_argument("[]interface {}", order);
  auto stripped = strip_prefix(order_key, kOrderPrefix, "invalid patch format of setElementOrder list");
  if (!stripped) return stripped.status();
  const std::string& key = *stripped;
  auto o = original.find(key);
  auto p = patch.find(key);
  bool has_original = o != original.end(), has_patch = p != patch.end();
  if (has_original && !o->is_array()) return bad_argument("[]interface {}", *o);
  if (has_patch && !p->is_array()) return bad_argument("[]interface {}", *p);
  ASSIGN_OR_RETURN(auto meta, lookup(scope, key));
  Document server = has_original ? *o : Document::array();
  Document changes = has_patch ? std::move(*p) : Document::array();
  if (has_patch) patch.erase(p);
  for (const auto& v : changes)
    if (!meta.merge_key.empty() && !v.is_object()) return bad_argument("map[string]interface {}", v);
  RETURN_IF_ERROR(check_order(changes, order, meta.merge_key));
  if (!has_original && !has_patch) return {};
  Document merged;
  Document changed = changes;
  if (!has_patch) {
    merged = server;
  } else if (!has_original) {
    merged = std::move(changes);
    remove_directives(merged);
  } else if (meta.merge) {
    merged = server;
    RETURN_IF_ERROR(merge_list(merged, std::move(changes), meta, false));
  } else {
    merged = std::move(changes);
  }
  if (server.empty() && changed.empty()) return {};
  RETURN_IF_ERROR(are_objects({&server, &changed}));
  ASSIGN_OR_RETURN(original[key], in_order(std::move(merged), order, server, meta.merge_key));
  return {};
}

Status Merger::merge_list(Document& original, Document patch, const PatchMeta& meta, bool deletion) {
  if (original.empty() && patch.empty()) return {};
  auto objects = are_objects({&original, &patch});
  if (!objects) return objects.status();
  if (*objects) return merge_objects(original, patch, meta);
  Document merged = Document::array();
  if (deletion) {
    Places dropped(patch, std::string_view{});
    for (auto& v : original)
      if (dropped.of(v) < 0) merged.push_back(std::move(v));
    original = std::move(merged);
    return {};
  }
  Places seen(std::string_view{});
  for (const auto* list : {&original, &patch})
    for (const auto& v : *list)
      if (seen.add(v, merged.size())) merged.push_back(v);
  ASSIGN_OR_RETURN(original, in_order(std::move(merged), patch, original, {}));
  return {};
}

Status Merger::merge_objects(Document& original, Document& patch, const PatchMeta& meta) {
  if (meta.merge_key.empty()) return unexpected("cannot merge lists without merge key for " + std::string(meta.element.what));
  const std::string key(meta.merge_key);
  Document plain = Document::array();
  Places deleted(key);
  bool replace = false;
  for (auto& v : patch) {
    auto d = v.find(kDirective);
    if (d == v.end()) {
      plain.push_back(std::move(v));
      continue;
    }
    if (*d == "delete") {
      auto k = v.find(key);
      if (k == v.end()) return no_merge_key(v, key);
      deleted.add(v, 0);
    } else if (*d == "replace") {
      replace = true;
    } else if (*d == "merge") {
      return unexpected("merging lists cannot yet be specified in the patch");
    } else {
      return bad_patch_type(*d, v);
    }
  }
  if (replace) {
    original = std::move(plain);
    return {};
  }
  Document kept = Document::array();
  for (auto& item : original)
    if (deleted.of(item) < 0) kept.push_back(std::move(item));
  original = std::move(kept);
  Document server = original;
  Places places(server, key);
  for (auto& v : plain) {
    if (!v.contains(key)) return no_merge_key(v, key);
    int at = places.of(v);
    if (at < 0) {
      places.add(v, original.size());
      original.push_back(v);
    } else {
      RETURN_IF_ERROR(merge_map(original[static_cast<std::size_t>(at)], v, meta.element));
    }
  }
  ASSIGN_OR_RETURN(original, in_order(std::move(original), plain, server, key));
  return {};
}

}  // namespace

Result<Document> apply_strategic_merge_patch(const TypeSchema& schema, Document original, Document patch) {
  if (!patch.is_object()) return bad_request("invalid JSON document");
  if (schema.preserve_unknown) return bad_request("strategic merge patch format is not supported");
  Merger merger;
  RETURN_IF_ERROR(merger.merge_map(original, std::move(patch), {&schema, "struct"}));
  return original;
}

}  // namespace onebin::apimachinery
