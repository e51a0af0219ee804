// ResourceQuota: what a write uses is charged to the quotas of its namespace, or the write is refused. It runs last, when
// nothing else can refuse the object any more.
//
// A charge is a compare-and-set of the quota's status, so that several servers and the quota controller agree. Writes to one
// namespace that come together are decided together, in order, and charged with one write a quota.
#include "apiserver/admission/resource_quota.hpp"

#include <onebin/api/quota.hpp>
#include <onebin/async/channel.hpp>
#include <onebin/async/loop.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/client/client.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

namespace core = api::core::v1;
namespace quota = api::quota;
using api::ResourceList;
using quota::ResourceQuota;
using quota::Use;

constexpr int kTries = 4;

std::string pretty(const ResourceList& list) {
  std::vector<std::string> parts;
  for (const auto& [k, v] : list) parts.push_back(k + "=" + v.to_string());
  return join(parts, ",");
}

template <class T>
Use use_of_document(const Document& object) {
  Result<T> typed = api::from_document<T>(object);
  if (!typed) return {};
  if constexpr (std::is_same_v<T, core::Pod>) return quota::use_of(*typed, async::Loop::current().clock().wall());
  else return quota::use_of(*typed);
}

Use use_in(const AdmissionAttributes& a, const Document& object) {
  if (a.resource_group.empty() && a.resource == "pods") return use_of_document<core::Pod>(object);
  if (a.resource_group.empty() && a.resource == "services") return use_of_document<core::Service>(object);
  if (a.resource_group.empty() && a.resource == "persistentvolumeclaims") return use_of_document<core::PersistentVolumeClaim>(object);
  if (a.resource_group == "resource.k8s.io" && a.resource == "resourceclaims") return use_of_document<api::resource::v1::ResourceClaim>(object);
  return quota::use_of(a.resource_group, a.resource);
}

// One write that waits for its turn.
struct Ticket {
  const AdmissionAttributes* attributes = nullptr;
  Use use;
  std::optional<Use> before;  // of the object that is updated
  bool done = false;
  Status result;
};
using TicketPtr = std::shared_ptr<Ticket>;
using Quotas = std::vector<ResourceQuota>;

// What the write adds to what `q` counts.
ResourceList charge(const ResourceQuota& q, const Ticket& t) {
  ResourceList out;
  bool counted_before = t.before && quota::in_scope(q, *t.before);
  for (const auto& [name, now] : t.use.usage) {
    apimachinery::Quantity delta = now;
    if (counted_before)
      if (auto it = t.before->usage.find(name); it != t.before->usage.end()) delta -= it->second;
    if (delta.sign() > 0) out[name] = delta;
  }
  return out;
}

// Charges the quotas with the write where all have room for it. Pure.
Status check(Quotas& quotas, const Ticket& t, bool* changed) {
  const AdmissionAttributes& a = *t.attributes;
  Quotas after = quotas;
  std::vector<std::pair<std::size_t, ResourceList>> charged;
  for (std::size_t i = 0; i < after.size(); ++i) {
    ResourceQuota& q = after[i];
    std::vector<std::string> names = quota::measured(a.resource_group, a.resource, q.status.hard);
    if (names.empty() || !quota::in_scope(q, t.use)) continue;
    if (a.resource_group.empty() && a.resource == "pods")
      if (Result<core::Pod> pod = api::from_document<core::Pod>(*a.object))
        if (std::string why = quota::unstated(*pod, names); !why.empty())
          return admission_forbidden(a, "failed quota: " + q.metadata.name + ": " + why);
    for (const auto& name : names)
      if (!q.status.used.count(name))
        return admission_forbidden(a, "status unknown for quota: " + q.metadata.name + ", resources: " + join(names, ","));
    charged.emplace_back(i, charge(q, t));
  }
  if (charged.empty()) return Status::ok();
  std::vector<std::string> negative;
  for (const auto& [name, v] : t.use.usage)
    if (v.sign() < 0) negative.push_back(name);
  if (!negative.empty()) return admission_forbidden(a, "quota usage is negative for resource(s): " + join(negative, ","));
  for (const auto& [i, delta] : charged) {
    ResourceQuota& q = after[i];
    ResourceList requested = api::masked(delta, api::names_of(q.status.hard)), used = q.status.used;
    api::add_to(used, requested);
    std::vector<std::string> exceeded;
    for (const auto& [name, more] : requested)
      if (used[name] > q.status.hard[name]) exceeded.push_back(name);
    // What a status says has happened already.
    if (!exceeded.empty() && a.subresource != "status")
      return admission_forbidden(a, "exceeded quota: " + q.metadata.name + ", requested: " + pretty(api::masked(requested, exceeded)) + ", used: " +
                                        pretty(api::masked(q.status.used, exceeded)) + ", limited: " + pretty(api::masked(q.status.hard, exceeded)));
    *changed = *changed || !requested.empty();
    q.status.used = std::move(used);
  }
  if (!a.dry_run) quotas = std::move(after);
  return Status::ok();
}

class ResourceQuotaAdmission final : public AdmissionPlugin {
 public:
  ResourceQuotaAdmission(const Lister& lister, std::unique_ptr<client::Transport> transport)
      : lister_(lister), transport_(std::move(transport)), client_(*transport_, "kube-apiserver") {}
  std::string_view name() const override { return "ResourceQuota"; }
  bool handles(Operation op) const override { return op == Operation::Create || op == Operation::Update; }
  bool concerns(const AdmissionAttributes& a) const override {
    if (!a.object || a.ns.empty() || a.is("", "namespaces") || !quota::counts(a.resource_group, a.resource)) return false;
    bool create = a.operation == Operation::Create;
    if (a.is("", "services") || a.is("", "persistentvolumeclaims") || a.is("resource.k8s.io", "resourceclaims") || a.is("", "pods")) return true;
    if (a.is("", "pods", "resize") || a.is("", "persistentvolumeclaims", "status")) return !create;
    return create && a.subresource.empty();
  }

  async::Task<Result<void>> validate(const AdmissionAttributes& a) override {
    if (!concerned(a)) co_return Result<void>();
    auto ticket = std::make_shared<Ticket>();
    ticket->attributes = &a;
    ticket->use = use_in(a, *a.object);
    if (a.operation == Operation::Update && a.old_object()) ticket->before = use_in(a, *a.old_object());
    if (ticket->before && a.resource == "pods" && a.subresource.empty() && ticket->before->terminating == ticket->use.terminating) co_return Result<void>();
    if (ticket->before && *ticket->before == ticket->use) co_return Result<void>();
    std::shared_ptr<Lane> lane = lane_of(a.ns);
    lane->waiting.push_back(ticket);
    while (!ticket->done && lane->busy) {
      Status s = co_await lane->turn.wait();
      if (s.is_ok() || ticket->done) continue;
      lane->waiting.erase(std::remove(lane->waiting.begin(), lane->waiting.end(), ticket), lane->waiting.end());
      ticket->attributes = nullptr;  // whoever has taken it passes it over
      co_return s;
    }
    if (!ticket->done) co_await lead(a.ns, lane);
    co_return Result<void>(ticket->result);
  }

 private:
  struct Lane {
    bool busy = false;
    std::vector<TicketPtr> waiting;
    async::WaitQueue turn;
  };

  // Whether a quota of the namespace measures such objects at all.
  bool concerned(const AdmissionAttributes& a) const {
    bool found = false;
    lister_.for_each<ResourceQuota>(a.ns, [&](const ResourceQuota& q) {
      found = !quota::measured(a.resource_group, a.resource, q.status.hard).empty();
      return !found;
    });
    return found;
  }

  std::shared_ptr<Lane> lane_of(const std::string& ns) {
    auto& lane = lanes_[ns];
    if (!lane) lane = std::make_shared<Lane>();
    return lane;
  }

  // Decides all that wait, whether or not the leader's own request is still wanted.
  async::Task<void> lead(std::string ns, std::shared_ptr<Lane> lane) {
    lane->busy = true;
    co_await async::uncancelled(decide(ns, std::exchange(lane->waiting, {})));
    lane->busy = false;
    if (lane->waiting.empty()) lanes_.erase(ns);
    lane->turn.wake_all();
  }

  async::Task<void> decide(std::string ns, std::vector<TicketPtr> batch) {
    Quotas quotas = current(ns);
    for (int tries = 1;; ++tries) {
      Quotas before = quotas;
      for (auto& t : batch) {
        if (t->done || !t->attributes) continue;
        bool changed = false;
        t->result = check(quotas, *t, &changed);
        t->done = !t->result || !changed || t->attributes->dry_run;
      }
      Status failed;
      Quotas again;
      for (std::size_t i = 0; i < quotas.size(); ++i) {
        if (quotas[i].status == before[i].status) continue;
        std::string name = quotas[i].metadata.name;
        Result<ResourceQuota> written = co_await client_.update(std::move(quotas[i]), "status");
        if (written) {
          remember(std::move(*written));
          continue;
        }
        failed = written.status();
        Result<ResourceQuota> now = co_await client_.get<ResourceQuota>(ns, name);
        if (now) again.push_back(std::move(*now));  // gone: it limits nothing any more
        else if (!now.is(Reason::NotFound)) failed = now.status();
      }
      if (failed.is_ok() || tries >= kTries) {
        for (auto& t : batch) {
          if (!t->done) t->result = failed;
          t->done = true;
        }
        co_return;
      }
      quotas = std::move(again);
    }
  }

  // The namespace's quotas, each as this server wrote it last where the cache does not have that yet.
  Quotas current(const std::string& ns) {
    Quotas out;
    lister_.for_each<ResourceQuota>(ns, [&](const ResourceQuota& q) {
      auto it = written_.find(ns + "/" + q.metadata.name);
      bool newer = it != written_.end() && it->second.metadata.uid == q.metadata.uid && revision(it->second) > revision(q);
      if (it != written_.end() && !newer) written_.erase(it);
      out.push_back(newer ? it->second : q);
      return true;
    });
    return out;
  }
  static std::int64_t revision(const ResourceQuota& q) { return std::strtoll(q.metadata.resource_version.c_str(), nullptr, 10); }
  void remember(ResourceQuota q) {
    constexpr std::size_t kMost = 100;
    if (written_.size() >= kMost) written_.clear();  // the cache has them in a moment
    std::string key = q.metadata.namespace_ + "/" + q.metadata.name;
    written_[std::move(key)] = std::move(q);
  }

  const Lister& lister_;
  std::unique_ptr<client::Transport> transport_;
  client::Client client_;
  std::map<std::string, std::shared_ptr<Lane>> lanes_;
  std::map<std::string, ResourceQuota> written_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_resource_quota(const Lister& lister, std::unique_ptr<client::Transport> transport) {
  return std::make_unique<ResourceQuotaAdmission>(lister, std::move(transport));
}

}  // namespace onebin::apiserver
