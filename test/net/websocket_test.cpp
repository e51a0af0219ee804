#include "net/support.hpp"

#include <onebin/net/websocket.hpp>

#include "net/ws_frame.hpp"

using namespace test;

namespace {

Task<void> echo(std::vector<std::string> protocols, Request& q, ResponseWriter& w) {
  WebSocket::Options options;
  options.max_message = 1 << 20;
  auto ws = co_await websocket_accept(q, w, protocols, options);
  if (!ws) co_return;
  for (;;) {
    auto m = co_await (*ws)->recv();
    if (!m) co_return;
    (void)co_await (*ws)->send(m->data, m->binary);
  }
}

std::unique_ptr<HttpServer> echo_server(std::vector<std::string> protocols, TlsServerProvider tls = nullptr) {
  return serve([protocols](Request& q, ResponseWriter& w) { return echo(protocols, q, w); }, std::move(tls));
}

Task<void> echoes() {
  auto server = echo_server({"v5.test", "v4.test"}, server_tls());
  auto client = client_of(*server, client_tls());
  auto ws = co_await websocket_connect(*client, ClientRequest{.target = "/"}, {"v9.test", "v4.test", "v5.test"});
  REQUIRE(ws);
  CHECK((*ws)->protocol() == "v4.test");
  for (std::size_t size : {0, 1, 125, 126, 65535, 65536, 900000}) {
    std::string data = pattern(size);
    REQUIRE(co_await (*ws)->send(data, size % 2 == 0));
    auto back = co_await (*ws)->recv();
    REQUIRE(back);
    CHECK(back->data == data);
    CHECK(back->binary == (size % 2 == 0));
  }
  REQUIRE(co_await (*ws)->ping());
  REQUIRE(co_await (*ws)->close(1000, "bye"));
  auto end = co_await (*ws)->recv();
  CHECK(end.is(Reason::Closed));
  CHECK((*ws)->close_code() == 1000);
  ws->reset();
  auto refused = co_await websocket_connect(*client, ClientRequest{.target = "/"}, {"v1.test"});
  CHECK(refused.status().code() == 403);
  auto plain = co_await client->fetch(ClientRequest{.target = "/"});
  CHECK(plain->status == 400);
  co_await server->stop();
}

Task<void> too_big() {
  auto server = echo_server({});
  auto client = client_of(*server);
  auto ws = co_await websocket_connect(*client, ClientRequest{.target = "/"}, {});
  REQUIRE(ws);
  std::string data(3 << 20, 'x');
  (void)co_await (*ws)->send(data, true);
  auto end = co_await (*ws)->recv();
  CHECK_FALSE(end);
  ws->reset();
  co_await server->stop();
}

struct Filler {
  Status ended;
  bool done = false;
  Task<void> fill(Request& q, ResponseWriter& w) {
    WebSocket::Options options;
    options.write_timeout = 100ms;
    auto ws = co_await websocket_accept(q, w, {}, options);
    REQUIRE(ws);
    const std::string data(1 << 20, 'x');
    Result<void> r;
    while (r) r = co_await (*ws)->send(data);
    ended = r.status();
    done = true;
  }
};

Task<void> stalled_peer() {
  Filler filler;
  auto server = serve([&filler](Request& q, ResponseWriter& w) { return filler.fill(q, w); });
  auto client = client_of(*server);
  auto ws = co_await websocket_connect(*client, ClientRequest{.target = "/"}, {});
  REQUIRE(ws);
  while (!filler.done) (void)co_await async::sleep_for(10ms);
  CHECK(filler.ended.is(Reason::Timeout));
  ws->reset();
  co_await server->stop();
}

Task<void> raw_frames() {
  auto ends = make_pipe(1 << 20);
  auto ws = make_websocket(std::move(ends.first), true, "");
  const unsigned char mask[4] = {1, 2, 3, 4};
  auto masked = [&](WsOpcode op, bool fin, std::string text) {
    std::string f = ws_head(op, fin, text.size(), mask);
    ws_mask(text.data(), text.size(), mask, 0);
    return f + text;
  };
  std::string bytes = masked(WsOpcode::Text, false, "one ") + masked(WsOpcode::Ping, true, "are you there") +
                      masked(WsOpcode::Continuation, false, "") + masked(WsOpcode::Continuation, true, "two");
  // Byte by byte, as a slow link brings them.
  for (char c : bytes) REQUIRE(co_await ends.second->write(std::string_view(&c, 1)));
  auto m = co_await ws->recv();
  REQUIRE(m);
  CHECK(m->data == "one two");
  CHECK_FALSE(m->binary);
  char pong[15];
  REQUIRE(co_await read_exactly(*ends.second, pong, sizeof pong));
  CHECK(std::string_view(pong + 2, 13) == "are you there");
  CHECK(pong[0] == static_cast<char>(0x8a));
  // An unmasked frame from a client is a protocol error: close code 1002.
  REQUIRE(co_await ends.second->write(ws_head(WsOpcode::Text, true, 0, nullptr)));
  auto bad = co_await ws->recv();
  CHECK(bad.is(Reason::BadRequest));
  char close[4];
  REQUIRE(co_await read_exactly(*ends.second, close, sizeof close));
  CHECK(close[0] == static_cast<char>(0x88));
  CHECK(static_cast<unsigned char>(close[2]) * 256 + static_cast<unsigned char>(close[3]) == 1002);
}

Task<void> silent_peer() {
  auto ends = make_pipe();
  WebSocket::Options options;
  options.ping_interval = 20ms;
  auto ws = make_websocket(std::move(ends.first), true, "", options);
  auto end = co_await ws->recv();
  CHECK(end.is(Reason::Closed));
}

Task<void> as_stream() {
  auto ends = make_pipe(1 << 20);
  auto a = websocket_stream(make_websocket(std::move(ends.first), true, ""));
  auto b = websocket_stream(make_websocket(std::move(ends.second), false, ""));
  std::string data = pattern(200000);
  REQUIRE(co_await a->write(data));
  std::string got(data.size(), '\0');
  REQUIRE(co_await read_exactly(*b, got.data(), got.size()));
  CHECK(got == data);
  REQUIRE(co_await b->write("back"));
  char four[4];
  REQUIRE(co_await read_exactly(*a, four, 4));
  REQUIRE(co_await a->shutdown_write());
  auto n = co_await b->read_some(four, 4);
  REQUIRE(n);
  CHECK(*n == 0);
}

}  // namespace

TEST_CASE("websocket: a peer that takes nothing is given up") { run(stalled_peer); }
TEST_CASE("websocket: echo over TLS, protocols negotiated") { run(echoes); }
TEST_CASE("websocket: a message over the bound ends it") { run(too_big); }
TEST_CASE("websocket: fragments, interleaved pings, wrong masking") { run(raw_frames); }
TEST_CASE("websocket: a peer that answers no ping is gone") { run(silent_peer); }
TEST_CASE("websocket: binary messages as a stream") { run(as_stream); }
TEST_CASE("websocket: the accept key of RFC 6455") { CHECK(ws_accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); }
