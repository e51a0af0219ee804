#include "apiserver/aggregator/aggregator.hpp"

#include "apiserver/crd/definitions.hpp"
#include "apiserver/handlers/handlers.hpp"
#include "apiserver/handlers/streaming.hpp"
#include "apiserver/local_transport.hpp"
#include "apiserver/respond.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>
#include <onebin/net/proxy.hpp>

#include <algorithm>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::member;
using apimachinery::string_at;

namespace {

constexpr std::string_view kGroup = "apiregistration.k8s.io", kResource = "apiservices";
constexpr Duration kDiscoveryLimit = std::chrono::seconds(5);

std::string facts_of(const Document& d) { return sha256(member(d, "spec").dump() + std::string(apimachinery::uid_of(d))); }

RemoteVersion remote_of(const Document& d) {
  const Document &spec = member(d, "spec"), &service = member(spec, "service");
  RemoteVersion r;
  r.name = apimachinery::name_of(d);
  r.group = string_at(spec, "group");
  r.version = string_at(spec, "version");
  r.ns = string_at(service, "namespace");
  r.service = string_at(service, "name");
  r.port = static_cast<std::uint16_t>(apimachinery::int_at(service, "port", 443));
  if (auto ca = base64_decode(string_at(spec, "caBundle"))) r.ca_pem = std::move(*ca);
  r.insecure = apimachinery::bool_at(spec, "insecureSkipTLSVerify");
  r.group_priority = static_cast<int>(apimachinery::int_at(spec, "groupPriorityMinimum"));
  r.version_priority = static_cast<int>(apimachinery::int_at(spec, "versionPriority"));
  r.available = has_condition(d, "Available");
  return r;
}

// A key of a user's extra as the end of a header's name: what a name may not hold is escaped.
std::string header_key(std::string_view key) {
  std::string out;
  for (char ch : key) {
    bool token = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || std::string_view("!#$&'*+-.^_`|~").find(ch) != std::string_view::npos;
    if (token) out.push_back(ch);
    else out.append("%").append(hex_encode(std::string_view(&ch, 1)));
  }
  for (std::size_t i = 0; i < out.size(); ++i)
    if (out[i] == '%')
      for (std::size_t k = i + 1; k < i + 3 && k < out.size(); ++k)
        if (out[k] >= 'a') out[k] = static_cast<char>(out[k] - 32);
  return out;
}

Handling unavailable(RequestContext* c, std::string text) {
  net::Headers h = answer_headers(*c, "text/plain; charset=utf-8");
  h.add("X-Content-Type-Options", "nosniff");
  text.push_back('\n');
  co_return co_await c->writer.send(503, std::move(h), text);
}

}  // namespace

net::Headers front_proxy_headers(const UserInfo& user) {
  net::Headers h;
  h.add("X-Remote-User", user.name);
  if (!user.uid.empty()) h.add("X-Remote-Uid", user.uid);
  for (const auto& g : user.groups) h.add("X-Remote-Group", g);
  for (const auto& [key, values] : user.extra)
    for (const auto& v : values) h.add("X-Remote-Extra-" + header_key(key), v);
  return h;
}

Aggregator::Aggregator(Core& core) : core_(core), transport_(make_local_transport(core, system_user("system:apiserver", {std::string(kMastersGroup)}))) {}
Aggregator::~Aggregator() = default;

const RemoteVersion* Aggregator::find(std::string_view group, std::string_view version) const {
  for (const auto& [name, r] : remotes_)
    if (r.group == group && r.version == version) return &r;
  return nullptr;
}

bool Aggregator::has_group(std::string_view group) const {
  return std::any_of(remotes_.begin(), remotes_.end(), [&](const auto& e) { return e.second.group == group; });
}

std::vector<DiscoveredGroup> Aggregator::groups() const {
  struct Placed {
    DiscoveredGroup group;
    int priority = 0;
    std::string first;  // the APIService that places it
  };
  std::vector<Placed> out;
  const Served* services = core_.registry.find(kGroup, "v1", kResource);
  for (const auto& g : core_.registry.groups()) {
    if (g.empty()) continue;
    Placed p{{g, {}}, kCustomGroupPriority, {}};
    for (const auto& v : core_.registry.versions(g)) {
      int priority = kCustomVersionPriority;
      if (Bytes object = core_.cacher.get(kGroup, kResource, "", v + "." + g); object && services && !find(g, v))
        if (Result<Document> d = decode_stored(*services, object); d) {
          p.priority = std::max(p.group.versions.empty() ? 0 : p.priority, static_cast<int>(apimachinery::get_int(*d, {"spec", "groupPriorityMinimum"})));
          priority = static_cast<int>(apimachinery::get_int(*d, {"spec", "versionPriority"}));
        }
      if (!find(g, v)) p.group.versions.push_back({v, priority, nullptr});
    }
    // The group of APIServices has none itself and comes first.
    if (g == kGroup) p.priority = 1 << 30;
    p.first = (p.group.versions.empty() ? "" : p.group.versions.front().version) + "." + g;
    out.push_back(std::move(p));
  }
  // Ours keep their order; others' come before the first that has less priority, or the same and a later name.
  auto place = [&](const std::string& name, const RemoteVersion& r) {
    for (auto& p : out)
      if (p.group.name == r.group) return &p;
    int priority = r.group_priority;
    for (const auto& [other, v] : remotes_)
      if (v.group == r.group) priority = std::max(priority, v.group_priority);
    auto at = std::find_if(out.begin(), out.end(), [&](const Placed& p) { return p.priority < priority || (p.priority == priority && p.first > name); });
    return &*out.insert(at, Placed{{r.group, {}}, priority, name});
  };
  for (const auto& [name, r] : remotes_) place(name, r)->group.versions.push_back({r.version, r.version_priority, &r});
  std::vector<DiscoveredGroup> groups;
  for (auto& p : out) {
    auto& versions = p.group.versions;
    std::sort(versions.begin(), versions.end(), [](const auto& a, const auto& b) { return a.priority != b.priority ? a.priority > b.priority : version_before(a.version, b.version); });
    if (!versions.empty()) groups.push_back(std::move(p.group));
  }
  return groups;
}

Result<Aggregator::Client> Aggregator::client_of(const RemoteVersion& r, ServiceEndpoint* where) const {
  ASSIGN_OR_RETURN(ServiceEndpoint endpoint, resolve_service(core_, r.ns, r.service, r.port));
  if (where) *where = endpoint;
  ServerAddress a;
  a.server_name = r.service + "." + r.ns + ".svc";
  a.base_url = "https://" + a.server_name + ":" + std::to_string(r.port);
  a.ca_pem = r.ca_pem;
  a.insecure = r.insecure;
  a.certificate_pem = core_.options.proxy_client_certificate_pem;
  a.key_pem = core_.options.proxy_client_key_pem;
  a.endpoint = std::move(endpoint);
  return core_.servers->get(a);
}

// ---- requests

Handling Aggregator::serve(RequestContext* c) {
  std::string target = c->request.raw_path + (c->request.query.empty() ? "" : "?" + c->request.query);
  std::string group = c->info.group, version = c->info.version;
  if (!c->info.is_resource) {
    auto parts = split(std::string_view(c->info.path), '/');
    if (parts.size() < 4) co_return co_await page_not_found(c);
    group = parts[2];
    version = parts[3];
  }
  co_return co_await serve_path(c, std::move(group), std::move(version), std::move(target));
}

Handling Aggregator::serve_path(RequestContext* c, std::string group, std::string version, std::string target) {
  const RemoteVersion* r = find(group, version);
  if (!r) co_return co_await page_not_found(c);
  if (!r->available) co_return co_await unavailable(c, "service unavailable");
  ServiceEndpoint endpoint;
  Result<Client> client = client_of(*r, &endpoint);
  if (!client) {
    log_warn("an aggregated API server cannot be reached", {{"name", r->name}, {"error", client.status()}});
    co_return co_await unavailable(c, "service unavailable");
  }
  net::ProxyOptions o;
  o.target = std::move(target);
  o.remove_headers = private_headers(*c);
  for (const auto& [name, value] : c->request.headers)
    if (starts_with(to_lower(name), "x-remote-")) o.remove_headers.push_back(name);
  o.add_headers = front_proxy_headers(c->user);
  hide_token(o, c->request);
  Client held = *client;
  Handling passing = net::reverse_proxy(c->request, c->writer, *held, std::move(o));
  // Discovery is asked for by everybody, who must not wait for one server that is slow.
  if (!c->info.is_resource) passing = async::with_timeout(kDiscoveryLimit, std::move(passing));
  Result<void> done = co_await std::move(passing);
  if (!done && !done.is(Reason::Cancelled) && !c->writer.started())
    co_return co_await unavailable(c, "error trying to reach service: " + done.status().message());
  co_return done;
}

// ---- what APIServices say

void Aggregator::on_change(std::string_view name, const Bytes& now) {
  const Served* services = core_.registry.find(kGroup, "v1", kResource);
  Result<Document> d = now ? decode_stored(*services, now) : Result<Document>(not_found(kResource, name, kGroup));
  auto at = remotes_.find(std::string(name));
  if (!d || !member(member(*d, "spec"), "service").is_object()) {
    if (at != remotes_.end()) {
      remotes_.erase(at);
      core_.registry.changed_elsewhere();
    }
    enqueue(std::string(name));  // a local one says so in its status, and one that is missed is made again
    return;
  }
  std::string facts = facts_of(*d);
  if (at != remotes_.end() && at->second.facts == facts) {
    at->second.available = has_condition(*d, "Available");
    return;
  }
  RemoteVersion r = remote_of(*d);
  r.facts = std::move(facts);
  if (at != remotes_.end()) {  // what its server told holds until it tells something else
    r.discovery = std::move(at->second.discovery);
    r.stale = at->second.stale;
    r.openapi_v3 = std::move(at->second.openapi_v3);
    r.openapi_v2 = std::move(at->second.openapi_v2);
  }
  remotes_[std::string(name)] = std::move(r);
  core_.registry.changed_elsewhere();
  enqueue(std::string(name));
}

void Aggregator::on_service(std::string_view ns, std::string_view service) {
  for (const auto& [name, r] : remotes_)
    if (r.ns == ns && r.service == service) enqueue(name);
}

void Aggregator::enqueue(std::string name) {
  queue_.insert(std::move(name));
  wake_.wake_all();
}

void Aggregator::start() {
  core_.cacher.subscribe(kGroup, kResource, [this](std::string_view, std::string_view name, const Bytes&, const Bytes& now) { on_change(name, now); });
  core_.cacher.subscribe("", "services", [this](std::string_view ns, std::string_view name, const Bytes&, const Bytes&) { on_service(ns, name); });
  core_.cacher.subscribe("discovery.k8s.io", "endpointslices", [this](std::string_view ns, std::string_view, const Bytes& before, const Bytes& now) {
    if (remotes_.empty()) return;
    for (const auto& [key, value] : ObjectView(now ? *now : *before).labels())
      if (key == "kubernetes.io/service-name") on_service(ns, value);
  });
  core_.cacher.subscribe(kDefinitionsGroup, kDefinitionsResource, [this](std::string_view, std::string_view, const Bytes& before, const Bytes& now) {
    on_definition(before);
    on_definition(now);
  });
  core_.group().spawn(work());
}

}  // namespace onebin::apiserver
