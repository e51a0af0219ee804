#include <onebin/network/pod_network.hpp>

#include "network/address_pool.hpp"
#include "network/leases.hpp"
#include "network/netns.hpp"
#include "network/pod_link.hpp"

#include <onebin/async/channel.hpp>
#include <onebin/async/pool.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/log.hpp>
#include <onebin/network/conntrack.hpp>
#include <onebin/network/host.hpp>

#include <algorithm>
#include <cctype>
#include <set>

namespace onebin::network {

namespace {

bool good_uid(const std::string& uid) {
  return !uid.empty() && uid.size() <= 63 && std::all_of(uid.begin(), uid.end(), [](unsigned char c) { return std::isalnum(c) || c == '-'; });
}

Status check_request(const PodNetworkRequest& r) {
  if (!good_uid(r.pod_uid)) return bad_request("pod uid \"" + r.pod_uid + "\" is not usable as a name");
  for (const auto& p : r.host_ports)
    if (!p.host_port || !p.container_port || !nft::protocol_number(p.protocol)) return bad_request("a host port is incomplete");
  return check_sysctls(r.sysctls);
}

// With forwarding on, an interface takes router advertisements only when told so twice: without this the node would
// lose the IPv6 default route that it learned.
void keep_router_advertisements() {
  auto names = list_dir("/proc/sys/net/ipv6/conf");
  if (!names) return;
  for (const auto& n : *names) {
    auto v = read_file("/proc/sys/net/ipv6/conf/" + n + "/accept_ra", 64);
    if (v && trim(*v) == "1") (void)set_net_sysctl("ipv6/conf/" + n + "/accept_ra", "2");
  }
}

// A UDP peer that keeps its source port stays with what it first reached; entries for a port that changes hands go.
void forget_udp(const std::vector<HostPort>& ports) {
  std::set<std::uint16_t> udp;
  for (const auto& p : ports)
    if (nft::protocol_number(p.protocol) == 17) udp.insert(p.host_port);
  if (udp.empty()) return;
  for (bool v6 : {false, true})
    if (auto r = delete_flows(17, v6, [&](const Flow& f) { return udp.count(f.destination_port) > 0; }); !r)
      log_warn("cannot clear UDP connection tracking", {{"error", r.status()}});
}

class RealPodNetwork final : public PodNetwork {
 public:
  RealPodNetwork(PodNetworkConfig config, Rtnl rtnl, std::unique_ptr<nft::Socket> nft)
      : config_(std::move(config)), rtnl_(std::move(rtnl)), nft_(std::move(nft)), table_(*nft_, config_.table),
        folder_(config_.run_dir + "/network/leases"), undertaker_(4), pool_(1) {}

  Result<void> start();

  async::Task<Result<void>> set_pod_cidrs(std::vector<Prefix> cidrs) override;
  bool ready() const override { return !pools_.empty(); }
  async::Task<Result<PodNetworkInfo>> setup(PodNetworkRequest request) override;
  async::Task<Result<void>> teardown(std::string pod_uid) override;
  std::vector<PodNetworkInfo> list() const override;
  async::Task<Result<std::vector<std::string>>> reconcile(std::vector<std::string> live) override;
  async::Task<Result<void>> guard() override;

 private:
  struct Pod {
    Lease lease;
    bool done = false;  // false while its first setup runs
  };
  // One setup or teardown of a pod at a time.
  class Turn {
   public:
    Turn(RealPodNetwork& n, std::string uid) : network_(n), uid_(std::move(uid)) {}
    ~Turn();
    async::Task<Result<void>> wait();

   private:
    RealPodNetwork& network_;
    std::string uid_;
    bool held_ = false;
  };

  std::string netns_path(const std::string& uid) const { return config_.run_dir + "/netns/" + uid; }
  std::string interface(const std::string& uid) const { return host_interface(config_.interface_prefix, uid); }
  PodRules rules() const;
  PodNetworkInfo info(const Lease& l) const { return {l.pod_uid, netns_path(l.pod_uid), l.ips}; }
  int mtu() const;
  void set_pools(const std::vector<Prefix>& cidrs);
  Result<Lease> make_lease(const PodNetworkRequest& request);
  void forget(const std::string& uid);
  PodLinkSpec link_spec(const PodNetworkRequest& request, const Lease& lease) const;

  // On the pool's thread. They touch the kernel, the files and table_, nothing else of this object.
  Result<void> build(const PodRules& rules, const Lease& lease, const PodLinkSpec& spec);
  Result<void> destroy(const PodRules& rules, const Lease& lease);
  Result<void> replace_table(const PodRules& rules);
  Result<void> enter_table(const PodRules& rules, const std::string& uid, const Lease& lease);

  PodNetworkConfig config_;
  Rtnl rtnl_;
  std::unique_ptr<nft::Socket> nft_;
  nft::TableKeeper table_;
  LeaseFolder folder_;
  std::vector<Prefix> cidrs_;
  std::vector<AddressPool> pools_;
  std::map<std::string, Pod> pods_;
  std::map<std::string, std::pair<std::size_t, std::unique_ptr<async::Semaphore>>> turns_;
  std::map<std::string, Lease> in_table_;  // the pool thread's: whose elements are in the kernel's table
  async::BlockingPool undertaker_;  // deletes interfaces
  async::BlockingPool pool_;  // one thread: netlink's sockets and the table are used by it alone; last, so it ends first
};

RealPodNetwork::Turn::~Turn() {
  auto it = network_.turns_.find(uid_);
  if (it == network_.turns_.end()) return;
  if (held_) it->second.second->release();
  if (--it->second.first == 0) network_.turns_.erase(it);
}

async::Task<Result<void>> RealPodNetwork::Turn::wait() {
  auto& [users, semaphore] = network_.turns_[uid_];
  if (!semaphore) semaphore = std::make_unique<async::Semaphore>(1);
  ++users;
  Result<void> r = co_await semaphore->acquire();
  held_ = r.is_ok();
  co_return r;
}

PodRules RealPodNetwork::rules() const { return {config_.interface_prefix, cidrs_, config_.cluster_cidrs, config_.service_cidrs, config_.masquerade}; }

int RealPodNetwork::mtu() const {
  if (config_.mtu) return config_.mtu;
  Ip node = config_.node_ip;
  if (!node.is_valid())
    if (auto ip = default_node_ip(false)) node = *ip;
  int uplink = node.is_valid() ? interface_mtu_of(node) : 0;
  if (uplink <= 0 || uplink > 65535) uplink = 1500;
  return config_.overlay ? uplink - (node.is_v6() ? 70 : 50) : uplink;
}

void RealPodNetwork::set_pools(const std::vector<Prefix>& cidrs) {
  cidrs_ = cidrs;
  pools_.clear();
  for (const auto& c : cidrs) pools_.emplace_back(c);
  for (const auto& [uid, pod] : pods_)
    for (const auto& ip : pod.lease.ips)
      for (auto& p : pools_) p.reserve(ip);
}

Result<void> RealPodNetwork::start() {
  RETURN_IF_ERROR(make_dirs(config_.run_dir + "/netns", 0755));
  ASSIGN_OR_RETURN(auto leases, folder_.load());
  for (auto& l : leases) pods_[l.pod_uid] = {l, true};
  // The ranges of the last run: pods are masqueraded and can be made before the API server is heard.
  if (auto text = read_file(config_.run_dir + "/network/pod-cidrs", 4096)) {
    std::vector<Prefix> cidrs;
    for (const auto& line : split(*text, '\n'))
      if (auto p = Prefix::parse(line)) cidrs.push_back(*p);
    set_pools(cidrs);
  }
  for (auto& l : leases) in_table_[l.pod_uid] = l;
  RETURN_IF_ERROR(set_net_sysctl("ipv4/ip_forward", "1"));
  // A pod that reaches itself through a service would be told of a shorter way, and such messages use up what the kernel
  // allows of ICMP errors a peer.
  (void)set_net_sysctl("ipv4/conf/all/send_redirects", "0");
  return replace_table(rules());
}

Result<void> RealPodNetwork::replace_table(const PodRules& rules) {
  nft::Table t = base_pod_table(rules);
  for (const auto& [uid, lease] : in_table_)
    for (auto& [name, set] : pod_part(lease).sets) t.sets[name].elements.merge(set.elements);
  return table_.replace(t);
}

// An empty lease removes the pod. When the kernel's table is not as it was left (somebody flushed it), it is made anew.
Result<void> RealPodNetwork::enter_table(const PodRules& rules, const std::string& uid, const Lease& lease) {
  auto known = in_table_.find(uid);
  nft::Table before = pod_part(known == in_table_.end() ? Lease{} : known->second);
  if (lease.pod_uid.empty()) in_table_.erase(uid);
  else in_table_[uid] = lease;
  if (auto r = table_.update(before, pod_part(lease)); !r) {
    log_warn("the pod network's nftables table is replaced", {{"error", r.status()}});
    return replace_table(rules);
  }
  return {};
}

async::Task<Result<void>> RealPodNetwork::set_pod_cidrs(std::vector<Prefix> cidrs) {
  if (cidrs == cidrs_) co_return Result<void>();
  if (cidrs.empty() || cidrs.size() > 2) co_return bad_request("a node has one or two pod ranges");
  if (cidrs.size() == 2 && cidrs[0].is_v4() == cidrs[1].is_v4()) co_return bad_request("both pod ranges are of one family");
  for (const auto& c : cidrs)
    if (c.size() < 4) co_return bad_request("pod range " + c.to_string() + " is too small");
  set_pools(cidrs);
  PodRules now = rules();
  Result<void> r = co_await async::run_blocking(pool_, [this, now]() -> Result<void> {
    std::string text;
    bool v6 = false;
    for (const auto& c : now.pod_cidrs) {
      text += c.to_string() + "\n";
      v6 = v6 || !c.is_v4();
    }
    RETURN_IF_ERROR(write_file_atomic(config_.run_dir + "/network/pod-cidrs", text, 0600));
    if (v6) {
      keep_router_advertisements();
      RETURN_IF_ERROR(set_net_sysctl("ipv6/conf/all/forwarding", "1"));
    }
    return replace_table(now);
  });
  if (!r) cidrs_.clear();  // the same ranges again are then not taken for no change
  co_return r;
}

Result<Lease> RealPodNetwork::make_lease(const PodNetworkRequest& request) {
  std::vector<const Lease*> others;
  for (const auto& [uid, pod] : pods_) others.push_back(&pod.lease);
  if (std::string clash = host_port_conflict(request.host_ports, others); !clash.empty())
    return Status(Reason::Conflict, "host port " + clash + " is in use by another pod");
  Lease lease{request.pod_uid, {}, request.host_ports};
  for (auto& p : pools_) {
    Ip ip = p.take();
    if (!ip.is_valid()) {
      for (std::size_t i = 0; i < lease.ips.size(); ++i) pools_[i].release(lease.ips[i]);
      return Status(Reason::TooManyRequests, "no free address in pod range " + p.range().to_string());
    }
    lease.ips.push_back(ip);
  }
  return lease;
}

void RealPodNetwork::forget(const std::string& uid) {
  auto it = pods_.find(uid);
  if (it == pods_.end()) return;
  for (const auto& ip : it->second.lease.ips)
    for (auto& p : pools_) p.release(ip);
  pods_.erase(it);
}

PodLinkSpec RealPodNetwork::link_spec(const PodNetworkRequest& request, const Lease& lease) const {
  PodLinkSpec s;
  s.netns_path = netns_path(lease.pod_uid);
  s.existing_netns = request.existing_netns;
  s.interface = interface(lease.pod_uid);
  s.ips = lease.ips;
  s.sysctls = request.sysctls;
  s.egress_bits_per_second = request.egress_bits_per_second;
  s.ingress_bits_per_second = request.ingress_bits_per_second;
  s.host_ports = !lease.host_ports.empty();
  return s;
}

Result<void> RealPodNetwork::build(const PodRules& rules, const Lease& lease, const PodLinkSpec& spec) {
  RETURN_IF_ERROR(folder_.store(lease));
  RETURN_IF_ERROR(make_pod_link(rtnl_, spec));
  RETURN_IF_ERROR(enter_table(rules, lease.pod_uid, lease));
  forget_udp(lease.host_ports);
  return {};
}

// Goes on after a failure, so that as much as possible is freed; the first error is told.
Result<void> RealPodNetwork::destroy(const PodRules& rules, const Lease& lease) {
  auto link = remove_pod_link(rtnl_, netns_path(lease.pod_uid), interface(lease.pod_uid));
  auto table = enter_table(rules, lease.pod_uid, {});
  forget_udp(lease.host_ports);
  if (!link) return link;
  if (!table) return table;
  return folder_.remove(lease.pod_uid);
}

async::Task<Result<PodNetworkInfo>> RealPodNetwork::setup(PodNetworkRequest request) {
  CO_RETURN_IF_ERROR(check_request(request));
  if (!ready()) co_return Status(Reason::ServiceUnavailable, "the node has no pod range yet");
  Turn turn(*this, request.pod_uid);
  Result<void> mine = co_await turn.wait();
  if (!mine) co_return mine.status();

  auto known = pods_.find(request.pod_uid);
  bool fresh = known == pods_.end();
  Lease lease;
  if (fresh) {
    CO_ASSIGN_OR_RETURN(lease, make_lease(request));
    pods_[request.pod_uid] = {lease, false};
  } else {
    lease = known->second.lease;
  }
  PodLinkSpec spec = link_spec(request, lease);
  PodRules now = rules();
  Result<void> r = co_await async::run_blocking(pool_, [this, now, fresh, lease, spec]() mutable -> Result<void> {
    spec.mtu = mtu();
    auto built = build(now, lease, spec);
    if (!built && fresh) (void)destroy(now, lease);
    return built;
  });
  if (!r) {
    if (fresh) forget(request.pod_uid);
    co_return r.status().with_context("network of pod " + request.pod_key);
  }
  pods_[request.pod_uid].done = true;
  co_return info(lease);
}

async::Task<Result<void>> RealPodNetwork::teardown(std::string pod_uid) {
  if (!good_uid(pod_uid)) co_return bad_request("pod uid \"" + pod_uid + "\" is not usable as a name");
  Turn turn(*this, pod_uid);
  Result<void> mine = co_await turn.wait();
  if (!mine) co_return mine;
  auto it = pods_.find(pod_uid);
  if (it == pods_.end()) co_return Result<void>();
  Lease lease = it->second.lease;
  PodRules now = rules();
  // The kernel takes tens of milliseconds to drop an interface (it waits for all CPUs): not on the thread that makes pods.
  Result<void> unlinked = co_await async::run_blocking(undertaker_, [this, pod_uid]() -> Result<void> {
    ASSIGN_OR_RETURN(Rtnl rtnl, Rtnl::open());
    return remove_pod_link(rtnl, netns_path(pod_uid), interface(pod_uid));
  });
  if (!unlinked) co_return unlinked;
  Result<void> r = co_await async::run_blocking(pool_, [this, now, lease] { return destroy(now, lease); });
  if (r) forget(pod_uid);  // otherwise the address stays taken and a later call tries again
  co_return r;
}

std::vector<PodNetworkInfo> RealPodNetwork::list() const {
  std::vector<PodNetworkInfo> out;
  for (const auto& [uid, pod] : pods_)
    if (pod.done) out.push_back(info(pod.lease));
  return out;
}

async::Task<Result<std::vector<std::string>>> RealPodNetwork::reconcile(std::vector<std::string> live_pod_uids) {
  std::set<std::string> live(live_pod_uids.begin(), live_pod_uids.end());
  std::vector<Lease> kept;
  std::vector<std::string> gone, broken;
  for (const auto& [uid, pod] : pods_) {
    if (live.count(uid)) kept.push_back(pod.lease);
    else gone.push_back(uid);
  }
  for (const auto& uid : live)
    if (!pods_.count(uid)) broken.push_back(uid);
  std::vector<std::string> damaged = co_await async::run_blocking(pool_, [this, kept] {
    std::vector<std::string> out;
    for (const auto& l : kept) {
      auto good = check_pod_link(rtnl_, netns_path(l.pod_uid), interface(l.pod_uid), l.ips);
      if (!good || !*good) out.push_back(l.pod_uid);
    }
    return out;
  });
  gone.insert(gone.end(), damaged.begin(), damaged.end());
  broken.insert(broken.end(), damaged.begin(), damaged.end());
  for (const auto& uid : gone) {
    Result<void> r = co_await teardown(uid);
    if (r.is(Reason::Cancelled)) co_return r.status();
    if (!r) log_warn("cannot remove a pod's network", {{"uid", uid}, {"error", r.status()}});
  }
  // Pins without a lease: from a crash between the two.
  std::set<std::string> known;
  for (const auto& [uid, pod] : pods_) known.insert(uid);
  co_await async::run_blocking(pool_, [this, known] {
    auto names = list_dir(config_.run_dir + "/netns");
    if (names)
      for (const auto& n : *names)
        if (!known.count(n)) (void)remove_pod_link(rtnl_, netns_path(n), interface(n));
    return true;
  });
  std::sort(broken.begin(), broken.end());
  co_return broken;
}

async::Task<Result<void>> RealPodNetwork::guard() {
  CO_ASSIGN_OR_RETURN(auto watch, nft::TableWatch::open(config_.table, nft_->port()));
  for (;;) {
    Result<void> r = co_await watch->deleted();
    if (!r) co_return r;
    log_warn("somebody deleted the pod network's nftables rules; they are restored", {{"table", config_.table}});
    PodRules now = rules();
    Result<void> written = co_await async::run_blocking(pool_, [this, now] { return replace_table(now); });
    if (!written) log_error("the pod network's nftables rules were not restored", {{"error", written.status()}});
  }
}

}  // namespace

Result<void> remove_pod_network(const PodNetworkConfig& config) {
  ASSIGN_OR_RETURN(Rtnl rtnl, Rtnl::open());
  ASSIGN_OR_RETURN(auto socket, nft::Socket::open());
  Result<void> first;
  std::string pins = config.run_dir + "/netns";
  if (auto names = list_dir(pins))
    for (const auto& n : *names)
      if (auto r = remove_pod_link(rtnl, pins + "/" + n, host_interface(config.interface_prefix, n)); !r && first) first = r;
  if (auto r = nft::TableKeeper(*socket, config.table).remove(); !r && first) first = r;
  if (auto r = remove_all(config.run_dir + "/network"); !r && first) first = r;
  return first;
}

Result<std::unique_ptr<PodNetwork>> make_pod_network(PodNetworkConfig config) {
  ASSIGN_OR_RETURN(Rtnl rtnl, Rtnl::open());
  ASSIGN_OR_RETURN(auto nft, nft::Socket::open());
  auto network = std::make_unique<RealPodNetwork>(std::move(config), std::move(rtnl), std::move(nft));
  RETURN_IF_ERROR(network->start());
  return std::unique_ptr<PodNetwork>(std::move(network));
}

}  // namespace onebin::network
