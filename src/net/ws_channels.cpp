#include "net/ws_channels.hpp"

#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>

namespace onebin::net {
namespace {

constexpr std::size_t kMessage = 32 * 1024;

class ChannelStream final : public Stream {
 public:
  ChannelStream(std::shared_ptr<WsChannels> channels, unsigned number, StreamPtr reading)
      : channels_(std::move(channels)), number_(number), reading_(std::move(reading)) {}

  Task<Result<std::size_t>> read_some(char* data, std::size_t size) override {
    if (!reading_) return nothing();
    return reading_->read_some(data, size);
  }
  std::optional<Result<std::size_t>> try_read_some(char* data, std::size_t size) override {
    if (!reading_) return Result<std::size_t>(std::size_t{0});
    return reading_->try_read_some(data, size);
  }
  Task<Result<void>> wait_readable() override {
    if (!reading_) return Stream::wait_readable();
    return reading_->wait_readable();
  }
  Task<Result<void>> write(std::string_view data) override {
    while (!data.empty()) {
      if (closed_) co_return closed();
      std::string_view piece = data.substr(0, kMessage);
      Result<void> r = co_await channels_->send(number_, piece);
      if (!r) co_return r;
      data.remove_prefix(piece.size());
    }
    co_return Result<void>();
  }
  // The protocols have no way to tell a client that a channel has ended.
  Task<Result<void>> shutdown_write() override { co_return Result<void>(); }
  void close() override {
    closed_ = true;
    if (reading_) reading_->close();
  }

 private:
  static Task<Result<std::size_t>> nothing() { co_return Result<std::size_t>(std::size_t{0}); }
  std::shared_ptr<WsChannels> channels_;
  unsigned number_;
  StreamPtr reading_;
  bool closed_ = false;
};

}  // namespace

StreamPtr channel_stream(std::shared_ptr<WsChannels> channels, unsigned number, StreamPtr reading) {
  return std::make_unique<ChannelStream>(std::move(channels), number, std::move(reading));
}

bool is_base64_protocol(std::string_view protocol) { return protocol.find("base64") != protocol.npos; }

Task<Result<void>> WsChannels::send(unsigned channel, std::string_view data) {
  if (base64) {
    char prefix = static_cast<char>('0' + channel);
    std::string text = base64_encode(data);
    Result<void> r = co_await ws->send(std::string_view(&prefix, 1), text, false);
    co_return r;
  }
  char prefix = static_cast<char>(channel);
  Result<void> r = co_await ws->send(std::string_view(&prefix, 1), data, true);
  co_return r;
}

Task<void> WsChannels::read_loop() {
  auto self = shared_from_this();
  for (;;) {
    Result<WsMessage> m = co_await ws->recv();
    if (!m) break;
    if (m->data.empty()) continue;
    unsigned channel = static_cast<unsigned char>(m->data[0]);
    if (closes && channel == kCloseChannel) {
      if (m->data.size() != 2) break;
      unsigned ended_channel = static_cast<unsigned char>(m->data[1]);
      if (ended_channel >= inlets.size()) break;
      if (inlets[ended_channel]) {
        Result<void> r = co_await inlets[ended_channel]->shutdown_write();
        (void)r;
      }
      continue;
    }
    std::string_view payload = std::string_view(m->data).substr(1);
    std::string decoded;
    if (base64) {
      channel -= '0';
      auto bytes = base64_decode(payload);
      if (!bytes) continue;
      decoded = std::move(*bytes);
      payload = decoded;
    }
    if (channel < inlets.size() && inlets[channel]) {
      Result<void> r = co_await inlets[channel]->write(payload);  // fails when the reader has gone: dropped
      (void)r;
    } else if (other) {
      other(channel, payload);
    }
  }
  over = true;
  for (StreamPtr& inlet : inlets)
    if (inlet) inlet->close();
  ws->abort();
  ended.wake_all();
}

Task<void> WsChannels::wait_ended() {
  while (!over) {
    Status s = co_await ended.wait();
    if (!s) co_return;
  }
}

namespace {
Task<Result<void>> say_goodbye(std::shared_ptr<WsChannels> c) {
  Result<void> r = co_await c->ws->close(1000, {});
  if (r) co_await c->wait_ended();
  co_return r;
}
}  // namespace

Task<void> WsChannels::finish(Duration linger) {
  auto self = shared_from_this();
  if (!over && linger > Duration::zero()) {
    Result<void> r = co_await async::with_timeout(linger, say_goodbye(self));
    (void)r;
  }
  ws->abort();
  tasks.cancel();
  co_await tasks.join();
}

}  // namespace onebin::net
