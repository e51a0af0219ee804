// FakePodNetwork: addresses without interfaces.
#pragma once
#include <onebin/network/pod_network.hpp>

#include <set>
#include <string>
#include <vector>

namespace onebin::fakes {

class FakePodNetwork final : public network::PodNetwork {
 public:
  bool up = true;
  std::vector<network::Prefix> cidrs;
  std::set<std::string> broken;  // what reconcile() finds missing

  async::Task<Result<void>> set_pod_cidrs(std::vector<network::Prefix> c) override {
    cidrs = std::move(c);
    up = true;
    co_return Result<void>();
  }
  bool ready() const override { return up; }
  async::Task<Result<network::PodNetworkInfo>> setup(network::PodNetworkRequest r) override {
    if (!up) co_return Status(Reason::ServiceUnavailable, "no pod ranges yet");
    auto i = pods_.find(r.pod_uid);
    if (i == pods_.end()) {
      network::PodNetworkInfo info;
      info.pod_uid = r.pod_uid;
      info.netns_path = "/fake/netns/" + r.pod_uid;
      info.ips = {network::Ip::v4(0x0a2a0000u + static_cast<std::uint32_t>(++last_))};
      i = pods_.emplace(r.pod_uid, std::move(info)).first;
    }
    co_return i->second;
  }
  async::Task<Result<void>> teardown(std::string uid) override {
    pods_.erase(uid);
    co_return Result<void>();
  }
  std::vector<network::PodNetworkInfo> list() const override {
    std::vector<network::PodNetworkInfo> out;
    for (const auto& [uid, i] : pods_) out.push_back(i);
    return out;
  }
  async::Task<Result<std::vector<std::string>>> reconcile(std::vector<std::string>) override {
    std::vector<std::string> out(broken.begin(), broken.end());
    for (const auto& uid : out) pods_.erase(uid);
    co_return out;
  }

 private:
  std::map<std::string, network::PodNetworkInfo> pods_;
  int last_ = 1;
};

}  // namespace onebin::fakes
