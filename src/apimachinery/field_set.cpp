#include <onebin/apimachinery/field_set.hpp>

#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/field_error.hpp>

#include <cmath>

namespace onebin::apimachinery {
namespace {

constexpr char kPrefix[] = {'f', 'k', 'v', 'i'};  // of PathElement's kinds

std::string dump(const Document& v) { return v.dump(-1, ' ', false, Document::error_handler_t::replace); }

// 80.0 and 80 are one value, and so must be one text.
Document canonical(const Document& v) {
  if (v.is_number_float()) {
    double d = v.get<double>();
    if (std::trunc(d) == d && std::abs(d) < 9e15) return static_cast<std::int64_t>(d);
  }
  return v;
}

std::string value_text(const Document& v) {
  if (v.is_string()) return go_quote(v.get_ref<const std::string&>());
  if (v.is_number_float()) return go_float(v.get<double>());
  if (v.is_array()) {
    std::string out = "[";
    for (const auto& e : v) out += (out.size() > 1 ? "," : "") + value_text(e);
    return out + "]";
  }
  if (v.is_object()) {
    std::string out;
    for (const auto& [k, e] : v.items()) out += k + "=" + value_text(e);
    return out;
  }
  return dump(v);
}

// Whether a key's or value's text is as key() and value() write it: no blanks, no escapes, whole numbers, sorted names.
// Most is, and need not be parsed.
class Canonical {
 public:
  explicit Canonical(std::string_view s) : s_(s) {}
  bool is_value() { return value() && at_ == s_.size(); }
  bool is_key() {
    std::string_view last;
    if (!take('{')) return false;
    do {
      std::string_view name;
      if (!text(name) || (!last.empty() && name <= last) || !take(':') || !value()) return false;
      last = name;
    } while (take(','));
    return take('}') && at_ == s_.size();
  }

 private:
  bool take(char c) { return at_ < s_.size() && s_[at_] == c && ++at_ != 0; }
  bool text(std::string_view& out) {
    if (!take('"')) return false;
    std::size_t begin = at_;
    while (at_ < s_.size() && s_[at_] != '"' && s_[at_] != '\\' && s_[at_] >= 0x20 && s_[at_] < 0x7F) ++at_;
    out = s_.substr(begin, at_ - begin);
    return take('"');
  }
  bool value() {
    std::string_view ignored;
    if (at_ < s_.size() && s_[at_] == '"') return text(ignored);
    std::size_t begin = at_;
    while (at_ < s_.size() && s_[at_] >= '0' && s_[at_] <= '9') ++at_;
    return at_ > begin && at_ - begin < 16 && (s_[begin] != '0' || at_ == begin + 1);
  }
  std::string_view s_;
  std::size_t at_ = 0;
};

bool plain(std::string_view s) {
  for (char c : s)
    if (c == '"' || c == '\\' || c < 0x20 || c == 0x7F) return false;  // a char below 0 is not ASCII
  return true;
}

// As a JSON string. What needs more than its quotes escaped is rare.
void append_element(std::string& out, const PathElement& e) {
  for (char c : e.text)
    if (c < 0x20 || c == 0x7F) {
      out += dump(e.serialize());
      return;
    }
  out += '"';
  out += kPrefix[static_cast<std::size_t>(e.kind)];
  out += ':';
  for (char c : e.text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

}  // namespace

PathElement PathElement::key(std::string_view name, const Document& value) {
  if (value.is_string() && plain(name) && plain(value.get_ref<const std::string&>())) {
    std::string text = "{\"";
    text.append(name).append("\":\"").append(value.get_ref<const std::string&>()).append("\"}");
    return {Kind::Key, std::move(text)};
  }
  return key({{std::string(name), value}});
}
PathElement PathElement::key(const Document& keys) {
  Document out = Document::object();
  for (const auto& [k, v] : keys.items()) out[k] = canonical(v);
  return {Kind::Key, dump(out)};
}
PathElement PathElement::value(const Document& value) { return {Kind::Value, dump(canonical(value))}; }
PathElement PathElement::index(std::size_t i) { return {Kind::Index, std::to_string(i)}; }

std::string PathElement::serialize() const {
  std::string out;
  out.reserve(text.size() + 2);
  out += kPrefix[static_cast<std::size_t>(kind)];
  out += ':';
  return out += text;
}

Result<PathElement> PathElement::parse(std::string_view text) {
  if (text.size() < 2) return bad_request("key must be 2 characters long:");
  if (text[1] != ':') return bad_request("missing colon: " + std::string(text));
  auto rest = text.substr(2);
  switch (text[0]) {
    case 'f': return field(rest);
    case 'i':
      if (rest.empty() || rest.find_first_not_of("0123456789") != std::string_view::npos) return bad_request("invalid index: " + std::string(text));
      return PathElement{Kind::Index, std::string(rest)};
    case 'k': case 'v': {
      if (text[0] == 'k' ? Canonical(rest).is_key() : Canonical(rest).is_value())
        return PathElement{text[0] == 'k' ? Kind::Key : Kind::Value, std::string(rest)};
      auto v = decode_json(rest, nullptr);  // anybody's text, which may nest without end
      if (!v || (text[0] == 'k' && !v->is_object())) return bad_request("parsing key as path element: " + std::string(text));
      return text[0] == 'k' ? key(*v) : value(*v);
    }
    default: return Status(Reason::NotFound, "unknown path element type");
  }
}

std::string PathElement::to_string() const {
  switch (kind) {
    case Kind::Field: return "." + text;
    case Kind::Index: return "[" + text + "]";
    case Kind::Value: return "[=" + value_text(Document::parse(text, nullptr, false)) + "]";
    case Kind::Key: {
      const auto keys = Document::parse(text, nullptr, false);
      std::string out = "[";
      for (const auto& [k, v] : keys.items()) out += (out.size() > 1 ? "," : "") + k + "=" + value_text(v);
      return out + "]";
    }
  }
  return {};
}

std::string to_string(const FieldPathElements& path) {
  std::string out;
  for (const auto& e : path) out += e.to_string();
  return out;
}

void FieldSet::insert(const FieldPathElements& path) {
  FieldSet* at = this;
  for (const auto& e : path) at = &at->children[e];
  if (!path.empty()) at->member = true;
}

bool FieldSet::has(const FieldPathElements& path) const {
  const FieldSet* at = this;
  for (const auto& e : path) {
    auto it = at->children.find(e);
    if (it == at->children.end()) return false;
    at = &it->second;
  }
  return !path.empty() && at->member;
}

std::size_t FieldSet::size() const {
  std::size_t n = 0;
  for (const auto& [e, c] : children) n += c.size() + (c.member ? 1 : 0);
  return n;
}

void FieldSet::add(FieldSet other) {
  member = member || other.member;
  if (children.empty()) {
    children = std::move(other.children);
    return;
  }
  auto hint = children.begin();
  while (!other.children.empty()) {
    auto node = other.children.extract(other.children.begin());
    hint = children.lower_bound(node.key());
    if (hint != children.end() && hint->first == node.key()) hint->second.add(std::move(node.mapped()));
    else children.insert(hint, std::move(node));
  }
}

void FieldSet::remove(const FieldSet& other) {
  member = member && !other.member;
  for (const auto& [e, theirs] : other.children) {
    auto it = children.find(e);
    if (it == children.end()) continue;
    it->second.remove(theirs);
    if (it->second.empty()) children.erase(it);
  }
}

void FieldSet::remove_recursively(const FieldSet& other) {
  for (const auto& [e, theirs] : other.children) {
    auto it = children.find(e);
    if (it == children.end()) continue;
    if (!theirs.member) it->second.remove_recursively(theirs);
    if (theirs.member || it->second.empty()) children.erase(it);
  }
}

FieldSet FieldSet::union_with(const FieldSet& other) const {
  FieldSet out = *this;
  out.add(other);
  return out;
}

FieldSet FieldSet::intersection(const FieldSet& other) const {
  FieldSet out;
  out.member = member && other.member;
  for (const auto& [e, c] : children) {
    auto it = other.children.find(e);
    if (it == other.children.end()) continue;
    auto both = c.intersection(it->second);
    if (!both.empty()) out.children.emplace_hint(out.children.end(), e, std::move(both));
  }
  return out;
}

FieldSet FieldSet::difference(const FieldSet& other) const {
  FieldSet out = *this;
  out.remove(other);
  return out;
}

FieldSet FieldSet::recursive_difference(const FieldSet& other) const {
  FieldSet out = *this;
  out.remove_recursively(other);
  return out;
}

void FieldSet::collect(FieldPathElements& prefix, std::vector<FieldPathElements>& out) const {
  for (const auto& [e, c] : children) {
    if (!c.member) continue;
    out.push_back(prefix);
    out.back().push_back(e);
  }
  for (const auto& [e, c] : children) {
    prefix.push_back(e);
    c.collect(prefix, out);
    prefix.pop_back();
  }
}

std::vector<FieldPathElements> FieldSet::paths() const {
  std::vector<FieldPathElements> out;
  FieldPathElements prefix;
  collect(prefix, out);
  return out;
}

namespace {
Status parse_into(const Document& d, FieldSet& set, int depth) {
  if (depth > 200) return bad_request("managed fields are nested too deeply");
  if (!d.is_object() && !d.is_null()) return bad_request("managed fields must be an object");
  bool any = false;
  if (d.is_object())
    for (const auto& [k, v] : d.items()) {
      if (k == ".") {
        set.member = true;
        continue;
      }
      auto e = PathElement::parse(k);
      if (!e) {
        if (e.is(Reason::NotFound)) continue;  // of a later version
        return e.status();
      }
      FieldSet child;
      RETURN_IF_ERROR(parse_into(v, child, depth + 1));
      if (child.empty()) continue;
      set.children.insert_or_assign(std::move(*e), std::move(child));
      any = true;
    }
  if (!any) set.member = true;
  return {};
}
}  // namespace

Result<FieldSet> FieldSet::parse(const Document& fields_v1) {
  FieldSet out;
  RETURN_IF_ERROR(parse_into(fields_v1, out, 0));
  out.member = false;
  return out;
}

void FieldSet::append_json(std::string& out) const {
  out += '{';
  if (member && !children.empty()) out += R"(".":{},)";
  auto put = [&](const PathElement& e, const FieldSet& c) {
    append_element(out, e);
    out += ':';
    c.append_json(out);
    out += ',';
  };
  // The elements' order is that of their texts, but for indices.
  bool indices = !children.empty() && children.rbegin()->first.kind == PathElement::Kind::Index;
  auto keyed = [](PathElement::Kind k) { return k == PathElement::Kind::Key || k == PathElement::Kind::Value; };
  for (const auto& [e, c] : children)
    if (!indices || e.kind == PathElement::Kind::Field) put(e, c);
  if (indices) {
    for (const auto& [e, c] : children)
      if (e.kind == PathElement::Kind::Index) put(e, c);
    for (const auto& [e, c] : children)
      if (keyed(e.kind)) put(e, c);
  }
  if (out.back() == ',') out.pop_back();
  out += '}';
}

std::string FieldSet::to_json() const {
  std::string out;
  append_json(out);
  return out;
}

Document FieldSet::serialize() const {
  Document out = Document::object();
  auto& members = out.get_ref<Document::object_t&>();
  for (const auto& [e, c] : children) {
    Document below = c.serialize();
    if (c.member && !c.children.empty()) below["."] = Document::object();
    members.emplace_hint(members.end(), e.serialize(), std::move(below));
  }
  return out;
}

}  // namespace onebin::apimachinery
