#include "net/address.hpp"

#include <onebin/async/channel.hpp>
#include <onebin/async/pool.hpp>
#include <onebin/async/timer.hpp>

#include <arpa/inet.h>
#include <charconv>
#include <cstring>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>

namespace onebin::net {

std::string Address::to_string() const {
  if (host.find(':') != std::string::npos) return "[" + host + "]:" + std::to_string(port);
  return host + ":" + std::to_string(port);
}

Result<Address> parse_address(std::string_view text) {
  Address a;
  std::string_view port;
  if (!text.empty() && text.front() == '[') {
    auto end = text.find(']');
    if (end == text.npos || end + 1 >= text.size() || text[end + 1] != ':') return bad_request("address: expected [host]:port");
    a.host = text.substr(1, end - 1);
    port = text.substr(end + 2);
  } else {
    auto colon = text.rfind(':');
    if (colon == text.npos) return bad_request("address: missing port");
    a.host = text.substr(0, colon);
    if (a.host.find(':') != std::string::npos) return bad_request("address: an IPv6 address needs brackets");
    port = text.substr(colon + 1);
  }
  auto [end, ec] = std::from_chars(port.data(), port.data() + port.size(), a.port);
  if (ec != std::errc() || end != port.data() + port.size()) return bad_request("address: bad port");
  return a;
}

bool is_ip(std::string_view text) {
  std::string s(text);
  in6_addr buffer;
  return inet_pton(AF_INET, s.c_str(), &buffer) == 1 || inet_pton(AF_INET6, s.c_str(), &buffer) == 1;
}

Result<SocketAddress> to_socket_address(const Address& a) {
  SocketAddress s;
  if (a.host.empty()) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&s.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(a.port);
    s.size = sizeof *v6;
    return s;
  }
  auto* v4 = reinterpret_cast<sockaddr_in*>(&s.storage);
  if (inet_pton(AF_INET, a.host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(a.port);
    s.size = sizeof *v4;
    return s;
  }
  std::string host = a.host, zone;
  if (auto percent = host.find('%'); percent != std::string::npos) {
    zone = host.substr(percent + 1);
    host.resize(percent);
  }
  s = SocketAddress();
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&s.storage);
  if (inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(a.port);
    if (!zone.empty()) v6->sin6_scope_id = if_nametoindex(zone.c_str());
    s.size = sizeof *v6;
    return s;
  }
  return bad_request("not an IP address: " + a.host);
}

Address from_socket_address(const sockaddr_storage& storage) {
  char text[INET6_ADDRSTRLEN + 1] = {};
  Address a;
  if (storage.ss_family == AF_INET) {
    auto* v4 = reinterpret_cast<const sockaddr_in*>(&storage);
    inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    a.port = ntohs(v4->sin_port);
    a.host = text;
  } else if (storage.ss_family == AF_INET6) {
    auto* v6 = reinterpret_cast<const sockaddr_in6*>(&storage);
    a.port = ntohs(v6->sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, text, sizeof text);
    else inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    a.host = text;
    char zone[IF_NAMESIZE];
    if (IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr) && v6->sin6_scope_id && if_indextoname(v6->sin6_scope_id, zone)) {
      a.host += '%';
      a.host += zone;
    }
  }
  return a;
}

namespace {

Result<std::vector<Address>> resolve_blocking(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  int rc = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (rc == EAI_ADDRFAMILY || rc == EAI_NONAME || rc == EAI_NODATA) {
    // AI_ADDRCONFIG hides loopback names on a machine with no other address.
    hints.ai_flags = 0;
    rc = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  }
  if (rc != 0) return Status(Reason::ServiceUnavailable, "lookup " + host + ": " + gai_strerror(rc));
  std::vector<Address> found;
  for (addrinfo* i = list; i; i = i->ai_next) {
    sockaddr_storage storage{};
    std::memcpy(&storage, i->ai_addr, std::min<std::size_t>(i->ai_addrlen, sizeof storage));
    Address a = from_socket_address(storage);
    a.port = port;
    found.push_back(std::move(a));
  }
  freeaddrinfo(list);
  if (found.empty()) return Status(Reason::ServiceUnavailable, "lookup " + host + ": no address");
  return found;
}

// What the pool thread and the waiting task share: the lookup cannot be cancelled, the wait for it can.
struct Lookup final : public std::enable_shared_from_this<Lookup> {
  std::optional<Result<std::vector<Address>>> answer;
  async::WaitQueue waiter;
};

Task<Result<void>> wait_for(std::shared_ptr<Lookup> lookup) {
  Status s = co_await lookup->waiter.wait();
  co_return Result<void>(s);
}

}  // namespace

Task<Result<std::vector<Address>>> resolve(std::string host, std::uint16_t port, Duration limit) {
  if (is_ip(host) || host.find('%') != std::string::npos) {
    std::vector<Address> one{Address{host, port}};
    co_return Result<std::vector<Address>>(std::move(one));
  }
  auto lookup = std::make_shared<Lookup>();
  async::Loop* loop = &async::Loop::current();
  async::BlockingPool::shared().submit([lookup, host, port, loop]() mutable {
    auto answer = std::make_shared<Result<std::vector<Address>>>(resolve_blocking(host, port));
    loop->post([lookup = std::move(lookup), answer] {
      lookup->answer = std::move(*answer);
      lookup->waiter.wake_all();
    });
  });
  Result<void> waited = co_await async::with_timeout(limit, wait_for(lookup));
  if (!waited) co_return waited.status().with_context("lookup " + host);
  co_return std::move(*lookup->answer);
}

}  // namespace onebin::net
