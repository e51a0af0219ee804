#include "net/support.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/net/tls_error.hpp>

using namespace test;

namespace {

Task<void> whoami(Request& q, ResponseWriter& w) {
  const PeerInfo& p = *q.peer;
  std::string text = p.tls ? "tls" : "plain";
  if (p.certificate) text += " cn=" + p.certificate->common_name + " o=" + join(p.certificate->organizations, ",");
  text += p.verified ? " verified" : " unverified " + p.verify_error;
  (void)co_await w.send(200, {}, text);
}
Handler handler() {
  return [](Request& q, ResponseWriter& w) { return whoami(q, w); };
}

Task<std::string> ask(HttpServer& server, TlsClientProvider tls) {
  auto client = client_of(server, std::move(tls));
  auto r = co_await client->fetch(ClientRequest{.target = "/"});
  if (!r) co_return "error: " + r.status().message();
  co_return r->body;
}

Task<void> certificates() {
  auto server = serve(handler(), server_tls());
  std::string anonymous = co_await ask(*server, client_tls());
  CHECK(anonymous == "tls unverified ");
  std::string known = co_await ask(*server, client_tls(&Pki::get().client));
  CHECK(known == "tls cn=system:node:a o=system:nodes,extra verified");
  std::string stranger = co_await ask(*server, client_tls(&Pki::get().stranger));
  CHECK(stranger.find("cn=system:node:a") != stranger.npos);
  CHECK(stranger.find(" unverified ") != stranger.npos);

  TlsClientConfig wrong;
  wrong.ca_pem = Pki::get().stranger_ca.certificate;
  auto context = *TlsClientContext::create(wrong);
  std::string untrusted = co_await ask(*server, [context] { return context; });
  CHECK(is_unknown_authority(internal_error(untrusted)));

  TlsClientConfig other_name;
  other_name.ca_pem = Pki::get().ca.certificate;
  other_name.server_name = "elsewhere";
  auto named = *TlsClientContext::create(other_name);
  std::string misnamed = co_await ask(*server, [named] { return named; });
  CHECK(misnamed.find("error") == 0);
  CHECK_FALSE(is_unknown_authority(internal_error(misnamed)));

  TlsClientConfig insecure;
  insecure.insecure = true;
  auto any = *TlsClientContext::create(insecure);
  std::string trusting = co_await ask(*server, [any] { return any; });
  CHECK(trusting == "tls unverified ");
  co_await server->stop();
}

Task<void> pinned() {
  // The server sends its CA along, as a cluster's server does.
  TlsServerConfig c;
  c.certificate_pem = Pki::get().server.certificate + Pki::get().ca.certificate;
  c.key_pem = Pki::get().server.key;
  auto context = *TlsServerContext::create(c);
  auto server = serve(handler(), [context] { return context; });
  auto ca = *parse_certificates_pem(Pki::get().ca.certificate);
  TlsClientConfig pin;
  pin.ca_public_key_hash = "sha256:" + *public_key_hash(ca[0].der);
  auto good = *TlsClientContext::create(pin);
  std::string ok = co_await ask(*server, [good] { return good; });
  CHECK(ok == "tls unverified ");
  auto stranger = *parse_certificates_pem(Pki::get().stranger_ca.certificate);
  pin.ca_public_key_hash = *public_key_hash(stranger[0].der);
  auto bad = *TlsClientContext::create(pin);
  std::string refused = co_await ask(*server, [bad] { return bad; });
  CHECK(refused.find("error") == 0);
  CHECK(is_unknown_authority(internal_error(refused)));
  co_await server->stop();
}

Task<void> reload() {
  auto current = server_tls()();
  auto server = serve(handler(), [&current] { return current; });
  std::string before = co_await ask(*server, client_tls());
  CHECK(before == "tls unverified ");
  TlsServerConfig c;
  c.certificate_pem = Pki::get().stranger.certificate;
  c.key_pem = Pki::get().stranger.key;
  current = *TlsServerContext::create(c);
  std::string after = co_await ask(*server, client_tls());
  CHECK(after.find("error") == 0);
  co_await server->stop();
}

Task<void> send_all(Stream& s, const std::string& data) {
  (void)co_await s.write(data);
  (void)co_await s.shutdown_write();
}

// TLS over a pipe in memory: both directions at once, half-close, buffers gone when idle.
Task<void> over_pipe() {
  auto ends = make_pipe();
  TaskGroup group;
  struct Accepting {
    Result<std::unique_ptr<TlsStream>> stream;
    PeerInfo peer;
    async::TaskGroup group;
    static Task<void> go(Accepting* a, StreamPtr s) {
      Result<std::unique_ptr<TlsStream>> r = co_await tls_accept(std::move(s), server_tls()(), &a->peer);
      a->stream = std::move(r);
    }
  } accepting;
  accepting.group.spawn(Accepting::go(&accepting, std::move(ends.first)));
  auto client = co_await tls_connect(std::move(ends.second), client_tls(&Pki::get().client)(), "localhost");
  REQUIRE(client);
  co_await accepting.group.join();
  REQUIRE(accepting.stream);
  CHECK(accepting.peer.server_name == "localhost");
  CHECK(accepting.peer.verified);
  std::string up = pattern(3000000, 1), down = pattern(2000000, 2);
  TlsStream& server = **accepting.stream;
  group.spawn(send_all(**client, up));
  group.spawn(send_all(server, down));
  auto a = co_await read_all(server, 10 << 20);
  auto b = co_await read_all(**client, 10 << 20);
  REQUIRE(a);
  REQUIRE(b);
  CHECK(*a == up);
  CHECK(*b == down);
  co_await group.join();
  CHECK(server.memory_held() == 0);
}

}  // namespace

TEST_CASE("tls: client certificates are asked for and judged") { run(certificates); }
TEST_CASE("tls: a CA known by its public key's hash") { run(pinned); }
TEST_CASE("tls: another context from the next connection on") { run(reload); }
TEST_CASE("tls: over any stream, both directions") { run(over_pipe); }
TEST_CASE("tls: malformed material is an error") {
  TlsServerConfig c;
  c.certificate_pem = "junk";
  CHECK_FALSE(TlsServerContext::create(c));
  c.certificate_pem = Pki::get().server.certificate;
  c.key_pem = Pki::get().client.key;
  CHECK_FALSE(TlsServerContext::create(c));
  CHECK_FALSE(parse_certificate_der("junk"));
}
