// The agent's local API on a unix socket, for `onebin image` on the same host: JSON over HTTP, root only (mode 0600).
//   GET /v1/images    POST /v1/images/import?path=    POST /v1/images/pull?ref=
//   POST /v1/images/export?path=&ref=&ref=            DELETE /v1/images?ref=
#pragma once
#include <onebin/engine/engine.hpp>
#include <onebin/net/server.hpp>

#include <memory>

namespace onebin::agent {

std::string local_api_socket(const std::string& run_dir);
Result<std::unique_ptr<net::HttpServer>> start_local_api(const std::string& run_dir, engine::Engine& engine);

}  // namespace onebin::agent
