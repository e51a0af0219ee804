#include "../network/node_fixture.hpp"
#include "../fakes/fake_api.hpp"
#include "dns/message.hpp"
#include "dns/upstream.hpp"

#include <onebin/async/timer.hpp>
#include <onebin/base/file.hpp>
#include <onebin/dns/server.hpp>

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::dns;
using namespace onebin::test;
namespace core1 = onebin::api::core::v1;
namespace disc = onebin::api::discovery::v1;

namespace {

core1::Service service(const std::string& name, const std::string& cluster_ip) {
  core1::Service s;
  s.metadata.namespace_ = "default";
  s.metadata.name = name;
  s.spec.type = "ClusterIP";
  s.spec.cluster_ip = cluster_ip;
  s.spec.cluster_ips = {cluster_ip};
  return s;
}

disc::EndpointSlice slice(const std::string& service, int n) {
  disc::EndpointSlice s;
  s.metadata.namespace_ = "default";
  s.metadata.name = service + "-x";
  s.metadata.labels["kubernetes.io/service-name"] = service;
  s.address_type = "IPv4";
  for (int i = 0; i < n; ++i) {
    disc::Endpoint e;
    e.addresses = {"10.42." + std::to_string(i / 200) + "." + std::to_string(i % 200 + 1)};
    if (i == 0) e.hostname = "web-0";
    s.endpoints.push_back(e);
  }
  return s;
}

// "rcode: address address", asked over UDP or TCP.
async::Task<Result<std::string>> ask(std::string name, std::uint16_t type, bool tcp) {
  std::string query = build_query(77, name, type), reply(65535, '\0');
  std::size_t n = 0;
  if (tcp) {
    Result<net::StreamPtr> s = co_await net::connect_tcp("127.0.0.1", 53);
    if (!s) co_return s.status();
    std::string framed;
    put16(framed, static_cast<std::uint16_t>(query.size()));
    framed += query;
    Result<void> r = co_await (*s)->write(framed);
    if (r) r = co_await net::read_exactly(**s, reply.data(), 2);
    if (!r) co_return r.status();
    n = get16(reply, 0);
    r = co_await net::read_exactly(**s, reply.data(), n);
    if (!r) co_return r.status();
  } else {
    net::Address any, to;
    any.host = "127.0.0.1";
    to.host = "127.0.0.1";
    to.port = 53;
    auto socket = net::UdpSocket::bind(any);
    if (!socket) co_return socket.status();
    Result<void> r = co_await (*socket)->send_to(query, to);
    if (!r) co_return r.status();
    Result<net::UdpSocket::Received> got = co_await (*socket)->recv_from(reply.data(), reply.size());
    if (!got) co_return got.status();
    n = got->size;
  }
  reply.resize(n);
  auto l = layout(reply);
  if (!l || get16(reply, 0) != 77) co_return bad_request("broken reply");
  std::string out = std::to_string(get16(reply, 2) & 15) + (get16(reply, 2) & kFlagTruncated ? " truncated" : "") + ":";
  if (get16(reply, Writer::Answers) > 10) co_return out + " " + std::to_string(get16(reply, Writer::Answers));
  for (int i = 0; i < get16(reply, Writer::Answers); ++i) {
    const auto& r = l->records[static_cast<std::size_t>(i)];
    out += " ";
    if (r.type != kTypeA) { out += *read_name(reply, r.data); continue; }
    for (std::size_t b = r.data; b < r.end; ++b) out += (b > r.data ? "." : "") + std::to_string(static_cast<std::uint8_t>(reply[b]));
  }
  co_return out;
}
async::Task<Result<std::string>> ask_for(std::string name, std::uint16_t type, bool tcp) {
  co_return co_await async::with_timeout(12s, ask(std::move(name), type, tcp));
}

// Answers every A question with 192.0.2.9.
async::Task<void> fake_upstream(net::UdpSocket* socket, int* asked) {
  std::string buffer(4096, '\0');
  for (;;) {
    Result<net::UdpSocket::Received> got = co_await socket->recv_from(buffer.data(), buffer.size());
    if (!got) co_return;
    ++*asked;
    Parsed p = parse_query(std::string_view(buffer.data(), got->size));
    if (!p.question || p.question->name == "silent.example") continue;
    Writer w(*p.question, kFlagRecursionAvailable);
    if (p.question->type == kTypeA) w.address(Writer::Answers, p.question->name, std::string("\xc0\0\2\x09", 4), 60);
    std::string reply = w.take();
    (void)co_await socket->send_to(reply, got->from);
  }
}

async::Task<Result<void>> settle(client::RawInformer* a, client::RawInformer* b) {
  Result<void> r = co_await a->wait_synced();
  if (r) r = co_await b->wait_synced();
  co_return r;
}
async::Task<Result<void>> stop_all(Server* server, client::RawInformer* a, client::RawInformer* b, net::UdpSocket* upstream, async::TaskGroup* group) {
  co_await server->stop();
  co_await a->stop();
  co_await b->stop();
  upstream->close();
  group->cancel();
  co_await group->join();
  co_return Result<void>();
}
async::Task<Result<void>> pause_for(Duration d) {
  Status s = co_await async::sleep_for(d);
  co_return s;
}
async::Task<Result<void>> moment() {
  Status s = co_await async::sleep_for(50ms);
  co_return s;
}

}  // namespace

TEST_CASE("resolv.conf: three servers at most, comments and our own address left out") {
  std::string text = "# nameserver 1.1.1.1\nsearch a b\nnameserver 10.43.0.10\n nameserver\t192.0.2.1 \nnameserver 192.0.2.2 # x\nnameserverx 1.2.3.4\n"
                     "nameserver fe80::1%eth0\nnameserver not-an-ip\nnameserver 192.0.2.3\n";
  CHECK(parse_resolv_conf(text, {"10.43.0.10"}) == std::vector<std::string>{"192.0.2.1", "192.0.2.2", "fe80::1%eth0"});
  CHECK(parse_resolv_conf("", {}).empty());
}

TEST_CASE("the server answers from the API's objects and forwards the rest") {
  if (!can_make_namespaces()) { WARN("no namespaces here"); return; }
  TestNode node("dns");
  std::string conf = "/tmp/obt-net-resolv-" + std::to_string(::getpid());
  REQUIRE(write_file(conf, "nameserver 127.0.0.2\n"));
  fakes::FakeApi api;
  client::Client client(api, "dns");
  std::unique_ptr<client::Informer<core1::Service>> services;
  std::unique_ptr<client::Informer<disc::EndpointSlice>> slices;
  std::unique_ptr<Server> server;
  std::unique_ptr<net::UdpSocket> upstream;
  std::unique_ptr<async::TaskGroup> group;
  int asked = 0;
  node.call([&] {
    net::Address at;
    at.host = "127.0.0.2";
    at.port = 53;
    upstream = std::move(*net::UdpSocket::bind(at));
    group = std::make_unique<async::TaskGroup>("upstream");
    group->spawn(fake_upstream(upstream.get(), &asked));
    services = std::make_unique<client::Informer<core1::Service>>(client);
    slices = std::make_unique<client::Informer<disc::EndpointSlice>>(client);
    Options o;
    o.addresses = {"127.0.0.1"};
    o.resolv_conf = conf;
    server = std::make_unique<Server>(*services, *slices, o);
  });
  auto question = [&](const std::string& name, std::uint16_t type = kTypeA, bool tcp = false) {
    auto r = node.await<Result<std::string>>([&] { return ask_for(name, type, tcp); });
    return r ? *r : r.status().to_string();
  };
  REQUIRE(node.await<Result<void>>([&] { return server->start(); }));
  CHECK(question("web.default.svc.cluster.local") == "2:");  // nothing is known yet: not "no such name"
  node.call([&] {
    api.put(service("web", "10.43.0.5"));
    api.put(service("db", "None"));
    api.put(slice("db", 3));
    auto ext = service("ext", "");
    ext.spec.type = "ExternalName";
    ext.spec.cluster_ips.clear();
    ext.spec.external_name = "host.example";
    api.put(ext);
    services->start();
    slices->start();
  });
  REQUIRE(node.await<Result<void>>([&] { return settle(services.get(), slices.get()); }));
  CHECK(question("web.default.svc.cluster.local") == "0: 10.43.0.5");
  CHECK(question("web.default.svc.cluster.local", kTypeA, true) == "0: 10.43.0.5");
  CHECK(question("nope.default.svc.cluster.local") == "3:");
  CHECK(question("web-0.db.default.svc.cluster.local") == "0: 10.42.0.1");
  CHECK(question("10-42-0-2.db.default.svc.cluster.local") == "0: 10.42.0.2");
  CHECK(asked == 0);
  CHECK(question("www.example") == "0: 192.0.2.9");
  CHECK(question("ext.default.svc.cluster.local") == "0: host.example 192.0.2.9");
  CHECK(asked == 2);
  CHECK(question("silent.example") == "2:");  // after both rounds

  node.call([&] { api.put(slice("db", 400)); });
  REQUIRE(node.await<Result<void>>([&] { return moment(); }));
  CHECK(question("db.default.svc.cluster.local").find("0 truncated:") == 0);
  CHECK(question("db.default.svc.cluster.local", kTypeA, true) == "0: 400");
  node.call([&] {
    api.erase<disc::EndpointSlice>("default", "db-x");
    api.erase<core1::Service>("default", "web");
  });
  REQUIRE(node.await<Result<void>>([&] { return moment(); }));
  CHECK(question("db.default.svc.cluster.local") == "3:");
  CHECK(question("web.default.svc.cluster.local") == "3:");

  // Nobody to ask.
  REQUIRE(write_file(conf, "search x\n"));
  REQUIRE(node.await<Result<void>>([&] { return pause_for(5100ms); }));
  CHECK(question("www.example") == "2:");

  REQUIRE(node.await<Result<void>>([&] { return stop_all(server.get(), services.get(), slices.get(), upstream.get(), group.get()); }));
  node.call([&] { server.reset(); services.reset(); slices.reset(); upstream.reset(); group.reset(); });
  shell("rm -f " + conf);
}
