// The volumes of pods: made before the containers, refreshed while they run, taken away after them.
#pragma once
#include "kubelet/certificate_cache.hpp"
#include "kubelet/object_cache.hpp"
#include "kubelet/token_cache.hpp"
#include "kubelet/volumes/mounts.hpp"

#include <onebin/engine/types.hpp>

#include <map>
#include <optional>
#include <string>

namespace onebin::kubelet {

struct PreparedVolume {
  std::string host_path;
  bool read_only = false;
  std::string image;  // an image volume: its reference, pulled by the caller
};
using PreparedVolumes = std::map<std::string, PreparedVolume>;

class Volumes {
 public:
  Volumes(std::string root_dir, client::Client& client, ObjectCache& objects, TokenCache& tokens, CertificateCache& certificates, Mounts& mounts, Rng& rng)
      : root_(std::move(root_dir)), client_(client), objects_(objects), tokens_(tokens), certificates_(certificates), mounts_(mounts), rng_(rng) {}

  std::string pod_dir(const std::string& uid) const { return root_ + "/pods/" + uid; }
  // Makes and fills every volume that is not there yet and rewrites what has changed. Idempotent. The error names the
  // volume, as the FailedMount event shows it.
  async::Task<Result<PreparedVolumes>> prepare(core::Pod pod, PodFacts facts, References refs);
  // A container's mounts of its prepared volumes; `env` for subPathExpr. Sub paths are pinned.
  async::Task<Result<std::vector<engine::Mount>>> container_mounts(core::Pod pod, core::Container c, PreparedVolumes volumes, EnvMap env);
  // Unmounts and removes all that is below the pod's folder.
  async::Task<Result<void>> teardown(std::string uid);
  // uids of pods that have a folder.
  std::vector<std::string> on_disk() const;

 private:
  struct Step;
  async::Task<Result<PreparedVolume>> prepare_one(const core::Pod* pod, const core::Volume* v, const PodFacts* facts, const PayloadInput* in,
                                                  std::vector<Step>* steps);
  async::Task<Result<PreparedVolume>> prepare_claim(std::string ns, std::string name, bool read_only);
  std::string fresh_name();
  std::string root_;
  client::Client& client_;
  ObjectCache& objects_;
  TokenCache& tokens_;
  CertificateCache& certificates_;
  Mounts& mounts_;
  Rng& rng_;
};

}  // namespace onebin::kubelet
