// HttpClient: HTTP/1.1 to one base URL over kept-alive connections.
#pragma once
#include <onebin/net/http.hpp>
#include <onebin/net/socket.hpp>

namespace onebin::net {

struct ClientConfig {
  std::string base_url;            // "https://10.0.0.1:6443", path prefix allowed; "http://unix" with unix_path
  std::string unix_path;           // dial this socket
  Dialer dialer;                   // dial through this (before TLS)
  TlsClientProvider tls;           // for https; null: the machine's roots. Asked at each new connection.
  Duration connect_timeout = 10s;  // resolution, TCP and TLS
  Duration header_timeout = 60s;   // from the request's end to the answer's head; 0: no limit
  Duration body_stall_timeout = Duration::zero();  // an answer's body that stands still; 0: no limit (watches)
  Duration idle_timeout = 90s;     // kept-alive connections
  Duration write_timeout = 60s;
  std::size_t max_idle = 16;
  std::size_t header_bytes = 256 * 1024;
  std::string user_agent = "onebin";
};

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";        // raw path?query, appended to the base URL's path
  Headers headers;                 // Host, Content-Length, Connection and User-Agent are added when absent
  std::string body;
  // When set, gives the body in pieces instead; an empty piece ends it. Chunked unless body_length >= 0.
  std::function<Task<Result<std::string>>()> body_source;
  std::int64_t body_length = -1;
  std::optional<Duration> header_timeout;  // in place of the config's
};

struct WholeResponse {
  int status = 0;
  Headers headers;
  std::string body;
  bool ok() const { return status >= 200 && status < 300; }
};

// An answer whose body is still to be read. Destroying it before the end closes the connection; after the end the
// connection is kept. No read may be under way then. Must not outlive its HttpClient.
class ClientResponse {
 public:
  virtual ~ClientResponse() = default;
  int status = 0;
  Headers headers;
  std::int64_t content_length = -1;
  virtual Task<Result<std::size_t>> read_some(char* data, std::size_t size) = 0;  // 0: the complete end; a cut body is Closed
  virtual Task<Result<void>> wait_readable() = 0;  // holds no buffer; for watches
  Task<Result<std::string>> read_body(std::size_t limit);
};
using ClientResponsePtr = std::unique_ptr<ClientResponse>;

struct Upgraded {
  StreamPtr stream;            // set after 101
  int status = 0;
  Headers headers;
  ClientResponsePtr refused;   // the answer, when not 101
};

class HttpClient {
 public:
  static Result<std::unique_ptr<HttpClient>> create(ClientConfig config);
  virtual ~HttpClient() = default;  // all requests and responses are over
  // Returns when the head has come; 1xx are skipped. A connection that turns out dead is retried once on a new one when
  // the request is idempotent (GET HEAD OPTIONS PUT DELETE, body not a source) or nothing of it was answered and sent.
  virtual Task<Result<ClientResponsePtr>> request(ClientRequest request) = 0;
  // The whole answer, its body at most `limit`.
  Task<Result<WholeResponse>> fetch(ClientRequest request, std::size_t limit = 64u << 20);
  // Headers hold Upgrade (Connection is added).
  virtual Task<Result<Upgraded>> upgrade(ClientRequest request) = 0;
  virtual const Url& base() const = 0;
  virtual void close_idle() = 0;    // after a change of credentials
};

}  // namespace onebin::net
