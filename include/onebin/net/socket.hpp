// Sockets: TCP and unix streams and listeners, UDP, name resolution. Only net (and network's netlink) opens sockets.
#pragma once
#include <onebin/net/stream.hpp>

#include <optional>
#include <vector>

namespace onebin::net {

// An IP address in text ("10.42.0.1", "fd00::1"), or a host name where a function says so, with a port.
struct Address {
  std::string host;
  std::uint16_t port = 0;
  std::string to_string() const;  // "10.0.0.1:80", "[fd00::1]:80"
  bool operator==(const Address&) const = default;
};
// "host:port", "[v6]:port", ":port" (host empty: every address).
Result<Address> parse_address(std::string_view text);
bool is_ip(std::string_view text);  // v4 or v6

// getaddrinfo on the blocking pool, v4 and v6 in its order; an IP address is answered at once.
Task<Result<std::vector<Address>>> resolve(std::string host, std::uint16_t port, Duration limit = 10s);

struct ConnectOptions {
  Duration timeout = 10s;        // for resolution and all addresses together
  std::string local_address;     // bind to this IP first, when given
  bool no_delay = true;
};
// Tries the host's addresses in order. The error tells the address and the reason.
Task<Result<StreamPtr>> connect_tcp(std::string host, std::uint16_t port, ConnectOptions options = {});
Task<Result<StreamPtr>> connect_unix(std::string path, Duration timeout = 10s);

struct Accepted {
  StreamPtr stream;
  Address peer;  // host "" for a unix socket
  Address local;
};
class Listener {
 public:
  virtual ~Listener() = default;
  // Port 0: the kernel chooses, local() tells. Host "" listens on every address, v4 and v6. SO_REUSEADDR is set.
  static Result<std::unique_ptr<Listener>> tcp(Address at);
  // A stale socket file is replaced; one that answers is an error. The file is removed by close().
  static Result<std::unique_ptr<Listener>> unix(std::string path, int mode = 0600);
  // An already listening socket, as systemd hands over.
  static Result<std::unique_ptr<Listener>> from_fd(Fd fd);
  virtual Task<Result<Accepted>> accept() = 0;  // Closed after close(); waits out a lack of descriptors
  virtual const Address& local() const = 0;
  virtual void close() = 0;
};

class UdpSocket {
 public:
  // reuse_port: several sockets may share the address. freebind: the address need not exist yet.
  struct Options { bool reuse_port = false; bool freebind = false; int receive_buffer = 0; };
  static Result<std::unique_ptr<UdpSocket>> bind(Address at, Options options);
  static Result<std::unique_ptr<UdpSocket>> bind(Address at) { return bind(std::move(at), Options()); }
  virtual ~UdpSocket() = default;
  struct Received {
    std::size_t size = 0;
    Address from;
    std::string local_host;  // the address that the datagram was sent to, for a socket bound to every address
  };
  // One datagram; what does not fit in `size` is cut.
  virtual Task<Result<Received>> recv_from(char* data, std::size_t size) = 0;
  // At once a datagram that waits already, nullopt otherwise: empties a burst without returning to the loop.
  virtual std::optional<Received> try_recv_from(char* data, std::size_t size) = 0;
  // `local_host`, when given, is the source address to answer from.
  virtual Task<Result<void>> send_to(std::string_view data, Address to, std::string local_host = {}) = 0;
  virtual const Address& local() const = 0;
  virtual void close() = 0;
};

}  // namespace onebin::net
