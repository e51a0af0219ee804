// Files: whole reads, atomic writes, owned descriptors. Blocking calls; large ones belong in the blocking pool.
#pragma once
#include <onebin/base/result.hpp>

#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace onebin {

class Fd {  // owns a descriptor
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& o) noexcept : fd_(o.release()) {}
  Fd& operator=(Fd&& o) noexcept { if (this != &o) { reset(o.release()); } return *this; }
  ~Fd() { reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { int f = fd_; fd_ = -1; return f; }
  void reset(int fd = -1) { if (fd_ >= 0) ::close(fd_); fd_ = fd; }

 private:
  int fd_ = -1;
};

Result<std::string> read_file(const std::string& path, std::size_t limit = 64u << 20);
Result<void> write_file(const std::string& path, std::string_view data, int mode = 0644);         // truncates
Result<void> write_file_atomic(const std::string& path, std::string_view data, int mode = 0644);  // temp, fsync, rename
Result<void> make_dirs(const std::string& path, int mode = 0755);
Result<void> remove_all(const std::string& path);  // never crosses a mount point, never follows a link
bool path_exists(const std::string& path);
Result<std::vector<std::string>> list_dir(const std::string& path);  // names, sorted, without . and ..

}  // namespace onebin
