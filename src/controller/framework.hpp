// The frame of a controller: shared informers, an identity of its own, a work queue with workers.
#pragma once
#include <onebin/api/codec.hpp>
#include <onebin/api/meta_v1.hpp>
#include <onebin/async/group.hpp>
#include <onebin/async/loop.hpp>
#include <onebin/client/events.hpp>
#include <onebin/client/informers.hpp>
#include <onebin/client/objects.hpp>
#include <onebin/client/workqueue.hpp>
#include <onebin/controller/manager.hpp>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace onebin::controller {

using client::Client;
using client::Informers;
using client::PatchType;
using client::ReconcileResult;

// What every controller is made with. Outlives them.
struct Context {
  const Options* options = nullptr;
  Informers* informers = nullptr;
  Rng* rng = nullptr;
  TransportOf transport_of;

  WallTime now() const { return async::Loop::current().clock().wall(); }
  SteadyTime steady_now() const { return async::Loop::current().now(); }
};

// Whether something was refused because its namespace is going away, and its owner with it: that is nothing to try again or to tell of.
bool ends_with_namespace(const Status& refusal);

// Base of controllers. The constructor adds handlers to informers, which start later.
class Controller {
 public:
  // `name` is upstream's ("deployment-controller"); it acts as that service account of kube-system.
  Controller(Context& context, std::string name);
  virtual ~Controller() = default;
  const std::string& name() const { return name_; }

  virtual void start();               // spawns run() and, when there are workers, those
  virtual async::Task<void> stop();

 protected:
  // Waits for the informers named by needs(), then starts `workers` that reconcile keys of queue_.
  virtual int workers() const { return 1; }
  virtual async::Task<ReconcileResult> reconcile(std::string key) = 0;
  // Called once, after the caches are full and before the workers start.
  virtual void synced() {}
  void needs(client::RawInformer& informer) { needs_.push_back(&informer); }

  Context& context_;
  std::string name_;
  Client client_;
  client::EventRecorder events_;
  client::Workqueue queue_;
  async::TaskGroup group_;

 private:
  async::Task<void> run();
  std::vector<client::RawInformer*> needs_;
};

using Controllers = std::vector<std::unique_ptr<Controller>>;

// Which cached objects belong to which controller: by the uid of metadata.ownerReferences' controller, orphans by namespace.
template <class T>
class OwnerIndex {
 public:
  explicit OwnerIndex(client::Informer<T>& informer) : informer_(informer), keys_(informer.index(client::controller_of)) {}
  std::vector<T> owned_by(const std::string& uid) const { return decode(uid); }
  // Objects of the namespace without a controller.
  std::vector<T> orphans(const std::string& ns) const { return decode("/" + ns); }

 private:
  std::vector<T> decode(const std::string& owner) const {
    std::vector<T> out;
    for (auto key : keys_[owner])
      if (auto object = informer_.get(key)) out.push_back(std::move(*object));
    return out;
  }
  client::Informer<T>& informer_;
  const client::Index& keys_;
};

// What a controller has asked for and not seen yet: until its creations and deletions have come back through the informer
// (or five minutes have passed) it does not act on what the cache shows.
class Expectations {
 public:
  void expect(const std::string& key, int creations, std::set<std::string> deletions, SteadyTime now);
  void creation_seen(const std::string& key);
  void deletion_seen(const std::string& key, const std::string& uid);
  bool satisfied(const std::string& key, SteadyTime now);
  void forget(const std::string& key) { entries_.erase(key); }

 private:
  struct Entry {
    int creations = 0;
    std::set<std::string> deletions;
    SteadyTime since;
  };
  std::map<std::string, Entry> entries_;
};

// ownerReferences entry of a controlled object.
template <class Owner>
api::meta::v1::OwnerReference controller_ref(const Owner& owner) {
  const auto& r = api::resource_of<Owner>();
  api::meta::v1::OwnerReference o;
  o.api_version = r.api_version();
  o.kind = std::string(r.kind);
  o.name = owner.metadata.name;
  o.uid = owner.metadata.uid;
  o.controller = true;
  o.block_owner_deletion = true;
  return o;
}
template <class T>
const api::meta::v1::OwnerReference* controller_of(const T& object) {
  for (const auto& o : object.metadata.owner_references)
    if (o.controller && *o.controller) return &o;
  return nullptr;
}
template <class T>
std::string key_of(const T& object) { return client::object_key(object.metadata.namespace_, object.metadata.name); }

}  // namespace onebin::controller
