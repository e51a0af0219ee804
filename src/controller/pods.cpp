#include "pods.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/log.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>

namespace onebin::controller {
namespace {

constexpr char kDeletionCost[] = "controller.kubernetes.io/pod-deletion-cost";

int deletion_cost(const Pod& p) {
  auto it = p.metadata.annotations.find(kDeletionCost);
  return it == p.metadata.annotations.end() ? 0 : std::atoi(it->second.c_str());
}
int phase_rank(const Pod& p) { return p.status.phase == "Pending" ? 0 : p.status.phase == "Running" ? 2 : 1; }
apimachinery::Time ready_since(const Pod& p) {
  const auto* c = pod_condition(p, "Ready");
  return c && c->status == "True" ? c->last_transition_time : apimachinery::Time();
}
int restarts(const Pod& p) {
  int n = 0;
  for (const auto& c : p.status.container_statuses) n = std::max(n, c.restart_count);
  return n;
}
int same_node(const Pod& p, const std::map<std::string, int>& on_node) {
  auto it = on_node.find(p.spec.node_name);
  return it == on_node.end() ? 0 : it->second;
}
// Pods whose age differs by less than a power of two count as of one age, so that which goes is not always the youngest.
bool much_later(const apimachinery::Time& a, const apimachinery::Time& b) { return a.unix_seconds() > b.unix_seconds(); }

std::string release_patch(const Pod& pod, const std::string& owner_uid) {
  nlohmann::json patch;
  patch["metadata"]["uid"] = pod.metadata.uid;
  patch["metadata"]["ownerReferences"] = nlohmann::json::array({{{"$patch", "delete"}, {"uid", owner_uid}}});
  return patch.dump();
}
std::string adopt_patch(const Pod& pod, const api::meta::v1::OwnerReference& o) {
  nlohmann::json patch;
  patch["metadata"]["uid"] = pod.metadata.uid;
  patch["metadata"]["ownerReferences"] = nlohmann::json::array(
      {{{"apiVersion", o.api_version}, {"kind", o.kind}, {"name", o.name}, {"uid", o.uid}, {"controller", true}, {"blockOwnerDeletion", true}}});
  return patch.dump();
}

async::Task<void> create_one(Client* client, const Teller* tell, Pod pod, Created* out) {
  std::string ns = pod.metadata.namespace_;
  Result<Pod> r = co_await client->create(ns, std::move(pod));
  if (r) {
    ++out->count;
    (*tell)("Normal", "SuccessfulCreate", "Created pod: " + r->metadata.name);
    co_return;
  }
  if (!ends_with_namespace(r.status())) (*tell)("Warning", "FailedCreate", "Error creating: " + r.status().message());
  if (out->failure.is_ok()) out->failure = r.status();
}

async::Task<void> delete_one(Client* client, const Teller* tell, std::string ns, std::string name, std::string uid, Status* failure) {
  client::DeleteOptions options;
  options.uid = uid;
  Result<void> r = co_await client->remove<Pod>(ns, name, options);
  if (r.is(Reason::NotFound) || r.is(Reason::Conflict)) co_return;
  if (r) {
    (*tell)("Normal", "SuccessfulDelete", "Deleted pod: " + name);
    co_return;
  }
  (*tell)("Warning", "FailedDelete", "Error deleting: " + r.status().message());
  if (failure->is_ok()) *failure = r.status();
}

}  // namespace

const api::core::v1::PodCondition* pod_condition(const Pod& pod, std::string_view type) {
  for (const auto& c : pod.status.conditions)
    if (c.type == type) return &c;
  return nullptr;
}
bool is_finished(const Pod& p) { return p.status.phase == "Succeeded" || p.status.phase == "Failed"; }
bool is_active(const Pod& p) { return !is_finished(p) && p.metadata.deletion_timestamp.is_zero(); }
bool is_ready(const Pod& p) {
  const auto* c = pod_condition(p, "Ready");
  return c && c->status == "True";
}
bool is_available(const Pod& p, int min_ready_seconds, WallTime now) {
  if (!is_ready(p)) return false;
  if (min_ready_seconds == 0) return true;
  apimachinery::Time since = ready_since(p);
  return !since.is_zero() && since.wall() + std::chrono::seconds(min_ready_seconds) <= now;
}
std::optional<Duration> available_in(const Pod& p, int min_ready_seconds, WallTime now) {
  if (!is_ready(p) || is_available(p, min_ready_seconds, now)) return std::nullopt;
  return ready_since(p).wall() + std::chrono::seconds(min_ready_seconds) - now;
}

bool give_up_before(const Pod& a, const Pod& b, const std::map<std::string, int>& on_node) {
  bool assigned_a = !a.spec.node_name.empty(), assigned_b = !b.spec.node_name.empty();
  if (assigned_a != assigned_b) return !assigned_a;
  if (phase_rank(a) != phase_rank(b)) return phase_rank(a) < phase_rank(b);
  if (is_ready(a) != is_ready(b)) return !is_ready(a);
  if (deletion_cost(a) != deletion_cost(b)) return deletion_cost(a) < deletion_cost(b);
  if (same_node(a, on_node) != same_node(b, on_node)) return same_node(a, on_node) > same_node(b, on_node);
  if (is_ready(a) && ready_since(a) != ready_since(b)) return much_later(ready_since(a), ready_since(b));
  if (restarts(a) != restarts(b)) return restarts(a) > restarts(b);
  if (a.metadata.creation_timestamp != b.metadata.creation_timestamp) return much_later(a.metadata.creation_timestamp, b.metadata.creation_timestamp);
  return a.metadata.name < b.metadata.name;
}

Pod pod_from_template(const PodTemplateSpec& t, const std::string& ns, const std::string& owner_name, api::meta::v1::OwnerReference owner) {
  Pod p;
  p.metadata.labels = t.metadata.labels;
  p.metadata.annotations = t.metadata.annotations;
  p.metadata.finalizers = t.metadata.finalizers;
  p.metadata.namespace_ = ns;
  p.metadata.generate_name = owner_name + "-";
  p.metadata.owner_references.push_back(std::move(owner));
  p.spec = t.spec;
  return p;
}

async::Task<Created> create_pods(Client* client, Teller tell, Pod pod, int count) {
  Created out;
  int batch = 1;
  while (out.count < count && out.failure.is_ok()) {
    int n = std::min(batch, count - out.count);
    async::CancelScope* scope = co_await async::current_scope();
    async::TaskGroup group("create pods", scope);
    for (int i = 0; i < n; ++i) group.spawn(create_one(client, &tell, pod, &out));
    co_await group.join();
    batch *= 2;
  }
  co_return out;
}

async::Task<Status> delete_pods(Client* client, Teller tell, std::vector<Pod> pods) {
  Status failure;
  async::CancelScope* scope = co_await async::current_scope();
  async::TaskGroup group("delete pods", scope);
  for (const auto& p : pods) group.spawn(delete_one(client, &tell, p.metadata.namespace_, p.metadata.name, p.metadata.uid, &failure));
  co_await group.join();
  co_return failure;
}

async::Task<ClaimResult> claim_pods(Client* client, std::vector<Pod> owned, std::vector<Pod> orphans, apimachinery::LabelSelector selector,
                                    api::meta::v1::OwnerReference owner, bool can_adopt) {
  ClaimResult out;
  for (auto& p : owned) {
    if (selector.matches(p.metadata.labels)) {
      out.pods.push_back(std::move(p));
      continue;
    }
    if (!can_adopt) continue;
    Result<Pod> r = co_await client->patch<Pod>(p.metadata.namespace_, p.metadata.name, PatchType::StrategicMerge, release_patch(p, owner.uid));
    if (!r && !r.is(Reason::NotFound) && !r.is(Reason::Invalid)) out.failure = r.status();
  }
  if (!can_adopt) co_return out;
  for (auto& p : orphans) {
    if (!p.metadata.deletion_timestamp.is_zero() || is_finished(p) || !selector.matches(p.metadata.labels)) continue;
    Result<Pod> r = co_await client->patch<Pod>(p.metadata.namespace_, p.metadata.name, PatchType::StrategicMerge, adopt_patch(p, owner));
    if (r) out.pods.push_back(std::move(p));
    else if (!r.is(Reason::NotFound)) out.failure = r.status();
  }
  co_return out;
}

std::string template_hash(const PodTemplateSpec& t, std::optional<std::int32_t> collisions) {
  static constexpr char kAlphabet[] = "bcdfghjklmnpqrstvwxz2456789";
  std::string bytes = api::to_message(t);
  if (collisions) bytes += std::to_string(*collisions);
  std::uint32_t h = fnv1a32(bytes);
  std::string out;
  for (char c : std::to_string(h)) out.push_back(kAlphabet[(c - '0') % (sizeof kAlphabet - 1)]);
  return out;
}

std::string revision_data(const PodTemplateSpec& t) {
  nlohmann::json data;
  data["spec"]["template"] = nlohmann::json::parse(api::to_json(t), nullptr, false);
  data["spec"]["template"]["$patch"] = "replace";
  return data.dump();
}
std::optional<PodTemplateSpec> template_of_revision(const std::string& data) {
  nlohmann::json j = nlohmann::json::parse(data, nullptr, false);
  const nlohmann::json* at = &j;
  for (const char* k : {"spec", "template"}) {
    if (!at->is_object() || !at->contains(k)) return std::nullopt;
    at = &(*at)[k];
  }
  if (!at->is_object()) return std::nullopt;
  nlohmann::json t = *at;
  t.erase("$patch");
  Result<PodTemplateSpec> r = api::from_json<PodTemplateSpec>(t.dump());
  return r ? std::optional<PodTemplateSpec>(std::move(*r)) : std::nullopt;
}
bool same_revision_data(const std::string& a, const std::string& b) {
  return a == b || nlohmann::json::parse(a, nullptr, false) == nlohmann::json::parse(b, nullptr, false);
}

}  // namespace onebin::controller
