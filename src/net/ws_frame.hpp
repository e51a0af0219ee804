// WebSocket framing, apart from any stream: what the fuzzer feeds.
#pragma once
#include <onebin/net/websocket.hpp>

namespace onebin::net {

struct WsFrameHead {
  bool fin = false, masked = false;
  WsOpcode opcode = WsOpcode::Continuation;
  std::uint64_t size = 0;
  unsigned char mask[4] = {};
  std::size_t bytes = 0;  // of the head itself
};
// nullopt: more bytes are needed (at most 14). BadRequest: not a frame that this side may get.
Result<std::optional<WsFrameHead>> parse_ws_head(std::string_view data, bool from_client);
// `mask` null: not masked.
std::string ws_head(WsOpcode opcode, bool fin, std::uint64_t size, const unsigned char* mask);
// Applies the mask to bytes that begin `offset` bytes into the payload.
void ws_mask(char* data, std::size_t size, const unsigned char* mask, std::uint64_t offset);
std::string ws_accept_key(std::string_view key);

// Turns received bytes into events; keeps the state of fragments and masks.
class WsDecoder {
 public:
  explicit WsDecoder(bool from_client) : from_client_(from_client) {}
  enum class Event { NeedMore, Piece, Ping, Pong, Close };
  // Takes from the front of `data`; `taken` says how much. Piece: `piece`; control frames: `control`, whole.
  Result<Event> next(std::string_view data, std::size_t limit, std::size_t* taken);
  WebSocket::Piece piece;
  std::string control;

 private:
  Result<void> check(const WsFrameHead& h);
  bool from_client_;
  bool in_frame_ = false, in_message_ = false, first_ = false, binary_ = true;
  WsFrameHead head_;
  std::uint64_t done_ = 0;  // payload bytes of this frame
};

}  // namespace onebin::net
