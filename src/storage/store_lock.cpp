#include "storage/store_lock.hpp"

#include <onebin/base/bytes.hpp>

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>

namespace onebin::storage {

Result<StoreLock> StoreLock::take(const std::string& store_path) {
  std::string path = store_path + ".lock";
  StoreLock lock;
  lock.fd_ = Fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.fd_) return from_errno(path, errno);
  if (::flock(lock.fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return from_errno(path, errno);
    char pid[32] = {};
    ssize_t n = ::pread(lock.fd_.get(), pid, sizeof pid - 1, 0);
    std::string holder(trim(std::string_view(pid, n > 0 ? static_cast<std::size_t>(n) : 0)));
    return Status(Reason::ServiceUnavailable, store_path + " is in use by another onebin" +
                                                  (holder.empty() ? "" : " (process " + holder + ")") +
                                                  ": stop it, or name another data folder");
  }
  std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(lock.fd_.get(), 0) != 0 || ::pwrite(lock.fd_.get(), pid.data(), pid.size(), 0) < 0) return from_errno(path, errno);
  return lock;
}

}  // namespace onebin::storage
