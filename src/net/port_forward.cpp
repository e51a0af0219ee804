#include <onebin/net/remote_command.hpp>

#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/net/spdy.hpp>

#include "net/stream_upgrade.hpp"
#include "net/ws_channels.hpp"

#include <charconv>
#include <map>

namespace onebin::net {
namespace {

constexpr std::size_t kWaiting = 64;             // connections that next() has not fetched yet
constexpr std::size_t kChannelBuffer = 64 * 1024;
constexpr const char* kProtocol = "portforward.k8s.io";
constexpr const char* kTunnel = "SPDY/3.1+portforward.k8s.io";

std::uint16_t parse_port(std::string_view text) {
  std::uint16_t port = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), port);
  return ec == std::errc() && end == text.data() + text.size() ? port : 0;
}

class SpdyPortForward final : public PortForward {
 public:
  SpdyPortForward(StreamPtr stream, Duration limit) : limit_(limit), session_(SpdySession::create(std::move(stream), true)) {
    tasks_.spawn(collect());
  }
  Task<Result<Connection>> next() override { return ready_.recv(); }
  Task<void> stop() override { co_await async::uncancelled(stop_now()); }

 private:
  struct Pair { std::uint16_t port = 0; SpdyStreamPtr data, error; };

  // Clients of old give no requestID: error and data streams follow one another.
  static std::string request_id(const SpdyStream& s, bool is_data) {
    std::string id(s.headers().get("requestID"));
    return id.empty() ? std::to_string(is_data ? s.id() - 2 : s.id()) : id;
  }

  Task<void> collect() {
    for (;;) {
      Result<SpdyStreamPtr> s = co_await session_->accept_stream();
      if (!s) break;
      SpdyStreamPtr stream = std::move(*s);
      std::uint16_t port = parse_port(stream->headers().get("port"));
      std::string_view type = stream->headers().get("streamType");
      if (port == 0 || (type != "data" && type != "error")) continue;  // dropping it resets it
      std::string id = request_id(*stream, type == "data");
      bool fresh = !pairs_.count(id);
      Pair& pair = pairs_[id];
      pair.port = port;
      SpdyStreamPtr& slot = type == "data" ? pair.data : pair.error;
      if (slot) continue;
      slot = std::move(stream);
      if (pair.data && pair.error) {
        Connection c{pair.port, id, std::move(pair.data), std::move(pair.error)};
        pairs_.erase(id);
        (void)ready_.try_send(std::move(c));  // full: the streams are reset
      } else if (fresh) {
        tasks_.spawn(expire(id));
      }
    }
    ready_.close();
  }

  Task<void> expire(std::string id) {
    Status slept = co_await async::sleep_for(limit_);
    if (!slept) co_return;
    auto i = pairs_.find(id);
    if (i == pairs_.end()) co_return;
    Pair pair = std::move(i->second);
    pairs_.erase(i);
    if (!pair.error) co_return;
    Result<void> r = co_await pair.error->write("timed out waiting for streams");
    if (r) r = co_await pair.error->shutdown_write();
    (void)r;
  }

  Task<void> stop_now() {
    co_await session_->stop();
    tasks_.cancel();
    co_await tasks_.join();
    ready_.close();
    pairs_.clear();
    while (ready_.try_recv()) {}
  }

  Duration limit_;
  std::unique_ptr<SpdySession> session_;
  std::map<std::string, Pair> pairs_;     // by request id, one stream still missing
  async::Channel<Connection> ready_{kWaiting};
  async::TaskGroup tasks_{"port forward"};
};

// A port's data over a channel. The protocol knows no half-close: when one side is through, the connection is over, as upstream.
class PortChannel final : public Stream {
 public:
  PortChannel(StreamPtr inner, std::function<void()> over) : inner_(std::move(inner)), over_(std::move(over)) {}
  ~PortChannel() override { end(); }
  Task<Result<std::size_t>> read_some(char* data, std::size_t size) override { return inner_->read_some(data, size); }
  std::optional<Result<std::size_t>> try_read_some(char* data, std::size_t size) override { return inner_->try_read_some(data, size); }
  Task<Result<void>> wait_readable() override { return inner_->wait_readable(); }
  Task<Result<void>> write(std::string_view data) override { return inner_->write(data); }
  Task<Result<void>> shutdown_write() override {
    end();
    co_return Result<void>();
  }
  void close() override { end(); }

 private:
  void end() {
    inner_->close();
    if (auto over = std::exchange(over_, nullptr)) over();
  }
  StreamPtr inner_;
  std::function<void()> over_;
};

class WebSocketPortForward final : public PortForward {
 public:
  WebSocketPortForward(WebSocketPtr ws, std::vector<std::uint16_t> ports) : ports_(std::move(ports)) {
    bool base64 = is_base64_protocol(ws->protocol());
    channels_ = std::make_shared<WsChannels>(std::move(ws), base64, false);
  }

  // Each channel begins with its port, two bytes, low one first.
  Task<Result<void>> open() {
    channels_->inlets.resize(ports_.size() * 2);
    *open_ = ports_.size();
    for (unsigned i = 0; i < ports_.size(); ++i) {
      auto [inlet, outlet] = make_pipe(kChannelBuffer);
      channels_->inlets[2 * i] = std::move(inlet);
      StreamPtr data = std::make_unique<PortChannel>(channel_stream(channels_, 2 * i, std::move(outlet)), [channels = channels_, open = open_] {
        if (--*open == 0) channels->ended.wake_all();
      });
      Connection c{ports_[i], std::to_string(i), std::move(data), channel_stream(channels_, 2 * i + 1, nullptr)};
      char low_first[] = {static_cast<char>(ports_[i] & 0xff), static_cast<char>(ports_[i] >> 8)};
      for (unsigned channel : {2 * i, 2 * i + 1}) {
        Result<void> r = co_await channels_->send(channel, std::string_view(low_first, 2));
        if (!r) co_return r;
      }
      waiting_.push_back(std::move(c));
    }
    channels_->tasks.spawn(channels_->read_loop());
    co_return Result<void>();
  }
  Task<Result<Connection>> next() override {
    if (!waiting_.empty()) {
      Connection c = std::move(waiting_.front());
      waiting_.pop_front();
      co_return Result<Connection>(std::move(c));
    }
    while (!channels_->over && *open_ > 0) {
      Status w = co_await channels_->ended.wait();
      if (!w) co_return w;
    }
    co_return closed();
  }
  Task<void> stop() override {
    waiting_.clear();
    co_await async::uncancelled(channels_->finish(2s));
  }

 private:
  std::vector<std::uint16_t> ports_;
  std::shared_ptr<WsChannels> channels_;
  std::shared_ptr<std::size_t> open_ = std::make_shared<std::size_t>(0);  // ports whose connection is not over
  std::deque<Connection> waiting_;
};

Result<std::vector<std::uint16_t>> ports_of(const Request& request) {
  Query q = Query::parse(request.query);
  std::vector<std::uint16_t> ports;
  for (std::string_view list : q.all("port"))
    for (const std::string& text : split(list, ',')) {
      std::uint16_t port = parse_port(text);
      if (port == 0) return bad_request("unable to parse \"" + text + "\" as a port");
      ports.push_back(port);
    }
  if (ports.empty()) return bad_request("query parameter \"port\" is required");
  if (ports.size() > 100) return bad_request("too many ports");
  return ports;
}

bool offers_tunnel(const Request& r) {
  for (const std::string& p : r.headers.list("Sec-WebSocket-Protocol"))
    if (p == kTunnel) return true;
  return false;
}

}  // namespace

Task<Result<std::unique_ptr<PortForward>>> PortForward::accept(Request& request, ResponseWriter& writer, Duration limit) {
  if (!is_websocket_upgrade(request)) {
    if (!is_spdy_upgrade(request)) {
      Status s = co_await refuse_upgrade(writer, "unable to upgrade: missing upgrade headers in request");
      co_return s;
    }
    std::vector<std::string> protocols{kProtocol};
    Result<SpdyUpgrade> up = co_await spdy_upgrade(request, writer, std::move(protocols));
    if (!up) co_return up.status();
    co_return Result<std::unique_ptr<PortForward>>(std::make_unique<SpdyPortForward>(std::move(up->stream), limit));
  }
  if (offers_tunnel(request)) {
    std::vector<std::string> protocols{kTunnel};
    Result<WebSocketPtr> ws = co_await websocket_accept(request, writer, std::move(protocols));
    if (!ws) co_return ws.status();
    StreamPtr tunnel = websocket_stream(std::move(*ws));
    co_return Result<std::unique_ptr<PortForward>>(std::make_unique<SpdyPortForward>(std::move(tunnel), limit));
  }
  Result<std::vector<std::uint16_t>> ports = ports_of(request);
  if (!ports) {
    Status s = co_await refuse_upgrade(writer, ports.status().message());
    co_return s;
  }
  std::vector<std::string> protocols{"v4.channel.k8s.io", "v4.base64.channel.k8s.io", ""};
  Result<WebSocketPtr> ws = co_await websocket_accept(request, writer, std::move(protocols));
  if (!ws) co_return ws.status();
  auto forward = std::make_unique<WebSocketPortForward>(std::move(*ws), std::move(*ports));
  Result<void> opened = co_await forward->open();
  if (!opened) {
    co_await forward->stop();
    co_return opened.status();
  }
  co_return Result<std::unique_ptr<PortForward>>(std::move(forward));
}

}  // namespace onebin::net
