// Clients that mean harm, or stand still: bounded memory, the right status, and others still served.
#include "net/support.hpp"

#include <onebin/async/channel.hpp>

#include <nghttp2/nghttp2.h>

#include <map>

using namespace test;

namespace {

struct Site {
  int running = 0, most = 0;
  std::map<std::string, std::size_t> written;  // by path
};

Task<void> site(Site* s, Request& q, ResponseWriter& w) {
  s->most = std::max(s->most, ++s->running);
  if (q.path.rfind("/endless", 0) == 0) {
    Result<void> r = co_await w.start(200, {});
    while (r) {
      r = co_await w.write(std::string(8000, 'x'));
      if (r) r = co_await w.flush();
      if (r) s->written[q.path] += 8000;
    }
  } else if (q.path == "/wait") {
    (void)co_await w.start(200, {});
    (void)co_await w.write("begun\n");
    (void)co_await w.flush();
    (void)co_await async::sleep_for(100ms);
    (void)co_await w.write("ended\n");
  } else if (q.path == "/echo") {
    Result<std::string> body = co_await q.read_body(1 << 20);
    (void)co_await w.send(body ? 200 : body.status().code(), {}, body ? *body : "");
  } else {
    (void)co_await w.send(200, {}, "hello " + q.path);
  }
  --s->running;
}
Handler handler_of(Site& s) {
  return [&s](Request& q, ResponseWriter& w) { return site(&s, q, w); };
}

Task<StreamPtr> dial(HttpServer& server) {
  Address a = server.addresses()[0];
  Result<StreamPtr> s = co_await connect_tcp(a.host, a.port);
  REQUIRE(s);
  co_return std::move(*s);
}
Task<std::string> talk(HttpServer& server, std::string bytes) {
  StreamPtr stream = co_await dial(server);
  (void)co_await stream->write(bytes);
  std::string all = co_await drain(*stream);
  co_return all;
}
std::string get(const std::string& path, const std::string& more = "") { return "GET " + path + " HTTP/1.1\r\nHost: a\r\n" + more + "\r\n"; }

// A client's end of an HTTP/2 connection: frames as nghttp2 makes them, windows given back only where `reads` says so.
class Client {
 public:
  explicit Client(StreamPtr stream) : stream_(std::move(stream)) {
    nghttp2_session_callbacks* k = nullptr;
    nghttp2_session_callbacks_new(&k);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(k, [](nghttp2_session* s, std::uint8_t, std::int32_t id, const std::uint8_t*, std::size_t n, void* u) {
      auto* me = static_cast<Client*>(u);
      me->received[id] += n;
      if (me->reads(id)) nghttp2_session_consume(s, id, n);
      else nghttp2_session_consume_connection(s, n);
      return 0;
    });
    nghttp2_session_callbacks_set_on_header_callback(
        k, [](nghttp2_session*, const nghttp2_frame* f, const std::uint8_t* n, std::size_t ns, const std::uint8_t* v, std::size_t vs, std::uint8_t, void* u) {
          if (std::string_view(reinterpret_cast<const char*>(n), ns) == ":status")
            static_cast<Client*>(u)->status[f->hd.stream_id] = std::string(reinterpret_cast<const char*>(v), vs);
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(k, [](nghttp2_session*, std::int32_t id, std::uint32_t code, void* u) {
      static_cast<Client*>(u)->closed[id] = code;
      return 0;
    });
    nghttp2_session_callbacks_set_on_frame_recv_callback(k, [](nghttp2_session*, const nghttp2_frame* f, void* u) {
      if (f->hd.type == NGHTTP2_GOAWAY) static_cast<Client*>(u)->goaway = f->goaway.error_code;
      return 0;
    });
    nghttp2_option* o = nullptr;
    nghttp2_option_new(&o);
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_peer_max_concurrent_streams(o, 100000);
    nghttp2_session_client_new2(&session, k, this, o);
    nghttp2_option_del(o);
    nghttp2_session_callbacks_del(k);
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, nullptr, 0);
  }
  ~Client() { nghttp2_session_del(session); }

  std::int32_t request(std::string path, const Headers& more = {}) {
    std::vector<std::pair<std::string, std::string>> fields = {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", path}};
    for (const auto& f : more) fields.push_back(f);
    std::vector<nghttp2_nv> nv;
    for (auto& [n, v] : fields)
      nv.push_back({reinterpret_cast<std::uint8_t*>(n.data()), reinterpret_cast<std::uint8_t*>(v.data()), n.size(), v.size(), NGHTTP2_NV_FLAG_NONE});
    return nghttp2_submit_request(session, nullptr, nv.data(), nv.size(), nullptr, nullptr);
  }
  Task<bool> flush() {
    for (;;) {
      const std::uint8_t* data = nullptr;
      ssize_t n = nghttp2_session_mem_send(session, &data);
      if (n <= 0) co_return n == 0;
      Result<void> r = co_await stream_->write(std::string_view(reinterpret_cast<const char*>(data), static_cast<std::size_t>(n)));
      if (!r) co_return false;
    }
  }
  // Reads for a while; false when the connection has ended.
  Task<bool> pump(Duration d) {
    SteadyTime until = async::Loop::current().now() + d;
    char buffer[16384];
    for (;;) {
      bool sent = co_await flush();
      if (!sent) co_return false;
      Duration left = until - async::Loop::current().now();
      if (left <= Duration::zero()) co_return true;
      Result<std::size_t> n = co_await async::with_timeout(left, stream_->read_some(buffer, sizeof buffer));
      if (n.is(Reason::Timeout)) co_return true;
      if (!n || *n == 0) co_return false;
      if (nghttp2_session_mem_recv(session, reinterpret_cast<const std::uint8_t*>(buffer), *n) < 0) co_return false;
    }
  }
  // Until `done` says so; fails after a time.
  template <class Done>
  Task<void> pump_until(Done done) {
    for (int i = 0; i < 1000 && !done(); ++i) {
      bool alive = co_await pump(10ms);
      if (!alive) break;
    }
    CHECK(done());
  }

  nghttp2_session* session = nullptr;
  std::function<bool(std::int32_t)> reads = [](std::int32_t) { return true; };
  std::map<std::int32_t, std::size_t> received;
  std::map<std::int32_t, std::string> status;
  std::map<std::int32_t, std::uint32_t> closed;
  std::optional<std::uint32_t> goaway;

 private:
  StreamPtr stream_;
};

Task<void> stalled_stream() {
  Site s;
  ServerLimits limits;
  limits.write_timeout = 700ms;
  auto server = serve(handler_of(s), nullptr, limits);
  Client c(co_await dial(*server));
  std::int32_t stalled = 0;
  for (int i = 0; i < 60; ++i) {
    std::int32_t id = c.request("/endless" + std::to_string(i));
    if (i == 30) stalled = id;
  }
  c.reads = [&stalled](std::int32_t id) { return id != stalled; };
  co_await c.pump_until([&c] {
    std::size_t fed = 0;
    for (auto& [id, n] : c.received) fed += n >= 300000;
    return fed >= 59;
  });
  // The one that nobody reads got its window, and no more was made for it than is buffered.
  CHECK(c.received[stalled] == 65535);
  CHECK(s.written["/endless30"] <= 65535 + 64 * 1024);
  co_await c.pump_until([&c, stalled] { return c.closed.count(stalled) > 0; });
  CHECK(c.closed.size() == 1);
  co_await server->stop();
}

Task<void> settings_and_refusals() {
  Site s;
  ServerLimits limits;
  limits.max_h2_streams = 20;
  limits.header_bytes = 32 * 1024;
  auto server = serve(handler_of(s), nullptr, limits);
  Client c(co_await dial(*server));
  for (int i = 0; i < 30; ++i) c.request("/endless" + std::to_string(i));
  co_await c.pump_until([&c] { return c.closed.size() == 10; });
  for (auto& [id, code] : c.closed) CHECK(code == NGHTTP2_REFUSED_STREAM);
  CHECK(s.most == 20);
  CHECK(nghttp2_session_get_remote_settings(c.session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) == 20);
  CHECK(nghttp2_session_get_remote_settings(c.session, NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE) == 32 * 1024);

  Client large(co_await dial(*server));
  Headers many;
  for (int i = 0; i < 2000; ++i) many.add("h" + std::to_string(i), "v");
  std::int32_t id = large.request("/x", many), fine = large.request("/y");
  co_await large.pump_until([&] { return large.closed.count(id) && large.closed.count(fine); });
  CHECK(large.status[id] == "431");
  CHECK(large.status[fine] == "200");
  co_await server->stop();
}

std::string frame(unsigned type, unsigned flags, std::uint32_t stream, std::string_view payload) {
  std::string f;
  for (int shift : {16, 8, 0}) f += static_cast<char>(payload.size() >> shift);
  f += static_cast<char>(type);
  f += static_cast<char>(flags);
  for (int shift : {24, 16, 8, 0}) f += static_cast<char>(stream >> shift);
  return f += payload;
}
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

Task<void> rapid_reset() {
  Site s;
  auto server = serve(handler_of(s));
  StreamPtr stream = co_await dial(*server);
  std::string bytes = std::string(kPreface) + frame(4, 0, 0, "");
  std::string get_head("\x82\x84\x86\x41\x01\x61", 6);
  std::uint32_t id = 1;
  Result<void> w;
  for (; id < 100000 && w; id += 2) {
    bytes += frame(1, 5, id, get_head) + frame(3, 0, id, std::string("\0\0\0\x08", 4));
    if (bytes.size() < 4000) continue;
    w = co_await stream->write(bytes);
    bytes.clear();
    (void)co_await async::sleep_for(1ms);
  }
  CHECK_FALSE(w);  // the server has ended it
  CHECK(s.most <= 600);
  std::string other = co_await talk(*server, get("/other", "Connection: close\r\n"));
  CHECK(other.find("hello /other") != other.npos);
  co_await server->stop();
  CHECK(s.running == 0);
}

// Sends `piece` again and again: the server must end the connection before `most` bytes are through.
Task<void> flood(HttpServer* server, std::string before, std::string piece, std::size_t most) {
  StreamPtr stream = co_await dial(*server);
  std::string bytes = std::string(kPreface) + frame(4, 0, 0, "") + before;
  Result<void> w = co_await stream->write(bytes);
  std::string block;
  while (block.size() < 64 * 1024) block += piece;
  std::size_t sent = 0;
  TaskGroup reading("reader");
  std::string answer;
  struct Reader {
    static Task<void> run(Stream* s, std::string* out) { *out = co_await drain(*s); }
  };
  reading.spawn(Reader::run(stream.get(), &answer));
  for (; sent < most && w; sent += block.size()) w = co_await async::with_timeout(5s, stream->write(block));
  CHECK(sent < most);
  stream->close();
  co_await reading.join();
}

Task<void> floods() {
  Site s;
  auto server = serve(handler_of(s));
  std::string get_head("\x82\x84\x86\x41\x01\x61", 6);
  co_await flood(server.get(), frame(1, 1, 1, get_head), frame(9, 0, 1, std::string("\x40\x01\x78\x01\x79", 5)), 64 << 20);  // CONTINUATION without end
  co_await flood(server.get(), frame(1, 1, 1, get_head), frame(9, 0, 1, ""), 64 << 20);
  co_await flood(server.get(), "", frame(4, 0, 0, std::string("\0\3\0\0\0\1", 6)), 64 << 20);  // SETTINGS, each to be acknowledged
  co_await flood(server.get(), "", frame(6, 0, 0, "12345678"), 64 << 20);                       // PING, nothing read
  // A header that unpacks to gigabytes: an entry of the dynamic table, thousands of times a frame.
  std::string bomb = get_head + std::string("\x40\x01\x78\x7f\xe1\x1e", 6) + std::string(4000, 'v') + std::string(12000, '\xbe');
  StreamPtr stream = co_await dial(*server);
  (void)co_await stream->write(std::string(kPreface) + frame(4, 0, 0, "") + frame(1, 5, 1, bomb) + frame(1, 5, 3, get_head));
  stream->close();
  std::string other = co_await talk(*server, get("/other", "Connection: close\r\n"));
  CHECK(other.find("hello /other") != other.npos);
  co_await server->stop();
}

Task<void> goaway() {
  Site s;
  auto server = serve(handler_of(s));
  Client c(co_await dial(*server));
  std::int32_t id = c.request("/wait");
  co_await c.pump_until([&] { return c.received[id] == 6; });
  TaskGroup stopping("stop");
  stopping.spawn(server->stop(5s));
  co_await c.pump_until([&] { return c.closed.count(id) > 0; });
  CHECK(c.goaway == std::optional<std::uint32_t>(NGHTTP2_NO_ERROR));
  CHECK(c.received[id] == 12);  // what was under way is finished
  CHECK(c.closed[id] == NGHTTP2_NO_ERROR);
  co_await stopping.join();
}

Task<void> smuggling() {
  Site s;
  auto server = serve(handler_of(s));
  for (const char* head : {"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "Content-Length: 4\r\nContent-Length: 5\r\n",
                           "Content-Length: 4, 5\r\n", "Content-Length: +4\r\n", "Content-Length: -4\r\n", "Content-Length: 0x4\r\n", "Content-Length: 99999999999999999999\r\n",
                           "Transfer-Encoding: xchunked\r\n", "Transfer-Encoding: chunked, identity\r\n", "Transfer-Encoding : chunked\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                           "X: a\rContent-Length: 4\r\n", "X\r\n", ": v\r\n", "X: a\x01" "b\r\n", "Host: b\r\n"}) {
    INFO(head);
    std::string r = co_await talk(*server, std::string("POST /echo HTTP/1.1\r\nHost: a\r\n") + head + "\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(r.substr(0, 12) == "HTTP/1.1 400");
    CHECK(r.find("smuggled") == r.npos);
  }
  // Folded lines are read as one (RFC 9112, 5.2), never as a field of their own.
  std::string folded = co_await talk(*server, "POST /echo HTTP/1.1\r\nHost: a\r\nX: a\r\n Content-Length: 50\r\nConnection: close\r\n\r\n");
  CHECK((folded.substr(0, 12) == "HTTP/1.1 200" || folded.substr(0, 12) == "HTTP/1.1 400"));
  for (const char* body : {"g\r\n", "-1\r\nx\r\n", "fffffffffffffffff\r\n", "5\r\nhello", "5 x\r\nhello\r\n", "5\nhello\n0\n\n"}) {
    INFO(body);
    std::string r = co_await talk(*server, std::string("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n") + body + "0\r\n\r\n" + get("/smuggled"));
    CHECK(r.find("HTTP/1.1 200") == r.npos);
  }
  co_await server->stop();
}

Task<void> large_headers() {
  Site s;
  ServerLimits limits;
  limits.header_bytes = 64 * 1024;
  limits.large_header_bytes = 100 * 1024;
  auto server = serve(handler_of(s), nullptr, limits);
  std::string many;
  for (int i = 0; i < 3000; ++i) many += "a:\r\n";
  std::string r = co_await talk(*server, get("/x", many));  // few bytes, but what they take in memory counts
  CHECK(r.substr(0, 12) == "HTTP/1.1 431");
  std::string fifty = "X: " + std::string(50000, 'x') + "\r\n";
  r = co_await talk(*server, get("/fits", fifty + "Connection: close\r\n"));
  CHECK(r.substr(0, 12) == "HTTP/1.1 200");
  std::vector<StreamPtr> slow;  // two halves of a request of 50 KB: no room for a third, all for small ones
  for (int i = 0; i < 2; ++i) {
    slow.push_back(co_await dial(*server));
    (void)co_await slow.back()->write("GET / HTTP/1.1\r\nHost: a\r\n" + fifty);
  }
  (void)co_await async::sleep_for(50ms);
  r = co_await talk(*server, get("/third", fifty + "Connection: close\r\n"));
  CHECK(r.substr(0, 12) == "HTTP/1.1 431");
  r = co_await talk(*server, get("/small", "Connection: close\r\n"));
  CHECK(r.substr(0, 12) == "HTTP/1.1 200");
  slow.clear();
  (void)co_await async::sleep_for(50ms);
  r = co_await talk(*server, get("/again", fifty + "Connection: close\r\n"));
  CHECK(r.substr(0, 12) == "HTTP/1.1 200");
  co_await server->stop();
}

Task<void> many_idle() {
  Site s;
  ServerLimits limits;
  limits.max_connections = 200;
  auto server = serve(handler_of(s), nullptr, limits);
  StreamPtr busy = co_await dial(*server);
  (void)co_await busy->write(get("/endless"));
  std::vector<StreamPtr> idle;
  for (int i = 0; i < 1000; ++i) idle.push_back(co_await dial(*server));
  std::string r = co_await talk(*server, get("/fresh", "Connection: close\r\n"));
  CHECK(r.find("hello /fresh") != r.npos);
  CHECK(server->connections() <= 200 + 64);
  std::string begun = co_await read_until(*busy, "\r\n\r\n");  // not among those that made room
  CHECK(begun.find("200 OK") != begun.npos);
  CHECK(s.running == 1);
  co_await server->stop();
}

}  // namespace

TEST_CASE("hostile http/2: a stream that nobody reads holds up no other, and ends") { run(stalled_stream); }
TEST_CASE("hostile http/2: more streams and larger headers than the settings say") { run(settings_and_refusals); }
TEST_CASE("hostile http/2: streams opened and reset without end") { run(rapid_reset); }
TEST_CASE("hostile http/2: floods of frames that cost nothing to send") { run(floods); }
TEST_CASE("http/2: stop tells the client and finishes what is under way") { run(goaway); }
TEST_CASE("hostile http/1.1: two readings of where a request ends") { run(smuggling); }
TEST_CASE("hostile http/1.1: headers' share of memory") { run(large_headers); }
TEST_CASE("hostile http: idle connections make room for new ones") { run(many_idle); }
