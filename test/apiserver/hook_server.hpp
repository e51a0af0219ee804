// A server behind the Service default/hook: webhooks and aggregated API servers of tests, reached through the dialer over
// TLS in memory.
#pragma once
#include "apiserver/support.hpp"

#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/pki.hpp>
#include <onebin/net/server.hpp>

namespace onebin::apiserver::test {

class HookServer final : public NodeDialer {
 public:
  struct Request {
    std::string method, target;
    net::Headers headers;
    Document body;
  };
  std::function<Document(const Request&)> answer;  // the answer's body
  int code = 200;
  bool refuse = false;               // connections
  Duration delay = Duration::zero();
  std::vector<Request> requests;
  int dials = 0;

  HookServer() {
    WallTime now = system_clock().wall();
    ca_ = *pki::create_ca({"hook-ca", {}}, now, std::chrono::hours(24));
    pki::SignOptions s;
    s.subject = {"hook", {}};
    s.dns_names = {"hook.default.svc"};
    s.usage = pki::Usage::Server;
    s.not_before = now - std::chrono::hours(1);
    s.not_after = now + std::chrono::hours(24);
    leaf_ = *pki::issue(ca_, s);
  }
  std::string ca_bundle() const { return base64_encode(ca_.certificate); }
  const std::string& ca_pem() const { return ca_.certificate; }

  std::size_t connections() const { return server_->connections(); }

  void start(Fixture& f) {
    net::TlsServerConfig t;
    t.certificate_pem = leaf_.certificate;
    t.key_pem = leaf_.key;
    t.client_ca_pem = ca_.certificate;
    auto context = *net::TlsServerContext::create(t);
    net::ServerConfig c;
    c.tls = [context] { return context; };
    auto s = net::HttpServer::start(std::move(c), [this](net::Request& r, net::ResponseWriter& w) { return serve(&r, &w); });
    REQUIRE(s);
    server_ = std::move(*s);
    f.post("/api/v1/namespaces/default/services", Document::parse(R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"hook"},
      "spec":{"ports":[{"port":443,"targetPort":8443}]}})"));
    f.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", Document::parse(R"({"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice",
      "metadata":{"name":"hook-1","labels":{"kubernetes.io/service-name":"hook"}},"addressType":"IPv4","ports":[{"name":"","port":8443}],
      "endpoints":[{"addresses":["10.1.0.9"],"conditions":{"ready":true},"nodeName":"n1"}]})"));
  }
  async::Task<void> stop() {
    if (server_) co_await server_->stop();
    server_.reset();
  }

  async::Task<Result<std::unique_ptr<net::Stream>>> dial(std::string node, std::string host, std::uint16_t port) override {
    ++dials;
    CHECK(node == "n1");
    CHECK(host == "10.1.0.9");
    CHECK(port == 8443);
    if (refuse) co_return Status(Reason::ServiceUnavailable, "dial tcp 10.1.0.9:8443: connect: connection refused");
    auto [ours, theirs] = net::make_pipe();
    server_->serve(std::move(theirs), {}, true);
    co_return std::move(ours);
  }

 private:
  async::Task<void> serve(net::Request* r, net::ResponseWriter* w) {
    Result<std::string> body = co_await r->read_body(1u << 20);
    requests.push_back({r->method, r->target, r->headers, Document::parse(body ? *body : "", nullptr, false)});
    if (delay > Duration::zero()) (void)co_await async::sleep_for(delay);
    Document d = answer ? answer(requests.back()) : Document::object();
    Result<void> sent = co_await w->send(code, {{"Content-Type", "application/json"}}, d.is_string() ? d.get<std::string>() : d.dump());
    (void)sent;
  }

  pki::KeyPair ca_, leaf_;
  std::unique_ptr<net::HttpServer> server_;
};

}  // namespace onebin::apiserver::test
