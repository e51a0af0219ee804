#include <onebin/base/file.hpp>

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

namespace onebin {
namespace {

Result<void> write_all(int fd, std::string_view data, const std::string& path) {
  while (!data.empty()) {
    auto n = ::write(fd, data.data(), data.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return from_errno("write " + path, errno);
    }
    data.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<void> remove_at(int dir, const char* name, const std::string& path, dev_t device) {
  struct stat st;
  if (::fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
    if (errno == ENOENT) return {};
    return from_errno("stat " + path, errno);
  }
  if (!S_ISDIR(st.st_mode)) {
    if (::unlinkat(dir, name, 0) < 0 && errno != ENOENT) return from_errno("unlink " + path, errno);
    return {};
  }
  if (device && st.st_dev != device) return internal_error("remove " + path + ": a file system is mounted there");
  {
    Fd sub(::openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!sub) return from_errno("open " + path, errno);
    DIR* d = ::fdopendir(::dup(sub.get()));
    if (!d) return from_errno("read " + path, errno);
    std::vector<std::string> names;
    while (dirent* e = ::readdir(d)) {
      std::string_view n = e->d_name;
      if (n != "." && n != "..") names.emplace_back(n);
    }
    ::closedir(d);
    for (const auto& n : names) RETURN_IF_ERROR(remove_at(sub.get(), n.c_str(), path + "/" + n, st.st_dev));
  }
  if (::unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT) return from_errno("rmdir " + path, errno);
  return {};
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT) return Status(Reason::NotFound, path + ": no such file");
    return from_errno("open " + path, errno);
  }
  std::string out;
  char buffer[16384];
  for (;;) {
    auto n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0) {
      if (errno == EINTR) continue;
      return from_errno("read " + path, errno);
    }
    if (n == 0) return out;
    if (out.size() + static_cast<std::size_t>(n) > limit) return Status(Reason::RequestEntityTooLarge, path + ": larger than " + std::to_string(limit) + " bytes");
    out.append(buffer, static_cast<std::size_t>(n));
  }
}

Result<void> write_file(const std::string& path, std::string_view data, int mode) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (!fd) return from_errno("open " + path, errno);
  return write_all(fd.get(), data, path);
}

Result<void> write_file_atomic(const std::string& path, std::string_view data, int mode) {
  std::string temp = path + ".XXXXXX";
  Fd fd(::mkostemp(temp.data(), O_CLOEXEC));
  if (!fd) return from_errno("create " + temp, errno);
  auto fail = [&](Status s) {
    ::unlink(temp.c_str());
    return s;
  };
  if (auto r = write_all(fd.get(), data, temp); !r) return fail(r.status());
  if (::fchmod(fd.get(), static_cast<mode_t>(mode)) < 0 || ::fsync(fd.get()) < 0) return fail(from_errno("sync " + temp, errno));
  if (::rename(temp.c_str(), path.c_str()) < 0) return fail(from_errno("rename " + path, errno));
  auto slash = path.rfind('/');
  Fd dir(::open(slash == std::string::npos ? "." : path.substr(0, slash + 1).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir) ::fsync(dir.get());
  return {};
}

Result<void> make_dirs(const std::string& path, int mode) {
  for (std::size_t at = 1; at <= path.size(); ++at) {
    if (at < path.size() && path[at] != '/') continue;
    auto part = path.substr(0, at);
    if (::mkdir(part.c_str(), static_cast<mode_t>(mode)) < 0 && errno != EEXIST) return from_errno("mkdir " + part, errno);
  }
  struct stat st;
  if (::stat(path.c_str(), &st) < 0) return from_errno("mkdir " + path, errno);
  if (!S_ISDIR(st.st_mode)) return internal_error("mkdir " + path + ": a file is in the way");
  return {};
}

Result<void> remove_all(const std::string& path) {
  struct stat st;
  if (::lstat(path.c_str(), &st) < 0) return errno == ENOENT ? Result<void>() : Result<void>(from_errno("stat " + path, errno));
  auto slash = path.find_last_of('/');
  struct stat parent;
  std::string dir = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  if (::stat(dir.c_str(), &parent) < 0) return from_errno("stat " + dir, errno);
  return remove_at(AT_FDCWD, path.c_str(), path, S_ISDIR(st.st_mode) ? parent.st_dev : 0);
}

bool path_exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Result<std::vector<std::string>> list_dir(const std::string& path) {
  DIR* d = ::opendir(path.c_str());
  if (!d) {
    if (errno == ENOENT) return Status(Reason::NotFound, path + ": no such directory");
    return from_errno("read " + path, errno);
  }
  std::vector<std::string> names;
  while (dirent* e = ::readdir(d)) {
    std::string_view n = e->d_name;
    if (n != "." && n != "..") names.emplace_back(n);
  }
  ::closedir(d);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace onebin
