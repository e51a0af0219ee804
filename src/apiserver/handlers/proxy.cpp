// proxy of pods, services and nodes.
#include "apiserver/errors.hpp"
#include "apiserver/handlers/kubelet_clients.hpp"
#include "apiserver/handlers/objects.hpp"
#include "apiserver/handlers/streaming.hpp"
#include "apiserver/service_endpoints.hpp"

#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/net/proxy.hpp>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::member;
using apimachinery::string_at;

namespace {

struct Target {
  std::string node;       // through which node, "" unknown
  std::string url;        // scheme://host:port
  bool kubelet = false;   // the node's kubelet: its own client
};

struct ProxyName {
  std::string scheme, name, port;
};

// "[scheme:]name[:port]"
std::optional<ProxyName> split_name(const std::string& text) {
  auto parts = split(text, ':');
  if (parts.size() == 1) return ProxyName{"", parts[0], ""};
  if (parts.size() == 2) {
    return ProxyName{"", parts[0], parts[1]};
  }
  if (parts.size() == 3 && (parts[0] == "http" || parts[0] == "https" || parts[0].empty())) return ProxyName{parts[0], parts[1], parts[2]};
  return std::nullopt;
}

std::string host_port(const std::string& host, const std::string& port) {
  return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + port;
}

Result<Target> pod_target(RequestContext& c, const ProxyName& n) {
  Bytes stored = c.core.cacher.get("", "pods", c.info.ns, n.name);
  if (!stored) return not_found("pods", n.name);
  Result<Document> pod = decode_stored(*c.served, stored);
  if (!pod) return pod.status();
  std::string ip(apimachinery::get_string(*pod, {"status", "podIP"}));
  std::string port = n.port;
  const Document& containers = at_path(*pod, {"spec", "containers"});
  auto port_of = [&](auto&& match) {
    if (containers.is_array())
      for (const auto& item : containers)
        for (const auto& p : member(item, "ports").is_array() ? member(item, "ports") : Document::array())
          if (match(p)) return std::to_string(apimachinery::int_at(p, "containerPort"));
    return std::string();
  };
  if (port.empty()) port = port_of([](const Document&) { return true; });
  else if (port.find_first_not_of("0123456789") != std::string::npos) port = port_of([&](const Document& p) { return string_at(p, "name") == n.port; });
  if (ip.empty()) return bad_request("address not allowed");
  if (port.empty()) port = "80";
  std::string scheme = n.scheme.empty() ? "http" : n.scheme;
  return Target{std::string(apimachinery::get_string(*pod, {"spec", "nodeName"})), scheme + "://" + host_port(ip, port), false};
}

Result<Target> service_target(RequestContext& c, const ProxyName& n) {
  Bytes stored = c.core.cacher.get("", "services", c.info.ns, n.name);
  if (!stored) return not_found("services", n.name);
  Result<Document> service = decode_stored(*c.served, stored);
  if (!service) return service.status();
  const Document& ports = at_path(*service, {"spec", "ports"});
  const Document* chosen = nullptr;
  if (!ports.is_array()) return Status(Reason::ServiceUnavailable, "no ports for service " + apimachinery::go_quote(n.name));
  for (const auto& p : ports) {
    bool match = n.port.empty() ? ports.size() == 1 || string_at(p, "name").empty()
                                : string_at(p, "name") == n.port || std::to_string(apimachinery::int_at(p, "port")) == n.port;
    if (match) {
      chosen = &p;
      break;
    }
  }
  if (!chosen) return Status(Reason::ServiceUnavailable, "no service port " + apimachinery::go_quote(n.port) + " found for service " + apimachinery::go_quote(n.name));
  auto endpoints = ready_endpoints(c.core, c.info.ns, n.name, std::string(string_at(*chosen, "name")));
  if (endpoints.empty()) return Status(Reason::ServiceUnavailable, "no endpoints available for service " + apimachinery::go_quote(n.name));
  const ServiceEndpoint& e = endpoints[c.core.rng().below(endpoints.size())];
  std::string scheme = n.scheme.empty() ? "http" : n.scheme;
  return Target{e.node, scheme + "://" + host_port(e.host, std::to_string(e.port)), false};
}

Result<Target> node_target(RequestContext& c, const ProxyName& n) {
  Result<net::HttpClient*> client = c.core.kubelets->of(n.name);
  if (!client) return client.status();
  const net::Url& url = (*client)->base();
  if (n.port.empty() || n.port == std::to_string(url.port)) return Target{n.name, "", true};
  std::string scheme = n.scheme.empty() ? "http" : n.scheme;
  return Target{n.name, scheme + "://" + host_port(url.host, n.port), false};
}

// The links of an HTML page that begin with '/' get the proxy's path before them.
std::string rewrite_html(std::string_view html, const std::string& prefix) {
  std::string out;
  std::size_t at = 0;
  while (at < html.size()) {
    std::size_t next = std::string_view::npos, length = 0;
    for (std::string_view a : {"href=", "src=", "action=", "cite=", "longdesc=", "background="}) {
      std::size_t found = html.find(a, at);
      if (found < next) {
        next = found;
        length = a.size();
      }
    }
    if (next == std::string_view::npos) break;
    std::size_t value = next + length;
    out.append(html.substr(at, value - at));
    at = value;
    if (at < html.size() && (html[at] == '"' || html[at] == '\'')) out.push_back(html[at++]);
    if (at + 1 < html.size() && html[at] == '/' && html[at + 1] != '/') out += prefix;
  }
  out.append(html.substr(at));
  return out;
}

constexpr std::size_t kMaxHtml = 16u << 20;

bool hop_by_hop(std::string_view name) {
  for (std::string_view h : {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"})
    if (iequals(name, h)) return true;
  return false;
}

async::Task<Result<std::string>> next_piece(net::Request* request) {
  std::string buffer(16 * 1024, '\0');
  Result<std::size_t> n = co_await request->read_some(buffer.data(), buffer.size());
  if (!n) co_return n.status();
  buffer.resize(*n);
  co_return Result<std::string>(std::move(buffer));
}

net::ClientRequest proxied_request(RequestContext* c, const std::string& target) {
  net::ClientRequest q;
  q.method = c->request.method;
  q.target = target;
  auto hidden = private_headers(*c);
  for (const auto& [name, value] : c->request.headers) {
    bool skip = hop_by_hop(name) || iequals(name, "Host") || iequals(name, "Content-Length") || iequals(name, "Accept-Encoding");
    for (const auto& h : hidden) skip = skip || iequals(name, h);
    if (!skip) q.headers.add(name, value);
  }
  std::string forwarded(c->request.headers.get("X-Forwarded-For"));
  const std::string& peer = c->request.peer->remote_host;
  if (!peer.empty()) q.headers.set("X-Forwarded-For", forwarded.empty() ? peer : forwarded + ", " + peer);
  if (c->request.content_length != 0 && c->request.method != "GET" && c->request.method != "HEAD") {
    net::Request* request = &c->request;
    q.body_source = [request] { return next_piece(request); };
    q.body_length = c->request.content_length;
  }
  return q;
}

Handling plain_proxy(RequestContext* c, net::HttpClient* client, std::string target, std::string prefix) {
  net::ClientRequest q = proxied_request(c, target);
  q.headers.set("X-Forwarded-Uri", prefix + target.substr(0, target.find('?')));
  q.headers.set("X-Forwarded-Host", c->request.host);
  q.headers.set("X-Forwarded-Proto", c->request.peer->tls ? "https" : "http");
  Result<net::ClientResponsePtr> answer = co_await client->request(std::move(q));
  if (!answer) {
    if (answer.is(Reason::Cancelled)) co_return answer.status();
    co_return Status(Reason::ServiceUnavailable, "error trying to reach service: " + answer.status().message());
  }
  net::ClientResponse& r = **answer;
  net::Headers headers;
  for (const auto& [name, value] : r.headers) {
    if (hop_by_hop(name) || iequals(name, "Content-Length")) continue;
    if (iequals(name, "Location")) {
      auto url = net::parse_url(value);
      std::string path = starts_with(value, "/") ? value : url ? url->target() : std::string();
      bool own = starts_with(value, "/") || (url && url->authority() == client->base().authority());
      headers.add(name, own ? prefix + path : value);
      continue;
    }
    headers.add(name, value);
  }
  if (starts_with(to_lower(r.headers.get("Content-Type")), "text/html") && r.headers.get("Content-Encoding").empty() && c->request.method != "HEAD") {
    Result<std::string> body = co_await r.read_body(kMaxHtml);
    if (!body) co_return body.status();
    std::string html = rewrite_html(*body, prefix);
    co_return co_await c->writer.send(r.status, std::move(headers), html);
  }
  if (r.content_length >= 0) headers.add("Content-Length", std::to_string(r.content_length));
  if (c->request.method == "HEAD" || r.status == 204 || r.status == 304) co_return co_await c->writer.send(r.status, std::move(headers), {});
  Result<void> w = co_await c->writer.start(r.status, std::move(headers));
  if (w) w = co_await pump(&r, c);
  if (!w) co_return w;
  co_return co_await c->writer.finish();
}

}  // namespace

Handling handle_proxy(RequestContext* c) {
  Result<void> fresh = co_await c->core.cacher.wait_current();
  if (!fresh) co_return fresh;
  auto name = split_name(c->info.name);
  if (!name || name->name.empty()) co_return bad_request("invalid " + c->info.resource + " request " + apimachinery::go_quote(c->info.name));
  Result<Target> target = c->info.resource == "pods"       ? pod_target(*c, *name)
                          : c->info.resource == "services" ? service_target(*c, *name)
                                                           : node_target(*c, *name);
  if (!target) co_return target.status();
  Document options = connect_options(*c);
  Result<void> admitted = co_await admit_connect(c, &options);
  if (!admitted) co_return admitted;
  std::string query = c->request.query;
  bool idempotent = c->request.method == "GET" || c->request.method == "HEAD";
  if (c->info.rest.empty() && idempotent) {
    net::Headers h;
    h.add("Location", c->request.raw_path + "/" + (query.empty() ? "" : "?" + query));
    co_return co_await c->writer.send(301, std::move(h), {});
  }
  std::string path = c->info.rest.empty() ? "/" : c->info.rest;
  std::string prefix = c->request.raw_path.substr(0, c->request.raw_path.size() - c->info.rest.size());
  std::string raw = path + (query.empty() ? "" : "?" + query);
  std::unique_ptr<net::HttpClient> own;
  net::HttpClient* client = nullptr;
  if (target->kubelet) {
    Result<net::HttpClient*> k = c->core.kubelets->of(name->name);
    if (!k) co_return k.status();
    client = *k;
  } else {
    net::ClientConfig config;
    config.base_url = target->url;
    config.dialer = c->core.kubelets->dialer(target->node);
    net::TlsClientConfig tls;
    tls.insecure = true;  // as upstream: the endpoint's certificate is nobody's that the server knows
    auto context = net::TlsClientContext::create(tls);
    if (!context) co_return context.status();
    config.tls = [shared = *context] { return shared; };
    config.max_idle = 0;
    auto made = net::HttpClient::create(std::move(config));
    if (!made) co_return made.status();
    own = std::move(*made);
    client = own.get();
  }
  if (c->request.headers.has_token("Connection", "upgrade")) {
    net::ProxyOptions o;
    o.target = raw;
    o.remove_headers = private_headers(*c);
    hide_token(o, c->request);
    Result<void> r = co_await net::reverse_proxy(c->request, c->writer, *client, std::move(o));
    if (!r && !r.is(Reason::Cancelled) && !c->writer.started())
      co_return Status(Reason::ServiceUnavailable, "error trying to reach service: " + r.status().message());
    co_return r;
  }
  co_return co_await plain_proxy(c, client, raw, prefix);
}

}  // namespace onebin::apiserver
