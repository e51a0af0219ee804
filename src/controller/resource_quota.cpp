// The resource quota controller: status.hard and status.used of ResourceQuotas.
//
// Admission charges what is created; this measures what is there: what was there before the quota, what has gone, what was
// charged and never came. Only the kinds that a quota names are watched. A quota's sums follow the events one by one; they are
// counted afresh when its spec changes and, once it changes at all, every few minutes.
#include "resource_quota.hpp"

#include <onebin/api/apiextensions_v1.hpp>
#include <onebin/api/quota.hpp>
#include <onebin/api/registry.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

namespace core = api::core::v1;
namespace quota = api::quota;
using api::ResourceList;
using api::apiextensions::v1::CustomResourceDefinition;
using quota::ResourceQuota;
using quota::Use;

// A charge comes before its object. So a sum below what is charged counts only when nobody has charged for a moment, or after
// some time whatever is charged.
constexpr Duration kSettle = 300ms, kSettleAtMost = 800ms;
constexpr Duration kRecount = 5min;

// The objects of one resource.
struct Source {
  std::string group, resource, version, kind;  // a custom resource's texts live here
  client::RawInformer* informer = nullptr;
  std::unique_ptr<client::RawInformer> own;    // null where it is shared
  bool synced = false;
  async::TaskGroup tasks{"quota source"};      // ended before the informer
  bool is(std::string_view r) const { return group.empty() && resource == r; }
};

template <class T>
Use decoded(const Bytes& object, WallTime now) {
  Result<T> typed = api::from_protobuf<T>(*object);
  if (!typed) return {};
  if constexpr (std::is_same_v<T, core::Pod>) return quota::use_of(*typed, now);
  else return quota::use_of(*typed);
}

Use use_in(const Source& s, const Bytes& object, WallTime now) {
  if (s.is("pods")) return decoded<core::Pod>(object, now);
  if (s.is("services")) return decoded<core::Service>(object, now);
  if (s.is("persistentvolumeclaims")) return decoded<core::PersistentVolumeClaim>(object, now);
  if (s.group == "resource.k8s.io" && s.resource == "resourceclaims") return decoded<api::resource::v1::ResourceClaim>(object, now);
  return quota::use_of(s.group, s.resource);
}

// The resources that a quota's names are measured over, as {group, plural}.
std::set<std::pair<std::string, std::string>> resources_of(const ResourceList& hard) {
  std::set<std::pair<std::string, std::string>> out;
  constexpr std::string_view kCore[] = {"pods", "services", "persistentvolumeclaims", "configmaps", "resourcequotas", "replicationcontrollers", "secrets"};
  for (const auto& [name, limit] : hard) {
    for (std::string_view r : kCore)
      if (quota::measures("", r, name)) out.emplace("", r);
    if (quota::measures("resource.k8s.io", "resourceclaims", name)) out.emplace("resource.k8s.io", "resourceclaims");
    if (!starts_with(name, "count/")) continue;
    std::string resource = name.substr(6), group;
    if (auto dot = resource.find('.'); dot != std::string::npos) {
      group = resource.substr(dot + 1);
      resource.resize(dot);
    }
    if (quota::counts(group, resource)) out.emplace(std::move(group), std::move(resource));
  }
  return out;
}

const api::KindSchema* built_in(std::string_view group, std::string_view resource) {
  for (const api::KindSchema* k : api::all_kinds())
    if (k->group == group && k->plural == resource && k->namespaced && k->version == k->storage_version && k->has_verb("watch")) return k;
  return nullptr;
}

struct Tally {
  core::ResourceQuotaSpec spec;
  std::map<const Source*, ResourceList> sums;  // of what is counted already
  SteadyTime counted_at, charged_at;
  std::optional<SteadyTime> below_since;       // the sums are below what is charged
};

class QuotaController final : public Controller {
 public:
  explicit QuotaController(Context& c) : Controller(c, "resourcequota-controller"), quotas_(c.informers->get<ResourceQuota>()) {
    needs(quotas_);
    share("pods", c.informers->get<core::Pod>());
    share("services", c.informers->get<core::Service>());
    share("persistentvolumeclaims", c.informers->get<core::PersistentVolumeClaim>());
    share("resourcequotas", quotas_);
    quotas_.on_event([this](const std::string& key, const ResourceQuota* before, const ResourceQuota* now) { on_quota(key, before, now); });
  }

  void start() override {
    Controller::start();
    started_ = true;
    for (auto& [name, s] : sources_) s->tasks.spawn(follow(s.get()));
  }
  async::Task<void> stop() override {
    co_await Controller::stop();
    if (definitions_) co_await definitions_->stop();
    for (auto& [name, s] : sources_) co_await end(s.get());
  }

 private:
  static async::Task<void> end(Source* s) {
    s->tasks.cancel();
    co_await s->tasks.join();
    if (s->own) co_await s->own->stop();
  }

  void share(std::string resource, client::RawInformer& informer) {
    auto s = std::make_unique<Source>();
    s->resource = resource;
    adopt(std::move(s), informer);
  }

  // Follows the informer's objects from now on.
  Source* adopt(std::unique_ptr<Source> made, client::RawInformer& informer) {
    Source* s = made.get();
    s->informer = &informer;
    informer.add_handler([this, s](const std::string& key, const Bytes& before, const Bytes& now) { on_object(*s, key, before, now); });
    sources_[{s->group, s->resource}] = std::move(made);
    if (started_) s->tasks.spawn(follow(s));
    return s;
  }

  // Counts for all quotas when the source's first list is complete.
  async::Task<void> follow(Source* s) {
    Result<void> r = co_await s->informer->wait_synced();
    if (!r) co_return;
    s->synced = true;
    for (auto& [key, t] : tallies_) {
      if (!resources_of(t.spec.hard).count({s->group, s->resource})) continue;
      count(key, t, *s);
      queue_.add(key);
    }
  }

  Source* source_for(const std::string& group, const std::string& resource) {
    if (auto it = sources_.find({group, resource}); it != sources_.end()) return it->second.get();
    auto s = std::make_unique<Source>();
    s->group = group;
    s->resource = resource;
    client::RawInformer::Options options;
    api::KindSchema kind;
    if (const api::KindSchema* k = built_in(group, resource)) {
      kind = *k;
    } else if (find_definition(*s)) {
      kind.group = s->group;
      kind.plural = s->resource;
      kind.version = s->version;
      kind.kind = s->kind;
      kind.namespaced = true;
      options.metadata_only = true;
    } else {
      return nullptr;
    }
    s->own = std::make_unique<client::RawInformer>(client_, kind, options);
    client::RawInformer* informer = s->own.get();
    Source* made = adopt(std::move(s), *informer);
    informer->start();
    return made;
  }

  // Custom resources, from the first quota on that names one.
  bool find_definition(Source& s) {
    if (s.group.empty()) return false;
    if (!definitions_) {
      definitions_ = std::make_unique<client::Informer<CustomResourceDefinition>>(client_);
      definitions_->on_event([this](const std::string&, const CustomResourceDefinition* before, const CustomResourceDefinition* now) { on_definition(now ? *now : *before, now); });
      definitions_->start();
    }
    auto d = definitions_->get(s.resource + "." + s.group);
    if (!d || !usable(*d)) return false;
    s.kind = d->spec.names.kind;
    for (const auto& v : d->spec.versions)
      if (v.storage) s.version = v.name;
    return !s.version.empty();
  }
  static bool usable(const CustomResourceDefinition& d) {
    return d.spec.scope == "Namespaced" && !d.metadata.deletion_timestamp &&
           std::any_of(d.status.conditions.begin(), d.status.conditions.end(), [](const auto& c) { return c.type == "Established" && c.status == "True"; });
  }
  void on_definition(const CustomResourceDefinition& d, bool there) {
    std::pair<std::string, std::string> id{d.spec.group, d.spec.names.plural};
    auto it = sources_.find(id);
    bool follows = it != sources_.end();
    bool wanted = there && usable(d);
    if (follows && !wanted && it->second->own) {
      for (auto& [key, t] : tallies_) t.sums.erase(it->second.get());
      group_.spawn(let_go(std::move(it->second)));
      sources_.erase(it);
    }
    if (follows == wanted) return;
    for (auto& [key, t] : tallies_)
      if (resources_of(t.spec.hard).count(id)) queue_.add(key);
  }
  async::Task<void> let_go(std::unique_ptr<Source> s) { co_await end(s.get()); }

  void on_quota(const std::string& key, const ResourceQuota* before, const ResourceQuota* now) {
    if (!now) {
      tallies_.erase(key);
      return;
    }
    Tally& t = tallies_[key];
    if (!before || !(before->spec == now->spec) || before->metadata.uid != now->metadata.uid) {
      t = Tally();
      t.spec = now->spec;
    }
    t.charged_at = context_.steady_now();
    queue_.add(key);
  }

  static bool measured_by(const Tally& t, const Source& s) { return t.sums.count(&s) > 0; }

  // The tallies of a namespace.
  template <class Fn>
  void each_in(const std::string& prefix, Fn fn) {
    for (auto it = tallies_.lower_bound(prefix); it != tallies_.end() && starts_with(it->first, prefix); ++it) fn(it->first, it->second);
  }

  void on_object(const Source& s, const std::string& key, const Bytes& before, const Bytes& now) {
    if (!s.synced) return;
    std::string prefix = client::split_key(key).first + "/";
    bool concerned = false;
    each_in(prefix, [&](const std::string&, const Tally& t) { concerned = concerned || measured_by(t, s); });
    if (!concerned) return;
    WallTime at = context_.now();
    std::optional<Use> was, is;
    if (before) was = use_in(s, before, at);
    if (now) is = use_in(s, now, at);
    if (s.is("pods") && note_end(key, now)) each_in(prefix, [&](const std::string& name, const Tally&) { queue_.add(name); });
    if (was == is) return;
    each_in(prefix, [&](const std::string& name, Tally& t) {
      auto sum = t.sums.find(&s);
      if (sum == t.sums.end()) return;
      if (was) move(t, sum->second, *was, false);
      if (is) move(t, sum->second, *is, true);
      queue_.add(name);
    });
  }

  static void move(const Tally& t, ResourceList& sum, const Use& use, bool in) {
    ResourceQuota q;
    q.spec.scopes = t.spec.scopes;
    q.spec.scope_selector = t.spec.scope_selector;
    if (!quota::in_scope(q, use)) return;
    for (const auto& [name, amount] : use.usage) {
      if (!t.spec.hard.count(name)) continue;
      if (in) sum[name] += amount;
      else sum[name] -= amount;
    }
  }

  void count(const std::string& key, Tally& t, const Source& s) {
    ResourceList& sum = t.sums[&s] = {};
    std::string prefix = client::split_key(key).first + "/";
    WallTime at = context_.now();
    const auto& items = s.informer->items();
    for (auto it = items.lower_bound(prefix); it != items.end() && starts_with(it->first, prefix); ++it) {
      move(t, sum, use_in(s, it->second, at), true);
      if (s.is("pods")) note_end(it->first, it->second);
    }
  }

  // A pod whose grace is over counts no longer, though nothing tells of it. True when it has one.
  bool note_end(const std::string& key, const Bytes& pod) {
    std::optional<WallTime> end;
    if (pod)
      if (Result<core::Pod> p = api::from_protobuf<core::Pod>(*pod)) end = quota::ends_counting(*p);
    if (end && *end >= context_.now()) {
      ending_[key] = *end;
      return true;
    }
    ending_.erase(key);
    return false;
  }
  // Forgets the pods of the namespace that have ended; true when there were any. `next`: until the next one ends.
  bool pods_ended(const std::string& prefix, Duration* next) {
    WallTime now = context_.now();
    bool any = false;
    for (auto it = ending_.lower_bound(prefix); it != ending_.end() && starts_with(it->first, prefix);) {
      if (it->second < now) {
        it = ending_.erase(it);
        any = true;
        continue;
      }
      Duration left = it->second - now + 1ms;
      if (!next->count() || left < *next) *next = left;
      ++it;
    }
    return any;
  }

  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<ResourceQuota> q = quotas_.get(key);
    auto found = tallies_.find(key);
    if (!q || found == tallies_.end()) co_return ReconcileResult{};
    Tally& t = found->second;
    ReconcileResult result;
    SteadyTime now = context_.steady_now();
    std::string prefix = q->metadata.namespace_ + "/";
    if (pods_ended(prefix, &result.requeue_after)) {
      auto pods = sources_.find({"", "pods"});
      each_in(prefix, [&](const std::string& name, Tally& other) {
        if (!measured_by(other, *pods->second)) return;
        count(name, other, *pods->second);
        queue_.add(name);
      });
    }
    bool again = now - t.counted_at > kRecount;
    if (again) t.counted_at = now;
    core::ResourceQuotaStatus want;
    want.hard = q->spec.hard;
    want.used = api::masked(q->status.used, api::names_of(want.hard));
    for (const auto& [group, resource] : resources_of(want.hard)) {
      Source* s = source_for(group, resource);
      if (!s || !s->synced) continue;
      if (again || !measured_by(t, *s)) count(key, t, *s);
      const ResourceList& sum = t.sums[s];
      for (const auto& name : quota::measured(group, resource, want.hard)) {
        auto it = sum.find(name);
        want.used[name] = it == sum.end() ? apimachinery::Quantity() : it->second;
      }
    }
    bool below = false;
    for (const auto& [name, charged] : q->status.used)
      if (auto it = want.used.find(name); it != want.used.end()) below = below || it->second < charged;
    if (!below) t.below_since.reset();
    else if (!t.below_since) t.below_since = now;
    if (below && now - t.charged_at < kSettle && now - *t.below_since < kSettleAtMost) {
      Duration wait = kSettle - (now - t.charged_at);
      if (!result.requeue_after.count() || wait < result.requeue_after) result.requeue_after = wait;
      co_return result;
    }
    if (want == q->status) co_return result;
    q->status = std::move(want);
    Result<ResourceQuota> r = co_await client_.update(std::move(*q), "status");
    result.status = r.is(Reason::NotFound) ? Status() : r.status();
    co_return result;
  }

  client::Informer<ResourceQuota>& quotas_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Source>> sources_;
  std::unique_ptr<client::Informer<CustomResourceDefinition>> definitions_;
  std::map<std::string, Tally> tallies_;     // by quota
  std::map<std::string, WallTime> ending_;   // by pod
  bool started_ = false;
};

}  // namespace

std::unique_ptr<Controller> make_resource_quota_controller(Context& c) { return std::make_unique<QuotaController>(c); }

}  // namespace onebin::controller
