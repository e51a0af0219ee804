#include "apiserver/cache/cacher.hpp"

#include "apiserver/errors.hpp"

#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>

namespace onebin::apiserver {
namespace {

constexpr std::size_t kPage = 1000;

std::pair<std::string_view, std::string_view> split_key(std::string_view key) {
  std::size_t slash = key.find('/');
  if (slash == std::string_view::npos) return {{}, key};
  return {key.substr(0, slash), key.substr(slash + 1)};
}

}  // namespace

Cacher::Cacher(storage::Store& store) : store_(store) {}
Cacher::~Cacher() = default;

WatchCache& Cacher::add(std::string group, std::string resource, std::string prefix, bool namespaced) {
  auto& slot = caches_[prefix];
  if (!slot) slot = std::make_shared<WatchCache>(group, resource, prefix, namespaced);
  by_resource_[{std::move(group), std::move(resource)}] = slot.get();
  return *slot;
}

async::Task<Result<std::shared_ptr<WatchCache>>> Cacher::add_live(std::string group, std::string resource, std::string prefix, bool namespaced) {
  if (auto at = caches_.find(prefix); at != caches_.end()) co_return at->second;
  add(group, resource, prefix, namespaced);
  std::shared_ptr<WatchCache> cache = caches_.find(prefix)->second;
  cache->begin_loading();
  std::int64_t revision = 0;
  Result<std::vector<storage::KeyValue>> items = co_await list_all(prefix, &revision);
  if (!items) {
    remove(prefix);
    co_return items.status();
  }
  for (const auto& kv : *items) cache->load(kv);
  cache->loaded(revision);
  co_return cache;
}

void Cacher::remove(std::string_view prefix) {
  auto at = caches_.find(prefix);
  if (at == caches_.end()) return;
  at->second->end_watchers(closed());
  by_resource_.erase({at->second->group(), at->second->resource()});
  caches_.erase(at);
}

WatchCache* Cacher::find(std::string_view group, std::string_view resource) const {
  auto at = by_resource_.find(std::pair<std::string, std::string>(group, resource));
  return at == by_resource_.end() ? nullptr : at->second;
}

WatchCache* Cacher::cache_for(std::string_view key) const {
  auto at = caches_.upper_bound(key);
  if (at == caches_.begin()) return nullptr;
  --at;
  return starts_with(key, at->first) ? at->second.get() : nullptr;
}

async::Task<Result<std::vector<storage::KeyValue>>> Cacher::list_all(std::string prefix, std::int64_t* revision) {
  std::vector<storage::KeyValue> all;
  std::int64_t at = 0;
  std::string after;
  for (;;) {
    Result<storage::ListResult> page = co_await store_.list(prefix, after, kPage, at);
    if (!page) co_return page.status();
    at = page->revision;
    bool more = page->more;
    if (!page->items.empty()) after = page->items.back().key;
    std::move(page->items.begin(), page->items.end(), std::back_inserter(all));
    if (!more) break;
  }
  *revision = at;
  co_return Result<std::vector<storage::KeyValue>>(std::move(all));
}

async::Task<Result<void>> Cacher::start() {
  std::int64_t at = 0;
  std::string after;
  // Page by page, so that the stored values are not all held beside the cached ones.
  for (;;) {
    Result<storage::ListResult> page = co_await store_.list(std::string(kRoot), after, kPage, at);
    if (!page) co_return page.status();
    at = page->revision;
    for (const auto& kv : page->items)
      if (WatchCache* cache = cache_for(kv.key)) cache->load(kv);
    if (!page->items.empty()) after = page->items.back().key;
    if (!page->more) break;
  }
  for (auto& [prefix, cache] : caches_) cache->loaded(at);
  Result<std::unique_ptr<storage::Watch>> w = co_await store_.watch(std::string(kRoot), at);
  if (!w) co_return w.status();
  watch_ = std::move(*w);
  advance(at);
  started_ = true;
  group_.spawn(run());
  co_return Result<void>();
}

async::Task<void> Cacher::stop() {
  group_.cancel();
  co_await group_.join();
  if (bookmark_timer_) async::Loop::current().cancel_timer(bookmark_timer_);
  bookmark_timer_ = 0;
  for (auto& [prefix, cache] : caches_) cache->end_watchers(closed());
  watch_.reset();
}

void Cacher::advance(std::int64_t revision) {
  if (revision <= applied_) return;
  applied_ = revision;
  fresh_.wake_all();
}

async::Task<void> Cacher::run() {
  for (;;) {
    Result<void> r = co_await follow();
    if (r.is(Reason::Cancelled) || r.is(Reason::Closed)) co_return;
    log_warn("the storage watch broke; reading everything anew", {{"error", r.status()}});
    Result<void> again = co_await reload();
    if (again.is(Reason::Cancelled) || again.is(Reason::Closed)) co_return;
    if (!again) {
      log_error("the watch cache cannot be read from storage", {{"error", again.status()}});
      Status s = co_await async::sleep_for(1s);
      if (!s) co_return;
    }
  }
}

async::Task<Result<void>> Cacher::follow() {
  if (!watch_) co_return internal_error("there is no storage watch");
  for (;;) {
    Result<std::vector<storage::WatchEvent>> events = co_await watch_->next();
    if (!events) co_return events.status();
    for (const auto& e : *events)
      if (WatchCache* cache = cache_for(e.kv.key)) cache->apply(e);
    std::int64_t seen = events->empty() ? 0 : events->back().kv.mod_revision;
    advance(std::max(seen, watch_->progress()));
  }
}

async::Task<Result<void>> Cacher::reload() {
  watch_.reset();
  std::int64_t revision = 0;
  Result<std::vector<storage::KeyValue>> all = co_await list_all(std::string(kRoot), &revision);
  if (!all) co_return all.status();
  std::map<WatchCache*, std::vector<storage::KeyValue>> parts;
  for (auto& kv : *all)
    if (WatchCache* cache = cache_for(kv.key)) parts[cache].push_back(std::move(kv));
  for (auto& [prefix, cache] : caches_) cache->rebuild(parts[cache.get()], revision);
  Result<std::unique_ptr<storage::Watch>> w = co_await store_.watch(std::string(kRoot), revision);
  if (!w) co_return w.status();
  watch_ = std::move(*w);
  advance(revision);
  co_return Result<void>();
}

namespace {
async::Task<Result<void>> wait_fresh(async::WaitQueue* queue, const std::int64_t* applied, std::int64_t revision) {
  while (*applied < revision) {
    Status s = co_await queue->wait();
    if (!s) co_return s;
  }
  co_return Result<void>();
}
}  // namespace

async::Task<Result<void>> Cacher::wait_for(std::int64_t revision, Duration limit) {
  if (applied_ >= revision) co_return Result<void>();
  // The feed tells of progress with its next event; when it is idle the storage's own progress is as good.
  if (watch_ && watch_->progress() >= revision) {
    advance(watch_->progress());
    co_return Result<void>();
  }
  Result<void> r = co_await async::with_timeout(limit, wait_fresh(&fresh_, &applied_, revision));
  if (r.is(Reason::Timeout)) co_return too_large_resource_version(revision, applied_);
  co_return r;
}

void Cacher::want_bookmarks() {
  if (!bookmark_timer_) arm_bookmarks();
}

void Cacher::arm_bookmarks() {
  auto& loop = async::Loop::current();
  bookmark_timer_ = loop.add_timer(loop.now() + kBookmarkPeriod, [this] {
    bookmark_timer_ = 0;
    bool any = false;
    for (auto& [prefix, cache] : caches_) {
      if (!cache->watchers()) continue;
      any = true;
      cache->send_bookmarks(applied_);
    }
    if (any) arm_bookmarks();
  });
}

// ---- Lister

Bytes Cacher::get(std::string_view group, std::string_view resource, std::string_view ns, std::string_view name) const {
  WatchCache* cache = find(group, resource);
  const CacheEntry* e = cache ? cache->find(ns, name) : nullptr;
  return e ? e->object : nullptr;
}

void Cacher::for_each(std::string_view group, std::string_view resource, std::string_view ns, const Visit& fn) const {
  WatchCache* cache = find(group, resource);
  if (!cache) return;
  std::string scope = ns.empty() ? std::string() : std::string(ns) + "/";
  for (auto at = cache->items().lower_bound(scope); at != cache->items().end(); ++at) {
    if (!scope.empty() && at->first.compare(0, scope.size(), scope) != 0) break;
    auto [object_ns, name] = split_key(at->first);
    if (!fn(object_ns, name, at->second.object)) break;
  }
}

void Cacher::for_each_pod_on_node(std::string_view node, const Visit& fn) const {
  WatchCache* cache = find("", "pods");
  const auto* keys = cache ? cache->indexed_keys(node) : nullptr;
  if (!keys) return;
  for (const auto& key : *keys) {
    const CacheEntry* e = cache->find_key(key);
    auto [ns, name] = split_key(key);
    if (e && !fn(ns, name, e->object)) break;
  }
}

void Cacher::subscribe(std::string_view group, std::string_view resource, Handler handler) {
  WatchCache* cache = find(group, resource);
  if (!cache) {
    log_warn("nothing to subscribe to", {{"group", group}, {"resource", resource}});
    return;
  }
  cache->subscribe([handler = std::move(handler)](std::string_view key, const Bytes& before, const Bytes& now) {
    auto [ns, name] = split_key(key);
    handler(ns, name, before, now);
  });
}

}  // namespace onebin::apiserver
