// Whether aggregated API servers can be reached, and what they tell of themselves.
#include "apiserver/aggregator/aggregator.hpp"

#include "apiserver/concat.hpp"
#include "apiserver/crd/definitions.hpp"
#include "apiserver/respond.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>
#include <onebin/base/metrics.hpp>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::find_member;
using apimachinery::go_quote;
using apimachinery::member;
using apimachinery::string_at;

namespace {

constexpr std::string_view kGroup = "apiregistration.k8s.io", kResource = "apiservices";
constexpr Duration kResync = std::chrono::seconds(30), kLimit = std::chrono::seconds(5), kMaxDelay = std::chrono::seconds(30);
constexpr int kAttempts = 5;
constexpr std::size_t kMaxAnswer = 32u << 20;
constexpr const char* kAggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

async::Task<Result<net::WholeResponse>> fetch(net::HttpClient* client, net::ClientRequest request) {
  co_return co_await client->fetch(std::move(request), kMaxAnswer);
}

Document failed(const char* reason, std::string message) { return make_condition("Available", false, reason, message); }

// The discovery of one version out of what a server serves in all.
Document find_version(const Document& list, const std::string& group, const std::string& version) {
  for (const auto& item : member(list, "items"))
    if (string_at(member(item, "metadata"), "name") == group)
      for (const auto& v : member(item, "versions"))
        if (string_at(v, "version") == version) return v;
  return nullptr;
}

Document response_kind(const Document& r, const std::string& group, const std::string& version) {
  std::string_view g = string_at(r, "group"), v = string_at(r, "version");
  bool own = g.empty() && v.empty();
  return {{"group", own ? std::string_view(group) : g}, {"version", own ? std::string_view(version) : v}, {"kind", string_at(r, "kind")}};
}

// An APIResourceList in the form of aggregated discovery.
Document from_legacy(const Document& list, const std::string& group, const std::string& version) {
  Document resources = Document::array();
  for (const auto& r : member(list, "resources")) {
    std::string name(string_at(r, "name"));
    std::size_t slash = name.find('/');
    if (slash == std::string::npos) {
      Document d = {{"resource", name}, {"responseKind", response_kind(r, group, version)}, {"scope", apimachinery::bool_at(r, "namespaced") ? "Namespaced" : "Cluster"},
                    {"singularResource", string_at(r, "singularName")}, {"verbs", member(r, "verbs")}};
      for (const char* f : {"shortNames", "categories"})
        if (const Document* v = find_member(r, f)) d[f] = *v;
      resources.push_back(std::move(d));
      continue;
    }
    for (auto& parent : resources)
      if (parent["resource"] == name.substr(0, slash))
        parent["subresources"].push_back({{"subresource", name.substr(slash + 1)}, {"responseKind", response_kind(r, group, version)}, {"verbs", member(r, "verbs")}});
  }
  return {{"version", version}, {"resources", std::move(resources)}};
}

}  // namespace

async::Task<Result<net::WholeResponse>> Aggregator::get(const RemoteVersion* r, std::string target, std::string accept) {
  ServiceEndpoint endpoint;
  Result<Client> client = client_of(*r, &endpoint);
  if (!client) co_return client.status();
  bool v6 = endpoint.host.find(':') != std::string::npos;
  const std::string url = concat({"https://", v6 ? "[" : "", endpoint.host, v6 ? "]" : "", ":", std::to_string(endpoint.port), target});
  net::ClientRequest q;
  q.target = std::move(target);
  q.headers = front_proxy_headers(UserInfo{"system:kube-aggregator", {}, {std::string(kMastersGroup)}, {}});
  q.headers.add("Accept", std::move(accept));
  Client held = *client;
  Result<net::WholeResponse> answer = co_await async::with_timeout(kLimit, fetch(held.get(), std::move(q)));
  if (answer.is(Reason::Cancelled)) co_return answer;
  constexpr std::string_view kFailing = "failing or missing response from ";
  if (!answer) {
    std::string_view why = answer.is(Reason::Timeout) ? "context deadline exceeded (Client.Timeout exceeded while awaiting headers)" : std::string_view(answer.status().message());
    co_return Status(answer.reason(), concat({kFailing, url, ": Get ", go_quote(url), ": ", why}));
  }
  if (answer->status < 200 || answer->status >= 300) co_return Status(Reason::ServiceUnavailable, concat({kFailing, url, ": bad status from ", url, ": ", std::to_string(answer->status)}));
  co_return answer;
}

// The Available condition as it is now.
async::Task<Result<Document>> Aggregator::check(const RemoteVersion* r) {
  const std::string where = concat({"service/", r->service, " in ", go_quote(r->ns)});
  auto service = core_.cacher.get<api::core::v1::Service>(r->ns, r->service);
  if (!service) co_return failed("ServiceNotFound", where + " is not present");
  if (service->spec.type == "ClusterIP" || service->spec.type.empty()) {
    const api::core::v1::ServicePort* port = nullptr;
    for (const auto& p : service->spec.ports)
      if (p.port == r->port && !port) port = &p;
    if (!port) co_return failed("ServicePortError", where + " is not listening on port " + std::to_string(r->port));
    bool any = false;
    auto of_service = apimachinery::LabelSelector::from_map({{"kubernetes.io/service-name", r->service}});
    core_.cacher.for_each("discovery.k8s.io", "endpointslices", r->ns, [&](std::string_view, std::string_view, const Bytes& object) { return !(any = matches_labels(of_service, *object)); });
    if (!any) co_return failed("EndpointsNotFound", "cannot find endpointslices for " + where);
    if (ready_endpoints(core_, r->ns, r->service, port->name).empty())
      co_return failed("MissingEndpoints", concat({"endpointslices for ", where, " have no addresses with port name ", go_quote(port->name)}));
  }
  Status last;
  for (int i = 0; i < kAttempts; ++i) {
    Result<net::WholeResponse> answer = co_await get(r, r->path(), "application/json");
    if (answer.is(Reason::Cancelled)) co_return answer.status();
    if (answer) co_return make_condition("Available", true, "Passed", "all checks passed");
    last = answer.status();
    if (last.is(Reason::Timeout)) break;
  }
  co_return failed("FailedDiscoveryCheck", last.message());
}

async::Task<Result<void>> Aggregator::ask_discovery(RemoteVersion r) {
  Document found;
  Result<net::WholeResponse> all = co_await get(&r, "/apis", std::string(kAggregated) + ",application/json");
  if (all && all->headers.get("Content-Type").find("as=APIGroupDiscoveryList") != std::string_view::npos)
    if (Result<Document> d = apimachinery::decode_json(all->body, nullptr); d) found = find_version(*d, r.group, r.version);
  bool fresh = !found.is_null();
  if (!fresh) {
    Result<net::WholeResponse> legacy = co_await get(&r, r.path(), "application/json");
    if (legacy.is(Reason::Cancelled)) co_return legacy.status();
    Result<Document> d = legacy ? apimachinery::decode_json(legacy->body, nullptr) : Result<Document>(legacy.status());
    if (d) found = from_legacy(*d, r.group, r.version);
    fresh = d.is_ok();
  }
  std::string v3, path = "apis/" + r.group + "/" + r.version;
  if (Result<net::WholeResponse> index = co_await get(&r, "/openapi/v3", "application/json"); index)
    if (Result<Document> d = apimachinery::decode_json(index->body, nullptr); d) v3 = string_at(member(member(*d, "paths"), path), "serverRelativeURL");
  Result<net::WholeResponse> v2 = co_await get(&r, "/openapi/v2", "application/json");
  auto at = remotes_.find(r.name);
  if (at == remotes_.end() || at->second.facts != r.facts) co_return Result<void>();
  RemoteVersion& now = at->second;
  bool changed = now.stale == fresh || (fresh && now.discovery != found) || now.openapi_v3 != v3 || (v2 && (!now.openapi_v2 || *now.openapi_v2 != v2->body));
  now.stale = !fresh;
  if (fresh) now.discovery = std::move(found);
  now.openapi_v3 = std::move(v3);
  if (v2 && (!now.openapi_v2 || *now.openapi_v2 != v2->body)) now.openapi_v2 = std::make_shared<const std::string>(std::move(v2->body));
  if (changed) core_.registry.changed_elsewhere();
  co_return Result<void>();
}

async::Task<Result<void>> Aggregator::write_condition(std::string name, Document condition) {
  const Served* services = core_.registry.find(kGroup, "v1", kResource);
  Bytes object = core_.cacher.get(kGroup, kResource, "", name);
  if (!object) co_return Result<void>();
  Result<Document> d = decode_stored(*services, object);
  if (!d) co_return d.status();
  if (!set_condition(*d, std::move(condition), core_.clock().wall())) co_return Result<void>();
  client::ApiRequest q;
  q.method = "PUT";
  q.path = "/apis/apiregistration.k8s.io/v1/apiservices/" + name + "/status";
  q.query = "fieldManager=kube-apiserver";
  q.accept = q.content_type = "application/json";
  q.body = apimachinery::encode_json(*d, nullptr);
  Result<client::ApiResponse> w = co_await transport_->request(std::move(q));
  if (!w) co_return w.status();
  if (w->code != 200 && w->code != 404) co_return client::status_from_response(*w);
  co_return Result<void>();
}

async::Task<Result<void>> Aggregator::reconcile(std::string name) {
  Result<void> registered = co_await keep_registered(name);
  if (!registered) co_return registered;
  auto at = remotes_.find(name);
  if (at == remotes_.end()) co_return co_await write_condition(name, make_condition("Available", true, "Local", "Local APIServices are always available"));
  RemoteVersion r = at->second;  // it may change meanwhile
  Result<Document> condition = co_await check(&r);
  if (!condition) co_return condition.status();
  bool available = string_at(*condition, "status") == "True";
  metrics::gauge("aggregator_unavailable_apiservice", "Aggregated APIServices that are not available.", "name=\"" + name + "\"").set(available ? 0 : 1);
  std::string reason(string_at(*condition, "reason")), message(string_at(*condition, "message"));
  Result<void> written = co_await write_condition(name, std::move(*condition));
  if (!written) co_return written;
  if (available) {
    Result<void> asked = co_await ask_discovery(r);
    if (!asked) co_return asked;
  } else if (auto now = remotes_.find(name); now != remotes_.end() && !now->second.stale) {
    now->second.stale = true;
    core_.registry.changed_elsewhere();
  }
  if (!available && reason == "FailedDiscoveryCheck") co_return Status(Reason::ServiceUnavailable, message);
  co_return Result<void>();
}

async::Task<void> Aggregator::retry(std::string name) {
  Duration delay = std::min<Duration>(kMaxDelay, std::chrono::milliseconds(5) * (1 << std::min(failures_[name]++, 13)));
  Status s = co_await async::sleep_for(delay);
  retrying_.erase(name);
  if (s) enqueue(name);
}

// What no change of an object tells: a server that stopped answering, or serves something else. Runs while there are any.
async::Task<void> Aggregator::resync() {
  while (!remotes_.empty()) {
    Status s = co_await async::sleep_for(kResync);
    if (!s) break;
    for (const auto& [name, r] : remotes_) enqueue(name);
  }
  resyncing_ = false;
}

async::Task<void> Aggregator::work() {
  for (;;) {
    while (queue_.empty()) {
      Status s = co_await wake_.wait();
      if (!s) co_return;
    }
    std::string name = std::move(queue_.extract(queue_.begin()).value());
    if (!remotes_.empty() && !resyncing_) {
      resyncing_ = true;
      core_.group().spawn(resync());
    }
    Result<void> done = co_await reconcile(name);
    if (done.is(Reason::Cancelled) || done.is(Reason::Closed)) co_return;
    if (done) {
      failures_.erase(name);
      continue;
    }
    if (!done.is(Reason::Conflict)) log_debug("an APIService is not available", {{"name", name}, {"error", done.status()}});
    if (retrying_.insert(name).second) core_.group().spawn(retry(name));
  }
}

}  // namespace onebin::apiserver
