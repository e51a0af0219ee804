// Which strategy each kind has, and the flags by which kinds differ. Source: behaviour of Kubernetes 1.37's registry.
#include "apiserver/registry/kinds.hpp"

#include <algorithm>
#include <string>

namespace onebin::apiserver {
namespace {

bool in(std::string_view text, std::initializer_list<std::string_view> set) { return std::find(set.begin(), set.end(), text) != set.end(); }

// Of these kinds only the name that comes of it is checked, not generateName.
apimachinery::NameProblems long_name(std::string_view name, bool prefix) { return prefix ? apimachinery::NameProblems() : apimachinery::check_name_format("k8s-long-name", name); }

class PlainStrategy final : public Strategy {
 public:
  using Strategy::Strategy;
};

}  // namespace

void set_flags(Strategy& s) {
  const KindSchema& k = *s.kind;
  std::string_view g = k.group, kind = k.kind;
  using namespace apimachinery;
  s.has_generation = (g == "apps" && kind != "ControllerRevision") ||
                     in(kind, {"Job", "CronJob", "ReplicationController", "PodDisruptionBudget", "Ingress", "IngressClass", "NetworkPolicy", "PodTemplate",
                               "EndpointSlice", "PriorityClass", "ResourceSlice", "DeviceClass", "DeviceTaintRule", "CSIDriver", "FlowSchema", "PriorityLevelConfiguration",
                               "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
                               "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "CustomResourceDefinition", "HorizontalPodAutoscaler"});
  s.create_on_update = in(kind, {"RuntimeClass", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "Lease", "LeaseCandidate", "LimitRange", "Event", "Service", "Endpoints"});
  s.unconditional_update = !in(kind, {"PodCertificateRequest", "ClusterTrustBundle", "DeviceTaintRule", "RuntimeClass", "PodDisruptionBudget", "CSIDriver", "CSIStorageCapacity", "VolumeAttachment", "CSINode",
                                      "Lease", "LeaseCandidate", "StorageVersionMigration", "ValidatingAdmissionPolicy", "MutatingAdmissionPolicy", "MutatingWebhookConfiguration",
                                      "ValidatingWebhookConfiguration", "MutatingAdmissionPolicyBinding", "ValidatingAdmissionPolicyBinding", "CustomResourceDefinition", "APIService"});
  s.returns_deleted = (g == "resource.k8s.io" && kind != "DeviceTaintRule") || (g == "storage.k8s.io" && kind != "CSIStorageCapacity") ||
                      (g.empty() && in(kind, {"ResourceQuota", "PersistentVolume", "ServiceAccount", "PersistentVolumeClaim", "Namespace", "Pod", "Service", "PodTemplate"}));
  if (kind == "Job" || kind == "ReplicationController") s.gc = GcPolicy::Orphan;
  if (kind == "Event") s.gc = GcPolicy::Unsupported;
  s.name_rule_on_update = in(kind, {"PersistentVolume", "PersistentVolumeClaim", "Pod", "Node", "LimitRange", "ServiceAccount", "Secret", "ConfigMap",
                                    "Namespace", "Endpoints", "ControllerRevision", "Ingress", "IngressClass", "EndpointSlice", "StorageClass", "VolumeAttachment",
                                    "CSINode", "CSIStorageCapacity", "FlowSchema", "PriorityLevelConfiguration", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration",
                                    "ResourceClaim", "ResourceClaimTemplate", "IPAddress", "VolumeAttributesClass", "StorageVersionMigration", "ClusterTrustBundle", "CertificateSigningRequest", "RuntimeClass",
                                    "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"});
  s.own_finalizers = !in(g, {"admissionregistration.k8s.io", "apiregistration.k8s.io", "coordination.k8s.io", "apiextensions.k8s.io"}) && !in(kind, {"PodDisruptionBudget", "RuntimeClass"}) && !(g.empty() && kind == "Event");
  if (kind == "DeviceClass") s.name_rule = long_name;
  if (g == "rbac.authorization.k8s.io") s.name_rule = name_is_path_segment;
  if (in(kind, {"ClusterTrustBundle", "IPAddress", "PodDisruptionBudget"}) || (g.empty() && kind == "Event")) s.name_rule = name_is_path_segment;
  if (g.empty() && kind == "Namespace") s.name_rule = name_is_dns_label;
  if (kind == "ReplicationController")  // what its names are made from is not looked at
    s.name_rule = [](std::string_view name, bool prefix) { return prefix ? name_is_path_segment(name, prefix) : apimachinery::name_is_dns_subdomain(name, prefix); };
  if ((g.empty() && kind == "Service") || (g == "apps" && kind == "StatefulSet")) s.name_rule = name_is_dns_label;
}

StrategyPtr make_strategy(const KindSchema& kind) {
  StrategyMaker make = kind.group.empty()         ? core_strategy(kind.kind)
                       : kind.group == "apps"     ? apps_strategy(kind.kind)
                       : kind.group == "batch"    ? batch_strategy(kind.kind)
                                                  : other_strategy(kind.group, kind.kind);
  if (make) return make(kind);
  auto s = std::make_shared<PlainStrategy>(kind);
  set_flags(*s);
  return s;
}

}  // namespace onebin::apiserver
