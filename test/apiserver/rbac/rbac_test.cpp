#include "apiserver/authz/rbac_authorizer.hpp"
#include "apiserver/rbac/aggregation.hpp"
#include "apiserver/rbac/default_policy.hpp"
#include "apiserver/rbac/escalation.hpp"
#include "apiserver/rbac/fake_lister.hpp"
#include "apiserver/rbac/reconcile.hpp"

using namespace onebin;
using namespace onebin::apiserver;
namespace rbac = onebin::api::rbac::v1;
using fakes::asks;
using fakes::user;

namespace {

void put_policy(fakes::FakeLister& lister) {
  Policy p = default_policy();
  for (const auto& o : p.cluster_roles) lister.put(o);
  for (const auto& o : p.roles) lister.put(o);
  for (const auto& o : p.cluster_role_bindings) lister.put(o);
  for (const auto& o : p.role_bindings) lister.put(o);
}

rbac::ClusterRole role(std::string name, std::vector<PolicyRule> rules) {
  rbac::ClusterRole r;
  r.metadata.name = std::move(name);
  r.rules = std::move(rules);
  return r;
}

template <class T>
T binding(std::string ns, std::string name, std::string role_kind, std::string role_name, rbac::Subject subject) {
  T b;
  b.metadata.namespace_ = std::move(ns);
  b.metadata.name = std::move(name);
  b.role_ref = {"rbac.authorization.k8s.io", std::move(role_kind), std::move(role_name)};
  b.subjects.push_back(std::move(subject));
  return b;
}

struct Fixture : fakes::Sim {
  fakes::FakeLister lister;
  std::shared_ptr<PolicyStore> policy = std::make_shared<PolicyStore>(lister);
  RbacAuthorizer authorizer{policy};
  bool allowed(const Attributes& a) { return await(authorizer.authorize(a)).decision == Decision::Allow; }
  std::string reason(const Attributes& a) { return await(authorizer.authorize(a)).reason; }
};

}  // namespace

TEST_CASE("a rule allows by verb, group, resource, subresource and name") {
  UserInfo u = user("joe");
  PolicyRule r{{"get"}, {""}, {"pods", "*/scale"}, {}, {}};
  CHECK(rule_allows(r, asks(u, "get", "", "pods", "default", "a")));
  CHECK_FALSE(rule_allows(r, asks(u, "list", "", "pods", "default")));
  CHECK_FALSE(rule_allows(r, asks(u, "get", "apps", "pods", "default")));
  CHECK_FALSE(rule_allows(r, asks(u, "get", "", "pods", "default", "a", "log")));
  CHECK(rule_allows(r, asks(u, "get", "", "deployments", "default", "a", "scale")));
  r.resource_names = {"a"};
  CHECK(rule_allows(r, asks(u, "get", "", "pods", "default", "a")));
  CHECK_FALSE(rule_allows(r, asks(u, "get", "", "pods", "default", "b")));
  Attributes path;
  path.user = &u;
  path.verb = "get";
  path.path = "/healthz/etcd";
  CHECK(rule_allows({{"get"}, {}, {}, {}, {"/healthz/*"}}, path));
  CHECK_FALSE(rule_allows({{"get"}, {}, {}, {}, {"/healthz"}}, path));
}

TEST_CASE_METHOD(Fixture, "bindings reach users, groups and service accounts, cluster-wide and in their namespace") {
  lister.put(role("reader", {{{"get", "list"}, {""}, {"pods"}, {}, {}}}));
  UserInfo joe = user("joe", {"dev", "system:authenticated"}), robot = user("system:serviceaccount:a:robot");
  CHECK_FALSE(allowed(asks(joe, "get", "", "pods", "a", "x")));
  lister.put(binding<rbac::RoleBinding>("a", "b", "ClusterRole", "reader", {"Group", "rbac.authorization.k8s.io", "dev", ""}));
  CHECK(allowed(asks(joe, "get", "", "pods", "a", "x")));
  CHECK_FALSE(allowed(asks(joe, "get", "", "pods", "c", "x")));
  CHECK_FALSE(allowed(asks(joe, "list", "", "pods")));
  lister.put(binding<rbac::RoleBinding>("a", "sa", "ClusterRole", "reader", {"ServiceAccount", "", "robot", ""}));
  CHECK(allowed(asks(robot, "list", "", "pods", "a")));
  CHECK(reason(asks(robot, "list", "", "pods", "a")) == "RBAC: allowed by RoleBinding \"sa/a\" of ClusterRole \"reader\" to ServiceAccount \"robot/a\"");
  lister.put(binding<rbac::ClusterRoleBinding>("", "all", "ClusterRole", "reader", {"User", "rbac.authorization.k8s.io", "joe", ""}));
  CHECK(allowed(asks(joe, "list", "", "pods")));
  lister.remove<rbac::ClusterRoleBinding>("", "all");
  CHECK_FALSE(allowed(asks(joe, "list", "", "pods")));
  lister.remove<rbac::ClusterRole>("", "reader");
  CHECK(reason(asks(joe, "get", "", "pods", "a")) == "RBAC: clusterrole.rbac.authorization.k8s.io \"reader\" not found");
}

TEST_CASE_METHOD(Fixture, "the default policy gives components and controllers what they need, and others little") {
  put_policy(lister);
  UserInfo anybody = user("joe"), scheduler = user("system:kube-scheduler"), nobody = user("system:anonymous", {"system:unauthenticated"});
  CHECK(allowed(asks(anybody, "create", "authorization.k8s.io", "selfsubjectaccessreviews")));
  CHECK_FALSE(allowed(asks(anybody, "get", "", "pods", "default")));
  CHECK(allowed(asks(scheduler, "create", "", "pods", "default", "p", "binding")));
  CHECK(allowed(asks(scheduler, "update", "coordination.k8s.io", "leases", "kube-system", "kube-scheduler")));
  CHECK_FALSE(allowed(asks(scheduler, "create", "apps", "deployments", "default")));
  Attributes version;
  version.user = &nobody;
  version.verb = "get";
  version.path = "/version";
  CHECK(allowed(version));
  version.path = "/metrics";
  CHECK_FALSE(allowed(version));
  UserInfo approver = user("system:serviceaccount:kube-system:certificate-approver"),
           nodes = user("system:serviceaccount:kube-system:node-lifecycle-controller");
  CHECK(allowed(asks(approver, "update", "certificates.k8s.io", "certificatesigningrequests", "", "c", "approval")));
  CHECK(allowed(asks(approver, "create", "", "secrets", "kube-system")));
  CHECK_FALSE(allowed(asks(approver, "create", "", "secrets", "default")));
  CHECK(allowed(asks(nodes, "patch", "", "nodes", "", "n")));
  // Upstream's count of ClusterRoles: nothing is lost on the way through the table.
  std::size_t upstream = 0;
  for (const auto& r : default_policy().cluster_roles) upstream += r.metadata.labels.count("kubernetes.io/bootstrapping");
  CHECK(upstream == 73);
}

TEST_CASE("aggregated roles take the rules of those that their selectors find, and settle") {
  fakes::FakeLister lister;
  auto policy = std::make_shared<PolicyStore>(lister);
  put_policy(lister);
  for (int round = 0; round < 4; ++round) {
    auto plan = plan_aggregation(policy->cluster_roles());
    if (round == 3) CHECK(plan.empty());
    for (auto& [name, rules] : plan) {
      auto r = *lister.get<rbac::ClusterRole>("", name);
      r.rules = rules;
      lister.put(r);
    }
  }
  UserInfo u = user("x");
  auto view = *lister.get<rbac::ClusterRole>("", "view"), admin = *lister.get<rbac::ClusterRole>("", "admin");
  CHECK(rules_allow(view.rules, asks(u, "list", "", "configmaps", "a")));
  CHECK_FALSE(rules_allow(view.rules, asks(u, "list", "", "secrets", "a")));
  CHECK(rules_allow(admin.rules, asks(u, "create", "rbac.authorization.k8s.io", "rolebindings", "a")));
  CHECK(rules_allow(admin.rules, asks(u, "list", "", "configmaps", "a")));
}

TEST_CASE_METHOD(Fixture, "nobody grants what they do not hold") {
  UserInfo joe = user("joe"), root = user("root", {"system:masters"});
  auto check = make_escalation_check(policy, &authorizer);
  Document object = Document::parse(R"({"metadata":{"name":"x"},"rules":[{"verbs":["get","list"],"apiGroups":[""],"resources":["pods","secrets"]}]})");
  auto a = fakes::create_of("rbac.authorization.k8s.io", "clusterroles", "ClusterRole", "", &object, &joe);
  Status s = admit(*check, a);
  CHECK(s.is(Reason::Forbidden));
  CHECK(s.message() ==
        "clusterroles.rbac.authorization.k8s.io \"x\" is forbidden: user \"joe\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions "
        "not currently held:\n"
        "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\" \"list\"]}\n"
        "{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}");
  a.user = &root;
  CHECK(admit(*check, a).is_ok());
  a.user = &joe;
  lister.put(role("holds", {{{"*"}, {""}, {"pods", "secrets"}, {}, {}}}));
  lister.put(binding<rbac::ClusterRoleBinding>("", "b", "ClusterRole", "holds", {"User", "rbac.authorization.k8s.io", "joe", ""}));
  CHECK(admit(*check, a).is_ok());
  Document all = Document::parse(R"({"metadata":{"name":"b"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"}})");
  auto b = fakes::create_of("rbac.authorization.k8s.io", "clusterrolebindings", "ClusterRoleBinding", "", &all, &joe);
  CHECK(admit(*check, b).is(Reason::NotFound));
  lister.put(role("cluster-admin", {{{"*"}, {"*"}, {"*"}, {}, {}}}));
  CHECK(admit(*check, b).is(Reason::Forbidden));
  lister.put(role("binder", {{{"bind"}, {"rbac.authorization.k8s.io"}, {"clusterroles"}, {"cluster-admin"}, {}}}));
  lister.put(binding<rbac::ClusterRoleBinding>("", "c", "ClusterRole", "binder", {"User", "rbac.authorization.k8s.io", "joe", ""}));
  CHECK(admit(*check, b).is_ok());
}

TEST_CASE("the bootstrap writes what is missing and then nothing; what a person took out of the way stays so") {
  fakes::FakeLister lister;
  Options options;
  options.client_ca_pem = "PEM";
  std::vector<BootstrapWrite> writes = plan_bootstrap(lister, options);
  CHECK(writes.size() > 140);
  for (const auto& w : writes) CHECK(w.request.method == "POST");
  put_policy(lister);
  writes = plan_bootstrap(lister, options);
  CHECK(writes.size() == 3);  // priority classes and the ConfigMap
  auto role = *lister.get<rbac::ClusterRole>("", "system:kube-scheduler");
  role.rules.clear();
  lister.put(role);
  auto left = *lister.get<rbac::ClusterRole>("", "system:kube-dns");
  left.rules.clear();
  left.metadata.annotations[kAutoUpdate] = "false";
  lister.put(left);
  writes = plan_bootstrap(lister, options);
  REQUIRE(writes.size() == 4);
  CHECK(writes[0].request.method == "PUT");
  CHECK(writes[0].request.path == "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:kube-scheduler");
}
