// WatchCache: the current objects of one resource as encoded bytes, and its latest events, for all reads and watches.
//
// What it holds is the stored form with metadata.resourceVersion set: what a protobuf client reads, byte for byte.
// Everything runs on the loop; nothing here awaits but CacheWatcher::next().
#pragma once
#include "apiserver/cache/object_view.hpp"

#include <onebin/async/channel.hpp>
#include <onebin/async/loop.hpp>
#include <onebin/base/sorted_keys.hpp>
#include <onebin/client/transport.hpp>
#include <onebin/storage/store.hpp>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace onebin::apiserver {

using client::WatchType;

struct CacheEntry {
  Bytes object;
  std::int64_t revision = 0;
};

struct CacheEvent {
  WatchType type = WatchType::Added;  // Added, Modified, Deleted
  std::int64_t revision = 0;
  std::string key;                    // "ns/name" or "name"
  Bytes object;                       // of a deletion: the last state, with the deletion's revision
  Bytes previous;                     // null for an addition
  std::size_t cost() const { return 160 + key.size() + (previous ? previous->size() : 0) + (type == WatchType::Deleted ? object->size() : 0); }
};
using CacheEventPtr = std::shared_ptr<const CacheEvent>;

// One event on its way to watchers, with its encodings, each made once at first use and shared; gone with the last reader.
struct Delivery {
  CacheEventPtr event;
  struct Frame {
    std::uint32_t form;  // the encoder's own number for type, format and version
    Bytes bytes;
  };
  std::vector<Frame> frames;
  Bytes left;  // `previous` with the event's revision: what a watcher gets whose selector the object left
  std::vector<Frame> converted;  // the object as a webhook converted it, by Served::id
  const Bytes& previous_with_revision();

  // Selectors of many watchers name the same fields.
  const std::string& field(const SelectableField& field, bool previous);
  bool matches(const Filter& filter, bool previous);

 private:
  struct Value {
    const SelectableField* field;
    bool previous;
    std::string text;
  };
  std::vector<Value> values_;
};
using DeliveryPtr = std::shared_ptr<Delivery>;

// What a watch gives: an event of the cache, an object of the initial state or of older history, or a bookmark.
struct WatchItem {
  WatchType type = WatchType::Added;
  DeliveryPtr delivery;      // an event of the cache, whose encodings are shared; null for others
  bool left = false;         // a deletion by leaving the selector
  bool initial_end = false;  // of a bookmark: the initial state is complete
  std::int64_t revision = 0;
  Bytes own;                 // without a delivery: the stored form with revision; null for bookmarks
  Bytes previous;            // without a delivery: the state before, of a modification
  const Bytes& object() const { return !delivery ? own : left ? delivery->previous_with_revision() : delivery->event->object; }
};

class WatchCache;

// A watch on the cache. Holds at most kMaxQueued events; one that falls behind ends with Expired.
class CacheWatcher {
 public:
  static constexpr std::size_t kMaxQueued = 16384;
  ~CacheWatcher();
  CacheWatcher(const CacheWatcher&) = delete;
  // Events in order, at least one. Closed after close(); Expired when it fell behind or the cache was rebuilt.
  async::Task<Result<std::vector<WatchItem>>> next();
  void close() { end(closed()); }
  void set_bookmarks(bool on) { bookmarks_ = on; }

 private:
  friend class WatchCache;
  CacheWatcher(WatchCache& cache, Filter filter) : cache_(&cache), filter_(std::move(filter)) {}
  void offer(const DeliveryPtr& delivery);  // wakes nobody: WatchCache does
  void bookmark(std::int64_t revision);
  void end(Status status);
  void wake() { if (!queue_.empty()) waiters_.wake_one(); }
  WatchCache* cache_;
  std::size_t at_ = 0;  // in the cache's watchers
  Filter filter_;
  std::vector<WatchItem> queue_;
  async::WaitQueue waiters_;
  Status end_;
  bool bookmarks_ = false;
  std::int64_t told_ = 0;  // the newest revision that the reader knows of
};

class WatchCache {
 public:
  using Items = std::map<std::string, CacheEntry, std::less<>>;
  using Listener = std::function<void(std::string_view key, const Bytes& before, const Bytes& now)>;
  static constexpr std::size_t kWindowBytes = 1u << 20;

  WatchCache(std::string group, std::string resource, std::string prefix, bool namespaced);
  ~WatchCache();
  WatchCache(const WatchCache&) = delete;

  const std::string& group() const { return group_; }
  const std::string& resource() const { return resource_; }
  const std::string& prefix() const { return prefix_; }
  bool namespaced() const { return namespaced_; }

  // --- fed by the Cacher ---
  // Events that come before loaded() wait for it.
  void begin_loading() { loading_ = true; }
  void load(const storage::KeyValue& kv);
  void loaded(std::int64_t revision);      // load() calls are over
  void apply(const storage::WatchEvent& event);
  // The feed broke: what is cached is replaced by `fresh`; watchers end with Expired.
  void rebuild(const std::vector<storage::KeyValue>& fresh, std::int64_t revision);
  void send_bookmarks(std::int64_t revision);
  void end_watchers(Status status);

  // --- read ---
  const CacheEntry* find(std::string_view ns, std::string_view name) const;
  const CacheEntry* find_key(std::string_view key) const;
  const Items& items() const { return items_; }
  std::int64_t last_change() const { return last_change_; }
  // What matches, in order of key, after `start_after` (a key; "" from the beginning). Stops at `limit` (0: none) matches;
  // `more` then tells whether any key in the filter's scope follows, `remaining` how many do.
  struct Selection {
    std::vector<std::pair<std::string, Bytes>> items;
    bool more = false;
    std::int64_t remaining = 0;
  };
  Selection select(const Filter& filter, std::string_view start_after, std::size_t limit) const;
  std::size_t count(std::string_view ns) const;

  // Events after `after` (-1: from now on). Null when the window no longer reaches back so far.
  std::unique_ptr<CacheWatcher> watch(Filter filter, std::int64_t after);
  std::int64_t window_start() const { return window_start_; }
  std::size_t watchers() const { return watchers_.size(); }
  void subscribe(Listener listener);

  // Keys of pods on a node; maintained where an index field is set.
  void index_by(SelectableField field) { index_field_ = std::make_unique<SelectableField>(std::move(field)); }
  bool indexed() const { return index_field_ != nullptr; }
  const SortedKeys* indexed_keys(std::string_view value) const;
  const SelectableField* index_field() const { return index_field_.get(); }

  std::size_t bytes_held() const { return bytes_; }

 private:
  friend class CacheWatcher;
  std::string_view key_of(std::string_view storage_key) const { return storage_key.substr(prefix_.size()); }
  void put(std::string_view key, Bytes object, std::int64_t revision);
  void drop(std::string_view key);
  void index(std::string_view key, const Bytes& object, bool add);
  void publish(CacheEventPtr event);
  void wake_watchers();

  std::string group_, resource_, prefix_;
  bool namespaced_;
  Items items_;
  std::deque<CacheEventPtr> window_;
  std::size_t window_bytes_ = 0;
  std::int64_t window_start_ = 0;  // events after this revision are all in the window
  std::int64_t last_change_ = 0;
  std::size_t bytes_ = 0;
  bool loading_ = false;
  std::vector<storage::WatchEvent> early_;
  std::vector<CacheWatcher*> watchers_;
  SteadyTime woken_{};          // the last time that all watchers were
  async::TimerId waking_ = 0;   // they will be again
  std::vector<Listener> listeners_;
  std::unique_ptr<SelectableField> index_field_;
  std::map<std::string, SortedKeys, std::less<>> index_;  // of the keys in items_
};

// The stored bytes with metadata.resourceVersion set.
Bytes with_revision(std::string_view stored, std::int64_t revision);

}  // namespace onebin::apiserver
