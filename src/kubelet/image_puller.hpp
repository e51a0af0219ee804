// Images for containers, by pull policy, with the pod's credentials and back-off after failures.
#pragma once
#include "kubelet/pod_actions.hpp"
#include "kubelet/env.hpp"

#include <onebin/engine/engine.hpp>

#include <functional>
#include <string>
#include <vector>

namespace onebin::kubelet {

// The credentials for one image out of the pod's imagePullSecrets (kubernetes.io/dockerconfigjson and dockercfg), best
// match first; empty when none fits.
std::vector<engine::RegistryCredentials> credentials_for(const std::string& image, const std::vector<const core::Secret*>& secrets);

struct PullResult {
  Result<engine::ImageInfo> image = Status(Reason::Unknown, "not pulled");
  std::string reason;     // ErrImagePull, ImagePullBackOff, ErrImageNeverPull, InvalidImageName
  Duration retry_after{}; // when backing off
};

class ImagePuller {
 public:
  using EventFn = std::function<void(const char* type, const char* reason, std::string message)>;
  explicit ImagePuller(engine::Engine& engine) : engine_(engine) {}
  async::Task<PullResult> ensure(std::string pod_uid, std::string image, std::string policy,
                                 std::vector<engine::RegistryCredentials> credentials, EventFn event);
  void forget(const std::string& pod_uid);

 private:
  engine::Engine& engine_;
  Backoff backoff_{std::chrono::seconds(10), std::chrono::seconds(300)};
  std::map<std::string, std::pair<WallTime, std::string>> last_failure_;  // by uid/image
};

}  // namespace onebin::kubelet
