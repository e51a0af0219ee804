// ServiceCIDRs: ready as they come, kept while they are the only range of an address in use. IPAddresses: one for each address
// that a Service holds, made and removed with it.
#include "controllers.hpp"
#include "service_cidr_plan.hpp"

#include <algorithm>

namespace onebin::controller {
namespace {

using api::core::v1::Service;
constexpr char kFinalizer[] = "networking.k8s.io/service-cidr-finalizer";
constexpr Duration kGrace = 10s;  // allocations under way may still take from a range that is being deleted
const std::string kCidr = "cidr ", kAddress = "ip ";

class ServiceCidrs final : public Controller {
 public:
  explicit ServiceCidrs(Context& c)
      : Controller(c, "service-cidrs-controller"), cidrs_(c.informers->get<ServiceCIDR>()), addresses_(c.informers->get<IPAddress>()),
        services_(c.informers->get<Service>()) {
    needs(cidrs_);
    needs(addresses_);
    needs(services_);
    cidrs_.add_handler([this](const std::string&, const Bytes&, const Bytes&) { ask_cidrs(); });
    addresses_.add_handler([this](const std::string& name, const Bytes&, const Bytes& now) {
      queue_.add(kAddress + name);
      if (!now) ask_cidrs();
    });
    services_.on_event([this](const std::string& key, const Service* before, const Service* now) {
      std::vector<std::string> was = before ? addresses_of(*before) : std::vector<std::string>(), is = now ? addresses_of(*now) : std::vector<std::string>();
      if (was == is) return;
      for (const auto& a : was)
        if (auto it = holders_.find(a); it != holders_.end() && it->second == key) holders_.erase(it);
      for (const auto& a : is) holders_[a] = key;
      for (const auto* list : {&was, &is})
        for (const auto& a : *list) queue_.add(kAddress + a);
    });
  }

 private:
  void ask_cidrs() {
    for (const auto& [name, item] : cidrs_.items()) queue_.add(kCidr + name);
  }

  async::Task<ReconcileResult> reconcile(std::string key) override {
    if (key.starts_with(kCidr)) co_return co_await sync_cidr(key.substr(kCidr.size()));
    Status s = co_await sync_address(key.substr(kAddress.size()));
    co_return ReconcileResult{s};
  }

  async::Task<Status> sync_address(std::string address) {
    auto holder = holders_.find(address);
    std::optional<IPAddress> object = addresses_.get(address);
    auto [ns, name] = holder == holders_.end() ? std::pair<std::string, std::string>() : client::split_key(holder->second);
    if (object && is_allocated(*object) && !object->metadata.deletion_timestamp && !is_for(*object, ns, name)) {
      client::DeleteOptions options;
      options.uid = object->metadata.uid;
      Result<void> r = co_await client_.remove<IPAddress>("", address, options);
      co_return r.is(Reason::NotFound) ? Status() : r.status();  // its event brings a new one where that is due
    }
    if (object || name.empty()) co_return Status();
    Result<IPAddress> r = co_await client_.create("", address_object(address, ns, name));
    co_return r.is(Reason::AlreadyExists) ? Status() : r.status();
  }

  async::Task<ReconcileResult> sync_cidr(std::string name) {
    std::optional<ServiceCIDR> c = cidrs_.get(name);
    if (!c) co_return ReconcileResult{};
    auto& f = c->metadata.finalizers;
    auto at = std::find(f.begin(), f.end(), kFinalizer);
    if (!c->metadata.deletion_timestamp) {
      if (at == f.end()) {
        f.push_back(kFinalizer);
        Result<ServiceCIDR> r = co_await client_.update(std::move(*c));
        if (!r) co_return ended(r.status());
        c = std::move(*r);
      }
      co_return co_await write_ready(std::move(*c), true);
    }
    if (at == f.end()) co_return ReconcileResult{};
    std::vector<ServiceCIDR> all;
    cidrs_.for_each([&](const std::string&, const ServiceCIDR& other) { all.push_back(other); });
    std::vector<std::string> in_use;
    addresses_.for_each([&](const std::string& address, const IPAddress& a) { if (is_allocated(a)) in_use.push_back(address); });
    if (!can_go(*c, all, in_use)) co_return co_await write_ready(std::move(*c), false);
    Duration left = kGrace - (context_.now() - c->metadata.deletion_timestamp.wall());
    if (left > Duration(0)) {
      ReconcileResult later;
      later.requeue_after = left;
      co_return later;
    }
    f.erase(at);
    Result<ServiceCIDR> r = co_await client_.update(std::move(*c));
    co_return ended(r.status());
  }

  async::Task<ReconcileResult> write_ready(ServiceCIDR c, bool ready) {
    if (!set_ready(c, ready, context_.now())) co_return ReconcileResult{};
    client::ObjectRef ref = client::ref_of(c);
    Result<ServiceCIDR> r = co_await client_.update(std::move(c), "status");
    if (!r && !r.is(Reason::NotFound) && !r.is(Reason::Conflict) && ready)
      events_.event(ref, "Warning", "KubernetesServiceCIDRError", "The ServiceCIDR Status can not be set to Ready=True");
    co_return ended(r.status());
  }
  static ReconcileResult ended(Status s) { return ReconcileResult{s.is(Reason::NotFound) ? Status() : std::move(s)}; }

  client::Informer<ServiceCIDR>& cidrs_;
  client::Informer<IPAddress>& addresses_;
  client::Informer<Service>& services_;
  std::map<std::string, std::string> holders_;  // address -> key of the Service that has it
};

}  // namespace

std::unique_ptr<Controller> make_service_cidrs_controller(Context& c) { return std::make_unique<ServiceCidrs>(c); }

}  // namespace onebin::controller
