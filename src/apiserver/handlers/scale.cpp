// The scale subresource: a kind of its own, made from its parent and put back into it.
#include "apiserver/crd/custom_kind.hpp"
#include "apiserver/errors.hpp"
#include "apiserver/handlers/patch.hpp"
#include "apiserver/handlers/subresources.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::PathElement;

namespace {

// status.selector in the form of a query.
std::string selector_text(const Document& object, std::string_view kind) {
  const Document& selector = at_path(object, {"spec", "selector"});
  if (!selector.is_object()) return {};
  if (kind == "ReplicationController") return apimachinery::LabelSelector::from_map(apimachinery::string_map(selector)).to_string();
  auto parsed = apimachinery::LabelSelector::from_document(selector);
  return parsed ? parsed->to_string() : std::string();
}

// The value that a path of names leads to; null pointer where it leads nowhere.
const Document* along(const Document& object, const std::vector<std::string>& path) {
  const Document* at = &object;
  for (const auto& name : path)
    if (!(at = find_member(*at, name))) return nullptr;
  return at;
}

// A definition says where its objects' numbers are.
Result<Document> custom_scale(const Document& object, const ScalePaths& paths) {
  const Document* wanted = along(object, paths.spec_replicas);
  if (!wanted || !wanted->is_number_integer()) return internal_error("the spec replicas field \"" + paths.spec_text + "\" does not exist");
  const Document *are = along(object, paths.status_replicas), *selector = paths.selector.empty() ? nullptr : along(object, paths.selector);
  Document out = {{"spec", Document::object()}, {"status", {{"replicas", are && are->is_number_integer() ? *are : Document(0)}}}};
  if (*wanted != 0) out["spec"]["replicas"] = *wanted;
  if (selector && selector->is_string() && !selector->get_ref<const std::string&>().empty()) out["status"]["selector"] = *selector;
  return out;
}

Result<Document> scale_of(const Document& object, const Served& served) {
  std::string_view kind = served.kind->kind;
  const Document& meta = member(object, "metadata");
  Document m = Document::object();
  for (const char* f : {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"})
    if (const Document* v = find_member(meta, f)) m[f] = *v;
  if (served.custom) {
    Result<Document> custom = custom_scale(object, *served.custom->scale);
    if (!custom) return custom;
    (*custom)["kind"] = "Scale";
    (*custom)["apiVersion"] = "autoscaling/v1";
    (*custom)["metadata"] = std::move(m);
    return custom;
  }
  Document status = {{"replicas", apimachinery::get_int(object, {"status", "replicas"})}};
  if (std::string s = selector_text(object, kind); !s.empty()) status["selector"] = s;
  Document spec = Document::object();
  if (std::int64_t n = apimachinery::get_int(object, {"spec", "replicas"}, 0); n != 0) spec["replicas"] = n;
  return Document{{"kind", "Scale"}, {"apiVersion", "autoscaling/v1"}, {"metadata", std::move(m)}, {"spec", std::move(spec)}, {"status", std::move(status)}};
}

const KindSchema* scale_kind() {
  static const KindSchema* k = api::find_kind("autoscaling", "v1", "Scale");
  return k;
}

apimachinery::ManagedResource managed_scale() {
  apimachinery::ManagedResource m;
  m.api_version = "autoscaling/v1";
  m.kind = "Scale";
  m.subresource = "scale";
  m.type = scale_kind()->type;
  return m;
}

apimachinery::FieldPathElements replicas_path(const Served& served) {
  apimachinery::FieldPathElements out;
  if (!served.custom) return {PathElement::field("spec"), PathElement::field("replicas")};
  if (served.custom->scale)
    for (const auto& name : served.custom->scale->spec_replicas) out.push_back(PathElement::field(name));
  return out;
}

// Of every version that the parent's managers wrote.
apimachinery::ReplicasPaths replicas_paths(const RequestContext& c, const Document& parent) {
  const Served& served = *c.served;
  apimachinery::ReplicasPaths out{{std::string(served.api_version), replicas_path(served)}};
  if (!served.custom) return out;
  const Document& entries = apimachinery::managed_fields_of(parent);
  if (!entries.is_array()) return out;
  for (const auto& e : entries) {
    std::string_view version = apimachinery::string_at(e, "apiVersion");
    std::size_t slash = version.find('/');
    if (slash == std::string_view::npos || version.substr(0, slash) != served.kind->group) continue;
    if (const Served* other = c.core.registry.find(served.kind->group, version.substr(slash + 1), served.kind->plural)) out.emplace(version, replicas_path(*other));
  }
  return out;
}

Status check_scale_name(const RequestContext& c, const Document& scale) {
  std::string_view name = apimachinery::name_of(scale), ns = apimachinery::namespace_of(scale);
  if (!ns.empty() && ns != c.info.ns) return bad_request("the namespace of the provided object does not match the namespace sent on the request");
  if (name.empty()) return bad_request("the name of the object (" + c.info.name + " based on URL) was undeterminable: name must be provided");
  if (name != c.info.name)
    return bad_request("the name of the object (" + std::string(name) + ") does not match the name on the URL (" + c.info.name + ")");
  return Status::ok();
}

Status check_scale(const RequestContext& c, const Document& scale, const Document& parent) {
  if (Status s = check_scale_name(c, scale); !s) return s;
  FieldErrors errors = apimachinery::validate_managed_fields(apimachinery::managed_fields_of(scale), FieldPath("metadata").child("managedFields"));
  if (std::int64_t n = apimachinery::get_int(scale, {"spec", "replicas"}, 0); n < 0)
    errors.push_back(field_invalid(FieldPath("spec").child("replicas"), n, "must be greater than or equal to 0"));
  if (!errors.empty()) return apimachinery::invalid("autoscaling", "Scale", c.info.name, errors);
  std::string_view uid = apimachinery::uid_of(scale), actual = apimachinery::uid_of(parent);
  if (!uid.empty() && uid != actual && !c.served->custom)
    return conflict(std::string(c.served->kind->plural) + "/scale", c.info.name, "Precondition failed: UID in precondition: " + std::string(uid) + ", UID in object meta: " + std::string(actual), c.served->kind->group);
  return Status::ok();
}

// The parent with what the scale says, its revision too.
Result<Document> scaled(const RequestContext& c, const Document& parent, const Document& scale, const apimachinery::ReplicasPaths& paths) {
  if (Status s = check_scale(c, scale, parent); !s) return s;
  std::int64_t replicas = apimachinery::get_int(scale, {"spec", "replicas"}, 0);
  Document out = parent;
  if (c.served->custom) {
    Document* at = &out;
    for (const auto& step : c.served->custom->scale->spec_replicas) {
      if (!at->is_object()) *at = Document::object();
      at = &(*at)[step];
    }
    *at = replicas;
  } else {
    apimachinery::object_at(out, "spec")["replicas"] = replicas;
  }
  ASSIGN_OR_RETURN(Document managers, parent_managers(apimachinery::managed_fields_of(parent), apimachinery::managed_fields_of(scale), std::string(c.served->api_version), paths));
  if (managers.empty()) apimachinery::erase_meta(out, "managedFields");
  else apimachinery::set_meta(out, "managedFields", std::move(managers));
  Document& meta = apimachinery::object_at(out, "metadata");
  std::string_view version = apimachinery::resource_version_of(scale);
  // An update of a custom resource names a version always: without the scale's it is the one that was read.
  if (!version.empty()) meta["resourceVersion"] = version;
  else if (!c.served->custom) meta.erase("resourceVersion");
  return Result<Document>(std::move(out));
}

// The scale as it is, with its managers.
Result<Document> live_scale(const RequestContext& c, const Document& parent, const apimachinery::ReplicasPaths& paths) {
  ASSIGN_OR_RETURN(Document scale, scale_of(parent, *c.served));
  ASSIGN_OR_RETURN(Document managers, scale_managers(apimachinery::managed_fields_of(parent), paths));
  if (!managers.empty()) apimachinery::set_meta(scale, "managedFields", std::move(managers));
  return scale;
}

Result<Document> put_scale(RequestContext& c, const Document& parent, Document scale, const std::string& manager) {
  apimachinery::ReplicasPaths paths = replicas_paths(c, parent);
  ASSIGN_OR_RETURN(Document live, live_scale(c, parent, paths));
  track_update(managed_scale(), &live, scale, manager, c.now);
  return scaled(c, parent, scale, paths);
}

Result<Document> patch_scale(RequestContext& c, const Document& parent, const Patch& patch) {
  apimachinery::ReplicasPaths paths = replicas_paths(c, parent);
  ASSIGN_OR_RETURN(Document live, live_scale(c, parent, paths));
  ASSIGN_OR_RETURN(Document scale, apply_patch(c, patch, scale_kind(), managed_scale(), &live));
  if (patch.type != Patch::Type::Apply) track_update(managed_scale(), &live, scale, patch.manager, c.now);
  return scaled(c, parent, scale, paths);
}

}  // namespace

Handling handle_scale(RequestContext* c) {
  const Served* served = c->served;
  std::string ns = served->namespaced() ? c->info.ns : std::string();
  if (!scale_kind()) co_return internal_error("there is no schema of Scale");
  if (Status s = check_accept(*c); !s && !served->custom) co_return s;
  if (Result<Negotiated> n = negotiate_for(*c); !n) co_return n.status();
  if (c->info.verb == "get") {
    Result<Document> d = co_await current_object(c, served, ns, c->info.name);
    if (!d) co_return d.status();
    Result<Document> scale = scale_of(*d, *served);
    if (!scale) co_return scale.status();
    co_return co_await send_document(c, 200, std::move(*scale), scale_kind()->type);
  }
  if (c->info.verb != "update" && c->info.verb != "patch") co_return served->custom ? method_not_supported(c->info.group, c->info.resource, c->info.verb) : method_not_allowed();
  SubresourceBody shown{scale_kind(), [served](const Document& parent) { return scale_of(parent, *served); },
                        [c](const Document& parent, const Document& scale) { return scaled(*c, parent, scale, replicas_paths(*c, parent)); }};
  UpdateOptions o;
  o.ns = std::move(ns);
  o.name = c->info.name;
  o.body = &shown;
  o.tracking.skip = true;  // done on the scale
  Document body;
  Patch patch;
  Result<Document> options = Document();
  if (c->info.verb == "update") {
    options = write_options(*c, "UpdateOptions");
    if (!options) co_return options.status();
    Result<Document> read = co_await read_object(c, scale_kind());
    if (!read) co_return read.status();
    body = std::move(*read);
    if (Status s = check_scale_name(*c, body); !s) co_return s;
    o.options = &*options;
    o.precondition_uid = apimachinery::uid_of(body);
    const Document* b = &body;
    std::string manager = manager_of(*c);
    o.make = [b, c, manager](const Document* current) { return put_scale(*c, *current, *b, manager); };
  } else {
    Result<Patch> read = co_await read_patch(c);
    if (!read) co_return read.status();
    patch = std::move(*read);
    o.options = &patch.options;
    const Patch* p = &patch;
    o.make = [p, c](const Document* current) { return patch_scale(*c, *current, *p); };
  }
  Result<Written> w = co_await update_object(c, served, std::move(o));
  if (!w) co_return w.status();
  Result<Document> scale = scale_of(w->object, *served);
  if (!scale) co_return scale.status();
  co_return co_await send_document(c, 200, std::move(*scale), scale_kind()->type);
}

}  // namespace onebin::apiserver
