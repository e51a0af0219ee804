// Watches by WebSocket, over sockets: a local transport has nothing to upgrade.
#include "support.hpp"
#include "net/support.hpp"

#include <onebin/apimachinery/codec.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/net/websocket.hpp>

using namespace onebin;
using namespace onebin::apiserver::test;

namespace {

const std::string kMaps = "/api/v1/namespaces/default/configmaps";

net::ClientRequest request(std::string method, std::string target, std::string body = {}) {
  net::ClientRequest q;
  q.method = std::move(method);
  q.target = std::move(target);
  q.headers.add("Authorization", "Bearer secret");
  if (!body.empty()) q.headers.add("Content-Type", "application/json");
  q.body = std::move(body);
  return q;
}

struct Server {
  std::unique_ptr<storage::Store> store = storage::make_memory_store();
  std::unique_ptr<apiserver::ApiServer> api;
  std::unique_ptr<net::HttpClient> client;

  async::Task<void> start() {
    apiserver::Options o;
    o.listen = {{"127.0.0.1", 0}};
    apiserver::StaticToken admin;
    admin.token = "secret";
    admin.user.name = "admin";
    admin.user.groups = {std::string(apiserver::kMastersGroup)};
    o.static_tokens.push_back(std::move(admin));
    api = std::make_unique<apiserver::ApiServer>(std::move(o), *store);
    Result<void> r = co_await api->start();
    REQUIRE(r);
    net::ClientConfig c;
    c.base_url = "http://" + api->addresses()[0].to_string();
    auto made = net::HttpClient::create(std::move(c));
    REQUIRE(made);
    client = std::move(*made);
  }
  async::Task<void> stop() {
    client.reset();
    co_await api->stop();
    co_await store->close();
  }
  async::Task<int> send(std::string method, std::string target, Document body = nullptr) {
    auto answer = co_await client->fetch(request(std::move(method), std::move(target), body.is_null() ? "" : body.dump()));
    REQUIRE(answer);
    co_return answer->status;
  }
};

async::Task<Document> next(net::WebSocket* socket) {
  Result<net::WsMessage> m = co_await socket->recv();
  REQUIRE(m);
  CHECK_FALSE(m->binary);
  co_return Document::parse(m->data, nullptr, false);
}

async::Task<void> json_events() {
  Server s;
  co_await s.start();
  // As a browser sends it: no header of its own but the token among the protocols.
  net::ClientRequest q;
  q.target = kMaps + "?watch=true";
  auto socket = co_await net::websocket_connect(*s.client, std::move(q), {"base64url.bearer.authorization.k8s.io." + base64url_encode("secret"), "base64.binary.k8s.io"});
  REQUIRE(socket);
  CHECK((*socket)->protocol() == "base64.binary.k8s.io");
  CHECK(co_await s.send("POST", kMaps, config_map("a")) == 201);
  CHECK(co_await s.send("POST", kMaps, config_map("b")) == 201);
  CHECK(co_await s.send("DELETE", kMaps + "/a") == 200);
  for (const char* want : {"ADDED a", "ADDED b", "DELETED a"}) {
    Document e = co_await next(socket->get());
    CHECK(e["type"].get<std::string>() + " " + e["object"]["metadata"]["name"].get<std::string>() == want);
  }
  // What the client says is passed over; its close is answered and ends the watch.
  REQUIRE(co_await (*socket)->send("hello", false));
  REQUIRE(co_await (*socket)->close());
  Result<net::WsMessage> end = co_await (*socket)->recv();
  CHECK(end.is(Reason::Closed));
  CHECK((*socket)->close_code() == 1000);
  co_await s.stop();
}

async::Task<void> protobuf_events() {
  Server s;
  co_await s.start();
  CHECK(co_await s.send("POST", kMaps, config_map("a")) == 201);
  net::ClientRequest q = request("GET", kMaps + "?watch=true&timeoutSeconds=1");
  q.headers.add("Accept", "application/vnd.kubernetes.protobuf");
  auto socket = co_await net::websocket_connect(*s.client, std::move(q), {});
  REQUIRE(socket);
  Result<net::WsMessage> m = co_await (*socket)->recv();
  REQUIRE(m);
  CHECK(m->binary);
  auto event = apimachinery::parse_protobuf_watch_event(m->data);
  REQUIRE(event);
  CHECK(event->type == "ADDED");
  CHECK(event->object.substr(0, 4) == std::string_view("k8s\0", 4));
  // The watch's own end.
  Result<net::WsMessage> end = co_await (*socket)->recv();
  CHECK(end.is(Reason::Closed));
  CHECK((*socket)->close_code() == 1000);
  co_await s.stop();
}

async::Task<void> refusals() {
  Server s;
  co_await s.start();
  auto nobody = co_await net::websocket_connect(*s.client, net::ClientRequest{.target = kMaps + "?watch=true"}, {});
  CHECK(nobody.status().code() == 403);
  auto bad = co_await net::websocket_connect(*s.client, request("GET", kMaps + "?watch=true&labelSelector=%28"), {});
  CHECK(bad.status().code() == 400);
  // A watch that stands when the server stops does not hold it up.
  auto open = co_await net::websocket_connect(*s.client, request("GET", kMaps + "?watch=true"), {});
  REQUIRE(open);
  co_await s.api->stop();
  Result<net::WsMessage> end = co_await (*open)->recv();
  CHECK_FALSE(end);
  open->reset();
  s.client.reset();
  co_await s.store->close();
}

}  // namespace

TEST_CASE("a watch by WebSocket: each event a text message") { ::test::run(json_events); }
TEST_CASE("a watch by WebSocket: protobuf in binary messages") { ::test::run(protobuf_events); }
TEST_CASE("a watch by WebSocket: refused as any other, ended with the server") { ::test::run(refusals); }
