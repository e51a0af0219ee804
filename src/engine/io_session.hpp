// The two kinds of IoSession: an exec's own pipes or terminal, and an attach by the shim.
#pragma once
#include "engine/engine_impl.hpp"

#include <functional>

namespace onebin::engine {

// The descriptors are the process's own pipe ends (or its terminal): nothing in between but the kernel. Pumps run in the
// engine's group and share the session.
class ExecSession final : public IoSession, public std::enable_shared_from_this<ExecSession> {
 public:
  struct Ends {
    Fd in, out, err;   // our ends; with a terminal `out` is its master and `in` unused
    bool tty = false;
  };
  ExecSession(ContainerPtr container, int number, std::shared_ptr<ShimLink::ExecState> state, Ends ends);
  ~ExecSession() override;
  void begin(async::TaskGroup& group);

  async::Task<Result<OutputChunk>> read() override;
  async::Task<Result<void>> write(std::string data) override;
  void close_stdin() override;
  async::Task<Result<void>> resize(std::uint16_t columns, std::uint16_t rows) override;
  async::Task<Result<int>> wait() override;
  async::Task<void> close() override;

 private:
  struct Port {
    Fd fd;
    std::unique_ptr<net::FdWatch> watch;
    bool open = false;
  };
  static async::Task<void> pump(std::shared_ptr<ExecSession> self, Port* port, OutputStream stream);
  async::Task<void> read_all(Port* port, OutputStream stream);
  bool exited() const { return state_->phase != ShimLink::ExecState::Phase::Running; }

  ContainerPtr container_;
  int number_;
  std::shared_ptr<ShimLink::ExecState> state_;
  bool tty_ = false, closed_ = false;
  Port in_, out_, err_;
  int pumps_ = 0;
  bool writing_ = false;
  async::Channel<OutputChunk> chunks_{4};
};

class AttachSession final : public IoSession {
 public:
  AttachSession(ContainerPtr container, Fd socket);
  ~AttachSession() override;
  async::Task<Result<OutputChunk>> read() override;
  async::Task<Result<void>> write(std::string data) override;
  void close_stdin() override;
  async::Task<Result<void>> resize(std::uint16_t columns, std::uint16_t rows) override;
  async::Task<Result<int>> wait() override;
  async::Task<void> close() override;

 private:
  async::Task<Result<void>> send(shim::Head head, std::string_view payload);
  async::Task<void> send_close();
  ContainerPtr container_;
  Fd socket_;
  std::unique_ptr<net::FdWatch> watch_;
  bool closed_ = false, ended_ = false, stdin_closed_ = false;
  std::optional<int> exit_code_;
  async::WaitQueue ended_queue_;
  async::TaskGroup sending_{"attach"};
};

}  // namespace onebin::engine
