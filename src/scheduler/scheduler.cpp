// The shell: informers feed the cache and the queue, one cycle at a time decides, bindings are written beside it.
#include <onebin/scheduler/scheduler.hpp>

#include "framework.hpp"
#include "queue.hpp"
#include "volume_binder.hpp"

#include <onebin/api/policy_v1.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>
#include <onebin/base/metrics.hpp>
#include <onebin/client/events.hpp>
#include <onebin/client/informer.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace onebin::scheduler {
namespace {

namespace v1 = api::core::v1;
constexpr std::size_t kBindings = 32;         // written at once
constexpr Duration kWriteLimit = 30s;
constexpr std::size_t kMinFeasible = 100;     // below this many nodes all are looked at

bool finished(const v1::Pod& p) { return p.status.phase == "Succeeded" || p.status.phase == "Failed"; }

// Above 100 nodes not all need be found: upstream's share falls from 50 % by one per 125 nodes to 5 %.
std::size_t nodes_to_find(std::size_t all) {
  if (all < kMinFeasible) return all;
  std::size_t percent = all / 125 >= 45 ? 5 : 50 - all / 125;
  return std::max(kMinFeasible, all * percent / 100);
}

}  // namespace

class Scheduler::Impl {
 public:
  Impl(client::Client& client, Options options)
      : client_(client), options_(std::move(options)), rng_(options_.rng ? *options_.rng : system_rng()), plugins_(default_plugins()),
        own_(client), informers_(options_.informers ? *options_.informers : own_), nodes_(informers_.get<v1::Node>()), namespaces_(informers_.get<v1::Namespace>()),
        pods_(informers_.get<v1::Pod>()), budgets_(informers_.get<api::policy::v1::PodDisruptionBudget>()), volumes_(client, informers_), events_(client, options_.scheduler_name, ""), bindings_(kBindings),
        group_("scheduler") {
    snapshot_.nodes = &cache_;
    snapshot_.volumes = &volumes_;
    snapshot_.namespace_labels = [this](const std::string& ns) {
      auto it = namespace_labels_.find(ns);
      return it == namespace_labels_.end() ? nullptr : &it->second;
    };
  }

  void start() {
    nodes_.on_event([this](const std::string& key, const v1::Node* before, const v1::Node* now) { on_node(key, before, now); });
    namespaces_.on_event([this](const std::string& key, const v1::Namespace*, const v1::Namespace* now) {
      if (now) namespace_labels_[key] = now->metadata.labels;
      else namespace_labels_.erase(key);
    });
    pods_.on_event([this](const std::string&, const v1::Pod* before, const v1::Pod* now) { on_pod(before, now); });
    events_.start();
    volumes_.start([this] { queue_.move_all(); });
    own_.start();
    group_.spawn(run());
  }

  async::Task<void> stop() {
    queue_.close();
    group_.cancel();
    co_await group_.join();
    co_await own_.stop();
    co_await events_.stop();
  }

 private:
  void on_node(const std::string& name, const v1::Node* before, const v1::Node* now) {
    if (!now) {
      auto it = cache_.find(name);
      if (it == cache_.end()) return;
      it->second.known = false;
      if (it->second.pods.empty()) cache_.erase(it);
      return;
    }
    update_node(cache_[name], *now);
    bool changed = !before || !(before->spec == now->spec) || before->metadata.labels != now->metadata.labels || before->status.allocatable != now->status.allocatable;
    if (changed) queue_.move_all();
  }

  // A pod is either assigned (in the cache), pending for this scheduler (in the queue), or neither.
  void on_pod(const v1::Pod* before, const v1::Pod* now) {
    const v1::Pod& p = now ? *now : *before;
    bool assigned = now && !now->spec.node_name.empty() && !finished(*now);
    if (assigned) {
      queue_.remove(p.metadata.uid);
      bool fresh = !before || before->spec.node_name.empty();
      put(std::make_shared<const PodInfo>(pod_info(p, shapes_)));
      if (fresh || before->metadata.labels != p.metadata.labels) queue_.move_all();
      return;
    }
    if (drop(p.metadata.uid)) {
      queue_.move_all();
      volumes_.look_again();
    }
    bool pending = now && now->spec.node_name.empty() && !finished(*now) && !now->metadata.deletion_timestamp &&
                   now->spec.scheduler_name == options_.scheduler_name;
    if (!pending) {
      queue_.remove(p.metadata.uid);
      return;
    }
    if (assumed_.count(p.metadata.uid)) return;
    auto info = std::make_shared<const PodInfo>(pending_pod_info(p, shapes_));
    bool gated = std::any_of(plugins_.begin(), plugins_.end(), [&](const auto& g) { return g->pre_enqueue(*info).has_value(); });
    bool may_help = !before || !(before->spec == now->spec) || before->metadata.labels != now->metadata.labels;
    if (before) queue_.update(std::move(info), gated, may_help);
    else queue_.add(std::move(info), gated);
  }

  void put(PodInfoPtr pod) {
    drop(pod->uid);
    where_[pod->uid] = pod;
    NodeInfo& node = cache_[pod->node_name];
    node.name = pod->node_name;
    node.add(std::move(pod));
  }
  bool drop(const std::string& uid) {
    assumed_.erase(uid);
    auto it = where_.find(uid);
    if (it == where_.end()) return false;
    PodInfoPtr pod = std::move(it->second);  // its uid is the keys'
    where_.erase(it);
    auto node = cache_.find(pod->node_name);
    if (node != cache_.end()) {
      node->second.remove(pod->uid);
      if (!node->second.known && node->second.pods.empty()) cache_.erase(node);
    }
    return true;
  }

  async::Task<void> run() {
    // Decisions wait until nodes and assigned pods are known.
    Result<void> nodes = co_await nodes_.wait_synced();
    Result<void> pods = co_await pods_.wait_synced();
    Result<void> volumes = co_await volumes_.wait_synced();
    if (!nodes || !pods || !volumes) co_return;
    for (;;) {
      Result<PodInfoPtr> next = co_await queue_.pop();
      if (!next) co_return;
      Result<void> slot = co_await bindings_.acquire();
      if (!slot) co_return;
      PodInfoPtr pod = *next;
      std::map<std::string, Verdict> failed;
      std::string node = choose(*pod, failed);
      if (node.empty()) {
        bindings_.release();
        group_.spawn(unschedulable(pod, std::move(failed)));
      } else {
        NodeVolumes volumes;
        if (!pod->shape->claims.empty()) volumes = volumes_.assume(*pod, cache_[node]);
        assume(pod, node);
        if (volumes.bindings.empty() && volumes.provisions.empty()) group_.spawn(bind(pod, node));
        else group_.spawn(bind_with_volumes(pod, node, std::move(volumes)));
      }
      co_await async::sleep_for(Duration(0));  // a burst of pods must not keep others from the loop
    }
  }

  // The node for a pod; empty, with each node's verdict, when none fits.
  std::string choose(const PodInfo& pod, std::map<std::string, Verdict>& failed) {
    Cycle cycle(plugins_, pod, snapshot_);
    std::vector<const NodeInfo*> fitting;
    std::size_t wanted = nodes_to_find(cache_.size());
    // Start where the last cycle stopped, so that all nodes get their turn.
    auto at = cache_.lower_bound(next_node_);
    for (std::size_t i = 0; i < cache_.size() && fitting.size() < wanted; ++i, ++at) {
      if (at == cache_.end()) at = cache_.begin();
      if (!at->second.known) continue;
      Verdict v = cycle.filter(at->second);
      if (v.fits) fitting.push_back(&at->second);
      else failed[at->first] = std::move(v);
    }
    next_node_ = at == cache_.end() ? "" : at->first;
    if (fitting.empty()) return {};
    failed.clear();
    if (pod.requirements && !pod.requirements->nominated_node.empty())
      for (const NodeInfo* n : fitting)
        if (n->name == pod.requirements->nominated_node) return n->name;
    std::vector<std::int64_t> scores = cycle.score(fitting);
    std::size_t best = 0, ties = 1;
    for (std::size_t i = 1; i < fitting.size(); ++i) {
      if (scores[i] > scores[best]) { best = i; ties = 1; }
      else if (scores[i] == scores[best] && rng_.below(++ties) == 0) best = i;
    }
    return fitting[best]->name;
  }

  void assume(const PodInfoPtr& pod, const std::string& node) {
    auto placed = std::make_shared<PodInfo>(*pod);
    placed->node_name = node;
    placed->requirements.reset();
    put(std::move(placed));
    assumed_.insert(pod->uid);
  }

  // Volumes may take minutes to come: other pods are not held up meanwhile.
  async::Task<void> bind_with_volumes(PodInfoPtr pod, std::string node, NodeVolumes volumes) {
    bindings_.release();
    Result<void> r = co_await volumes_.bind(std::move(volumes), node, [this, uid = pod->uid] { return assumed_.count(uid) > 0; });
    if (r) r = co_await bindings_.acquire();
    if (r) {
      co_await bind(pod, node);
      co_return;
    }
    if (r.is(Reason::Cancelled)) co_return;
    attempts("error");
    if (!assumed_.count(pod->uid)) co_return;
    drop(pod->uid);
    queue_.failed(pod, true);
    events_.event({"v1", "Pod", pod->shape->ns, pod->name, pod->uid, "", ""}, "Warning", "FailedScheduling",
                  "running PreBind plugin \"VolumeBinding\": binding volumes: " + r.status().message());
  }

  async::Task<void> bind(PodInfoPtr pod, std::string node) {
    v1::Binding b;
    b.metadata.name = pod->name;
    b.metadata.namespace_ = pod->shape->ns;
    b.metadata.uid = pod->uid;
    b.target.kind = "Node";
    b.target.name = node;
    auto r = co_await async::with_timeout(kWriteLimit, client_.create_sub<api::meta::v1::Status>(api::resource_of<v1::Pod>(), pod->shape->ns, pod->name, "binding", std::move(b)));
    bindings_.release();
    client::ObjectRef ref{"v1", "Pod", pod->shape->ns, pod->name, pod->uid, "", ""};
    if (r) {
      attempts("scheduled");
      events_.event(ref, "Normal", "Scheduled", "Successfully assigned " + pod->key() + " to " + node);
      co_return;
    }
    if (r.is(Reason::Cancelled)) co_return;
    attempts("error");
    // Unless the informer has brought the binding meanwhile, the assumption was wrong.
    if (assumed_.count(pod->uid)) {
      drop(pod->uid);
      queue_.failed(pod, true);
    }
    if (r.is(Reason::NotFound)) co_return;
    log_warn("binding failed", {{"pod", pod->key()}, {"node", node}, {"error", r.status()}});
    events_.event(ref, "Warning", "FailedScheduling", "binding rejected: " + r.status().message());
  }

  async::Task<void> unschedulable(PodInfoPtr pod, std::map<std::string, Verdict> failed) {
    std::size_t nodes = static_cast<std::size_t>(std::count_if(cache_.begin(), cache_.end(), [](const auto& n) { return n.second.known; }));
    std::string message = nodes ? explain_failure(nodes, failed) : "no nodes available to schedule pods";
    std::optional<PreemptionPlan> plan = nodes ? plan_preemption(plugins_, *pod, snapshot_, failed, budgets()) : std::nullopt;
    attempts("unschedulable");
    queue_.failed(pod, false);
    if (!plan && nodes) message += " preemption: 0/" + std::to_string(nodes) + " nodes are available: " + std::to_string(nodes) +
                                   (helpable(failed) ? " No preemption victims found for incoming pod." : " Preemption is not helpful for scheduling.");
    client::ObjectRef ref{"v1", "Pod", pod->shape->ns, pod->name, pod->uid, "", ""};
    events_.event(ref, "Warning", "FailedScheduling", message);
    nlohmann::json condition = {{"type", "PodScheduled"}, {"status", "False"}, {"reason", "Unschedulable"}, {"message", message}};
    condition["lastTransitionTime"] = format_rfc3339(async::Loop::current().clock().wall());
    nlohmann::json patch;
    patch["metadata"]["uid"] = pod->uid;
    patch["status"]["conditions"] = nlohmann::json::array({condition});
    if (plan) patch["status"]["nominatedNodeName"] = plan->node;
    auto r = co_await async::with_timeout(kWriteLimit, client_.patch<v1::Pod>(pod->shape->ns, pod->name, client::PatchType::StrategicMerge, patch.dump(), "status"));
    if (!r && !r.is(Reason::NotFound) && !r.is(Reason::Cancelled)) log_warn("pod condition not written", {{"pod", pod->key()}, {"error", r.status()}});
    if (plan && r) co_await preempt(pod, std::move(*plan));
  }

  async::Task<void> preempt(PodInfoPtr pod, PreemptionPlan plan) {
    for (const auto& victim : plan.victims) {
      std::string why = "Preempted by pod " + pod->uid + " on node " + plan.node;
      nlohmann::json condition = {{"type", "DisruptionTarget"}, {"status", "True"}, {"reason", "PreemptionByScheduler"},
                                  {"message", options_.scheduler_name + ": preempting to accommodate a higher priority pod"}};
      condition["lastTransitionTime"] = format_rfc3339(async::Loop::current().clock().wall());
      nlohmann::json patch;
      patch["metadata"]["uid"] = victim->uid;
      patch["status"]["conditions"] = nlohmann::json::array({condition});
      auto marked = co_await async::with_timeout(kWriteLimit, client_.patch<v1::Pod>(victim->shape->ns, victim->name, client::PatchType::StrategicMerge, patch.dump(), "status"));
      if (!marked) log_debug("victim not marked", {{"pod", victim->key()}, {"error", marked.status()}});
      client::DeleteOptions options;
      options.uid = victim->uid;
      auto gone = co_await async::with_timeout(kWriteLimit, client_.remove<v1::Pod>(victim->shape->ns, victim->name, options));
      if (!gone && !gone.is(Reason::NotFound)) log_warn("preemption failed", {{"pod", victim->key()}, {"error", gone.status()}});
      events_.event({"v1", "Pod", victim->shape->ns, victim->name, victim->uid, "", ""}, "Normal", "Preempted", why);
    }
  }

  std::vector<DisruptionBudget> budgets() const {
    std::vector<DisruptionBudget> out;
    budgets_.for_each([&](const std::string&, const api::policy::v1::PodDisruptionBudget& b) {
      auto s = LabelSelector::from_struct(b.spec.selector);
      if (s) out.push_back({b.metadata.namespace_, *s, b.status.disruptions_allowed});
    });
    return out;
  }
  static bool helpable(const std::map<std::string, Verdict>& failed) {
    return std::any_of(failed.begin(), failed.end(), [](const auto& f) { return !f.second.unresolvable; });
  }
  static void attempts(const char* result) {
    metrics::counter("scheduler_schedule_attempts_total", "Number of attempts to schedule pods, by result.",
                     std::string("profile=\"default-scheduler\",result=\"") + result + "\"").add();
  }

  client::Client& client_;
  Options options_;
  Rng& rng_;
  Plugins plugins_;
  ShapePool shapes_;
  std::map<std::string, NodeInfo> cache_;
  std::map<std::string_view, PodInfoPtr> where_;  // assigned pods by uid, which is the pod's
  std::set<std::string> assumed_;             // placed by us, not seen bound yet
  std::map<std::string, Labels> namespace_labels_;
  Snapshot snapshot_;
  SchedulingQueue queue_;
  std::string next_node_;
  client::Informers own_;
  client::Informers& informers_;
  client::Informer<v1::Node>& nodes_;
  client::Informer<v1::Namespace>& namespaces_;
  client::Informer<v1::Pod>& pods_;
  client::Informer<api::policy::v1::PodDisruptionBudget>& budgets_;
  VolumeBinder volumes_;
  client::EventRecorder events_;
  async::Semaphore bindings_;
  async::TaskGroup group_;
};

Scheduler::Scheduler(client::Client& client, Options options) : impl_(std::make_unique<Impl>(client, std::move(options))) {}
Scheduler::~Scheduler() = default;
void Scheduler::start() { impl_->start(); }
async::Task<void> Scheduler::stop() { return impl_->stop(); }

}  // namespace onebin::scheduler
