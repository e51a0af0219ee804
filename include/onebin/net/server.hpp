// HttpServer: HTTP/1.1 and HTTP/2 (ALPN h2, or prior knowledge without TLS) to one Handler.
#pragma once
#include <onebin/net/http.hpp>
#include <onebin/net/socket.hpp>

namespace onebin::net {

struct ServerLimits {
  std::size_t header_bytes = 1024 * 1024;  // of a request, each field counted with 32 bytes; 431 past it
  std::size_t large_header_bytes = 64 * 1024 * 1024;  // of all requests together whose headers are past 8 KB; 431 past it
  Duration header_timeout = 30s;           // from a request's first byte to the end of its head
  Duration handshake_timeout = 10s;
  Duration idle_timeout = 3min;            // between requests
  Duration body_stall_timeout = 60s;       // a body that stands still while the handler reads it
  Duration write_timeout = 60s;            // a client that takes nothing
  std::size_t max_connections = 20000;     // or what the limit of descriptors leaves; beyond it those that idle longest make room
  std::size_t max_h2_streams = 250;        // concurrent, per connection
};

struct ServerConfig {
  std::string name = "http";               // in logs
  std::vector<Address> listen;
  std::vector<std::string> listen_unix;    // paths
  TlsServerProvider tls;                   // null: plain. Unix sockets are always plain.
  bool http2 = true;
  ServerLimits limits;
};

class HttpServer {
 public:
  // Listens; connections are served from now on.
  static Result<std::unique_ptr<HttpServer>> start(ServerConfig config, Handler handler);
  virtual ~HttpServer() = default;         // stop() must have returned
  // Serves one connection that came another way (a tunnel, a pipe). `tls` as for listeners when `encrypted`.
  virtual void serve(StreamPtr stream, PeerInfo peer, bool encrypted) = 0;
  // Of each of config.listen, with the ports that the kernel chose.
  virtual std::vector<Address> addresses() const = 0;
  virtual std::size_t connections() const = 0;
  // Stops accepting, closes idle connections, lets requests finish for `grace`, then cancels their handlers.
  virtual Task<void> stop(Duration grace = Duration::zero()) = 0;
};

}  // namespace onebin::net
