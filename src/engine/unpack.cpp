#include "engine/unpack.hpp"

#include "engine/at_root.hpp"
#include "engine/tar.hpp"

#include <onebin/base/bytes.hpp>

#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unordered_set>
#include <utility>

namespace onebin::engine {
namespace {

constexpr std::string_view whiteout_prefix = ".wh.";
constexpr std::string_view opaque_name = ".wh..wh..opq";

std::pair<std::string, std::string> split_path(const std::string& path) {
  auto slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

// What an image may set: file capabilities and user attributes. The overlay's own would change what lower layers show.
bool xattr_allowed(std::string_view name) {
  if (starts_with(name, "user.overlay.")) return false;
  return name == "security.capability" || starts_with(name, "user.");
}

class Unpacker {
 public:
  Unpacker(Source& tar, Fd root, const UnpackLimits& limits) : tar_(tar), reader_(tar), root_(std::move(root)), limits_(limits) {}

  Result<UnpackStats> run() {
    TarEntry entry;
    for (;;) {
      ASSIGN_OR_RETURN(bool more, reader_.next(entry));
      if (!more) break;
      if (++stats_.entries > limits_.entries) return bad_request("layer: too many entries");
      auto r = apply(entry);
      if (!r) return r.status().with_context("layer entry \"" + entry.path + "\"");
    }
    set_directory_times();
    RETURN_IF_ERROR(drain(tar_));
    return stats_;
  }

 private:
  Result<void> apply(const TarEntry& entry) {
    if (leaves_root(entry.path)) return bad_request("the path leads out of the image");
    std::string path = clean_path(entry.path);
    if (path.empty()) {  // the root folder itself: "./"
      if (entry.type != TarEntry::Type::Directory) return {};
      Fd self(::openat(root_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (!self) return from_errno("open", errno);
      return directory_metadata(self.get(), entry, path);
    }
    auto [folder, name] = split_path(path);
    if (name.size() > 255) return bad_request("the name is too long");
    ASSIGN_OR_RETURN(int dir, parent(folder));
    if (name == opaque_name) return make_opaque(dir, folder);
    if (starts_with(name, whiteout_prefix)) {
      std::string hidden = name.substr(whiteout_prefix.size());
      if (hidden.empty() || hidden == "." || hidden == "..") return bad_request("bad whiteout");
      if (ours_.count(folder.empty() ? hidden : folder + "/" + hidden)) return {};
      forget_parent();
      return remove_tree_at(dir, hidden);
    }
    // After a link in the middle the same file may have two names here; that only matters for whiteouts of this layer's own.
    ours_.insert(path);
    return create(entry, dir, name, path);
  }

  // The descriptor of a folder, made with its parents when missing. Stays valid until the next call.
  Result<int> parent(const std::string& folder) {
    if (parent_ && parent_path_ == folder) return parent_.get();
    forget_parent();
    ASSIGN_OR_RETURN(parent_, make_dirs_in_root(root_.get(), folder));
    parent_path_ = folder;
    return parent_.get();
  }
  void forget_parent() {
    if (!parent_path_.empty()) parent_path_ = "\1";  // no cleaned path is this; keeps the descriptor open for the caller
  }

  Result<void> make_opaque(int dir, const std::string& folder) {
    ASSIGN_OR_RETURN(std::vector<std::string> names, names_at(dir));
    for (const auto& n : names) {
      if (ours_.count(folder.empty() ? n : folder + "/" + n)) continue;
      RETURN_IF_ERROR(remove_tree_at(dir, n));
    }
    return {};
  }

  Result<void> create(const TarEntry& e, int dir, const std::string& name, const std::string& path) {
    struct stat st;
    if (::fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
      bool keep = S_ISDIR(st.st_mode) && e.type == TarEntry::Type::Directory;
      if (!keep) {
        // A hard link to itself would lose the file.
        if (e.type == TarEntry::Type::Hardlink && clean_path(e.link) == path) return {};
        RETURN_IF_ERROR(remove_tree_at(dir, name));
      }
    } else if (errno != ENOENT) {
      return from_errno("stat", errno);
    }
    Result<void> r;
    switch (e.type) {
      case TarEntry::Type::File: r = file(e, dir, name); break;
      case TarEntry::Type::Directory: r = directory(e, dir, name, path); break;
      case TarEntry::Type::Hardlink: r = hardlink(e, dir, name); break;
      case TarEntry::Type::Symlink:
        if (e.link.empty() || e.link.size() > 4095) return bad_request("bad link target");
        if (::symlinkat(e.link.c_str(), dir, name.c_str()) < 0) return from_errno("symlink", errno);
        r = node_metadata(e, dir, name);
        break;
      case TarEntry::Type::CharDevice:
      case TarEntry::Type::BlockDevice:
      case TarEntry::Type::Fifo: r = special(e, dir, name); break;
      case TarEntry::Type::Other: return {};  // extensions that carry no file
    }
    if (e.type != TarEntry::Type::File) forget_parent();  // a folder on the way may be another now
    return r;
  }

  Result<void> file(const TarEntry& e, int dir, const std::string& name) {
    Fd out(::openat(dir, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!out) return from_errno("create", errno);
    stats_.bytes += e.size;
    if (stats_.bytes > limits_.bytes) return bad_request("layer: too large");
    static thread_local char buffer[65536];
    for (;;) {
      ASSIGN_OR_RETURN(std::size_t n, reader_.read(buffer, sizeof buffer));
      if (n == 0) break;
      for (std::size_t at = 0; at < n;) {
        ssize_t w = ::write(out.get(), buffer + at, n - at);
        if (w < 0 && errno != EINTR) return from_errno("write", errno);
        if (w > 0) at += static_cast<std::size_t>(w);
      }
    }
    return metadata(out.get(), e);
  }

  // Owner before mode: a change of owner clears set-user-id; attributes after both, as it clears capabilities too.
  Result<void> metadata(int fd, const TarEntry& e) {
    if (::fchown(fd, e.uid, e.gid) < 0) return from_errno("chown", errno);
    if (::fchmod(fd, e.mode) < 0) return from_errno("chmod", errno);
    for (const auto& [k, v] : e.xattrs) {
      if (!xattr_allowed(k)) continue;
      if (::fsetxattr(fd, k.c_str(), v.data(), v.size(), 0) < 0 && errno != ENOTSUP && errno != EPERM) return from_errno("set " + k, errno);
    }
    timespec t[2] = {{e.mtime, static_cast<long>(e.mtime_ns)}, {e.mtime, static_cast<long>(e.mtime_ns)}};
    ::futimens(fd, t);
    return {};
  }

  Result<void> node_metadata(const TarEntry& e, int dir, const std::string& name) {
    if (::fchownat(dir, name.c_str(), e.uid, e.gid, AT_SYMLINK_NOFOLLOW) < 0) return from_errno("chown", errno);
    if (e.type != TarEntry::Type::Symlink && ::fchmodat(dir, name.c_str(), e.mode, 0) < 0) return from_errno("chmod", errno);
    timespec t[2] = {{e.mtime, static_cast<long>(e.mtime_ns)}, {e.mtime, static_cast<long>(e.mtime_ns)}};
    ::utimensat(dir, name.c_str(), t, AT_SYMLINK_NOFOLLOW);
    return {};
  }

  Result<void> directory_metadata(int fd, const TarEntry& e, const std::string& path) {
    times_.emplace_back(path, std::pair(e.mtime, e.mtime_ns));
    return metadata(fd, e);
  }

  Result<void> directory(const TarEntry& e, int dir, const std::string& name, const std::string& path) {
    if (::mkdirat(dir, name.c_str(), 0700) < 0 && errno != EEXIST) return from_errno("mkdir", errno);
    Fd self(::openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!self) return from_errno("open", errno);
    return directory_metadata(self.get(), e, path);
  }

  Result<void> hardlink(const TarEntry& e, int dir, const std::string& name) {
    std::string target = clean_path(e.link);
    if (target.empty()) return bad_request("bad link target");
    if (leaves_root(e.link)) return bad_request("the link to \"" + e.link + "\" leads out of the image");
    auto [folder, base] = split_path(target);
    ASSIGN_OR_RETURN(Fd from, open_in_root(root_.get(), folder, O_PATH | O_DIRECTORY));
    if (::linkat(from.get(), base.c_str(), dir, name.c_str(), 0) < 0) return from_errno("link to " + target, errno);
    return {};
  }

  Result<void> special(const TarEntry& e, int dir, const std::string& name) {
    mode_t type = e.type == TarEntry::Type::Fifo ? S_IFIFO : e.type == TarEntry::Type::CharDevice ? S_IFCHR : S_IFBLK;
    // Device 0:0 is the overlay's whiteout: not an image's to make.
    if (type == S_IFCHR && e.major == 0 && e.minor == 0) return bad_request("device 0:0");
    if (::mknodat(dir, name.c_str(), type | 0600, ::makedev(e.major, e.minor)) < 0) return from_errno("mknod", errno);
    return node_metadata(e, dir, name);
  }

  // Last, as every file made in a folder changes its time. Deepest first does not matter: setting changes no parent.
  void set_directory_times() {
    for (const auto& [path, when] : times_) {
      auto fd = open_in_root(root_.get(), path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (!fd) continue;
      timespec t[2] = {{when.first, static_cast<long>(when.second)}, {when.first, static_cast<long>(when.second)}};
      ::futimens(fd->get(), t);
    }
  }

  Source& tar_;
  TarReader reader_;
  Fd root_;
  const UnpackLimits& limits_;
  UnpackStats stats_;
  Fd parent_;
  std::string parent_path_ = "\1";
  std::unordered_set<std::string> ours_;
  std::vector<std::pair<std::string, std::pair<std::int64_t, std::uint32_t>>> times_;
};

}  // namespace

std::string clean_path(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    auto slash = path.find('/');
    auto part = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else {
      parts.push_back(part);
    }
  }
  std::string out;
  for (auto p : parts) {
    if (!out.empty()) out += '/';
    out += p;
  }
  return out;
}

bool leaves_root(std::string_view path) {
  int depth = 0;
  for (const auto& part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    depth += part == ".." ? -1 : 1;
    if (depth < 0) return true;
  }
  return false;
}

Result<UnpackStats> unpack_layer(Source& tar, const std::string& root, const UnpackLimits& limits) {
  Fd fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return from_errno("open " + root, errno);
  return Unpacker(tar, std::move(fd), limits).run();
}

}  // namespace onebin::engine
