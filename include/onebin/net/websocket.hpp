// WebSocket (RFC 6455), both roles, no extensions.
#pragma once
#include <onebin/net/client.hpp>
#include <onebin/net/http.hpp>

namespace onebin::net {

enum class WsOpcode : std::uint8_t { Continuation = 0, Text = 1, Binary = 2, Close = 8, Ping = 9, Pong = 10 };

struct WsMessage {
  bool binary = true;
  std::string data;
};

class WebSocket {
 public:
  struct Options {
    std::size_t max_message = 4u << 20;      // 1009 past it
    Duration write_timeout = Duration::zero();  // a peer that takes nothing: Timeout. 0: never
    Duration ping_interval = Duration::zero();  // 0: none. A ping while a recv() waits; unanswered until the next one: Closed
  };
  virtual ~WebSocket() = default;
  // The next whole message. Pings are answered, fragments joined. Closed after the peer's close frame or end.
  virtual Task<Result<WsMessage>> recv() = 0;
  // The next piece of a message as it comes (at most 64 KB), so that a large one needs no buffer; not to be mixed with recv
  // inside one message. `first`: a message begins; `last`: it ends.
  struct Piece { bool first = false, last = false, binary = true; std::string data; };
  virtual Task<Result<Piece>> recv_piece() = 0;
  // One message in one frame. Sends are queued one behind the other, so several tasks may send.
  virtual Task<Result<void>> send(std::string_view data, bool binary = true) = 0;
  // As send, of `prefix` and `data` in one frame (channel protocols).
  virtual Task<Result<void>> send(std::string_view prefix, std::string_view data, bool binary) = 0;
  virtual Task<Result<void>> ping() = 0;
  // The closing handshake's first half; recv() then gives Closed when the peer has answered.
  virtual Task<Result<void>> close(std::uint16_t code = 1000, std::string reason = {}) = 0;
  virtual void abort() = 0;                          // closes the stream under it
  virtual std::uint16_t close_code() const = 0;      // the peer's; 1005 when it gave none, 1006 when it just went
  virtual const std::string& protocol() const = 0;   // agreed subprotocol, "" for none
};
using WebSocketPtr = std::unique_ptr<WebSocket>;

bool is_websocket_upgrade(const Request& request);

// Accepts an upgrade, agreeing on the first of the client's offers that is among `supported`. `supported` empty: any offer, none
// agreed. When none fits, or the request is no upgrade, answers 400 or 403 itself and returns the error.
Task<Result<WebSocketPtr>> websocket_accept(Request& request, ResponseWriter& writer, std::vector<std::string> supported,
                                            WebSocket::Options options = {});
// Connects. A refusal is an error whose code() is the answer's, its message from the body's first 1 KB.
Task<Result<WebSocketPtr>> websocket_connect(HttpClient& client, ClientRequest request, std::vector<std::string> offered,
                                             WebSocket::Options options = {});
// Over an upgraded stream.
WebSocketPtr make_websocket(StreamPtr stream, bool server, std::string protocol, WebSocket::Options options = {});

// The bytes of a WebSocket's binary messages as a Stream (SPDY tunnelled in WebSocket). Owns it.
StreamPtr websocket_stream(WebSocketPtr socket);

}  // namespace onebin::net
