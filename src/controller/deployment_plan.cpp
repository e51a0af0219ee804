#include "deployment_plan.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace onebin::controller {
namespace {

int annotation(const ReplicaSet& rs, const char* key, int otherwise) {
  auto it = rs.metadata.annotations.find(key);
  return it == rs.metadata.annotations.end() ? otherwise : std::atoi(it->second.c_str());
}
bool older(const ReplicaSet& a, const ReplicaSet& b) {
  if (a.metadata.creation_timestamp != b.metadata.creation_timestamp) return a.metadata.creation_timestamp < b.metadata.creation_timestamp;
  return a.metadata.name < b.metadata.name;
}
int total(const std::vector<ReplicaSet>& all) {
  int n = 0;
  for (const auto& rs : all) n += replicas_of(rs);
  return n;
}

}  // namespace

int replicas_of(const Deployment& d) { return d.spec.replicas ? *d.spec.replicas : 1; }
int replicas_of(const ReplicaSet& rs) { return rs.spec.replicas ? *rs.spec.replicas : 1; }
bool rolling(const Deployment& d) { return d.spec.strategy.type != "Recreate"; }

int max_surge(const Deployment& d) {
  if (!rolling(d) || !d.spec.strategy.rolling_update || !d.spec.strategy.rolling_update->max_surge) return 0;
  return d.spec.strategy.rolling_update->max_surge->scaled(replicas_of(d), true).value_or(0);
}
int max_unavailable(const Deployment& d) {
  if (!rolling(d) || replicas_of(d) == 0 || !d.spec.strategy.rolling_update || !d.spec.strategy.rolling_update->max_unavailable) return 0;
  int n = d.spec.strategy.rolling_update->max_unavailable->scaled(replicas_of(d), false).value_or(0);
  if (n == 0 && max_surge(d) == 0) n = 1;  // both rounded to nothing: no progress otherwise
  return std::min(n, replicas_of(d));
}
std::int64_t revision_of(const ReplicaSet& rs) {
  auto it = rs.metadata.annotations.find(kRevision);
  return it == rs.metadata.annotations.end() ? 0 : std::atoll(it->second.c_str());
}

bool same_template(const PodTemplateSpec& a, const PodTemplateSpec& b) {
  PodTemplateSpec x = a, y = b;
  x.metadata.labels.erase(kTemplateHash);
  y.metadata.labels.erase(kTemplateHash);
  return x == y;
}

const ReplicaSet* find_new(const Deployment& d, const std::vector<ReplicaSet>& all) {
  const ReplicaSet* found = nullptr;
  for (const auto& rs : all)
    if (same_template(rs.spec.template_, d.spec.template_) && (!found || older(rs, *found))) found = &rs;
  return found;
}

int new_replicas(const Deployment& d, const std::vector<ReplicaSet>& all, const ReplicaSet& fresh) {
  if (!rolling(d)) return replicas_of(d);
  int others = 0;
  for (const auto& rs : all)
    if (rs.metadata.uid != fresh.metadata.uid) others += replicas_of(rs);
  int now = fresh.metadata.uid.empty() ? 0 : replicas_of(fresh);
  int room = replicas_of(d) + max_surge(d) - (others + now);
  if (room <= 0) return now;
  return now + std::min(room, replicas_of(d) - now);
}

std::map<std::string, int> scale_down_old(const Deployment& d, const std::vector<ReplicaSet>& all, const ReplicaSet& fresh) {
  std::map<std::string, int> out;
  std::vector<const ReplicaSet*> old;
  int old_total = 0;
  for (const auto& rs : all)
    if (rs.metadata.uid != fresh.metadata.uid) {
      old.push_back(&rs);
      old_total += replicas_of(rs);
    }
  if (old_total == 0) return out;
  int minimum = replicas_of(d) - max_unavailable(d);
  int fresh_unavailable = replicas_of(fresh) - fresh.status.available_replicas;
  int spare = total(all) - minimum - fresh_unavailable;
  if (spare <= 0) return out;
  std::sort(old.begin(), old.end(), [](auto* a, auto* b) { return older(*a, *b); });
  // Pods that do not work go first: giving them up costs no availability.
  int available = fresh.status.available_replicas;
  for (const ReplicaSet* rs : old) {
    available += rs->status.available_replicas;
    int sick = std::min(spare, replicas_of(*rs) - rs->status.available_replicas);
    if (sick <= 0) continue;
    out[rs->metadata.name] = replicas_of(*rs) - sick;
    spare -= sick;
  }
  // Then working ones, as far as enough stay available.
  int allowed = available - minimum;
  for (const ReplicaSet* rs : old) {
    if (allowed <= 0) break;
    auto at = out.find(rs->metadata.name);
    int now = at == out.end() ? replicas_of(*rs) : at->second;
    int n = std::min(now, allowed);
    if (n <= 0) continue;
    out[rs->metadata.name] = now - n;
    allowed -= n;
  }
  return out;
}

bool is_scaling(const Deployment& d, const std::vector<ReplicaSet>& all) {
  for (const auto& rs : all)
    if (replicas_of(rs) > 0 && annotation(rs, kDesired, replicas_of(d)) != replicas_of(d)) return true;
  return false;
}

std::map<std::string, int> scale_proportionally(const Deployment& d, const std::vector<ReplicaSet>& all) {
  std::map<std::string, int> out;
  std::vector<const ReplicaSet*> active;
  for (const auto& rs : all)
    if (replicas_of(rs) > 0) active.push_back(&rs);
  const ReplicaSet* fresh = find_new(d, all);
  if (active.size() <= 1) {
    const ReplicaSet* only = active.empty() ? fresh : active[0];
    if (!only && !all.empty()) only = &*std::max_element(all.begin(), all.end(), older);
    if (only) out[only->metadata.name] = replicas_of(d);
    return out;
  }
  if (fresh && replicas_of(*fresh) == replicas_of(d) && fresh->status.available_replicas == replicas_of(d)) {
    for (const ReplicaSet* rs : active)
      if (rs != fresh) out[rs->metadata.name] = 0;
    return out;
  }
  if (!rolling(d)) return out;
  int allowed = replicas_of(d) > 0 ? replicas_of(d) + max_surge(d) : 0;
  int to_add = allowed - total(all);
  // Growing favours large, new ones; shrinking large, old ones.
  std::sort(active.begin(), active.end(), [&](auto* a, auto* b) {
    if (replicas_of(*a) != replicas_of(*b)) return replicas_of(*a) > replicas_of(*b);
    return to_add > 0 ? older(*b, *a) : older(*a, *b);
  });
  int added = 0;
  for (const ReplicaSet* rs : active) {
    int now = replicas_of(*rs), max = annotation(*rs, kMaxReplicas, replicas_of(d));
    int share = 0;
    if (to_add != 0 && max > 0) {
      share = static_cast<int>(std::lround(static_cast<double>(now) * allowed / max)) - now;
      int left = to_add - added;
      share = to_add > 0 ? std::min(share, left) : std::max(share, left);
    }
    added += share;
    out[rs->metadata.name] = std::max(0, now + share);
  }
  out[active[0]->metadata.name] = std::max(0, out[active[0]->metadata.name] + to_add - added);
  return out;
}

std::vector<const ReplicaSet*> beyond_history(const Deployment& d, const std::vector<ReplicaSet>& old) {
  std::vector<const ReplicaSet*> clean;
  if (!d.spec.revision_history_limit) return clean;
  for (const auto& rs : old)
    if (rs.metadata.deletion_timestamp.is_zero()) clean.push_back(&rs);
  int excess = static_cast<int>(clean.size()) - *d.spec.revision_history_limit;
  if (excess <= 0) return {};
  std::sort(clean.begin(), clean.end(), [](auto* a, auto* b) { return revision_of(*a) != revision_of(*b) ? revision_of(*a) < revision_of(*b) : older(*a, *b); });
  clean.resize(static_cast<std::size_t>(excess));
  std::erase_if(clean, [](auto* rs) { return rs->status.replicas != 0 || replicas_of(*rs) != 0 || rs->metadata.generation > rs->status.observed_generation; });
  return clean;
}

const api::apps::v1::DeploymentCondition* find_condition(const api::apps::v1::DeploymentStatus& s, std::string_view type) {
  for (const auto& c : s.conditions)
    if (c.type == type) return &c;
  return nullptr;
}

api::apps::v1::DeploymentStatus deployment_status(const Deployment& d, const std::vector<ReplicaSet>& all, const ReplicaSet* fresh, WallTime now) {
  api::apps::v1::DeploymentStatus s;
  s.observed_generation = d.metadata.generation;
  s.collision_count = d.status.collision_count;
  s.conditions = d.status.conditions;
  int terminating = 0;
  for (const auto& rs : all) {
    s.replicas += rs.status.replicas;
    s.ready_replicas += rs.status.ready_replicas;
    s.available_replicas += rs.status.available_replicas;
    if (rs.status.terminating_replicas) terminating += *rs.status.terminating_replicas;
  }
  s.terminating_replicas = terminating;
  s.unavailable_replicas = std::max(0, total(all) - s.available_replicas);
  if (fresh) s.updated_replicas = fresh->status.replicas;
  api::apps::v1::DeploymentCondition c;
  c.type = "Available";
  bool enough = s.available_replicas >= replicas_of(d) - max_unavailable(d);
  c.status = enough ? "True" : "False";
  c.reason = enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable";
  c.message = enough ? "Deployment has minimum availability." : "Deployment does not have minimum availability.";
  c.last_update_time = c.last_transition_time = now;
  set_condition(s.conditions, c);
  return s;
}

bool complete(const Deployment& d, const api::apps::v1::DeploymentStatus& s) {
  return s.updated_replicas == replicas_of(d) && s.replicas == replicas_of(d) && s.available_replicas == replicas_of(d) &&
         s.observed_generation >= d.metadata.generation;
}

bool progressing(const api::apps::v1::DeploymentStatus& before, const api::apps::v1::DeploymentStatus& now) {
  int old_before = before.replicas - before.updated_replicas, old_now = now.replicas - now.updated_replicas;
  return now.updated_replicas > before.updated_replicas || old_now < old_before || now.ready_replicas > before.ready_replicas ||
         now.available_replicas > before.available_replicas;
}

bool timed_out(const Deployment& d, const api::apps::v1::DeploymentStatus& s, WallTime now) {
  if (!d.spec.progress_deadline_seconds || *d.spec.progress_deadline_seconds == 2147483647) return false;
  const auto* c = find_condition(s, "Progressing");
  if (!c || c->reason == "NewReplicaSetAvailable") return false;
  if (c->reason == "ProgressDeadlineExceeded") return true;
  return c->last_update_time.wall() + std::chrono::seconds(*d.spec.progress_deadline_seconds) < now;
}

}  // namespace onebin::controller
