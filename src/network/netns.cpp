#include "network/netns.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <system_error>
#include <thread>

namespace onebin::network {

namespace {

Result<void> on_thread(const std::function<Result<void>()>& fn) {
  Result<void> r;
  try {
    std::thread([&] { r = fn(); }).join();
  } catch (const std::system_error& e) {
    return from_errno("start a thread", e.code().value());
  }
  return r;
}

Result<void> bind_here(const std::string& source, const std::string& path) {
  if (::mount(source.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0) return from_errno("pin the namespace at " + path, errno);
  return {};
}

}  // namespace

bool is_netns(const std::string& path) {
  struct statfs s {};
  return ::statfs(path.c_str(), &s) == 0 && s.f_type == NSFS_MAGIC;
}

Result<void> pin_netns(const std::string& path, const std::string& existing) {
  if (is_netns(path)) return Status(Reason::Conflict, "a namespace is pinned at " + path);
  {
    Fd f(::open(path.c_str(), O_CREAT | O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0444));
    if (!f) return from_errno("create " + path, errno);
  }
  Result<void> r;
  if (!existing.empty()) {
    r = bind_here(existing, path);
  } else {
    r = on_thread([&]() -> Result<void> {
      if (::unshare(CLONE_NEWNET) != 0) return from_errno("make a network namespace", errno);
      return bind_here("/proc/thread-self/ns/net", path);
    });
  }
  if (!r) ::unlink(path.c_str());
  return r;
}

Result<void> unpin_netns(const std::string& path) {
  if (::umount2(path.c_str(), MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT) return from_errno("unmount " + path, errno);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return from_errno("remove " + path, errno);
  return {};
}

Result<void> in_netns(const std::string& path, const std::function<Result<void>()>& fn) {
  return on_thread([&]() -> Result<void> {
    Fd ns(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!ns) return from_errno("open " + path, errno);
    if (::setns(ns.get(), CLONE_NEWNET) != 0) return from_errno("enter " + path, errno);
    return fn();
  });
}

}  // namespace onebin::network
