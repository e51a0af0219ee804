// The cgroups of QoS classes and pods. A fake in tests.
#pragma once
#include "kubelet/resources.hpp"

#include <onebin/base/result.hpp>
#include <onebin/engine/cgroup.hpp>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace onebin::kubelet {

class PodCgroups {
 public:
  virtual ~PodCgroups() = default;
  virtual bool unified() const = 0;
  // Makes the pod's group (and the classes') and applies its limits. The path is relative to the hierarchy.
  virtual Result<std::string> create(const core::Pod& pod) = 0;
  virtual Result<void> update(const core::Pod& pod) = 0;
  // Kills what is left in it, and removes it. OK when there is none.
  virtual Result<void> remove(const std::string& uid) = 0;
  virtual std::vector<std::string> pods() = 0;  // uids that have a group
  virtual std::optional<engine::CgroupStats> stats(const std::string& uid) = 0;
};
Result<std::unique_ptr<PodCgroups>> make_pod_cgroups(std::string root);

}  // namespace onebin::kubelet
