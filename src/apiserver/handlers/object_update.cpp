// Updating an object, again and again where others write too.
#include "apiserver/handlers/object_write.hpp"

#include "apiserver/crd/conversion.hpp"
#include "apiserver/errors.hpp"
#include "apiserver/registry/disabled_fields.hpp"
#include "apiserver/registry/warnings.hpp"
#include "apiserver/respond.hpp"

#include <onebin/apimachinery/meta.hpp>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::erase_meta;
using apimachinery::find_member;
using apimachinery::set_meta;

namespace {

constexpr int kUpdateTries = 20;
constexpr std::string_view kLockMessage = "the object has been modified; please apply your changes to the latest version and try again";

struct Current {
  Bytes stored;  // null: there is none
  std::int64_t revision = 0;
};

Current from_cache(const Served& served, std::string_view ns, std::string_view name) {
  const CacheEntry* e = served.cache->find(ns, name);
  return e ? Current{e->object, e->revision} : Current{};
}

Current from_conflict(const storage::WriteResult& r) {
  if (!r.current) return {};
  return {with_revision(*r.current->value, r.current->mod_revision), r.current->mod_revision};
}

// What BeforeUpdate does to metadata.
void carry_system_fields(Document& object, const Document& old) {
  Document& meta = apimachinery::object_at(object, "metadata");
  const Document& was = apimachinery::member(old, "metadata");
  auto carry = [&](const char* f) {
    if (const Document* v = find_member(was, f)) meta[f] = *v;
  };
  if (find_member(was, "generation")) carry("generation");
  else meta.erase("generation");
  if (apimachinery::string_at(meta, "uid").empty()) carry("uid");
  carry("creationTimestamp");
  carry("deletionTimestamp");
  if (!find_member(meta, "deletionGracePeriodSeconds")) carry("deletionGracePeriodSeconds");
}

// Equal as objects, but for the named members.
bool equal_but(const Document& a, const Document& b, std::initializer_list<std::string_view> ignored) {
  if (!a.is_object() || !b.is_object()) return a == b;
  auto skip = [&](const std::string& key) { return std::find(ignored.begin(), ignored.end(), key) != ignored.end(); };
  auto x = a.begin(), y = b.begin();
  for (;;) {
    while (x != a.end() && skip(x.key())) ++x;
    while (y != b.end() && skip(y.key())) ++y;
    if (x == a.end() || y == b.end()) return x == a.end() && y == b.end();
    if (x.key() != y.key() || x.value() != y.value()) return false;
    ++x;
    ++y;
  }
}

// managedFields whose only change is their time are as they were, so that a write that changes nothing is none.
void keep_times(Document& object, const Document& old) {
  Document& meta = apimachinery::object_at(object, "metadata");
  const Document& was_meta = apimachinery::member(old, "metadata");
  Document* now = find_member(meta, "managedFields");
  const Document* was = find_member(was_meta, "managedFields");
  if (!now || !was || now->size() != was->size()) return;
  for (std::size_t i = 0; i < now->size(); ++i)
    if (!equal_but((*now)[i], (*was)[i], {"time"})) return;
  if (equal_but(object, old, {"metadata"}) && equal_but(meta, was_meta, {"managedFields", "resourceVersion"})) *now = *was;
}

Status uid_conflict(const RequestContext& c, const Served& served, const UpdateOptions& o, std::string_view asked, std::string_view actual) {
  std::string key = served.storage_key(o.ns, o.name);
  if (c.dry_run() && starts_with(key, "/registry/")) key.erase(0, 9);  // which shows it without what all keys begin with
  std::string why = "StorageError: invalid object, Code: 4, Key: " + key + ", ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: ";
  why.append(asked).append(", UID in object meta: ").append(actual);
  return conflict(served.kind->plural, o.name, why, served.kind->group);
}

// Both halves of admission, which see a subresource's own body where it has one.
async::Task<Result<void>> admit_update(RequestContext* c, const Served* served, const UpdateOptions* o, Document* object, const Document* old, bool mutate) {
  const AdmissionChain& chain = c->core.security.admission;
  if (!o->admission || !chain.size()) co_return Result<void>();
  AdmissionAttributes a = admission_of(*c, *served, Operation::Update, o->ns, o->name);
  a.object = object;
  a.options = o->options;
  a.load_old = [old] { return old; };
  if (!o->body) {
    async::Task<Result<void>> half = mutate ? chain.admit(&a) : chain.validate(&a);
    co_return co_await std::move(half);
  }
  CO_ASSIGN_OR_RETURN(Document now, o->body->of(*object));
  CO_ASSIGN_OR_RETURN(const Document before, o->body->of(*old));
  const Document sent = now;
  a.group = o->body->kind->group;
  a.version = o->body->kind->version;
  a.kind = o->body->kind->kind;
  a.object = &now;
  a.load_old = [&before] { return &before; };
  async::Task<Result<void>> half = mutate ? chain.admit(&a) : chain.validate(&a);
  Result<void> admitted = co_await std::move(half);
  if (!admitted || now == sent) co_return admitted;
  CO_ASSIGN_OR_RETURN(*object, o->body->put(*object, now));
  co_return Result<void>();
}

async::Task<Result<Written>> store_update(RequestContext* c, const Served* served, const UpdateOptions* o, Document object, const Document* old,
                                          const Current* current, storage::WriteResult* conflict) {
  const Strategy& s = *served->strategy;
  WriteContext w = c->core.write_context(*c);
  Status ns_ok = check_namespace(*served, o->ns, object);
  if (!ns_ok) co_return ns_ok;
  carry_system_fields(object, *old);
  if (!c->dry_run()) apimachinery::erase_meta(object, "selfLink");  // which nothing stores
  set_meta(object, "resourceVersion", std::to_string(current->revision));
  bool status = o->subresource == "status";
  Reserved reserved(nullptr);
  if (o->update_strategy) {
    drop_disabled_fields(*served->kind, object);
    if (status) s.prepare_for_status_update(w, object, *old);
    else s.prepare_for_update(w, object, *old);
    if (!status) {
      auto reservation = s.begin_update(w, object, *old);
      if (!reservation) co_return reservation.status();
      reserved = Reserved(std::move(*reservation));
    }
    FieldErrors errors;
    validate_common(*served, object, old, !status, errors);
    if (status) s.validate_status_update(w, object, *old, errors);
    else s.validate_update(w, object, *old, errors);
    if (!errors.empty()) co_return invalid_object(*served, object, errors);
    if (status) {
      s.warnings_on_status_update(w, object, *old);
      warn_of_status(w, *served->kind, object);
    } else {
      s.warnings_on_update(w, object, *old);
    }
  }
  keep_times(object, *old);
  Result<void> valid = co_await admit_update(c, served, o, &object, old, false);
  if (!valid) co_return valid.status();
  Result<Bytes> value = co_await encode_for_storage(&c->core, served, &object);
  if (!value) co_return value.status();
  Written out;
  out.revision = current->revision;
  out.stored = with_revision(**value, current->revision);
  std::string key = served->storage_key(o->ns, o->name);
  set_meta(object, "resourceVersion", std::to_string(current->revision));
  if (s.deletes_on_update(object, *old)) {
    out.object = std::move(object);
    if (c->dry_run()) co_return Result<Written>(std::move(out));
    // The last state is what watchers see go, so it is stored first where it differs by more than the finalizers.
    storage::WriteResult r = co_await c->core.store.remove(key, current->revision);
    if (!r.is_ok()) {
      *conflict = std::move(r);
      co_return Status(conflict->reason(), conflict->status().message());
    }
    reserved.finish(true);
    out.revision = r->mod_revision;
    s.after_delete(c->core, out.object);
    co_return Result<Written>(std::move(out));
  }
  if (*out.stored == *current->stored) {
    out.object = std::move(object);
    out.unchanged = true;
    co_return Result<Written>(std::move(out));
  }
  if (c->dry_run()) {
    out.object = std::move(object);
    co_return Result<Written>(std::move(out));
  }
  storage::WriteOptions write;
  write.ttl = s.time_to_live(object);
  storage::WriteResult r = co_await c->core.store.update(key, *value, current->revision, write);
  if (!r.is_ok()) {
    *conflict = std::move(r);
    co_return Status(conflict->reason(), conflict->status().message());
  }
  reserved.finish(true);
  out.revision = r->mod_revision;
  out.stored = with_revision(**value, out.revision);
  set_meta(object, "resourceVersion", std::to_string(out.revision));
  out.object = std::move(object);
  co_return Result<Written>(std::move(out));
}

}  // namespace

async::Task<Result<Written>> update_object(RequestContext* c, const Served* served, UpdateOptions o) {
  const KindSchema& k = *served->kind;
  const apimachinery::ManagedResource* managed = o.managed ? o.managed : o.subresource == "status" ? &served->managed_status : &served->managed;
  Result<void> caught_up = co_await c->core.cacher.wait_current();
  if (!caught_up) co_return caught_up.status();
  Current current = from_cache(*served, o.ns, o.name);
  for (int tries = 1;; ++tries) {
    if (!current.stored) {
      if (!o.allow_create) co_return not_found(k.plural, o.name, k.group);
      Result<Document> fresh = o.make(nullptr);
      if (!fresh) co_return fresh.status();
      apimachinery::erase_meta(*fresh, "resourceVersion");  // upstream does not ask of what
      if (!apimachinery::uid_of(*fresh).empty())
        co_return uid_conflict(*c, *served, o, apimachinery::uid_of(*fresh), "");
      Result<Written> made = co_await create_object(c, served, o.ns, std::move(*fresh), {o.tracking, o.options});
      if (!made && made.is(Reason::AlreadyExists) && tries < kUpdateTries) {
        Result<void> waited = co_await c->core.cacher.wait_current();
        if (!waited) co_return waited.status();
        current = from_cache(*served, o.ns, o.name);
        if (current.stored) continue;
      }
      co_return made;
    }
    Result<Document> old = co_await read_stored(&c->core, served, current.stored);
    if (!old) co_return old.status();
    if (!o.precondition_uid.empty() && o.precondition_uid != apimachinery::uid_of(*old))
      co_return uid_conflict(*c, *served, o, o.precondition_uid, apimachinery::uid_of(*old));
    Result<Document> made = o.make(&*old);
    if (!made) co_return made.status();
    Document object = std::move(*made);
    std::string asked(apimachinery::resource_version_of(object));
    std::string_view uid = apimachinery::uid_of(object);
    if (o.uid_is_precondition && !uid.empty() && uid != apimachinery::uid_of(*old))
      co_return uid_conflict(*c, *served, o, uid, apimachinery::uid_of(*old));
    if (!apimachinery::parse_resource_version(asked))
      co_return Status(Reason::Unknown, unsigned_error(asked));
    bool pinned = !asked.empty() && asked != "0";
    if (!pinned && !served->strategy->unconditional_update && o.update_strategy) {
      FieldErrors errors{field_invalid(FieldPath("metadata").child("resourceVersion"), 0, "must be specified for an update")};
      co_return apimachinery::invalid(k.group, k.plural, o.name, errors);
    }
    if (pinned && asked != std::to_string(current.revision)) {
      // The cache may be behind what the client has seen.
      Result<void> fresh = co_await c->core.cacher.wait_current();
      if (!fresh) co_return fresh.status();
      Current newer = from_cache(*served, o.ns, o.name);
      if (newer.revision == current.revision) co_return optimistic_lock_conflict(k.group, k.plural, o.name);
      current = std::move(newer);
      if (tries > kUpdateTries) co_return optimistic_lock_conflict(k.group, k.plural, o.name);
      continue;
    }
    if (!o.tracking.skip) apimachinery::track_update(*managed, &*old, object, o.tracking.manager, c->now);
    Result<void> admitted = co_await admit_update(c, served, &o, &object, &*old, true);
    if (!admitted) co_return admitted.status();
    drop_repeated_owners(*c, object, true);
    storage::WriteResult lost;
    Result<Written> written = co_await store_update(c, served, &o, std::move(object), &*old, &current, &lost);
    bool raced = !written && (lost.is(Reason::Conflict) || lost.is(Reason::NotFound));
    if (!raced) co_return written;
    if (tries >= kUpdateTries) co_return conflict(k.plural, o.name, kLockMessage, k.group);
    current = lost.is(Reason::NotFound) ? Current{} : from_conflict(lost);
  }
}

}  // namespace onebin::apiserver
