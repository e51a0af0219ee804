// modules: net base async
// A client's HTTP/2 bytes, behind the preface and a first request that is well formed, against a server whose handlers
// read, write and wait. Whatever comes: every request's task ends with the connection, and memory stays bounded.
#include "net/server_core.hpp"

#include <onebin/async/loop.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/assert.hpp>
#include <onebin/base/log.hpp>

#include <cstdint>

using namespace onebin;
using namespace onebin::net;

namespace {

int running = 0;

Task<void> handle(Request& q, ResponseWriter& w) {
  ++running;
  if (q.method == "POST") {
    Result<std::string> body = co_await q.read_body(64 * 1024);
    Result<void> r = co_await w.send(body ? 200 : body.status().code(), {{"Content-Type", "text/plain"}}, body ? *body : std::string());
    (void)r;
  } else {
    Result<void> r = co_await w.start(200, {});
    for (int i = 0; i < 20 && r; ++i) r = co_await w.write(std::string(3000, 'x'));
    if (r) r = co_await w.flush();
    Status slept = co_await async::sleep_for(1s);
    (void)slept;
  }
  --running;
}

Task<void> serve(ServerCore* core, StreamPtr stream) {
  co_await serve_http2(*core, std::move(stream), std::make_shared<const PeerInfo>());
}

Task<void> client(Stream* stream, std::string bytes) {
  Result<void> w = co_await stream->write(bytes);
  char buffer[4096];
  while (w) {
    Result<std::size_t> n = co_await async::with_timeout(5s, stream->read_some(buffer, sizeof buffer));
    if (!n || *n == 0) break;
  }
  stream->close();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int quiet = (set_log_level(LogLevel::Error), 0);
  (void)quiet;
  auto loop = async::SimLoop::create(from_unix(0));
  // SETTINGS, then GET / on stream 1 by static table entries and a literal :authority.
  static const std::string kFirst("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0\0\0\6\1\5\0\0\0\1\x82\x84\x86\x41\1a", 24 + 9 + 9 + 6);
  std::string bytes = size > 0 && data[0] & 1 ? kFirst : kFirst.substr(0, 33);
  if (size > 1) bytes.append(reinterpret_cast<const char*>(data) + 1, size - 1);
  ServerCore core;
  core.config.name = "fuzz";
  core.config.limits.header_bytes = 16 * 1024;
  core.config.limits.max_h2_streams = 20;
  core.handler = [](Request& q, ResponseWriter& w) { return handle(q, w); };
  auto [theirs, ours] = make_pipe(64 * 1024);
  async::TaskGroup clients("client");
  core.tasks.spawn(serve(&core, std::move(ours)));
  clients.spawn(client(theirs.get(), std::move(bytes)));
  loop->run_for(10min);
  ONEBIN_ASSERT(clients.size() == 0 && core.tasks.size() == 0);
  ONEBIN_ASSERT(running == 0 && core.requests == 0 && core.large_headers == 0);
  return 0;
}
