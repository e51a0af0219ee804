// Endpoints that somebody keeps by hand for a Service without a selector, mirrored into EndpointSlices, which is all that
// proxies and DNS read. Source: upstream's endpointslicemirroring controller.
#include "controllers.hpp"
#include "service_endpoints.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/api/discovery_v1.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

namespace v1 = api::core::v1;
using api::discovery::v1::Endpoint;
constexpr char kServiceName[] = "kubernetes.io/service-name", kManagedBy[] = "endpointslice.kubernetes.io/managed-by";
constexpr char kManager[] = "endpointslicemirroring-controller.k8s.io";
constexpr char kSkip[] = "endpointslice.kubernetes.io/skip-mirror", kLeader[] = "control-plane.alpha.kubernetes.io/leader";
constexpr char kHeadless[] = "service.kubernetes.io/headless", kLastApplied[] = "kubectl.kubernetes.io/last-applied-configuration";
constexpr char kTrigger[] = "endpoints.kubernetes.io/last-change-trigger-time";
constexpr std::size_t kMaxPerSubset = 1000;  // what a slice holds, and what upstream mirrors

bool mirrored(const v1::Endpoints& e) {
  auto skip = e.metadata.labels.find(kSkip);
  return e.metadata.deletion_timestamp.is_zero() && !e.metadata.annotations.count(kLeader) &&
         (skip == e.metadata.labels.end() || skip->second != "true");
}

Endpoint endpoint_of(const v1::EndpointAddress& a, bool ready) {
  Endpoint out;
  out.addresses = {a.ip};
  out.conditions.ready = ready;
  if (!a.hostname.empty()) out.hostname = a.hostname;
  out.node_name = a.node_name;
  out.target_ref = a.target_ref;
  return out;
}

// One slice a subset and address family. The name follows from the place, so that no copy is ever made twice.
std::vector<EndpointSlice> mirror(const v1::Endpoints& e) {
  std::vector<EndpointSlice> out;
  for (std::size_t i = 0; i < e.subsets.size(); ++i)
    for (const char* family : {"IPv4", "IPv6"}) {
      EndpointSlice s;
      auto add = [&](const std::vector<v1::EndpointAddress>& addresses, bool ready) {
        for (const auto& a : addresses)
          if ((a.ip.find(':') != std::string::npos) == (family[3] == '6') && s.endpoints.size() < kMaxPerSubset) s.endpoints.push_back(endpoint_of(a, ready));
      };
      add(e.subsets[i].addresses, true);
      add(e.subsets[i].not_ready_addresses, false);
      if (s.endpoints.empty()) continue;
      s.metadata.name = e.metadata.name.substr(0, 230) + "-mirror-" + (family[3] == '6' ? "v6-" : "") + std::to_string(i);
      s.metadata.namespace_ = e.metadata.namespace_;
      s.metadata.labels = e.metadata.labels;
      s.metadata.labels.erase(kHeadless);
      s.metadata.labels[kServiceName] = e.metadata.name;
      s.metadata.labels[kManagedBy] = kManager;
      s.metadata.annotations = e.metadata.annotations;
      s.metadata.annotations.erase(kLastApplied);
      s.metadata.annotations.erase(kTrigger);
      s.metadata.owner_references = {controller_ref(e)};
      s.address_type = family;
      for (const auto& p : e.subsets[i].ports) {
        api::discovery::v1::EndpointPort port;
        port.name = p.name;
        port.port = p.port;
        port.protocol = p.protocol.empty() ? "TCP" : p.protocol;
        port.app_protocol = p.app_protocol;
        s.ports.push_back(std::move(port));
      }
      out.push_back(std::move(s));
    }
  return out;
}

class EndpointMirror final : public Controller {
 public:
  explicit EndpointMirror(Context& c)
      : Controller(c, "endpointslicemirroring-controller"), endpoints_(c.informers->get<v1::Endpoints>()), services_(c.informers->get<Service>()),
        slices_(c.informers->get<EndpointSlice>()) {
    needs(endpoints_);
    needs(services_);
    needs(slices_);
    endpoints_.add_handler([this](const std::string& key, const Bytes&, const Bytes&) { queue_.add(key); });
    services_.add_handler([this](const std::string& key, const Bytes&, const Bytes&) { queue_.add(key); });
    slices_.on_event([this](const std::string& key, const EndpointSlice* before, const EndpointSlice* now) {
      for (const EndpointSlice* s : {before, now}) {
        if (!s || !ours(*s)) continue;
        std::string service = client::object_key(s->metadata.namespace_, s->metadata.labels.at(kServiceName));
        if (s == now) of_service_[service].insert(key);
        else if (auto it = of_service_.find(service); it != of_service_.end() && it->second.erase(key) && it->second.empty()) of_service_.erase(it);
        queue_.add(service);
      }
    });
  }

 private:
  static bool ours(const EndpointSlice& s) {
    auto by = s.metadata.labels.find(kManagedBy);
    return by != s.metadata.labels.end() && by->second == kManager && s.metadata.labels.count(kServiceName);
  }

  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::vector<EndpointSlice> want;
    std::optional<v1::Endpoints> e = endpoints_.get(key);
    std::optional<Service> s = services_.get(key);
    if (e && s && mirrored(*e) && s->spec.selector.empty() && s->spec.type != "ExternalName") want = mirror(*e);
    std::set<std::string> left;
    if (auto it = of_service_.find(key); it != of_service_.end()) left = it->second;
    for (auto& w : want) {
      std::string at = client::object_key(w.metadata.namespace_, w.metadata.name);
      left.erase(at);
      Status done = co_await write(std::move(w));
      if (!done) co_return ReconcileResult{done};
    }
    for (const auto& gone : left) {
      auto [ns, name] = client::split_key(gone);
      Result<void> r = co_await client_.remove<EndpointSlice>(ns, name);
      if (!r && !r.is(Reason::NotFound)) co_return ReconcileResult{r.status()};
    }
    co_return ReconcileResult{};
  }

  async::Task<Status> write(EndpointSlice want) {
    std::optional<EndpointSlice> have = slices_.get(want.metadata.namespace_, want.metadata.name);
    if (!have) {
      std::string ns = want.metadata.namespace_;
      Result<EndpointSlice> made = co_await client_.create(ns, std::move(want));
      if (ends_with_namespace(made.status())) co_return Status();
      // What exists already is on its way into the cache, and its event comes back here.
      co_return made.is(Reason::AlreadyExists) ? Status() : made.status();
    }
    if (have->endpoints == want.endpoints && have->ports == want.ports && have->metadata.labels == want.metadata.labels &&
        have->metadata.annotations == want.metadata.annotations)
      co_return Status();
    have->endpoints = std::move(want.endpoints);
    have->ports = std::move(want.ports);
    have->metadata.labels = std::move(want.metadata.labels);
    have->metadata.annotations = std::move(want.metadata.annotations);
    Result<EndpointSlice> r = co_await client_.update(std::move(*have));
    co_return r.is(Reason::NotFound) ? Status() : r.status();
  }

  client::Informer<v1::Endpoints>& endpoints_;
  client::Informer<Service>& services_;
  client::Informer<EndpointSlice>& slices_;
  std::map<std::string, std::set<std::string>> of_service_;  // the mirrors of each
};

}  // namespace

std::unique_ptr<Controller> make_endpoint_mirroring_controller(Context& c) { return std::make_unique<EndpointMirror>(c); }

}  // namespace onebin::controller
