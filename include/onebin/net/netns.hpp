// Sockets inside another network namespace: what listens on a pod's loopback is reached only from there.
#pragma once
#include <onebin/net/stream.hpp>

namespace onebin::net {

// A TCP connection made in the namespace pinned at `netns_path` (empty: this process's own). `ip` is an address in text.
// The stream itself may be used from anywhere. Needs CAP_SYS_ADMIN.
Task<Result<StreamPtr>> connect_tcp_in(std::string netns_path, std::string ip, std::uint16_t port, Duration timeout = 10s);

}  // namespace onebin::net
