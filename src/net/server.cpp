#include "net/server_core.hpp"
#include "net/text_answer.hpp"

#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>

#include <algorithm>
#include <sys/resource.h>

namespace onebin::net {

Task<void> call_handler(ServerCore& core, Request& request, ResponseWriter& writer) {
  try {
    co_await core.handler(request, writer);
  } catch (const std::exception& e) {
    log_error("http handler failed", {{"server", core.config.name}, {"path", request.path}, {"error", e.what()}});
    if (writer.started()) writer.abort();
  }
}

Task<Result<void>> send_plain(ResponseWriter& writer, int status, std::string text) {
  Result<void> r = co_await writer.send(status, text_headers(), text);
  co_return r;
}

namespace {

class HttpServerImpl final : public HttpServer {
 public:
  HttpServerImpl(ServerConfig config, Handler handler) {
    core_.config = std::move(config);
    core_.handler = std::move(handler);
    // The rest is for files, and for connections that this process opens.
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
      auto most = static_cast<std::size_t>(files.rlim_cur);
      core_.config.limits.max_connections = std::min(core_.config.limits.max_connections, most - std::min<std::size_t>(most / 4, 1024));
    }
  }

  Result<void> listen() {
    for (const Address& a : core_.config.listen) {
      std::unique_ptr<Listener> l;
      ASSIGN_OR_RETURN(l, Listener::tcp(a));
      addresses_.push_back(l->local());
      listeners_.push_back(std::move(l));
    }
    for (const std::string& path : core_.config.listen_unix) {
      std::unique_ptr<Listener> l;
      ASSIGN_OR_RETURN(l, Listener::unix(path));
      listeners_.push_back(std::move(l));
    }
    for (auto& l : listeners_) accepting_.spawn(accept_from(*l));
    return {};
  }

  void serve(StreamPtr stream, PeerInfo peer, bool encrypted) override {
    if (core_.stopping || open_ >= core_.config.limits.max_connections + kRoom) {
      stream->close();
      return;
    }
    core_.tasks.spawn(connection(std::move(stream), std::move(peer), encrypted));
  }
  std::vector<Address> addresses() const override { return addresses_; }
  std::size_t connections() const override { return open_; }

  Task<void> stop(Duration grace) override {
    co_await async::uncancelled(stop_now(grace));
  }

 private:
  // Ends the connections that have been idle for longest.
  void make_room() {
    SteadyTime now = async::Loop::current().now();
    if (now < next_room_) return;
    std::vector<std::pair<SteadyTime, ServerConnection*>> idle;
    for (ServerConnection* c : core_.connections)
      if (auto since = c->idle_since()) idle.emplace_back(*since, c);
    std::size_t n = std::min(idle.size(), kRoom);
    std::partial_sort(idle.begin(), idle.begin() + static_cast<std::ptrdiff_t>(n), idle.end());
    if (n == 0) next_room_ = now + 100ms;  // looking costs more than refusing
    log_warn("too many connections", {{"server", core_.config.name}, {"connections", open_}, {"ended", n}});
    for (std::size_t i = 0; i < n; ++i) idle[i].second->begin_stop();
  }

  Task<Result<void>> accept_from(Listener& listener) {
    for (;;) {
      Result<Accepted> a = co_await listener.accept();
      if (!a) co_return a.status();
      if (open_ >= core_.config.limits.max_connections) {
        make_room();
        Status yielded = co_await async::sleep_for(0s);  // so that those which were ended are gone
        if (!yielded) co_return yielded;
      }
      PeerInfo peer;
      peer.remote_host = a->peer.host;
      peer.remote_port = a->peer.port;
      peer.local_host = a->local.host;
      peer.local_port = a->local.port;
      bool encrypted = core_.config.tls != nullptr && !peer.remote_host.empty();  // unix sockets are plain
      serve(std::move(a->stream), std::move(peer), encrypted);
    }
  }

  Task<void> connection(StreamPtr stream, PeerInfo peer, bool encrypted) {
    ++open_;
    co_await run_connection(std::move(stream), std::move(peer), encrypted);
    --open_;
  }

  Task<void> run_connection(StreamPtr stream, PeerInfo peer, bool encrypted) {
    if (!encrypted) {
      auto shared = std::make_shared<const PeerInfo>(std::move(peer));
      co_await serve_http1(core_, std::move(stream), std::move(shared), core_.config.http2);
      co_return;
    }
    std::shared_ptr<const TlsServerContext> context = core_.config.tls ? core_.config.tls() : nullptr;
    Result<std::unique_ptr<TlsStream>> secure =
        co_await tls_accept(std::move(stream), std::move(context), &peer, core_.config.limits.handshake_timeout);
    if (!secure) {
      log_debug("TLS handshake failed", {{"server", core_.config.name}, {"peer", peer.remote_host}, {"error", secure.status()}});
      co_return;
    }
    bool h2 = (*secure)->alpn() == "h2" && core_.config.http2;
    StreamPtr plain = std::move(*secure);
    auto shared = std::make_shared<const PeerInfo>(std::move(peer));
    if (h2) co_await serve_http2(core_, std::move(plain), std::move(shared));
    else co_await serve_http1(core_, std::move(plain), std::move(shared), false);
  }

  Task<Result<void>> wait_quiet() {
    while (core_.requests > 0) {
      Result<void> r = co_await core_.quiet.wait();
      if (!r) co_return r;
    }
    co_return Result<void>();
  }

  Task<void> stop_now(Duration grace) {
    core_.stopping = true;
    for (auto& l : listeners_) l->close();
    accepting_.cancel();
    co_await accepting_.join();
    std::vector<ServerConnection*> all(core_.connections.begin(), core_.connections.end());
    for (ServerConnection* c : all)
      if (core_.connections.count(c)) c->begin_stop();
    if (grace > Duration::zero()) {
      Result<void> quiet = co_await async::with_timeout(grace, wait_quiet());
      (void)quiet;
    }
    core_.tasks.cancel();
    co_await core_.tasks.join();
  }

  static constexpr std::size_t kRoom = 64;
  SteadyTime next_room_{};
  ServerCore core_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<Address> addresses_;
  std::size_t open_ = 0;
  async::TaskGroup accepting_{"http accept"};
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::start(ServerConfig config, Handler handler) {
  auto server = std::make_unique<HttpServerImpl>(std::move(config), std::move(handler));
  RETURN_IF_ERROR(server->listen());
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace onebin::net
