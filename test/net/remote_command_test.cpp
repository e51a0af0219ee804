#include "net/support.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/net/proxy.hpp>
#include <onebin/net/remote_command.hpp>
#include <onebin/net/spdy.hpp>
#include <onebin/net/websocket.hpp>

#include <map>

using namespace test;

namespace {

Task<Result<void>> cat(RemoteCommand* c) {
  Result<std::uint64_t> n = co_await net::copy(*c->stdin_stream(), *c->stdout_stream());
  co_return Result<void>(n.status());
}

// "exec": cat, then a word on stderr and the exit code of ?code=; with a tty, waits for a size first.
Task<void> exec(Request& q, ResponseWriter& w) {
  Query query = Query::parse(q.query);
  auto options = RemoteCommandOptions::from_query(query);
  if (!options) {
    (void)co_await w.send(400, {}, options.status().message());
    co_return;
  }
  auto c = co_await RemoteCommand::accept(q, w, *options);
  if (!c) co_return;
  RemoteCommand& r = **c;
  if (options->tty) {
    auto size = co_await r.next_resize();
    std::string text = size ? std::to_string(size->width) + "x" + std::to_string(size->height) : "none";
    (void)co_await r.stdout_stream()->write(text);
  }
  if (r.stdin_stream()) (void)co_await cat(&r);
  if (r.stderr_stream()) (void)co_await r.stderr_stream()->write("warned");
  if (query.has("fail")) co_await r.finish_error(internal_error("no such \"container\""));
  else co_await r.finish_exit(std::atoi(std::string(query.get("code")).c_str()));
}

Task<void> echo_port(PortForward::Connection c) {
  if (c.port == 9) {
    (void)co_await c.error->write("refused");
    (void)co_await c.error->shutdown_write();
    co_return;
  }
  (void)co_await net::copy(*c.data, *c.data);
  (void)co_await c.data->shutdown_write();
  (void)co_await c.error->shutdown_write();
}

Task<void> forward(Request& q, ResponseWriter& w) {
  auto f = co_await PortForward::accept(q, w);
  if (!f) co_return;
  TaskGroup group("connections");
  for (;;) {
    auto c = co_await (*f)->next();
    if (!c) break;
    group.spawn(echo_port(std::move(*c)));
  }
  group.cancel();
  co_await group.join();
  co_await (*f)->stop();
}

Handler kubelet() {
  return [](Request& q, ResponseWriter& w) { return q.path == "/exec" ? exec(q, w) : forward(q, w); };
}

Task<void> pump(Stream* to, const std::string* data) {
  (void)co_await to->write(*data);
  (void)co_await to->shutdown_write();
}

Task<void> exec_over_spdy() {
  auto server = serve(kubelet(), server_tls());
  auto client = client_of(*server, client_tls());
  ClientRequest q;
  q.method = "POST";
  q.target = "/exec?input=1&output=1&error=1&code=3";
  q.headers = {{"Upgrade", "SPDY/3.1"}, {"X-Stream-Protocol-Version", "v9.channel.k8s.io"}, {"X-Stream-Protocol-Version", "v4.channel.k8s.io"}};
  auto up = co_await client->upgrade(std::move(q));
  REQUIRE(up);
  REQUIRE(up->stream);
  CHECK(up->headers.get("X-Stream-Protocol-Version") == "v4.channel.k8s.io");
  auto session = SpdySession::create(std::move(up->stream), false);
  auto error = co_await session->open_stream({{"streamType", "error"}});
  auto in = co_await session->open_stream({{"streamType", "stdin"}});
  auto out = co_await session->open_stream({{"streamType", "stdout"}});
  auto err = co_await session->open_stream({{"streamType", "stderr"}});
  REQUIRE(err);
  std::string data = pattern(3 << 20);
  TaskGroup g;
  g.spawn(pump(in->get(), &data));
  auto got = co_await read_all(**out, 64 << 20);
  REQUIRE(got);
  CHECK(*got == data);
  auto warned = co_await read_all(**err, 100);
  CHECK(*warned == "warned");
  auto status = co_await read_all(**error, 1000);
  REQUIRE(status);
  CHECK(status->find(R"("causes":[{"reason":"ExitCode","message":"3"}])") != status->npos);
  co_await g.join();
  co_await session->stop();
  auto bare = co_await client->fetch(ClientRequest{.method = "POST", .target = "/exec?stdout=1"});
  CHECK(bare->status == 400);
  auto other = co_await client->upgrade(ClientRequest{.method = "POST", .target = "/exec?stdout=1",
                                                      .headers = {{"Upgrade", "SPDY/3.1"}, {"X-Stream-Protocol-Version", "v9"}}});
  CHECK(other->status == 403);
  other->refused.reset();
  co_await server->stop();
}

// All messages until the end, joined by channel.
Task<std::map<int, std::string>> channels_of(WebSocket& ws, bool base64) {
  std::map<int, std::string> all;
  for (;;) {
    auto m = co_await ws.recv();
    if (!m) co_return all;
    int channel = static_cast<unsigned char>(m->data[0]);
    std::string data = m->data.substr(1);
    if (base64) {
      channel -= '0';
      data = *base64_decode(data);
    }
    all[channel] += data;
  }
}

Task<void> exec_over_websocket() {
  auto server = serve(kubelet());
  auto client = client_of(*server);
  auto ws = co_await websocket_connect(*client, ClientRequest{.target = "/exec?stdin=true&stdout=true&stderr=true"}, {"v5.channel.k8s.io"});
  REQUIRE(ws);
  REQUIRE(co_await (*ws)->send(std::string("\0hello ", 7)));
  REQUIRE(co_await (*ws)->send(std::string("\0world", 6)));
  REQUIRE(co_await (*ws)->send(std::string("\xff\0", 2)));  // stdin ends
  auto all = co_await channels_of(**ws, false);
  CHECK(all[1] == "hello world");
  CHECK(all[2] == "warned");
  CHECK(all[3] == R"({"metadata":{},"status":"Success"})");
  CHECK((*ws)->close_code() == 1000);
  ws->reset();

  auto b64 = co_await websocket_connect(*client, ClientRequest{.target = "/exec?stderr=1&fail=1"}, {"v4.base64.channel.k8s.io"});
  REQUIRE(b64);
  all = co_await channels_of(**b64, true);
  CHECK(all[2] == "warned");
  CHECK(all[3].find(R"("message":"no such \"container\"")") != std::string::npos);
  b64->reset();

  auto tty = co_await websocket_connect(*client, ClientRequest{.target = "/exec?stdin=1&stdout=1&stderr=1&tty=1"}, {"v5.channel.k8s.io"});
  REQUIRE(tty);
  REQUIRE(co_await (*tty)->send(R"(){"Width":120,"Height":40})"));  // channel 0x29 does not exist: dropped
  REQUIRE(co_await (*tty)->send(std::string("\x04") + R"({"Width":120,"Height":40})"));
  REQUIRE(co_await (*tty)->send(std::string("\xff\0", 2)));
  all = co_await channels_of(**tty, false);
  CHECK(all[1] == "120x40");
  CHECK(all.count(2) == 0);
  tty->reset();
  co_await server->stop();
}

Task<void> idle_session_ends() {
  struct Idle {
    static Task<void> go(bool* ended, Request& q, ResponseWriter& w) {
      RemoteCommandOptions o;
      o.stdin_ = o.stdout_ = true;
      o.idle_timeout = 30ms;
      auto c = co_await RemoteCommand::accept(q, w, o);
      REQUIRE(c);
      co_await (*c)->wait_closed();
      *ended = true;
      co_await (*c)->abort();
    }
  };
  bool ended = false;
  auto server = serve([&ended](Request& q, ResponseWriter& w) { return Idle::go(&ended, q, w); });
  auto client = client_of(*server);
  auto ws = co_await websocket_connect(*client, ClientRequest{.target = "/"}, {"v5.channel.k8s.io"});
  REQUIRE(ws);
  auto all = co_await channels_of(**ws, false);
  co_await server->stop();
  CHECK(ended);
}

Task<void> forward_through(std::unique_ptr<SpdySession> session) {
  for (int i = 0; i < 3; ++i) {
    std::string id = std::to_string(i);
    auto error = co_await session->open_stream({{"streamType", "error"}, {"port", "80"}, {"requestID", id}});
    auto data = co_await session->open_stream({{"streamType", "data"}, {"port", "80"}, {"requestID", id}});
    REQUIRE(data);
    std::string text = pattern(500000, static_cast<unsigned>(i));
    TaskGroup g;
    g.spawn(pump(data->get(), &text));
    auto back = co_await read_all(**data, 1 << 20);
    REQUIRE(back);
    CHECK(*back == text);
    co_await g.join();
    auto none = co_await read_all(**error, 100);
    CHECK(none->empty());
  }
  auto error = co_await session->open_stream({{"streamType", "error"}, {"port", "9"}, {"requestID", "x"}});
  auto data = co_await session->open_stream({{"streamType", "data"}, {"port", "9"}, {"requestID", "x"}});
  REQUIRE(data);
  auto why = co_await read_all(**error, 100);
  CHECK(*why == "refused");
  error->reset();
  data->reset();
  co_await session->stop();
}

Task<void> forwards() {
  auto server = serve(kubelet());
  auto client = client_of(*server);
  auto up = co_await client->upgrade(ClientRequest{.method = "POST", .target = "/portforward",
      .headers = {{"Upgrade", "SPDY/3.1"}, {"X-Stream-Protocol-Version", "portforward.k8s.io"}}});
  REQUIRE(up);
  REQUIRE(up->stream);
  co_await forward_through(SpdySession::create(std::move(up->stream), false));

  auto ws = co_await websocket_connect(*client, ClientRequest{.target = "/portforward"}, {"SPDY/3.1+portforward.k8s.io"});
  REQUIRE(ws);
  co_await forward_through(SpdySession::create(websocket_stream(std::move(*ws)), false));

  auto plain = co_await websocket_connect(*client, ClientRequest{.target = "/portforward?port=80&port=9"}, {"v4.channel.k8s.io"});
  REQUIRE(plain);
  std::map<int, std::string> got;
  REQUIRE(co_await (*plain)->send(std::string("\0ping", 5)));
  while (got[0].size() < 6 || got[3].size() < 9) {
    auto m = co_await (*plain)->recv();
    REQUIRE(m);
    got[m->data[0]] += m->data.substr(1);
  }
  CHECK(got[0] == std::string("\x50\0ping", 6));
  CHECK(got[1] == std::string("\x50\0", 2));
  CHECK(got[3] == std::string("\x09\0refused", 9));
  plain->reset();
  // With its last connection the whole is over.
  auto over = co_await websocket_connect(*client, ClientRequest{.target = "/portforward?port=9,9"}, {"v4.channel.k8s.io"});
  REQUIRE(over);
  std::string said;
  Result<WsMessage> m;
  while ((m = co_await (*over)->recv())) said += m->data.substr(1);
  CHECK(m.is(Reason::Closed));
  CHECK((*over)->close_code() == 1000);
  CHECK(said == std::string("\x09\0\x09\0\x09\0\x09\0refusedrefused", 22));
  over->reset();
  auto none = co_await websocket_connect(*client, ClientRequest{.target = "/portforward"}, {"v4.channel.k8s.io"});
  CHECK(none.status().code() == 400);
  co_await server->stop();
}

struct Front {
  HttpClient* upstream;
  Task<void> handle(Request& q, ResponseWriter& w) {
    ProxyOptions o;
    o.target = q.target;
    o.remove_headers = {"Authorization"};
    Result<void> r = co_await reverse_proxy(q, w, *upstream, std::move(o));
    if (!r) (void)co_await w.send(502, {}, r.status().message());
  }
};

Task<void> back(Request& q, ResponseWriter& w) {
  if (q.path == "/echo") {
    auto body = co_await q.read_body(1 << 20);
    std::string text = *body + "|" + std::string(q.headers.get("X-Forwarded-For")) + "|" + std::string(q.headers.get("Authorization"));
    (void)co_await w.send(201, {{"X-Back", "yes"}}, text);
    co_return;
  }
  if (q.path == "/cut") {
    (void)co_await w.start(200, {});
    (void)co_await w.write("half");
    (void)co_await w.flush();
    w.abort();
    co_return;
  }
  if (q.path == "/exec") co_await exec(q, w);
}

Task<void> proxied() {
  auto behind = serve([](Request& q, ResponseWriter& w) { return back(q, w); });
  auto upstream = client_of(*behind);
  Front front{upstream.get()};
  auto server = serve([&front](Request& q, ResponseWriter& w) { return front.handle(q, w); }, server_tls());
  auto client = client_of(*server, client_tls());
  ClientRequest q;
  q.method = "POST";
  q.target = "/echo?x";
  q.body = "text";
  q.headers.add("Authorization", "secret");
  auto r = co_await client->fetch(std::move(q));
  REQUIRE(r);
  CHECK(r->status == 201);
  CHECK(r->body == "text|127.0.0.1|");
  CHECK(r->headers.get("x-back") == "yes");
  auto cut = co_await client->fetch(ClientRequest{.target = "/cut"});
  CHECK_FALSE(cut);
  auto ws = co_await websocket_connect(*client, ClientRequest{.target = "/exec?stdin=1&stdout=1"}, {"v5.channel.k8s.io"});
  REQUIRE(ws);
  REQUIRE(co_await (*ws)->send(std::string("\0through", 8)));
  REQUIRE(co_await (*ws)->send(std::string("\xff\0", 2)));
  auto all = co_await channels_of(**ws, false);
  CHECK(all[1] == "through");
  ws->reset();
  co_await behind->stop();
  upstream->close_idle();
  auto gone = co_await client->fetch(ClientRequest{.target = "/x"});
  REQUIRE(gone);
  CHECK(gone->status == 502);
  co_await server->stop();
}

}  // namespace

TEST_CASE("remote command: exec over SPDY and TLS, exit code") { run(exec_over_spdy); }
TEST_CASE("remote command: exec over WebSocket, v5 and base64, terminal size") { run(exec_over_websocket); }
TEST_CASE("remote command: an idle session ends") { run(idle_session_ends); }
TEST_CASE("port-forward over SPDY, SPDY in WebSocket, and WebSocket channels") { run(forwards); }
TEST_CASE("reverse proxy: requests, cut answers, upgrades, an absent upstream") { run(proxied); }
