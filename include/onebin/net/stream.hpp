// Stream: bidirectional bytes. TCP, TLS, pipes, an upgraded HTTP connection, a SPDY stream, a WebSocket's messages.
#pragma once
#include <onebin/async/task.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/time.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace onebin::net {

using async::Task;

// At most one read and one write are under way at a time (one of each may overlap). A Stream is destroyed only when
// neither is; close() ends both, which then return Closed. A cancelled read loses no bytes. Errors: Closed (reset, broken pipe, close()), Cancelled,
// Timeout (set_write_timeout), others as InternalError.
class Stream {
 public:
  virtual ~Stream() = default;  // closes
  // At least one byte, or 0 at the peer's end of stream.
  virtual Task<Result<std::size_t>> read_some(char* data, std::size_t size) = 0;
  // All of `data`, which must live until the task ends. A write that failed or was cancelled may be half done: the
  // stream is then fit for close() only.
  virtual Task<Result<void>> write(std::string_view data) = 0;
  // All parts in order, in one system call where that is possible.
  virtual Task<Result<void>> write_v(std::span<const std::string_view> parts);
  // Returns when read_some is likely to return at once, holding no buffer meanwhile. May return early.
  virtual Task<Result<void>> wait_readable();
  // read_some without waiting; nullopt when there is nothing now, or the stream cannot tell.
  virtual std::optional<Result<std::size_t>> try_read_some(char* data, std::size_t size);
  // Half-close: the peer reads an end of stream.
  virtual Task<Result<void>> shutdown_write() = 0;
  virtual void close() = 0;
  // A write that makes no progress for so long fails with Timeout. 0: never. Streams without a clock of their own pass it down.
  virtual void set_write_timeout(Duration limit);
};
using StreamPtr = std::unique_ptr<Stream>;

// Opens a stream to host:port: how an HttpClient is told to go through a tunnel.
using Dialer = std::function<Task<Result<StreamPtr>>(std::string host, std::uint16_t port)>;

// Two ends of a pipe in memory, each direction holding at most `capacity` bytes. Works on any Loop.
std::pair<StreamPtr, StreamPtr> make_pipe(std::size_t capacity = 64 * 1024);

// A stream that first gives `prefix`, then what `inner` gives.
StreamPtr with_prefix(std::string prefix, StreamPtr inner);

// A stream over a socket, pipe, terminal or other pollable descriptor (made non-blocking). For sockets shutdown_write is
// shutdown(2); for others it closes nothing and reports an error.
Result<StreamPtr> stream_from_fd(Fd fd);

// Reads exactly `size` bytes; Closed when the stream ends before.
Task<Result<void>> read_exactly(Stream& from, char* data, std::size_t size);
// Everything up to the end of stream; RequestEntityTooLarge past `limit`.
Task<Result<std::string>> read_all(Stream& from, std::size_t limit);
// Copies until `from` ends; the number of bytes. Does not half-close `to`.
Task<Result<std::uint64_t>> copy(Stream& from, Stream& to);
// Joins two streams: both directions, half-closes passed on, until both directions have ended, either fails, or nothing
// has moved for `idle` (0: no limit). Closes both before it returns.
Task<Result<void>> splice(Stream& a, Stream& b, Duration idle = Duration::zero());

// Readiness of a descriptor that somebody else owns (inotify, pidfd, netlink, eventfd). The descriptor must stay open for
// the life of the object and may be watched by one FdWatch only. Calls of one object do not overlap in one direction.
class FdWatch {
 public:
  explicit FdWatch(int fd);
  ~FdWatch();
  FdWatch(const FdWatch&) = delete;
  Task<Result<void>> readable();
  Task<Result<void>> writable();
  void cancel();  // what waits returns Closed

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace onebin::net
