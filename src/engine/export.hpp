// Writing images back to an archive that both `docker load` and an OCI importer read. Blocking.
//
// Layers are packed again from their folders, as compressed blobs are not kept. A tar packed again has another digest
// than the one the image was built with, so the exported image has a config of its own: the same but for rootfs.diff_ids.
#pragma once
#include "engine/image_store.hpp"

#include <string>
#include <vector>

namespace onebin::engine {

struct ExportImage {
  ImageRecord record;
  std::string config_path;
  std::vector<std::string> tags;
};

Result<void> export_archive(const ImageStore& store, const std::vector<ExportImage>& images, const std::string& path);

}  // namespace onebin::engine
