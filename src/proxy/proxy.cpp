#include <onebin/proxy/proxy.hpp>

#include "proxy/policy_watch.hpp"
#include "proxy/state.hpp"

#include <onebin/async/pool.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>
#include <onebin/base/metrics.hpp>
#include <onebin/network/host.hpp>

#include <algorithm>

namespace onebin::proxy {

namespace {
namespace nft = network::nft;
using ApiService = api::core::v1::Service;
using ApiSlice = api::discovery::v1::EndpointSlice;

constexpr Duration kRetryFirst = 1s, kRetryMost = 30s;
constexpr Duration kCollectAfter = 2s;  // emptied chains; see nft::difference
constexpr Duration kPoliciesWithin = 10s;  // Services do not wait longer for policies that cannot be read
constexpr Duration kAdmitWithin = 5s;      // nor does a pod: with the server gone, pods still start

std::string service_of(const ApiSlice& s) {
  auto it = s.metadata.labels.find("kubernetes.io/service-name");
  return it == s.metadata.labels.end() ? std::string() : client::object_key(s.metadata.namespace_, it->second);
}

// On a blocking thread: the connection table may be large.
Result<std::size_t> forget_flows(const StaleFlows& stale) {
  std::set<Ip> own;
  ASSIGN_OR_RETURN(auto addresses, network::host_addresses());
  for (const auto& a : addresses) own.insert(a.ip);
  std::size_t n = 0;
  for (bool v6 : {false, true}) {
    ASSIGN_OR_RETURN(std::size_t some, network::delete_flows(17, v6, [&](const network::Flow& f) { return stale.matches(f, own); }));
    n += some;
  }
  return n;
}
}  // namespace

class Proxy::Impl : public std::enable_shared_from_this<Proxy::Impl> {
 public:
  Impl(client::Informer<ApiService>& services, client::Informer<ApiSlice>& slices, Options options)
      : services_(services), slices_(slices), options_(std::move(options)), state_(options_.node), group_("proxy"), pool_(1) {
    const auto& dns = options_.node.local_ips;
    if (options_.policies)
      policies_ = std::make_unique<PolicyWatch>(*options_.policies, options_.node.name, std::vector<Ip>(dns.begin(), dns.end()), [this] { changed_.notify(); });
  }

  async::Task<Result<void>> start() {
    CO_ASSIGN_OR_RETURN(socket_, nft::Socket::open());
    keeper_ = std::make_unique<nft::TableKeeper>(*socket_, options_.table);
    for (const auto& range : options_.node.service_cidrs)
      if (auto r = network::ensure_service_route(range, options_.service_route_mtu); !r)
        co_return r.status().with_context("route of services " + range.to_string());
    // The informers outlive the proxy, and so do these handlers.
    std::weak_ptr<Impl> weak = weak_from_this();
    services_.add_handler([weak](const std::string& key, const Bytes&, const Bytes&) {
      if (auto self = weak.lock()) self->note(key);
    });
    slices_.on_event([weak](const std::string& key, const ApiSlice* before, const ApiSlice* now) {
      if (auto self = weak.lock()) self->on_slice(key, before, now);
    });
    CO_ASSIGN_OR_RETURN(watch_, nft::TableWatch::open(options_.table, socket_->port()));
    if (policies_) group_.spawn(policies_->run());
    group_.spawn(run());
    group_.spawn(guard());
    co_return Result<void>();
  }

  async::Task<void> stop() {
    group_.cancel();
    co_await group_.join();
    if (policies_) co_await policies_->stop();
    stopped_ = true;
    written_waiters_.wake_all();
  }

  async::Task<void> admit(std::string pod_key, std::vector<Ip> ips) {
    if (!policies_) co_return;
    Result<void> r = co_await async::with_timeout(kAdmitWithin, isolate(pod_key, std::move(ips)));
    if (!r) log_warn("a pod starts before its network policies hold", {{"pod", pod_key}, {"error", r.status()}});
  }

  void set_node(std::string zone, std::vector<Prefix> pod_cidrs, std::vector<Ip> external_ips) {
    if (external_ips != options_.node.external_ips)
      for (const auto& [key, item] : services_.items()) dirty_.insert(key);
    options_.node.external_ips = std::move(external_ips);
    options_.node.zone = std::move(zone);
    options_.node.pod_cidrs = std::move(pod_cidrs);
    state_.set_node(options_.node);
    changed_.notify();
  }
  bool synced() const { return synced_; }

 private:
  async::Task<Result<void>> isolate(std::string pod_key, std::vector<Ip> ips) {
    Result<bool> selected = co_await policies_->expect(std::move(pod_key), std::move(ips));
    if (!selected) co_return selected.status();
    if (!*selected || (!policies_->changed() && !writing_)) co_return Result<void>();
    std::uint64_t wanted = policies_->changed() ? ++asked_ : asked_;
    changed_.notify();
    while (answered_ < wanted && !stopped_) {
      Status s = co_await written_waiters_.wait();
      if (!s) co_return s;
    }
    co_return Result<void>();
  }

  void note(const std::string& service_key) {
    dirty_.insert(service_key);
    changed_.notify();
  }

  void on_slice(const std::string& key, const ApiSlice* before, const ApiSlice* now) {
    std::string old = before ? service_of(*before) : std::string(), fresh = now ? service_of(*now) : std::string();
    if (!old.empty() && old != fresh) {
      auto it = slices_of_.find(old);
      if (it != slices_of_.end()) {
        it->second.erase(key);
        if (it->second.empty()) slices_of_.erase(it);
      }
      note(old);
    }
    if (fresh.empty()) return;
    slices_of_[fresh].insert(key);
    note(fresh);
  }

  std::optional<Service> project(const std::string& key) const {
    std::optional<ApiService> object = services_.get(key);
    std::optional<Service> s = object ? project_service(*object) : std::nullopt;
    if (!s) return std::nullopt;
    add_internal_addresses(*s, options_.node);
    if (auto it = slices_of_.find(key); it != slices_of_.end())
      for (const auto& slice_key : it->second)
        if (auto slice = slices_.get(slice_key)) add_slice(*s, *slice, options_.node.name);
    return s;
  }

  void gather() {
    std::set<std::string> keys;
    keys.swap(dirty_);
    for (const auto& key : keys) state_.set(key, project(key));
  }

  async::Task<void> run() {
    Result<void> r = co_await services_.wait_synced();
    if (r) r = co_await slices_.wait_synced();
    if (r && policies_) {
      // What is still in place from before a restart stays until policies can be written too.
      r = co_await async::with_timeout(kPoliciesWithin, policies_->wait_ready());
      if (r.is(Reason::Timeout)) log_error("network policies cannot be read; services are served without them", {});
    }
    Duration retry = kRetryFirst;
    while (!r.is(Reason::Cancelled)) {
      gather();
      SteadyTime began = async::Loop::current().now();
      writing_ = true;
      std::uint64_t asked = asked_;
      Result<void> written = co_await write();
      writing_ = false;
      metrics::histogram("kubeproxy_sync_proxy_rules_duration_seconds", "Time to write a change set.",
                         {0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 2, 4, 8, 16})
          .observe(std::chrono::duration<double>(async::Loop::current().now() - began).count());
      if (written) {
        retry = kRetryFirst;
        answered_ = asked;
        written_waiters_.wake_all();
        r = co_await next_change();
      } else {
        log_error("service rules were not written", {{"error", written.status()}});
        r = co_await async::sleep_for(retry);
        retry = std::min<Duration>(retry * 2, kRetryMost);
      }
    }
  }

  async::Task<Result<void>> guard() {
    for (;;) {
      Result<void> r = co_await watch_->deleted();
      if (!r) co_return r;
      if (!synced_) continue;  // whatever there is will be replaced
      log_warn("somebody deleted the service rules; they are restored", {{"table", options_.table}});
      lost_ = true;
      changed_.notify();
    }
  }

  // Until there is something to write. What comes shortly after the first change is taken along.
  async::Task<Result<void>> next_change() {
    while (dirty_.empty() && !state_.changed() && !lost_ && !(policies_ && policies_->changed())) {
      Result<void> r;
      if (keeper_->has_stale()) {
        r = co_await async::with_timeout(kCollectAfter, changed_.wait());
        if (r.is(Reason::Timeout)) {
          (void)co_await async::run_blocking(pool_, [this] { return keeper_->collect(); });
          continue;
        }
      } else {
        r = co_await changed_.wait();
      }
      if (!r) co_return r;
    }
    co_return co_await async::sleep_for(options_.min_sync_period);
  }

  async::Task<Result<void>> write() {
    State::Change change;
    Result<void> r;
    if (!keeper_->in_step() || lost_) {
      lost_ = false;
      nft::Table whole = state_.everything();
      if (policies_) merge(whole, policies_->everything());
      r = co_await async::run_blocking(pool_, [this, &whole] { return keeper_->replace(whole); });
      if (r && !synced_) log_info("service rules are in place", {{"services", state_.size()}});
      if (r) synced_ = true;
      co_return r;
    }
    bool policies = policies_ && policies_->changed();
    if (!state_.changed() && !policies) co_return Result<void>();
    if (state_.changed()) change = state_.take();
    if (policies) {
      PolicyState::Change p = policies_->take();
      merge(change.from, std::move(p.from));
      merge(change.to, std::move(p.to));
    }
    r = co_await async::run_blocking(pool_, [this, &change] { return keeper_->update(change.from, change.to); });
    if (!r) co_return r;
    StaleFlows stale(change.before, change.after);
    if (!stale.empty()) {
      auto n = co_await async::run_blocking(pool_, [&stale] { return forget_flows(stale); });
      if (!n) log_warn("UDP connections to endpoints that are gone were not cleared", {{"error", n.status()}});
    }
    co_return r;
  }

  client::Informer<ApiService>& services_;
  client::Informer<ApiSlice>& slices_;
  Options options_;
  State state_;
  std::unique_ptr<PolicyWatch> policies_;
  std::map<std::string, std::set<std::string>> slices_of_;  // service -> its slices
  std::set<std::string> dirty_;
  bool synced_ = false;
  bool lost_ = false;  // the table in the kernel is not what was written
  bool writing_ = false, stopped_ = false;
  std::uint64_t asked_ = 0, answered_ = 0;  // pods that wait for a write, and those for whom it has been done
  async::WaitQueue written_waiters_;
  async::Notify changed_;
  std::unique_ptr<nft::Socket> socket_;
  std::unique_ptr<nft::TableWatch> watch_;
  std::unique_ptr<nft::TableKeeper> keeper_;  // used on pool_'s thread while write() waits for it
  async::TaskGroup group_;
  async::BlockingPool pool_;
};

Proxy::Proxy(client::Informer<ApiService>& services, client::Informer<ApiSlice>& slices, Options options)
    : impl_(std::make_shared<Impl>(services, slices, std::move(options))) {}
Proxy::~Proxy() = default;
async::Task<Result<void>> Proxy::start() { return impl_->start(); }
async::Task<void> Proxy::stop() { return impl_->stop(); }
bool Proxy::synced() const { return impl_->synced(); }
void Proxy::set_node(std::string zone, std::vector<Prefix> pod_cidrs, std::vector<Ip> external_ips) {
  impl_->set_node(std::move(zone), std::move(pod_cidrs), std::move(external_ips));
}
async::Task<void> Proxy::admit(std::string pod_key, std::vector<Ip> ips) { return impl_->admit(std::move(pod_key), std::move(ips)); }

Result<void> Proxy::remove(const Options& options) {
  ASSIGN_OR_RETURN(auto socket, nft::Socket::open());
  nft::TableKeeper keeper(*socket, options.table);
  RETURN_IF_ERROR(keeper.remove());
  return network::remove_service_routes();
}

}  // namespace onebin::proxy
