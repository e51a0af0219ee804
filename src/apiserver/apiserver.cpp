#include <onebin/apiserver/apiserver.hpp>

#include "apiserver/core.hpp"
#include "apiserver/allocators.hpp"
#include "apiserver/handlers/discovery.hpp"
#include "apiserver/handlers/kubelet_clients.hpp"
#include "apiserver/local_transport.hpp"

#include <onebin/net/server.hpp>

namespace onebin::apiserver {

class ApiServer::Impl {
 public:
  Impl(Options options, storage::Store& store, NodeDialer* dialer) : core(std::move(options), store, dialer) {}
  Core core;
  std::unique_ptr<net::HttpServer> http;
  async::Task<void> serve(net::Request& request, net::ResponseWriter& writer) { return core.serve(request, writer, nullptr); }
};

ApiServer::ApiServer(Options options, storage::Store& store, NodeDialer* dialer)
    : impl_(std::make_unique<Impl>(std::move(options), store, dialer)) {}
ApiServer::~ApiServer() = default;

net::Handler ApiServer::handler() {
  Impl* impl = impl_.get();
  return [impl](net::Request& request, net::ResponseWriter& writer) { return impl->serve(request, writer); };
}

async::Task<Result<void>> ApiServer::start() {
  Result<void> started = co_await impl_->core.start();
  if (!started) co_return started;
  if (impl_->core.options.listen.empty()) co_return Result<void>();
  net::ServerConfig config;
  config.name = "apiserver";
  config.listen = impl_->core.options.listen;
  config.tls = impl_->core.options.tls;
  Result<std::unique_ptr<net::HttpServer>> http = net::HttpServer::start(std::move(config), handler());
  if (!http) co_return http.status();
  impl_->http = std::move(*http);
  co_return Result<void>();
}

async::Task<void> ApiServer::stop() {
  impl_->core.set_ready(false);
  if (impl_->http) co_await impl_->http->stop(std::chrono::milliseconds(200));
  co_await impl_->core.stop();
  impl_->http.reset();
}

bool ApiServer::ready() const { return impl_->core.ready(); }

std::vector<net::Address> ApiServer::addresses() const {
  return impl_->http ? impl_->http->addresses() : std::vector<net::Address>();
}

std::unique_ptr<client::Transport> ApiServer::local_transport(UserInfo user) { return make_local_transport(impl_->core, std::move(user)); }

}  // namespace onebin::apiserver
