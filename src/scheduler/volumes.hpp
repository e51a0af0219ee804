// Pods' claims as the scheduler sees them: which volumes they need, on which nodes those can be had, what has to be written
// before a pod is bound. Pure; source: Kubernetes documentation, "Storage Classes", volume binding mode.
#pragma once
#include "types.hpp"

#include <onebin/client/volume_binding.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace onebin::scheduler {

using client::Claim;
using client::StorageClass;
using client::Volume;

class VolumeView {
 public:
  virtual ~VolumeView() = default;
  virtual std::optional<Claim> claim(const std::string& key) const = 0;
  virtual std::optional<Volume> volume(const std::string& name) const = 0;
  virtual std::optional<StorageClass> storage_class(const std::string& name) const = 0;
  virtual std::vector<Volume> volumes() const = 0;
};

// A volume with its node affinity read.
struct KnownVolume {
  explicit KnownVolume(Volume v);
  bool reachable(const NodeInfo& node) const;
  Volume volume;
  bool anywhere = true;
  std::vector<NodeSelectorTerm> terms;
};

// What a pod's claims ask for, whatever the node.
struct VolumeNeeds {
  std::string refusal;              // why the pod can be placed nowhere; "" otherwise
  std::vector<KnownVolume> bound;   // volumes that its claims have
  bool lost = false;                // a claim's volume does not exist
  std::vector<Claim> unbound;       // claims that wait for their pod's node
  std::vector<KnownVolume> candidates;
  std::map<std::string, StorageClass> classes;
};
VolumeNeeds volume_needs(const PodInfo& pod, const VolumeView& view);

// How the needs are met on a node.
struct NodeVolumes {
  std::string problem;                             // "" when they are
  std::vector<std::pair<Claim, Volume>> bindings;  // volumes to give to claims
  std::vector<Claim> provisions;                   // claims that get a volume made on the node
};
NodeVolumes place_volumes(const VolumeNeeds& needs, const NodeInfo& node);

}  // namespace onebin::scheduler
