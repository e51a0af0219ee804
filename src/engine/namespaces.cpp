#include "engine/namespaces.hpp"

#include "engine/layers.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>

#include <cerrno>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <thread>

namespace onebin::engine {
namespace {

Result<void> pin(const std::string& from, const std::string& at) {
  Fd file(::open(at.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0444));
  if (!file) return from_errno("create " + at, errno);
  if (::mount(from.c_str(), at.c_str(), nullptr, MS_BIND, nullptr) < 0) return from_errno("pin " + at, errno);
  return {};
}

// "net.ipv4.ip_forward", or with slashes when a part holds a dot: "net/ipv4/conf/eth0.1/forwarding".
Result<void> set_sysctl(const std::string& name, const std::string& value) {
  bool slashes = name.find('/') != std::string::npos;
  std::string path;
  for (char c : name) path += c == '.' && !slashes ? '/' : c;
  for (const auto& part : split(path, '/')) {
    if (part.empty() || part == "." || part == "..") return bad_request("bad sysctl name \"" + name + "\"");
  }
  Fd fd(::open(("/proc/sys/" + path).c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return errno == ENOENT ? Result<void>(bad_request("sysctl \"" + name + "\" is not known to this kernel")) : Result<void>(from_errno("sysctl " + name, errno));
  if (::write(fd.get(), value.data(), value.size()) < 0) return from_errno("set sysctl " + name + " to \"" + value + "\"", errno);
  return {};
}

bool in_uts(const std::string& sysctl) { return sysctl == "kernel.hostname" || sysctl == "kernel.domainname"; }
bool in_ipc(const std::string& sysctl) {
  return starts_with(sysctl, "kernel.shm") || starts_with(sysctl, "kernel.msg") || sysctl == "kernel.sem" || starts_with(sysctl, "fs.mqueue.");
}
bool in_net(const std::string& sysctl) { return starts_with(sysctl, "net.") || starts_with(sysctl, "net/"); }

// On a thread of its own, which leaves the process's namespaces for good.
Result<void> make_all(const SandboxConfig& c, const std::string& folder) {
  const bool uts = !c.netns_path.empty();
  const bool ipc = c.ipc == NamespaceMode::Pod;
  if (::unshare(CLONE_FS | (uts ? CLONE_NEWUTS : 0) | (ipc ? CLONE_NEWIPC : 0)) < 0) return from_errno("unshare", errno);
  if (uts) {
    if (::sethostname(c.hostname.data(), c.hostname.size()) < 0) return from_errno("set hostname", errno);
    RETURN_IF_ERROR(pin("/proc/thread-self/ns/uts", folder + "/uts"));
  }
  if (ipc) RETURN_IF_ERROR(pin("/proc/thread-self/ns/ipc", folder + "/ipc"));
  if (uts && !c.sysctls.empty()) {
    Fd net(::open(c.netns_path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!net || ::setns(net.get(), CLONE_NEWNET) < 0) return from_errno("enter " + c.netns_path, errno);
  }
  for (const auto& [name, value] : c.sysctls) {
    // What is not the pod's own would change the host.
    bool own = (uts && (in_uts(name) || in_net(name))) || (ipc && in_ipc(name));
    if (!own) return bad_request("sysctl \"" + name + "\" is not one of the pod's own namespaces");
    RETURN_IF_ERROR(set_sysctl(name, value));
  }
  return {};
}

}  // namespace

Result<void> pin_namespaces(const SandboxConfig& config, const std::string& folder) {
  Result<void> r;
  std::thread([&] { r = make_all(config, folder); }).join();
  if (r && config.ipc == NamespaceMode::Pod) {
    std::string shm = folder + "/shm";
    r = make_dirs(shm, 01777);
    std::string options = "mode=1777,size=" + std::to_string(config.shm_size);
    if (r && ::mount("shm", shm.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options.c_str()) < 0) r = from_errno("mount " + shm, errno);
  }
  if (!r) (void)unpin_namespaces(folder);
  return r;
}

Result<void> pin_pid_namespace(int pid, const std::string& folder) { return pin("/proc/" + std::to_string(pid) + "/ns/pid", folder + "/pid"); }

Result<void> unpin_namespaces(const std::string& folder) {
  for (const char* name : {"/uts", "/ipc", "/pid", "/shm"}) {
    std::string path = folder + name;
    if (!path_exists(path)) continue;
    RETURN_IF_ERROR(unmount(path));
  }
  return {};
}

}  // namespace onebin::engine
