#include "net/fd_port.hpp"

#include <onebin/async/timer.hpp>

#include <csignal>
#include <ctime>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <system_error>

namespace onebin::net {

namespace {
Result<void> wait_result(const boost::system::error_code& ec, bool closed, async::CancelScope* scope) {
  if (!ec) return Result<void>();
  if (closed) return onebin::closed();
  if (scope && scope->cancelled()) return cancelled();
  if (ec == boost::asio::error::operation_aborted) return onebin::closed();
  return from_errno("wait", ec.value());
}
}  // namespace

Task<Result<void>> FdPort::wait(boost::asio::posix::stream_descriptor::wait_type what) {
  if (closed()) co_return onebin::closed();
  auto init = [this, what](auto handler) { descriptor_.async_wait(what, std::move(handler)); };
  auto [ec] = co_await async::asio_await<boost::system::error_code>(init);
  co_return wait_result(ec, closed(), co_await async::current_scope());
}

Status io_error(std::string_view what, int error) {
  switch (error) {
    case EPIPE: case ECONNRESET: case ECONNABORTED: case EBADF: case ESHUTDOWN: case ENOTCONN:
      return Status(Reason::Closed, std::string(what) + ": " + std::generic_category().message(error));
    case ETIMEDOUT: return timeout(std::string(what) + ": connection timed out");
    default: return from_errno(what, error);
  }
}

namespace {

constexpr int kTurn = 16;       // immediate reads and writes in a row before others get the loop
constexpr std::size_t kMaxParts = 16;

// write(2) on a pipe whose reader has gone raises SIGPIPE; the disposition is the process's, so it is held back here.
class HoldSigpipe {
 public:
  HoldSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &old_);
  }
  ~HoldSigpipe() {
    int saved = errno;
    if (!sigismember(&old_, SIGPIPE)) {
      timespec none{};
      while (sigtimedwait(&pipe_, nullptr, &none) == SIGPIPE) {}
      pthread_sigmask(SIG_SETMASK, &old_, nullptr);
    }
    errno = saved;
  }

 private:
  sigset_t pipe_, old_;
};

class FdStream final : public Stream {
 public:
  FdStream(Fd fd, bool socket) : port_(std::move(fd)), socket_(socket) {}

  Task<Result<std::size_t>> read_some(char* data, std::size_t size) override {
    if (++turn_ > kTurn) { turn_ = 0; co_await Yield(); }
    for (;;) {
      if (auto r = try_read_some(data, size)) co_return std::move(*r);
      turn_ = 0;
      Result<void> w = co_await port_.wait_readable();
      if (!w) co_return w.status();
    }
  }

  std::optional<Result<std::size_t>> try_read_some(char* data, std::size_t size) override {
    if (port_.closed()) return Result<std::size_t>(closed());
    ssize_t n;
    do n = socket_ ? ::recv(port_.fd(), data, size, 0) : ::read(port_.fd(), data, size);
    while (n < 0 && errno == EINTR);
    if (n >= 0) return Result<std::size_t>(static_cast<std::size_t>(n));
    if (errno == EAGAIN || errno == EWOULDBLOCK) return std::nullopt;
    if (errno == EIO && !socket_) return Result<std::size_t>(std::size_t{0});  // a terminal whose other side has closed
    return Result<std::size_t>(io_error("read", errno));
  }

  Task<Result<void>> wait_readable() override { return port_.wait_readable(); }

  Task<Result<void>> write(std::string_view data) override { return write_all({data.data(), data.size()}, {}); }

  Task<Result<void>> write_v(std::span<const std::string_view> parts) override {
    return write_all({}, parts);
  }

  Task<Result<void>> shutdown_write() override {
    if (port_.closed()) co_return closed();
    if (!socket_) co_return internal_error("this stream has no half-close");
    if (::shutdown(port_.fd(), SHUT_WR) < 0) co_return io_error("shutdown", errno);
    co_return Result<void>();
  }
  void close() override { port_.close(); }
  void set_write_timeout(Duration limit) override { write_limit_ = limit; }

 private:
  // `single`, then `parts` (whose views live in the caller's frame).
  Task<Result<void>> write_all(std::string_view single, std::span<const std::string_view> parts) {
    if (++turn_ > kTurn) { turn_ = 0; co_await Yield(); }
    std::size_t part = 0, offset = 0;  // within {single, parts...}
    for (;;) {
      iovec iov[kMaxParts];
      int count = 0;
      std::size_t from = offset;
      for (std::size_t i = part; i <= parts.size() && count < static_cast<int>(kMaxParts); ++i) {
        std::string_view v = i == 0 ? single : parts[i - 1];
        if (v.size() > from) iov[count++] = {const_cast<char*>(v.data() + from), v.size() - from};
        from = 0;
      }
      if (count == 0) co_return Result<void>();
      if (port_.closed()) co_return closed();
      ssize_t n = put(iov, count);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        turn_ = 0;
        Result<void> w = co_await writable();
        if (!w) co_return w.status();
        continue;
      }
      if (n < 0) co_return io_error("write", errno);
      offset += static_cast<std::size_t>(n);
      while (part <= parts.size()) {
        std::size_t size = part == 0 ? single.size() : parts[part - 1].size();
        if (offset < size) break;
        offset -= size;
        ++part;
      }
    }
  }

  Task<Result<void>> writable() {
    if (write_limit_ <= Duration::zero()) return port_.wait_writable();
    return async::with_timeout(write_limit_, port_.wait_writable());
  }

  ssize_t put(iovec* iov, int count) {
    if (socket_) {
      msghdr m{};
      m.msg_iov = iov;
      m.msg_iovlen = static_cast<std::size_t>(count);
      return ::sendmsg(port_.fd(), &m, MSG_NOSIGNAL);
    }
    HoldSigpipe hold;
    return ::writev(port_.fd(), iov, count);
  }

  FdPort port_;
  bool socket_;
  int turn_ = 0;
  Duration write_limit_{};
};

}  // namespace

Result<StreamPtr> stream_from_fd(Fd fd) {
  struct stat st;
  if (::fstat(fd.get(), &st) < 0) return from_errno("fstat", errno);
  bool socket = S_ISSOCK(st.st_mode);
  return StreamPtr(std::make_unique<FdStream>(std::move(fd), socket));
}

struct FdWatch::Impl {
  explicit Impl(int fd) : port(Fd(fd)) {}
  FdPort port;
};
FdWatch::FdWatch(int fd) : impl_(std::make_unique<Impl>(fd)) {}
FdWatch::~FdWatch() { impl_->port.release(); }
Task<Result<void>> FdWatch::readable() { return impl_->port.wait_readable(); }
Task<Result<void>> FdWatch::writable() { return impl_->port.wait_writable(); }
void FdWatch::cancel() { impl_->port.cancel(); }

}  // namespace onebin::net
