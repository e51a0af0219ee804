// create, update and patch of main resources.
#include "apiserver/errors.hpp"
#include "apiserver/handlers/handlers.hpp"
#include "apiserver/handlers/objects.hpp"
#include "apiserver/handlers/patch.hpp"
#include "apiserver/registry/resource_devices.hpp"

#include <onebin/apimachinery/meta.hpp>

namespace onebin::apiserver {

Handling send_written(RequestContext* c, const Served* served, Written written) {
  int code = written.created ? 201 : 200;
  if (!answers_with_document(*c, *served)) co_return co_await send_stored(c, code, served, std::move(written.stored));
  co_return co_await send_document(c, code, std::move(written.object), served->kind->type, served);
}

Handling handle_create(RequestContext* c) {
  Result<Negotiated> n = negotiate_for(*c);
  if (!n) co_return n.status();
  Result<Document> options = write_options(*c, "CreateOptions");
  if (!options) co_return options.status();
  const Served* served = c->served;
  Result<Document> object = co_await read_object(c, served->kind);
  if (!object) co_return object.status();
  apply_all_defaults(*served, *object);
  stamp_device_taints(*served->kind, *object, c->now);
  CreateOptions o;
  o.tracking.manager = manager_of(*c);
  o.options = &*options;
  Result<Written> w = co_await create_object(c, served, c->info.ns, std::move(*object), o);
  if (!w) co_return w.status();
  co_return co_await send_written(c, served, std::move(*w));
}

namespace {

Status check_url_name(const RequestContext& c, const Served& served, Document& object) {
  Status in_namespace = check_namespace(served, c.info.ns, object);
  if (!in_namespace) return in_namespace;
  std::string_view name = apimachinery::name_of(object);
  if (name.empty()) return bad_request("the name of the object (" + c.info.name + " based on URL) was undeterminable: name must be provided");
  if (name != c.info.name) return bad_request("the name of the object (" + std::string(name) + ") does not match the name on the URL (" + c.info.name + ")");
  return Status::ok();
}

// Creating by PUT or apply needs the right to create.
Handling check_may_create(RequestContext* c) {
  if (c->served->cache->find(c->info.ns, c->info.name)) co_return Result<void>();
  Attributes a = attributes_of(c->user, c->info);
  a.verb = "create";
  Authorized d = co_await c->core.authorize(a);
  if (d.decision == Decision::Allow) co_return Result<void>();
  std::string why = "User \"" + c->user.name + "\" cannot create resource \"" + a.resource + "\" in API group \"" + a.group + "\"";
  why += a.ns.empty() ? " at the cluster scope" : " in the namespace \"" + a.ns + "\"";
  co_return forbidden(a.group, a.resource, a.name, why);
}

}  // namespace

Handling put_object(RequestContext* c, std::string subresource) {
  Result<Negotiated> n = negotiate_for(*c);
  if (!n) co_return n.status();
  Result<Document> options = write_options(*c, "UpdateOptions");
  if (!options) co_return options.status();
  const Served* served = c->served;
  Result<Document> object = co_await read_object(c, served->kind);
  if (!object) co_return object.status();
  apply_all_defaults(*served, *object);
  stamp_device_taints(*served->kind, *object, c->now);
  Status named = check_url_name(*c, *served, *object);
  if (!named) co_return named;
  drop_repeated_owners(*c, *object, false);
  UpdateOptions o;
  o.ns = served->namespaced() ? c->info.ns : std::string();
  o.name = c->info.name;
  o.subresource = std::move(subresource);
  o.tracking.manager = manager_of(*c);
  o.options = &*options;
  std::optional<apimachinery::ManagedResource> part;
  if (!o.subresource.empty()) o.managed = &part.emplace(managed_part(*served, o.subresource));
  if (o.subresource.empty() && served->strategy->create_on_update) {
    Result<void> may = co_await check_may_create(c);
    if (!may) co_return may;
    o.allow_create = true;
  }
  const Document* body = &*object;  // made again from it where the write loses a race
  o.make = [body](const Document*) { return Result<Document>(Document(*body)); };
  Result<Written> w = co_await update_object(c, served, std::move(o));
  if (!w) co_return w.status();
  co_return co_await send_written(c, served, std::move(*w));
}

Handling handle_update(RequestContext* c) { return put_object(c, ""); }

Handling patch_object(RequestContext* c, std::string subresource) {
  Result<Negotiated> n = negotiate_for(*c);
  if (!n) co_return n.status();
  Result<Patch> patch = co_await read_patch(c);
  if (!patch) co_return patch.status();
  const Served* served = c->served;
  UpdateOptions o;
  o.ns = served->namespaced() ? c->info.ns : std::string();
  o.name = c->info.name;
  o.subresource = std::move(subresource);
  o.options = &patch->options;
  o.tracking.manager = patch->manager;
  o.tracking.skip = patch->type == Patch::Type::Apply;
  o.uid_is_precondition = false;
  if (patch->type == Patch::Type::Apply) {
    if (o.subresource.empty()) {
      Result<void> may = co_await check_may_create(c);
      if (!may) co_return may;
      o.allow_create = true;
    }
  }
  const Patch* p = &*patch;
  std::optional<apimachinery::ManagedResource> part;
  if (!o.subresource.empty()) o.managed = &part.emplace(managed_part(*served, o.subresource));
  const apimachinery::ManagedResource* managed = o.managed ? o.managed : &served->managed;
  o.make = [c, served, p, managed](const Document* current) -> Result<Document> {
    Result<Document> made = apply_patch(*c, *p, served->kind, *managed, current);
    if (!made) return made;
    if (std::string_view uid = apimachinery::uid_of(*made); !current && !uid.empty())
      return conflict(served->kind->plural, c->info.name, "uid mismatch: the provided object specified uid " + std::string(uid) + ", and no existing object was found", served->kind->group);
    if (Status s = check_url_name(*c, *served, *made); !s) return s;
    apply_all_defaults(*served, *made);
    stamp_device_taints(*served->kind, *made, c->now);
    return made;
  };
  Result<Written> w = co_await update_object(c, served, std::move(o));
  if (!w) co_return w.status();
  co_return co_await send_written(c, served, std::move(*w));
}

Handling handle_patch(RequestContext* c) { return patch_object(c, ""); }

}  // namespace onebin::apiserver
