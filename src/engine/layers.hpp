// Layers on disk: unpacking into the store, and overlay mounts over them. Everything blocks.
#pragma once
#include "engine/image_store.hpp"
#include "engine/source.hpp"

#include <string>
#include <vector>

namespace onebin::engine {

struct OverlayMount {
  std::string layers_dir;
  std::vector<std::string> keys;  // lowest first; may be empty
  std::string upper, work;        // below the engine's root, as "containers/ID/fs"; empty: read-only
  std::string target;
};
// Paths go to the kernel relative to layers_dir, so that 127 layers fit one page of options.
Result<void> mount_overlay(const OverlayMount& mount);
Result<void> unmount(const std::string& target);  // lazily; fine when nothing is mounted

// Unpacks layers[index] (compressed or not) over the ones below it, which are there already, verifies both digests and
// gives its size. Does nothing when it is there. `blob_digest` may be empty.
Result<std::uint64_t> store_layer(const ImageStore& store, const std::vector<LayerRecord>& layers, std::size_t index, Source& blob,
                                  const std::string& blob_digest);

}  // namespace onebin::engine
