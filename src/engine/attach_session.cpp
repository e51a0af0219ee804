#include "engine/io_session.hpp"

#include <onebin/async/timer.hpp>

#include <sys/socket.h>

namespace onebin::engine {

using shim::Head;
using shim::Type;

AttachSession::AttachSession(ContainerPtr container, Fd socket)
    : container_(std::move(container)), socket_(std::move(socket)), watch_(new net::FdWatch(socket_.get())) {}
AttachSession::~AttachSession() { watch_.reset(); }

async::Task<Result<OutputChunk>> AttachSession::read() {
  while (!closed_ && !ended_) {
    auto packet = try_receive(socket_.get());
    if (!packet) break;
    if (!*packet) {
      Result<void> r = co_await watch_->readable();
      if (!r && !r.is(Reason::Closed)) co_return r.status();
      continue;
    }
    auto& p = **packet;
    if (p.head.type == Type::Output) co_return OutputChunk{p.head.arg == 2 ? OutputStream::Stderr : OutputStream::Stdout, std::move(p.payload)};
    if (p.head.type == Type::Exit) {
      exit_code_ = p.head.a;
      break;
    }
  }
  ended_ = true;
  ended_queue_.wake_all();
  co_return onebin::closed();
}

async::Task<Result<void>> AttachSession::send(Head head, std::string_view payload) {
  for (;;) {
    if (closed_ || ended_) co_return onebin::closed();
    auto sent = try_send(socket_.get(), head, payload);
    if (!sent) co_return sent.status();
    if (*sent) co_return Result<void>();
    Result<void> r = co_await watch_->writable();
    if (!r && !r.is(Reason::Closed)) co_return r;
  }
}

async::Task<Result<void>> AttachSession::write(std::string data) {
  if (stdin_closed_) co_return onebin::closed();
  for (std::size_t at = 0; at < data.size(); at += shim::max_payload) {
    std::string_view piece = std::string_view(data).substr(at, shim::max_payload);
    Result<void> r = co_await send(Head{Type::Stdin, 0, 0, 0, 0}, piece);
    if (!r) co_return r;
  }
  co_return Result<void>();
}

void AttachSession::close_stdin() {
  if (stdin_closed_ || closed_) return;
  stdin_closed_ = true;
  sending_.spawn(send_close());
}

// Waits in line behind the input: the shim reads no more while the container's pipe is full.
async::Task<void> AttachSession::send_close() {
  Result<void> sent = co_await send(Head{Type::CloseStdin, 0, 0, 0, 0}, {});
  (void)sent;  // the session's end ends stdin as well
}

async::Task<Result<void>> AttachSession::resize(std::uint16_t columns, std::uint16_t rows) {
  if (!container_->link) co_return onebin::closed();
  co_return co_await container_->link->resize(columns, rows);
}

async::Task<Result<int>> AttachSession::wait() {
  while (!ended_ && !closed_) {
    Status s = co_await ended_queue_.wait();
    if (!s) co_return s;
  }
  if (exit_code_) co_return *exit_code_;
  co_return onebin::closed();
}

async::Task<void> AttachSession::close() {
  if (closed_) co_return;
  closed_ = true;
  ::shutdown(socket_.get(), SHUT_RDWR);  // the shim sees it at once
  watch_->cancel();
  ended_queue_.wake_all();
  sending_.cancel();
  co_await sending_.join();
}

}  // namespace onebin::engine
