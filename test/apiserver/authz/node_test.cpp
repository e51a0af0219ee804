#include "apiserver/authz/node_authorizer.hpp"
#include "apiserver/rbac/default_policy.hpp"
#include "apiserver/rbac/fake_lister.hpp"

#include <onebin/api/core_v1.hpp>

using namespace onebin;
using namespace onebin::apiserver;
namespace core = onebin::api::core::v1;

namespace {

struct Fixture : fakes::Sim {
  fakes::FakeLister lister;
  NodeAuthorizer authorizer{lister, node_rules()};
  UserInfo n1 = fakes::user("system:node:n1", {"system:nodes", "system:authenticated"});

  Authorized ask(std::string verb, std::string group, std::string resource, std::string ns = {}, std::string name = {}, std::string sub = {},
                 std::string fields = {}) {
    Attributes a = fakes::asks(n1, std::move(verb), std::move(group), std::move(resource), std::move(ns), std::move(name), std::move(sub));
    a.field_selector = std::move(fields);
    return await(authorizer.authorize(a));
  }
  bool may(std::string verb, std::string group, std::string resource, std::string ns = {}, std::string name = {}, std::string sub = {},
           std::string fields = {}) {
    return ask(std::move(verb), std::move(group), std::move(resource), std::move(ns), std::move(name), std::move(sub), std::move(fields)).decision ==
           Decision::Allow;
  }
  core::Pod pod(std::string node) {
    core::Pod p;
    p.metadata.namespace_ = "a";
    p.metadata.name = "p";
    p.spec.node_name = std::move(node);
    p.spec.service_account_name = "robot";
    core::Volume v;
    v.name = "v";
    v.secret = core::SecretVolumeSource();
    v.secret->secret_name = "s";
    p.spec.volumes.push_back(v);
    core::Volume claim;
    claim.name = "c";
    claim.persistent_volume_claim = core::PersistentVolumeClaimVolumeSource();
    claim.persistent_volume_claim->claim_name = "data";
    p.spec.volumes.push_back(claim);
    core::Container c;
    c.name = "c";
    core::EnvFromSource from;
    from.config_map_ref = core::ConfigMapEnvSource();
    from.config_map_ref->name = "cm";
    c.env_from.push_back(from);
    p.spec.containers.push_back(c);
    return p;
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a node reads what its pods name, and only while they are bound to it") {
  CHECK(ask("get", "", "secrets", "a", "s").reason == "no relationship found between node 'n1' and this object");
  lister.put(pod("n2"));
  CHECK_FALSE(may("get", "", "secrets", "a", "s"));
  lister.put(pod("n1"));
  for (const char* verb : {"get", "list", "watch"}) {
    CHECK(may(verb, "", "secrets", "a", "s"));
    CHECK(may(verb, "", "configmaps", "a", "cm"));
  }
  CHECK_FALSE(may("get", "", "secrets", "a", "other"));
  CHECK_FALSE(may("get", "", "secrets", "b", "s"));
  CHECK_FALSE(may("list", "", "secrets", "a"));
  CHECK_FALSE(may("list", "", "secrets"));
  CHECK_FALSE(may("update", "", "secrets", "a", "s"));
  CHECK(may("get", "", "serviceaccounts", "a", "robot"));
  CHECK(may("create", "", "serviceaccounts", "a", "robot", "token"));
  CHECK_FALSE(may("create", "", "serviceaccounts", "a", "default", "token"));
  CHECK(may("get", "", "persistentvolumeclaims", "a", "data"));
  CHECK(may("patch", "", "persistentvolumeclaims", "a", "data", "status"));
  CHECK_FALSE(may("patch", "", "persistentvolumeclaims", "a", "data"));
  CHECK(may("get", "", "pods", "a", "p"));
  core::PersistentVolume volume;
  volume.metadata.name = "pv";
  volume.spec.claim_ref = core::ObjectReference();
  volume.spec.claim_ref->namespace_ = "a";
  volume.spec.claim_ref->name = "data";
  lister.put(volume);
  CHECK(may("get", "", "persistentvolumes", "", "pv"));
  // A status changes nothing; the pod's end ends the rights.
  core::Pod running = pod("n1");
  running.status.phase = "Running";
  lister.put(running);
  CHECK(may("get", "", "secrets", "a", "s"));
  lister.remove<core::Pod>("a", "p");
  CHECK_FALSE(may("get", "", "secrets", "a", "s"));
  CHECK_FALSE(may("get", "", "persistentvolumes", "", "pv"));
}

TEST_CASE_METHOD(Fixture, "a mirror pod grants its node nothing") {
  core::Pod p = pod("n1");
  p.metadata.annotations["kubernetes.io/config.mirror"] = "x";
  lister.put(p);
  CHECK_FALSE(may("get", "", "secrets", "a", "s"));
}

TEST_CASE_METHOD(Fixture, "a node has its own Node, Lease and CSINode, and lists its own pods") {
  CHECK(may("get", "", "nodes", "", "n1"));
  CHECK(may("watch", "", "nodes", "", "n1"));
  CHECK(ask("get", "", "nodes", "", "n2").reason == "node 'n1' cannot read 'n2', only its own Node object");
  CHECK_FALSE(may("list", "", "nodes"));
  CHECK_FALSE(may("delete", "", "nodes", "", "n1"));
  CHECK(may("patch", "", "nodes", "", "n1", "status"));
  CHECK(may("list", "", "pods", "", "", "", "spec.nodeName=n1"));
  CHECK(may("watch", "", "pods", "", "", "", "spec.nodeName=n1"));
  CHECK(ask("list", "", "pods").reason == "can only list/watch pods with spec.nodeName field selector");
  CHECK_FALSE(may("list", "", "pods", "", "", "", "spec.nodeName=n2"));
  CHECK_FALSE(may("list", "", "pods", "", "", "", "spec.nodeName!=n1"));
  CHECK(may("update", "coordination.k8s.io", "leases", "kube-node-lease", "n1"));
  CHECK_FALSE(may("update", "coordination.k8s.io", "leases", "kube-node-lease", "n2"));
  CHECK_FALSE(may("update", "coordination.k8s.io", "leases", "kube-system", "n1"));
  CHECK(may("create", "storage.k8s.io", "csinodes"));
  CHECK(may("list", "", "services"));
  CHECK(may("create", "certificates.k8s.io", "certificatesigningrequests"));
  CHECK_FALSE(may("list", "", "namespaces"));
}

TEST_CASE_METHOD(Fixture, "who is no node has no right here") {
  n1 = fakes::user("system:node:n1", {"system:authenticated"});
  CHECK_FALSE(may("get", "", "nodes", "", "n1"));
  n1 = fakes::user("joe", {"system:nodes"});
  CHECK_FALSE(may("get", "", "nodes", "", "n1"));
}
