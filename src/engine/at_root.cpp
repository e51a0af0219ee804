#include "engine/at_root.hpp"

#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

namespace onebin::engine {

Result<Fd> open_in_root(int root, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  for (int tries = 0;; ++tries) {
    long fd = ::syscall(SYS_openat2, root, path.empty() ? "." : path.c_str(), &how, sizeof how);
    if (fd >= 0) return Fd(static_cast<int>(fd));
    // EAGAIN: a rename somewhere raced with a ".." of a link.
    if ((errno == EAGAIN || errno == EINTR) && tries < 64) continue;
    if (errno == ENOENT) return Status(Reason::NotFound, path + ": no such file");
    return from_errno("open " + path, errno);
  }
}

Result<Fd> make_dirs_in_root(int root, const std::string& path) {
  auto whole = open_in_root(root, path, O_PATH | O_DIRECTORY);
  if (whole || !whole.is(Reason::NotFound)) return whole;
  std::string done;
  Fd at;
  for (std::size_t begin = 0; begin <= path.size();) {
    auto end = path.find('/', begin);
    if (end == std::string::npos) end = path.size();
    std::string part = path.substr(begin, end - begin);
    std::string next = done.empty() ? part : done + "/" + part;
    auto fd = open_in_root(root, next, O_PATH | O_DIRECTORY);
    if (!fd && fd.is(Reason::NotFound)) {
      int parent = at ? at.get() : root;
      if (::mkdirat(parent, part.c_str(), 0755) < 0) return from_errno("mkdir " + next, errno);  // EEXIST: a dangling link
      fd = open_in_root(root, next, O_PATH | O_DIRECTORY);
    }
    if (!fd) return fd.status();
    at = std::move(*fd);
    done = std::move(next);
    begin = end + 1;
  }
  return at;
}

Result<std::vector<std::string>> names_at(int dir) {
  int copy = ::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return from_errno("open", errno);
  DIR* d = ::fdopendir(copy);
  if (!d) {
    ::close(copy);
    return from_errno("read folder", errno);
  }
  std::vector<std::string> names;
  while (dirent* e = ::readdir(d)) {
    if (std::strcmp(e->d_name, ".") != 0 && std::strcmp(e->d_name, "..") != 0) names.emplace_back(e->d_name);
  }
  ::closedir(d);
  return names;
}

Result<void> remove_tree_at(int dir, const std::string& name) {
  if (::unlinkat(dir, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return from_errno("remove " + name, errno);
  if (::unlinkat(dir, name.c_str(), AT_REMOVEDIR) == 0) return {};
  if (errno != ENOTEMPTY && errno != EEXIST) return from_errno("remove " + name, errno);
  Fd sub(::openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!sub) return from_errno("open " + name, errno);
  ASSIGN_OR_RETURN(std::vector<std::string> names, names_at(sub.get()));
  for (const auto& n : names) RETURN_IF_ERROR(remove_tree_at(sub.get(), n));
  if (::unlinkat(dir, name.c_str(), AT_REMOVEDIR) < 0 && errno != ENOENT) return from_errno("remove " + name, errno);
  return {};
}

Result<std::string> read_in_root(const std::string& root, const std::string& path, std::size_t limit) {
  Fd dir(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!dir) return from_errno("open " + root, errno);
  ASSIGN_OR_RETURN(Fd fd, open_in_root(dir.get(), path, O_RDONLY | O_NONBLOCK));
  struct stat st;
  if (::fstat(fd.get(), &st) < 0 || !S_ISREG(st.st_mode)) return bad_request(path + ": not a file");
  std::string out;
  char buffer[8192];
  for (;;) {
    ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0) {
      if (errno == EINTR) continue;
      return from_errno("read " + path, errno);
    }
    if (n == 0) return out;
    if (out.size() + static_cast<std::size_t>(n) > limit) return bad_request(path + ": too large");
    out.append(buffer, static_cast<std::size_t>(n));
  }
}

}  // namespace onebin::engine
