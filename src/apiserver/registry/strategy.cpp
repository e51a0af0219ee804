#include "apiserver/registry/strategy.hpp"

#include "apiserver/registry/print.hpp"
#include "apiserver/registry/warnings.hpp"

#include <onebin/apimachinery/custom_schema.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/defaulting.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/assert.hpp>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::generation_of;
using apimachinery::member;
using apimachinery::semantically_equal;

Strategy::Strategy(const KindSchema& k) : kind(&k) {
  printer_ = find_printer(k.group, k.kind);
  warnings_ = find_warnings(k.group, k.kind);
  has_status = k.subresource("status") != nullptr;
  name_field_ = make_selectable(*k.type, "metadata.name", "metadata.name");
  namespace_field_ = make_selectable(*k.type, "metadata.namespace", "metadata.namespace");
}

void Strategy::select(std::string_view name, std::string_view path) {
  selectable.push_back(make_selectable(*kind->type, name, path));
}

const SelectableField* Strategy::selectable_field(std::string_view name) const {
  for (const auto& f : selectable)
    if (f.name == name) return &f;
  return nullptr;
}

void Strategy::apply_defaults(Document& object) const {
  apimachinery::apply_defaults(*kind->type, object);
  set_defaults(object);
}

void Strategy::set_defaults(Document&) const {}

bool Strategy::deletes_on_update(const Document& object, const Document& old) const {
  if (!apimachinery::finalizers_of(object).empty() || apimachinery::finalizers_of(old).empty()) return false;
  if (apimachinery::deletion_timestamp_of(object).empty()) return false;
  auto grace = apimachinery::deletion_grace_period_of(object);
  return !grace || *grace == 0;
}

void Strategy::prepare_for_create(WriteContext&, Document& object) const {
  if (has_status) object.erase("status");
  if (has_generation) apimachinery::set_meta(object, "generation", 1);
}

void Strategy::bump_generation(Document& object, const Document& old) const {
  if (!has_generation) return;
  auto counts = [](std::string_view key) { return key != "metadata" && key != "status" && key != "apiVersion" && key != "kind"; };
  bool changed = false;
  if (apimachinery::is_custom(*kind->type)) {
    for (const Document* side : {static_cast<const Document*>(&object), &old})
      for (const auto& [key, value] : side->items()) changed = changed || (counts(key) && !semantically_equal(find_member(object, key), find_member(old, key)));
  } else {
    for (const auto& f : kind->type->fields) {
      if (changed || !counts(f.json_name)) continue;
      const Document *x = find_member(object, f.json_name), *y = find_member(old, f.json_name);
      bool one = f.message && f.cardinality == apimachinery::Cardinality::Single;
      changed = one ? !semantically_equal(*f.message, x ? *x : Document(), y ? *y : Document()) : !semantically_equal(x, y);
    }
  }
  if (changed) apimachinery::set_meta(object, "generation", generation_of(old) + 1);
}

const apimachinery::TypeSchema& Strategy::type_at(std::initializer_list<std::string_view> path) const {
  const apimachinery::TypeSchema* type = kind->type;
  for (std::string_view name : path) {
    const auto* f = type->field(name);
    ONEBIN_ASSERT(f && f->message);
    type = f->message;
  }
  return *type;
}

bool Strategy::same_at(std::initializer_list<std::string_view> path, const Document& a, const Document& b) const {
  return semantically_equal(type_at(path), apimachinery::at_path(a, path), apimachinery::at_path(b, path));
}

void Strategy::prepare_for_update(WriteContext&, Document& object, const Document& old) const {
  if (has_status) {
    if (const Document* status = find_member(old, "status")) object["status"] = *status;
    else object.erase("status");
  }
  bump_generation(object, old);
}

void Strategy::validate(WriteContext&, const Document&, FieldErrors&) const {}

void Strategy::validate_update(WriteContext& c, const Document& object, const Document&, FieldErrors& errors) const {
  validate(c, object, errors);
}

void Strategy::keep_only(Document& object, const Document& old, std::string_view keep) {
  for (auto it = object.begin(); it != object.end();) {
    const std::string& key = it.key();
    if (key == "metadata" || key == "apiVersion" || key == "kind" || key == keep || old.contains(key)) ++it;
    else it = object.erase(it);
  }
  for (const auto& [key, value] : old.items())
    if (key != "metadata" && key != "apiVersion" && key != "kind" && key != keep) object[key] = value;
}

namespace {

// Of these kinds a write of the status leaves metadata alone too.
bool status_leaves_metadata(const KindSchema& k) {
  static constexpr std::string_view kKinds[] = {"APIService", "CSINode", "DeviceTaintRule", "PodCertificateRequest", "ResourceClaim",
                                                "ServiceCIDR", "StorageVersionMigration", "ValidatingAdmissionPolicy", "VolumeAttachment",
                                                "CustomResourceDefinition"};
  return std::find(std::begin(kKinds), std::end(kKinds), k.kind) != std::end(kKinds);
}

}  // namespace

void Strategy::prepare_for_status_update(WriteContext&, Document& object, const Document& old) const {
  keep_only(object, old, "status");
  if (status_leaves_metadata(*kind)) keep_metadata(object, old);
}

void Strategy::keep_metadata(Document& object, const Document& old) {
  Document& meta = apimachinery::object_at(object, "metadata");
  const Document& before = member(old, "metadata");
  for (const char* f : {"deletionTimestamp", "deletionGracePeriodSeconds", "generation", "labels", "annotations", "finalizers", "ownerReferences"}) {
    if (const Document* v = find_member(before, f)) meta[f] = *v;
    else meta.erase(f);
  }
}

void Strategy::validate_status_update(WriteContext&, const Document&, const Document&, FieldErrors&) const {}
void Strategy::warnings_on_create(WriteContext& c, const Document& object) const {
  if (warnings_) warnings_(c, object, nullptr);
}
void Strategy::warnings_on_update(WriteContext& c, const Document& object, const Document& old) const {
  if (warnings_) warnings_(c, object, &old);
}

Result<std::unique_ptr<Strategy::Reservation>> Strategy::begin_create(WriteContext&, Document&) const {
  return std::unique_ptr<Reservation>();
}
Result<std::unique_ptr<Strategy::Reservation>> Strategy::begin_update(WriteContext&, Document&, const Document&) const {
  return std::unique_ptr<Reservation>();
}
void Strategy::begin_deletion(Document&, WallTime) const {}
void Strategy::after_delete(Core&, const Document&) const {}

std::optional<std::int64_t> Strategy::grace_period(const Document&, std::optional<std::int64_t>) const { return std::nullopt; }

const std::vector<apimachinery::TableColumn>& Strategy::columns() const {
  static const std::vector<apimachinery::TableColumn> columns = apimachinery::default_table_columns();
  return printer_ ? printer_->columns : columns;
}

Document Strategy::cells(const Document& object, WallTime now) const {
  return printer_ ? printer_->cells(object, now) : apimachinery::default_table_cells(object);
}

}  // namespace onebin::apiserver
