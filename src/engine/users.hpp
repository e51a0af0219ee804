// Who a container's first process is: the pod's wish, the image's user, and the image's own /etc/passwd and /etc/group.
#pragma once
#include <onebin/base/result.hpp>
#include <onebin/engine/types.hpp>

#include <string>
#include <vector>

namespace onebin::engine {

struct ResolvedUser {
  std::int64_t uid = 0, gid = 0;
  std::vector<std::int64_t> groups;  // additional, the primary among them
};
// Blocking: reads files below rootfs, safely.
Result<ResolvedUser> resolve_user(const ContainerConfig& config, const std::string& image_user, const std::string& rootfs);
// The same from the files' texts.
Result<ResolvedUser> resolve_user(const ContainerConfig& config, const std::string& image_user, const std::string& passwd, const std::string& group);

}  // namespace onebin::engine
