#include <onebin/net/socket.hpp>

#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>

#include "net/address.hpp"
#include "net/fd_port.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cctype>
#include <cstring>

namespace onebin::net {

namespace {

void set_option(int fd, int level, int name, int value) { (void)::setsockopt(fd, level, name, &value, sizeof value); }

// Dead peers are found in about two and a half minutes, as Go's listeners do.
void tune_tcp(int fd, bool no_delay) {
  if (no_delay) set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 15);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 9);
}

Result<SocketAddress> unix_address(const std::string& path) {
  SocketAddress s;
  auto* un = reinterpret_cast<sockaddr_un*>(&s.storage);
  un->sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof un->sun_path) return bad_request("unix socket path is empty or too long: " + path);
  path.copy(un->sun_path, path.size());
  s.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (path[0] == '@' ? 0 : 1));
  if (path[0] == '@') un->sun_path[0] = '\0';  // the abstract namespace
  return s;
}

// As clients know it from programs in Go: "dial tcp 10.0.0.1:80: connect: connection refused".
Status connect_error(const std::string& to, bool tcp, int error) {
  std::string why = std::strerror(error);
  why[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(why[0])));
  return Status(Reason::ServiceUnavailable, std::string("dial ") + (tcp ? "tcp " : "unix ") + to + ": connect: " + why);
}

Task<Result<StreamPtr>> connect_socket(SocketAddress to, std::string name, bool tcp, ConnectOptions options) {
  Fd fd(::socket(to.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) co_return from_errno("socket", errno);
  if (!options.local_address.empty()) {
    Result<SocketAddress> local = to_socket_address(Address{options.local_address, 0});
    if (!local) co_return local.status();
    if (::bind(fd.get(), local->get(), local->size) < 0) co_return from_errno("bind " + options.local_address, errno);
  }
  int rc;
  do rc = ::connect(fd.get(), to.get(), to.size);
  while (rc < 0 && errno == EINTR);
  if (rc < 0 && errno != EINPROGRESS) co_return connect_error(name, tcp, errno);
  if (rc < 0) {
    FdWatch watch(fd.get());
    Result<void> w = co_await watch.writable();
    if (!w) co_return w.status();
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) < 0) error = errno;
    if (error) co_return connect_error(name, tcp, error);
  }
  if (tcp) tune_tcp(fd.get(), options.no_delay);
  co_return stream_from_fd(std::move(fd));
}

Task<Result<StreamPtr>> connect_any(std::string host, std::uint16_t port, ConnectOptions options) {
  Result<std::vector<Address>> found = co_await resolve(host, port, options.timeout);
  if (!found) co_return found.status();
  Status last;
  for (std::size_t i = 0; i < found->size(); ++i) {
    Address a = (*found)[i];
    Result<SocketAddress> to = to_socket_address(a);
    if (!to) co_return to.status();
    // An address that doesn't answer leaves time for those behind it.
    Duration share = options.timeout / static_cast<int>(std::min<std::size_t>(found->size() - i, 4));
    Result<StreamPtr> r = co_await async::with_timeout(share, connect_socket(*to, a.to_string(), true, options));
    if (r || r.is(Reason::Cancelled)) co_return r;
    last = r.is(Reason::Timeout) ? timeout("dial tcp " + a.to_string() + ": i/o timeout") : r.status();
  }
  co_return last;
}

class ListenerImpl final : public Listener {
 public:
  ListenerImpl(Fd fd, Address local, std::string path, bool tcp)
      : port_(std::move(fd)), local_(std::move(local)), path_(std::move(path)), tcp_(tcp) {}
  ~ListenerImpl() override { ListenerImpl::close(); }

  Task<Result<Accepted>> accept() override {
    for (;;) {
      if (port_.closed()) co_return closed();
      sockaddr_storage peer{};
      socklen_t size = sizeof peer;
      Fd fd(::accept4(port_.fd(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (fd) co_return accepted(std::move(fd), peer);
      int error = errno;
      if (error == EAGAIN || error == EWOULDBLOCK) {
        Result<void> w = co_await port_.wait_readable();
        if (!w) co_return w.status();
      } else if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
        log_warn("cannot accept connections", {{"error", from_errno("accept", error)}});
        Status s = co_await async::sleep_for(100ms);
        if (!s) co_return s;
      } else if (error == EBADF || error == EINVAL || error == ENOTSOCK) {
        co_return from_errno("accept", error);
      }
      // Others are errors of the connection that was about to be accepted.
    }
  }
  const Address& local() const override { return local_; }
  void close() override {
    if (port_.closed()) return;
    port_.close();
    if (!path_.empty()) ::unlink(path_.c_str());
  }

 private:
  Result<Accepted> accepted(Fd fd, const sockaddr_storage& peer) {
    Accepted a;
    a.peer = from_socket_address(peer);
    if (tcp_) {
      tune_tcp(fd.get(), true);
      sockaddr_storage local{};
      socklen_t size = sizeof local;
      if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&local), &size) == 0) a.local = from_socket_address(local);
    }
    ASSIGN_OR_RETURN(a.stream, stream_from_fd(std::move(fd)));
    return a;
  }
  FdPort port_;
  Address local_;
  std::string path_;
  bool tcp_;
};

Address local_of(int fd) {
  sockaddr_storage local{};
  socklen_t size = sizeof local;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size) < 0) return {};
  return from_socket_address(local);
}

constexpr int kBacklog = 1024;

}  // namespace

Task<Result<StreamPtr>> connect_tcp(std::string host, std::uint16_t port, ConnectOptions options) {
  Duration limit = options.timeout;
  std::string name = Address{host, port}.to_string();
  Result<StreamPtr> r = co_await async::with_timeout(limit, connect_any(std::move(host), port, std::move(options)));
  if (!r && r.is(Reason::Timeout)) co_return timeout("dial tcp " + name + ": i/o timeout");
  co_return r;
}

Task<Result<StreamPtr>> connect_unix(std::string path, Duration limit) {
  Result<SocketAddress> to = unix_address(path);
  if (!to) co_return to.status();
  Result<StreamPtr> r = co_await async::with_timeout(limit, connect_socket(*to, path, false, ConnectOptions()));
  co_return r;
}

Result<std::unique_ptr<Listener>> Listener::tcp(Address at) {
  SocketAddress to;
  ASSIGN_OR_RETURN(to, to_socket_address(at));
  Fd fd(::socket(to.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd && errno == EAFNOSUPPORT && at.host.empty()) {
    ASSIGN_OR_RETURN(to, to_socket_address(Address{"0.0.0.0", at.port}));
    fd = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  }
  if (!fd) return from_errno("socket", errno);
  set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (to.storage.ss_family == AF_INET6) set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, at.host.empty() ? 0 : 1);
  if (::bind(fd.get(), to.get(), to.size) < 0 || ::listen(fd.get(), kBacklog) < 0) {
    int error = errno;
    Status failed = from_errno("listen on " + at.to_string(), error);
    if (error != EADDRINUSE) return failed;
    return Status(failed.reason(), failed.message() + ": end the program that listens there, or choose another port");
  }
  Address local = local_of(fd.get());
  return std::unique_ptr<Listener>(std::make_unique<ListenerImpl>(std::move(fd), std::move(local), "", true));
}

Result<std::unique_ptr<Listener>> Listener::unix(std::string path, int mode) {
  SocketAddress to;
  ASSIGN_OR_RETURN(to, unix_address(path));
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return from_errno("socket", errno);
  bool named = path[0] != '@';
  struct stat st;
  if (named && ::lstat(path.c_str(), &st) == 0) {
    if (!S_ISSOCK(st.st_mode)) return internal_error("listen on " + path + ": the file exists and is no socket");
    Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (::connect(probe.get(), to.get(), to.size) == 0 || errno == EAGAIN)
      return internal_error("listen on " + path + ": another process listens there");
    ::unlink(path.c_str());
  }
  if (::bind(fd.get(), to.get(), to.size) < 0) return from_errno("listen on " + path, errno);
  if (named && ::chmod(path.c_str(), static_cast<mode_t>(mode)) < 0) return from_errno("chmod " + path, errno);
  if (::listen(fd.get(), kBacklog) < 0) return from_errno("listen on " + path, errno);
  return std::unique_ptr<Listener>(std::make_unique<ListenerImpl>(std::move(fd), Address(), named ? path : "", false));
}

Result<std::unique_ptr<Listener>> Listener::from_fd(Fd fd) {
  sockaddr_storage local{};
  socklen_t size = sizeof local;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&local), &size) < 0) return from_errno("getsockname", errno);
  bool tcp = local.ss_family != AF_UNIX;
  return std::unique_ptr<Listener>(std::make_unique<ListenerImpl>(std::move(fd), from_socket_address(local), "", tcp));
}

}  // namespace onebin::net
