// What a pod worker is given: the contracts and the parts of the kubelet that all pods share.
#pragma once
#include "kubelet/image_puller.hpp"
#include "kubelet/object_cache.hpp"
#include "kubelet/pod_cgroups.hpp"
#include "kubelet/pod_status.hpp"
#include "kubelet/token_cache.hpp"
#include "kubelet/volumes/volumes.hpp"

#include <onebin/async/channel.hpp>
#include <onebin/client/client.hpp>
#include <onebin/client/events.hpp>
#include <onebin/engine/engine.hpp>
#include <onebin/kubelet/kubelet.hpp>
#include <onebin/network/pod_network.hpp>

#include <functional>
#include <string>

namespace onebin::kubelet {

class PodWorker;

struct NodeContext {
  const Options* options = nullptr;
  client::Client* client = nullptr;
  engine::Engine* engine = nullptr;
  network::PodNetwork* network = nullptr;
  ObjectCache* objects = nullptr;
  TokenCache* tokens = nullptr;
  CertificateCache* certificates = nullptr;
  Volumes* volumes = nullptr;
  PodCgroups* cgroups = nullptr;
  ImagePuller* images = nullptr;
  Rng* rng = nullptr;
  Backoff* restarts = nullptr;
  async::Semaphore* status_writes = nullptr;  // how many status patches are under way at once

  std::int64_t memory_capacity = 0;
  std::map<std::string, Quantity> allocatable;
  WallTime started{};

  // Services that a pod of `ns` sees in its environment; ServiceUnavailable until they have been listed.
  std::function<Result<EnvMap>(const std::string& ns, bool links)> service_env;
  // An Event about the pod, or about one of its containers.
  std::function<void(const core::Pod& pod, const std::string& container, const char* type, const char* reason, std::string message)> event;
  // Whether the node could hold the pod with other requests: none if it can; Deferred while others use the room, else Infeasible.
  std::function<std::optional<ResizeState>(const core::Pod& pod)> refuse_resize;
  // The worker has nothing more to do: the pod is gone from the node.
  std::function<void(const std::string& uid)> finished;
  // "" or "runc" without a RuntimeClass.
  std::function<async::Task<Result<std::string>>(std::string runtime_class)> runtime_handler;
  std::string node_resolv_conf;  // content
};

}  // namespace onebin::kubelet
