#include "apiserver/core.hpp"

#include "apiserver/admission/policy_plugins.hpp"
#include "apiserver/admission/resource_quota.hpp"
#include "apiserver/aggregator/aggregator.hpp"
#include "apiserver/allocators.hpp"
#include "apiserver/audit/event.hpp"
#include "apiserver/audit/writer.hpp"
#include "apiserver/authn/impersonation.hpp"
#include "apiserver/bootstrap.hpp"
#include "apiserver/crd/custom_kind.hpp"
#include "apiserver/crd/definitions.hpp"
#include "apiserver/errors.hpp"
#include "apiserver/handlers/discovery.hpp"
#include "apiserver/handlers/kubelet_clients.hpp"
#include "apiserver/handlers/streaming.hpp"
#include "apiserver/local_transport.hpp"
#include "apiserver/respond.hpp"
#include "apiserver/server_clients.hpp"
#include "apiserver/webhook/webhook_admission.hpp"

#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>
#include <onebin/base/metrics.hpp>

namespace onebin::apiserver {
namespace {

constexpr Duration kRequestTimeout = 60s;
constexpr Duration kWriteTimeout = 34s;  // what upstream leaves a write, and with it the webhooks that it calls

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> set) {
  for (auto s : set)
    if (s == text) return true;
  return false;
}

std::string bearer_token(const net::Request& request) {
  std::string_view h = request.headers.get("Authorization");
  if (h.size() > 7 && iequals(h.substr(0, 7), "bearer ")) return std::string(trim(h.substr(7)));
  // Browsers cannot set headers on a WebSocket: the token travels as a sub-protocol.
  for (const auto& p : request.headers.list("Sec-WebSocket-Protocol")) {
    if (!starts_with(p, kBearerProtocol)) continue;
    if (auto token = base64url_decode(std::string_view(p).substr(kBearerProtocol.size()))) return *token;
  }
  return {};
}

std::string label_value(std::string_view text) {
  std::string out;
  for (char ch : text)
    if (ch != '"' && ch != '\\' && ch != '\n') out.push_back(ch);
  return out;
}

// apiserver_request_total, by what upstream tells apart. Paths that are no resources count together: they are anybody's text.
void count_request(const RequestContext& c) {
  const RequestInfo& i = c.info;
  bool known = c.served != nullptr;
  std::string verb = i.verb == "deletecollection" ? "DELETECOLLECTION" : i.verb == "get" ? "GET" : i.verb == "list" ? "LIST" : i.verb == "watch" ? "WATCH" : i.verb == "create" ? "POST"
                     : i.verb == "update" ? "PUT" : i.verb == "patch" ? "PATCH" : i.verb == "delete" ? "DELETE" : "other";
  std::string labels = "code=\"" + std::to_string(c.writer.status()) + "\",group=\"" + (known ? label_value(i.group) : "") + "\",resource=\"" + (known ? label_value(i.resource) : "") +
                       "\",subresource=\"" + (known && c.served->kind->subresource(i.subresource) ? label_value(i.subresource) : "") + "\",verb=\"" + verb + "\",version=\"" +
                       (known ? label_value(i.version) : "") + "\"";
  metrics::counter("apiserver_request_total", "Requests by verb, resource and code.", labels).add();
}

// Of a request whose user is not known there is nothing but its answer.
void begin_audit(const Auditor& auditor, RequestContext& c) {
  c.audit = auditor.begin(c);
  if (c.audit && !c.user.name.empty()) c.audit->write(AuditStage::RequestReceived);
}

// A client may name its request.
std::string audit_id_of(const net::Request& request, Rng& rng) {
  constexpr std::size_t kLongest = 64;
  std::string given(request.headers.get("Audit-ID"));
  return given.empty() || given.size() > kLongest ? random_uuid(rng) : given;
}

class InFlight {
 public:
  explicit InFlight(std::size_t* n) : n_(n) { if (n_) ++*n_; }
  InFlight(const InFlight&) = delete;
  ~InFlight() { if (n_) --*n_; }

 private:
  std::size_t* n_;
};

// `timeout=` of a request; at most kRequestTimeout.
Result<Duration> request_timeout(const net::Query& query) {
  std::string_view text = query.get("timeout");
  if (text.empty()) return kRequestTimeout;
  auto d = parse_duration(text);
  if (!d) return bad_request("invalid timeout specified in the request URL");
  if (*d <= Duration::zero()) return kRequestTimeout;
  return std::min(*d, kRequestTimeout);
}

// What upstream's router answers of a path and a method, of built-in kinds: 404 where no route has the path, 405 where none of those
// that have it has the method, 406 where that makes nothing that is accepted.
Status check_route(const RequestContext& c) {
  const RequestInfo& i = c.info;
  const KindSchema& k = *c.served->kind;
  auto has = [&](std::initializer_list<std::string_view> verbs) {
    for (auto v : verbs)
      if (k.has_verb(v)) return true;
    return false;
  };
  bool everywhere = c.served->namespaced() && i.ns.empty();
  // A list's name is one that its field selector says.
  bool named = !i.name.empty() && (i.by_path || !is_one_of(i.verb, {"list", "watch"}));
  if (i.by_path) {
    if (i.verb != "watch" || !has({"watch"}) || (named && everywhere)) return generic_not_found();
    return c.request.method == "GET" ? Status::ok() : method_not_allowed();
  }
  bool there = named ? !everywhere && has({"get", "update", "patch", "delete"}) : has({"list"}) || (!everywhere && has({"create", "deletecollection"}));
  if (!there) return generic_not_found();
  bool known = named ? is_one_of(i.verb, {"get", "update", "patch", "delete"})
                     : is_one_of(i.verb, {"list", "watch"}) || (!everywhere && is_one_of(i.verb, {"create", "deletecollection"}));
  if (!known || !has({i.verb}) || c.request.method == "HEAD") return method_not_allowed();
  return check_accept(c, is_one_of(i.verb, {"list", "watch"}) && has({"watch"}) ? RouteForms::Streams : RouteForms::All);
}

}  // namespace

bool is_long_running(const RequestContext& c) {
  if (!c.info.is_resource) return false;
  if (c.info.verb == "watch" || c.info.verb == "proxy") return true;
  return is_one_of(c.info.subresource, {"proxy", "exec", "attach", "portforward", "log"});
}

Core::Core(Options o, storage::Store& s, NodeDialer* d)
    : options(std::move(o)), store(s), dialer(d), cacher(s), clock_(&async::Loop::current().clock()) {
  rng_ = options.rng ? options.rng : &system_rng();
  if (!dialer) {
    own_dialer_ = make_direct_dialer();
    dialer = own_dialer_.get();
  }
}
Core::~Core() = default;

async::Task<Result<void>> Core::start() {
  registry.add_builtins(cacher);
  if (WatchCache* pods = cacher.find("", "pods")) {
    Served* served = registry.find("", "v1", "pods");
    if (const auto* field = served->strategy->selectable_field("spec.nodeName")) pods->index_by(*field);
  }
  Result<Security> s = make_security({&options, &cacher, rng_, clock_});
  if (!s) co_return s.status();
  security = std::move(*s);
  Result<std::unique_ptr<Auditor>> audits = Auditor::make(options.audit, *clock_);
  if (!audits) co_return audits.status().with_context("the audit log");
  auditor = std::move(*audits);
  auto on = [this](const char* plugin) { return !options.disable_admission_plugins.count(plugin); };
  if (on("MutatingAdmissionPolicy")) security.admission.add(make_mutating_admission_policy(*this));
  if (on("MutatingAdmissionWebhook")) security.admission.add(make_mutating_webhook(*this));
  if (on("ValidatingAdmissionPolicy")) security.admission.add(make_validating_admission_policy(*this));
  if (on("ValidatingAdmissionWebhook")) security.admission.add(make_validating_webhook(*this));
  if (on("ResourceQuota"))
    security.admission.add(make_resource_quota(cacher, make_local_transport(*this, system_user("system:apiserver", {std::string(kMastersGroup)}))));
  allocators = std::make_unique<Allocators>(options, cacher);
  discovery = std::make_unique<DiscoveryCache>(*this);
  kubelets = std::make_unique<KubeletClients>(*this);
  servers = std::make_unique<ServerClients>(*this);
  aggregator = std::make_unique<Aggregator>(*this);
  Result<void> started = co_await cacher.start();
  if (!started) co_return started.status();
  definitions = std::make_unique<Definitions>(*this);
  Result<void> defined = co_await definitions->start();
  if (!defined) co_return defined;
  aggregator->start();
  Result<void> booted = co_await bootstrap(this);
  if (!booted) co_return booted.status();
  ready_ = true;
  co_return Result<void>();
}

async::Task<void> Core::stop() {
  stopping_ = true;
  ready_ = false;
  group_.cancel();
  co_await group_.join();
  co_await cacher.stop();
  kubelets.reset();
}

WriteContext Core::write_context(RequestContext& c) {
  WriteContext w;
  w.core = this;
  w.lister = &cacher;
  w.user = &c.user;
  w.now = c.now;
  w.rng = rng_;
  w.warnings = &c.warnings;
  w.dry_run = c.dry_run();
  w.subresource = c.info.subresource;
  return w;
}

async::Task<Authorized> Core::authorize(Attributes attributes) {
  Authorized a = co_await security.authorizer->authorize(attributes);
  co_return a;
}

Handling Core::authenticate(RequestContext* c) {
  Credentials credentials;
  credentials.bearer_token = bearer_token(c->request);
  credentials.headers = &c->request.headers;
  if (!c->request.peer->presented.empty()) credentials.presented_certificate_der = c->request.peer->presented.front();
  if (c->request.peer->verified && c->request.peer->certificate) credentials.client_certificate_der = c->request.peer->certificate->der;
  bool given = !credentials.bearer_token.empty() || !credentials.client_certificate_der.empty();
  Result<std::optional<Authenticated>> found = co_await security.authenticator->authenticate(credentials);
  if (!found) {
    if (found.is(Reason::Cancelled)) co_return found.status();
    co_return Status(Reason::Unauthorized, "Unauthorized");
  }
  if (*found) {
    c->user = std::move((*found)->user);
    co_return Result<void>();
  }
  // A certificate that proves nothing and a token that is not ours are refused; no credentials at all are anonymous.
  if (given || !c->request.peer->presented.empty() || !options.anonymous_auth) co_return Status(Reason::Unauthorized, "Unauthorized");
  c->user.name = kAnonymousUser;
  c->user.groups = {std::string(kUnauthenticatedGroup)};
  co_return Result<void>();
}

Handling Core::impersonate(RequestContext* c) {
  Result<std::optional<UserInfo>> wanted = wanted_user(c->request.headers);
  if (!wanted) co_return wanted.status();
  if (!*wanted) co_return Result<void>();
  Result<UserInfo> user = co_await apiserver::impersonate(security.authorizer.get(), std::move(**wanted), attributes_of(c->user, c->info));
  if (!user) co_return user.status();
  c->user = std::move(*user);
  if (c->audit) c->audit->impersonated(c->user);
  co_return Result<void>();
}

Handling Core::check_authorized(RequestContext* c) {
  Attributes a = attributes_of(c->user, c->info);
  Authorized d = co_await security.authorizer->authorize(a);
  if (d.decision != Decision::Allow && cacher.applied() < store.current_revision()) {
    // A right that was just granted counts as soon as its grant was acknowledged.
    Result<void> fresh = co_await cacher.wait_current();
    if (!fresh) co_return fresh;
    d = co_await security.authorizer->authorize(a);
  }
  if (c->audit) {
    c->audit->annotate("authorization.k8s.io/decision", d.decision == Decision::Allow ? "allow" : "forbid");
    c->audit->annotate("authorization.k8s.io/reason", d.reason);
  }
  if (d.decision == Decision::Allow) co_return Result<void>();
  co_return forbidden_request(a, d.reason);
}

async::Task<Result<void>> Core::admit_request(RequestContext* c, const UserInfo* as) {
  if (as) {
    c->user = *as;
    c->local = true;
    if (auditor) begin_audit(*auditor, *c);
  } else {
    Result<void> known = co_await authenticate(c);
    if (auditor) begin_audit(*auditor, *c);
    if (!known) co_return known.status();
    Result<void> changed = co_await impersonate(c);
    if (!changed) co_return changed.status();
  }
  // Who reads after a write that was acknowledged is judged by it.
  Result<void> current = co_await cacher.wait_current();
  if (!current && !current.is(Reason::Timeout)) co_return current.status();
  Result<void> allowed = co_await check_authorized(c);
  if (!allowed) co_return allowed.status();
  if (!c->info.is_resource) co_return Result<void>();
  c->aggregated = aggregator->find(c->info.group, c->info.version) != nullptr;
  if (c->aggregated) co_return Result<void>();
  c->served = registry.find(c->info.group, c->info.version, c->info.resource);
  // Custom resources have no routes of their own: what is none of them is no path.
  if (!c->served && !c->local && !registry.built_in(c->info.group)) co_return Result<void>();
  if (!c->served) co_return generic_not_found();
  c->served_held = c->served->shared_from_this();
  bool scoped_right = c->served->namespaced() || c->info.ns.empty() || c->info.resource == "namespaces";
  if (c->served->custom && c->served->namespaced() && c->info.ns.empty()) scoped_right = is_one_of(c->info.verb, {"list", "watch"});
  if (!scoped_right && c->served->custom && !c->local) c->served = nullptr;
  else if (!scoped_right) co_return generic_not_found();
  co_return Result<void>();
}

Handling Core::dispatch(RequestContext* c) {
  const RequestInfo& i = c->info;
  if (!i.is_resource) co_return co_await handle_non_resource(c);
  if (c->aggregated) co_return co_await aggregator->serve(c);
  if (!c->served) co_return co_await page_not_found(c);
  if (c->served->custom && !c->served->custom->deprecation_warning.empty()) c->warnings.push_back(c->served->custom->deprecation_warning);
  if (!i.subresource.empty()) co_return co_await handle_subresource(c);
  const KindSchema& k = *c->served->kind;
  if (!c->served->custom) {
    if (Status routed = check_route(*c); !routed) co_return routed;
  }
  if (!c->served->cache) co_return co_await handle_virtual(c);
  // Whoever uses a deprecated API is told at every request.
  if (!c->local && k.group.empty() && k.kind == "Endpoints") c->warnings.emplace_back("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice");
  if (i.verb == "get") co_return co_await handle_get(c);
  if (i.verb == "list") co_return co_await handle_list(c);
  if (i.verb == "watch") co_return co_await handle_watch(c);
  if (i.verb == "create" && i.name.empty()) co_return co_await handle_create(c);
  if (i.verb == "update" && !i.name.empty()) co_return co_await handle_update(c);
  if (i.verb == "patch" && !i.name.empty()) co_return co_await handle_patch(c);
  if (i.verb == "delete") co_return co_await handle_delete(c);
  if (i.verb == "deletecollection") co_return co_await handle_delete_collection(c);
  co_return method_not_supported(i.group, i.resource, i.verb);
}

async::Task<void> Core::serve(net::Request& request, net::ResponseWriter& writer, const UserInfo* as) {
  if (!as) {
    for (const auto& [prefix, handler] : options.extra_handlers) {
      if (!starts_with(request.path, prefix)) continue;
      co_await handler(request, writer);
      co_return;
    }
  }
  if (!auditor) co_return co_await serve_as(request, writer, as, nullptr);
  AuditedWriter audited(writer);
  co_await serve_as(request, audited, as, &audited);
}

async::Task<void> Core::serve_as(net::Request& request, net::ResponseWriter& writer, const UserInfo* as, AuditedWriter* audited) {
  RequestContext c{*this, request, writer};
  if (audited) audited->follow(&c);
  c.query = net::Query::parse(request.query);
  c.info = parse_request_info(request.method, request.raw_path, c.query);
  c.user_agent = request.headers.get("User-Agent");
  c.now = clock_->wall();
  if (!as || auditor) c.audit_id = audit_id_of(request, *rng_);
  bool long_running = is_long_running(c);
  if (!long_running && !as && in_flight_ >= options.max_in_flight) {
    co_await send_status(&c, too_many_requests("Too many requests, please try again later.", 1));
    co_return;
  }
  InFlight counted(long_running ? nullptr : &in_flight_);
  SteadyTime began = clock_->now();
  Result<void> r = co_await admit_request(&c, as);
  if (r && long_running) {
    r = co_await dispatch(&c);
  } else if (r) {
    Result<Duration> limit = request_timeout(c.query);
    if (limit) c.deadline = began + std::min(*limit, kWriteTimeout);
    if (!limit) r = limit.status();
    else r = co_await async::with_timeout(*limit, dispatch(&c));
    if (r.is(Reason::Timeout) && r.status().details().causes.empty() && r.status().message() == "timed out")
      r = Status(Reason::Timeout, "request did not complete within the allotted timeout");
  }
  if (!r && !r.is(Reason::Cancelled)) {
    if (writer.started()) writer.abort();
    else co_await send_status(&c, r.status());
  }
  if (audited) audited->complete(r);
  count_request(c);
  if (log_enabled(LogLevel::Debug)) {
    auto us = std::chrono::duration_cast<std::chrono::microseconds>(clock_->now() - began).count();
    log_debug("request", {{"verb", c.info.verb}, {"path", c.info.path}, {"user", c.user.name}, {"code", writer.status()}, {"us", us}});
  }
}

}  // namespace onebin::apiserver
