// Lists, sets, maps and optionals.
#include "cel/implementations.hpp"
#include "cel/work.hpp"

#include <algorithm>
#include <numeric>

namespace onebin::cel::fn {
namespace {

Values items_of(const Value& list) {
  Values out;
  std::size_t n = list.size();
  out.reserve(n);
  for (std::size_t i = 0; i < n; ++i) out.push_back(list.at(i));
  return out;
}

bool comparable(const Value& v) {
  switch (v.kind()) {
    case ValueKind::Bool: case ValueKind::Int: case ValueKind::Uint: case ValueKind::Double: case ValueKind::String: case ValueKind::Bytes:
    case ValueKind::Timestamp: case ValueKind::Duration: return true;
    default: return false;
  }
}

Value sorted_by(const Value& list, const Value& keys) {
  Values k = items_of(keys), items = items_of(list);
  if (k.size() != items.size())
    return Value::error("@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got " +
                        std::to_string(items.size()) + " and " + std::to_string(k.size()) + " elements respectively");
  if (k.empty()) return list;
  if (!comparable(k[0])) return Value::error("list elements must be comparable");
  for (const Value& v : k)
    if (v.kind() != k[0].kind()) return k.size() > 1 ? Value::error("list elements must have the same type") : list;
  std::vector<std::size_t> order(k.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    Value c = compare(k[a], k[b]);
    return !c.is_error() && c.as_int() < 0;
  });
  Values out;
  for (std::size_t i : order) out.push_back(items[i]);
  return Value::list(std::move(out));
}

// The first item that no other is beyond in the direction.
Value extreme(const CallSite& c, const char* name, std::int64_t beyond) {
  Value best;
  std::size_t n = c[0].size();
  for (std::size_t i = 0; i < n; ++i) {
    Value item = c[0].at(i);
    if (!comparable(item)) return item.is_error() ? item : no_overload();
    if (i == 0) best = std::move(item);
    else if (Value o = compare(best, item); o.is(ValueKind::Int) && o.as_int() == beyond) best = std::move(item);
  }
  return n == 0 ? Value::error(std::string(name) + " called on empty list") : best;
}

void flatten_into(const Value& list, std::int64_t depth, Values& out) {
  for (std::size_t i = 0, n = list.size(); i < n; ++i) {
    Value item = list.at(i);
    if (!spend(1)) return;
    if (item.is(ValueKind::List) && depth > 0) flatten_into(item, depth - 1, out);
    else out.push_back(std::move(item));
  }
}

bool has(const Value& list, const Value& item) {
  for (std::size_t i = 0, n = list.size(); i < n; ++i)
    if (equal(item, list.at(i)).is_true()) return true;
  return false;
}
bool has_all(const Value& list, const Value& part) {
  for (std::size_t i = 0, n = part.size(); i < n; ++i)
    if (!has(list, part.at(i))) return false;
  return true;
}

bool zero(const Value& v) {
  switch (v.kind()) {
    case ValueKind::Null: return true;
    case ValueKind::Bool: return v.is_false();
    case ValueKind::Int:
    case ValueKind::Uint:
    case ValueKind::Duration: return v.as_uint() == 0;
    case ValueKind::Double: return v.as_double() == 0;
    case ValueKind::String:
    case ValueKind::Bytes: return v.text().empty();
    case ValueKind::List:
    case ValueKind::Map: return !v.schema() && v.size() == 0;
    case ValueKind::Timestamp: return v.as_int() == -62135596800 && v.nanos() == 0;
    default: return false;
  }
}

}  // namespace

Value slice(const CallSite& c) {
  std::int64_t start = c[1].as_int(), end = c[2].as_int(), n = static_cast<std::int64_t>(c[0].size());
  std::string what = "cannot slice(" + std::to_string(start) + ", " + std::to_string(end) + "), ";
  if (start < 0 || end < 0) return Value::error(what + "negative indexes not supported");
  if (start > end) return Value::error(what + "start index must be less than or equal to end index");
  if (n < end) return Value::error(what + "list is length " + std::to_string(n));
  Values out;
  for (std::int64_t i = start; i < end; ++i) out.push_back(c[0].at(static_cast<std::size_t>(i)));
  return Value::list(std::move(out));
}

Value flatten(const CallSite& c) {
  if (!c[0].is(ValueKind::List)) return Value::error("no such overload: " + c[0].type_of().name + ".flatten()");
  if (c.args.size() == 2 && !c[1].is(ValueKind::Int))
    return Value::error("no such overload: " + c[0].type_of().name + ".flatten(" + c[1].type_of().name + ")");
  std::int64_t depth = c.args.size() == 2 ? c[1].as_int() : 1;
  if (depth < 0) return Value::error("level must be non-negative");
  Values out;
  flatten_into(c[0], depth, out);
  return Value::list(std::move(out));
}

Value sort(const CallSite& c) { return sorted_by(c[0], c[0]); }
Value sort_by_keys(const CallSite& c) { return c[1].is(ValueKind::List) ? sorted_by(c[0], c[1]) : no_overload(); }

Value range(const CallSite& c) {
  std::int64_t n = c[0].as_int();
  if (n < 0) return Value::error("lists.range: size must be non-negative, got " + std::to_string(n));
  // What is beyond any budget is not made.
  if (n > 10'000'000) return Value::error("lists.range: size " + std::to_string(n) + " exceeds maximum allowed (10000000)");
  Values out;
  out.reserve(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) out.push_back(Value::integer(i));
  return Value::list(std::move(out));
}

Value reverse(const CallSite& c) {
  Values out = items_of(c[0]);
  std::reverse(out.begin(), out.end());
  return Value::list(std::move(out));
}

Value distinct(const CallSite& c) {
  Values out;
  for (Value& item : items_of(c[0])) {
    bool seen = std::any_of(out.begin(), out.end(), [&](const Value& o) { return equal(item, o).is_true(); });
    if (!seen) out.push_back(std::move(item));
  }
  return Value::list(std::move(out));
}

Value is_sorted(const CallSite& c) {
  Value previous;
  for (std::size_t i = 0, n = c[0].size(); i < n; ++i) {
    Value item = c[0].at(i);
    if (!comparable(item)) return item.is_error() ? item : no_overload();
    if (i)
      if (Value o = compare(previous, item); o.is(ValueKind::Int) && o.as_int() > 0) return Value::boolean(false);
    previous = std::move(item);
  }
  return Value::boolean(true);
}

Value sum(const CallSite& c) {
  Value total;
  std::size_t n = c[0].size();
  if (n == 0) {
    TypeKind k = c.overload ? c.overload->result->kind : TypeKind::Int;
    return k == TypeKind::Uint ? Value::uinteger(0) : k == TypeKind::Double ? Value::real(0) : k == TypeKind::Duration ? Value::duration(0) : Value::integer(0);
  }
  for (std::size_t i = 0; i < n; ++i) {
    Value item = c[0].at(i);
    if (item.is_error()) return item;
    if (i == 0) {
      if (!comparable(item)) return no_overload();
      total = std::move(item);
      continue;
    }
    Value pair[] = {total, item};
    total = add({pair, nullptr, nullptr});
    if (total.is_error()) return total;
  }
  return total;
}

Value min(const CallSite& c) { return extreme(c, "min", 1); }
Value max(const CallSite& c) { return extreme(c, "max", -1); }

Value includes(const CallSite& c) {
  if (!c[0].is(ValueKind::List)) return Value::boolean(equal(c[0], c[1]).is_true());
  for (std::size_t i = 0, n = c[0].size(); i < n; ++i)
    if (equal(c[0].at(i), c[1]).is_true()) return Value::boolean(true);
  return Value::boolean(false);
}

Value sets_contains(const CallSite& c) { return Value::boolean(has_all(c[0], c[1])); }
Value sets_equivalent(const CallSite& c) { return Value::boolean(has_all(c[0], c[1]) && has_all(c[1], c[0])); }
Value sets_intersects(const CallSite& c) {
  for (std::size_t i = 0, n = c[0].size(); i < n; ++i)
    if (has(c[1], c[0].at(i))) return Value::boolean(true);
  return Value::boolean(false);
}

Value map_insert(const CallSite& c) {
  if (c.args.size() == 3) return Value::inserted(c[0], c[1], c[2]);
  Value out = c[0];
  for (const Value& key : c[1].keys()) {
    Value v;
    c[1].find(key, v);
    out = Value::inserted(std::move(out), key, v);
    if (out.is_error()) break;
  }
  return out;
}

Value optional_of(const CallSite& c) { return Value::optional_of(c[0]); }
Value optional_of_non_zero(const CallSite& c) { return zero(c[0]) ? Value::optional_none() : Value::optional_of(c[0]); }
Value optional_none(const CallSite&) { return Value::optional_none(); }
Value value(const CallSite& c) { return c[0].has_optional() ? c[0].optional_value() : Value::error("optional.none() dereference"); }
Value has_value(const CallSite& c) { return Value::boolean(c[0].has_optional()); }
Value last(const CallSite& c) { return c[0].size() ? Value::optional_of(c[0].at(c[0].size() - 1)) : Value::optional_none(); }
Value first(const CallSite& c) { return c[0].size() ? Value::optional_of(c[0].at(0)) : Value::optional_none(); }
Value unwrap(const CallSite& c) {
  Values out;
  for (Value& item : items_of(c[0])) {
    if (!item.is(ValueKind::Optional)) return Value::error("value is not optional");
    if (item.has_optional()) out.push_back(item.optional_value());
  }
  return Value::list(std::move(out));
}

}  // namespace onebin::cel::fn
