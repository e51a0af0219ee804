#include "apiserver/admission/plugins.hpp"
#include "apiserver/rbac/fake_lister.hpp"

#include <onebin/async/timer.hpp>

#include <onebin/api/core_v1.hpp>
#include <onebin/api/node_v1.hpp>
#include <onebin/api/scheduling_v1.hpp>
#include <onebin/api/storage_v1.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/pki.hpp>
#include <onebin/client/node_identity.hpp>

using namespace onebin;
using namespace onebin::apiserver;
using apimachinery::at_path;
namespace core = onebin::api::core::v1;

namespace {

template <class T>
T object(std::string ns, std::string name, std::string uid = "u") {
  T o;
  o.metadata.namespace_ = std::move(ns);
  o.metadata.name = std::move(name);
  o.metadata.uid = std::move(uid);
  return o;
}

struct Fixture : fakes::Sim {
  fakes::FakeLister lister;
  SeededRng rng{7};
  UserInfo joe = fakes::user("joe"), n1 = fakes::user("system:node:n1", {"system:nodes", "system:authenticated"});
  std::vector<std::string> warnings;

  Status create(AdmissionPlugin& p, std::string group, std::string resource, std::string kind, std::string ns, Document& o, const UserInfo* u = nullptr,
                std::string sub = {}) {
    auto a = fakes::create_of(std::move(group), std::move(resource), std::move(kind), std::move(ns), &o, u ? u : &joe);
    a.subresource = std::move(sub);
    a.warnings = &warnings;
    return admit(p, a);
  }
  Status pod(AdmissionPlugin& p, Document& o, const UserInfo* u = nullptr) { return create(p, "", "pods", "Pod", "a", o, u); }
  Status update(AdmissionPlugin& p, std::string group, std::string resource, std::string kind, std::string ns, Document& now, const Document& before,
                const UserInfo* u, std::string sub = {}) {
    auto a = fakes::create_of(std::move(group), std::move(resource), std::move(kind), std::move(ns), &now, u);
    a.operation = Operation::Update;
    a.subresource = std::move(sub);
    a.warnings = &warnings;
    a.load_old = [&before] { return &before; };
    return admit(p, a);
  }
};

Document parse(const char* text) { return Document::parse(text); }

class SignerAuthorizer final : public Authorizer {
 public:
  std::string allowed;
  async::Task<Authorized> authorize(const Attributes& a) override {
    co_return Authorized{a.verb + " " + a.resource + " " + a.name == allowed ? Decision::Allow : Decision::NoOpinion, ""};
  }
  Rules rules_for(const UserInfo&, const std::string&) override { return {}; }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "NamespaceLifecycle") {
  auto p = make_namespace_lifecycle(lister);
  Document o = parse(R"({"metadata":{"name":"x"}})");
  Status s = pod(*p, o);
  CHECK(s.is(Reason::NotFound));
  CHECK(s.message() == "namespaces \"a\" not found");
  core::Namespace ns = object<core::Namespace>("", "a");
  ns.status.phase = "Active";
  lister.put(ns);
  CHECK(pod(*p, o).is_ok());
  ns.status.phase = "Terminating";
  lister.put(ns);
  s = pod(*p, o);
  CHECK(s.message() == "pods \"x\" is forbidden: unable to create new content in namespace a because it is being terminated");
  REQUIRE(s.details().causes.size() == 1);
  CHECK(s.details().causes[0].type == "NamespaceTerminating");
  AdmissionAttributes a = fakes::create_of("", "namespaces", "Namespace", "", nullptr, &joe);
  a.operation = Operation::Delete;
  a.name = "kube-system";
  CHECK(admit(*p, a).message() == "namespaces \"kube-system\" is forbidden: this namespace may not be deleted");
  a.name = "a";
  CHECK(admit(*p, a).is_ok());
}

TEST_CASE_METHOD(Fixture, "ServiceAccount gives every container its account's token") {
  auto p = make_service_account_admission(lister, rng);
  Document o = parse(
      R"({"metadata":{"name":"x"},"spec":{"containers":[{"name":"c"},{"name":"d","volumeMounts":[{"name":"own","mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}]}]}})");
  Document untouched = o;
  Status s = pod(*p, o);
  CHECK(s.message() == "pods \"x\" is forbidden: error looking up service account a/default: serviceaccount \"default\" not found");
  auto account = object<core::ServiceAccount>("a", "default");
  account.image_pull_secrets.push_back({"registry"});
  lister.put(account);
  o = untouched;
  REQUIRE(pod(*p, o).is_ok());
  CHECK(o["spec"]["serviceAccountName"] == "default");
  CHECK(o["spec"]["serviceAccount"] == "default");
  CHECK(o["spec"]["imagePullSecrets"] == parse(R"([{"name":"registry"}])"));
  std::string volume = o["spec"]["volumes"][0]["name"];
  CHECK(starts_with(volume, "kube-api-access-"));
  CHECK(volume.size() == std::string("kube-api-access-").size() + 5);
  CHECK(o["spec"]["volumes"][0]["projected"] == parse(R"({"defaultMode":420,"sources":[{"serviceAccountToken":{"path":"token","expirationSeconds":3607}},
    {"configMap":{"name":"kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}},
    {"downwardAPI":{"items":[{"path":"namespace","fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"}}]}}]})"));
  CHECK(o["spec"]["containers"][0]["volumeMounts"][0]["name"] == volume);
  CHECK(o["spec"]["containers"][1]["volumeMounts"].size() == 1);
  Document no_token = untouched;
  no_token["spec"]["automountServiceAccountToken"] = false;
  REQUIRE(pod(*p, no_token).is_ok());
  CHECK_FALSE(no_token["spec"].contains("volumes"));
  Document mirror = untouched;
  mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "1";
  CHECK(pod(*p, mirror).is_ok());
  CHECK_FALSE(mirror["spec"].contains("serviceAccountName"));
  mirror["spec"]["serviceAccountName"] = "default";
  CHECK(pod(*p, mirror).is(Reason::Forbidden));
}

namespace {
async::Task<void> make_account_later(fakes::FakeLister* lister) {
  (void)co_await async::sleep_for(300ms);
  lister->put(object<core::ServiceAccount>("a", "default"));
}
}  // namespace

TEST_CASE_METHOD(Fixture, "a pod waits for its namespace's default account") {
  auto p = make_service_account_admission(lister, rng);
  async::TaskGroup group("later");
  group.spawn(make_account_later(&lister));
  Document o = parse(R"({"metadata":{"name":"x"},"spec":{"containers":[{"name":"c"}]}})");
  CHECK(pod(*p, o).is_ok());
}

TEST_CASE_METHOD(Fixture, "DefaultTolerationSeconds and TaintNodesByCondition") {
  auto p = make_default_toleration_seconds(300, 300);
  Document o = parse(R"({"metadata":{"name":"x"},"spec":{"tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists"}]}})");
  REQUIRE(pod(*p, o).is_ok());
  CHECK(o["spec"]["tolerations"] == parse(R"([{"key":"node.kubernetes.io/not-ready","operator":"Exists"},
    {"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}])"));
  auto t = make_taint_nodes_by_condition();
  Document node = parse(R"({"metadata":{"name":"n1"}})");
  REQUIRE(create(*t, "", "nodes", "Node", "", node).is_ok());
  CHECK(node["spec"]["taints"] == parse(R"([{"key":"node.kubernetes.io/not-ready","effect":"NoSchedule"}])"));
}

TEST_CASE_METHOD(Fixture, "Priority") {
  auto p = make_priority_admission(lister);
  Document o = parse(R"({"metadata":{"name":"x"},"spec":{}})");
  REQUIRE(pod(*p, o).is_ok());
  CHECK(o["spec"]["priority"] == 0);
  CHECK(o["spec"]["preemptionPolicy"] == "PreemptLowerPriority");
  auto high = object<api::scheduling::v1::PriorityClass>("", "high");
  high.value = 1000;
  high.global_default = true;
  high.preemption_policy = "Never";
  lister.put(high);
  o = parse(R"({"metadata":{"name":"x"},"spec":{}})");
  REQUIRE(pod(*p, o).is_ok());
  CHECK(o["spec"]["priorityClassName"] == "high");
  CHECK(o["spec"]["priority"] == 1000);
  CHECK(o["spec"]["preemptionPolicy"] == "Never");
  o = parse(R"({"metadata":{"name":"x"},"spec":{"priorityClassName":"gone"}})");
  CHECK(pod(*p, o).message() == "pods \"x\" is forbidden: no PriorityClass with name gone was found");
  o = parse(R"({"metadata":{"name":"x"},"spec":{"priority":5}})");
  CHECK(pod(*p, o).message() ==
        "pods \"x\" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 1000 from the "
        "given PriorityClass name");
  Document second = parse(R"({"metadata":{"name":"other"},"globalDefault":true})");
  CHECK(create(*p, "scheduling.k8s.io", "priorityclasses", "PriorityClass", "", second).message() ==
        "priorityclasses.scheduling.k8s.io \"other\" is forbidden: PriorityClass high is already marked as default. Only one default can exist");
}

TEST_CASE_METHOD(Fixture, "NodeRestriction: its own Node, labels, taints, mirror pods and tokens") {
  SignerAuthorizer authorizer;
  auto p = make_node_restriction(lister, authorizer);
  Document node = parse(R"({"metadata":{"name":"n1","labels":{"kubernetes.io/hostname":"n1","node.kubernetes.io/x":"1","mine":"2"}}})");
  CHECK(create(*p, "", "nodes", "Node", "", node, &n1).is_ok());
  Document other = parse(R"({"metadata":{"name":"n2"}})");
  CHECK(create(*p, "", "nodes", "Node", "", other, &n1).message() == "nodes \"n2\" is forbidden: node \"n1\" is not allowed to modify node \"n2\"");
  Document steering = node;
  steering["metadata"]["labels"]["node-restriction.kubernetes.io/a"] = "1";
  steering["metadata"]["labels"]["node-role.kubernetes.io/master"] = "";
  CHECK(create(*p, "", "nodes", "Node", "", steering, &n1).message() ==
        "nodes \"n1\" is forbidden: node \"n1\" is not allowed to set the following labels: node-restriction.kubernetes.io/a, node-role.kubernetes.io/master");
  CHECK(update(*p, "", "nodes", "Node", "", steering, node, &n1).message() ==
        "nodes \"n1\" is forbidden: is not allowed to modify labels: node-restriction.kubernetes.io/a, node-role.kubernetes.io/master");
  Document tainted = node;
  tainted["spec"]["taints"] = parse(R"([{"key":"a","effect":"NoSchedule"}])");
  CHECK(update(*p, "", "nodes", "Node", "", node, tainted, &n1).message() == "nodes \"n1\" is forbidden: node \"n1\" is not allowed to modify taints");
  CHECK(update(*p, "", "nodes", "Node", "", steering, node, &joe).is_ok());

  lister.put(object<core::Node>("", "n1", "node-uid"));
  Document mirror = parse(R"({"metadata":{"name":"m","annotations":{"kubernetes.io/config.mirror":"x"},
    "ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"n1","uid":"node-uid","controller":true}]},"spec":{"nodeName":"n1","containers":[{"name":"c"}]}})");
  CHECK(pod(*p, mirror, &n1).is_ok());
  Document secretive = mirror;
  secretive["spec"]["volumes"] = parse(R"([{"name":"v","secret":{"secretName":"s"}}])");
  CHECK(pod(*p, secretive, &n1).message() == "pods \"m\" is forbidden: node \"n1\" can not create pods that reference secrets (via secret volumes)");
  Document plain = parse(R"({"metadata":{"name":"m"},"spec":{"nodeName":"n1"}})");
  CHECK(pod(*p, plain, &n1).message() ==
        "pods \"m\" is forbidden: pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods");

  core::Pod mine = object<core::Pod>("a", "p", "pod-1");
  mine.spec.node_name = "n1";
  lister.put(mine);
  Document request = parse(R"({"spec":{"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"p","uid":"pod-1"}}})");
  // The pod mounts no token for this audience.
  CHECK(create(*p, "", "serviceaccounts", "TokenRequest", "a", request, &n1, "token").message() ==
        "serviceaccounts \"Unknown\" is forbidden: system:node:n1 is not authorized to request tokens for audience \"\"");
  authorizer.allowed = "request-serviceaccounts-token-audience other ";
  Document elsewhere = request;
  elsewhere["spec"]["audiences"] = {"other"};
  CHECK(create(*p, "", "serviceaccounts", "TokenRequest", "a", elsewhere, &n1, "token").is_ok());
  core::Volume v;
  v.name = "t";
  v.projected = core::ProjectedVolumeSource();
  v.projected->sources.emplace_back();
  v.projected->sources[0].service_account_token = core::ServiceAccountTokenProjection();
  mine.spec.volumes.push_back(v);
  lister.put(mine);
  CHECK(create(*p, "", "serviceaccounts", "TokenRequest", "a", request, &n1, "token").is_ok());
  mine.spec.node_name = "n2";
  lister.put(mine);
  CHECK(create(*p, "", "serviceaccounts", "TokenRequest", "a", request, &n1, "token").is(Reason::Forbidden));
  Document unbound = parse(R"({"spec":{}})");
  CHECK(create(*p, "", "serviceaccounts", "TokenRequest", "a", unbound, &n1, "token").is(Reason::Forbidden));
}

TEST_CASE_METHOD(Fixture, "NodeIdentity: a name belongs to the key that first asked for it") {
  auto p = make_node_identity(lister);
  UserInfo joining = fakes::user("system:bootstrap:abcdef", {"system:bootstrappers", "system:authenticated"});
  std::string key = *pki::generate_key(), identity = *pki::generate_key();
  std::string csr_pem = *pki::create_request(key, {"system:node:edge-1", {"system:nodes"}});
  auto request = [&](const std::string& by) {
    Document o = parse(R"({"metadata":{"name":"csr-1"},"spec":{"signerName":"kubernetes.io/kube-apiserver-client-kubelet"}})");
    o["spec"]["request"] = base64_encode(csr_pem);
    o["metadata"]["annotations"] = {{client::kIdentityAnnotation, base64_encode(*pki::public_key_of(by))},
                                    {client::kProofAnnotation, base64url_encode(*pki::jws_sign(by, csr_pem))}};
    return o;
  };
  auto ask = [&](Document o) { return create(*p, "certificates.k8s.io", "certificatesigningrequests", "CertificateSigningRequest", "", o, &joining); };
  CHECK(ask(request(identity)).is_ok());
  core::Secret kept = object<core::Secret>("kube-system", client::identity_secret("edge-1"));
  kept.data[client::kIdentityHashKey] = sha256_hex(*pki::public_key_of(identity));
  lister.put(kept);
  CHECK(ask(request(identity)).is_ok());
  Status s = ask(request(*pki::generate_key()));
  CHECK(s.is(Reason::Forbidden));
  CHECK(s.message().find("edge-1") != std::string::npos);
  CHECK(s.message().find("kubectl -n kube-system delete secret edge-1.node-identity.onebin") != std::string::npos);
  CHECK(s.message().find("--node-name") != std::string::npos);
  Document forged = request(identity);
  forged["metadata"]["annotations"][client::kProofAnnotation] = base64url_encode(*pki::jws_sign(*pki::generate_key(), csr_pem));
  CHECK(ask(forged).is(Reason::Forbidden));
  Document bare = request(identity);
  bare["metadata"].erase("annotations");
  CHECK(ask(bare).is(Reason::Forbidden));
  // A node that renews its certificate proves itself by the old one.
  CHECK(create(*p, "certificates.k8s.io", "certificatesigningrequests", "CertificateSigningRequest", "", bare, &n1).is_ok());
}

TEST_CASE_METHOD(Fixture, "PodSecurity in upstream's words") {
  PodSecurityDefaults defaults;
  auto p = make_pod_security(lister, defaults);
  core::Namespace ns = object<core::Namespace>("", "a");
  ns.metadata.labels["pod-security.kubernetes.io/enforce"] = "restricted";
  lister.put(ns);
  Document o = parse(
      R"({"metadata":{"name":"x"},"spec":{"hostNetwork":true,"containers":[{"name":"c","securityContext":{"privileged":true},"ports":[{"hostPort":80}]},{"name":"d"}],
    "volumes":[{"name":"h","hostPath":{"path":"/"}},{"name":"e","emptyDir":{}}]}})");
  CHECK(pod(*p, o).message() ==
        "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": host namespaces (hostNetwork=true), hostPort (container \"c\" uses hostPort 80), "
        "privileged (container \"c\" must not set securityContext.privileged=true), "
        "allowPrivilegeEscalation != false (containers \"c\", \"d\" must set securityContext.allowPrivilegeEscalation=false), "
        "unrestricted capabilities (containers \"c\", \"d\" must set securityContext.capabilities.drop=[\"ALL\"]), "
        "restricted volume types (volume \"h\" uses restricted volume type \"hostPath\"), "
        "runAsNonRoot != true (pod or containers \"c\", \"d\" must set securityContext.runAsNonRoot=true), "
        "seccompProfile (pod or containers \"c\", \"d\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")");
  Document good = parse(R"({"metadata":{"name":"x"},"spec":{"securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},
    "containers":[{"name":"c","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"],"add":["NET_BIND_SERVICE"]}}}]}})");
  CHECK(pod(*p, good).is_ok());
  CHECK(warnings.empty());
  Document deployment = {{"metadata", {{"name", "d"}}}, {"spec", {{"template", o}}}};
  CHECK(create(*p, "apps", "deployments", "Deployment", "a", deployment).is_ok());
  REQUIRE(warnings.size() == 1);
  CHECK(starts_with(warnings[0], "would violate PodSecurity \"restricted:latest\": host namespaces"));
  ns.metadata.labels = {{"pod-security.kubernetes.io/enforce", "baseline"}, {"pod-security.kubernetes.io/enforce-version", "v1.24"}};
  lister.put(ns);
  Document caps = parse(R"({"metadata":{"name":"x"},"spec":{"containers":[{"name":"c","securityContext":{"capabilities":{"add":["SYS_ADMIN","CHOWN"]}}}]}})");
  CHECK(pod(*p, caps).message() ==
        "pods \"x\" is forbidden: violates PodSecurity \"baseline:v1.24\": non-default capabilities (container \"c\" must not include \"SYS_ADMIN\" in "
        "securityContext.capabilities.add)");
  Document labelled = parse(R"({"metadata":{"name":"a","labels":{"pod-security.kubernetes.io/enforce":"strict"}}})");
  CHECK(create(*p, "", "namespaces", "Namespace", "", labelled).message() ==
        "Namespace \"a\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, "
        "restricted");
  // Tightening tells of the pods that would no longer be taken.
  core::Pod running = object<core::Pod>("a", "old");
  running.spec.host_network = true;
  lister.put(running);
  Document tight = parse(R"({"metadata":{"name":"a","labels":{"pod-security.kubernetes.io/enforce":"baseline"}}})"),
           loose = parse(R"({"metadata":{"name":"a"}})");
  warnings.clear();
  CHECK(update(*p, "", "namespaces", "Namespace", "", tight, loose, &joe).is_ok());
  CHECK(warnings ==
        std::vector<std::string>{"existing pods in namespace \"a\" violate the new PodSecurity enforce level \"baseline:latest\"", "old: host namespaces"});
}

TEST_CASE_METHOD(Fixture, "LimitRanger") {
  auto p = make_limit_ranger(lister);
  core::LimitRange range = object<core::LimitRange>("a", "l");
  core::LimitRangeItem item;
  item.type = "Container";
  item.default_["cpu"] = *apimachinery::Quantity::parse("500m");
  item.default_request["cpu"] = *apimachinery::Quantity::parse("100m");
  item.max["cpu"] = *apimachinery::Quantity::parse("1");
  item.min["memory"] = *apimachinery::Quantity::parse("10Mi");
  range.spec.limits.push_back(item);
  lister.put(range);
  Document o = parse(R"({"metadata":{"name":"x"},"spec":{"containers":[{"name":"c","resources":{"requests":{"memory":"20Mi"}}}]}})");
  REQUIRE(pod(*p, o).is_ok());
  CHECK(o["spec"]["containers"][0]["resources"] == parse(R"({"requests":{"cpu":"100m","memory":"20Mi"},"limits":{"cpu":"500m"}})"));
  CHECK(o["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == "LimitRanger plugin set: cpu request for container c; cpu limit for container c");
  Document big = parse(R"({"metadata":{"name":"x"},"spec":{"containers":[{"name":"c","resources":{"requests":{"memory":"5Mi"},"limits":{"cpu":"2"}}}]}})");
  CHECK(pod(*p, big).message() ==
        "pods \"x\" is forbidden: [minimum memory usage per Container is 10Mi, but request is 5Mi, maximum cpu usage per Container is 1, but limit is 2]");
}

TEST_CASE_METHOD(Fixture, "storage: default class and protection") {
  auto p = make_default_storage_class(lister);
  auto c = object<api::storage::v1::StorageClass>("", "local-path");
  c.metadata.annotations["storageclass.kubernetes.io/is-default-class"] = "true";
  lister.put(c);
  Document claim = parse(R"({"metadata":{"name":"x"},"spec":{}})"), explicit_none = parse(R"({"metadata":{"name":"x"},"spec":{"storageClassName":""}})");
  REQUIRE(create(*p, "", "persistentvolumeclaims", "PersistentVolumeClaim", "a", claim).is_ok());
  CHECK(claim["spec"]["storageClassName"] == "local-path");
  REQUIRE(create(*p, "", "persistentvolumeclaims", "PersistentVolumeClaim", "a", explicit_none).is_ok());
  CHECK(explicit_none["spec"]["storageClassName"] == "");
  auto protect = make_storage_object_in_use_protection();
  REQUIRE(create(*protect, "", "persistentvolumeclaims", "PersistentVolumeClaim", "a", claim).is_ok());
  CHECK(claim["metadata"]["finalizers"] == Document({"kubernetes.io/pvc-protection"}));
}

TEST_CASE_METHOD(Fixture, "RuntimeClass") {
  auto p = make_runtime_class_admission(lister);
  auto c = object<api::node::v1::RuntimeClass>("", "slow");
  c.overhead = api::node::v1::Overhead();
  c.overhead->pod_fixed["cpu"] = *apimachinery::Quantity::parse("250m");
  c.scheduling = api::node::v1::Scheduling();
  c.scheduling->node_selector["kind"] = "slow";
  lister.put(c);
  Document o = parse(R"({"metadata":{"name":"x"},"spec":{"runtimeClassName":"slow"}})");
  REQUIRE(pod(*p, o).is_ok());
  CHECK(o["spec"]["overhead"] == parse(R"({"cpu":"250m"})"));
  CHECK(o["spec"]["nodeSelector"] == parse(R"({"kind":"slow"})"));
  Document gone = parse(R"({"metadata":{"name":"x"},"spec":{"runtimeClassName":"gone"}})");
  CHECK(pod(*p, gone).message() == "pods \"x\" is forbidden: pod rejected: RuntimeClass \"gone\" not found");
  Document own = parse(R"({"metadata":{"name":"x"},"spec":{"overhead":{"cpu":"1"}}})");
  CHECK(pod(*p, own).message() == "pods \"x\" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
}

TEST_CASE_METHOD(Fixture, "PodTopologyLabels: a bound pod has its node's zone") {
  auto p = make_pod_topology_labels(lister);
  core::Node node = object<core::Node>("", "n1");
  node.metadata.labels = {{"topology.kubernetes.io/zone", "z"}, {"other", "1"}};
  lister.put(node);
  Document binding = parse(R"({"metadata":{"name":"x"},"target":{"kind":"Node","name":"n1"}})");
  REQUIRE(create(*p, "", "pods", "Binding", "a", binding, &joe, "binding").is_ok());
  CHECK(binding["metadata"]["labels"] == parse(R"({"topology.kubernetes.io/zone":"z"})"));
  Document running = parse(R"({"metadata":{"name":"x"},"spec":{"nodeName":"n1"}})"), later = running;
  REQUIRE(update(*p, "", "pods", "Pod", "a", later, running, &joe).is_ok());
  CHECK_FALSE(later["metadata"].contains("labels"));
  REQUIRE(pod(*p, later).is_ok());
  CHECK(later["metadata"]["labels"] == parse(R"({"topology.kubernetes.io/zone":"z"})"));
}

TEST_CASE_METHOD(Fixture, "certificates: signers' rights, and no masters") {
  SignerAuthorizer authorizer;
  auto approval = make_certificate_approval(authorizer);
  auto signing = make_certificate_signing(authorizer);
  Document before = parse(R"({"metadata":{"name":"c"},"spec":{"signerName":"example.com/one"}})"), now = before;
  now["status"]["certificate"] = "eA==";
  auto decide = [&](AdmissionPlugin& p, const char* sub) {
    return update(p, "certificates.k8s.io", "certificatesigningrequests", "CertificateSigningRequest", "", now, before, &joe, sub);
  };
  CHECK(decide(*approval, "approval").message() ==
        "certificatesigningrequests.certificates.k8s.io \"c\" is forbidden: user not permitted to approve requests with signerName \"example.com/one\"");
  CHECK(decide(*signing, "status").is(Reason::Forbidden));
  authorizer.allowed = "approve signers example.com/one";
  CHECK(decide(*approval, "approval").is_ok());
  authorizer.allowed = "sign signers example.com/*";
  CHECK(decide(*signing, "status").is_ok());
  auto subject = make_certificate_subject_restriction();
  Document o = parse(R"({"metadata":{"name":"c"},"spec":{"signerName":"kubernetes.io/kube-apiserver-client"}})");
  o["spec"]["request"] = base64_encode(*pki::create_request(*pki::generate_key(), {"joe", {"system:masters"}}));
  CHECK(create(*subject, "certificates.k8s.io", "certificatesigningrequests", "CertificateSigningRequest", "", o).message() ==
        "certificatesigningrequests.certificates.k8s.io \"c\" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not "
        "allowed");
}
