#include "engine/io_session.hpp"

#include <onebin/async/timer.hpp>

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <sys/ioctl.h>

namespace onebin::engine {
namespace {

// How long, after the process's end, others may still hold its output open without writing.
constexpr Duration linger = 1s;
constexpr std::size_t chunk_size = 32 * 1024;

void make_nonblocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

}  // namespace

ExecSession::ExecSession(ContainerPtr container, int number, std::shared_ptr<ShimLink::ExecState> state, Ends ends)
    : container_(std::move(container)), number_(number), state_(std::move(state)), tty_(ends.tty) {
  auto adopt = [](Port& port, Fd fd) {
    if (!fd) return;
    make_nonblocking(fd.get());
    port.fd = std::move(fd);
    port.watch = std::make_unique<net::FdWatch>(port.fd.get());
    port.open = true;
  };
  adopt(in_, std::move(ends.in));
  adopt(out_, std::move(ends.out));
  adopt(err_, std::move(ends.err));
}

ExecSession::~ExecSession() {
  state_->on_exit = nullptr;
  for (Port* p : {&in_, &out_, &err_}) p->watch.reset();
}

void ExecSession::begin(async::TaskGroup& group) {
  std::weak_ptr<ExecSession> weak = weak_from_this();
  // Wakes pumps that wait for output, so that they begin to count the lingering time.
  state_->on_exit = [weak] {
    auto self = weak.lock();
    if (!self) return;
    for (Port* p : {&self->in_, &self->out_, &self->err_}) {
      if (p->watch) p->watch->cancel();
    }
  };
  if (!out_.open && !err_.open) chunks_.close();
  pumps_ = (out_.open ? 1 : 0) + (err_.open ? 1 : 0);
  if (out_.open) group.spawn(pump(shared_from_this(), &out_, OutputStream::Stdout));
  if (err_.open) group.spawn(pump(shared_from_this(), &err_, OutputStream::Stderr));
}

async::Task<void> ExecSession::pump(std::shared_ptr<ExecSession> self, Port* port, OutputStream stream) {
  co_await self->read_all(port, stream);
  port->open = false;
  if (--self->pumps_ == 0) self->chunks_.close();
}

async::Task<void> ExecSession::read_all(Port* port, OutputStream stream) {
  std::string buffer;
  while (!closed_) {
    buffer.resize(chunk_size);
    ssize_t n = ::read(port->fd.get(), buffer.data(), buffer.size());
    if (n > 0) {
      buffer.resize(static_cast<std::size_t>(n));
      Result<void> sent = co_await chunks_.send(OutputChunk{stream, std::move(buffer)});
      if (!sent) co_return;
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n == 0 || errno != EAGAIN) co_return;  // a terminal's end is EIO
    std::string().swap(buffer);  // nothing is held while nothing comes
    if (exited()) {
      Result<void> r = co_await async::with_timeout(linger, port->watch->readable());
      if (!r) co_return;
    } else {
      Result<void> r = co_await port->watch->readable();
      if (!r && !r.is(Reason::Closed)) co_return;
    }
  }
}

async::Task<Result<OutputChunk>> ExecSession::read() { return chunks_.recv(); }

async::Task<Result<void>> ExecSession::write(std::string data) {
  Port& port = tty_ ? out_ : in_;
  auto self = shared_from_this();
  std::size_t at = 0;
  while (at < data.size()) {
    if (closed_ || !port.open || !port.fd) co_return closed();
    ssize_t n = ::write(port.fd.get(), data.data() + at, data.size() - at);
    if (n >= 0) {
      at += static_cast<std::size_t>(n);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) co_return onebin::closed();
    if (exited()) co_return onebin::closed();
    writing_ = true;
    Result<void> r = co_await port.watch->writable();
    writing_ = false;
    if (!r && !r.is(Reason::Closed)) co_return r;
  }
  co_return Result<void>();
}

void ExecSession::close_stdin() {
  if (tty_ || !in_.fd || writing_) return;
  in_.open = false;
  in_.watch.reset();
  in_.fd.reset();
}

async::Task<Result<void>> ExecSession::resize(std::uint16_t columns, std::uint16_t rows) {
  if (!tty_ || !out_.fd) co_return bad_request("not a terminal");
  winsize w{};
  w.ws_col = columns;
  w.ws_row = rows;
  if (::ioctl(out_.fd.get(), TIOCSWINSZ, &w) < 0) co_return from_errno("resize", errno);
  co_return Result<void>();
}

async::Task<Result<int>> ExecSession::wait() {
  auto self = shared_from_this();
  while (!exited()) {
    Status s = co_await state_->changed.wait();
    if (!s) co_return s;
  }
  co_return state_->exit_code;
}

async::Task<void> ExecSession::close() {
  if (closed_) co_return;
  closed_ = true;
  auto self = shared_from_this();
  chunks_.close();
  while (chunks_.try_recv()) {}
  for (Port* p : {&in_, &out_, &err_}) {
    if (p->watch) p->watch->cancel();
  }
  if (!exited() && container_->link) {
    Result<void> killed = co_await async::uncancelled(container_->link->kill(SIGKILL, number_));
    (void)killed;  // gone already, or with the container
  }
  // The process of a terminal that is left gets a hang-up, one that reads gets an end of file.
  close_stdin();
}

}  // namespace onebin::engine
