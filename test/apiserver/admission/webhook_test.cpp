#include "apiserver/hook_server.hpp"

using namespace onebin;
using namespace onebin::apiserver;
using namespace onebin::apiserver::test;

namespace {

Document parse(const char* text) { return Document::parse(text); }

struct Hooked {
  HookServer hooks;
  Fixture f{&hooks};
  std::map<std::string, std::function<Document(const Document& request)>> by_path;

  Hooked() {
    hooks.start(f);
    hooks.answer = [this](const HookServer::Request& r) {
      auto at = by_path.find(r.target.substr(0, r.target.find('?')));
      Document response = at == by_path.end() ? Document{{"allowed", true}} : at->second(r.body["request"]);
      response["uid"] = r.body["request"]["uid"];
      return Document{{"kind", "AdmissionReview"}, {"apiVersion", "admission.k8s.io/v1"}, {"response", response}};
    };
  }
  ~Hooked() { f.run(hooks.stop()); }

  Document webhook(const std::string& name, const std::string& path, const char* rule) {
    return {{"name", name},
            {"clientConfig", {{"service", {{"namespace", "default"}, {"name", "hook"}, {"path", path}}}, {"caBundle", hooks.ca_bundle()}}},
            {"rules", Document::array({parse(rule)})},
            {"sideEffects", "None"},
            {"admissionReviewVersions", {"v1"}}};
  }
  void configure(const std::string& kind, const std::string& name, std::vector<Document> webhooks) {
    Document d = {{"apiVersion", "admissionregistration.k8s.io/v1"}, {"kind", kind}, {"metadata", {{"name", name}}}, {"webhooks", webhooks}};
    Answer a = f.post("/apis/admissionregistration.k8s.io/v1/" + to_lower(kind) + "s", d);
    INFO(a.text);
    REQUIRE(a.code == 201);
  }
  void validating(std::vector<Document> webhooks) { configure("ValidatingWebhookConfiguration", "v", std::move(webhooks)); }
  void mutating(std::vector<Document> webhooks) { configure("MutatingWebhookConfiguration", "m", std::move(webhooks)); }
  // The requests that reached a path.
  std::vector<Document> asked(const std::string& path) const {
    std::vector<Document> out;
    for (const auto& r : hooks.requests)
      if (r.target.substr(0, r.target.find('?')) == path) out.push_back(r.body["request"]);
    return out;
  }
};

constexpr const char* kConfigMaps = R"({"operations":["*"],"apiGroups":[""],"apiVersions":["v1"],"resources":["configmaps"]})";
const std::string kMaps = "/api/v1/namespaces/default/configmaps";

Document patch(const char* operations) { return {{"allowed", true}, {"patchType", "JSONPatch"}, {"patch", base64_encode(operations)}}; }

}  // namespace

TEST_CASE_METHOD(Hooked, "a refusal has a status that HTTP can say") {
  std::int64_t code = 0;
  by_path["/deny"] = [&](const Document&) { return Document{{"allowed", false}, {"status", {{"code", code}}}}; };
  validating({webhook("deny.example.com", "/deny", kConfigMaps)});
  for (auto [told, means] : {std::pair<std::int64_t, int>{200, 400}, {-1, 400}, {499, 499}, {4053333333, 500}, {1000, 500}}) {
    code = told;
    CHECK(f.post(kMaps, config_map("bad")).code == means);
  }
}

TEST_CASE_METHOD(Hooked, "a validating webhook sees the request and refuses it with its own status") {
  by_path["/deny"] = [](const Document& r) {
    if (r["operation"] != "CREATE" || r["name"] != "bad") return Document{{"allowed", true}, {"warnings", {"look out"}}};
    return Document{{"allowed", false}, {"status", {{"code", 418}, {"message", "no teapots"}, {"reason", "Teapot"}}}};
  };
  validating({webhook("deny.example.com", "/deny", kConfigMaps)});
  Answer a = f.post(kMaps, config_map("bad"));
  CHECK(a.code == 418);
  CHECK(a.body["message"] == "admission webhook \"deny.example.com\" denied the request: no teapots");
  CHECK(a.body["reason"] == "Teapot");
  CHECK(f.get(kMaps + "/bad").code == 404);
  REQUIRE(asked("/deny").size() == 1);
  CHECK(hooks.requests.back().target == "/deny?timeout=10s");
  Document r = asked("/deny")[0];
  CHECK(r["kind"] == parse(R"({"group":"","version":"v1","kind":"ConfigMap"})"));
  CHECK(r["resource"] == parse(R"({"group":"","version":"v1","resource":"configmaps"})"));
  CHECK(r["requestKind"] == r["kind"]);
  CHECK(r["requestResource"] == r["resource"]);
  CHECK_FALSE(r.contains("subResource"));
  CHECK(r["namespace"] == "default");
  CHECK(r["userInfo"]["username"] == "admin");
  CHECK(r["object"]["data"] == parse(R"({"k":"v"})"));
  CHECK(r["object"]["kind"] == "ConfigMap");
  CHECK(r["oldObject"].is_null());
  CHECK(r["dryRun"] == false);
  CHECK(r["options"]["kind"] == "CreateOptions");

  REQUIRE(f.post(kMaps, config_map("good")).code == 201);
  Document changed = config_map("good", "w");
  REQUIRE(f.send("PUT", kMaps + "/good", changed).code == 200);
  CHECK(asked("/deny").back()["oldObject"]["data"]["k"] == "v");
  REQUIRE(f.send("DELETE", kMaps + "/good").code == 200);
  r = asked("/deny").back();
  CHECK(r["operation"] == "DELETE");
  CHECK(r["object"].is_null());
  CHECK(r["oldObject"]["data"]["k"] == "w");
  CHECK(r["options"]["kind"] == "DeleteOptions");
  CHECK(hooks.dials == 1);  // one connection carries all
}

TEST_CASE_METHOD(Hooked, "a mutating webhook's patch is defaulted, validated and stored") {
  by_path["/pods"] = [](const Document&) { return patch(R"([{"op":"add","path":"/spec/containers/-","value":{"name":"sidecar","image":"s"}},
    {"op":"add","path":"/spec/containers/0/resources/limits","value":{"cpu":"1000m"}}])"); };
  by_path["/maps"] = [](const Document&) { return patch(R"([{"op":"add","path":"/data/bad key","value":"x"}])"); };
  mutating({webhook("pods.example.com", "/pods", R"({"operations":["CREATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["pods"]})"),
            webhook("maps.example.com", "/maps", kConfigMaps)});
  Answer a = f.post("/api/v1/namespaces/default/pods", pod("p"));
  INFO(a.text);
  REQUIRE(a.code == 201);
  Document sidecar = a.body["spec"]["containers"][1];
  CHECK(sidecar["name"] == "sidecar");
  CHECK(sidecar["terminationMessagePolicy"] == "File");
  CHECK(sidecar["imagePullPolicy"] == "Always");
  CHECK(a.body["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "1");
  a = f.post(kMaps, config_map("x"));
  CHECK(a.code == 422);
  CHECK(a.body["message"].get<std::string>().find("data[bad key]") != std::string::npos);
}

TEST_CASE_METHOD(Hooked, "webhooks are called by name, and again where a later one changed the object") {
  by_path["/one"] = [](const Document& r) { return r["object"]["data"].contains("one") ? Document{{"allowed", true}} : patch(R"([{"op":"add","path":"/data/one","value":"1"}])"); };
  by_path["/two"] = [](const Document& r) { return r["object"]["data"].contains("two") ? Document{{"allowed", true}} : patch(R"([{"op":"add","path":"/data/two","value":"2"}])"); };
  Document one = webhook("one.example.com", "/one", kConfigMaps), two = webhook("two.example.com", "/two", kConfigMaps);
  one["reinvocationPolicy"] = "IfNeeded";
  configure("MutatingWebhookConfiguration", "b", {two});
  configure("MutatingWebhookConfiguration", "a", {one});
  Answer a = f.post(kMaps, config_map("x"));
  REQUIRE(a.code == 201);
  CHECK(a.body["data"] == parse(R"({"k":"v","one":"1","two":"2"})"));
  REQUIRE(asked("/one").size() == 2);
  CHECK_FALSE(asked("/one")[0]["object"]["data"].contains("two"));
  CHECK(asked("/one")[1]["object"]["data"].contains("two"));
  CHECK(asked("/two").size() == 1);
}

TEST_CASE_METHOD(Hooked, "what a webhook that cannot be asked means is its failurePolicy's to say") {
  hooks.refuse = true;
  Document w = webhook("down.example.com", "/down", kConfigMaps);
  validating({w});
  Answer a = f.post(kMaps, config_map("x"));
  CHECK(a.code == 500);
  CHECK(a.body["reason"] == "InternalError");
  CHECK(a.body["message"] == "Internal error occurred: failed calling webhook \"down.example.com\": failed to call webhook: "
                             "Post \"https://hook.default.svc:443/down?timeout=10s\": dial tcp 10.1.0.9:8443: connect: connection refused");
  const std::string kConfig = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/v";
  REQUIRE(f.send("PATCH", kConfig, parse(R"([{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"}])"), "application/json-patch+json").code == 200);
  CHECK(f.post(kMaps, config_map("x")).code == 201);
  REQUIRE(f.send("PATCH", kConfig, parse(R"([{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Fail"},
    {"op":"replace","path":"/webhooks/0/timeoutSeconds","value":1}])"), "application/json-patch+json").code == 200);
  hooks.refuse = false;
  hooks.delay = std::chrono::seconds(3);
  a = f.post(kMaps, config_map("y"));
  CHECK(a.body["message"] == "Internal error occurred: failed calling webhook \"down.example.com\": failed to call webhook: "
                             "Post \"https://hook.default.svc:443/down?timeout=1s\": context deadline exceeded");
  hooks.delay = Duration::zero();
  hooks.code = 503;
  a = f.post(kMaps, config_map("y"));
  CHECK(a.body["message"] == "Internal error occurred: failed calling webhook \"down.example.com\": failed to call webhook: the server is currently unable to handle the request");
  hooks.code = 200;
  hooks.answer = [](const HookServer::Request&) { return parse(R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"no","allowed":true}})"); };
  a = f.post(kMaps, config_map("y"));
  CHECK(starts_with(a.body["message"].get<std::string>(), "Internal error occurred: failed calling webhook \"down.example.com\": received invalid webhook response: expected response.uid="));
}

TEST_CASE_METHOD(Hooked, "a server that the bundle does not vouch for is not asked") {
  Document w = webhook("w.example.com", "/w", kConfigMaps);
  w["clientConfig"]["caBundle"] = base64_encode(pki::create_ca({"other", {}}, system_clock().wall(), std::chrono::hours(1))->certificate);
  validating({w});
  Answer a = f.post(kMaps, config_map("x"));
  CHECK(a.code == 500);
  CHECK(a.body["message"].get<std::string>().find("x509: certificate signed by unknown authority") != std::string::npos);
  CHECK(hooks.requests.empty());
}

TEST_CASE_METHOD(Hooked, "webhooks with side effects do not see dry runs") {
  Document w = webhook("some.example.com", "/some", kConfigMaps);
  w["sideEffects"] = "NoneOnDryRun";
  validating({w});
  CHECK(f.post(kMaps + "?dryRun=All", config_map("x")).code == 201);
  CHECK(asked("/some").back()["dryRun"] == true);
  w["admissionReviewVersions"] = {"v1beta1"};
  w["sideEffects"] = "None";
  w["name"] = "beta.example.com";
  // An older review is answered by one of its version, and says what it answers by nothing.
  hooks.answer = [](const HookServer::Request& r) { return Document{{"kind", "AdmissionReview"}, {"apiVersion", r.body["apiVersion"]}, {"response", {{"allowed", false}, {"uid", r.body["request"]["uid"]}}}}; };
  configure("ValidatingWebhookConfiguration", "w", {w});
  Answer a = f.post(kMaps, config_map("x"));
  CHECK(a.code == 400);
  CHECK(starts_with(a.body["message"].get<std::string>(), "admission webhook \""));
  CHECK(ends_with(a.body["message"].get<std::string>(), ".example.com\" denied the request without explanation"));
}

TEST_CASE_METHOD(Hooked, "subresources: a scale, an eviction, a binding and a status are shown as what they are") {
  validating({webhook("all.example.com", "/all", R"({"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*/*"]})")});
  by_path["/all"] = [](const Document& r) { return Document{{"allowed", r["operation"] != "CONNECT"}}; };
  REQUIRE(f.post("/api/v1/namespaces/default/pods", pod("p")).code == 201);
  Answer bound = f.post("/api/v1/namespaces/default/pods/p/binding", parse(R"({"apiVersion":"v1","kind":"Binding","metadata":{"name":"p"},"target":{"kind":"Node","name":"n"}})"));
  REQUIRE(bound.code == 201);
  Document r = asked("/all").back();
  CHECK(r["kind"]["kind"] == "Binding");
  CHECK(r["operation"] == "CREATE");
  CHECK(r["subResource"] == "binding");
  CHECK(r["object"]["target"]["name"] == "n");
  REQUIRE(f.send("PATCH", "/api/v1/namespaces/default/pods/p/status", parse(R"({"status":{"phase":"Running"}})"), "application/merge-patch+json").code == 200);
  r = asked("/all").back();
  CHECK(r["subResource"] == "status");
  CHECK(r["kind"]["kind"] == "Pod");
  CHECK(f.post("/api/v1/namespaces/default/pods/p/exec?command=ls&stdout=true", nullptr).body["message"] == "admission webhook \"all.example.com\" denied the request without explanation");
  r = asked("/all").back();
  CHECK(r["kind"]["kind"] == "PodExecOptions");
  CHECK(r["object"]["command"] == parse(R"(["ls"])"));
  CHECK(r["object"]["stdout"] == true);
  CHECK(r["options"].is_null());
  std::size_t before = asked("/all").size();
  REQUIRE(f.post("/api/v1/namespaces/default/pods/p/eviction", parse(R"({"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"p"}})")).code == 201);
  REQUIRE(asked("/all").size() == before + 1);
  CHECK(asked("/all").back()["kind"] == parse(R"({"group":"policy","version":"v1","kind":"Eviction"})"));
  REQUIRE(f.post("/apis/apps/v1/namespaces/default/deployments", parse(R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},
    "spec":{"replicas":1,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}})")).code == 201);
  by_path["/scale"] = [](const Document&) { return patch(R"([{"op":"replace","path":"/spec/replicas","value":5}])"); };
  mutating({webhook("scale.example.com", "/scale", R"({"operations":["UPDATE"],"apiGroups":["apps"],"apiVersions":["v1"],"resources":["deployments/scale"]})")});
  Answer scaled = f.send("PATCH", "/apis/apps/v1/namespaces/default/deployments/d/scale", parse(R"({"spec":{"replicas":3}})"), "application/merge-patch+json");
  REQUIRE(scaled.code == 200);
  CHECK(scaled.body["spec"]["replicas"] == 5);
  r = asked("/scale").back();
  CHECK(r["kind"] == parse(R"({"group":"autoscaling","version":"v1","kind":"Scale"})"));
  CHECK(r["object"]["spec"]["replicas"] == 3);
  CHECK(r["oldObject"]["spec"]["replicas"] == 1);
}

TEST_CASE_METHOD(Hooked, "a webhook sees the version that it asked for, and its patch reaches the one that was written") {
  by_path["/hpa"] = [](const Document&) { return patch(R"([{"op":"add","path":"/spec/metrics","value":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":42}}}]}])"); };
  mutating({webhook("hpa.example.com", "/hpa", R"({"operations":["CREATE"],"apiGroups":["autoscaling"],"apiVersions":["v2"],"resources":["horizontalpodautoscalers"]})")});
  Answer a = f.post("/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers", parse(R"({"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","metadata":{"name":"h"},
    "spec":{"maxReplicas":3,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"}}})"));
  INFO(a.text);
  REQUIRE(a.code == 201);
  Document r = asked("/hpa").back();
  CHECK(r["kind"]["version"] == "v2");
  CHECK(r["requestKind"]["version"] == "v1");
  CHECK(r["object"]["apiVersion"] == "autoscaling/v2");
  CHECK(a.body["apiVersion"] == "autoscaling/v1");
  CHECK(a.body["spec"]["targetCPUUtilizationPercentage"] == 42);
}

TEST_CASE_METHOD(Hooked, "webhook configurations can always be deleted, and a collection's objects are shown one by one without a name") {
  by_path["/no"] = [](const Document&) { return Document{{"allowed", false}}; };
  validating({webhook("no.example.com", "/no", R"({"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*/*"]})")});
  by_path["/no"] = [](const Document& r) { return Document{{"allowed", r["operation"] != "DELETE"}}; };
  REQUIRE(f.post(kMaps, config_map("a")).code == 201);
  Answer a = f.send("DELETE", kMaps);
  CHECK(a.code == 400);
  Document r = asked("/no").back();
  CHECK_FALSE(r.contains("name"));
  CHECK(r["oldObject"]["metadata"]["name"].is_string());
  by_path["/no"] = [](const Document&) { return Document{{"allowed", false}}; };
  CHECK(f.send("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/v").code == 200);
  CHECK(f.post(kMaps, config_map("b")).code == 201);
}

namespace {
async::Task<void> pause() { (void)co_await async::sleep_for(std::chrono::milliseconds(100)); }
}  // namespace

TEST_CASE_METHOD(Hooked, "connections to an endpoint end with it") {
  validating({webhook("w.example.com", "/w", kConfigMaps)});
  REQUIRE(f.post(kMaps, config_map("x")).code == 201);
  CHECK(hooks.connections() == 1);
  REQUIRE(f.send("PATCH", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/hook-1", parse(R"([{"op":"replace","path":"/endpoints/0/conditions/ready","value":false}])"),
                 "application/json-patch+json").code == 200);
  f.run(pause());
  CHECK(hooks.connections() == 0);
  Answer a = f.post(kMaps, config_map("y"));
  CHECK(a.body["message"] == "Internal error occurred: failed calling webhook \"w.example.com\": failed to call webhook: "
                             "Post \"https://hook.default.svc:443/w?timeout=10s\": no endpoints available for service \"hook\"");
}

TEST_CASE_METHOD(Hooked, "of a Namespace the namespace is itself") {
  by_path["/ns"] = [](const Document&) { return Document{{"allowed", true}}; };
  validating({webhook("ns.example.com", "/ns", R"({"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["namespaces"]})")});
  REQUIRE(f.post("/api/v1/namespaces", parse(R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"new"}})")).code == 201);
  CHECK(asked("/ns").back()["namespace"] == "new");
  CHECK(asked("/ns").back()["name"] == "new");
}
