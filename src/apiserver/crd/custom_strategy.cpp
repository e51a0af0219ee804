#include "apiserver/crd/custom_strategy.hpp"

#include <onebin/apimachinery/custom_schema.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/names.hpp>
#include <onebin/apimachinery/validation.hpp>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::set_meta;

CustomStrategy::CustomStrategy(const KindSchema& k, const CustomKind& custom) : Strategy(k), custom_(custom) {
  has_generation = true;
  unconditional_update = false;
  check_schema = false;
  for (const auto& path : custom.selectable) select(path);
}

void CustomStrategy::apply_defaults(Document& object) const { apimachinery::default_custom(*kind->type, object); }

void CustomStrategy::prepare_for_create(WriteContext&, Document& object) const {
  if (has_status) object.erase("status");
  set_meta(object, "generation", 1);
}

namespace {

// Whether anything but metadata differs.
bool changed(const Document& a, const Document& b) {
  auto others = [](const Document& d) { return d.size() - d.count("metadata"); };
  if (others(a) != others(b)) return true;
  for (const auto& [key, value] : a.items()) {
    if (key == "metadata") continue;
    const Document* was = find_member(b, key);
    if (!was || *was != value) return true;
  }
  return false;
}

}  // namespace

void CustomStrategy::prepare_for_update(WriteContext&, Document& object, const Document& old) const {
  if (has_status) {
    if (const Document* status = find_member(old, "status")) object["status"] = *status;
    else object.erase("status");
  }
  if (changed(object, old)) set_meta(object, "generation", apimachinery::generation_of(old) + 1);
}

// A write of status changes nothing but status.
void CustomStrategy::prepare_for_status_update(WriteContext&, Document& object, const Document& old) const {
  Document out = old;
  const Document* managed = find_member(member(object, "metadata"), "managedFields");
  if (managed) set_meta(out, "managedFields", *managed);
  else apimachinery::erase_meta(out, "managedFields");
  if (Document* status = find_member(object, "status")) out["status"] = std::move(*status);
  else out.erase("status");
  object = std::move(out);
}

void CustomStrategy::validate_scale(const Document& object, bool spec, FieldErrors& errors) const {
  if (!custom_.scale) return;
  auto check = [&](const std::vector<std::string>& path, const std::string& text) {
    const Document* at = &object;
    for (const auto& name : path) {
      at = find_member(*at, name);
      if (!at) return;
    }
    FieldPath field(text);
    if (!at->is_number_integer()) {
      errors.push_back(field_invalid(field, 0, text + " accessor error: " + at->dump() + " is of the type " + at->type_name() + ", expected int64"));
      return;
    }
    std::int64_t n = at->get<std::int64_t>();
    if (n < 0) errors.push_back(field_invalid(field, n, "should be a non-negative integer"));
    else if (n > 2147483647) errors.push_back(field_invalid(field, n, "should be less than or equal to 2147483647"));
  };
  if (spec) check(custom_.scale->spec_replicas, custom_.scale->spec_text);
  check(custom_.scale->status_replicas, custom_.scale->status_text);
  if (custom_.scale->selector.empty()) return;
  const Document* at = &object;
  for (const auto& name : custom_.scale->selector) at = &member(*at, name);
  if (!at->is_null() && !at->is_string())
    errors.push_back(field_invalid(FieldPath(custom_.scale->selector_text), "", custom_.scale->selector_text + " accessor error: " + at->dump() + " is of the type " + at->type_name() + ", expected string"));
}

// x-kubernetes-validations come last, and only where what OpenAPI states holds.
void CustomStrategy::validate_rules(WriteContext& c, const Document& object, const Document* old, FieldErrors& errors) const {
  if (custom_.rules && !CustomRules::blocked(errors)) custom_.rules->validate(object, old, errors, c.warnings);
}

void CustomStrategy::validate_values(WriteContext& c, const Document& object, const Document* old, FieldErrors& errors) const {
  using apimachinery::append;
  if (custom_.values) append(errors, custom_.values->validate(object, old));
  validate_scale(object, true, errors);
  if (!custom_.values) return;
  append(errors, custom_.values->validate_embedded(object));
  if (!old || custom_.values->validate_lists(*old).empty()) append(errors, custom_.values->validate_lists(object));
  validate_rules(c, object, old, errors);
}

void CustomStrategy::validate(WriteContext& c, const Document& object, FieldErrors& errors) const { validate_values(c, object, nullptr, errors); }

void CustomStrategy::validate_update(WriteContext& c, const Document& object, const Document& old, FieldErrors& errors) const {
  validate_values(c, object, &old, errors);
}

void CustomStrategy::validate_status_update(WriteContext& c, const Document& object, const Document& old, FieldErrors& errors) const {
  if (const Document* status = find_member(object, "status"); status && custom_.status_values) {
    for (auto& e : custom_.status_values->validate(*status, find_member(old, "status"))) {
      e.field = e.field.empty() || e.field == "<nil>" ? "status" : "status." + e.field;
      errors.push_back(std::move(e));
    }
  }
  validate_scale(object, false, errors);
  if (custom_.values && custom_.values->validate_lists(old).empty()) apimachinery::append(errors, custom_.values->validate_lists(object));
  validate_rules(c, object, &old, errors);
}

namespace {

// Finalizers that are new and could clash with somebody else's.
void warn_of_finalizers(WriteContext& c, const Document& object, const Document* old) {
  std::vector<std::string> before = old ? apimachinery::finalizers_of(*old) : std::vector<std::string>(), now = apimachinery::finalizers_of(object);
  std::sort(now.begin(), now.end());
  for (const auto& f : now) {
    if (std::find(before.begin(), before.end(), f) != before.end()) continue;
    std::string where = "metadata.finalizers: " + apimachinery::go_quote(f) + ": ";
    for (const auto& m : apimachinery::is_qualified_name(f)) c.warn(where + m);
    if (f.find('/') != std::string::npos || f == "orphan" || f == "foregroundDeletion" || f == "kubernetes") continue;
    c.warn(where + "prefer a domain-qualified finalizer name " + (f.find('.') != std::string::npos ? "including a path (/) " : "") +
           "to avoid accidental conflicts with other finalizer writers");
  }
}

}  // namespace

void CustomStrategy::warnings_on_create(WriteContext& c, const Document& object) const { warn_of_finalizers(c, object, nullptr); }
void CustomStrategy::warnings_on_update(WriteContext& c, const Document& object, const Document& old) const { warn_of_finalizers(c, object, &old); }

const std::vector<apimachinery::TableColumn>& CustomStrategy::columns() const { return custom_.columns; }

Document CustomStrategy::cells(const Document& object, WallTime now) const {
  Document cells = Document::array({std::string(apimachinery::name_of(object))});
  for (const auto& c : custom_.printer_columns) cells.push_back(apimachinery::printer_cell(c, object, now));
  return cells;
}

}  // namespace onebin::apiserver
