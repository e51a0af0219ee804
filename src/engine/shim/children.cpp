#include "engine/shim/state.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <initializer_list>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace onebin::engine::shim {
namespace {

// Starts the runtime with the given stdio; the caller keeps its descriptors.
pid_t spawn(const char* const* args, const int* stdio) {
  pid_t pid = ::fork();
  if (pid != 0) return pid;
  // Duplicated above 2 first, so that no descriptor is overwritten before its turn. dup2 clears close-on-exec.
  int kept[3];
  for (int i = 0; i < 3; ++i) kept[i] = ::fcntl(stdio[i], F_DUPFD_CLOEXEC, 10);
  for (int i = 0; i < 3; ++i) {
    if (kept[i] < 0 || ::dup2(kept[i], i) < 0) ::_exit(127);
  }
  for (int s : {SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2}) ::signal(s, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execv(args[0], const_cast<char* const*>(args));
  ::_exit(127);
}

int exit_code_of(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

pid_t read_pid(const char* name) {
  char text[32] = {};
  int fd = ::open(name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t n = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  return n > 0 ? static_cast<pid_t>(std::atoi(text)) : 0;
}

void exec_pid_name(char* out, std::size_t size, int number) { std::snprintf(out, size, "exec-%d.pid", number); }

// An exec's client may be gone and its slot used by another: the descriptor alone doesn't tell, so a closed client's
// execs are orphaned when it closes (client_fd = -1).
void tell(const Exec& e, Type type, int b) {
  if (e.client_fd >= 0) send_to(e.client_slot, Head{type, 0, 0, e.number, b}, nullptr, 0);
}

void close_container_ends() {
  for (int& fd : g.container_end) {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
}

void runtime_done(int status) {
  g.runtime = 0;
  close_container_ends();
  pid_t pid = status == 0 ? read_pid(pid_name) : 0;
  if (pid <= 0) {
    g.exit_code = status == 0 ? 255 : exit_code_of(status);
    g.exited = true;
    return;
  }
  g.init = pid;
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  g.started_ns = now.tv_sec * 1000000000LL + now.tv_nsec;
  // From here on update_interest reads the pipes: what comes out is the container's, not the runtime's complaint.
  if (g.console_listener >= 0) accept_console();
  broadcast(Head{Type::Started, 0, 0, pid, 0});
}

void init_done(int status) {
  g.exit_code = exit_code_of(status);
  ::clock_gettime(CLOCK_REALTIME, &g.exit_time);
  g.exited = true;
}

void exec_runtime_done(Exec& e, int status) {
  e.runtime = 0;
  char name[32];
  exec_pid_name(name, sizeof name, e.number);
  e.pid = status == 0 ? read_pid(name) : 0;
  ::unlink(name);
  if (e.pid > 0) {
    tell(e, Type::ExecStarted, e.pid);
    return;
  }
  tell(e, Type::ExecFailed, exit_code_of(status));
  e.number = 0;
}

void child_done(pid_t pid, int status) {
  if (pid == g.runtime) return runtime_done(status);
  if (pid == g.init) return init_done(status);
  for (Exec& e : g.execs) {
    if (!e.number) continue;
    if (e.runtime == pid) return exec_runtime_done(e, status);
    if (e.pid == pid) {
      tell(e, Type::ExecExit, exit_code_of(status));
      e.number = 0;
      return;
    }
  }
}

bool reap_one(pid_t pid) {
  int status = 0;
  if (pid <= 0 || ::waitpid(pid, &status, WNOHANG) != pid) return false;
  child_done(pid, status);
  return true;
}

}  // namespace

bool start_container() {
  const char* args[20];
  int n = 0;
  auto add = [&](const char* a) { args[n++] = a; };
  add(g.options.runtime);
  add("--root"); add(g.options.runtime_root);
  add("--log"); add(runtime_log_name);
  add("--log-format"); add("json");
  add("run"); add("-d");
  add("--bundle"); add(".");
  add("--pid-file"); add(pid_name);
  int null_fd = -1;
  int stdio[3] = {g.container_end[0], g.container_end[1], g.container_end[2]};
  if (g.options.tty) {
    add("--console-socket"); add(console_name);
    null_fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int& fd : stdio) fd = null_fd;
  }
  add(g.options.id);
  args[n] = nullptr;
  g.runtime = spawn(args, stdio);
  if (null_fd >= 0) ::close(null_fd);
  if (g.runtime < 0) g.runtime = 0;
  return g.runtime > 0;
}

void start_exec(int slot, const Head& head, char* payload, unsigned size, const int* fds, int fd_count) {
  bool tty = head.arg & 1;
  Exec* free_slot = nullptr;
  for (Exec& e : g.execs) {
    if (!e.number && !free_slot) free_slot = &e;
  }
  payload[size] = 0;  // one byte of room is there: the packet buffer is longer than any payload
  auto* zero = static_cast<char*>(std::memchr(payload, 0, size));
  if (!free_slot || !zero || head.a <= 0 || g.exited || !g.init || fd_count != (tty ? 0 : 3)) {
    send_to(slot, Head{Type::ExecFailed, 0, 0, head.a, 255}, nullptr, 0);
    return;
  }
  char name[32];
  exec_pid_name(name, sizeof name, head.a);
  char log_name[32];
  std::snprintf(log_name, sizeof log_name, "exec-%d.log", head.a);
  const char* args[24];
  int n = 0;
  auto add = [&](const char* a) { args[n++] = a; };
  add(g.options.runtime);
  add("--root"); add(g.options.runtime_root);
  add("--log"); add(log_name);
  add("--log-format"); add("json");
  add("exec"); add("-d");
  add("--process"); add(payload);
  add("--pid-file"); add(name);
  int null_fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  int stdio[3] = {null_fd, null_fd, null_fd};
  if (tty) {
    add("--console-socket"); add(zero + 1);
  } else {
    for (int i = 0; i < 3; ++i) stdio[i] = fds[i];
  }
  add(g.options.id);
  args[n] = nullptr;
  pid_t pid = spawn(args, stdio);
  ::close(null_fd);
  if (pid < 0) {
    send_to(slot, Head{Type::ExecFailed, 0, 0, head.a, 255}, nullptr, 0);
    return;
  }
  *free_slot = Exec{head.a, g.clients[slot].fd, slot, pid, 0};
}

void reap() {
  // The runtime first: it tells which of the other children is the container or an exec. While one is on its way,
  // children of unknown pid stay zombies, so that an exec that is over at once is not reaped unseen.
  reap_one(g.runtime);
  for (Exec& e : g.execs) {
    if (e.number && e.runtime) reap_one(e.runtime);
  }
  for (Exec& e : g.execs) {
    if (e.number && e.pid) reap_one(e.pid);
  }
  reap_one(g.init);
  if (g.runtime) return;
  for (const Exec& e : g.execs) {
    if (e.number && e.runtime) return;
  }
  int status = 0;
  for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) child_done(pid, status);
}

// The runtime sends the terminal's master over the console socket.
void accept_console() {
  int c = ::accept4(g.console_listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (c < 0) return;
  char byte[64];
  iovec iov{byte, sizeof byte};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr m{};
  m.msg_iov = &iov;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  int master = -1;
  if (::recvmsg(c, &m, MSG_CMSG_CLOEXEC) > 0) {
    cmsghdr* h = CMSG_FIRSTHDR(&m);
    if (h && h->cmsg_type == SCM_RIGHTS) std::memcpy(&master, CMSG_DATA(h), sizeof master);
  }
  ::close(c);
  if (master < 0) return;
  ::close(g.console_listener);  // leaves the epoll set by that
  g.console_listener = -1;
  ::unlink(console_name);
  nonblocking(master);
  g.out[0] = master;
  if (g.options.open_stdin) g.in = master;
}

int signal_process(int number, int signal) {
  if (number == 0) {
    if (g.init <= 0 || g.exited) return ESRCH;
    return ::kill(g.init, signal) == 0 ? 0 : errno;  // not reaped yet, so the pid is still the container's
  }
  for (const Exec& e : g.execs) {
    if (e.number == number && e.pid > 0) return ::kill(e.pid, signal) == 0 ? 0 : errno;
  }
  return ESRCH;
}

}  // namespace onebin::engine::shim
