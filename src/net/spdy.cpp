#include <onebin/net/spdy.hpp>

#include <onebin/async/channel.hpp>
#include <onebin/async/group.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>

#include "net/http1.hpp"
#include "net/spdy_frame.hpp"

#include <map>

namespace onebin::net {
namespace {

constexpr std::size_t kDataFrame = 64 * 1024;
constexpr std::size_t kControlQueue = 1024 * 1024;   // control frames waiting for a peer that takes none
constexpr std::size_t kWindowStep = 32 * 1024;       // consumed before the peer is told
constexpr std::size_t kRead = 32 * 1024;
constexpr std::size_t kHeld = 16u << 20;             // of all streams together, not yet read

struct StreamState {
  std::uint32_t id = 0;
  Headers headers;
  std::string data;            // received, from `at` on not yet read
  std::size_t at = 0, consumed = 0;
  bool remote_fin = false, local_fin = false, reset = false, replied = false, dropped = false;
  async::WaitQueue readers, reply;
  std::size_t held() const { return data.size() - at; }
};
using StatePtr = std::shared_ptr<StreamState>;

// What session and streams share.
struct Session : std::enable_shared_from_this<Session> {
  Session(StreamPtr s, bool is_server, SpdySession::Options o)
      : stream(std::move(s)), server(is_server), options(o), next_id(is_server ? 2 : 1), next_ping(is_server ? 2 : 1) {}

  StreamPtr stream;
  bool server;
  SpdySession::Options options;
  SpdyDeflater deflater;
  SpdyDecoder decoder;
  Http1Input in;
  std::map<std::uint32_t, StatePtr> streams;
  std::deque<StatePtr> arrived;          // opened by the peer, not yet accepted
  std::size_t held = 0;                  // bytes in the streams' buffers
  std::uint32_t next_id, last_peer_id = 0, next_ping, awaited_ping = 0;
  bool over = false, gone_away = false, leaving = false, flushing = false;
  std::string control;                   // control frames to send, ahead of any data
  bool sending = false;
  async::WaitQueue turn, accepting, ended, room_made;  // room_made: only the reader of frames waits
  async::TaskGroup tasks{"spdy session"};
  SteadyTime heard;

  void enqueue(std::string frame) {
    if (over) return;
    control += frame;
    if (control.size() > kControlQueue) { end(); return; }
    if (!sending && !flushing) {
      flushing = true;
      tasks.spawn(flush_control());
    }
  }
  void reset_stream(std::uint32_t id, SpdyReset status) {
    std::string p;
    put_u32(p, id);
    put_u32(p, static_cast<std::uint32_t>(status));
    enqueue(spdy_control(SpdyType::RstStream, 0, p));
  }

  // The session is over: everybody who waits is told.
  void end() {
    if (over) return;
    over = true;
    stream->close();
    for (auto& [id, s] : streams) {
      s->readers.wake_all();
      s->reply.wake_all();
    }
    room_made.wake_all();
    accepting.wake_all();
    turn.wake_all();
    ended.wake_all();
  }

  void forget_if_done(const StatePtr& s) {
    if ((s->remote_fin && s->local_fin) || s->reset) streams.erase(s->id);
  }

  Task<void> flush_control() {
    Result<void> r = co_await send({}, {});
    (void)r;
    flushing = false;
    if (!control.empty() && !over && !sending) {
      flushing = true;
      tasks.spawn(flush_control());
    }
  }

  // Writes the waiting control frames, then head and data. First come, first served.
  Task<Result<void>> send(std::string head, std::string_view data) {
    while (sending && !over) {
      Status s = co_await turn.wait();
      if (!s) co_return s;
    }
    if (over) co_return closed();
    sending = true;
    std::string first = std::move(control);
    control = std::string();
    Result<void> r;
    std::string_view parts[] = {first, head, data};
    r = co_await stream->write_v(parts);
    sending = false;
    if (!r) end();   // a frame may be half written
    else if (!control.empty() && turn.empty() && !flushing) {
      flushing = true;
      tasks.spawn(flush_control());
    }
    turn.wake_one();
    co_return r;
  }

  Task<void> read_loop() {
    auto self = shared_from_this();
    Status why = co_await read_frames();
    if (!why.is(Reason::Closed) && !why.is(Reason::Cancelled) && !over) log_debug("spdy session ended", {{"error", why}});
    end();
  }

  Task<Status> read_frames() {
    for (;;) {
      std::size_t taken = 0;
      Result<std::optional<SpdyFrame>> f = decoder.next(in.view(), &taken);
      if (!f) co_return f.status();
      if (*f) {
        SpdyFrame& frame = **f;
        Result<void> r;
        if (frame.data) r = co_await on_data(frame);
        else r = on_control(frame);
        in.consume(taken);
        if (!r) co_return r.status();
        continue;
      }
      in.consume(taken);
      if (in.empty()) {
        in.release();
        Result<void> w = co_await stream->wait_readable();
        if (!w) co_return w.status();
      }
      Result<std::size_t> n = co_await in.more(*stream, kRead);
      if (!n) co_return n.status();
      if (*n == 0) co_return closed();
      heard = async::Loop::current().now();
    }
  }

  StatePtr find(std::uint32_t id) {
    auto i = streams.find(id);
    return i == streams.end() ? nullptr : i->second;
  }

  Task<Result<void>> on_data(SpdyFrame& f) {
    StatePtr s = find(f.stream);
    if (!s || s->remote_fin) co_return Result<void>();  // a stream that has ended on this side
    std::string_view rest = f.piece;
    while (!rest.empty() && !s->dropped && !s->reset) {
      std::size_t room = std::min(options.stream_buffer - std::min(options.stream_buffer, s->held()), kHeld - std::min(kHeld, held));
      if (room == 0) {
        if (over) co_return closed();
        Status w = co_await room_made.wait();
        if (!w) co_return w;
        continue;
      }
      std::size_t n = std::min(room, rest.size());
      if (s->at > 0) {
        s->data.erase(0, s->at);
        s->at = 0;
      }
      s->data.append(rest.data(), n);
      held += n;
      rest.remove_prefix(n);
      s->readers.wake_all();
    }
    if (f.last_piece && (f.flags & kSpdyFin)) finish_remote(s);
    co_return Result<void>();
  }

  void finish_remote(const StatePtr& s) {
    s->remote_fin = true;
    s->readers.wake_all();
    forget_if_done(s);
  }

  Result<void> on_control(SpdyFrame& f) {
    if (f.unknown) return {};
    switch (f.type) {
      case SpdyType::SynStream: return on_open(f);
      case SpdyType::SynReply:
        if (StatePtr s = find(f.stream)) {
          s->replied = true;
          s->reply.wake_all();
          if (f.flags & kSpdyFin) finish_remote(s);
        }
        return {};
      case SpdyType::Headers:
        if (StatePtr s = find(f.stream); s && (f.flags & kSpdyFin)) finish_remote(s);
        return {};
      case SpdyType::RstStream:
        if (StatePtr s = find(f.stream)) {
          s->reset = true;
          s->readers.wake_all();
          room_made.wake_all();
          s->reply.wake_all();
          streams.erase(s->id);
        }
        return {};
      case SpdyType::Ping:
        if ((f.stream & 1) == (server ? 0u : 1u)) {
          if (f.stream == awaited_ping) awaited_ping = 0;
        } else {
          std::string p;
          put_u32(p, f.stream);
          enqueue(spdy_control(SpdyType::Ping, 0, p));
        }
        return {};
      case SpdyType::GoAway:
        gone_away = true;
        return {};
      case SpdyType::Settings:
      case SpdyType::WindowUpdate: return {};
    }
    return {};
  }

  Result<void> on_open(SpdyFrame& f) {
    bool theirs = (f.stream & 1) == (server ? 1u : 0u);
    if (f.stream == 0 || !theirs || f.stream <= last_peer_id) return bad_request("spdy: stream id out of order");
    last_peer_id = f.stream;
    if (leaving || streams.size() >= options.max_streams || arrived.size() >= options.accept_queue) {
      reset_stream(f.stream, SpdyReset::RefusedStream);
      return {};
    }
    auto s = std::make_shared<StreamState>();
    s->id = f.stream;
    s->headers = std::move(f.headers);
    s->replied = true;
    s->remote_fin = f.flags & kSpdyFin;
    s->local_fin = f.flags & 2;  // unidirectional
    streams.emplace(s->id, s);
    std::string p;
    put_u32(p, s->id);
    p += deflater.pack({});
    enqueue(spdy_control(SpdyType::SynReply, 0, p));
    arrived.push_back(std::move(s));
    accepting.wake_one();
    return {};
  }

  void release(std::size_t n) {
    held -= n;
    room_made.wake_all();
  }

  void consumed(const StatePtr& s, std::size_t n) {
    release(n);
    s->consumed += n;
    if (s->consumed < kWindowStep || over) return;
    auto delta = static_cast<std::uint32_t>(s->consumed);
    s->consumed = 0;
    for (std::uint32_t id : {s->remote_fin ? 0u : s->id, 0u}) {
      if (id == 0 && s->remote_fin) continue;
      std::string p;
      put_u32(p, id);
      put_u32(p, delta);
      enqueue(spdy_control(SpdyType::WindowUpdate, 0, p));
    }
  }

  Task<void> ping_loop() {
    auto self = shared_from_this();
    for (;;) {
      Status slept = co_await async::sleep_for(options.ping_interval);
      if (!slept || over) co_return;
      if (awaited_ping != 0 && heard + options.ping_interval <= async::Loop::current().now()) {
        end();
        co_return;
      }
      awaited_ping = next_ping;
      next_ping = next_ping > 0x7ffffff0u ? (server ? 2 : 1) : next_ping + 2;
      std::string p;
      put_u32(p, awaited_ping);
      enqueue(spdy_control(SpdyType::Ping, 0, p));
    }
  }
};

class SpdyStreamImpl final : public SpdyStream {
 public:
  SpdyStreamImpl(std::shared_ptr<Session> session, StatePtr state) : session_(std::move(session)), s_(std::move(state)) {}
  ~SpdyStreamImpl() override { SpdyStreamImpl::close(); }

  Task<Result<std::size_t>> read_some(char* data, std::size_t size) override {
    for (;;) {
      if (auto r = try_read_some(data, size)) co_return std::move(*r);
      Status w = co_await s_->readers.wait();
      if (!w) co_return w;
    }
  }
  std::optional<Result<std::size_t>> try_read_some(char* data, std::size_t size) override {
    if (s_->dropped) return Result<std::size_t>(closed());
    if (s_->held() > 0) {
      std::size_t n = std::min(size, s_->held());
      std::memcpy(data, s_->data.data() + s_->at, n);
      s_->at += n;
      if (s_->held() == 0) { s_->data = std::string(); s_->at = 0; }
      session_->consumed(s_, n);
      return Result<std::size_t>(n);
    }
    if (s_->remote_fin) return Result<std::size_t>(std::size_t{0});
    if (s_->reset || session_->over) return Result<std::size_t>(closed());
    return std::nullopt;
  }
  Task<Result<void>> wait_readable() override {
    while (!s_->dropped && s_->held() == 0 && !s_->remote_fin && !s_->reset && !session_->over) {
      Status w = co_await s_->readers.wait();
      if (!w) co_return w;
    }
    co_return Result<void>();
  }
  Task<Result<void>> write(std::string_view data) override {
    while (!data.empty()) {
      if (s_->local_fin || s_->reset || s_->dropped || session_->over) co_return closed();
      std::string_view piece = data.substr(0, kDataFrame);
      Result<void> r = co_await session_->send(spdy_data_head(s_->id, 0, piece.size()), piece);
      if (!r) co_return r;
      data.remove_prefix(piece.size());
    }
    co_return Result<void>();
  }
  Task<Result<void>> shutdown_write() override {
    if (s_->local_fin) co_return Result<void>();
    if (s_->reset || s_->dropped || session_->over) co_return closed();
    s_->local_fin = true;
    Result<void> r = co_await session_->send(spdy_data_head(s_->id, kSpdyFin, 0), {});
    session_->forget_if_done(s_);
    co_return r;
  }
  void close() override {
    if (s_->dropped) return;
    s_->dropped = true;
    session_->release(s_->held());
    s_->data = std::string();
    s_->at = 0;
    s_->readers.wake_all();
    bool complete = s_->local_fin && s_->remote_fin;
    if (!complete && !s_->reset && !session_->over) session_->reset_stream(s_->id, SpdyReset::Cancel);
    s_->reset = true;
    session_->streams.erase(s_->id);
  }
  void reset() override { close(); }
  const Headers& headers() const override { return s_->headers; }
  std::uint32_t id() const override { return s_->id; }

 private:
  std::shared_ptr<Session> session_;
  StatePtr s_;
};

class SpdySessionImpl final : public SpdySession {
 public:
  SpdySessionImpl(StreamPtr stream, bool server, Options options)
      : s_(std::make_shared<Session>(std::move(stream), server, options)) {
    s_->heard = async::Loop::current().now();
    s_->tasks.spawn(s_->read_loop());
    if (options.ping_interval > Duration::zero()) s_->tasks.spawn(s_->ping_loop());
  }

  Task<Result<SpdyStreamPtr>> open_stream(Headers headers, Duration limit) override {
    if (s_->over || s_->gone_away || s_->leaving) co_return onebin::closed();
    auto state = std::make_shared<StreamState>();
    state->id = s_->next_id;
    state->headers = headers;
    s_->next_id += 2;
    s_->streams.emplace(state->id, state);
    auto stream = std::make_unique<SpdyStreamImpl>(s_, state);
    std::string p;
    put_u32(p, state->id);
    put_u32(p, 0);
    p += std::string(2, '\0');  // priority, credential slot
    p += s_->deflater.pack(headers);
    s_->enqueue(spdy_control(SpdyType::SynStream, 0, p));
    Result<void> replied = co_await async::with_timeout(limit, wait_reply(state));
    if (!replied) co_return replied.status();
    co_return Result<SpdyStreamPtr>(std::move(stream));
  }

  Task<Result<SpdyStreamPtr>> accept_stream() override {
    for (;;) {
      if (!s_->arrived.empty()) {
        StatePtr state = std::move(s_->arrived.front());
        s_->arrived.pop_front();
        if (!s_->arrived.empty()) s_->accepting.wake_one();
        co_return Result<SpdyStreamPtr>(std::make_unique<SpdyStreamImpl>(s_, std::move(state)));
      }
      if (s_->over) co_return onebin::closed();
      Status w = co_await s_->accepting.wait();
      if (!w) co_return w;
    }
  }
  bool closed() const override { return s_->over; }
  Task<void> wait_closed() override {
    while (!s_->over) {
      Status w = co_await s_->ended.wait();
      if (!w) co_return;
    }
  }
  Task<void> stop(Duration linger) override { co_await async::uncancelled(stop_now(linger)); }

 private:
  Task<Result<void>> wait_reply(StatePtr state) {
    while (!state->replied) {
      if (state->reset) co_return Status(Reason::ServiceUnavailable, "the peer refused the stream");
      if (s_->over) co_return onebin::closed();
      Status w = co_await state->reply.wait();
      if (!w) co_return w;
    }
    co_return Result<void>();
  }

  // GOAWAY and the end of our direction, then the peer's end: what was written before is thus taken.
  Task<Result<void>> leave() {
    std::string p;
    put_u32(p, s_->last_peer_id);
    put_u32(p, 0);
    Result<void> r = co_await s_->send(spdy_control(SpdyType::GoAway, 0, p), {});
    if (!r) co_return r;
    Result<void> shut = co_await s_->stream->shutdown_write();
    if (!shut) co_return shut;
    co_await wait_closed();
    co_return Result<void>();
  }

  Task<void> stop_now(Duration linger) {
    s_->leaving = true;
    for (auto& [id, state] : s_->streams) {
      state->dropped = true;  // what still comes is thrown away, so that the peer's end is reached
      state->readers.wake_all();
    }
    s_->room_made.wake_all();
    if (!s_->over && linger > Duration::zero()) {
      Result<void> r = co_await async::with_timeout(linger, leave());
      (void)r;
    }
    s_->end();
    s_->tasks.cancel();
    co_await s_->tasks.join();
    s_->streams.clear();
    s_->arrived.clear();
  }

  std::shared_ptr<Session> s_;
};

}  // namespace

std::unique_ptr<SpdySession> SpdySession::create(StreamPtr stream, bool server, Options options) {
  return std::make_unique<SpdySessionImpl>(std::move(stream), server, options);
}

}  // namespace onebin::net
