// Deployment: rolls ReplicaSets over from one template to the next.
#include "controllers.hpp"
#include "deployment_plan.hpp"

#include <onebin/base/log.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

using api::apps::v1::DeploymentCondition;
using apimachinery::LabelSelector;
constexpr char kLastApplied[] = "kubectl.kubernetes.io/last-applied-configuration";
constexpr char kDeprecatedRollback[] = "deprecated.deployment.rollback.to";

bool copied(const std::string& key) {
  return key != kLastApplied && key != kRevision && key != kRevisionHistory && key != kDesired && key != kMaxReplicas && key != kDeprecatedRollback;
}

class Deployments final : public Controller {
 public:
  explicit Deployments(Context& c)
      : Controller(c, "deployment-controller"), deployments_(c.informers->get<Deployment>()), sets_(c.informers->get<ReplicaSet>()),
        pods_(c.informers->get<Pod>()), owned_(sets_), pods_of_(pods_) {
    needs(deployments_);
    needs(sets_);
    needs(pods_);
    deployments_.on_event([this](const std::string& key, const Deployment*, const Deployment*) { queue_.add(key); });
    sets_.on_event([this](const std::string&, const ReplicaSet* before, const ReplicaSet* now) {
      if (before) enqueue_owner(*before);
      if (now && !enqueue_owner(*now)) offer_orphan(*now);
    });
    // Recreate waits for the last old pod to go.
    pods_.on_event([this](const std::string&, const Pod* before, const Pod* now) {
      if (now && !(is_finished(*now) && before && !is_finished(*before))) return;
      const auto* o = controller_of(now ? *now : *before);
      if (!o || o->kind != "ReplicaSet") return;
      auto rs = sets_.get((now ? *now : *before).metadata.namespace_, o->name);
      if (rs) enqueue_owner(*rs);
    });
  }

 private:
  int workers() const override { return 5; }

  bool enqueue_owner(const ReplicaSet& rs) {
    const auto* o = controller_of(rs);
    if (!o) return false;
    if (o->kind == "Deployment") queue_.add(client::object_key(rs.metadata.namespace_, o->name));
    return true;
  }
  void offer_orphan(const ReplicaSet& rs) {
    if (rs.metadata.labels.empty()) return;
    deployments_.for_each([&](const std::string& key, const Deployment& d) {
      auto s = LabelSelector::from_struct(d.spec.selector);
      if (d.metadata.namespace_ == rs.metadata.namespace_ && s && !s->empty() && s->matches(rs.metadata.labels)) queue_.add(key);
    });
  }

  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<Deployment> d = deployments_.get(key);
    if (!d) co_return ReconcileResult{};
    auto selector = LabelSelector::from_struct(d->spec.selector);
    if (!selector || selector->empty()) co_return ReconcileResult{};
    Result<std::vector<ReplicaSet>> claimed = co_await claim(*d, *selector);
    if (!claimed) co_return ReconcileResult{claimed.status()};
    std::vector<ReplicaSet> all = std::move(*claimed);
    if (!d->metadata.deletion_timestamp.is_zero()) {
      Status s = co_await sync_status(*d, all, find_new(*d, all));
      co_return ReconcileResult{s};
    }
    Status s;
    if (d->spec.paused || is_scaling(*d, all)) s = co_await sync_scale(*d, all);
    else if (rolling(*d)) s = co_await roll(*d, all);
    else s = co_await recreate(*d, all);
    ReconcileResult result{s};
    result.requeue_after = deadline_in(*d);
    co_return result;
  }

  async::Task<Result<std::vector<ReplicaSet>>> claim(Deployment d, LabelSelector selector) {
    std::vector<ReplicaSet> out;
    bool deleting = !d.metadata.deletion_timestamp.is_zero();
    for (auto& rs : owned_.owned_by(d.metadata.uid)) {
      if (selector.matches(rs.metadata.labels)) {
        out.push_back(std::move(rs));
      } else if (!deleting) {
        nlohmann::json patch;
        patch["metadata"]["uid"] = rs.metadata.uid;
        patch["metadata"]["ownerReferences"] = nlohmann::json::array({{{"$patch", "delete"}, {"uid", d.metadata.uid}}});
        auto r = co_await client_.patch<ReplicaSet>(rs.metadata.namespace_, rs.metadata.name, PatchType::StrategicMerge, patch.dump());
        if (!r && !r.is(Reason::NotFound)) co_return r.status();
      }
    }
    if (deleting) co_return Result<std::vector<ReplicaSet>>(std::move(out));
    for (auto& rs : owned_.orphans(d.metadata.namespace_)) {
      if (!rs.metadata.deletion_timestamp.is_zero() || !selector.matches(rs.metadata.labels)) continue;
      nlohmann::json patch;
      patch["metadata"]["uid"] = rs.metadata.uid;
      patch["metadata"]["ownerReferences"] = nlohmann::json::array({{{"apiVersion", "apps/v1"}, {"kind", "Deployment"}, {"name", d.metadata.name},
                                                                     {"uid", d.metadata.uid}, {"controller", true}, {"blockOwnerDeletion", true}}});
      auto r = co_await client_.patch<ReplicaSet>(rs.metadata.namespace_, rs.metadata.name, PatchType::StrategicMerge, patch.dump());
      if (!r && !r.is(Reason::NotFound)) co_return r.status();
      if (r) out.push_back(std::move(*r));
    }
    co_return Result<std::vector<ReplicaSet>>(std::move(out));
  }

  // The ReplicaSet of the present template, made when `create` says so; its revision and annotations brought up to date.
  // `all` gets what changed. Index into `all`, -1 when there is none.
  async::Task<Result<int>> ensure_new(Deployment d, std::vector<ReplicaSet>* all, bool create) {
    const ReplicaSet* found = find_new(d, *all);
    std::int64_t highest_old = 0;
    for (const auto& rs : *all)
      if (&rs != found) highest_old = std::max(highest_old, revision_of(rs));
    std::string revision = std::to_string(highest_old + 1);
    if (found) {
      int index = static_cast<int>(found - all->data());
      ReplicaSet want = *found;
      annotate(d, want, revision_of(*found) > highest_old ? std::to_string(revision_of(*found)) : revision);
      want.spec.min_ready_seconds = d.spec.min_ready_seconds;
      if (!(want == *found)) {
        auto r = co_await client_.update(std::move(want));
        if (!r) co_return r.status();
        (*all)[static_cast<std::size_t>(index)] = std::move(*r);
      }
      Status s = co_await note_revision(d, std::to_string(revision_of((*all)[static_cast<std::size_t>(index)])));
      if (!s) co_return s;
      co_return Result<int>(index);
    }
    if (!create) co_return Result<int>(-1);
    Result<ReplicaSet> made = co_await create_new(d, *all, revision);
    if (!made) co_return made.status();
    all->push_back(std::move(*made));
    Status s = co_await note_revision(d, revision);
    if (!s) co_return s;
    co_return Result<int>(static_cast<int>(all->size()) - 1);
  }

  async::Task<Result<ReplicaSet>> create_new(Deployment d, std::vector<ReplicaSet> all, std::string revision) {
    std::string hash = template_hash(d.spec.template_, d.status.collision_count);
    ReplicaSet rs;
    rs.metadata.name = d.metadata.name + "-" + hash;
    rs.metadata.namespace_ = d.metadata.namespace_;
    rs.metadata.owner_references.push_back(controller_ref(d));
    rs.spec.template_ = d.spec.template_;
    rs.spec.template_.metadata.labels[kTemplateHash] = hash;
    rs.metadata.labels = rs.spec.template_.metadata.labels;
    rs.spec.selector = d.spec.selector;
    rs.spec.selector.ensure().match_labels[kTemplateHash] = hash;
    rs.spec.min_ready_seconds = d.spec.min_ready_seconds;
    rs.spec.replicas = new_replicas(d, all, rs);
    annotate(d, rs, revision);
    // From now on only scaling writes these: scaling in proportion reads what they were.
    rs.metadata.annotations[kDesired] = std::to_string(replicas_of(d));
    rs.metadata.annotations[kMaxReplicas] = std::to_string(replicas_of(d) + max_surge(d));
    int size = *rs.spec.replicas;
    Result<ReplicaSet> r = co_await client_.create(d.metadata.namespace_, rs);
    if (r) {
      if (size > 0) events_.event(client::ref_of(d), "Normal", "ScalingReplicaSet", "Scaled up replica set " + rs.metadata.name + " from 0 to " + std::to_string(size));
      co_return r;
    }
    if (r.is(Reason::AlreadyExists)) {
      Result<ReplicaSet> there = co_await client_.get<ReplicaSet>(d.metadata.namespace_, rs.metadata.name);
      if (!there) co_return there.status();
      const auto* owner = controller_of(*there);
      if (owner && owner->uid == d.metadata.uid && same_template(there->spec.template_, d.spec.template_)) co_return there;
      // Another template with the same hash: the next try hashes differently.
      Deployment changed = d;
      changed.status.collision_count = (d.status.collision_count ? *d.status.collision_count : 0) + 1;
      auto written = co_await client_.update(std::move(changed), "status");
      if (!written) co_return written.status();
      co_return r.status();
    }
    Status failure = r.status();
    DeploymentCondition c = condition("Progressing", "False", "ReplicaSetCreateError", "Failed to create new replica set \"" + rs.metadata.name + "\": " + failure.message());
    Deployment changed = d;
    if (set_condition(changed.status.conditions, c)) {
      auto written = co_await client_.update(std::move(changed), "status");
      if (!written) co_return written.status();
    }
    events_.event(client::ref_of(d), "Warning", "ReplicaSetCreateError", c.message);
    co_return failure;
  }

  static void annotate(const Deployment& d, ReplicaSet& rs, const std::string& revision) {
    auto& a = rs.metadata.annotations;
    for (const auto& [k, v] : d.metadata.annotations)
      if (copied(k)) a[k] = v;
    auto old = a.find(kRevision);
    if (old != a.end() && old->second != revision && !old->second.empty()) {
      auto& history = a[kRevisionHistory];
      history += (history.empty() ? "" : ",") + old->second;
    }
    a[kRevision] = revision;
  }

  async::Task<Status> note_revision(Deployment d, std::string revision) {
    auto it = d.metadata.annotations.find(kRevision);
    if (it != d.metadata.annotations.end() && it->second == revision) co_return Status();
    nlohmann::json patch;
    patch["metadata"]["uid"] = d.metadata.uid;
    patch["metadata"]["annotations"][kRevision] = revision;
    auto r = co_await client_.patch<Deployment>(d.metadata.namespace_, d.metadata.name, PatchType::Merge, patch.dump());
    co_return r.status();
  }

  async::Task<Status> scale(Deployment d, ReplicaSet* rs, int size) {
    int before = replicas_of(*rs);
    std::string desired = std::to_string(replicas_of(d)), most = std::to_string(replicas_of(d) + max_surge(d));
    bool noted = rs->metadata.annotations[kDesired] == desired && rs->metadata.annotations[kMaxReplicas] == most;
    if (before == size && noted) co_return Status();
    ReplicaSet want = *rs;
    want.spec.replicas = size;
    want.metadata.annotations[kDesired] = desired;
    want.metadata.annotations[kMaxReplicas] = most;
    auto r = co_await client_.update(std::move(want));
    if (!r) co_return r.status();
    *rs = std::move(*r);
    if (before != size)
      events_.event(client::ref_of(d), "Normal", "ScalingReplicaSet",
                    std::string("Scaled ") + (size > before ? "up" : "down") + " replica set " + rs->metadata.name + " from " + std::to_string(before) + " to " + std::to_string(size));
    co_return Status();
  }

  async::Task<Status> scale_all(Deployment d, std::vector<ReplicaSet>* all, std::map<std::string, int> sizes) {
    for (auto& rs : *all) {
      auto it = sizes.find(rs.metadata.name);
      if (it == sizes.end()) continue;
      Status s = co_await scale(d, &rs, it->second);
      if (!s) co_return s;
    }
    co_return Status();
  }

  async::Task<Status> sync_scale(Deployment d, std::vector<ReplicaSet> all) {
    Result<int> fresh = co_await ensure_new(d, &all, false);
    if (!fresh) co_return fresh.status();
    Status s = co_await scale_all(d, &all, scale_proportionally(d, all));
    if (!s) co_return s;
    co_return co_await sync_status(d, all, *fresh < 0 ? nullptr : &all[static_cast<std::size_t>(*fresh)]);
  }

  async::Task<Status> roll(Deployment d, std::vector<ReplicaSet> all) {
    Result<int> index = co_await ensure_new(d, &all, true);
    if (!index) co_return index.status();
    std::size_t at = static_cast<std::size_t>(*index);
    int size = replicas_of(all[at]) > replicas_of(d) ? replicas_of(d) : new_replicas(d, all, all[at]);
    if (size != replicas_of(all[at])) {
      Status s = co_await scale(d, &all[at], size);
      if (!s) co_return s;
    } else {
      Status s = co_await scale_all(d, &all, scale_down_old(d, all, all[at]));
      if (!s) co_return s;
    }
    co_return co_await finish(d, all, at);
  }

  async::Task<Status> recreate(Deployment d, std::vector<ReplicaSet> all) {
    const ReplicaSet* found = find_new(d, all);
    std::string fresh_uid = found ? found->metadata.uid : "";
    std::map<std::string, int> down;
    bool old_pods = false;
    for (const auto& rs : all) {
      if (rs.metadata.uid == fresh_uid) continue;
      if (replicas_of(rs) > 0) down[rs.metadata.name] = 0;
      for (const auto& p : pods_of_.owned_by(rs.metadata.uid)) old_pods |= !is_finished(p);
    }
    if (!down.empty()) {
      Status s = co_await scale_all(d, &all, down);
      if (!s) co_return s;
    }
    if (!down.empty() || old_pods) co_return co_await sync_status(d, all, nullptr);
    Result<int> index = co_await ensure_new(d, &all, true);
    if (!index) co_return index.status();
    std::size_t at = static_cast<std::size_t>(*index);
    Status s = co_await scale(d, &all[at], replicas_of(d));
    if (!s) co_return s;
    co_return co_await finish(d, all, at);
  }

  async::Task<Status> finish(Deployment d, std::vector<ReplicaSet> all, std::size_t fresh) {
    if (complete(d, deployment_status(d, all, &all[fresh], context_.now()))) {
      std::vector<ReplicaSet> old;
      for (std::size_t i = 0; i < all.size(); ++i)
        if (i != fresh) old.push_back(all[i]);
      for (const ReplicaSet* rs : beyond_history(d, old)) {
        auto r = co_await client_.remove<ReplicaSet>(rs->metadata.namespace_, rs->metadata.name);
        if (!r && !r.is(Reason::NotFound)) co_return r.status();
      }
    }
    co_return co_await sync_status(d, all, &all[fresh]);
  }

  DeploymentCondition condition(std::string type, std::string status, std::string reason, std::string message) const {
    DeploymentCondition c;
    c.type = std::move(type);
    c.status = std::move(status);
    c.reason = std::move(reason);
    c.message = std::move(message);
    c.last_update_time = c.last_transition_time = context_.now();
    return c;
  }

  void progress(const Deployment& d, const ReplicaSet* fresh, api::apps::v1::DeploymentStatus& s) const {
    const auto* old = find_condition(d.status, "Progressing");
    bool done = old && old->reason == "NewReplicaSetAvailable";
    if (!d.spec.progress_deadline_seconds || *d.spec.progress_deadline_seconds == 2147483647) {
      std::erase_if(s.conditions, [](const auto& c) { return c.type == "Progressing"; });
      return;
    }
    if (d.spec.paused) {
      if (!old || old->reason != "DeploymentPaused") set_condition(s.conditions, condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused"));
      return;
    }
    std::string what = fresh ? "ReplicaSet \"" + fresh->metadata.name + "\"" : "Deployment \"" + d.metadata.name + "\"";
    bool rolled = s.replicas == s.updated_replicas;
    if (rolled && done && complete(d, d.status) && complete(d, s)) return;
    if (complete(d, s)) {
      set_condition(s.conditions, condition("Progressing", "True", "NewReplicaSetAvailable", what + " has successfully progressed."));
    } else if (progressing(d.status, s) || !old || old->reason == "DeploymentPaused") {
      DeploymentCondition c = condition("Progressing", "True", old ? "ReplicaSetUpdated" : "NewReplicaSetCreated", (old ? what : "Created new replica set \"" + (fresh ? fresh->metadata.name : "") + "\"") + (old ? " is progressing." : ""));
      // The time of the last progress counts, so it moves even when nothing else does.
      std::erase_if(s.conditions, [&](const auto& x) {
        if (x.type == "Progressing" && x.status == c.status) c.last_transition_time = x.last_transition_time;
        return x.type == "Progressing";
      });
      s.conditions.push_back(c);
    } else if (timed_out(d, s, context_.now())) {
      set_condition(s.conditions, condition("Progressing", "False", "ProgressDeadlineExceeded", what + " has timed out progressing."));
    }
  }

  void replica_failure(const std::vector<ReplicaSet>& all, api::apps::v1::DeploymentStatus& s) const {
    std::erase_if(s.conditions, [](const auto& c) { return c.type == "ReplicaFailure"; });
    for (const auto& rs : all)
      for (const auto& c : rs.status.conditions)
        if (c.type == "ReplicaFailure" && c.status == "True" && !find_condition(s, "ReplicaFailure")) {
          DeploymentCondition out = condition("ReplicaFailure", "True", c.reason, c.message);
          out.last_update_time = out.last_transition_time = c.last_transition_time;
          s.conditions.push_back(out);
        }
  }

  async::Task<Status> sync_status(Deployment d, std::vector<ReplicaSet> all, const ReplicaSet* fresh_of_caller) {
    const ReplicaSet* fresh = nullptr;
    for (const auto& rs : all)
      if (fresh_of_caller && rs.metadata.uid == fresh_of_caller->metadata.uid) fresh = &rs;
    auto s = deployment_status(d, all, fresh, context_.now());
    progress(d, fresh, s);
    replica_failure(all, s);
    if (s == d.status) co_return Status();
    // The revision annotation may have been written since `d` was read.
    auto current = co_await client_.get<Deployment>(d.metadata.namespace_, d.metadata.name);
    if (!current) co_return current.is(Reason::NotFound) ? Status() : current.status();
    if (current->metadata.uid != d.metadata.uid) co_return Status();
    current->status = std::move(s);
    auto r = co_await client_.update(std::move(*current), "status");
    co_return r.is(Reason::NotFound) ? Status() : r.status();
  }

  // When a rollout that stands still must be looked at again.
  Duration deadline_in(const Deployment& d) const {
    const auto* c = find_condition(d.status, "Progressing");
    if (!c || !d.spec.progress_deadline_seconds || *d.spec.progress_deadline_seconds == 2147483647) return Duration(0);
    if (c->reason == "NewReplicaSetAvailable" || c->reason == "ProgressDeadlineExceeded" || c->status != "True") return Duration(0);
    return std::max<Duration>(c->last_update_time.wall() + std::chrono::seconds(*d.spec.progress_deadline_seconds + 1) - context_.now(), 1s);
  }

  client::Informer<Deployment>& deployments_;
  client::Informer<ReplicaSet>& sets_;
  client::Informer<Pod>& pods_;
  OwnerIndex<ReplicaSet> owned_;
  OwnerIndex<Pod> pods_of_;
};

}  // namespace

std::unique_ptr<Controller> make_deployment_controller(Context& c) { return std::make_unique<Deployments>(c); }

}  // namespace onebin::controller
