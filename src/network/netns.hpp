// Network namespaces: made, pinned by a bind mount, entered for a moment.
#pragma once
#include <onebin/base/file.hpp>
#include <onebin/base/result.hpp>

#include <functional>
#include <string>

namespace onebin::network {

// Makes a namespace, or takes the one at `existing`, and pins it at `path` (whose folder exists). Conflict when
// something is pinned there already.
Result<void> pin_netns(const std::string& path, const std::string& existing = {});
Result<void> unpin_netns(const std::string& path);  // OK when nothing is there
bool is_netns(const std::string& path);

// Runs fn on a thread of its own inside the namespace; the caller waits. Never on the calling thread, which so cannot
// be left in the wrong namespace.
Result<void> in_netns(const std::string& path, const std::function<Result<void>()>& fn);

}  // namespace onebin::network
