#include "kubelet/object_cache.hpp"

#include <onebin/async/timer.hpp>

namespace onebin::kubelet {

namespace {
using TrustBundle = api::certificates::v1::ClusterTrustBundle;
constexpr char kTrustBundles[] = "clustertrustbundles";
}  // namespace

ObjectCache::Entry& ObjectCache::open(const Key& key, const api::ResourceInfo& resource, const std::string& ns, const std::string& name) {
  Entry& e = entries_[key];
  if (e.informer) return e;
  client::RawInformer::Options options;
  options.ns = ns;
  if (!name.empty()) options.field_selector = "metadata.name=" + name;
  e.informer = std::make_unique<client::RawInformer>(client_, resource, std::move(options));
  e.informer->add_handler([this, key](const std::string&, const Bytes&, const Bytes&) {
    auto i = entries_.find(key);
    if (i == entries_.end() || !changed_) return;
    std::set<std::string> users = i->second.users;
    for (const auto& uid : users) changed_(uid);
  });
  e.informer->start();
  return e;
}

async::Task<void> ObjectCache::close(std::unique_ptr<client::RawInformer> informer) { co_await informer->stop(); }

void ObjectCache::release(const Key& key, const std::string& uid) {
  auto i = entries_.find(key);
  if (i == entries_.end()) return;
  i->second.users.erase(uid);
  if (!i->second.users.empty()) return;
  std::unique_ptr<client::RawInformer> informer = std::move(i->second.informer);
  entries_.erase(i);
  group_.spawn(close(std::move(informer)));
}

void ObjectCache::set_references(const std::string& uid, const std::string& ns, const References& refs) {
  std::set<Key> wanted;
  for (const auto& name : refs.config_maps) {
    Key key = "configmaps/" + ns + "/" + name;
    open(key, api::resource_of<core::ConfigMap>(), ns, name).users.insert(uid);
    wanted.insert(std::move(key));
  }
  for (const auto& name : refs.secrets) {
    Key key = "secrets/" + ns + "/" + name;
    open(key, api::resource_of<core::Secret>(), ns, name).users.insert(uid);
    wanted.insert(std::move(key));
  }
  if (refs.trust_bundles) {
    open(kTrustBundles, api::resource_of<TrustBundle>(), {}, {}).users.insert(uid);
    wanted.insert(kTrustBundles);
  }
  std::set<Key> before = std::move(by_pod_[uid]);
  for (const auto& key : before)
    if (!wanted.contains(key)) release(key, uid);
  if (wanted.empty()) by_pod_.erase(uid);
  else by_pod_[uid] = std::move(wanted);
}

async::Task<Result<client::RawInformer*>> ObjectCache::synced(Key key, std::string what, Duration limit) {
  auto i = entries_.find(key);
  if (i == entries_.end()) co_return internal_error("the " + what + " is not watched");
  client::RawInformer* informer = i->second.informer.get();
  if (informer->synced()) co_return informer;
  Result<void> done = co_await async::with_timeout(limit, informer->wait_synced());
  if (!done) co_return done.status().with_context("failed to sync " + what.substr(0, what.find(' ')) + " cache");
  i = entries_.find(key);
  if (i == entries_.end()) co_return cancelled();
  co_return i->second.informer.get();
}

template <class T>
async::Task<Result<T>> ObjectCache::fetch(std::string kind, std::string ns, std::string name, Duration limit) {
  Result<client::RawInformer*> informer = co_await synced(kind + "s/" + ns + "/" + name, kind + " " + name, limit);
  if (!informer) co_return informer.status();
  Bytes bytes = (*informer)->get(client::object_key(ns, name));
  if (!bytes) co_return not_found(kind, name);
  co_return api::from_protobuf<T>(*bytes);
}

async::Task<ReferencedObjects> ObjectCache::snapshot(std::string ns, References refs, Duration limit) {
  ReferencedObjects out;
  for (const auto& name : refs.config_maps) {
    Result<core::ConfigMap> r = co_await fetch<core::ConfigMap>("configmap", ns, name, limit);
    out.config_maps.emplace(name, std::move(r));
  }
  for (const auto& name : refs.secrets) {
    Result<core::Secret> r = co_await fetch<core::Secret>("secret", ns, name, limit);
    out.secrets.emplace(name, std::move(r));
  }
  if (refs.trust_bundles) {
    Result<client::RawInformer*> informer = co_await synced(kTrustBundles, "ClusterTrustBundle", limit);
    if (!informer) {
      out.trust_bundles = informer.status();
      co_return out;
    }
    std::vector<TrustBundle> all;
    for (const auto& [key, item] : (*informer)->items())
      if (Result<TrustBundle> b = api::from_protobuf<TrustBundle>(*item)) all.push_back(std::move(*b));
    out.trust_bundles = std::move(all);
  }
  co_return out;
}

async::Task<void> ObjectCache::stop() {
  changed_ = nullptr;
  for (auto& [key, e] : entries_) group_.spawn(close(std::move(e.informer)));
  entries_.clear();
  by_pod_.clear();
  co_await group_.join();
}

}  // namespace onebin::kubelet
