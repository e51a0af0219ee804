#include "apiserver/crd/custom_kind.hpp"

#include "apiserver/crd/conversion.hpp"
#include "apiserver/crd/custom_strategy.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/custom_schema.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/openapi.hpp>
#include <onebin/apimachinery/prune.hpp>
#include <onebin/apimachinery/string_list.hpp>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::bool_at;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::string_at;

namespace {

ScalePaths scale_paths(const Document& scale) {
  ScalePaths p;
  p.spec_text = string_at(scale, "specReplicasPath");
  p.status_text = string_at(scale, "statusReplicasPath");
  p.selector_text = string_at(scale, "labelSelectorPath");
  p.spec_replicas = apimachinery::simple_json_path(p.spec_text);
  p.status_replicas = apimachinery::simple_json_path(p.status_text);
  if (!p.selector_text.empty()) p.selector = apimachinery::simple_json_path(p.selector_text);
  return p;
}

// The tables of kind, resource and subresources.
KindSchema kind_schema(CustomKind& k, const Document& definition, const Document& version) {
  auto& arena = k.arena;
  const Document& spec = member(definition, "spec");
  const Document& names = at_path(definition, {"status", "acceptedNames"});
  KindSchema s;
  s.group = arena.keep(string_at(spec, "group"));
  s.version = arena.keep(string_at(version, "name"));
  s.kind = arena.keep(string_at(names, "kind"));
  s.list_kind = arena.keep(string_at(names, "listKind"));
  s.plural = arena.keep(string_at(names, "plural"));
  s.singular = arena.keep(string_at(names, "singular"));
  s.short_names = arena.keep(apimachinery::string_list(member(names, "shortNames")));
  s.categories = arena.keep(apimachinery::string_list(member(names, "categories")));
  s.verbs = arena.keep(std::vector<std::string>{"delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"});
  s.namespaced = string_at(spec, "scope") == "Namespaced";
  s.storage_group = s.group;
  s.storage_prefix = arena.keep(custom_storage_prefix(definition));
  for (const auto& v : member(spec, "versions"))
    if (bool_at(v, "storage")) s.storage_version = arena.keep(string_at(v, "name"));
  return s;
}

void add_subresources(CustomKind& k, KindSchema& s, const Document& version) {
  const Document& sub = member(version, "subresources");
  auto& list = k.subresources;
  auto verbs = k.arena.keep(std::vector<std::string>{"get", "patch", "update"});
  if (find_member(sub, "status")) list.push_back({"status", s.group, s.version, s.kind, verbs});
  if (const Document* scale = find_member(sub, "scale")) {
    list.push_back({"scale", "autoscaling", "v1", "Scale", verbs});
    k.scale = scale_paths(*scale);
  }
  s.subresources = list;
}

void add_columns(CustomKind& k, const Document& version) {
  apimachinery::TableColumn name;
  name.name = "Name";
  name.type = "string";
  name.format = "name";
  name.description = "The name of the object, unique among those of its kind in its namespace.";
  k.columns.push_back(name);
  const Document& columns = member(version, "additionalPrinterColumns");
  auto add = [&](const Document& c) {
    std::string path(string_at(c, "jsonPath"));
    auto parsed = apimachinery::JsonPath::parse(path);
    if (!parsed) return;
    apimachinery::TableColumn t;
    t.name = string_at(c, "name");
    t.type = string_at(c, "type");
    t.format = string_at(c, "format");
    t.description = string_at(c, "description");
    if (t.description.empty()) t.description = "Custom resource definition column (in JSONPath format): " + path;
    t.priority = static_cast<int>(apimachinery::int_at(c, "priority"));
    k.columns.push_back(t);
    k.printer_columns.push_back({std::move(t), std::move(*parsed)});
  };
  if (columns.is_array() && !columns.empty()) {
    for (const auto& c : columns) add(c);
    return;
  }
  add({{"name", "Age"}, {"type", "date"}, {"jsonPath", ".metadata.creationTimestamp"},
       {"description", "When the object was created, by the server's clock."}});
}

std::string deprecation_warning(const Document& definition, const Document& version) {
  if (!bool_at(version, "deprecated")) return {};
  if (auto own = string_at(version, "deprecationWarning"); !own.empty()) return std::string(own);
  const Document& spec = member(definition, "spec");
  std::string group(string_at(spec, "group")), name(string_at(version, "name")), kind(string_at(member(spec, "names"), "kind"));
  std::string text = group + "/" + name + " " + kind + " is deprecated", newer;
  for (const auto& v : member(spec, "versions")) {
    std::string other(string_at(v, "name"));
    if (!bool_at(v, "served") || bool_at(v, "deprecated") || !version_before(other, name)) continue;
    if (newer.empty() || version_before(other, newer)) newer = other;
  }
  return newer.empty() ? text : text + "; use " + group + "/" + newer + " " + kind;
}

}  // namespace

std::shared_ptr<const Document> CustomKind::published_schema() const {
  if (schema.empty()) return nullptr;
  Document d = Document::parse(schema, nullptr, false);
  for (const auto& path : selectable) d["x-kubernetes-selectable-fields"].push_back({{"fieldPath", path}});
  return std::make_shared<const Document>(std::move(d));
}

std::string custom_storage_prefix(const Document& definition) {
  const Document& spec = member(definition, "spec");
  return "/registry/" + std::string(string_at(spec, "group")) + "/" + std::string(string_at(member(spec, "names"), "plural")) + "/";
}

std::shared_ptr<Served> make_custom_served(const Document& definition, const Document& version, std::shared_ptr<WatchCache> cache, bool rewrite) {
  auto k = std::make_shared<CustomKind>();
  k->cache = std::move(cache);
  k->terminating = !apimachinery::deletion_timestamp_of(definition).empty();
  KindSchema schema = kind_schema(*k, definition, version);
  add_subresources(*k, schema, version);
  add_columns(*k, version);
  if (const Document& open = at_path(version, {"schema", "openAPIV3Schema"}); open.is_object()) {
    k->schema = open.dump(-1, ' ', false, Document::error_handler_t::replace);
    k->values = std::make_unique<apimachinery::ValueSchema>(open);
    if (const Document& status = at_path(open, {"properties", "status"}); status.is_object())
      k->status_values = std::make_unique<apimachinery::ValueSchema>(status);
    k->rules = CustomRules::make(open);
  }
  for (const auto& f : member(version, "selectableFields")) {
    std::string_view path = string_at(f, "jsonPath");
    k->selectable.emplace_back(path.substr(starts_with(path, ".") ? 1 : 0));
  }
  k->deprecation_warning = deprecation_warning(definition, version);
  static const apimachinery::TypeSchema* meta = api::find_type("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
  schema.type = apimachinery::make_custom_type(k->arena, apimachinery::openapi_custom_name(schema.group, schema.version, schema.kind),
                                               &at_path(version, {"schema", "openAPIV3Schema"}), *meta);
  k->kind = k->storage = k->arena.kind(schema);
  bool other_version = schema.version != schema.storage_version;
  if (other_version) {
    KindSchema stored = schema;
    stored.version = schema.storage_version;
    k->storage = k->arena.kind(stored);
  }
  auto served = std::make_shared<Served>();
  served->kind = k->kind;
  served->storage_kind = k->storage;
  served->cache = k->cache.get();
  served->json_stored = true;
  served->strategy = std::make_shared<CustomStrategy>(*k->kind, *k);
  if (const Document& conversion = at_path(definition, {"spec", "conversion"}); string_at(conversion, "strategy") == "Webhook")
    k->conversion = std::make_shared<const ConversionWebhook>(member(conversion, "webhook"));
  if (rewrite || other_version || k->conversion) {
    const KindSchema *kind = k->kind, *storage = k->storage;  // in the arena that the entry holds
    bool by_webhook = k->conversion != nullptr;
    served->from_storage = [kind, by_webhook](const Document& d) -> Result<Document> {
      // What a webhook has to convert comes here converted (crd/conversion.hpp).
      std::string wanted = kind->api_version();
      if (by_webhook && apimachinery::api_version_of(d) != wanted) return internal_error("an object of " + wanted + ", Kind=" + std::string(kind->kind) + " was read unconverted");
      Document out = d;
      out["apiVersion"] = wanted;
      apimachinery::prune(*kind->type, out);
      apimachinery::default_custom(*kind->type, out);
      return Result<Document>(std::move(out));
    };
    served->to_storage = [storage](const Document& d) -> Result<Document> {
      Document out = d;
      out["apiVersion"] = storage->api_version();
      return Result<Document>(std::move(out));
    };
  }
  served->custom = std::move(k);
  return served;
}

}  // namespace onebin::apiserver
