#include "kubelet/handlers.hpp"

#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/net/client.hpp>

#include <algorithm>

namespace onebin::kubelet {
namespace {

constexpr std::size_t kMaxBody = 10 * 1024;
constexpr int kMaxRedirects = 10;

std::string authority(const std::string& host, std::uint16_t port) {
  bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

struct HttpAnswer {
  int status = 0;
  std::string location;
};

net::Headers probe_headers(const core::HTTPGetAction& action, const std::string& user_agent) {
  net::Headers h;
  for (const auto& f : action.http_headers) h.add(f.name, f.value);
  if (!h.has("User-Agent")) h.set("User-Agent", user_agent);
  else if (h.get("User-Agent").empty()) h.remove("User-Agent");
  if (!h.has("Accept")) h.set("Accept", "*/*");
  else if (h.get("Accept").empty()) h.remove("Accept");
  h.set("Connection", "close");
  return h;
}

async::Task<Result<HttpAnswer>> one_get(std::string base, std::string target, net::Headers headers, Duration limit, bool tls) {
  net::ClientConfig config;
  config.base_url = base;
  config.connect_timeout = limit;
  config.header_timeout = limit;
  config.body_stall_timeout = limit;
  config.max_idle = 0;
  if (tls) {
    net::TlsClientConfig insecure;
    insecure.insecure = true;
    Result<std::shared_ptr<const net::TlsClientContext>> context = net::TlsClientContext::create(insecure);
    if (!context) co_return context.status();
    config.tls = [c = *context] { return c; };
  }
  Result<std::unique_ptr<net::HttpClient>> client = net::HttpClient::create(std::move(config));
  if (!client) co_return client.status();
  net::ClientRequest request;
  request.target = target;
  request.headers = std::move(headers);
  Result<net::ClientResponsePtr> response = co_await (*client)->request(std::move(request));
  if (!response) co_return response.status();
  HttpAnswer out;
  out.status = (*response)->status;
  out.location = std::string((*response)->headers.get("Location"));
  std::string buffer(kMaxBody, '\0');
  std::size_t seen = 0;
  while (seen < kMaxBody) {
    Result<std::size_t> n = co_await (*response)->read_some(buffer.data(), buffer.size());
    if (!n) co_return n.status();
    if (*n == 0) break;
    seen += *n;
  }
  co_return out;
}

async::Task<Result<HandlerResult>> get_following(std::string scheme, std::string host, std::uint16_t port, std::string target,
                                                 net::Headers headers, Duration limit) {
  for (int hop = 0;; ++hop) {
    Result<HttpAnswer> a = co_await one_get(scheme + "://" + authority(host, port), target, headers, limit, scheme == "https");
    if (!a) co_return a.status();
    if (a->status >= 300 && a->status < 400 && !a->location.empty()) {
      Result<net::Url> to = net::parse_url(a->location);
      bool relative = a->location.front() == '/' || !to || to->scheme.empty();
      if (!relative && to->host != host)
        co_return HandlerResult{Outcome::Warning, "Probe terminated redirects, Response body: "};
      if (hop >= kMaxRedirects) co_return HandlerResult{Outcome::Failure, "stopped after 10 redirects"};
      if (relative) {
        target = a->location.front() == '/' ? a->location : "/" + a->location;
      } else {
        scheme = to->scheme;
        port = to->port;
        target = to->target();
      }
      continue;
    }
    if (a->status >= 200 && a->status < 400) co_return HandlerResult{Outcome::Success, {}};
    co_return HandlerResult{Outcome::Failure, "HTTP probe failed with statuscode: " + std::to_string(a->status)};
  }
}

async::Task<Result<void>> connect_once(std::string host, std::uint16_t port, Duration limit) {
  net::ConnectOptions options;
  options.timeout = limit;
  Result<net::StreamPtr> s = co_await net::connect_tcp(host, port, options);
  if (!s) co_return s.status();
  (*s)->close();
  co_return Result<void>();
}

}  // namespace

std::uint16_t resolve_port(const apimachinery::IntOrString& port, const core::Container& c) {
  int number = port.is_string ? 0 : port.int_value;
  if (port.is_string) {
    for (const auto& p : c.ports)
      if (p.name == port.string_value) number = p.container_port;
    if (number == 0) number = port.to_int();
  }
  return number > 0 && number < 65536 ? static_cast<std::uint16_t>(number) : 0;
}

async::Task<HandlerResult> run_command(HandlerTarget target, std::vector<std::string> command, Duration limit) {
  Result<engine::ExecResult> r = co_await target.engine->exec_sync(target.container_id, command, limit);
  if (!r) {
    if (r.is(Reason::Timeout)) co_return HandlerResult{Outcome::Failure, "command timed out: " + quote(join(command, " ")) + " timed out after " + format_duration(limit)};
    co_return HandlerResult{Outcome::Failure, r.status().message()};
  }
  std::string output = r->out + r->err;
  if (output.size() > kMaxBody) output.resize(kMaxBody);
  co_return HandlerResult{r->exit_code == 0 ? Outcome::Success : Outcome::Failure, std::move(output)};
}

async::Task<HandlerResult> http_get(HandlerTarget target, core::HTTPGetAction action, Duration limit, std::string user_agent) {
  std::uint16_t port = resolve_port(action.port, *target.container);
  if (port == 0) co_return HandlerResult{Outcome::Failure, "invalid port: " + action.port.to_string()};
  std::string host = action.host.empty() ? target.pod_ip : action.host;
  std::string path = action.path.empty() ? "/" : action.path.front() == '/' ? action.path : "/" + action.path;
  std::string scheme = action.scheme.empty() ? "http" : to_lower(action.scheme);
  net::Headers headers = probe_headers(action, user_agent);
  Result<HandlerResult> r = co_await async::with_timeout(limit, get_following(scheme, host, port, path, std::move(headers), limit));
  if (r) co_return *r;
  std::string url = scheme + "://" + authority(host, port) + path;
  co_return HandlerResult{Outcome::Failure, "Get " + quote(url) + ": " + (r.is(Reason::Timeout) ? "context deadline exceeded (Client.Timeout exceeded while awaiting headers)" : r.status().message())};
}

async::Task<HandlerResult> tcp_connect(HandlerTarget target, std::string host, apimachinery::IntOrString wanted, Duration limit) {
  std::uint16_t port = resolve_port(wanted, *target.container);
  if (port == 0) co_return HandlerResult{Outcome::Failure, "invalid port: " + wanted.to_string()};
  if (host.empty()) host = target.pod_ip;
  Result<void> r = co_await connect_once(host, port, limit);
  if (r) co_return HandlerResult{Outcome::Success, {}};
  co_return HandlerResult{Outcome::Failure, r.status().message()};
}

async::Task<HandlerResult> run_probe(HandlerTarget target, core::Probe probe) {
  Duration limit = std::chrono::seconds(std::max(1, probe.timeout_seconds));
  if (probe.exec) {
    HandlerResult r = co_await run_command(target, probe.exec->command, limit);
    co_return r;
  }
  if (probe.http_get) {
    HandlerResult r = co_await http_get(target, *probe.http_get, limit, "kube-probe/1.37");
    co_return r;
  }
  if (probe.tcp_socket) {
    HandlerResult r = co_await tcp_connect(target, probe.tcp_socket->host, probe.tcp_socket->port, limit);
    co_return r;
  }
  if (probe.grpc) {
    std::string service = probe.grpc->service ? *probe.grpc->service : std::string();
    HandlerResult r = co_await grpc_check(target.pod_ip, static_cast<std::uint16_t>(probe.grpc->port), service, limit);
    co_return r;
  }
  co_return HandlerResult{Outcome::Failure, "missing probe handler for container " + target.container->name};
}

async::Task<Result<void>> run_hook(HandlerTarget target, core::LifecycleHandler hook, Duration limit) {
  HandlerResult r;
  if (hook.exec) {
    r = co_await run_command(target, hook.exec->command, limit);
  } else if (hook.http_get) {
    r = co_await http_get(target, *hook.http_get, limit == Duration::zero() ? std::chrono::seconds(30) : limit, "kube-lifecycle/1.37");
    // An https hook against a server that speaks plain HTTP is tried once more without TLS, as upstream does.
    if (r.outcome == Outcome::Failure && to_lower(hook.http_get->scheme) == "https" && r.message.find("SSL") != std::string::npos) {
      core::HTTPGetAction plain = *hook.http_get;
      plain.scheme = "HTTP";
      r = co_await http_get(target, std::move(plain), limit == Duration::zero() ? std::chrono::seconds(30) : limit, "kube-lifecycle/1.37");
    }
  } else if (hook.sleep) {
    Duration d = std::chrono::seconds(hook.sleep->seconds);
    if (limit != Duration::zero()) d = std::min(d, limit);
    Status s = co_await async::sleep_for(d);
    co_return Result<void>(s);
  } else {
    co_return bad_request("the lifecycle hook has no handler");
  }
  if (r.outcome == Outcome::Failure) co_return internal_error(r.message.empty() ? "the hook failed" : r.message);
  co_return Result<void>();
}

}  // namespace onebin::kubelet
