#include "kubelet/volumes/volumes.hpp"

#include <onebin/async/pool.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>

#include <cerrno>
#include <ctime>
#include <sys/stat.h>
#include <unistd.h>

namespace onebin::kubelet {
namespace {

constexpr Duration kObjectWait = std::chrono::seconds(10);

Status volume_error(const std::string& volume, const Status& why) {
  return Status(why.reason(), "MountVolume.SetUp failed for volume " + quote(volume) + " : " + why.message());
}

std::optional<std::int64_t> fs_group_of(const core::Pod& pod) {
  if (pod.spec.security_context && pod.spec.security_context->fs_group) return *pod.spec.security_context->fs_group;
  return std::nullopt;
}

// emptyDir: everyone may write, the pod's group owns it when there is one.
Result<void> make_empty_dir(Mounts& mounts, const std::string& path, const std::string& medium, std::uint64_t size, std::optional<std::int64_t> group) {
  bool fresh = !path_exists(path);
  RETURN_IF_ERROR(make_dirs(path, 0755));
  if (medium == "Memory") RETURN_IF_ERROR(mounts.tmpfs(path, size, 0777));
  if (!fresh) return {};
  if (::chmod(path.c_str(), 0777) != 0) return from_errno("chmod of " + path, errno);
  if (!group) return {};
  if (::chown(path.c_str(), static_cast<uid_t>(-1), static_cast<gid_t>(*group)) != 0) return from_errno("chown of " + path, errno);
  if (::chmod(path.c_str(), 02777) != 0) return from_errno("chmod of " + path, errno);
  return {};
}

Result<void> write_projection(Mounts& mounts, const std::string& path, bool memory, const Payload& payload, std::optional<std::int64_t> group,
                              const std::string& fresh_name) {
  bool fresh = !path_exists(path);
  RETURN_IF_ERROR(make_dirs(path, 0755));
  if (memory) RETURN_IF_ERROR(mounts.tmpfs(path, 0, 0777));
  if (fresh && ::chmod(path.c_str(), 0777) != 0) return from_errno("chmod of " + path, errno);
  if (fresh && group) {
    if (::chown(path.c_str(), static_cast<uid_t>(-1), static_cast<gid_t>(*group)) != 0) return from_errno("chown of " + path, errno);
    if (::chmod(path.c_str(), 02777) != 0) return from_errno("chmod of " + path, errno);
  }
  Result<bool> r = write_atomically(path, payload, group, fresh_name);
  return r ? Status::ok() : r.status();
}

Result<void> check_host_path(const std::string& path, const std::string& type) {
  struct stat st {};
  bool exists = ::stat(path.c_str(), &st) == 0;
  auto fail = [&](const char* what) { return bad_request("hostPath type check failed: " + path + " is not " + what); };
  if (type.empty()) {
    if (!exists) return make_dirs(path, 0755);
    return {};
  }
  if (type == "DirectoryOrCreate") {
    if (!exists) return make_dirs(path, 0755);
    return S_ISDIR(st.st_mode) ? Status::ok() : fail("a directory");
  }
  if (type == "FileOrCreate") {
    if (!exists) return write_file(path, "", 0644);
    return S_ISREG(st.st_mode) ? Status::ok() : fail("a file");
  }
  if (type == "Directory") return exists && S_ISDIR(st.st_mode) ? Status::ok() : fail("a directory");
  if (type == "File") return exists && S_ISREG(st.st_mode) ? Status::ok() : fail("a file");
  if (type == "Socket") return exists && S_ISSOCK(st.st_mode) ? Status::ok() : fail("a socket file");
  if (type == "CharDevice") return exists && S_ISCHR(st.st_mode) ? Status::ok() : fail("a character device");
  if (type == "BlockDevice") return exists && S_ISBLK(st.st_mode) ? Status::ok() : fail("a block device");
  return bad_request(type + " is an invalid volume type");
}

const char* plugin_of(const core::Volume& v) {
  if (v.config_map) return "kubernetes.io~configmap";
  if (v.secret) return "kubernetes.io~secret";
  if (v.downward_api) return "kubernetes.io~downward-api";
  if (v.projected) return "kubernetes.io~projected";
  return "kubernetes.io~empty-dir";
}

std::uint64_t memory_volume_size(const core::Pod& pod, const std::optional<Quantity>& own, const PodFacts& facts) {
  std::optional<std::int64_t> size;
  auto consider = [&](std::int64_t v) { if (v > 0 && (!size || v < *size)) size = v; };
  if (auto q = quantity_in(facts.allocatable, "memory")) consider(q->value());
  if (auto q = pod_limit(pod, "memory")) consider(q->value());
  if (own) consider(own->value());
  return static_cast<std::uint64_t>(size.value_or(0));
}

engine::Propagation propagation_of(const core::VolumeMount& m) {
  if (!m.mount_propagation) return engine::Propagation::Private;
  if (*m.mount_propagation == "HostToContainer") return engine::Propagation::HostToContainer;
  if (*m.mount_propagation == "Bidirectional") return engine::Propagation::Bidirectional;
  return engine::Propagation::Private;
}

}  // namespace

// One thing to do on the blocking pool.
struct Volumes::Step {
  enum class Kind { EmptyDir, Projection, HostPath } kind = Kind::EmptyDir;
  std::string volume, path, medium, fresh_name, host_type;
  std::uint64_t size = 0;
  bool memory = false;
  Payload payload;
  std::optional<std::int64_t> group;

  Result<void> run(Mounts& mounts) const {
    Result<void> r;
    switch (kind) {
      case Kind::EmptyDir: r = make_empty_dir(mounts, path, medium, size, group); break;
      case Kind::Projection: r = write_projection(mounts, path, memory, payload, group, fresh_name); break;
      case Kind::HostPath: r = check_host_path(path, host_type); break;
    }
    return r ? Status::ok() : volume_error(volume, r.status());
  }
  static Result<void> run_all(Mounts& mounts, const std::vector<Step>& steps) {
    for (const auto& s : steps) RETURN_IF_ERROR(s.run(mounts));
    return {};
  }
};

std::string Volumes::fresh_name() {
  std::time_t now = async::Loop::current().clock().unix_seconds();
  std::tm tm{};
  ::gmtime_r(&now, &tm);
  char text[64];
  std::strftime(text, sizeof text, "..%Y_%m_%d_%H_%M_%S.", &tm);
  return text + std::to_string(rng_.below(10000000000ull));
}

async::Task<Result<PreparedVolume>> Volumes::prepare_claim(std::string ns, std::string name, bool read_only) {
  Result<core::PersistentVolumeClaim> claim = co_await client_.get<core::PersistentVolumeClaim>(ns, name);
  if (!claim) co_return claim.status();
  if (claim->status.phase != "Bound" || claim->spec.volume_name.empty())
    co_return Status(Reason::ServiceUnavailable, "PVC " + ns + "/" + name + " is not bound");
  Result<core::PersistentVolume> volume = co_await client_.get<core::PersistentVolume>("", claim->spec.volume_name);
  if (!volume) co_return volume.status();
  PreparedVolume out;
  out.read_only = read_only;
  if (volume->spec.host_path) out.host_path = volume->spec.host_path->path;
  else if (volume->spec.local) out.host_path = volume->spec.local->path;
  else co_return bad_request("persistent volume " + claim->spec.volume_name + " is neither hostPath nor local: no other kind is supported");
  co_return out;
}

async::Task<Result<PreparedVolume>> Volumes::prepare_one(const core::Pod* pod, const core::Volume* v, const PodFacts* facts, const PayloadInput* in,
                                                         std::vector<Step>* steps) {
  PreparedVolume out;
  Step step;
  step.volume = v->name;
  step.group = fs_group_of(*pod);
  step.path = pod_dir(pod->metadata.uid) + "/volumes/" + plugin_of(*v) + "/" + v->name;
  if (is_projection(*v)) {
    Result<Payload> payload = volume_payload(*v, *in);
    if (!payload) co_return payload.status();
    step.kind = Step::Kind::Projection;
    step.memory = !v->config_map;
    step.payload = std::move(*payload);
    step.fresh_name = fresh_name();
    out.read_only = true;
  } else if (v->empty_dir) {
    step.medium = v->empty_dir->medium;
    if (step.medium.starts_with("HugePages")) co_return bad_request("emptyDir with medium HugePages is not supported");
    std::optional<Quantity> own;
    if (v->empty_dir->size_limit) own = *v->empty_dir->size_limit;
    if (step.medium == "Memory") step.size = memory_volume_size(*pod, own, *facts);
  } else if (v->host_path) {
    step.kind = Step::Kind::HostPath;
    step.path = v->host_path->path;
    if (v->host_path->type) step.host_type = *v->host_path->type;
  } else if (v->persistent_volume_claim || v->ephemeral) {
    std::string claim = v->ephemeral ? pod->metadata.name + "-" + v->name : v->persistent_volume_claim->claim_name;
    bool read_only = v->persistent_volume_claim && v->persistent_volume_claim->read_only;
    Result<PreparedVolume> r = co_await prepare_claim(pod->metadata.namespace_, claim, read_only);
    if (!r) co_return r.status();
    step.kind = Step::Kind::HostPath;
    step.path = r->host_path;
    step.host_type = "Directory";
    out.read_only = r->read_only;
  } else if (v->image) {
    out.image = v->image->reference;
    out.read_only = true;
    co_return out;
  } else {
    co_return bad_request("no volume plugin matched: the volume's kind is not supported");
  }
  out.host_path = step.path;
  steps->push_back(std::move(step));
  co_return out;
}

async::Task<Result<PreparedVolumes>> Volumes::prepare(core::Pod pod, PodFacts facts, References refs) {
  ReferencedObjects objects = co_await objects_.snapshot(pod.metadata.namespace_, refs, kObjectWait);
  Tokens tokens;
  for (const auto& spec : tokens_of(pod)) {
    Result<std::string> token = co_await tokens_.get(pod, spec);
    tokens.emplace(spec.key(), std::move(token));
  }
  Credentials credentials;
  for (const auto& source : certificates_of(pod)) {
    Result<Credential> c = co_await certificates_.get(pod, source, kObjectWait);
    credentials.emplace(source.key(), std::move(c));
  }
  PayloadInput in{&pod, &facts, &objects, &tokens, &credentials};
  PreparedVolumes out;
  std::vector<Step> steps;
  for (const auto& v : pod.spec.volumes) {
    Result<PreparedVolume> one = co_await prepare_one(&pod, &v, &facts, &in, &steps);
    if (!one) co_return volume_error(v.name, one.status());
    out.emplace(v.name, std::move(*one));
  }
  Mounts* mounts = &mounts_;
  Result<void> done = co_await async::run_blocking([mounts, steps = std::move(steps)] { return Step::run_all(*mounts, steps); });
  if (!done) co_return done.status();
  co_return out;
}

async::Task<Result<std::vector<engine::Mount>>> Volumes::container_mounts(core::Pod pod, core::Container c, PreparedVolumes volumes, EnvMap env) {
  std::vector<engine::Mount> out;
  struct Pin { std::string volume, sub_path, target; };
  std::vector<Pin> pins;
  for (std::size_t i = 0; i < c.volume_mounts.size(); ++i) {
    const core::VolumeMount& m = c.volume_mounts[i];
    auto v = volumes.find(m.name);
    if (v == volumes.end()) co_return bad_request("cannot find volume " + quote(m.name) + " to mount into container " + quote(c.name));
    Result<std::string> sub = expand_sub_path(m, env);
    if (!sub) co_return sub.status();
    for (const auto& part : split(*sub, '/'))
      if (part == "..") co_return bad_request("unable to provision SubPath `" + *sub + "`: must not contain '..'");
    if (sub->starts_with("/")) co_return bad_request("error SubPath `" + *sub + "` must not be an absolute path");
    engine::Mount mount;
    mount.container_path = m.mount_path.starts_with("/") ? m.mount_path : "/" + m.mount_path;
    mount.readonly = m.read_only || v->second.read_only;
    mount.recursive_readonly = m.recursive_read_only && *m.recursive_read_only == "Enabled";
    mount.propagation = propagation_of(m);
    if (!v->second.image.empty()) {
      mount.image = v->second.image;
      mount.image_sub_path = *sub;
    } else if (sub->empty()) {
      mount.host_path = v->second.host_path;
    } else {
      mount.host_path = pod_dir(pod.metadata.uid) + "/volume-subpaths/" + m.name + "/" + c.name + "/" + std::to_string(i);
      pins.push_back({v->second.host_path, *sub, mount.host_path});
    }
    out.push_back(std::move(mount));
  }
  if (pins.empty()) co_return out;
  Mounts* mounts = &mounts_;
  Result<void> done = co_await async::run_blocking([mounts, pins] {
    Result<void> r;
    for (const auto& p : pins)
      if (r) r = pin_sub_path(*mounts, p.volume, p.sub_path, p.target);
    return r;
  });
  if (!done) co_return done.status().with_context("failed to prepare subPath for container " + quote(c.name));
  co_return out;
}

async::Task<Result<void>> Volumes::teardown(std::string uid) {
  if (uid.empty() || uid.find('/') != std::string::npos) co_return bad_request("not a pod's uid: " + uid);
  Mounts* mounts = &mounts_;
  std::string path = pod_dir(uid);
  Result<void> done = co_await async::run_blocking([mounts, path]() -> Result<void> {
    if (!path_exists(path)) return {};
    RETURN_IF_ERROR(mounts->unmount_below(path));
    return remove_all(path);
  });
  co_return done;
}

std::vector<std::string> Volumes::on_disk() const {
  Result<std::vector<std::string>> names = list_dir(root_ + "/pods");
  return names ? *names : std::vector<std::string>();
}

}  // namespace onebin::kubelet
