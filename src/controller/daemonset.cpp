// DaemonSet: a pod on every node that fits.
#include "controllers.hpp"
#include "pods.hpp"

#include <onebin/api/apps_v1.hpp>
#include <onebin/base/log.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

namespace v1 = api::core::v1;
using api::apps::v1::ControllerRevision;
using api::apps::v1::DaemonSet;
using apimachinery::LabelSelector;
constexpr char kHashLabel[] = "controller-revision-hash";
constexpr int kBurst = 250;

// Tolerations that every daemon pod gets: it stays where others are driven out.
struct Tolerated {
  const char *key, *effect;
};
constexpr Tolerated kTolerations[] = {
    {"node.kubernetes.io/not-ready", "NoExecute"},          {"node.kubernetes.io/unreachable", "NoExecute"},
    {"node.kubernetes.io/disk-pressure", "NoSchedule"},     {"node.kubernetes.io/memory-pressure", "NoSchedule"},
    {"node.kubernetes.io/pid-pressure", "NoSchedule"},      {"node.kubernetes.io/unschedulable", "NoSchedule"},
};

void add_tolerations(v1::PodSpec& spec) {
  auto add = [&](const char* key, const char* effect) {
    for (const auto& t : spec.tolerations)
      if (t.key == key && t.effect == effect && t.operator_ == "Exists") return;
    v1::Toleration t;
    t.key = key;
    t.operator_ = "Exists";
    t.effect = effect;
    spec.tolerations.push_back(std::move(t));
  };
  for (const auto& t : kTolerations) add(t.key, t.effect);
  if (spec.host_network) add("node.kubernetes.io/network-unavailable", "NoSchedule");
}

bool tolerates(const std::vector<v1::Toleration>& tolerations, const v1::Taint& taint) {
  return std::any_of(tolerations.begin(), tolerations.end(), [&](const v1::Toleration& t) {
    return (t.effect.empty() || t.effect == taint.effect) && (t.key.empty() || t.key == taint.key) && (t.operator_ == "Exists" || t.value == taint.value);
  });
}

bool matches_term(const v1::NodeSelectorTerm& term, const v1::Node& n) {
  if (term.match_expressions.empty() && term.match_fields.empty()) return false;
  for (const auto& e : term.match_expressions) {
    auto label = n.metadata.labels.find(e.key);
    bool there = label != n.metadata.labels.end();
    bool in = there && std::find(e.values.begin(), e.values.end(), label->second) != e.values.end();
    if (e.operator_ == "In" ? !in : e.operator_ == "NotIn" ? in : e.operator_ == "Exists" ? !there : e.operator_ == "DoesNotExist" ? there : false) return false;
    if (e.operator_ == "Gt" || e.operator_ == "Lt") {
      if (!there || e.values.size() != 1) return false;
      long long a = std::atoll(label->second.c_str()), b = std::atoll(e.values[0].c_str());
      if (e.operator_ == "Gt" ? a <= b : a >= b) return false;
    }
  }
  for (const auto& f : term.match_fields) {
    bool in = f.key == "metadata.name" && std::find(f.values.begin(), f.values.end(), n.metadata.name) != f.values.end();
    if (in != (f.operator_ == "In")) return false;
  }
  return true;
}

struct Fit {
  bool should_run = false, should_continue = false;
};
// Whether a daemon's pod belongs on a node, and whether one that runs there may stay.
Fit fits(const DaemonSet& ds, const v1::Node& n) {
  const v1::PodSpec& spec = ds.spec.template_.spec;
  if (!spec.node_name.empty() && spec.node_name != n.metadata.name) return {};
  for (const auto& [k, v] : spec.node_selector) {
    auto l = n.metadata.labels.find(k);
    if (l == n.metadata.labels.end() || l->second != v) return {};
  }
  if (spec.affinity && spec.affinity->node_affinity && spec.affinity->node_affinity->required_during_scheduling_ignored_during_execution) {
    const auto& terms = spec.affinity->node_affinity->required_during_scheduling_ignored_during_execution->node_selector_terms;
    if (std::none_of(terms.begin(), terms.end(), [&](const auto& t) { return matches_term(t, n); })) return {};
  }
  v1::PodSpec with = spec;
  add_tolerations(with);
  Fit f{true, true};
  for (const auto& t : n.spec.taints) {
    if (t.effect != "NoSchedule" && t.effect != "NoExecute") continue;
    if (tolerates(with.tolerations, t)) continue;
    f.should_run = false;
    if (t.effect == "NoExecute") f.should_continue = false;
  }
  return f;
}

// The node that a daemon pod is meant for: where it is, or what its affinity names.
std::string node_of(const Pod& p) {
  if (!p.spec.node_name.empty()) return p.spec.node_name;
  if (!p.spec.affinity || !p.spec.affinity->node_affinity || !p.spec.affinity->node_affinity->required_during_scheduling_ignored_during_execution) return {};
  for (const auto& t : p.spec.affinity->node_affinity->required_during_scheduling_ignored_during_execution->node_selector_terms)
    for (const auto& f : t.match_fields)
      if (f.key == "metadata.name" && f.operator_ == "In" && f.values.size() == 1) return f.values[0];
  return {};
}

// The scheduler binds it, but to this node only: its terms keep what they said and get the node's name.
void pin_to(v1::PodSpec& spec, const std::string& node) {
  auto& required = spec.affinity.ensure().node_affinity.ensure().required_during_scheduling_ignored_during_execution.ensure();
  v1::NodeSelectorRequirement name;
  name.key = "metadata.name";
  name.operator_ = "In";
  name.values = {node};
  if (required.node_selector_terms.empty()) required.node_selector_terms.emplace_back();
  for (auto& t : required.node_selector_terms) t.match_fields = {name};
}

bool too_old(const Pod& p, const std::string& hash) {
  auto it = p.metadata.labels.find(kHashLabel);
  return it == p.metadata.labels.end() || it->second != hash;
}

class DaemonSets final : public Controller {
 public:
  explicit DaemonSets(Context& c)
      : Controller(c, "daemon-set-controller"), sets_(c.informers->get<DaemonSet>()), nodes_(c.informers->get<v1::Node>()), pods_(c.informers->get<Pod>()),
        revisions_(c.informers->get<ControllerRevision>()), owned_(pods_), owned_revisions_(revisions_) {
    needs(sets_);
    needs(nodes_);
    needs(pods_);
    needs(revisions_);
    sets_.on_event([this](const std::string& key, const DaemonSet*, const DaemonSet* now) {
      if (!now) expectations_.forget(key);
      queue_.add(key);
    });
    nodes_.on_event([this](const std::string&, const v1::Node* before, const v1::Node* now) {
      if (before && now && before->metadata.labels == now->metadata.labels && before->spec == now->spec) return;
      for (const auto& [key, item] : sets_.items()) queue_.add(key);
    });
    pods_.on_event([this](const std::string&, const Pod* before, const Pod* now) { on_pod(before, now); });
  }

 private:
  int workers() const override { return 2; }

  void on_pod(const Pod* before, const Pod* now) {
    const Pod& p = now ? *now : *before;
    const auto* o = controller_of(p);
    if (!o) {
      if (now && !p.metadata.labels.empty()) offer_orphan(p);
      return;
    }
    if (o->kind != "DaemonSet") return;
    std::string key = client::object_key(p.metadata.namespace_, o->name);
    if (now && !before) expectations_.creation_seen(key);
    if (!now || now->metadata.deletion_timestamp) expectations_.deletion_seen(key, p.metadata.uid);
    queue_.add(key);
  }
  void offer_orphan(const Pod& p) {
    sets_.for_each([&](const std::string& key, const DaemonSet& ds) {
      auto s = LabelSelector::from_struct(ds.spec.selector);
      if (ds.metadata.namespace_ == p.metadata.namespace_ && s && !s->empty() && s->matches(p.metadata.labels)) queue_.add(key);
    });
  }

  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<DaemonSet> ds = sets_.get(key);
    if (!ds) co_return ReconcileResult{};
    auto selector = LabelSelector::from_struct(ds->spec.selector);
    if (!selector || selector->empty()) co_return ReconcileResult{};
    bool deleting = static_cast<bool>(ds->metadata.deletion_timestamp);
    if (deleting) co_return ReconcileResult{};
    Result<std::string> hash = co_await current_hash(*ds);
    if (!hash) co_return ReconcileResult{hash.status()};
    ClaimResult claimed = co_await claim_pods(&client_, owned_.owned_by(ds->metadata.uid), owned_.orphans(ds->metadata.namespace_), *selector, controller_ref(*ds), true);
    if (!claimed.failure) co_return ReconcileResult{claimed.failure};
    std::map<std::string, std::vector<Pod>> by_node;
    for (auto& p : claimed.pods) by_node[node_of(p)].push_back(p);

    Status failure;
    ReconcileResult result;
    if (expectations_.satisfied(key, context_.steady_now())) {
      failure = co_await manage(key, *ds, by_node, *hash);
      if (failure && expectations_.satisfied(key, context_.steady_now())) failure = co_await update_pods(key, *ds, by_node, *hash);
    }
    Status cleaned = co_await clean_revisions(*ds, claimed.pods, *hash);
    Status written = co_await write_status(*ds, by_node, *hash);
    result.status = !failure ? failure : !written ? written : cleaned;
    for (const auto& p : claimed.pods)
      if (auto in = available_in(p, ds->spec.min_ready_seconds, context_.now()))
        result.requeue_after = result.requeue_after.count() ? std::min(result.requeue_after, *in) : std::max<Duration>(*in, 1ms);
    co_return result;
  }

  // One pod too few or too many on a node: what to create and delete.
  async::Task<Status> manage(std::string key, DaemonSet ds, std::map<std::string, std::vector<Pod>> by_node, std::string hash) {
    std::vector<std::string> create;
    std::vector<Pod> remove;
    for (const auto& [name, item] : nodes_.items()) {
      std::optional<v1::Node> n = nodes_.get(name);
      if (!n) continue;
      Fit fit = fits(ds, *n);
      auto at = by_node.find(name);
      std::vector<Pod> here = at == by_node.end() ? std::vector<Pod>() : at->second;
      if (!fit.should_continue || (!fit.should_run && here.empty())) {
        for (auto& p : here)
          if (!p.metadata.deletion_timestamp) remove.push_back(p);
        continue;
      }
      std::vector<Pod> running;
      for (auto& p : here) {
        if (p.metadata.deletion_timestamp) continue;
        if (p.status.phase == "Failed" || p.status.phase == "Succeeded") {
          remove.push_back(p);
          events_.event(client::ref_of(ds), "Warning", p.status.phase == "Failed" ? "FailedDaemonPod" : "SucceededDaemonPod", "Found " + std::string(p.status.phase == "Failed" ? "failed" : "succeeded") + " daemon pod " + key_of(p) + " on node " + name + ", will try to kill it");
        } else {
          running.push_back(p);
        }
      }
      bool ending = std::any_of(here.begin(), here.end(), [](const Pod& p) { return static_cast<bool>(p.metadata.deletion_timestamp); });
      if (fit.should_run && running.empty() && !ending && remove_of(remove, name) == 0) create.push_back(name);
      if (running.size() > 1) {
        std::sort(running.begin(), running.end(), [](const Pod& a, const Pod& b) { return a.metadata.creation_timestamp < b.metadata.creation_timestamp; });
        // A surged pod beside the old one is wanted until it is available.
        if (!surging(ds, running, hash)) remove.insert(remove.end(), running.begin() + 1, running.end());
      }
    }
    co_return co_await write_pods(key, ds, create, remove, hash);
  }
  static std::size_t remove_of(const std::vector<Pod>& pods, const std::string& node) {
    return static_cast<std::size_t>(std::count_if(pods.begin(), pods.end(), [&](const Pod& p) { return node_of(p) == node; }));
  }
  static int scaled(const std::optional<apimachinery::IntOrString>& v, int total, bool up) { return v ? v->scaled(total, up).value_or(0) : 0; }
  static bool surging(const DaemonSet& ds, const std::vector<Pod>& running, const std::string& hash) {
    if (ds.spec.update_strategy.type != "RollingUpdate" || !ds.spec.update_strategy.rolling_update) return false;
    if (scaled(ds.spec.update_strategy.rolling_update->max_surge, 100, true) == 0) return false;
    auto old = std::count_if(running.begin(), running.end(), [&](const Pod& p) { return too_old(p, hash); });
    return old == 1 && running.size() == 2;
  }

  async::Task<Status> write_pods(std::string key, DaemonSet ds, std::vector<std::string> create, std::vector<Pod> remove, std::string hash) {
    if (create.size() > kBurst) create.resize(kBurst);
    if (remove.size() > kBurst) remove.resize(kBurst);
    if (create.empty() && remove.empty()) co_return Status();
    std::set<std::string> uids;
    for (const auto& p : remove) uids.insert(p.metadata.uid);
    expectations_.expect(key, static_cast<int>(create.size()), uids, context_.steady_now());
    Pod pod = pod_from_template(ds.spec.template_, ds.metadata.namespace_, ds.metadata.name, controller_ref(ds));
    pod.metadata.labels[kHashLabel] = hash;
    pod.metadata.labels["pod-template-generation"] = std::to_string(ds.metadata.generation);
    add_tolerations(pod.spec);
    Status failure;
    Teller tell{&events_, client::ref_of(ds)};
    for (const auto& node : create) {
      Pod one = pod;
      pin_to(one.spec, node);
      Created made = co_await create_pods(&client_, tell, std::move(one), 1);
      if (made.failure) continue;
      expectations_.creation_seen(key);
      failure = made.failure;
      if (ends_with_namespace(made.failure)) failure = Status();
    }
    Status deleted = co_await delete_pods(&client_, tell, remove);
    if (!deleted) {
      for (const auto& uid : uids) expectations_.deletion_seen(key, uid);
      failure = deleted;
    }
    co_return failure;
  }

  // Rolling update: old pods go as long as maxUnavailable allows, or new ones come first under maxSurge.
  async::Task<Status> update_pods(std::string key, DaemonSet ds, std::map<std::string, std::vector<Pod>> by_node, std::string hash) {
    if (ds.spec.update_strategy.type != "RollingUpdate") co_return Status();
    int desired = 0;
    std::vector<std::string> wanted;
    for (const auto& [name, item] : nodes_.items())
      if (auto n = nodes_.get(name); n && fits(ds, *n).should_run) {
        ++desired;
        wanted.push_back(name);
      }
    int max_surge = 0, max_unavailable = 1;
    if (ds.spec.update_strategy.rolling_update) {
      max_surge = scaled(ds.spec.update_strategy.rolling_update->max_surge, desired, true);
      max_unavailable = ds.spec.update_strategy.rolling_update->max_unavailable ? scaled(ds.spec.update_strategy.rolling_update->max_unavailable, desired, true) : 1;
      if (max_surge == 0 && max_unavailable == 0) max_unavailable = 1;
    }
    WallTime now = context_.now();
    std::vector<Pod> remove, candidates;
    std::vector<std::string> create;
    int unavailable = 0, surged = 0;
    for (const auto& node : wanted) {
      const Pod *old = nullptr, *fresh = nullptr;
      bool ending = false;
      for (const auto& p : by_node[node]) {
        if (p.metadata.deletion_timestamp) ending = true;
        else (too_old(p, hash) ? old : fresh) = &p;
      }
      bool fresh_ok = fresh && is_available(*fresh, ds.spec.min_ready_seconds, now), old_ok = old && is_available(*old, ds.spec.min_ready_seconds, now);
      if (!fresh_ok && !old_ok) ++unavailable;
      if (!old) continue;
      if (max_surge > 0) {
        if (fresh) ++surged;
        if (fresh_ok || (!old_ok && fresh)) remove.push_back(*old);
        else if (!fresh && !ending && !old_ok) remove.push_back(*old);
        else if (!fresh && !ending) candidates.push_back(*old);
      } else if (!old_ok) {
        remove.push_back(*old);  // it serves nobody
      } else {
        candidates.push_back(*old);
      }
    }
    for (const auto& p : candidates) {
      if (max_surge > 0) {
        if (surged++ < max_surge) create.push_back(node_of(p));
      } else if (unavailable++ < max_unavailable) {
        remove.push_back(p);
      }
    }
    co_return co_await write_pods(key, ds, create, remove, hash);
  }

  // The hash of the present template, kept as a ControllerRevision for `kubectl rollout`.
  async::Task<Result<std::string>> current_hash(DaemonSet ds) {
    std::string data = revision_data(ds.spec.template_);
    std::int64_t highest = 0;
    const ControllerRevision* found = nullptr;
    std::vector<ControllerRevision> all = owned_revisions_.owned_by(ds.metadata.uid);
    for (const auto& r : all) {
      highest = std::max(highest, r.revision);
      if (same_revision_data(r.data, data)) found = &r;
    }
    if (found) {
      std::string hash = found->metadata.labels.count(kHashLabel) ? found->metadata.labels.at(kHashLabel) : "";
      if (found->revision < highest) {
        nlohmann::json patch;
        patch["revision"] = highest + 1;
        auto r = co_await client_.patch<ControllerRevision>(ds.metadata.namespace_, found->metadata.name, PatchType::Merge, patch.dump());
        if (!r) co_return r.status();
      }
      co_return Result<std::string>(hash);
    }
    std::string hash = template_hash(ds.spec.template_, ds.status.collision_count);
    ControllerRevision r;
    r.metadata.name = ds.metadata.name + "-" + hash;
    r.metadata.namespace_ = ds.metadata.namespace_;
    r.metadata.labels = ds.spec.template_.metadata.labels;
    r.metadata.labels[kHashLabel] = hash;
    r.metadata.annotations = ds.metadata.annotations;
    r.metadata.owner_references = {controller_ref(ds)};
    r.data = data;
    r.revision = highest + 1;
    auto made = co_await client_.create(ds.metadata.namespace_, std::move(r));
    if (!made && !made.is(Reason::AlreadyExists)) co_return made.status();
    co_return Result<std::string>(hash);
  }
  async::Task<Status> clean_revisions(DaemonSet ds, std::vector<Pod> pods, std::string hash) {
    std::vector<ControllerRevision> old;
    for (auto& r : owned_revisions_.owned_by(ds.metadata.uid)) {
      std::string h = r.metadata.labels.count(kHashLabel) ? r.metadata.labels.at(kHashLabel) : "";
      bool live = h == hash || std::any_of(pods.begin(), pods.end(), [&](const Pod& p) { return !too_old(p, h); });
      if (!live) old.push_back(std::move(r));
    }
    int excess = static_cast<int>(old.size()) - (ds.spec.revision_history_limit ? *ds.spec.revision_history_limit : 10);
    std::sort(old.begin(), old.end(), [](const auto& a, const auto& b) { return a.revision < b.revision; });
    for (int i = 0; i < excess; ++i) {
      Result<void> r = co_await client_.remove<ControllerRevision>(ds.metadata.namespace_, old[static_cast<std::size_t>(i)].metadata.name);
      if (!r && !r.is(Reason::NotFound)) co_return r.status();
    }
    co_return Status();
  }

  async::Task<Status> write_status(DaemonSet ds, std::map<std::string, std::vector<Pod>> by_node, std::string hash) {
    auto s = ds.status;
    s.desired_number_scheduled = s.current_number_scheduled = s.number_misscheduled = s.number_ready = s.updated_number_scheduled = s.number_available = 0;
    WallTime now = context_.now();
    for (const auto& [name, item] : nodes_.items()) {
      std::optional<v1::Node> n = nodes_.get(name);
      if (!n) continue;
      bool should = fits(ds, *n).should_run;
      auto at = by_node.find(name);
      bool scheduled = at != by_node.end() && !at->second.empty();
      if (!should) {
        if (scheduled) ++s.number_misscheduled;
        continue;
      }
      ++s.desired_number_scheduled;
      if (!scheduled) continue;
      ++s.current_number_scheduled;
      const Pod* oldest = nullptr;
      for (const auto& p : at->second)
        if (!p.metadata.deletion_timestamp && (!oldest || p.metadata.creation_timestamp < oldest->metadata.creation_timestamp)) oldest = &p;
      if (!oldest) oldest = &at->second[0];
      if (is_ready(*oldest)) ++s.number_ready;
      if (is_available(*oldest, ds.spec.min_ready_seconds, now)) ++s.number_available;
      if (std::any_of(at->second.begin(), at->second.end(), [&](const Pod& p) { return !too_old(p, hash); })) ++s.updated_number_scheduled;
    }
    s.number_unavailable = s.desired_number_scheduled - s.number_available;
    s.observed_generation = ds.metadata.generation;
    if (s == ds.status) co_return Status();
    ds.status = std::move(s);
    auto r = co_await client_.update(std::move(ds), "status");
    co_return r.is(Reason::NotFound) ? Status() : r.status();
  }

  client::Informer<DaemonSet>& sets_;
  client::Informer<v1::Node>& nodes_;
  client::Informer<Pod>& pods_;
  client::Informer<ControllerRevision>& revisions_;
  OwnerIndex<Pod> owned_;
  OwnerIndex<ControllerRevision> owned_revisions_;
  Expectations expectations_;
};

}  // namespace

std::unique_ptr<Controller> make_daemonset_controller(Context& c) { return std::make_unique<DaemonSets>(c); }

}  // namespace onebin::controller
