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
  virtual std::optional<SteadyTime> idle_since() const = 0;  // null: a request is under way
};

struct ServerCore {
  ServerConfig config;
  Handler handler;
  bool stopping = false;
  std::unordered_set<ServerConnection*> connections;
  std::size_t requests = 0;       // running handlers
  std::size_t large_headers = 0;  // bytes that HeaderShares hold
  async::Notify quiet;            // requests has become 0
  async::TaskGroup tasks{"http server"};

  void request_begins() { ++requests; }
  void request_ends() { if (--requests == 0) quiet.notify(); }
};

// What one request's header holds of ServerLimits::large_header_bytes, until the request ends.
class HeaderShare {
 public:
  explicit HeaderShare(ServerCore& core) : core_(core) {}
  HeaderShare(const HeaderShare&) = delete;
  ~HeaderShare() { release(); }
  // Whether the header may be of this size.
  bool grow(std::size_t size) {
    constexpr std::size_t kSmall = 8 * 1024;
    if (size > core_.config.limits.header_bytes) return false;
    if (size <= kSmall || size <= held_) return true;
    if (core_.large_headers + size - held_ > core_.config.limits.large_header_bytes) return false;
    core_.large_headers += size - held_;
    held_ = size;
    return true;
  }
  void release() {
    core_.large_headers -= held_;
    held_ = 0;
  }

 private:
  ServerCore& core_;
  std::size_t held_ = 0;
};

// Runs the handler; exceptions become a logged error. Afterwards the answer may be missing or unfinished.
Task<void> call_handler(ServerCore& core, Request& request, ResponseWriter& writer);
// The answer to a handler that gave none, and to requests that reach none: plain text.
Task<Result<void>> send_plain(ResponseWriter& writer, int status, std::string text);

// Serve until the connection's end. `first`: bytes already read.
Task<void> serve_http1(ServerCore& core, StreamPtr stream, std::shared_ptr<const PeerInfo> peer, bool prior_knowledge_h2);
Task<void> serve_http2(ServerCore& core, StreamPtr stream, std::shared_ptr<const PeerInfo> peer);

}  // namespace onebin::net
