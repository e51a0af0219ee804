#include <onebin/net/websocket.hpp>

#include <onebin/async/channel.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/random.hpp>

#include "net/http1.hpp"
#include "net/ws_frame.hpp"
#include "net/text_answer.hpp"

namespace onebin::net {
namespace {

constexpr std::size_t kPiece = 64 * 1024;
constexpr std::size_t kRead = 32 * 1024;

class WebSocketImpl final : public WebSocket {
 public:
  WebSocketImpl(StreamPtr stream, bool server, std::string protocol, Options options)
      : stream_(std::move(stream)), server_(server), protocol_(std::move(protocol)), options_(options), decoder_(server) {
    if (options_.write_timeout > Duration::zero()) stream_->set_write_timeout(options_.write_timeout);
  }

  Task<Result<Piece>> recv_piece() override {
    for (;;) {
      if (ended_) co_return closed();
      std::size_t taken = 0;
      Result<WsDecoder::Event> event = decoder_.next(in_.view(), kPiece, &taken);
      in_.consume(taken);
      if (!event) {
        co_await fail(1002, event.status().message());
        co_return event.status();
      }
      switch (*event) {
        case WsDecoder::Event::Piece: co_return Result<Piece>(std::move(decoder_.piece));
        case WsDecoder::Event::Pong: break;
        case WsDecoder::Event::Ping: {
          Result<void> r = co_await frame(WsOpcode::Pong, {}, decoder_.control);
          if (!r) co_return r.status();
          break;
        }
        case WsDecoder::Event::Close: {
          co_await peer_closes();
          co_return closed();
        }
        case WsDecoder::Event::NeedMore: {
          Result<void> r = co_await more();
          if (!r) co_return r.status();
          break;
        }
      }
    }
  }

  Task<Result<WsMessage>> recv() override {
    WsMessage m;
    for (;;) {
      Result<Piece> p = co_await recv_piece();
      if (!p) co_return p.status();
      if (p->first) m = WsMessage{p->binary, {}};
      if (m.data.size() + p->data.size() > options_.max_message) {
        co_await fail(1009, "message too big");
        co_return Status(Reason::RequestEntityTooLarge, "websocket message too big");
      }
      if (m.data.empty()) m.data = std::move(p->data);
      else m.data += p->data;
      if (p->last) co_return Result<WsMessage>(std::move(m));
    }
  }

  Task<Result<void>> send(std::string_view data, bool binary) override {
    return frame(binary ? WsOpcode::Binary : WsOpcode::Text, {}, data);
  }
  Task<Result<void>> send(std::string_view prefix, std::string_view data, bool binary) override {
    return frame(binary ? WsOpcode::Binary : WsOpcode::Text, prefix, data);
  }
  Task<Result<void>> ping() override { return frame(WsOpcode::Ping, {}, {}); }

  Task<Result<void>> close(std::uint16_t code, std::string reason) override {
    if (close_sent_) co_return Result<void>();
    std::string payload;
    payload += static_cast<char>(code >> 8);
    payload += static_cast<char>(code & 0xff);
    payload += reason.substr(0, 123);
    Result<void> r = co_await frame(WsOpcode::Close, {}, payload);
    co_return r;
  }
  void abort() override {
    ended_ = true;
    stream_->close();
    turn_.wake_all();
  }
  std::uint16_t close_code() const override { return close_code_; }
  const std::string& protocol() const override { return protocol_; }

 private:
  Task<Result<void>> more() {
    Result<void> r;
    if (in_.empty()) {
      in_.release();
      Duration every = options_.ping_interval;
      if (every > Duration::zero()) r = co_await wait_with_pings(every);
      else r = co_await stream_->wait_readable();
      if (!r) co_return r;
    }
    Result<std::size_t> n = co_await in_.more(*stream_, kRead);
    if (!n || *n == 0) ended_ = ended_ || n.is(Reason::Closed) || n;
    if (!n) co_return n.status();
    if (*n == 0) co_return closed();
    co_return Result<void>();
  }

  Task<Result<void>> wait_with_pings(Duration every) {
    for (bool asked = false;; asked = true) {
      Result<void> r = co_await async::with_timeout(every, stream_->wait_readable());
      if (!r.is(Reason::Timeout)) co_return r;
      if (asked) {
        abort();
        co_return Status(Reason::Closed, "the peer answers no ping");
      }
      Result<void> sent = co_await ping();
      if (!sent) co_return sent;
    }
  }

  // One frame at a time; the mask of a client is drawn anew for each.
  Task<Result<void>> frame(WsOpcode opcode, std::string_view prefix, std::string_view data) {
    while (sending_) {
      Status s = co_await turn_.wait();
      if (!s) co_return s;
    }
    if (ended_ || close_sent_) co_return closed();
    sending_ = true;
    if (opcode == WsOpcode::Close) close_sent_ = true;
    Result<void> r;
    if (server_) {
      std::string head = ws_head(opcode, true, prefix.size() + data.size(), nullptr);
      head += prefix;
      std::string_view parts[] = {head, data};
      r = co_await stream_->write_v(parts);
    } else {
      std::uint64_t random = system_rng().next();
      unsigned char mask[4];
      std::memcpy(mask, &random, 4);
      std::string all = ws_head(opcode, true, prefix.size() + data.size(), mask);
      std::size_t at = all.size();
      all += prefix;
      all += data;
      ws_mask(all.data() + at, all.size() - at, mask, 0);
      r = co_await stream_->write(all);
    }
    sending_ = false;
    turn_.wake_one();
    co_return r;
  }

  Task<void> fail(std::uint16_t code, std::string why) {
    Result<void> r = co_await close(code, std::move(why));
    (void)r;
    abort();
  }

  Task<void> peer_closes() {
    const std::string& c = decoder_.control;
    close_code_ = c.size() >= 2 ? static_cast<std::uint16_t>(static_cast<unsigned char>(c[0]) << 8 | static_cast<unsigned char>(c[1])) : 1005;
    if (!close_sent_) {
      Result<void> r = co_await close(close_code_ == 1005 ? 1000 : close_code_, {});
      (void)r;
    }
    ended_ = true;
    // The server ends the connection first (RFC 6455, 7.1.1).
    if (server_) {
      Result<void> r = co_await stream_->shutdown_write();
      (void)r;
    }
  }

  StreamPtr stream_;
  bool server_;
  std::string protocol_;
  Options options_;
  WsDecoder decoder_;
  Http1Input in_;
  bool ended_ = false, sending_ = false, close_sent_ = false;
  std::uint16_t close_code_ = 1006;
  async::WaitQueue turn_;
};

class WebSocketStream final : public Stream {
 public:
  explicit WebSocketStream(WebSocketPtr socket) : socket_(std::move(socket)) {}
  Task<Result<std::size_t>> read_some(char* data, std::size_t size) override {
    while (at_ == left_.size()) {
      if (over_) co_return Result<std::size_t>(std::size_t{0});
      Result<WebSocket::Piece> p = co_await socket_->recv_piece();
      if (!p) {
        if (!p.is(Reason::Closed) || socket_->close_code() != 1000) co_return p.status();
        over_ = true;
        continue;
      }
      if (!p->binary) co_return bad_request("websocket: a text message in a binary tunnel");
      left_ = std::move(p->data);
      at_ = 0;
    }
    std::size_t n = std::min(size, left_.size() - at_);
    std::memcpy(data, left_.data() + at_, n);
    at_ += n;
    if (at_ == left_.size()) { left_ = std::string(); at_ = 0; }
    co_return Result<std::size_t>(n);
  }
  Task<Result<void>> wait_readable() override {
    // Messages are taken as they come; what was taken is held until it is read.
    while (at_ == left_.size() && !over_) {
      Result<WebSocket::Piece> p = co_await socket_->recv_piece();
      if (!p) {
        if (!p.is(Reason::Closed) || socket_->close_code() != 1000) co_return p.status();
        over_ = true;
        break;
      }
      if (!p->binary) co_return bad_request("websocket: a text message in a binary tunnel");
      left_ = std::move(p->data);
      at_ = 0;
    }
    co_return Result<void>();
  }
  Task<Result<void>> write(std::string_view data) override { return socket_->send(data, true); }
  Task<Result<void>> shutdown_write() override { return socket_->close(1000, {}); }
  void close() override { socket_->abort(); }

 private:
  WebSocketPtr socket_;
  std::string left_;
  std::size_t at_ = 0;
  bool over_ = false;
};

}  // namespace

bool is_websocket_upgrade(const Request& r) {
  return r.headers.has_token("Connection", "upgrade") && iequals(r.headers.get("Upgrade"), "websocket");
}

Task<Result<WebSocketPtr>> websocket_accept(Request& request, ResponseWriter& writer, std::vector<std::string> supported,
                                            WebSocket::Options options) {
  Status refused;
  int code = 400;
  std::string key(request.headers.get("Sec-WebSocket-Key"));
  std::string protocol;
  if (!is_websocket_upgrade(request) || request.method != "GET" || key.empty()) {
    refused = bad_request("not a websocket upgrade");
  } else if (trim(request.headers.get("Sec-WebSocket-Version")) != "13") {
    refused = bad_request("websocket version 13 is required");
  } else {
    std::vector<std::string> offered = request.headers.list("Sec-WebSocket-Protocol");
    // "" among the supported ones stands for a client that offers nothing.
    if (offered.empty()) offered.push_back("");
    bool fits = supported.empty();
    for (const std::string& o : offered) {
      if (fits) break;
      for (const std::string& s : supported)
        if (s == o) { fits = true; protocol = o; }
    }
    if (!fits) {
      code = 403;
      refused = Status(Reason::Forbidden, "none of the offered websocket protocols is supported: " + join(offered, ", "));
    }
  }
  if (!refused) {
    Result<void> r = co_await writer.send(code, text_headers(), refused.message());
    (void)r;
    co_return refused;
  }
  Headers answer;
  answer.add("Upgrade", "websocket");
  answer.add("Sec-WebSocket-Accept", ws_accept_key(key));
  if (!protocol.empty()) answer.add("Sec-WebSocket-Protocol", protocol);
  Result<StreamPtr> stream = co_await writer.upgrade(std::move(answer));
  if (!stream) co_return stream.status();
  co_return make_websocket(std::move(*stream), true, std::move(protocol), options);
}

Task<Result<WebSocketPtr>> websocket_connect(HttpClient& client, ClientRequest request, std::vector<std::string> offered,
                                             WebSocket::Options options) {
  std::string raw;
  for (int i = 0; i < 2; ++i) {
    std::uint64_t v = system_rng().next();
    raw.append(reinterpret_cast<const char*>(&v), 8);
  }
  std::string key = base64_encode(raw);
  request.method = "GET";
  request.headers.set("Upgrade", "websocket");
  request.headers.set("Sec-WebSocket-Version", "13");
  request.headers.set("Sec-WebSocket-Key", key);
  if (!offered.empty()) request.headers.set("Sec-WebSocket-Protocol", join(offered, ", "));
  Result<Upgraded> up = co_await client.upgrade(std::move(request));
  if (!up) co_return up.status();
  if (!up->stream) {
    Result<std::string> body = co_await up->refused->read_body(64 * 1024);
    Status s(reason_from_http_code(up->status), "websocket refused: " + (body ? body->substr(0, 1024) : std::string("no reason given")));
    s.set_code(up->status);
    co_return s;
  }
  std::string protocol(up->headers.get("Sec-WebSocket-Protocol"));
  bool known = protocol.empty();
  for (const std::string& o : offered) known = known || o == protocol;
  if (!iequals(up->headers.get("Upgrade"), "websocket") || up->headers.get("Sec-WebSocket-Accept") != ws_accept_key(key) || !known)
    co_return internal_error("the peer's websocket handshake is wrong");
  co_return make_websocket(std::move(up->stream), false, std::move(protocol), options);
}

WebSocketPtr make_websocket(StreamPtr stream, bool server, std::string protocol, WebSocket::Options options) {
  return std::make_unique<WebSocketImpl>(std::move(stream), server, std::move(protocol), options);
}

StreamPtr websocket_stream(WebSocketPtr socket) { return std::make_unique<WebSocketStream>(std::move(socket)); }

}  // namespace onebin::net
