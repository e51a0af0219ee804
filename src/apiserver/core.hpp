// Core: what the API server's parts share, and the one chain that every request goes through.
#pragma once
#include "apiserver/cache/cacher.hpp"
#include "apiserver/negotiate.hpp"
#include "apiserver/registry/registry.hpp"
#include "apiserver/request.hpp"
#include "apiserver/security.hpp"

#include <onebin/apiserver/apiserver.hpp>
#include <onebin/async/group.hpp>
#include <onebin/net/http.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace onebin::apiserver {

class Aggregator;
class Allocators;
class AuditEvent;
class AuditedWriter;
class Auditor;
class Definitions;
class DiscoveryCache;
class KubeletClients;
class ServerClients;

// One request on its way. Lives in the chain's frame; handlers take a pointer.
struct RequestContext {
  Core& core;
  net::Request& request;
  net::ResponseWriter& writer;
  net::Query query;
  RequestInfo info;
  UserInfo user;
  std::string user_agent;
  std::string audit_id;
  std::vector<std::string> warnings;
  Served* served = nullptr;
  std::shared_ptr<Served> served_held;  // keeps a custom resource's tables while the request runs
  bool local = false;
  bool aggregated = false;                // another API server's
  WallTime now;
  std::optional<SteadyTime> deadline;     // none: it may last
  std::string other_reason;               // of a refusal whose reason Reason does not have
  std::shared_ptr<AuditEvent> audit;      // null: none

  bool dry_run() const { return query.has("dryRun"); }
};

using Handling = async::Task<Result<void>>;

class Core {
 public:
  Core(Options options, storage::Store& store, NodeDialer* dialer);
  ~Core();

  async::Task<Result<void>> start();
  async::Task<void> stop();

  // The chain. `as` is set for requests of this process.
  async::Task<void> serve(net::Request& request, net::ResponseWriter& writer, const UserInfo* as);
  // The chain up to authorization. On an error nothing has been answered.
  async::Task<Result<void>> admit_request(RequestContext* c, const UserInfo* as);
  // May `user` do this? For checks inside handlers.
  async::Task<Authorized> authorize(Attributes attributes);

  WriteContext write_context(RequestContext& c);
  Clock& clock() const { return *clock_; }
  Rng& rng() const { return *rng_; }
  bool ready() const { return ready_; }
  void set_ready(bool on) { ready_ = on; }
  bool stopping() const { return stopping_; }
  async::TaskGroup& group() { return group_; }

  const Options options;
  storage::Store& store;
  NodeDialer* dialer;
  Cacher cacher;
  Registry registry;
  Security security;
  std::unique_ptr<Allocators> allocators;
  std::unique_ptr<DiscoveryCache> discovery;
  std::unique_ptr<Definitions> definitions;
  std::unique_ptr<Aggregator> aggregator;
  std::unique_ptr<KubeletClients> kubelets;
  std::unique_ptr<ServerClients> servers;  // webhooks, aggregated API servers
  std::unique_ptr<Auditor> auditor;        // null: no audit log

 private:
  async::Task<void> serve_as(net::Request& request, net::ResponseWriter& writer, const UserInfo* as, AuditedWriter* audited);
  Handling dispatch(RequestContext* c);
  Handling authenticate(RequestContext* c);
  Handling impersonate(RequestContext* c);
  Handling check_authorized(RequestContext* c);

  std::unique_ptr<NodeDialer> own_dialer_;
  Clock* clock_;
  Rng* rng_;
  bool ready_ = false, stopping_ = false;
  std::size_t in_flight_ = 0;
  async::TaskGroup group_{"apiserver"};
};

// Not bounded by the request timeout nor counted in flight: watches and streams.
bool is_long_running(const RequestContext& c);

}  // namespace onebin::apiserver
