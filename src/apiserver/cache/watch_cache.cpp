#include "apiserver/cache/watch_cache.hpp"

#include "apiserver/cache/stored_json.hpp"

#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/log.hpp>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::Document;

namespace {
// A fan-out costs every watcher a write. Where there are many, the events that come within about the time that one takes share the
// next, so that it stays worth its cost; a single event, or the first after a pause, waits for nothing.
constexpr Duration kFanoutCost = std::chrono::microseconds(50);  // of a watcher
constexpr Duration kFanoutHold = std::chrono::milliseconds(25);  // at most
constexpr std::size_t kFewWatchers = 16;                         // so few that there is nothing to save
constexpr std::size_t kItemsAtOnce = 256;
}  // namespace

Bytes with_revision(std::string_view stored, std::int64_t revision) {
  std::string text = std::to_string(revision);
  if (!is_protobuf(stored)) {
    if (std::string fast = json_with_revision(stored, text); !fast.empty()) return make_bytes(std::move(fast));
    Document d = Document::parse(stored, nullptr, false);
    if (!d.is_object()) return make_bytes(std::string(stored));
    apimachinery::object_at(d, "metadata")["resourceVersion"] = text;
    return make_bytes(apimachinery::encode_json(d, nullptr));
  }
  auto envelope = apimachinery::open_envelope(stored);
  if (envelope) {
    std::string message;
    message.reserve(envelope->raw.size() + text.size() + 8);
    if (apimachinery::append_message_with_version(message, envelope->raw, text))
      return make_bytes(apimachinery::make_envelope(envelope->api_version, envelope->kind, message));
  }
  log_error("a stored object cannot be read", {{"bytes", stored.size()}, {"revision", revision}});
  return make_bytes(std::string(stored));
}

const Bytes& Delivery::previous_with_revision() {
  if (!left) left = with_revision(*event->previous, event->revision);
  return left;
}

const std::string& Delivery::field(const SelectableField& f, bool previous) {
  for (const auto& v : values_)
    if (v.field == &f && v.previous == previous) return v.text;
  values_.push_back({&f, previous, field_value(f, previous ? *event->previous : *event->object)});
  return values_.back().text;
}

bool Delivery::matches(const Filter& filter, bool previous) {
  for (const auto& [f, requirement] : filter.fields)
    if ((field(*f, previous) == requirement.value) != requirement.equal) return false;
  return filter.labels.empty() || matches_labels(filter.labels, previous ? *event->previous : *event->object);
}

// ---- CacheWatcher

CacheWatcher::~CacheWatcher() {
  if (!cache_) return;
  auto& all = cache_->watchers_;
  all[at_] = all.back();
  all[at_]->at_ = at_;
  all.pop_back();
}

void CacheWatcher::end(Status status) {
  if (!end_.is_ok()) return;
  end_ = std::move(status);
  waiters_.wake_all();
}

void CacheWatcher::offer(const DeliveryPtr& delivery) {
  const CacheEvent& e = *delivery->event;
  if (!end_.is_ok() || !filter_.matches_key(e.key)) return;
  WatchItem item;
  item.type = e.type;
  item.delivery = delivery;
  item.revision = e.revision;
  if (filter_.needs_object()) {
    bool now = e.type != WatchType::Deleted && delivery->matches(filter_, false);
    bool before = e.previous && delivery->matches(filter_, true);
    if (!now && !before) return;
    if (e.type != WatchType::Deleted) {
      item.type = !before ? WatchType::Added : now ? WatchType::Modified : WatchType::Deleted;
      item.left = !now;
    }
  }
  if (queue_.size() >= kMaxQueued) {
    queue_.clear();
    end(Status(Reason::Expired, "The watch fell behind and was ended."));
    return;
  }
  queue_.push_back(std::move(item));
}

void CacheWatcher::bookmark(std::int64_t revision) {
  if (!bookmarks_ || !end_.is_ok() || !queue_.empty() || revision <= told_) return;
  WatchItem item;
  item.type = WatchType::Bookmark;
  item.revision = revision;
  queue_.push_back(std::move(item));
  wake();
}

async::Task<Result<std::vector<WatchItem>>> CacheWatcher::next() {
  while (queue_.empty()) {
    if (!end_.is_ok()) co_return end_;
    Status s = co_await waiters_.wait();
    if (!s) co_return s;
  }
  std::vector<WatchItem> out;
  if (queue_.size() <= kItemsAtOnce) {
    out.swap(queue_);
  } else {
    auto end = queue_.begin() + static_cast<std::ptrdiff_t>(kItemsAtOnce);
    out.assign(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
    queue_.erase(queue_.begin(), end);
  }
  told_ = out.back().revision;
  co_return Result<std::vector<WatchItem>>(std::move(out));
}

// ---- WatchCache

WatchCache::WatchCache(std::string group, std::string resource, std::string prefix, bool namespaced)
    : group_(std::move(group)), resource_(std::move(resource)), prefix_(std::move(prefix)), namespaced_(namespaced) {}

WatchCache::~WatchCache() {
  if (waking_) async::Loop::current().cancel_timer(waking_);
  for (CacheWatcher* w : watchers_) {
    w->cache_ = nullptr;
    w->end(closed());
  }
}

void WatchCache::index(std::string_view key, const Bytes& object, bool add) {
  if (!index_field_ || !object) return;
  std::string value = field_value(*index_field_, *object);
  if (value.empty()) return;
  if (add) {
    insert_key(index_[std::move(value)], key);
    return;
  }
  auto at = index_.find(value);
  if (at == index_.end()) return;
  erase_key(at->second, key);
  if (at->second.empty()) index_.erase(at);
}

void WatchCache::put(std::string_view key, Bytes object, std::int64_t revision) {
  auto at = items_.find(key);
  if (at == items_.end()) at = items_.emplace(std::string(key), CacheEntry{}).first;
  else {
    index(key, at->second.object, false);
    bytes_ -= at->second.object->size();
  }
  bytes_ += object->size();
  index(at->first, object, true);
  at->second = {std::move(object), revision};
}

void WatchCache::drop(std::string_view key) {
  auto at = items_.find(key);
  if (at == items_.end()) return;
  index(key, at->second.object, false);
  bytes_ -= at->second.object->size();
  items_.erase(at);
}

void WatchCache::load(const storage::KeyValue& kv) {
  Bytes object = with_revision(*kv.value, kv.mod_revision);
  std::string_view key = key_of(kv.key);
  put(key, object, kv.mod_revision);
  for (const auto& l : listeners_) l(key, nullptr, object);
}

void WatchCache::loaded(std::int64_t revision) {
  window_start_ = last_change_ = revision;
  loading_ = false;
  std::vector<storage::WatchEvent> early;
  early.swap(early_);
  for (const auto& e : early) apply(e);
}

void WatchCache::apply(const storage::WatchEvent& event) {
  if (loading_) {
    early_.push_back(event);
    return;
  }
  if (event.kv.mod_revision <= last_change_) return;  // was in what was loaded
  auto e = std::make_shared<CacheEvent>();
  e->revision = event.kv.mod_revision;
  e->key = key_of(event.kv.key);
  e->object = with_revision(*event.kv.value, event.kv.mod_revision);
  if (const CacheEntry* current = find_key(e->key)) e->previous = current->object;
  bool deleted = event.type == storage::WatchEvent::Type::Delete;
  e->type = deleted ? WatchType::Deleted : e->previous ? WatchType::Modified : WatchType::Added;
  if (deleted) drop(e->key);
  else put(e->key, e->object, e->revision);
  last_change_ = e->revision;
  for (const auto& l : listeners_) l(e->key, e->previous, deleted ? nullptr : e->object);
  publish(std::move(e));
}

void WatchCache::publish(CacheEventPtr event) {
  window_bytes_ += event->cost();
  window_.push_back(event);
  while (window_bytes_ > kWindowBytes && window_.size() > 1) {
    window_start_ = window_.front()->revision;
    window_bytes_ -= window_.front()->cost();
    window_.pop_front();
  }
  if (watchers_.empty()) return;
  auto delivery = std::make_shared<Delivery>();
  delivery->event = std::move(event);
  for (CacheWatcher* w : watchers_) w->offer(delivery);
  wake_watchers();
}

void WatchCache::wake_watchers() {
  if (waking_) return;
  auto& loop = async::Loop::current();
  SteadyTime now = loop.now(), due = watchers_.size() <= kFewWatchers ? now : woken_ + std::min(kFanoutHold, kFanoutCost * static_cast<int>(watchers_.size()));
  if (due > now) {
    waking_ = loop.add_timer(due, [this] {
      waking_ = 0;
      woken_ = {};
      wake_watchers();
    });
    return;
  }
  woken_ = now;
  for (CacheWatcher* w : watchers_) w->wake();
}

void WatchCache::rebuild(const std::vector<storage::KeyValue>& fresh, std::int64_t revision) {
  Items before;
  before.swap(items_);
  index_.clear();
  bytes_ = 0;
  for (const auto& kv : fresh) put(key_of(kv.key), with_revision(*kv.value, kv.mod_revision), kv.mod_revision);
  for (const auto& l : listeners_) {
    for (const auto& [key, entry] : before)
      if (!items_.count(key)) l(key, entry.object, nullptr);
    for (const auto& [key, entry] : items_) {
      auto old = before.find(key);
      if (old == before.end()) l(key, nullptr, entry.object);
      else if (old->second.revision != entry.revision) l(key, old->second.object, entry.object);
    }
  }
  window_.clear();
  window_bytes_ = 0;
  window_start_ = last_change_ = revision;
  end_watchers(Status(Reason::Expired, "The watch cache was rebuilt."));
}

void WatchCache::send_bookmarks(std::int64_t revision) {
  for (CacheWatcher* w : watchers_) w->bookmark(revision);
}

void WatchCache::end_watchers(Status status) {
  for (CacheWatcher* w : watchers_) w->end(status);
}

const CacheEntry* WatchCache::find_key(std::string_view key) const {
  auto at = items_.find(key);
  return at == items_.end() ? nullptr : &at->second;
}

const CacheEntry* WatchCache::find(std::string_view ns, std::string_view name) const {
  if (!namespaced_) return find_key(name);
  std::string key;
  key.reserve(ns.size() + name.size() + 1);
  key.append(ns).append("/").append(name);
  return find_key(key);
}

const SortedKeys* WatchCache::indexed_keys(std::string_view value) const {
  auto at = index_.find(value);
  return at == index_.end() ? nullptr : &at->second;
}

WatchCache::Selection WatchCache::select(const Filter& filter, std::string_view start_after, std::size_t limit) const {
  Selection out;
  if (filter.nothing) return out;
  auto take = [&](std::string_view key, const Bytes& object) {
    if (!filter.matches_key(key) || (filter.needs_object() && !filter.matches_object(*object))) return;
    out.items.emplace_back(key, object);
  };
  // One object by name, or the objects that the index names.
  if (!filter.name.empty() && (!filter.ns.empty() || !namespaced_)) {
    if (const CacheEntry* e = find(filter.ns, filter.name)) {
      std::string key = namespaced_ ? filter.ns + "/" + filter.name : filter.name;
      if (key > start_after) take(key, e->object);
    }
    return out;
  }
  if (index_field_ && limit == 0) {
    for (const auto& [field, requirement] : filter.fields) {
      if (field->name != index_field_->name || !requirement.equal || requirement.value.empty()) continue;
      if (const auto* keys = indexed_keys(requirement.value))
        for (const auto& key : *keys) take(key, items_.find(key)->second.object);
      return out;
    }
  }
  std::string scope = filter.ns.empty() ? std::string() : filter.ns + "/";
  auto at = start_after > scope ? items_.upper_bound(start_after) : items_.lower_bound(scope);
  for (; at != items_.end(); ++at) {
    if (!scope.empty() && at->first.compare(0, scope.size(), scope) != 0) break;
    if (limit && out.items.size() >= limit) {
      out.more = true;
      ++out.remaining;
      continue;
    }
    take(at->first, at->second.object);
  }
  return out;
}

std::size_t WatchCache::count(std::string_view ns) const {
  if (ns.empty()) return items_.size();
  std::string scope = std::string(ns) + "/";
  std::size_t n = 0;
  for (auto at = items_.lower_bound(scope); at != items_.end() && at->first.compare(0, scope.size(), scope) == 0; ++at) ++n;
  return n;
}

std::unique_ptr<CacheWatcher> WatchCache::watch(Filter filter, std::int64_t after) {
  if (after >= 0 && after < window_start_) return nullptr;
  std::unique_ptr<CacheWatcher> w(new CacheWatcher(*this, std::move(filter)));
  if (after >= 0) {
    w->told_ = after;
    auto at = std::upper_bound(window_.begin(), window_.end(), after, [](std::int64_t rev, const CacheEventPtr& e) { return rev < e->revision; });
    for (; at != window_.end(); ++at) {
      const CacheEventPtr& event = *at;
      auto delivery = std::make_shared<Delivery>();
      delivery->event = event;
      w->offer(delivery);
    }
  }
  w->at_ = watchers_.size();
  watchers_.push_back(w.get());
  return w;
}

void WatchCache::subscribe(Listener listener) {
  for (const auto& [key, entry] : items_) listener(key, nullptr, entry.object);
  listeners_.push_back(std::move(listener));
}

}  // namespace onebin::apiserver
