// What probes and lifecycle hooks do: run a command, ask a URL, open a port.
#pragma once
#include "kubelet/pod_util.hpp"

#include <onebin/async/task.hpp>
#include <onebin/base/result.hpp>
#include <onebin/engine/engine.hpp>

#include <string>

namespace onebin::kubelet {

enum class Outcome : std::uint8_t { Success, Warning, Failure };
struct HandlerResult {
  Outcome outcome = Outcome::Failure;
  std::string message;
};

// Where a container is reached.
struct HandlerTarget {
  engine::Engine* engine = nullptr;
  std::string container_id, pod_ip;
  const core::Container* container = nullptr;  // for named ports; outlives the call
};

// 0 when `port` is no number in range and no name of a port of the container.
std::uint16_t resolve_port(const apimachinery::IntOrString& port, const core::Container& c);

async::Task<HandlerResult> run_command(HandlerTarget target, std::vector<std::string> command, Duration limit);
async::Task<HandlerResult> http_get(HandlerTarget target, core::HTTPGetAction action, Duration limit, std::string user_agent);
async::Task<HandlerResult> tcp_connect(HandlerTarget target, std::string host, apimachinery::IntOrString port, Duration limit);
// grpc.health.v1.Health/Check over HTTP/2 without TLS.
async::Task<HandlerResult> grpc_check(std::string host, std::uint16_t port, std::string service, Duration limit);

async::Task<HandlerResult> run_probe(HandlerTarget target, core::Probe probe);
// postStart or preStop. `limit` zero: none.
async::Task<Result<void>> run_hook(HandlerTarget target, core::LifecycleHandler hook, Duration limit);

}  // namespace onebin::kubelet
