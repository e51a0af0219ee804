// Job: pods that run to completion. Finished pods are counted exactly once: their finalizer goes only after their uid is
// in the status, and the status counts them only after the finalizer is gone (KEP-2307).
#include "controllers.hpp"
#include "job_indexes.hpp"
#include "job_policy.hpp"

#include <onebin/base/log.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

using api::batch::v1::JobCondition;
using apimachinery::LabelSelector;
constexpr Duration kBackoffFirst = 10s, kBackoffMax = 10min;
constexpr std::size_t kUncountedLimit = 500;
constexpr int kBurst = 500;
constexpr char kJobName[] = "batch.kubernetes.io/job-name", kControllerUid[] = "batch.kubernetes.io/controller-uid", kIndexFailures[] = "batch.kubernetes.io/job-index-failure-count";

// What one look at a Job and its pods found out.
struct View {
  std::vector<Pod> active, terminating;
  std::vector<Pod> fresh_succeeded, fresh_failed;  // finished, still with the finalizer, not in the status
  std::set<int> succeeded_indexes, failed_indexes;
  int succeeded = 0, failed = 0;  // with the fresh ones
  std::map<int, int> failures_of_index;
  apimachinery::Time last_failure;
  std::optional<FailureAction> fail_job;
};

bool counts_as_failed(const Pod& p) { return p.status.phase == "Failed" || (p.metadata.deletion_timestamp && p.status.phase != "Succeeded"); }

class Jobs final : public Controller {
 public:
  explicit Jobs(Context& c) : Controller(c, "job-controller"), jobs_(c.informers->get<Job>()), pods_(c.informers->get<Pod>()), owned_(pods_) {
    needs(jobs_);
    needs(pods_);
    jobs_.on_event([this](const std::string& key, const Job*, const Job* now) {
      if (!now) expectations_.forget(key);
      queue_.add(key);
    });
    pods_.on_event([this](const std::string&, const Pod* before, const Pod* now) { on_pod(before, now); });
  }

 private:
  int workers() const override { return 5; }

  static std::string owner_key(const Pod& p) {
    const auto* o = controller_of(p);
    return o && o->kind == "Job" ? client::object_key(p.metadata.namespace_, o->name) : "";
  }
  void on_pod(const Pod* before, const Pod* now) {
    const Pod& p = now ? *now : *before;
    std::string key = owner_key(p), earlier = before ? owner_key(*before) : "";
    if (!earlier.empty() && earlier != key) queue_.add_after(earlier, 2ms);
    if (!key.empty()) {
      if (now && !before) expectations_.creation_seen(key);
      if (!now || now->metadata.deletion_timestamp) expectations_.deletion_seen(key, p.metadata.uid);
      queue_.add_after(key, 2ms);
    } else if (now && !controller_of(p) && !p.metadata.labels.empty()) {
      jobs_.for_each([&](const std::string& at, const Job& j) {
        if (j.metadata.namespace_ != p.metadata.namespace_) return;
        auto selector = LabelSelector::from_struct(j.spec.selector);
        if (selector && !selector->empty() && selector->matches(p.metadata.labels)) queue_.add(at);
      });
    }
  }

  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<Job> j = jobs_.get(key);
    if (!j) co_return ReconcileResult{co_await release_left_behind(key)};
    if (j->spec.managed_by && *j->spec.managed_by != "kubernetes.io/job-controller") co_return ReconcileResult{};
    std::vector<Pod> pods = owned_.owned_by(j->metadata.uid);
    if (is_finished(*j)) co_return co_await after_end(*j, pods);
    if (!j->metadata.deletion_timestamp) {
      auto selector = LabelSelector::from_struct(j->spec.selector);
      if (!selector) co_return ReconcileResult{};
      std::vector<Pod> released;  // nobody will count them
      for (const auto& p : pods)
        if (!selector->matches(p.metadata.labels) && has_tracking(p)) released.push_back(p);
      ClaimResult claimed = co_await claim_pods(&client_, std::move(pods), owned_.orphans(j->metadata.namespace_), *selector, controller_ref(*j), true);
      if (!claimed.failure) co_return ReconcileResult{claimed.failure};
      pods = std::move(claimed.pods);
      for (const auto& p : released) {
        Status s = co_await drop_finalizer(p);
        if (!s) co_return ReconcileResult{s};
      }
    }
    co_return co_await sync(key, *j, std::move(pods));
  }

  static int completions(const Job& j) { return j.spec.completions ? *j.spec.completions : 0; }
  static int parallelism(const Job& j) { return j.spec.parallelism ? *j.spec.parallelism : 1; }

  View look(const Job& j, const std::vector<Pod>& pods) const {
    View v;
    std::set<std::string> counted_ok, counted_bad;
    if (j.status.uncounted_terminated_pods) {
      counted_ok.insert(j.status.uncounted_terminated_pods->succeeded.begin(), j.status.uncounted_terminated_pods->succeeded.end());
      counted_bad.insert(j.status.uncounted_terminated_pods->failed.begin(), j.status.uncounted_terminated_pods->failed.end());
    }
    v.succeeded_indexes = parse_indexes(j.status.completed_indexes, completions(j));
    if (j.status.failed_indexes) v.failed_indexes = parse_indexes(*j.status.failed_indexes, completions(j));
    v.succeeded = j.status.succeeded + static_cast<int>(counted_ok.size());
    v.failed = j.status.failed + static_cast<int>(counted_bad.size());
    for (const auto& p : pods) {
      if (p.status.phase == "Succeeded") {
        if (has_tracking(p) && !counted_ok.count(p.metadata.uid)) v.fresh_succeeded.push_back(p);
        if (int i = completion_index(p); is_indexed(j) && i >= 0 && i < completions(j)) v.succeeded_indexes.insert(i);
      } else if (p.status.phase == "Failed" || (p.metadata.deletion_timestamp && replaces_early(j))) {
        if (p.status.phase != "Failed") v.terminating.push_back(p);
        note_failure(j, p, counted_bad, v);
      } else if (p.metadata.deletion_timestamp) {
        v.terminating.push_back(p);
      } else {
        v.active.push_back(p);
      }
    }
    v.succeeded += static_cast<int>(v.fresh_succeeded.size());
    if (is_indexed(j)) v.succeeded = static_cast<int>(v.succeeded_indexes.size());
    for (int i : v.succeeded_indexes) v.failed_indexes.erase(i);
    return v;
  }
  static bool replaces_early(const Job& j) { return !j.spec.pod_failure_policy && (!j.spec.pod_replacement_policy || *j.spec.pod_replacement_policy == "TerminatingOrFailed"); }

  void note_failure(const Job& j, const Pod& p, const std::set<std::string>& counted, View& v) const {
    FailureAction action = p.status.phase == "Failed" ? failure_action(j, p) : FailureAction{};
    if (action.kind == FailureAction::Kind::FailJob && !v.fail_job) v.fail_job = action;
    bool fresh = has_tracking(p) && !counted.count(p.metadata.uid);
    if (fresh) {
      v.fresh_failed.push_back(p);
      if (action.kind != FailureAction::Kind::Ignore) ++v.failed;
    }
    apimachinery::Time at = p.metadata.deletion_timestamp ? p.metadata.deletion_timestamp : p.metadata.creation_timestamp;
    for (const auto& c : p.status.container_statuses)
      if (c.state.terminated) at = std::max(at, c.state.terminated->finished_at);
    if (action.kind != FailureAction::Kind::Ignore) v.last_failure = std::max(v.last_failure, at);
    int i = completion_index(p);
    if (!is_indexed(j) || i < 0 || i >= completions(j) || !j.spec.backoff_limit_per_index) return;
    auto before = p.metadata.annotations.find(kIndexFailures);
    int n = (before == p.metadata.annotations.end() ? 0 : std::atoi(before->second.c_str())) + (action.kind == FailureAction::Kind::Ignore ? 0 : 1);
    v.failures_of_index[i] = std::max(v.failures_of_index[i], n);
    if (action.kind == FailureAction::Kind::FailIndex || n > *j.spec.backoff_limit_per_index) v.failed_indexes.insert(i);
  }

  struct Verdict {
    std::string type, reason, message;  // "Complete" or "Failed"; empty while going on
  };
  Verdict judge(const Job& j, const View& v) const {
    if (const auto* c = find_condition(j, "FailureTarget")) return {"Failed", c->reason, c->message};
    if (const auto* c = find_condition(j, "SuccessCriteriaMet")) return {"Complete", c->reason, c->message};
    if (v.fail_job) return {"Failed", "PodFailurePolicy", v.fail_job->message};
    int limit = j.spec.backoff_limit ? *j.spec.backoff_limit : 6;
    // Under OnFailure the kubelet restarts containers in place: their restarts count instead of pods.
    int again = j.spec.template_.spec.restart_policy == "OnFailure" ? restarts(v.active) : 0;
    bool too_often = limit == 0 ? again > 0 : again >= limit;
    if (v.failed > limit || (j.spec.template_.spec.restart_policy == "OnFailure" && too_often))
      return {"Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"};
    if (j.spec.active_deadline_seconds && j.status.start_time && !suspended(j) &&
        context_.now() - j.status.start_time.wall() >= std::chrono::seconds(*j.spec.active_deadline_seconds))
      return {"Failed", "DeadlineExceeded", "Job was active longer than specified deadline"};
    if (is_indexed(j) && j.spec.backoff_limit_per_index) {
      if (j.spec.max_failed_indexes && static_cast<int>(v.failed_indexes.size()) > *j.spec.max_failed_indexes)
        return {"Failed", "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"};
      if (!v.failed_indexes.empty() && static_cast<int>(v.failed_indexes.size() + v.succeeded_indexes.size()) >= completions(j) && !success_met(j, v.succeeded_indexes))
        return {"Failed", "FailedIndexes", "Job has failed indexes"};
    }
    if (auto met = success_met(j, v.succeeded_indexes)) return {"Complete", "SuccessPolicy", *met};
    bool complete = j.spec.completions ? v.succeeded >= *j.spec.completions && v.active.empty() : v.succeeded > 0 && v.active.empty();
    if (j.spec.completions && v.succeeded >= *j.spec.completions) complete = true;
    if (complete) return {"Complete", "CompletionsReached", "Reached expected number of succeeded pods"};
    return {};
  }
  static int restarts(const std::vector<Pod>& pods) {
    int n = 0;
    for (const auto& p : pods)
      for (const auto* list : {&p.status.init_container_statuses, &p.status.container_statuses})
        for (const auto& c : *list) n += c.restart_count;
    return n;
  }
  static bool suspended(const Job& j) { return j.spec.suspend && *j.spec.suspend; }

  JobCondition condition(std::string type, std::string status, std::string reason, std::string message) const {
    JobCondition c;
    c.type = std::move(type);
    c.status = std::move(status);
    c.reason = std::move(reason);
    c.message = std::move(message);
    c.last_probe_time = c.last_transition_time = context_.now();
    return c;
  }

  async::Task<ReconcileResult> sync(std::string key, Job j, std::vector<Pod> pods) {
    View v = look(j, pods);
    Verdict verdict = judge(j, v);
    auto s = j.status;
    ReconcileResult result;
    bool deleting = static_cast<bool>(j.metadata.deletion_timestamp);
    if (!verdict.type.empty()) {
      const char* interim = verdict.type == "Failed" ? "FailureTarget" : "SuccessCriteriaMet";
      if (!find_condition(j, interim)) set_condition(s.conditions, condition(interim, "True", verdict.reason, verdict.message));
      result.status = co_await end_pods(key, j, v.active);
      for (auto& p : v.active) v.terminating.push_back(p);
      v.active.clear();
    } else if (!deleting) {
      note_suspension(j, s);
      if (suspended(j)) {
        result.status = co_await end_pods(key, j, v.active);
        for (auto& p : v.active) v.terminating.push_back(p);
        v.active.clear();
      } else if (expectations_.satisfied(key, context_.steady_now())) {
        result = co_await manage(key, j, &v);
      }
      if (j.spec.active_deadline_seconds && s.start_time && !suspended(j)) {
        Duration left = s.start_time.wall() + std::chrono::seconds(*j.spec.active_deadline_seconds) - context_.now();
        if (left > Duration(0)) result.requeue_after = result.requeue_after.count() ? std::min(result.requeue_after, left) : left;
      }
    }
    Status written = co_await track(j, std::move(s), std::move(v), pods, verdict);
    if (!written) result.status = written;
    co_return result;
  }

  void note_suspension(const Job& j, api::batch::v1::JobStatus& s) const {
    const auto* old = find_condition(j, "Suspended");
    if (suspended(j)) {
      if (!old) set_condition(s.conditions, condition("Suspended", "True", "JobSuspended", "Job suspended"));
      s.start_time.reset();
      return;
    }
    if (old) {
      set_condition(s.conditions, condition("Suspended", "False", "JobResumed", "Job resumed"));
      s.start_time = context_.now();
    }
    if (s.start_time.is_zero()) s.start_time = WallTime(std::chrono::duration_cast<std::chrono::seconds>(context_.now().time_since_epoch()));
  }

  async::Task<Status> end_pods(std::string key, Job j, std::vector<Pod> pods) {
    if (pods.empty()) co_return Status();
    std::set<std::string> uids;
    for (const auto& p : pods) uids.insert(p.metadata.uid);
    expectations_.expect(key, 0, uids, context_.steady_now());
    Teller tell{&events_, client::ref_of(j)};
    Status s = co_await delete_pods(&client_, tell, pods);
    if (!s)
      for (const auto& uid : uids) expectations_.deletion_seen(key, uid);
    co_return s;
  }

  // Enough pods of the right indexes.
  async::Task<ReconcileResult> manage(std::string key, Job j, View* v) {
    int limit = parallelism(j), want;
    if (!j.spec.completions) want = v->succeeded > 0 ? static_cast<int>(v->active.size()) : limit;
    else want = std::min(limit, *j.spec.completions - v->succeeded - (is_indexed(j) ? static_cast<int>(v->failed_indexes.size()) : 0));
    want = std::max(want, 0);
    std::vector<Pod> excess = duplicates(j, *v);
    int have = static_cast<int>(v->active.size() - excess.size());
    if (have > want) {
      std::vector<Pod> kept;
      for (auto& p : v->active)
        if (std::none_of(excess.begin(), excess.end(), [&](const Pod& e) { return e.metadata.uid == p.metadata.uid; })) kept.push_back(p);
      std::sort(kept.begin(), kept.end(), [](const Pod& a, const Pod& b) { return give_up_before(a, b, {}); });
      excess.insert(excess.end(), kept.begin(), kept.begin() + (have - want));
    }
    if (!excess.empty()) {
      Status s = co_await end_pods(key, j, excess);
      for (auto& e : excess) {
        std::erase_if(v->active, [&](const Pod& p) { return p.metadata.uid == e.metadata.uid; });
        v->terminating.push_back(e);
      }
      co_return ReconcileResult{s};
    }
    int missing = std::min(want - have, kBurst);
    // Without early replacement a pod that is still ending holds its place.
    if (!replaces_early(j)) missing -= static_cast<int>(v->terminating.size());
    if (missing <= 0) co_return ReconcileResult{};
    if (v->failed > 0 && v->last_failure && !j.spec.backoff_limit_per_index) {
      Duration wait = std::min<Duration>(kBackoffFirst * (std::int64_t{1} << std::min(v->failed - 1, 10)), kBackoffMax);
      Duration left = v->last_failure.wall() + wait - context_.now();
      if (left > Duration(0)) co_return ReconcileResult{Status(), left};
    }
    co_return ReconcileResult{co_await create(key, j, *v, missing)};
  }

  // Indexed: of several active pods with one index the youngest go, and those whose index is done with.
  static std::vector<Pod> duplicates(const Job& j, const View& v) {
    std::vector<Pod> out;
    if (!is_indexed(j)) return out;
    std::map<int, const Pod*> first;
    for (const auto& p : v.active) {
      int i = completion_index(p);
      if (i < 0 || i >= completions(j) || v.failed_indexes.count(i)) {
        out.push_back(p);
        continue;
      }
      auto [it, fresh] = first.try_emplace(i, &p);
      if (fresh) continue;
      bool older = p.metadata.creation_timestamp < it->second->metadata.creation_timestamp;
      out.push_back(older ? *it->second : p);
      if (older) it->second = &p;
    }
    return out;
  }

  std::vector<int> free_indexes(const Job& j, const View& v, int count) const {
    std::set<int> taken = v.succeeded_indexes;
    taken.insert(v.failed_indexes.begin(), v.failed_indexes.end());
    for (const auto& p : v.active) taken.insert(completion_index(p));
    if (!replaces_early(j))
      for (const auto& p : v.terminating) taken.insert(completion_index(p));
    std::vector<int> out;
    for (int i = 0; i < completions(j) && static_cast<int>(out.size()) < count; ++i)
      if (!taken.count(i)) out.push_back(i);
    return out;
  }

  Pod pod_for(const Job& j, int index, int failures) const {
    Pod p = pod_from_template(j.spec.template_, j.metadata.namespace_, j.metadata.name, controller_ref(j));
    p.metadata.finalizers.push_back(kJobTracking);
    p.metadata.labels["job-name"] = p.metadata.labels[kJobName] = j.metadata.name;
    p.metadata.labels["controller-uid"] = p.metadata.labels[kControllerUid] = j.metadata.uid;
    if (index < 0) return p;
    std::string i = std::to_string(index);
    p.metadata.annotations[kCompletionIndex] = i;
    p.metadata.labels[kCompletionIndex] = i;
    if (j.spec.backoff_limit_per_index) p.metadata.annotations[kIndexFailures] = std::to_string(failures);
    p.metadata.generate_name = j.metadata.name + "-" + i + "-";
    p.spec.hostname = (j.metadata.name + "-" + i).substr(0, 63);
    auto add_env = [&](auto& containers) {
      for (auto& c : containers) {
        if (std::any_of(c.env.begin(), c.env.end(), [](const auto& e) { return e.name == "JOB_COMPLETION_INDEX"; })) continue;
        api::core::v1::EnvVar e;
        e.name = "JOB_COMPLETION_INDEX";
        e.value_from.ensure().field_ref.ensure().field_path = std::string("metadata.labels['") + kCompletionIndex + "']";
        c.env.push_back(std::move(e));
      }
    };
    add_env(p.spec.containers);
    add_env(p.spec.init_containers);
    return p;
  }

  async::Task<Status> create(std::string key, Job j, View v, int count) {
    std::vector<int> indexes;
    if (is_indexed(j)) {
      indexes = free_indexes(j, v, count);
      count = static_cast<int>(indexes.size());
      if (count == 0) co_return Status();
    }
    expectations_.expect(key, count, {}, context_.steady_now());
    int made = 0;
    Status failure;
    Teller tell{&events_, client::ref_of(j)};
    if (indexes.empty()) {
      Created c = co_await create_pods(&client_, tell, pod_for(j, -1, 0), count);
      made = c.count;
      failure = c.failure;
    } else {
      for (int i : indexes) {
        auto failures = v.failures_of_index.find(i);
        Created c = co_await create_pods(&client_, tell, pod_for(j, i, failures == v.failures_of_index.end() ? 0 : failures->second), 1);
        made += c.count;
        if (!c.failure) {
          failure = c.failure;
          break;
        }
      }
    }
    for (int i = made; i < count; ++i) expectations_.creation_seen(key);
    if (ends_with_namespace(failure)) co_return Status();
    co_return failure;
  }

  // The status, then the finalizers: see the top of the file.
  async::Task<Status> track(Job j, api::batch::v1::JobStatus s, View v, std::vector<Pod> pods, Verdict verdict) {
    auto uncounted = s.uncounted_terminated_pods ? *s.uncounted_terminated_pods : api::batch::v1::UncountedTerminatedPods();
    std::set<std::string> tracked;
    for (const auto& p : pods)
      if (has_tracking(p)) tracked.insert(p.metadata.uid);
    // What has lost its finalizer is counted now.
    auto flush = [&](std::vector<std::string>& uids, std::int32_t& count) {
      std::erase_if(uids, [&](const std::string& uid) {
        if (tracked.count(uid)) return false;
        ++count;
        return true;
      });
    };
    flush(uncounted.succeeded, s.succeeded);
    flush(uncounted.failed, s.failed);
    std::vector<Pod> release;
    std::set<std::string> known(uncounted.succeeded.begin(), uncounted.succeeded.end());
    known.insert(uncounted.failed.begin(), uncounted.failed.end());
    for (const auto& p : pods)
      if (known.count(p.metadata.uid) && has_tracking(p)) release.push_back(p);
    for (const auto& p : v.fresh_succeeded) {
      if (uncounted.succeeded.size() + uncounted.failed.size() >= kUncountedLimit) break;
      if (!is_indexed(j)) uncounted.succeeded.push_back(p.metadata.uid);
      release.push_back(p);
    }
    bool ended = !verdict.type.empty();
    for (const auto& p : v.fresh_failed) {
      if (uncounted.succeeded.size() + uncounted.failed.size() >= kUncountedLimit) break;
      if (failure_action(j, p).kind != FailureAction::Kind::Ignore) uncounted.failed.push_back(p.metadata.uid);
      release.push_back(p);
    }
    if (ended)  // pods that the end of the Job ends are failures of nobody; they go untracked
      for (const auto& p : v.terminating)
        if (has_tracking(p) && std::none_of(release.begin(), release.end(), [&](const Pod& r) { return r.metadata.uid == p.metadata.uid; })) {
          if (!known.count(p.metadata.uid) && counts_as_failed(p)) uncounted.failed.push_back(p.metadata.uid);
          release.push_back(p);
        }
    if (is_indexed(j)) {
      s.completed_indexes = format_indexes(v.succeeded_indexes);
      s.succeeded = static_cast<int>(v.succeeded_indexes.size());
      if (j.spec.backoff_limit_per_index) s.failed_indexes = format_indexes(v.failed_indexes);
    }
    s.active = static_cast<int>(v.active.size());
    s.terminating = static_cast<int>(v.terminating.size());
    s.ready = static_cast<int>(std::count_if(v.active.begin(), v.active.end(), [](const Pod& p) { return is_ready(p); }));
    bool nothing_left = uncounted.succeeded.empty() && uncounted.failed.empty();
    bool finished = ended && nothing_left && release.empty() && v.active.empty() && v.terminating.empty();
    if (finished) finish(s, verdict);
    if (nothing_left) s.uncounted_terminated_pods = api::batch::v1::UncountedTerminatedPods();
    else s.uncounted_terminated_pods = uncounted;
    if (!(s == j.status)) {
      Job changed = j;
      changed.status = std::move(s);
      auto r = co_await client_.update(std::move(changed), "status");
      if (!r) co_return r.is(Reason::NotFound) ? Status() : r.status();
      tell_of_conditions(j, *r, finished ? verdict : Verdict());
    }
    for (const auto& p : release) {
      Status released = co_await drop_finalizer(p);
      if (!released) co_return released;
    }
    co_return Status();
  }

  // What has been written, once.
  void tell_of_conditions(const Job& before, const Job& now, const Verdict& verdict) {
    bool was = find_condition(before, "Suspended"), is = find_condition(now, "Suspended");
    if (was != is) events_.event(client::ref_of(now), "Normal", is ? "Suspended" : "Resumed", is ? "Job suspended" : "Job resumed");
    if (verdict.type == "Complete") events_.event(client::ref_of(now), "Normal", "Completed", "Job completed");
    else if (!verdict.type.empty()) events_.event(client::ref_of(now), "Warning", verdict.reason, verdict.message);
  }

  void finish(api::batch::v1::JobStatus& s, const Verdict& verdict) {
    set_condition(s.conditions, condition(verdict.type, "True", verdict.reason, verdict.message));
    if (verdict.type == "Complete") s.completion_time = WallTime(std::chrono::duration_cast<std::chrono::seconds>(context_.now().time_since_epoch()));
    s.terminating = 0;
    s.active = 0;
    s.ready = 0;
  }

  // Pods of a Job that is gone are counted by nobody, and must not wait for it.
  async::Task<Status> release_left_behind(std::string key) {
    auto [ns, name] = client::split_key(key);
    std::vector<Pod> left;
    std::string prefix = ns + "/";
    for (auto it = pods_.items().lower_bound(prefix); it != pods_.items().end() && it->first.compare(0, prefix.size(), prefix) == 0; ++it) {
      std::optional<Pod> p = pods_.get(it->first);
      const auto* o = p ? controller_of(*p) : nullptr;
      if (o && o->kind == "Job" && o->name == name && has_tracking(*p)) left.push_back(std::move(*p));
    }
    for (const auto& p : left) {
      Status s = co_await drop_finalizer(p);
      if (!s) co_return s;
    }
    co_return Status();
  }

  async::Task<Status> drop_finalizer(Pod p) {
    nlohmann::json patch;
    patch["metadata"]["uid"] = p.metadata.uid;
    patch["metadata"]["$deleteFromPrimitiveList/finalizers"] = nlohmann::json::array({kJobTracking});
    auto r = co_await client_.patch<Pod>(p.metadata.namespace_, p.metadata.name, PatchType::StrategicMerge, patch.dump());
    co_return r.is(Reason::NotFound) || r.is(Reason::Invalid) || r.is(Reason::Conflict) ? Status() : r.status();
  }

  // A finished Job: its pods need no tracking any more; it goes itself when its time to live is over.
  async::Task<ReconcileResult> after_end(Job j, std::vector<Pod> pods) {
    for (const auto& p : pods)
      if (has_tracking(p)) {
        Status s = co_await drop_finalizer(p);
        if (!s) co_return ReconcileResult{s};
      }
    if (!j.spec.ttl_seconds_after_finished || j.metadata.deletion_timestamp) co_return ReconcileResult{};
    const auto* c = find_condition(j, "Complete");
    if (!c) c = find_condition(j, "Failed");
    Duration left = c->last_transition_time.wall() + std::chrono::seconds(*j.spec.ttl_seconds_after_finished) - context_.now();
    if (left > Duration(0)) co_return ReconcileResult{Status(), left};
    client::DeleteOptions options;
    options.uid = j.metadata.uid;
    options.propagation_policy = "Foreground";
    Result<void> r = co_await client_.remove<Job>(j.metadata.namespace_, j.metadata.name, options);
    co_return ReconcileResult{r.is(Reason::NotFound) ? Status() : r.status()};
  }

  client::Informer<Job>& jobs_;
  client::Informer<Pod>& pods_;
  OwnerIndex<Pod> owned_;
  Expectations expectations_;
};

}  // namespace

std::unique_ptr<Controller> make_job_controller(Context& c) { return std::make_unique<Jobs>(c); }

}  // namespace onebin::controller
