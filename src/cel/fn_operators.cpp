// Operators, sizes and conversions of the standard library.
#include "cel/implementations.hpp"
#include "cel/map_value.hpp"
#include "cel/opaque.hpp"
#include "cel/source.hpp"
#include "cel/text_forms.hpp"
#include "cel/work.hpp"

#include <onebin/base/time.hpp>

#include <charconv>
#include <cmath>

namespace onebin::cel::fn {
namespace {

Value int_overflow() { return Value::error("integer overflow"); }
Value uint_overflow() { return Value::error("unsigned integer overflow"); }
Value duration_overflow() { return Value::error("duration overflow"); }
Value timestamp_overflow() { return Value::error("timestamp overflow"); }
Value cannot_convert(const Value& from, const Type& to) {
  return Value::error("type conversion error from '" + from.type_of().name + "' to '" + to.name + "'");
}

// A time moved by nanoseconds.
Value moved(const Value& time, std::int64_t ns) {
  std::int64_t seconds = time.as_int() + ns / 1'000'000'000, nanos = time.nanos() + ns % 1'000'000'000;
  if (nanos < 0) nanos += 1'000'000'000, --seconds;
  if (nanos >= 1'000'000'000) nanos -= 1'000'000'000, ++seconds;
  if (seconds < kMinSeconds || seconds > kMaxSeconds) return timestamp_overflow();
  return Value::timestamp(seconds, static_cast<std::int32_t>(nanos), time.offset_minutes());
}

bool is(const Value& v, ValueKind k) { return v.is(k); }

// Lists of x-kubernetes-list-type set and map join as unions; others are laid end to end.
Value join_lists(const Value& a, const Value& b) {
  Values out;
  std::size_t n = a.size(), m = b.size();
  if (!spend(n + m)) return no_overload();
  for (std::size_t i = 0; i < n; ++i) out.push_back(a.at(i));
  Schema::ListKind kind = a.schema() ? a.schema()->list_kind : Schema::ListKind::Atomic;
  auto key_of = [&](const Value& v) {
    if (kind == Schema::ListKind::Set) return cel::display(v);
    std::string key;
    for (const std::string& name : a.schema()->list_keys) {
      Value part;
      std::string escaped;
      if (v.is(ValueKind::Map) && escape(name, escaped)) v.find(Value::string(escaped), part);
      key += cel::display(part) + "\x01";
    }
    return key;
  };
  std::unordered_map<std::string, std::size_t> there;
  if (kind != Schema::ListKind::Atomic)
    for (std::size_t i = 0; i < n; ++i) there.emplace(key_of(out[i]), i);
  for (std::size_t i = 0; i < m; ++i) {
    Value item = b.at(i);
    if (kind != Schema::ListKind::Atomic) {
      auto [it, fresh] = there.emplace(key_of(item), out.size());
      if (!fresh) {
        if (kind == Schema::ListKind::Map) out[it->second] = std::move(item);
        continue;
      }
    }
    out.push_back(std::move(item));
  }
  return Value::list(std::move(out));
}

template <class T>
Value parsed(const Value& v, const Type& to, Value (*make)(T)) {
  std::string_view t = v.text();
  if (!t.empty() && t[0] == '+') t.remove_prefix(t.size() > 1 && t[1] != '-' && std::is_signed_v<T> ? 1 : 0);
  T out{};
  auto r = std::from_chars(t.data(), t.data() + t.size(), out);
  if (r.ec != std::errc() || r.ptr != t.data() + t.size()) return cannot_convert(v, to);
  return make(out);
}

Value relation(const CallSite& c, bool (*holds)(std::int64_t)) {
  Value order = compare(c[0], c[1]);
  return order.is_error() ? order : Value::boolean(holds(order.as_int()));
}

}  // namespace

Value not_(const CallSite& c) { return is(c[0], ValueKind::Bool) ? Value::boolean(c[0].is_false()) : no_overload(); }

Value add(const CallSite& c) {
  const Value &a = c[0], &b = c[1];
  if (is(a, ValueKind::Timestamp)) return is(b, ValueKind::Duration) ? moved(a, b.as_int()) : no_overload();
  if (is(a, ValueKind::Duration) && is(b, ValueKind::Timestamp)) return moved(b, a.as_int());
  if (a.kind() != b.kind()) return no_overload();
  std::int64_t i = 0;
  std::uint64_t u = 0;
  switch (a.kind()) {
    case ValueKind::Int: return __builtin_add_overflow(a.as_int(), b.as_int(), &i) ? int_overflow() : Value::integer(i);
    case ValueKind::Uint: return __builtin_add_overflow(a.as_uint(), b.as_uint(), &u) ? uint_overflow() : Value::uinteger(u);
    case ValueKind::Double: return Value::real(a.as_double() + b.as_double());
    case ValueKind::Duration: return __builtin_add_overflow(a.as_int(), b.as_int(), &i) ? duration_overflow() : Value::duration(i);
    case ValueKind::String: return Value::string(std::string(a.text()).append(b.text()));
    case ValueKind::Bytes: return Value::bytes(std::string(a.text()).append(b.text()));
    default: return join_lists(a, b);
  }
}

Value subtract(const CallSite& c) {
  const Value &a = c[0], &b = c[1];
  std::int64_t i = 0;
  std::uint64_t u = 0;
  if (is(a, ValueKind::Timestamp) && is(b, ValueKind::Duration)) {
    if (b.as_int() == INT64_MIN) return timestamp_overflow();
    return moved(a, -b.as_int());
  }
  if (a.kind() != b.kind()) return no_overload();
  switch (a.kind()) {
    case ValueKind::Int: return __builtin_sub_overflow(a.as_int(), b.as_int(), &i) ? int_overflow() : Value::integer(i);
    case ValueKind::Uint: return __builtin_sub_overflow(a.as_uint(), b.as_uint(), &u) ? uint_overflow() : Value::uinteger(u);
    case ValueKind::Double: return Value::real(a.as_double() - b.as_double());
    case ValueKind::Duration: return __builtin_sub_overflow(a.as_int(), b.as_int(), &i) ? duration_overflow() : Value::duration(i);
    default:
      if (__builtin_mul_overflow(a.as_int() - b.as_int(), std::int64_t{1'000'000'000}, &i) || __builtin_add_overflow(i, a.nanos() - b.nanos(), &i))
        return duration_overflow();
      return Value::duration(i);
  }
}

Value multiply(const CallSite& c) {
  const Value &a = c[0], &b = c[1];
  if (a.kind() != b.kind()) return no_overload();
  std::int64_t i = 0;
  std::uint64_t u = 0;
  if (is(a, ValueKind::Int)) return __builtin_mul_overflow(a.as_int(), b.as_int(), &i) ? int_overflow() : Value::integer(i);
  if (is(a, ValueKind::Uint)) return __builtin_mul_overflow(a.as_uint(), b.as_uint(), &u) ? uint_overflow() : Value::uinteger(u);
  return Value::real(a.as_double() * b.as_double());
}

Value divide(const CallSite& c) {
  const Value &a = c[0], &b = c[1];
  if (a.kind() != b.kind()) return no_overload();
  if (is(a, ValueKind::Double)) return Value::real(a.as_double() / b.as_double());
  if (b.as_uint() == 0) return Value::error("division by zero");
  if (is(a, ValueKind::Uint)) return Value::uinteger(a.as_uint() / b.as_uint());
  return a.as_int() == INT64_MIN && b.as_int() == -1 ? int_overflow() : Value::integer(a.as_int() / b.as_int());
}

Value modulo(const CallSite& c) {
  const Value &a = c[0], &b = c[1];
  if (a.kind() != b.kind()) return no_overload();
  if (b.as_uint() == 0) return Value::error("modulus by zero");
  if (is(a, ValueKind::Uint)) return Value::uinteger(a.as_uint() % b.as_uint());
  return a.as_int() == INT64_MIN && b.as_int() == -1 ? int_overflow() : Value::integer(a.as_int() % b.as_int());
}

Value negate(const CallSite& c) {
  if (is(c[0], ValueKind::Double)) return Value::real(-c[0].as_double());
  bool duration = is(c[0], ValueKind::Duration);
  if (c[0].as_int() == INT64_MIN) return duration ? duration_overflow() : int_overflow();
  return duration ? Value::duration(-c[0].as_int()) : Value::integer(-c[0].as_int());
}

Value less(const CallSite& c) { return relation(c, [](std::int64_t o) { return o < 0; }); }
Value less_equals(const CallSite& c) { return relation(c, [](std::int64_t o) { return o <= 0; }); }
Value greater(const CallSite& c) { return relation(c, [](std::int64_t o) { return o > 0; }); }
Value greater_equals(const CallSite& c) { return relation(c, [](std::int64_t o) { return o >= 0; }); }

Value in(const CallSite& c) {
  const Value& all = c[1];
  if (is(all, ValueKind::Map)) {
    Value there;
    bool found = all.find(c[0], there);
    return found && there.is_error() ? there : Value::boolean(found);
  }
  if (!is(all, ValueKind::List)) return no_overload();
  Value problem;
  bool by_schema = all.schema() != nullptr, failed = false;
  for (std::size_t i = 0, n = all.size(); i < n; ++i) {
    Value same = by_schema ? equal(all.at(i), c[0]) : equal(c[0], all.at(i));
    if (same.is_true()) return same;
    if (by_schema && same.is_error() && !failed) problem = same, failed = true;
  }
  return failed ? problem : Value::boolean(false);
}

Value size(const CallSite& c) {
  if (is(c[0], ValueKind::Ip)) return Value::integer(box_of<IpBox>(c[0]).size);
  if (is(c[0], ValueKind::Cidr)) return Value::integer((box_of<CidrBox>(c[0]).bits + 7) / 8);
  return Value::integer(static_cast<std::int64_t>(c[0].size()));
}

Value type(const CallSite& c) { return Value::type(&c[0].type_of()); }
Value dyn(const CallSite& c) { return c[0]; }

Value to_bool(const CallSite& c) {
  if (is(c[0], ValueKind::Bool)) return c[0];
  std::string_view t = c[0].text();
  for (std::string_view yes : {"1", "t", "T", "TRUE", "true", "True"})
    if (t == yes) return Value::boolean(true);
  for (std::string_view no : {"0", "f", "F", "FALSE", "false", "False"})
    if (t == no) return Value::boolean(false);
  return cannot_convert(c[0], types::boolean);
}

Value to_bytes(const CallSite& c) { return is(c[0], ValueKind::Bytes) ? c[0] : Value::bytes(std::string(c[0].text())); }

Value to_double(const CallSite& c) {
  double d = 0;
  switch (c[0].kind()) {
    case ValueKind::Int: return Value::real(static_cast<double>(c[0].as_int()));
    case ValueKind::Uint: return Value::real(static_cast<double>(c[0].as_uint()));
    case ValueKind::String: return parse_double(c[0].text(), d) ? Value::real(d) : cannot_convert(c[0], types::real);
    default: return c[0];
  }
}

Value to_duration(const CallSite& c) {
  if (is(c[0], ValueKind::Duration)) return c[0];
  auto d = parse_duration(c[0].text());
  return d ? Value::duration(d->count()) : cannot_convert(c[0], types::duration);
}

Value to_int(const CallSite& c) {
  switch (c[0].kind()) {
    case ValueKind::Double: {
      double d = c[0].as_double();
      return d > -0x1p63 && d < 0x1p63 ? Value::integer(static_cast<std::int64_t>(d)) : int_overflow();
    }
    case ValueKind::Uint: return c[0].as_uint() > INT64_MAX ? int_overflow() : Value::integer(static_cast<std::int64_t>(c[0].as_uint()));
    case ValueKind::String: return parsed<std::int64_t>(c[0], types::integer, Value::integer);
    case ValueKind::Timestamp:
    case ValueKind::Duration: return Value::integer(c[0].as_int());
    default: return c[0];
  }
}

Value to_uint(const CallSite& c) {
  switch (c[0].kind()) {
    case ValueKind::Double: {
      double d = c[0].as_double();
      return d >= 0 && d < 0x1p64 ? Value::uinteger(static_cast<std::uint64_t>(d)) : uint_overflow();
    }
    case ValueKind::Int: return c[0].as_int() < 0 ? uint_overflow() : Value::uinteger(static_cast<std::uint64_t>(c[0].as_int()));
    case ValueKind::String: return parsed<std::uint64_t>(c[0], types::uinteger, Value::uinteger);
    default: return c[0];
  }
}

Value to_string(const CallSite& c) {
  const Value& v = c[0];
  switch (v.kind()) {
    case ValueKind::Bytes: {
      for (char32_t ch : to_characters(v.text()))
        if (ch == 0xFFFD && v.text().find("\xEF\xBF\xBD") == std::string_view::npos)
          return Value::error("invalid UTF-8 in bytes, cannot convert to string");
      return text(v.text());
    }
    case ValueKind::Timestamp: return Value::string(format_timestamp(v.as_int(), v.nanos(), v.offset_minutes()));
    case ValueKind::Duration: return Value::string(format_seconds(v.as_int()));
    case ValueKind::Ip: return Value::string(ip_text(box_of<IpBox>(v)));
    case ValueKind::Cidr: return Value::string(cidr_text(box_of<CidrBox>(v)));
    case ValueKind::String: return v;
    default: return Value::string(cel::display(v));
  }
}

Value to_timestamp(const CallSite& c) {
  std::int64_t seconds = 0;
  std::int32_t nanos = 0;
  std::int16_t offset = 0;
  if (is(c[0], ValueKind::Timestamp)) return c[0];
  if (is(c[0], ValueKind::Int)) seconds = c[0].as_int();
  else if (!parse_timestamp(c[0].text(), seconds, nanos, offset)) return cannot_convert(c[0], types::timestamp);
  return seconds < kMinSeconds || seconds > kMaxSeconds ? timestamp_overflow() : Value::timestamp(seconds, nanos, offset);
}

}  // namespace onebin::cel::fn
