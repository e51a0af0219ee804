#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/string_list.hpp>

namespace onebin::apimachinery {

static const Document& null_document() {
  static const Document null;
  return null;
}

namespace {

// Of a few members, one after another is faster than down the tree: most names differ in length.
template <class D>
D* find_in(D& object, std::string_view name) {
  constexpr std::size_t kFew = 8;
  if (!object.is_object()) return nullptr;
  using Members = std::conditional_t<std::is_const_v<D>, const Document::object_t, Document::object_t>;
  auto& members = object.template get_ref<Members&>();
  if (members.size() > kFew) {
    auto it = members.find(name);
    return it == members.end() ? nullptr : &it->second;
  }
  for (auto& [k, v] : members)
    if (k.size() == name.size() && k == name) return &v;
  return nullptr;
}

}  // namespace

const Document& member(const Document& object, std::string_view name) {
  const Document* found = find_member(object, name);
  return found ? *found : null_document();
}

Document* find_member(Document& object, std::string_view name) { return find_in(object, name); }
const Document* find_member(const Document& object, std::string_view name) { return find_in(object, name); }

const Document& at_path(const Document& object, std::initializer_list<std::string_view> path) {
  const Document* at = &object;
  for (std::string_view name : path) at = &member(*at, name);
  return *at;
}

std::string_view string_at(const Document& object, std::string_view name) {
  const Document& m = member(object, name);
  return m.is_string() ? std::string_view(m.get_ref<const std::string&>()) : std::string_view();
}

std::int64_t int_at(const Document& object, std::string_view name, std::int64_t fallback) {
  const Document& m = member(object, name);
  if (m.is_number_integer()) return m.get<std::int64_t>();
  if (m.is_number_float()) {
    double d = m.get<double>();
    if (d >= -9.2e18 && d <= 9.2e18) return static_cast<std::int64_t>(d);
  }
  return fallback;
}

bool bool_at(const Document& object, std::string_view name, bool fallback) {
  const Document& m = member(object, name);
  return m.is_boolean() ? m.get<bool>() : fallback;
}

Document& object_at(Document& object, std::string_view name) {
  if (!object.is_object()) object = Document::object();
  Document& m = object[std::string(name)];
  if (!m.is_object()) m = Document::object();
  return m;
}

Document& array_at(Document& object, std::string_view name) {
  if (!object.is_object()) object = Document::object();
  Document& m = object[std::string(name)];
  if (!m.is_array()) m = Document::array();
  return m;
}

std::string_view name_of(const Document& object) { return string_at(member(object, "metadata"), "name"); }
std::string_view namespace_of(const Document& object) { return string_at(member(object, "metadata"), "namespace"); }
std::string_view uid_of(const Document& object) { return string_at(member(object, "metadata"), "uid"); }

bool same_value(const Document& a, const Document& b) { return a == b; }

std::vector<std::string> string_list(const Document& list) {
  std::vector<std::string> out;
  if (list.is_array())
    for (const auto& v : list)
      if (v.is_string()) out.push_back(v.get<std::string>());
  return out;
}

}  // namespace onebin::apimachinery
