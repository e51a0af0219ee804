#include "options.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>

#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <linux/netlink.h>

namespace onebin::cmd {
namespace {

bool in_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  for (const auto& dir : split(path ? path : "/usr/sbin:/usr/bin:/sbin:/bin", ':'))
    if (::access((dir + "/" + program).c_str(), X_OK) == 0) return true;
  return false;
}

bool filesystem(const std::string& name) {
  auto r = read_file("/proc/filesystems");
  if (!r) return false;
  for (const auto& line : split(*r, '\n'))
    if (ends_with(line, "\t" + name)) return true;
  return false;
}

// A module that the kernel loads by itself when it is first used is as good as one that is there.
bool loadable(const std::string& release, const std::string& module) {
  auto r = read_file("/lib/modules/" + release + "/modules.dep", 16u << 20);
  return r && r->find("/" + module + ".ko") != std::string::npos;
}

class Report {
 public:
  void check(bool ok, const std::string& what, const std::string& remedy, bool required = true) {
    std::printf("%-9s %s\n", ok ? "ok" : required ? "missing" : "warning", what.c_str());
    if (!ok) std::printf("          -> %s\n", remedy.c_str());
    if (!ok && required) ++missing_;
  }
  int missing() const { return missing_; }

 private:
  int missing_ = 0;
};

void check_cgroups(Report& r) {
  bool v2 = path_exists("/sys/fs/cgroup/cgroup.controllers");
  std::string controllers = v2 ? read_file("/sys/fs/cgroup/cgroup.controllers").value_or("") : "";
  auto have = [&](const std::string& c) { return v2 ? (" " + controllers).find(" " + c) != std::string::npos : path_exists("/sys/fs/cgroup/" + c); };
  std::printf("          cgroup %s\n", v2 ? "v2" : "v1");
  for (const char* c : {"cpu", "memory", "pids"})
    r.check(have(c), std::string("cgroup controller ") + c,
            std::string(c) == "memory" ? "boot with cgroup_enable=memory cgroup_memory=1" : std::string("enable CONFIG_CGROUPS with the ") + c + " controller in the kernel");
}

}  // namespace

int run_check_config() {
  Report r;
  utsname u{};
  ::uname(&u);
  std::printf("          kernel %s\n", u.release);
  int major = 0, minor = 0;
  std::sscanf(u.release, "%d.%d", &major, &minor);
  r.check(major > 5 || (major == 5 && minor >= 4), "kernel 5.4 or newer", "upgrade the kernel");
  r.check(::geteuid() == 0, "running as root", "run onebin as root (sudo)");
  check_cgroups(r);
  r.check(filesystem("overlay") || loadable(u.release, "overlay"), "overlayfs", "modprobe overlay, or enable CONFIG_OVERLAY_FS");
  for (const char* ns : {"net", "pid", "ipc", "uts", "mnt", "user"})
    r.check(path_exists(std::string("/proc/self/ns/") + ns), std::string(ns) + " namespaces", "enable CONFIG_NAMESPACES in the kernel", std::string(ns) != "user");
  int nf = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  r.check(nf >= 0, "nftables (netfilter netlink)", "modprobe nf_tables, or enable CONFIG_NF_TABLES");
  if (nf >= 0) ::close(nf);
  r.check(path_exists("/proc/sys/net/netfilter/nf_conntrack_max") || loadable(u.release, "nf_conntrack"), "connection tracking", "modprobe nf_conntrack", false);
  r.check(in_path("runc"), "runc", "apt-get install runc");
  r.check(in_path("kubectl"), "kubectl (to drive the cluster)", "put kubectl into PATH; onebin itself does not need it", false);
  if (r.missing()) {
    std::printf("\n%d required item%s missing\n", r.missing(), r.missing() == 1 ? " is" : "s are");
    return 1;
  }
  std::printf("\nthis host can run onebin\n");
  return 0;
}

}  // namespace onebin::cmd
