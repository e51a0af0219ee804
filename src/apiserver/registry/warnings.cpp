#include "apiserver/registry/warnings.hpp"

#include "apiserver/allocators.hpp"
#include "apiserver/registry/addresses.hpp"
#include "apiserver/registry/check.hpp"
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/base/bytes.hpp>

#include <utility>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::find_member;
using apimachinery::go_quote;
using apimachinery::member;
using apimachinery::string_at;

std::string_view deprecated_node_label(std::string_view key) {
  static constexpr std::pair<std::string_view, std::string_view> kLabels[] = {
      {"beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"},
      {"beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"},
      {"failure-domain.beta.kubernetes.io/region", "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"},
      {"failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"},
      {"beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"},
      {"app.kubernetes.io/created-by", "deprecated since v1.9"},
      {"scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"},
      {"node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"}};
  for (const auto& [label, why] : kLabels)
    if (label == key) return why;
  return {};
}

void warn_of_node_term(const WriteContext& c, const Document& term, const FieldPath& path, bool values) {
  std::size_t i = 0;
  for (const auto& e : each(term, "matchExpressions")) {
    FieldPath at = path.child("matchExpressions").index(i++);
    std::string key(string_at(e, "key"));
    if (auto why = deprecated_node_label(key); !why.empty()) c.warn(at.child("key").text() + ": " + key + " is " + std::string(why));
    if (!values) continue;
    std::size_t j = 0;
    for (const auto& v : each(e, "values")) {
      if (!v.is_string()) continue;
      for (const auto& problem : apimachinery::is_valid_label_value(v.get_ref<const std::string&>()))
        c.warn(at.child("values").index(j).text() + ": " + v.get<std::string>() + " is invalid, " + problem);
      ++j;
    }
  }
}

void warn_of_ip(const WriteContext& c, const FieldPath& path, std::string_view ip) {
  auto read = parse_address(ip), exact = IpAddress::parse(ip);
  if (!read) return;
  std::string canonical = read->to_string();
  if (!exact || exact->v6 != read->v6) c.warn(path.text() + ": non-standard IP address " + go_quote(ip) + " is invalid: use " + go_quote(canonical));
  else if (read->v6 && canonical != ip) c.warn(path.text() + ": IPv6 address " + go_quote(ip) + " should be in RFC 5952 canonical format (" + go_quote(canonical) + ")");
}

void warn_of_network(const WriteContext& c, const FieldPath& path, std::string_view cidr) {
  auto n = parse_network(cidr);
  if (!n) return;
  std::string at = path.text(), quoted = go_quote(cidr), canonical = go_quote(n->to_string());
  bool odd = false;
  auto warn = [&](const std::string& what) {
    c.warn(at + ": " + what);
    odd = true;
  };
  if (n->masked().bytes != n->base.bytes)
    warn("CIDR value " + quoted + " is ambiguous in this context (should be " + canonical + " or " + go_quote(n->base.to_string() + "/" + std::to_string(n->width())) + "?)");
  if (!is_standard_network(cidr)) warn("non-standard CIDR value " + quoted + " is invalid: use " + canonical);
  if (!odd && n->base.v6 && n->to_string() != cidr) warn("IPv6 CIDR value " + quoted + " should be in RFC 5952 canonical format (" + canonical + ")");
}

namespace {

const FieldPath kSpec("spec");

bool moved(const Document& object, const Document* old) {
  return !old || apimachinery::generation_of(object) != apimachinery::generation_of(*old);
}

void warn_of_name(const WriteContext& c, const Document& object, const char* used) {
  auto problems = apimachinery::is_dns1123_label(apimachinery::name_of(object));
  if (problems.empty()) return;
  std::string list;
  for (const auto& p : problems) list += (list.empty() ? "" : " ") + std::string(p);
  c.warn(std::string("metadata.name: this is used in ") + used + ", which can result in surprising behavior; a DNS label is recommended: [" + list + "]");
}

constexpr const char* kPodNames = "Pod names and hostnames";

void warn_of_template(const WriteContext& c, const Document& object) { warn_of_pod(c, at_path(object, {"spec", "template"}), kSpec.child("template")); }

void of_workload(const WriteContext& c, const Document& o, const Document* old) {
  if (!old) warn_of_name(c, o, kPodNames);
  if (moved(o, old)) warn_of_template(c, o);
}

// Upstream looks at the template that is replaced.
void of_controller(const WriteContext& c, const Document& o, const Document* old) {
  if (!old) of_workload(c, o, old);
  else if (moved(o, old)) warn_of_template(c, *old);
}

void of_daemon_set(const WriteContext& c, const Document& o, const Document* old) {
  auto generation = [](const Document& d) { return string_at(apimachinery::annotations_of(d), "deprecated.daemonset.template.generation"); };
  if (!old || generation(o) != generation(*old)) warn_of_template(c, o);
}

void of_stateful_set(const WriteContext& c, const Document& o, const Document* old) {
  if (moved(o, old)) warn_of_template(c, o);
  std::size_t i = 0;
  for (const auto& claim : each(member(o, "spec"), "volumeClaimTemplates")) {
    FieldPath at = kSpec.child("volumeClaimTemplates").index(i++);
    warn_of_claim_spec(c, member(claim, "spec"), old ? at.child("Spec") : at);
  }
  if (apimachinery::get_int(o, {"spec", "revisionHistoryLimit"}, 0) < 0)
    c.warn("spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended");
}

void warn_of_job_spec(const WriteContext& c, const Document& spec, const FieldPath& path) {
  if (string_at(spec, "completionMode") == "Indexed" && apimachinery::int_at(spec, "completions") > 100'000 && apimachinery::int_at(spec, "parallelism") > 10'000)
    c.warn(path.text() + ": In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail");
  warn_of_pod(c, member(spec, "template"), path.child("template"));
}

void of_job(const WriteContext& c, const Document& o, const Document* old) {
  if (!old) warn_of_name(c, o, kPodNames);
  if (moved(o, old)) warn_of_job_spec(c, member(o, "spec"), kSpec);
}

void of_cron_job(const WriteContext& c, const Document& o, const Document* old) {
  if (!old) warn_of_name(c, o, kPodNames);
  FieldPath path = kSpec.child("jobTemplate").child("spec");
  if (moved(o, old)) warn_of_job_spec(c, at_path(o, {"spec", "jobTemplate", "spec"}), path);
  if (old && apimachinery::get_string(o, {"spec", "schedule"}).find("TZ") != std::string_view::npos)
    c.warn("cannot use TZ or CRON_TZ in spec.schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details");
}

void of_pod(const WriteContext& c, const Document& o, const Document* old) {
  if (old) return;  // people seldom write pods again, controllers often
  warn_of_name(c, o, "the Pod's hostname");
  warn_of_pod(c, o, FieldPath());
}

void of_pod_template(const WriteContext& c, const Document& o, const Document* old) {
  if (moved(o, old)) warn_of_pod(c, member(o, "template"), FieldPath("template"));
}

void of_service(const WriteContext& c, const Document& o, const Document*) {
  const Document& spec = member(o, "spec");
  std::string type(string_at(spec, "type"));
  bool headless = type == "ClusterIP" && string_at(spec, "clusterIP") == "None", external_name = type == "ExternalName";
  bool external_ips = !each(spec, "externalIPs").empty();
  if (const Document& notes = apimachinery::annotations_of(o); notes.is_object() && notes.contains("service.kubernetes.io/topology-aware-hints"))
    c.warn("annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead");
  auto warn_of_ips = [&](const char* list) {
    std::size_t i = 0;
    for (const auto& ip : each(spec, list))
      if (ip.is_string()) warn_of_ip(c, kSpec.child(list).index(i++), ip.get_ref<const std::string&>());
  };
  if (!headless && !external_name) warn_of_ips("clusterIPs");
  if (headless) {
    if (!string_at(spec, "loadBalancerIP").empty()) c.warn("spec.loadBalancerIP is ignored for headless services");
    if (external_ips) c.warn("spec.externalIPs is ignored for headless services");
    if (string_at(spec, "sessionAffinity") != "None") c.warn("spec.SessionAffinity is ignored for headless services");
  }
  warn_of_ips("externalIPs");
  if (external_ips && !headless && !external_name) c.warn("spec.externalIPs is deprecated and may no longer be implemented in some clusters");
  if (!string_at(spec, "loadBalancerIP").empty()) warn_of_ip(c, kSpec.child("loadBalancerIP"), string_at(spec, "loadBalancerIP"));
  std::size_t i = 0;
  for (const auto& range : each(spec, "loadBalancerSourceRanges"))
    if (range.is_string()) warn_of_network(c, kSpec.child("loadBalancerSourceRanges").index(i++), range.get_ref<const std::string&>());
  if (external_name && external_ips) c.warn("spec.externalIPs is ignored when spec.type is \"ExternalName\"");
  if (!external_name && !string_at(spec, "externalName").empty()) c.warn("spec.externalName is ignored when spec.type is not \"ExternalName\"");
  if (string_at(spec, "trafficDistribution") == "PreferClose") c.warn("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"");
}

void of_endpoints(const WriteContext& c, const Document& o, const Document*) {
  if (string_at(apimachinery::labels_of(o), "endpoints.kubernetes.io/managed-by") == "endpoint-controller") return;
  std::size_t i = 0;
  for (const auto& s : each(o, "subsets")) {
    FieldPath at = FieldPath("subsets").index(i++);
    for (const char* list : {"addresses", "notReadyAddresses"}) {
      std::size_t j = 0;
      for (const auto& a : each(s, list)) warn_of_ip(c, at.child(list).index(j++).child("ip"), string_at(a, "ip"));
    }
  }
}

void of_endpoint_slice(const WriteContext& c, const Document& o, const Document* old) {
  if (!old && string_at(o, "addressType") == "FQDN") c.warn("spec.addressType: FQDN endpoints are deprecated");
  std::string_view by = string_at(apimachinery::labels_of(o), "endpointslice.kubernetes.io/managed-by");
  if (by == "endpointslice-controller.k8s.io" || by == "endpointslicemirroring-controller.k8s.io" || string_at(o, "addressType") == "FQDN") return;
  std::size_t i = 0;
  for (const auto& e : each(o, "endpoints")) {
    std::size_t j = 0;
    for (const auto& a : each(e, "addresses"))
      if (a.is_string()) warn_of_ip(c, FieldPath("endpoints").index(i).child("addresses").index(j++), a.get_ref<const std::string&>());
    ++i;
  }
}

void of_persistent_volume(const WriteContext& c, const Document& o, const Document*) {
  const Document& notes = apimachinery::annotations_of(o);
  for (auto [key, why] : {std::pair{"volume.beta.kubernetes.io/storage-class", "deprecated since v1.8; use \"storageClassName\" attribute instead"},
                          {"volume.beta.kubernetes.io/mount-options", "deprecated since v1.31; use \"mountOptions\" attribute instead"}})
    if (notes.is_object() && notes.contains(key)) c.warn(FieldPath("metadata").child("annotations").key(key).text() + ": " + why);
  const Document& spec = member(o, "spec");
  if (string_at(spec, "persistentVolumeReclaimPolicy") == "Recycle")
    c.warn("spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.");
  FieldPath terms = kSpec.child("nodeAffinity").child("required").child("nodeSelectorTerms");
  std::size_t i = 0;
  for (const auto& t : each(at_path(spec, {"nodeAffinity", "required"}), "nodeSelectorTerms")) warn_of_node_term(c, t, terms.index(i++), false);
  for (auto [source, why] : {std::pair{"cephfs", "v1.28, non-functional in v1.31+"}, {"photonPersistentDisk", "v1.11, non-functional in v1.16+"}, {"scaleIO", "v1.16, non-functional in v1.22+"},
                             {"storageos", "v1.22, non-functional in v1.25+"}, {"glusterfs", "v1.25, non-functional in v1.26+"}, {"rbd", "v1.28, non-functional in v1.31+"}})
    if (find_member(spec, source)) c.warn("spec." + std::string(std::string_view(source) == "storageos" ? "storageOS" : source) + ": deprecated in " + why);
}

void of_claim(const WriteContext& c, const Document& o, const Document*) {
  constexpr const char* kClass = "volume.beta.kubernetes.io/storage-class";
  const Document& notes = apimachinery::annotations_of(o);
  if (notes.is_object() && notes.contains(kClass))
    c.warn(FieldPath("metadata").child("annotations").key(kClass).text() + ": deprecated since v1.8; use \"storageClassName\" attribute instead");
  warn_of_claim_spec(c, member(o, "spec"), kSpec);
}

void of_network_policy(const WriteContext& c, const Document& o, const Document*) {
  for (auto [rules, peers] : {std::pair{"ingress", "from"}, {"egress", "to"}}) {
    const Document& list = each(member(o, "spec"), rules);
    for (std::size_t i = 0; i < list.size(); ++i)
      for (std::size_t j = 0; j < each(list[i], peers).size(); ++j) {
        const Document& block = member(each(list[i], peers)[j], "ipBlock");
        FieldPath at = kSpec.child(rules).index(i).child(peers).index(j).child("ipBlock");
        warn_of_network(c, at.child("cidr"), string_at(block, "cidr"));
        std::size_t k = 0;
        for (const auto& e : each(block, "except"))
          if (e.is_string()) warn_of_network(c, at.child("except").index(k++), e.get_ref<const std::string&>());
      }
  }
}

void of_node(const WriteContext& c, const Document& o, const Document*) {
  if (find_member(member(o, "spec"), "configSource")) c.warn("spec.configSource: the feature is removed");
  if (!apimachinery::get_string(o, {"spec", "externalID"}).empty()) c.warn("spec.externalID: this field is deprecated, and is unused by Kubernetes");
  std::size_t i = 0;
  for (const auto& range : each(member(o, "spec"), "podCIDRs")) {
    auto n = range.is_string() ? parse_network(range.get_ref<const std::string&>()) : std::nullopt;
    if (n && n->base.v6 && n->to_string() != range.get_ref<const std::string&>())
      c.warn(kSpec.child("podCIDRs").index(i).text() + ": IPv6 CIDR value " + go_quote(range.get_ref<const std::string&>()) + " should be in RFC 5952 canonical format (" + go_quote(n->to_string()) + ")");
    ++i;
  }
}

void of_resource_quota(const WriteContext& c, const Document& o, const Document* old) {
  if (old) return;
  const Document& hard = at_path(o, {"spec", "hard"});
  for (std::string name : {"cpu", "memory", "storage", "ephemeral-storage"}) {
    std::string low = "requests." + name, high = "limits." + name;
    if (string_at(hard, low).empty() && (name == "cpu" || name == "memory")) low = name;
    auto request = apimachinery::Quantity::parse(string_at(hard, low)), limit = apimachinery::Quantity::parse(string_at(hard, high));
    if (request && limit && request->nano() > limit->nano())
      c.warn("ResourceQuota " + low + " (" + std::string(string_at(hard, low)) + ") should be less than " + high + " (" + std::string(string_at(hard, high)) + ")");
  }
}

void of_service_account(const WriteContext& c, const Document& o, const Document* old) {
  constexpr const char* kEnforce = "kubernetes.io/enforce-mountable-secrets";
  auto set = [&](const Document& d) { return apimachinery::annotations_of(d).is_object() && apimachinery::annotations_of(d).contains(kEnforce); };
  if (set(o) && !(old && set(*old)))
    c.warn(std::string("metadata.annotations[") + kEnforce + "]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets");
}

// What does not even look like a certificate and its key; whether they belong together is for who reads them.
void of_secret(const WriteContext& c, const Document& o, const Document*) {
  if (string_at(o, "type") != "kubernetes.io/tls") return;
  for (auto [key, what] : {std::pair{"tls.crt", "certificate"}, {"tls.key", "key"}}) {
    auto pem = base64_decode(string_at(member(o, "data"), key));
    if (pem && pem->find("-----BEGIN ") != std::string::npos) continue;
    c.warn(std::string("tls: failed to find any PEM data in ") + what + " input");
    return;
  }
}

void warn_of_label(const WriteContext& c, const FieldPath& at, std::string_view label) {
  if (auto why = deprecated_node_label(label); !why.empty()) c.warn(at.text() + ": " + std::string(why));
}

void of_runtime_class(const WriteContext& c, const Document& o, const Document*) {
  const Document& labels = at_path(o, {"scheduling", "nodeSelector"});
  if (!labels.is_object()) return;
  for (const auto& [label, value] : labels.items()) warn_of_label(c, FieldPath("scheduling").child("nodeSelector"), label);
}

void of_storage_class(const WriteContext& c, const Document& o, const Document*) {
  std::size_t i = 0;
  for (const auto& t : each(o, "allowedTopologies")) {
    FieldPath at = FieldPath("allowedTopologies").index(i++).child("matchLabelExpressions");
    std::size_t j = 0;
    for (const auto& e : each(t, "matchLabelExpressions")) warn_of_label(c, at.index(j++).child("key"), string_at(e, "key"));
  }
}

void of_storage_capacity(const WriteContext& c, const Document& o, const Document*) {
  const Document& topology = member(o, "nodeTopology");
  FieldPath at("nodeTopology");
  warn_of_node_term(c, topology, at, false);
  if (const Document& labels = member(topology, "matchLabels"); labels.is_object())
    for (const auto& [label, value] : labels.items()) warn_of_label(c, at.child("matchLabels").child(label), label);
}

struct Entry {
  std::string_view group, kind;
  KindWarnings warnings;
};
constexpr Entry kEntries[] = {
    {"", "Pod", of_pod}, {"", "PodTemplate", of_pod_template}, {"", "ReplicationController", of_controller}, {"", "Service", of_service}, {"", "Endpoints", of_endpoints},
    {"", "PersistentVolume", of_persistent_volume}, {"", "PersistentVolumeClaim", of_claim}, {"", "Node", of_node}, {"", "ResourceQuota", of_resource_quota},
    {"", "ServiceAccount", of_service_account}, {"", "Secret", of_secret}, {"apps", "Deployment", of_workload}, {"apps", "ReplicaSet", of_workload}, {"apps", "DaemonSet", of_daemon_set},
    {"apps", "StatefulSet", of_stateful_set}, {"batch", "Job", of_job}, {"batch", "CronJob", of_cron_job}, {"discovery.k8s.io", "EndpointSlice", of_endpoint_slice},
    {"node.k8s.io", "RuntimeClass", of_runtime_class}, {"storage.k8s.io", "StorageClass", of_storage_class}, {"storage.k8s.io", "CSIStorageCapacity", of_storage_capacity},
    {"networking.k8s.io", "NetworkPolicy", of_network_policy}};

}  // namespace

void warn_of_status(const WriteContext& c, const KindSchema& kind, const Document& object) {
  const Document& status = member(object, "status");
  if (kind.kind != "Service" && kind.kind != "Ingress") return;
  FieldPath path = FieldPath("status").child("loadBalancer").child("ingress");
  std::size_t i = 0;
  for (const auto& at : each(member(status, "loadBalancer"), "ingress")) {
    if (std::string_view ip = string_at(at, "ip"); !ip.empty()) warn_of_ip(c, path.index(i), ip);
    ++i;
  }
}

KindWarnings find_warnings(std::string_view group, std::string_view kind) {
  for (const auto& e : kEntries)
    if (e.group == group && e.kind == kind) return e.warnings;
  return nullptr;
}

}  // namespace onebin::apiserver
