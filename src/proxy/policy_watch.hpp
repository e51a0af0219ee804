// What policy rules are made of, from the API: NetworkPolicies always, pods and namespaces only where there is a policy.
#pragma once
#include "proxy/policy_state.hpp"

#include <onebin/async/channel.hpp>
#include <onebin/client/informer.hpp>

namespace onebin::proxy {

class PolicyWatch final : private PolicyPods {
 public:
  // `changed` is called when there may be something to write; `client` outlives this.
  PolicyWatch(client::Client& client, std::string node_name, std::vector<Ip> dns, std::function<void()> changed);

  async::Task<Result<void>> run();        // until it is cancelled
  async::Task<void> stop();               // after run() has ended
  async::Task<Result<void>> wait_ready();  // until all that there was at first has been read
  bool changed() const { return ready_ && state_.changed(); }
  PolicyState::Change take() { return state_.take(); }
  network::nft::Table everything() { return state_.everything(); }
  // A pod of this node has got these addresses and does not run yet; the API tells of them later. True when a policy selects
  // it: what take() then gives isolates it.
  async::Task<Result<bool>> expect(std::string pod_key, std::vector<Ip> ips);

 private:
  using Pods = client::Informer<api::core::v1::Pod>;
  using Namespaces = client::Informer<api::core::v1::Namespace>;
  std::optional<PolicyPod> get(const std::string& key) const override;
  void for_each(const std::function<void(const std::string& key, const PolicyPod& pod)>& fn) const override;
  std::optional<PolicyPod> project(const std::string& key, const api::core::v1::Pod& pod) const;
  void on_pod(const std::string& key, const api::core::v1::Pod* before, const api::core::v1::Pod* now);
  async::Task<Result<void>> read_cluster();
  async::Task<void> forget_cluster();

  client::Client& client_;
  std::string node_name_;
  std::vector<Ip> dns_;
  std::function<void()> changed_;
  client::Informer<api::networking::v1::NetworkPolicy> policies_;
  std::unique_ptr<Pods> pods_;
  std::unique_ptr<Namespaces> namespaces_;
  std::map<std::string, std::vector<Ip>> expected_;  // addresses that the API does not tell of yet
  PolicyState state_;
  bool ready_ = false;
  async::Notify woken_;
  async::WaitQueue ready_waiters_, pod_waiters_;
};

}  // namespace onebin::proxy
