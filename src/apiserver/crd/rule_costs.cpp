// Rules of a definition, compiled when it is written: what is wrong with them, and what they could cost.
#include "apiserver/crd/custom_rules.hpp"

#include <onebin/apimachinery/document.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/cel/program.hpp>

#include <algorithm>
#include <cstdio>
#include <optional>

namespace onebin::apiserver {
namespace {

using apimachinery::bool_at;
using apimachinery::FieldError;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::string_at;

constexpr int kDeepest = 100;
constexpr std::uint64_t kRuleLimit = 10'000'000, kDefinitionLimit = 100'000'000;
constexpr std::uint64_t kMost = ~std::uint64_t{0};

std::uint64_t times(std::uint64_t a, std::uint64_t b) { return a == 0 ? 0 : kMost / a < b ? kMost : a * b; }

std::string exceeds(const std::string& what, std::uint64_t cost, std::uint64_t limit) {
  double factor = static_cast<double>(cost) / static_cast<double>(limit);
  char text[64] = "more than 100x";
  if (factor <= 100) std::snprintf(text, sizeof text, factor < 1.5 ? "%fx" : "%.1fx", factor);
  return what + " exceeds budget by factor of " + text +
         " (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)";
}

// A rule as upstream's internal type is written as JSON.
std::string as_json(const Document& rule) {
  auto text = [&](const char* name) { return apimachinery::go_json(std::string(string_at(rule, name))); };
  auto or_null = [&](const char* name) { return find_member(rule, name) ? apimachinery::go_json(*find_member(rule, name)) : std::string("null"); };
  return "{\"Rule\":" + text("rule") + ",\"Message\":" + text("message") + ",\"MessageExpression\":" + text("messageExpression") + ",\"Reason\":" +
         or_null("reason") + ",\"FieldPath\":" + text("fieldPath") + ",\"OptionalOldSelf\":" + or_null("optionalOldSelf") + "}";
}

FieldError invalid_rule(const FieldPath& path, const Document& rule, const std::string& detail) {
  FieldError e = field_invalid(path, Document(), as_json(rule) + ": " + detail);
  e.omit_value = true;  // it is in the detail, its members in their own order
  return e;
}

class RuleCosts {
 public:
  explicit RuleCosts(FieldErrors& errors) : errors_(errors) {}

  struct Place {
    const cel::Schema* schema = nullptr;           // null: to be made
    std::optional<std::uint64_t> count;            // how often such a value can be in an object; none: unbounded
    std::string uncorrelated;                      // the path from which on oldSelf cannot be told; "" where it can
  };

  void visit(const Document& s, const FieldPath& path, Place place, bool root, int depth) {
    if (!s.is_object() || depth > kDeepest) return;
    if (!place.schema && has_own(s)) place.schema = pool_.from_openapi(s, root || bool_at(s, "x-kubernetes-embedded-resource"), "selfType");
    std::optional<std::uint64_t> count = place.count ? factor(s) : std::nullopt;
    if (count) count = times(*place.count, *count);
    visit(member(s, "additionalProperties"), path.child("additionalProperties"), {items_of(place), count, place.uncorrelated}, false, depth + 1);
    std::string_view map_type = string_at(s, "x-kubernetes-map-type"), list_type = string_at(s, "x-kubernetes-list-type");
    bool map_correlates = map_type.empty() || map_type == "granular" || map_type == "atomic";
    auto lost = [&](bool correlates) { return place.uncorrelated.empty() && !correlates ? path.to_string() : place.uncorrelated; };
    const Document& properties = member(s, "properties");
    if (properties.is_object())
      for (const auto& [name, p] : properties.items()) {
        const cel::SchemaField* f = place.schema ? place.schema->field(name) : nullptr;
        visit(p, path.child("properties").key(name), {f && f->schema->type ? f->schema : nullptr, count, lost(map_correlates)}, false, depth + 1);
      }
    visit(member(s, "items"), path.child("items"), {items_of(place), count, lost(list_type == "map")}, false, depth + 1);
    rules(s, path, place);
  }

  void total(const FieldPath& path) {
    if (total_ <= kDefinitionLimit) return;
    for (const auto& [where, cost] : expensive_)
      errors_.push_back(field_forbidden(where, "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"));
    errors_.push_back(field_forbidden(path, exceeds("x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema", total_, kDefinitionLimit)));
  }

 private:
  static bool has_own(const Document& s) { return member(s, "x-kubernetes-validations").is_array() && !member(s, "x-kubernetes-validations").empty(); }
  static const cel::Schema* items_of(const Place& p) { return p.schema && p.schema->items && p.schema->items->type ? p.schema->items : nullptr; }
  // By how much there can be more of what is within.
  static std::optional<std::uint64_t> factor(const Document& s) {
    std::string_view type = string_at(s, "type");
    const char* limit = type == "array" ? "maxItems" : type == "object" && find_member(s, "additionalProperties") ? "maxProperties" : nullptr;
    if (!limit) return 1;
    const Document* most = find_member(s, limit);
    if (!most || !most->is_number_integer()) return std::nullopt;
    return static_cast<std::uint64_t>(std::max<std::int64_t>(most->get<std::int64_t>(), 0));
  }

  void observe(const FieldPath& path, std::uint64_t cost) {
    total_ = kMost - total_ < cost ? kMost : total_ + cost;
    if (cost < kDefinitionLimit / 100) return;
    expensive_.emplace_back(path, cost);
    std::stable_sort(expensive_.begin(), expensive_.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    if (expensive_.size() > 4) expensive_.resize(4);
  }

  void rules(const Document& s, const FieldPath& path, const Place& place) {
    if (!has_own(s)) return;
    FieldPath all = path.child("x-kubernetes-validations");
    if (!place.schema || !place.schema->type) {
      errors_.push_back(field_internal(all, "internal error: failed to construct type information for x-kubernetes-validations rules: unable to convert structural schema to CEL declarations"));
      return;
    }
    const Document& list = member(s, "x-kubernetes-validations");
    for (std::size_t i = 0; i < list.size(); ++i) one(list[i], all.index(i), place);
  }
  void one(const Document& rule, const FieldPath& path, const Place& place) {
    const cel::Schema& self = *place.schema;
    bool optional = bool_at(rule, "optionalOldSelf");
    cel::Environment env;
    env.declare("self", self.type, &self);
    env.declare("oldSelf", optional ? pool_.optional_of(self.type) : self.type, optional ? nullptr : &self);
    std::string problem;
    std::shared_ptr<const cel::Program> program;
    if (trim(string_at(rule, "rule")).empty()) return;
    auto compiled = cel::compile(string_at(rule, "rule"), env);
    if (!compiled) problem = (compiled.reason() == Reason::Invalid ? "compilation failed: " : "program instantiation failed: ") + compiled.status().message();
    else if ((*compiled)->result_type().kind != cel::TypeKind::Bool) problem = "cel expression must evaluate to a bool";
    else program = *compiled;
    FieldPath where = path.child("rule");
    std::uint64_t most = place.count ? *place.count : static_cast<std::uint64_t>(cel::kMaxRequestBytes / (self.min_size + 1));
    std::uint64_t cost = program ? times(program->estimated_cost(), most) : 0;
    if (cost > kRuleLimit) errors_.push_back(field_forbidden(where, exceeds("estimated rule cost", cost, kRuleLimit)));
    observe(where, cost);
    if (!problem.empty()) errors_.push_back(invalid_rule(where, rule, problem));
    if (program) message(rule, path.child("messageExpression"), env);
    if (program && program->uses("oldSelf")) {
      if (!place.uncorrelated.empty())
        errors_.push_back(field_invalid(where, string_at(rule, "rule"), "oldSelf cannot be used on the uncorrelatable portion of the schema within " + place.uncorrelated));
    } else if (find_member(rule, "optionalOldSelf")) {
      errors_.push_back(field_invalid(path.child("optionalOldSelf"), optional, "may not be set if oldSelf is not used in rule"));
    }
  }
  void message(const Document& rule, const FieldPath& path, const cel::Environment& env) {
    std::string_view text = string_at(rule, "messageExpression");
    if (text.empty()) return;
    auto compiled = cel::compile(text, env);
    std::string problem;
    if (!compiled) problem = (compiled.reason() == Reason::Invalid ? "messageExpression compilation failed: " : "messageExpression instantiation failed: ") + compiled.status().message();
    else if ((*compiled)->result_type().kind != cel::TypeKind::String) problem = "messageExpression must evaluate to a string";
    if (!problem.empty()) return errors_.push_back(invalid_rule(path, rule, problem));
    std::uint64_t cost = (*compiled)->estimated_cost();
    if (cost > kRuleLimit) errors_.push_back(field_forbidden(path, exceeds("estimated messageExpression cost", cost, kRuleLimit)));
    observe(path, cost);
  }

  FieldErrors& errors_;
  cel::Schemas pool_;
  std::uint64_t total_ = 0;
  std::vector<std::pair<FieldPath, std::uint64_t>> expensive_;
};

}  // namespace

void validate_custom_rules(const Document& schema, const FieldPath& path, FieldErrors& errors) {
  RuleCosts costs(errors);
  costs.visit(schema, path, {nullptr, 1, ""}, true, 0);
  costs.total(path);
}

}  // namespace onebin::apiserver
