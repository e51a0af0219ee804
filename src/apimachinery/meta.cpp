#include <onebin/apimachinery/meta.hpp>

#include <onebin/base/bytes.hpp>
#include <onebin/base/random.hpp>

#include <charconv>

namespace onebin::apimachinery {
namespace {
const Document kEmptyObject = Document::object();
const Document kEmptyArray = Document::array();

const Document& object_or_empty(const Document* d) { return d && d->is_object() ? *d : kEmptyObject; }
const Document& array_or_empty(const Document* d) { return d && d->is_array() ? *d : kEmptyArray; }
}  // namespace

std::optional<GroupVersion> parse_group_version(std::string_view text) {
  auto slash = text.find('/');
  if (slash == std::string_view::npos) return GroupVersion{"", std::string(text)};
  if (text.find('/', slash + 1) != std::string_view::npos) return std::nullopt;
  return GroupVersion{std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
}

const Document* find(const Document& object, std::initializer_list<std::string_view> path) {
  const Document* at = &object;
  for (auto name : path) {
    if (!at->is_object()) return nullptr;
    auto it = at->find(name);
    if (it == at->end()) return nullptr;
    at = &*it;
  }
  return at;
}

std::string_view get_string(const Document& object, std::initializer_list<std::string_view> path) {
  const auto* d = find(object, path);
  return d && d->is_string() ? std::string_view(d->get_ref<const std::string&>()) : std::string_view();
}

std::int64_t get_int(const Document& object, std::initializer_list<std::string_view> path, std::int64_t otherwise) {
  const auto* d = find(object, path);
  return d && d->is_number_integer() ? d->get<std::int64_t>() : otherwise;
}

bool get_bool(const Document& object, std::initializer_list<std::string_view> path, bool otherwise) {
  const auto* d = find(object, path);
  return d && d->is_boolean() ? d->get<bool>() : otherwise;
}

Document& make_path(Document& object, std::initializer_list<std::string_view> path) {
  Document* at = &object;
  for (auto name : path) {
    if (!at->is_object()) *at = Document::object();
    at = &(*at)[std::string(name)];
  }
  return *at;
}

void erase_path(Document& object, std::initializer_list<std::string_view> path) {
  Document* at = &object;
  for (auto it = path.begin(); it != path.end(); ++it) {
    if (!at->is_object()) return;
    auto found = at->find(*it);
    if (found == at->end()) return;
    if (it + 1 == path.end()) {
      at->erase(found);
      return;
    }
    at = &*found;
  }
}

std::string_view api_version_of(const Document& o) { return get_string(o, {"apiVersion"}); }
std::string_view kind_of(const Document& o) { return get_string(o, {"kind"}); }
std::string_view generate_name_of(const Document& o) { return get_string(o, {"metadata", "generateName"}); }
std::string_view resource_version_of(const Document& o) { return get_string(o, {"metadata", "resourceVersion"}); }
std::string_view creation_timestamp_of(const Document& o) { return get_string(o, {"metadata", "creationTimestamp"}); }
std::string_view deletion_timestamp_of(const Document& o) { return get_string(o, {"metadata", "deletionTimestamp"}); }
std::optional<std::int64_t> deletion_grace_period_of(const Document& o) {
  const auto* d = find(o, {"metadata", "deletionGracePeriodSeconds"});
  if (!d || !d->is_number_integer()) return std::nullopt;
  return d->get<std::int64_t>();
}
std::int64_t generation_of(const Document& o) { return get_int(o, {"metadata", "generation"}); }
const Document& labels_of(const Document& o) { return object_or_empty(find(o, {"metadata", "labels"})); }
const Document& annotations_of(const Document& o) { return object_or_empty(find(o, {"metadata", "annotations"})); }
const Document& owner_references_of(const Document& o) { return array_or_empty(find(o, {"metadata", "ownerReferences"})); }
const Document& managed_fields_of(const Document& o) { return array_or_empty(find(o, {"metadata", "managedFields"})); }

std::vector<std::string> finalizers_of(const Document& o) {
  std::vector<std::string> out;
  for (const auto& f : array_or_empty(find(o, {"metadata", "finalizers"})))
    if (f.is_string()) out.push_back(f.get<std::string>());
  return out;
}

std::map<std::string, std::string> string_map(const Document& object) {
  std::map<std::string, std::string> out;
  if (object.is_object())
    for (const auto& [k, v] : object.items())
      if (v.is_string()) out[k] = v.get<std::string>();
  return out;
}

void set_meta(Document& o, std::string_view field, Document value) { make_path(o, {"metadata", field}) = std::move(value); }
void erase_meta(Document& o, std::string_view field) { erase_path(o, {"metadata", field}); }
void set_finalizers(Document& o, const std::vector<std::string>& finalizers) {
  if (finalizers.empty()) erase_meta(o, "finalizers");
  else set_meta(o, "finalizers", finalizers);
}
void set_annotation(Document& o, std::string_view key, std::string_view value) {
  make_path(o, {"metadata", "annotations", key}) = std::string(value);
}

std::optional<std::uint64_t> parse_resource_version(std::string_view text) {
  if (text.empty()) return 0;
  std::uint64_t v = 0;
  auto r = std::from_chars(text.data(), text.data() + text.size(), v);
  if (r.ec != std::errc() || r.ptr != text.data() + text.size()) return std::nullopt;
  return v;
}

const Document* controller_of(const Document& o) {
  for (const auto& ref : owner_references_of(o))
    if (bool_at(ref, "controller")) return &ref;
  return nullptr;
}
bool is_controlled_by(const Document& o, std::string_view owner_uid) {
  const auto* ref = controller_of(o);
  return ref && string_at(*ref, "uid") == owner_uid;
}

std::string generate_name(std::string_view base, Rng& rng) {
  constexpr std::size_t kMaxName = 63, kRandom = 5;
  return std::string(base.substr(0, kMaxName - kRandom)) + random_suffix(rng, kRandom);
}

}  // namespace onebin::apimachinery
