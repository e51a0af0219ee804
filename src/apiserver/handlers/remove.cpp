// delete and deletecollection.
#include "apiserver/audit/event.hpp"
#include "apiserver/crd/conversion.hpp"
#include "apiserver/errors.hpp"
#include "apiserver/handlers/handlers.hpp"
#include "apiserver/handlers/list_page.hpp"
#include "apiserver/handlers/objects.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::set_meta;

namespace {

constexpr int kTries = 20;
constexpr std::string_view kOrphan = "orphan", kForeground = "foregroundDeletion";

const KindSchema* options_kind() {
  static const KindSchema* k = api::find_kind("", "v1", "DeleteOptions");
  return k;
}

DeleteOptions from_document(Document d) {
  DeleteOptions o;
  if (const Document* v = find_member(d, "gracePeriodSeconds"); v && v->is_number_integer()) o.grace_seconds = v->get<std::int64_t>();
  if (const Document* p = find_member(d, "preconditions")) {
    if (find_member(*p, "uid")) o.uid = std::string(apimachinery::string_at(*p, "uid"));
    if (find_member(*p, "resourceVersion")) o.resource_version = std::string(apimachinery::string_at(*p, "resourceVersion"));
  }
  o.propagation = apimachinery::string_at(d, "propagationPolicy");
  if (const Document* v = find_member(d, "orphanDependents"); v && v->is_boolean()) o.orphan = v->get<bool>();
  if (const Document* v = find_member(d, "dryRun"); v && v->is_array() && !v->empty()) o.dry_run = true;
  o.document = std::move(d);
  return o;
}

}  // namespace

async::Task<Result<DeleteOptions>> read_delete_options(RequestContext* c) {
  Result<std::string> body = co_await read_body(c);
  if (!body) co_return body.status();
  Document d = {{"kind", "DeleteOptions"}, {"apiVersion", "meta.k8s.io/v1"}};
  if (!body->empty()) {
    Result<Format> f = body_format(c->request.headers.get("Content-Type"), c->core.options.cbor);
    if (!f) co_return f.status();
    const apimachinery::TypeSchema* type = options_kind() ? options_kind()->type : nullptr;
    if (!type) co_return internal_error("there is no schema of DeleteOptions");
    Result<Document> read = decode_body(*body, *f, *type);
    if (!read) co_return bad_request(read.status().message());
    std::string_view kind = apimachinery::kind_of(*read);
    if (!kind.empty() && kind != "DeleteOptions") co_return bad_request("decoded object cannot be converted to DeleteOptions");
    d.update(*read);
    if (c->audit) c->audit->object(d);
  }
  if (body->empty()) {
    if (c->query.has("gracePeriodSeconds")) {
      Result<std::int64_t> n = query_number(c->query.get("gracePeriodSeconds"));
      if (!n) co_return n.status();
      d["gracePeriodSeconds"] = *n;
    }
    if (auto v = c->query.get("propagationPolicy"); !v.empty()) d["propagationPolicy"] = v;
    if (c->query.has("orphanDependents")) d["orphanDependents"] = query_flag(c->query, "orphanDependents");
  }
  if (c->query.has("dryRun") && !find_member(d, "dryRun")) {
    Document list = Document::array();
    for (auto v : c->query.all("dryRun")) list.push_back(v);
    d["dryRun"] = std::move(list);
  }
  FieldErrors errors = apimachinery::validate_delete_options(d);
  if (!errors.empty()) co_return apimachinery::invalid("meta.k8s.io", "DeleteOptions", "", errors);
  co_return from_document(std::move(d));
}

namespace {

Status check_preconditions(const Served& served, const DeleteOptions& o, const Document& object) {
  std::string name(apimachinery::name_of(object));
  std::string_view uid = apimachinery::uid_of(object), version = apimachinery::resource_version_of(object);
  if (o.uid && *o.uid != uid)
    return conflict(served.kind->kind, name, "the UID in the precondition (" + *o.uid + ") does not match the UID in record (" + std::string(uid) + "). The object might have been deleted and then recreated", served.kind->group);
  if (o.resource_version && *o.resource_version != version)
    return conflict(served.kind->kind, name, "the ResourceVersion in the precondition (" + *o.resource_version + ") does not match the ResourceVersion in record (" + std::string(version) + "). The object might have been modified", served.kind->group);
  return Status::ok();
}

bool has(const std::vector<std::string>& list, std::string_view item) { return std::find(list.begin(), list.end(), item) != list.end(); }

bool wants_orphan(const Strategy& s, const DeleteOptions& o, const std::vector<std::string>& finalizers) {
  if (s.gc == GcPolicy::Unsupported) return false;
  if (o.orphan) return *o.orphan;
  if (!o.propagation.empty()) return o.propagation == "Orphan";
  if (has(finalizers, kOrphan)) return true;
  if (has(finalizers, kForeground)) return false;
  return s.gc == GcPolicy::Orphan;
}

bool wants_foreground(const Strategy& s, const DeleteOptions& o, const std::vector<std::string>& finalizers) {
  if (s.gc == GcPolicy::Unsupported || o.orphan) return false;
  if (!o.propagation.empty()) return o.propagation == "Foreground";
  if (has(finalizers, kForeground) && !has(finalizers, kOrphan)) return true;
  return !finalizers.empty() && finalizers.front() == kForeground;
}

// The finalizers that the options leave the object with.
std::vector<std::string> new_finalizers(const Strategy& s, const DeleteOptions& o, const std::vector<std::string>& old) {
  std::vector<std::string> out;
  for (const auto& f : old)
    if (f != kOrphan && f != kForeground) out.push_back(f);
  if (wants_orphan(s, o, old)) out.emplace_back(kOrphan);
  if (wants_foreground(s, o, old)) out.emplace_back(kForeground);
  return out;
}

void bump(Document& object) {
  std::int64_t g = apimachinery::generation_of(object);
  if (g > 0) set_meta(object, "generation", g + 1);
}

enum class Step : unsigned char { Remove, Store, Nothing };

// Grace: marks the object. `pending`: it is being deleted already, and nothing changes.
struct Grace {
  bool graceful = false, pending = false;
  std::int64_t seconds = 0;
};

Grace apply_grace(const Strategy& s, const DeleteOptions& o, Document& object, WallTime now) {
  Grace g;
  if (!s.graceful) return g;
  std::optional<std::int64_t> asked = o.grace_seconds;
  if (asked && *asked < 0) asked = 1;
  std::string_view deleted = apimachinery::deletion_timestamp_of(object);
  if (!deleted.empty()) {
    std::int64_t current = apimachinery::deletion_grace_period_of(object).value_or(0);
    if (current < 0) current = 1;
    if (current == 0) return g;
    if (!asked || *asked >= current) {
      g.pending = true;
      return g;
    }
    std::int64_t period = *asked;
    WallTime when = parse_rfc3339(deleted).value_or(now) + std::chrono::seconds(period - current);
    if (when < now) {
      when = now;
      if (period != 0) period = 1;
    }
    set_meta(object, "deletionTimestamp", format_rfc3339(when));
    set_meta(object, "deletionGracePeriodSeconds", period);
    g.graceful = true;
    g.seconds = period;
    return g;
  }
  std::optional<std::int64_t> period = s.grace_period(object, asked);
  if (!period) return g;
  set_meta(object, "deletionTimestamp", format_rfc3339(now + std::chrono::seconds(*period)));
  set_meta(object, "deletionGracePeriodSeconds", *period);
  bump(object);
  g.graceful = true;
  g.seconds = *period;
  return g;
}

void mark_deleting(Document& object, WallTime now) {
  std::string_view at = apimachinery::deletion_timestamp_of(object);
  if (at.empty()) bump(object);
  auto when = parse_rfc3339(at);
  if (!when || *when > now) set_meta(object, "deletionTimestamp", format_rfc3339(now));
  set_meta(object, "deletionGracePeriodSeconds", 0);
}

Step plan_delete(const Strategy& s, const DeleteOptions& o, Document& object, WallTime now) {
  Grace g = apply_grace(s, o, object, now);
  if (g.pending) return Step::Nothing;
  std::vector<std::string> old = apimachinery::finalizers_of(object), next = new_finalizers(s, o, old);
  auto sorted = [](std::vector<std::string> v) { std::sort(v.begin(), v.end()); return v; };
  if (sorted(old) != sorted(next)) apimachinery::set_finalizers(object, next);
  bool pending_finalizers = !apimachinery::finalizers_of(object).empty();
  if (!g.graceful) {
    if (!pending_finalizers) return Step::Remove;
    mark_deleting(object, now);
    return Step::Store;
  }
  return pending_finalizers || g.seconds > 0 ? Step::Store : Step::Remove;
}

// A namespace is marked, and goes when the namespace controller has emptied it and its spec.finalizers.
Step plan_namespace_delete(const Strategy& s, const DeleteOptions& o, Document& object, WallTime now) {
  const Document& finalizers = apimachinery::at_path(object, {"spec", "finalizers"});
  bool held = finalizers.is_array() && !finalizers.empty();
  if (apimachinery::deletion_timestamp_of(object).empty()) {
    std::vector<std::string> old = apimachinery::finalizers_of(object), next = new_finalizers(s, o, old);
    if (old != next) apimachinery::set_finalizers(object, next);
    if (!held && next.empty()) return Step::Remove;
    set_meta(object, "deletionTimestamp", format_rfc3339(now));
    apimachinery::object_at(object, "status")["phase"] = "Terminating";
    return Step::Store;
  }
  if (held) return Step::Nothing;
  return apimachinery::finalizers_of(object).empty() ? Step::Remove : Step::Nothing;
}

Handling admit_delete(RequestContext* c, const Served* served, const std::string* ns, const std::string* name, const Document* old, const DeleteOptions* o) {
  const AdmissionChain& chain = c->core.security.admission;
  if (!chain.size() || !o->admission) co_return Result<void>();
  AdmissionAttributes a = admission_of(*c, *served, Operation::Delete, *ns, *name);
  a.dry_run = o->dry_run;
  a.options = &o->document;
  a.load_old = [old] { return old; };
  Result<void> r = co_await chain.admit(&a);
  if (!r) co_return r;
  co_return co_await chain.validate(&a);
}

}  // namespace

async::Task<Result<Deleted>> delete_object(RequestContext* c, const Served* served, std::string ns, std::string name, DeleteOptions o) {
  const Strategy& s = *served->strategy;
  const KindSchema& k = *served->kind;
  Result<void> fresh = co_await c->core.cacher.wait_current();
  if (!fresh) co_return fresh.status();
  const CacheEntry* entry = served->cache->find(ns, name);
  Bytes stored = entry ? entry->object : nullptr;
  std::int64_t revision = entry ? entry->revision : 0;
  for (int tries = 1;; ++tries) {
    if (!stored) co_return not_found(k.plural, name, k.group);
    Result<Document> old = co_await read_stored(&c->core, served, stored);
    if (!old) co_return old.status();
    Status ok = check_preconditions(*served, o, *old);
    if (!ok) co_return ok;
    Result<void> admitted = co_await admit_delete(c, served, &ns, &name, &*old, &o);
    if (!admitted) co_return admitted.status();
    Deleted out;
    out.object = *old;
    if (apimachinery::deletion_timestamp_of(*old).empty()) s.begin_deletion(out.object, c->now);
    bool is_namespace = k.group.empty() && k.plural == "namespaces";
    Step step = is_namespace ? plan_namespace_delete(s, o, out.object, c->now) : plan_delete(s, o, out.object, c->now);
    out.gone = step == Step::Remove;
    out.stored = stored;
    if (step == Step::Nothing || o.dry_run) co_return Result<Deleted>(std::move(out));
    std::string key = served->storage_key(ns, name);
    storage::WriteResult r = storage::WriteResult(internal_error(""));
    Bytes value;
    if (step == Step::Remove) {
      r = co_await c->core.store.remove(key, revision);
    } else {
      Result<Bytes> encoded = co_await encode_for_storage(&c->core, served, &out.object);
      if (!encoded) co_return encoded.status();
      value = *encoded;
      r = co_await c->core.store.update(key, value, revision);
    }
    if (r.is_ok()) {
      out.stored = with_revision(value ? *value : *r->value, r->mod_revision);
      set_meta(out.object, "resourceVersion", std::to_string(r->mod_revision));
      if (out.gone) s.after_delete(c->core, out.object);
      co_return Result<Deleted>(std::move(out));
    }
    if (r.is(Reason::NotFound)) co_return not_found(k.plural, name, k.group);
    if (!r.is(Reason::Conflict)) co_return r.status();
    if (tries >= kTries) co_return optimistic_lock_conflict(k.group, k.plural, name);
    stored = r.current ? with_revision(*r.current->value, r.current->mod_revision) : nullptr;
    revision = r.current ? r.current->mod_revision : 0;
  }
}

Handling handle_delete(RequestContext* c) {
  Result<Negotiated> n = negotiate_for(*c);
  if (!n) co_return n.status();
  Result<DeleteOptions> o = co_await read_delete_options(c);
  if (!o) co_return o.status();
  const Served* served = c->served;
  if (served->strategy->gc == GcPolicy::Orphan && served->kind->kind == "Job" && o->propagation.empty() && !o->orphan)
    c->warnings.push_back("child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning");
  std::optional<bool> orphan = o->orphan;
  Result<Deleted> d = co_await delete_object(c, served, served->namespaced() ? c->info.ns : std::string(), c->info.name, std::move(*o));
  if (!d) co_return d.status();
  int code = !d->gone && orphan && !*orphan ? 202 : 200;
  if (served->strategy->returns_deleted || !d->gone) co_return co_await send_document(c, code, std::move(d->object), served->kind->type, served);
  Document status = success_document(served->kind->group, served->kind->plural, c->info.name, apimachinery::uid_of(d->object));
  const KindSchema* k = api::find_kind("", "v1", "Status");
  co_return co_await send_document(c, code, std::move(status), k ? k->type : nullptr);
}

Handling handle_delete_collection(RequestContext* c) {
  Result<Negotiated> n = negotiate_for(*c);
  if (!n) co_return n.status();
  Result<ListOptions> list = parse_list_options(*c);
  if (!list) co_return list.status();
  Result<DeleteOptions> o = co_await read_delete_options(c);
  if (!o) co_return o.status();
  std::string go_on;
  Result<Page> page = co_await read_page(c, &*list, &go_on);
  if (!page) co_return page.status();
  const Served* served = c->served;
  Document items = Document::array();
  for (const auto& object : page->items) {
    Result<Document> before = decode_stored(*served, object);
    if (!before) co_return before.status();
    Result<Deleted> d = co_await delete_object(c, served, std::string(apimachinery::namespace_of(*before)), std::string(apimachinery::name_of(*before)), *o);
    if (!d && !d.is(Reason::NotFound)) co_return d.status();
    if (!served->json_stored) {
      before->erase("kind");
      before->erase("apiVersion");
    }
    items.push_back(std::move(*before));
  }
  Document out = {{"kind", served->kind->list_kind}, {"apiVersion", served->api_version},
                  {"metadata", {{"resourceVersion", std::to_string(page->revision)}}}, {"items", std::move(items)}};
  if (!page->continue_token.empty()) out["metadata"]["continue"] = page->continue_token;
  if (page->remaining) out["metadata"]["remainingItemCount"] = *page->remaining;
  const KindSchema* k = api::find_kind(served->kind->group, served->kind->version, served->kind->list_kind);
  co_return co_await send_document(c, 200, std::move(out), k ? k->type : nullptr);
}

}  // namespace onebin::apiserver
