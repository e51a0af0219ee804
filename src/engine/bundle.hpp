// A container's folders before it starts: writable layer, mounted root, config.json. Blocking.
#pragma once
#include "engine/host.hpp"
#include "engine/image_store.hpp"
#include "engine/records.hpp"

#include <string>
#include <vector>

namespace onebin::engine {

struct ImageVolume {
  std::size_t mount_index = 0;  // in config.mounts
  std::vector<std::string> layer_keys;
};

struct BundleInputs {
  ContainerRecord record;   // its user, groups and mount points are filled in
  ContainerConfig config;   // whole
  ImageInfo image;
  SandboxConfig sandbox;
  HostLimits host;
  bool cgroup_v2 = false;
  std::string layers_dir, folder, disk, sandbox_folder;
  std::string pid_ns;       // as SpecInputs
  std::vector<ImageVolume> image_volumes;
  std::string plain_rootfs; // in place of the overlay, when not empty
};

// Writes everything, container.json last. On failure nothing is left.
Result<ContainerRecord> make_bundle(BundleInputs in);
void remove_bundle(const std::string& folder, const std::string& disk, const std::vector<std::string>& mount_points);

}  // namespace onebin::engine
