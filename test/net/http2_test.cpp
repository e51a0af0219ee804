// HTTP/2 against curl (skipped where there is none that speaks it).
#include "net/support.hpp"

#include <onebin/async/channel.hpp>
#include <onebin/async/pool.hpp>

#include <map>

using namespace test;

namespace {

std::string sh(const std::string& command) {
  std::string out;
  FILE* p = ::popen((command + " 2>&1").c_str(), "r");
  if (!p) return out;
  char buffer[4096];
  for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, p)) > 0;) out.append(buffer, n);
  ::pclose(p);
  return out;
}
bool curl_speaks_h2() { return sh("curl --version").find("HTTP2") != std::string::npos; }

Task<std::string> curl(std::string arguments) {
  std::string out = co_await async::run_blocking([arguments] { return sh("curl -s -k -m 20 " + arguments); });
  co_return out;
}

struct Site {
  int cancelled = 0, running = 0, most = 0;
  async::Notify ended, all_here;
};

Task<void> site(Site* s, Request& q, ResponseWriter& w) {
  if (q.path == "/echo") {
    auto body = co_await q.read_body(4 << 20);
    if (!body) {
      (void)co_await w.send(body.status().code(), {}, body.status().message());
      co_return;
    }
    (void)co_await w.send(200, {{"X-Version", std::to_string(q.version)}, {"X-Len", std::to_string(q.content_length)}}, *body);
  } else if (q.path == "/stream") {
    (void)co_await w.start(200, {});
    for (int i = 0; i < 100; ++i) {
      (void)co_await w.write("piece " + std::to_string(i) + "\n");
      if (i % 10 == 0) (void)co_await w.flush();
    }
    (void)co_await w.write(std::string(3 << 20, 'x'));
  } else if (q.path == "/wait") {
    ++s->running;
    (void)co_await w.start(200, {});
    (void)co_await w.write("begun\n");
    (void)co_await w.flush();
    Status slept = co_await async::sleep_for(50s);
    --s->running;
    if (!slept) ++s->cancelled;
    s->ended.notify();
  } else if (q.path == "/together") {
    // Answers only when four requests are here at once.
    s->most = std::max(s->most, ++s->running);
    if (s->running == 4) s->all_here.notify();
    else (void)co_await async::with_timeout(10s, s->all_here.wait());
    --s->running;
    (void)co_await w.send(200, {}, "ok\n");
  } else if (q.path == "/ignore") {
    (void)co_await w.send(403, {}, "not read\n");
  } else {
    (void)co_await w.send(200, {{"Connection", "x"}, {"X-Cert", q.peer->tls ? "tls" : "plain"}}, "hello " + q.path + " " + q.host + "\n");
  }
}

Task<void> with_curl() {
  Site s;
  auto server = serve([&s](Request& q, ResponseWriter& w) { return site(&s, q, w); }, server_tls());
  std::string url = "https://" + server->addresses()[0].to_string();
  std::string plain = co_await curl("--http2 -w '%{http_version} %{http_code}' " + url + "/a");
  CHECK(plain == "hello /a " + server->addresses()[0].to_string() + "\n2 200");
  std::string head = co_await curl("--http2 -I " + url + "/a");
  CHECK(head.find("content-length: ") != head.npos);
  CHECK(head.find("connection:") == head.npos);

  std::string file = "/tmp/onebin-h2-" + std::to_string(::getpid());
  std::string data = pattern(3 << 20);
  REQUIRE(write_file(file, data));
  std::string echoed = co_await curl("--http2 --data-binary @" + file + " " + url + "/echo | sha256sum");
  std::string expected = sh("sha256sum < " + file);
  CHECK(echoed == expected);
  std::string chunked = co_await curl("--http2 -T - -X PUT " + url + "/echo < " + file + " | sha256sum");
  CHECK(chunked == expected);
  REQUIRE(write_file(file, pattern(6 << 20)));
  std::string large = co_await curl("--http2 -o /dev/null -w '%{http_code}' --data-binary @" + file + " " + url + "/echo");
  CHECK(large == "413");
  std::string ignored = co_await curl("--http2 -w '%{http_code}' --data-binary @" + file + " " + url + "/ignore");
  CHECK(ignored.find("not read\n403") != ignored.npos);
  ::unlink(file.c_str());

  std::string streamed = co_await curl("--http2 " + url + "/stream | wc -c");
  CHECK(std::atoi(streamed.c_str()) == 890 + (3 << 20));
  std::string together = co_await curl("--http2 -Z --parallel-immediate '" + url + "/together?[1-4]'");
  CHECK(s.most == 4);
  std::string parallel = co_await curl("--http2 -Z '" + url + "/p?[1-60]' | grep -c hello");
  CHECK(std::atoi(parallel.c_str()) == 60);
  std::string cut = co_await curl("--http2 -m 1 " + url + "/wait");
  CHECK(cut == "begun\n");
  REQUIRE(co_await s.ended.wait());
  CHECK(s.cancelled == 1);
  std::string eleven = co_await curl("--http1.1 -w '%{http_version}' " + url + "/b");
  CHECK(eleven.find("\n1.1") != eleven.npos);
  co_await server->stop();
}

Task<void> prior_knowledge() {
  Site s;
  auto server = serve([&s](Request& q, ResponseWriter& w) { return site(&s, q, w); });
  std::string url = "http://" + server->addresses()[0].to_string();
  std::string r = co_await curl("--http2-prior-knowledge -w '%{http_version}' " + url + "/a");
  CHECK(r.find("\n2") != r.npos);
  std::string one = co_await curl("-w '%{http_version}' " + url + "/a");
  CHECK(one.find("\n1.1") != one.npos);
  co_await server->stop();
}

struct Stopping {
  static Task<void> run_curl(std::string url, std::string* out) { *out = co_await curl("--http2 " + url); }
};

Task<void> stop_with_open_stream() {
  Site s;
  auto server = serve([&s](Request& q, ResponseWriter& w) { return site(&s, q, w); }, server_tls());
  TaskGroup g;
  std::string out;
  g.spawn(Stopping::run_curl("https://" + server->addresses()[0].to_string() + "/wait", &out));
  while (s.running == 0) REQUIRE(co_await async::sleep_for(5ms));
  co_await server->stop(20ms);
  CHECK(s.cancelled == 1);
  co_await g.join();
}

Task<void> garbage_after_preface() {
  Site s;
  auto server = serve([&s](Request& q, ResponseWriter& w) { return site(&s, q, w); });
  Address a = server->addresses()[0];
  auto stream = co_await connect_tcp(a.host, a.port);
  REQUIRE(stream);
  REQUIRE(co_await (*stream)->write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string(100, '\x7f')));
  std::string all = co_await drain(**stream);  // ends
  CHECK(all.size() > 9);
  co_await server->stop();
}

}  // namespace

TEST_CASE("http/2: requests, bodies, flow control, cancellation, with curl") {
  if (curl_speaks_h2()) run(with_curl);
}
TEST_CASE("http/2: prior knowledge on a plain connection") {
  if (curl_speaks_h2()) run(prior_knowledge);
}
TEST_CASE("http/2: stop cancels handlers") {
  if (curl_speaks_h2()) run(stop_with_open_stream);
}
TEST_CASE("http/2: garbage behind the preface ends the connection") { run(garbage_after_preface); }
