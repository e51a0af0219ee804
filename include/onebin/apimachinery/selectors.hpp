// Label selectors ("a=b,c!=d,e in (x,y),!f,g>1", or metav1.LabelSelector) and field selectors ("metadata.name=x").
// Source: Kubernetes "Labels and Selectors", "Field Selectors"; parse errors carry upstream's texts.
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/base/result.hpp>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onebin::apimachinery {

enum class SelectorOp : unsigned char { In, NotIn, Equals, DoubleEquals, NotEquals, Exists, DoesNotExist, GreaterThan, LessThan };

struct LabelRequirement {
  std::string key;
  SelectorOp op = SelectorOp::Exists;
  std::vector<std::string> values;

  // Checked as the API does: key and values are labels, the number of values fits the operator.
  static Result<LabelRequirement> make(std::string key, SelectorOp op, std::vector<std::string> values);
  // `value` is the label's value, none where the label is absent.
  bool matches(std::optional<std::string_view> value) const;
  std::string to_string() const;
  bool operator==(const LabelRequirement&) const = default;
};

class LabelSelector {
 public:
  LabelSelector() = default;  // everything
  static LabelSelector everything() { return {}; }
  static LabelSelector nothing();
  static Result<LabelSelector> parse(std::string_view text);
  static LabelSelector from_map(const std::map<std::string, std::string>& labels);  // equality, unchecked
  // From metav1.LabelSelector as a document: null selects nothing, {} everything.
  static Result<LabelSelector> from_document(const Document& selector);
  // From the API structs' LabelSelector (fields match_labels, match_expressions of key, operator_, values), or an
  // optional of it, which selects nothing when empty.
  template <class S>
  static Result<LabelSelector> from_struct(const S& selector);

  bool matches(const std::map<std::string, std::string>& labels) const;
  bool matches(const Document& labels) const;  // an object of strings, or null
  // `lookup(key)` gives std::optional<std::string_view>.
  template <class Lookup>
  bool matches_with(Lookup&& lookup) const {
    if (nothing_) return false;
    for (const auto& r : requirements_)
      if (!r.matches(lookup(r.key))) return false;
    return true;
  }

  bool empty() const { return !nothing_ && requirements_.empty(); }  // selects everything
  bool selects_nothing() const { return nothing_; }
  const std::vector<LabelRequirement>& requirements() const { return requirements_; }
  void add(LabelRequirement requirement);  // keeps the order by key
  // The one value that label `key` must have, where the selector demands exactly one.
  std::optional<std::string> requires_exact_match(std::string_view key) const;
  std::string to_string() const;
  bool operator==(const LabelSelector&) const = default;

 private:
  static Result<SelectorOp> struct_operator(std::string_view op);
  std::vector<LabelRequirement> requirements_;
  bool nothing_ = false;
};

// metav1.LabelSelector from a selector string, for clients: {"matchLabels":…,"matchExpressions":…}.
Result<Document> parse_to_label_selector(std::string_view text);

struct LabelSelectorValidation {
  bool allow_invalid_values = false;      // old objects may hold values that are no longer accepted
  bool allow_unknown_operators = false;
};
FieldErrors validate_label_selector(const Document& selector, const FieldPath& path, LabelSelectorValidation options = {});
FieldErrors validate_labels(const Document& labels, const FieldPath& path);
FieldErrors validate_label_name(std::string_view name, const FieldPath& path);

struct FieldRequirement {
  std::string field, value;
  bool equal = true;  // false: !=
  bool operator==(const FieldRequirement&) const = default;
};

class FieldSelector {
 public:
  FieldSelector() = default;  // everything
  static Result<FieldSelector> parse(std::string_view text);
  static FieldSelector one(std::string field, std::string value) { return FieldSelector({{std::move(field), std::move(value), true}}); }
  explicit FieldSelector(std::vector<FieldRequirement> requirements) : requirements_(std::move(requirements)) {}

  // `lookup(field)` gives the field's text, "" where it is unset.
  template <class Lookup>
  bool matches_with(Lookup&& lookup) const {
    for (const auto& r : requirements_)
      if ((lookup(std::string_view(r.field)) == r.value) != r.equal) return false;
    return true;
  }
  bool matches(const std::map<std::string, std::string>& fields) const;
  bool empty() const { return requirements_.empty(); }
  const std::vector<FieldRequirement>& requirements() const { return requirements_; }
  std::optional<std::string> requires_exact_match(std::string_view field) const;
  std::string to_string() const;
  static std::string escape(std::string_view value);

 private:
  std::vector<FieldRequirement> requirements_;
};

template <class S>
Result<LabelSelector> LabelSelector::from_struct(const S& selector) {
  if constexpr (requires { selector.has_value(); }) {
    if (!selector.has_value()) return nothing();
    return from_struct(*selector);
  } else {
    LabelSelector out;
    for (const auto& [k, v] : selector.match_labels) {
      ASSIGN_OR_RETURN(auto r, LabelRequirement::make(k, SelectorOp::Equals, {v}));
      out.add(std::move(r));
    }
    for (const auto& e : selector.match_expressions) {
      ASSIGN_OR_RETURN(SelectorOp op, struct_operator(e.operator_));
      ASSIGN_OR_RETURN(auto r, LabelRequirement::make(e.key, op, e.values));
      out.add(std::move(r));
    }
    return out;
  }
}

}  // namespace onebin::apimachinery
