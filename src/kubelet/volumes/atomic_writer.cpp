#include "kubelet/volumes/atomic_writer.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

namespace onebin::kubelet {
namespace {

namespace fs = std::filesystem;

Result<void> check_path(const std::string& path) {
  if (path.empty() || path.front() == '/') return bad_request("invalid path: must be relative path: " + path);
  if (path.starts_with("..")) return bad_request("invalid path: must not start with '..': " + path);
  for (const auto& part : split(path, '/'))
    if (part == "..") return bad_request("invalid path: must not contain '..': " + path);
  return {};
}

std::string first_component(const std::string& path) { return path.substr(0, path.find('/')); }

Result<void> own(const std::string& path, std::optional<std::int64_t> owner, std::optional<std::int64_t> group, int mode) {
  if (owner || group) {
    if (::lchown(path.c_str(), owner ? static_cast<uid_t>(*owner) : static_cast<uid_t>(-1), group ? static_cast<gid_t>(*group) : static_cast<gid_t>(-1)) != 0)
      return from_errno("chown of " + path, errno);
  }
  if (::chmod(path.c_str(), static_cast<mode_t>(mode)) != 0) return from_errno("chmod of " + path, errno);
  return {};
}

Result<void> write_tree(const std::string& root, const Payload& payload, std::optional<std::int64_t> fs_group) {
  const int folder_mode = fs_group ? 02755 | 0050 : 0755;
  if (::mkdir(root.c_str(), 0755) != 0) return from_errno("mkdir " + root, errno);
  RETURN_IF_ERROR(own(root, {}, fs_group, folder_mode));
  for (const auto& [path, file] : payload) {
    std::string full = root + "/" + path;
    std::string parent = root;
    auto parts = split(path, '/');
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      parent += "/" + parts[i];
      if (::mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST) return from_errno("mkdir " + parent, errno);
      RETURN_IF_ERROR(own(parent, {}, fs_group, folder_mode));
    }
    RETURN_IF_ERROR(write_file(full, file.data, 0600));
    RETURN_IF_ERROR(own(full, file.owner, fs_group, file.mode | (fs_group ? 0440 : 0)));
  }
  return {};
}

// Whether the present folder holds just this payload.
bool same(const std::string& root, const Payload& payload) {
  std::size_t files = 0;
  std::error_code ec;
  for (fs::recursive_directory_iterator i(root, ec), end; !ec && i != end; i.increment(ec)) {
    if (i->is_directory(ec)) continue;
    ++files;
    auto want = payload.find(fs::path(i->path()).lexically_relative(root).string());
    if (want == payload.end()) return false;
    Result<std::string> have = read_file(i->path().string());
    if (!have || *have != want->second.data) return false;
  }
  return !ec && files == payload.size();
}

}  // namespace

Result<bool> write_atomically(const std::string& folder, const Payload& payload, std::optional<std::int64_t> fs_group, const std::string& fresh_name) {
  for (const auto& [path, file] : payload) RETURN_IF_ERROR(check_path(path));
  std::error_code ec;
  const std::string data = folder + "/..data";
  std::string old_name = fs::read_symlink(data, ec).string();
  if (ec) old_name.clear();
  if (!old_name.empty() && same(folder + "/" + old_name, payload)) return false;

  const std::string fresh = folder + "/" + fresh_name;
  if (Result<void> r = write_tree(fresh, payload, fs_group); !r) {
    (void)remove_all(fresh);
    return r.status();
  }
  std::set<std::string> visible;
  for (const auto& [path, file] : payload) visible.insert(first_component(path));
  for (const auto& name : visible) {
    std::string link = folder + "/" + name;
    if (fs::is_symlink(link, ec)) continue;
    if (::symlink(("..data/" + name).c_str(), link.c_str()) != 0 && errno != EEXIST) return from_errno("symlink " + link, errno);
  }
  const std::string temporary = folder + "/..data_tmp";
  ::unlink(temporary.c_str());
  if (::symlink(fresh_name.c_str(), temporary.c_str()) != 0) return from_errno("symlink " + temporary, errno);
  if (::rename(temporary.c_str(), data.c_str()) != 0) return from_errno("rename " + temporary, errno);

  Result<std::vector<std::string>> names = list_dir(folder);
  if (!names) return names.status();
  for (const auto& name : *names) {
    if (name == "..data" || name == fresh_name || visible.contains(name)) continue;
    std::string path = folder + "/" + name;
    if (name.starts_with("..")) (void)remove_all(path);
    else if (fs::is_symlink(path, ec)) ::unlink(path.c_str());
  }
  return true;
}

}  // namespace onebin::kubelet
