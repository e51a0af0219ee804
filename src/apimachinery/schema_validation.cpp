// What the schema tables state, checked.
#include <onebin/apimachinery/format_errors.hpp>
#include <onebin/apimachinery/schema.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <re2/re2.h>

#include "member_slots.hpp"

#include <map>

namespace onebin::apimachinery {
namespace {

// A path kept as links on the stack: text is made only where there is an error.
struct Step {
  const Step* parent = nullptr;
  std::string_view name;  // with index < 0
  long index = -1;
  bool key = false;       // name is a map's key

  FieldPath path(const FieldPath& root) const {
    if (!parent && name.empty() && index < 0) return root;
    FieldPath up = parent ? parent->path(root) : root;
    if (index >= 0) return up.index(static_cast<std::size_t>(index));
    return key ? up.key(name) : up.child(name);
  }
};

std::size_t characters(std::string_view s) {
  std::size_t n = 0;
  for (char c : s) n += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return n;
}

std::string bound(double v) { return go_float(v); }

bool matches_pattern(std::string_view pattern, std::string_view value) {
  // Compiled once a pattern: those of built-in tables live for ever, a bounded number of others is kept.
  static std::map<std::string, std::unique_ptr<RE2>, std::less<>> cache;
  auto it = cache.find(pattern);
  if (it == cache.end()) {
    if (cache.size() > 1000) cache.clear();
    it = cache.emplace(std::string(pattern), std::make_unique<RE2>(std::string(pattern), RE2::Quiet)).first;
  }
  return !it->second->ok() || RE2::PartialMatch(re2::StringPiece(value.data(), value.size()), *it->second);
}

class Validator {
 public:
  Validator(const FieldPath& root, FieldErrors& out) : root_(root), out_(out) {}

  void object(const TypeSchema& type, const Document& value, const Document* old, const Step* at, bool top = false) {
    if (type.shape == Shape::Array || type.shape == Shape::Map) {
      const FieldSchema& f = type.fields[0];
      if (value.is_array())
        for (std::size_t i = 0; i < value.size(); ++i) one(f, value[i], nullptr, Step{at, {}, static_cast<long>(i)});
      else if (value.is_object())
        for (const auto& [k, v] : value.items()) one(f, v, nullptr, Step{at, k, -1, true});
      return;
    }
    if (type.shape != Shape::Object || !value.is_object()) return;
    MemberSlots<const Document> members(type, &value), olds(type, old);
    for (std::size_t i = 0; i < type.fields.size(); ++i) {
      const FieldSchema& f = type.fields[i];
      if (top && (f.json_name == "metadata" || f.json_name == "kind" || f.json_name == "apiVersion")) continue;
      field(f, members[i], olds[i], old != nullptr, Step{at, f.json_name});
    }
  }

 private:
  void field(const FieldSchema& f, const Document* value, const Document* old, bool update, const Step& at) {
    if (value && value->is_null() && !f.nullable) value = nullptr;
    if (missing(f, value)) add(field_required(path(at)));
    if (update && f.immutable && changed(f, value, old)) {
      add(field_invalid(path(at), value ? *value : Document(), "field is immutable"));
      return;
    }
    // A struct that is no pointer is there in Go, with nothing set.
    static const Document kNothing = Document::object();
    if (!value && f.is_message() && f.cardinality == Cardinality::Single && f.proto_number != 0 && !missing(f, value)) value = &kNothing;
    if (!value || missing(f, value)) return;
    switch (f.cardinality) {
      case Cardinality::List: list(f, *value, old, at); break;
      case Cardinality::Map: map(f, *value, old, at); break;
      default: one(f, *value, old, at);
    }
  }

  // A struct that a pointer leads to differs from none, and structs are compared as Go compares them.
  static bool changed(const FieldSchema& f, const Document* value, const Document* old) {
    if (old && old->is_null()) old = nullptr;
    bool built_in = f.is_message() && f.proto_number != 0 && !f.is_list() && !f.is_map();
    if (built_in && f.cardinality == Cardinality::Optional && !value != !old) return true;
    return built_in && value && old ? !semantically_equal(*f.message, *value, *old) : !semantically_equal(value, old);
  }

  // Of a built-in kind, an absent value that is no pointer is Go's zero value, and that is there; empty texts and lists are
  // missing only where the tables say so. A custom resource's field is there or not.
  static bool missing(const FieldSchema& f, const Document* value) {
    bool empty = !value || (value->is_string() && value->get_ref<const std::string&>().empty()) || (value->is_structured() && value->empty()) ||
                 (value->is_number() && value->get<double>() == 0);
    if (f.nonempty && empty && !(value && f.is_message() && !f.is_list() && !f.is_map())) return true;
    if (!f.required || value) return false;
    return f.proto_number == 0 || f.cardinality == Cardinality::Optional;
  }

  void list(const FieldSchema& f, const Document& value, const Document* old, const Step& at) {
    if (!value.is_array()) return;
    int n = static_cast<int>(value.size());
    if (f.rules->min_items && n < *f.rules->min_items) add(field_too_few(path(at), n, static_cast<int>(*f.rules->min_items)));
    if (f.rules->max_items && n > *f.rules->max_items) add(field_too_many(path(at), n, static_cast<int>(*f.rules->max_items)));
    for (std::size_t i = 0; i < value.size(); ++i)
      one(f, value[i], old ? counterpart(f, value[i], *old) : nullptr, Step{&at, {}, static_cast<long>(i)});
  }

  // The old list's item with the same keys.
  static const Document* counterpart(const FieldSchema& f, const Document& item, const Document& old) {
    if (f.list_type != ListType::Map || !old.is_array()) return nullptr;
    for (const auto& o : old) {
      bool same = true;
      for (auto key : f.rules->list_map_keys) same = same && semantically_equal(find_member(item, key), find_member(o, key));
      if (same) return &o;
    }
    return nullptr;
  }

  void map(const FieldSchema& f, const Document& value, const Document* old, const Step& at) {
    if (!value.is_object()) return;
    int n = static_cast<int>(value.size());
    if (f.rules->min_items && n < *f.rules->min_items) add(field_too_few(path(at), n, static_cast<int>(*f.rules->min_items)));
    if (f.rules->max_items && n > *f.rules->max_items) add(field_too_many(path(at), n, static_cast<int>(*f.rules->max_items)));
    for (const auto& [k, v] : value.items()) one(f, v, old ? find_member(*old, k) : nullptr, Step{&at, k, -1, true});
  }

  void one(const FieldSchema& f, const Document& value, const Document* old, const Step& at) {
    if (f.is_message()) {
      if (++depth_ < 200) object(*f.message, value, old, &at);
      --depth_;
      return;
    }
    if (value.is_string()) text(f, value.get_ref<const std::string&>(), at);
    else if (value.is_number()) number(f, value, at);
  }

  void text(const FieldSchema& f, const std::string& value, const Step& at) {
    const FieldRules& r = *f.rules;
    // Go's "not set", unless it is an item of a list or a pointer that is.
    bool closed = !r.enum_values.empty() && r.format != "k8s-open-enum";
    bool pointer = (f.cardinality == Cardinality::Optional || f.cardinality == Cardinality::List) && (closed || !r.format.empty());
    if (value.empty() && !f.nonempty && f.proto_number != 0 && !pointer) return;
    if (closed) {
      bool known = false;
      for (auto e : r.enum_values) known = known || e == value;
      if (!known) {
        std::vector<std::string> supported(r.enum_values.begin(), r.enum_values.end());
        std::sort(supported.begin(), supported.end());
        add(field_not_supported(path(at), value, supported));
        return;
      }
    }
    int n = static_cast<int>(characters(value));
    if (r.max_length && n > *r.max_length) add(field_too_long_characters(path(at), static_cast<int>(*r.max_length)));
    if (r.min_length && n < *r.min_length) add(field_too_short(path(at), value, static_cast<int>(*r.min_length)));
    if (!r.pattern.empty() && !matches_pattern(r.pattern, value))
      add(field_invalid(path(at), value, "must match '" + std::string(r.pattern) + "'"));
    if (!r.format.empty()) append(out_, check_format(r.format, value, path(at)));
  }

  void number(const FieldSchema& f, const Document& value, const Step& at) {
    const FieldRules& r = *f.rules;
    double v = value.get<double>();
    bool low = r.minimum && (r.exclusive_minimum ? v <= *r.minimum : v < *r.minimum);
    bool high = r.maximum && (r.exclusive_maximum ? v >= *r.maximum : v > *r.maximum);
    if (low || high) {
      std::string why;
      if (r.minimum && r.maximum && !r.exclusive_minimum && !r.exclusive_maximum)
        why = "must be between " + bound(*r.minimum) + " and " + bound(*r.maximum) + ", inclusive";
      else if (low) why = (r.exclusive_minimum ? "must be greater than " : "must be greater than or equal to ") + bound(*r.minimum);
      else why = (r.exclusive_maximum ? "must be less than " : "must be less than or equal to ") + bound(*r.maximum);
      add(field_invalid(path(at), value, std::move(why)));
    }
  }

  FieldPath path(const Step& at) const { return at.path(root_); }
  void add(FieldError e) { out_.push_back(std::move(e)); }

  const FieldPath& root_;
  FieldErrors& out_;
  int depth_ = 0;
};

}  // namespace

FieldErrors validate_schema(const TypeSchema& type, const Document& object, const Document* old, const FieldPath& root) {
  FieldErrors out;
  Validator(root, out).object(type, object, old, nullptr, root.text().empty());
  return out;
}

}  // namespace onebin::apimachinery
