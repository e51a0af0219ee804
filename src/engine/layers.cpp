#include "engine/layers.hpp"

#include "engine/unpack.hpp"

#include <onebin/base/file.hpp>

#include <atomic>
#include <cerrno>
#include <functional>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <thread>

namespace onebin::engine {
namespace {

// Runs fn on a thread of its own, whose working directory (and with `flags` mount namespace) nobody else shares.
Result<void> on_own_thread(int flags, const std::string& directory, const std::function<Result<void>()>& fn) {
  Result<void> result;
  std::thread([&] {
    if (::unshare(flags) < 0) result = from_errno("unshare", errno);
    else if (::chdir(directory.c_str()) < 0) result = from_errno("chdir " + directory, errno);
    else result = fn();
  }).join();
  return result;
}

Result<void> mount_here(const OverlayMount& m) {
  std::string lower;
  for (auto k = m.keys.rbegin(); k != m.keys.rend(); ++k) lower += (lower.empty() ? "" : ":") + *k;
  if (m.keys.empty()) lower = "../empty";
  if (m.upper.empty()) {
    if (m.keys.size() <= 1) {
      if (::mount(lower.c_str(), m.target.c_str(), nullptr, MS_BIND, nullptr) < 0) return from_errno("bind " + lower, errno);
      if (::mount(nullptr, m.target.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) < 0) return from_errno("remount read-only", errno);
      return {};
    }
    std::string options = "lowerdir=" + lower;
    if (::mount("overlay", m.target.c_str(), "overlay", MS_RDONLY, options.c_str()) < 0) return from_errno("mount overlay on " + m.target, errno);
    return {};
  }
  std::string options = "lowerdir=" + lower + ",upperdir=../" + m.upper + ",workdir=../" + m.work;
  // Without these an upper folder is plain: readable as a layer of its own later.
  std::string plain = options + ",redirect_dir=off,metacopy=off,index=off";
  if (::mount("overlay", m.target.c_str(), "overlay", 0, plain.c_str()) == 0) return {};
  if (errno == EINVAL && ::mount("overlay", m.target.c_str(), "overlay", 0, options.c_str()) == 0) return {};
  return from_errno("mount overlay on " + m.target, errno);
}

Result<void> unpack_verified(Source& blob, const std::string& blob_digest, const LayerRecord& layer, const std::string& into,
                             std::uint64_t* size) {
  DigestSource outer(blob);
  auto plain = decompress(outer);
  DigestSource inner(*plain);
  ASSIGN_OR_RETURN(UnpackStats stats, unpack_layer(inner, into));
  RETURN_IF_ERROR(drain(outer));
  if (auto d = inner.digest(); d != layer.diff_id) return bad_request("layer " + layer.diff_id + ": its content is " + d);
  if (auto d = outer.digest(); !blob_digest.empty() && d != blob_digest) return bad_request("blob " + blob_digest + ": its content is " + d);
  *size = stats.bytes;
  return {};
}

std::string size_file(const ImageStore& store, const LayerRecord& l) { return store.layer_path(l.key()) + ".size"; }

}  // namespace

Result<void> mount_overlay(const OverlayMount& mount) {
  return on_own_thread(CLONE_FS, mount.layers_dir, [&] { return mount_here(mount); });
}

Result<void> unmount(const std::string& target) {
  if (::umount2(target.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL || errno == ENOENT) return {};
  return from_errno("unmount " + target, errno);
}

Result<std::uint64_t> store_layer(const ImageStore& store, const std::vector<LayerRecord>& layers, std::size_t index, Source& blob,
                                  const std::string& blob_digest) {
  const LayerRecord& layer = layers[index];
  std::string final_path = store.layer_path(layer.key());
  if (path_exists(final_path)) {
    auto size = read_file(size_file(store, layer));
    return size ? std::strtoull(size->c_str(), nullptr, 10) : 0;
  }
  static std::atomic<unsigned> next{0};
  std::string name = "unpack-" + std::to_string(next++);
  std::string temp = store.temp_dir() + "/" + name;
  for (const char* d : {"/fs", "/work", "/merged"}) RETURN_IF_ERROR(make_dirs(temp + d, 0755));
  std::uint64_t size = 0;
  Result<void> done;
  if (index == 0) {
    done = unpack_verified(blob, blob_digest, layer, temp + "/fs", &size);
  } else {
    OverlayMount m{store.layers_dir(), {}, "tmp/" + name + "/fs", "tmp/" + name + "/work", temp + "/merged"};
    for (std::size_t i = 0; i < index; ++i) m.keys.push_back(layers[i].key());
    // In a mount namespace that ends with its thread: even kill -9 leaves no mount behind.
    done = on_own_thread(CLONE_NEWNS, store.layers_dir(), [&]() -> Result<void> {
      if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return from_errno("make mounts private", errno);
      RETURN_IF_ERROR(mount_here(m));
      return unpack_verified(blob, blob_digest, layer, m.target, &size);
    });
  }
  if (done) done = write_file(size_file(store, layer), std::to_string(size), 0600);
  if (done && ::rename((temp + "/fs").c_str(), final_path.c_str()) < 0) done = from_errno("rename to " + final_path, errno);
  (void)remove_all(temp);
  if (!done) return done.status();
  return size;
}

}  // namespace onebin::engine
