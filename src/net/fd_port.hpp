// FdPort: a non-blocking descriptor in the loop's reactor. Waits hold no buffer.
#pragma once
#include <onebin/base/file.hpp>
#include <onebin/async/asio.hpp>
#include <onebin/net/stream.hpp>

#include <boost/asio/posix/stream_descriptor.hpp>

namespace onebin::net {

class FdPort {
 public:
  explicit FdPort(Fd fd) : descriptor_(async::io_context(), fd.release()) { descriptor_.non_blocking(true, ignored_); }
  ~FdPort() { close(); }
  int fd() { return descriptor_.native_handle(); }
  bool closed() const { return !descriptor_.is_open(); }
  void close() {
    if (descriptor_.is_open()) descriptor_.close(ignored_);
  }
  // For descriptors that somebody else owns: leaves the reactor, does not close.
  int release() { return descriptor_.is_open() ? descriptor_.release() : -1; }
  void cancel() { descriptor_.cancel(ignored_); }
  Task<Result<void>> wait_readable() { return wait(boost::asio::posix::stream_descriptor::wait_read); }
  Task<Result<void>> wait_writable() { return wait(boost::asio::posix::stream_descriptor::wait_write); }

 private:
  Task<Result<void>> wait(boost::asio::posix::stream_descriptor::wait_type what);
  boost::asio::posix::stream_descriptor descriptor_;
  boost::system::error_code ignored_;
};

// Goes to the back of the loop's queue, so that a stream that is always ready does not keep others waiting.
class Yield {
 public:
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) {
    async::Loop::current().post([h] { h.resume(); });
  }
  void await_resume() const noexcept {}
};

// The error of a failed read or write.
Status io_error(std::string_view what, int error);

}  // namespace onebin::net
