// Cacher: the watch caches of all resources, fed by the one storage watch, and how fresh they are.
#pragma once
#include "apiserver/cache/watch_cache.hpp"
#include "apiserver/lister.hpp"

#include <onebin/async/group.hpp>

namespace onebin::apiserver {

class Cacher final : public Lister {
 public:
  static constexpr std::string_view kRoot = "/registry/";
  static constexpr Duration kBookmarkPeriod = std::chrono::seconds(60);

  explicit Cacher(storage::Store& store);
  ~Cacher() override;

  // Before start(). The cache of a storage identity; the same one for the same prefix.
  WatchCache& add(std::string group, std::string resource, std::string prefix, bool namespaced);
  // For resources that come later (custom ones): loads what is stored.
  async::Task<Result<std::shared_ptr<WatchCache>>> add_live(std::string group, std::string resource, std::string prefix, bool namespaced);
  // Ends its watchers and forgets it.
  void remove(std::string_view prefix);

  async::Task<Result<void>> start();  // loads everything, then follows
  async::Task<void> stop();

  storage::Store& store() { return store_; }
  std::int64_t applied() const { return applied_; }
  // Until the caches hold everything up to `revision`: at once nearly always. Timeout after `limit`.
  async::Task<Result<void>> wait_for(std::int64_t revision, Duration limit = std::chrono::seconds(3));
  async::Task<Result<void>> wait_current() { return wait_for(store_.current_revision(), std::chrono::seconds(30)); }

  WatchCache* find(std::string_view group, std::string_view resource) const;
  const std::map<std::string, std::shared_ptr<WatchCache>, std::less<>>& caches() const { return caches_; }
  // Watches with bookmarks tell the feed that there are some, so that the timer runs only then.
  void want_bookmarks();

  // Lister
  Bytes get(std::string_view group, std::string_view resource, std::string_view ns, std::string_view name) const override;
  void for_each(std::string_view group, std::string_view resource, std::string_view ns, const Visit& fn) const override;
  void for_each_pod_on_node(std::string_view node, const Visit& fn) const override;
  void subscribe(std::string_view group, std::string_view resource, Handler handler) override;
  using Lister::for_each;
  using Lister::get;

 private:
  async::Task<void> run();
  async::Task<Result<void>> follow();
  async::Task<Result<void>> reload();
  async::Task<Result<std::vector<storage::KeyValue>>> list_all(std::string prefix, std::int64_t* revision);
  WatchCache* cache_for(std::string_view key) const;
  void advance(std::int64_t revision);
  void arm_bookmarks();

  storage::Store& store_;
  std::map<std::string, std::shared_ptr<WatchCache>, std::less<>> caches_;  // by prefix
  std::map<std::pair<std::string, std::string>, WatchCache*, std::less<>> by_resource_;
  std::unique_ptr<storage::Watch> watch_;
  std::int64_t applied_ = 0;
  bool started_ = false;
  async::WaitQueue fresh_;
  async::TimerId bookmark_timer_ = 0;
  async::TaskGroup group_{"watch cache"};
};

}  // namespace onebin::apiserver
