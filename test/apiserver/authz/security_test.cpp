// The parts of security together, in a server over the memory store.
#include "apiserver/support.hpp"

#include <onebin/base/pki.hpp>

using namespace onebin;
using namespace onebin::apiserver::test;

namespace {

// Sends as somebody else.
struct Secure : Fixture {
  std::map<std::string, std::unique_ptr<client::Transport>> others;
  Answer as(const std::string& user, std::vector<std::string> groups, std::string method, std::string path, Document body = nullptr,
            std::string content_type = "application/json") {
    auto& t = others[user];
    if (!t) t = server->local_transport(apiserver::system_user(user, std::move(groups)));
    std::swap(transport, t);
    Answer a = send(std::move(method), std::move(path), std::move(body), std::move(content_type));
    std::swap(transport, t);
    return a;
  }
  ~Secure() { others.clear(); }
};

const std::string kRbac = "/apis/rbac.authorization.k8s.io/v1";

}  // namespace

TEST_CASE_METHOD(Secure, "what every cluster has is there, and who has no right is told so in upstream's words") {
  CHECK(get(kRbac + "/clusterroles/cluster-admin").code == 200);
  CHECK(get(kRbac + "/namespaces/kube-system/rolebindings/system:controller:token-cleaner").code == 200);
  CHECK(get("/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical").body["value"] == 2000001000);
  CHECK(get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication").code == 200);
  Answer view = get(kRbac + "/clusterroles/view");
  CHECK(view.body["rules"].size() > 5);  // aggregated
  CHECK(get(kRbac + "/clusterroles/admin").body["rules"].size() > view.body["rules"].size());
  Answer no = as("joe", {}, "GET", "/api/v1/namespaces/default/pods");
  CHECK(no.code == 403);
  CHECK(no.body["message"] == "pods is forbidden: User \"joe\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"");
  CHECK(as("joe", {}, "GET", "/api/v1/namespaces/default/pods/x/log").body["message"] ==
        "pods \"x\" is forbidden: User \"joe\" cannot get resource \"pods/log\" in API group \"\" in the namespace \"default\"");
  CHECK(as("joe", {}, "GET", "/version").code == 200);
  CHECK(as("joe", {}, "GET", "/metrics").body["message"] == "forbidden: User \"joe\" cannot get path \"/metrics\"");
  Document binding = {{"metadata", {{"name", "joe"}}}, {"roleRef", {{"apiGroup", "rbac.authorization.k8s.io"}, {"kind", "ClusterRole"}, {"name", "view"}}},
                      {"subjects", Document::array({{{"apiGroup", "rbac.authorization.k8s.io"}, {"kind", "User"}, {"name", "joe"}}})}};
  REQUIRE(post(kRbac + "/namespaces/default/rolebindings", binding).code == 201);
  CHECK(as("joe", {}, "GET", "/api/v1/namespaces/default/pods").code == 200);
  CHECK(as("joe", {}, "GET", "/api/v1/namespaces/kube-system/pods").code == 403);
  CHECK(as("joe", {}, "GET", "/api/v1/namespaces/default/secrets").code == 403);
}

TEST_CASE_METHOD(Secure, "a new aggregated role takes part at once") {
  Document role = {{"metadata", {{"name", "more"}, {"labels", {{"rbac.authorization.k8s.io/aggregate-to-view", "true"}}}}},
                   {"rules", Document::array({{{"verbs", {"get"}}, {"apiGroups", {"example.com"}}, {"resources", {"widgets"}}}})}};
  REQUIRE(post(kRbac + "/clusterroles", role).code == 201);
  loop->run_for(100ms);
  CHECK(get(kRbac + "/clusterroles/view").body["rules"].dump().find("widgets") != std::string::npos);
  CHECK(get(kRbac + "/clusterroles/admin").body["rules"].dump().find("widgets") != std::string::npos);
}

TEST_CASE_METHOD(Secure, "controllers may do their work under their own names") {
  auto controller = [&](const std::string& name, std::string method, std::string path) {
    std::string user = "system:serviceaccount:kube-system:" + name;
    return as(user, {"system:serviceaccounts", "system:serviceaccounts:kube-system"}, std::move(method), std::move(path)).code;
  };
  CHECK(controller("deployment-controller", "GET", "/apis/apps/v1/deployments") == 200);
  CHECK(controller("deployment-controller", "GET", "/api/v1/secrets") == 403);
  CHECK(controller("garbage-collector", "GET", "/api/v1/secrets") == 200);
  CHECK(controller("node-lifecycle-controller", "GET", "/api/v1/nodes") == 200);
  CHECK(controller("certificate-signer", "GET", "/apis/certificates.k8s.io/v1/certificatesigningrequests") == 200);
  CHECK(as("system:kube-scheduler", {}, "GET", "/api/v1/nodes").code == 200);
  CHECK(as("system:kube-controller-manager", {}, "GET", "/apis/apps/v1/replicasets").code == 200);
}

TEST_CASE_METHOD(Secure, "a node sees its own Node and what its pods name") {
  auto node = [&](std::string method, std::string path, Document body = nullptr) {
    return as("system:node:n1", {"system:nodes"}, std::move(method), std::move(path), std::move(body));
  };
  CHECK(node("POST", "/api/v1/nodes", {{"metadata", {{"name", "n1"}}}}).code == 201);
  CHECK(node("POST", "/api/v1/nodes", {{"metadata", {{"name", "n2"}}}}).code == 403);
  CHECK(get("/api/v1/nodes/n1").body["spec"]["taints"][0]["key"] == "node.kubernetes.io/not-ready");
  Document secret = {{"metadata", {{"name", "s"}}}, {"stringData", {{"a", "b"}}}};
  REQUIRE(post("/api/v1/namespaces/default/secrets", secret).code == 201);
  CHECK(node("GET", "/api/v1/namespaces/default/secrets/s").code == 403);
  Document volume = {{"name", "v"}, {"secret", {{"secretName", "s"}}}};
  Document pod = {{"metadata", {{"name", "p"}}},
                  {"spec", {{"nodeName", "n1"}, {"containers", Document::array({{{"name", "c"}, {"image", "i"}}})}, {"volumes", Document::array({volume})}}}};
  REQUIRE(post("/api/v1/namespaces/default/pods", pod).code == 201);
  CHECK(node("GET", "/api/v1/namespaces/default/secrets/s").code == 200);
  CHECK(node("GET", "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Ds").code == 200);
  CHECK(node("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1").code == 200);
  CHECK(node("GET", "/api/v1/pods").code == 403);
  CHECK(node("GET", "/api/v1/namespaces/default/pods/p").body["spec"]["volumes"].size() == 2);
}

TEST_CASE_METHOD(Secure, "nobody becomes more than they are by writing roles") {
  Document own = {{"metadata", {{"name", "author"}}},
                  {"rules", Document::array({{{"verbs", {"*"}}, {"apiGroups", {"rbac.authorization.k8s.io"}}, {"resources", {"roles", "rolebindings"}}},
                                             {{"verbs", {"get"}}, {"apiGroups", {""}}, {"resources", {"pods"}}}})}};
  REQUIRE(post(kRbac + "/clusterroles", own).code == 201);
  Document binding = {{"metadata", {{"name", "author"}}}, {"roleRef", {{"apiGroup", "rbac.authorization.k8s.io"}, {"kind", "ClusterRole"}, {"name", "author"}}},
                      {"subjects", Document::array({{{"apiGroup", "rbac.authorization.k8s.io"}, {"kind", "User"}, {"name", "ann"}}})}};
  REQUIRE(post(kRbac + "/namespaces/default/rolebindings", binding).code == 201);
  auto role = [](const char* verb, const char* resource) {
    return Document{{"metadata", {{"name", verb}}}, {"rules", Document::array({{{"verbs", {verb}}, {"apiGroups", {""}}, {"resources", {resource}}}})}};
  };
  CHECK(as("ann", {}, "POST", kRbac + "/namespaces/default/roles", role("get", "pods")).code == 201);
  // The right to roles' every verb includes escalate.
  CHECK(as("ann", {}, "POST", kRbac + "/namespaces/default/roles", role("list", "secrets")).code == 201);
  Document limited = own;
  limited["rules"][0]["verbs"] = {"create", "get", "update"};
  CHECK(send("PUT", kRbac + "/clusterroles/author", limited).code == 200);
  Answer refused = as("ann", {}, "POST", kRbac + "/namespaces/default/roles", role("watch", "secrets"));
  CHECK(refused.code == 403);
  CHECK(refused.body["message"].get<std::string>().find("attempting to grant RBAC permissions not currently held") != std::string::npos);
}

TEST_CASE_METHOD(Secure, "reviews") {
  Document q = {{"spec", {{"user", "system:kube-scheduler"}, {"resourceAttributes", {{"verb", "list"}, {"resource", "pods"}}}}}};
  Answer a = post("/apis/authorization.k8s.io/v1/subjectaccessreviews", q);
  CHECK(a.code == 201);
  CHECK(a.body["status"]["allowed"] == true);
  CHECK(a.body["status"]["reason"] == "RBAC: allowed by ClusterRoleBinding \"system:kube-scheduler\" of ClusterRole \"system:kube-scheduler\" to User \"system:kube-scheduler\"");
  Answer rules = as("joe", {}, "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {{"spec", {{"namespace", "default"}}}});
  CHECK(rules.body["status"]["incomplete"] == false);
  CHECK(rules.body["status"]["resourceRules"].dump().find("selfsubjectaccessreviews") != std::string::npos);
  Answer who = as("joe", {}, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", Document::object());
  CHECK(who.body["status"]["userInfo"]["username"] == "joe");
  Answer token = post("/apis/authentication.k8s.io/v1/tokenreviews", {{"spec", {{"token", "nonsense"}}}});
  CHECK(token.body["status"]["error"] == "invalid bearer token");
  CHECK_FALSE(token.body["status"].contains("authenticated"));
  Answer both = post("/apis/authorization.k8s.io/v1/subjectaccessreviews", {{"spec", {{"user", "x"}}}});
  CHECK(both.code == 422);
  CHECK(both.body["message"] == ".authorization.k8s.io \"\" is invalid: spec: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified");
}
