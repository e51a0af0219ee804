// The ConfigMaps and Secrets that this node's pods refer to, each watched by itself: a node may read no others. And the
// cluster's trust bundles, all together, while a pod mounts any.
// Source: upstream's watch-based managers; the Node authorizer allows list and watch of a single name.
#pragma once
#include "kubelet/volumes/payload.hpp"

#include <onebin/async/group.hpp>
#include <onebin/client/informer.hpp>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

namespace onebin::kubelet {

class ObjectCache {
 public:
  explicit ObjectCache(client::Client& client) : client_(client), group_("kubelet objects") {}

  // Called with the pods' uids when something that they refer to has come, changed or gone.
  void on_change(std::function<void(const std::string& uid)> fn) { changed_ = std::move(fn); }
  // What `uid` refers to from now on. Watches start and end with the first and last reference.
  void set_references(const std::string& uid, const std::string& ns, const References& refs);
  void forget(const std::string& uid) { set_references(uid, {}, {}); }
  // Everything that the pod refers to, waiting at most `limit` for what has not been listed yet.
  async::Task<ReferencedObjects> snapshot(std::string ns, References refs, Duration limit);
  async::Task<void> stop();

 private:
  struct Entry {
    std::unique_ptr<client::RawInformer> informer;
    std::set<std::string> users;
  };
  using Key = std::string;  // "configmaps/ns/name", "secrets/ns/name", "clustertrustbundles"
  Entry& open(const Key& key, const api::ResourceInfo& resource, const std::string& ns, const std::string& name);
  void release(const Key& key, const std::string& uid);
  static async::Task<void> close(std::unique_ptr<client::RawInformer> informer);
  async::Task<Result<client::RawInformer*>> synced(Key key, std::string what, Duration limit);
  template <class T>
  async::Task<Result<T>> fetch(std::string kind, std::string ns, std::string name, Duration limit);

  client::Client& client_;
  std::function<void(const std::string&)> changed_;
  std::map<Key, Entry> entries_;
  std::map<std::string, std::set<Key>> by_pod_;
  async::TaskGroup group_;  // informers on their way out
};

}  // namespace onebin::kubelet
