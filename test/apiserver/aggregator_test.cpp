#include "apiserver/hook_server.hpp"

using namespace onebin;
using namespace onebin::apiserver;
using namespace onebin::apiserver::test;

namespace {

Document parse(const char* text) { return Document::parse(text); }

const std::string kServices = "/apis/apiregistration.k8s.io/v1/apiservices";

struct Aggregated {
  HookServer server;
  Fixture f{&server};

  Aggregated() {
    server.start(f);
    server.answer = [](const HookServer::Request& r) -> Document {
      if (r.target == "/apis/wardle.example.com/v1") return parse(R"({"kind":"APIResourceList","apiVersion":"v1","groupVersion":"wardle.example.com/v1","resources":[
        {"name":"flunders","singularName":"flunder","namespaced":true,"kind":"Flunder","verbs":["get","list"]},{"name":"flunders/status","singularName":"","namespaced":true,"kind":"Flunder","verbs":["get"]}]})");
      if (r.target == "/apis") return parse(R"({"kind":"APIGroupList","apiVersion":"v1","groups":[]})");
      if (r.target == "/openapi/v3") return parse(R"({"paths":{"apis/wardle.example.com/v1":{"serverRelativeURL":"/openapi/v3/apis/wardle.example.com/v1?hash=1"}}})");
      if (r.target == "/openapi/v2") return parse(R"({"paths":{"/apis/wardle.example.com/v1/flunders":{"get":{"responses":{"200":{"schema":{"$ref":"#/definitions/wardle.Flunder"}}}}},"/apis/other":{}},
        "definitions":{"wardle.Flunder":{"properties":{"metadata":{"$ref":"#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}}},"wardle.Unused":{}}})");
      return {{"kind", "Flunder"}, {"target", r.target}};
    };
  }
  ~Aggregated() { f.run(server.stop()); }

  void add(int priority = 2000) {
    Document d = {{"apiVersion", "apiregistration.k8s.io/v1"}, {"kind", "APIService"}, {"metadata", {{"name", "v1.wardle.example.com"}}},
                  {"spec", {{"group", "wardle.example.com"}, {"version", "v1"}, {"groupPriorityMinimum", priority}, {"versionPriority", 10}, {"caBundle", server.ca_bundle()},
                            {"service", {{"namespace", "default"}, {"name", "hook"}}}}}};
    Answer a = f.post(kServices, d);
    INFO(a.text);
    REQUIRE(a.code == 201);
  }
  static async::Task<void> pause(Duration d) { (void)co_await async::sleep_for(d); }
  void settle(Duration d = std::chrono::milliseconds(200)) { f.run(pause(d)); }
  Document condition() { return f.get(kServices + "/v1.wardle.example.com").body["status"]["conditions"][0]; }
};

}  // namespace

TEST_CASE_METHOD(Aggregated, "requests of an aggregated group are passed on under the user's name") {
  add();
  settle();
  CHECK(condition()["status"] == "True");
  CHECK(condition()["reason"] == "Passed");
  CHECK(condition()["message"] == "all checks passed");
  server.requests.clear();
  Answer a = f.get("/apis/wardle.example.com/v1/namespaces/default/flunders?limit=5");
  CHECK(a.code == 200);
  CHECK(a.body["target"] == "/apis/wardle.example.com/v1/namespaces/default/flunders?limit=5");
  REQUIRE(server.requests.size() == 1);
  const net::Headers& h = server.requests[0].headers;
  CHECK(h.get("X-Remote-User") == "admin");
  CHECK(h.all("X-Remote-Group").size() == 2);
  CHECK(h.get("X-Remote-Group") == "system:masters");
  a = f.post("/apis/wardle.example.com/v1/namespaces/default/flunders", parse(R"({"kind":"Flunder"})"));
  CHECK(a.code == 200);
  CHECK(server.requests[1].method == "POST");
  CHECK(server.requests[1].body["kind"] == "Flunder");
}

TEST_CASE_METHOD(Aggregated, "discovery and OpenAPI documents hold what another server serves") {
  add(17750);
  settle();
  Document groups = f.get("/apis").body["groups"];
  std::vector<std::string> names;
  for (const auto& g : groups) names.push_back(g["name"]);
  // Of the same priority as events.k8s.io, and later by name.
  auto at = std::find(names.begin(), names.end(), "wardle.example.com");
  REQUIRE(at != names.end());
  CHECK(*(at - 1) == "events.k8s.io");
  CHECK(f.get("/apis/wardle.example.com").body["preferredVersion"]["groupVersion"] == "wardle.example.com/v1");
  CHECK(f.get("/apis/wardle.example.com/v1").body["resources"].size() == 2);
  Answer all = f.send("GET", "/apis", nullptr, "application/json", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
  Document found;
  for (const auto& item : all.body["items"])
    if (item["metadata"]["name"] == "wardle.example.com") found = item["versions"][0];
  CHECK(found["freshness"] == "Current");
  CHECK(found["resources"][0]["resource"] == "flunders");
  CHECK(found["resources"][0]["responseKind"] == parse(R"({"group":"wardle.example.com","version":"v1","kind":"Flunder"})"));
  CHECK(found["resources"][0]["subresources"][0]["subresource"] == "status");
  CHECK(f.get("/openapi/v3").body["paths"]["apis/wardle.example.com/v1"]["serverRelativeURL"] == "/openapi/v3/apis/wardle.example.com/v1?hash=1");
  CHECK(f.get("/openapi/v3/apis/wardle.example.com/v1?hash=1").body["target"] == "/openapi/v3/apis/wardle.example.com/v1?hash=1");
  Document v2 = f.fetch("/openapi/v2").body;
  CHECK(v2["paths"].contains("/apis/wardle.example.com/v1/flunders"));
  CHECK_FALSE(v2["paths"].contains("/apis/other"));
  CHECK(v2["definitions"].contains("wardle.Flunder"));
  CHECK_FALSE(v2["definitions"].contains("wardle.Unused"));
  CHECK(v2["definitions"].contains("io.k8s.api.core.v1.Pod"));
}

TEST_CASE_METHOD(Aggregated, "what is not available says why, and is answered with 503") {
  server.refuse = true;
  add();
  settle();
  CHECK(condition()["reason"] == "FailedDiscoveryCheck");
  CHECK(condition()["message"] == "failing or missing response from https://10.1.0.9:8443/apis/wardle.example.com/v1: Get \"https://10.1.0.9:8443/apis/wardle.example.com/v1\": "
                                  "dial tcp 10.1.0.9:8443: connect: connection refused");
  Answer a = f.get("/apis/wardle.example.com/v1/flunders");
  CHECK(a.code == 503);
  CHECK(a.text == "service unavailable\n");
  server.refuse = false;
  settle(std::chrono::seconds(5));  // it is tried again
  CHECK(condition()["status"] == "True");
  CHECK(f.get("/apis/wardle.example.com/v1/flunders").code == 200);
  REQUIRE(f.send("DELETE", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/hook-1").code == 200);
  settle();
  CHECK(condition()["reason"] == "EndpointsNotFound");
  CHECK(condition()["message"] == "cannot find endpointslices for service/hook in \"default\"");
  REQUIRE(f.send("DELETE", "/api/v1/namespaces/default/services/hook").code == 200);
  settle();
  CHECK(condition()["reason"] == "ServiceNotFound");
  CHECK(condition()["message"] == "service/hook in \"default\" is not present");
  REQUIRE(f.send("DELETE", kServices + "/v1.wardle.example.com").code == 200);
  CHECK(f.get("/apis/wardle.example.com/v1/flunders").code == 404);
}
