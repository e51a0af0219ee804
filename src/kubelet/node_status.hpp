// The Node object that this kubelet writes: a pure function of what was read of the machine.
#pragma once
#include "kubelet/pod_util.hpp"

#include <onebin/engine/types.hpp>
#include <onebin/kubelet/kubelet.hpp>

#include <map>
#include <string>
#include <vector>

namespace onebin::kubelet {

// Read from /proc, /sys, /etc and uname; blocking, once at start (the changing parts again with each status).
struct MachineInfo {
  int cpus = 1;
  std::int64_t memory_bytes = 0, memory_available = 0;
  std::int64_t storage_bytes = 0, storage_available = 0, inodes = 0, inodes_free = 0;  // of the root_dir's file system
  std::map<std::string, std::int64_t> hugepages;  // "2Mi" -> bytes
  std::string machine_id, system_uuid, boot_id, kernel_version, os_image, architecture;
  std::int64_t max_pids = 0, pids = 0;
};
MachineInfo read_machine(const std::string& root_dir);

struct NodeConditions {
  bool network_ready = false;
  std::string not_ready_why;
  bool memory_pressure = false, disk_pressure = false, pid_pressure = false;
};

struct NodeInput {
  const Options* options = nullptr;
  const MachineInfo* machine = nullptr;
  NodeConditions conditions;
  std::vector<engine::ImageInfo> images;
  const core::NodeStatus* old = nullptr;  // for transition times
  std::map<std::string, Quantity> extended;  // resources in the Node's capacity that others have put there
  std::uint16_t port = 0;
  WallTime now{};
};

std::map<std::string, Quantity> node_capacity(const Options& o, const MachineInfo& m);
std::map<std::string, Quantity> node_allocatable(const Options& o, const std::map<std::string, Quantity>& capacity);
core::NodeStatus node_status(const NodeInput& in);
// The whole object, for registration.
core::Node new_node(const NodeInput& in);
std::map<std::string, std::string> node_labels(const Options& o, const MachineInfo& m);
// The strategic merge patch for the status subresource; "" when nothing but heartbeats differs and `heartbeat` is false.
std::string node_status_patch(const core::NodeStatus& before, const core::NodeStatus& after, bool heartbeat);

}  // namespace onebin::kubelet
