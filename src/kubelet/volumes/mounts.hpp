// The mounts that volumes need. Blocking, thread-safe; a fake in tests, which may not mount.
#pragma once
#include <onebin/base/result.hpp>

#include <cstdint>
#include <string>

namespace onebin::kubelet {

class Mounts {
 public:
  virtual ~Mounts() = default;
  // `size` 0: the kernel's default. OK when `path` is a tmpfs already.
  virtual Result<void> tmpfs(const std::string& path, std::uint64_t size, int mode) = 0;
  virtual Result<void> bind(const std::string& source, const std::string& target) = 0;
  // Everything mounted at or below `path`, innermost first.
  virtual Result<void> unmount_below(const std::string& path) = 0;
};
Mounts& system_mounts();

// Opens `sub_path` below `volume` without ever leaving it, making missing folders with the volume's mode, and pins what it
// found at `target` by a bind mount, so that a later change of a link inside the volume cannot redirect it.
Result<void> pin_sub_path(Mounts& mounts, const std::string& volume, const std::string& sub_path, const std::string& target);

}  // namespace onebin::kubelet
