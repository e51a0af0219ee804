// Applies a layer's tar to a folder. Runs in the blocking pool.
//
// Nothing outside `root` is touched whatever the archive holds: every path is opened below root's descriptor with
// openat2(RESOLVE_IN_ROOT), last components are never followed. Whiteouts (".wh.NAME", ".wh..wh..opq", OCI image spec,
// "Layers") remove what lower layers brought, not what this layer brought itself: `root` is an overlay mount over the
// lower layers (or an empty folder for the first), so removing is enough and the kernel records it.
#pragma once
#include "engine/source.hpp"

#include <cstdint>
#include <string>

namespace onebin::engine {

struct UnpackStats {
  std::uint64_t bytes = 0;    // contents of files
  std::uint64_t entries = 0;
};

struct UnpackLimits {
  std::uint64_t bytes = 1ull << 42;
  std::uint64_t entries = 20'000'000;
};

// `tar` is read to its very end, so that a digest around it is complete.
Result<UnpackStats> unpack_layer(Source& tar, const std::string& root, const UnpackLimits& limits = {});

// "/a/./b/../c" -> "a/c"; ".." never rises above the root. Empty for the root itself.
std::string clean_path(std::string_view path);
// Whether a ".." of a path rises above the root: no honest archive has such a path.
bool leaves_root(std::string_view path);

}  // namespace onebin::engine
