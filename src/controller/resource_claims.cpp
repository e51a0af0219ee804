// ResourceClaims: those that pods ask for by template are made, reservations of pods that are over are taken back, and what
// nobody uses any more is freed. Source: Kubernetes documentation, "Dynamic Resource Allocation".
#include "controllers.hpp"
#include "pods.hpp"

#include <onebin/api/resource_v1.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace onebin::controller {
namespace {

namespace v1 = api::core::v1;
using api::resource::v1::ResourceClaim;
using api::resource::v1::ResourceClaimTemplate;
constexpr char kFinalizer[] = "resource.kubernetes.io/delete-protection", kPodClaim[] = "resource.kubernetes.io/pod-claim-name";
const std::string kClaim = "claim ", kPod = "pod ";

// Never to run again: finished, or deleted before it had a node.
bool is_done(const Pod& p) { return is_finished(p) || (p.metadata.deletion_timestamp && p.spec.node_name.empty()); }

// The name that the server completes: at most 57 characters, of which both parts keep their share.
std::string claim_base(const std::string& pod, const std::string& claim) {
  constexpr std::size_t kMost = 57;
  std::string all = pod + "-" + claim + "-";
  if (all.size() <= kMost) return all;
  return pod.substr(0, pod.size() * kMost / all.size()) + "-" + claim.substr(0, claim.size() * kMost / all.size());
}

class ResourceClaims final : public Controller {
 public:
  explicit ResourceClaims(Context& c)
      : Controller(c, "resource-claim-controller"), pods_(c.informers->get<Pod>()), claims_(c.informers->get<ResourceClaim>()),
        templates_(c.informers->get<ResourceClaimTemplate>()), owned_(claims_) {
    needs(pods_);
    needs(claims_);
    needs(templates_);
    pods_.on_event([this](const std::string& key, const Pod* before, const Pod* now) {
      const Pod& p = now ? *now : *before;
      if (p.spec.resource_claims.empty()) return;
      if (now && !is_done(*now)) queue_.add(kPod + key);
      if (now && !is_done(*now)) return;
      waiting_.erase(key);
      for (const auto& name : claim_names(p)) queue_.add(kClaim + client::object_key(p.metadata.namespace_, name));
    });
    claims_.on_event([this](const std::string& key, const ResourceClaim* before, const ResourceClaim* now) {
      if (now) queue_.add(kClaim + key);
      else if (const auto* o = controller_of(*before); o && o->kind == "Pod") queue_.add(kPod + client::object_key(before->metadata.namespace_, o->name));
    });
    templates_.add_handler([this](const std::string&, const Bytes&, const Bytes&) {
      for (const auto& key : waiting_) queue_.add(kPod + key);
    });
  }

 private:
  static std::vector<std::string> claim_names(const Pod& p) {
    std::vector<std::string> out;
    for (const auto& c : p.spec.resource_claims)
      if (c.resource_claim_name) out.push_back(*c.resource_claim_name);
    for (const auto& s : p.status.resource_claim_statuses)
      if (s.resource_claim_name) out.push_back(*s.resource_claim_name);
    return out;
  }

  async::Task<ReconcileResult> reconcile(std::string key) override {
    Status s;
    if (key.starts_with(kPod)) s = co_await sync_pod(key.substr(kPod.size()));
    else s = co_await sync_claim(key.substr(kClaim.size()));
    co_return ReconcileResult{s.is(Reason::NotFound) ? Status() : s};
  }

  // --- Pods

  async::Task<Status> sync_pod(std::string key) {
    std::optional<Pod> p = pods_.get(key);
    if (!p || p->metadata.deletion_timestamp || is_done(*p)) co_return Status();
    std::map<std::string, std::string> made;
    for (const auto& c : p->spec.resource_claims) {
      if (!c.resource_claim_template_name || has_claim(*p, c.name)) continue;
      Result<std::string> name = co_await claim_for(*p, c);
      if (name) {
        made[c.name] = *name;
        continue;
      }
      if (ends_with_namespace(name.status())) co_return Status();
      events_.event(client::ref_of(*p), "Warning", "FailedResourceClaimCreation", "PodResourceClaim " + c.name + ": " + name.status().message());
      // Its coming brings the pod back.
      if (name.is(Reason::NotFound)) {
        waiting_.insert(key);
        co_return Status();
      }
      co_return name.status();
    }
    waiting_.erase(key);
    if (made.empty()) co_return Status();
    for (const auto& s : p->status.resource_claim_statuses)
      if (s.resource_claim_name) made.try_emplace(s.name, *s.resource_claim_name);
    nlohmann::json patch;
    patch["metadata"]["uid"] = p->metadata.uid;
    auto& list = patch["status"]["resourceClaimStatuses"] = nlohmann::json::array();
    for (const auto& [name, claim] : made) list.push_back({{"name", name}, {"resourceClaimName", claim}});
    Result<Pod> r = co_await client_.patch<Pod>(p->metadata.namespace_, p->metadata.name, PatchType::StrategicMerge, patch.dump(), "status");
    co_return r.status();
  }

  // The pod's status names a claim for `name`, and that is there and the pod's.
  bool has_claim(const Pod& p, const std::string& name) const {
    for (const auto& s : p.status.resource_claim_statuses) {
      if (s.name != name) continue;
      if (!s.resource_claim_name) return true;  // told that none is needed
      std::optional<ResourceClaim> c = claims_.get(p.metadata.namespace_, *s.resource_claim_name);
      const auto* o = c ? controller_of(*c) : nullptr;
      return o && o->uid == p.metadata.uid;
    }
    return false;
  }

  async::Task<Result<std::string>> claim_for(Pod p, v1::PodResourceClaim wanted) {
    // Made before, but not told to the pod yet.
    for (const auto& c : owned_.owned_by(p.metadata.uid)) {
      auto it = c.metadata.annotations.find(kPodClaim);
      if (it != c.metadata.annotations.end() && it->second == wanted.name) co_return Result<std::string>(c.metadata.name);
    }
    const std::string& name = *wanted.resource_claim_template_name;
    std::optional<ResourceClaimTemplate> t = templates_.get(p.metadata.namespace_, name);
    if (!t) co_return Status(Reason::NotFound, "resource claim template \"" + name + "\": resourceclaimtemplate.resource.k8s.io \"" + name + "\" not found");
    ResourceClaim c;
    c.metadata.generate_name = claim_base(p.metadata.name, wanted.name);
    c.metadata.labels = t->spec.metadata.labels;
    c.metadata.annotations = t->spec.metadata.annotations;
    c.metadata.annotations[kPodClaim] = wanted.name;
    c.metadata.owner_references = {controller_ref(p)};
    c.metadata.owner_references[0].block_owner_deletion.reset();
    c.spec = t->spec.spec;
    Result<ResourceClaim> made = co_await client_.create(p.metadata.namespace_, std::move(c));
    if (!made) co_return made.status().with_context("create ResourceClaim");
    co_return Result<std::string>(made->metadata.name);
  }

  // --- Claims

  async::Task<Result<bool>> still_reserved(std::string ns, api::resource::v1::ResourceClaimConsumerReference r) {
    if (!r.api_group.empty() || r.resource != "pods") co_return Result<bool>(true);
    std::optional<Pod> p = pods_.get(ns, r.name);
    if (!p) {
      Result<Pod> now = co_await client_.get<Pod>(ns, r.name);
      if (!now && !now.is(Reason::NotFound)) co_return now.status();
      if (now) p = std::move(*now);
    }
    co_return Result<bool>(p && p->metadata.uid == r.uid && !is_done(*p));
  }

  async::Task<Status> sync_claim(std::string key) {
    std::optional<ResourceClaim> c = claims_.get(key);
    if (!c) co_return Status();
    decltype(c->status.reserved_for) left;
    for (const auto& r : c->status.reserved_for) {
      Result<bool> keep = co_await still_reserved(c->metadata.namespace_, r);
      if (!keep) co_return keep.status();
      if (*keep) left.push_back(r);
    }
    auto& f = c->metadata.finalizers;
    bool held = std::find(f.begin(), f.end(), kFinalizer) != f.end();
    bool given_back = left.size() < c->status.reserved_for.size(), unused = left.empty();
    if (given_back || (held && unused && c->metadata.deletion_timestamp)) {
      c->status.reserved_for = std::move(left);
      if (unused && held) c->status.allocation.reset();
      Result<ResourceClaim> r = co_await client_.update(std::move(*c), "status");
      if (!r) co_return r.status();
      c = std::move(*r);
      if (held && !c->status.allocation) {
        std::erase(c->metadata.finalizers, kFinalizer);
        r = co_await client_.update(std::move(*c));
        if (!r) co_return r.status();
        c = std::move(*r);
      }
    }
    if (unused && !c->metadata.deletion_timestamp) co_return co_await remove_unused(std::move(*c));
    co_return Status();
  }

  // A claim that was made for a pod goes when that will not run any more.
  async::Task<Status> remove_unused(ResourceClaim c) {
    const auto* o = controller_of(c);
    if (!o || o->kind != "Pod") co_return Status();
    std::optional<Pod> p = pods_.get(c.metadata.namespace_, o->name);
    if (!p || (p->metadata.uid == o->uid && !is_done(*p))) co_return Status();
    client::DeleteOptions options;
    options.uid = c.metadata.uid;
    Result<void> r = co_await client_.remove<ResourceClaim>(c.metadata.namespace_, c.metadata.name, options);
    co_return r.status();
  }

  client::Informer<Pod>& pods_;
  client::Informer<ResourceClaim>& claims_;
  client::Informer<ResourceClaimTemplate>& templates_;
  OwnerIndex<ResourceClaim> owned_;
  std::set<std::string> waiting_;  // pods whose template is not there
};

}  // namespace

std::unique_ptr<Controller> make_resource_claim_controller(Context& c) { return std::make_unique<ResourceClaims>(c); }

}  // namespace onebin::controller
