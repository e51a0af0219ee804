// What this process may give to its containers: found once, by reading /proc and /sys.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace onebin::engine {

struct HostLimits {
  std::vector<std::string> capabilities;  // "CAP_CHOWN", what this process holds
  int min_oom_score_adj = -1000;
  bool may_raise_rlimits = true;  // CAP_SYS_RESOURCE
  bool apparmor = false, selinux = false, seccomp = true;
  bool swap_accounting = true;
  std::string hostname;
  static HostLimits detect();
  bool holds(const std::string& capability) const;
};

// "CAP_CHOWN" of "chown", "CAP_CHOWN", "CHOWN"; "" when there is no such capability.
std::string canonical_capability(const std::string& name);
// "SIGTERM", "TERM", "15", "RTMIN+3"; 0 when there is no such signal.
int parse_signal(const std::string& name);

}  // namespace onebin::engine
