// A pod's namespaces, pinned by bind mounts, without a process that holds them. Blocking.
#pragma once
#include <onebin/base/result.hpp>
#include <onebin/engine/types.hpp>

#include <string>

namespace onebin::engine {

// Makes folder/uts (unless the pod is on the host's network) and folder/ipc (for NamespaceMode::Pod), sets hostname and
// sysctls, mounts folder/shm. On failure nothing stays pinned.
Result<void> pin_namespaces(const SandboxConfig& config, const std::string& folder);
Result<void> pin_pid_namespace(int pid, const std::string& folder);  // folder/pid
Result<void> unpin_namespaces(const std::string& folder);            // idempotent

}  // namespace onebin::engine
