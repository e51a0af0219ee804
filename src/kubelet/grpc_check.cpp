// One gRPC health check, as far as it needs HTTP/2: a request of literal headers on stream 1, and the first message of the
// answer. Responses' headers are not read: without a message the check has failed. RFC 9113; gRPC over HTTP/2.
#include "kubelet/handlers.hpp"

#include <onebin/async/timer.hpp>
#include <onebin/net/socket.hpp>

namespace onebin::kubelet {
namespace {

constexpr std::uint8_t kData = 0, kHeaders = 1, kReset = 3, kSettings = 4, kPing = 6, kGoAway = 7;
constexpr std::size_t kMaxFrame = 1u << 20;

std::string frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, std::string_view payload) {
  std::string out;
  for (int s = 16; s >= 0; s -= 8) out += static_cast<char>(payload.size() >> s);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  for (int s = 24; s >= 0; s -= 8) out += static_cast<char>(stream >> s);
  return out.append(payload);
}

// HPACK: a literal field without indexing, not Huffman coded. Lengths stay below 127.
void literal(std::string& out, std::string_view name, std::string_view value) {
  out += '\0';
  out += static_cast<char>(name.size());
  out += name;
  out += static_cast<char>(value.size());
  out += value;
}

// HealthCheckRequest{service = 1} in gRPC's length-prefixed form.
std::string message_of(const std::string& service) {
  std::string body;
  if (!service.empty()) {
    body += '\x0a';
    body += static_cast<char>(service.size());
    body += service;
  }
  std::string out(5, '\0');
  out[4] = static_cast<char>(body.size());
  return out + body;
}

const char* serving_name(int status) {
  switch (status) {
    case 0: return "UNKNOWN";
    case 1: return "SERVING";
    case 2: return "NOT_SERVING";
    case 3: return "SERVICE_UNKNOWN";
    default: return "UNRECOGNIZED";
  }
}

// HealthCheckResponse{status = 1}; -1 when the bytes are no such message.
int serving_status(const std::string& data) {
  if (data.size() < 5 || data[0] != 0) return -1;
  std::string body = data.substr(5);
  if (body.empty()) return 0;
  if (body.size() < 2 || body[0] != '\x08') return -1;
  return static_cast<unsigned char>(body[1]);
}

// `ready` becomes true when the server has begun to speak.
async::Task<Result<int>> converse(std::string host, std::uint16_t port, std::string service, Duration limit, bool* ready) {
  net::ConnectOptions options;
  options.timeout = limit;
  Result<net::StreamPtr> stream = co_await net::connect_tcp(host, port, options);
  if (!stream) co_return stream.status();
  std::string headers;
  literal(headers, ":method", "POST");
  literal(headers, ":scheme", "http");
  literal(headers, ":path", "/grpc.health.v1.Health/Check");
  literal(headers, ":authority", host + ":" + std::to_string(port));
  literal(headers, "content-type", "application/grpc");
  literal(headers, "te", "trailers");
  literal(headers, "user-agent", "kube-probe/1.37");
  std::string out = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(kSettings, 0, 0, {}) + frame(kHeaders, 4, 1, headers) + frame(kData, 1, 1, message_of(service));
  Result<void> sent = co_await (*stream)->write(out);
  if (!sent) co_return sent.status();
  std::string data;
  for (;;) {
    char head[9];
    Result<void> r = co_await net::read_exactly(**stream, head, sizeof head);
    if (!r) co_return r.status();
    auto byte = [&](int i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(head[i])); };
    std::size_t size = byte(0) << 16 | byte(1) << 8 | byte(2);
    std::uint8_t type = static_cast<std::uint8_t>(head[3]), flags = static_cast<std::uint8_t>(head[4]);
    std::uint32_t id = (byte(5) & 0x7f) << 24 | byte(6) << 16 | byte(7) << 8 | byte(8);
    if (size > kMaxFrame) co_return bad_request("an HTTP/2 frame is too large");
    std::string payload(size, '\0');
    r = co_await net::read_exactly(**stream, payload.data(), size);
    if (!r) co_return r.status();
    std::string reply;
    if (type == kSettings) *ready = true;
    if (type == kSettings && !(flags & 1)) reply = frame(kSettings, 1, 0, {});
    if (type == kPing && !(flags & 1)) reply = frame(kPing, 1, 0, payload);
    if (!reply.empty()) {
      r = co_await (*stream)->write(reply);
      if (!r) co_return r.status();
    }
    if (type == kGoAway || (type == kReset && id == 1)) co_return internal_error("the server ended the stream");
    if (type == kData && id == 1) {
      data += payload;
      if (data.size() >= 5) {
        auto b = [&](int i) { return static_cast<std::size_t>(static_cast<unsigned char>(data[i])); };
        std::size_t want = 5 + (b(1) << 24 | b(2) << 16 | b(3) << 8 | b(4));
        if (data.size() >= want) co_return serving_status(data.substr(0, want));
      }
    }
    if (id == 1 && (flags & 1) && (type == kHeaders || type == kData)) co_return Status(Reason::NotFound, "the server answered without a message");
  }
}

}  // namespace

async::Task<HandlerResult> grpc_check(std::string host, std::uint16_t port, std::string service, Duration limit) {
  if (service.size() > 120) co_return HandlerResult{Outcome::Failure, "the service's name is too long"};
  bool ready = false;
  Result<int> r = co_await async::with_timeout(limit, converse(host, port, service, limit, &ready));
  if (!r) {
    if (!ready)
      co_return HandlerResult{Outcome::Failure, "timeout: failed to connect service " + quote(host + ":" + std::to_string(port)) + " within " + format_duration(limit) +
                                                    ": context deadline exceeded"};
    if (r.is(Reason::Timeout)) co_return HandlerResult{Outcome::Failure, "timeout: health rpc did not complete within " + format_duration(limit)};
    co_return HandlerResult{Outcome::Failure, "error: health rpc probe failed: rpc error: code = Unavailable desc = " + r.status().message()};
  }
  if (*r == 1) co_return HandlerResult{Outcome::Success, {}};
  co_return HandlerResult{Outcome::Failure, "service unhealthy (responded with " + quote(serving_name(*r)) + ")"};
}

}  // namespace onebin::kubelet
