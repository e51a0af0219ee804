// The Endpoints and EndpointSlice controllers: where a Service's traffic goes.
#include "controllers.hpp"
#include "service_endpoints.hpp"

#include <onebin/base/log.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

namespace v1 = api::core::v1;
constexpr char kServiceName[] = "kubernetes.io/service-name", kManagedBy[] = "endpointslice.kubernetes.io/managed-by";
constexpr char kManager[] = "endpointslice-controller.k8s.io", kTrigger[] = "endpoints.kubernetes.io/last-change-trigger-time";
constexpr Duration kBatch = 5ms;  // pods of one change come together

// Which services a pod stands behind, by their selectors.
class ServiceSelectors {
 public:
  void set(const std::string& key, const Service* s) {
    if (!s || s->spec.selector.empty() || s->spec.type == "ExternalName") selectors_.erase(key);
    else selectors_[key] = s->spec.selector;
  }
  template <class Fn>
  void for_pod(const Pod& p, Fn fn) const {
    std::string prefix = p.metadata.namespace_ + "/";
    for (auto it = selectors_.lower_bound(prefix); it != selectors_.end() && it->first.compare(0, prefix.size(), prefix) == 0; ++it) {
      bool all = std::all_of(it->second.begin(), it->second.end(), [&](const auto& kv) {
        auto l = p.metadata.labels.find(kv.first);
        return l != p.metadata.labels.end() && l->second == kv.second;
      });
      if (all) fn(it->first);
    }
  }

 private:
  std::map<std::string, std::map<std::string, std::string>> selectors_;
};

// Whether a pod's change can change endpoints.
bool matters(const Pod* before, const Pod* now) {
  if (!before || !now) return true;
  return before->metadata.labels != now->metadata.labels || before->status.pod_ips != now->status.pod_ips || is_ready(*before) != is_ready(*now) ||
         before->status.phase != now->status.phase || before->metadata.deletion_timestamp != now->metadata.deletion_timestamp ||
         before->spec.node_name != now->spec.node_name || before->spec.hostname != now->spec.hostname || before->spec.subdomain != now->spec.subdomain;
}

class ServiceFollower : public Controller {
 public:
  ServiceFollower(Context& c, std::string name)
      : Controller(c, std::move(name)), services_(c.informers->get<Service>()), pods_(c.informers->get<Pod>()) {
    needs(services_);
    needs(pods_);
    services_.on_event([this](const std::string& key, const Service*, const Service* now) {
      selectors_.set(key, now);
      queue_.add(key);
    });
    pods_.on_event([this](const std::string&, const Pod* before, const Pod* now) {
      if (!matters(before, now)) return;
      auto later = [this](const std::string& key) { queue_.add_after(key, kBatch); };
      if (before) selectors_.for_pod(*before, later);
      if (now) selectors_.for_pod(*now, later);
    });
  }

 protected:
  int workers() const override { return 5; }
  std::vector<Pod> pods_behind(const Service& s) const {
    std::vector<Pod> out;
    std::string prefix = s.metadata.namespace_ + "/";
    auto selector = apimachinery::LabelSelector::from_map(s.spec.selector);
    for (auto it = pods_.items().lower_bound(prefix); it != pods_.items().end() && it->first.compare(0, prefix.size(), prefix) == 0; ++it)
      if (auto p = pods_.get(it->first); p && selector.matches(p->metadata.labels)) out.push_back(std::move(*p));
    return out;
  }
  client::Informer<Service>& services_;
  client::Informer<Pod>& pods_;
  ServiceSelectors selectors_;
};

class EndpointSlices final : public ServiceFollower {
 public:
  explicit EndpointSlices(Context& c)
      : ServiceFollower(c, "endpointslice-controller"), slices_(c.informers->get<EndpointSlice>()), nodes_(c.informers->get<v1::Node>()) {
    needs(slices_);
    needs(nodes_);
    nodes_.on_event([this](const std::string& key, const v1::Node*, const v1::Node* now) {
      auto label = now ? now->metadata.labels.find("topology.kubernetes.io/zone") : decltype(now->metadata.labels.begin()){};
      if (now && label != now->metadata.labels.end()) zones_[key] = label->second;
      else zones_.erase(key);
    });
    slices_.on_event([this](const std::string& key, const EndpointSlice* before, const EndpointSlice* now) {
      const EndpointSlice& s = now ? *now : *before;
      auto name = s.metadata.labels.find(kServiceName), by = s.metadata.labels.find(kManagedBy);
      bool ours = name != s.metadata.labels.end() && by != s.metadata.labels.end() && by->second == kManager;
      if (before) remove(key, *before);
      if (!ours) return;
      std::string service = client::object_key(s.metadata.namespace_, name->second);
      if (now) of_service_[service].insert(key);
      // Somebody else's change to a slice of ours is put right.
      queue_.add_after(service, kBatch);
    });
  }

 private:
  void remove(const std::string& key, const EndpointSlice& s) {
    auto name = s.metadata.labels.find(kServiceName);
    if (name == s.metadata.labels.end()) return;
    auto it = of_service_.find(client::object_key(s.metadata.namespace_, name->second));
    if (it == of_service_.end()) return;
    it->second.erase(key);
    if (it->second.empty()) of_service_.erase(it);
  }

  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<Service> s = services_.get(key);
    std::vector<EndpointSlice> existing;
    if (auto it = of_service_.find(key); it != of_service_.end())
      for (const auto& k : it->second)
        if (auto slice = slices_.get(k)) existing.push_back(std::move(*slice));
    if (!s) co_return ReconcileResult{co_await remove_all(existing)};
    if (s->spec.selector.empty() || s->spec.type == "ExternalName") co_return ReconcileResult{};
    std::vector<Pod> pods = pods_behind(*s);
    std::vector<std::string> families = s->spec.ip_families;
    if (families.empty()) families = {"IPv4"};
    auto zone_of = [this](const std::string& node) {
      auto it = zones_.find(node);
      return it == zones_.end() ? std::string() : it->second;
    };
    std::vector<EndpointSlice> desired;
    for (const auto& f : families)
      for (auto& d : desired_slices(*s, pods, f, zone_of)) desired.push_back(std::move(d));
    co_return ReconcileResult{co_await apply(*s, plan_slices(*s, existing, std::move(desired)))};
  }

  async::Task<Status> remove_all(std::vector<EndpointSlice> slices) {
    for (const auto& slice : slices) {
      Result<void> r = co_await client_.remove<EndpointSlice>(slice.metadata.namespace_, slice.metadata.name);
      if (!r && !r.is(Reason::NotFound)) co_return r.status();
    }
    co_return Status();
  }

  async::Task<Status> apply(Service s, SliceChanges changes) {
    std::string now = format_rfc3339_nano(context_.now());
    for (auto& slice : changes.update) {
      slice.metadata.annotations[kTrigger] = now;
      auto r = co_await client_.update(std::move(slice));
      if (!r && !r.is(Reason::NotFound)) co_return r.status();
    }
    for (auto& slice : changes.create) {
      slice.metadata.annotations[kTrigger] = now;
      auto r = co_await client_.create(s.metadata.namespace_, std::move(slice));
      if (r) continue;
      if (ends_with_namespace(r.status())) co_return Status();
      co_return r.status();
    }
    for (const auto& name : changes.remove) {
      Result<void> r = co_await client_.remove<EndpointSlice>(s.metadata.namespace_, name);
      if (!r && !r.is(Reason::NotFound)) co_return r.status();
    }
    co_return Status();
  }

  client::Informer<EndpointSlice>& slices_;
  client::Informer<v1::Node>& nodes_;
  std::map<std::string, std::string> zones_;
  std::map<std::string, std::set<std::string>> of_service_;
};

class EndpointsObjects final : public ServiceFollower {
 public:
  explicit EndpointsObjects(Context& c) : ServiceFollower(c, "endpoints-controller"), endpoints_(c.informers->get<v1::Endpoints>()) {
    needs(endpoints_);
    endpoints_.add_handler([this](const std::string& key, const Bytes& before, const Bytes& now) {
      if (before && !now) queue_.add(key);
    });
  }

 private:
  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<Service> s = services_.get(key);
    std::optional<v1::Endpoints> have = endpoints_.get(key);
    if (!s) {
      // Endpoints that somebody else keeps without a Service are his.
      if (!have || !have->metadata.labels.count(kManagedBy)) co_return ReconcileResult{};
      Result<void> r = co_await client_.remove<v1::Endpoints>(have->metadata.namespace_, have->metadata.name);
      co_return ReconcileResult{r.is(Reason::NotFound) ? Status() : r.status()};
    }
    if (s->spec.selector.empty() || s->spec.type == "ExternalName") co_return ReconcileResult{};
    v1::Endpoints want = desired_endpoints(*s, pods_behind(*s));
    Status status;
    if (have) {
      if (have->subsets == want.subsets && have->metadata.labels == want.metadata.labels) co_return ReconcileResult{};
      have->subsets = std::move(want.subsets);
      have->metadata.labels = std::move(want.metadata.labels);
      have->metadata.annotations[kTrigger] = format_rfc3339_nano(context_.now());
      auto r = co_await client_.update(std::move(*have));
      status = r.is(Reason::NotFound) ? Status() : r.status();
    } else {
      want.metadata.annotations[kTrigger] = format_rfc3339_nano(context_.now());
      auto r = co_await client_.create(s->metadata.namespace_, std::move(want));
      status = r.status();
      if (ends_with_namespace(status)) status = Status();
    }
    co_return ReconcileResult{status};
  }
  client::Informer<v1::Endpoints>& endpoints_;
};

}  // namespace

std::unique_ptr<Controller> make_endpointslice_controller(Context& c) { return std::make_unique<EndpointSlices>(c); }
std::unique_ptr<Controller> make_endpoints_controller(Context& c) { return std::make_unique<EndpointsObjects>(c); }

}  // namespace onebin::controller
