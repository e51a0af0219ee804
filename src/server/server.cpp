#include <onebin/server/server.hpp>

#include "certificates.hpp"
#include "cluster_setup.hpp"

#include <onebin/agent/join.hpp>
#include <onebin/api/core_v1.hpp>
#include <onebin/apiserver/apiserver.hpp>
#include <onebin/async/group.hpp>
#include <onebin/async/pool.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/log.hpp>
#include <onebin/controller/manager.hpp>
#include <onebin/network/address.hpp>
#include <onebin/network/host.hpp>
#include <onebin/scheduler/scheduler.hpp>

#include <sys/stat.h>

namespace onebin::server {
namespace {

constexpr Duration kStopLimit = 20s;

// The n-th address of a range: the first is the kubernetes Service, the tenth the cluster's DNS.
Result<std::string> nth_address(const std::string& cidr, unsigned n) {
  std::optional<network::Prefix> prefix = network::Prefix::parse(cidr);
  if (!prefix) return bad_request("--service-cidr " + cidr + ": not an address range, as 10.43.0.0/16");
  network::Ip ip = prefix->ip.plus(n);
  if (!ip.is_valid() || !prefix->contains(ip)) return bad_request("--service-cidr " + cidr + ": too small");
  return ip.to_string();
}

}  // namespace

class Server::Impl {
 public:
  explicit Impl(Options options) : options_(std::move(options)), group_("server") {}

  async::Task<Result<void>> start() {
    Result<void> prepared = co_await async::run_blocking([this] { return prepare(); });
    if (!prepared) co_return prepared.status();

    storage::SqliteOptions so;
    so.path = options_.data_dir + "/server/db/state.db";
    Result<std::unique_ptr<storage::Store>> store = co_await storage::open_sqlite(std::move(so));
    if (!store) co_return store.status();
    store_ = std::move(*store);

    Result<apiserver::Options> ao = api_options();
    if (!ao) co_return ao.status();
    api_ = std::make_unique<apiserver::ApiServer>(std::move(*ao), *store_);
    Result<void> api = co_await api_->start();
    if (!api) co_return starts_with(api.status().message(), "listen on ") ? api.status().with_context("--bind-address, --https-listen-port") : api.status();

    admin_ = std::make_unique<client::Client>(transport("system:apiserver"), "onebin");
    Result<void> setup = co_await set_up_cluster(*admin_, setup_);
    if (!setup) co_return setup.status();

    if (!options_.disable.count("controller-manager")) start_controllers();
    if (!options_.disable.count("scheduler")) start_scheduler();
    Result<void> written = write_kubeconfig();
    if (!written) co_return written.status();
    group_.spawn(renew_serving_certificate());
    log_info("server ready", {{"url", url()}, {"kubeconfig", options_.write_kubeconfig}});

    if (!options_.disable_agent) {
      Result<void> agent = co_await start_agent();
      if (!agent) co_return agent.status();
      group_.spawn(show_role());
    }
    co_return Result<void>();
  }

  async::Task<void> stop() {
    group_.cancel();
    co_await group_.join();
    if (agent_) co_await agent_->stop();
    if (scheduler_) co_await scheduler_->stop();
    if (controllers_) co_await controllers_->stop();
    agent_.reset();
    scheduler_.reset();
    scheduler_client_.reset();
    controllers_.reset();
    admin_.reset();
    if (api_) co_await api_->stop();
    transports_.clear();
    api_.reset();
    if (store_) co_await store_->close();
    store_.reset();
  }

  std::string join_token() const { return token_.to_string(); }

 private:
  // Everything on disk that must be there before anything runs. Blocking.
  Result<void> prepare() {
    if (options_.agent.node_ips.empty() && !options_.disable_agent) RETURN_IF_ERROR(agent::complete(options_.agent));
    if (options_.agent.node_name.empty()) RETURN_IF_ERROR(agent::complete(options_.agent));
    if (options_.advertise_address.empty()) {
      if (!options_.agent.node_ips.empty()) {
        options_.advertise_address = options_.agent.node_ips[0];
      } else {
        Result<network::Ip> ip = network::default_node_ip(false);
        if (!ip) return ip.status().with_context("no address of this host found; name one with --advertise-address");
        options_.advertise_address = ip->to_string();
      }
    }
    RETURN_IF_ERROR(make_dirs(options_.data_dir, 0755));
    RETURN_IF_ERROR(make_dirs(options_.data_dir + "/server/db", 0700));
    names_.dns = {"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + options_.cluster_domain,
                  options_.agent.node_name};
    names_.ips = {"127.0.0.1", "::1", options_.advertise_address};
    for (const auto& cidr : options_.service_cidrs) {
      ASSIGN_OR_RETURN(std::string first, nth_address(cidr, 1));
      names_.ips.push_back(first);
    }
    for (const auto& ip : options_.agent.node_ips) names_.ips.push_back(ip);
    if (net::is_ip(options_.bind_address) && options_.bind_address != "0.0.0.0" && options_.bind_address != "::") names_.ips.push_back(options_.bind_address);
    for (const auto& san : options_.tls_sans) (net::is_ip(san) ? names_.ips : names_.dns).push_back(san);
    ASSIGN_OR_RETURN(certificates_, load_certificates(tls_dir(), names_, system_clock().wall()));
    if (options_.cluster_dns.empty()) { ASSIGN_OR_RETURN(options_.cluster_dns, nth_address(options_.service_cidrs[0], 10)); }
    ASSIGN_OR_RETURN(token_, load_token(options_.data_dir + "/server", options_.token, certificates_.server_ca.certificate));
    return load_serving();
  }

  Result<void> load_serving() {
    net::TlsServerConfig c;
    c.certificate_pem = certificates_.serving.certificate;
    c.key_pem = certificates_.serving.key;
    c.client_ca_pem = certificates_.client_ca.certificate;
    ASSIGN_OR_RETURN(serving_, net::TlsServerContext::create(c));
    net::TlsClientConfig k;
    k.ca_pem = certificates_.kubelet_ca.certificate;
    k.certificate_pem = certificates_.kubelet_client.certificate;
    k.key_pem = certificates_.kubelet_client.key;
    ASSIGN_OR_RETURN(kubelet_tls_, net::TlsClientContext::create(k));
    return {};
  }

  Result<apiserver::Options> api_options() {
    apiserver::Options o;
    o.listen = {net::Address{options_.bind_address == "0.0.0.0" ? "" : options_.bind_address, options_.https_listen_port}};
    o.tls = [this] { return serving_; };
    o.advertise_address = options_.advertise_address;
    o.advertise_port = options_.https_listen_port;
    o.service_cidrs = options_.service_cidrs;
    auto range = split(options_.service_node_port_range, '-');
    int first = range.size() == 2 ? std::atoi(range[0].c_str()) : 0, last = range.size() == 2 ? std::atoi(range[1].c_str()) : 0;
    if (first < 1 || last < first || last > 65535) return bad_request("--service-node-port-range " + options_.service_node_port_range + ": want FIRST-LAST, as 30000-32767");
    o.node_port_first = static_cast<std::uint16_t>(first);
    o.node_port_last = static_cast<std::uint16_t>(last);
    for (const std::string& gate : options_.feature_gates) {
      auto parts = split(gate, '=');
      if (parts.size() != 2 || (parts[1] != "true" && parts[1] != "false")) return bad_request("--feature-gates " + gate + ": want NAME=true or NAME=false");
      if (parts[0] != "CBORServingAndStorage") return bad_request("--feature-gates: unrecognized feature gate: " + parts[0]);
      o.cbor = parts[1] == "true";
    }
    o.cluster_domain = options_.cluster_domain;
    o.service_account_issuer = "https://kubernetes.default.svc." + options_.cluster_domain;
    o.service_account_keys_pem = {certificates_.service_account_key};
    o.client_ca_pem = certificates_.client_ca.certificate;
    o.requestheader_client_ca_pem = certificates_.front_proxy_ca.certificate;
    o.requestheader_allowed_names = {"system:auth-proxy"};
    o.proxy_client_certificate_pem = certificates_.front_proxy.certificate;
    o.proxy_client_key_pem = certificates_.front_proxy.key;
    o.kubelet_tls = [this] { return kubelet_tls_; };
    o.extra_handlers = {{"/v1-onebin/config", [this](net::Request& q, net::ResponseWriter& w) { return serve_config(&q, &w); }},
                        {"/cacerts", [this](net::Request& q, net::ResponseWriter& w) { return serve_ca(&q, &w); }}};
    RETURN_IF_ERROR(apiserver::apply_arguments(o, options_.kube_apiserver_args).status().with_context("--kube-apiserver-arg"));
    setup_.token = token_;
    setup_.ca_pem = certificates_.server_ca.certificate;
    setup_.server_url = "https://" + net::Address{options_.advertise_address, options_.https_listen_port}.to_string();
    setup_.cluster_dns = options_.cluster_dns;
    setup_.with_dns = !options_.disable.count("coredns");
    setup_.with_local_storage = !options_.disable.count("local-storage");
    return o;
  }

  // Public: what a node needs to know before it has any right.
  async::Task<void> serve_config(net::Request*, net::ResponseWriter* w) {
    agent::ClusterConfig c;
    c.ca_pem = certificates_.server_ca.certificate;
    c.client_ca_pem = certificates_.client_ca.certificate;
    c.cluster_dns = options_.cluster_dns;
    c.cluster_domain = options_.cluster_domain;
    c.cluster_cidrs = options_.cluster_cidrs;
    c.service_cidrs = options_.service_cidrs;
    c.flannel_backend = options_.agent.flannel_backend;
    std::string body = agent::to_json(c);
    co_await w->send(200, {{"Content-Type", "application/json"}}, body);
  }
  async::Task<void> serve_ca(net::Request*, net::ResponseWriter* w) {
    co_await w->send(200, {{"Content-Type", "text/plain"}}, certificates_.server_ca.certificate);
  }

  client::Transport& transport(const std::string& user) {
    auto& slot = transports_[user];
    if (!slot) slot = api_->local_transport(component_user(user));
    return *slot;
  }

  static apiserver::UserInfo component_user(const std::string& user) {
    static const std::string kServiceAccount = "system:serviceaccount:";
    if (user == "system:apiserver") return apiserver::system_user(user, {std::string(apiserver::kMastersGroup)});
    if (starts_with(user, "system:node:")) return apiserver::system_user(user, {"system:nodes"});
    if (starts_with(user, kServiceAccount)) {
      std::string ns = split(user.substr(kServiceAccount.size()), ':')[0];
      return apiserver::system_user(user, {"system:serviceaccounts", "system:serviceaccounts:" + ns});
    }
    return apiserver::system_user(user);
  }

  void start_controllers() {
    controller::Options o;
    o.cluster_cidrs = options_.cluster_cidrs;
    o.root_ca_pem = certificates_.server_ca.certificate;
    o.client_ca = certificates_.client_ca;
    o.kubelet_ca = certificates_.kubelet_ca;
    o.api_port = options_.https_listen_port;
    o.disabled = options_.disable;
    controllers_ = std::make_unique<controller::Manager>([this](const std::string& user) -> client::Transport& { return transport(user); }, std::move(o));
    controllers_->start();
  }

  void start_scheduler() {
    scheduler_client_ = std::make_unique<client::Client>(transport("system:kube-scheduler"), "kube-scheduler");
    scheduler::Options o;
    if (controllers_) o.informers = &controllers_->informers();
    scheduler_ = std::make_unique<scheduler::Scheduler>(*scheduler_client_, std::move(o));
    scheduler_->start();
  }

  async::Task<Result<void>> start_agent() {
    agent::Options o = options_.agent;
    o.cluster_dns = options_.cluster_dns;
    o.cluster_domain = options_.cluster_domain;
    o.cluster_cidrs = options_.cluster_cidrs;
    o.service_cidrs = options_.service_cidrs;
    o.proxy = !options_.disable.count("kube-proxy");
    o.dns = !options_.disable.count("coredns");
    agent::Identity id;
    id.transport = &transport("system:node:" + o.node_name);
    id.client_ca_pem = certificates_.client_ca.certificate;
    id.server_url = setup_.server_url;
    agent_ = std::make_unique<agent::Agent>(std::move(o), std::move(id));
    return agent_->start();
  }

  // What a kubelet may not say of its own node: that it is the one of the control plane.
  async::Task<void> show_role() {
    std::string patch = R"({"metadata":{"labels":{"node-role.kubernetes.io/control-plane":"true"}}})";
    for (Duration wait = 50ms; wait < 1min; wait *= 2) {
      auto r = co_await admin_->patch<api::core::v1::Node>("", options_.agent.node_name, client::PatchType::Merge, patch);
      if (r || r.is(Reason::Cancelled)) co_return;
      Status slept = co_await async::sleep_for(wait);
      if (!slept) co_return;
    }
  }

  Result<void> write_kubeconfig() {
    if (options_.write_kubeconfig.empty()) return {};
    // The bind address where there is one: what a client on this host reaches.
    bool any = options_.bind_address.empty() || options_.bind_address == "0.0.0.0" || options_.bind_address == "::";
    std::string server = "https://" + net::Address{any ? "127.0.0.1" : options_.bind_address, options_.https_listen_port}.to_string();
    auto slash = options_.write_kubeconfig.find_last_of('/');
    if (slash != std::string::npos && slash > 0) RETURN_IF_ERROR(make_dirs(options_.write_kubeconfig.substr(0, slash)));
    int mode = static_cast<int>(std::strtol(options_.write_kubeconfig_mode.c_str(), nullptr, 8));
    return write_file_atomic(options_.write_kubeconfig, kubeconfig(server, certificates_.server_ca.certificate, certificates_.admin, "default"), mode);
  }

  async::Task<void> renew_serving_certificate() {
    for (;;) {
      Status slept = co_await async::sleep_for(24h);
      if (!slept) co_return;
      Result<pki::KeyPair> pair = co_await async::run_blocking([this] { return renew_serving(tls_dir(), certificates_.server_ca, names_, system_clock().wall()); });
      if (!pair) {
        log_error("serving certificate not renewed", {{"error", pair.status()}});
        continue;
      }
      if (pair->certificate == certificates_.serving.certificate) continue;
      certificates_.serving = *pair;
      Result<void> loaded = load_serving();
      if (!loaded) log_error("serving certificate not loaded", {{"error", loaded.status()}});
    }
  }

  std::string tls_dir() const { return options_.data_dir + "/server/tls"; }
  std::string url() const { return setup_.server_url; }

  Options options_;
  ServingNames names_;
  Certificates certificates_;
  agent::JoinToken token_;
  ClusterSetup setup_;
  std::shared_ptr<const net::TlsServerContext> serving_;
  std::shared_ptr<const net::TlsClientContext> kubelet_tls_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<apiserver::ApiServer> api_;
  std::map<std::string, std::unique_ptr<client::Transport>> transports_;
  std::unique_ptr<client::Client> admin_, scheduler_client_;
  std::unique_ptr<controller::Manager> controllers_;
  std::unique_ptr<scheduler::Scheduler> scheduler_;
  std::unique_ptr<agent::Agent> agent_;
  async::TaskGroup group_;
};

Server::Server(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Server::~Server() = default;
async::Task<Result<void>> Server::start() { return impl_->start(); }
async::Task<void> Server::stop() { return impl_->stop(); }
std::string Server::join_token() const { return impl_->join_token(); }

}  // namespace onebin::server
