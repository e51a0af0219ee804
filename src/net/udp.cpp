#include <onebin/net/socket.hpp>

#include "net/address.hpp"
#include "net/fd_port.hpp"

#include <cstring>
#include <netinet/in.h>

namespace onebin::net {
namespace {

class UdpSocketImpl final : public UdpSocket {
 public:
  UdpSocketImpl(Fd fd, int family, Address local, bool wildcard)
      : port_(std::move(fd)), family_(family), local_(std::move(local)), wildcard_(wildcard) {}

  Task<Result<Received>> recv_from(char* data, std::size_t size) override {
    for (;;) {
      if (port_.closed()) co_return closed();
      int error = 0;
      if (auto r = receive(data, size, &error)) co_return std::move(*r);
      if (error != EAGAIN && error != EWOULDBLOCK && error != EINTR && error != ECONNREFUSED) co_return from_errno("recvmsg", error);
      // ECONNREFUSED tells of an earlier datagram that was sent: nothing that a reader needs.
      if (error != EAGAIN && error != EWOULDBLOCK) continue;
      Result<void> w = co_await port_.wait_readable();
      if (!w) co_return w.status();
    }
  }

  std::optional<Received> try_recv_from(char* data, std::size_t size) override {
    int error = 0;
    return port_.closed() ? std::nullopt : receive(data, size, &error);
  }

  Task<Result<void>> send_to(std::string_view data, Address to, std::string local_host) override {
    Result<SocketAddress> target = to_socket_address(mapped(to));
    if (!target) co_return target.status();
    iovec iov{const_cast<char*>(data.data()), data.size()};
    msghdr m{};
    m.msg_name = &target->storage;
    m.msg_namelen = target->size;
    m.msg_iov = &iov;
    m.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(in6_pktinfo))] = {};
    if (!local_host.empty()) set_source(m, control, local_host);
    for (;;) {
      if (port_.closed()) co_return closed();
      if (::sendmsg(port_.fd(), &m, MSG_NOSIGNAL) >= 0) co_return Result<void>();
      int error = errno;
      if (error == EINTR || error == ECONNREFUSED) continue;
      if (error != EAGAIN && error != EWOULDBLOCK) co_return from_errno("send to " + to.to_string(), error);
      Result<void> w = co_await port_.wait_writable();
      if (!w) co_return w.status();
    }
  }
  const Address& local() const override { return local_; }
  void close() override { port_.close(); }

 private:
  // A v4 address on a v6 socket needs its mapped form.
  Address mapped(const Address& a) const {
    if (family_ == AF_INET6 && a.host.find(':') == std::string::npos) return Address{"::ffff:" + a.host, a.port};
    return a;
  }

  void set_source(msghdr& m, char* control, const std::string& host) {
    Result<SocketAddress> source = to_socket_address(mapped(Address{host, 0}));
    if (!source) return;
    m.msg_control = control;
    if (source->storage.ss_family == AF_INET) {
      m.msg_controllen = CMSG_SPACE(sizeof(in_pktinfo));
      cmsghdr* c = CMSG_FIRSTHDR(&m);
      c->cmsg_level = IPPROTO_IP;
      c->cmsg_type = IP_PKTINFO;
      c->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
      in_pktinfo info{};
      info.ipi_spec_dst = reinterpret_cast<sockaddr_in*>(&source->storage)->sin_addr;
      std::memcpy(CMSG_DATA(c), &info, sizeof info);
    } else {
      m.msg_controllen = CMSG_SPACE(sizeof(in6_pktinfo));
      cmsghdr* c = CMSG_FIRSTHDR(&m);
      c->cmsg_level = IPPROTO_IPV6;
      c->cmsg_type = IPV6_PKTINFO;
      c->cmsg_len = CMSG_LEN(sizeof(in6_pktinfo));
      in6_pktinfo info{};
      info.ipi6_addr = reinterpret_cast<sockaddr_in6*>(&source->storage)->sin6_addr;
      std::memcpy(CMSG_DATA(c), &info, sizeof info);
    }
  }

  std::optional<Received> receive(char* data, std::size_t size, int* error) {
    sockaddr_storage from{};
    iovec iov{data, size};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(in_pktinfo))];
    msghdr m{};
    m.msg_name = &from;
    m.msg_namelen = sizeof from;
    m.msg_iov = &iov;
    m.msg_iovlen = 1;
    m.msg_control = control;
    m.msg_controllen = sizeof control;
    ssize_t n = ::recvmsg(port_.fd(), &m, 0);
    if (n < 0) { *error = errno; return std::nullopt; }
    Received r;
    r.size = static_cast<std::size_t>(n);
    r.from = from_socket_address(from);
    r.local_host = wildcard_ ? destination(m) : local_.host;
    return r;
  }

  static std::string destination(msghdr& m) {
    for (cmsghdr* c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
      sockaddr_storage to{};
      if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        in_pktinfo info;
        std::memcpy(&info, CMSG_DATA(c), sizeof info);
        to.ss_family = AF_INET;
        reinterpret_cast<sockaddr_in*>(&to)->sin_addr = info.ipi_addr;
      } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
        in6_pktinfo info;
        std::memcpy(&info, CMSG_DATA(c), sizeof info);
        to.ss_family = AF_INET6;
        reinterpret_cast<sockaddr_in6*>(&to)->sin6_addr = info.ipi6_addr;
      } else {
        continue;
      }
      return from_socket_address(to).host;
    }
    return {};
  }

  FdPort port_;
  int family_;
  Address local_;
  bool wildcard_;
};

}  // namespace

Result<std::unique_ptr<UdpSocket>> UdpSocket::bind(Address at, Options options) {
  SocketAddress to;
  ASSIGN_OR_RETURN(to, to_socket_address(at));
  int family = to.storage.ss_family;
  Fd fd(::socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return from_errno("socket", errno);
  int on = 1, off = 0;
  if (options.reuse_port) (void)::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (options.freebind) (void)::setsockopt(fd.get(), IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
  if (options.receive_buffer > 0)
    (void)::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &options.receive_buffer, sizeof options.receive_buffer);
  bool wildcard = at.host.empty() || at.host == "0.0.0.0" || at.host == "::";
  if (family == AF_INET6) (void)::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, at.host.empty() ? &off : &on, sizeof on);
  if (wildcard && family == AF_INET6) (void)::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
  if (wildcard && family == AF_INET) (void)::setsockopt(fd.get(), IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
  if (::bind(fd.get(), to.get(), to.size) < 0) return from_errno("bind " + at.to_string(), errno);
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &size) < 0) return from_errno("getsockname", errno);
  Address local = from_socket_address(bound);
  return std::unique_ptr<UdpSocket>(std::make_unique<UdpSocketImpl>(std::move(fd), family, std::move(local), wildcard));
}

}  // namespace onebin::net
