#include "engine/archive.hpp"

#include "engine/reference.hpp"
#include "engine/tar.hpp"
#include "engine/unpack.hpp"

#include <onebin/base/bytes.hpp>

#include <nlohmann/json.hpp>

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>

namespace onebin::engine {
namespace {

using nlohmann::json;
constexpr std::size_t text_limit = 16u << 20;

std::string text_of(const json& j, const char* key) {
  if (!j.is_object()) return {};
  auto at = j.find(key);
  return at != j.end() && at->is_string() ? at->get<std::string>() : std::string();
}

const json& array_of(const json& j, const char* key) {
  static const json empty = json::array();
  if (!j.is_object()) return empty;
  auto at = j.find(key);
  return at != j.end() && at->is_array() ? *at : empty;
}

// Whether a descriptor's platform is this host's; one without a platform is taken.
bool platform_fits(const json& descriptor) {
  auto p = descriptor.find("platform");
  if (p == descriptor.end() || !p->is_object()) return true;
  return text_of(*p, "os") == "linux" && text_of(*p, "architecture") == host_architecture();
}

// The name that an OCI index entry carries: containerd's full name first, then the specification's ref.name, which many
// tools fill with a full reference and some with a bare tag (then there is no name to give).
std::string name_of(const json& descriptor) {
  auto a = descriptor.find("annotations");
  if (a == descriptor.end()) return {};
  if (auto full = text_of(*a, "io.containerd.image.name"); !full.empty()) return full;
  auto ref = text_of(*a, "org.opencontainers.image.ref.name");
  return ref.find_first_of("/:") != std::string::npos ? ref : std::string();
}

}  // namespace

const char* host_architecture() {
  static const std::string name = [] {
    utsname u{};
    ::uname(&u);
    std::string m = u.machine;
    if (m == "x86_64") return std::string("amd64");
    if (m == "aarch64") return std::string("arm64");
    if (starts_with(m, "armv")) return std::string("arm");
    return m;
  }();
  return name.c_str();
}

bool is_index_media_type(const std::string& t) {
  return t == "application/vnd.oci.image.index.v1+json" || t == "application/vnd.docker.distribution.manifest.list.v2+json";
}
bool is_manifest_media_type(const std::string& t) {
  return t == "application/vnd.oci.image.manifest.v1+json" || t == "application/vnd.docker.distribution.manifest.v2+json";
}

Result<std::unique_ptr<Archive>> Archive::open(const std::string& path, const std::string& temp_dir) {
  std::unique_ptr<Archive> a(new Archive);
  struct stat st;
  if (::stat(path.c_str(), &st) < 0) {
    if (errno == ENOENT) return Status(Reason::NotFound, path + ": no such file");
    return from_errno("open " + path, errno);
  }
  if (S_ISDIR(st.st_mode)) {
    a->folder_ = path;
    return a;
  }
  a->file_.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!a->file_) return from_errno("open " + path, errno);
  char head[6] = {};
  ssize_t n = ::pread(a->file_.get(), head, sizeof head, 0);
  auto size = static_cast<std::uint64_t>(st.st_size);
  if (n > 0 && detect_compression(std::string_view(head, static_cast<std::size_t>(n))) != Compression::None) {
    Fd plain(::open(temp_dir.c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
    if (!plain) return from_errno("make a file in " + temp_dir, errno);
    FileSource compressed(a->file_.get(), 0, size);
    auto source = decompress(compressed);
    char buffer[65536];
    for (size = 0;;) {
      ASSIGN_OR_RETURN(std::size_t got, source->read(buffer, sizeof buffer));
      if (got == 0) break;
      if (::pwrite(plain.get(), buffer, got, static_cast<off_t>(size)) != static_cast<ssize_t>(got)) return from_errno("write", errno);
      size += got;
    }
    a->file_ = std::move(plain);
  }
  RETURN_IF_ERROR(a->index_tar(a->file_.get(), size));
  return a;
}

Result<void> Archive::index_tar(int fd, std::uint64_t size) {
  FileSource source(fd, 0, size);
  TarReader reader(source);
  TarEntry e;
  while (true) {
    ASSIGN_OR_RETURN(bool more, reader.next(e));
    if (!more) return {};
    if (members_.size() > 100000) return bad_request("the archive has too many members");
    std::string name = clean_path(e.path);
    if (leaves_root(e.path)) return bad_request("member \"" + e.path + "\" leads out of the archive");
    if (e.type == TarEntry::Type::File) {
      members_[name] = Member{reader.position(), e.size, {}};
    } else if (e.type == TarEntry::Type::Hardlink) {
      members_[name].link = clean_path(e.link);
    } else if (e.type == TarEntry::Type::Symlink) {
      auto slash = name.rfind('/');
      members_[name].link = clean_path(slash == std::string::npos ? e.link : name.substr(0, slash + 1) + e.link);
    }
  }
}

const Archive::Member* Archive::member(const std::string& name) const {
  std::string at = name;
  for (int hops = 0; hops < 8; ++hops) {
    auto m = members_.find(at);
    if (m == members_.end()) return nullptr;
    if (m->second.link.empty()) return &m->second;
    at = m->second.link;
  }
  return nullptr;
}

bool Archive::has(const std::string& name) const {
  return folder_.empty() ? member(name) != nullptr : path_exists(folder_ + "/" + name);
}

Result<std::unique_ptr<Source>> Archive::stream(const std::string& name) {
  if (!folder_.empty()) {
    open_.emplace_back(::open((folder_ + "/" + name).c_str(), O_RDONLY | O_CLOEXEC));
    struct stat st;
    if (!open_.back() || ::fstat(open_.back().get(), &st) < 0) return from_errno("open " + name, errno);
    return std::unique_ptr<Source>(new FileSource(open_.back().get(), 0, static_cast<std::uint64_t>(st.st_size)));
  }
  auto* m = member(name);
  if (!m) return bad_request("the archive has no " + name);
  return std::unique_ptr<Source>(new FileSource(file_.get(), m->offset, m->size));
}

Result<std::string> Archive::text(const std::string& name) {
  ASSIGN_OR_RETURN(std::unique_ptr<Source> s, stream(name));
  return read_whole(*s, text_limit);
}

Result<std::string> Archive::blob(const std::string& digest) {
  if (!valid_digest(digest)) return bad_request("bad digest \"" + digest + "\"");
  ASSIGN_OR_RETURN(std::string data, text("blobs/sha256/" + digest_hex(digest)));
  if (digest_of(data) != digest) return bad_request("blob " + digest + ": its content is " + digest_of(data));
  return data;
}

Result<std::vector<Archive::Image>> Archive::images() {
  // Archives of newer tools are both; the OCI side has the digests.
  if (has("index.json") && has("oci-layout")) {
    ASSIGN_OR_RETURN(std::string index, text("index.json"));
    ASSIGN_OR_RETURN(std::vector<Image> found, oci_images(index));
    bool named = false;
    for (const auto& i : found) named |= !i.references.empty();
    if (named || !has("manifest.json")) return found;
  }
  if (!has("manifest.json")) return bad_request("neither an OCI layout nor a docker archive: no index.json, no manifest.json");
  ASSIGN_OR_RETURN(std::string manifest, text("manifest.json"));
  return docker_images(manifest);
}

Result<std::vector<Archive::Image>> Archive::docker_images(const std::string& manifest) {
  json j = json::parse(manifest, nullptr, false);
  if (!j.is_array()) return bad_request("manifest.json is not a JSON array");
  std::vector<Image> out;
  for (const auto& m : j) {
    Image i;
    ASSIGN_OR_RETURN(i.config, text(clean_path(text_of(m, "Config"))));
    for (const auto& t : array_of(m, "RepoTags")) {
      if (t.is_string()) i.references.push_back(t.get<std::string>());
    }
    for (const auto& l : array_of(m, "Layers")) {
      if (l.is_string()) i.layers.push_back({clean_path(l.get<std::string>()), {}});
    }
    out.push_back(std::move(i));
  }
  return out;
}

Result<std::vector<Archive::Image>> Archive::oci_images(const std::string& index) {
  json j = json::parse(index, nullptr, false);
  if (!j.is_object()) return bad_request("index.json is not a JSON object");
  std::vector<Image> out;
  for (const auto& d : array_of(j, "manifests")) {
    if (!d.is_object() || !platform_fits(d)) continue;
    RETURN_IF_ERROR(add_manifest(text_of(d, "digest"), text_of(d, "mediaType"), name_of(d), 0, out));
  }
  return out;
}

Result<void> Archive::add_manifest(const std::string& digest, const std::string& media_type, const std::string& name, int depth, std::vector<Image>& out) {
  ASSIGN_OR_RETURN(std::string data, blob(digest));
  json j = json::parse(data, nullptr, false);
  if (!j.is_object()) return bad_request("manifest " + digest + " is not a JSON object");
  if (is_index_media_type(media_type) || (media_type.empty() && j.contains("manifests"))) {
    if (depth > 2) return bad_request("indexes within indexes within indexes");
    for (const auto& d : array_of(j, "manifests")) {
      if (!d.is_object() || !d.contains("platform") || !platform_fits(d)) continue;
      return add_manifest(text_of(d, "digest"), text_of(d, "mediaType"), name, depth + 1, out);
    }
    return {};  // of another platform only
  }
  if (!j.contains("config")) return {};  // no image (an artifact)
  Image i;
  i.manifest_digest = digest;
  i.manifest_media_type = media_type;
  ASSIGN_OR_RETURN(i.config, blob(text_of(j["config"], "digest")));
  if (json c = json::parse(i.config, nullptr, false); !c.is_object() || !c.contains("rootfs")) return {};
  if (!name.empty()) i.references.push_back(name);
  for (const auto& l : array_of(j, "layers")) {
    std::string d = text_of(l, "digest");
    if (!valid_digest(d)) return bad_request("manifest " + digest + ": bad layer digest");
    i.layers.push_back({"blobs/sha256/" + digest_hex(d), d});
  }
  // The same image under a second name.
  for (auto& known : out) {
    if (known.manifest_digest != digest) continue;
    known.references.insert(known.references.end(), i.references.begin(), i.references.end());
    return {};
  }
  out.push_back(std::move(i));
  return {};
}

}  // namespace onebin::engine
