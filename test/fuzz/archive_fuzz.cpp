// modules: engine base
// Image archives as they are imported: the tar's index, manifests, configs and layers' streams.
#include "engine/archive.hpp"

#include <onebin/base/assert.hpp>
#include <onebin/base/file.hpp>

#include <cstdint>
#include <cstdlib>
#include <sys/stat.h>

using namespace onebin;
using namespace onebin::engine;

namespace {
const std::string& folder() {
  static const std::string path = [] {
    char name[] = "/dev/shm/onebin-fuzz-archive-XXXXXX";
    ONEBIN_ASSERT(::mkdtemp(name));
    std::atexit([] { (void)remove_all(folder()); });
    return std::string(name);
  }();
  return path;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string path = folder() + "/image.tar";
  ONEBIN_ASSERT(write_file(path, std::string_view(reinterpret_cast<const char*>(data), size)).is_ok());
  auto archive = Archive::open(path, folder());
  if (!archive) return 0;
  auto images = (*archive)->images();
  if (!images) return 0;
  for (const auto& image : *images) {
    (void)parse_image_config(image.config);
    (void)config_diff_ids(image.config);
    for (const auto& layer : image.layers) {
      auto stream = (*archive)->stream(layer.name);
      if (!stream) continue;
      char buffer[4096];  // an archive may itself be compressed: its layers may be larger than it
      for (;;) {
        auto n = (*stream)->read(buffer, sizeof buffer);
        if (!n || *n == 0) break;
        ONEBIN_ASSERT(*n <= sizeof buffer);
      }
    }
  }
  return 0;
}
