#include "engine/bundle.hpp"

#include "engine/at_root.hpp"
#include "engine/layers.hpp"
#include "engine/process.hpp"
#include "engine/spec.hpp"
#include "engine/unpack.hpp"

#include <onebin/base/file.hpp>

#include <nlohmann/json.hpp>

#include <fcntl.h>

namespace onebin::engine {
namespace {

Result<void> mount_root(const BundleInputs& in, const std::string& rootfs) {
  RETURN_IF_ERROR(make_dirs(in.disk + "/fs", 0755));
  RETURN_IF_ERROR(make_dirs(in.disk + "/work", 0700));
  std::string relative = "containers/" + in.record.id;
  return mount_overlay({in.layers_dir, in.record.layer_keys, relative + "/fs", relative + "/work", rootfs});
}

// An image as a volume: read-only, at folder/image-N; a sub path may not lead out of it.
Result<std::string> mount_image(const BundleInputs& in, const ImageVolume& v, ContainerRecord& record) {
  std::string name = "image-" + std::to_string(v.mount_index), at = in.folder + "/" + name;
  RETURN_IF_ERROR(make_dirs(at, 0755));
  RETURN_IF_ERROR(mount_overlay({in.layers_dir, v.layer_keys, "", "", at}));
  record.mount_points.push_back(name);
  std::string sub = clean_path(in.config.mounts[v.mount_index].image_sub_path);
  if (sub.empty()) return at;
  Fd root(::open(at.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  ASSIGN_OR_RETURN(Fd inside, open_in_root(root.get(), sub, O_PATH));
  char resolved[4096];
  ssize_t n = ::readlink(("/proc/self/fd/" + std::to_string(inside.get())).c_str(), resolved, sizeof resolved);
  if (n <= 0) return from_errno("resolve " + sub, errno);
  return std::string(resolved, static_cast<std::size_t>(n));
}

Result<ContainerRecord> fill_bundle(BundleInputs& in, ContainerRecord& record) {
  std::string rootfs = in.plain_rootfs.empty() ? in.folder + "/rootfs" : in.plain_rootfs;
  if (in.plain_rootfs.empty()) {
    RETURN_IF_ERROR(make_dirs(rootfs, 0755));
    RETURN_IF_ERROR(mount_root(in, rootfs));
  }
  SpecInputs spec{in.config, in.image, in.sandbox, in.host};
  spec.cgroup_v2 = in.cgroup_v2;
  spec.rootfs = rootfs;
  spec.cgroup_path = record.cgroup_path;
  spec.net_ns = in.sandbox.netns_path;
  if (in.sandbox.ipc == NamespaceMode::Pod) {
    spec.ipc_ns = in.sandbox_folder + "/ipc";
    spec.shm_path = in.sandbox_folder + "/shm";
  } else {
    spec.shm_path = "/dev/shm";
  }
  if (!in.sandbox.netns_path.empty()) spec.uts_ns = in.sandbox_folder + "/uts";
  spec.pid_ns = in.pid_ns;
  if (in.plain_rootfs.empty()) {
    if (!in.sandbox.netns_path.empty()) spec.hostname_path = in.sandbox_folder + "/hostname";
    if (in.sandbox.resolv_conf) spec.resolv_conf_path = in.sandbox_folder + "/resolv.conf";
  }
  ASSIGN_OR_RETURN(spec.user, resolve_user(in.config, in.image.user, rootfs));
  record.uid = spec.user.uid;
  record.gid = spec.user.gid;
  record.groups = spec.user.groups;
  spec.mounts = in.config.mounts;
  for (const auto& v : in.image_volumes) {
    ASSIGN_OR_RETURN(spec.mounts[v.mount_index].host_path, mount_image(in, v, record));
    spec.mounts[v.mount_index].readonly = true;
  }
  if (in.config.privileged) spec.host_devices = list_host_devices();
  ASSIGN_OR_RETURN(nlohmann::json json, make_spec(spec));
  RETURN_IF_ERROR(write_file(in.folder + "/config.json", json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), 0600));
  RETURN_IF_ERROR(replace_file(in.folder + "/container.json", to_json(record)));
  return record;
}

}  // namespace

void remove_bundle(const std::string& folder, const std::string& disk, const std::vector<std::string>& mount_points) {
  for (const auto& m : mount_points) (void)unmount(folder + "/" + m);
  (void)unmount(folder + "/rootfs");
  (void)remove_all(folder);
  if (!disk.empty()) (void)remove_all(disk);
}

Result<ContainerRecord> make_bundle(BundleInputs in) {
  RETURN_IF_ERROR(make_dirs(in.folder, 0700));
  ContainerRecord record = in.record;
  auto made = fill_bundle(in, record);
  if (!made) remove_bundle(in.folder, in.disk, record.mount_points);
  return made;
}

}  // namespace onebin::engine
