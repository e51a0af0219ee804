// Garbage collection by owner references: background, foreground and orphan deletion.
// Source of the behaviour: Kubernetes documentation, "Garbage Collection".
#include "controllers.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

using api::meta::v1::ObjectMeta;
using api::meta::v1::OwnerReference;
using apimachinery::SchemaArena;
constexpr char kForeground[] = "foregroundDeletion", kOrphan[] = "orphan";

Result<ObjectMeta> metadata_of(const std::string& object) {
  Result<apimachinery::Envelope> e = apimachinery::open_envelope(object);
  if (!e) return e.status();
  apimachinery::ProtoReader fields(e->raw);
  while (fields.next())
    if (fields.number() == 1 && fields.wire_type() == 2) return api::from_message<ObjectMeta>(fields.bytes());
  return bad_request("an object without metadata");
}

bool has(const std::vector<std::string>& list, std::string_view what) { return std::find(list.begin(), list.end(), what) != list.end(); }

// What is kept of an object that has owners, is owned, or is being deleted.
struct Node {
  const api::ResourceInfo* resource = nullptr;
  std::string ns, name;
  std::vector<OwnerReference> owners;
  bool deleting = false, foreground = false, orphan = false;  // deletionTimestamp, and the two finalizers
};

bool is_true(const nlohmann::json& definition, std::string_view condition) {
  for (const auto& c : definition.value("/status/conditions"_json_pointer, nlohmann::json::array()))
    if (c.value("type", "") == condition) return c.value("status", "") == "True";
  return false;
}

class GarbageCollector final : public Controller {
 public:
  explicit GarbageCollector(Context& c) : Controller(c, "generic-garbage-collector"), reader_(c.transport_of("system:serviceaccount:kube-system:generic-garbage-collector"), "kube-controller-manager") {}

  // Once all other controllers have been made: what one of them reads is not read twice.
  void start() override {
    for (const api::KindSchema* k : api::all_kinds()) {
      // Events are many and own nothing; one storage identity needs one informer.
      if (k->plural == "events" || k->version != k->storage_version || k->group != k->storage_group) continue;
      auto verb = [&](std::string_view v) { return std::find(k->verbs.begin(), k->verbs.end(), v) != k->verbs.end(); };
      if (!verb("list") || !verb("watch") || !verb("delete")) continue;
      client::RawInformer* informer = context_.informers->find(*k);
      if (!informer) informer = informers_.emplace_back(std::make_unique<client::RawInformer>(reader_, *k, client::RawInformer::Options())).get();
      bool definitions = k->plural == "customresourcedefinitions";
      informer->add_handler([this, k, definitions](const std::string& key, const Bytes& before, const Bytes& now) {
        on_object(k, before, now);
        if (definitions) on_definition(key, now);
      });
      needs(*informer);
    }
    Controller::start();
    for (auto& i : informers_) i->start();
  }
  async::Task<void> stop() override {
    co_await Controller::stop();
    for (auto& i : informers_) co_await i->stop();
    for (auto& [name, c] : customs_) co_await c.informer->stop();
  }

 private:
  int workers() const override { return 10; }

  // ---- custom resources: watched as soon as they are established, by their metadata, and for as long as they are defined

  struct Custom {
    const api::KindSchema* kind = nullptr;
    std::unique_ptr<client::RawInformer> informer;
  };

  void on_definition(const std::string& name, const Bytes& now) {
    const api::KindSchema* kind = now ? kind_of_definition(*now) : nullptr;
    auto at = customs_.find(name);
    if (at != customs_.end() && at->second.kind == kind) return;
    if (at != customs_.end()) {
      // A definition goes after its objects, but the news of their end may come after that of its own.
      if (!now)
        for (const auto& [key, item] : at->second.informer->items()) on_object(at->second.kind, item, nullptr);
      group_.spawn(retire(std::move(at->second.informer)));
      customs_.erase(at);
    }
    if (!kind) return;
    Custom c;
    c.kind = kind;
    c.informer = std::make_unique<client::RawInformer>(reader_, *kind, client::RawInformer::Options());
    c.informer->add_handler([this, kind](const std::string&, const Bytes& before, const Bytes& object) { on_object(kind, before, object); });
    c.informer->start();
    customs_[name] = std::move(c);
  }

  static async::Task<void> retire(std::unique_ptr<client::RawInformer> informer) { co_await informer->stop(); }

  // What a definition serves, at its storage version if that is served; null pointer while it serves nothing. One object for
  // the same resource always: nodes refer to it.
  const api::KindSchema* kind_of_definition(const std::string& bytes) {
    static const api::KindSchema* definitions = api::find_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    Result<nlohmann::json> d = apimachinery::decode_protobuf(bytes, *definitions->type);
    if (!d || !is_true(*d, "Established")) return nullptr;
    const nlohmann::json spec = d->value("spec", nlohmann::json::object()), names = d->value("/status/acceptedNames"_json_pointer, nlohmann::json::object());
    std::string version;
    for (const auto& v : spec.value("versions", nlohmann::json::array())) {
      if (!v.value("served", false)) continue;
      if (version.empty() || v.value("storage", false)) version = v.value("name", "");
    }
    if (version.empty()) return nullptr;
    std::string group = spec.value("group", ""), plural = names.value("plural", ""), kind = names.value("kind", ""), scope = spec.value("scope", "");
    auto& known = kinds_[group + "/" + version + "/" + plural + "/" + kind + "/" + scope];
    if (known) return known;
    api::KindSchema k;
    k.group = k.storage_group = arena_.keep(group);
    k.version = k.storage_version = arena_.keep(version);
    k.plural = arena_.keep(plural);
    k.kind = arena_.keep(kind);
    k.namespaced = scope == "Namespaced";
    return known = arena_.kind(k);
  }

  void on_object(const api::ResourceInfo* resource, const Bytes& before, const Bytes& now) {
    Result<ObjectMeta> meta = metadata_of(now ? *now : *before);
    if (!meta) return;
    const std::string& uid = meta->uid;
    if (!now) {
      forget(uid);
      // Whoever named it as an owner has one less. That it is gone is remembered: its kind may go with it.
      if (auto d = dependents_.find(uid); d != dependents_.end()) {
        gone_.insert(uid);
        for (const auto& dependent : d->second) queue_.add(dependent);
      }
      return;
    }
    Node n;
    n.resource = resource;
    n.ns = meta->namespace_;
    n.name = meta->name;
    n.owners = meta->owner_references;
    n.deleting = static_cast<bool>(meta->deletion_timestamp);
    n.foreground = has(meta->finalizers, kForeground);
    n.orphan = has(meta->finalizers, kOrphan);
    std::set<std::string> owners_before;
    if (auto old = nodes_.find(uid); old != nodes_.end())
      for (const auto& o : old->second.owners) owners_before.insert(o.uid);
    for (const auto& o : owners_before) drop_dependent(o, uid);
    bool look = n.deleting && (n.foreground || n.orphan);
    for (const auto& o : n.owners) {
      dependents_[o.uid].insert(uid);
      // A fresh reference may point to nothing, or to an owner that is on its way out.
      if (!owners_before.count(o.uid)) look = true;
      if (auto owner = nodes_.find(o.uid); owner != nodes_.end() && owner->second.deleting) queue_.add(o.uid);
    }
    if (n.owners.empty() && !n.deleting) nodes_.erase(uid);
    else nodes_[uid] = std::move(n);
    if (look) queue_.add(uid);
  }

  void drop_dependent(const std::string& owner, const std::string& uid) {
    auto it = dependents_.find(owner);
    if (it == dependents_.end()) return;
    it->second.erase(uid);
    if (it->second.empty()) {
      dependents_.erase(it);
      gone_.erase(owner);
    }
    // An owner that waits in the foreground may have been waiting for this one.
    if (auto o = nodes_.find(owner); o != nodes_.end() && o->second.deleting && o->second.foreground) queue_.add(owner);
  }
  void forget(const std::string& uid) {
    auto it = nodes_.find(uid);
    if (it == nodes_.end()) return;
    std::vector<OwnerReference> owners = it->second.owners;
    nodes_.erase(it);
    for (const auto& o : owners) drop_dependent(o.uid, uid);
  }

  async::Task<ReconcileResult> reconcile(std::string uid) override {
    auto it = nodes_.find(uid);
    if (it == nodes_.end()) co_return ReconcileResult{};
    Node n = it->second;
    if (n.deleting && n.orphan) co_return ReconcileResult{co_await orphan_dependents(uid, n)};
    if (n.deleting && n.foreground) co_return ReconcileResult{co_await delete_in_foreground(uid, n)};
    if (n.deleting || n.owners.empty()) co_return ReconcileResult{};
    co_return ReconcileResult{co_await attempt_to_delete(uid, n)};
  }

  enum class Owner { Solid, Dangling, Waiting };

  // Whether an owner is there (by its uid), gone, or there but waiting for its dependents.
  async::Task<Result<Owner>> look_up(Node dependent, OwnerReference o) {
    if (gone_.count(o.uid)) co_return Result<Owner>(Owner::Dangling);
    std::string group, version = o.api_version;
    if (auto slash = o.api_version.find('/'); slash != std::string::npos) {
      group = o.api_version.substr(0, slash);
      version = o.api_version.substr(slash + 1);
    }
    const api::KindSchema* kind = api::find_kind(group, version, o.kind);
    client::ApiRequest q;
    q.accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
    if (kind && !kind->plural.empty()) {
      if (kind->namespaced && dependent.ns.empty()) co_return Result<Owner>(Owner::Solid);  // an impossible owner: leave it alone
      q.path = client::resource_path(*kind, dependent.ns, o.name);
    } else {
      Result<std::string> path = co_await custom_path(group, version, o.kind, dependent.ns, o.name);
      if (!path) co_return path.status();
      q.path = *path;
    }
    Result<std::string> body = co_await client_.raw(std::move(q));
    if (!body) {
      if (body.is(Reason::NotFound)) co_return Result<Owner>(Owner::Dangling);
      co_return body.status();
    }
    nlohmann::json object = nlohmann::json::parse(*body, nullptr, false);
    if (!object.is_object()) co_return internal_error("malformed owner");
    nlohmann::json meta = object.value("metadata", nlohmann::json::object());
    if (meta.value("uid", "") != o.uid) co_return Result<Owner>(Owner::Dangling);
    bool waiting = false;
    if (meta.contains("deletionTimestamp") && meta.contains("finalizers"))
      for (const auto& f : meta["finalizers"]) waiting |= f == kForeground;
    co_return Result<Owner>(waiting && o.block_owner_deletion && *o.block_owner_deletion ? Owner::Waiting : Owner::Solid);
  }

  // A custom resource's path, by discovery. NotFound when the kind is not served.
  async::Task<Result<std::string>> custom_path(std::string group, std::string version, std::string kind, std::string ns, std::string name) {
    client::ApiRequest q;
    q.accept = "application/json";
    q.path = (group.empty() ? "/api/" : "/apis/" + group + "/") + version;
    Result<std::string> body = co_await client_.raw(std::move(q));
    if (!body) co_return body.is(Reason::NotFound) ? internal_error("owner kind " + kind + " in " + group + "/" + version + " is not served") : body.status();
    nlohmann::json list = nlohmann::json::parse(*body, nullptr, false);
    if (list.is_object() && list.contains("resources"))
      for (const auto& r : list["resources"]) {
        std::string plural = r.value("name", "");
        if (r.value("kind", "") != kind || plural.find('/') != std::string::npos) continue;
        std::string path = (group.empty() ? "/api/" : "/apis/" + group + "/") + version;
        if (r.value("namespaced", false)) path += "/namespaces/" + ns;
        co_return Result<std::string>(path + "/" + plural + "/" + client::escape_query(name));
      }
    co_return internal_error("owner kind " + kind + " in " + group + "/" + version + " is not served");
  }

  // Custom resources have no protobuf.
  static client::ApiRequest in_json(client::ApiRequest q) {
    q.accept = "application/json";
    return q;
  }
  std::string path_of(const Node& n) const { return client::resource_path(*n.resource, n.ns, n.name); }

  async::Task<Status> attempt_to_delete(std::string uid, Node n) {
    int solid = 0;
    std::vector<std::string> useless;
    bool waiting = false;
    for (const auto& o : n.owners) {
      Result<Owner> state = co_await look_up(n, o);
      if (!state) co_return state.status();
      if (*state == Owner::Solid) ++solid;
      else useless.push_back(o.uid);
      waiting |= *state == Owner::Waiting;
    }
    if (solid > 0) {
      if (useless.empty()) co_return Status();
      co_return co_await drop_references(uid, n, useless);
    }
    client::DeleteOptions options;
    options.uid = uid;
    bool has_dependents = dependents_.count(uid) > 0;
    options.propagation_policy = n.orphan ? "Orphan" : (n.foreground || (waiting && has_dependents)) ? "Foreground" : "Background";
    Result<std::string> r = co_await client_.raw(in_json(client_.delete_request(path_of(n), options)));
    co_return r.is(Reason::NotFound) || r.is(Reason::Conflict) ? Status() : r.status();
  }

  async::Task<Status> drop_references(std::string uid, Node n, std::vector<std::string> owners) {
    // A merge patch of the whole list, guarded by the version that it was read at.
    client::ApiRequest q;
    q.path = path_of(n);
    q.accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
    Result<std::string> body = co_await client_.raw(std::move(q));
    if (!body) co_return body.is(Reason::NotFound) ? Status() : body.status();
    nlohmann::json object = nlohmann::json::parse(*body, nullptr, false);
    if (!object.is_object() || !object.contains("metadata")) co_return internal_error("malformed object");
    const auto& meta = object["metadata"];
    if (meta.value("uid", "") != uid) co_return Status();
    nlohmann::json kept = nlohmann::json::array();
    for (const auto& o : meta.value("ownerReferences", nlohmann::json::array()))
      if (std::find(owners.begin(), owners.end(), o.value("uid", "")) == owners.end()) kept.push_back(o);
    nlohmann::json patch;
    patch["metadata"]["uid"] = uid;
    patch["metadata"]["resourceVersion"] = meta.value("resourceVersion", "");
    patch["metadata"]["ownerReferences"] = kept.empty() ? nlohmann::json(nullptr) : kept;
    Result<std::string> r = co_await client_.raw(in_json(client_.patch_request(path_of(n), PatchType::Merge, patch.dump())));
    co_return r.is(Reason::NotFound) ? Status() : r.status();
  }

  async::Task<Status> remove_finalizer(std::string uid, Node n, std::string finalizer) {
    client::ApiRequest q;
    q.path = path_of(n);
    q.accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
    Result<std::string> body = co_await client_.raw(std::move(q));
    if (!body) co_return body.is(Reason::NotFound) ? Status() : body.status();
    nlohmann::json object = nlohmann::json::parse(*body, nullptr, false);
    if (!object.is_object() || !object.contains("metadata") || object["metadata"].value("uid", "") != uid) co_return Status();
    nlohmann::json kept = nlohmann::json::array();
    for (const auto& f : object["metadata"].value("finalizers", nlohmann::json::array()))
      if (f != finalizer) kept.push_back(f);
    nlohmann::json patch;
    patch["metadata"]["uid"] = uid;
    patch["metadata"]["resourceVersion"] = object["metadata"].value("resourceVersion", "");
    patch["metadata"]["finalizers"] = kept.empty() ? nlohmann::json(nullptr) : kept;
    Result<std::string> r = co_await client_.raw(in_json(client_.patch_request(path_of(n), PatchType::Merge, patch.dump())));
    co_return r.is(Reason::NotFound) ? Status() : r.status();
  }

  async::Task<Status> orphan_dependents(std::string uid, Node n) {
    std::set<std::string> dependents;
    if (auto d = dependents_.find(uid); d != dependents_.end()) dependents = d->second;
    for (const auto& dependent : dependents) {
      auto it = nodes_.find(dependent);
      if (it == nodes_.end()) continue;
      Node copy = it->second;
      Status s = co_await drop_references(dependent, copy, {uid});
      if (!s) co_return s;
    }
    co_return co_await remove_finalizer(uid, n, kOrphan);
  }

  // Whether `waiter` ends only after `uid`: dependents of dependents that all wait in the foreground, around a circle. Whoever
  // closes a circle does not wait for it, or none of it would ever go.
  bool waits_for(const std::string& waiter, const std::string& uid) const {
    std::set<std::string> seen;
    std::vector<std::string> next{waiter};
    while (!next.empty()) {
      std::string at = std::move(next.back());
      next.pop_back();
      if (at == uid) return true;
      auto node = nodes_.find(at);
      if (node == nodes_.end() || !node->second.foreground || !seen.insert(at).second) continue;
      if (auto d = dependents_.find(at); d != dependents_.end()) next.insert(next.end(), d->second.begin(), d->second.end());
    }
    return false;
  }

  async::Task<Status> delete_in_foreground(std::string uid, Node n) {
    bool blocked = false;
    if (auto d = dependents_.find(uid); d != dependents_.end())
      for (const auto& dependent : d->second) {
        auto it = nodes_.find(dependent);
        if (it == nodes_.end()) continue;
        for (const auto& o : it->second.owners)
          blocked |= o.uid == uid && o.block_owner_deletion && *o.block_owner_deletion && !waits_for(dependent, uid);
        if (!it->second.deleting) queue_.add(dependent);
      }
    if (blocked) co_return Status();  // the last dependent's end brings it back
    co_return co_await remove_finalizer(uid, n, kForeground);
  }

  Client reader_;
  std::vector<std::unique_ptr<client::RawInformer>> informers_;
  SchemaArena arena_;  // of custom resources
  std::map<std::string, const api::KindSchema*> kinds_;
  std::map<std::string, Custom> customs_;  // by the definition's name
  std::map<std::string, Node> nodes_;                         // by uid
  std::map<std::string, std::set<std::string>> dependents_;  // owner's uid -> dependents' uids
  std::set<std::string> gone_;                                // owners that were seen to go and still have dependents
};

}  // namespace

std::unique_ptr<Controller> make_garbage_collector(Context& c) { return std::make_unique<GarbageCollector>(c); }

}  // namespace onebin::controller
