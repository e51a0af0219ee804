// Namespace deletion: everything in it goes, pods before the rest (KEP-5080), then the namespace itself.
#include "controllers.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/log.hpp>
#include <onebin/client/objects.hpp>
#include <onebin/client/resources.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

namespace v1 = api::core::v1;
using client::DiscoveredResource;
constexpr Duration kFirstRetry = 100ms;

struct Remaining {
  int objects = 0;
  std::map<std::string, int> by_resource;   // "pods." -> 2
  std::map<std::string, int> by_finalizer;  // finalizer -> objects that wait for it
  std::int64_t grace_seconds = 0;           // the longest that pods still have
  std::vector<std::string> failures;
};

class Namespaces final : public Controller {
 public:
  explicit Namespaces(Context& c) : Controller(c, "namespace-controller"), namespaces_(c.informers->get<v1::Namespace>()) {
    needs(namespaces_);
    namespaces_.on_event([this](const std::string& key, const v1::Namespace*, const v1::Namespace* now) {
      if (now && now->metadata.deletion_timestamp) queue_.add(key);
    });
  }

 private:
  int workers() const override { return 10; }

  async::Task<ReconcileResult> reconcile(std::string name) override {
    std::optional<v1::Namespace> cached = namespaces_.get(name);
    if (!cached || !cached->metadata.deletion_timestamp) co_return ReconcileResult{};
    Result<v1::Namespace> live = co_await client_.get<v1::Namespace>("", name);
    if (!live) co_return ReconcileResult{live.is(Reason::NotFound) ? Status() : live.status()};
    v1::Namespace ns = std::move(*live);
    if (!ns.metadata.deletion_timestamp || ns.spec.finalizers.empty()) co_return ReconcileResult{};

    // What a group serves that does not answer stays, and the namespace with it; the rest goes.
    std::vector<std::string> unknown;
    Result<std::vector<DiscoveredResource>> resources = co_await client::discover(client_, &unknown);
    std::string undiscovered;
    if (!unknown.empty())
      undiscovered = "Discovery failed for some groups, " + std::to_string(unknown.size()) + " failing: unable to retrieve the complete list of server APIs: " + join(unknown, ", ");
    Remaining left;
    if (!resources) {
      co_await write_conditions(ns, left, resources.status().message());
      co_return ReconcileResult{resources.status()};
    }
    // Pods first: what they use must outlive them.
    for (bool pods : {true, false}) {
      for (const auto& r : *resources) {
        bool is_pods = r.group.empty() && r.plural == "pods";
        if (is_pods != pods || !r.namespaced || !r.has_verb("delete") || !r.has_verb("list")) continue;
        co_await clear(r, name, &left);
      }
      if (pods && left.objects > 0) break;
    }
    bool empty = left.objects == 0 && left.failures.empty() && unknown.empty();
    if (!empty) {
      co_await write_conditions(ns, left, undiscovered);
      Duration again = left.grace_seconds > 0 ? std::max<Duration>(std::chrono::seconds(left.grace_seconds) / 2 + 500ms, kFirstRetry) : Duration(kFirstRetry * 5);
      co_return ReconcileResult{Status(), std::min<Duration>(again, 5s)};
    }
    co_return ReconcileResult{co_await finalize(ns)};
  }

  // Deletes a resource's objects in the namespace, then counts what is left.
  async::Task<void> clear(DiscoveredResource r, std::string ns, Remaining* left) {
    std::string path = r.path(ns);
    if (r.has_verb("deletecollection")) {
      client::ApiRequest q = client_.delete_request(path, {});
      q.body = R"({"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background"})";
      q.accept = "application/json";
      Result<std::string> done = co_await client_.raw(std::move(q));
      if (!done && !done.is(Reason::NotFound) && !done.is(Reason::MethodNotAllowed)) {
        left->failures.push_back(r.plural + ": " + done.status().message());
        co_return;
      }
    }
    client::ApiRequest q;
    q.path = path;
    q.accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
    Result<std::string> body = co_await client_.raw(std::move(q));
    if (!body) {
      if (!body.is(Reason::NotFound) && !body.is(Reason::MethodNotAllowed)) left->failures.push_back(r.plural + ": " + body.status().message());
      co_return;
    }
    nlohmann::json list = nlohmann::json::parse(*body, nullptr, false);
    if (!list.is_object() || !list.contains("items") || !list["items"].is_array()) co_return;
    for (const auto& item : list["items"]) {
      ++left->objects;
      ++left->by_resource[r.plural + "." + r.group];
      const auto& meta = item.value("metadata", nlohmann::json::object());
      if (meta.contains("finalizers") && meta["finalizers"].is_array())
        for (const auto& f : meta["finalizers"])
          if (f.is_string()) ++left->by_finalizer[f.get<std::string>()];
      left->grace_seconds = std::max(left->grace_seconds, meta.value("deletionGracePeriodSeconds", std::int64_t{0}));
    }
  }

  static v1::NamespaceCondition condition(std::string type, bool bad, std::string reason, std::string message, WallTime now) {
    v1::NamespaceCondition c;
    c.type = std::move(type);
    c.status = bad ? "True" : "False";
    c.reason = std::move(reason);
    c.message = std::move(message);
    c.last_transition_time = now;
    return c;
  }

  async::Task<void> write_conditions(v1::Namespace ns, Remaining left, std::string discovery_failure) {
    WallTime now = context_.now();
    auto list = [](const std::map<std::string, int>& m, const char* what) {
      std::vector<std::string> parts;
      for (const auto& [k, n] : m) parts.push_back(k + what + std::to_string(n) + " resource instances");
      return join(parts, ", ");
    };
    std::vector<v1::NamespaceCondition> wanted;
    bool bad = !discovery_failure.empty();
    wanted.push_back(condition("NamespaceDeletionDiscoveryFailure", bad, bad ? "DiscoveryFailed" : "ResourcesDiscovered",
                               bad ? discovery_failure : "All resources successfully discovered", now));
    wanted.push_back(condition("NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions", "All legacy kube types successfully parsed", now));
    bad = !left.failures.empty();
    wanted.push_back(condition("NamespaceDeletionContentFailure", bad, bad ? "ContentDeletionFailed" : "ContentDeleted",
                               bad ? "Failed to delete all resource types, " + std::to_string(left.failures.size()) + " remaining: " + join(left.failures, ", ")
                                   : "All content successfully deleted, may be waiting on finalization", now));
    bad = left.objects > 0;
    wanted.push_back(condition("NamespaceContentRemaining", bad, bad ? "SomeResourcesRemain" : "ContentRemoved",
                               bad ? "Some resources are remaining: " + list(left.by_resource, " has ") : "All content successfully removed", now));
    bad = !left.by_finalizer.empty();
    wanted.push_back(condition("NamespaceFinalizersRemaining", bad, bad ? "SomeFinalizersRemain" : "ContentHasNoFinalizers",
                               bad ? "Some content in the namespace has finalizers remaining: " + list(left.by_finalizer, " in ") : "All content-preserving finalizers finished", now));
    bool changed = false;
    for (auto& w : wanted) {
      auto old = std::find_if(ns.status.conditions.begin(), ns.status.conditions.end(), [&](const auto& c) { return c.type == w.type; });
      if (old != ns.status.conditions.end() && old->status == w.status && old->message == w.message && old->reason == w.reason) continue;
      changed = true;
      if (old == ns.status.conditions.end()) {
        ns.status.conditions.push_back(w);
      } else {
        if (old->status == w.status) w.last_transition_time = old->last_transition_time;
        *old = w;
      }
    }
    if (!changed) co_return;
    Result<v1::Namespace> r = co_await client_.update(std::move(ns), "status");
    if (!r && !r.is(Reason::NotFound) && !r.is(Reason::Conflict)) log_debug("namespace conditions not written", {{"error", r.status()}});
  }

  async::Task<Status> finalize(v1::Namespace ns) {
    std::erase(ns.spec.finalizers, "kubernetes");
    Result<v1::Namespace> r = co_await client_.update(std::move(ns), "finalize");
    co_return r.is(Reason::NotFound) ? Status() : r.status();
  }

  client::Informer<v1::Namespace>& namespaces_;
};

}  // namespace

std::unique_ptr<Controller> make_namespace_controller(Context& c) { return std::make_unique<Namespaces>(c); }

}  // namespace onebin::controller
