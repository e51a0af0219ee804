// Between Address and the kernel's socket addresses.
#pragma once
#include <onebin/net/socket.hpp>

#include <sys/socket.h>

namespace onebin::net {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};
// Host "" is the IPv6 wildcard, which takes IPv4 as well.
Result<SocketAddress> to_socket_address(const Address& a);
Address from_socket_address(const sockaddr_storage& storage);  // v4-mapped addresses as v4; a unix socket as an empty one

}  // namespace onebin::net
