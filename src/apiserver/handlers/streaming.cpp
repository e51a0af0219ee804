#include "apiserver/handlers/streaming.hpp"

#include "apiserver/errors.hpp"
#include "apiserver/handlers/kubelet_clients.hpp"
#include "apiserver/handlers/objects.hpp"

#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/net/proxy.hpp>
#include <onebin/net/websocket.hpp>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::member;
using apimachinery::string_at;

Document connect_options(const RequestContext& c) {
  const std::string &sub = c.info.subresource, &resource = c.info.resource;
  Document d = {{"apiVersion", "v1"}};
  auto flags = [&](std::initializer_list<const char*> names) {
    for (const char* name : names)
      if (query_bool(c.query.get(name))) d[name] = true;
    if (auto container = c.query.get("container"); !container.empty()) d["container"] = container;
  };
  if (sub == "exec") {
    d["kind"] = "PodExecOptions";
    flags({"stdin", "stdout", "stderr", "tty"});
    d["command"] = Document::array();
    for (auto v : c.query.all("command")) d["command"].push_back(v);
  } else if (sub == "attach") {
    d["kind"] = "PodAttachOptions";
    flags({"stdin", "stdout", "stderr", "tty"});
  } else if (sub == "portforward") {
    d["kind"] = "PodPortForwardOptions";
    for (auto v : c.query.all("ports"))
      for (const auto& n : split(v, ','))
        if (!n.empty() && n.size() < 6 && n.find_first_not_of("0123456789") == std::string::npos) d["ports"].push_back(std::stoi(n));
  } else {
    d["kind"] = resource == "services" ? "ServiceProxyOptions" : resource == "nodes" ? "NodeProxyOptions" : "PodProxyOptions";
    if (!c.info.rest.empty()) d["path"] = net::percent_decode(c.info.rest).value_or(c.info.rest);
  }
  return d;
}

Handling admit_connect(RequestContext* c, Document* options) {
  const AdmissionChain& chain = c->core.security.admission;
  if (!chain.size()) co_return Result<void>();
  AdmissionAttributes a = admission_of(*c, *c->served, Operation::Connect, c->info.ns, c->info.name);
  a.kind = string_at(*options, "kind");
  a.object = options;
  Result<void> r = co_await chain.admit(&a);
  if (!r) co_return r;
  co_return co_await chain.validate(&a);
}

std::vector<std::string> private_headers(const RequestContext& c) {
  std::vector<std::string> out = {"Authorization"};
  for (const auto& [name, value] : c.request.headers)
    if (starts_with(to_lower(name), "impersonate-")) out.push_back(name);
  return out;
}

// A WebSocket's bearer token must not reach what is behind.
void hide_token(net::ProxyOptions& o, const net::Request& request) {
  std::string kept;
  bool found = false;
  for (const auto& p : request.headers.list("Sec-WebSocket-Protocol")) {
    if (starts_with(p, kBearerProtocol)) {
      found = true;
      continue;
    }
    kept += (kept.empty() ? "" : ", ") + p;
  }
  if (found) o.set_headers.add("Sec-WebSocket-Protocol", kept);
}

// Sends a body piece by piece, as it comes.
Handling pump(net::ClientResponse* from, RequestContext* c) {
  std::string buffer;
  for (;;) {
    Result<void> ready = co_await from->wait_readable();
    if (!ready) co_return ready;
    buffer.resize(16 * 1024);
    Result<std::size_t> n = co_await from->read_some(buffer.data(), buffer.size());
    if (!n) co_return n.status();
    if (*n == 0) co_return Result<void>();
    Result<void> w = co_await c->writer.write(std::string_view(buffer).substr(0, *n));
    if (w) w = co_await c->writer.flush();
    if (!w) co_return w;
  }
}

namespace {

std::vector<std::string> names_in(const Document& pod, std::string_view list) {
  std::vector<std::string> out;
  const Document& containers = at_path(pod, {"spec", list});
  if (containers.is_array())
    for (const auto& item : containers) out.emplace_back(string_at(item, "name"));
  return out;
}

bool has(const std::vector<std::string>& list, std::string_view item) {
  for (const auto& i : list)
    if (i == item) return true;
  return false;
}

// The container that a request means; an error where it must say.
Result<std::string> container_of(const Document& pod, std::string container) {
  std::string name(apimachinery::name_of(pod));
  auto main = names_in(pod, "containers"), init = names_in(pod, "initContainers"), ephemeral = names_in(pod, "ephemeralContainers");
  if (container.empty()) {
    if (main.size() == 1 && init.empty() && ephemeral.empty()) return main.front();
    if (main.size() == 1) return main.front();
    if (main.empty()) return bad_request("a container name must be specified for pod " + name);
    std::string text = "a container name must be specified for pod " + name + ", choose one of: [" + join(main, " ") + "]";
    if (!init.empty()) text += " or one of the init containers: [" + join(init, " ") + "]";
    if (!ephemeral.empty()) text += " or one of the ephemeral containers: [" + join(ephemeral, " ") + "]";
    return bad_request(std::move(text));
  }
  if (has(main, container) || has(init, container) || has(ephemeral, container)) return container;
  return bad_request("container " + container + " is not valid for pod " + name);
}

// In the kubelet's names.
net::Query stream_query(const Document& options) {
  net::Query out;
  for (auto [name, as] : {std::pair("stdin", "input"), std::pair("stdout", "output"), std::pair("stderr", "error"), std::pair("tty", "tty")})
    if (apimachinery::bool_at(options, name)) out.add(as, "1");
  for (const auto& v : member(options, "command"))
    if (v.is_string()) out.add("command", v.get<std::string>());
  return out;
}

Result<net::Query> log_query(const net::Query& in) {
  net::Query out;
  FieldErrors errors;
  auto number = [&](const char* name, std::int64_t min, const char* why) {
    std::string text(in.get(name));
    if (text.empty()) return;
    char* end = nullptr;
    long long v = std::strtoll(text.c_str(), &end, 10);
    if (*end || v < min) errors.push_back(field_invalid(FieldPath(name), v, why));
    else out.add(name, text);
  };
  number("tailLines", 0, "must be greater than or equal to 0");
  number("limitBytes", 1, "must be greater than 0");
  number("sinceSeconds", 1, "must be greater than 0");
  if (in.has("sinceSeconds") && in.has("sinceTime"))
    errors.push_back(field_forbidden(FieldPath(""), "at most one of `sinceTime` or `sinceSeconds` may be specified"));
  if (auto t = in.get("sinceTime"); !t.empty()) out.add("sinceTime", std::string(t));
  for (const char* flag : {"follow", "previous", "timestamps"})
    if (query_bool(in.get(flag))) out.add(flag, "true");
  if (auto s = in.get("stream"); !s.empty()) out.add("stream", std::string(s));
  if (!errors.empty()) return apimachinery::invalid("", "PodLogOptions", "", errors);
  return out;
}

Handling to_kubelet(RequestContext* c, std::string node, std::string target) {
  Result<net::HttpClient*> client = c->core.kubelets->of(node);
  if (!client) co_return client.status();
  net::ProxyOptions o;
  o.target = std::move(target);
  o.remove_headers = private_headers(*c);
  o.forwarded_for = false;
  hide_token(o, c->request);
  Result<void> r = co_await net::reverse_proxy(c->request, c->writer, **client, std::move(o));
  if (!r && !r.is(Reason::Cancelled) && !c->writer.started()) {
    Status s = internal_error("error dialing backend: " + r.status().message());
    co_return s;
  }
  co_return r;
}

constexpr std::size_t kErrorText = 4096;

// The same as messages of a WebSocket: binary, or text in base64.
Handling pump_to_socket(net::ClientResponse* from, net::WebSocket* socket) {
  bool text = starts_with(socket->protocol(), "base64.");
  Result<void> w = co_await socket->send(std::string_view(), !text);
  std::string buffer;
  while (w) {
    Result<void> ready = co_await from->wait_readable();
    if (!ready) co_return ready;
    buffer.resize(16 * 1024);
    Result<std::size_t> n = co_await from->read_some(buffer.data(), buffer.size());
    if (!n) co_return n.status();
    if (*n == 0) break;
    std::string_view piece = std::string_view(buffer).substr(0, *n);
    std::string encoded;
    if (text) encoded = base64_encode(piece);
    w = co_await socket->send(text ? std::string_view(encoded) : piece, !text);
  }
  if (w) w = co_await socket->close();
  co_return w;
}

Handling stream_log(RequestContext* c, std::string node, std::string target) {
  Result<net::HttpClient*> client = c->core.kubelets->of(node);
  if (!client) co_return client.status();
  net::ClientRequest q;
  q.target = std::move(target);
  Result<net::ClientResponsePtr> answer = co_await (*client)->request(std::move(q));
  if (!answer) {
    if (answer.is(Reason::Cancelled)) co_return answer.status();
    co_return internal_error("Get \"" + (*client)->base().to_string() + "\": " + answer.status().message());
  }
  net::ClientResponse& r = **answer;
  if (r.status >= 400) {
    Result<std::string> text = co_await r.read_body(kErrorText);
    Status s(reason_from_http_code(r.status), text ? std::string(trim(*text)) : std::string("the kubelet refused the request"));
    s.mutable_details().name = c->info.name;
    s.mutable_details().kind = "pods";
    s.set_code(r.status);
    co_return s;
  }
  if (net::is_websocket_upgrade(c->request)) {
    Result<net::WebSocketPtr> socket = co_await net::websocket_accept(c->request, c->writer, {"binary.k8s.io", "base64.binary.k8s.io"});
    if (!socket) co_return socket.status();
    Result<void> sent = co_await pump_to_socket(&r, socket->get());
    co_return sent;
  }
  Result<void> w = co_await c->writer.start(200, answer_headers(*c, "text/plain"));
  if (!w) co_return w;
  w = co_await c->writer.flush();
  if (!w) co_return w;
  w = co_await pump(&r, c);
  if (!w) co_return w;
  co_return co_await c->writer.finish();
}

}  // namespace

Handling handle_pod_stream(RequestContext* c) {
  const std::string& sub = c->info.subresource;
  bool upgrade = sub != "log";
  if (upgrade && c->request.method == "GET") {
    // A WebSocket's GET does what a POST does, and needs the same right.
    Attributes a = attributes_of(c->user, c->info);
    a.verb = "create";
    Authorized d = co_await c->core.authorize(a);
    if (d.decision != Decision::Allow)
      co_return forbidden("", "pods", c->info.name, "User \"" + c->user.name + "\" cannot create resource \"pods/" + sub + "\" in API group \"\" in the namespace \"" + c->info.ns + "\"");
  }
  Result<Document> pod = co_await current_object(c, c->served, c->info.ns, c->info.name);
  if (!pod) co_return pod.status();
  std::string node(apimachinery::get_string(*pod, {"spec", "nodeName"}));
  std::string where = net::percent_encode(c->info.ns) + "/" + net::percent_encode(c->info.name);
  Document options = upgrade ? connect_options(*c) : Document();
  if (upgrade) {
    Result<void> admitted = co_await admit_connect(c, &options);
    if (!admitted) co_return admitted;
  }
  if (sub == "portforward") {
    if (node.empty()) co_return bad_request("pod " + c->info.name + " does not have a host assigned");
    net::Query q;
    for (const auto& port : member(options, "ports")) q.add("port", port.dump());  // the kubelet's name for it
    std::string query = q.encode();
    co_return co_await to_kubelet(c, node, "/portForward/" + where + (query.empty() ? "" : "?" + query));
  }
  Result<std::string> container = container_of(*pod, std::string(upgrade ? string_at(options, "container") : c->query.get("container")));
  if (!container) co_return container.status();
  if (sub == "log") {
    Result<net::Query> q = log_query(c->query);
    if (!q) co_return q.status();
    if (node.empty()) co_return co_await send_text(c, 200, "text/plain", "");
    std::string query = q->encode();
    co_return co_await stream_log(c, node, "/containerLogs/" + where + "/" + net::percent_encode(*container) + (query.empty() ? "" : "?" + query));
  }
  if (node.empty()) co_return bad_request("pod " + c->info.name + " does not have a host assigned");
  net::Query q = stream_query(options);
  co_return co_await to_kubelet(c, node, "/" + sub + "/" + where + "/" + net::percent_encode(*container) + "?" + q.encode());
}

}  // namespace onebin::apiserver
