// Not a test: a server to drive by hand. test_apiserver "[serve]" writes SERVE_DIR/admin.conf and runs until it is ended.
#include "support.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/log.hpp>
#include <onebin/base/pki.hpp>

#include <cstdlib>

using namespace onebin;
using namespace onebin::apiserver;

namespace {

async::Task<void> serve(ApiServer* server) {
  Result<void> r = co_await server->start();
  if (!r) std::fprintf(stderr, "%s\n", r.status().to_string().c_str());
  CHECK(r.is_ok());
}

std::string kubeconfig(const std::string& url, const pki::KeyPair& ca, const pki::KeyPair& admin) {
  return "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n"
         "clusters: [{name: a, cluster: {server: \"" + url + "\", certificate-authority-data: " + base64_encode(ca.certificate) + "}}]\n"
         "users: [{name: a, user: {client-certificate-data: " + base64_encode(admin.certificate) + ", client-key-data: " + base64_encode(admin.key) + "}}]\n";
}

}  // namespace

TEST_CASE("serve", "[.serve]") {
  const char* dir = std::getenv("SERVE_DIR");
  const char* port = std::getenv("SERVE_PORT");
  REQUIRE(dir);
  if (std::getenv("SERVE_DEBUG")) set_log_level(LogLevel::Debug);
  auto loop = async::RealLoop::create();
  WallTime now = loop->clock().wall();
  auto ca = pki::create_ca({"test-ca", {}}, now, std::chrono::hours(24));
  REQUIRE(ca);
  pki::SignOptions s;
  s.not_before = now - std::chrono::hours(1);
  s.not_after = now + std::chrono::hours(24);
  s.usage = pki::Usage::Server;
  s.subject = {"apiserver", {}};
  s.ip_addresses = {"127.0.0.1"};
  auto own = pki::issue(*ca, s);
  s.usage = pki::Usage::Client;
  s.subject = {"admin", {"system:masters"}};
  auto admin = pki::issue(*ca, s);
  REQUIRE(own);
  REQUIRE(admin);
  net::TlsServerConfig tls;
  tls.certificate_pem = own->certificate;
  tls.key_pem = own->key;
  tls.client_ca_pem = ca->certificate;
  auto context = net::TlsServerContext::create(tls);
  REQUIRE(context);
  auto store = storage::make_memory_store();
  Options o;
  std::uint16_t number = static_cast<std::uint16_t>(port ? std::atoi(port) : 18400);
  o.listen = {{"127.0.0.1", number}};
  o.tls = [c = *context] { return c; };
  o.client_ca_pem = ca->certificate;
  o.advertise_address = "192.0.2.1";
  o.service_account_keys_pem = {own->key};
  ApiServer server(std::move(o), *store);
  async::TaskGroup group("serve");
  group.spawn(serve(&server));
  auto text = kubeconfig("https://127.0.0.1:" + std::to_string(number), *ca, *admin);
  REQUIRE(write_file(std::string(dir) + "/admin.conf", text, 0600));
  loop->run();
}
