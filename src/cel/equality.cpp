// Equality, order, and how values are shown in messages.
#include "cel/map_value.hpp"
#include "cel/opaque.hpp"
#include "cel/text_forms.hpp"
#include "cel/work.hpp"

#include <cmath>
#include <cstring>
#include <unordered_set>

namespace onebin::cel {
namespace {

Value no_overload() { return Value::error("no such overload"); }
int order(auto a, auto b) { return a < b ? -1 : a > b ? 1 : 0; }

bool is_number(const Value& v) { return v.is(ValueKind::Int) || v.is(ValueKind::Uint) || v.is(ValueKind::Double); }

int double_int(double d, std::int64_t i) {
  if (d < -0x1p63) return -1;
  if (d >= 0x1p63) return 1;
  return order(d, static_cast<double>(i));
}
int double_uint(double d, std::uint64_t u) {
  if (d < 0) return -1;
  if (d >= 0x1p64) return 1;
  return order(d, static_cast<double>(u));
}
int int_uint(std::int64_t i, std::uint64_t u) { return i < 0 || u > INT64_MAX ? -1 : order(i, static_cast<std::int64_t>(u)); }

// Of numbers, none of them NaN.
int number_order(const Value& a, const Value& b) {
  if (a.kind() == b.kind()) {
    if (a.is(ValueKind::Int)) return order(a.as_int(), b.as_int());
    return a.is(ValueKind::Uint) ? order(a.as_uint(), b.as_uint()) : order(a.as_double(), b.as_double());
  }
  if (a.is(ValueKind::Double)) return b.is(ValueKind::Int) ? double_int(a.as_double(), b.as_int()) : double_uint(a.as_double(), b.as_uint());
  if (b.is(ValueKind::Double)) return -number_order(b, a);
  return a.is(ValueKind::Int) ? int_uint(a.as_int(), b.as_uint()) : -int_uint(b.as_int(), a.as_uint());
}

bool nan(const Value& v) { return v.is(ValueKind::Double) && std::isnan(v.as_double()); }

bool schemaful(const Value& v) { return v.document() && v.schema(); }

// The members of a list that tell it apart from others, as text.
std::string list_key(const Value& item, const Schema& schema) {
  std::string out;
  for (const std::string& name : schema.list_keys) {
    Value v;
    std::string escaped;
    if (item.is(ValueKind::Map) && escape(name, escaped)) item.find(Value::string(escaped), v);
    out += display(v) + "\x01";
  }
  return out;
}

// Lists of x-kubernetes-list-type set and map: in whatever order.
Value unordered_equal(const Value& a, const Value& b, const Schema& schema) {
  bool set = schema.list_kind == Schema::ListKind::Set;
  auto key_of = [&](const Value& v) { return set ? std::to_string(static_cast<int>(v.kind())) + display(v) : list_key(v, schema); };
  std::unordered_map<std::string, std::size_t> there;
  for (std::size_t i = 0; i < a.size(); ++i) there[key_of(a.at(i))] = i;
  std::unordered_set<std::string> seen;
  for (std::size_t i = 0; i < b.size(); ++i) {
    Value item = b.at(i);
    std::string key = key_of(item);
    auto it = there.find(key);
    if (it == there.end()) return Value::boolean(false);
    if (!set) {
      Value same = equal(a.at(it->second), item);
      if (!same.is_true()) return same;
    }
    seen.insert(std::move(key));
  }
  return Value::boolean(seen.size() == there.size());
}

Value lists_equal(const Value& a, const Value& b) {
  if (!b.is(ValueKind::List)) return schemaful(a) ? no_overload() : Value::boolean(false);
  if (a.size() != b.size()) return Value::boolean(false);
  if (schemaful(a) && a.schema()->list_kind != Schema::ListKind::Atomic) return unordered_equal(a, b, *a.schema());
  for (std::size_t i = 0, n = a.size(); i < n; ++i) {
    Value same = equal(a.at(i), b.at(i));
    if (same.is_false() || (schemaful(a) && !same.is_true())) return same;
  }
  return Value::boolean(true);
}

Value maps_equal(const Value& a, const Value& b) {
  if (!b.is(ValueKind::Map)) return schemaful(a) ? no_overload() : Value::boolean(false);
  if (a.size() != b.size()) return Value::boolean(false);
  if (a.document() && b.document() && a.schema() && a.schema()->kind == Schema::Kind::Object) {
    // Members that the schema does not know count too.
    for (const auto& [name, value] : a.document()->items()) {
      auto it = b.document()->find(name);
      const SchemaField* f = a.schema()->field(name);
      if (f) {
        bool here = !value.is_null(), there = it != b.document()->end() && !it->is_null();
        if (here != there) return Value::boolean(false);
        if (!here) continue;
        Value same = equal(Value::of(value, f->schema), Value::of(*it, b.schema() ? f->schema : nullptr));
        if (!same.is_true()) return same;
      } else if (it != b.document()->end() && !apimachinery::same_value(value, *it)) {
        return Value::boolean(false);
      }
    }
    return Value::boolean(true);
  }
  for (const Value& key : a.keys()) {
    Value x, y;
    a.find(key, x);
    if (!b.find(key, y)) return Value::boolean(false);
    Value same = equal(x, y);
    if (same.is_false() || (schemaful(a) && !same.is_true())) return same;
  }
  return Value::boolean(true);
}

}  // namespace

Value equal(const Value& a, const Value& b) {
  if (!spend(1)) return Value::error("operation cancelled: actual cost limit exceeded");
  if (a.is(ValueKind::Null) || b.is(ValueKind::Null)) return Value::boolean(a.kind() == b.kind());
  if (a.is_error()) return a;
  switch (a.kind()) {
    case ValueKind::Int:
    case ValueKind::Uint:
    case ValueKind::Double: return Value::boolean(is_number(b) && !nan(a) && !nan(b) && number_order(a, b) == 0);
    case ValueKind::Bool: return Value::boolean(b.is(ValueKind::Bool) && a.is_true() == b.is_true());
    case ValueKind::String:
    case ValueKind::Bytes: return Value::boolean(a.kind() == b.kind() && a.text() == b.text());
    case ValueKind::Timestamp:
    case ValueKind::Duration: return Value::boolean(a.kind() == b.kind() && a.as_int() == b.as_int() && a.nanos() == b.nanos());
    case ValueKind::Type: return Value::boolean(b.is(ValueKind::Type) && a.as_type()->name == b.as_type()->name);
    case ValueKind::List: return lists_equal(a, b);
    case ValueKind::Map: return maps_equal(a, b);
    case ValueKind::Optional:
      if (!b.is(ValueKind::Optional) || a.has_optional() != b.has_optional()) return Value::boolean(false);
      return a.has_optional() ? equal(a.optional_value(), b.optional_value()) : Value::boolean(true);
    case ValueKind::Preserved:
      return Value::boolean(b.document() && apimachinery::same_value(*a.document(), *b.document()));
    default: return b.kind() == a.kind() ? opaque_equal(a, b) : no_overload();
  }
}

Value compare(const Value& a, const Value& b) {
  if (is_number(a)) {
    if (nan(a) || nan(b)) return Value::error("NaN values cannot be ordered");
    return is_number(b) ? Value::integer(number_order(a, b)) : no_overload();
  }
  if (a.kind() != b.kind()) return b.is_error() ? b : no_overload();
  switch (a.kind()) {
    case ValueKind::Bool: return Value::integer(static_cast<int>(a.is_true()) - static_cast<int>(b.is_true()));
    case ValueKind::String:
    case ValueKind::Bytes: {
      int c = a.text().compare(b.text());
      return Value::integer(order(c, 0));
    }
    case ValueKind::Timestamp: {
      int c = order(a.as_int(), b.as_int());
      return Value::integer(c ? c : order(a.nanos(), b.nanos()));
    }
    case ValueKind::Duration: return Value::integer(order(a.as_int(), b.as_int()));
    default: return no_overload();
  }
}

std::string display(const Value& v) {
  if (!spend(1)) return {};
  switch (v.kind()) {
    case ValueKind::Null: return "null";
    case ValueKind::Bool: return v.is_true() ? "true" : "false";
    case ValueKind::Int: return std::to_string(v.as_int());
    case ValueKind::Uint: return std::to_string(v.as_uint());
    case ValueKind::Double: return format_g(v.as_double());
    case ValueKind::Error:
    case ValueKind::String: return std::string(v.text());
    case ValueKind::Bytes: {
      std::string out = "[";
      for (unsigned char c : v.text()) out += (out.size() > 1 ? " " : "") + std::to_string(c);
      return out + "]";
    }
    case ValueKind::Timestamp: {
      std::string t = format_timestamp(v.as_int(), v.nanos(), 0);  // Go's Time.String()
      t[10] = ' ';
      return t.substr(0, t.size() - 1) + " +0000 UTC";
    }
    case ValueKind::Duration: return go_duration(v.as_int());
    case ValueKind::Type: return to_string(*v.as_type());
    case ValueKind::Optional: return v.has_optional() ? "optional(" + display(v.optional_value()) + ")" : "optional.none()";
    case ValueKind::List: {
      std::string out = "[";
      for (std::size_t i = 0; i < v.size(); ++i) out += (i ? ", " : "") + display(v.at(i));
      return out + "]";
    }
    case ValueKind::Map: {
      std::string out = "{";
      for (const Value& k : v.keys()) {
        Value value;
        v.find(k, value);
        out += (out.size() > 1 ? ", " : "") + display(k) + ": " + display(value);
      }
      return out + "}";
    }
    default: return opaque_text(v);
  }
}

}  // namespace onebin::cel
