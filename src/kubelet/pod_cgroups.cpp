#include "kubelet/pod_cgroups.hpp"

#include <onebin/base/file.hpp>
#include <onebin/base/log.hpp>

#include <csignal>

namespace onebin::kubelet {
namespace {

constexpr const char* kClasses[] = {"Guaranteed", "Burstable", "BestEffort"};

class RealPodCgroups final : public PodCgroups {
 public:
  RealPodCgroups(engine::Cgroups cgroups, std::string root) : cgroups_(std::move(cgroups)), root_(std::move(root)) {}

  bool unified() const override { return cgroups_.unified(); }

  Result<std::string> create(const core::Pod& pod) override {
    RETURN_IF_ERROR(make_classes());
    std::string path = pod_cgroup(root_, qos_class(pod), pod.metadata.uid);
    RETURN_IF_ERROR(cgroups_.create(path));
    RETURN_IF_ERROR(cgroups_.apply(path, pod_resources(pod, unified())));
    requests_[pod.metadata.uid] = {qos_class(pod), pod_request(pod, "cpu").milli_value()};
    update_burstable();
    return path;
  }

  Result<void> update(const core::Pod& pod) override {
    std::string path = pod_cgroup(root_, qos_class(pod), pod.metadata.uid);
    if (!cgroups_.exists(path)) return {};
    engine::Resources r = pod_resources(pod, unified());
    // A limit that is gone is lifted, not left as it was.
    if (!r.cpu_quota) r.cpu_quota = -1;
    if (!r.memory_limit) r.memory_limit = -1;
    requests_[pod.metadata.uid] = {qos_class(pod), pod_request(pod, "cpu").milli_value()};
    update_burstable();
    return cgroups_.apply(path, r);
  }

  Result<void> remove(const std::string& uid) override {
    Status first;
    for (const char* qos : kClasses) {
      std::string path = pod_cgroup(root_, qos, uid);
      if (!cgroups_.exists(path)) continue;
      if (!cgroups_.processes(path).empty()) (void)cgroups_.kill_all(path, SIGKILL);
      if (Result<void> r = cgroups_.remove(path); !r && first) first = r.status();
    }
    if (requests_.erase(uid)) update_burstable();
    return first;
  }

  std::vector<std::string> pods() override {
    std::vector<std::string> out;
    for (const char* qos : kClasses) {
      std::string folder = cgroups_.folder(cgroups_.unified() ? "" : "memory", qos_cgroup(root_, qos));
      Result<std::vector<std::string>> names = list_dir(folder);
      if (!names) continue;
      for (const auto& n : *names)
        if (n.starts_with("pod")) out.push_back(n.substr(3));
    }
    return out;
  }

  std::optional<engine::CgroupStats> stats(const std::string& uid) override {
    for (const char* qos : kClasses) {
      std::string path = pod_cgroup(root_, qos, uid);
      if (!cgroups_.exists(path)) continue;
      Result<engine::CgroupStats> s = cgroups_.stats(path);
      if (s) return *s;
    }
    return std::nullopt;
  }

 private:
  Result<void> make_classes() {
    if (made_) return {};
    for (const char* qos : kClasses) RETURN_IF_ERROR(cgroups_.create(qos_cgroup(root_, qos)));
    engine::Resources least;
    least.cpu_shares = kMinShares;
    RETURN_IF_ERROR(cgroups_.apply(qos_cgroup(root_, "BestEffort"), least));
    made_ = true;
    return {};
  }
  // The class competes with the guaranteed pods for what its pods have asked for together.
  void update_burstable() {
    std::int64_t milli = 0;
    for (const auto& [uid, r] : requests_)
      if (r.first == "Burstable") milli += r.second;
    engine::Resources r;
    r.cpu_shares = milli_cpu_to_shares(milli);
    if (Result<void> done = cgroups_.apply(qos_cgroup(root_, "Burstable"), r); !done)
      log_warn("could not set the burstable class's CPU shares", {{"error", done.status()}});
  }
  engine::Cgroups cgroups_;
  std::string root_;
  bool made_ = false;
  std::map<std::string, std::pair<std::string, std::int64_t>> requests_;
};

}  // namespace

Result<std::unique_ptr<PodCgroups>> make_pod_cgroups(std::string root) {
  Result<engine::Cgroups> found = engine::Cgroups::detect();
  if (!found) return found.status();
  while (!root.empty() && root.back() == '/') root.pop_back();
  return std::unique_ptr<PodCgroups>(std::make_unique<RealPodCgroups>(std::move(*found), std::move(root)));
}

}  // namespace onebin::kubelet
