#include <onebin/apimachinery/validation.hpp>

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/schema.hpp>
#include <onebin/apimachinery/selectors.hpp>
#include <onebin/apimachinery/string_list.hpp>
#include <onebin/apimachinery/values.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <cstdio>
#include <set>

#include "typed_value.hpp"

namespace onebin::apimachinery {
namespace {

constexpr int kFieldManagerMax = 128;
constexpr std::size_t kSubresourceNameMax = 256;
constexpr const char* kImmutable = "field is immutable";

std::string text_of(const Document& object, const char* name) { return std::string(string_at(object, name)); }

void name_problems(FieldErrors& out, NameProblems problems, const FieldPath& path, const std::string& value) {
  for (auto& m : problems) out.push_back(field_invalid(path, value, std::move(m)));
}

FieldErrors owner_reference(const Document& ref, const FieldPath& path) {
  FieldErrors out;
  auto api_version = text_of(ref, "apiVersion");
  auto gv = parse_group_version(api_version);
  if (api_version.empty()) out.push_back(field_required(path.child("apiVersion"), "must not be empty"));
  else if (!gv || gv->version.empty())
    out.push_back(field_invalid(path.child("apiVersion"), api_version, "must be <group>/<version> or <version>"));
  for (const char* name : {"kind", "name", "uid"})
    if (text_of(ref, name).empty()) out.push_back(field_required(path.child(name), "must not be empty"));
  if (api_version == "v1" && text_of(ref, "kind") == "Event")
    out.push_back(field_invalid(path, ref, "/v1, Kind=Event is disallowed from being an owner"));
  return out;
}

// What create and update have in common, in upstream's order.
void common_meta(FieldErrors& out, const Document& meta, const FieldPath& path) {
  append(out, validate_labels(member(meta, "labels"), path.child("labels")));
  append(out, validate_annotations(member(meta, "annotations"), path.child("annotations")));
  append(out, validate_owner_references(member(meta, "ownerReferences"), path.child("ownerReferences")));
}

// A field of metadata as Go holds it: an absent string is "", an absent number 0, an absent time null.
void immutable_meta(FieldErrors& out, const Document& now, const Document& before, const char* name, const Document& zero, const FieldPath& path) {
  auto value = [&](const Document& m) -> const Document& {
    const auto* v = find_member(m, name);
    return v && !v->is_null() ? *v : zero;
  };
  if (!same_value(value(now), value(before))) out.push_back(field_invalid(path.child(name), value(now), kImmutable));
}

}  // namespace

FieldErrors validate_nonnegative(long long value, const FieldPath& path) {
  if (value >= 0) return {};
  return {field_invalid(path, value, "must be greater than or equal to 0")};
}

namespace {

// Built-in kinds take only finalizers with a domain before the slash, but for Kubernetes' own three.
void own_finalizer(FieldErrors& out, std::string_view name, const FieldPath& path) {
  if (name.find('/') == std::string_view::npos && name != "orphan" && name != "foregroundDeletion" && name != "kubernetes")
    out.push_back(field_invalid(path, std::string(name), "name is neither a standard finalizer name nor is it fully qualified"));
}

void own_finalizers(FieldErrors& out, const Document& finalizers, const FieldPath& path) {
  auto names = string_list(finalizers);
  for (std::size_t i = 0; i < names.size(); ++i) own_finalizer(out, names[i], path.index(i));
}

}  // namespace

FieldErrors validate_own_finalizer(std::string_view name, const FieldPath& path) {
  FieldErrors out = validate_finalizer_name(name, path);
  own_finalizer(out, name, path);
  return out;
}

FieldErrors validate_object_meta(const Document& meta, bool namespaced, NameRule rule, const FieldPath& path, bool built_in) {
  FieldErrors out;
  auto generate = text_of(meta, "generateName"), name = text_of(meta, "name"), ns = text_of(meta, "namespace");
  if (!generate.empty()) name_problems(out, rule(generate, true), path.child("generateName"), generate);
  if (name.empty()) out.push_back(field_required(path.child("name"), "name or generateName is required"));
  else name_problems(out, rule(name, false), path.child("name"), name);
  if (namespaced) {
    if (ns.empty()) out.push_back(field_required(path.child("namespace")));
    else name_problems(out, name_is_dns_label(ns, false), path.child("namespace"), ns);
  } else if (!ns.empty()) {
    out.push_back(field_forbidden(path.child("namespace"), "not allowed on this type"));
  }
  append(out, validate_nonnegative(int_at(meta, "generation"), path.child("generation")));
  common_meta(out, meta, path);
  append(out, validate_finalizers(member(meta, "finalizers"), path.child("finalizers")));
  append(out, validate_managed_fields(member(meta, "managedFields"), path.child("managedFields")));
  if (built_in) own_finalizers(out, member(meta, "finalizers"), path.child("finalizers"));
  return out;
}

FieldErrors validate_object_meta_update(const Document& now, const Document& before, const FieldPath& path, bool built_in) {
  FieldErrors out;
  if (!string_at(before, "deletionTimestamp").empty())
    append(out, validate_no_new_finalizers(member(now, "finalizers"), member(before, "finalizers"), path.child("finalizers")));
  if (string_at(now, "resourceVersion").empty())
    out.push_back(field_invalid(path.child("resourceVersion"), "", "must be specified for an update"));
  auto generation = int_at(now, "generation");
  append(out, validate_nonnegative(generation, path.child("generation")));
  if (generation < int_at(before, "generation"))
    out.push_back(field_invalid(path.child("generation"), generation, "must not be decremented"));
  for (const char* name : {"name", "namespace", "uid"}) immutable_meta(out, now, before, name, "", path);
  for (const char* name : {"creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"})
    immutable_meta(out, now, before, name, nullptr, path);
  common_meta(out, now, path);
  append(out, validate_managed_fields(member(now, "managedFields"), path.child("managedFields")));
  if (built_in) own_finalizers(out, member(now, "finalizers"), path.child("finalizers"));
  return out;
}

FieldErrors validate_annotations(const Document& annotations, const FieldPath& path) {
  FieldErrors out;
  if (!annotations.is_object()) return out;
  std::size_t total = 0;
  for (const auto& [k, v] : annotations.items()) {
    // As a label's key, but for case.
    name_problems(out, is_qualified_name(to_lower(k)), path, k);
    total += k.size() + (v.is_string() ? v.get_ref<const std::string&>().size() : 0);
  }
  if (total > kTotalAnnotationSizeLimit) out.push_back(field_too_long(path, static_cast<int>(kTotalAnnotationSizeLimit)));
  return out;
}

FieldErrors validate_owner_references(const Document& references, const FieldPath& path) {
  FieldErrors out;
  if (!references.is_array()) return out;
  std::string controller;
  for (std::size_t i = 0; i < references.size(); ++i) {
    const auto& ref = references[i];
    append(out, owner_reference(ref, path.index(i)));
    if (!bool_at(ref, "controller")) continue;
    auto name = text_of(ref, "kind") + "/" + text_of(ref, "name");
    if (controller.empty()) controller = name;
    else
      out.push_back(field_invalid(path, references,
                                  "Only one reference can have Controller set to true. Found \"true\" in references for " + controller + " and " + name));
  }
  return out;
}

FieldErrors validate_finalizer_name(std::string_view name, const FieldPath& path) {
  FieldErrors out;
  name_problems(out, is_qualified_name(name), path, std::string(name));
  return out;
}

FieldErrors validate_finalizers(const Document& finalizers, const FieldPath& path) {
  FieldErrors out;
  bool orphan = false, foreground = false;
  for (const auto& f : string_list(finalizers)) {
    append(out, validate_finalizer_name(f, path));
    orphan |= f == "orphan";
    foreground |= f == "foregroundDeletion";
  }
  if (orphan && foreground)
    out.push_back(field_invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set"));
  return out;
}

FieldErrors validate_no_new_finalizers(const Document& now, const Document& before, const FieldPath& path) {
  auto old = string_list(before);
  std::set<std::string> extra;
  for (const auto& f : string_list(now))
    if (std::find(old.begin(), old.end(), f) == old.end()) extra.insert(f);
  if (extra.empty()) return {};
  std::string list;
  for (const auto& f : extra) list += (list.empty() ? "" : ", ") + go_quote(f);
  return {field_forbidden(path, "no new finalizers can be added if the object is being deleted, found new finalizers []string{" + list + "}")};
}

FieldErrors validate_managed_fields(const Document& entries, const FieldPath& path) {
  FieldErrors out;
  if (!entries.is_array()) return out;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto& e = entries[i];
    auto at = path.index(i);
    auto operation = text_of(e, "operation"), type = text_of(e, "fieldsType");
    if (operation.empty()) out.push_back(field_required(at.child("operation"), "must not be empty"));
    else if (operation != "Apply" && operation != "Update")
      out.push_back(field_not_supported(at.child("operation"), operation, {"Apply", "Update"}));
    if (!type.empty() && type != "FieldsV1") out.push_back(field_invalid(at.child("fieldsType"), type, "must be `FieldsV1`"));
    append(out, validate_field_manager(string_at(e, "manager"), at.child("manager")));
    if (string_at(e, "subresource").size() > kSubresourceNameMax)
      out.push_back(field_too_long(at.child("subresource"), static_cast<int>(kSubresourceNameMax)));
  }
  return out;
}

namespace {

bool reason_ok(std::string_view s) {
  auto alpha = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  auto word = [&](char c) { return alpha(c) || (c >= '0' && c <= '9') || c == '_'; };
  return !s.empty() && alpha(s.front()) && word(s.back()) &&
         std::all_of(s.begin(), s.end(), [&](char c) { return word(c) || c == ',' || c == ':'; });
}

FieldErrors condition(const Document& c, const FieldPath& path) {
  constexpr int kReasonMax = 1024, kMessageMax = 32 * 1024;
  FieldErrors out;
  auto type = text_of(c, "type"), status = text_of(c, "status"), reason = text_of(c, "reason");
  if (type.empty()) out.push_back(field_required(path.child("type"), "is required"));
  else append(out, validate_label_name(type, path.child("type")));
  if (status.empty()) out.push_back(field_required(path.child("status")));
  else if (status != "True" && status != "False" && status != "Unknown")
    out.push_back(field_not_supported(path.child("status"), status, {"False", "True", "Unknown"}));
  if (auto g = int_at(c, "observedGeneration"); g < 0)
    out.push_back(field_invalid(path.child("observedGeneration"), g, "must be greater than or equal to zero"));
  if (string_at(c, "lastTransitionTime").empty()) out.push_back(field_required(path.child("lastTransitionTime")));
  if (reason.empty()) {
    out.push_back(field_required(path.child("reason")));
  } else {
    if (!reason_ok(reason))
      out.push_back(field_invalid(path.child("reason"), reason,
                                  regex_error("a condition reason must start with alphabetic character, optionally followed by a string of "
                                              "alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'",
                                              "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
                                              {"my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"})));
    if (reason.size() > static_cast<std::size_t>(kReasonMax)) out.push_back(field_too_long(path.child("reason"), kReasonMax));
  }
  if (string_at(c, "message").size() > static_cast<std::size_t>(kMessageMax)) out.push_back(field_too_long(path.child("message"), kMessageMax));
  return out;
}

}  // namespace

FieldErrors validate_conditions(const Document& conditions, const FieldPath& path) {
  FieldErrors out;
  if (!conditions.is_array()) return out;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    auto type = text_of(conditions[i], "type");
    if (!seen.insert(type).second) out.push_back(field_duplicate(path.index(i), type));
    append(out, condition(conditions[i], path.index(i)));
  }
  return out;
}

FieldErrors validate_immutable_field(const Document* now, const Document* before, const FieldPath& path) {
  if (semantically_equal(now, before)) return {};
  return {field_invalid(path, now ? *now : Document(), kImmutable)};
}

FieldErrors validate_field_manager(std::string_view manager, const FieldPath& path) {
  FieldErrors out;
  if (manager.size() > static_cast<std::size_t>(kFieldManagerMax)) out.push_back(field_too_long(path, kFieldManagerMax));
  for (std::size_t i = 0; i < manager.size(); ++i) {
    auto c = static_cast<unsigned char>(manager[i]);
    if (c >= 0x20 && c != 0x7F) continue;
    char text[16];
    std::snprintf(text, sizeof text, "U+%04X", c);
    out.push_back(field_invalid(path, std::string(manager), "invalid character " + std::string(text) + " (at position " + std::to_string(i) + ")"));
  }
  return out;
}

FieldErrors validate_dry_run(const std::vector<std::string>& values, const FieldPath& path) {
  for (const auto& v : values)
    if (v != "All") return {field_not_supported(path, Document(values), {"All"})};
  return {};
}

FieldErrors validate_field_validation(std::string_view value, const FieldPath& path) {
  if (value.empty() || value == "Ignore" || value == "Warn" || value == "Strict") return {};
  return {field_not_supported(path, std::string(value), {"", "Ignore", "Strict", "Warn"})};
}

FieldErrors validate_delete_options(const Document& options) {
  FieldErrors out;
  auto set = [&](const char* name) { return !member(options, name).is_null(); };
  FieldPath propagation("propagationPolicy");
  if (set("propagationPolicy")) {
    auto policy = text_of(options, "propagationPolicy");
    if (set("orphanDependents"))
      out.push_back(field_invalid(propagation, policy, "orphanDependents and deletionPropagation cannot be both set"));
    if (policy != "Foreground" && policy != "Background" && policy != "Orphan")
      out.push_back(field_not_supported(propagation, policy, {"Foreground", "Background", "Orphan", "nil"}));
  }
  append(out, validate_dry_run(string_list(member(options, "dryRun")), FieldPath("dryRun")));
  constexpr const char* kUnsafe = "ignoreStoreReadErrorWithClusterBreakingPotential";
  if (bool_at(options, kUnsafe))
    for (const char* name : {"propagationPolicy", "orphanDependents", "gracePeriodSeconds", "preconditions"})
      if (set(name)) out.push_back(field_invalid(FieldPath(kUnsafe), true, "cannot be set together with ." + std::string(name)));
  return out;
}

FieldErrors validate_patch_options(bool apply, std::string_view field_manager, bool force_is_set, const std::vector<std::string>& dry_run,
                                   std::string_view field_validation) {
  FieldErrors out;
  if (apply && field_manager.empty()) out.push_back(field_required(FieldPath("fieldManager"), "is required for apply patch"));
  if (!apply && force_is_set) out.push_back(field_forbidden(FieldPath("force"), "may not be specified for non-apply patch"));
  append(out, validate_field_manager(field_manager, FieldPath("fieldManager")));
  append(out, validate_dry_run(dry_run, FieldPath("dryRun")));
  append(out, validate_field_validation(field_validation, FieldPath("fieldValidation")));
  return out;
}

namespace {
bool is_empty(const Document* d) {
  if (!d || d->is_null() || (d->is_structured() && d->empty())) return true;
  return d->is_object() && std::all_of(d->begin(), d->end(), [](const Document& v) { return is_empty(&v); });
}
}  // namespace

bool semantically_equal(const Document* a, const Document* b) {
  if (is_empty(a) || is_empty(b)) return is_empty(a) && is_empty(b);
  if (a->is_object() && b->is_object()) {
    for (const auto& [k, v] : a->items())
      if (!semantically_equal(&v, find_member(*b, k))) return false;
    for (const auto& [k, v] : b->items())
      if (!a->contains(k) && !is_empty(&v)) return false;
    return true;
  }
  if (a->is_array() && b->is_array()) {
    if (a->size() != b->size()) return false;
    for (std::size_t i = 0; i < a->size(); ++i)
      if (!semantically_equal(&(*a)[i], &(*b)[i])) return false;
    return true;
  }
  return same_value(*a, *b);
}

bool semantically_equal(const TypeSchema& type, const Document& a, const Document& b) {
  if (!a.is_object() || !b.is_object()) return semantically_equal(a, b);
  for (const auto& f : type.fields) {
    const Document *x = typed::go_member(f, find_member(a, f.json_name)), *y = typed::go_member(f, find_member(b, f.json_name));
    bool here = x && !x->is_null(), there = y && !y->is_null();
    if (f.kind != FieldKind::Message || !here || !there) {
      if ((f.message || f.kind == FieldKind::Json) && f.cardinality == Cardinality::Optional && here != there) return false;
      if (!semantically_equal(x, y)) return false;
    } else if (x->is_array() && y->is_array()) {
      if (x->size() != y->size()) return false;
      for (std::size_t i = 0; i < x->size(); ++i)
        if (!semantically_equal(*f.message, (*x)[i], (*y)[i])) return false;
    } else if (f.cardinality == Cardinality::Map) {
      if (x->size() != y->size()) return false;
      for (const auto& [key, v] : x->items())
        if (const Document* other = find_member(*y, key); !other || !semantically_equal(*f.message, v, *other)) return false;
    } else if (!semantically_equal(*f.message, *x, *y)) {
      return false;
    }
  }
  return true;
}

}  // namespace onebin::apimachinery
