// The scheduler's hand in volume binding: what it knows of claims, volumes and classes, and the writes that go before a
// pod's own binding. Source of the order: upstream's VolumeBinding plug-in (Reserve, PreBind).
#pragma once
#include "volumes.hpp"

#include <onebin/api/storage_v1.hpp>
#include <onebin/async/channel.hpp>
#include <onebin/client/client.hpp>
#include <onebin/client/informers.hpp>
#include <onebin/client/latest.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace onebin::scheduler {

class VolumeBinder final : public VolumeView {
 public:
  VolumeBinder(client::Client& client, client::Informers& informers);
  // `changed` is called when a pod that waits for volumes may fit now.
  void start(std::function<void()> changed);
  async::Task<Result<void>> wait_synced();

  std::optional<Claim> claim(const std::string& key) const override { return claims_.get(key); }
  std::optional<Volume> volume(const std::string& name) const override { return volumes_.get(name); }
  std::optional<StorageClass> storage_class(const std::string& name) const override { return classes_.get(name); }
  std::vector<Volume> volumes() const override;

  // Notes for coming cycles what bind() is going to write.
  NodeVolumes assume(const PodInfo& pod, const NodeInfo& node);
  void revert(const NodeVolumes& plan);
  // Writes the plan and waits until all claims are bound. `wanted` false: the pod has gone, no need to wait on.
  async::Task<Result<void>> bind(NodeVolumes plan, std::string node, std::function<bool()> wanted);
  void look_again() { changes_.wake_all(); }  // bind() asks `wanted` again

 private:
  async::Task<Result<void>> write(NodeVolumes* plan);
  async::Task<Result<void>> wait_bound(std::vector<std::string> claims, std::vector<std::string> provisioned, std::string node, std::function<bool()> wanted);
  Result<bool> all_bound(const std::vector<std::string>& claims, const std::vector<std::string>& provisioned, const std::string& node) const;

  client::Client& client_;
  client::Informer<Claim>& claim_informer_;
  client::Informer<Volume>& volume_informer_;
  client::Informer<StorageClass>& classes_;
  client::Latest<Claim> claims_;
  client::Latest<Volume> volumes_;
  async::WaitQueue changes_;
};

}  // namespace onebin::scheduler
