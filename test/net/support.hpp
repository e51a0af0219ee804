// Runs a coroutine on a real loop to its end; certificates for TLS.
#pragma once
#include <onebin/async/group.hpp>
#include <onebin/async/loop.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/pki.hpp>
#include <onebin/net/client.hpp>
#include <onebin/net/server.hpp>

#include <catch2/catch.hpp>

#include <cstdio>
#include <cstdlib>

namespace test {

using namespace onebin;
using namespace onebin::net;
using async::Task;
using async::TaskGroup;

inline Task<void> drive(Task<void> body, async::RealLoop* loop, std::exception_ptr* failed, bool* done) {
  try {
    co_await std::move(body);
  } catch (...) {
    *failed = std::current_exception();
  }
  *done = true;
  loop->stop();
}

// `make` builds the coroutine once there is a loop.
template <class Make>
void run(Make make) {
  auto loop = async::RealLoop::create();
  std::exception_ptr failed;
  bool done = false;
  {
    TaskGroup group("test");
    loop->add_timer(loop->now() + 60s, [] {
      std::fprintf(stderr, "test timed out\n");
      std::abort();
    });
    group.spawn(drive(make(), loop.get(), &failed, &done));
    if (!done) loop->run();
  }
  if (failed) std::rethrow_exception(failed);
}

struct Pki {
  pki::KeyPair ca, server, client, stranger_ca, stranger;
  static const Pki& get() {
    static Pki p = make();
    return p;
  }
  static Pki make() {
    Pki p;
    WallTime now = system_clock().wall();
    p.ca = *pki::create_ca({"test-ca", {}}, now, 24h);
    p.stranger_ca = *pki::create_ca({"other-ca", {}}, now, 24h);
    pki::SignOptions s;
    s.subject = {"server", {}};
    s.dns_names = {"localhost"};
    s.ip_addresses = {"127.0.0.1"};
    s.usage = pki::Usage::Server;
    s.not_before = now - 1h;
    s.not_after = now + 24h;
    p.server = *pki::issue(p.ca, s);
    pki::SignOptions c = s;
    c.subject = {"system:node:a", {"system:nodes", "extra"}};
    c.dns_names.clear();
    c.ip_addresses.clear();
    c.usage = pki::Usage::Client;
    p.client = *pki::issue(p.ca, c);
    p.stranger = *pki::issue(p.stranger_ca, c);
    return p;
  }
};

inline TlsServerProvider server_tls(bool ask_for_client = true) {
  TlsServerConfig c;
  c.certificate_pem = Pki::get().server.certificate;
  c.key_pem = Pki::get().server.key;
  if (ask_for_client) c.client_ca_pem = Pki::get().ca.certificate;
  auto context = *TlsServerContext::create(c);
  return [context] { return context; };
}

inline TlsClientProvider client_tls(const pki::KeyPair* identity = nullptr) {
  TlsClientConfig c;
  c.ca_pem = Pki::get().ca.certificate;
  if (identity) {
    c.certificate_pem = identity->certificate;
    c.key_pem = identity->key;
  }
  auto context = *TlsClientContext::create(c);
  return [context] { return context; };
}

inline std::unique_ptr<HttpServer> serve(Handler handler, TlsServerProvider tls = nullptr, ServerLimits limits = {}) {
  ServerConfig c;
  c.listen = {Address{"127.0.0.1", 0}};
  c.tls = std::move(tls);
  c.limits = limits;
  auto s = HttpServer::start(std::move(c), std::move(handler));
  REQUIRE(s);
  return std::move(*s);
}

inline std::unique_ptr<HttpClient> client_of(HttpServer& server, TlsClientProvider tls = nullptr) {
  ClientConfig c;
  c.base_url = (tls ? "https://" : "http://") + server.addresses()[0].to_string();
  c.tls = std::move(tls);
  auto made = HttpClient::create(std::move(c));
  REQUIRE(made);
  return std::move(*made);
}

// Everything up to the end of stream, or an error that says so.
inline Task<std::string> drain(Stream& s) {
  std::string all;
  char buffer[4096];
  for (;;) {
    Result<std::size_t> n = co_await s.read_some(buffer, sizeof buffer);
    if (!n || *n == 0) co_return all;
    all.append(buffer, *n);
  }
}
// Reads until `mark` has come.
inline Task<std::string> read_until(Stream& s, std::string mark) {
  std::string all;
  char c;
  while (all.size() < mark.size() || all.compare(all.size() - mark.size(), mark.size(), mark) != 0) {
    Result<std::size_t> n = co_await s.read_some(&c, 1);
    if (!n || *n == 0) break;
    all += c;
  }
  co_return all;
}

inline std::string pattern(std::size_t size, unsigned seed = 1) {
  std::string s(size, '\0');
  std::uint32_t x = seed * 2654435761u + 1;
  for (char& c : s) {
    x = x * 1664525u + 1013904223u;
    c = static_cast<char>(x >> 24);
  }
  return s;
}

}  // namespace test
