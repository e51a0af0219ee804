// The shim's start and its loop. Usage, with the container's folder as working directory, which is its OCI bundle as well:
//   shim --id ID --runtime PATH --runtime-root DIR [--log FILE] [--tty] [--stdin] [--stdin-once] [--procs FILE]...
// Descriptor 3 is the first connection.
#include "engine/shim/state.hpp"

#include <onebin/engine/shim.hpp>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <initializer_list>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

namespace onebin::engine::shim {

State g;

bool nonblocking(int fd) { return ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK) == 0; }

void watch(int fd, unsigned& armed, unsigned want, unsigned kind, unsigned index) {
  if (fd < 0 || want == armed) return;
  epoll_event e{};
  e.events = want;
  e.data.u64 = (static_cast<std::uint64_t>(kind) << 32) | index;
  ::epoll_ctl(g.epoll, !want ? EPOLL_CTL_DEL : armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e);
  armed = want;
}

namespace {

void join_cgroup(const char* procs_file) {
  int fd = ::open(procs_file, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  [[maybe_unused]] auto n = ::write(fd, "0", 1);  // 0: the writer
  ::close(fd);
}

int listen_at(const char* name, int type) {
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  std::strcpy(a.sun_path, name);
  ::unlink(name);
  int fd = ::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) < 0 || ::chmod(name, 0600) < 0 || ::listen(fd, 32) < 0) {
    ::close(fd);
    return -1;
  }
  return fd;
}

bool parse(int argc, char** argv) {
  for (int i = 2; i < argc; ++i) {
    const char* a = argv[i];
    auto is = [a](const char* name) { return std::strcmp(a, name) == 0; };
    if (is("--tty")) { g.options.tty = true; continue; }
    if (is("--stdin")) { g.options.open_stdin = true; continue; }
    if (is("--stdin-once")) { g.options.stdin_once = true; continue; }
    if (i + 1 >= argc) return false;
    const char* v = argv[++i];
    if (is("--id")) g.options.id = v;
    else if (is("--runtime")) g.options.runtime = v;
    else if (is("--runtime-root")) g.options.runtime_root = v;
    else if (is("--log")) g.log.set_path(v);
    else if (is("--procs")) join_cgroup(v);
    else return false;
  }
  return g.options.id && g.options.runtime && g.options.runtime_root;
}

// stdio of the container: pipes, or /dev/null; a terminal is made by the runtime and comes by the console socket.
bool make_stdio() {
  if (g.options.tty) return (g.console_listener = listen_at(console_name, SOCK_STREAM)) >= 0;
  int p[2];
  for (int s = 0; s < 2; ++s) {
    if (::pipe2(p, O_CLOEXEC) < 0) return false;
    g.out[s] = p[0];
    g.container_end[s + 1] = p[1];
    nonblocking(p[0]);
  }
  if (!g.options.open_stdin) return (g.container_end[0] = ::open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;
  if (::pipe2(p, O_CLOEXEC) < 0) return false;
  g.container_end[0] = p[0];
  g.in = p[1];
  return nonblocking(g.in);
}

void write_exit_file() {
  char text[80], temp[] = "exit.tmp";
  int n = std::snprintf(text, sizeof text, "%d %lld %ld\n", g.exit_code, static_cast<long long>(g.exit_time.tv_sec), g.exit_time.tv_nsec);
  int fd = ::open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;
  bool ok = ::write(fd, text, static_cast<size_t>(n)) == n;
  ::close(fd);
  if (ok) ::rename(temp, exit_name);
}

void dispatch(const epoll_event& e) {
  unsigned kind = static_cast<unsigned>(e.data.u64 >> 32), index = static_cast<unsigned>(e.data.u64);
  switch (kind) {
    case KindSignals: {
      signalfd_siginfo info;
      while (::read(g.signals, &info, sizeof info) == sizeof info) {}
      reap();
      break;
    }
    case KindListener: accept_clients(); break;
    case KindConsole: accept_console(); break;
    case KindOut: output_ready(static_cast<int>(index)); break;
    case KindIn: stdin_ready(); break;
    case KindClient: client_ready(static_cast<int>(index), e.events); break;
    default: break;
  }
}

long long now_ms() {
  timespec t;
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

void run_loop(int timeout_ms) {
  epoll_event events[16];
  int n = ::epoll_wait(g.epoll, events, 16, timeout_ms);
  for (int i = 0; i < n; ++i) dispatch(events[i]);
  drop_stalled();
  update_interest();
}

// After the container's end its pipes are read until they end too; whoever inherited them (in a PID namespace that lives
// on) gets a second. Attached clients then have five to take what they were sent.
void finish() {
  for (long long end = now_ms() + 1000; (g.out[0] >= 0 || g.out[1] >= 0);) {
    if (anybody_blocked()) end = now_ms() + 1000;  // a slow reader, at most stall_seconds
    long long left = end - now_ms();
    if (left <= 0) break;
    run_loop(static_cast<int>(left));
  }
  g.log.finish();
  write_exit_file();
  broadcast(Head{Type::Exit, 0, 0, g.exit_code, 0});
  g.exit_told = true;
  for (long long end = now_ms() + 5000; anybody_blocked();) {
    long long left = end - now_ms();
    if (left <= 0) break;
    run_loop(static_cast<int>(left));
  }
  ::unlink(socket_name);
}

bool set_up() {
  ::setsid();
  ::umask(0022);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (int s : {SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2}) ::signal(s, SIG_IGN);
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  ::sigprocmask(SIG_SETMASK, &set, nullptr);
  g.signals = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  g.epoll = ::epoll_create1(EPOLL_CLOEXEC);
  ::fcntl(control_fd, F_SETFD, FD_CLOEXEC);
  if (g.signals < 0 || g.epoll < 0 || (g.listener = listen_at(socket_name, SOCK_SEQPACKET)) < 0) return false;
  unsigned armed = 0;
  watch(g.signals, armed, EPOLLIN, KindSignals, 0);
  armed = 0;
  watch(g.listener, armed, EPOLLIN, KindListener, 0);
  adopt_client(control_fd);
  if (int e = g.log.open()) {
    char text[64];
    int n = std::snprintf(text, sizeof text, "{\"msg\":\"open the log file: errno %d\"}\n", e);
    int fd = ::open(runtime_log_name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
      [[maybe_unused]] auto w = ::write(fd, text, static_cast<size_t>(n));
      ::close(fd);
    }
    return false;
  }
  if (!make_stdio()) return false;
  armed = 0;
  watch(g.console_listener, armed, EPOLLIN, KindConsole, 0);
  return start_container();
}

}  // namespace

int run(int argc, char** argv) {
  if (!parse(argc, argv)) return 2;
  if (!set_up()) {
    if (g.clients[0].fd >= 0) send_to(0, Head{Type::StartFailed, 0, 0, 255, errno}, nullptr, 0);
    return 1;
  }
  while (!g.exited) run_loop(anybody_blocked() ? 5000 : -1);
  if (g.init == 0) {  // never started
    broadcast(Head{Type::StartFailed, 0, 0, g.exit_code, 0});
    ::unlink(socket_name);
    return 1;
  }
  finish();
  return 0;
}

}  // namespace onebin::engine::shim

namespace onebin::engine {

int shim_main(int argc, char** argv) { return shim::run(argc, argv); }

int pause_main(int, char**) {
  sigset_t set;
  ::sigemptyset(&set);
  for (int s : {SIGCHLD, SIGINT, SIGTERM}) ::sigaddset(&set, s);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  for (;;) {
    int s = 0;
    ::sigwait(&set, &s);
    if (s != SIGCHLD) return 0;
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {}
  }
}

}  // namespace onebin::engine
