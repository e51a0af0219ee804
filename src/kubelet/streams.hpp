// Exec, attach and port-forward: the engine's sessions joined to the client's streams.
#pragma once
#include <onebin/engine/engine.hpp>
#include <onebin/net/remote_command.hpp>

#include <memory>
#include <string>

namespace onebin::kubelet {

// Runs until the process has ended (exec) or either side has gone (attach); tells the client the outcome.
async::Task<void> bridge_session(std::unique_ptr<net::RemoteCommand> client, std::shared_ptr<engine::IoSession> session, bool attach);

// Serves the connections of one port-forward until the client has gone. Ports are reached inside `netns` ("": the host's).
async::Task<void> bridge_ports(std::unique_ptr<net::PortForward> client, std::string netns);

}  // namespace onebin::kubelet
