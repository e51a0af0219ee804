#include "net/support.hpp"

#include <onebin/async/channel.hpp>

using namespace test;

namespace {

// What the handlers of these tests do, by path.
struct Site {
  int cancelled = 0, running = 0;
  async::Notify ended;
  bool body_too_large = false;
};

Task<void> site(Site* s, Request& q, ResponseWriter& w) {
  if (q.path == "/echo") {
    Result<std::string> body = co_await q.read_body(1 << 20);
    if (!body) {
      s->body_too_large = body.is(Reason::RequestEntityTooLarge);
      (void)co_await w.send(body.status().code(), {}, body.status().message());
      co_return;
    }
    (void)co_await w.send(200, {{"X-Method", q.method}, {"X-Query", q.query}}, *body);
  } else if (q.path == "/stream") {
    (void)co_await w.start(200, {{"Content-Type", "text/plain"}});
    for (int i = 0; i < 1000; ++i) (void)co_await w.write("line " + std::to_string(i) + "\n");
    (void)co_await w.flush();
    (void)co_await w.write(std::string(100000, 'x'));
    (void)co_await w.finish();
  } else if (q.path == "/wait") {
    ++s->running;
    (void)co_await w.start(200, {});
    (void)co_await w.write("begun\n");
    (void)co_await w.flush();
    Status slept = co_await async::sleep_for(50s);
    --s->running;
    if (!slept) ++s->cancelled;
    s->ended.notify();
  } else if (q.path == "/nothing") {
    co_return;
  } else if (q.path == "/throw") {
    throw std::runtime_error("thrown");
  } else if (q.path == "/upgrade") {
    Result<StreamPtr> up = co_await w.upgrade({{"Upgrade", "echo"}});
    if (!up) co_return;
    (void)co_await net::copy(**up, **up);
  } else {
    (void)co_await w.send(200, {}, "hello " + q.path);
  }
}

Handler handler_of(Site& s) {
  return [&s](Request& q, ResponseWriter& w) { return site(&s, q, w); };
}

Task<Result<StreamPtr>> dial(HttpServer& server) {
  Address a = server.addresses()[0];
  return connect_tcp(a.host, a.port);
}

Task<void> keep_alive_body() {
  Site s;
  auto server = serve(handler_of(s));
  auto client = client_of(*server);
  for (int i = 0; i < 5; ++i) {
    ClientRequest q;
    q.target = "/a%20b?x=1";
    auto r = co_await client->fetch(std::move(q));
    REQUIRE(r);
    CHECK(r->status == 200);
    CHECK(r->body == "hello /a b");
  }
  CHECK(server->connections() == 1);
  ClientRequest post;
  post.method = "POST";
  post.target = "/echo?q=2";
  post.body = pattern(300000);
  auto r = co_await client->fetch(post);
  REQUIRE(r);
  CHECK(r->body == post.body);
  CHECK(r->headers.get("x-query") == "q=2");
  auto streamed = co_await client->fetch(ClientRequest{.target = "/stream"});
  REQUIRE(streamed);
  CHECK(streamed->headers.get("transfer-encoding") == "chunked");
  CHECK(streamed->body.size() == 8890 + 100000);
  auto head = co_await client->fetch(ClientRequest{.method = "HEAD", .target = "/x"});
  REQUIRE(head);
  CHECK(head->body.empty());
  CHECK(head->headers.get("Content-Length") == "8");
  auto none = co_await client->fetch(ClientRequest{.target = "/nothing"});
  REQUIRE(none);
  CHECK(none->status == 500);
  auto thrown = co_await client->fetch(ClientRequest{.target = "/throw"});
  REQUIRE(thrown);
  CHECK(thrown->status == 500);
  CHECK(server->connections() == 1);
  client.reset();
  co_await server->stop();
  CHECK(server->connections() == 0);
}

struct Pieces {
  int left;
  Task<Result<std::string>> next() {
    std::string piece = left > 0 ? std::string(1000, static_cast<char>('a' + left % 26)) : std::string();
    --left;
    co_return Result<std::string>(std::move(piece));
  }
};

Task<void> chunked_request() {
  Site s;
  auto server = serve(handler_of(s));
  auto client = client_of(*server);
  Pieces pieces{50};
  ClientRequest q;
  q.method = "PUT";
  q.target = "/echo";
  q.body_source = [&pieces] { return pieces.next(); };
  auto r = co_await client->fetch(std::move(q));
  REQUIRE(r);
  CHECK(r->status == 200);
  CHECK(r->body.size() == 50000);
  Pieces again{50};
  ClientRequest known;
  known.method = "PUT";
  known.target = "/echo";
  known.body_length = 50000;
  known.body_source = [&again] { return again.next(); };
  auto k = co_await client->fetch(std::move(known));
  REQUIRE(k);
  CHECK(k->body == r->body);
  co_await server->stop();
}

Task<void> too_large_body() {
  Site s;
  auto server = serve(handler_of(s));
  auto client = client_of(*server);
  ClientRequest q;
  q.method = "POST";
  q.target = "/echo";
  q.body = std::string(6 << 20, 'z');
  auto r = co_await client->fetch(std::move(q));
  REQUIRE(r);
  CHECK(r->status == 413);
  CHECK(s.body_too_large);
  co_await server->stop();
}

Task<void> pipelining() {
  Site s;
  auto server = serve(handler_of(s));
  auto stream = co_await dial(*server);
  REQUIRE(stream);
  std::string many;
  for (int i = 0; i < 20; ++i) many += "GET /n" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n";
  many += "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  REQUIRE(co_await (*stream)->write(many));
  std::string all = co_await drain(**stream);
  for (int i = 0; i < 20; ++i) CHECK(all.find("hello /n" + std::to_string(i)) != all.npos);
  CHECK(all.find("hello /last") != all.npos);
  co_await server->stop();
}

Task<void> expect_continue() {
  Site s;
  auto server = serve(handler_of(s));
  auto stream = co_await dial(*server);
  REQUIRE(stream);
  REQUIRE(co_await (*stream)->write("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"));
  std::string interim = co_await read_until(**stream, "\r\n\r\n");
  CHECK(interim == "HTTP/1.1 100 Continue\r\n\r\n");
  REQUIRE(co_await (*stream)->write("12345"));
  std::string answer = co_await read_until(**stream, "12345");
  CHECK(answer.find("200 OK") != answer.npos);
  co_await server->stop();
}

Task<std::string> talk(HttpServer& server, std::string bytes) {
  auto stream = co_await dial(server);
  REQUIRE(stream);
  (void)co_await (*stream)->write(bytes);
  std::string all = co_await drain(**stream);
  co_return all;
}

Task<void> malformed() {
  Site s;
  ServerLimits limits;
  limits.header_bytes = 4096;
  auto server = serve(handler_of(s), nullptr, limits);
  std::string r = co_await talk(*server, "nonsense\r\n\r\n");
  CHECK(r.find("400") != r.npos);
  r = co_await talk(*server, "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(10000, 'x') + "\r\n\r\n");
  CHECK(r.find("431") != r.npos);
  r = co_await talk(*server, "GET / HTTP/1.1\r\n\r\n");
  CHECK(r.find("400") != r.npos);
  r = co_await talk(*server, "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(r.find("400") != r.npos);
  r = co_await talk(*server, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  CHECK(r.find("400") != r.npos);
  r = co_await talk(*server, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n");
  CHECK(r.find("400") != r.npos);
  CHECK(r.find("smuggled") == r.npos);
  r = co_await talk(*server, "GET /old HTTP/1.0\r\n\r\n");
  CHECK(r.find("hello /old") != r.npos);
  co_await server->stop();
}

Task<void> slow_head() {
  Site s;
  ServerLimits limits;
  limits.header_timeout = 50ms;
  limits.idle_timeout = 100ms;
  auto server = serve(handler_of(s), nullptr, limits);
  std::string r = co_await talk(*server, "GET / HTTP/1.1\r\nHo");
  CHECK(r.find("408") != r.npos);
  r = co_await talk(*server, "");  // idle: closed without a word
  CHECK(r.empty());
  co_await server->stop();
}

Task<void> client_goes() {
  Site s;
  auto server = serve(handler_of(s));
  {
    auto stream = co_await dial(*server);
    REQUIRE(stream);
    REQUIRE(co_await (*stream)->write("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"));
    std::string begun = co_await read_until(**stream, "begun\n");
    CHECK(s.running == 1);
  }
  REQUIRE(co_await s.ended.wait());
  CHECK(s.cancelled == 1);
  co_await server->stop();
}

Task<void> stop_cancels() {
  Site s;
  auto server = serve(handler_of(s));
  auto stream = co_await dial(*server);
  REQUIRE(stream);
  REQUIRE(co_await (*stream)->write("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"));
  std::string begun = co_await read_until(**stream, "begun\n");
  co_await server->stop();
  CHECK(s.cancelled == 1);
}

Task<void> upgrades() {
  Site s;
  auto server = serve(handler_of(s));
  auto client = client_of(*server);
  auto up = co_await client->upgrade(ClientRequest{.target = "/upgrade", .headers = {{"Upgrade", "echo"}}});
  REQUIRE(up);
  CHECK(up->status == 101);
  REQUIRE(up->stream);
  REQUIRE(co_await up->stream->write("abcdef"));
  char buffer[6];
  REQUIRE(co_await read_exactly(*up->stream, buffer, 6));
  CHECK(std::string_view(buffer, 6) == "abcdef");
  up->stream.reset();
  auto refused = co_await client->upgrade(ClientRequest{.target = "/plain", .headers = {{"Upgrade", "echo"}}});
  REQUIRE(refused);
  CHECK(refused->status == 200);
  CHECK_FALSE(refused->stream);
  auto body = co_await refused->refused->read_body(100);
  CHECK(*body == "hello /plain");
  refused->refused.reset();
  co_await server->stop();
}

// The bytes of the upgraded protocol may come in one piece with the request.
Task<void> upgrade_with_early_bytes() {
  Site s;
  auto server = serve(handler_of(s));
  auto stream = co_await dial(*server);
  REQUIRE(stream);
  REQUIRE(co_await (*stream)->write("GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly"));
  std::string all = co_await read_until(**stream, "early");
  CHECK(all.find("101 Switching") != all.npos);
  stream->reset();
  co_await server->stop();
}

Task<void> stale_connection() {
  Site s;
  auto server = serve(handler_of(s));
  Address at = server->addresses()[0];
  auto client = client_of(*server);
  auto r = co_await client->fetch(ClientRequest{.target = "/1"});
  REQUIRE(r);
  co_await server->stop();
  ServerConfig c;
  c.listen = {at};
  auto second = HttpServer::start(std::move(c), handler_of(s));
  REQUIRE(second);
  auto again = co_await client->fetch(ClientRequest{.target = "/2"});
  REQUIRE(again);
  CHECK(again->body == "hello /2");
  co_await (*second)->stop();
}

Task<void> unix_socket() {
  Site s;
  std::string path = "/tmp/onebin-net-test-" + std::to_string(::getpid()) + ".sock";
  ServerConfig c;
  c.listen_unix = {path};
  auto server = HttpServer::start(std::move(c), handler_of(s));
  REQUIRE(server);
  ClientConfig cc;
  cc.base_url = "http://unix/prefix";
  cc.unix_path = path;
  auto client = HttpClient::create(std::move(cc));
  REQUIRE(client);
  auto r = co_await (*client)->fetch(ClientRequest{.target = "/p"});
  REQUIRE(r);
  CHECK(r->body == "hello /prefix/p");
  co_await (*server)->stop();
  CHECK_FALSE(path_exists(path));
}

Task<void> refused_and_silent() {
  auto listener = Listener::tcp({"127.0.0.1", 0});
  REQUIRE(listener);
  std::string url = "http://" + (*listener)->local().to_string();
  ClientConfig c;
  c.base_url = url;
  c.header_timeout = 50ms;
  auto client = HttpClient::create(c);
  auto r = co_await (*client)->fetch(ClientRequest{});
  CHECK(r.is(Reason::Timeout));
  (*listener)->close();
  auto second = HttpClient::create(c);
  auto gone = co_await (*second)->fetch(ClientRequest{});
  CHECK(gone.is(Reason::ServiceUnavailable));
}

Task<void> streaming_answer() {
  Site s;
  auto server = serve(handler_of(s));
  auto client = client_of(*server);
  auto r = co_await client->request(ClientRequest{.target = "/wait"});
  REQUIRE(r);
  char buffer[100];
  auto n = co_await (*r)->read_some(buffer, sizeof buffer);
  REQUIRE(n);
  CHECK(std::string_view(buffer, *n) == "begun\n");
  r->reset();  // hangs up
  REQUIRE(co_await s.ended.wait());
  CHECK(s.cancelled == 1);
  co_await server->stop();
}

}  // namespace

TEST_CASE("http/1.1: requests share a kept-alive connection") { run(keep_alive_body); }
TEST_CASE("http/1.1: request bodies from a source, chunked and of known length") { run(chunked_request); }
TEST_CASE("http/1.1: a body over the limit is answered 413, readable by a client that still sends") { run(too_large_body); }
TEST_CASE("http/1.1: pipelined requests are answered in order") { run(pipelining); }
TEST_CASE("http/1.1: 100-continue is sent when the handler reads") { run(expect_continue); }
TEST_CASE("http/1.1: malformed requests") { run(malformed); }
TEST_CASE("http/1.1: a slow head and an idle connection are ended") { run(slow_head); }
TEST_CASE("http/1.1: the handler is cancelled when the client goes") { run(client_goes); }
TEST_CASE("http/1.1: stop cancels handlers") { run(stop_cancels); }
TEST_CASE("http/1.1: upgrade, and its refusal") { run(upgrades); }
TEST_CASE("http/1.1: bytes behind an upgrade request belong to the upgraded stream") { run(upgrade_with_early_bytes); }
TEST_CASE("http client: a stale kept-alive connection is replaced") { run(stale_connection); }
TEST_CASE("http over a unix socket, with a base path") { run(unix_socket); }
TEST_CASE("http client: a silent and an absent server") { run(refused_and_silent); }
TEST_CASE("http client: a streamed answer, dropped half way") { run(streaming_answer); }
