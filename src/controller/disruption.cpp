// PodDisruptionBudgets: how many pods of each may be evicted now.
#include "controllers.hpp"
#include "pods.hpp"

#include <onebin/api/apps_v1.hpp>
#include <onebin/api/policy_v1.hpp>
#include <onebin/base/log.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

using Budget = api::policy::v1::PodDisruptionBudget;
using apimachinery::LabelSelector;
constexpr Duration kEvictionSeen = 2min;  // an eviction that no deletion follows within this time did not happen

struct Expected {
  int pods = 0, healthy = 0;
};

// How many pods there should be and how many must stay healthy. `scale` is the sum of the controllers' replicas.
Result<Expected> expected(const Budget& b, int pods, int scale) {
  Expected e;
  if (b.spec.max_unavailable) {
    e.pods = scale;
    ASSIGN_OR_RETURN(int n, b.spec.max_unavailable->scaled(scale, true));
    e.healthy = std::max(0, scale - n);
  } else if (b.spec.min_available) {
    if (!b.spec.min_available->is_string) {
      e.pods = pods;
      e.healthy = b.spec.min_available->int_value;
    } else {
      e.pods = scale;
      ASSIGN_OR_RETURN(e.healthy, b.spec.min_available->scaled(scale, true));
    }
  } else {
    e.pods = pods;
  }
  return e;
}

class Disruption final : public Controller {
 public:
  explicit Disruption(Context& c)
      : Controller(c, "disruption-controller"), budgets_(c.informers->get<Budget>()), pods_(c.informers->get<Pod>()),
        sets_(c.informers->get<api::apps::v1::ReplicaSet>()), stateful_(c.informers->get<api::apps::v1::StatefulSet>()) {
    needs(budgets_);
    needs(pods_);
    needs(sets_);
    budgets_.on_event([this](const std::string& key, const Budget*, const Budget* now) {
      if (now) selectors_[key] = LabelSelector::from_struct(now->spec.selector).value_or(LabelSelector::nothing());
      else selectors_.erase(key);
      queue_.add(key);
    });
    pods_.on_event([this](const std::string&, const Pod* before, const Pod* now) {
      for (const Pod* p : {before, now}) {
        if (!p) continue;
        std::string prefix = p->metadata.namespace_ + "/";
        for (auto it = selectors_.lower_bound(prefix); it != selectors_.end() && it->first.compare(0, prefix.size(), prefix) == 0; ++it)
          if (it->second.matches(p->metadata.labels)) queue_.add(it->first);
      }
    });
  }

 private:
  // The sum of spec.replicas over the pods' controllers.
  int scale_of(const std::vector<Pod>& pods) const {
    std::map<std::string, int> by_controller;
    for (const auto& p : pods) {
      const auto* o = controller_of(p);
      if (!o || by_controller.count(o->uid)) continue;
      int n = 0;
      if (o->kind == "ReplicaSet") {
        if (auto rs = sets_.get(p.metadata.namespace_, o->name)) n = rs->spec.replicas ? *rs->spec.replicas : 1;
      } else if (o->kind == "StatefulSet") {
        if (auto s = stateful_.get(p.metadata.namespace_, o->name)) n = s->spec.replicas ? *s->spec.replicas : 1;
      } else {
        n = static_cast<int>(std::count_if(pods.begin(), pods.end(), [&](const Pod& q) { const auto* other = controller_of(q); return other && other->uid == o->uid; }));
      }
      by_controller[o->uid] = n;
    }
    int total = 0;
    for (const auto& [uid, n] : by_controller) total += n;
    return total;
  }

  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<Budget> b = budgets_.get(key);
    if (!b) co_return ReconcileResult{};
    std::vector<Pod> pods;
    LabelSelector selector = selectors_[key];
    std::string prefix = b->metadata.namespace_ + "/";
    for (auto it = pods_.items().lower_bound(prefix); it != pods_.items().end() && it->first.compare(0, prefix.size(), prefix) == 0; ++it)
      if (auto p = pods_.get(it->first); p && !is_finished(*p) && selector.matches(p->metadata.labels)) pods.push_back(std::move(*p));

    ReconcileResult result;
    auto s = b->status;
    WallTime now = context_.now();
    std::map<std::string, apimachinery::Time> disrupted;
    for (const auto& p : pods) {
      auto it = b->status.disrupted_pods.find(p.metadata.name);
      if (it == b->status.disrupted_pods.end() || p.metadata.deletion_timestamp) continue;
      Duration left = it->second.wall() + kEvictionSeen - now;
      if (left <= Duration(0)) continue;
      disrupted.insert(*it);
      result.requeue_after = result.requeue_after.count() ? std::min(result.requeue_after, left) : left;
    }
    int healthy = 0;
    for (const auto& p : pods)
      if (is_ready(p) && !p.metadata.deletion_timestamp && !disrupted.count(p.metadata.name)) ++healthy;
    Result<Expected> e = expected(*b, static_cast<int>(pods.size()), scale_of(pods));
    api::meta::v1::Condition c;
    c.type = "DisruptionAllowed";
    c.observed_generation = b->metadata.generation;
    c.last_transition_time = now;
    if (!e) {
      s.disruptions_allowed = 0;
      c.status = "False";
      c.reason = "SyncFailed";
      c.message = e.status().message();
    } else {
      s.expected_pods = e->pods;
      s.desired_healthy = e->healthy;
      s.current_healthy = healthy;
      s.disruptions_allowed = e->pods > 0 ? std::max(0, healthy - e->healthy) : 0;
      s.disrupted_pods = std::move(disrupted);
      c.status = s.disruptions_allowed > 0 ? "True" : "False";
      c.reason = s.disruptions_allowed > 0 ? "SufficientPods" : "InsufficientPods";
    }
    s.observed_generation = b->metadata.generation;
    set_condition(s.conditions, c);
    if (s == b->status) co_return result;
    b->status = std::move(s);
    auto r = co_await client_.update(std::move(*b), "status");
    result.status = r.is(Reason::NotFound) ? Status() : r.status();
    co_return result;
  }

  client::Informer<Budget>& budgets_;
  client::Informer<Pod>& pods_;
  client::Informer<api::apps::v1::ReplicaSet>& sets_;
  client::Informer<api::apps::v1::StatefulSet>& stateful_;
  std::map<std::string, LabelSelector> selectors_;
};

}  // namespace

std::unique_ptr<Controller> make_disruption_controller(Context& c) { return std::make_unique<Disruption>(c); }

}  // namespace onebin::controller
