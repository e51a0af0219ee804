#include "kubelet/resources.hpp"

#include <onebin/base/bytes.hpp>

#include <algorithm>

namespace onebin::kubelet {
namespace {

constexpr int kGuaranteedOom = -997, kBestEffortOom = 1000;

void add_hugepages(const std::map<std::string, Quantity>& limits, engine::Resources& r) {
  for (const auto& [name, q] : limits) {
    if (!name.starts_with("hugepages-")) continue;
    auto size = Quantity::parse(name.substr(10));
    if (!size) continue;
    std::int64_t bytes = size->value();
    std::string text = bytes >= (1 << 30) ? std::to_string(bytes >> 30) + "GB" : bytes >= (1 << 20) ? std::to_string(bytes >> 20) + "MB"
                                                                                                 : std::to_string(bytes >> 10) + "KB";
    r.hugepages.push_back({text, static_cast<std::uint64_t>(q.value())});
  }
}

std::int64_t memory_request(const core::Container& c) {
  return quantity_in(c.resources.requests, "memory").value_or(Quantity()).value();
}

}  // namespace

std::uint64_t milli_cpu_to_shares(std::int64_t milli) {
  if (milli <= 0) return kMinShares;
  return std::clamp<std::uint64_t>(static_cast<std::uint64_t>(milli) * 1024 / 1000, kMinShares, kMaxShares);
}

std::int64_t milli_cpu_to_quota(std::int64_t milli) {
  return std::max<std::int64_t>(milli * static_cast<std::int64_t>(kCpuPeriod) / 1000, 1000);
}

engine::Resources container_resources(const core::Pod& pod, const core::Container& c, bool unified) {
  engine::Resources r;
  auto cpu_request = quantity_in(c.resources.requests, "cpu");
  auto cpu_limit = quantity_in(c.resources.limits, "cpu");
  r.cpu_shares = milli_cpu_to_shares((cpu_request ? *cpu_request : cpu_limit.value_or(Quantity())).milli_value());
  r.cpu_period = kCpuPeriod;
  r.cpu_quota = cpu_limit && !cpu_limit->is_zero() ? milli_cpu_to_quota(cpu_limit->milli_value()) : -1;
  auto memory = quantity_in(c.resources.limits, "memory");
  if (memory && !memory->is_zero()) {
    r.memory_limit = memory->value();
    if (unified) r.memory_swap_limit = memory->value();
  }
  add_hugepages(c.resources.limits, r);
  // A kernel out-of-memory kill of one process ends the whole container, as kubelets since 1.28 have it on cgroup v2.
  if (unified) r.unified["memory.oom.group"] = "1";
  (void)pod;
  return r;
}

engine::Resources pod_resources(const core::Pod& pod, bool unified) {
  engine::Resources r;
  std::string qos = qos_class(pod);
  r.cpu_shares = qos == "BestEffort" ? kMinShares : milli_cpu_to_shares(pod_request(pod, "cpu").milli_value());
  if (auto q = pod_limit(pod, "cpu"); q && !q->is_zero()) {
    r.cpu_period = kCpuPeriod;
    r.cpu_quota = milli_cpu_to_quota(q->milli_value());
  }
  if (auto q = pod_limit(pod, "memory"); q && !q->is_zero()) r.memory_limit = q->value();
  (void)unified;
  return r;
}

int oom_score_adj(const core::Pod& pod, const core::Container& c, std::int64_t memory_capacity) {
  if (is_critical(pod)) return kGuaranteedOom;
  std::string qos = qos_class(pod);
  if (qos == "Guaranteed") return kGuaranteedOom;
  if (qos == "BestEffort" || memory_capacity <= 0) return kBestEffortOom;
  auto score = [&](std::int64_t request) {
    return static_cast<int>(1000 - static_cast<std::int64_t>(static_cast<double>(request) * 1000 / static_cast<double>(memory_capacity)));
  };
  int out = score(memory_request(c));
  if (is_sidecar(c) && is_init_container(pod, c.name) && !pod.spec.containers.empty()) {
    std::int64_t least = memory_request(pod.spec.containers.front());
    for (const auto& other : pod.spec.containers) least = std::min(least, memory_request(other));
    out = std::min(out, score(least));
  }
  if (out < 1000 + kGuaranteedOom) return 1000 + kGuaranteedOom;
  if (out >= kBestEffortOom) return kBestEffortOom - 1;
  return out;
}

std::string qos_cgroup(const std::string& root, const std::string& qos) {
  return root + "/kubepods" + (qos == "Guaranteed" ? "" : "/" + to_lower(qos));
}
std::string pod_cgroup(const std::string& root, const std::string& qos, const std::string& uid) { return qos_cgroup(root, qos) + "/pod" + uid; }

}  // namespace onebin::kubelet
