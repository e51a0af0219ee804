// Plug-ins of claims, resizes, trust bundles and pods' certificates, and those that are off unless asked for.
#include "apiserver/admission/plugins.hpp"
#include "apiserver/rbac/fake_lister.hpp"
#include "apiserver/support.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/api/storage_v1.hpp>

using namespace onebin;
using namespace onebin::apiserver;
namespace core = onebin::api::core::v1;

namespace {

// Allows "verb group/resource[/subresource] name".
class Allowing final : public Authorizer {
 public:
  std::set<std::string> allowed;
  async::Task<Authorized> authorize(const Attributes& a) override {
    std::string q = a.verb + " " + a.group + "/" + a.resource + (a.subresource.empty() ? "" : "/" + a.subresource) + " " + a.name;
    co_return Authorized{allowed.count(q) ? Decision::Allow : Decision::NoOpinion, "no"};
  }
  Rules rules_for(const UserInfo&, const std::string&) override { return {}; }
};

struct Plugins : fakes::Sim {
  fakes::FakeLister lister;
  Allowing authorizer;
  UserInfo joe = fakes::user("joe"), n1 = fakes::user("system:node:n1", {"system:nodes", "system:authenticated"});

  Status create(AdmissionPlugin& p, std::string group, std::string resource, Document& o, const UserInfo* user = nullptr) {
    auto a = fakes::create_of(std::move(group), std::move(resource), "", "a", &o, user ? user : &joe);
    return admit(p, a);
  }
  Status update(AdmissionPlugin& p, std::string group, std::string resource, Document now, const Document& before, std::string sub = {}) {
    auto a = fakes::create_of(std::move(group), std::move(resource), "", "a", &now, &joe);
    a.operation = Operation::Update;
    a.subresource = std::move(sub);
    a.load_old = [&before] { return &before; };
    return admit(p, a);
  }
};

Document parse(const char* text) { return Document::parse(text); }

}  // namespace

TEST_CASE_METHOD(Plugins, "PersistentVolumeClaimResize") {
  auto p = make_claim_resize(lister);
  Document before = parse(R"({"metadata":{"name":"c"},"spec":{"storageClassName":"gold","resources":{"requests":{"storage":"1Gi"}}},"status":{"phase":"Pending"}})");
  Document now = before;
  CHECK(update(*p, "", "persistentvolumeclaims", now, before).is_ok());
  now["spec"]["resources"]["requests"]["storage"] = "2Gi";
  CHECK(update(*p, "", "persistentvolumeclaims", now, before).message() == "persistentvolumeclaims \"c\" is forbidden: Only bound persistent volume claims can be expanded");
  before["status"]["phase"] = "Bound";
  CHECK(update(*p, "", "persistentvolumeclaims", now, before).message() ==
        "persistentvolumeclaims \"c\" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize");
  api::storage::v1::StorageClass gold;
  gold.metadata.name = "gold";
  lister.put(gold);
  CHECK(update(*p, "", "persistentvolumeclaims", now, before).is(Reason::Forbidden));
  gold.allow_volume_expansion = true;
  lister.put(gold);
  CHECK(update(*p, "", "persistentvolumeclaims", now, before).is_ok());
}

TEST_CASE_METHOD(Plugins, "PodResizeValidator") {
  auto p = make_pod_resize_validator(lister);
  Document before = parse(R"({"metadata":{"name":"p","generation":1},"spec":{"nodeName":"n1","containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}})");
  Document now = before;
  now["metadata"]["generation"] = 2;
  now["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "3";
  CHECK(update(*p, "", "pods", now, before, "resize").message() == "pods \"p\" is forbidden: node \"n1\" not found");
  core::Node node;
  node.metadata.name = "n1";
  node.status.allocatable = {{"cpu", apimachinery::Quantity::must_parse("2")}, {"memory", apimachinery::Quantity::must_parse("1Gi")}};
  lister.put(node);
  Status s = update(*p, "", "pods", now, before, "resize");
  CHECK(s.message() == "pods \"p\" is forbidden: node didn't have enough allocatable resources: cpu, requested: 3000, allocatable: 2000");
  REQUIRE(s.details().causes.size() == 1);
  CHECK(s.details().causes[0].type == "NodeCapacity");
  now["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "2";
  CHECK(update(*p, "", "pods", now, before, "resize").is_ok());
}

TEST_CASE_METHOD(Plugins, "ClusterTrustBundleAttest") {
  auto p = make_cluster_trust_bundle_attest(authorizer);
  Document free = parse(R"({"metadata":{"name":"b"},"spec":{"trustBundle":"x"}})");
  CHECK(create(*p, "certificates.k8s.io", "clustertrustbundles", free).is_ok());
  Document signers = parse(R"({"metadata":{"name":"e.x:s:b"},"spec":{"signerName":"e.x/s","trustBundle":"x"}})");
  CHECK(create(*p, "certificates.k8s.io", "clustertrustbundles", signers).message() ==
        "clustertrustbundles.certificates.k8s.io \"e.x:s:b\" is forbidden: user not permitted to attest for signerName \"e.x/s\"");
  Document owned = signers;
  owned["metadata"]["finalizers"] = {"a/b"};
  CHECK(update(*p, "certificates.k8s.io", "clustertrustbundles", owned, signers).is_ok());  // the garbage collector's part
  authorizer.allowed = {"attest certificates.k8s.io/signers e.x/*"};
  CHECK(create(*p, "certificates.k8s.io", "clustertrustbundles", signers).is_ok());
}

TEST_CASE_METHOD(Plugins, "NodeRestriction: certificates for the node's own pods that mount them") {
  auto p = make_node_restriction(lister, authorizer);
  Document q = parse(R"({"metadata":{"name":"r"},"spec":{"signerName":"e.x/s","podName":"p","podUID":"pu","serviceAccountName":"default","serviceAccountUID":"su",
                         "nodeName":"n1","nodeUID":"nu"}})");
  auto ask = [&] { return create(*p, "certificates.k8s.io", "podcertificaterequests", q, &n1); };
  core::Node node;
  node.metadata.name = "n1";
  node.metadata.uid = "nu";
  lister.put(node);
  core::ServiceAccount account;
  account.metadata.namespace_ = "a";
  account.metadata.name = "default";
  account.metadata.uid = "su";
  lister.put(account);
  core::Pod pod;
  pod.metadata.namespace_ = "a";
  pod.metadata.name = "p";
  pod.metadata.uid = "pu";
  pod.spec.node_name = "n1";
  pod.spec.service_account_name = "default";
  lister.put(pod);
  CHECK(ask().message() == "podcertificaterequests.certificates.k8s.io \"r\" is forbidden: pod \"a/p\" does not mount a podCertificate projected volume for signer \"e.x/s\"");
  authorizer.allowed = {"request-serviceaccounts-podcertificate-signer certificates.k8s.io/e.x:s default"};
  CHECK(ask().is_ok());
  authorizer.allowed.clear();
  core::Volume v;
  v.name = "c";
  v.projected.ensure().sources.resize(1);
  v.projected->sources[0].pod_certificate.ensure().signer_name = "e.x/s";
  pod.spec.volumes.push_back(v);
  lister.put(pod);
  CHECK(ask().is_ok());
  q["spec"]["podUID"] = "another";
  CHECK(ask().is(Reason::InternalError));
  q["spec"]["podUID"] = "pu";
  q["spec"]["nodeName"] = "n2";
  CHECK(ask().message() ==
        "podcertificaterequests.certificates.k8s.io \"r\" is forbidden: PodCertificateRequest.Spec.NodeName=\"n2\", which is not the requesting node \"n1\"");
}

TEST_CASE_METHOD(Plugins, "AlwaysPullImages, DenyServiceExternalIPs, ExtendedResourceToleration") {
  auto pull = make_always_pull_images();
  Document pod = parse(R"({"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i","imagePullPolicy":"Never"}],"initContainers":[{"name":"d","image":"j"}],
                           "volumes":[{"name":"v","image":{"reference":"k"}}]}})");
  REQUIRE(create(*pull, "", "pods", pod).is_ok());
  CHECK(pod["spec"]["containers"][0]["imagePullPolicy"] == "Always");
  CHECK(pod["spec"]["initContainers"][0]["imagePullPolicy"] == "Always");
  CHECK(pod["spec"]["volumes"][0]["image"]["pullPolicy"] == "Always");
  auto deny = make_deny_service_external_ips();
  Document plain = parse(R"({"metadata":{"name":"s"},"spec":{}})"), outside = parse(R"({"metadata":{"name":"s"},"spec":{"externalIPs":["1.2.3.4"]}})");
  CHECK(create(*deny, "", "services", plain).is_ok());
  CHECK(create(*deny, "", "services", outside).message() == "services \"s\" is forbidden: Use of external IPs is denied by admission control");
  CHECK(update(*deny, "", "services", outside, outside).is_ok());
  CHECK(update(*deny, "", "services", outside, plain).is(Reason::Forbidden));
  auto tolerate = make_extended_resource_toleration();
  Document device = parse(R"({"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"1","e.x/gpu":"1"}}}]}})");
  REQUIRE(create(*tolerate, "", "pods", device).is_ok());
  CHECK(device["spec"]["tolerations"] == parse(R"([{"key":"e.x/gpu","operator":"Exists","effect":"NoSchedule"}])"));
}

TEST_CASE_METHOD(Plugins, "OwnerReferencesPermissionEnforcement") {
  auto p = make_owner_references_permission_enforcement(lister, authorizer);
  Document before = parse(R"({"metadata":{"name":"s"}})"), now = before;
  now["metadata"]["ownerReferences"] = parse(R"([{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"rs","uid":"u","blockOwnerDeletion":true}])");
  CHECK(update(*p, "", "pods", now, before).message() == "pods \"s\" is forbidden: cannot set an ownerRef on a resource you can't delete: no, <nil>");
  authorizer.allowed = {"delete /pods s"};
  CHECK(update(*p, "", "pods", now, before).message() ==
        "pods \"s\" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: no, <nil>");
  authorizer.allowed.insert("update apps/replicasets/finalizers rs");
  CHECK(update(*p, "", "pods", now, before).is_ok());
  CHECK(update(*p, "", "pods", now, now).is_ok());
  Document unknown = now;
  unknown["metadata"]["ownerReferences"][0]["kind"] = "Thing";
  CHECK(create(*p, "", "pods", unknown).message() ==
        "pods \"s\" is forbidden: cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion apps/v1 Kind Thing: no matches for kind "
        "\"Thing\" in version \"apps/v1\"");
}

TEST_CASE_METHOD(Plugins, "PodSecurity: the cluster's defaults and who is exempt") {
  PodSecurityDefaults defaults;
  defaults.labels = {{"enforce", "baseline"}};
  defaults.exempt_users = {"admin"};
  defaults.exempt_namespaces = {"free"};
  auto p = make_pod_security(lister, defaults);
  for (const char* name : {"a", "free"}) {
    core::Namespace ns;
    ns.metadata.name = name;
    lister.put(ns);
  }
  Document pod = parse(R"({"metadata":{"name":"p"},"spec":{"hostNetwork":true,"containers":[{"name":"c","image":"i"}]}})");
  CHECK(create(*p, "", "pods", pod).message().find("violates PodSecurity \"baseline:latest\"") != std::string::npos);
  UserInfo admin = fakes::user("admin");
  CHECK(create(*p, "", "pods", pod, &admin).is_ok());
  auto a = fakes::create_of("", "pods", "Pod", "free", &pod, &joe);
  CHECK(admit(*p, a).is_ok());
  std::vector<std::string> warnings;
  Document labelled = parse(R"({"metadata":{"name":"free","labels":{"pod-security.kubernetes.io/enforce":"restricted"}}})");
  auto n = fakes::create_of("", "namespaces", "Namespace", "", &labelled, &joe);
  n.warnings = &warnings;
  CHECK(admit(*p, n).is_ok());
  REQUIRE(warnings.size() == 1);
  CHECK(warnings[0] == "namespace \"free\" is exempt from Pod Security, and the policy (enforce=restricted:latest) will be ignored");
}
