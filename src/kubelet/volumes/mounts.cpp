#include "kubelet/volumes/mounts.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <vector>

namespace onebin::kubelet {
namespace {

constexpr long kTmpfsMagic = 0x01021994;

std::string unescape_mount_path(const std::string& s) {  // \040 and the like
  std::string out;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] == '\\' && i + 3 < s.size()) {
      out += static_cast<char>((s[i + 1] - '0') * 64 + (s[i + 2] - '0') * 8 + (s[i + 3] - '0'));
      i += 3;
    } else {
      out += s[i];
    }
  }
  return out;
}

class SystemMounts final : public Mounts {
 public:
  Result<void> tmpfs(const std::string& path, std::uint64_t size, int mode) override {
    struct statfs fs {};
    if (::statfs(path.c_str(), &fs) == 0 && fs.f_type == kTmpfsMagic && is_mount_point(path)) return {};
    char text[64];
    std::snprintf(text, sizeof text, "mode=%04o", static_cast<unsigned>(mode));
    std::string options = text;
    if (size) options += ",size=" + std::to_string(size);
    if (::mount("tmpfs", path.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0) return from_errno("mount tmpfs at " + path, errno);
    return {};
  }
  Result<void> bind(const std::string& source, const std::string& target) override {
    if (::mount(source.c_str(), target.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0) return from_errno("bind mount at " + target, errno);
    return {};
  }
  Result<void> unmount_below(const std::string& path) override {
    Result<std::string> info = read_file("/proc/self/mountinfo");
    if (!info) return info.status();
    std::vector<std::string> points;
    for (const auto& line : split(*info, '\n')) {
      auto words = split(line, ' ');
      if (words.size() < 5) continue;
      std::string point = unescape_mount_path(words[4]);
      if (point == path || point.starts_with(path + "/")) points.push_back(std::move(point));
    }
    Status first;
    for (auto i = points.rbegin(); i != points.rend(); ++i) {
      if (::umount2(i->c_str(), UMOUNT_NOFOLLOW) == 0 || errno == EINVAL || errno == ENOENT) continue;
      if (::umount2(i->c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) != 0 && first) first = from_errno("unmount " + *i, errno);
    }
    return first;
  }

 private:
  static bool is_mount_point(const std::string& path) {
    struct stat a {}, b {};
    return ::stat(path.c_str(), &a) == 0 && ::stat((path + "/..").c_str(), &b) == 0 && a.st_dev != b.st_dev;
  }
};

Fd open_beneath(int root, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return Fd(static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)));
}

// Makes the missing folders of `path` below `root`, one component at a time.
Result<void> make_beneath(int root, const std::string& path, mode_t mode) {
  std::string done;
  for (const auto& part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return bad_request("a sub path must not contain '..'");
    std::string next = done.empty() ? part : done + "/" + part;
    if (Fd there = open_beneath(root, next, O_PATH); !there) {
      if (errno != ENOENT) return from_errno("open of sub path", errno);
      Fd parent = open_beneath(root, done.empty() ? "." : done, O_PATH | O_DIRECTORY);
      if (!parent) return from_errno("open of sub path", errno);
      if (::mkdirat(parent.get(), part.c_str(), mode) != 0 && errno != EEXIST) return from_errno("mkdir of sub path", errno);
      if (::fchmodat(parent.get(), part.c_str(), mode & 07777, 0) != 0) return from_errno("chmod of sub path", errno);
    }
    done = next;
  }
  return {};
}

}  // namespace

Mounts& system_mounts() {
  static SystemMounts mounts;
  return mounts;
}

Result<void> pin_sub_path(Mounts& mounts, const std::string& volume, const std::string& sub_path, const std::string& target) {
  if (sub_path.starts_with("/")) return bad_request("error SubPath `" + sub_path + "` must not be an absolute path");
  struct stat st {};
  if (::stat(volume.c_str(), &st) != 0) return from_errno("stat of the volume", errno);
  Fd root(::open(volume.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return from_errno("open of the volume", errno);
  Fd there = open_beneath(root.get(), sub_path, O_PATH);
  if (!there && errno == ENOENT) {
    RETURN_IF_ERROR(make_beneath(root.get(), sub_path, st.st_mode & 07777));
    there = open_beneath(root.get(), sub_path, O_PATH);
  }
  if (!there) return from_errno("the sub path leads out of the volume or cannot be opened", errno);
  struct stat found {};
  if (::fstat(there.get(), &found) != 0) return from_errno("stat of the sub path", errno);
  auto slash = target.rfind('/');
  RETURN_IF_ERROR(make_dirs(target.substr(0, slash), 0750));
  RETURN_IF_ERROR(mounts.unmount_below(target));
  if (S_ISDIR(found.st_mode)) {
    RETURN_IF_ERROR(make_dirs(target, 0750));
  } else if (!path_exists(target)) {
    RETURN_IF_ERROR(write_file(target, "", 0640));
  }
  return mounts.bind("/proc/self/fd/" + std::to_string(there.get()), target);
}

}  // namespace onebin::kubelet
