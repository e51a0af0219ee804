#include <onebin/agent/agent.hpp>

#include <onebin/agent/local_api.hpp>
#include "policed_network.hpp"
#include "registries.hpp"

#include <onebin/agent/join.hpp>
#include <onebin/api/core_v1.hpp>
#include <onebin/api/discovery_v1.hpp>
#include <onebin/async/group.hpp>
#include <onebin/async/pool.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/log.hpp>
#include <onebin/client/informer.hpp>
#include <onebin/dns/server.hpp>
#include <onebin/engine/runc_engine.hpp>
#include <onebin/kubelet/kubelet.hpp>
#include <onebin/network/host.hpp>
#include <onebin/network/overlay.hpp>
#include <onebin/network/pod_network.hpp>
#include <onebin/proxy/proxy.hpp>

#include <sys/stat.h>
#include <unistd.h>

namespace onebin::agent {
namespace {

namespace v1 = api::core::v1;
constexpr Duration kCertificateRetry = 5s, kOverlayDelay = 50ms, kOverlayRetry = 5s;

Result<std::vector<network::Ip>> parse_ips(const std::vector<std::string>& texts) {
  std::vector<network::Ip> out;
  for (const auto& t : texts) {
    auto ip = network::Ip::parse(t);
    if (!ip) return bad_request("--node-ip, --node-external-ip: " + t + " is not an IP address");
    out.push_back(*ip);
  }
  return out;
}
Result<std::vector<network::Prefix>> parse_prefixes(const std::vector<std::string>& texts) {
  std::vector<network::Prefix> out;
  for (const auto& t : texts) {
    auto p = network::Prefix::parse(t);
    if (!p) return bad_request(t + ": not an address range");
    out.push_back(*p);
  }
  return out;
}
Result<kubelet::NodeTaint> parse_taint(const std::string& text) {
  auto colon = text.rfind(':');
  if (colon == std::string::npos) return bad_request("--node-taint " + text + ": want KEY=VALUE:EFFECT");
  kubelet::NodeTaint t;
  t.effect = text.substr(colon + 1);
  if (t.effect != "NoSchedule" && t.effect != "NoExecute" && t.effect != "PreferNoSchedule")
    return bad_request("--node-taint " + text + ": the effect is NoSchedule, PreferNoSchedule or NoExecute");
  auto equals = text.find('=');
  t.key = text.substr(0, std::min(equals, colon));
  if (equals < colon) t.value = text.substr(equals + 1, colon - equals - 1);
  return t;
}
Result<std::map<std::string, std::string>> parse_labels(const std::vector<std::string>& texts) {
  std::map<std::string, std::string> out;
  for (const auto& t : texts) {
    auto equals = t.find('=');
    if (equals == std::string::npos || equals == 0) return bad_request("--node-label " + t + ": want KEY=VALUE");
    out[t.substr(0, equals)] = t.substr(equals + 1);
  }
  return out;
}

// Archives of the images folder that are newer than their mark, imported once.
std::vector<std::string> new_archives(const std::string& dir, const std::string& marks) {
  std::vector<std::string> out;
  auto names = list_dir(dir);
  if (!names) return out;
  for (const auto& name : *names) {
    struct stat file{}, mark{};
    if (::stat((dir + "/" + name).c_str(), &file) != 0) continue;
    bool done = ::stat((marks + "/" + sha256_hex(dir + "/" + name).substr(0, 16)).c_str(), &mark) == 0 && mark.st_mtim.tv_sec >= file.st_mtim.tv_sec;
    if (!done) out.push_back(dir + "/" + name);
  }
  return out;
}

}  // namespace

class Agent::Impl {
 public:
  Impl(Options options, Identity identity)
      : options_(std::move(options)), identity_(std::move(identity)), client_(*identity_.transport, "kubelet"), nodes_(client_), services_(client_),
        slices_(client_), group_("agent") {}

  async::Task<Result<void>> start() {
    Result<void> dirs = make_dirs(options_.run_dir, 0755);
    if (dirs) dirs = make_dirs(options_.data_dir, 0755);
    if (!dirs) co_return dirs.status();
    Result<std::vector<network::Ip>> ips = parse_ips(options_.node_ips);
    if (!ips) co_return ips.status();
    node_ips_ = *ips;
    Result<std::vector<network::Prefix>> cluster = parse_prefixes(options_.cluster_cidrs);
    Result<std::vector<network::Prefix>> services = parse_prefixes(options_.service_cidrs);
    if (!cluster) co_return cluster.status();
    if (!services) co_return services.status();
    cluster_cidrs_ = *cluster;
    service_cidrs_ = *services;

    Result<void> engine = co_await start_engine();
    if (!engine) co_return engine.status();
    Result<void> net = start_network();
    if (!net) co_return net.status();
    make_proxy();
    Result<void> node = co_await start_kubelet();
    if (!node) co_return node.status();
    Result<void> traffic = co_await start_traffic();
    if (!traffic) co_return traffic.status();
    group_.spawn(renew_serving());
    log_info("agent started", {{"node", options_.node_name}, {"runtime", engine_->runtime_version()}});
    co_return Result<void>();
  }

  async::Task<void> stop() {
    group_.cancel();
    co_await group_.join();
    if (local_api_) co_await local_api_->stop();
    local_api_.reset();
    if (dns_) co_await dns_->stop();
    if (proxy_) co_await proxy_->stop();
    if (kubelet_) co_await kubelet_->stop();
    co_await nodes_.stop();
    co_await services_.stop();
    co_await slices_.stop();
    dns_.reset();
    proxy_.reset();
    kubelet_.reset();
    pods_network_.reset();
    network_.reset();
    if (engine_) {
      Result<void> r = co_await engine_->stop();
      if (!r) log_warn("engine did not stop cleanly", {{"error", r.status()}});
    }
    engine_.reset();
  }

  bool node_ready() const { return kubelet_ && kubelet_->node_ready(); }

 private:
  async::Task<Result<void>> start_engine() {
    engine::EngineOptions o;
    o.root_dir = options_.data_dir + "/engine";
    o.run_dir = options_.run_dir + "/engine";
    o.runc = options_.runc;
    o.shim_cgroup = options_.cgroup_root + "/onebin/shims";
    Result<engine::RegistriesConfig> registries = read_registries(options_.registries_file);
    if (!registries) co_return registries.status();
    o.registries = std::move(*registries);
    Result<std::unique_ptr<engine::Engine>> e = co_await engine::open_engine(async::Loop::current(), std::move(o));
    if (!e) co_return e.status();
    engine_ = std::move(*e);
    Result<std::unique_ptr<net::HttpServer>> api = start_local_api(options_.run_dir, *engine_);
    if (!api) co_return api.status();
    local_api_ = std::move(*api);
    co_return co_await import_archives();
  }

  async::Task<Result<void>> import_archives() {
    std::string dir = options_.images_dir.empty() ? options_.data_dir + "/images" : options_.images_dir;
    std::string marks = options_.data_dir + "/imported";
    for (const auto& path : new_archives(dir, marks)) {
      Result<std::vector<engine::ImageInfo>> r = co_await engine_->import_images(path);
      if (!r) {
        log_error("image archive not imported", {{"file", path}, {"error", r.status()}});
        continue;
      }
      Result<void> marked = make_dirs(marks, 0755);
      if (marked) marked = write_file(marks + "/" + sha256_hex(path).substr(0, 16), path + "\n");
      if (!marked) co_return marked.status();
      log_info("images imported", {{"file", path}, {"images", r->size()}});
    }
    co_return Result<void>();
  }

  Result<void> start_network() {
    network::PodNetworkConfig c;
    c.run_dir = options_.run_dir;
    c.overlay = options_.flannel_backend == "vxlan";
    c.node_ip = node_ips_[0];
    c.cluster_cidrs = cluster_cidrs_;
    c.service_cidrs = service_cidrs_;
    ASSIGN_OR_RETURN(network_, network::make_pod_network(std::move(c)));
    group_.spawn(network_->guard());
    return {};
  }

  void make_proxy() {
    if (!options_.proxy) return;
    proxy::Options p;
    p.node.name = options_.node_name;
    p.node.ips = node_ips_;
    p.node.cluster_cidrs = cluster_cidrs_;
    p.node.service_cidrs = service_cidrs_;
    if (auto dns = network::Ip::parse(options_.cluster_dns); dns && options_.dns) p.node.local_ips.insert(*dns);
    p.policies = &client_;
    proxy_ = std::make_unique<proxy::Proxy>(services_, slices_, std::move(p));
    pods_network_ = std::make_unique<PolicedNetwork>(*network_, *proxy_);
  }

  async::Task<Result<void>> start_kubelet() {
    Result<pki::KeyPair> pair = co_await serving_certificate(client_, options_.data_dir + "/pki", options_.node_name, options_.node_ips);
    if (!pair) co_return pair.status().with_context("the kubelet's serving certificate");
    serving_ = std::move(*pair);
    kubelet::Options o;
    o.node_name = options_.node_name;
    o.node_ips = options_.node_ips;
    o.node_external_ips = options_.node_external_ips;
    o.hostname = options_.node_name;
    o.root_dir = options_.root_dir;
    o.pod_logs_dir = options_.pod_logs_dir;
    o.run_dir = options_.run_dir;
    o.local_volumes_dir = options_.data_dir + "/storage";
    o.cgroup_root = options_.cgroup_root;
    o.static_pod_dir = options_.static_pod_dir;
    if (!options_.cluster_dns.empty()) o.cluster_dns = {options_.cluster_dns};
    o.cluster_domain = options_.cluster_domain;
    o.resolv_conf = options_.resolv_conf;
    o.max_pods = options_.max_pods;
    Result<std::map<std::string, std::string>> labels = parse_labels(options_.labels);
    if (!labels) co_return labels.status();
    o.labels = std::move(*labels);
    for (const auto& text : options_.taints) {
      Result<kubelet::NodeTaint> t = parse_taint(text);
      if (!t) co_return t.status();
      o.taints.push_back(std::move(*t));
    }
    o.port = options_.kubelet_port;
    o.serving_certificate = [this] { return kubelet::ServingCertificate{serving_.certificate, serving_.key}; };
    o.client_ca_pem = identity_.client_ca_pem;
    kubelet_ = std::make_unique<kubelet::Kubelet>(std::move(o), client_, *engine_, pods_network_ ? *pods_network_ : *network_);
    co_return co_await kubelet_->start();
  }

  // Overlay, service rules and DNS: all follow the API by informers.
  async::Task<Result<void>> start_traffic() {
    nodes_.on_event([this](const std::string& key, const v1::Node*, const v1::Node* now) { on_node(key, now); });
    if (proxy_) {
      Result<void> r = co_await proxy_->start();
      if (!r) co_return r.status();
    }
    if (options_.dns && !options_.cluster_dns.empty()) {
      auto ip = network::Ip::parse(options_.cluster_dns);
      if (!ip) co_return bad_request("--cluster-dns " + options_.cluster_dns + ": not an IP address");
      Result<void> r = network::ensure_loopback_address(*ip);
      if (!r) co_return r.status();
      dns::Options d;
      d.addresses = {options_.cluster_dns};
      d.cluster_domain = options_.cluster_domain;
      d.resolv_conf = options_.resolv_conf;
      dns_ = std::make_unique<dns::Server>(services_, slices_, std::move(d));
      r = co_await dns_->start();
      if (!r) co_return r.status();
    }
    if (options_.flannel_backend != "none") group_.spawn(keep_overlay());
    nodes_.start();
    services_.start();
    slices_.start();
    co_return Result<void>();
  }

  void on_node(const std::string& name, const v1::Node* now) {
    if (!now) {
      routes_.erase(name);
    } else {
      network::NodeRoute r;
      r.node_name = name;
      for (const auto& c : now->spec.pod_cidrs)
        if (auto p = network::Prefix::parse(c)) r.pod_cidrs.push_back(*p);
      for (const auto& a : now->status.addresses)
        if (auto ip = network::Ip::parse(a.address); a.type == "InternalIP" && ip && !r.internal_ip.is_valid()) r.internal_ip = *ip;
      if (name == options_.node_name) own_node(*now, r.pod_cidrs);
      auto it = routes_.find(name);
      if (it != routes_.end() && it->second == r) return;
      routes_[name] = std::move(r);
    }
    routes_changed_.notify();
  }

  void own_node(const v1::Node& node, const std::vector<network::Prefix>& cidrs) {
    auto zone = node.metadata.labels.find("topology.kubernetes.io/zone");
    std::string z = zone == node.metadata.labels.end() ? "" : zone->second;
    std::vector<network::Ip> external;
    for (const auto& a : node.status.addresses)
      if (auto ip = network::Ip::parse(a.address); a.type == "ExternalIP" && ip) external.push_back(*ip);
    if (proxy_ && (z != zone_ || cidrs != pod_cidrs_ || external != external_ips_)) proxy_->set_node(z, cidrs, external);
    zone_ = z;
    external_ips_ = std::move(external);
    if (cidrs == pod_cidrs_) return;
    pod_cidrs_ = cidrs;
    group_.spawn(set_pod_cidrs(cidrs));
  }
  async::Task<Result<void>> set_pod_cidrs(std::vector<network::Prefix> cidrs) { return network_->set_pod_cidrs(std::move(cidrs)); }

  async::Task<void> keep_overlay() {
    std::unique_ptr<network::Overlay> overlay;
    std::vector<network::Prefix> made_for;
    for (;;) {
      Result<void> woken = co_await routes_changed_.wait();
      if (!woken) co_return;
      Status slept = co_await async::sleep_for(kOverlayDelay);  // changes of many nodes come together
      if (!slept) co_return;
      if (pod_cidrs_.empty()) continue;
      if (!overlay || made_for != pod_cidrs_) {
        network::OverlayConfig c;
        c.mode = options_.flannel_backend == "host-gw" ? network::OverlayMode::HostGateway : network::OverlayMode::Vxlan;
        c.node_name = options_.node_name;
        c.internal_ip = node_ips_[0];
        c.pod_cidrs = pod_cidrs_;
        auto r = network::make_overlay(std::move(c));
        if (r) {
          overlay = std::move(*r);
          made_for = pod_cidrs_;
        } else {
          log_error("overlay not made", {{"error", r.status()}});
        }
      }
      std::vector<network::NodeRoute> nodes;
      for (const auto& [name, r] : routes_) nodes.push_back(r);
      Result<void> applied = overlay ? overlay->apply(nodes) : Result<void>(internal_error("no overlay"));
      if (applied) continue;
      log_warn("overlay not in step", {{"error", applied.status()}});
      slept = co_await async::sleep_for(kOverlayRetry);
      if (!slept) co_return;
      routes_changed_.notify();
    }
  }

  async::Task<void> renew_serving() {
    for (;;) {
      auto info = pki::parse_certificate(serving_.certificate);
      Duration wait = info ? until_renewal(*info, async::Loop::current().clock().wall()) : Duration(kCertificateRetry);
      Status s = co_await async::sleep_for(std::max<Duration>(wait, kCertificateRetry));
      if (!s) co_return;
      Result<pki::KeyPair> pair = co_await serving_certificate(client_, options_.data_dir + "/pki", options_.node_name, options_.node_ips);
      if (!pair) {
        log_error("serving certificate not renewed", {{"error", pair.status()}});
        continue;
      }
      serving_ = std::move(*pair);
      kubelet_->reload_certificates();
    }
  }

  Options options_;
  Identity identity_;
  client::Client client_;
  client::Informer<v1::Node> nodes_;
  client::Informer<v1::Service> services_;
  client::Informer<api::discovery::v1::EndpointSlice> slices_;
  std::vector<network::Ip> node_ips_;
  std::vector<network::Prefix> cluster_cidrs_, service_cidrs_, pod_cidrs_;
  std::string zone_;
  std::vector<network::Ip> external_ips_;
  std::map<std::string, network::NodeRoute> routes_;
  async::Notify routes_changed_;
  pki::KeyPair serving_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<net::HttpServer> local_api_;
  std::unique_ptr<network::PodNetwork> network_;
  std::unique_ptr<network::PodNetwork> pods_network_;  // where there is a proxy: what the kubelet is given of the former
  std::unique_ptr<kubelet::Kubelet> kubelet_;
  std::unique_ptr<proxy::Proxy> proxy_;
  std::unique_ptr<dns::Server> dns_;
  async::TaskGroup group_;
};

Agent::Agent(Options options, Identity identity) : impl_(std::make_unique<Impl>(std::move(options), std::move(identity))) {}
Agent::~Agent() = default;
async::Task<Result<void>> Agent::start() { return impl_->start(); }
async::Task<void> Agent::stop() { return impl_->stop(); }
bool Agent::node_ready() const { return impl_->node_ready(); }

Result<void> complete(Options& o) {
  if (o.node_name.empty()) {
    char name[256] = "";
    if (::gethostname(name, sizeof name - 1) != 0 || !*name) return bad_request("this host has no name: give --node-name");
    o.node_name = to_lower(name);
  }
  if (o.node_ips.empty()) {
    Result<network::Ip> ip = network::default_node_ip(false);
    if (!ip) ip = network::default_node_ip(true);
    if (!ip) return ip.status().with_context("no address of this host found; give --node-ip");
    o.node_ips = {ip->to_string()};
  }
  RETURN_IF_ERROR(parse_ips(o.node_external_ips));
  RETURN_IF_ERROR(parse_ips(o.node_ips));
  RETURN_IF_ERROR(parse_labels(o.labels));
  for (const auto& t : o.taints) RETURN_IF_ERROR(parse_taint(t));
  return {};
}

}  // namespace onebin::agent
