#include "engine/host.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

namespace onebin::engine {
namespace {

// In the kernel's order (linux/capability.h): the index is the number.
constexpr const char* capability_names[] = {
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
    "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
    "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
    "PERFMON", "BPF", "CHECKPOINT_RESTORE"};

}  // namespace

HostLimits HostLimits::detect() {
  HostLimits h;
  auto status = read_file("/proc/self/status").value_or("");
  if (auto at = status.find("CapEff:"); at != std::string::npos) {
    auto bits = std::strtoull(status.c_str() + at + 7, nullptr, 16);
    for (std::size_t i = 0; i < std::size(capability_names); ++i) {
      if (bits >> i & 1) h.capabilities.push_back(std::string("CAP_") + capability_names[i]);
    }
  }
  h.may_raise_rlimits = h.holds("CAP_SYS_RESOURCE");
  if (!h.may_raise_rlimits) h.min_oom_score_adj = std::atoi(read_file("/proc/self/oom_score_adj").value_or("0").c_str());
  h.apparmor = starts_with(read_file("/sys/module/apparmor/parameters/enabled").value_or("N"), "Y");
  h.selinux = path_exists("/sys/fs/selinux/enforce");
  h.seccomp = status.find("\nSeccomp:") != std::string::npos;
  h.swap_accounting = path_exists("/sys/fs/cgroup/cgroup.controllers") || path_exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes");
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) == 0) h.hostname = name;
  return h;
}

bool HostLimits::holds(const std::string& capability) const {
  return std::find(capabilities.begin(), capabilities.end(), capability) != capabilities.end();
}

std::string canonical_capability(const std::string& name) {
  std::string upper;
  for (char c : name) upper += static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  if (starts_with(upper, "CAP_")) upper = upper.substr(4);
  for (const char* known : capability_names) {
    if (upper == known) return "CAP_" + upper;
  }
  return {};
}

int parse_signal(const std::string& name) {
  if (name.empty()) return 0;
  if (name[0] >= '0' && name[0] <= '9') {
    int n = std::atoi(name.c_str());
    return n > 0 && n <= 64 ? n : 0;
  }
  std::string s = to_lower(name);
  if (starts_with(s, "sig")) s = s.substr(3);
  if (starts_with(s, "rtmin")) {
    int n = 34 + (s.size() > 5 ? std::atoi(s.c_str() + 5) : 0);
    return n >= 34 && n <= 64 ? n : 0;
  }
  if (starts_with(s, "rtmax")) {
    int n = 64 + (s.size() > 5 ? std::atoi(s.c_str() + 5) : 0);
    return n >= 34 && n <= 64 ? n : 0;
  }
  static const struct { const char* name; int number; } table[] = {
      {"hup", SIGHUP}, {"int", SIGINT}, {"quit", SIGQUIT}, {"ill", SIGILL}, {"trap", SIGTRAP}, {"abrt", SIGABRT}, {"iot", SIGABRT},
      {"bus", SIGBUS}, {"fpe", SIGFPE}, {"kill", SIGKILL}, {"usr1", SIGUSR1}, {"segv", SIGSEGV}, {"usr2", SIGUSR2}, {"pipe", SIGPIPE},
      {"alrm", SIGALRM}, {"term", SIGTERM}, {"stkflt", SIGSTKFLT}, {"chld", SIGCHLD}, {"cld", SIGCHLD}, {"cont", SIGCONT},
      {"stop", SIGSTOP}, {"tstp", SIGTSTP}, {"ttin", SIGTTIN}, {"ttou", SIGTTOU}, {"urg", SIGURG}, {"xcpu", SIGXCPU},
      {"xfsz", SIGXFSZ}, {"vtalrm", SIGVTALRM}, {"prof", SIGPROF}, {"winch", SIGWINCH}, {"io", SIGIO}, {"poll", SIGIO},
      {"pwr", SIGPWR}, {"sys", SIGSYS}};
  for (const auto& t : table) {
    if (s == t.name) return t.number;
  }
  return 0;
}

}  // namespace onebin::engine
