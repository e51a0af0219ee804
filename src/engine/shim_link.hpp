// The engine's control connection to one shim: requests with their answers, execs' and the container's end.
#pragma once
#include "engine/shim/protocol.hpp"

#include <onebin/async/channel.hpp>
#include <onebin/base/file.hpp>
#include <onebin/base/result.hpp>
#include <onebin/net/stream.hpp>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace onebin::engine {

// One packet each way over a non-blocking SOCK_SEQPACKET socket.
struct Packet {
  shim::Head head;
  std::string payload;
};
Result<std::optional<Packet>> try_receive(int fd);  // nullopt: nothing there now; Closed: the peer left
// Closed when the peer left; false: no room now.
Result<bool> try_send(int fd, const shim::Head& head, std::string_view payload, const int* fds = nullptr, int fd_count = 0);

class ShimLink {
 public:
  explicit ShimLink(Fd socket);
  ~ShimLink();

  // Reads until the connection ends. Runs as one task of the owner; the others' answers come through it.
  async::Task<void> run();
  void close();  // run() ends soon

  // Filled by the shim's messages.
  struct Started { int pid = 0; std::int64_t at_ns = 0; };
  async::Task<Result<Started>> wait_started();  // Started, or Hello's answer with a pid; InternalError for StartFailed
  async::Task<Result<Started>> hello();
  bool exit_known() const { return exit_known_; }
  bool start_failed() const { return failed_; }

  async::Task<Result<void>> kill(int signal, int exec_number);
  async::Task<Result<void>> resize(int columns, int rows);
  async::Task<Result<void>> reopen_log();

  struct ExecState {
    async::WaitQueue changed;
    enum class Phase { Starting, Running, Failed, Exited } phase = Phase::Starting;
    int pid = 0, exit_code = 0;
    std::function<void()> on_exit;
  };
  Result<std::shared_ptr<ExecState>> start_exec(int number, bool tty, std::string_view payload, const int* fds);
  void forget_exec(int number) { execs_.erase(number); }

 private:
  async::Task<Result<void>> request(shim::Head head);
  void handle(Packet packet);
  void kill_forgotten(int number);
  struct Pending {
    async::WaitQueue queue;
    bool done = false;
    int error = 0;
  };
  Fd socket_;
  std::unique_ptr<net::FdWatch> watch_;
  async::WaitQueue changed_;
  bool ended_ = false, failed_ = false, greeted_ = false, exit_known_ = false;
  int failed_code_ = 0;
  Started started_;
  std::deque<std::shared_ptr<Pending>> pending_;  // acknowledged in order
  std::map<int, std::shared_ptr<ExecState>> execs_;
};

}  // namespace onebin::engine
