#include "net/buffer.hpp"
#include "net/http1.hpp"
#include "net/server_core.hpp"
#include "net/text_answer.hpp"

#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/log.hpp>

namespace onebin::net {
namespace {

constexpr std::size_t kBuffer = 16 * 1024;        // of an answer, before it is written out
constexpr std::size_t kPipelined = 64 * 1024;     // read ahead while a handler runs
constexpr std::size_t kDrain = 256 * 1024;        // of a body that the handler left, to keep the connection
constexpr std::size_t kLinger = 1024 * 1024;
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

class Http1Connection;

// One request and its answer.
class Http1Exchange final : public ResponseWriter, public BodyReader {
 public:
  Http1Exchange(Http1Connection& connection, Http1Message<true>& message) : connection_(connection), message_(message) {}

  Task<Result<void>> send(int status, Headers headers, std::string_view body) override;
  Task<Result<void>> start(int status, Headers headers) override;
  Task<Result<void>> write(std::string_view chunk) override;
  Task<Result<void>> flush() override;
  Task<Result<void>> finish() override;
  void abort() override;
  Task<Result<StreamPtr>> upgrade(Headers headers) override;
  bool started() const override { return status_ != 0; }
  int status() const override { return status_; }
  std::uint64_t body_bytes() const override { return body_bytes_; }
  void set_write_timeout(Duration limit) override;

  Task<Result<std::size_t>> read_some(char* data, std::size_t size) override;

  Task<void> conclude();      // after the handler
  bool body_done() const { return message_.done(); }
  bool keeps_connection() const { return finished_ && !close_ && !broken_; }

  bool handler_done = false, upgrading = false, upgraded = false;
  async::WaitQueue changed;                 // handler_done, upgrading, or the body is complete
  async::CancelScope* watch = nullptr;      // of the wait for the client to go, while it waits
  bool watching = false;
  async::WaitQueue watch_ended;
  bool head_request = false, expects_continue = false;
  void wake();

 private:
  enum class Mode { None, Length, Chunked, UntilClose };
  void begin(int status, const Headers& headers, std::optional<std::uint64_t> length);
  Task<Result<void>> put(std::string_view extra, bool last);

  Http1Connection& connection_;
  Http1Message<true>& message_;
  int status_ = 0;
  Mode mode_ = Mode::None;
  std::uint64_t body_bytes_ = 0, declared_left_ = 0;
  std::string head_, buffer_;
  Headers later_;             // of an answer whose framing is not settled yet
  bool settled_ = false, finished_ = false, close_ = false, broken_ = false, continued_ = false;
};

class Http1Connection final : public ServerConnection {
 public:
  Http1Connection(ServerCore& core, StreamPtr stream, std::shared_ptr<const PeerInfo> peer)
      : core_(core), stream_(std::move(stream)), peer_(std::move(peer)) {
    stream_->set_write_timeout(core_.config.limits.write_timeout);
    core_.connections.insert(this);
  }
  ~Http1Connection() override { core_.connections.erase(this); }
  void begin_stop() override { if (idle_) stream_->close(); }
  std::optional<SteadyTime> idle_since() const override { return idle_ ? std::optional(idle_since_) : std::nullopt; }

  Task<void> run(bool prior_knowledge_h2);

  ServerCore& core_;
  StreamPtr stream_;          // null after an upgrade
  std::shared_ptr<const PeerInfo> peer_;
  Http1Input in_;

 private:
  Task<bool> wait_for_request();
  Task<bool> exchange(Http1Message<true>& message);
  Task<void> refuse(Http1Message<true>& message, int status, std::string text);
  Task<void> handle(Http1Exchange& ex, Request& request);
  Task<void> watch(Http1Exchange& ex, async::TaskGroup& handler);
  Task<bool> drain(Http1Exchange& ex, Http1Message<true>& message);
  Task<void> close_gently();
  bool idle_ = false;
  SteadyTime idle_since_{};
};

void Http1Exchange::wake() {
  changed.wake_all();
}

void Http1Exchange::begin(int status, const Headers& headers, std::optional<std::uint64_t> length) {
  settled_ = true;
  if (connection_.core_.stopping || message_.head().version < 11 || (!message_.done() && expects_continue && !continued_)) close_ = true;
  if (!message_.keep_alive() || headers.has_token("Connection", "close")) close_ = true;
  bool bodyless = status == 204 || status == 304 || (status >= 100 && status < 200);
  head_ = "HTTP/1.1 " + std::to_string(status) + " ";
  head_ += reason_phrase(status);
  head_ += "\r\n";
  for (const auto& [name, value] : headers)
    if (!iequals(name, "Connection") && !iequals(name, "Transfer-Encoding") && !(bodyless && iequals(name, "Content-Length")))
      append_field(head_, name, value);
  if (bodyless) {
    mode_ = Mode::None;
  } else if (headers.has("Content-Length")) {
    mode_ = Mode::Length;
    declared_left_ = std::strtoull(std::string(headers.get("Content-Length")).c_str(), nullptr, 10);
  } else if (length) {
    mode_ = Mode::Length;
    declared_left_ = *length;
    append_field(head_, "Content-Length", std::to_string(*length));
  } else if (message_.head().version >= 11) {
    mode_ = Mode::Chunked;
    append_field(head_, "Transfer-Encoding", "chunked");
  } else {
    mode_ = Mode::UntilClose;
    close_ = true;
  }
  if (head_request) mode_ = Mode::None;
  if (!headers.has("Date")) append_field(head_, "Date", http_date());
  if (close_) append_field(head_, "Connection", "close");
  head_ += "\r\n";
}

Task<Result<void>> Http1Exchange::send(int status, Headers headers, std::string_view body) {
  if (started()) co_return internal_error("an answer was begun already");
  status_ = status;
  body_bytes_ = body.size();
  begin(status, headers, body.size());
  declared_left_ = 0;
  finished_ = true;
  std::string_view parts[] = {head_, mode_ == Mode::None ? std::string_view() : body};
  Result<void> r = co_await connection_.stream_->write_v(parts);
  head_ = std::string();
  if (!r) broken_ = true;
  co_return r;
}

Task<Result<void>> Http1Exchange::start(int status, Headers headers) {
  if (started()) co_return internal_error("an answer was begun already");
  status_ = status;
  later_ = std::move(headers);
  co_return Result<void>();
}

// Writes head (once), what is buffered and `extra`; with `last` also the body's end.
Task<Result<void>> Http1Exchange::put(std::string_view extra, bool last) {
  if (broken_) co_return closed();
  if (!settled_) {
    begin(status_, later_, last ? std::optional<std::uint64_t>(buffer_.size() + extra.size()) : std::nullopt);
    later_ = Headers();
  }
  std::size_t size = buffer_.size() + extra.size();
  if (mode_ == Mode::Length) {
    if (size > declared_left_ || (last && size < declared_left_)) {
      abort();
      co_return internal_error("the body does not have the length that the header tells");
    }
    declared_left_ -= size;
  }
  std::string frame_head;
  std::string_view tail;
  if (mode_ == Mode::Chunked) {
    if (size > 0) { frame_head = chunk_head(size); tail = last ? "\r\n0\r\n\r\n" : "\r\n"; }
    else if (last) tail = "0\r\n\r\n";
  }
  bool body = mode_ != Mode::None;
  std::string_view parts[] = {head_, frame_head, body ? std::string_view(buffer_) : std::string_view(),
                              body ? extra : std::string_view(), tail};
  Result<void> r = co_await connection_.stream_->write_v(parts);
  head_ = std::string();
  buffer_.clear();
  if (!r) broken_ = true;
  co_return r;
}

Task<Result<void>> Http1Exchange::write(std::string_view chunk) {
  if (!started() || finished_) co_return internal_error("write outside of an answer");
  if (broken_) co_return closed();
  body_bytes_ += chunk.size();
  if (buffer_.size() + chunk.size() <= kBuffer) {
    buffer_ += chunk;
    co_return Result<void>();
  }
  Result<void> r = co_await put(chunk, false);
  co_return r;
}

Task<Result<void>> Http1Exchange::flush() {
  if (!started()) co_return internal_error("flush before an answer");
  if (finished_ || (settled_ && buffer_.empty())) co_return Result<void>();
  Result<void> r = co_await put({}, false);
  buffer_ = std::string();
  co_return r;
}

Task<Result<void>> Http1Exchange::finish() {
  if (!started()) co_return internal_error("finish before an answer");
  if (finished_) co_return Result<void>();
  Result<void> r = co_await put({}, true);
  finished_ = true;
  buffer_ = std::string();
  co_return r;
}

void Http1Exchange::abort() {
  broken_ = true;
  if (connection_.stream_) connection_.stream_->close();
}

void Http1Exchange::set_write_timeout(Duration limit) {
  if (connection_.stream_) connection_.stream_->set_write_timeout(limit);
}

Task<Result<StreamPtr>> Http1Exchange::upgrade(Headers headers) {
  if (started()) co_return internal_error("an answer was begun already");
  if (message_.head().version < 11 || !message_.done()) co_return bad_request("the request cannot be upgraded");
  upgrading = true;
  wake();
  if (watch) watch->cancel();
  while (watching) {
    Status s = co_await watch_ended.wait();
    if (!s) co_return s;
  }
  status_ = 101;
  head_ = "HTTP/1.1 101 Switching Protocols\r\n";
  for (const auto& [name, value] : headers)
    if (!iequals(name, "Connection")) append_field(head_, name, value);
  append_field(head_, "Connection", "Upgrade");
  head_ += "\r\n";
  finished_ = true;
  close_ = true;
  Result<void> r = co_await connection_.stream_->write(head_);
  head_ = std::string();
  if (!r) { broken_ = true; co_return r.status(); }
  upgraded = true;
  StreamPtr stream = std::move(connection_.stream_);
  stream->set_write_timeout(Duration::zero());
  co_return with_prefix(connection_.in_.take(), std::move(stream));
}

Task<Result<std::size_t>> Http1Exchange::read_some(char* data, std::size_t size) {
  if (broken_ || !connection_.stream_) co_return closed();
  if (message_.done()) co_return Result<std::size_t>(std::size_t{0});
  if (expects_continue && !continued_ && !started()) {
    continued_ = true;
    Result<void> w = co_await connection_.stream_->write("HTTP/1.1 100 Continue\r\n\r\n");
    if (!w) co_return w.status();
  }
  Result<std::size_t> n = co_await async::with_timeout(connection_.core_.config.limits.body_stall_timeout,
                                                       message_.read_some(*connection_.stream_, connection_.in_, data, size));
  if (!n && !n.is(Reason::Cancelled)) close_ = true;
  if (message_.done()) wake();
  co_return n;
}

Task<void> Http1Exchange::conclude() {
  if (upgraded || broken_) co_return;
  if (!started()) {
    Result<void> r = co_await send_plain(*this, 500, "no answer");
    (void)r;
  } else if (!finished_) {
    Result<void> r = co_await finish();
    (void)r;
  }
}

Task<bool> Http1Connection::wait_for_request() {
  in_.release();
  if (!in_.empty()) co_return true;
  if (core_.stopping) co_return false;
  idle_ = true;
  idle_since_ = async::Loop::current().now();
  Result<void> r = co_await async::with_timeout(core_.config.limits.idle_timeout, stream_->wait_readable());
  idle_ = false;
  co_return r.is_ok();
}

Task<void> Http1Connection::refuse(Http1Message<true>& message, int status, std::string text) {
  Http1Exchange ex(*this, message);
  Result<void> r = co_await ex.send(status, text_headers(true), text);
  (void)r;
}

Task<void> Http1Connection::handle(Http1Exchange& ex, Request& request) {
  co_await call_handler(core_, request, ex);
  co_await ex.conclude();
  ex.handler_done = true;
  if (ex.watch) ex.watch->cancel();
  ex.wake();
}

// While the handler runs and the body is complete, a read tells when the client goes; what it sends early is kept.
Task<void> Http1Connection::watch(Http1Exchange& ex, async::TaskGroup& handler) {
  bool ahead = true;
  while (!ex.handler_done) {
    if (!ex.body_done() || ex.upgrading || !ahead) {
      Status s = co_await ex.changed.wait();
      if (!s) co_return;
      continue;
    }
    async::CancelScope scope(co_await async::current_scope());
    ex.watch = &scope;
    ex.watching = true;
    Task<Result<void>> waiting = stream_->wait_readable();
    waiting.set_scope(&scope);
    Result<void> r = co_await std::move(waiting);
    Result<std::size_t> n = std::size_t{1};
    if (r) {
      Task<Result<std::size_t>> reading = in_.more(*stream_, 4096);
      reading.set_scope(&scope);
      n = co_await std::move(reading);
    }
    ex.watch = nullptr;
    ex.watching = false;
    ex.watch_ended.wake_all();
    if (r.is(Reason::Cancelled) || n.is(Reason::Cancelled)) {
      async::CancelScope* mine = co_await async::current_scope();
      if (mine && mine->cancelled()) co_return;
      continue;
    }
    if (!r || !n || *n == 0) {
      handler.cancel();
      co_return;
    }
    ahead = in_.view().size() < kPipelined;
  }
}

// Reads the rest of a body, so that the next request can follow. False: not worth it, close.
Task<bool> Http1Connection::drain(Http1Exchange& ex, Http1Message<true>& message) {
  if (message.done()) co_return true;
  if (ex.expects_continue) co_return false;
  Buffer buffer;
  std::size_t total = 0;
  SteadyTime until = async::Loop::current().now() + 5s;
  while (!message.done() && total < kDrain) {
    Duration left = until - async::Loop::current().now();
    if (left <= Duration::zero()) co_return false;
    Result<std::size_t> n = co_await async::with_timeout(left, message.read_some(*stream_, in_, buffer.data(), Buffer::kSize));
    if (!n) co_return false;
    total += *n;
  }
  co_return message.done();
}

// A client that still sends would lose the answer to a reset: let it finish, within bounds.
Task<void> Http1Connection::close_gently() {
  Result<void> shut = co_await stream_->shutdown_write();
  if (!shut) co_return;
  Buffer buffer;
  SteadyTime until = async::Loop::current().now() + 2s;
  for (std::size_t total = 0; total < kLinger;) {
    Duration left = until - async::Loop::current().now();
    if (left <= Duration::zero()) co_return;
    Result<std::size_t> n = co_await async::with_timeout(left, stream_->read_some(buffer.data(), Buffer::kSize));
    if (!n || *n == 0) co_return;
    total += *n;
  }
}

// True when the connection can serve another request.
Task<bool> Http1Connection::exchange(Http1Message<true>& message) {
  Request request;
  auto& head = message.head();
  request.method = std::move(head.method);
  request.headers = std::move(head.headers);
  request.version = head.version;
  request.peer = peer_;
  request.host = request.headers.get("Host");
  if (message.framing() == Http1Message<true>::Framing::Length || message.done())
    request.content_length = static_cast<std::int64_t>(message.remaining());
  Result<void> target = request.set_target(std::move(head.target));
  if (!target || (request.version >= 11 && request.headers.all("Host").size() != 1)) {
    co_await refuse(message, 400, target ? "exactly one Host header is required" : target.status().message());
    co_return false;
  }
  Http1Exchange ex(*this, message);
  ex.head_request = request.method == "HEAD";
  ex.expects_continue = !message.done() && request.headers.has_token("Expect", "100-continue");
  struct BodyView final : BodyReader {
    explicit BodyView(Http1Exchange& e) : exchange(e) {}
    Task<Result<std::size_t>> read_some(char* data, std::size_t size) override { return exchange.read_some(data, size); }
    Http1Exchange& exchange;
  };
  request.body = std::make_unique<BodyView>(ex);
  in_.release();
  async::TaskGroup handler("http request", co_await async::current_scope());
  core_.request_begins();
  handler.spawn(handle(ex, request));
  if (!ex.handler_done) co_await watch(ex, handler);
  co_await handler.join();
  core_.request_ends();
  if (ex.upgraded || !stream_) co_return false;
  if (!ex.keeps_connection()) {
    // Also for a body left unread: the answer must survive.
    if (ex.started()) co_await close_gently();
    co_return false;
  }
  stream_->set_write_timeout(core_.config.limits.write_timeout);  // the handler may have changed it
  bool drained = co_await drain(ex, message);
  if (!drained) co_await close_gently();
  co_return drained;
}

Task<void> Http1Connection::run(bool prior_knowledge_h2) {
  for (bool first = true;; first = false) {
    bool more = co_await wait_for_request();
    if (!more) break;
    Http1Message<true> message;
    if (first && prior_knowledge_h2) {
      while (in_.view().size() < kPreface.size() && kPreface.substr(0, in_.view().size()) == in_.view()) {
        Result<std::size_t> n = co_await async::with_timeout(core_.config.limits.header_timeout, in_.more(*stream_));
        if (!n || *n == 0) co_return;
      }
      if (starts_with(in_.view(), kPreface)) {
        co_await serve_http2(core_, with_prefix(in_.take(), std::move(stream_)), peer_);
        co_return;
      }
    }
    HeaderShare share(core_);
    Result<void> head = co_await async::with_timeout(
        core_.config.limits.header_timeout,
        message.read_head(*stream_, in_, core_.config.limits.header_bytes, false, [&share](std::size_t size) { return share.grow(size); }));
    if (!head) {
      if (head.is(Reason::Timeout) && message.started()) co_await refuse(message, 408, "the request's header took too long");
      if (head.is(Reason::RequestEntityTooLarge)) co_await refuse(message, 431, "the request's header is too large");
      if (head.is(Reason::BadRequest)) co_await refuse(message, 400, head.status().message());
      if (head.is(Reason::RequestEntityTooLarge) || head.is(Reason::BadRequest)) co_await close_gently();
      break;
    }
    bool again = co_await exchange(message);
    if (!again) break;
  }
  if (stream_) stream_->close();
}

}  // namespace

Task<void> serve_http1(ServerCore& core, StreamPtr stream, std::shared_ptr<const PeerInfo> peer, bool prior_knowledge_h2) {
  Http1Connection connection(core, std::move(stream), std::move(peer));
  co_await connection.run(prior_knowledge_h2);
}

}  // namespace onebin::net
