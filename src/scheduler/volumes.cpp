#include "volumes.hpp"

#include "framework.hpp"

#include <onebin/apimachinery/field_error.hpp>

#include <algorithm>

namespace onebin::scheduler {
namespace {

using apimachinery::go_quote;

std::string name_in(const std::string& key) { return key.substr(key.find('/') + 1); }

bool owned_by(const Claim& claim, const PodInfo& pod) {
  return std::any_of(claim.metadata.owner_references.begin(), claim.metadata.owner_references.end(),
                     [&](const auto& o) { return o.controller && *o.controller && o.uid == pod.uid; });
}

// A class's allowedTopologies admit a node when any term's expressions all hold.
bool allowed(const StorageClass& c, const NodeInfo& node) {
  if (c.allowed_topologies.empty()) return true;
  for (const auto& term : c.allowed_topologies) {
    bool all = true;
    for (const auto& e : term.match_label_expressions) {
      auto label = node.labels.find(e.key);
      all = all && label != node.labels.end() && std::find(e.values.begin(), e.values.end(), label->second) != e.values.end();
    }
    if (all) return true;
  }
  return false;
}

// Why one claim keeps its pod from every node; "" when it does not.
std::string refusal_of(const PodInfo& pod, const std::string& key, const std::optional<Claim>& claim) {
  bool own = pod.requirements && pod.requirements->own_claims.count(key);
  if (!claim) {
    if (own) return "waiting for ephemeral volume controller to create the persistentvolumeclaim " + go_quote(name_in(key));
    return "persistentvolumeclaim " + go_quote(name_in(key)) + " not found";
  }
  if (claim->status.phase == "Lost") return "persistentvolumeclaim " + go_quote(name_in(key)) + " bound to non-existent persistentvolume " + go_quote(claim->spec.volume_name);
  if (claim->metadata.deletion_timestamp) return "persistentvolumeclaim " + go_quote(name_in(key)) + " is being deleted";
  if (own && !owned_by(*claim, pod)) return "PVC " + key + " was not created for pod " + pod.key() + " (pod is not owner)";
  return {};
}

}  // namespace

KnownVolume::KnownVolume(Volume v) : volume(std::move(v)) {
  if (!volume.spec.node_affinity || !volume.spec.node_affinity->required) return;
  anywhere = false;
  for (const auto& t : volume.spec.node_affinity->required->node_selector_terms) terms.push_back(node_term(t));
}
bool KnownVolume::reachable(const NodeInfo& node) const {
  return anywhere || std::any_of(terms.begin(), terms.end(), [&](const auto& t) { return matches_term(t, node); });
}

VolumeNeeds volume_needs(const PodInfo& pod, const VolumeView& view) {
  VolumeNeeds needs;
  for (const auto& key : pod.shape->claims) {
    std::optional<Claim> claim = view.claim(key);
    needs.refusal = refusal_of(pod, key, claim);
    if (!needs.refusal.empty()) return needs;
    if (client::is_fully_bound(*claim)) {
      std::optional<Volume> v = view.volume(claim->spec.volume_name);
      if (v) needs.bound.emplace_back(std::move(*v));
      else needs.lost = true;
      continue;
    }
    std::string name = client::class_of(*claim);
    std::optional<StorageClass> c = name.empty() ? std::nullopt : view.storage_class(name);
    // The controller binds it, at once or, where a volume is named already, soon.
    if (!c || !client::waits_for_consumer(*c) || !claim->spec.volume_name.empty()) {
      needs.refusal = "pod has unbound immediate PersistentVolumeClaims";
      return needs;
    }
    needs.classes.emplace(name, std::move(*c));
    needs.unbound.push_back(std::move(*claim));
  }
  if (needs.unbound.empty()) return needs;
  for (auto& v : view.volumes())
    if (needs.classes.count(client::class_of(v))) needs.candidates.emplace_back(std::move(v));
  // The smallest claim first, so that it does not take what a larger one needs.
  auto size = [](const Claim& c) {
    auto it = c.spec.resources.requests.find("storage");
    return it == c.spec.resources.requests.end() ? apimachinery::Quantity() : it->second;
  };
  std::sort(needs.unbound.begin(), needs.unbound.end(), [&](const Claim& a, const Claim& b) {
    return size(a) != size(b) ? size(a) < size(b) : a.metadata.name < b.metadata.name;
  });
  return needs;
}

NodeVolumes place_volumes(const VolumeNeeds& needs, const NodeInfo& node) {
  NodeVolumes out;
  auto fail = [&](const char* why) {
    out = {};
    out.problem = why;
    return out;
  };
  if (needs.lost) return fail("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)");
  for (const auto& v : needs.bound)
    if (!v.reachable(node)) return fail("node(s) didn't match PersistentVolume's node affinity");
  std::vector<const Volume*> candidates;
  std::map<std::string, const KnownVolume*> known;
  for (const auto& c : needs.candidates) {
    candidates.push_back(&c.volume);
    known[c.volume.metadata.name] = &c;
  }
  std::set<std::string> taken;
  client::VolumeChoice choice;
  choice.reachable = [&](const Volume& v) { return known.at(v.metadata.name)->reachable(node); };
  choice.taken = &taken;
  constexpr char kNone[] = "node(s) didn't find available persistent volumes to bind";
  for (const auto& claim : needs.unbound) {
    auto selected = claim.metadata.annotations.find(client::kSelectedNode);
    if (selected != claim.metadata.annotations.end() && selected->second != node.name) return fail(kNone);
    const Volume* v = selected == claim.metadata.annotations.end() ? client::choose_volume(claim, candidates, choice) : nullptr;
    if (v) {
      taken.insert(v->metadata.name);
      out.bindings.emplace_back(claim, *v);
      continue;
    }
    const StorageClass& c = needs.classes.at(client::class_of(claim));
    if (c.provisioner.empty() || c.provisioner == client::kNoProvisioner || !allowed(c, node)) return fail(kNone);
    out.provisions.push_back(claim);
  }
  return out;
}

}  // namespace onebin::scheduler
