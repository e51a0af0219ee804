// The shim's whole state: one static object, so that untouched parts cost no memory. No libstdc++, no exceptions; malloc
// only for what a blocked peer has not taken yet.
#pragma once
#include "engine/shim/log.hpp"
#include "engine/shim/protocol.hpp"

#include <ctime>
#include <sys/types.h>

namespace onebin::engine::shim {

constexpr int max_clients = 64;
constexpr int max_execs = 256;
constexpr int stall_seconds = 60;  // an attached reader that takes nothing for so long is dropped, so that the container goes on

struct Client {
  int fd = -1;
  bool attached = false;
  bool stdin_user = false;   // attached for input too
  char* pending = nullptr;   // one whole packet that did not fit
  unsigned pending_size = 0;
  time_t blocked_since = 0;
  unsigned armed = 0;        // epoll events
};

struct Exec {
  int number = 0;  // 0: free slot
  int client_fd = -1;
  int client_slot = -1;
  pid_t runtime = 0;  // `runc exec`, while it runs
  pid_t pid = 0;
};

struct Options {
  const char* id = nullptr;
  const char* runtime = nullptr;
  const char* runtime_root = nullptr;
  const char* systemd_cgroup = nullptr;
  bool tty = false, open_stdin = false, stdin_once = false;
};

struct State {
  Options options;
  LogFile log;
  int epoll = -1, listener = -1, console_listener = -1, signals = -1;
  int out[2] = {-1, -1};         // read ends of stdout and stderr; with a terminal out[0] is its master
  int container_end[3] = {-1, -1, -1};
  int in = -1;                   // write end of stdin; the terminal's master too
  char* in_pending = nullptr;
  unsigned in_pending_size = 0, in_pending_at = 0;
  bool in_close = false;         // close stdin once in_pending is written
  unsigned in_armed = 0, out_armed[2] = {0, 0};
  Client clients[max_clients];
  Exec execs[max_execs];
  pid_t runtime = 0;  // `runc run`, while it runs
  pid_t init = 0;
  long long started_ns = 0;
  bool exited = false;
  bool exit_told = false;  // Exit was sent to all who were not blocked
  int exit_code = 0;
  timespec exit_time = {};
  char packet[sizeof(Head) + max_payload + 1];
};

// shim.cpp
extern State g;
bool nonblocking(int fd);
// Changes what is waited for from `armed` to `want`. With 0 the descriptor leaves the set: else its hang-up would be told again and again.
void watch(int fd, unsigned& armed, unsigned want, unsigned kind, unsigned index);

// clients.cpp: the socket's other ends, and the container's stdio.
void accept_clients();
void adopt_client(int fd);
void client_ready(int slot, unsigned events);
void send_to(int slot, Head head, const void* payload, unsigned size);
void broadcast(Head head);
void output_ready(int stream);
void stdin_ready();
void update_interest();
void drop_stalled();
bool anybody_blocked();

// children.cpp: the runtime, the container, execs.
bool start_container();
void start_exec(int slot, const Head& head, char* payload, unsigned size, const int* fds, int fd_count);
void reap();
void accept_console();
int signal_process(int number, int signal);

enum Kind : unsigned { KindSignals, KindListener, KindConsole, KindOut, KindIn, KindClient };

}  // namespace onebin::engine::shim
