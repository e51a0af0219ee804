// ResourceQuota in a server over the memory store; the tests do the quota controller's part.
#include "apiserver/support.hpp"

using namespace onebin;
using namespace onebin::apiserver::test;

namespace {

const std::string kNs = "/api/v1/namespaces/default";

struct Quotas : Fixture {
  void quota(const std::string& name, Document hard, Document used, Document spec = Document::object()) {
    spec["hard"] = hard;
    Document q = {{"apiVersion", "v1"}, {"kind", "ResourceQuota"}, {"metadata", {{"name", name}}}, {"spec", spec}};
    Answer made = post(kNs + "/resourcequotas", q);
    INFO(made.text);
    REQUIRE(made.code == 201);
    q = made.body;
    q["status"] = {{"hard", hard}, {"used", used}};
    REQUIRE(send("PUT", kNs + "/resourcequotas/" + name + "/status", q).code == 200);
  }
  Document used(const std::string& name) { return get(kNs + "/resourcequotas/" + name).body["status"]["used"]; }
  static Document asking(std::string name, Document requests) {
    Document p = pod(std::move(name));
    p["spec"]["containers"][0]["resources"]["requests"] = std::move(requests);
    return p;
  }
};

}  // namespace

TEST_CASE_METHOD(Quotas, "what is created is charged, and refused past the quota in upstream's words") {
  quota("q", {{"configmaps", "2"}, {"count/configmaps", "9"}}, {{"configmaps", "0"}, {"count/configmaps", "0"}});
  CHECK(post(kNs + "/configmaps", config_map("a")).code == 201);
  CHECK(post(kNs + "/configmaps?dryRun=All", config_map("dry")).code == 201);
  CHECK(used("q") == Document({{"configmaps", "1"}, {"count/configmaps", "1"}}));
  CHECK(post(kNs + "/configmaps", config_map("b")).code == 201);
  Answer no = post(kNs + "/configmaps", config_map("c"));
  CHECK(no.code == 403);
  CHECK(no.body["reason"] == "Forbidden");
  CHECK(no.body["message"] == "configmaps \"c\" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=2, limited: configmaps=2");
  CHECK(used("q")["configmaps"] == "2");
  // An update adds nothing; what no quota names is free.
  CHECK(send("PUT", kNs + "/configmaps/a", config_map("a", "w")).code == 200);
  CHECK(post(kNs + "/secrets", {{"metadata", {{"name", "s"}}}}).code == 201);
}

TEST_CASE_METHOD(Quotas, "pods must state what a quota limits, and wait until its usage is known") {
  Document spec = {{"hard", {{"requests.cpu", "1"}, {"pods", "5"}}}};
  REQUIRE(post(kNs + "/resourcequotas", {{"metadata", {{"name", "q"}}}, {"spec", spec}}).code == 201);
  CHECK(post(kNs + "/pods", pod("free")).code == 201);  // no status: nothing is enforced yet
  Document q = get(kNs + "/resourcequotas/q").body;
  q["status"] = {{"hard", spec["hard"]}, {"used", {{"pods", "0"}}}};
  REQUIRE(send("PUT", kNs + "/resourcequotas/q/status", q).code == 200);
  CHECK(post(kNs + "/pods", pod("a")).body["message"] == "pods \"a\" is forbidden: failed quota: q: must specify requests.cpu for: c");
  CHECK(post(kNs + "/pods", asking("a", {{"cpu", "100m"}})).body["message"] == "pods \"a\" is forbidden: status unknown for quota: q, resources: pods,requests.cpu");
  q = get(kNs + "/resourcequotas/q").body;
  q["status"]["used"] = {{"pods", "0"}, {"requests.cpu", "0"}};
  REQUIRE(send("PUT", kNs + "/resourcequotas/q/status", q).code == 200);
  CHECK(post(kNs + "/pods", asking("a", {{"cpu", "600m"}})).code == 201);
  CHECK(post(kNs + "/pods", asking("b", {{"cpu", "600m"}})).body["message"] ==
        "pods \"b\" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1");
  CHECK(post(kNs + "/pods", asking("c", {{"cpu", "400m"}})).code == 201);
  CHECK(used("q") == Document({{"pods", "2"}, {"requests.cpu", "1"}}));
}

TEST_CASE_METHOD(Quotas, "scopes: only the quotas that select a pod count it") {
  quota("best", {{"pods", "1"}}, {{"pods", "0"}}, {{"scopes", {"BestEffort"}}});
  quota("rest", {{"pods", "1"}}, {{"pods", "0"}}, {{"scopes", {"NotBestEffort"}}});
  CHECK(post(kNs + "/pods", pod("a")).code == 201);
  CHECK(post(kNs + "/pods", asking("b", {{"cpu", "1"}})).code == 201);
  CHECK(used("best")["pods"] == "1");
  CHECK(used("rest")["pods"] == "1");
  CHECK(post(kNs + "/pods", pod("c")).body["message"] == "pods \"c\" is forbidden: exceeded quota: best, requested: pods=1, used: pods=1, limited: pods=1");
  // A deadline moves a pod from one scope to another.
  quota("ending", {{"pods", "0"}}, {{"pods", "0"}}, {{"scopes", {"Terminating"}}});
  Answer moved = send("PATCH", kNs + "/pods/a", {{"spec", {{"activeDeadlineSeconds", 5}}}}, "application/merge-patch+json");
  CHECK(moved.body["message"] == "pods \"a\" is forbidden: exceeded quota: ending, requested: pods=1, used: pods=0, limited: pods=0");
}

TEST_CASE_METHOD(Quotas, "a service that changes its type is charged with the difference") {
  quota("q", {{"services", "5"}, {"services.nodeports", "1"}}, {{"services", "0"}, {"services.nodeports", "0"}});
  Document s = {{"metadata", {{"name", "s"}}}, {"spec", {{"selector", {{"a", "b"}}}, {"ports", Document::array({{{"port", 80}, {"name", "x"}}})}}}};
  REQUIRE(post(kNs + "/services", s).code == 201);
  CHECK(used("q") == Document({{"services", "1"}, {"services.nodeports", "0"}}));
  REQUIRE(send("PATCH", kNs + "/services/s", {{"spec", {{"type", "NodePort"}}}}, "application/merge-patch+json").code == 200);
  CHECK(used("q") == Document({{"services", "1"}, {"services.nodeports", "1"}}));
  Document two = s["spec"]["ports"];
  two.push_back({{"port", 81}, {"name", "y"}});
  Answer no = send("PATCH", kNs + "/services/s", {{"spec", {{"ports", two}}}}, "application/merge-patch+json");
  CHECK(no.body["message"] == "services \"s\" is forbidden: exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=1, limited: services.nodeports=1");
}

TEST_CASE_METHOD(Quotas, "a quota names what can be limited, with scopes that go with it") {
  auto fault = [&](Document hard, Document spec = Document::object()) {
    spec["hard"] = std::move(hard);
    return post(kNs + "/resourcequotas?dryRun=All", {{"metadata", {{"name", "q"}}}, {"spec", spec}}).body.value("message", "");
  };
  CHECK(fault({{"pods", "1"}, {"requests.nvidia.com/gpu", "1"}, {"count/widgets.e.x", "1"}, {"gold.storageclass.storage.k8s.io/requests.storage", "1Gi"}, {"hugepages-2Mi", "2Mi"}}).empty());
  CHECK(fault({{"nodes", "1"}}) ==
        "ResourceQuota \"q\" is invalid: [spec.hard[nodes]: Invalid value: \"nodes\": must be a standard resource type or fully qualified, "
        "spec.hard[nodes]: Invalid value: \"nodes\": must be a standard resource for quota]");
  CHECK(fault({{"pods", "1500m"}}) == "ResourceQuota \"q\" is invalid: spec.hard[pods]: Invalid value: \"1500m\": must be an integer");
  CHECK(fault({{"pods", "1"}}, {{"scopes", {"BestEffort", "NotBestEffort"}}}) ==
        "ResourceQuota \"q\" is invalid: spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\"]: conflicting scopes");
  CHECK(fault({{"configmaps", "1"}}, {{"scopes", {"BestEffort"}}}) ==
        "ResourceQuota \"q\" is invalid: spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource");
  Document in = {{"scopeName", "PriorityClass"}, {"operator", "In"}};
  CHECK(fault({{"pods", "1"}}, {{"scopeSelector", {{"matchExpressions", Document::array({in})}}}}) ==
        "ResourceQuota \"q\" is invalid: spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector");
  quota("q", {{"pods", "1"}}, {{"pods", "0"}}, {{"scopes", {"BestEffort"}}});
  Document changed = {{"spec", {{"scopes", {"Terminating"}}}}};
  CHECK(send("PATCH", kNs + "/resourcequotas/q", changed, "application/merge-patch+json").body.value("message", "") ==
        "ResourceQuota \"q\" is invalid: spec.scopes: Invalid value: [\"Terminating\"]: field is immutable");
}

namespace {
async::Task<void> create_one(client::Transport* t, std::string name, int* created, int* refused) {
  client::ApiRequest q;
  q.method = "POST";
  q.path = kNs + "/configmaps";
  q.body = config_map(std::move(name)).dump();
  q.content_type = "application/json";
  q.accept = "application/json";
  Result<client::ApiResponse> r = co_await t->request(std::move(q));
  if (r && r->code == 201) ++*created;
  if (r && r->code == 403) ++*refused;
}
}  // namespace

TEST_CASE_METHOD(Quotas, "writes at the same time share what there is, and no more") {
  quota("q", {{"configmaps", "7"}}, {{"configmaps", "0"}});
  quota("wide", {{"count/configmaps", "100"}}, {{"count/configmaps", "0"}});
  int created = 0, refused = 0;
  std::int64_t before = std::stoll(get(kNs + "/resourcequotas/q").body["metadata"]["resourceVersion"].get<std::string>());
  for (int i = 0; i < 20; ++i) group.spawn(create_one(transport.get(), "c" + std::to_string(i), &created, &refused));
  for (int i = 0; i < 200 && created + refused < 20; ++i) loop->run_for(10ms);
  CHECK(created == 7);
  CHECK(refused == 13);
  CHECK(used("q")["configmaps"] == "7");
  CHECK(used("wide")["count/configmaps"] == "7");
  // Decided together, they cost a few writes of the quota, not twenty.
  std::int64_t after = std::stoll(get(kNs + "/resourcequotas/q").body["metadata"]["resourceVersion"].get<std::string>());
  CHECK(after - before < 20);
}
