#include "framework.hpp"

#include <onebin/base/log.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {
constexpr Duration kExpectationLife = 5min;

// What Events name as their source is not always the controller's name.
std::string event_source(const std::string& controller) {
  static constexpr std::string_view kOthers[][2] = {{"daemon-set-controller", "daemonset-controller"},
                                                    {"disruption-controller", "controllermanager"},
                                                    {"endpointslicemirroring-controller", "endpoint-slice-mirroring-controller"},
                                                    {"ephemeral-volume-controller", "ephemeral_volume"},
                                                    {"node-ipam-controller", "cidrAllocator"},
                                                    {"node-lifecycle-controller", "node-controller"},
                                                    {"persistent-volume-binder", "persistentvolume-controller"},
                                                    {"resource-claim-controller", "resource_claim"},
                                                    {"service-cidrs-controller", "service-cidr-controller"}};
  for (const auto& [name, source] : kOthers)
    if (controller == name) return std::string(source);
  return controller;
}
}  // namespace

bool ends_with_namespace(const Status& refusal) {
  const auto& causes = refusal.details().causes;
  return std::any_of(causes.begin(), causes.end(), [](const auto& c) { return c.type == "NamespaceTerminating"; });
}

Controller::Controller(Context& context, std::string name)
    : context_(context), name_(std::move(name)), client_(context.transport_of("system:serviceaccount:kube-system:" + name_), "kube-controller-manager"),
      events_(client_, event_source(name_), ""), group_(name_) {}

void Controller::start() {
  events_.start();
  group_.spawn(run());
}

async::Task<void> Controller::stop() {
  queue_.shut_down();
  group_.cancel();
  co_await group_.join();
  co_await events_.stop();
}

async::Task<void> Controller::run() {
  for (client::RawInformer* informer : needs_) {
    Result<void> r = co_await informer->wait_synced();
    if (!r) co_return;
  }
  synced();
  if (workers() > 0) client::run_workers(group_, queue_, workers(), name_, [this](std::string key) { return reconcile(std::move(key)); });
}

void Expectations::expect(const std::string& key, int creations, std::set<std::string> deletions, SteadyTime now) {
  entries_[key] = Entry{creations, std::move(deletions), now};
}
void Expectations::creation_seen(const std::string& key) {
  auto it = entries_.find(key);
  if (it != entries_.end() && it->second.creations > 0) --it->second.creations;
}
void Expectations::deletion_seen(const std::string& key, const std::string& uid) {
  auto it = entries_.find(key);
  if (it != entries_.end()) it->second.deletions.erase(uid);
}
bool Expectations::satisfied(const std::string& key, SteadyTime now) {
  auto it = entries_.find(key);
  if (it == entries_.end()) return true;
  if (it->second.creations > 0 || !it->second.deletions.empty()) {
    if (now - it->second.since < kExpectationLife) return false;
  }
  entries_.erase(it);
  return true;
}

}  // namespace onebin::controller
