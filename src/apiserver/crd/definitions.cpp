#include "apiserver/crd/definitions.hpp"

#include "apiserver/crd/custom_kind.hpp"
#include "apiserver/crd/definition_strategy.hpp"
#include "apiserver/local_transport.hpp"
#include "apiserver/respond.hpp"

#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::bool_at;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::string_at;

Document make_condition(std::string_view type, bool status, std::string_view reason, std::string_view message) {
  return {{"type", type}, {"status", status ? "True" : "False"}, {"reason", reason}, {"message", message}};
}

bool has_condition(const Document& definition, std::string_view type) {
  const Document& list = at_path(definition, {"status", "conditions"});
  if (!list.is_array()) return false;
  for (const auto& c : list)
    if (string_at(c, "type") == type) return string_at(c, "status") == "True";
  return false;
}

bool set_condition(Document& definition, Document condition, WallTime now) {
  Document& list = apimachinery::array_at(apimachinery::object_at(definition, "status"), "conditions");
  condition["lastTransitionTime"] = format_rfc3339(now);
  for (auto& c : list) {
    if (string_at(c, "type") != string_at(condition, "type")) continue;
    if (string_at(c, "status") == string_at(condition, "status")) condition["lastTransitionTime"] = member(c, "lastTransitionTime");
    if (c == condition) return false;
    c = std::move(condition);
    return true;
  }
  list.push_back(std::move(condition));
  return true;
}

Definitions::Definitions(Core& core)
    : core_(core), transport_(make_local_transport(core, system_user("system:apiserver", {std::string(kMastersGroup)}))) {}
Definitions::~Definitions() = default;

// ---- names

namespace {

Document approval_condition(const Document& definition) {
  auto [state, why] = approval_of(definition);
  const char* reason = state == ApprovalState::Approved   ? "ApprovedAnnotation"
                       : state == ApprovalState::Bypassed ? "UnapprovedAnnotation"
                       : state == ApprovalState::Missing  ? "MissingAnnotation"
                                                          : "InvalidAnnotation";
  return make_condition("KubernetesAPIApprovalPolicyConformant", state == ApprovalState::Approved, reason, why);
}

struct Taken {
  std::set<std::string, std::less<>> resources, kinds;
};

Taken taken_by(const std::vector<Document>& others) {
  Taken t;
  for (const auto& d : others) {
    const Document& names = at_path(d, {"status", "acceptedNames"});
    t.resources.emplace(string_at(names, "plural"));
    t.resources.emplace(string_at(names, "singular"));
    if (const Document& list = member(names, "shortNames"); list.is_array())
      for (const auto& s : list)
        if (s.is_string()) t.resources.insert(s.get<std::string>());
    t.kinds.emplace(string_at(names, "kind"));
    t.kinds.emplace(string_at(names, "listKind"));
  }
  return t;
}

}  // namespace

Definitions::Names Definitions::accept_names(const Document& definition, const std::vector<Document>& others) {
  Taken taken = taken_by(others);
  const Document& wanted = at_path(definition, {"spec", "names"});
  Names out;
  const Document& had = at_path(definition, {"status", "acceptedNames"});
  out.accepted = had.is_object() ? had : Document::object();
  out.condition = make_condition("NamesAccepted", true, "NoConflicts", "no conflicts found");
  auto conflict = [&](const char* reason, std::string message) { out.condition = make_condition("NamesAccepted", false, reason, message); };
  auto take = [&](const char* field, const char* reason, const std::set<std::string, std::less<>>& used) {
    std::string name(string_at(wanted, field));
    if (name != string_at(had, field) && used.count(name)) return conflict(reason, "\"" + name + "\" is already in use");
    out.accepted[field] = name;
  };
  take("plural", "PluralConflict", taken.resources);
  take("singular", "SingularConflict", taken.resources);
  const Document &wanted_short = member(wanted, "shortNames"), &had_short = member(had, "shortNames");
  if (wanted_short != had_short) {
    std::vector<std::string> in_use;
    if (wanted_short.is_array())
      for (const auto& s : wanted_short) {
        bool ours = had_short.is_array() && std::find(had_short.begin(), had_short.end(), s) != had_short.end();
        if (s.is_string() && !ours && taken.resources.count(s.get<std::string>())) in_use.push_back("\"" + s.get<std::string>() + "\" is already in use");
      }
    if (!in_use.empty()) conflict("ShortNamesConflict", apimachinery::aggregate_messages(in_use));
    else if (wanted_short.is_array()) out.accepted["shortNames"] = wanted_short;
    else out.accepted.erase("shortNames");
  }
  take("kind", "KindConflict", taken.kinds);
  take("listKind", "ListKindConflict", taken.kinds);
  if (const Document* categories = find_member(wanted, "categories")) out.accepted["categories"] = *categories;
  else out.accepted.erase("categories");
  return out;
}

std::vector<Document> Definitions::others_of_group(const std::string& group, const std::string& but) const {
  std::vector<Document> out;
  const Served* served = core_.registry.find(kDefinitionsGroup, "v1", kDefinitionsResource);
  core_.cacher.for_each(kDefinitionsGroup, kDefinitionsResource, "", [&](std::string_view, std::string_view name, const Bytes& object) {
    if (name == but || !ends_with(name, "." + group)) return true;
    Result<Document> d = decode_stored(*served, object);
    if (d && string_at(member(*d, "spec"), "group") == group) out.push_back(std::move(*d));
    return true;
  });
  return out;
}

Result<Document> Definitions::definition_of(const std::string& name) const {
  const Served* served = core_.registry.find(kDefinitionsGroup, "v1", kDefinitionsResource);
  Bytes object = core_.cacher.get(kDefinitionsGroup, kDefinitionsResource, "", name);
  if (!object) return Status(Reason::NotFound, "there is no definition " + name);
  return decode_stored(*served, object);
}

// ---- what is served

void Definitions::unregister(const Live& live) {
  for (const auto& v : live.versions) core_.registry.remove(live.group, v, live.plural);
}

void Definitions::refresh(const std::string& name, const Document& definition) {
  auto at = live_.find(name);
  if (at == live_.end()) return;
  Live& live = at->second;
  const Document& spec = member(definition, "spec");
  bool terminating = !apimachinery::deletion_timestamp_of(definition).empty();
  std::string facts = sha256(apimachinery::encode_json(Document::array({spec, at_path(definition, {"status", "acceptedNames"}), terminating}), nullptr));
  if (facts == live.facts) return;
  bool again = !live.facts.empty();
  live.facts = std::move(facts);
  unregister(live);
  live.versions.clear();
  bool rewrite = again || apimachinery::generation_of(definition) > 1;
  for (const auto& v : member(spec, "versions")) {
    if (!bool_at(v, "served")) continue;
    live.versions.emplace_back(string_at(v, "name"));
    core_.registry.add(make_custom_served(definition, v, live.cache, rewrite));
  }
  // Watches go on by the tables that they began with; who watches is told to begin anew.
  if (again) live.cache->end_watchers(closed());
}

void Definitions::withdraw(const std::string& name) {
  auto at = live_.find(name);
  if (at == live_.end()) return;
  unregister(at->second);
  core_.cacher.remove(at->second.prefix);
  live_.erase(at);
}

void Definitions::on_change(std::string_view name_view, const Bytes& before, const Bytes& now) {
  std::string name(name_view);
  const Served* served = core_.registry.find(kDefinitionsGroup, "v1", kDefinitionsResource);
  if (!now) {
    withdraw(name);
    Result<Document> old = decode_stored(*served, before);
    if (old) requeue_group(std::string(string_at(member(*old, "spec"), "group")), name);
    return;
  }
  Result<Document> d = decode_stored(*served, now);
  if (!d) return;
  if (auto at = live_.find(name); at != live_.end() && at->second.uid != apimachinery::uid_of(*d)) withdraw(name);
  refresh(name, *d);
  enqueue(std::move(name));
}

// ---- the worker

void Definitions::enqueue(std::string name) {
  queue_.insert(std::move(name));
  wake_.wake_all();
}

void Definitions::requeue_group(const std::string& group, const std::string& but) {
  for (const auto& d : others_of_group(group, but)) enqueue(std::string(apimachinery::name_of(d)));
}

async::Task<Result<void>> Definitions::start() {
  std::vector<std::string> names;
  core_.cacher.for_each(kDefinitionsGroup, kDefinitionsResource, "", [&](std::string_view, std::string_view name, const Bytes&) {
    names.emplace_back(name);
    return true;
  });
  for (const auto& name : names) {
    Result<Document> d = definition_of(name);
    if (!d || !has_condition(*d, "Established")) continue;
    Result<void> served = co_await establish(name, &*d);
    if (served.is(Reason::Cancelled) || served.is(Reason::Closed)) co_return served;
    if (!served) log_warn("a CustomResourceDefinition cannot be served", {{"name", name}, {"error", served.status()}});
  }
  core_.cacher.subscribe(kDefinitionsGroup, kDefinitionsResource,
                         [this](std::string_view, std::string_view name, const Bytes& before, const Bytes& now) { on_change(name, before, now); });
  core_.group().spawn(work());
  co_return Result<void>();
}

async::Task<void> Definitions::work() {
  for (;;) {
    while (queue_.empty()) {
      Status s = co_await wake_.wait();
      if (!s) co_return;
    }
    std::string name = std::move(queue_.extract(queue_.begin()).value());
    Result<void> done = co_await reconcile(name);
    if (done || done.is(Reason::NotFound)) {
      failures_.erase(name);
      continue;
    }
    if (done.is(Reason::Cancelled) || done.is(Reason::Closed)) co_return;
    if (!done.is(Reason::Conflict)) {
      log_warn("a CustomResourceDefinition cannot be brought up to date", {{"name", name}, {"error", done.status()}});
      Status s = co_await async::sleep_for(100ms * std::min(1 << std::min(failures_[name]++, 6), 50));
      if (!s) co_return;
    }
    Result<void> fresh = co_await core_.cacher.wait_current();
    if (fresh.is(Reason::Cancelled)) co_return;
    queue_.insert(name);
  }
}

async::Task<Result<void>> Definitions::establish(std::string name, const Document* definition) {
  std::string group(string_at(member(*definition, "spec"), "group")), plural(string_at(at_path(*definition, {"spec", "names"}), "plural"));
  if (live_.count(name)) {
    refresh(name, *definition);
    co_return Result<void>();
  }
  if (core_.registry.preferred(group, plural)) co_return Status(Reason::AlreadyExists, plural + "." + group + " is served already");
  Live live;
  live.uid = apimachinery::uid_of(*definition);
  live.group = group;
  live.plural = plural;
  live.prefix = custom_storage_prefix(*definition);
  bool namespaced = string_at(member(*definition, "spec"), "scope") == "Namespaced";
  Result<std::shared_ptr<WatchCache>> cache = co_await core_.cacher.add_live(group, plural, live.prefix, namespaced);
  if (!cache) co_return cache.status();
  // The definition may be gone by now.
  Bytes stored = core_.cacher.get(kDefinitionsGroup, kDefinitionsResource, "", name);
  if (!stored) {
    core_.cacher.remove(live.prefix);
    co_return Status(Reason::NotFound, "");
  }
  live.cache = *cache;
  WatchCache* raw = cache->get();
  // The last object's end lets a definition go that is being deleted.
  raw->subscribe([this, raw, name](std::string_view, const Bytes&, const Bytes& now) {
    if (!now && raw->items().empty()) enqueue(name);
  });
  live_[name] = std::move(live);
  refresh(name, *definition);
  co_return Result<void>();
}

async::Task<Result<void>> Definitions::reconcile(std::string name) {
  Result<Document> d = definition_of(name);
  if (!d) co_return d.status();
  if (!apimachinery::deletion_timestamp_of(*d).empty()) co_return co_await terminate(name, &*d);
  std::string group(string_at(member(*d, "spec"), "group"));
  WallTime now = core_.clock().wall();
  Names names = accept_names(*d, others_of_group(group, name));
  Document before = *d;
  apimachinery::object_at(*d, "status")["acceptedNames"] = names.accepted;
  set_condition(*d, names.condition, now);
  if (is_protected_group(group)) set_condition(*d, approval_condition(*d), now);
  if (!has_condition(*d, "Established")) {
    if (names.ok()) {
      Result<void> served = co_await establish(name, &*d);
      if (served.is(Reason::AlreadyExists)) {
        set_condition(*d, make_condition("Established", false, "OverlappingBuiltInResource", "a built-in resource has this name"), now);
      } else if (!served) {
        co_return served;
      } else {
        set_condition(*d, make_condition("Established", true, "InitialNamesAccepted", "the initial names have been accepted"), now);
      }
    } else {
      set_condition(*d, make_condition("Established", false, "NotAccepted", "not all names are accepted"), now);
    }
  } else if (!live_.count(name)) {
    Result<void> served = co_await establish(name, &*d);
    if (!served) co_return served;
  }
  if (*d == before) co_return Result<void>();
  bool released = member(member(before, "status"), "acceptedNames") != names.accepted;
  Result<void> written = co_await write_status(name, std::move(*d));
  if (!written) co_return written;
  if (released) requeue_group(group, name);
  co_return Result<void>();
}

async::Task<Result<void>> Definitions::write_status(std::string name, Document definition) {
  client::ApiRequest q;
  q.method = "PUT";
  q.path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/" + name + "/status";
  q.query = "fieldManager=kube-apiserver";
  q.accept = q.content_type = "application/json";
  q.body = apimachinery::encode_json(definition, nullptr);
  Result<client::ApiResponse> r = co_await transport_->request(std::move(q));
  if (!r) co_return r.status();
  if (r->code != 200) co_return client::status_from_response(*r);
  co_return Result<void>();
}

// ---- the end of a definition

async::Task<Result<void>> Definitions::delete_instances(std::string name, const Document* definition) {
  auto at = live_.find(name);
  if (at == live_.end()) {
    Result<void> served = co_await establish(name, definition);
    if (!served) co_return served;
    at = live_.find(name);
  }
  Live live = at->second;
  std::set<std::string> scopes;
  for (const auto& [key, entry] : live.cache->items()) scopes.insert(live.cache->namespaced() ? key.substr(0, key.find('/')) : std::string());
  if (live.versions.empty()) {
    // No version is served that could be asked: what is stored goes as it is.
    std::vector<std::string> keys;
    for (const auto& [key, entry] : live.cache->items()) keys.push_back(live.prefix + key);
    for (auto& key : keys) {
      storage::WriteResult r = co_await core_.store.remove(key, 0);
      if (!r.is_ok() && !r.is(Reason::NotFound)) co_return r.status();
    }
    co_return Result<void>();
  }
  // As the version that most are stored as, so that little has to be converted.
  std::string version = live.versions.front();
  for (const auto& v : at_path(*definition, {"spec", "versions"}))
    if (bool_at(v, "storage") && bool_at(v, "served")) version = string_at(v, "name");
  for (const auto& ns : scopes) {
    client::ApiRequest q;
    q.method = "DELETE";
    q.path = "/apis/" + live.group + "/" + version + (ns.empty() ? "" : "/namespaces/" + ns) + "/" + live.plural;
    q.accept = "application/json";
    Result<client::ApiResponse> r = co_await transport_->request(std::move(q));
    if (!r) co_return r.status();
    if (r->code >= 300) co_return client::status_from_response(*r);
  }
  co_return Result<void>();
}

async::Task<Result<void>> Definitions::terminate(std::string name, const Document* definition) {
  std::vector<std::string> finalizers = apimachinery::finalizers_of(*definition);
  auto cleanup = std::find(finalizers.begin(), finalizers.end(), kCleanupFinalizer);
  if (cleanup == finalizers.end()) co_return Result<void>();
  WallTime now = core_.clock().wall();
  Document d = *definition;
  if (has_condition(d, "Established")) {
    Result<void> deleted = co_await delete_instances(name, definition);
    if (!deleted) co_return deleted;
    Result<void> fresh = co_await core_.cacher.wait_current();
    if (!fresh) co_return fresh;
    auto at = live_.find(name);
    if (at != live_.end() && !at->second.cache->items().empty()) {
      // Objects with finalizers of their own: the last one's end brings this back.
      if (!set_condition(d, make_condition("Terminating", true, "InstanceDeletionInProgress", "CustomResource deletion is in progress"), now)) co_return Result<void>();
      co_return co_await write_status(name, std::move(d));
    }
    set_condition(d, make_condition("Terminating", false, "InstanceDeletionCompleted", "removed all instances"), now);
  } else {
    set_condition(d, make_condition("Terminating", false, "NeverEstablished", "resource was never established"), now);
  }
  finalizers.erase(cleanup);
  apimachinery::set_finalizers(d, finalizers);
  co_return co_await write_status(name, std::move(d));
}

}  // namespace onebin::apiserver
