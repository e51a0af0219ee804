// ReplicaSet and ReplicationController: as many pods of a template as spec.replicas says. The latter is the former with an
// older form of selector, and is worked on as one.
#include "controllers.hpp"
#include "replica_plan.hpp"

#include <onebin/base/log.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <functional>

namespace onebin::controller {
namespace {

using apimachinery::LabelSelector;
constexpr int kBurst = 500;  // pods created or deleted in one go

class Replicas : public Controller {
 public:
  Replicas(Context& c, std::string name, std::string kind)
      : Controller(c, std::move(name)), kind_(std::move(kind)), pods_(c.informers->get<Pod>()), owned_(pods_) {
    needs(pods_);
    pods_.on_event([this](const std::string&, const Pod* before, const Pod* now) { on_pod(before, now); });
  }

 protected:
  // What differs between the kinds.
  virtual std::optional<ReplicaSet> set(const std::string& key) const = 0;
  virtual void for_each_set(const std::function<void(const std::string&, const ReplicaSet&)>& fn) const = 0;
  virtual api::meta::v1::OwnerReference owner_ref(const ReplicaSet& rs) const = 0;
  virtual async::Task<Status> put_status(ReplicaSet rs) = 0;

  void changed(const std::string& key, bool gone) {
    if (gone) expectations_.forget(key);
    queue_.add(key);
  }

 private:
  int workers() const override { return 5; }

  // The set that controls a pod; "" when it is another kind's.
  std::string owner_key(const Pod& p) const {
    const auto* o = controller_of(p);
    return o && o->kind == kind_ ? client::object_key(p.metadata.namespace_, o->name) : "";
  }
  client::ObjectRef ref(const ReplicaSet& rs) const {
    auto o = owner_ref(rs);
    return {o.api_version, o.kind, rs.metadata.namespace_, rs.metadata.name, rs.metadata.uid, rs.metadata.resource_version, {}};
  }

  void on_pod(const Pod* before, const Pod* now) {
    const Pod& p = now ? *now : *before;
    std::string key = owner_key(p);
    std::string earlier = before ? owner_key(*before) : "";
    if (!earlier.empty() && earlier != key) queue_.add(earlier);
    if (key.empty()) {
      if (now && !controller_of(p)) offer_orphan(p);
      return;
    }
    if (now && !before) expectations_.creation_seen(key);
    if (!now || !now->metadata.deletion_timestamp.is_zero()) expectations_.deletion_seen(key, p.metadata.uid);
    queue_.add(key);
  }

  void offer_orphan(const Pod& p) {
    if (p.metadata.labels.empty()) return;
    for_each_set([&](const std::string& key, const ReplicaSet& rs) {
      if (rs.metadata.namespace_ != p.metadata.namespace_) return;
      auto s = LabelSelector::from_struct(rs.spec.selector);
      if (s && !s->empty() && s->matches(p.metadata.labels)) queue_.add(key);
    });
  }

  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<ReplicaSet> rs = set(key);
    if (!rs) co_return ReconcileResult{};
    auto selector = LabelSelector::from_struct(rs->spec.selector);
    if (!selector) co_return ReconcileResult{};
    bool deleting = !rs->metadata.deletion_timestamp.is_zero();
    ClaimResult claimed = co_await claim_pods(&client_, owned_.owned_by(rs->metadata.uid), owned_.orphans(rs->metadata.namespace_), *selector, owner_ref(*rs), !deleting);
    if (!claimed.failure) co_return ReconcileResult{claimed.failure};
    std::vector<Pod> active;
    int terminating = 0;
    for (auto& p : claimed.pods) {
      if (is_active(p)) active.push_back(std::move(p));
      else if (!is_finished(p)) ++terminating;
    }
    Status failure;
    if (!deleting && expectations_.satisfied(key, context_.steady_now())) failure = co_await manage(key, *rs, active);
    Status written = co_await write_status(*rs, active, terminating, failure);
    if (!written) co_return ReconcileResult{written};
    ReconcileResult result{failure};
    for (const auto& p : active)
      if (auto in = available_in(p, rs->spec.min_ready_seconds, context_.now()))
        result.requeue_after = result.requeue_after.count() ? std::min(result.requeue_after, *in) : std::max<Duration>(*in, 1ms);
    co_return result;
  }

  async::Task<Status> manage(std::string key, ReplicaSet rs, std::vector<Pod> active) {
    int wanted = rs.spec.replicas ? *rs.spec.replicas : 1;
    int diff = static_cast<int>(active.size()) - wanted;
    Teller tell{&events_, ref(rs)};
    if (diff < 0) {
      int n = std::min(-diff, kBurst);
      expectations_.expect(key, n, {}, context_.steady_now());
      Pod pod = pod_from_template(rs.spec.template_, rs.metadata.namespace_, rs.metadata.name, owner_ref(rs));
      Created made = co_await create_pods(&client_, tell, std::move(pod), n);
      for (int i = made.count; i < n; ++i) expectations_.creation_seen(key);
      // A namespace that is going away takes no more pods; its ReplicaSets go with it.
      if (ends_with_namespace(made.failure)) co_return Status();
      co_return made.failure;
    }
    if (diff == 0) co_return Status();
    std::map<std::string, int> on_node;
    for (const auto& p : active)
      if (!p.spec.node_name.empty()) ++on_node[p.spec.node_name];
    std::sort(active.begin(), active.end(), [&](const Pod& a, const Pod& b) { return give_up_before(a, b, on_node); });
    active.resize(static_cast<std::size_t>(std::min(diff, kBurst)));
    std::set<std::string> uids;
    for (const auto& p : active) uids.insert(p.metadata.uid);
    expectations_.expect(key, 0, uids, context_.steady_now());
    Status s = co_await delete_pods(&client_, tell, active);
    if (!s)
      for (const auto& uid : uids) expectations_.deletion_seen(key, uid);
    co_return s;
  }

  async::Task<Status> write_status(ReplicaSet rs, std::vector<Pod> active, int terminating, Status failure) {
    api::apps::v1::ReplicaSetStatus s = replica_status(rs, active, terminating, failure, context_.now());
    if (kind_ != "ReplicaSet") s.terminating_replicas.reset();  // not among a ReplicationController's fields
    if (s == rs.status) co_return Status();
    rs.status = std::move(s);
    Status written = co_await put_status(std::move(rs));
    co_return written.is(Reason::NotFound) ? Status() : written;
  }

  std::string kind_;
  client::Informer<Pod>& pods_;
  OwnerIndex<Pod> owned_;
  Expectations expectations_;
};

class ReplicaSets final : public Replicas {
 public:
  explicit ReplicaSets(Context& c) : Replicas(c, "replicaset-controller", "ReplicaSet"), sets_(c.informers->get<ReplicaSet>()) {
    needs(sets_);
    sets_.on_event([this](const std::string& key, const ReplicaSet*, const ReplicaSet* now) { changed(key, !now); });
  }

 private:
  std::optional<ReplicaSet> set(const std::string& key) const override { return sets_.get(key); }
  void for_each_set(const std::function<void(const std::string&, const ReplicaSet&)>& fn) const override { sets_.for_each(fn); }
  api::meta::v1::OwnerReference owner_ref(const ReplicaSet& rs) const override { return controller_ref(rs); }
  async::Task<Status> put_status(ReplicaSet rs) override {
    Result<ReplicaSet> r = co_await client_.update(std::move(rs), "status");
    co_return r.status();
  }
  client::Informer<ReplicaSet>& sets_;
};

class ReplicationControllers final : public Replicas {
 public:
  explicit ReplicationControllers(Context& c)
      : Replicas(c, "replication-controller", "ReplicationController"), controllers_(c.informers->get<ReplicationController>()) {
    needs(controllers_);
    controllers_.on_event([this](const std::string& key, const ReplicationController*, const ReplicationController* now) { changed(key, !now); });
  }

 private:
  std::optional<ReplicaSet> set(const std::string& key) const override {
    auto rc = controllers_.get(key);
    return rc ? std::optional<ReplicaSet>(as_replica_set(*rc)) : std::nullopt;
  }
  void for_each_set(const std::function<void(const std::string&, const ReplicaSet&)>& fn) const override {
    controllers_.for_each([&](const std::string& key, const ReplicationController& rc) { fn(key, as_replica_set(rc)); });
  }
  api::meta::v1::OwnerReference owner_ref(const ReplicaSet& rs) const override {
    ReplicationController rc;
    rc.metadata.name = rs.metadata.name;
    rc.metadata.uid = rs.metadata.uid;
    return controller_ref(rc);
  }
  async::Task<Status> put_status(ReplicaSet rs) override {
    auto rc = controllers_.get(key_of(rs));
    if (!rc || rc->metadata.uid != rs.metadata.uid) co_return Status();
    rc->metadata.resource_version = rs.metadata.resource_version;
    set_replication_status(*rc, rs.status);
    Result<ReplicationController> r = co_await client_.update(std::move(*rc), "status");
    co_return r.status();
  }
  client::Informer<ReplicationController>& controllers_;
};

}  // namespace

std::unique_ptr<Controller> make_replicaset_controller(Context& c) { return std::make_unique<ReplicaSets>(c); }
std::unique_ptr<Controller> make_replication_controller(Context& c) { return std::make_unique<ReplicationControllers>(c); }

}  // namespace onebin::controller
