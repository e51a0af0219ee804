// Pods and runtime states as the tests build them.
#pragma once
#include "kubelet/pod_status.hpp"

#include <string>

namespace onebin::kubelet::test {

inline core::Container container(const std::string& name, const std::string& image = "busybox:1") {
  core::Container c;
  c.name = name;
  c.image = image;
  c.image_pull_policy = "IfNotPresent";
  c.termination_message_path = "/dev/termination-log";
  c.termination_message_policy = "File";
  return c;
}
inline core::Container sidecar(const std::string& name) {
  core::Container c = container(name);
  c.restart_policy = "Always";
  return c;
}
inline core::Pod pod(const std::string& name, std::vector<core::Container> containers, std::vector<core::Container> init = {},
                     const std::string& policy = "Always") {
  core::Pod p;
  p.metadata.name = name;
  p.metadata.namespace_ = "default";
  p.metadata.uid = "uid-of-" + name;
  p.metadata.generation = 1;
  p.spec.node_name = "node1";
  p.spec.containers = std::move(containers);
  p.spec.init_containers = std::move(init);
  p.spec.restart_policy = policy;
  p.spec.dns_policy = "ClusterFirst";
  p.spec.enable_service_links = true;
  p.spec.termination_grace_period_seconds = 30;
  p.status.phase = "Pending";
  return p;
}
inline RuntimePod ready_sandbox(const core::Pod& p) {
  RuntimePod r;
  r.uid = p.metadata.uid;
  RuntimeSandbox s;
  s.id = "s0";
  s.ready = true;
  s.host_network = p.spec.host_network;
  s.ips = {"10.42.0.2"};
  r.sandboxes.push_back(s);
  return r;
}
inline RuntimeContainer& add(RuntimePod& r, const core::Container& c, ContainerState state, int exit_code = 0) {
  RuntimeContainer out;
  out.id = "id-" + c.name + std::to_string(r.containers.size());
  out.name = c.name;
  out.sandbox_id = r.sandboxes.empty() ? "" : r.sandboxes.front().id;
  out.state = state;
  out.exit_code = exit_code;
  out.image = c.image;
  out.hash = hash_container(c);
  out.reason = exit_code ? "Error" : "Completed";
  out.created_at = out.started_at = out.finished_at = from_unix(1000 - static_cast<std::int64_t>(r.containers.size()));
  if (state == ContainerState::Running) out.finished_at = {};
  r.containers.push_back(out);
  return r.containers.back();
}

}  // namespace onebin::kubelet::test
