#include "engine/export.hpp"

#include "engine/digest.hpp"
#include "engine/tar.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

namespace onebin::engine {
namespace {

using nlohmann::json;

// Packs an overlay's upper folder as a layer: whiteout devices become ".wh.NAME" files, opaque folders hold ".wh..wh..opq".
class LayerPacker {
 public:
  explicit LayerPacker(TarWriter& tar) : tar_(tar) {}

  Result<void> folder(const std::string& path, const std::string& name) {
    ASSIGN_OR_RETURN(std::vector<std::string> names, list_dir(path));
    for (const auto& n : names) {
      std::string inner = name.empty() ? n : name + "/" + n;
      RETURN_IF_ERROR(entry(path + "/" + n, inner));
    }
    return {};
  }

 private:
  Result<void> entry(const std::string& path, const std::string& name) {
    struct stat st;
    if (::lstat(path.c_str(), &st) < 0) return from_errno("stat " + path, errno);
    TarEntry e;
    e.path = name;
    e.mode = st.st_mode & 07777;
    e.uid = st.st_uid;
    e.gid = st.st_gid;
    e.mtime = st.st_mtim.tv_sec;
    if (S_ISCHR(st.st_mode) && st.st_rdev == 0) return whiteout(name);
    if (!S_ISDIR(st.st_mode) && st.st_nlink > 1) {
      auto [first, is_new] = links_.emplace(std::pair(st.st_dev, st.st_ino), name);
      if (!is_new) {
        e.type = TarEntry::Type::Hardlink;
        e.link = first->second;
        return tar_.add(e);
      }
    }
    read_xattrs(path, e);
    switch (st.st_mode & S_IFMT) {
      case S_IFREG: return file(path, static_cast<std::uint64_t>(st.st_size), e);
      case S_IFDIR: return directory(path, name, e);
      case S_IFLNK: {
        std::string target(4096, '\0');
        ssize_t n = ::readlink(path.c_str(), target.data(), target.size());
        if (n < 0) return from_errno("read link " + path, errno);
        target.resize(static_cast<std::size_t>(n));
        e.type = TarEntry::Type::Symlink;
        e.link = target;
        return tar_.add(e);
      }
      case S_IFIFO: e.type = TarEntry::Type::Fifo; return tar_.add(e);
      case S_IFCHR:
      case S_IFBLK:
        e.type = S_ISCHR(st.st_mode) ? TarEntry::Type::CharDevice : TarEntry::Type::BlockDevice;
        e.major = gnu_dev_major(st.st_rdev);
        e.minor = gnu_dev_minor(st.st_rdev);
        return tar_.add(e);
      default: return {};  // sockets
    }
  }

  Result<void> whiteout(const std::string& name) {
    auto slash = name.rfind('/');
    std::string hidden = slash == std::string::npos ? ".wh." + name : name.substr(0, slash + 1) + ".wh." + name.substr(slash + 1);
    return tar_.add_file(hidden, "");
  }

  Result<void> directory(const std::string& path, const std::string& name, TarEntry& e) {
    e.type = TarEntry::Type::Directory;
    e.path += "/";
    RETURN_IF_ERROR(tar_.add(e));
    char value = 0;
    if (::lgetxattr(path.c_str(), "trusted.overlay.opaque", &value, 1) == 1 && value == 'y') RETURN_IF_ERROR(tar_.add_file(name + "/.wh..wh..opq", ""));
    return folder(path, name);
  }

  Result<void> file(const std::string& path, std::uint64_t size, TarEntry& e) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return from_errno("open " + path, errno);
    e.size = size;
    RETURN_IF_ERROR(tar_.add(e));
    char buffer[65536];
    std::uint64_t done = 0;
    for (;;) {
      ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return from_errno("read " + path, errno);
      if (n == 0) break;
      done += static_cast<std::uint64_t>(n);
      RETURN_IF_ERROR(tar_.write(std::string_view(buffer, static_cast<std::size_t>(n))));
    }
    if (done != size) return internal_error(path + " changed while it was read");
    return tar_.end_entry();
  }

  void read_xattrs(const std::string& path, TarEntry& e) {
    char names[4096];
    ssize_t n = ::llistxattr(path.c_str(), names, sizeof names);
    for (ssize_t at = 0; n > 0 && at < n;) {
      std::string name = names + at;
      at += static_cast<ssize_t>(name.size()) + 1;
      if (name != "security.capability" && !starts_with(name, "user.")) continue;
      char value[65536];
      ssize_t v = ::lgetxattr(path.c_str(), name.c_str(), value, sizeof value);
      if (v >= 0) e.xattrs.emplace_back(name, std::string(value, static_cast<std::size_t>(v)));
    }
  }

  TarWriter& tar_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
};

struct Blob {
  std::string digest;
  std::uint64_t size = 0;
};

class Exporter {
 public:
  Exporter(const ImageStore& store, int out) : store_(store), out_(out), archive_([this](std::string_view d) { return put(d); }) {}

  Result<void> add(const ExportImage& image) {
    ASSIGN_OR_RETURN(std::string text, read_file(image.config_path));
    json config = json::parse(text, nullptr, false);
    if (!config.is_object()) return internal_error("unreadable image config");
    json layers = json::array(), paths = json::array(), diff_ids = json::array();
    for (const auto& l : image.record.layers) {
      ASSIGN_OR_RETURN(Blob b, layer(l));
      layers.push_back({{"mediaType", "application/vnd.oci.image.layer.v1.tar"}, {"digest", b.digest}, {"size", b.size}});
      paths.push_back("blobs/sha256/" + digest_hex(b.digest));
      diff_ids.push_back(b.digest);
    }
    config["rootfs"]["diff_ids"] = diff_ids;
    ASSIGN_OR_RETURN(Blob c, blob(config.dump()));
    json manifest = {{"schemaVersion", 2},
                     {"mediaType", "application/vnd.oci.image.manifest.v1+json"},
                     {"config", {{"mediaType", "application/vnd.oci.image.config.v1+json"}, {"digest", c.digest}, {"size", c.size}}},
                     {"layers", layers}};
    ASSIGN_OR_RETURN(Blob m, blob(manifest.dump()));
    json descriptor = {{"mediaType", "application/vnd.oci.image.manifest.v1+json"},
                       {"digest", m.digest},
                       {"size", m.size},
                       {"platform", {{"os", image.record.info.os}, {"architecture", image.record.info.architecture}}}};
    if (image.tags.empty()) index_.push_back(descriptor);
    for (const auto& t : image.tags) {
      json named = descriptor;
      named["annotations"] = {{"io.containerd.image.name", t}, {"org.opencontainers.image.ref.name", t.substr(t.rfind(':') + 1)}};
      index_.push_back(std::move(named));
    }
    docker_.push_back({{"Config", "blobs/sha256/" + digest_hex(c.digest)}, {"RepoTags", image.tags}, {"Layers", paths}});
    return {};
  }

  Result<void> finish() {
    RETURN_IF_ERROR(archive_.add_file("oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
    json index = {{"schemaVersion", 2}, {"mediaType", "application/vnd.oci.image.index.v1+json"}, {"manifests", index_}};
    RETURN_IF_ERROR(archive_.add_file("index.json", index.dump()));
    RETURN_IF_ERROR(archive_.add_file("manifest.json", docker_.dump()));
    return archive_.finish();
  }

 private:
  Result<void> put(std::string_view data) {
    while (!data.empty()) {
      ssize_t n = ::write(out_, data.data(), data.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return from_errno("write", errno);
      data.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
  }

  Result<Blob> blob(const std::string& data) {
    Blob b{digest_of(data), data.size()};
    if (written_.emplace(b.digest, true).second) RETURN_IF_ERROR(archive_.add_file("blobs/sha256/" + digest_hex(b.digest), data));
    return b;
  }

  // To a file of its own first: its digest is its name.
  Result<Blob> layer(const LayerRecord& l) {
    if (auto known = layers_.find(l.chain_id); known != layers_.end()) return known->second;
    Fd temp(::open(store_.temp_dir().c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
    if (!temp) return from_errno("make a file in " + store_.temp_dir(), errno);
    Sha256 sha;
    Blob b;
    int fd = temp.get();
    TarWriter tar([&](std::string_view d) -> Result<void> {
      sha.update(d.data(), d.size());
      b.size += d.size();
      while (!d.empty()) {
        ssize_t n = ::write(fd, d.data(), d.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return from_errno("write", errno);
        d.remove_prefix(static_cast<std::size_t>(n));
      }
      return {};
    });
    RETURN_IF_ERROR(LayerPacker(tar).folder(store_.layer_path(l.key()), ""));
    RETURN_IF_ERROR(tar.finish());
    b.digest = sha.digest();
    layers_[l.chain_id] = b;
    if (!written_.emplace(b.digest, true).second) return b;
    TarEntry e;
    e.path = "blobs/sha256/" + digest_hex(b.digest);
    e.mode = 0644;
    e.size = b.size;
    RETURN_IF_ERROR(archive_.add(e));
    FileSource source(fd, 0, b.size);
    char buffer[65536];
    for (;;) {
      ASSIGN_OR_RETURN(std::size_t n, source.read(buffer, sizeof buffer));
      if (n == 0) break;
      RETURN_IF_ERROR(archive_.write(std::string_view(buffer, n)));
    }
    RETURN_IF_ERROR(archive_.end_entry());
    return b;
  }

  const ImageStore& store_;
  int out_;
  TarWriter archive_;
  json index_ = json::array(), docker_ = json::array();
  std::map<std::string, bool> written_;
  std::map<std::string, Blob> layers_;
};

}  // namespace

Result<void> export_archive(const ImageStore& store, const std::vector<ExportImage>& images, const std::string& path) {
  std::string temp = path + ".tmp";
  Fd out(::open(temp.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!out) return from_errno("create " + temp, errno);
  Exporter exporter(store, out.get());
  Result<void> r;
  for (const auto& i : images) {
    r = exporter.add(i);
    if (!r) break;
  }
  if (r) r = exporter.finish();
  if (r && ::fsync(out.get()) < 0) r = from_errno("sync " + temp, errno);
  if (r && ::rename(temp.c_str(), path.c_str()) < 0) r = from_errno("rename " + path, errno);
  if (!r) ::unlink(temp.c_str());
  return r;
}

}  // namespace onebin::engine
