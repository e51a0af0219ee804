// The long-running verbs: a loop, signals, an orderly end.
#include "options.hpp"

#include <onebin/async/group.hpp>
#include <onebin/async/loop.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <functional>
#include <pthread.h>
#include <sys/resource.h>
#include <thread>

namespace onebin::cmd {
namespace {

constexpr Duration kJoinRetry = 5s;

// SIGTERM and SIGINT end the process in order; a second one at once. A thread waits for them, the loop handles them.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
  }
  void deliver(async::Loop& loop, std::function<void()> on_signal) {
    std::thread([this, &loop, on_signal] {
      int which = 0;
      sigwait(&set_, &which);
      loop.post(on_signal);
      sigwait(&set_, &which);
      std::_Exit(128 + which);
    }).detach();
  }

 private:
  sigset_t set_;
};

// A client's connection is a descriptor: tens of thousands are no fault. Root may go past the limit it was started with.
void raise_file_limit() {
  constexpr rlim_t kWanted = 1 << 20;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  rlimit raised{kWanted, std::max<rlim_t>(kWanted, limit.rlim_max)};
  if (limit.rlim_max < kWanted && ::setrlimit(RLIMIT_NOFILE, &raised) == 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// start() runs until it returns or a signal comes; then stop() is awaited.
struct Service {
  std::function<async::Task<Result<void>>()> start;
  std::function<async::Task<void>()> stop;
};

async::Task<void> begin(Service* service, std::function<void()> end, int* exit_code) {
  Result<void> r = co_await service->start();
  if (r || r.is(Reason::Cancelled)) co_return;
  std::fprintf(stderr, "onebin: %s\n", r.status().message().c_str());
  *exit_code = 1;
  async::Loop::current().post(end);
}

async::Task<void> finish(Service* service, async::TaskGroup* starting, async::RealLoop* loop) {
  starting->cancel();
  co_await starting->join();
  co_await service->stop();
  loop->stop();
}

int serve(Service service) {
  raise_file_limit();
  static Signals signals;
  auto loop = async::RealLoop::create();
  int exit_code = 0;
  {
    async::TaskGroup starting("start"), ending("stop");
    bool over = false;
    auto end = [&] {
      if (over) return;
      over = true;
      log_info("stopping");
      ending.spawn(finish(&service, &starting, loop.get()));
    };
    signals.deliver(*loop, end);
    starting.spawn(begin(&service, end, &exit_code));
    loop->run();
  }
  return exit_code;
}

}  // namespace

int run_server(const Parsed& p) {
  std::unique_ptr<server::Server> server;
  Service s;
  s.start = [&] {
    server::Options o = p.server;
    if (o.agent.data_dir == agent::Options().data_dir) o.agent.data_dir = o.data_dir + "/agent";
    server = std::make_unique<server::Server>(std::move(o));
    return server->start();
  };
  s.stop = [&] { return server->stop(); };
  int code = serve(std::move(s));
  return code;
}

namespace {

// An agent: the session with the server, then the node on top of it.
class Joined {
 public:
  explicit Joined(const AgentOptions& options) : options_(options) {}

  async::Task<Result<void>> start() {
    Result<void> complete = agent::complete(options_.agent);
    if (!complete) co_return complete.status();
    agent::JoinOptions j;
    j.server_url = options_.server_url;
    j.data_dir = options_.agent.data_dir + "/pki";
    j.node_name = options_.agent.node_name;
    if (!options_.token.empty()) {
      Result<agent::JoinToken> t = agent::parse_join_token(options_.token);
      if (!t) co_return t.status();
      j.token = std::move(*t);
    }
    // A server that is away is waited for; one that refuses is not.
    for (;;) {
      Result<std::unique_ptr<agent::NodeSession>> session = co_await agent::join(j);
      if (session) {
        session_ = std::move(*session);
        break;
      }
      if (!session.is(Reason::ServiceUnavailable) && !session.is(Reason::Timeout)) co_return session.status();
      log_warn("the server is not there yet", {{"error", session.status()}});
      Status slept = co_await async::sleep_for(kJoinRetry);
      if (!slept) co_return slept;
    }
    const agent::ClusterConfig& c = session_->config();
    agent::Options o = options_.agent;
    o.cluster_domain = c.cluster_domain;
    if (o.cluster_dns.empty()) o.cluster_dns = c.cluster_dns;
    o.cluster_cidrs = c.cluster_cidrs;
    o.service_cidrs = c.service_cidrs;
    o.flannel_backend = c.flannel_backend;
    agent::Identity id;
    id.transport = &session_->transport();
    id.client_ca_pem = c.client_ca_pem;
    id.server_url = options_.server_url;
    agent_ = std::make_unique<agent::Agent>(std::move(o), std::move(id));
    Result<void> started = co_await agent_->start();
    co_return started;
  }

  async::Task<void> stop() {
    if (agent_) co_await agent_->stop();
    agent_.reset();
    if (session_) co_await session_->stop();
    session_.reset();
  }

 private:
  AgentOptions options_;
  std::unique_ptr<agent::NodeSession> session_;
  std::unique_ptr<agent::Agent> agent_;
};

}  // namespace

int run_agent(const Parsed& p) {
  Joined joined(p.agent);
  Service s;
  s.start = [&] { return joined.start(); };
  s.stop = [&] { return joined.stop(); };
  return serve(std::move(s));
}

}  // namespace onebin::cmd
