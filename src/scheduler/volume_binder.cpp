#include "volume_binder.hpp"

#include <onebin/apimachinery/field_error.hpp>
#include <onebin/async/timer.hpp>

#include <algorithm>

namespace onebin::scheduler {
namespace {
constexpr Duration kWriteLimit = 30s;
constexpr Duration kBindLimit = 10min;  // upstream's bindTimeoutSeconds
}  // namespace

VolumeBinder::VolumeBinder(client::Client& client, client::Informers& informers)
    : client_(client), claim_informer_(informers.get<Claim>()), volume_informer_(informers.get<Volume>()), classes_(informers.get<StorageClass>()), claims_(claim_informer_), volumes_(volume_informer_) {}

void VolumeBinder::start(std::function<void()> changed) {
  auto tell = [this, changed = std::move(changed)](const std::string&, const Bytes&, const Bytes&) {
    changes_.wake_all();
    changed();
  };
  claim_informer_.add_handler(tell);
  volume_informer_.add_handler(tell);
  classes_.add_handler(tell);
}
async::Task<Result<void>> VolumeBinder::wait_synced() {
  CO_RETURN_IF_ERROR(co_await claim_informer_.wait_synced());
  CO_RETURN_IF_ERROR(co_await volume_informer_.wait_synced());
  co_return co_await classes_.wait_synced();
}

std::vector<Volume> VolumeBinder::volumes() const {
  std::vector<Volume> out;
  volumes_.for_each([&](const std::string&, const Volume& v) { out.push_back(v); });
  return out;
}

NodeVolumes VolumeBinder::assume(const PodInfo& pod, const NodeInfo& node) {
  NodeVolumes plan = place_volumes(volume_needs(pod, *this), node);
  for (auto& [claim, volume] : plan.bindings)
    if (client::bind_to_claim(volume, claim)) volumes_.assume(volume);
  for (auto& claim : plan.provisions) {
    claim.metadata.annotations[client::kSelectedNode] = node.name;
    claims_.assume(claim);
  }
  return plan;
}

void VolumeBinder::revert(const NodeVolumes& plan) {
  for (const auto& [claim, volume] : plan.bindings) volumes_.revert(volume.metadata.name);
  for (const auto& claim : plan.provisions) claims_.revert(client::object_key(claim.metadata.namespace_, claim.metadata.name));
}

async::Task<Result<void>> VolumeBinder::bind(NodeVolumes plan, std::string node, std::function<bool()> wanted) {
  if (plan.bindings.empty() && plan.provisions.empty()) co_return Result<void>();
  Result<void> written = co_await write(&plan);
  if (!written) {
    revert(plan);
    co_return written;
  }
  std::vector<std::string> claims, provisioned;
  for (const auto& [claim, volume] : plan.bindings) claims.push_back(client::object_key(claim.metadata.namespace_, claim.metadata.name));
  for (const auto& claim : plan.provisions) provisioned.push_back(client::object_key(claim.metadata.namespace_, claim.metadata.name));
  co_return co_await async::with_timeout(kBindLimit, wait_bound(std::move(claims), std::move(provisioned), std::move(node), std::move(wanted)));
}

async::Task<Result<void>> VolumeBinder::write(NodeVolumes* plan) {
  for (auto& [claim, volume] : plan->bindings) {
    Result<Volume> r = co_await async::with_timeout(kWriteLimit, client_.update(volume));
    if (!r) co_return r.status();
    volumes_.put(std::move(*r));
  }
  for (auto& claim : plan->provisions) {
    Result<Claim> r = co_await async::with_timeout(kWriteLimit, client_.update(claim));
    if (!r) co_return r.status();
    claims_.put(std::move(*r));
  }
  co_return Result<void>();
}

Result<bool> VolumeBinder::all_bound(const std::vector<std::string>& claims, const std::vector<std::string>& provisioned, const std::string& node) const {
  bool all = true;
  for (const auto* keys : {&claims, &provisioned})
    for (const auto& key : *keys) {
      std::optional<Claim> c = claims_.get(key);
      if (!c) return Status(Reason::NotFound, "failed to check provisioning pvc: could not find v1.PersistentVolumeClaim " + apimachinery::go_quote(key));
      auto selected = c->metadata.annotations.find(client::kSelectedNode);
      if (keys == &provisioned && (selected == c->metadata.annotations.end() || selected->second != node))
        return Status(Reason::InternalError, "provisioning failed for PVC " + apimachinery::go_quote(c->metadata.name));
      all = all && client::is_fully_bound(*c);
    }
  return all;
}

async::Task<Result<void>> VolumeBinder::wait_bound(std::vector<std::string> claims, std::vector<std::string> provisioned, std::string node, std::function<bool()> wanted) {
  for (;;) {
    if (!wanted()) co_return Status(Reason::NotFound, "pod does not exist any more");
    Result<bool> done = all_bound(claims, provisioned, node);
    if (!done) co_return done.status();
    if (*done) co_return Result<void>();
    Status s = co_await changes_.wait();
    if (!s) co_return s;
  }
}

}  // namespace onebin::scheduler
