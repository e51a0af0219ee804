#include "engine/shim/state.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace onebin::engine::shim {
namespace {

time_t seconds() {
  timespec t;
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec;
}

void close_stdin_now() {
  if (g.in < 0) return;
  if (!g.options.tty) ::close(g.in);
  g.in = -1;
  g.in_close = false;
  g.in_armed = 0;
  std::free(g.in_pending);
  g.in_pending = nullptr;
  g.in_pending_size = 0;
}

void request_stdin_close() {
  if (g.in_pending) g.in_close = true;
  else close_stdin_now();
}

void drop(int slot) {
  Client& c = g.clients[slot];
  if (c.fd < 0) return;
  for (Exec& e : g.execs) {
    if (e.number && e.client_slot == slot) e.client_fd = -1;
  }
  bool had_stdin = c.stdin_user;
  ::close(c.fd);
  std::free(c.pending);
  c = Client{};
  if (had_stdin && g.options.stdin_once && !g.options.tty) request_stdin_close();
}

// What the pipe does not take waits, and then no attached client is read.
void hold_stdin(const char* data, unsigned size) {
  unsigned held = g.in_pending ? g.in_pending_size - g.in_pending_at : 0;
  auto* all = static_cast<char*>(std::malloc(held + size));
  if (!all) return;
  if (held) std::memcpy(all, g.in_pending + g.in_pending_at, held);
  std::memcpy(all + held, data, size);
  std::free(g.in_pending);
  g.in_pending = all;
  g.in_pending_size = held + size;
  g.in_pending_at = 0;
}

void write_stdin(const char* data, unsigned size) {
  if (g.in_close || g.in < 0) return;
  if (g.in_pending) return hold_stdin(data, size);
  while (size > 0 && g.in >= 0) {
    ssize_t n = ::write(g.in, data, size);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) {
        close_stdin_now();  // nobody reads any more
        return;
      }
      return hold_stdin(data, size);
    }
    data += n;
    size -= static_cast<unsigned>(n);
  }
}

void handle(int slot, const Head& head, char* payload, unsigned size, const int* fds, int fd_count) {
  Client& c = g.clients[slot];
  Head ack{Type::Ack, 0, 0, static_cast<std::int32_t>(head.type), 0};
  switch (head.type) {
    case Type::Hello:
      send_to(slot, Head{Type::Hello, 0, 0, protocol_version, g.init}, &g.started_ns, sizeof g.started_ns);
      return;
    case Type::Kill:
      ack.b = signal_process(head.b, head.a);
      break;
    case Type::Attach:
      c.attached = true;
      c.stdin_user = head.arg & 1;
      break;
    case Type::Stdin:
      if (c.stdin_user) write_stdin(payload, size);
      return;
    case Type::CloseStdin:
      // Without stdinOnce the container keeps its stdin for the next who attaches.
      if (c.stdin_user && g.options.stdin_once && !g.options.tty) request_stdin_close();
      return;
    case Type::Resize: {
      winsize w{};
      w.ws_col = static_cast<unsigned short>(head.a);
      w.ws_row = static_cast<unsigned short>(head.b);
      if (!g.options.tty || g.out[0] < 0) ack.b = ENOTTY;
      else if (::ioctl(g.out[0], TIOCSWINSZ, &w) < 0) ack.b = errno;
      break;
    }
    case Type::ReopenLog:
      ack.b = g.log.open();
      break;
    case Type::Exec:
      start_exec(slot, head, payload, size, fds, fd_count);
      return;
    default:
      ack.b = ENOSYS;
      break;
  }
  send_to(slot, ack, nullptr, 0);
}

// False when there is nothing more to read now.
bool receive(int slot) {
  Client& c = g.clients[slot];
  iovec iov{g.packet, sizeof g.packet - 1};
  alignas(cmsghdr) char control[CMSG_SPACE(3 * sizeof(int))];
  msghdr m{};
  m.msg_iov = &iov;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  ssize_t n = ::recvmsg(c.fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  int fds[3] = {-1, -1, -1}, count = 0;
  for (cmsghdr* h = n > 0 ? CMSG_FIRSTHDR(&m) : nullptr; h; h = CMSG_NXTHDR(&m, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    count = static_cast<int>((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    std::memcpy(fds, CMSG_DATA(h), static_cast<std::size_t>(count) * sizeof(int));
  }
  if (n < static_cast<ssize_t>(sizeof(Head))) {
    drop(slot);
    return false;
  }
  Head head;
  std::memcpy(&head, g.packet, sizeof head);
  handle(slot, head, g.packet + sizeof head, static_cast<unsigned>(n) - sizeof head, fds, count);
  for (int i = 0; i < count; ++i) ::close(fds[i]);
  return g.clients[slot].fd >= 0 && !(g.in_pending && g.clients[slot].stdin_user);
}

}  // namespace

void adopt_client(int fd) {
  for (unsigned i = 0; i < max_clients; ++i) {
    if (g.clients[i].fd >= 0) continue;
    g.clients[i].fd = fd;
    watch(fd, g.clients[i].armed, EPOLLIN, KindClient, i);
    return;
  }
  ::close(fd);
}

void accept_clients() {
  for (;;) {
    int fd = ::accept4(g.listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    adopt_client(fd);
  }
}

// Control packets are few and small: one that does not fit the peer's buffer drops the peer. Output waits in `pending`.
void send_to(int slot, Head head, const void* payload, unsigned size) {
  Client& c = g.clients[slot];
  if (c.fd < 0) return;
  iovec iov[2] = {{&head, sizeof head}, {const_cast<void*>(payload), size}};
  msghdr m{};
  m.msg_iov = iov;
  m.msg_iovlen = size ? 2 : 1;
  ssize_t n;
  do n = ::sendmsg(c.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n >= 0) return;
  if (errno != EAGAIN || head.type != Type::Output || c.pending) return drop(slot);
  c.pending = static_cast<char*>(std::malloc(sizeof head + size));
  if (!c.pending) return drop(slot);
  std::memcpy(c.pending, &head, sizeof head);
  std::memcpy(c.pending + sizeof head, payload, size);
  c.pending_size = static_cast<unsigned>(sizeof head) + size;
  c.blocked_since = seconds();
}

// To those who have taken all their output; the others get Exit when they have.
void broadcast(Head head) {
  for (int i = 0; i < max_clients; ++i) {
    if (g.clients[i].fd >= 0 && !g.clients[i].pending) send_to(i, head, nullptr, 0);
  }
}

void client_ready(int slot, unsigned events) {
  Client& c = g.clients[slot];
  if (c.fd < 0) return;
  if (c.pending && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
    ssize_t n = ::send(c.fd, c.pending, c.pending_size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return drop(slot);
    if (n >= 0) {
      std::free(c.pending);
      c.pending = nullptr;
      if (g.exit_told) send_to(slot, Head{Type::Exit, 0, 0, g.exit_code, 0}, nullptr, 0);
    }
  }
  if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  if (c.fd < 0 || (g.in_pending && c.stdin_user)) return;
  for (int i = 0; i < 16 && receive(slot); ++i) {}
}

void output_ready(int stream) {
  int fd = g.out[stream];
  if (g.options.tty) stdin_ready();
  if (fd < 0 || anybody_blocked()) return;
  ssize_t n = ::read(fd, g.packet, max_payload);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {  // for a terminal EIO: no process has it open any more
    if (g.options.tty && g.in == fd) g.in = -1;
    ::close(fd);
    g.out[stream] = -1;
    g.out_armed[stream] = 0;
    return;
  }
  g.log.write(stream + 1, g.packet, static_cast<std::size_t>(n));
  for (int i = 0; i < max_clients; ++i) {
    if (g.clients[i].fd >= 0 && g.clients[i].attached) {
      send_to(i, Head{Type::Output, static_cast<std::uint8_t>(stream + 1), 0, 0, 0}, g.packet, static_cast<unsigned>(n));
    }
  }
}

void stdin_ready() {
  if (!g.in_pending || g.in < 0) return;
  while (g.in_pending_at < g.in_pending_size) {
    ssize_t n = ::write(g.in, g.in_pending + g.in_pending_at, g.in_pending_size - g.in_pending_at);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return;
      return close_stdin_now();
    }
    g.in_pending_at += static_cast<unsigned>(n);
  }
  std::free(g.in_pending);
  g.in_pending = nullptr;
  g.in_pending_size = 0;
  if (g.in_close) close_stdin_now();
}

bool anybody_blocked() {
  for (const Client& c : g.clients) {
    if (c.fd >= 0 && c.pending) return true;
  }
  return false;
}

bool pending_output() { return anybody_blocked(); }

void drop_stalled() {
  for (int i = 0; i < max_clients; ++i) {
    const Client& c = g.clients[i];
    if (c.fd >= 0 && c.pending && seconds() - c.blocked_since > stall_seconds) drop(i);
  }
}

// While an attached client has not taken the last piece no more output is read; while stdin is full no more input is.
void update_interest() {
  unsigned read_output = !anybody_blocked() && g.init > 0 ? static_cast<unsigned>(EPOLLIN) : 0u;
  unsigned write_input = g.in_pending ? static_cast<unsigned>(EPOLLOUT) : 0u;
  // A terminal is one descriptor for both directions.
  watch(g.out[0], g.out_armed[0], read_output | (g.options.tty ? write_input : 0u), KindOut, 0);
  watch(g.out[1], g.out_armed[1], read_output, KindOut, 1);
  if (!g.options.tty) watch(g.in, g.in_armed, write_input, KindIn, 0);
  for (unsigned i = 0; i < max_clients; ++i) {
    Client& c = g.clients[i];
    unsigned want = (g.in_pending && c.stdin_user ? 0u : static_cast<unsigned>(EPOLLIN)) | (c.pending ? static_cast<unsigned>(EPOLLOUT) : 0u);
    watch(c.fd, c.armed, want, KindClient, i);
  }
}

}  // namespace onebin::engine::shim
