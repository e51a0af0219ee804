// Eviction: the deletion of a pod that its disruption budget allows.
// Source of the rules: Kubernetes "API-initiated Eviction", KEP-3017 (unhealthy pods).
#include "apiserver/errors.hpp"
#include "apiserver/handlers/objects.hpp"
#include "apiserver/handlers/subresources.hpp"

#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/meta.hpp>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::find_member;
using apimachinery::string_at;

namespace {

constexpr std::size_t kMaxDisrupted = 2000;

bool past_protection(const Document& pod) {
  std::string_view phase = apimachinery::get_string(pod, {"status", "phase"});
  return phase == "Succeeded" || phase == "Failed" || phase == "Pending" || !apimachinery::deletion_timestamp_of(pod).empty();
}

bool terminal(const Document& pod) {
  std::string_view phase = apimachinery::get_string(pod, {"status", "phase"});
  return phase == "Succeeded" || phase == "Failed" || !apimachinery::deletion_timestamp_of(pod).empty();
}

bool ready(const Document& pod) {
  const Document& conditions = at_path(pod, {"status", "conditions"});
  if (conditions.is_array())
    for (const auto& c : conditions)
      if (string_at(c, "type") == "Ready") return string_at(c, "status") == "True";
  return false;
}

Status refused(std::string cause) {
  Status s = too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", 0);
  s.mutable_details().causes.push_back({"DisruptionBudget", std::move(cause), ""});
  return s;
}
Status processing(const std::string& budget) {
  Status s = refused("The disruption budget " + budget + " is still being processed by the server.");
  s.mutable_details().retry_after_seconds = 10;
  return s;
}

// Takes one disruption from the budget's status.
Result<Document> decrement(const Document& budget, const std::string& pod, WallTime now) {
  std::string name(apimachinery::name_of(budget));
  const Document& status = apimachinery::member(budget, "status");
  if (apimachinery::int_at(status, "observedGeneration") < apimachinery::generation_of(budget)) return processing(name);
  std::int64_t allowed = apimachinery::int_at(status, "disruptionsAllowed");
  if (allowed < 0) return forbidden("policy", "poddisruptionbudget", name, "pdb disruptions allowed is negative");
  if (const Document* d = find_member(status, "disruptedPods"); d && d->size() > kMaxDisrupted)
    return forbidden("policy", "poddisruptionbudget", name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller");
  if (allowed == 0) {
    std::string cause = "The disruption budget " + name + " needs " + std::to_string(apimachinery::int_at(status, "desiredHealthy")) + " healthy pods and has " +
                        std::to_string(apimachinery::int_at(status, "currentHealthy")) + " currently";
    const Document& conditions = apimachinery::member(status, "conditions");
    if (conditions.is_array())
      for (const auto& c : conditions)
        if (string_at(c, "type") == "DisruptionAllowed" && string_at(c, "status") == "False" && string_at(c, "reason") == "SyncFailed")
          cause = "The disruption budget " + name + " does not allow evicting pods currently because it failed sync: " + std::string(string_at(c, "message"));
    return refused(std::move(cause));
  }
  Document out = budget;
  Document& s = out["status"];
  s["disruptionsAllowed"] = allowed - 1;
  apimachinery::object_at(s, "disruptedPods")[pod] = format_rfc3339(now);
  return Result<Document>(std::move(out));
}

std::vector<std::string> budgets_of(RequestContext& c, const Document& pod) {
  std::vector<std::string> out;
  Served* budgets = c.core.registry.preferred("policy", "poddisruptionbudgets");
  if (!budgets) return out;
  c.core.cacher.for_each("policy", "poddisruptionbudgets", c.info.ns, [&](std::string_view, std::string_view name, const Bytes& object) {
    Result<Document> d = decode_stored(*budgets, object);
    if (!d) return true;
    auto selector = apimachinery::LabelSelector::from_document(at_path(*d, {"spec", "selector"}));
    if (selector && selector->matches(apimachinery::labels_of(pod))) out.emplace_back(name);
    return true;
  });
  return out;
}

Handling take_disruption(RequestContext* c, const Document* pod, const std::string* budget, bool dry_run, bool* pin) {
  Served* budgets = c->core.registry.preferred("policy", "poddisruptionbudgets");
  Bytes stored = c->core.cacher.get("policy", "poddisruptionbudgets", c->info.ns, *budget);
  if (!budgets || !stored) co_return Result<void>();
  Result<Document> d = decode_stored(*budgets, stored);
  if (!d) co_return d.status();
  if (!ready(*pod)) {
    std::int64_t current = apimachinery::get_int(*d, {"status", "currentHealthy"}), desired = apimachinery::get_int(*d, {"status", "desiredHealthy"});
    bool always = apimachinery::get_string(*d, {"spec", "unhealthyPodEvictionPolicy"}) == "AlwaysAllow";
    if (always || (current >= desired && desired > 0)) {
      *pin = true;
      co_return Result<void>();
    }
  }
  std::string name(apimachinery::name_of(*pod));
  if (dry_run) {
    Result<Document> would = decrement(*d, name, c->now);
    co_return would ? Result<void>() : Result<void>(would.status());
  }
  UpdateOptions o;
  o.ns = c->info.ns;
  o.name = *budget;
  o.subresource = "status";
  o.admission = false;
  o.tracking.manager = "kube-apiserver";  // on its own behalf, whoever evicts
  WallTime now = c->now;
  // The resourceVersion stays: budgets are not updated without one, and a lost race calls this again with the newer object.
  o.make = [name, now](const Document* current) { return decrement(*current, name, now); };
  Result<Written> w = co_await update_object(c, budgets, std::move(o));
  co_return w ? Result<void>() : Result<void>(w.status());
}

// Says why the pod goes, then deletes it.
Handling condition_and_delete(RequestContext* c, const Document* pod, DeleteOptions o) {
  const Served* pods = c->served;
  std::string name(apimachinery::name_of(*pod));
  if (!o.dry_run) {
    UpdateOptions u;
    u.ns = c->info.ns;
    u.name = name;
    u.subresource = "status";
    u.admission = false;
    u.tracking.skip = true;
    WallTime now = c->now;
    std::optional<std::string> uid = o.uid, version = o.resource_version;
    u.make = [now, uid, version, name](const Document* current) -> Result<Document> {
      if (uid && !uid->empty() && *uid != apimachinery::uid_of(*current))
        return conflict("Pod", name, "the UID in the precondition (" + *uid + ") does not match the UID in record (" + std::string(apimachinery::uid_of(*current)) + "). The object might have been deleted and then recreated");
      if (version && !version->empty() && *version != apimachinery::resource_version_of(*current))
        return conflict("Pod", name, "the ResourceVersion in the precondition (" + *version + ") does not match the ResourceVersion in record (" + std::string(apimachinery::resource_version_of(*current)) + "). The object might have been modified");
      Document out = *current;
      Document& conditions = apimachinery::array_at(apimachinery::object_at(out, "status"), "conditions");
      Document* at = nullptr;
      for (auto& e : conditions)
        if (string_at(e, "type") == "DisruptionTarget") at = &e;
      if (!at) {
        conditions.push_back({{"type", "DisruptionTarget"}});
        at = &conditions.back();
      }
      if (string_at(*at, "status") != "True") (*at)["lastTransitionTime"] = format_rfc3339(now);
      (*at)["status"] = "True";
      (*at)["reason"] = "EvictionByEvictionAPI";
      (*at)["message"] = "Eviction API: evicting";
      return Result<Document>(std::move(out));
    };
    Result<Written> w = co_await update_object(c, pods, std::move(u));
    if (!w) co_return w.status();
    if (o.resource_version) o.resource_version = std::to_string(w->revision);
  }
  o.admission = false;  // the eviction itself was admitted
  Result<Deleted> d = co_await delete_object(c, pods, c->info.ns, name, std::move(o));
  co_return d ? Result<void>() : Result<void>(d.status());
}

DeleteOptions eviction_options(const RequestContext& c, const Document& eviction) {
  DeleteOptions o;
  const Document& d = apimachinery::member(eviction, "deleteOptions");
  if (d.is_object()) {
    if (const Document* v = find_member(d, "gracePeriodSeconds"); v && v->is_number_integer()) o.grace_seconds = v->get<std::int64_t>();
    const Document& p = apimachinery::member(d, "preconditions");
    if (find_member(p, "uid")) o.uid = std::string(string_at(p, "uid"));
    if (find_member(p, "resourceVersion")) o.resource_version = std::string(string_at(p, "resourceVersion"));
    o.propagation = string_at(d, "propagationPolicy");
    const Document& dry = apimachinery::member(d, "dryRun");
    o.dry_run = dry.is_array() && !dry.empty();
    o.document = d;
  }
  if (c.dry_run()) o.dry_run = true;
  return o;
}

}  // namespace

Handling handle_eviction(RequestContext* c) {
  const KindSchema* kind = api::find_kind("policy", "v1", "Eviction");
  if (!kind) co_return generic_not_found();
  if (c->info.verb != "create") co_return Status(Reason::MethodNotAllowed, "the server does not allow this method on the requested resource");
  Result<Document> eviction = co_await read_object(c, kind);
  if (!eviction) co_return eviction.status();
  if (apimachinery::name_of(*eviction) != c->info.name) co_return bad_request("name in URL does not match name in Eviction object");
  Result<void> admitted = co_await admit_created_below(c, kind, &*eviction);
  if (!admitted) co_return admitted;
  DeleteOptions o = eviction_options(*c, *eviction);
  Result<Document> pod = co_await current_object(c, c->served, c->info.ns, c->info.name);
  if (!pod) co_return pod.status();
  bool pinned_by_client = o.resource_version.has_value();
  bool pin = false;
  std::string budget;
  if (past_protection(*pod)) {
    pin = !terminal(*pod);
  } else {
    auto budgets = budgets_of(*c, *pod);
    if (budgets.size() > 1) co_return internal_error("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.");
    if (!budgets.empty()) {
      budget = budgets.front();
      Result<void> taken = co_await take_disruption(c, &*pod, &budget, o.dry_run, &pin);
      if (!taken) co_return taken;
    }
  }
  if (pin && !pinned_by_client) o.resource_version = std::string(apimachinery::resource_version_of(*pod));
  Result<void> done = co_await condition_and_delete(c, &*pod, std::move(o));
  if (!done && done.is(Reason::Conflict) && pin && !pinned_by_client && !budget.empty()) co_return processing(budget);
  if (!done) co_return done;
  Document ok = {{"kind", "Status"}, {"apiVersion", "v1"}, {"metadata", Document::object()}, {"status", "Success"}, {"code", 201}};
  const KindSchema* status = api::find_kind("", "v1", "Status");
  co_return co_await send_document(c, 201, std::move(ok), status ? status->type : nullptr);
}

}  // namespace onebin::apiserver
