#include "kubelet/server.hpp"

#include "kubelet/streams.hpp"

#include <onebin/api/authentication_v1.hpp>
#include <onebin/api/authorization_v1.hpp>
#include <onebin/api/codec.hpp>
#include <onebin/async/pool.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/log.hpp>
#include <onebin/base/metrics.hpp>

#include <algorithm>
#include <sys/stat.h>

namespace onebin::kubelet {
namespace {

namespace authn = ::onebin::api::authentication::v1;
namespace authz = ::onebin::api::authorization::v1;

constexpr Duration kAllowedFor = std::chrono::minutes(5), kRefusedFor = std::chrono::seconds(30);
constexpr std::size_t kMaxTokens = 256;

async::Task<void> answer(net::ResponseWriter* w, int status, std::string body, const char* type = "text/plain; charset=utf-8") {
  (void)co_await w->send(status, net::Headers{{"Content-Type", type}}, body);
}

std::string verb_of(const std::string& method) {
  if (method == "POST") return "create";
  if (method == "GET") return "get";
  if (method == "PUT") return "update";
  if (method == "PATCH") return "patch";
  if (method == "DELETE") return "delete";
  return to_lower(method);
}

// Which subresource of nodes a path belongs to (KEP-2862 keeps "proxy" as the one that covers everything).
std::string subresource_of(const std::string& path) {
  if (path.starts_with("/metrics")) return "metrics";
  if (path.starts_with("/stats")) return "stats";
  if (path.starts_with("/logs")) return "log";
  if (path.starts_with("/healthz")) return "healthz";
  if (path.starts_with("/configz")) return "configz";
  if (path.starts_with("/pods") || path.starts_with("/runningpods")) return "pods";
  return "proxy";
}

std::optional<std::int64_t> int_query(const net::Query& q, std::string_view name, bool* bad) {
  if (!q.has(name) || q.get(name).empty()) return std::nullopt;
  std::string text(q.get(name));
  char* end = nullptr;
  long long v = std::strtoll(text.c_str(), &end, 10);
  if (*end != '\0') *bad = true;
  return v;
}

// A directory that pods of any user can write to.
Result<void> make_open_dir(const std::string& path) {
  RETURN_IF_ERROR(make_dirs(path, 0755));
  return ::chmod(path.c_str(), 0777) == 0 ? Status::ok() : from_errno("chmod of " + path, errno);
}

bool bool_query(const net::Query& q, std::string_view name) { return q.get(name) == "true" || q.get(name) == "1"; }

// The container whose log is asked for, or why there is none.
Result<const RuntimeContainer*> container_for_log(const PodWorker& worker, const std::string& name, bool previous) {
  const std::string pod = worker.pod().metadata.name;
  core::Container scratch;
  if (!find_container(worker.pod(), name, &scratch)) return bad_request("container " + name + " is not valid for pod " + pod);
  std::vector<const RuntimeContainer*> all;
  for (const auto& c : worker.runtime().containers)
    if (c.name == name) all.push_back(&c);
  if (previous) {
    bool newest_ended = !all.empty() && all[0]->state == ContainerState::Exited;
    const core::ContainerStatus* s = find_status(worker.status(), name);
    bool waiting = s && s->state.waiting;
    if (newest_ended && waiting) return all[0];
    if (all.size() > 1) return all[1];
    return bad_request("previous terminated container " + quote(name) + " in pod " + quote(pod) + " not found");
  }
  if (!all.empty() && all[0]->state != ContainerState::Created) return all[0];
  const core::ContainerStatus* s = find_status(worker.status(), name);
  if (s && s->state.waiting) {
    const std::string& reason = s->state.waiting->reason;
    if (reason == "ErrImagePull") return bad_request("container " + quote(name) + " in pod " + quote(pod) + " is waiting to start: image can't be pulled");
    if (reason == "ImagePullBackOff") return bad_request("container " + quote(name) + " in pod " + quote(pod) + " is waiting to start: trying and failing to pull image");
    return bad_request("container " + quote(name) + " in pod " + quote(pod) + " is waiting to start: " + reason);
  }
  return bad_request("container " + quote(name) + " in pod " + quote(pod) + " is not available");
}

const RuntimeContainer* running_container(const PodWorker& worker, const std::string& name) {
  for (const auto& c : worker.runtime().containers)
    if (c.name == name && c.state == ContainerState::Running) return &c;
  return nullptr;
}

}  // namespace

Server::Server(const Options& options, ServerBackend backend) : options_(options), backend_(std::move(backend)) {}
Server::~Server() = default;

void Server::reload_certificates() {
  if (!options_.serving_certificate) return;
  ServingCertificate c = options_.serving_certificate();
  net::TlsServerConfig config;
  config.certificate_pem = std::move(c.certificate_pem);
  config.key_pem = std::move(c.key_pem);
  config.client_ca_pem = options_.client_ca_pem;
  config.alpn = {"http/1.1"};  // exec, attach and port-forward upgrade; the API server needs no more
  Result<std::shared_ptr<const net::TlsServerContext>> made = net::TlsServerContext::create(config);
  if (made) tls_ = *made;
  else log_error("the kubelet's serving certificate cannot be used", {{"error", made.status()}});
}

Result<void> Server::start() {
  if (options_.port == 0 && !options_.serving_certificate) return {};
  reload_certificates();
  if (!tls_) return internal_error("the kubelet has no serving certificate");
  net::ServerConfig config;
  config.name = "kubelet";
  config.listen.push_back({options_.bind_address == "0.0.0.0" || options_.bind_address == "::" ? std::string() : options_.bind_address, options_.port});
  config.tls = [this] { return tls_; };
  config.http2 = false;
  Result<std::unique_ptr<net::HttpServer>> s =
      net::HttpServer::start(std::move(config), [this](net::Request& request, net::ResponseWriter& writer) { return handle(request, writer); });
  if (!s) return s.status().with_context("the kubelet's server (--kubelet-port)");
  server_ = std::move(*s);
  port_ = server_->addresses().front().port;
  return {};
}

async::Task<void> Server::stop() {
  for (auto& [id, f] : followers_) f->end();
  if (server_) co_await server_->stop(std::chrono::milliseconds(200));
}

void Server::container_ended(const std::string& id) {
  auto [a, b] = followers_.equal_range(id);
  for (auto i = a; i != b; ++i) i->second->end();
}

async::Task<Result<void>> Server::authorize_token(std::string token, std::string verb, std::string subresource) {
  const std::string key = sha256_hex(token) + "/" + verb + "/" + subresource;
  SteadyTime now = async::Loop::current().now();
  if (auto i = tokens_.find(key); i != tokens_.end() && now < i->second.until)
    co_return i->second.allowed ? Status::ok() : Status(Reason::Forbidden, "Forbidden");
  authn::TokenReview review;
  review.spec.token = std::move(token);
  Result<authn::TokenReview> who = co_await backend_.node->client->create<authn::TokenReview>("", std::move(review));
  if (!who) co_return who.status();
  if (!who->status.authenticated) co_return Status(Reason::Unauthorized, "Unauthorized");
  bool allowed = false;
  for (const std::string& sub : {subresource, std::string("proxy")}) {
    authz::SubjectAccessReview ask;
    ask.spec.user = who->status.user.username;
    ask.spec.uid = who->status.user.uid;
    ask.spec.groups = who->status.user.groups;
    authz::ResourceAttributes what;
    what.verb = verb;
    what.version = "v1";
    what.resource = "nodes";
    what.subresource = sub;
    what.name = options_.node_name;
    ask.spec.resource_attributes = what;
    Result<authz::SubjectAccessReview> may = co_await backend_.node->client->create<authz::SubjectAccessReview>("", std::move(ask));
    if (!may) co_return may.status();
    if (may->status.allowed) {
      allowed = true;
      break;
    }
  }
  if (tokens_.size() >= kMaxTokens) tokens_.clear();
  tokens_[key] = {now + (allowed ? kAllowedFor : kRefusedFor), allowed};
  if (allowed) co_return Result<void>();
  co_return Status(Reason::Forbidden, "Forbidden (user=" + who->status.user.username + ", verb=" + verb + ", resource=nodes, subresource=" + subresource + ")");
}

async::Task<Result<void>> Server::authorize(const net::Request* request) {
  const net::PeerInfo& peer = *request->peer;
  if (peer.certificate && peer.verified) {
    const auto& orgs = peer.certificate->organizations;
    if (std::find(orgs.begin(), orgs.end(), "system:masters") != orgs.end()) co_return Result<void>();
    const auto& names = options_.allowed_clients;
    if (std::find(names.begin(), names.end(), peer.certificate->common_name) != names.end()) co_return Result<void>();
    co_return Status(Reason::Forbidden, "Forbidden (user=" + peer.certificate->common_name + ")");
  }
  std::string_view header = request->headers.get("Authorization");
  if (starts_with(header, "Bearer ")) {
    Result<void> r = co_await authorize_token(std::string(trim(header.substr(7))), verb_of(request->method), subresource_of(request->path));
    co_return r;
  }
  co_return Status(Reason::Unauthorized, "Unauthorized");
}

async::Task<void> Server::handle(net::Request& request, net::ResponseWriter& writer) {
  net::Request* q = &request;
  net::ResponseWriter* w = &writer;
  if (q->path != "/healthz") {
    Result<void> allowed = co_await authorize(q);
    if (!allowed) {
      co_await answer(w, allowed.status().code(), allowed.status().message());
      co_return;
    }
  }
  co_await route(q, w);
}

async::Task<void> Server::list_pods(net::ResponseWriter* w) {
  core::PodList list;
  for (PodWorker* worker : backend_.pods()) {
    core::Pod p = worker->pod();
    p.status = worker->status();
    list.items.push_back(std::move(p));
  }
  co_await answer(w, 200, api::to_json(list), "application/json");
}

// The directory of a volume that the local-path provisioner asks for: PUT makes it and answers with its path, DELETE removes it.
async::Task<void> Server::local_volume(net::Request* request, net::ResponseWriter* w, std::string name) {
  const std::string path = options_.local_volumes_dir + "/" + name;
  bool plain = !name.empty() && name[0] != '.' && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-") == std::string::npos;
  if (!plain) {
    co_await answer(w, 400, "a volume's name has lower-case letters, digits, '-' and '.' only\n");
    co_return;
  }
  Result<void> r;
  if (request->method == "PUT") {
    r = co_await async::run_blocking([path] { return make_open_dir(path); });
  } else if (request->method == "DELETE") {
    r = co_await async::run_blocking([path] { return path_exists(path) ? remove_all(path) : Result<void>(); });
  } else {
    co_await answer(w, 405, "PUT or DELETE\n");
    co_return;
  }
  co_await answer(w, r ? 200 : 500, r ? path : r.status().message());
}

async::Task<void> Server::route(net::Request* q, net::ResponseWriter* w) {
  std::vector<std::string> parts;
  for (auto& p : split(q->path, '/'))
    if (!p.empty()) parts.push_back(std::move(p));
  const std::string head = parts.empty() ? std::string() : parts[0];
  if (head == "healthz") co_await answer(w, 200, "ok");
  else if (head == "pods" && parts.size() == 1) co_await list_pods(w);
  else if (head == "runningpods") co_await list_pods(w);
  else if (head == "containerLogs" && parts.size() == 4) co_await logs(q, w, std::move(parts));
  else if (head == "exec" && (parts.size() == 4 || parts.size() == 5)) co_await exec(q, w, std::move(parts), false);
  else if (head == "attach" && (parts.size() == 4 || parts.size() == 5)) co_await exec(q, w, std::move(parts), true);
  else if (head == "portForward" && (parts.size() == 3 || parts.size() == 4)) co_await port_forward(q, w, std::move(parts));
  else if (head == "run" && (parts.size() == 4 || parts.size() == 5)) co_await run_once(q, w, std::move(parts));
  else if (head == "localVolumes" && parts.size() == 2) co_await local_volume(q, w, parts[1]);
  else if (q->path == "/metrics") co_await answer(w, 200, metrics::render(), "text/plain; version=0.0.4; charset=utf-8");
  else if (q->path == "/metrics/resource" && backend_.resource_metrics)
    co_await answer(w, 200, backend_.resource_metrics(), "text/plain; version=0.0.4; charset=utf-8");
  else if ((q->path == "/stats/summary" || q->path == "/stats/summary/") && backend_.stats_summary)
    co_await answer(w, 200, backend_.stats_summary(), "application/json");
  else if (head == "configz")
    co_await answer(w, 200, "{\"kubeletconfig\":{\"kind\":\"KubeletConfiguration\",\"apiVersion\":\"kubelet.config.k8s.io/v1beta1\",\"maxPods\":" +
                                std::to_string(options_.max_pods) + ",\"clusterDomain\":\"" + options_.cluster_domain +
                                "\",\"containerLogMaxFiles\":" + std::to_string(options_.container_log_max_files) + "}}", "application/json");
  else co_await answer(w, 404, "404 page not found\n");
}

async::Task<void> Server::logs(net::Request* request, net::ResponseWriter* w, std::vector<std::string> parts) {
  PodWorker* worker = backend_.find(parts[1], parts[2], {});
  if (!worker) {
    co_await answer(w, 404, "pod " + quote(parts[2]) + " does not exist\n");
    co_return;
  }
  net::Query q = net::Query::parse(request->query);
  bool bad = false;
  LogOptions options;
  options.follow = bool_query(q, "follow");
  options.timestamps = bool_query(q, "timestamps");
  options.tail_lines = int_query(q, "tailLines", &bad);
  options.limit_bytes = int_query(q, "limitBytes", &bad);
  if (q.has("stream")) options.stream = std::string(q.get("stream"));
  WallTime now = async::Loop::current().clock().wall();
  if (auto s = int_query(q, "sinceSeconds", &bad)) options.since = now - std::chrono::seconds(*s);
  if (q.has("sinceTime")) {
    options.since = parse_rfc3339(q.get("sinceTime"));
    bad = bad || !options.since;
  }
  if (bad || (options.tail_lines && *options.tail_lines < 0) || (options.limit_bytes && *options.limit_bytes < 1)) {
    co_await answer(w, 400, "{\"message\": \"Unable to decode the request for container logs.\"}");
    co_return;
  }
  Result<const RuntimeContainer*> c = container_for_log(*worker, parts[3], bool_query(q, "previous"));
  if (!c) {
    co_await answer(w, 400, c.status().message());
    co_return;
  }
  Result<engine::ContainerStatus> s = backend_.node->engine->container_status((*c)->id);
  if (!s) {
    co_await answer(w, 500, s.status().message());
    co_return;
  }
  LogFollow follow;
  if (s->state != engine::ContainerState::Running) follow.end();
  auto entry = followers_.emplace(s->id, &follow);
  bool flush = options.follow;
  (void)co_await w->start(200, net::Headers{{"Content-Type", "text/plain"}});
  if (flush) (void)co_await w->flush();
  struct Out {
    static async::Task<Result<void>> write(net::ResponseWriter* w, bool flush, std::string bytes) {
      CO_RETURN_IF_ERROR(co_await w->write(bytes));
      if (flush) CO_RETURN_IF_ERROR(co_await w->flush());
      co_return Result<void>();
    }
  };
  Result<void> r = co_await read_log(s->log_path, options, &follow, [w, flush](std::string bytes) { return Out::write(w, flush, std::move(bytes)); });
  followers_.erase(entry);
  if (!r && !r.is(Reason::Cancelled) && !r.is(Reason::Closed)) log_warn("a container's log could not be read", {{"pod", parts[1] + "/" + parts[2]}, {"error", r.status()}});
  (void)co_await w->finish();
}

async::Task<void> Server::exec(net::Request* request, net::ResponseWriter* w, std::vector<std::string> parts, bool attach) {
  const std::string uid = parts.size() == 5 ? parts[3] : std::string(), name = parts.back();
  PodWorker* worker = backend_.find(parts[1], parts[2], uid);
  if (!worker) {
    co_await answer(w, 404, "pod does not exist\n");
    co_return;
  }
  const RuntimeContainer* c = running_container(*worker, name);
  if (!c) {
    co_await answer(w, 404, "container not found (" + quote(name) + ")");
    co_return;
  }
  const std::string id = c->id;
  net::Query q = net::Query::parse(request->query);
  Result<net::RemoteCommandOptions> options = net::RemoteCommandOptions::from_query(q);
  if (!options) {
    co_await answer(w, 400, options.status().message());
    co_return;
  }
  std::vector<std::string> command;
  for (auto v : q.all("command")) command.emplace_back(v);
  if (!attach && command.empty()) {
    co_await answer(w, 400, "you must specify at least 1 command for the container");
    co_return;
  }
  if (attach) {
    core::Container scratch;
    const core::Container* spec = find_container(worker->pod(), name, &scratch);
    options->tty = spec && spec->tty;
    if (options->tty) options->stderr_ = false;
  }
  Result<std::unique_ptr<net::RemoteCommand>> client = co_await net::RemoteCommand::accept(*request, *w, *options);
  if (!client) co_return;
  Result<std::shared_ptr<engine::IoSession>> session;
  if (attach) {
    session = co_await backend_.node->engine->attach(id, options->stdin_);
  } else {
    engine::ExecRequest r;
    r.command = std::move(command);
    r.tty = options->tty;
    r.stdin_open = options->stdin_;
    r.want_stdout = options->stdout_;
    r.want_stderr = options->stderr_;
    session = co_await backend_.node->engine->exec(id, std::move(r));
  }
  if (!session) {
    co_await (*client)->finish_error(session.status());
    co_return;
  }
  co_await bridge_session(std::move(*client), std::move(*session), attach);
}

async::Task<void> Server::port_forward(net::Request* request, net::ResponseWriter* w, std::vector<std::string> parts) {
  PodWorker* worker = backend_.find(parts[1], parts[2], parts.size() == 4 ? parts[3] : std::string());
  if (!worker) {
    co_await answer(w, 404, "pod does not exist\n");
    co_return;
  }
  std::string netns;
  if (!worker->pod().spec.host_network) {
    for (const auto& info : backend_.node->network->list())
      if (info.pod_uid == worker->uid()) netns = info.netns_path;
    if (netns.empty()) {
      co_await answer(w, 400, "the pod's network is not set up\n");
      co_return;
    }
  }
  Result<std::unique_ptr<net::PortForward>> client = co_await net::PortForward::accept(*request, *w);
  if (!client) co_return;
  co_await bridge_ports(std::move(*client), std::move(netns));
}

async::Task<void> Server::run_once(net::Request* request, net::ResponseWriter* w, std::vector<std::string> parts) {
  PodWorker* worker = backend_.find(parts[1], parts[2], parts.size() == 5 ? parts[3] : std::string());
  const RuntimeContainer* c = worker ? running_container(*worker, parts.back()) : nullptr;
  if (!c) {
    co_await answer(w, 404, "container not found (" + quote(parts.back()) + ")");
    co_return;
  }
  std::vector<std::string> command = split(net::Query::parse(request->query).get("cmd"), ' ');
  Result<engine::ExecResult> r = co_await backend_.node->engine->exec_sync(c->id, std::move(command), std::chrono::minutes(2));
  if (!r) co_await answer(w, 500, r.status().message());
  else co_await answer(w, r->exit_code == 0 ? 200 : 500, r->out + r->err);
}

}  // namespace onebin::kubelet
