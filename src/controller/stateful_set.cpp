// StatefulSet: pods with names and volumes of their own, made and given up in order.
#include "controllers.hpp"
#include "stateful_set_plan.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/log.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

using apimachinery::LabelSelector;
constexpr char kHashLabel[] = "controller.kubernetes.io/hash";
constexpr int kHistoryLimit = 10;

class StatefulSets final : public Controller {
 public:
  explicit StatefulSets(Context& c)
      : Controller(c, "statefulset-controller"), sets_(c.informers->get<StatefulSet>()), pods_(c.informers->get<Pod>()),
        claims_(c.informers->get<PodClaim>()), revisions_(c.informers->get<ControllerRevision>()), owned_(pods_), owned_revisions_(revisions_) {
    needs(sets_);
    needs(pods_);
    needs(claims_);
    needs(revisions_);
    sets_.on_event([this](const std::string& key, const StatefulSet*, const StatefulSet* now) {
      if (!now) expectations_.forget(key);
      queue_.add(key);
    });
    pods_.on_event([this](const std::string&, const Pod* before, const Pod* now) { on_pod(before, now); });
  }

 private:
  int workers() const override { return 5; }

  static std::string owner_key(const Pod& p) {
    const auto* o = controller_of(p);
    return o && o->kind == "StatefulSet" ? client::object_key(p.metadata.namespace_, o->name) : "";
  }
  void on_pod(const Pod* before, const Pod* now) {
    const Pod& p = now ? *now : *before;
    std::string key = owner_key(p), earlier = before ? owner_key(*before) : "";
    if (!earlier.empty() && earlier != key) queue_.add(earlier);
    if (!key.empty()) {
      if (now && !before) expectations_.creation_seen(key);
      if (!now || now->metadata.deletion_timestamp) expectations_.deletion_seen(key, p.metadata.uid);
      queue_.add(key);
    } else if (now && !controller_of(p) && !p.metadata.labels.empty()) {
      sets_.for_each([&](const std::string& at, const StatefulSet& s) {
        if (s.metadata.namespace_ != p.metadata.namespace_ || ordinal_in(s, p.metadata.name) < 0) return;
        auto selector = LabelSelector::from_struct(s.spec.selector);
        if (selector && !selector->empty() && selector->matches(p.metadata.labels)) queue_.add(at);
      });
    }
  }

  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<StatefulSet> s = sets_.get(key);
    if (!s) co_return ReconcileResult{};
    auto selector = LabelSelector::from_struct(s->spec.selector);
    if (!selector) co_return ReconcileResult{};
    bool deleting = static_cast<bool>(s->metadata.deletion_timestamp);
    std::vector<Pod> orphans = owned_.orphans(s->metadata.namespace_);
    std::erase_if(orphans, [&](const Pod& p) { return ordinal_in(*s, p.metadata.name) < 0; });
    ClaimResult claimed = co_await claim_pods(&client_, owned_.owned_by(s->metadata.uid), std::move(orphans), *selector, controller_ref(*s), !deleting);
    if (!claimed.failure) co_return ReconcileResult{claimed.failure};
    if (!expectations_.satisfied(key, context_.steady_now())) co_return ReconcileResult{};
    Result<Revisions> r = co_await revisions_of(*s, *selector);
    if (!r) co_return ReconcileResult{r.status()};
    s->status.collision_count = r->collisions;
    StatefulPlan plan = plan_stateful_set(*s, claimed.pods, claims_by_name(*s, claimed.pods), r->current, r->update, context_.now());
    Status failure = co_await apply(key, *s, std::move(plan.steps));
    Status written = co_await write_status(*s, plan.status);
    Status cleaned = co_await clean_revisions(*s, claimed.pods, *r);
    ReconcileResult result{!failure ? failure : !written ? written : cleaned};
    for (const auto& p : claimed.pods)
      if (auto in = available_in(p, s->spec.min_ready_seconds, context_.now()))
        result.requeue_after = result.requeue_after.count() ? std::min(result.requeue_after, *in) : std::max<Duration>(*in, 1ms);
    co_return result;
  }

  PodClaims claims_by_name(const StatefulSet& s, const std::vector<Pod>& pods) const {
    PodClaims out;
    if (s.spec.volume_claim_templates.empty()) return out;
    std::set<int> ordinals;
    for (int i = 0; i < replicas_of(s); ++i) ordinals.insert(start_ordinal(s) + i);
    for (const auto& p : pods)
      if (int o = ordinal_in(s, p.metadata.name); o >= 0) ordinals.insert(o);
    for (int o : ordinals)
      for (const auto& t : s.spec.volume_claim_templates) {
        std::string name = claim_name(s, t.metadata.name, o);
        if (auto c = claims_.get(s.metadata.namespace_, name)) out.emplace(name, std::move(*c));
      }
    return out;
  }

  // --- Steps

  async::Task<Status> apply(std::string key, StatefulSet s, std::vector<StatefulStep> steps) {
    int creations = 0;
    std::set<std::string> deletions;
    for (const auto& step : steps) {
      if (step.action == StatefulStep::Do::Create) ++creations;
      if (step.action == StatefulStep::Do::Delete) deletions.insert(step.pod.metadata.uid);
    }
    if (creations || !deletions.empty()) expectations_.expect(key, creations, deletions, context_.steady_now());
    Status failure;
    for (auto& step : steps) {
      // What does not happen must not be waited for.
      if (!failure) {
        if (step.action == StatefulStep::Do::Create) expectations_.creation_seen(key);
        if (step.action == StatefulStep::Do::Delete) expectations_.deletion_seen(key, step.pod.metadata.uid);
        continue;
      }
      Pod pod = std::move(step.pod);
      switch (step.action) {
        case StatefulStep::Do::Create:
          failure = co_await create(s, std::move(pod));
          if (!failure) expectations_.creation_seen(key);
          break;
        case StatefulStep::Do::Delete: {
          std::string uid = pod.metadata.uid;
          failure = co_await remove(s, std::move(pod));
          if (!failure) expectations_.deletion_seen(key, uid);
          break;
        }
        case StatefulStep::Do::Mend: failure = co_await mend(s, std::move(pod)); break;
        case StatefulStep::Do::MakeClaims:
          failure = co_await make_claims(s, pod);
          if (failure) failure = co_await fix_owners(s, pod);
          break;
        case StatefulStep::Do::FixOwners: failure = co_await fix_owners(s, std::move(pod)); break;
      }
    }
    // With its namespace the set goes too.
    if (ends_with_namespace(failure)) co_return Status();
    co_return failure;
  }

  void record(const StatefulSet& s, const std::string& verb, const std::string& what, const char* well, Status failure) {
    std::string text = verb + " " + what + " in StatefulSet " + s.metadata.name;
    if (failure) events_.event(client::ref_of(s), "Normal", "Successful" + verb, text + well);
    else events_.event(client::ref_of(s), "Warning", "Failed" + verb, text + " failed error: " + failure.message());
  }
  void record_pod(const StatefulSet& s, const std::string& verb, const Pod& p, Status failure) {
    record(s, verb, "Pod " + p.metadata.name, " successful", std::move(failure));
  }

  async::Task<Status> create(StatefulSet s, Pod pod) {
    Status failure = co_await make_claims(s, pod);
    if (!failure) {
      record_pod(s, "Create", pod, failure);
      co_return failure;
    }
    Result<Pod> made = co_await client_.create(s.metadata.namespace_, pod);
    if (made.is(Reason::AlreadyExists)) co_return made.status();
    record_pod(s, "Create", pod, made.status());
    if (!made) co_return made.status();
    co_return co_await fix_owners(s, std::move(*made));
  }

  async::Task<Status> make_claims(StatefulSet s, Pod pod) {
    Status failure;
    for (auto& [name, claim] : claims_for(s, ordinal_in(s, pod.metadata.name))) {
      std::string claim_text = claim.metadata.name;
      std::optional<PodClaim> there = claims_.get(s.metadata.namespace_, claim_text);
      if (there) {
        if (there->metadata.deletion_timestamp) failure = Status(Reason::Conflict, "pvc " + claim_text + " is being deleted");
        continue;
      }
      Result<PodClaim> r = co_await client_.create(s.metadata.namespace_, claim);
      if (r.is(Reason::AlreadyExists)) continue;
      if (r) record(s, "Create", "Claim " + claim_text + " Pod " + pod.metadata.name, " success", Status());
      else {
        record(s, "Create", "Claim " + claim_text + " for Pod " + pod.metadata.name, "", r.status());
        failure = r.status().with_context("failed to create PVC " + claim_text);
      }
    }
    co_return failure;
  }

  async::Task<Status> fix_owners(StatefulSet s, Pod pod) {
    for (const auto& [name, claim] : claims_for(s, ordinal_in(s, pod.metadata.name))) {
      std::optional<PodClaim> there = claims_.get(s.metadata.namespace_, claim.metadata.name);
      if (!there) continue;
      if (has_other_controller(*there, s, pod))
        events_.event(client::ref_of(s), "Warning", "ConflictingController",
                      "PersistentVolumeClaim " + claim.metadata.name + " has a conflicting OwnerReference that acts as a manging controller, the retention policy is ignored for this claim");
      if (owners_up_to_date(*there, s, pod)) continue;
      update_owners(*there, s, pod);
      Result<PodClaim> r = co_await client_.update(std::move(*there));
      if (!r && !r.is(Reason::NotFound)) {
        Status failure = r.status().with_context("could not update claim " + claim.metadata.name + " for delete policy ownerRefs");
        record_pod(s, "Update", pod, failure);
        co_return failure;
      }
    }
    co_return Status();
  }

  async::Task<Status> mend(StatefulSet s, Pod pod) {
    Status failure = co_await make_claims(s, pod);
    if (failure) {
      Result<Pod> r = co_await client_.update(pod);
      failure = r.status();
    }
    record_pod(s, "Update", pod, failure);
    co_return failure;
  }

  async::Task<Status> remove(StatefulSet s, Pod pod) {
    client::DeleteOptions options;
    options.uid = pod.metadata.uid;
    Result<void> r = co_await client_.remove<Pod>(s.metadata.namespace_, pod.metadata.name, options);
    Status failure = r.is(Reason::NotFound) ? Status() : r.status();
    record_pod(s, "Delete", pod, failure);
    co_return failure;
  }

  // --- Revisions

  struct Revisions {
    Revision current, update;
    int collisions = 0;
    std::vector<ControllerRevision> all;  // oldest first
  };

  async::Task<Result<std::vector<ControllerRevision>>> own_revisions(StatefulSet s, LabelSelector selector) {
    std::vector<ControllerRevision> all = owned_revisions_.owned_by(s.metadata.uid);
    if (!s.metadata.deletion_timestamp)
      for (auto& r : owned_revisions_.orphans(s.metadata.namespace_)) {
        if (!selector.matches(r.metadata.labels) || r.metadata.deletion_timestamp) continue;
        nlohmann::json patch;
        patch["metadata"]["uid"] = r.metadata.uid;
        patch["metadata"]["ownerReferences"] = nlohmann::json::array({{{"apiVersion", "apps/v1"}, {"kind", "StatefulSet"}, {"name", s.metadata.name},
                                                                       {"uid", s.metadata.uid}, {"controller", true}, {"blockOwnerDeletion", true}}});
        auto adopted = co_await client_.patch<ControllerRevision>(r.metadata.namespace_, r.metadata.name, PatchType::StrategicMerge, patch.dump());
        if (!adopted && !adopted.is(Reason::NotFound)) co_return adopted.status();
        if (adopted) all.push_back(std::move(*adopted));
      }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
      if (a.revision != b.revision) return a.revision < b.revision;
      return std::tie(a.metadata.creation_timestamp, a.metadata.name) < std::tie(b.metadata.creation_timestamp, b.metadata.name);
    });
    co_return Result<std::vector<ControllerRevision>>(std::move(all));
  }

  // The present template's revision, made or brought to the front where it is not there, and the one to update from.
  async::Task<Result<Revisions>> revisions_of(StatefulSet s, LabelSelector selector) {
    Revisions out;
    out.collisions = s.status.collision_count.value_or(0);
    Result<std::vector<ControllerRevision>> all = co_await own_revisions(s, selector);
    if (!all) co_return all.status();
    out.all = std::move(*all);
    std::string data = revision_data(s.spec.template_);
    int same = -1;
    for (std::size_t i = 0; i < out.all.size(); ++i)
      if (same_template(out.all[i], s)) same = static_cast<int>(i);
    std::int64_t next = out.all.empty() ? 1 : out.all.back().revision + 1;
    std::string name;
    if (same >= 0) {
      ControllerRevision& r = out.all[static_cast<std::size_t>(same)];
      name = r.metadata.name;
      if (r.revision != next - 1) {
        r.revision = next;
        Result<ControllerRevision> moved = co_await client_.update(r);
        if (!moved) co_return moved.status();
      }
    } else {
      Result<ControllerRevision> made = co_await create_revision(s, data, next, &out.collisions);
      if (!made) co_return made.status();
      name = made->metadata.name;
    }
    out.update = {name, s.spec.template_};
    out.current = out.update;
    for (const auto& r : out.all)
      if (r.metadata.name == s.status.current_revision && r.metadata.name != name)
        if (auto t = template_of_revision(r.data)) out.current = {r.metadata.name, std::move(*t)};
    co_return Result<Revisions>(std::move(out));
  }

  // Compared as templates: a field that has got a default since is no difference.
  static bool same_template(const ControllerRevision& r, const StatefulSet& s) {
    auto t = template_of_revision(r.data);
    return t && *t == s.spec.template_;
  }

  async::Task<Result<ControllerRevision>> create_revision(StatefulSet s, std::string data, std::int64_t number, int* collisions) {
    for (;;) {
      ControllerRevision r;
      std::string hash = template_hash(s.spec.template_, *collisions);
      r.metadata.name = s.metadata.name + "-" + hash;
      r.metadata.namespace_ = s.metadata.namespace_;
      r.metadata.labels = s.spec.template_.metadata.labels;
      r.metadata.labels[kHashLabel] = hash;
      r.metadata.annotations = s.metadata.annotations;
      r.metadata.owner_references = {controller_ref(s)};
      r.data = data;
      r.revision = number;
      std::string name = r.metadata.name;
      Result<ControllerRevision> made = co_await client_.create(s.metadata.namespace_, std::move(r));
      if (!made.is(Reason::AlreadyExists)) co_return made;
      Result<ControllerRevision> there = co_await client_.get<ControllerRevision>(s.metadata.namespace_, name);
      if (!there) co_return there;
      const auto* owner = controller_of(*there);
      if (owner && owner->uid == s.metadata.uid && same_template(*there, s)) co_return there;
      ++*collisions;
    }
  }

  async::Task<Status> clean_revisions(StatefulSet s, std::vector<Pod> pods, Revisions r) {
    std::set<std::string> live = {r.current.name, r.update.name};
    for (const auto& p : pods)
      if (auto it = p.metadata.labels.find(kRevisionLabel); it != p.metadata.labels.end()) live.insert(it->second);
    std::erase_if(r.all, [&](const auto& one) { return live.count(one.metadata.name) > 0; });
    int excess = static_cast<int>(r.all.size()) - s.spec.revision_history_limit.value_or(kHistoryLimit);
    for (int i = 0; i < excess; ++i) {
      Result<void> gone = co_await client_.remove<ControllerRevision>(s.metadata.namespace_, r.all[static_cast<std::size_t>(i)].metadata.name);
      if (!gone && !gone.is(Reason::NotFound)) co_return gone.status();
    }
    co_return Status();
  }

  async::Task<Status> write_status(StatefulSet s, StatefulSetStatus status) {
    std::optional<StatefulSet> seen = sets_.get(key_of(s));
    if (seen && seen->status == status) co_return Status();
    s.status = std::move(status);
    Result<StatefulSet> r = co_await client_.update(std::move(s), "status");
    co_return r.is(Reason::NotFound) ? Status() : r.status();
  }

  client::Informer<StatefulSet>& sets_;
  client::Informer<Pod>& pods_;
  client::Informer<PodClaim>& claims_;
  client::Informer<ControllerRevision>& revisions_;
  OwnerIndex<Pod> owned_;
  OwnerIndex<ControllerRevision> owned_revisions_;
  Expectations expectations_;
};

}  // namespace

std::unique_ptr<Controller> make_statefulset_controller(Context& c) { return std::make_unique<StatefulSets>(c); }

}  // namespace onebin::controller
