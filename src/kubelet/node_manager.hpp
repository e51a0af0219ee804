// Registration, status and Lease of this node, and what the kubelet learns from its own Node object.
#pragma once
#include "kubelet/node_status.hpp"

#include <onebin/async/channel.hpp>
#include <onebin/async/group.hpp>
#include <onebin/client/events.hpp>
#include <onebin/client/informer.hpp>
#include <onebin/engine/engine.hpp>
#include <onebin/network/pod_network.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace onebin::kubelet {

class NodeManager {
 public:
  NodeManager(const Options& options, client::Client& client, engine::Engine& engine, network::PodNetwork& network,
              client::EventRecorder& events);

  void start(std::uint16_t port);
  async::Task<void> stop();
  void changed() { wake_.notify(); }                   // something that the status shows has changed
  void set_pressure(bool memory, bool disk, bool pids);
  void set_shutting_down(std::string why) { conditions_.not_ready_why = std::move(why); changed(); }
  bool ready() const { return ready_written_; }
  const MachineInfo& machine() const { return machine_; }
  const NodeConditions& conditions() const { return conditions_; }
  std::optional<core::Node> node() const { return informer_.get(options_.node_name); }

 private:
  async::Task<void> run();
  async::Task<Result<void>> register_node();
  async::Task<Result<void>> reconcile_existing(core::Node node);
  async::Task<Result<void>> write_status(bool heartbeat);
  async::Task<void> lease_loop();
  async::Task<Result<void>> renew_lease();
  async::Task<void> follow_node();
  async::Task<Result<void>> set_pod_cidrs(const core::Node& node);
  void take_extended(const core::Node& node);
  void tell(const char* type, const char* reason, std::string message);
  void tell_status(const std::string& what);
  void tell_of_conditions();
  NodeInput input(const core::NodeStatus* old) const;

  const Options& options_;
  client::Client& client_;
  engine::Engine& engine_;
  network::PodNetwork& network_;
  client::EventRecorder& events_;
  MachineInfo machine_;
  NodeConditions conditions_;
  std::uint16_t port_ = 0;
  client::Informer<core::Node> informer_;
  core::NodeStatus written_;
  std::string uid_;
  std::string lease_version_;  // resourceVersion of our Lease
  bool registered_ = false, ready_written_ = false;
  bool schedulable_ = true;                    // as told of
  std::map<std::string, std::string> told_;    // conditions' statuses by type, as told of
  std::map<std::string, Quantity> extended_;   // resources that others have put into the Node's capacity
  std::vector<std::string> pod_cidrs_;         // as the network has them
  async::Notify wake_, node_seen_;
  async::Notify registered_wake_;
  async::TaskGroup group_;
};

}  // namespace onebin::kubelet
