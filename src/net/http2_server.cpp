// HTTP/2, server side, over nghttp2. One task reads, one writes; each request has its own task.
#include "net/buffer.hpp"
#include "net/frame_memory.hpp"
#include "net/http1.hpp"
#include "net/server_core.hpp"

#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/log.hpp>

#include <nghttp2/nghttp2.h>

#include <map>

namespace onebin::net {
namespace {

constexpr std::size_t kBuffer = 16 * 1024;            // of an answer, before it is handed on
constexpr std::size_t kWrite = 64 * 1024;             // frames gathered for one write
constexpr std::int32_t kStreamWindow = 256 * 1024;    // of request bodies
constexpr std::int32_t kConnectionWindow = 1024 * 1024;
constexpr std::size_t kDiscard = 16 * 1024 * 1024;    // of a body that is not wanted, before the stream is reset

class Http2Connection;

class Http2Stream final : public ResponseWriter {
 public:
  Http2Stream(Http2Connection& connection, std::int32_t stream_id);

  Task<Result<void>> send(int status, Headers headers, std::string_view body) override;
  Task<Result<void>> start(int status, Headers headers) override;
  Task<Result<void>> write(std::string_view chunk) override;
  Task<Result<void>> flush() override;
  Task<Result<void>> finish() override;
  void abort() override;
  Task<Result<StreamPtr>> upgrade(Headers) override {
    co_return bad_request("HTTP/2 connections cannot be upgraded");
  }
  void set_write_timeout(Duration limit) override { stall_limit = limit; }
  bool started() const override { return status_code != 0; }
  int status() const override { return status_code; }
  std::uint64_t body_bytes() const override { return bytes; }

  Task<Result<std::size_t>> read_body(char* data, std::size_t size);
  ssize_t produce(std::uint8_t* to, std::size_t size, std::uint32_t* flags);
  void resume();

  Http2Connection& c;
  std::int32_t id;
  Request request;
  HeaderShare header_share;
  std::size_t header_bytes = 0, discarded = 0;
  bool header_too_large = false;
  std::string body;                  // received, from `body_at` on not yet read
  std::size_t body_at = 0;
  bool body_end = false, closed = false, handler_done = false, begun = false;
  async::CancelScope* scope = nullptr;   // of the handler, while it runs
  async::WaitQueue readers, drained;
  Duration stall_limit{};

 private:
  Result<void> submit(int status, const Headers& headers, std::optional<std::size_t> length, bool has_body);
  Task<Result<void>> wait_drained();
  Task<Result<void>> wait_in(async::WaitQueue& q) {
    Status s = co_await q.wait();
    co_return Result<void>(s);
  }
  int status_code = 0;
  std::uint64_t bytes = 0, moved = 0;
  bool no_body = false, finished = false, deferred = false;
  std::string out;                   // buffered, then...
  std::size_t out_at = 0;
  std::string_view direct;           // ...the caller's own bytes, while it waits
};

class Http2Connection final : public ServerConnection {
 public:
  Http2Connection(ServerCore& core_in, StreamPtr stream, std::shared_ptr<const PeerInfo> peer)
      : core(core_in), stream_(std::move(stream)), peer_(std::move(peer)) {
    stream_->set_write_timeout(core.config.limits.write_timeout);
    core.connections.insert(this);
  }
  ~Http2Connection() override {
    core.connections.erase(this);
    if (session) nghttp2_session_del(session);
  }
  void begin_stop() override {
    if (!session) return;
    nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session), NGHTTP2_NO_ERROR, nullptr, 0);
    wake_writer();
  }
  std::optional<SteadyTime> idle_since() const override { return streams_.empty() ? std::optional(heard_) : std::nullopt; }
  Task<void> run(async::CancelScope* scope);
  void wake_writer() { output_.notify(); }

  ServerCore& core;
  nghttp2_session* session = nullptr;

 private:
  FrameMemory memory_;   // outlives the session
  bool open();
  Task<void> write_loop();
  Task<void> read_loop();
  Task<Result<ssize_t>> read_once();
  Task<void> serve_stream(Http2Stream* s);
  void start_ready();
  void forget(Http2Stream* s);
  Http2Stream* find(std::int32_t id) {
    auto i = streams_.find(id);
    return i == streams_.end() ? nullptr : i->second.get();
  }

  int on_begin_headers(const nghttp2_frame* f);
  int on_header(const nghttp2_frame* f, std::string_view name, std::string_view value);
  int on_frame(const nghttp2_frame* f);
  int on_data(std::int32_t id, std::string_view data);
  int on_close(std::int32_t id);
  static nghttp2_session_callbacks* callbacks();

  StreamPtr stream_;
  std::shared_ptr<const PeerInfo> peer_;
  std::map<std::int32_t, std::unique_ptr<Http2Stream>> streams_;
  std::vector<std::int32_t> ready_;     // heads complete, handler not yet started
  async::Notify output_;
  SteadyTime heard_ = async::Loop::current().now();
  std::unique_ptr<async::TaskGroup> handlers_, io_;
};

Http2Stream::Http2Stream(Http2Connection& connection, std::int32_t stream_id) : c(connection), id(stream_id), header_share(connection.core) {}

// --- one request -----------------------------------------------------------------------------------------------------

ssize_t Http2Stream::produce(std::uint8_t* to, std::size_t size, std::uint32_t* flags) {
  std::size_t n = 0;
  if (out_at < out.size()) {
    n = std::min(size, out.size() - out_at);
    std::memcpy(to, out.data() + out_at, n);
    out_at += n;
    if (out_at == out.size()) { out = std::string(); out_at = 0; }
  }
  if (n < size && out.empty() && !direct.empty()) {
    std::size_t m = std::min(size - n, direct.size());
    std::memcpy(to + n, direct.data(), m);
    direct.remove_prefix(m);
    n += m;
  }
  moved += n;
  bool empty = out.empty() && direct.empty();
  if (empty) drained.wake_all();
  if (empty && finished) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(n);
  }
  if (n == 0) {
    deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  return static_cast<ssize_t>(n);
}

void Http2Stream::resume() {
  if (deferred) {
    deferred = false;
    nghttp2_session_resume_data(c.session, id);
  }
  c.wake_writer();
}

Result<void> Http2Stream::submit(int status, const Headers& headers, std::optional<std::size_t> length, bool has_body) {
  if (started()) return internal_error("an answer was begun already");
  if (closed) return onebin::closed();
  status_code = status;
  std::string code = std::to_string(status), size = length ? std::to_string(*length) : "", date(http_date());
  std::vector<std::string> names;
  names.reserve(headers.size());
  std::vector<nghttp2_nv> nv;
  auto add = [&nv](std::string_view name, std::string_view value) {
    nv.push_back({reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
                  reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
  };
  add(":status", code);
  for (const auto& [name, value] : headers) {
    std::string lower = to_lower(name);
    if (lower == "connection" || lower == "keep-alive" || lower == "transfer-encoding" || lower == "upgrade" || lower == "proxy-connection") continue;
    if (!nghttp2_check_header_name(reinterpret_cast<const std::uint8_t*>(lower.data()), lower.size()) ||
        !nghttp2_check_header_value(reinterpret_cast<const std::uint8_t*>(value.data()), value.size()))
      continue;
    names.push_back(std::move(lower));
    add(names.back(), value);
  }
  bool bodyless = status == 204 || status == 304;
  if (length && !headers.has("Content-Length") && !bodyless) add("content-length", size);
  if (!headers.has("Date")) add("date", date);
  no_body = bodyless || !has_body || request.method == "HEAD";
  nghttp2_data_provider provider{};
  provider.source.ptr = this;
  provider.read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t* to, std::size_t n, std::uint32_t* flags,
                              nghttp2_data_source* source, void*) -> ssize_t {
    return static_cast<Http2Stream*>(source->ptr)->produce(to, n, flags);
  };
  if (nghttp2_submit_response(c.session, id, nv.data(), nv.size(), no_body ? nullptr : &provider) != 0)
    return internal_error("HTTP/2 answer could not be queued");
  return {};
}

Task<Result<void>> Http2Stream::send(int status, Headers headers, std::string_view body_text) {
  bytes = body_text.size();
  finished = true;
  if (request.method != "HEAD" && status != 204 && status != 304) direct = body_text;
  Result<void> r = submit(status, headers, body_text.size(), !body_text.empty());
  if (!r) {
    direct = {};
    co_return r;
  }
  c.wake_writer();
  r = co_await wait_drained();
  direct = {};
  co_return r;
}

Task<Result<void>> Http2Stream::start(int status, Headers headers) { co_return submit(status, headers, std::nullopt, true); }

Task<Result<void>> Http2Stream::write(std::string_view chunk) {
  if (!started() || finished) co_return internal_error("write outside of an answer");
  if (closed) co_return onebin::closed();
  bytes += chunk.size();
  if (no_body) co_return Result<void>();
  if (out.size() - out_at + chunk.size() <= kBuffer) {
    out += chunk;
    co_return Result<void>();
  }
  direct = chunk;
  resume();
  Result<void> r = co_await wait_drained();
  direct = {};
  co_return r;
}

Task<Result<void>> Http2Stream::flush() {
  if (!started()) co_return internal_error("flush before an answer");
  resume();
  Result<void> r = co_await wait_drained();
  co_return r;
}

Task<Result<void>> Http2Stream::finish() {
  if (!started()) co_return internal_error("finish before an answer");
  if (finished) co_return Result<void>();
  finished = true;
  if (no_body) co_return Result<void>();
  resume();
  Result<void> r = co_await wait_drained();
  co_return r;
}

// Until everything given is in frames, or the client has taken nothing for too long.
Task<Result<void>> Http2Stream::wait_drained() {
  while (!closed && (!out.empty() || !direct.empty())) {
    std::uint64_t before = moved;
    Result<void> r;
    if (stall_limit > Duration::zero()) r = co_await async::with_timeout(stall_limit, wait_in(drained));
    else r = co_await wait_in(drained);
    if (r.is(Reason::Timeout) && moved != before) continue;
    if (!r) {
      abort();
      co_return r;
    }
  }
  if (closed && (!out.empty() || !direct.empty())) co_return onebin::closed();
  co_return Result<void>();
}

void Http2Stream::abort() {
  if (closed) return;
  out = std::string();
  out_at = 0;
  direct = {};
  nghttp2_submit_rst_stream(c.session, NGHTTP2_FLAG_NONE, id, NGHTTP2_INTERNAL_ERROR);
  c.wake_writer();
}

Task<Result<std::size_t>> Http2Stream::read_body(char* data, std::size_t size) {
  while (body_at == body.size()) {
    if (body_end) co_return Result<std::size_t>(std::size_t{0});
    if (closed) co_return Status(Reason::Closed, "the body was cut short");
    Result<void> r = co_await async::with_timeout(c.core.config.limits.body_stall_timeout, wait_in(readers));
    if (!r) co_return r.status();
  }
  std::size_t n = std::min(size, body.size() - body_at);
  std::memcpy(data, body.data() + body_at, n);
  body_at += n;
  if (body_at == body.size()) { body = std::string(); body_at = 0; }
  nghttp2_session_consume(c.session, id, n);
  c.wake_writer();
  co_return Result<std::size_t>(n);
}

struct Http2Body final : BodyReader {
  explicit Http2Body(Http2Stream& s) : stream(s) {}
  Task<Result<std::size_t>> read_some(char* data, std::size_t size) override { return stream.read_body(data, size); }
  Http2Stream& stream;
};

// --- what nghttp2 tells ----------------------------------------------------------------------------------------------

int Http2Connection::on_begin_headers(const nghttp2_frame* f) {
  if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  auto s = std::make_unique<Http2Stream>(*this, f->hd.stream_id);
  s->stall_limit = core.config.limits.write_timeout;
  s->request.version = 20;
  s->request.peer = peer_;
  streams_[f->hd.stream_id] = std::move(s);
  return 0;
}

int Http2Connection::on_header(const nghttp2_frame* f, std::string_view name, std::string_view value) {
  Http2Stream* s = find(f->hd.stream_id);
  if (!s || s->begun || f->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  s->header_bytes += name.size() + value.size() + 32;
  if (!s->header_too_large && !s->header_share.grow(s->header_bytes)) {
    s->header_too_large = true;
    s->request.headers = Headers();
  }
  if (s->header_too_large) return 0;  // answered 431 when complete
  if (name == ":method") s->request.method = value;
  else if (name == ":path") s->request.target = value;
  else if (name == ":authority") s->request.host = value;
  else if (!name.empty() && name[0] != ':') s->request.headers.add(std::string(name), std::string(value));
  return 0;
}

int Http2Connection::on_frame(const nghttp2_frame* f) {
  Http2Stream* s = find(f->hd.stream_id);
  if (!s || (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA)) return 0;
  if (f->hd.flags & NGHTTP2_FLAG_END_STREAM) {
    s->body_end = true;
    s->readers.wake_all();
  }
  if (f->hd.type == NGHTTP2_HEADERS && f->headers.cat == NGHTTP2_HCAT_REQUEST && !s->begun) {
    s->begun = true;
    ready_.push_back(s->id);
  }
  return 0;
}

int Http2Connection::on_data(std::int32_t id, std::string_view data) {
  Http2Stream* s = find(id);
  if (!s || s->handler_done) {
    nghttp2_session_consume(session, id, data.size());
    // An answer given before the body's end: the client may go on for a while, since some lose the answer to a reset.
    if (s && (s->discarded += data.size()) > kDiscard)
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
    return 0;
  }
  s->body += data;
  s->readers.wake_all();
  return 0;
}

int Http2Connection::on_close(std::int32_t id) {
  Http2Stream* s = find(id);
  if (!s) return 0;
  s->closed = true;
  if (std::size_t unread = s->body.size() - s->body_at) nghttp2_session_consume_connection(session, unread);
  s->readers.wake_all();
  s->drained.wake_all();
  if (s->scope) s->scope->cancel();
  if (s->handler_done || !s->begun) forget(s);
  return 0;
}

nghttp2_session_callbacks* Http2Connection::callbacks() {
  static nghttp2_session_callbacks* made = [] {
    using Self = Http2Connection;
    auto text = [](const std::uint8_t* p, std::size_t n) { return std::string_view(reinterpret_cast<const char*>(p), n); };
    static auto view = text;
    nghttp2_session_callbacks* k = nullptr;
    nghttp2_session_callbacks_new(&k);
    nghttp2_session_callbacks_set_on_begin_headers_callback(k, [](nghttp2_session*, const nghttp2_frame* f, void* u) {
      return static_cast<Self*>(u)->on_begin_headers(f);
    });
    nghttp2_session_callbacks_set_on_header_callback(
        k, [](nghttp2_session*, const nghttp2_frame* f, const std::uint8_t* n, std::size_t ns, const std::uint8_t* v, std::size_t vs,
              std::uint8_t, void* u) { return static_cast<Self*>(u)->on_header(f, view(n, ns), view(v, vs)); });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        k, [](nghttp2_session*, const nghttp2_frame* f, void* u) { return static_cast<Self*>(u)->on_frame(f); });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        k, [](nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* d, std::size_t n, void* u) {
          return static_cast<Self*>(u)->on_data(id, view(d, n));
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        k, [](nghttp2_session*, std::int32_t id, std::uint32_t, void* u) { return static_cast<Self*>(u)->on_close(id); });
    return k;
  }();
  return made;
}

// --- the connection --------------------------------------------------------------------------------------------------

bool Http2Connection::open() {
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  nghttp2_option_set_no_auto_window_update(option, 1);
  int rc = nghttp2_session_server_new3(&session, callbacks(), this, option, memory_.hooks());
  nghttp2_option_del(option);
  if (rc != 0) return false;
  const auto& limits = core.config.limits;
  nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, static_cast<std::uint32_t>(limits.max_h2_streams)},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(limits.header_bytes)}};
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
  return true;
}

void Http2Connection::forget(Http2Stream* s) { streams_.erase(s->id); }

Task<void> Http2Connection::serve_stream(Http2Stream* s) {
  async::CancelScope scope(co_await async::current_scope());
  s->scope = &scope;
  core.request_begins();
  Request& q = s->request;
  if (q.host.empty()) q.host = q.headers.get("host");
  if (s->body_end && s->body.empty()) q.content_length = 0;
  else if (q.headers.has("content-length")) q.content_length = std::strtoll(std::string(q.headers.get("content-length")).c_str(), nullptr, 10);
  q.body = std::make_unique<Http2Body>(*s);
  Result<void> target = q.set_target(std::move(q.target));
  if (s->header_too_large) {
    Result<void> r = co_await send_plain(*s, 431, "the request's header is too large");
    (void)r;
  } else if (!target) {
    Result<void> r = co_await send_plain(*s, 400, target.status().message());
    (void)r;
  } else {
    Task<void> handling = call_handler(core, q, *s);
    handling.set_scope(&scope);
    co_await std::move(handling);
    Result<void> end;
    if (!s->started()) end = co_await send_plain(*s, 500, "no answer");
    else if (!s->closed) end = co_await s->finish();
    (void)end;
  }
  s->scope = nullptr;
  s->handler_done = true;
  // A client may leave its half of the stream open: nothing of the request stays behind.
  s->request = Request();
  s->header_share.release();
  core.request_ends();
  if (std::size_t unread = s->body.size() - s->body_at; unread > 0 && !s->closed) {
    nghttp2_session_consume(session, s->id, unread);
    s->body = std::string();
    s->body_at = 0;
  }
  wake_writer();
  if (s->closed) forget(s);
}

void Http2Connection::start_ready() {
  std::vector<std::int32_t> starting = std::move(ready_);
  ready_.clear();
  for (std::int32_t id : starting) {
    Http2Stream* s = find(id);
    if (!s) continue;
    if (s->closed) {  // begun and reset in one read
      forget(s);
      continue;
    }
    handlers_->spawn(serve_stream(s));
  }
}

Task<void> Http2Connection::write_loop() {
  bool large = false;
  for (;;) {
    std::string frames;
    while (frames.size() < kWrite) {
      const std::uint8_t* data = nullptr;
      ssize_t n = nghttp2_session_mem_send(session, &data);
      if (n <= 0) break;
      frames.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(n));
    }
    if (!frames.empty()) {
      large = large || frames.size() > 3000;
      Result<void> r = co_await stream_->write(frames);
      if (!r) break;
      continue;
    }
    frames = std::string();
    if (large) memory_.quiet();
    large = false;
    if (!nghttp2_session_want_read(session) && !nghttp2_session_want_write(session)) {
      Result<void> r = co_await stream_->shutdown_write();
      (void)r;
      break;
    }
    Result<void> r = co_await output_.wait();
    if (!r) break;
  }
  stream_->close();
}

// What nghttp2 made of the bytes of one read; Closed at the end of the stream.
Task<Result<ssize_t>> Http2Connection::read_once() {
  Buffer buffer;
  Result<std::size_t> n = co_await stream_->read_some(buffer.data(), Buffer::kSize);
  if (!n) co_return n.status();
  if (*n == 0) co_return closed();
  co_return Result<ssize_t>(nghttp2_session_mem_recv(session, reinterpret_cast<const std::uint8_t*>(buffer.data()), *n));
}

Task<void> Http2Connection::read_loop() {
  const auto& limits = core.config.limits;
  while (nghttp2_session_want_read(session)) {
    Result<void> w = co_await async::with_timeout(limits.idle_timeout, stream_->wait_readable());
    if (w.is(Reason::Timeout)) {
      if (handlers_->size() > 0) continue;
      begin_stop();
      if (!streams_.empty()) co_return;  // answered, but their requests never end
      continue;
    }
    if (!w) co_return;
    Result<ssize_t> taken = co_await read_once();
    if (!taken) co_return;
    heard_ = async::Loop::current().now();
    wake_writer();
    if (*taken < 0) {
      // What nghttp2 has to say about it (GOAWAY) is let out by the writer.
      if (*taken != NGHTTP2_ERR_BAD_CLIENT_MAGIC) nghttp2_session_terminate_session(session, NGHTTP2_PROTOCOL_ERROR);
      else co_return;
    }
    start_ready();
    // Handlers of streams that the client has reset may still run: a flood of resets must not pile them up.
    if (handlers_->size() > 2 * limits.max_h2_streams) {
      log_warn("http/2 client opens and resets streams too fast", {{"server", core.config.name}, {"peer", peer_->remote_host}});
      co_return;
    }
  }
}

Task<void> Http2Connection::run(async::CancelScope* scope) {
  if (!open()) {
    stream_->close();
    co_return;
  }
  handlers_ = std::make_unique<async::TaskGroup>("http/2 request", scope);
  io_ = std::make_unique<async::TaskGroup>("http/2 writer", scope);
  io_->spawn(write_loop());
  if (core.stopping) begin_stop();
  co_await read_loop();
  // After a GOAWAY of ours the writer still lets out what is queued; when the client has gone there is nobody to write to.
  for (auto& [id, s] : streams_) {
    s->closed = true;
    s->readers.wake_all();
    s->drained.wake_all();
  }
  handlers_->cancel();
  co_await handlers_->join();
  if (nghttp2_session_want_read(session)) io_->cancel();
  co_await io_->join();
  stream_->close();
  streams_.clear();
}

}  // namespace

Task<void> serve_http2(ServerCore& core, StreamPtr stream, std::shared_ptr<const PeerInfo> peer) {
  Http2Connection connection(core, std::move(stream), std::move(peer));
  co_await connection.run(co_await async::current_scope());
}

}  // namespace onebin::net
