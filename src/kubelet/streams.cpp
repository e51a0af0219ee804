#include "kubelet/streams.hpp"

#include <onebin/async/group.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>
#include <onebin/net/netns.hpp>

namespace onebin::kubelet {
namespace {

using engine::IoSession;
using net::RemoteCommand;

constexpr std::size_t kChunk = 32 * 1024;

async::Task<void> pump_output(RemoteCommand* client, IoSession* session) {
  for (;;) {
    Result<engine::OutputChunk> chunk = co_await session->read();
    if (!chunk) co_return;
    net::Stream* to = chunk->stream == engine::OutputStream::Stdout ? client->stdout_stream() : client->stderr_stream();
    if (!to) continue;
    Result<void> r = co_await to->write(chunk->data);
    if (!r) co_return;
  }
}

async::Task<void> pump_input(RemoteCommand* client, IoSession* session) {
  std::string buffer(kChunk, '\0');
  bool wanted = true;
  for (;;) {
    Result<std::size_t> n = co_await client->stdin_stream()->read_some(buffer.data(), buffer.size());
    if (!n || *n == 0) break;
    if (!wanted) continue;  // the process reads no more; input left unread would hold up the session's other streams
    Result<void> r = co_await session->write(buffer.substr(0, *n));
    wanted = r.is_ok();
  }
  session->close_stdin();
}

async::Task<void> pump_resizes(RemoteCommand* client, IoSession* session) {
  for (;;) {
    Result<net::TerminalSize> size = co_await client->next_resize();
    if (!size) co_return;
    (void)co_await session->resize(size->width, size->height);
  }
}

// The client went away: an exec's process has nobody to talk to any more.
async::Task<void> end_with_client(RemoteCommand* client, std::shared_ptr<IoSession> session, bool* client_gone) {
  co_await client->wait_closed();
  async::CancelScope* scope = co_await async::current_scope();
  if (scope && scope->cancelled()) co_return;
  *client_gone = true;
  co_await session->close();
}

async::Task<void> splice_port(net::PortForward::Connection c, std::string netns) {
  Result<net::StreamPtr> port = co_await net::connect_tcp_in(netns, "127.0.0.1", c.port, std::chrono::seconds(10));
  if (!port) {
    Result<net::StreamPtr> v6 = co_await net::connect_tcp_in(netns, "::1", c.port, std::chrono::seconds(10));
    if (v6) port = std::move(v6);
  }
  if (!port) {
    std::string message = "failed to connect to localhost:" + std::to_string(c.port) + " inside namespace, IPv4: " + port.status().message();
    if (c.error) (void)co_await c.error->write(message);
    if (c.error) c.error->close();
    if (c.data) c.data->close();
    co_return;
  }
  (void)co_await net::splice(*c.data, **port);
  if (c.error) c.error->close();
}

}  // namespace

async::Task<void> bridge_session(std::unique_ptr<RemoteCommand> client, std::shared_ptr<IoSession> session, bool attach) {
  async::CancelScope* outer = co_await async::current_scope();
  async::TaskGroup helpers("exec streams", outer), output("exec output", outer);
  bool client_gone = false;
  output.spawn(pump_output(client.get(), session.get()));
  if (client->stdin_stream()) helpers.spawn(pump_input(client.get(), session.get()));
  helpers.spawn(pump_resizes(client.get(), session.get()));
  helpers.spawn(end_with_client(client.get(), session, &client_gone));
  Result<int> code = co_await session->wait();
  co_await output.join();
  if (client_gone || code.is(Reason::Cancelled)) co_await client->abort();
  else if (code) co_await client->finish_exit(attach ? 0 : *code);
  else if (attach && code.is(Reason::Closed)) co_await client->finish_exit(0);
  else co_await client->finish_error(code.status());
  helpers.cancel();
  co_await helpers.join();
  co_await session->close();
}

async::Task<void> bridge_ports(std::unique_ptr<net::PortForward> client, std::string netns) {
  async::TaskGroup connections("port-forward", co_await async::current_scope());
  for (;;) {
    Result<net::PortForward::Connection> c = co_await client->next();
    if (!c) break;
    connections.spawn(splice_port(std::move(*c), netns));
  }
  connections.cancel();
  co_await connections.join();
  co_await client->stop();
}

}  // namespace onebin::kubelet
