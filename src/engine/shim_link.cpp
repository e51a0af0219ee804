#include "engine/shim_link.hpp"

#include <onebin/async/timer.hpp>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <sys/socket.h>

namespace onebin::engine {

using shim::Head;
using shim::Type;

Result<std::optional<Packet>> try_receive(int fd) {
  char buffer[sizeof(Head) + shim::max_payload];
  ssize_t n;
  do n = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) return std::optional<Packet>();
  if (n == 0 || (n < 0 && errno == ECONNRESET)) return closed();
  if (n < 0) return from_errno("receive from the shim", errno);
  if (n < static_cast<ssize_t>(sizeof(Head))) return internal_error("the shim sent a short packet");
  Packet p;
  std::memcpy(&p.head, buffer, sizeof p.head);
  p.payload.assign(buffer + sizeof(Head), static_cast<std::size_t>(n) - sizeof(Head));
  return std::optional<Packet>(std::move(p));
}

Result<bool> try_send(int fd, const Head& head, std::string_view payload, const int* fds, int fd_count) {
  iovec iov[2] = {{const_cast<Head*>(&head), sizeof head}, {const_cast<char*>(payload.data()), payload.size()}};
  msghdr m{};
  m.msg_iov = iov;
  m.msg_iovlen = payload.empty() ? 1 : 2;
  alignas(cmsghdr) char control[CMSG_SPACE(3 * sizeof(int))] = {};
  if (fd_count > 0) {
    m.msg_control = control;
    m.msg_controllen = CMSG_SPACE(static_cast<std::size_t>(fd_count) * sizeof(int));
    cmsghdr* h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(static_cast<std::size_t>(fd_count) * sizeof(int));
    std::memcpy(CMSG_DATA(h), fds, static_cast<std::size_t>(fd_count) * sizeof(int));
  }
  ssize_t n;
  do n = ::sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n >= 0) return true;
  if (errno == EAGAIN) return false;
  if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return closed();
  return from_errno("send to the shim", errno);
}

ShimLink::ShimLink(Fd socket) : socket_(std::move(socket)), watch_(new net::FdWatch(socket_.get())) {}
ShimLink::~ShimLink() { watch_.reset(); }

void ShimLink::close() {
  ended_ = true;
  if (watch_) watch_->cancel();
}

async::Task<void> ShimLink::run() {
  while (!ended_) {
    auto packet = try_receive(socket_.get());
    if (!packet) break;
    if (*packet) {
      handle(std::move(**packet));
      continue;
    }
    Result<void> r = co_await watch_->readable();
    if (!r) break;
  }
  ended_ = true;
  watch_.reset();
  socket_.reset();
  changed_.wake_all();
  for (auto& p : pending_) p->queue.wake_all();
  for (auto& [number, e] : execs_) {
    if (e->phase == ExecState::Phase::Exited || e->phase == ExecState::Phase::Failed) continue;
    e->phase = ExecState::Phase::Exited;  // with the container
    e->exit_code = 137;
    e->changed.wake_all();
    if (e->on_exit) e->on_exit();
  }
}

void ShimLink::handle(Packet p) {
  const Head& h = p.head;
  switch (h.type) {
    case Type::Hello:
      greeted_ = true;
      started_.pid = h.b;
      if (p.payload.size() >= sizeof started_.at_ns) std::memcpy(&started_.at_ns, p.payload.data(), sizeof started_.at_ns);
      changed_.wake_all();
      break;
    case Type::Started:
      started_.pid = h.a;
      changed_.wake_all();
      break;
    case Type::StartFailed:
      failed_ = true;
      failed_code_ = h.a;
      changed_.wake_all();
      break;
    case Type::Exit:
      exit_known_ = true;
      changed_.wake_all();
      ended_ = true;
      break;
    case Type::Ack:
      if (!pending_.empty()) {
        auto front = pending_.front();
        pending_.pop_front();
        front->done = true;
        front->error = h.b;
        front->queue.wake_all();
      }
      break;
    case Type::ExecStarted:
    case Type::ExecFailed:
    case Type::ExecExit: {
      auto at = execs_.find(h.a);
      if (at == execs_.end()) {
        if (h.type == Type::ExecStarted) kill_forgotten(h.a);
        break;
      }
      auto e = at->second;
      if (h.type == Type::ExecStarted) {
        e->phase = ExecState::Phase::Running;
        e->pid = h.b;
      } else {
        e->phase = h.type == Type::ExecFailed ? ExecState::Phase::Failed : ExecState::Phase::Exited;
        e->exit_code = h.b;
        execs_.erase(at);
      }
      e->changed.wake_all();
      if (h.type == Type::ExecExit && e->on_exit) e->on_exit();
      break;
    }
    default:
      break;
  }
}

// Nobody waits for this exec any more: its caller gave up while it was started.
void ShimLink::kill_forgotten(int number) {
  auto sent = try_send(socket_.get(), Head{Type::Kill, 0, 0, SIGKILL, number}, {});
  if (sent && *sent) pending_.push_back(std::make_shared<Pending>());  // takes the acknowledgement
}

async::Task<Result<ShimLink::Started>> ShimLink::wait_started() {
  while (started_.pid == 0 && !failed_ && !ended_) {
    Status s = co_await changed_.wait();
    if (!s) co_return s;
  }
  if (started_.pid != 0) co_return started_;
  if (failed_) co_return internal_error("the runtime failed with exit code " + std::to_string(failed_code_));
  co_return closed();
}

async::Task<Result<ShimLink::Started>> ShimLink::hello() {
  if (ended_) co_return closed();
  auto sent = try_send(socket_.get(), Head{Type::Hello, 0, 0, shim::protocol_version, 0}, {});
  if (!sent) co_return sent.status();
  while (!greeted_ && !ended_) {
    Status s = co_await changed_.wait();
    if (!s) co_return s;
  }
  if (!greeted_) co_return closed();
  co_return started_;
}

async::Task<Result<void>> ShimLink::request(Head head) {
  if (ended_) co_return closed();
  auto sent = try_send(socket_.get(), head, {});
  if (!sent) co_return sent.status();
  if (!*sent) co_return Status(Reason::TooManyRequests, "the shim does not keep up");
  auto pending = std::make_shared<Pending>();
  pending_.push_back(pending);
  while (!pending->done && !ended_) {
    Status s = co_await pending->queue.wait();
    if (!s) co_return s;
  }
  if (!pending->done) co_return closed();
  if (pending->error) co_return from_errno("the shim", pending->error);
  co_return Result<void>();
}

async::Task<Result<void>> ShimLink::kill(int signal, int exec_number) {
  return async::with_timeout(10s, request(Head{Type::Kill, 0, 0, signal, exec_number}));
}
async::Task<Result<void>> ShimLink::resize(int columns, int rows) {
  return async::with_timeout(10s, request(Head{Type::Resize, 0, 0, columns, rows}));
}
async::Task<Result<void>> ShimLink::reopen_log() { return async::with_timeout(10s, request(Head{Type::ReopenLog, 0, 0, 0, 0})); }

Result<std::shared_ptr<ShimLink::ExecState>> ShimLink::start_exec(int number, bool tty, std::string_view payload, const int* fds) {
  if (ended_) return closed();
  Head head{Type::Exec, static_cast<std::uint8_t>(tty ? 1 : 0), 0, number, 0};
  ASSIGN_OR_RETURN(bool sent, try_send(socket_.get(), head, payload, fds, fds ? 3 : 0));
  if (!sent) return Status(Reason::TooManyRequests, "the shim does not keep up");
  auto state = std::make_shared<ExecState>();
  execs_[number] = state;
  return state;
}

}  // namespace onebin::engine
