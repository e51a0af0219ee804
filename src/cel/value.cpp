#include <onebin/base/assert.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/time.hpp>

#include "cel/map_value.hpp"
#include "cel/source.hpp"
#include "cel/text_forms.hpp"

#include <cmath>
#include <cstring>

namespace onebin::cel {
namespace {

using Text = std::string;

}  // namespace

// Makers.

Value Value::boolean(bool b) {
  Value v;
  v.kind_ = ValueKind::Bool;
  v.scalar_.b = b;
  return v;
}
Value Value::integer(std::int64_t i) {
  Value v;
  v.kind_ = ValueKind::Int;
  v.scalar_.i = i;
  return v;
}
Value Value::uinteger(std::uint64_t u) {
  Value v;
  v.kind_ = ValueKind::Uint;
  v.scalar_.u = u;
  return v;
}
Value Value::real(double d) {
  Value v;
  v.kind_ = ValueKind::Double;
  v.scalar_.d = d;
  return v;
}
Value Value::boxed(ValueKind kind, std::shared_ptr<const void> box) {
  Value v;
  v.kind_ = kind;
  v.box_ = std::move(box);
  return v;
}
Value Value::string(std::string text) { return boxed(ValueKind::String, std::make_shared<const Text>(std::move(text))); }
Value Value::bytes(std::string text) { return boxed(ValueKind::Bytes, std::make_shared<const Text>(std::move(text))); }
Value Value::error(std::string message) { return boxed(ValueKind::Error, std::make_shared<const Text>(std::move(message))); }
Value Value::timestamp(std::int64_t seconds, std::int32_t nanos, std::int16_t offset_minutes) {
  Value v = integer(seconds);
  v.kind_ = ValueKind::Timestamp;
  v.nanos_ = nanos;
  v.offset_ = offset_minutes;
  return v;
}
Value Value::duration(std::int64_t ns) {
  Value v = integer(ns);
  v.kind_ = ValueKind::Duration;
  return v;
}
Value Value::list(Values items) { return boxed(ValueKind::List, std::make_shared<const Values>(std::move(items))); }
Value Value::map(std::shared_ptr<const MapValue> map) { return boxed(ValueKind::Map, std::move(map)); }
Value Value::map(std::vector<std::pair<Value, Value>> entries) {
  auto m = std::make_shared<HashMap>();
  for (auto& [k, v] : entries) m->put(std::move(k), std::move(v));
  return map(std::shared_ptr<const MapValue>(std::move(m)));
}
Value Value::type(const Type* type) {
  Value v;
  v.kind_ = ValueKind::Type;
  v.scalar_.type = type;
  return v;
}
Value Value::optional_of(Value value) { return boxed(ValueKind::Optional, std::make_shared<const Value>(std::move(value))); }
Value Value::optional_none() { return boxed(ValueKind::Optional, nullptr); }

// From documents.

namespace {

Value refused(const char* expected, const Document& d) {
  static constexpr const char* kGoNames[] = {"<nil>", "map[string]interface {}", "[]interface {}", "string", "bool", "int64", "int64", "float64"};
  auto t = static_cast<std::size_t>(d.type());
  return Value::error(std::string("invalid data, expected ") + expected + ", got " + (t < std::size(kGoNames) ? kGoNames[t] : "[]uint8"));
}

Value of_text(const std::string& text, Schema::Kind kind) {
  std::int64_t seconds = 0;
  std::int32_t nanos = 0;
  std::int16_t offset = 0;
  switch (kind) {
    case Schema::Kind::Duration:
      if (auto d = parse_duration(text)) return Value::duration(d->count());
      return Value::error("Invalid duration " + text + ": unable to parse " + text + " as duration");
    case Schema::Kind::Date:
      if (parse_timestamp(text + "T00:00:00Z", seconds, nanos, offset)) return Value::timestamp(seconds, nanos);
      return Value::error("Invalid date formatted string " + text);
    case Schema::Kind::DateTime: {
      std::string t = text;
      if (t.size() > 10 && t[10] == 't') t[10] = 'T';
      if (!t.empty() && t.back() == 'z') t.back() = 'Z';
      if (parse_timestamp(t, seconds, nanos, offset)) return Value::timestamp(seconds, nanos, offset);
      return Value::error("Invalid date-time formatted string " + text);
    }
    default:
      if (auto bytes = base64_decode(text)) return Value::bytes(std::move(*bytes));
      return Value::error("Invalid byte formatted string " + text);
  }
}

bool is_whole(const Document& d) { return d.is_number_integer(); }

}  // namespace

Value Value::of(const Document& d, const Schema* s) {
  using Kind = Schema::Kind;
  Kind kind = s ? s->kind : Kind::Dyn;
  if (d.is_null()) return !s || s->nullable || kind == Kind::Dyn ? Value() : error("invalid data, got null for schema with nullable=false");
  if (kind == Kind::Preserved) {
    Value v;
    v.kind_ = ValueKind::Preserved;
    v.in_document_ = true;
    v.scalar_.doc = &d;
    return v;
  }
  auto structure = [&](ValueKind k) {
    Value v;
    v.kind_ = k;
    v.in_document_ = true;
    v.scalar_.doc = &d;
    v.schema_ = kind == Kind::Dyn ? nullptr : s;
    return v;
  };
  switch (kind) {
    case Kind::Object:
    case Kind::Map:
      if (!d.is_object()) return error("invalid data, expected a map for the provided schema with type=object");
      return structure(ValueKind::Map);
    case Kind::List:
      if (!d.is_array()) return error("invalid data, expected an array for the provided schema with type=array");
      if (!s->items) return error("invalid array type, expected Items with a non-empty Schema");
      return structure(ValueKind::List);
    case Kind::IntOrString:
      if (!d.is_string() && !is_whole(d)) return error("invalid data, expected XIntOrString value to be either a string or integer");
      break;
    case Kind::String:
      if (!d.is_string()) return refused("string", d);
      break;
    case Kind::Duration:
    case Kind::Date:
    case Kind::DateTime:
    case Kind::Bytes:
      if (!d.is_string()) return refused("string", d);
      return of_text(d.get_ref<const std::string&>(), kind);
    case Kind::Double:
      if (!d.is_number()) return refused("float", d);
      return real(d.get<double>());
    case Kind::Int:
      if (!is_whole(d)) return refused("int", d);
      break;
    case Kind::Bool:
      if (!d.is_boolean()) return refused("bool", d);
      break;
    default: break;
  }
  switch (d.type()) {
    case Document::value_t::boolean: return boolean(d.get<bool>());
    case Document::value_t::number_integer: return integer(d.get<std::int64_t>());
    case Document::value_t::number_unsigned: {
      auto u = d.get<std::uint64_t>();
      return u > INT64_MAX ? real(static_cast<double>(u)) : integer(static_cast<std::int64_t>(u));
    }
    case Document::value_t::number_float: return real(d.get<double>());
    case Document::value_t::string: return structure(ValueKind::String);
    case Document::value_t::array: return structure(ValueKind::List);
    case Document::value_t::object: return structure(ValueKind::Map);
    default: return {};
  }
}

// Readers.

std::string_view Value::text() const {
  if (in_document_) return scalar_.doc->get_ref<const std::string&>();
  return box_ ? std::string_view(*static_cast<const Text*>(box_.get())) : std::string_view();
}

std::size_t Value::size() const {
  switch (kind_) {
    case ValueKind::String: return count_characters(text());
    case ValueKind::Bytes: return text().size();
    case ValueKind::List: return in_document_ ? scalar_.doc->size() : static_cast<const Values*>(box_.get())->size();
    case ValueKind::Map: return in_document_ ? scalar_.doc->size() : static_cast<const MapValue*>(box_.get())->size();
    default: return 0;
  }
}

Value Value::at(std::size_t i) const {
  if (in_document_) return of((*scalar_.doc)[i], schema_ ? schema_->items : nullptr);
  return (*static_cast<const Values*>(box_.get()))[i];
}

bool Value::find(const Value& key, Value& out) const {
  if (!in_document_) return static_cast<const MapValue*>(box_.get())->find(key, out);
  if (!key.is(ValueKind::String)) {
    if (!schema_) return false;
    out = error("no such overload");
    return true;
  }
  bool object = schema_ && schema_->kind == Schema::Kind::Object && !schema_->fields.empty();
  std::string name;
  if (!object) name = std::string(key.text());
  else if (!unescape(key.text(), name)) return false;
  auto it = scalar_.doc->find(name);
  if (it == scalar_.doc->end()) return false;
  if (!schema_) return out = of(*it), true;
  if (schema_->kind == Schema::Kind::Map) return out = of(*it, schema_->items), true;
  const SchemaField* f = schema_->field(name);
  if (!f || it->is_null()) return false;  // null is as good as absent
  out = of(*it, f->schema);
  return true;
}

Values Value::keys() const {
  if (!in_document_) return static_cast<const MapValue*>(box_.get())->keys();
  Values out;
  for (const auto& [name, value] : scalar_.doc->items()) {
    if (!schema_ || schema_->kind == Schema::Kind::Map) {
      out.push_back(string(name));
      continue;
    }
    const SchemaField* f = schema_->field(name);
    if (!f) continue;
    std::string escaped;
    out.push_back(string(escape(name, escaped) ? escaped : name));
  }
  return out;
}

const Value& Value::optional_value() const { return *static_cast<const Value*>(box_.get()); }

const Type& Value::type_of() const {
  static const Type* const kTypes[] = {&types::error, &types::null, &types::boolean, &types::integer, &types::uinteger, &types::real, &types::string,
                                       &types::bytes, &types::timestamp, &types::duration, &types::list, &types::map, &types::type,
                                       &types::optional, &types::quantity, &types::url, &types::ip, &types::cidr, &types::format,
                                       &types::semver, &types::authorizer, &types::path_check, &types::group_check, &types::resource_check,
                                       &types::decision, &types::error};
  return *kTypes[static_cast<std::size_t>(kind_)];
}

Value Value::appended(Value list, Value item) {
  if (!list.in_document_ && list.box_.use_count() == 1) {
    // Nobody else sees the vector.
    auto* items = const_cast<Values*>(static_cast<const Values*>(list.box_.get()));  // NOLINT
    items->push_back(std::move(item));
    return list;
  }
  Values out;
  for (std::size_t i = 0, n = list.size(); i < n; ++i) out.push_back(list.at(i));
  out.push_back(std::move(item));
  return Value::list(std::move(out));
}

Value Value::inserted(Value map, const Value& key, const Value& value) {
  Value there;
  if (map.find(key, there)) return error("insert failed: key " + display(key) + " already exists");
  const auto* shared = map.in_document_ ? nullptr : dynamic_cast<const HashMap*>(static_cast<const MapValue*>(map.box_.get()));
  if (shared && map.box_.use_count() == 1) {
    const_cast<HashMap*>(shared)->put(key, value);  // NOLINT: nobody else sees it
    return map;
  }
  auto out = std::make_shared<HashMap>();
  for (Value& k : map.keys()) {
    Value v;
    map.find(k, v);
    out->put(std::move(k), std::move(v));
  }
  out->put(key, value);
  return Value::map(std::shared_ptr<const MapValue>(std::move(out)));
}

bool Value::to_document(Document& out, std::string& problem) const {
  if (in_document_) return out = *scalar_.doc, true;
  switch (kind_) {
    case ValueKind::Null: out = nullptr; return true;
    case ValueKind::Bool: out = scalar_.b; return true;
    case ValueKind::Int: out = scalar_.i; return true;
    case ValueKind::Uint: out = scalar_.u; return true;
    case ValueKind::Double: out = scalar_.d; return true;
    case ValueKind::String: out = std::string(text()); return true;
    case ValueKind::Bytes: out = base64_encode(text()); return true;
    case ValueKind::Timestamp: out = format_timestamp(scalar_.i, nanos_, offset_); return true;
    case ValueKind::Duration: out = format_seconds(scalar_.i); return true;
    case ValueKind::Optional:
      if (box_) return optional_value().to_document(out, problem);
      out = nullptr;
      return true;
    case ValueKind::List: {
      out = Document::array();
      for (std::size_t i = 0, n = size(); i < n; ++i) {
        Document item;
        if (!at(i).to_document(item, problem)) return false;
        out.push_back(std::move(item));
      }
      return true;
    }
    case ValueKind::Map: {
      out = Document::object();
      for (const Value& k : keys()) {
        Value v;
        Document d;
        if (!k.is(ValueKind::String)) return problem = "unsupported key type: " + to_string(k.type_of()), false;
        if (!find(k, v) || !v.to_document(d, problem)) return false;
        out[std::string(k.text())] = std::move(d);
      }
      return true;
    }
    default: problem = "unsupported conversion of " + to_string(type_of()); return false;
  }
}

// HashMap.

// Equal keys have equal texts; numbers by value.
std::string HashMap::text_of(const Value& key) {
  switch (key.kind()) {
    case ValueKind::Bool: return key.is_true() ? "t" : "f";
    case ValueKind::Int: return "n" + std::to_string(key.as_int());
    case ValueKind::Uint: return "n" + std::to_string(key.as_uint());
    case ValueKind::Double: {
      double d = key.as_double();
      if (d == std::floor(d) && d >= -9.3e18 && d < 1.9e19) return "n" + (d < 0 ? std::to_string(static_cast<std::int64_t>(d)) : std::to_string(static_cast<std::uint64_t>(d)));
      return "d" + format_g(d);
    }
    case ValueKind::String: return "s" + std::string(key.text());
    default: return "o" + display(key);
  }
}
bool HashMap::find(const Value& key, Value& out) const {
  auto it = index_.find(text_of(key));
  if (it == index_.end()) return false;
  out = entries_[it->second].second;
  return true;
}
Values HashMap::keys() const {
  Values out;
  for (const auto& [k, v] : entries_) out.push_back(k);
  return out;
}
void HashMap::put(Value key, Value value) {
  auto [it, fresh] = index_.try_emplace(text_of(key), entries_.size());
  if (fresh) entries_.emplace_back(std::move(key), std::move(value));
  else entries_[it->second].second = std::move(value);
}

}  // namespace onebin::cel
