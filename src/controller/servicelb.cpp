// ServiceLB: the nodes themselves are the balancer. A Service of type LoadBalancer gets nodes' addresses in its status, and each
// node's proxy takes what comes to them at the Service's ports. Nothing exists outside of the API, so that no finalizer is needed.
#include "controllers.hpp"
#include "servicelb_plan.hpp"

namespace onebin::controller {
namespace {

namespace v1 = api::core::v1;
using v1::Service;
using api::discovery::v1::EndpointSlice;

const std::string kAll = "all";      // Services meet at the nodes' ports: they are decided on together
const std::string kGiven = "given";  // told_: it has addresses

std::string service_of(const EndpointSlice& s) {
  auto label = s.metadata.labels.find("kubernetes.io/service-name");
  return label == s.metadata.labels.end() ? std::string() : client::object_key(s.metadata.namespace_, label->second);
}

class ServiceLb final : public Controller {
 public:
  // "service-controller" is whom upstream's roles let write the status.
  explicit ServiceLb(Context& c) : Controller(c, "service-controller"), slices_(c.informers->get<EndpointSlice>()) {
    state_.api_port = std::to_string(c.options->api_port) + "/TCP";
    auto& services = c.informers->get<Service>();
    auto& nodes = c.informers->get<v1::Node>();
    auto& pods = c.informers->get<v1::Pod>();
    needs(services);
    needs(slices_);
    needs(nodes);
    needs(pods);
    services.on_event([this](const std::string& key, const Service* before, const Service* now) {
      note(state_.node_ports, before ? node_ports_of(*before) : Entries(), now ? node_ports_of(*now) : Entries());
      note(state_.held, before ? external_ports_of(*before) : Entries(), now ? external_ports_of(*now) : Entries());
      on_service(key, now ? project_balanced(*now) : Balanced());
    });
    slices_.on_event([this](const std::string&, const EndpointSlice* before, const EndpointSlice* now) {
      for (const auto* s : {before, now})
        if (s) on_slice(service_of(*s));
    });
    nodes.on_event([this](const std::string& key, const v1::Node* before, const v1::Node* now) {
      note(state_.addresses, before ? addresses_of(*before) : Entries(), now ? addresses_of(*now) : Entries());
      note(state_.kubelet_ports, before ? Entries{{key, kubelet_port_of(*before)}} : Entries(), now ? Entries{{key, kubelet_port_of(*now)}} : Entries());
    });
    pods.on_event([this](const std::string&, const v1::Pod* before, const v1::Pod* now) {
      note(state_.held, before ? host_ports_of(*before) : Entries(), now ? host_ports_of(*now) : Entries());
    });
  }

 private:
  void synced() override {
    claims_ = claims_of_status(state_);
    for (const auto& [key, s] : state_.services)
      if (!s.ingress.empty()) told_[key] = kGiven;
  }

  void decide_anew() {
    if (!state_.services.empty()) queue_.add(kAll);
  }

  // An object's part of a map; what is another's by now stays.
  void note(Entries& known, const Entries& before, Entries now) {
    if (before == now) return;
    for (const auto& [key, value] : before)
      if (auto it = known.find(key); it != known.end() && it->second == value) known.erase(it);
    for (auto& [key, value] : now) known[key] = std::move(value);
    decide_anew();
  }

  void on_service(const std::string& key, Balanced now) {
    auto it = state_.services.find(key);
    if (now.uid.empty()) {
      if (it == state_.services.end()) return;
      state_.services.erase(it);
      queue_.add(kAll);
      return;
    }
    if (it != state_.services.end() && it->second == now) return;
    if (now.local) stale_.insert(key);
    state_.services[key] = std::move(now);
    queue_.add(kAll);
  }

  void on_slice(const std::string& service) {
    auto it = state_.services.find(service);
    if (it == state_.services.end() || !it->second.local) return;
    stale_.insert(service);
    queue_.add(kAll);
  }

  void find_local_nodes(const std::string& key, std::set<std::string>& out) const {
    out.clear();
    std::string prefix = client::split_key(key).first + "/";
    for (auto it = slices_.items().lower_bound(prefix); it != slices_.items().end() && it->first.starts_with(prefix); ++it)
      if (auto slice = slices_.get(it->first); slice && service_of(*slice) == key) add_ready_nodes(out, *slice);
  }

  async::Task<ReconcileResult> reconcile(std::string) override {
    for (const auto& key : stale_)
      if (auto it = state_.services.find(key); it != state_.services.end() && it->second.local) find_local_nodes(key, it->second.local_nodes);
    stale_.clear();
    BalancerPlan plan = plan_balancers(state_, claims_);
    claims_ = std::move(plan.claims);
    std::erase_if(told_, [this](const auto& t) { return !state_.services.count(t.first); });
    Status status;
    // Who loses an address does so before another gets it.
    for (int pass = 0; pass < 2; ++pass)
      for (const auto& d : plan.services) {
        auto it = state_.services.find(d.key);
        if (it == state_.services.end() || it->second.ingress == d.addresses || (d.addresses.size() < it->second.ingress.size()) != (pass == 0)) continue;
        Status s = co_await write(d.key, it->second.uid, d.addresses);
        // Invalid: it is of another type by now.
        if (!s && !s.is(Reason::NotFound) && !s.is(Reason::Invalid)) status = std::move(s);
      }
    for (const auto& d : plan.services) tell(d);
    co_return ReconcileResult{status};
  }

  async::Task<Status> write(std::string key, std::string uid, std::vector<std::string> addresses) {
    auto [ns, name] = client::split_key(key);
    std::string list;
    for (const auto& a : addresses) list += (list.empty() ? "[{\"ip\":\"" : ",{\"ip\":\"") + a + "\"}";
    std::string body = "{\"metadata\":{\"uid\":\"" + uid + "\"},\"status\":{\"loadBalancer\":{\"ingress\":" + (list.empty() ? "null" : list + "]") + "}}}";
    std::string path = client::resource_path(api::resource_of<Service>(), ns, name, "status");
    Result<std::string> r = co_await client_.raw(client_.patch_request(std::move(path), PatchType::Merge, std::move(body)));
    co_return r.status();
  }

  void tell(const BalancerDecision& d) {
    auto it = state_.services.find(d.key);
    if (it == state_.services.end()) return;
    std::string now = d.addresses.empty() ? d.refusal : kGiven;
    std::string& told = told_[d.key];
    if (told == now) return;
    told = now;
    if (now.empty()) return;
    auto [ns, name] = client::split_key(d.key);
    client::ObjectRef about{"v1", "Service", ns, name, it->second.uid, {}, {}};
    if (now == kGiven) events_.event(about, "Normal", "EnsuredLoadBalancer", "Nodes' addresses lead to the Service");
    else events_.event(about, "Warning", "SyncLoadBalancerFailed", "No address is given: " + now);
  }

  client::Informer<EndpointSlice>& slices_;
  BalancerState state_;
  PortClaims claims_;
  std::set<std::string> stale_;  // Services whose local nodes are to be found again
  Entries told_;                 // what the last Event of each Service said: kGiven, or why it has no address
};

}  // namespace

std::unique_ptr<Controller> make_servicelb(Context& c) { return std::make_unique<ServiceLb>(c); }

}  // namespace onebin::controller
