// The channel.k8s.io protocols over WebSocket: each message begins with the number of the channel that it belongs to.
#pragma once
#include <onebin/async/channel.hpp>
#include <onebin/async/group.hpp>
#include <onebin/net/websocket.hpp>

namespace onebin::net {

constexpr unsigned kCloseChannel = 255;  // v5: the next byte names a channel whose sender is through

// Owns the WebSocket; kept alive by its channels' streams.
struct WsChannels : std::enable_shared_from_this<WsChannels> {
  WsChannels(WebSocketPtr socket, bool base64_form, bool with_close) : ws(std::move(socket)), base64(base64_form), closes(with_close) {}

  WebSocketPtr ws;
  bool base64, closes, over = false;
  std::vector<StreamPtr> inlets;                       // by channel, where what comes goes; null: dropped
  std::function<void(unsigned, std::string_view)> other;  // messages of channels without an inlet
  async::WaitQueue ended;
  async::TaskGroup tasks{"websocket channels"};

  Task<Result<void>> send(unsigned channel, std::string_view data);
  Task<void> read_loop();                               // spawned in `tasks`
  Task<void> wait_ended();
  // Close frame, the peer's answer for at most `linger`, then the end of everything.
  Task<void> finish(Duration linger);
};

// One channel as a stream: reads from `inlet`'s other end (may be null: write only).
StreamPtr channel_stream(std::shared_ptr<WsChannels> channels, unsigned number, StreamPtr reading);

// True for the protocols whose payloads are base64.
bool is_base64_protocol(std::string_view protocol);

}  // namespace onebin::net
