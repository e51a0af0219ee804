#include "cel/cost.hpp"
#include "cel/functions.hpp"
#include "cel/opaque.hpp"
#include "cel/work.hpp"

#include <algorithm>
#include <cmath>

namespace onebin::cel {
namespace {

std::uint64_t size_of(const Value& v, bool through_optional) {
  switch (v.kind()) {
    case ValueKind::String: case ValueKind::Bytes: case ValueKind::List: case ValueKind::Map: return v.size();
    case ValueKind::Ip: return box_of<IpBox>(v).size;
    case ValueKind::Cidr: return static_cast<std::uint64_t>((box_of<CidrBox>(v).bits + 7) / 8);
    case ValueKind::Optional: return through_optional && v.has_optional() ? size_of(v.optional_value(), true) : 1;
    default: return 1;
  }
}

std::uint64_t scaled(double size, double factor) { return static_cast<std::uint64_t>(std::ceil(size * factor)); }
std::uint64_t text_cost(std::uint64_t size, double times = 1) { return static_cast<std::uint64_t>(std::ceil(static_cast<double>(size) * times * 0.1)); }
std::uint64_t regex_cost(std::uint64_t text, std::uint64_t pattern) {
  return scaled(1.0 + static_cast<double>(text), 0.1) * scaled(static_cast<double>(pattern), 0.25);
}

// Of walking through all of a value.
std::uint64_t walk(const Value& v) {
  if (!spend(1)) return 1;
  switch (v.kind()) {
    case ValueKind::String:
    case ValueKind::Bytes: return static_cast<std::uint64_t>(static_cast<double>(v.text().size()) * 0.1);
    case ValueKind::List: {
      std::uint64_t cost = 0;
      for (std::size_t i = 0, n = v.size(); i < n; ++i) cost += walk(v.at(i));
      return cost;
    }
    case ValueKind::Map: {
      std::uint64_t cost = 0;
      for (const Value& k : v.keys()) {
        Value item;
        v.find(k, item);
        cost += walk(k) + walk(item);
      }
      return cost;
    }
    default: return 1;
  }
}

std::uint64_t selector_cost(std::uint64_t length) {
  return kListCost + text_cost(length) + scaled(static_cast<double>(scaled(static_cast<double>(length), 0.5)), kListCost + kObjectCost);
}

// Of comparing the items of a list with each other.
std::uint64_t among(const Value& list) {
  std::uint64_t n = size_of(list, false);
  double factor = 2;
  if (n) {
    Value first = list.at(0);
    if (first.is(ValueKind::String) || first.is(ValueKind::Bytes)) factor += 0.1;
  }
  return static_cast<std::uint64_t>(static_cast<double>(n * n) * factor) + 1 + kListCost;
}

enum class Rule : unsigned char {
  One, Check, Selector, Walk, Text, Text2, JoinResult, Find, Ip, ContainsIp, ContainsCidr, Validate, Output, Flatten, Among, AmongKeys, Sets, Sets2,
};
struct Row {
  std::string_view name;
  Rule rule;
};
constexpr Row kByFunction[] = {
    {"check", Rule::Check}, {"serviceAccount", Rule::One}, {"path", Rule::One}, {"group", Rule::One}, {"resource", Rule::One},
    {"subresource", Rule::One}, {"namespace", Rule::One}, {"name", Rule::One}, {"allowed", Rule::One}, {"reason", Rule::One},
    {"error", Rule::One}, {"errored", Rule::One}, {"fieldSelector", Rule::Selector}, {"labelSelector", Rule::Selector},
    {"isSorted", Rule::Walk}, {"sum", Rule::Walk}, {"max", Rule::Walk}, {"min", Rule::Walk}, {"indexOf", Rule::Walk},
    {"lastIndexOf", Rule::Walk}, {"includes", Rule::Walk}, {"url", Rule::Text}, {"lowerAscii", Rule::Text}, {"upperAscii", Rule::Text},
    {"substring", Rule::Text}, {"trim", Rule::Text}, {"jsonpatch.escapeKey", Rule::Text}, {"replace", Rule::Text2}, {"split", Rule::Text2},
    {"join", Rule::JoinResult}, {"find", Rule::Find}, {"findAll", Rule::Find}, {"cidr", Rule::Text}, {"isIP", Rule::Text},
    {"isCIDR", Rule::Text}, {"ip", Rule::Ip}, {"ip.isCanonical", Rule::Text2}, {"containsIP", Rule::ContainsIp},
    {"containsCIDR", Rule::ContainsCidr}, {"quantity", Rule::Text}, {"isQuantity", Rule::Text}, {"semver", Rule::Text},
    {"isSemver", Rule::Text}, {"validate", Rule::Validate}, {"slice", Rule::Output}, {"flatten", Rule::Flatten}, {"lists.range", Rule::Output},
    {"reverse", Rule::Output}, {"distinct", Rule::Among}, {"sort", Rule::Among}, {"@sortByAssociatedKeys", Rule::AmongKeys},
    {"sets.contains", Rule::Sets}, {"sets.intersects", Rule::Sets}, {"sets.equivalent", Rule::Sets2}};
// These are told apart by overload, and cost one where that is not known.
bool by_overload(Rule r) { return r >= Rule::Output; }

const Row* row_of(std::string_view name) {
  for (const Row& r : kByFunction)
    if (r.name == name) return &r;
  return nullptr;
}

std::uint64_t contains_cost(const Rule rule, std::span<const Value> args) {
  std::uint64_t net = size_of(args[0], false), cost = text_cost(net + net);
  if (rule == Rule::ContainsCidr) cost += text_cost(net) + 1;
  return args[1].is(ValueKind::String) ? cost + text_cost(size_of(args[1], false)) : cost;
}

std::uint64_t apply(Rule rule, std::span<const Value> args, const Value& result) {
  switch (rule) {
    case Rule::Check: return 350'000;
    case Rule::Selector: return selector_cost(size_of(args[1], false));
    case Rule::Walk: return walk(args[0]);
    case Rule::Text: return text_cost(size_of(args[0], false));
    case Rule::Text2: return text_cost(size_of(args[0], false), 2);
    case Rule::JoinResult: return text_cost(size_of(result, false), 2);
    case Rule::Find: return regex_cost(size_of(args[0], false), size_of(args[1], false));
    case Rule::Ip: return args[0].is(ValueKind::Cidr) ? 1 : text_cost(size_of(args[0], false));
    case Rule::ContainsIp:
    case Rule::ContainsCidr: return contains_cost(rule, args);
    case Rule::Validate: return regex_cost(size_of(args[1], false), box_of<FormatBox>(args[0]).regex_size);
    case Rule::Output: return size_of(result, false) + 1 + kListCost;
    case Rule::Flatten: {
      double depth = args.size() == 2 && args[1].is(ValueKind::Int) ? static_cast<double>(args[1].as_int()) : 1;
      if (depth < 0) depth = 1;
      double elements = std::min(static_cast<double>(size_of(args[0], false)) * depth, 9e18);  // beyond every limit
      return static_cast<std::uint64_t>(elements) + 1 + kListCost;
    }
    case Rule::Among: return among(args[0]);
    case Rule::AmongKeys: return among(args[1]);
    case Rule::Sets:
    case Rule::Sets2: return 1 + size_of(args[0], false) * size_of(args[1], false) * (rule == Rule::Sets2 ? 2 : 1);
    default: return 1;
  }
}

bool fits_rule(Rule rule, std::span<const Value> args) {
  if (args.empty()) return false;
  switch (rule) {
    case Rule::Selector: case Rule::Find: case Rule::ContainsIp: case Rule::ContainsCidr: case Rule::Sets: case Rule::Sets2:
      return args.size() >= 2;
    case Rule::Validate: return args.size() >= 2 && args[0].is(ValueKind::Format);
    case Rule::Among: return args[0].is(ValueKind::List);
    case Rule::AmongKeys: return args.size() >= 2 && args[1].is(ValueKind::List);
    default: return true;
  }
}

bool relation(std::string_view id) {
  for (std::string_view p : {"less_", "greater_"})
    if (id.substr(0, p.size()) == p && (id.ends_with("string") || id.ends_with("bytes"))) return true;
  return false;
}

}  // namespace

std::uint64_t call_cost(const Expr& call, const Overload* overload, std::span<const Value> args, const Value& result) {
  bool equality = call.form == Expr::Form::Equal || call.form == Expr::Form::NotEqual;
  if (equality) {
    // Of the extensions' own types it is one.
    bool own = call.form == Expr::Form::Equal && args[0].kind() >= ValueKind::Quantity && args[0].kind() <= ValueKind::Decision;
    return own ? 1 : text_cost(std::min(size_of(args[0], true), size_of(args[1], true)));
  }
  const Row* row = row_of(call.text);
  if (row && (overload || !by_overload(row->rule))) return fits_rule(row->rule, args) ? apply(row->rule, args, result) : 1;
  std::string_view id = overload ? std::string_view(overload->id) : std::string_view();
  if (id == "starts_with_string" || id == "ends_with_string") return text_cost(size_of(args[1], true));
  if (id == "string_to_bytes" || id == "bytes_to_string" || id == "strings_quote" || id == "string_format") return text_cost(size_of(args[0], true));
  if (id == "in_list") return size_of(args[1], true);
  if (relation(id)) return text_cost(std::min(size_of(args[0], true), size_of(args[1], true)));
  if (id == "add_string" || id == "add_bytes") return text_cost(size_of(args[0], true) + size_of(args[1], true));
  if (id == "matches" || id == "matches_string") return regex_cost(size_of(args[0], true), size_of(args[1], true));
  if (id == "contains_string") return text_cost(size_of(args[0], true)) * text_cost(size_of(args[1], true));
  return 1;
}

std::uint64_t cost_beforehand(const Expr& call, std::span<const Value> args) {
  const Row* row = row_of(call.text);
  if (!row || !fits_rule(row->rule, args)) return 0;
  switch (row->rule) {
    case Rule::Among: return args[0].size() * args[0].size();
    case Rule::AmongKeys: return args[1].size() * args[1].size();
    case Rule::Sets:
    case Rule::Sets2: return args[0].is(ValueKind::List) && args[1].is(ValueKind::List) ? args[0].size() * args[1].size() : 0;
    case Rule::Output: return call.text == "lists.range" && args[0].is(ValueKind::Int) && args[0].as_int() > 0 ? args[0].as_uint() : 0;
    default: return 0;
  }
}

}  // namespace onebin::cel
