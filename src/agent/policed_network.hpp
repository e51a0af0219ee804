// The kubelet's PodNetwork, whose pods are not started before the NetworkPolicies that select them hold.
#pragma once
#include <onebin/network/pod_network.hpp>
#include <onebin/proxy/proxy.hpp>

namespace onebin::agent {

class PolicedNetwork final : public network::PodNetwork {
 public:
  PolicedNetwork(network::PodNetwork& network, proxy::Proxy& proxy) : network_(network), proxy_(proxy) {}  // both outlive it

  async::Task<Result<network::PodNetworkInfo>> setup(network::PodNetworkRequest request) override {
    std::string pod_key = request.pod_key;
    Result<network::PodNetworkInfo> r = co_await network_.setup(std::move(request));
    if (r) co_await proxy_.admit(std::move(pod_key), r->ips);
    co_return r;
  }
  async::Task<Result<void>> set_pod_cidrs(std::vector<network::Prefix> cidrs) override { return network_.set_pod_cidrs(std::move(cidrs)); }
  bool ready() const override { return network_.ready(); }
  async::Task<Result<void>> teardown(std::string pod_uid) override { return network_.teardown(std::move(pod_uid)); }
  std::vector<network::PodNetworkInfo> list() const override { return network_.list(); }
  async::Task<Result<std::vector<std::string>>> reconcile(std::vector<std::string> live_pod_uids) override { return network_.reconcile(std::move(live_pod_uids)); }
  async::Task<Result<void>> guard() override { return network_.guard(); }

 private:
  network::PodNetwork& network_;
  proxy::Proxy& proxy_;
};

}  // namespace onebin::agent
