// NodeDialer: every byte from the server to a node, a pod or a Service's endpoint goes through it: by the agent's tunnel
// where one is open, else directly. Injected by the composition.
#pragma once
#include <onebin/async/task.hpp>
#include <onebin/base/result.hpp>

#include <cstdint>
#include <memory>
#include <string>

namespace onebin::net {
class Stream;
}

namespace onebin::apiserver {

class NodeDialer {
 public:
  virtual ~NodeDialer() = default;
  // A TCP stream to `host`:`port` as reached from node `node` ("" where the address belongs to no node).
  virtual async::Task<Result<std::unique_ptr<net::Stream>>> dial(std::string node, std::string host, std::uint16_t port) = 0;
};

// Connects from this process.
std::unique_ptr<NodeDialer> make_direct_dialer();

}  // namespace onebin::apiserver
