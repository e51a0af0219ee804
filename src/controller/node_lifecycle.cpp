// Nodes that stop beating: their Ready condition becomes Unknown, they get taints, their pods go elsewhere; and pods whose
// node or owner of existence is gone.
#include "controllers.hpp"
#include "pods.hpp"

#include <onebin/api/coordination_v1.hpp>
#include <onebin/base/log.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

namespace v1 = api::core::v1;
using api::coordination::v1::Lease;
constexpr char kNotReady[] = "node.kubernetes.io/not-ready", kUnreachable[] = "node.kubernetes.io/unreachable";
constexpr char kLeaseNamespace[] = "kube-node-lease";

struct TaintRule {
  const char *condition, *status, *key;
};
// NoSchedule taints that follow conditions.
constexpr TaintRule kConditionTaints[] = {
    {"Ready", "False", kNotReady}, {"Ready", "Unknown", kUnreachable}, {"MemoryPressure", "True", "node.kubernetes.io/memory-pressure"},
    {"DiskPressure", "True", "node.kubernetes.io/disk-pressure"}, {"PIDPressure", "True", "node.kubernetes.io/pid-pressure"},
    {"NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"},
};

const v1::NodeCondition* find(const v1::Node& n, std::string_view type) {
  for (const auto& c : n.status.conditions)
    if (c.type == type) return &c;
  return nullptr;
}
bool managed(const std::string& key) {
  return key == "node.kubernetes.io/unschedulable" || std::any_of(std::begin(kConditionTaints), std::end(kConditionTaints), [&](const auto& r) { return key == r.key; });
}

// The taints that a node should have: its own, and what its conditions and spec call for.
std::vector<v1::Taint> desired_taints(const v1::Node& n, WallTime now) {
  std::vector<v1::Taint> out;
  auto keep_time = [&](v1::Taint& t) {
    for (const auto& old : n.spec.taints)
      if (old.key == t.key && old.effect == t.effect) t.time_added = old.time_added;
  };
  for (const auto& t : n.spec.taints)
    if (!managed(t.key)) out.push_back(t);
  auto add = [&](const char* key, const char* effect, bool timed) {
    v1::Taint t;
    t.key = key;
    t.effect = effect;
    if (timed) t.time_added = WallTime(std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()));
    keep_time(t);
    out.push_back(std::move(t));
  };
  for (const auto& rule : kConditionTaints) {
    const auto* c = find(n, rule.condition);
    if (!c || c->status != rule.status) continue;
    add(rule.key, "NoSchedule", false);
    if (std::string_view(rule.condition) == "Ready") add(rule.key, "NoExecute", true);
  }
  if (n.spec.unschedulable) add("node.kubernetes.io/unschedulable", "NoSchedule", true);
  return out;
}

class NodeLifecycle final : public Controller {
 public:
  explicit NodeLifecycle(Context& c)
      : Controller(c, "node-lifecycle-controller"), nodes_(c.informers->get<v1::Node>()), leases_(c.informers->get<Lease>()), pods_(c.informers->get<Pod>()) {
    needs(nodes_);
    needs(leases_);
    needs(pods_);
    nodes_.on_event([this](const std::string& key, const v1::Node* before, const v1::Node* now) {
      if (!now) {
        beats_.erase(key);
        if (before) known_.erase(before->metadata.uid);
        if (before) events_.event(client::ref_of(*before), "Normal", "RemovingNode", "Node " + key + " event: Removing Node " + key + " from Controller");
        return;
      }
      if (!before || before->status.conditions != now->status.conditions) beat(key);
      queue_.add(key);
    });
    leases_.add_handler([this](const std::string& key, const Bytes&, const Bytes& now) {
      auto [ns, name] = client::split_key(key);
      if (!now || ns != kLeaseNamespace) return;
      bool late = overdue(name);
      beat(name);
      // Only a node that was given up is looked at again at once; a live one when its time would be up.
      if (late) queue_.add(name);
    });
  }

 private:
  void beat(const std::string& node) { beats_[node] = context_.steady_now(); }
  bool overdue(const std::string& node) const {
    auto it = beats_.find(node);
    return it != beats_.end() && context_.steady_now() - it->second >= context_.options->node_monitor_grace;
  }

  async::Task<ReconcileResult> reconcile(std::string name) override {
    std::optional<v1::Node> n = nodes_.get(name);
    if (!n) co_return ReconcileResult{};
    if (!beats_.count(name)) beat(name);
    if (known_.insert(n->metadata.uid).second)
      events_.event(client::ref_of(*n), "Normal", "RegisteredNode", "Node " + name + " event: Registered Node " + name + " in Controller");
    if (overdue(name)) {
      Status s = co_await mark_unknown(*n);
      if (!s) co_return ReconcileResult{s};
    }
    std::vector<v1::Taint> taints = desired_taints(*n, context_.now());
    if (!same_taints(taints, n->spec.taints)) {
      nlohmann::json patch;
      patch["metadata"]["resourceVersion"] = n->metadata.resource_version;
      patch["spec"]["taints"] = nlohmann::json::array();
      for (const auto& t : taints) {
        nlohmann::json o = {{"key", t.key}, {"effect", t.effect}};
        if (!t.value.empty()) o["value"] = t.value;
        if (!t.time_added.is_zero()) o["timeAdded"] = t.time_added.to_string();
        patch["spec"]["taints"].push_back(o);
      }
      auto r = co_await client_.patch<v1::Node>("", name, PatchType::Merge, patch.dump());
      if (!r) co_return ReconcileResult{r.is(Reason::NotFound) ? Status() : r.status()};
    }
    const auto* ready = find(*n, "Ready");
    if (ready && ready->status != "True") co_await mark_pods(name);
    if (overdue(name)) co_return ReconcileResult{};
    co_return ReconcileResult{Status(), std::max<Duration>(beats_[name] + context_.options->node_monitor_grace - context_.steady_now(), 10ms)};
  }

  static bool same_taints(std::vector<v1::Taint> a, std::vector<v1::Taint> b) {
    auto order = [](const v1::Taint& x, const v1::Taint& y) { return std::tie(x.key, x.effect, x.value) < std::tie(y.key, y.effect, y.value); };
    std::sort(a.begin(), a.end(), order);
    std::sort(b.begin(), b.end(), order);
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](const auto& x, const auto& y) { return x.key == y.key && x.effect == y.effect && x.value == y.value; });
  }

  async::Task<Status> mark_unknown(v1::Node n) {
    WallTime now = context_.now();
    bool changed = false;
    for (const char* type : {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"}) {
      auto c = std::find_if(n.status.conditions.begin(), n.status.conditions.end(), [&](const auto& x) { return x.type == type; });
      if (c != n.status.conditions.end() && c->status == "Unknown") continue;
      v1::NodeCondition u;
      u.type = type;
      u.status = "Unknown";
      u.reason = c == n.status.conditions.end() ? "NodeStatusNeverUpdated" : "NodeStatusUnknown";
      u.message = c == n.status.conditions.end() ? "Kubelet never posted node status." : "Kubelet stopped posting node status.";
      u.last_transition_time = now;
      if (c != n.status.conditions.end()) u.last_heartbeat_time = c->last_heartbeat_time;
      else u.last_heartbeat_time = n.metadata.creation_timestamp;
      if (c == n.status.conditions.end()) n.status.conditions.push_back(u);
      else *c = u;
      changed = true;
    }
    if (!changed) co_return Status();
    client::ObjectRef about = client::ref_of(n);
    auto r = co_await client_.update(std::move(n), "status");
    if (r) events_.event(about, "Normal", "NodeNotReady", "Node " + about.name + " status is now: NodeNotReady");
    co_return r.is(Reason::NotFound) ? Status() : r.status();
  }

  // Pods of a node that is not ready are not ready either: Services leave them out.
  async::Task<void> mark_pods(std::string node) {
    std::vector<std::string> keys(on_node_[node].begin(), on_node_[node].end());
    for (const auto& key : keys) {
      std::optional<Pod> p = pods_.get(key);
      if (!p || !is_ready(*p)) continue;
      nlohmann::json patch;
      patch["metadata"]["uid"] = p->metadata.uid;
      patch["status"]["conditions"] = nlohmann::json::array({{{"type", "Ready"}, {"status", "False"}, {"reason", "NodeNotReady"}, {"lastTransitionTime", format_rfc3339(context_.now())}}});
      auto r = co_await client_.patch<Pod>(p->metadata.namespace_, p->metadata.name, PatchType::StrategicMerge, patch.dump(), "status");
      if (r) events_.event(client::ref_of(*p), "Warning", "NodeNotReady", "Node is not ready");
      else if (!r.is(Reason::NotFound)) log_warn("pod of a dead node not marked", {{"pod", key}, {"error", r.status()}});
    }
  }

  client::Informer<v1::Node>& nodes_;
  client::Informer<Lease>& leases_;
  client::Informer<Pod>& pods_;
  std::set<std::string> known_;  // by uid: nodes that have been told of
  std::map<std::string, SteadyTime> beats_;  // by our own clock: a node's may differ
  const client::Index& on_node_ = pods_.index(client::node_of);
};

// NoExecute taints: pods that do not tolerate them go at once, those that do for a time after it.
class TaintEviction final : public Controller {
 public:
  explicit TaintEviction(Context& c) : Controller(c, "taint-eviction-controller"), nodes_(c.informers->get<v1::Node>()), pods_(c.informers->get<Pod>()) {
    needs(nodes_);
    needs(pods_);
    nodes_.on_event([this](const std::string& key, const v1::Node*, const v1::Node* now) {
      std::vector<v1::Taint> taints;
      if (now)
        for (const auto& t : now->spec.taints)
          if (t.effect == "NoExecute") taints.push_back(t);
      auto it = taints_.find(key);
      if (it == taints_.end() ? taints.empty() : it->second == taints) return;
      if (taints.empty()) taints_.erase(key);
      else taints_[key] = taints;
      for (auto pod : on_node_[key]) queue_.add(std::string(pod));
    });
    pods_.on_event([this](const std::string& key, const Pod*, const Pod* now) {
      if (!now) {
        due_.erase(key);
        return;
      }
      if (!now->spec.node_name.empty() && taints_.count(now->spec.node_name)) queue_.add(key);
    });
  }

 private:
  int workers() const override { return 8; }

  // How long the pod may stay from now on: none for ever.
  static std::optional<Duration> stay(const std::vector<v1::Taint>& taints, const std::vector<v1::Toleration>& tolerations) {
    std::optional<Duration> shortest;
    for (const auto& t : taints) {
      const v1::Toleration* by = nullptr;
      std::optional<Duration> mine;
      bool forever = false;
      for (const auto& tol : tolerations) {
        bool matches = (tol.effect.empty() || tol.effect == t.effect) && (tol.key.empty() || tol.key == t.key) &&
                       (tol.operator_ == "Exists" || tol.value == t.value);
        if (!matches) continue;
        by = &tol;
        if (!tol.toleration_seconds) forever = true;
        else {
          Duration d = std::chrono::seconds(std::max<std::int64_t>(0, *tol.toleration_seconds));
          mine = mine ? std::min(*mine, d) : d;
        }
      }
      if (!by) return Duration(0);
      if (mine) shortest = shortest ? std::min(*shortest, *mine) : *mine;
      else if (!forever) return Duration(0);
    }
    return shortest;
  }

  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<Pod> p = pods_.get(key);
    if (!p || p->metadata.deletion_timestamp || is_finished(*p)) co_return ReconcileResult{};
    auto taints = taints_.find(p->spec.node_name);
    if (taints == taints_.end()) {
      due_.erase(key);
      co_return ReconcileResult{};
    }
    std::optional<Duration> d = stay(taints->second, p->spec.tolerations);
    if (!d) {
      due_.erase(key);
      co_return ReconcileResult{};
    }
    // The time runs from when the taint was first seen with this pod; a change of taints does not lengthen it.
    SteadyTime now = context_.steady_now();
    auto due = due_.try_emplace(key, now + *d).first;
    if (due->second > now) co_return ReconcileResult{Status(), due->second - now};
    due_.erase(due);
    co_return ReconcileResult{co_await evict(*p)};
  }

  async::Task<Status> evict(Pod p) {
    events_.event(client::ref_of(p), "Normal", "TaintManagerEviction", "Marking for deletion Pod " + key_of(p));
    nlohmann::json patch;
    patch["metadata"]["uid"] = p.metadata.uid;
    patch["status"]["conditions"] = nlohmann::json::array({{{"type", "DisruptionTarget"}, {"status", "True"}, {"reason", "DeletionByTaintManager"},
                                                            {"message", "Taint manager: deleting due to NoExecute taint"}, {"lastTransitionTime", format_rfc3339(context_.now())}}});
    auto marked = co_await client_.patch<Pod>(p.metadata.namespace_, p.metadata.name, PatchType::StrategicMerge, patch.dump(), "status");
    if (!marked && !marked.is(Reason::NotFound)) co_return marked.status();
    client::DeleteOptions options;
    options.uid = p.metadata.uid;
    Result<void> r = co_await client_.remove<Pod>(p.metadata.namespace_, p.metadata.name, options);
    co_return r.is(Reason::NotFound) || r.is(Reason::Conflict) ? Status() : r.status();
  }

  client::Informer<v1::Node>& nodes_;
  client::Informer<Pod>& pods_;
  std::map<std::string, std::vector<v1::Taint>> taints_;
  const client::Index& on_node_ = pods_.index(client::node_of);
  std::map<std::string, SteadyTime> due_;
};

// Pods that nothing else removes: bound to a node that is gone, or being deleted without ever having been bound.
class PodGarbage final : public Controller {
 public:
  explicit PodGarbage(Context& c) : Controller(c, "pod-garbage-collector"), nodes_(c.informers->get<v1::Node>()), pods_(c.informers->get<Pod>()) {
    needs(nodes_);
    needs(pods_);
    nodes_.add_handler([this](const std::string& key, const Bytes&, const Bytes& now) {
      if (now) return;
      for (auto pod : on_node_[key]) queue_.add_after(std::string(pod), kQuarantine);
    });
    pods_.on_event([this](const std::string& key, const Pod*, const Pod* now) {
      if (!now) return;
      if (!now->spec.node_name.empty()) {
        if (!nodes_.RawInformer::get(now->spec.node_name)) queue_.add_after(key, kQuarantine);
      } else if (now->metadata.deletion_timestamp) {
        queue_.add(key);
      }
    });
  }

 private:
  static constexpr Duration kQuarantine = 40s;  // a node that is only late in being registered is waited for

  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<Pod> p = pods_.get(key);
    if (!p) co_return ReconcileResult{};
    bool unbound = p->spec.node_name.empty() && p->metadata.deletion_timestamp;
    if (!unbound) {
      if (p->spec.node_name.empty() || nodes_.RawInformer::get(p->spec.node_name)) co_return ReconcileResult{};
      Result<v1::Node> live = co_await client_.get<v1::Node>("", p->spec.node_name);
      if (live || !live.is(Reason::NotFound)) co_return ReconcileResult{live ? Status() : live.status()};
    }
    nlohmann::json patch;
    patch["metadata"]["uid"] = p->metadata.uid;
    if (!is_finished(*p)) patch["status"]["phase"] = "Failed";
    if (!unbound)
      patch["status"]["conditions"] = nlohmann::json::array({{{"type", "DisruptionTarget"}, {"status", "True"}, {"reason", "DeletionByPodGC"},
                                                              {"message", "PodGC: node no longer exists"}, {"lastTransitionTime", format_rfc3339(context_.now())}}});
    if (patch.contains("status")) {
      auto r = co_await client_.patch<Pod>(p->metadata.namespace_, p->metadata.name, PatchType::StrategicMerge, patch.dump(), "status");
      if (!r && !r.is(Reason::NotFound)) co_return ReconcileResult{r.status()};
    }
    client::DeleteOptions options;
    options.uid = p->metadata.uid;
    options.grace_period_seconds = 0;
    Result<void> r = co_await client_.remove<Pod>(p->metadata.namespace_, p->metadata.name, options);
    co_return ReconcileResult{r.is(Reason::NotFound) || r.is(Reason::Conflict) ? Status() : r.status()};
  }

  client::Informer<v1::Node>& nodes_;
  client::Informer<Pod>& pods_;
  const client::Index& on_node_ = pods_.index(client::node_of);
};

}  // namespace

std::unique_ptr<Controller> make_node_lifecycle_controller(Context& c) { return std::make_unique<NodeLifecycle>(c); }
std::unique_ptr<Controller> make_taint_eviction_controller(Context& c) { return std::make_unique<TaintEviction>(c); }
std::unique_ptr<Controller> make_pod_garbage_collector(Context& c) { return std::make_unique<PodGarbage>(c); }

}  // namespace onebin::controller
