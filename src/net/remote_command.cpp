#include <onebin/net/remote_command.hpp>

#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/net/spdy.hpp>

#include "net/stream_upgrade.hpp"
#include "net/text_answer.hpp"
#include "net/ws_channels.hpp"

#include <cctype>

namespace onebin::net {

bool is_spdy_upgrade(const Request& r) {
  return r.headers.has_token("Connection", "upgrade") && to_lower(r.headers.get("Upgrade")).find("spdy/3.1") != std::string::npos;
}

Task<Status> refuse_upgrade(ResponseWriter& writer, std::string why) {
  Result<void> r = co_await writer.send(400, text_headers(), why);
  (void)r;
  co_return bad_request(std::move(why));
}

Task<Result<SpdyUpgrade>> spdy_upgrade(Request& request, ResponseWriter& writer, std::vector<std::string> supported) {
  std::vector<std::string> offered = request.headers.list("X-Stream-Protocol-Version");
  if (offered.empty()) {
    Status s = co_await refuse_upgrade(writer, "unable to upgrade: the request has no X-Stream-Protocol-Version");
    co_return s;
  }
  std::string chosen;
  for (const std::string& o : offered)
    for (const std::string& s : supported)
      if (chosen.empty() && o == s) chosen = o;
  if (chosen.empty()) {
    Headers h = text_headers();
    for (const std::string& s : supported) h.add("X-Accepted-Stream-Protocol-Versions", s);
    std::string why = "unable to upgrade: none of the protocols " + join(offered, ", ") + " is supported";
    Result<void> r = co_await writer.send(403, std::move(h), why);
    (void)r;
    co_return Status(Reason::Forbidden, why);
  }
  Headers answer;
  answer.add("Upgrade", "SPDY/3.1");
  answer.add("X-Stream-Protocol-Version", chosen);
  Result<StreamPtr> stream = co_await writer.upgrade(std::move(answer));
  if (!stream) co_return stream.status();
  SpdyUpgrade u{std::move(*stream), std::move(chosen)};
  co_return Result<SpdyUpgrade>(std::move(u));
}

Result<RemoteCommandOptions> RemoteCommandOptions::from_query(const Query& q) {
  auto on = [&](std::string_view a, std::string_view b) {
    for (std::string_view name : {a, b}) {
      std::string_view v = q.get(name);
      if (v == "1" || v == "true" || v == "t" || v == "T" || v == "TRUE" || v == "True") return true;
    }
    return false;
  };
  RemoteCommandOptions o;
  o.stdin_ = on("stdin", "input");
  o.stdout_ = on("stdout", "output");
  o.stderr_ = on("stderr", "error");
  o.tty = on("tty", "tty");
  if (o.tty) o.stderr_ = false;
  if (!o.stdin_ && !o.stdout_ && !o.stderr_) return bad_request("you must specify at least 1 of stdin, stdout, stderr");
  return o;
}

namespace {

constexpr Duration kLinger = 2s;
constexpr std::size_t kStdinBuffer = 64 * 1024;
constexpr std::size_t kResizeLimit = 4096;

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (unsigned char c : text) {
    if (c == '"' || c == '\\') { out += '\\'; out += static_cast<char>(c); }
    else if (c < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", c);
      out += escape;
    } else out += static_cast<char>(c);
  }
  return out + "\"";
}

// The number behind "Width" or "Height" in {"Width":80,"Height":24}.
std::uint16_t number_of(std::string_view json, std::string_view name) {
  std::string lower = to_lower(json);
  std::size_t at = lower.find("\"" + to_lower(name) + "\"");
  if (at == std::string::npos) return 0;
  at = lower.find(':', at);
  if (at == std::string::npos) return 0;
  ++at;
  while (at < lower.size() && std::isspace(static_cast<unsigned char>(lower[at]))) ++at;
  unsigned value = 0;
  for (; at < lower.size() && lower[at] >= '0' && lower[at] <= '9'; ++at) value = std::min(65535u, value * 10 + static_cast<unsigned>(lower[at] - '0'));
  return static_cast<std::uint16_t>(value);
}

// Notes when something moves.
class NotingStream final : public Stream {
 public:
  NotingStream(StreamPtr inner, SteadyTime* moved) : inner_(std::move(inner)), moved_(moved) {}
  Task<Result<std::size_t>> read_some(char* data, std::size_t size) override {
    Result<std::size_t> n = co_await inner_->read_some(data, size);
    note();
    co_return n;
  }
  std::optional<Result<std::size_t>> try_read_some(char* data, std::size_t size) override {
    auto r = inner_->try_read_some(data, size);
    if (r) note();
    return r;
  }
  Task<Result<void>> wait_readable() override { return inner_->wait_readable(); }
  Task<Result<void>> write(std::string_view data) override {
    Result<void> r = co_await inner_->write(data);
    note();
    co_return r;
  }
  Task<Result<void>> shutdown_write() override { return inner_->shutdown_write(); }
  void close() override { inner_->close(); }

 private:
  void note() { *moved_ = async::Loop::current().now(); }
  StreamPtr inner_;
  SteadyTime* moved_;
};

class RemoteCommandImpl : public RemoteCommand {
 public:
  explicit RemoteCommandImpl(RemoteCommandOptions options) : options_(options), moved_(async::Loop::current().now()) {}

  Stream* stdin_stream() override { return stdin_.get(); }
  Stream* stdout_stream() override { return stdout_.get(); }
  Stream* stderr_stream() override { return stderr_.get(); }
  const std::string& protocol() const override { return protocol_; }

  Task<Result<TerminalSize>> next_resize() override {
    for (;;) {
      if (size_) {
        TerminalSize s = *size_;
        size_.reset();
        co_return Result<TerminalSize>(s);
      }
      if (no_resize_) co_return closed();
      Status w = co_await resized_.wait();
      if (!w) co_return w;
    }
  }

  Task<void> finish_exit(int code) override {
    std::string json = R"({"metadata":{},"status":"Success"})", text;
    if (code != 0) {
      std::string number = std::to_string(code);
      text = "command terminated with non-zero exit code: " + number;
      json = R"({"metadata":{},"status":"Failure","message":)" + json_string(text) +
             R"(,"reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":")" + number + R"("}]}})";
    }
    co_await async::uncancelled(finish(std::move(json), std::move(text)));
  }
  Task<void> finish_error(Status error) override {
    std::string json = R"({"metadata":{},"status":"Failure","message":)" + json_string(error.message()) + R"(,"reason":)" +
                       json_string(to_string(error.reason())) + R"(,"code":)" + std::to_string(error.code()) + "}";
    co_await async::uncancelled(finish(std::move(json), error.message()));
  }
  Task<void> abort() override { co_await async::uncancelled(end(Duration::zero())); }

  // What the two carriers do.
  virtual Task<void> finish(std::string json, std::string text) = 0;
  virtual Task<void> end(Duration linger) = 0;
  virtual void cut() = 0;  // close the connection under it

  void begin_idle_watch() {
    if (options_.idle_timeout > Duration::zero()) tasks_.spawn(idle_watch());
  }

 protected:
  bool structured() const { return starts_with(protocol_, "v4.") || starts_with(protocol_, "v5."); }

  void on_resize(std::string_view json) {
    TerminalSize s{number_of(json, "Width"), number_of(json, "Height")};
    if (s.width == 0 && s.height == 0) return;
    size_ = s;
    resized_.wake_all();
  }
  void end_resize() {
    no_resize_ = true;
    resized_.wake_all();
  }
  StreamPtr noting(StreamPtr inner) { return std::make_unique<NotingStream>(std::move(inner), &moved_); }
  void close_streams() {
    for (Stream* s : {stdin_.get(), stdout_.get(), stderr_.get()})
      if (s) s->close();
  }

  Task<void> idle_watch() {
    for (;;) {
      SteadyTime until = moved_ + options_.idle_timeout;
      Status slept = co_await async::sleep_until(until);
      if (!slept) co_return;
      if (moved_ + options_.idle_timeout > until) continue;
      cut();
      co_return;
    }
  }

  RemoteCommandOptions options_;
  std::string protocol_;
  StreamPtr stdin_, stdout_, stderr_;
  SteadyTime moved_;
  std::optional<TerminalSize> size_;
  bool no_resize_ = false;
  async::WaitQueue resized_;
  async::TaskGroup tasks_{"remote command"};
};

class WebSocketCommand final : public RemoteCommandImpl {
 public:
  WebSocketCommand(RemoteCommandOptions options, WebSocketPtr ws) : RemoteCommandImpl(options) {
    protocol_ = ws->protocol();
    bool base64 = is_base64_protocol(protocol_), closes = starts_with(protocol_, "v5.");
    channels_ = std::make_shared<WsChannels>(std::move(ws), base64, closes);
    channels_->inlets.resize(5);
    if (options.stdin_) {
      auto [inlet, outlet] = make_pipe(kStdinBuffer);
      channels_->inlets[0] = std::move(inlet);
      stdin_ = noting(std::move(outlet));
    }
    if (options.stdout_) stdout_ = noting(channel_stream(channels_, 1, nullptr));
    if (options.stderr_) stderr_ = noting(channel_stream(channels_, 2, nullptr));
    channels_->other = [this](unsigned channel, std::string_view data) { if (channel == 4) on_resize(data.substr(0, kResizeLimit)); };
    channels_->tasks.spawn(channels_->read_loop());
    tasks_.spawn(watch_end());
    begin_idle_watch();
  }

  // An empty message tells the client that the session stands.
  Task<Result<void>> greet() {
    unsigned channel = options_.stdout_ ? 1 : options_.stderr_ ? 2 : 3;
    Result<void> r = co_await channels_->send(channel, {});
    co_return r;
  }
  Task<void> wait_closed() override { return channels_->wait_ended(); }

  Task<void> finish(std::string json, std::string text) override {
    std::string message = structured() ? std::move(json) : std::move(text);
    if (!message.empty() && !channels_->over) {
      Result<void> r = co_await async::with_timeout(10s, channels_->send(3, message));
      (void)r;
    }
    co_await end(kLinger);
  }
  Task<void> end(Duration linger) override {
    close_streams();
    co_await channels_->finish(linger);
    channels_->other = nullptr;
    end_resize();
    tasks_.cancel();
    co_await tasks_.join();
  }
  void cut() override { channels_->ws->abort(); }

 private:
  Task<void> watch_end() {
    co_await channels_->wait_ended();
    end_resize();
  }
  std::shared_ptr<WsChannels> channels_;
};

class SpdyCommand final : public RemoteCommandImpl {
 public:
  SpdyCommand(RemoteCommandOptions options, SpdyUpgrade up) : RemoteCommandImpl(options) {
    protocol_ = std::move(up.protocol);
    session_ = SpdySession::create(std::move(up.stream), true);
  }

  Task<Result<void>> collect() {
    bool sizes = options_.tty && (starts_with(protocol_, "v3.") || starts_with(protocol_, "v4."));
    int expected = 1 + options_.stdin_ + options_.stdout_ + options_.stderr_ + sizes;
    for (int have = 0; have < expected;) {
      Result<SpdyStreamPtr> s = co_await session_->accept_stream();
      if (!s) co_return s.status();
      std::string type(s->get()->headers().get("streamType"));
      StreamPtr* slot = type == "stdin" ? &stdin_ : type == "stdout" ? &stdout_ : type == "stderr" ? &stderr_
                      : type == "error" ? &error_ : type == "resize" ? &resize_ : nullptr;
      if (!slot || *slot) continue;  // dropping the stream resets it
      StreamPtr plain = std::move(*s);
      bool io = slot == &stdin_ || slot == &stdout_ || slot == &stderr_;
      *slot = io ? noting(std::move(plain)) : std::move(plain);
      ++have;
    }
    if (!options_.stdin_) stdin_.reset();
    if (resize_) tasks_.spawn(read_sizes());
    else end_resize();
    begin_idle_watch();
    co_return Result<void>();
  }
  Task<void> wait_closed() override { return session_->wait_closed(); }

  Task<void> finish(std::string json, std::string text) override {
    std::string message = structured() ? std::move(json) : std::move(text);
    Result<void> r = co_await async::with_timeout(10s, say(message));
    (void)r;
    co_await end(kLinger);
  }
  Task<void> end(Duration linger) override {
    if (resize_) resize_->close();
    tasks_.cancel();
    co_await tasks_.join();
    end_resize();
    co_await session_->stop(linger);
    close_streams();
    if (error_) error_->close();
  }
  void cut() override { tasks_.spawn(session_->stop(Duration::zero())); }

 private:
  Task<Result<void>> say(const std::string& message) {
    for (Stream* s : {stdout_.get(), stderr_.get()}) {
      if (!s) continue;
      Result<void> r = co_await s->shutdown_write();
      (void)r;
    }
    if (error_) {
      if (!message.empty()) CO_RETURN_IF_ERROR(co_await error_->write(message));
      CO_RETURN_IF_ERROR(co_await error_->shutdown_write());
    }
    if (stdin_) CO_RETURN_IF_ERROR(co_await stdin_->shutdown_write());
    co_return Result<void>();
  }

  Task<void> read_sizes() {
    std::string text;
    char buffer[512];
    for (;;) {
      Result<std::size_t> n = co_await resize_->read_some(buffer, sizeof buffer);
      if (!n || *n == 0 || text.size() > kResizeLimit) break;
      text.append(buffer, *n);
      for (std::size_t end; (end = text.find('}')) != std::string::npos; text.erase(0, end + 1)) on_resize(std::string_view(text).substr(0, end + 1));
    }
    end_resize();
  }

  std::unique_ptr<SpdySession> session_;
  StreamPtr error_, resize_;
};

}  // namespace

Task<Result<std::unique_ptr<RemoteCommand>>> RemoteCommand::accept(Request& request, ResponseWriter& writer,
                                                                   RemoteCommandOptions options) {
  if (is_websocket_upgrade(request)) {
    std::vector<std::string> protocols{"v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io",
                                       "channel.k8s.io", "base64.channel.k8s.io", ""};
    Result<WebSocketPtr> ws = co_await websocket_accept(request, writer, std::move(protocols));
    if (!ws) co_return ws.status();
    auto command = std::make_unique<WebSocketCommand>(options, std::move(*ws));
    Result<void> greeted = co_await command->greet();
    if (!greeted) {
      co_await command->abort();
      co_return greeted.status();
    }
    co_return Result<std::unique_ptr<RemoteCommand>>(std::move(command));
  }
  if (!is_spdy_upgrade(request)) {
    Status s = co_await refuse_upgrade(writer, "unable to upgrade: missing upgrade headers in request");
    co_return s;
  }
  std::vector<std::string> protocols{"v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"};
  Result<SpdyUpgrade> up = co_await spdy_upgrade(request, writer, std::move(protocols));
  if (!up) co_return up.status();
  auto command = std::make_unique<SpdyCommand>(options, std::move(*up));
  Result<void> streams = co_await async::with_timeout(options.stream_creation_timeout, command->collect());
  if (!streams) {
    co_await command->abort();
    co_return streams.status().with_context("waiting for the client to create its streams");
  }
  co_return Result<std::unique_ptr<RemoteCommand>>(std::move(command));
}

}  // namespace onebin::net
