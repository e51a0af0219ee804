#include "support.hpp"

using namespace onebin;
using namespace onebin::apiserver::test;

namespace {
const std::string kMaps = "/api/v1/namespaces/default/configmaps";
}

TEST_CASE("a config map is created, read, changed and deleted") {
  Fixture f;
  Answer made = f.post(kMaps, config_map("a"));
  INFO(made.text);
  REQUIRE(made.code == 201);
  CHECK(made.body["metadata"]["namespace"] == "default");
  CHECK(made.body["metadata"]["uid"].get<std::string>().size() == 36);
  CHECK(made.body["metadata"].contains("creationTimestamp"));
  CHECK(made.body["metadata"]["managedFields"].size() == 1);
  std::string first = made.body["metadata"]["resourceVersion"];

  Answer got = f.get(kMaps + "/a");
  REQUIRE(got.code == 200);
  CHECK(got.body == made.body);

  CHECK(f.post(kMaps, config_map("a")).body["reason"] == "AlreadyExists");
  CHECK(f.get(kMaps + "/b").body["message"] == "configmaps \"b\" not found");

  Document changed = got.body;
  changed["data"]["k"] = "w";
  Answer put = f.send("PUT", kMaps + "/a", changed);
  REQUIRE(put.code == 200);
  CHECK(put.body["metadata"]["resourceVersion"] != first);
  Answer stale = f.send("PUT", kMaps + "/a", changed);
  CHECK(stale.code == 409);
  CHECK(stale.body["message"] == "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again");

  Answer same = f.send("PUT", kMaps + "/a", put.body);
  CHECK(same.body["metadata"]["resourceVersion"] == put.body["metadata"]["resourceVersion"]);

  Answer gone = f.send("DELETE", kMaps + "/a");
  REQUIRE(gone.code == 200);
  CHECK(gone.body["status"] == "Success");
  CHECK(gone.body["details"]["uid"] == made.body["metadata"]["uid"]);
  CHECK(f.get(kMaps + "/a").code == 404);
}

TEST_CASE("protobuf and JSON show the same object") {
  Fixture f;
  REQUIRE(f.post(kMaps, config_map("a")).code == 201);
  Answer p = f.send("GET", kMaps + "/a", nullptr, "", "application/vnd.kubernetes.protobuf");
  REQUIRE(p.code == 200);
  CHECK(p.content_type == "application/vnd.kubernetes.protobuf");
  CHECK(p.text.substr(0, 4) == std::string("k8s\0", 4));
  Answer back = f.send_text("PUT", kMaps + "/a", p.text, "application/vnd.kubernetes.protobuf");
  INFO(back.text);
  CHECK(back.code == 200);
  CHECK(back.body == f.get(kMaps + "/a").body);
}

TEST_CASE("lists page at one revision") {
  Fixture f;
  for (int i = 0; i < 7; ++i) REQUIRE(f.post(kMaps, config_map("m" + std::to_string(i))).code == 201);
  Answer one = f.get(kMaps + "?limit=3");
  REQUIRE(one.code == 200);
  CHECK(one.body["kind"] == "ConfigMapList");
  REQUIRE(one.body["items"].size() == 3);
  CHECK(one.body["metadata"]["remainingItemCount"] == 4);
  std::string next = one.body["metadata"]["continue"];
  CHECK(f.send("DELETE", kMaps + "/m5").code == 200);
  CHECK(f.post(kMaps, config_map("m9")).code == 201);
  Answer two = f.get(kMaps + "?limit=3&continue=" + next);
  REQUIRE(two.body["items"].size() == 3);
  CHECK(two.body["metadata"]["resourceVersion"] == one.body["metadata"]["resourceVersion"]);
  CHECK(two.body["items"][2]["metadata"]["name"] == "m5");
  Answer three = f.get(kMaps + "?limit=3&continue=" + two.body["metadata"]["continue"].get<std::string>());
  CHECK(three.body["items"].size() == 1);
  CHECK(!three.body["metadata"].contains("continue"));
}

TEST_CASE("patches of the four types") {
  Fixture f;
  REQUIRE(f.post(kMaps, config_map("a")).code == 201);
  Answer merge = f.send_text("PATCH", kMaps + "/a", R"({"data":{"x":"1","k":null}})", "application/merge-patch+json");
  INFO(merge.text);
  CHECK(merge.body["data"] == Document({{"x", "1"}}));
  Answer json = f.send_text("PATCH", kMaps + "/a", R"([{"op":"add","path":"/data/y","value":"2"}])", "application/json-patch+json");
  CHECK(json.body["data"] == Document({{"x", "1"}, {"y", "2"}}));
  Answer strategic = f.send_text("PATCH", kMaps + "/a", R"({"metadata":{"labels":{"l":"1"}}})", "application/strategic-merge-patch+json");
  CHECK(strategic.body["metadata"]["labels"]["l"] == "1");
  // The path's type counts, as for a patch of the scale that names the scaled kind.
  const char* renamed = R"({"kind":"Other","apiVersion":"v9","metadata":{"labels":{"l":"2"}}})";
  strategic = f.send_text("PATCH", kMaps + "/a", renamed, "application/strategic-merge-patch+json");
  CHECK(strategic.code == 200);
  CHECK(strategic.body["kind"] == "ConfigMap");
  CHECK(strategic.body["metadata"]["labels"]["l"] == "2");
  Answer applied = f.send_text("PATCH", kMaps + "/a?fieldManager=me", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: \"9\"}\n", "application/apply-patch+yaml");
  CHECK(applied.code == 409);
  CHECK(applied.body["details"]["causes"][0]["reason"] == "FieldManagerConflict");
  applied = f.send_text("PATCH", kMaps + "/a?fieldManager=me&force=true", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: \"9\"}\n", "application/apply-patch+yaml");
  INFO(applied.text);
  CHECK(applied.code == 200);
  CHECK(applied.body["data"]["x"] == "9");
  Answer fresh = f.send_text("PATCH", kMaps + "/new?fieldManager=me", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new}\ndata: {x: \"9\"}\n", "application/apply-patch+yaml");
  CHECK(fresh.code == 201);
}

TEST_CASE("unknown and duplicate fields under each fieldValidation") {
  Fixture f;
  std::string body = R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"nonsense":1,"data":{"k":"1"},"data":{"k":"2"}})";
  Answer strict = f.send_text("POST", kMaps + "?fieldValidation=Strict", body);
  CHECK(strict.code == 400);
  INFO(strict.text);
  CHECK(strict.body["message"].get<std::string>().find("unknown field \"nonsense\"") != std::string::npos);
  CHECK(strict.body["message"].get<std::string>().find("duplicate field \"data\"") != std::string::npos);
  CHECK(f.send_text("POST", kMaps + "?fieldValidation=Ignore", body).code == 201);
}

TEST_CASE("pods take defaults, a grace period and a generation") {
  Fixture f;
  std::string pods = "/api/v1/namespaces/default/pods";
  Answer made = f.post(pods, pod("p"));
  INFO(made.text);
  REQUIRE(made.code == 201);
  CHECK(made.body["spec"]["restartPolicy"] == "Always");
  CHECK(made.body["spec"]["containers"][0]["imagePullPolicy"] == "Always");
  CHECK(made.body["status"]["phase"] == "Pending");
  CHECK(made.body["status"]["qosClass"] == "BestEffort");
  CHECK(made.body["metadata"]["generation"] == 1);

  REQUIRE(f.send("PATCH", pods + "/p/status", {{"status", {{"nominatedNodeName", "n1"}}}}, "application/merge-patch+json").body["status"]["nominatedNodeName"] == "n1");
  Document binding = {{"apiVersion", "v1"}, {"kind", "Binding"}, {"metadata", {{"name", "p"}}}, {"target", {{"kind", "Node"}, {"name", "n1"}}}};
  Answer bound = f.post(pods + "/p/binding", binding);
  INFO(bound.text);
  CHECK(bound.code == 201);
  CHECK(f.post(pods + "/p/binding", binding).code == 409);
  Answer on_node = f.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1");
  REQUIRE(on_node.body["items"].size() == 1);
  CHECK_FALSE(on_node.body["items"][0]["status"].contains("nominatedNodeName"));

  Answer deleting = f.send("DELETE", pods + "/p");
  CHECK(deleting.body["kind"] == "Pod");
  CHECK(deleting.body["metadata"]["deletionGracePeriodSeconds"] == 30);
  CHECK(f.get(pods + "/p").code == 200);
  Answer now = f.send("DELETE", pods + "/p?gracePeriodSeconds=0");
  CHECK(now.code == 200);
  CHECK(f.get(pods + "/p").code == 404);
}

TEST_CASE("finalizers hold a deleted object until the last is taken") {
  Fixture f;
  Document m = config_map("a");
  m["metadata"]["finalizers"] = {"example.com/hold"};
  REQUIRE(f.post(kMaps, m).code == 201);
  Answer d = f.send("DELETE", kMaps + "/a");
  CHECK(d.body["metadata"].contains("deletionTimestamp"));
  CHECK(f.get(kMaps + "/a").code == 200);
  Answer patched = f.send_text("PATCH", kMaps + "/a", R"({"metadata":{"finalizers":null}})", "application/merge-patch+json");
  CHECK(patched.code == 200);
  CHECK(f.get(kMaps + "/a").code == 404);
}

TEST_CASE("services get addresses and ports") {
  Fixture f;
  std::string services = "/api/v1/namespaces/default/services";
  Answer kubernetes = f.get(services + "/kubernetes");
  CHECK(kubernetes.body["spec"]["clusterIP"] == "10.43.0.1");
  Document port = {{"port", 80}};
  Document s = {{"apiVersion", "v1"}, {"kind", "Service"}, {"metadata", {{"name", "s"}}}, {"spec", {{"type", "NodePort"}, {"selector", {{"app", "x"}}}, {"ports", Document::array({port})}}}};
  Answer made = f.post(services, s);
  INFO(made.text);
  REQUIRE(made.code == 201);
  CHECK(made.body["spec"]["clusterIP"].get<std::string>().substr(0, 6) == "10.43.");
  CHECK(made.body["spec"]["clusterIPs"][0] == made.body["spec"]["clusterIP"]);
  CHECK(made.body["spec"]["ports"][0]["nodePort"].get<int>() >= 30000);
  CHECK(made.body["spec"]["ports"][0]["protocol"] == "TCP");
  CHECK(made.body["spec"]["ipFamilies"][0] == "IPv4");
  s["metadata"]["name"] = "t";
  s["spec"]["clusterIP"] = made.body["spec"]["clusterIP"];
  Answer taken = f.post(services, s);
  CHECK(taken.code == 422);
  CHECK(taken.body["message"].get<std::string>().find("already allocated") != std::string::npos);
  // A dry run asks whether the range has the address, not whether it is free.
  CHECK(f.post(services + "?dryRun=All", s).code == 201);
  s["spec"]["clusterIP"] = "1.2.3.4";
  CHECK(f.post(services, s).body["message"].get<std::string>().find("the provided network does not match the current range") != std::string::npos);
  CHECK(f.post(services + "?dryRun=All", s).body["message"].get<std::string>().find("the provided IP (1.2.3.4) is not in the valid range. The range of valid IPs is 10.43.0.0/16") !=
        std::string::npos);
}

TEST_CASE("an update of a NetworkPolicy that empties a map counts as a change") {
  Fixture f;
  std::string policies = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";
  Document p = {{"apiVersion", "networking.k8s.io/v1"}, {"kind", "NetworkPolicy"}, {"metadata", {{"name", "p"}}}, {"spec", {{"podSelector", Document::object()}}}};
  REQUIRE(f.post(policies, p).code == 201);
  CHECK(f.send("PUT", policies + "/p", p).body["metadata"]["generation"] == 1);
  p["spec"]["podSelector"] = {{"matchLabels", Document::object()}};
  CHECK(f.send("PUT", policies + "/p", p).body["metadata"]["generation"] == 2);
}

TEST_CASE("tables are what kubectl prints") {
  Fixture f;
  REQUIRE(f.post("/api/v1/namespaces/default/pods", pod("p")).code == 201);
  Answer t = f.send("GET", "/api/v1/namespaces/default/pods", nullptr, "", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json");
  INFO(t.text);
  REQUIRE(t.body["kind"] == "Table");
  CHECK(t.body["columnDefinitions"][1]["name"] == "Ready");
  CHECK(t.body["rows"][0]["cells"][0] == "p");
  CHECK(t.body["rows"][0]["cells"][1] == "0/1");
  CHECK(t.body["rows"][0]["object"]["kind"] == "PartialObjectMetadata");
}

namespace {
// Text made from the stored bytes has Go's nulls, text made from a tree has not.
Document without_nulls(Document d) {
  if (d.is_object())
    for (auto it = d.begin(); it != d.end();) it = it->is_null() ? d.erase(it) : ++it;
  if (d.is_structured())
    for (auto& e : d) e = without_nulls(std::move(e));
  return d;
}
}  // namespace

// A list's rows are made without the trees of its objects; a single object's is made from the whole tree.
TEST_CASE("a list's rows are those of its objects one by one") {
  Fixture f;
  const std::string pods = "/api/v1/namespaces/default/pods", table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
  Document p = pod("p");
  p["spec"]["nodeName"] = "node";
  p["spec"]["initContainers"] = {{{"name", "first"}, {"image", "i"}}, {{"name", "side"}, {"image", "i"}, {"restartPolicy", "Always"}}};
  p["spec"]["readinessGates"] = {{{"conditionType", "example.com/gate"}}};
  REQUIRE(f.post(pods, p).code == 201);
  Document status = f.get(pods + "/p").body;
  status["status"] = {{"phase", "Running"}, {"podIPs", {{{"ip", "10.0.0.1"}}}}, {"podIP", "10.0.0.1"},
                      {"conditions", {{{"type", "Initialized"}, {"status", "True"}}, {{"type", "example.com/gate"}, {"status", "True"}}}},
                      {"initContainerStatuses", {{{"name", "first"}, {"image", ""}, {"imageID", ""}, {"ready", true}, {"restartCount", 0}, {"state", {{"terminated", {{"exitCode", 0}}}}}},
                                                 {{"name", "side"}, {"image", ""}, {"imageID", ""}, {"ready", true}, {"started", true}, {"restartCount", 2}, {"state", {{"running", Document::object()}}}}}},
                      {"containerStatuses", {{{"name", status["spec"]["containers"][0]["name"]}, {"image", ""}, {"imageID", ""}, {"ready", false}, {"restartCount", 1},
                                              {"lastState", {{"terminated", {{"exitCode", 1}, {"finishedAt", "2020-01-01T00:00:00Z"}}}}}, {"state", {{"waiting", {{"reason", "CrashLoopBackOff"}}}}}}}}};
  REQUIRE(f.send("PUT", pods + "/p/status", status).code == 200);
  REQUIRE(f.post(kMaps, config_map("m")).code == 201);
  for (const std::string& collection : {pods, kMaps}) {
    std::string name = collection == pods ? "/p" : "/m";
    for (const char* include : {"", "?includeObject=None", "?includeObject=Object"}) {
      Answer one = f.send("GET", collection + name + include, nullptr, "", table);
      Answer all = f.send("GET", collection + (*include ? include + std::string("&") : std::string("?")) + "fieldSelector=metadata.name%3D" + name.substr(1), nullptr, "", table);
      INFO(one.text << "\n" << all.text);
      REQUIRE(all.body["rows"].size() == 1);
      CHECK(all.body["rows"][0]["cells"] == one.body["rows"][0]["cells"]);
      CHECK(all.body["columnDefinitions"] == one.body["columnDefinitions"]);
      CHECK(without_nulls(all.body["rows"][0]["object"]) == without_nulls(one.body["rows"][0]["object"]));
    }
  }
  CHECK(f.send("GET", pods + "/p", nullptr, "", table).body["rows"][0]["cells"][2] == "CrashLoopBackOff");
}

TEST_CASE("what is refused is told as upstream tells it") {
  Fixture f;
  Document bad = pod("UPPER");
  bad["spec"]["containers"][0].erase("image");
  Answer a = f.post("/api/v1/namespaces/default/pods", bad);
  CHECK(a.code == 422);
  CHECK(a.body["reason"] == "Invalid");
  CHECK(a.body["details"]["causes"].size() == 2);
  CHECK(f.get("/api/v1/nothing").code == 404);
  CHECK(f.get("/apis/none/v1/x").code == 404);
  CHECK(f.send("POST", kMaps + "/a", config_map("a")).code == 405);
  CHECK(f.post(kMaps, pod("p")).code == 400);
  CHECK(f.send_text("POST", kMaps, "{", "application/json").code == 400);
  CHECK(f.send_text("POST", kMaps, "{}", "text/plain").code == 415);
}

TEST_CASE("pods are evicted by either version of the request") {
  Fixture f;
  const std::string pods = "/api/v1/namespaces/default/pods";
  for (const char* version : {"policy/v1", "policy/v1beta1"}) {
    f.post(pods, pod("p"));
    Answer a = f.post(pods + "/p/eviction", {{"apiVersion", version}, {"kind", "Eviction"}, {"metadata", {{"name", "p"}}}});
    CHECK(a.code == 201);
    CHECK(f.get(pods + "/p").code == 404);
  }
  f.post(pods, pod("p"));
  CHECK(f.post(pods + "/p/eviction", {{"apiVersion", "policy/v1alpha1"}, {"kind", "Eviction"}, {"metadata", {{"name", "p"}}}}).code == 400);
}
