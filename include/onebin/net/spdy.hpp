// SPDY/3.1 as Kubernetes' streaming (exec, attach, port-forward) uses it: many half-closable streams over one.
#pragma once
#include <onebin/net/http.hpp>

namespace onebin::net {

class SpdyStream : public Stream {
 public:
  virtual const Headers& headers() const = 0;   // of SYN_STREAM, names in lower case as SPDY has them
  virtual std::uint32_t id() const = 0;
  virtual void reset() = 0;                     // RST_STREAM (cancel) both ways
};
using SpdyStreamPtr = std::unique_ptr<SpdyStream>;

// Received bytes wait in each stream up to `stream_buffer`; past it the session stops reading, as upstream's does, so that
// a stream nobody reads holds up its neighbours. Send windows are not waited for: upstream's peers never open them.
// Streams may outlive the session object; they are then closed.
class SpdySession {
 public:
  struct Options {
    std::size_t stream_buffer = 1u << 20;
    std::size_t max_streams = 1024;
    std::size_t accept_queue = 64;              // streams opened by the peer and not yet accepted; more are refused
    Duration ping_interval = Duration::zero();  // 0: none; an unanswered ping ends the session
  };
  // Starts reading `stream` at once.
  static std::unique_ptr<SpdySession> create(StreamPtr stream, bool server, Options options);
  static std::unique_ptr<SpdySession> create(StreamPtr stream, bool server) { return create(std::move(stream), server, Options()); }
  virtual ~SpdySession() = default;             // stop() must have returned
  // SYN_STREAM with `headers`; returns when the peer has answered SYN_REPLY, or refused.
  virtual Task<Result<SpdyStreamPtr>> open_stream(Headers headers, Duration timeout = 30s) = 0;
  // The next stream that the peer opened (SYN_REPLY is sent). Closed when the session is over.
  virtual Task<Result<SpdyStreamPtr>> accept_stream() = 0;
  virtual bool closed() const = 0;
  // Waits until the session is over (peer gone, error, stop).
  virtual Task<void> wait_closed() = 0;
  // GOAWAY, then closes everything. Pending writes of streams are let out first, for at most `linger`.
  virtual Task<void> stop(Duration linger = 2s) = 0;
};

}  // namespace onebin::net
