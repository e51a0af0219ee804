// ServiceLB: the nodes themselves are the balancer. A Service of type LoadBalancer gets nodes' addresses in its status, and each
// node's proxy takes what comes to them at the Service's ports. Nothing exists outside of the API, so that no finalizer is needed.
#include "controllers.hpp"
#include "servicelb_plan.hpp"

#include <nlohmann/json.hpp>

namespace onebin::controller {
namespace {

namespace v1 = api::core::v1;
using v1::Service;
using api::discovery::v1::EndpointSlice;

const std::string kAll = "all";      // Services meet at the nodes' ports: they are decided on together
const std::string kGiven = "given";  // told_: it has addresses

class ServiceLb final : public Controller {
 public:
  // "service-controller" is whom upstream's roles let write the status.
  explicit ServiceLb(Context& c)
      : Controller(c, "service-controller"), services_(c.informers->get<Service>()), slices_(c.informers->get<EndpointSlice>()) {
    state_.api_port = std::to_string(c.options->api_port) + "/TCP";
    auto& nodes = c.informers->get<v1::Node>();
    auto& pods = c.informers->get<v1::Pod>();
    needs(services_);
    needs(slices_);
    needs(nodes);
    needs(pods);
    services_.on_event([this](const std::string& key, const Service* before, const Service* now) { on_service(key, before, now); });
    slices_.on_event([this](const std::string&, const EndpointSlice* before, const EndpointSlice* now) {
      for (const auto* s : {before, now})
        if (s) on_slice(*s);
    });
    nodes.on_event([this](const std::string& key, const v1::Node*, const v1::Node* now) {
      note(state_.nodes, key, now ? std::optional<BalancerNode>(project_balancer_node(*now)) : std::nullopt);
    });
    pods.on_event([this](const std::string& key, const v1::Pod*, const v1::Pod* now) {
      HostPorts held = now ? host_ports_of(*now) : HostPorts();
      note(state_.pods, key, held.ports.empty() ? std::nullopt : std::optional<HostPorts>(std::move(held)));
    });
  }

 private:
  void synced() override {
    claims_ = claims_of_status(state_);
    for (const auto& [key, s] : state_.services)
      if (!s.ingress.empty()) told_[key] = kGiven;
  }

  // What is decided on, and whether to decide anew.
  template <class T>
  void note(std::map<std::string, T>& known, const std::string& key, std::optional<T> now) {
    auto it = known.find(key);
    if (it == known.end() ? !now : now && *now == it->second) return;
    if (now) known[key] = std::move(*now);
    else known.erase(it);
    if (!state_.services.empty() || !told_.empty()) queue_.add(kAll);
  }

  void on_service(const std::string& key, const Service* before, const Service* now) {
    if (before)
      for (const auto& p : node_ports_of(*before)) state_.node_ports.erase(p);
    if (now)
      for (const auto& p : node_ports_of(*now)) state_.node_ports[p] = key;
    if (!state_.services.empty() && (!before || !now || node_ports_of(*before) != node_ports_of(*now))) queue_.add(kAll);
    std::optional<Balanced> s = now ? project_balanced(*now) : std::nullopt;
    if (s && s->local) {
      stale_.insert(key);
      queue_.add(kAll);
    }
    note(state_.services, key, std::move(s));
  }

  void on_slice(const EndpointSlice& s) {
    auto label = s.metadata.labels.find("kubernetes.io/service-name");
    if (label == s.metadata.labels.end()) return;
    std::string key = client::object_key(s.metadata.namespace_, label->second);
    auto it = state_.services.find(key);
    if (it == state_.services.end() || !it->second.local) return;
    stale_.insert(key);
    queue_.add(kAll);
  }

  void find_local_nodes(const std::string& key, Balanced& s) const {
    s.local_nodes.clear();
    auto [ns, name] = client::split_key(key);
    std::string prefix = ns + "/";
    for (auto it = slices_.items().lower_bound(prefix); it != slices_.items().end() && it->first.starts_with(prefix); ++it)
      if (auto slice = slices_.get(it->first))
        if (auto label = slice->metadata.labels.find("kubernetes.io/service-name"); label != slice->metadata.labels.end() && label->second == name)
          add_ready_nodes(s.local_nodes, *slice);
  }

  async::Task<ReconcileResult> reconcile(std::string) override {
    for (const auto& key : stale_)
      if (auto it = state_.services.find(key); it != state_.services.end() && it->second.local) find_local_nodes(key, it->second);
    stale_.clear();
    BalancerPlan plan = plan_balancers(state_, claims_);
    claims_ = std::move(plan.claims);
    std::erase_if(told_, [&](const auto& t) { return !plan.services.count(t.first); });
    Status status;
    // Who loses an address does so before another gets it.
    for (bool losing : {true, false})
      for (const auto& [key, d] : plan.services) {
        auto it = state_.services.find(key);
        if (it == state_.services.end() || it->second.ingress == d.addresses || (d.addresses.size() < it->second.ingress.size()) != losing) continue;
        Status s = co_await write(key, it->second.uid, d.addresses);
        if (!s && !s.is(Reason::NotFound)) status = std::move(s);
      }
    for (const auto& [key, d] : plan.services) tell(key, d);
    co_return ReconcileResult{status};
  }

  async::Task<Status> write(std::string key, std::string uid, std::vector<std::string> addresses) {
    auto [ns, name] = client::split_key(key);
    nlohmann::json patch, ingress = nlohmann::json::array();
    for (auto& a : addresses) ingress.push_back({{"ip", std::move(a)}});
    patch["metadata"]["uid"] = uid;
    patch["status"]["loadBalancer"]["ingress"] = ingress.empty() ? nlohmann::json() : std::move(ingress);
    Result<Service> r = co_await client_.patch<Service>(ns, name, PatchType::Merge, patch.dump(), "status");
    // Invalid: it is of another type by now.
    co_return r.is(Reason::Invalid) ? Status() : r.status();
  }

  void tell(const std::string& key, const BalancerDecision& d) {
    std::string now = d.addresses.empty() ? d.refusal : kGiven;
    std::string& told = told_[key];
    if (told == now) return;
    told = now;
    std::optional<Service> s = services_.get(key);
    if (!s || now.empty()) return;
    if (now == kGiven) events_.event(client::ref_of(*s), "Normal", "EnsuredLoadBalancer", "Nodes' addresses lead to the Service");
    else events_.event(client::ref_of(*s), "Warning", "SyncLoadBalancerFailed", "No address is given: " + now);
  }

  client::Informer<Service>& services_;
  client::Informer<EndpointSlice>& slices_;
  BalancerState state_;
  PortClaims claims_;
  std::set<std::string> stale_;              // Services whose local nodes are to be found again
  std::map<std::string, std::string> told_;  // of each Service kGiven, or why it has no address
};

}  // namespace

std::unique_ptr<Controller> make_servicelb(Context& c) { return std::make_unique<ServiceLb>(c); }

}  // namespace onebin::controller
