#include "proxy/policy_watch.hpp"

#include <onebin/async/timer.hpp>
#include <onebin/base/log.hpp>

namespace onebin::proxy {

namespace {
namespace core1 = api::core::v1;
using ApiPolicy = api::networking::v1::NetworkPolicy;

constexpr Duration kForgetAfter = 30s;  // without a policy: one that is replaced shall not cost a list of all pods

Bytes reduced_pod(const Bytes& object) {
  auto pod = api::from_protobuf<core1::Pod>(*object);
  return pod ? std::make_shared<const std::string>(api::to_protobuf(reduced(*pod))) : object;
}
}  // namespace

PolicyWatch::PolicyWatch(client::Client& client, std::string node_name, std::vector<Ip> dns, std::function<void()> changed)
    : client_(client), node_name_(std::move(node_name)), dns_(std::move(dns)), changed_(std::move(changed)), policies_(client), state_(*this, dns_) {
  policies_.on_event([this](const std::string& key, const ApiPolicy*, const ApiPolicy* now) {
    state_.set_policy(key, now ? std::optional<Policy>(project_policy(*now)) : std::nullopt);
    woken_.notify();
    changed_();
  });
}

std::optional<PolicyPod> PolicyWatch::project(const std::string& key, const core1::Pod& pod) const {
  auto expected = expected_.find(key);
  if (expected == expected_.end()) return project_pod(pod, node_name_);
  core1::Pod with = pod;
  with.status.pod_ips.clear();
  for (const auto& ip : expected->second) with.status.pod_ips.push_back({ip.to_string()});
  return project_pod(with, node_name_);
}

std::optional<PolicyPod> PolicyWatch::get(const std::string& key) const {
  auto pod = pods_ ? pods_->get(key) : std::nullopt;
  return pod ? project(key, *pod) : std::nullopt;
}

void PolicyWatch::for_each(const std::function<void(const std::string& key, const PolicyPod& pod)>& fn) const {
  if (!pods_) return;
  pods_->for_each([&](const std::string& key, const core1::Pod& object) {
    if (auto pod = project(key, object)) fn(key, *pod);
  });
}

void PolicyWatch::on_pod(const std::string& key, const core1::Pod* before, const core1::Pod* now) {
  std::optional<PolicyPod> was = before ? project(key, *before) : std::nullopt;
  if (auto expected = expected_.find(key); expected != expected_.end()) {
    auto told = now ? project_pod(*now, node_name_) : std::nullopt;
    if (!now || (told && told->ips == expected->second)) expected_.erase(expected);
  }
  state_.change_pod(key, was, now ? project(key, *now) : std::nullopt);
  pod_waiters_.wake_all();
  if (state_.changed()) changed_();
}

async::Task<Result<bool>> PolicyWatch::expect(std::string pod_key, std::vector<Ip> ips) {
  if (Result<void> r = co_await wait_ready(); !r) co_return r.status();
  while (pods_) {
    std::optional<PolicyPod> before = get(pod_key);
    expected_[pod_key] = ips;
    if (std::optional<PolicyPod> now = get(pod_key)) {
      state_.change_pod(pod_key, before, now);
      co_return state_.selects(*now);
    }
    expected_.erase(pod_key);
    Status s = co_await pod_waiters_.wait();
    if (!s) co_return s;
  }
  co_return false;
}

async::Task<Result<void>> PolicyWatch::wait_ready() {
  while (!ready_) {
    Status s = co_await ready_waiters_.wait();
    if (!s) co_return s;
  }
  co_return Result<void>();
}

async::Task<Result<void>> PolicyWatch::read_cluster() {
  client::RawInformer::Options reduce;
  reduce.reduce = reduced_pod;
  pods_ = std::make_unique<Pods>(client_, reduce);
  namespaces_ = std::make_unique<Namespaces>(client_);
  pods_->on_event([this](const std::string& key, const core1::Pod* before, const core1::Pod* now) { on_pod(key, before, now); });
  namespaces_->on_event([this](const std::string& key, const core1::Namespace*, const core1::Namespace* now) {
    state_.set_namespace(key, now ? std::optional<Labels>(now->metadata.labels) : std::nullopt);
    if (state_.changed()) changed_();
  });
  pods_->start();
  namespaces_->start();
  Result<void> r = co_await pods_->wait_synced();
  if (r) r = co_await namespaces_->wait_synced();
  co_return r;
}

async::Task<void> PolicyWatch::forget_cluster() {
  co_await pods_->stop();
  co_await namespaces_->stop();
  pods_.reset();
  namespaces_.reset();
  expected_.clear();
  state_.forget_cluster();
  pod_waiters_.wake_all();
}

async::Task<Result<void>> PolicyWatch::run() {
  policies_.start();
  Result<void> r = co_await policies_.wait_synced();
  while (r) {
    if (state_.size() && !pods_) {
      ready_ = false;
      r = co_await read_cluster();
      if (!r) break;
      log_info("network policies are enforced", {{"policies", state_.size()}});
    }
    ready_ = true;
    ready_waiters_.wake_all();
    changed_();
    if (state_.size() || !pods_) {
      r = co_await woken_.wait();
      continue;
    }
    r = co_await async::with_timeout(kForgetAfter, woken_.wait());
    if (!r.is(Reason::Timeout)) continue;
    r = Result<void>();
    if (!state_.size() && !state_.changed()) co_await forget_cluster();
  }
  co_return r;
}

async::Task<void> PolicyWatch::stop() {
  co_await policies_.stop();
  if (pods_) co_await forget_cluster();
}

}  // namespace onebin::proxy
