#include <onebin/apimachinery/defaulting.hpp>

#include <onebin/apimachinery/quantity.hpp>
#include <onebin/apimachinery/schema.hpp>
#include <onebin/base/bytes.hpp>

#include <charconv>
#include <unordered_map>

#include "member_slots.hpp"

namespace onebin::apimachinery {
namespace {

void apply(const TypeSchema& type, Document& object, int depth);

// An empty text that is no pointer is what an absent one is; as a default it only tells items of a list apart.
bool defaults(const FieldSchema& f) { return !f.rules->default_json.empty() && !(f.cardinality == Cardinality::Single && f.rules->default_json == R"("")"); }

// Amounts of resources (core's ResourceList) are whole thousandths, the finer ones rounded up.
bool resource_list(const TypeSchema& type, const FieldSchema& f) { return f.kind == FieldKind::Quantity && f.is_map() && starts_with(type.name, "io.k8s.api.core.v1."); }

void round_amounts(Document& list) {
  if (!list.is_object()) return;
  constexpr Quantity::Int128 kMilli = 1'000'000;
  for (auto& value : list) {
    if (!value.is_string() || value.get_ref<const std::string&>().find_first_of("nu.eE") == std::string::npos) continue;
    auto q = Quantity::parse(value.get_ref<const std::string&>());
    if (!q || q->nano() % kMilli == 0) continue;
    value = Quantity::from_nano((q->nano() / kMilli + q->sign()) * kMilli, q->format()).to_string();
  }
}

void apply_one(const FieldSchema& f, Document& value, int depth) {
  if (f.is_message()) apply(*f.message, value, depth);
}

void apply_field(const FieldSchema& f, Document& value, int depth) {
  if (f.is_list()) {
    if (value.is_array())
      for (auto& v : value) apply_one(f, v, depth);
  } else if (f.is_map()) {
    if (value.is_object())
      for (auto& v : value) apply_one(f, v, depth);
  } else {
    apply_one(f, value, depth);
  }
}

// Whether a struct of this type that is absent would get defaults inside: it is then made, as a Go struct that is no
// pointer always is there.
bool has_inner_default(const TypeSchema& type, int depth) {
  static std::unordered_map<const TypeSchema*, bool> known;
  if (auto it = known.find(&type); it != known.end()) return it->second;
  if (depth > 32) return false;
  bool found = false;
  for (const auto& f : type.fields) {
    if (defaults(f)) found = true;
    else if (f.is_message() && f.cardinality == Cardinality::Single && f.proto_number != 0) found = has_inner_default(*f.message, depth + 1);
    if (found) break;
  }
  bool built_in = !type.fields.empty() && type.fields.back().proto_number != 0;
  if (built_in) known[&type] = found;  // custom resources' tables come and go, their addresses recur
  return found;
}

// What Go's struct holds where a field that is no pointer is not set; of a list with a default, its length is asked.
bool is_zero(const FieldSchema& f, const Document& v) {
  if (f.is_list() && f.proto_number != 0) return v.is_array() && v.empty();
  if (f.cardinality != Cardinality::Single || f.proto_number == 0) return false;
  return v.is_number() ? v.get<double>() == 0 : v.is_string() && v.get_ref<const std::string&>().empty();
}

// Most defaults are a word, a number or a boolean.
Document default_value(std::string_view json) {
  if (json.size() >= 2 && json.front() == '"' && json.find('\\') == std::string_view::npos) return std::string(json.substr(1, json.size() - 2));
  if (json == "true" || json == "false") return json == "true";
  std::int64_t number = 0;
  if (auto [end, error] = std::from_chars(json.data(), json.data() + json.size(), number); error == std::errc() && end == json.data() + json.size()) return number;
  return Document::parse(json, nullptr, false);
}

void apply(const TypeSchema& type, Document& object, int depth) {
  if (depth > 200) return;
  if (type.shape == Shape::Array || type.shape == Shape::Map) {
    if (!object.is_structured()) return;
    for (auto& v : object) apply_field(type.fields[0], v, depth + 1);
    return;
  }
  if (type.shape != Shape::Object || !object.is_object()) return;
  MemberSlots<Document> members(type, &object);
  for (std::size_t i = 0; i < type.fields.size(); ++i) {
    const FieldSchema& f = type.fields[i];
    bool has_default = defaults(f), amounts = resource_list(type, f);
    if (!has_default && !f.is_message() && !amounts) continue;
    Document* it = members[i];
    if (amounts) {
      if (it) round_amounts(*it);
      continue;
    }
    bool absent = !it || (it->is_null() && !f.nullable) || (has_default && is_zero(f, *it));
    if (absent && has_default) {
      Document value = default_value(f.rules->default_json);
      if (value.is_discarded()) continue;
      auto& slot = object[std::string(f.json_name)];
      slot = std::move(value);
      apply_field(f, slot, depth + 1);
    } else if (absent) {
      bool always_there = f.cardinality == Cardinality::Single && f.proto_number != 0;
      if (!always_there || !has_inner_default(*f.message, 0)) continue;
      auto& slot = object[std::string(f.json_name)];
      slot = Document::object();
      apply_field(f, slot, depth + 1);
    } else {
      apply_field(f, *it, depth + 1);
    }
  }
}

}  // namespace

void apply_defaults(const TypeSchema& type, Document& object) { apply(type, object, 0); }

}  // namespace onebin::apimachinery
