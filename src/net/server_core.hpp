// What the server's connections share.
#pragma once
#include <onebin/async/channel.hpp>
#include <onebin/async/group.hpp>
#include <onebin/net/server.hpp>

#include <unordered_set>

namespace onebin::net {

// A connection under way, as stop() sees it.
class ServerConnection {
 public:
  virtual ~ServerConnection() = default;
  virtual void begin_stop() = 0;  // close now when idle, else after what runs
};

struct ServerCore {
  ServerConfig config;
  Handler handler;
  bool stopping = false;
  std::unordered_set<ServerConnection*> connections;
  std::size_t requests = 0;       // running handlers
  async::Notify quiet;            // requests has become 0
  async::TaskGroup tasks{"http server"};

  void request_begins() { ++requests; }
  void request_ends() { if (--requests == 0) quiet.notify(); }
};

// Runs the handler; exceptions become a logged error. Afterwards the answer may be missing or unfinished.
Task<void> call_handler(ServerCore& core, Request& request, ResponseWriter& writer);
// The answer to a handler that gave none, and to requests that reach none: plain text.
Task<Result<void>> send_plain(ResponseWriter& writer, int status, std::string text);

// Serve until the connection's end. `first`: bytes already read.
Task<void> serve_http1(ServerCore& core, StreamPtr stream, std::shared_ptr<const PeerInfo> peer, bool prior_knowledge_h2);
Task<void> serve_http2(ServerCore& core, StreamPtr stream, std::shared_ptr<const PeerInfo> peer);

}  // namespace onebin::net
