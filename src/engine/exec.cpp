#include "engine/engine_impl.hpp"
#include "engine/io_session.hpp"
#include "engine/process.hpp"
#include "engine/spec.hpp"

#include <onebin/async/pool.hpp>
#include <onebin/async/timer.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>

namespace onebin::engine {
namespace {

constexpr std::size_t sync_output_limit = 16u << 20;
constexpr Duration exec_start_limit = 60s;

// The process file of an exec, from the container's own configuration.
Result<void> write_process(const std::string& folder, const std::string& name, const std::vector<std::string>& command, bool tty) {
  ASSIGN_OR_RETURN(std::string text, read_file(folder + "/config.json"));
  auto spec = nlohmann::json::parse(text, nullptr, false);
  if (!spec.is_object() || !spec.contains("process")) return internal_error("the container's configuration is unreadable");
  auto process = exec_process(spec["process"], command, tty);
  return write_file(folder + "/" + name, process.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), 0600);
}

struct Pipes {
  ExecSession::Ends ours;
  Fd theirs[3];
};

Result<Pipes> make_pipes(const ExecRequest& request) {
  Pipes p;
  auto null = [](Fd& fd) -> Result<void> {
    fd.reset(::open("/dev/null", O_RDWR | O_CLOEXEC));
    return fd ? Result<void>() : Result<void>(from_errno("open /dev/null", errno));
  };
  if (request.stdin_open) {
    ASSIGN_OR_RETURN(auto pipe, make_pipe());
    p.theirs[0] = std::move(pipe.first);
    p.ours.in = std::move(pipe.second);
  } else {
    RETURN_IF_ERROR(null(p.theirs[0]));
  }
  for (int i = 1; i <= 2; ++i) {
    if (!(i == 1 ? request.want_stdout : request.want_stderr)) {
      RETURN_IF_ERROR(null(p.theirs[i]));
      continue;
    }
    ASSIGN_OR_RETURN(auto pipe, make_pipe());
    (i == 1 ? p.ours.out : p.ours.err) = std::move(pipe.first);
    p.theirs[i] = std::move(pipe.second);
  }
  return p;
}

async::Task<Result<void>> wait_begun(std::shared_ptr<ShimLink::ExecState> state) {
  while (state->phase == ShimLink::ExecState::Phase::Starting) {
    Status s = co_await state->changed.wait();
    if (!s) co_return s;
  }
  co_return Result<void>();
}

async::Task<Result<ExecResult>> collect(std::shared_ptr<IoSession> session) {
  ExecResult out;
  for (;;) {
    Result<OutputChunk> chunk = co_await session->read();
    if (!chunk) {
      if (chunk.is(Reason::Closed)) break;
      co_return chunk.status();
    }
    std::string& to = chunk->stream == OutputStream::Stdout ? out.out : out.err;
    to.append(chunk->data, 0, sync_output_limit - std::min(sync_output_limit, to.size()));
  }
  Result<int> code = co_await session->wait();
  if (!code) co_return code.status();
  out.exit_code = *code;
  co_return out;
}

}  // namespace

async::Task<Result<std::shared_ptr<IoSession>>> RuncEngine::exec(std::string id, ExecRequest request) {
  CO_ASSIGN_OR_RETURN(ContainerPtr c, find_container(id));
  if (!c->running()) co_return Status(Reason::Conflict, "container " + id + " is not running");
  if (request.command.empty()) co_return bad_request("no command specified");
  const int number = c->next_exec++;
  const std::string base = "exec-" + std::to_string(number), process_name = base + ".json", console = base + ".sock";
  std::string folder = c->folder;
  std::vector<std::string> command = request.command;
  bool tty = request.tty;
  Result<void> written = co_await async::run_blocking([=] { return write_process(folder, process_name, command, tty); });
  CO_RETURN_IF_ERROR(written);
  if (!c->running()) co_return Status(Reason::Conflict, "container " + id + " is not running");
  Pipes pipes;
  Fd listener;
  if (tty) {
    CO_ASSIGN_OR_RETURN(listener, listen_stream(folder, console));
  } else {
    CO_ASSIGN_OR_RETURN(pipes, make_pipes(request));
  }
  int fds[3] = {pipes.theirs[0].get(), pipes.theirs[1].get(), pipes.theirs[2].get()};
  auto state = c->link->start_exec(number, tty, process_name + std::string(1, '\0') + console, tty ? nullptr : fds);
  if (!state) co_return state.status();
  for (auto& fd : pipes.theirs) fd.reset();
  Result<void> begun = co_await async::with_timeout(exec_start_limit, wait_begun(*state));
  std::string why;
  if (begun && (*state)->phase == ShimLink::ExecState::Phase::Failed) why = runtime_error(folder + "/" + base + ".log");
  for (const char* suffix : {".json", ".sock", ".log"}) ::unlink((folder + "/" + base + suffix).c_str());
  if (!begun) {
    c->link->forget_exec(number);
    co_return begun.status();
  }
  if ((*state)->phase == ShimLink::ExecState::Phase::Failed) co_return internal_error(why.empty() ? "the runtime could not start the command" : why);
  if (tty) {
    pipes.ours.tty = true;
    CO_ASSIGN_OR_RETURN(pipes.ours.out, receive_descriptor(listener.get()));
  }
  auto session = std::make_shared<ExecSession>(c, number, *state, std::move(pipes.ours));
  session->begin(tasks_);
  co_return std::shared_ptr<IoSession>(session);
}

async::Task<Result<ExecResult>> RuncEngine::exec_sync(std::string id, std::vector<std::string> command, Duration limit) {
  ExecRequest request;
  request.command = std::move(command);
  Result<std::shared_ptr<IoSession>> session = co_await exec(std::move(id), std::move(request));
  if (!session) co_return session.status();
  Result<ExecResult> result = internal_error("");
  if (limit > Duration::zero()) result = co_await async::with_timeout(limit, collect(*session));
  else result = co_await collect(*session);
  co_await async::uncancelled((*session)->close());
  if (!result && result.is(Reason::Timeout)) co_return timeout("the command did not end within " + format_duration(limit));
  co_return result;
}

async::Task<Result<std::shared_ptr<IoSession>>> RuncEngine::attach(std::string id, bool with_stdin) {
  CO_ASSIGN_OR_RETURN(ContainerPtr c, find_container(id));
  if (!c->running()) co_return Status(Reason::Conflict, "container " + id + " is not running");
  CO_ASSIGN_OR_RETURN(Fd socket, connect_packet(c->folder, shim::socket_name));
  bool input = with_stdin && c->record.config.stdin_open;
  CO_ASSIGN_OR_RETURN(bool sent, try_send(socket.get(), shim::Head{shim::Type::Attach, static_cast<std::uint8_t>(input ? 1 : 0), 0, 0, 0}, {}));
  (void)sent;
  co_return std::shared_ptr<IoSession>(std::make_shared<AttachSession>(c, std::move(socket)));
}

}  // namespace onebin::engine
