#include "apiserver/handlers/objects.hpp"

#include "apiserver/errors.hpp"
#include "apiserver/respond.hpp"

#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/defaulting.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::FieldValidation;
using apimachinery::set_meta;
using apimachinery::erase_meta;

namespace {

constexpr std::size_t kMaxBody = 3u << 20;
constexpr int kGenerateNameTries = 8;
constexpr int kUpdateTries = 20;
constexpr std::string_view kLockMessage = "the object has been modified; please apply your changes to the latest version and try again";

std::string timestamp(WallTime t) { return format_rfc3339(t); }

}  // namespace

async::Task<Result<std::string>> read_body(RequestContext* c) {
  Result<std::string> body = co_await c->request.read_body(kMaxBody);
  if (body.is(Reason::RequestEntityTooLarge))
    co_return Status(Reason::RequestEntityTooLarge, "Request entity too large: limit is " + std::to_string(kMaxBody));
  co_return body;
}

Result<FieldValidation> field_validation(const RequestContext& c) {
  std::string_view v = c.query.get("fieldValidation");
  if (v.empty() || v == "Warn") return c.local ? FieldValidation::Ignore : FieldValidation::Warn;
  if (v == "Ignore") return FieldValidation::Ignore;
  return FieldValidation::Strict;
}

std::string manager_of(const RequestContext& c) {
  std::string m(c.query.get("fieldManager"));
  return m.empty() ? apimachinery::manager_from_user_agent(c.user_agent) : m;
}

Result<Document> write_options(const RequestContext& c, std::string_view kind) {
  Document d = {{"kind", kind}, {"apiVersion", "meta.k8s.io/v1"}};
  FieldErrors errors;
  std::vector<std::string> dry_run;
  for (auto v : c.query.all("dryRun")) dry_run.emplace_back(v);
  if (!dry_run.empty()) {
    apimachinery::append(errors, apimachinery::validate_dry_run(dry_run, FieldPath("dryRun")));
    d["dryRun"] = dry_run;
  }
  std::string manager(c.query.get("fieldManager")), validation(c.query.get("fieldValidation"));
  apimachinery::append(errors, apimachinery::validate_field_manager(manager, FieldPath("fieldManager")));
  apimachinery::append(errors, apimachinery::validate_field_validation(validation, FieldPath("fieldValidation")));
  if (!manager.empty()) d["fieldManager"] = manager;
  if (!validation.empty()) d["fieldValidation"] = validation;
  if (!errors.empty()) return apimachinery::invalid("meta.k8s.io", kind, "", errors);
  return Result<Document>(std::move(d));
}

namespace {

Status check_type(const Document& object, const KindSchema& kind, bool required) {
  std::string_view version = apimachinery::api_version_of(object), k = apimachinery::kind_of(object);
  std::string expected = kind.api_version();
  if (k.empty() && version.empty() && !required) return Status::ok();
  if (!k.empty() && k != kind.kind) {
    std::string v(version.empty() ? std::string_view(expected) : version);
    return bad_request(std::string(k) + " in version \"" + v.substr(v.find('/') == std::string::npos ? 0 : v.find('/') + 1) +
                       "\" cannot be handled as a " + std::string(kind.kind) + ": no kind \"" + std::string(k) + "\" is registered");
  }
  if (!version.empty() && version != expected)
    return bad_request("the API version in the data (" + std::string(version) + ") does not match the expected API version (" + expected + ")");
  return Status::ok();
}

std::string problems_text(const std::vector<std::string>& problems) { return join(problems, ", "); }

}  // namespace

async::Task<Result<Document>> read_object(RequestContext* c, const KindSchema* kind, bool keep_unknown) {
  Result<std::string> body = co_await read_body(c);
  if (!body) co_return body.status();
  Result<Format> format = body_format(c->request.headers.get("Content-Type"));
  if (!format) co_return format.status();
  Result<FieldValidation> validation = field_validation(*c);
  if (!validation) co_return validation.status();
  if (body->empty()) {
    co_return bad_request("there is no " + std::string(kind->kind) + " in the request: the body is empty");
  }
  Result<Document> d = Document();
  if (*format == Format::Protobuf) {
    d = apimachinery::decode_protobuf(*body, *kind->type);
  } else {
    // Reported here, in upstream's words, so the decoder never fails for them.
    apimachinery::DecodeOptions options;
    options.validation = *validation == FieldValidation::Ignore ? FieldValidation::Ignore : FieldValidation::Warn;
    options.keep_unknown = keep_unknown;
    apimachinery::DecodeReport report;
    d = *format == Format::Yaml ? apimachinery::decode_yaml(*body, kind->type, options, &report)
                                : apimachinery::decode_json(*body, kind->type, options, &report);
    if (d && !report.problems.empty()) {
      if (*validation == FieldValidation::Strict)
        co_return bad_request(std::string(kind->kind) + " in version \"" + std::string(kind->version) + "\" cannot be handled as a " +
                              std::string(kind->kind) + ": strict decoding error: " + problems_text(report.problems));
      if (*validation == FieldValidation::Warn)
        for (auto& p : report.problems) c->warnings.push_back(std::move(p));
    }
  }
  if (!d) {
    if (!d.is(Reason::BadRequest)) co_return d.status();
    co_return bad_request(std::string(kind->kind) + " in version \"" + std::string(kind->version) + "\" cannot be handled as a " +
                          std::string(kind->kind) + ": " + d.status().message());
  }
  if (!d->is_object()) co_return bad_request("the body of the request is not an object");
  Status s = check_type(*d, *kind, false);
  if (!s) co_return s;
  (*d)["apiVersion"] = kind->api_version();
  (*d)["kind"] = kind->kind;
  co_return d;
}

Status check_namespace(const Served& served, std::string_view ns, Document& object) {
  if (!served.namespaced()) {
    if (!apimachinery::namespace_of(object).empty()) erase_meta(object, "namespace");
    return Status::ok();
  }
  std::string_view given = apimachinery::namespace_of(object);
  if (given.empty()) set_meta(object, "namespace", std::string(ns));
  else if (given != ns) return bad_request("the namespace of the provided object does not match the namespace sent on the request");
  return Status::ok();
}

void apply_all_defaults(const Served& served, Document& object) {
  served.strategy->apply_defaults(object);
}

AdmissionAttributes admission_of(RequestContext& c, const Served& served, Operation op, std::string ns, std::string name) {
  AdmissionAttributes a;
  a.operation = op;
  a.group = served.kind->group;
  a.version = served.kind->version;
  a.kind = served.kind->kind;
  a.resource_group = served.kind->group;
  a.resource_version = served.kind->version;
  a.resource = served.kind->plural;
  a.subresource = c.info.resource == served.kind->plural ? c.info.subresource : std::string();
  a.ns = std::move(ns);
  a.name = std::move(name);
  a.dry_run = c.dry_run();
  a.user = &c.user;
  a.warnings = &c.warnings;
  return a;
}

Result<Bytes> encode_for_storage(const Served& served, Document& object) {
  if (Document* meta = find_member(object, "metadata")) meta->erase("resourceVersion");
  const Document* source = &object;
  Document converted;
  if (served.converts()) {
    Result<Document> d = served.to_storage(object);
    if (!d) return d.status();
    converted = std::move(*d);
    source = &converted;
  }
  if (served.json_stored) return make_bytes(apimachinery::encode_json(*source, served.storage_kind->type));
  Result<std::string> bytes = apimachinery::encode_protobuf(*source, *served.storage_kind->type);
  if (!bytes) return bytes.status();
  return make_bytes(std::move(*bytes));
}

async::Task<Result<Document>> current_object(RequestContext* c, const Served* served, std::string ns, std::string name) {
  Result<void> fresh = co_await c->core.cacher.wait_current();
  if (!fresh) co_return fresh.status();
  const CacheEntry* e = served->cache->find(ns, name);
  if (!e) co_return not_found(served->kind->plural, name, served->kind->group);
  co_return decode_stored(*served, e->object);
}

namespace {

// The common part of metadata's validation, and what the tables state.
void validate_common(const Served& served, const Document& object, const Document* old, bool schema, FieldErrors& errors) {
  const Strategy& s = *served.strategy;
  static const Document kNone = Document::object();
  const Document* meta = find_member(object, "metadata");
  const Document* old_meta = old ? find_member(*old, "metadata") : nullptr;
  FieldPath path("metadata");
  apimachinery::append(errors, apimachinery::validate_object_meta(meta ? *meta : kNone, served.namespaced(),
                                                                  old ? apimachinery::name_is_path_segment : s.name_rule, path));
  if (old) apimachinery::append(errors, apimachinery::validate_object_meta_update(meta ? *meta : kNone, old_meta ? *old_meta : kNone, path));
  if (schema && s.check_schema) apimachinery::append(errors, apimachinery::validate_schema(*served.kind->type, object, old));
}

Status invalid_object(const Served& served, const Document& object, const FieldErrors& errors) {
  return apimachinery::invalid(served.kind->group, served.kind->kind, apimachinery::name_of(object), errors);
}

// Ends a reservation as failed unless told otherwise.
class Reserved {
 public:
  explicit Reserved(std::unique_ptr<Strategy::Reservation> r) : r_(std::move(r)) {}
  Reserved(Reserved&&) = default;
  Reserved& operator=(Reserved&& o) noexcept { finish(false); r_ = std::move(o.r_); return *this; }
  ~Reserved() { finish(false); }
  void finish(bool stored) { if (r_) std::exchange(r_, nullptr)->finish(stored); }

 private:
  std::unique_ptr<Strategy::Reservation> r_;
};

void wipe_system_fields(Document& object) {
  Document& meta = apimachinery::object_at(object, "metadata");
  for (const char* f : {"uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation", "resourceVersion"}) meta.erase(f);
}

Status check_name(const Served& served, const Document& object) {
  if (!apimachinery::name_of(object).empty() || !apimachinery::generate_name_of(object).empty()) return Status::ok();
  FieldErrors errors{field_required(FieldPath("metadata").child("name"), "name or generateName is required")};
  return apimachinery::invalid(served.kind->group, served.kind->kind, "", errors);
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
  wipe_system_fields(object);
  set_meta(object, "uid", random_uuid(c->core.rng()));
  set_meta(object, "creationTimestamp", timestamp(c->now));
  if (apimachinery::name_of(object).empty())
    set_meta(object, "name", apimachinery::generate_name(apimachinery::generate_name_of(object), c->core.rng()));
  Status ns_ok = check_namespace(*served, ns, object);
  if (!ns_ok) co_return ns_ok;
  s.prepare_for_create(w, object);
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
  Result<Bytes> value = encode_for_storage(*served, object);
  if (!value) co_return value.status();
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
  Status named = check_name(*served, object);
  if (!named) co_return named;
  Status ns_ok = check_namespace(*served, ns, object);
  if (!ns_ok) co_return ns_ok;
  // Admission decides on the caches: they hold everything that was acknowledged before.
  Result<void> current = co_await c->core.cacher.wait_current();
  if (!current) co_return current.status();
  if (!options.tracking.skip) apimachinery::track_update(served->managed, nullptr, object, options.tracking.manager, c->now);
  Result<void> admitted = co_await admit_create(c, served, ns, &object, options.options);
  if (!admitted) co_return admitted.status();
  bool generated = apimachinery::name_of(object).empty();
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
    storage::WriteResult r = co_await c->core.store.create(key, p->value, write);
    if (r.is_ok()) {
      p->reserved.finish(true);
      out.revision = r->mod_revision;
      out.object = std::move(p->object);
      set_meta(out.object, "resourceVersion", std::to_string(out.revision));
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

// ---- update

namespace {

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
  if (!find_member(was, "deletionTimestamp")) meta.erase("deletionTimestamp");
  if (!find_member(meta, "deletionGracePeriodSeconds")) carry("deletionGracePeriodSeconds");
  meta.erase("selfLink");
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

Status uid_conflict(const Served& served, const UpdateOptions& o, std::string_view asked, std::string_view actual) {
  std::string why = "StorageError: invalid object, Code: 4, Key: " + served.storage_key(o.ns, o.name) + ", ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: ";
  why.append(asked).append(", UID in object meta: ").append(actual);
  return conflict(served.kind->plural, o.name, why, served.kind->group);
}

async::Task<Result<Written>> store_update(RequestContext* c, const Served* served, const UpdateOptions* o, Document object, const Document* old,
                                          const Current* current, storage::WriteResult* conflict) {
  const Strategy& s = *served->strategy;
  WriteContext w = c->core.write_context(*c);
  Status ns_ok = check_namespace(*served, o->ns, object);
  if (!ns_ok) co_return ns_ok;
  carry_system_fields(object, *old);
  set_meta(object, "resourceVersion", std::to_string(current->revision));
  bool status = o->subresource == "status";
  Reserved reserved(nullptr);
  if (o->update_strategy) {
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
    if (!status) s.warnings_on_update(w, object, *old);
  }
  keep_times(object, *old);
  if (o->admission && c->core.security.admission.size()) {
    AdmissionAttributes a = admission_of(*c, *served, Operation::Update, o->ns, o->name);
    a.object = &object;
    a.options = o->options;
    a.load_old = [old] { return old; };
    Result<void> valid = co_await c->core.security.admission.validate(&a);
    if (!valid) co_return valid.status();
  }
  Result<Bytes> value = encode_for_storage(*served, object);
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
      if (!apimachinery::resource_version_of(*fresh).empty() && apimachinery::resource_version_of(*fresh) != "0")
        co_return optimistic_lock_conflict(k.group, k.plural, o.name);
      if (!apimachinery::uid_of(*fresh).empty())
        co_return uid_conflict(*served, o, apimachinery::uid_of(*fresh), "");
      Result<Written> made = co_await create_object(c, served, o.ns, std::move(*fresh), {o.tracking, o.options});
      if (!made && made.is(Reason::AlreadyExists) && tries < kUpdateTries) {
        Result<void> waited = co_await c->core.cacher.wait_current();
        if (!waited) co_return waited.status();
        current = from_cache(*served, o.ns, o.name);
        if (current.stored) continue;
      }
      co_return made;
    }
    Result<Document> old = decode_stored(*served, current.stored);
    if (!old) co_return old.status();
    Result<Document> made = o.make(&*old);
    if (!made) co_return made.status();
    Document object = std::move(*made);
    std::string asked(apimachinery::resource_version_of(object));
    std::string_view uid = o.precondition_uid.empty() ? apimachinery::uid_of(object) : std::string_view(o.precondition_uid);
    if (!uid.empty() && uid != apimachinery::uid_of(*old))
      co_return uid_conflict(*served, o, uid, apimachinery::uid_of(*old));
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
    if (o.admission && c->core.security.admission.size()) {
      AdmissionAttributes a = admission_of(*c, *served, Operation::Update, o.ns, o.name);
      a.object = &object;
      a.options = o.options;
      const Document* before = &*old;
      a.load_old = [before] { return before; };
      Result<void> admitted = co_await c->core.security.admission.admit(&a);
      if (!admitted) co_return admitted.status();
    }
    storage::WriteResult lost;
    Result<Written> written = co_await store_update(c, served, &o, std::move(object), &*old, &current, &lost);
    bool raced = !written && (lost.is(Reason::Conflict) || lost.is(Reason::NotFound));
    if (!raced) co_return written;
    if (tries >= kUpdateTries) co_return conflict(k.plural, o.name, kLockMessage, k.group);
    current = lost.is(Reason::NotFound) ? Current{} : from_conflict(lost);
  }
}

}  // namespace onebin::apiserver
