#include "stateful_set_plan.hpp"

#include <algorithm>
#include <charconv>

namespace onebin::controller {
namespace {

bool parallel(const StatefulSet& s) { return s.spec.pod_management_policy == "Parallel"; }
bool created(const Pod& p) { return !p.status.phase.empty(); }
bool terminating(const Pod& p) { return static_cast<bool>(p.metadata.deletion_timestamp); }
bool running_and_ready(const Pod& p) { return p.status.phase == "Running" && is_ready(p); }
std::string revision_of(const Pod& p) {
  auto it = p.metadata.labels.find(kRevisionLabel);
  return it == p.metadata.labels.end() ? "" : it->second;
}

struct Policy {
  bool delete_on_scale = false, delete_with_set = false;
};
Policy policy_of(const StatefulSet& s) {
  const auto& p = s.spec.persistent_volume_claim_retention_policy;
  return p ? Policy{p->when_scaled == "Delete", p->when_deleted == "Delete"} : Policy{};
}
bool names(const api::meta::v1::OwnerReference& o, const StatefulSet& s) { return o.kind == "StatefulSet" && o.api_version == "apps/v1" && o.name == s.metadata.name; }
bool names(const api::meta::v1::OwnerReference& o, const Pod& p) { return o.kind == "Pod" && o.api_version == "v1" && o.name == p.metadata.name; }
bool owns(const PodClaim& claim, const std::string& uid) {
  const auto& all = claim.metadata.owner_references;
  return std::any_of(all.begin(), all.end(), [&](const auto& o) { return o.uid == uid; });
}
template <class T>
bool has_stale_owner(const PodClaim& claim, const T& object) {
  for (const auto& o : claim.metadata.owner_references)
    if (names(o, object)) return o.uid != object.metadata.uid;
  return false;
}
bool in_range(const StatefulSet& s, const Pod& p) {
  int n = ordinal_in(s, p.metadata.name), start = start_ordinal(s);
  return n >= start && n < start + replicas_of(s);
}
// Who is to own the pod's claims.
struct Owners {
  bool set = false, pod = false;
};
Owners wanted_owners(const StatefulSet& s, const Pod& p) {
  Policy policy = policy_of(s);
  bool scaled_down = !in_range(s, p);
  return {policy.delete_with_set && !(policy.delete_on_scale && scaled_down), policy.delete_on_scale && scaled_down};
}

int max_unavailable(const StatefulSet& s) {
  const auto& r = s.spec.update_strategy.rolling_update;
  if (!r || !r->max_unavailable) return 1;
  return std::max(1, r->max_unavailable->scaled(replicas_of(s), false).value_or(1));
}
int partition_of(const StatefulSet& s) {
  const auto& r = s.spec.update_strategy.rolling_update;
  return r && r->partition ? *r->partition : 0;
}

class Planner {
 public:
  Planner(const StatefulSet& s, const PodClaims& claims, const Revision& current, const Revision& update, WallTime now)
      : s_(s), claims_(claims), current_(current), update_(update), now_(now) {}

  StatefulPlan plan(const std::vector<Pod>& pods) {
    sort_pods(pods);
    count();
    if (!terminating_set()) decide();
    complete();
    return std::move(plan_);
  }

 private:
  using Do = StatefulStep::Do;
  bool terminating_set() const { return static_cast<bool>(s_.metadata.deletion_timestamp); }
  bool available(const Pod& p) const { return is_available(p, s_.spec.min_ready_seconds, now_); }
  bool unavailable(const Pod& p) const { return !available(p) || terminating(p); }
  void step(Do action, const Pod& p) { plan_.steps.push_back({action, p}); }

  void sort_pods(const std::vector<Pod>& pods) {
    int start = start_ordinal(s_), n = replicas_of(s_);
    replicas_.resize(static_cast<std::size_t>(n));
    for (const auto& p : pods) {
      int o = ordinal_in(s_, p.metadata.name);
      if (o >= start && o < start + n) replicas_[static_cast<std::size_t>(o - start)] = p;
      else if (o >= 0) condemned_.push_back(p);
    }
    for (int i = 0; i < n; ++i) {
      Pod& p = replicas_[static_cast<std::size_t>(i)];
      if (p.metadata.name.empty()) p = fresh(start + i);
    }
    std::sort(condemned_.begin(), condemned_.end(), [&](const Pod& a, const Pod& b) { return ordinal_in(s_, a.metadata.name) > ordinal_in(s_, b.metadata.name); });
  }

  // A missing pod is made as it was where the update has not got to it yet.
  Pod fresh(int ordinal) const {
    const auto& strategy = s_.spec.update_strategy;
    bool old = strategy.rolling_update ? ordinal < start_ordinal(s_) + partition_of(s_)
                                       : strategy.type == "RollingUpdate" && ordinal < start_ordinal(s_) + s_.status.current_replicas;
    const Revision& r = old ? current_ : update_;
    return stateful_pod(s_, r.template_, r.name, ordinal);
  }

  void count() {
    StatefulSetStatus& st = plan_.status;
    st.observed_generation = s_.metadata.generation;
    st.current_revision = current_.name;
    st.update_revision = update_.name;
    st.collision_count = s_.status.collision_count.value_or(0);
    st.conditions = s_.status.conditions;
    for (const auto* list : {&replicas_, &condemned_})
      for (const auto& p : *list) {
        if (!created(p)) continue;
        ++st.replicas;
        if (running_and_ready(p)) {
          ++st.ready_replicas;
          if (available(p)) ++st.available_replicas;
        }
        if (terminating(p)) continue;
        if (revision_of(p) == current_.name) ++st.current_replicas;
        if (revision_of(p) == update_.name) ++st.updated_replicas;
      }
  }

  void decide() {
    for (const auto& p : replicas_)
      if (replica(p) && !parallel(s_)) return;
    for (const auto& p : condemned_)
      if (!claims_fit(p)) step(Do::FixOwners, p);
    const Pod* first_unavailable = find_first_unavailable();
    for (const auto& p : condemned_)
      if (condemned(p, first_unavailable) && !parallel(s_)) return;
    if (s_.spec.update_strategy.type == "RollingUpdate" || s_.spec.update_strategy.type.empty()) roll();
  }

  const Pod* find_first_unavailable() const {
    for (const auto& p : replicas_)
      if (unavailable(p)) return &p;
    for (auto p = condemned_.rbegin(); p != condemned_.rend(); ++p)
      if (unavailable(*p)) return &*p;
    return nullptr;
  }

  // True when those after it have to wait.
  bool replica(const Pod& p) {
    bool ordered = !parallel(s_);
    if (is_finished(p)) {
      if (!terminating(p)) step(Do::Delete, p);
      return true;
    }
    if (!created(p)) {
      if (claims_stale(p)) return true;
      step(Do::Create, p);
      return true;
    }
    if (p.status.phase == "Pending") step(Do::MakeClaims, p);
    if (ordered && (terminating(p) || !running_and_ready(p) || !available(p))) return true;
    Pod mended = p;
    if (mend_pod(s_, mended)) step(Do::Mend, mended);
    if (!claims_fit(p)) step(Do::FixOwners, p);
    return false;
  }

  bool condemned(const Pod& p, const Pod* first_unavailable) {
    if (terminating(p)) return true;
    if (!parallel(s_) && &p != first_unavailable && (!running_and_ready(p) || !available(p))) return true;
    step(Do::Delete, p);
    return true;
  }

  // From the last to the partition, as many at a time as may be unavailable.
  void roll() {
    int down = 0, down_and_old = 0;
    auto old = [&](const Pod& p) { return revision_of(p) != update_.name && !terminating(p); };
    for (const auto& p : replicas_) {
      if (!unavailable(p)) continue;
      ++down;
      if (parallel(s_) && old(p)) ++down_and_old;
    }
    int allowed = max_unavailable(s_);
    if (down >= allowed && down_and_old == 0) return;
    auto remove = [&](const Pod& p) {
      // A pod that this very plan makes is of the update already, or below the partition.
      if (created(p)) step(Do::Delete, p);
      --plan_.status.current_replicas;
    };
    int room = allowed - down;
    for (int i = static_cast<int>(replicas_.size()) - 1; i >= partition_of(s_); --i) {
      const Pod& p = replicas_[static_cast<std::size_t>(i)];
      if (!old(p)) continue;
      if (parallel(s_) && !available(p)) remove(p);  // costs nothing
      else if (room > 0) {
        remove(p);
        --room;
      }
    }
  }

  bool claims_fit(const Pod& p) const {
    for (const auto& [name, c] : claims_for(s_, ordinal_in(s_, p.metadata.name))) {
      auto it = claims_.find(c.metadata.name);
      if (it != claims_.end() && !owners_up_to_date(it->second, s_, p)) return false;
    }
    return true;
  }
  // A claim that goes with the previous pod of this name: the new one waits for a new claim.
  bool claims_stale(const Pod& p) const {
    if (!policy_of(s_).delete_on_scale) return false;
    for (const auto& [name, c] : claims_for(s_, ordinal_in(s_, p.metadata.name))) {
      auto it = claims_.find(c.metadata.name);
      if (it != claims_.end() && has_stale_owner(it->second, p)) return true;
    }
    return false;
  }

  void complete() {
    StatefulSetStatus& st = plan_.status;
    int n = replicas_of(s_);
    if (st.updated_replicas != n || st.ready_replicas != n || st.replicas != n) return;
    st.current_replicas = st.updated_replicas;
    st.current_revision = st.update_revision;
  }

  const StatefulSet& s_;
  const PodClaims& claims_;
  const Revision &current_, &update_;
  WallTime now_;
  std::vector<Pod> replicas_, condemned_;
  StatefulPlan plan_;
};

}  // namespace

int replicas_of(const StatefulSet& s) { return s.spec.replicas.value_or(1); }
int start_ordinal(const StatefulSet& s) { return s.spec.ordinals ? s.spec.ordinals->start : 0; }

int ordinal_in(const StatefulSet& s, const std::string& pod) {
  const std::string& name = s.metadata.name;
  if (pod.size() < name.size() + 2 || !pod.starts_with(name) || pod[name.size()] != '-') return -1;
  int n = -1;
  const char* end = pod.data() + pod.size();
  auto r = std::from_chars(pod.data() + name.size() + 1, end, n);
  return r.ec == std::errc() && r.ptr == end && n >= 0 ? n : -1;
}

std::string claim_name(const StatefulSet& s, const std::string& claim_template, int ordinal) {
  return claim_template + "-" + s.metadata.name + "-" + std::to_string(ordinal);
}

PodClaims claims_for(const StatefulSet& s, int ordinal) {
  PodClaims out;
  for (const auto& t : s.spec.volume_claim_templates) {
    PodClaim c = t;
    c.metadata.name = claim_name(s, t.metadata.name, ordinal);
    c.metadata.namespace_ = s.metadata.namespace_;
    if (s.spec.selector)
      for (const auto& [k, v] : s.spec.selector->match_labels) c.metadata.labels[k] = v;
    out[t.metadata.name] = std::move(c);
  }
  return out;
}

Pod stateful_pod(const StatefulSet& s, const PodTemplateSpec& t, const std::string& revision, int ordinal) {
  Pod p = pod_from_template(t, s.metadata.namespace_, s.metadata.name, controller_ref(s));
  p.metadata.generate_name.clear();
  p.metadata.name = s.metadata.name + "-" + std::to_string(ordinal);
  p.spec.hostname = p.metadata.name;
  p.spec.subdomain = s.spec.service_name;
  mend_pod(s, p);
  p.metadata.labels[kRevisionLabel] = revision;
  return p;
}

bool mend_pod(const StatefulSet& s, Pod& pod) {
  int ordinal = ordinal_in(s, pod.metadata.name);
  bool changed = false;
  if (pod.metadata.labels[kPodNameLabel] != pod.metadata.name) {
    pod.metadata.labels[kPodNameLabel] = pod.metadata.name;
    pod.metadata.labels[kPodIndexLabel] = std::to_string(ordinal);
    changed = true;
  }
  std::vector<api::core::v1::Volume> wanted;
  PodClaims claims = claims_for(s, ordinal);
  for (const auto& t : s.spec.volume_claim_templates) {
    api::core::v1::Volume v;
    v.name = t.metadata.name;
    v.persistent_volume_claim.ensure().claim_name = claims.at(t.metadata.name).metadata.name;
    bool there = std::any_of(pod.spec.volumes.begin(), pod.spec.volumes.end(), [&](const auto& have) {
      return have.name == v.name && have.persistent_volume_claim && have.persistent_volume_claim->claim_name == v.persistent_volume_claim->claim_name;
    });
    if (!there) wanted.push_back(std::move(v));
  }
  if (wanted.empty()) return changed;
  for (auto& have : pod.spec.volumes)
    if (std::none_of(wanted.begin(), wanted.end(), [&](const auto& w) { return w.name == have.name; })) wanted.push_back(std::move(have));
  pod.spec.volumes = std::move(wanted);
  return true;
}

bool has_other_controller(const PodClaim& claim, const StatefulSet& s, const Pod& pod) {
  Policy policy = policy_of(s);
  if (!policy.delete_on_scale && !policy.delete_with_set) return false;
  for (const auto& o : claim.metadata.owner_references) {
    if (names(o, s)) {
      if (o.uid != s.metadata.uid) return true;
    } else if (names(o, pod)) {
      if (o.uid != pod.metadata.uid) return true;
    } else if (o.controller && *o.controller) {
      return true;
    }
  }
  return false;
}

bool owners_up_to_date(const PodClaim& claim, const StatefulSet& s, const Pod& pod) {
  if (has_stale_owner(claim, s) || has_stale_owner(claim, pod)) return true;  // they go with it
  bool by_set = owns(claim, s.metadata.uid), by_pod = owns(claim, pod.metadata.uid);
  if (has_other_controller(claim, s, pod)) return !by_set && !by_pod;
  for (const auto& o : claim.metadata.owner_references)
    if ((o.uid == s.metadata.uid || o.uid == pod.metadata.uid) && !(o.controller && *o.controller)) return false;
  Owners want = wanted_owners(s, pod);
  return by_set == want.set && by_pod == want.pod;
}

void update_owners(PodClaim& claim, const StatefulSet& s, const Pod& pod) {
  bool other = has_other_controller(claim, s, pod);
  std::erase_if(claim.metadata.owner_references, [&](const auto& o) { return names(o, s) || names(o, pod); });
  if (other) return;
  Owners want = wanted_owners(s, pod);
  if (want.set) claim.metadata.owner_references.push_back(controller_ref(s));
  if (want.pod) claim.metadata.owner_references.push_back(controller_ref(pod));
}

StatefulPlan plan_stateful_set(const StatefulSet& s, const std::vector<Pod>& pods, const PodClaims& claims, const Revision& current, const Revision& update,
                               WallTime now) {
  return Planner(s, claims, current, update, now).plan(pods);
}

}  // namespace onebin::controller
