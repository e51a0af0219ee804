// Creating an object: admission, names, strategy, validation, storage.
#include "apiserver/handlers/object_write.hpp"

#include "apiserver/crd/custom_kind.hpp"
#include "apiserver/errors.hpp"
#include "apiserver/registry/disabled_fields.hpp"
#include "apiserver/respond.hpp"

#include <onebin/apimachinery/meta.hpp>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::erase_meta;
using apimachinery::find_member;
using apimachinery::set_meta;

namespace {

constexpr int kGenerateNameTries = 8;

void wipe_system_fields(Document& object) {
  Document& meta = apimachinery::object_at(object, "metadata");
  for (const char* f : {"uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"}) meta.erase(f);
}

struct Prepared {
  Document object;
  Bytes value;
  Reserved reserved;
};

// From the admitted document to what is to be stored.
async::Task<Result<Prepared>> prepare_create(RequestContext* c, const Served* served, std::string ns, Document object, const Document* options) {
  const Strategy& s = *served->strategy;
  WriteContext w = c->core.write_context(*c);
  std::string version(apimachinery::resource_version_of(object));
  apimachinery::erase_meta(object, "resourceVersion");
  set_meta(object, "uid", random_uuid(c->core.rng()));
  set_meta(object, "creationTimestamp", format_rfc3339(c->now));
  if (apimachinery::name_of(object).empty() && !apimachinery::generate_name_of(object).empty())
    set_meta(object, "name", apimachinery::generate_name(apimachinery::generate_name_of(object), c->core.rng()));
  Status ns_ok = check_namespace(*served, ns, object);
  if (!ns_ok) co_return ns_ok;
  s.prepare_for_create(w, object);
  drop_disabled_fields(*served->kind, object);
  auto reservation = s.begin_create(w, object);
  if (!reservation) co_return reservation.status();
  Reserved reserved(std::move(*reservation));
  FieldErrors errors;
  validate_common(*served, object, nullptr, true, errors);
  s.validate(w, object, errors);
  if (!errors.empty()) co_return invalid_object(*served, object, errors);
  s.warnings_on_create(w, object);
  if (c->core.security.admission.size()) {
    AdmissionAttributes a = admission_of(*c, *served, Operation::Create, ns, std::string(apimachinery::name_of(object)));
    a.object = &object;
    a.options = options;
    Result<void> valid = co_await c->core.security.admission.validate(&a);
    if (!valid) co_return valid.status();
  }
  if (auto v = apimachinery::parse_resource_version(version); v && *v && !c->dry_run())
    co_return Status(Reason::Unknown, "resourceVersion should not be set on objects to be created");
  Result<Bytes> value = co_await encode_for_storage(&c->core, served, &object);
  if (!value) co_return value.status();
  if (c->dry_run() && !version.empty()) set_meta(object, "resourceVersion", version);
  co_return Prepared{std::move(object), std::move(*value), std::move(reserved)};
}

async::Task<Result<void>> admit_create(RequestContext* c, const Served* served, std::string ns, Document* object, const Document* options) {
  if (!c->core.security.admission.size()) co_return Result<void>();
  AdmissionAttributes a = admission_of(*c, *served, Operation::Create, ns, std::string(apimachinery::name_of(*object)));
  a.object = object;
  a.options = options;
  co_return co_await c->core.security.admission.admit(&a);
}

Status already_there(const Served& served, std::string_view name, const storage::WriteResult& r) {
  Status s = already_exists(served.kind->plural, name, served.kind->group);
  if (r.current && ObjectView(*r.current->value).being_deleted()) {
    Status deleting(Reason::AlreadyExists, "object is being deleted: " + s.message(), s.details());
    return deleting;
  }
  return s;
}

}  // namespace

async::Task<Result<Written>> create_object(RequestContext* c, const Served* served, std::string ns, Document object, CreateOptions options) {
  if (served->custom && served->custom->terminating)
    co_return forbidden(served->kind->group, served->kind->plural, apimachinery::name_of(object), "create not allowed while custom resource definition is terminating");
  Status ns_ok = check_namespace(*served, ns, object);
  if (!ns_ok) co_return ns_ok;
  // Admission decides on the caches: they hold everything that was acknowledged before.
  Result<void> current = co_await c->core.cacher.wait_current();
  if (!current) co_return current.status();
  wipe_system_fields(object);
  drop_repeated_owners(*c, object, false);
  bool keeps_document = answers_with_document(*c, *served);
  if (!options.tracking.skip) apimachinery::track_update(served->managed, nullptr, object, options.tracking.manager, c->now, !keeps_document);
  Result<void> admitted = co_await admit_create(c, served, ns, &object, options.options);
  if (!admitted) co_return admitted.status();
  drop_repeated_owners(*c, object, true);
  bool generated = apimachinery::name_of(object).empty() && !apimachinery::generate_name_of(object).empty();
  for (int tries = 1;; ++tries) {
    Document attempt = generated ? object : std::move(object);
    Result<Prepared> p = co_await prepare_create(c, served, ns, std::move(attempt), options.options);
    if (!p) co_return p.status();
    std::string name(apimachinery::name_of(p->object));
    std::string key = served->storage_key(ns, name);
    Written out;
    out.created = true;
    if (c->dry_run()) {
      Result<void> fresh = co_await c->core.cacher.wait_current();
      if (!fresh) co_return fresh.status();
      if (served->cache->find(ns, name)) co_return already_exists(served->kind->plural, name, served->kind->group);
      out.stored = p->value;
      out.object = std::move(p->object);
      co_return Result<Written>(std::move(out));
    }
    storage::WriteOptions write;
    write.ttl = served->strategy->time_to_live(p->object);
    // Dropped while it is in the caches still, not after the write.
    if (!keeps_document) p->object = nullptr;
    storage::WriteResult r = co_await c->core.store.create(key, p->value, write);
    if (r.is_ok()) {
      p->reserved.finish(true);
      out.revision = r->mod_revision;
      out.object = std::move(p->object);
      if (keeps_document) set_meta(out.object, "resourceVersion", std::to_string(out.revision));
      out.stored = with_revision(*p->value, out.revision);
      co_return Result<Written>(std::move(out));
    }
    if (!r.is(Reason::AlreadyExists)) co_return r.status();
    if (!generated) co_return already_there(*served, name, r);
    if (tries >= kGenerateNameTries) {
      Status s = already_exists(served->kind->plural, name, served->kind->group);
      co_return Status(Reason::AlreadyExists, s.message() + ", the server was not able to generate a unique name for the object", s.details());
    }
  }
}

}  // namespace onebin::apiserver
