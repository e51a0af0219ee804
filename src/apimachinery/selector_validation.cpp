#include <onebin/apimachinery/format_errors.hpp>
#include <onebin/apimachinery/names.hpp>
#include <onebin/apimachinery/selectors.hpp>
#include <onebin/apimachinery/string_list.hpp>

namespace onebin::apimachinery {
FieldErrors validate_label_name(std::string_view name, const FieldPath& path) {
  FieldErrors out;
  for (auto& m : is_qualified_name(name)) out.push_back(field_invalid(path, std::string(name), std::move(m)));
  return out;
}

FieldErrors validate_labels(const Document& labels, const FieldPath& path) {
  FieldErrors out;
  if (!labels.is_object()) return out;
  for (const auto& [k, v] : labels.items()) {
    append(out, validate_label_name(k, path));
    if (!v.is_string()) continue;
    const auto& text = v.get_ref<const std::string&>();
    for (auto& m : is_valid_label_value(text)) out.push_back(field_invalid(path, text, std::move(m)));
  }
  return out;
}

FieldErrors validate_label_requirement(const Document& e, const FieldPath& at, LabelSelectorValidation options) {
  FieldErrors out;
  auto op = string_at(e, "operator");
  auto values = string_list(member(e, "values"));
  if (op == "In" || op == "NotIn") {
    if (values.empty()) out.push_back(field_required(at.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"));
  } else if (op == "Exists" || op == "DoesNotExist") {
    if (!values.empty()) out.push_back(field_forbidden(at.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
  } else if (!options.allow_unknown_operators) {
    out.push_back(field_invalid(at.child("operator"), std::string(op), "not a valid selector operator"));
  }
  append(out, validate_label_name(string_at(e, "key"), at.child("key")));
  if (options.allow_invalid_values) return out;
  for (std::size_t k = 0; k < values.size(); ++k)
    for (auto& m : is_valid_label_value(values[k])) out.push_back(field_invalid(at.child("values").index(k), values[k], std::move(m)));
  return out;
}

FieldErrors validate_label_selector(const Document& selector, const FieldPath& path, LabelSelectorValidation options) {
  FieldErrors out;
  if (!selector.is_object()) return out;
  out = validate_labels(member(selector, "matchLabels"), path.child("matchLabels"));
  const auto& expressions = member(selector, "matchExpressions");
  if (!expressions.is_array()) return out;
  for (std::size_t i = 0; i < expressions.size(); ++i) append(out, validate_label_requirement(expressions[i], path.child("matchExpressions").index(i), options));
  return out;
}

}  // namespace onebin::apimachinery
