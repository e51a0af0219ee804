#include "net/server_core.hpp"
namespace onebin::net {
Task<void> serve_http2(ServerCore&, StreamPtr stream, std::shared_ptr<const PeerInfo>) { stream->close(); co_return; }
}  // namespace onebin::net
