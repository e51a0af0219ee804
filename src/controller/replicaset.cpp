// ReplicaSet: as many pods of a template as spec.replicas says.
#include "controllers.hpp"
#include "pods.hpp"

#include <onebin/api/apps_v1.hpp>
#include <onebin/base/log.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

using api::apps::v1::ReplicaSet;
using apimachinery::LabelSelector;
constexpr int kBurst = 500;  // pods created or deleted in one go

// The status that pods give a ReplicaSet.
api::apps::v1::ReplicaSetStatus replica_status(const ReplicaSet& rs, const std::vector<Pod>& pods, int terminating, WallTime now) {
  api::apps::v1::ReplicaSetStatus s;
  s.conditions = rs.status.conditions;
  LabelSelector full = LabelSelector::from_map(rs.spec.template_.metadata.labels);
  for (const auto& p : pods) {
    ++s.replicas;
    if (full.matches(p.metadata.labels)) ++s.fully_labeled_replicas;
    if (is_ready(p)) ++s.ready_replicas;
    if (is_available(p, rs.spec.min_ready_seconds, now)) ++s.available_replicas;
  }
  s.terminating_replicas = terminating;
  s.observed_generation = rs.metadata.generation;
  return s;
}

class ReplicaSets final : public Controller {
 public:
  explicit ReplicaSets(Context& c)
      : Controller(c, "replicaset-controller"), sets_(c.informers->get<ReplicaSet>()), pods_(c.informers->get<Pod>()), owned_(pods_) {
    needs(sets_);
    needs(pods_);
    sets_.on_event([this](const std::string& key, const ReplicaSet*, const ReplicaSet* now) {
      if (!now) expectations_.forget(key);
      queue_.add(key);
    });
    pods_.on_event([this](const std::string&, const Pod* before, const Pod* now) { on_pod(before, now); });
  }

 private:
  int workers() const override { return 5; }

  // The ReplicaSet that controls a pod; "" when it is another kind's.
  std::string owner_key(const Pod& p) const {
    const auto* o = controller_of(p);
    return o && o->kind == "ReplicaSet" ? client::object_key(p.metadata.namespace_, o->name) : "";
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
    sets_.for_each([&](const std::string& key, const ReplicaSet& rs) {
      if (rs.metadata.namespace_ != p.metadata.namespace_) return;
      auto s = LabelSelector::from_struct(rs.spec.selector);
      if (s && !s->empty() && s->matches(p.metadata.labels)) queue_.add(key);
    });
  }

  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<ReplicaSet> rs = sets_.get(key);
    if (!rs) co_return ReconcileResult{};
    auto selector = LabelSelector::from_struct(rs->spec.selector);
    if (!selector) co_return ReconcileResult{};
    bool deleting = !rs->metadata.deletion_timestamp.is_zero();
    ClaimResult claimed = co_await claim_pods(&client_, owned_.owned_by(rs->metadata.uid), owned_.orphans(rs->metadata.namespace_), *selector, controller_ref(*rs), !deleting);
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
    if (diff < 0) {
      int n = std::min(-diff, kBurst);
      expectations_.expect(key, n, {}, context_.steady_now());
      Pod pod = pod_from_template(rs.spec.template_, rs.metadata.namespace_, rs.metadata.name, controller_ref(rs));
      Created made = co_await create_pods(&client_, std::move(pod), n);
      for (int i = made.count; i < n; ++i) expectations_.creation_seen(key);
      if (!made.failure) events_.event(client::ref_of(rs), "Warning", "FailedCreate", "Error creating: " + made.failure.message());
      // A namespace that is going away takes no more pods; its ReplicaSets go with it.
      for (const auto& cause : made.failure.details().causes)
        if (cause.type == "NamespaceTerminating") co_return Status();
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
    Status s = co_await delete_pods(&client_, active);
    if (!s) {
      for (const auto& uid : uids) expectations_.deletion_seen(key, uid);
      events_.event(client::ref_of(rs), "Warning", "FailedDelete", "Error deleting: " + s.message());
    } else {
      for (const auto& p : active) events_.event(client::ref_of(rs), "Normal", "SuccessfulDelete", "Deleted pod: " + p.metadata.name);
    }
    co_return s;
  }

  async::Task<Status> write_status(ReplicaSet rs, std::vector<Pod> active, int terminating, Status failure) {
    api::apps::v1::ReplicaSetStatus s = replica_status(rs, active, terminating, context_.now());
    if (!failure) {
      api::apps::v1::ReplicaSetCondition c;
      c.type = "ReplicaFailure";
      c.status = "True";
      c.reason = static_cast<int>(active.size()) < (rs.spec.replicas ? *rs.spec.replicas : 1) ? "FailedCreate" : "FailedDelete";
      c.message = failure.message();
      c.last_transition_time = context_.now();
      set_condition(s.conditions, c);
    } else {
      std::erase_if(s.conditions, [](const auto& c) { return c.type == "ReplicaFailure"; });
    }
    if (s == rs.status) co_return Status();
    rs.status = std::move(s);
    Result<ReplicaSet> r = co_await client_.update(std::move(rs), "status");
    co_return r.is(Reason::NotFound) ? Status() : r.status();
  }

  client::Informer<ReplicaSet>& sets_;
  client::Informer<Pod>& pods_;
  OwnerIndex<Pod> owned_;
  Expectations expectations_;
};

}  // namespace

std::unique_ptr<Controller> make_replicaset_controller(Context& c) { return std::make_unique<ReplicaSets>(c); }

}  // namespace onebin::controller
