#include <onebin/net/netns.hpp>

#include <onebin/async/pool.hpp>

#include <arpa/inet.h>
#include <cerrno>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

namespace onebin::net {
namespace {

Result<int> dial(const std::string& ip, std::uint16_t port, Duration timeout) {
  sockaddr_storage storage{};
  socklen_t size = 0;
  if (auto* v4 = reinterpret_cast<sockaddr_in*>(&storage); ::inet_pton(AF_INET, ip.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    size = sizeof *v4;
  } else if (auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage); ::inet_pton(AF_INET6, ip.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    size = sizeof *v6;
  } else {
    return bad_request("not an IP address: " + ip);
  }
  Fd fd(::socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return from_errno("socket", errno);
  int one = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  const std::string where = "connect to " + ip + " port " + std::to_string(port);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), size) != 0) {
    if (errno != EINPROGRESS) return from_errno(where, errno);
    pollfd p{fd.get(), POLLOUT, 0};
    int n = ::poll(&p, 1, static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count()));
    if (n == 0) return onebin::timeout(where + ": timed out");
    int error = 0;
    socklen_t len = sizeof error;
    if (n < 0 || ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &len) != 0) return from_errno(where, errno);
    if (error != 0) return from_errno(where, error);
  }
  return fd.release();
}

// The pool's thread visits the namespace and comes back; a thread that could not come back must not serve others.
Result<int> dial_in(const std::string& netns, const std::string& ip, std::uint16_t port, Duration timeout) {
  if (netns.empty()) return dial(ip, port, timeout);
  Fd there(::open(netns.c_str(), O_RDONLY | O_CLOEXEC));
  if (!there) return from_errno("open of " + netns, errno);
  Fd home(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!home) return from_errno("open of the thread's network namespace", errno);
  if (::setns(there.get(), CLONE_NEWNET) != 0) return from_errno("setns to " + netns, errno);
  Result<int> fd = dial(ip, port, timeout);
  ONEBIN_ASSERT(::setns(home.get(), CLONE_NEWNET) == 0);
  return fd;
}

}  // namespace

Task<Result<StreamPtr>> connect_tcp_in(std::string netns_path, std::string ip, std::uint16_t port, Duration timeout) {
  Result<int> fd = co_await async::run_blocking([netns_path, ip, port, timeout] { return dial_in(netns_path, ip, port, timeout); });
  if (!fd) co_return fd.status();
  co_return stream_from_fd(Fd(*fd));
}

}  // namespace onebin::net
