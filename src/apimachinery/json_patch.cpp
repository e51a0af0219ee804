#include <onebin/apimachinery/json_patch.hpp>

#include <charconv>
#include <optional>
#include <string>

namespace onebin::apimachinery {
namespace {

std::string decode_token(std::string_view token) {
  std::string out;
  out.reserve(token.size());
  for (std::size_t i = 0; i < token.size(); ++i) {
    if (token[i] == '~' && i + 1 < token.size() && (token[i + 1] == '0' || token[i + 1] == '1')) out += token[++i] == '1' ? '/' : '~';
    else out += token[i];
  }
  return out;
}

std::optional<long long> parse_index(std::string_view key) {
  if (!key.empty() && key.front() == '+') key.remove_prefix(1);
  long long v = 0;
  auto r = std::from_chars(key.data(), key.data() + key.size(), v);
  if (key.empty() || r.ec != std::errc() || r.ptr != key.data() + key.size()) return std::nullopt;
  return v;
}

// The position in a list of `size` places; an index below 0 counts from the end.
std::optional<std::size_t> place(std::string_view key, std::size_t size) {
  auto i = parse_index(key);
  if (!i) return std::nullopt;
  long long n = static_cast<long long>(size), at = *i < 0 ? *i + n : *i;
  if (at < 0 || at >= n) return std::nullopt;
  return static_cast<std::size_t>(at);
}

// A container and the key within it.
struct Target {
  Document* container = nullptr;
  std::string key;
};

std::optional<Document*> child(Document& container, const std::string& key) {
  if (container.is_object()) {
    auto it = container.find(key);
    return it == container.end() ? nullptr : &*it;
  }
  auto at = place(key, container.size());
  if (!at) return std::nullopt;
  return &container[*at];
}

// What stands before the first '/' is ignored, as upstream does.
Target find_target(Document& root, std::string_view path) {
  auto slash = path.find('/');
  if (slash == std::string_view::npos) return {};
  Document* at = &root;
  for (;;) {
    path.remove_prefix(slash + 1);
    slash = path.find('/');
    if (!at->is_object() && !at->is_array()) return {};
    if (slash == std::string_view::npos) return {at, decode_token(path)};
    auto next = child(*at, decode_token(path.substr(0, slash)));
    if (!next || !*next) return {};
    at = *next;
  }
}

// What operations cost beyond their own size. A list's elements move over when one is put in or taken out before them.
struct Spent {
  static constexpr std::size_t kMaxShifted = 30'000'000;
  std::size_t copied = 0, shifted = 0;
  bool shift(std::size_t elements) { return (shifted += elements) <= kMaxShifted; }
};

Status failed() { return {Reason::Invalid, "the server rejected our request due to an error in our request"}; }

Status add(const Target& t, Document value, Spent& spent) {
  if (!t.container) return failed();
  if (t.container->is_object()) {
    (*t.container)[t.key] = std::move(value);
    return {};
  }
  auto& list = *t.container;
  if (t.key == "-") {
    list.push_back(std::move(value));
    return {};
  }
  auto at = place(t.key, list.size() + 1);
  if (!at || !spent.shift(list.size() - *at)) return failed();
  list.insert(list.begin() + static_cast<std::ptrdiff_t>(*at), std::move(value));
  return {};
}

Status remove(const Target& t, Spent& spent, Document* taken = nullptr) {
  if (!t.container) return failed();
  auto found = child(*t.container, t.key);
  if (!found || !*found) return failed();
  if (taken) *taken = std::move(**found);
  if (t.container->is_object()) {
    t.container->erase(t.key);
    return {};
  }
  auto at = static_cast<std::size_t>(*found - &(*t.container)[0]);
  if (!spent.shift(t.container->size() - at)) return failed();
  t.container->erase(at);
  return {};
}

Status replace(Document& root, std::string_view path, const Document& value) {
  if (path.empty()) {
    if (!value.is_structured()) return failed();
    root = value;
    return {};
  }
  Target t = find_target(root, path);
  if (!t.container) return failed();
  auto found = child(*t.container, t.key);
  if (!found) return failed();
  if (*found) **found = value;
  else (*t.container)[t.key] = value;
  return {};
}

// Scalars are compared as text: 1 is not 1.0.
bool same(const Document& a, const Document& b) {
  if (a.is_object() && b.is_object()) {
    if (a.size() != b.size()) return false;
    for (auto i = a.begin(), k = b.begin(); i != a.end(); ++i, ++k)
      if (i.key() != k.key() || !same(*i, *k)) return false;
    return true;
  }
  if (a.is_array() && b.is_array()) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
      if (!same(a[i], b[i])) return false;
    return true;
  }
  return a.is_number_float() == b.is_number_float() && a == b;
}

Status test(Document& root, std::string_view path, const Document& value) {
  if (path.empty()) return same(root, value) ? Status() : failed();
  Target t = find_target(root, path);
  if (!t.container) return failed();
  auto found = child(*t.container, t.key);
  if (!found) return failed();
  static const Document kNull;
  return same(*found ? **found : kNull, value) ? Status() : failed();
}

bool deeper_than(const Document& v, int levels) {
  if (!v.is_structured()) return false;
  if (levels == 0) return true;
  for (const auto& e : v)
    if (deeper_than(e, levels - 1)) return true;
  return false;
}
// Decoding bounds the depth of what comes in; copies into themselves and adding at the end of long paths could pass it.
constexpr int kMaxDepth = 128;
Status too_deep() { return bad_request("json: the patched document is nested deeper than " + std::to_string(kMaxDepth)); }

std::size_t text_size(const Document& v) { return v.dump(-1, ' ', false, Document::error_handler_t::replace).size(); }

Status apply_one(Document& root, const Document& operation, Spent& spent) {
  static const Document kNull;
  auto text = [&](const char* name) -> const std::string* {
    auto it = operation.find(name);
    return it != operation.end() && it->is_string() ? &it->get_ref<const std::string&>() : nullptr;
  };
  const std::string* op = text("op");
  const std::string* path = text("path");
  if (!op || !path) return failed();
  auto v = operation.find("value");
  const Document& value = v == operation.end() ? kNull : *v;
  if (*op == "add") return add(find_target(root, *path), value, spent);
  if (*op == "remove") return remove(find_target(root, *path), spent);
  if (*op == "replace") return replace(root, *path, value);
  if (*op == "test") return test(root, *path, value);
  const std::string* from = text("from");
  if (!from || (*op != "move" && *op != "copy")) return failed();
  Document moved;
  Target source = find_target(root, *from);
  if (*op == "move") {
    RETURN_IF_ERROR(remove(source, spent, &moved));
    return add(find_target(root, *path), std::move(moved), spent);
  }
  if (!source.container) return failed();
  auto found = child(*source.container, source.key);
  if (!found) return failed();
  if (*found && deeper_than(**found, kMaxDepth)) return too_deep();
  if (*found) moved = **found;
  spent.copied += text_size(moved);
  if (spent.copied > kMaxJsonPatchCopyBytes) return failed();
  return add(find_target(root, *path), std::move(moved), spent);
}

}  // namespace

Result<Document> apply_json_patch(Document target, const Document& patch) {
  if (!patch.is_array()) return bad_request("json: cannot unmarshal a JSON patch that is not an array of operations");
  for (const auto& op : patch)
    if (!op.is_object()) return bad_request("json: cannot unmarshal a JSON patch operation that is not an object");
  if (patch.size() > kMaxJsonPatchOperations)
    return Status(Reason::RequestEntityTooLarge,
                  "The allowed maximum operations in a JSON patch is " + std::to_string(kMaxJsonPatchOperations) + ", got " + std::to_string(patch.size()));
  Spent spent;
  for (const auto& op : patch) RETURN_IF_ERROR(apply_one(target, op, spent));
  if (deeper_than(target, kMaxDepth)) return too_deep();
  return target;
}

const Document* resolve_json_pointer(const Document& document, std::string_view pointer) {
  if (pointer.empty()) return &document;
  if (pointer.front() != '/') return nullptr;
  const Document* at = &document;
  while (!pointer.empty()) {
    pointer.remove_prefix(1);
    auto slash = pointer.find('/');
    auto key = decode_token(pointer.substr(0, slash));
    if (at->is_object()) {
      auto it = at->find(key);
      if (it == at->end()) return nullptr;
      at = &*it;
    } else if (at->is_array()) {
      auto i = parse_index(key);
      if (!i || *i < 0 || static_cast<std::size_t>(*i) >= at->size()) return nullptr;
      at = &(*at)[static_cast<std::size_t>(*i)];
    } else {
      return nullptr;
    }
    pointer = slash == std::string_view::npos ? std::string_view() : pointer.substr(slash);
  }
  return at;
}

}  // namespace onebin::apimachinery
