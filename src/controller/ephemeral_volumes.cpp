// Ephemeral volumes: the claim of each is made from the pod's own template, owned by the pod. Source: Kubernetes
// documentation, "Ephemeral Volumes", generic ephemeral volumes.
#include "controllers.hpp"
#include "pods.hpp"

#include <onebin/client/volume_binding.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

using client::Claim;

class EphemeralVolumes final : public Controller {
 public:
  explicit EphemeralVolumes(Context& c)
      : Controller(c, "ephemeral-volume-controller"), pods_(c.informers->get<Pod>()), claims_(c.informers->get<Claim>()) {
    needs(pods_);
    needs(claims_);
    pods_.on_event([this](const std::string& key, const Pod* before, const Pod* now) {
      if (now && !before && has_ephemeral(*now)) queue_.add(key);
    });
    claims_.on_event([this](const std::string&, const Claim* before, const Claim* now) {
      if (now) return;
      // A pod that still waits for its node needs another.
      if (const auto* o = controller_of(*before); o && o->kind == "Pod") queue_.add(client::object_key(before->metadata.namespace_, o->name));
    });
  }

 private:
  static bool has_ephemeral(const Pod& p) {
    return std::any_of(p.spec.volumes.begin(), p.spec.volumes.end(), [](const auto& v) { return static_cast<bool>(v.ephemeral); });
  }

  async::Task<ReconcileResult> reconcile(std::string key) override {
    std::optional<Pod> p = pods_.get(key);
    if (!p || p->metadata.deletion_timestamp) co_return ReconcileResult{};
    for (const auto& v : p->spec.volumes) {
      if (!v.ephemeral || !v.ephemeral->volume_claim_template) continue;
      Status s = co_await make_claim(*p, v);
      if (ends_with_namespace(s)) co_return ReconcileResult{};
      if (s) continue;
      events_.event(client::ref_of(*p), "Warning", "FailedBinding", "ephemeral volume " + v.name + ": " + s.message());
      co_return ReconcileResult{s};
    }
    co_return ReconcileResult{};
  }

  async::Task<Status> make_claim(Pod p, api::core::v1::Volume v) {
    std::string name = client::claim_name(p.metadata.name, v);
    if (std::optional<Claim> there = claims_.get(p.metadata.namespace_, name)) {
      const auto* o = controller_of(*there);
      if (o && o->uid == p.metadata.uid) co_return Status();
      co_return Status(Reason::Conflict, "PVC " + p.metadata.namespace_ + "/" + name + " was not created for pod " + p.metadata.namespace_ + "/" + p.metadata.name + " (pod is not owner)");
    }
    const auto& t = *v.ephemeral->volume_claim_template;
    Claim c;
    c.metadata.name = name;
    c.metadata.namespace_ = p.metadata.namespace_;
    c.metadata.labels = t.metadata.labels;
    c.metadata.annotations = t.metadata.annotations;
    c.metadata.owner_references = {controller_ref(p)};
    c.spec = t.spec;
    Result<Claim> made = co_await client_.create(p.metadata.namespace_, std::move(c));
    co_return made ? Status() : made.status().with_context("create PVC " + name);
  }

  client::Informer<Pod>& pods_;
  client::Informer<Claim>& claims_;
};

}  // namespace

std::unique_ptr<Controller> make_ephemeral_volume_controller(Context& c) { return std::make_unique<EphemeralVolumes>(c); }

}  // namespace onebin::controller
