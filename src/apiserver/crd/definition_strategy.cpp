#include "apiserver/crd/definition_strategy.hpp"

#include "apiserver/crd/definitions.hpp"
#include "apiserver/registry/kinds.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/value_schema.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <set>

namespace onebin::apiserver {
namespace {

using apimachinery::at_path;
using apimachinery::bool_at;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::string_at;

// Calls fn for a schema and all below it.
void each_schema(const Document& s, const std::function<void(const Document&)>& fn, int depth = 0) {
  if (!s.is_object() || depth > 100) return;
  fn(s);
  if (const Document& p = member(s, "properties"); p.is_object())
    for (const auto& v : p) each_schema(v, fn, depth + 1);
  for (const char* name : {"items", "additionalProperties", "not"}) each_schema(member(s, name), fn, depth + 1);
  for (const char* name : {"allOf", "anyOf", "oneOf"})
    if (const Document& list = member(s, name); list.is_array())
      for (const auto& v : list) each_schema(v, fn, depth + 1);
}

std::vector<std::string> schema_warnings(const Document& definition) {
  std::vector<std::string> formats;
  std::set<std::string> sets;
  for (const auto& v : at_path(definition, {"spec", "versions"})) {
    each_schema(at_path(v, {"schema", "openAPIV3Schema"}), [&](const Document& s) {
      if (auto f = string_at(s, "format"); !f.empty() && !apimachinery::is_known_format(string_at(s, "type"), f))
        formats.push_back("unrecognized format \"" + std::string(f) + "\"");
      std::string items(string_at(member(s, "items"), "type"));
      if (string_at(s, "x-kubernetes-list-type") == "set" && (items == "object" || items == "array"))
        sets.insert("x-kubernetes-list-type: set for items of type \"" + items + "\" is not supported by server-side apply or CEL validation rules");
    });
  }
  formats.insert(formats.end(), sets.begin(), sets.end());
  return formats;
}

void store_version(Document& definition) {
  for (const auto& v : at_path(definition, {"spec", "versions"})) {
    if (!bool_at(v, "storage")) continue;
    Document name = std::string(string_at(v, "name"));
    Document& stored = apimachinery::array_at(apimachinery::object_at(definition, "status"), "storedVersions");
    if (std::find(stored.begin(), stored.end(), name) == stored.end()) stored.push_back(name);
    return;
  }
}

class DefinitionStrategy final : public Strategy {
 public:
  explicit DefinitionStrategy(const KindSchema& k) : Strategy(k) {
    set_flags(*this);
    check_schema = false;
  }

  void set_defaults(Document& d) const override {
    Document* spec = find_member(d, "spec");
    if (!spec) return;
    if (at_path(d, {"status", "storedVersions"}).empty()) store_version(d);
    if (Document* names = find_member(*spec, "names"); names && names->is_object()) {
      std::string kind(string_at(*names, "kind"));
      if (string_at(*names, "singular").empty()) (*names)["singular"] = to_lower(kind);
      if (string_at(*names, "listKind").empty() && !kind.empty()) (*names)["listKind"] = kind + "List";
    }
    if (Document* conversion = find_member(*spec, "conversion"); conversion && conversion->is_object() && string_at(*conversion, "strategy").empty())
      (*conversion)["strategy"] = "None";
  }

  void prepare_for_create(WriteContext&, Document& d) const override {
    d["status"] = Document::object();
    apimachinery::set_meta(d, "generation", 1);
    store_version(d);
  }
  void prepare_for_update(WriteContext& c, Document& d, const Document& old) const override {
    Strategy::prepare_for_update(c, d, old);
    store_version(d);
  }
  // Unlike that of other kinds, a definition's status may be written with its finalizers, which is how the last one goes.
  void prepare_for_status_update(WriteContext&, Document& d, const Document& old) const override { keep_only(d, old, "status"); }
  void validate(WriteContext&, const Document& d, FieldErrors& errors) const override { validate_definition(d, nullptr, errors); }
  void validate_update(WriteContext&, const Document& d, const Document& old, FieldErrors& errors) const override { validate_definition(d, &old, errors); }

  void warnings_on_create(WriteContext& c, const Document& d) const override {
    for (auto& w : schema_warnings(d)) c.warn(std::move(w));
  }
  void warnings_on_update(WriteContext& c, const Document& d, const Document& old) const override {
    auto before = schema_warnings(old);
    for (auto& w : schema_warnings(d))
      if (std::find(before.begin(), before.end(), w) == before.end()) c.warn(std::move(w));
  }

  void begin_deletion(Document& d, WallTime now) const override {
    apimachinery::set_meta(d, "deletionTimestamp", format_rfc3339(now));
    auto finalizers = apimachinery::finalizers_of(d);
    if (std::find(finalizers.begin(), finalizers.end(), kCleanupFinalizer) == finalizers.end()) finalizers.emplace_back(kCleanupFinalizer);
    apimachinery::set_finalizers(d, finalizers);
    set_condition(d, make_condition("Terminating", true, "InstanceDeletionPending", "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"), now);
  }
};

}  // namespace

StrategyPtr make_definition_strategy(const KindSchema& kind) { return std::make_shared<DefinitionStrategy>(kind); }

}  // namespace onebin::apiserver
