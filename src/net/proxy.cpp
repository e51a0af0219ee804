#include <onebin/net/proxy.hpp>

#include <onebin/base/bytes.hpp>

#include "net/buffer.hpp"

namespace onebin::net {
namespace {

constexpr std::size_t kFull = 16 * 1024;     // a read that leaves nothing to flush for
constexpr std::size_t kPiece = 32 * 1024;   // of a request's body

// Fields that belong to one connection (RFC 9110, 7.6.1), and those that Connection names.
void remove_hop_by_hop(Headers& h) {
  for (const std::string& named : h.list("Connection")) h.remove(named);
  for (const char* name : {"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te",
                           "Trailer", "Transfer-Encoding", "Upgrade"})
    h.remove(name);
}

struct BodySource {
  Request& request;
  std::uint64_t given = 0;
  Task<Result<std::string>> next() {
    std::string piece(kPiece, '\0');
    Result<std::size_t> n = co_await request.read_some(piece.data(), piece.size());
    if (!n) co_return n.status();
    piece.resize(*n);
    given += *n;
    co_return Result<std::string>(std::move(piece));
  }
};

ClientRequest forwarded(Request& request, const ProxyOptions& options) {
  ClientRequest r;
  r.method = request.method;
  r.target = options.target;
  r.headers = request.headers;
  std::string upgrade(request.headers.get("Upgrade"));
  bool upgrades = request.headers.has_token("Connection", "upgrade") && !upgrade.empty();
  remove_hop_by_hop(r.headers);
  for (const char* name : {"Host", "Content-Length", "Expect"}) r.headers.remove(name);
  for (const std::string& name : options.remove_headers) r.headers.remove(name);
  if (options.forwarded_for && !request.peer->remote_host.empty()) {
    std::string chain = join(request.headers.list("X-Forwarded-For"), ", ");
    r.headers.set("X-Forwarded-For", chain.empty() ? request.peer->remote_host : chain + ", " + request.peer->remote_host);
  }
  for (const auto& [name, value] : options.set_headers) r.headers.set(name, value);
  for (const auto& [name, value] : options.add_headers) r.headers.add(name, value);
  if (upgrades) r.headers.set("Upgrade", upgrade);
  return r;
}

Task<Result<void>> pass_body(ClientResponse& from, ResponseWriter& to) {
  for (;;) {
    Result<void> w = co_await from.wait_readable();
    if (!w) co_return w;
    Buffer buffer;
    Result<std::size_t> n = co_await from.read_some(buffer.data(), Buffer::kSize);
    if (!n) co_return n.status();
    if (*n == 0) co_return Result<void>();
    Result<void> put = co_await to.write(std::string_view(buffer.data(), *n));
    // What comes in pieces (a watch, a followed log) is passed on in pieces.
    if (put && *n < kFull) put = co_await to.flush();
    if (!put) co_return put;
  }
}

Task<Result<void>> pass_answer(Request& request, ResponseWriter& writer, ClientResponsePtr response, const ProxyOptions& options) {
  Headers headers = response->headers;
  remove_hop_by_hop(headers);
  if (options.on_response) options.on_response(response->status, headers);
  // Followed logs and the like: a client may let them stand, as it may with Go's ReverseProxy.
  writer.set_write_timeout(Duration::zero());
  Result<void> r = co_await writer.start(response->status, std::move(headers));
  if (!r) co_return r;
  if (request.method != "HEAD") {
    r = co_await pass_body(*response, writer);
    if (!r) {
      writer.abort();  // the client must see that the answer is cut
      co_return Result<void>();
    }
  }
  Result<void> end = co_await writer.finish();
  (void)end;
  co_return Result<void>();
}

Task<Result<void>> pass_upgrade(Request& request, ResponseWriter& writer, HttpClient& upstream, ClientRequest r, const ProxyOptions& options) {
  Result<Upgraded> up = co_await upstream.upgrade(std::move(r));
  if (!up) co_return up.status();
  if (!up->stream) {
    Result<void> passed = co_await pass_answer(request, writer, std::move(up->refused), options);
    co_return passed;
  }
  Headers headers = up->headers;
  if (options.on_response) options.on_response(101, headers);
  Result<StreamPtr> down = co_await writer.upgrade(std::move(headers));
  if (!down) co_return Result<void>();  // the client has gone
  Result<void> spliced = co_await splice(**down, *up->stream, options.idle);
  (void)spliced;
  co_return Result<void>();
}

}  // namespace

Task<Result<void>> reverse_proxy(Request& request, ResponseWriter& writer, HttpClient& upstream, ProxyOptions options) {
  ClientRequest r = forwarded(request, options);
  if (r.headers.has("Upgrade")) {
    Result<void> passed = co_await pass_upgrade(request, writer, upstream, std::move(r), options);
    co_return passed;
  }
  BodySource source{request};
  bool has_body = request.content_length > 0 || (request.content_length < 0 && request.version != 10);
  if (has_body) {
    r.body_length = request.content_length;
    r.body_source = [&source] { return source.next(); };
  }
  Result<ClientResponsePtr> response = co_await upstream.request(std::move(r));
  if (!response) co_return response.status();
  Result<void> passed = co_await pass_answer(request, writer, std::move(*response), options);
  co_return passed;
}

}  // namespace onebin::net
