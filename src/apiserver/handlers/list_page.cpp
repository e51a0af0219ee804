#include "apiserver/handlers/list_page.hpp"

#include "apiserver/cache/stored_json.hpp"
#include "apiserver/crd/conversion.hpp"
#include "apiserver/errors.hpp"

#include <onebin/apimachinery/document.hpp>

namespace onebin::apiserver {

Handling wait_fresh(RequestContext* c, std::string resource_version, std::int64_t revision) {
  if (resource_version.empty()) co_return co_await c->core.cacher.wait_current();
  if (revision > 0) co_return co_await c->core.cacher.wait_for(revision);
  co_return Result<void>();
}

namespace {

std::string scope_of(const Filter& f) { return f.ns.empty() ? std::string() : f.ns + "/"; }

void finish_page(Page& page, const ListOptions& o, const std::string& last_key, bool more, std::int64_t remaining) {
  if (!more) return;
  page.continue_token = encode_continue({page.revision, last_key.substr(scope_of(o.filter).size())});
  if (!o.has_selectors) page.remaining = remaining;
}

Page page_from_cache(const WatchCache& cache, const ListOptions& o, std::string_view after, std::int64_t revision) {
  auto selection = cache.select(o.filter, after, static_cast<std::size_t>(o.limit));
  Page page;
  page.revision = revision;
  page.items.reserve(selection.items.size());
  for (auto& [key, object] : selection.items) page.items.push_back(std::move(object));
  if (!selection.items.empty()) finish_page(page, o, selection.items.back().first, selection.more, selection.remaining);
  return page;
}

// The state at an old revision, from storage.
async::Task<Result<Page>> page_from_storage(RequestContext* c, const ListOptions* o, std::string after, std::int64_t revision) {
  const WatchCache& cache = *c->served->cache;
  std::string prefix = cache.prefix() + scope_of(o->filter);
  std::string at = after.empty() ? std::string() : cache.prefix() + after;
  Page page;
  page.revision = revision;
  for (;;) {
    std::size_t wanted = o->limit ? static_cast<std::size_t>(o->limit) - page.items.size() : 1000;
    Result<storage::ListResult> r = co_await c->core.store.list(prefix, at, wanted, revision);
    if (!r) co_return r.status();
    std::string last;
    for (auto& kv : r->items) {
      last = kv.key.substr(cache.prefix().size());
      at = kv.key;
      if (!o->filter.matches_key(last)) continue;
      Bytes object = with_revision(*kv.value, kv.mod_revision);
      if (o->filter.needs_object() && !o->filter.matches_object(*object)) continue;
      page.items.push_back(std::move(object));
    }
    bool full = o->limit && page.items.size() >= static_cast<std::size_t>(o->limit);
    if (!r->more) break;
    if (full) {
      finish_page(page, *o, last, true, r->remaining);
      break;
    }
  }
  co_return Result<Page>(std::move(page));
}

async::Task<Result<Page>> read_stored_page(RequestContext* c, ListOptions* o, std::string* go_on) {
  Cacher& cacher = c->core.cacher;
  const WatchCache& cache = *c->served->cache;
  if (!o->continue_token.empty()) {
    Result<Continue> from = decode_continue(o->continue_token);
    if (!from) co_return from.status();
    if (!o->resource_version.empty() && o->resource_version != "0")
      co_return bad_request("specifying resource version is not allowed when using continue");
    std::string after = scope_of(o->filter) + from->start;
    Result<void> fresh = co_await cacher.wait_current();
    if (!fresh) co_return fresh.status();
    if (from->revision < 0) co_return page_from_cache(cache, *o, after, cacher.applied());
    if (from->revision <= cacher.applied() && cache.last_change() <= from->revision) co_return page_from_cache(cache, *o, after, from->revision);
    Result<Page> page = co_await page_from_storage(c, o, after, from->revision);
    if (page.is(Reason::Expired)) {
      *go_on = encode_continue({-1, from->start});
      co_return resource_expired(
          "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue "
          "parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided "
          "token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was "
          "returned and now may show up in the list.");
    }
    co_return page;
  }
  if (Status s = take_revision(*o, false); !s) co_return s;
  bool exact = o->match == "Exact" || (o->match.empty() && o->limit > 0 && o->revision > 0);
  if (exact) {
    Result<void> fresh = co_await cacher.wait_for(o->revision);
    if (!fresh) co_return fresh.status();
    if (cache.last_change() <= o->revision) co_return page_from_cache(cache, *o, {}, o->revision);
    Result<Page> page = co_await page_from_storage(c, o, {}, o->revision);
    if (page.is(Reason::Expired)) co_return resource_expired("The resourceVersion for the provided list is too old.");
    co_return page;
  }
  Result<void> fresh = co_await wait_fresh(c, o->resource_version, o->revision);
  if (!fresh) co_return fresh.status();
  if (o->resource_version == "0" && o->limit) {
    ListOptions whole = *o;  // any state will do, and the cache has all of it
    whole.limit = 0;
    co_return page_from_cache(cache, whole, {}, cacher.applied());
  }
  co_return page_from_cache(cache, *o, {}, cacher.applied());
}

std::string key_of(const Served& served, const Bytes& object) {
  Document metadata = Document::parse(json_member(*object, "metadata"), nullptr, false);
  std::string name(apimachinery::string_at(metadata, "name"));
  return served.namespaced() ? std::string(apimachinery::string_at(metadata, "namespace")) + "/" + name : name;
}

// Of what a webhook made of the objects: what is selected, as many as were asked for.
void select_converted(Page& page, const Served& served, const ListOptions& o) {
  std::erase_if(page.items, [&](const Bytes& item) { return !o.filter.matches_object(*item); });
  std::size_t limit = static_cast<std::size_t>(o.limit);
  if (!limit || page.items.size() <= limit) return;
  page.items.resize(limit);
  finish_page(page, o, key_of(served, page.items.back()), true, 0);
}

}  // namespace

async::Task<Result<Page>> read_page(RequestContext* c, ListOptions* o, std::string* go_on) {
  // Components of this process that read metadata need nothing converted.
  bool metadata = c->local && c->info.verb == "list" && c->request.headers.get("Accept").find("as=PartialObjectMetadata") != std::string_view::npos;
  if (metadata || !converts_by_webhook(*c->served)) co_return co_await read_stored_page(c, o, go_on);
  ListOptions stored = *o;
  bool selects = o->filter.needs_object();
  if (selects) {
    stored.filter.labels = {};
    stored.filter.fields.clear();
    stored.limit = 0;
    if (o->limit > 0 && o->match.empty() && !o->resource_version.empty() && o->resource_version != "0") stored.match = "Exact";
  }
  Result<Page> page = co_await read_stored_page(c, &stored, go_on);
  if (!page) co_return page;
  Result<void> converted = co_await convert_stored(&c->core, c->served, &page->items);
  if (!converted) co_return converted.status();
  if (selects) select_converted(*page, *c->served, *o);
  co_return page;
}

}  // namespace onebin::apiserver
