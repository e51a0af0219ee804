#include <onebin/apimachinery/value_schema.hpp>

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/names.hpp>
#include <onebin/apimachinery/string_list.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <re2/re2.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <vector>

namespace onebin::apimachinery {

// Most schemas of a definition say only a type: what is said more seldom lies apart, so that a large one stays small.
struct ValueSchema::Node {
  struct Limits {
    std::string format;  // only where values are checked against it
    std::string no_type;  // a type that there is not: only defaults meet one, while their definition is refused for it
    std::string pattern;
    std::unique_ptr<RE2> regex;
    std::vector<Document> enum_values;
    std::optional<double> maximum, minimum, multiple_of;
    std::optional<std::int64_t> max_length, min_length, max_items, min_items, max_properties, min_properties;
    bool exclusive_maximum = false, exclusive_minimum = false, unique_items = false;
  };
  struct Combined {
    std::vector<std::unique_ptr<Node>> all_of, any_of, one_of;
    std::unique_ptr<Node> not_schema;
  };
  std::uint8_t types = 0;          // bits of kTypes, or kNoType; 0: any
  bool nullable = false, embedded = false;
  bool no_others = false;          // additionalProperties: false
  bool has_lists = false, has_embedded = false;  // here or below: x-kubernetes-list-type set or map; embedded resources
  enum class List : std::uint8_t { None, Set, Map } list = List::None;
  std::unique_ptr<Limits> limits;
  std::unique_ptr<Combined> combined;
  std::vector<std::pair<std::string, std::unique_ptr<Node>>> properties;  // by name
  std::vector<std::string> required, list_keys;
  std::unique_ptr<Node> items, others;  // others: additionalProperties

  const Node* property(std::string_view name) const {
    auto at = std::lower_bound(properties.begin(), properties.end(), name, [](const auto& p, std::string_view n) { return p.first < n; });
    return at != properties.end() && at->first == name ? at->second.get() : nullptr;
  }
};

namespace {

using Node = ValueSchema::Node;
constexpr int kDeepest = 200;
constexpr std::string_view kTypes[] = {"array", "boolean", "integer", "number", "object", "string"};

constexpr std::uint8_t kNoType = 0x80;

std::uint8_t type_bit(std::string_view type) {
  for (std::size_t i = 0; i < std::size(kTypes); ++i)
    if (kTypes[i] == type) return static_cast<std::uint8_t>(1u << i);
  return type.empty() ? 0 : kNoType;
}

std::optional<double> number_of(const Document& schema, const char* name) {
  const Document& v = member(schema, name);
  return v.is_number() ? std::optional<double>(v.get<double>()) : std::nullopt;
}
std::optional<std::int64_t> count_of(const Document& schema, const char* name) {
  const Document& v = member(schema, name);
  return v.is_number() ? std::optional<std::int64_t>(int_at(schema, name)) : std::nullopt;
}
std::unique_ptr<Node> compile(const Document& schema, int depth);

std::vector<std::unique_ptr<Node>> compile_list(const Document& list, int depth) {
  std::vector<std::unique_ptr<Node>> out;
  if (list.is_array())
    for (const auto& s : list) out.push_back(compile(s, depth + 1));
  return out;
}

std::unique_ptr<Node::Limits> compile_limits(const Document& schema) {
  static constexpr const char* kNames[] = {"format", "pattern", "enum", "maximum", "minimum", "multipleOf", "maxLength", "minLength",
                                           "maxItems", "minItems", "maxProperties", "minProperties", "uniqueItems"};
  bool any = std::any_of(std::begin(kNames), std::end(kNames), [&](const char* n) { return find_member(schema, n) != nullptr; });
  const std::string_view type = string_at(schema, "type");
  const bool no_type = type_bit(type) == kNoType;
  if (!any && !no_type) return nullptr;
  auto l = std::make_unique<Node::Limits>();
  if (no_type) l->no_type = type;
  if (auto f = string_at(schema, "format"); no_type || is_known_format(type, f)) l->format = f;
  l->pattern = string_at(schema, "pattern");
  if (!l->pattern.empty()) l->regex = std::make_unique<RE2>(l->pattern, RE2::Quiet);
  if (const Document& e = member(schema, "enum"); e.is_array()) l->enum_values.assign(e.begin(), e.end());
  l->maximum = number_of(schema, "maximum");
  l->minimum = number_of(schema, "minimum");
  l->multiple_of = number_of(schema, "multipleOf");
  l->exclusive_maximum = bool_at(schema, "exclusiveMaximum");
  l->exclusive_minimum = bool_at(schema, "exclusiveMinimum");
  l->max_length = count_of(schema, "maxLength");
  l->min_length = count_of(schema, "minLength");
  l->max_items = count_of(schema, "maxItems");
  l->min_items = count_of(schema, "minItems");
  l->max_properties = count_of(schema, "maxProperties");
  l->min_properties = count_of(schema, "minProperties");
  l->unique_items = bool_at(schema, "uniqueItems");
  return l;
}

std::unique_ptr<Node::Combined> compile_combined(const Document& schema, int depth) {
  auto c = std::make_unique<Node::Combined>();
  c->all_of = compile_list(member(schema, "allOf"), depth);
  c->any_of = compile_list(member(schema, "anyOf"), depth);
  c->one_of = compile_list(member(schema, "oneOf"), depth);
  if (const Document& n = member(schema, "not"); n.is_object()) c->not_schema = compile(n, depth + 1);
  bool none = c->all_of.empty() && c->any_of.empty() && c->one_of.empty() && !c->not_schema;
  return none ? nullptr : std::move(c);
}

std::unique_ptr<Node> compile(const Document& schema, int depth) {
  auto n = std::make_unique<Node>();
  if (!schema.is_object() || depth > kDeepest) return n;
  n->types = type_bit(string_at(schema, "type"));
  if (bool_at(schema, "x-kubernetes-int-or-string")) n->types = type_bit("integer") | type_bit("string");
  n->limits = compile_limits(schema);
  n->combined = compile_combined(schema, depth);
  n->nullable = bool_at(schema, "nullable");
  n->embedded = bool_at(schema, "x-kubernetes-embedded-resource");
  n->required = string_list(member(schema, "required"));
  std::string_view list = string_at(schema, "x-kubernetes-list-type");
  n->list = list == "set" ? Node::List::Set : list == "map" ? Node::List::Map : Node::List::None;
  n->list_keys = string_list(member(schema, "x-kubernetes-list-map-keys"));
  if (const Document& p = member(schema, "properties"); p.is_object()) {
    n->properties.reserve(p.size());
    for (const auto& [name, s] : p.items()) n->properties.emplace_back(name, compile(s, depth + 1));
  }
  const Document& others = member(schema, "additionalProperties");
  n->no_others = others.is_boolean() && !others.get<bool>();
  if (others.is_object()) n->others = compile(others, depth + 1);
  if (const Document& i = member(schema, "items"); i.is_object()) n->items = compile(i, depth + 1);
  n->has_lists = n->list != Node::List::None;
  n->has_embedded = n->embedded;
  auto inherit = [&](const std::unique_ptr<Node>& c) {
    n->has_lists = n->has_lists || (c && c->has_lists);
    n->has_embedded = n->has_embedded || (c && c->has_embedded);
  };
  for (const auto& [name, c] : n->properties) inherit(c);
  inherit(n->others);
  inherit(n->items);
  return n;
}

std::string_view json_type(const Document& v) {
  switch (v.type()) {
    case Document::value_t::object: return "object";
    case Document::value_t::array: return "array";
    case Document::value_t::string: return "string";
    case Document::value_t::boolean: return "boolean";
    case Document::value_t::null: return "null";
    case Document::value_t::number_float: return "number";
    default: return "integer";
  }
}

bool whole(const Document& v) {
  if (!v.is_number_float()) return false;
  double d = v.get<double>();
  return std::isfinite(d) && std::fabs(d) <= 9007199254740991.0 && std::floor(d) == d;
}

std::int64_t characters(std::string_view s) {
  std::int64_t n = 0;
  for (char c : s) n += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return n;
}

// A bound as Go prints it: of a whole number the digits.
std::string bound(const Document& value, double b) {
  if (value.is_number_integer() && b == std::floor(b) && std::fabs(b) < 9e18) return std::to_string(static_cast<std::int64_t>(b));
  return go_float(b);
}

// The path as upstream's validator spells it ("spec.ports[0].name"); the error's field lacks a leading dot.
FieldPath field_at(std::string_view path) {
  if (path.empty()) return FieldPath();
  return FieldPath(path.substr(path.front() == '.' ? 1 : 0));
}

struct Outcome {
  FieldErrors errors;
  int matches = 0;  // what was checked; tells which of several failures is nearest to what was meant
  bool ok() const { return errors.empty(); }
  void add(FieldError e) { errors.push_back(std::move(e)); }
  void merge(Outcome o) {
    append(errors, std::move(o.errors));
    matches += o.matches;
  }
};

class Validator {
 public:
  Outcome check(const Node& n, const Document& v, const Document* old, const std::string& path, int depth = 0) {
    Outcome out;
    if (depth > kDeepest) return out;
    if (old && *old == v) {
      out.matches = 1;
      return out;
    }
    type(n, v, path, out);
    if (v.is_null()) {
      enumeration(n, v, path, out);
      return out;
    }
    if (n.combined) combined(*n.combined, v, old, path, depth, out);
    ++out.matches;
    if (v.is_string()) text(n, v.get_ref<const std::string&>(), path, out);
    else if (v.is_number()) number(n, v, path, out);
    else if (v.is_array()) list(n, v, old, path, depth, out);
    enumeration(n, v, path, out);
    if (v.is_object()) object(n, v, old, path, depth, out);
    ++out.matches;
    return out;
  }

 private:
  static std::string in_body(const std::string& path, std::string_view rest) { return path + " in body " + std::string(rest); }

  static void type(const Node& n, const Document& v, const std::string& path, Outcome& out) {
    const std::string_view format = n.limits ? std::string_view(n.limits->format) : std::string_view();
    if (n.types == 0 && format.empty()) return;
    ++out.matches;
    std::string_view is = json_type(v);
    auto expects = [&](std::string_view t) { return (n.types & type_bit(t)) != 0; };
    bool good = v.is_null() ? n.types == 0 || n.nullable
                            : expects(is) || (is == "number" && expects("integer") && whole(v)) || (is == "integer" && expects("number"));
    if (n.types == 0 || good) return;
    if (!format.empty() && !v.is_null() && !v.is_string() && !v.is_array()) {
      // Upstream then compares formats: the one that the schema gives, and the one that Go's type has.
      const std::string_view has = is == "integer" ? "int64" : is == "number" ? "double" : "";
      if (format != has) return out.add(field_type_invalid(field_at(path), has, in_body(path, "must be of type " + std::string(format) + ": " + go_quote(has))));
    }
    if (!format.empty() && !expects("number") && !expects("integer") && (v.is_string() || v.is_array())) return;
    std::vector<std::string> names;
    if (n.types == kNoType) names.push_back(n.limits->no_type);
    for (std::size_t i = 0; i < std::size(kTypes); ++i)
      if (n.types & (1u << i)) names.emplace_back(kTypes[i]);
    out.add(field_type_invalid(field_at(path), is, in_body(path, "must be of type " + join(names, ",") + ": " + go_quote(is))));
  }

  static void enumeration(const Node& n, const Document& v, const std::string& path, Outcome& out) {
    if (!n.limits || n.limits->enum_values.empty()) return;
    std::vector<std::string> supported;
    for (const auto& e : n.limits->enum_values) {
      if (e == v) return;
      supported.push_back(e.is_string() ? e.get<std::string>() : go_json(e));
    }
    out.add(field_not_supported(field_at(path), v, supported));
  }

  static void text(const Node& n, const std::string& v, const std::string& path, Outcome& out) {
    ++out.matches;
    if (!n.limits) return;
    const Node::Limits& l = *n.limits;
    if (l.max_length && characters(v) > *l.max_length) {
      out.add(field_too_long(field_at(path), static_cast<int>(*l.max_length)));
    } else if (l.min_length && characters(v) < *l.min_length) {
      out.add(field_invalid(field_at(path), v, in_body(path, "should be at least " + std::to_string(*l.min_length) + " chars long")));
    } else if (l.regex && (!l.regex->ok() || !RE2::PartialMatch(re2::StringPiece(v), *l.regex))) {
      out.add(field_invalid(field_at(path), v, in_body(path, "should match '" + l.pattern + "'")));
    }
    if (l.format.empty() || l.format.rfind("int", 0) == 0 || l.format == "float" || l.format == "double") return;
    ++out.matches;
    if (!matches_format(l.format, v)) out.add(field_type_invalid(field_at(path), v, in_body(path, "must be of type " + l.format + ": " + go_quote(v))));
  }

  static void number(const Node& n, const Document& v, const std::string& path, Outcome& out) {
    ++out.matches;
    if (!n.limits) return;
    const Node::Limits& l = *n.limits;
    double d = v.get<double>();
    if (l.format == "int32" && (d < std::numeric_limits<std::int32_t>::min() || d > std::numeric_limits<std::int32_t>::max()))
      out.add(field_invalid(FieldPath(), "", "Checked value must be of type integer with format int32 in " + path));
    if (l.format == "float" && std::fabs(d) > std::numeric_limits<float>::max())
      out.add(field_invalid(FieldPath(), "", "Checked value must be of type number with format float in " + path));
    auto bad = [&](std::string why) { out.add(field_invalid(field_at(path), v, in_body(path, why))); };
    if (l.multiple_of && *l.multiple_of <= 0) {
      std::string factor = bound(v, *l.multiple_of);
      out.add(field_invalid(field_at(path), Document::parse(factor, nullptr, false), "factor MultipleOf declared for " + path + " must be positive: " + factor));
    } else if (l.multiple_of) {
      double q = d / *l.multiple_of;
      if (std::fabs(q - std::round(q)) > 1e-9 * std::fmax(1.0, std::fabs(q))) bad("should be a multiple of " + bound(v, *l.multiple_of));
    }
    if (l.minimum && (l.exclusive_minimum ? d <= *l.minimum : d < *l.minimum))
      bad((l.exclusive_minimum ? "should be greater than " : "should be greater than or equal to ") + bound(v, *l.minimum));
    if (l.maximum && (l.exclusive_maximum ? d >= *l.maximum : d > *l.maximum))
      bad((l.exclusive_maximum ? "should be less than " : "should be less than or equal to ") + bound(v, *l.maximum));
  }

  // The item of the old list with the same keys.
  static const Document* counterpart(const Node& list, const Document& item, const Document* old) {
    if (!old || !old->is_array() || list.list != Node::List::Map) return nullptr;
    for (const auto& o : *old) {
      bool same = true;
      for (const auto& k : list.list_keys) same = same && member(o, k) == member(item, k);
      if (same) return &o;
    }
    return nullptr;
  }

  void list(const Node& n, const Document& v, const Document* old, const std::string& path, int depth, Outcome& out) {
    if (n.items)
      for (std::size_t i = 0; i < v.size(); ++i)
        out.merge(check(*n.items, v[i], counterpart(n, v[i], old), path + "[" + std::to_string(i) + "]", depth + 1));
    ++out.matches;
    if (!n.limits) return;
    const Node::Limits& l = *n.limits;
    auto size = static_cast<std::int64_t>(v.size());
    if (l.min_items && size < *l.min_items)
      out.add(field_invalid(field_at(path), size, in_body(path, "should have at least " + std::to_string(*l.min_items) + " items")));
    if (l.max_items && size > *l.max_items) out.add(field_too_many(field_at(path), static_cast<int>(size), static_cast<int>(*l.max_items)));
    for (std::size_t i = 1; l.unique_items && i < v.size(); ++i) {
      auto end = v.begin() + static_cast<std::ptrdiff_t>(i);
      if (std::find(v.begin(), end, v[i]) == end) continue;
      out.add(field_invalid(field_at(path), "", in_body(path, "shouldn't contain duplicates")));
      break;
    }
  }

  void object(const Node& n, const Document& v, const Document* old, const std::string& path, int depth, Outcome& out) {
    auto size = static_cast<std::int64_t>(v.size());
    if (n.limits && n.limits->min_properties && size < *n.limits->min_properties)
      out.add(field_invalid(field_at(path), size, in_body(path, "should have at least " + std::to_string(*n.limits->min_properties) + " properties")));
    if (n.limits && n.limits->max_properties && size > *n.limits->max_properties)
      out.add(field_too_many(field_at(path), static_cast<int>(size), static_cast<int>(*n.limits->max_properties)));
    for (const auto& [key, e] : v.items()) {
      const Node* p = n.property(key);
      const Document* before = old ? find_member(*old, key) : nullptr;
      if (p) out.merge(check(*p, e, before, path.empty() ? key : path + "." + key, depth + 1));
      else if (n.no_others) out.add(field_invalid(field_at(path), key, path + "." + key + " in body is a forbidden property"));
      else if (n.others) out.merge(check(*n.others, e, before, path + "." + key, depth + 1));
    }
    for (const auto& r : n.required)
      if (!v.contains(r)) out.add(field_required(field_at(path + "." + r)));
  }

  // allOf, anyOf, oneOf, not.
  void combined(const Node::Combined& n, const Document& v, const Document* old, const std::string& path, int depth, Outcome& out) {
    auto say = [&](std::string why) { out.add(field_invalid(FieldPath(), "", go_quote(path) + " must " + std::move(why))); };
    auto keep_best = [](std::optional<Outcome>& best, Outcome o) {
      if (!best || o.matches > best->matches) best = std::move(o);
    };
    if (!n.any_of.empty()) {
      std::optional<Outcome> best;
      bool found = false;
      for (const auto& s : n.any_of) {
        Outcome o = check(*s, v, old, path, depth + 1);
        found = o.ok();
        if (found) best = std::move(o);
        else keep_best(best, std::move(o));
        if (found) break;
      }
      if (!found) say("validate at least one schema (anyOf)");
      if (best) out.merge(std::move(*best));
    }
    if (!n.one_of.empty()) {
      std::optional<Outcome> best, first;
      int valid = 0;
      for (const auto& s : n.one_of) {
        Outcome o = check(*s, v, old, path, depth + 1);
        if (o.ok()) {
          ++valid;
          if (!first) first = std::move(o);
        } else if (valid == 0) {
          keep_best(best, std::move(o));
        }
      }
      if (valid == 1) {
        out.merge(std::move(*first));
      } else {
        say("validate one and only one schema (oneOf). " + (valid == 0 ? "Found none valid" : "Found " + std::to_string(valid) + " valid alternatives"));
        if (valid == 0 && best) out.merge(std::move(*best));
      }
    }
    if (!n.all_of.empty()) {
      std::size_t valid = 0;
      for (const auto& s : n.all_of) {
        Outcome o = check(*s, v, old, path, depth + 1);
        valid += o.ok();
        out.merge(std::move(o));
      }
      if (valid != n.all_of.size()) say(std::string("validate all the schemas (allOf)") + (valid == 0 ? ". None validated" : ""));
    }
    // What was so before is let be by an equal value alone: the negation has no part that could be unchanged.
    if (n.not_schema && check(*n.not_schema, v, nullptr, path, depth + 1).ok()) say("not validate the schema (not)");
  }
};

// ---- lists without repeats

void repeated(const std::vector<Document>& identities, const FieldPath& path, FieldErrors& errors) {
  std::map<std::string, int> seen;
  for (std::size_t i = 0; i < identities.size(); ++i)
    if (++seen[identities[i].dump()] == 2) errors.push_back(field_duplicate(path.index(i), identities[i]));
}

void check_lists(const Node& n, const Document& v, const FieldPath& path, FieldErrors& errors) {
  if (!n.has_lists) return;
  if (v.is_object()) {
    for (const auto& [key, e] : v.items()) {
      if (const Node* p = n.property(key)) check_lists(*p, e, path.child(key), errors);
      else if (n.others) check_lists(*n.others, e, path.key(key), errors);
    }
    return;
  }
  if (!v.is_array()) return;
  if (n.list == Node::List::Set) {
    repeated(std::vector<Document>(v.begin(), v.end()), path, errors);
  } else if (n.list == Node::List::Map) {
    std::vector<Document> identities;
    bool objects = true;
    for (std::size_t i = 0; i < v.size() && objects; ++i) {
      objects = v[i].is_object() || v[i].is_null();
      if (!objects) errors.push_back(field_invalid(path.index(i), v[i], "must be an object for an array of list-type map"));
      Document keys = Document::object();
      for (const auto& k : n.list_keys)
        if (const Document* m = find_member(v[i], k)) keys[k] = *m;
      identities.push_back(std::move(keys));
    }
    if (objects) repeated(identities, path, errors);
  }
  if (n.items)
    for (std::size_t i = 0; i < v.size(); ++i) check_lists(*n.items, v[i], path.index(i), errors);
}

// ---- embedded resources

void check_resource(const Document& v, const FieldPath& path, FieldErrors& errors) {
  for (const char* name : {"apiVersion", "kind"}) {
    const Document* m = find_member(v, name);
    FieldPath at = path.child(name);
    if (!m) {
      errors.push_back(field_required(at));
    } else if (!m->is_string()) {
      errors.push_back(field_invalid(at, *m, "must be a string"));
    } else if (m->get_ref<const std::string&>().empty()) {
      errors.push_back(field_invalid(at, "", "must not be empty"));
    } else if (name[0] == 'a') {
      if (!parse_group_version(m->get<std::string>())) errors.push_back(field_invalid(at, *m, "unexpected GroupVersion string: " + m->get<std::string>()));
    } else if (auto problems = is_dns1035_label(to_lower(m->get<std::string>())); !problems.empty()) {
      errors.push_back(field_invalid(at, *m, "may have mixed case, but should otherwise match: " + join(problems, ",")));
    }
  }
  const Document* meta = find_member(v, "metadata");
  if (!meta || !meta->is_object()) return;
  Document m = *meta;
  if (string_at(m, "name").empty()) m["name"] = "fakename";
  append(errors, validate_object_meta(m, !string_at(m, "namespace").empty(), name_is_path_segment, path.child("metadata"), false));
}

void check_embedded(const Node& n, const Document& v, const FieldPath& path, FieldErrors& errors) {
  if (!n.has_embedded) return;
  if (v.is_object()) {
    if (n.embedded) check_resource(v, path, errors);
    for (const auto& [key, e] : v.items()) {
      if (const Node* p = n.property(key)) check_embedded(*p, e, path.child(key), errors);
      else if (n.others) check_embedded(*n.others, e, path.key(key), errors);
    }
  } else if (v.is_array() && n.items) {
    for (std::size_t i = 0; i < v.size(); ++i) check_embedded(*n.items, v[i], path.index(i), errors);
  }
}

}  // namespace

ValueSchema::ValueSchema(const Document& schema) : root_(compile(schema, 0)) {}
ValueSchema::~ValueSchema() = default;

FieldErrors ValueSchema::validate(const Document& value, const Document* old) const { return Validator().check(*root_, value, old, "").errors; }

FieldErrors ValueSchema::validate_lists(const Document& value) const {
  FieldErrors errors;
  check_lists(*root_, value, FieldPath(), errors);
  return errors;
}

FieldErrors ValueSchema::validate_embedded(const Document& value) const {
  FieldErrors errors;
  check_embedded(*root_, value, FieldPath(), errors);
  return errors;
}

}  // namespace onebin::apimachinery
