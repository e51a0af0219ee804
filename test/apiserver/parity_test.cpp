// What clients can tell servers apart by, in cases where the differential tests found differences.
#include "apiserver/registry/warnings.hpp"
#include "support.hpp"

using namespace onebin;
using namespace onebin::apiserver::test;
using apiserver::find_warnings;

namespace {

const std::string kMaps = "/api/v1/namespaces/default/configmaps";
const std::string kPods = "/api/v1/namespaces/default/pods";

// The managers of an object as "manager/operation/subresource".
std::vector<std::string> managers(const Document& object) {
  std::vector<std::string> out;
  for (const auto& m : object["metadata"].value("managedFields", Document::array()))
    out.push_back(m.value("manager", "") + "/" + m.value("operation", "") + "/" + m.value("subresource", ""));
  return out;
}

std::vector<std::string> warnings_of(std::string_view group, const Document& object, const Document* old = nullptr) {
  std::vector<std::string> out;
  apiserver::WriteContext c;
  c.warnings = &out;
  auto warn = find_warnings(group, object["kind"].get<std::string>());
  REQUIRE(warn);
  warn(c, object, old);
  return out;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("each subresource keeps its own managers, a binding none") {
  Fixture f;
  REQUIRE(f.send("POST", kPods + "?fieldManager=m", pod("a")).code == 201);
  Document binding = {{"apiVersion", "v1"}, {"kind", "Binding"}, {"metadata", {{"name", "a"}}}, {"target", {{"kind", "Node"}, {"name", "n"}}}};
  REQUIRE(f.post(kPods + "/a/binding", binding).code == 201);
  CHECK(managers(f.get(kPods + "/a").body) == Texts{"m/Update/"});
  Document debug = {{"spec", {{"ephemeralContainers", Document::array({{{"name", "d"}, {"image", "i"}}})}}}};
  Answer added = f.send("PATCH", kPods + "/a/ephemeralcontainers?fieldManager=debug", debug, "application/strategic-merge-patch+json");
  INFO(added.text);
  REQUIRE(added.code == 200);
  CHECK(managers(added.body) == Texts{"debug/Update/ephemeralcontainers", "m/Update/"});
  const Document& fields = added.body["metadata"]["managedFields"][0]["fieldsV1"];
  CHECK(fields["f:spec"].size() == 1);
  CHECK(fields["f:spec"].contains("f:ephemeralContainers"));
}

TEST_CASE("names and revisions that do not fit are refused with upstream's codes") {
  Fixture f;
  REQUIRE(f.post(kMaps, config_map("a")).code == 201);
  Document o = config_map("a");
  o["metadata"]["resourceVersion"] = "x";
  Answer bad = f.send("PUT", kMaps + "/a", o);
  CHECK(bad.code == 500);
  CHECK(bad.body["message"] == "strconv.ParseUint: parsing \"x\": invalid syntax");
  CHECK_FALSE(bad.body.contains("reason"));
  o = config_map("b");
  o["metadata"]["resourceVersion"] = "7";
  Answer fresh = f.post(kMaps, o);
  CHECK(fresh.code == 500);
  CHECK(fresh.body["message"] == "resourceVersion should not be set on objects to be created");
  o = config_map("");
  o["metadata"].erase("name");
  CHECK(f.send("PUT", kMaps + "/a", o).body["message"] == "the name of the object (a based on URL) was undeterminable: name must be provided");
}

TEST_CASE("an applied configuration is taken as it is, without what the path says") {
  Fixture f;
  Document o = config_map("a");
  Answer made = f.send("PATCH", kMaps + "/a?fieldManager=m", o, "application/apply-patch+yaml");
  INFO(made.text);
  REQUIRE(made.code == 201);
  CHECK(made.body["metadata"]["managedFields"][0]["fieldsV1"] == Document::parse(R"({"f:data":{"f:k":{}}})"));
  o["metadata"].erase("name");
  CHECK(f.send("PATCH", kMaps + "/b?fieldManager=m", o, "application/apply-patch+yaml").code == 400);
  CHECK(f.send("PATCH", kMaps + "/a?fieldManager=m", o, "application/apply-patch+yaml").code == 200);
}

TEST_CASE("what is no object or no patch is named as upstream names it") {
  Fixture f;
  auto message = [&](std::string body) { return f.send_text("POST", kMaps, std::move(body)).body["message"].get<std::string>(); };
  CHECK(message("{") == "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input ({)");
  CHECK(message(R"({"kind":"Nope","apiVersion":"v1"})") ==
        "Nope in version \"v1\" cannot be handled as a ConfigMap: no kind \"Nope\" is registered for version \"v1\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"");
  CHECK(message(R"({"kind":"Secret","apiVersion":"v1"})") ==
        "Secret in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): unknown conversion");
  CHECK(message(R"({"data":{"a":1}})") == "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string");
  REQUIRE(f.post(kMaps, config_map("a")).code == 201);
  auto patched = [&](std::string name, std::string body, std::string type) { return f.send_text("PATCH", kMaps + "/" + name, std::move(body), "application/" + type).body; };
  CHECK(patched("a", "{", "merge-patch+json")["message"] == "invalid JSON patch");
  CHECK(patched("a", "[]", "strategic-merge-patch+json")["message"] == "json: cannot unmarshal array into Go value of type map[string]interface {}");
  CHECK(patched("none", "[]", "strategic-merge-patch+json")["reason"] == "NotFound");
}

TEST_CASE("a namespace's phase follows from whether it goes") {
  Fixture f;
  Document status = {{"status", {{"phase", "Terminating"}}}};
  Answer a = f.send("PATCH", "/api/v1/namespaces/default/status", status, "application/merge-patch+json");
  CHECK(a.code == 422);
  CHECK(a.body["message"] == "Namespace \"default\" is invalid: status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty");
}

TEST_CASE("a binding that names no node is refused as upstream refuses it") {
  Fixture f;
  REQUIRE(f.post(kPods, pod("a")).code == 201);
  Document binding = {{"apiVersion", "v1"}, {"kind", "Binding"}, {"metadata", {{"name", "a"}}}, {"target", {{"kind", "Pod"}, {"name", "n"}}}};
  Answer a = f.post(kPods + "/a/binding", binding);
  CHECK(a.code == 500);
  CHECK(a.body["message"] == "target.kind: Unsupported value: \"Pod\": supported values: \"Node\", \"<empty>\"");
}

TEST_CASE("an owner named twice is kept once") {
  Fixture f;
  Document o = config_map("a");
  Document owner = {{"apiVersion", "v1"}, {"kind", "Pod"}, {"name", "p"}, {"uid", "u"}};
  o["metadata"]["ownerReferences"] = Document::array({owner, owner});
  Answer made = f.post(kMaps, o);
  REQUIRE(made.code == 201);
  CHECK(made.body["metadata"]["ownerReferences"].size() == 1);
}

TEST_CASE("pods' likely mistakes are warned of") {
  Document p = pod("a.b");
  Document& c = p["spec"]["containers"][0];
  c["env"] = Document::parse(R"([{"name":"A","value":"1"},{"name":"A","value":"2"},{"name":"B","value":"1"},{"name":"B","value":"$(B)2"}])");
  c["ports"] = Document::parse(R"([{"containerPort":80,"protocol":"TCP","name":"x"},{"containerPort":80,"protocol":"TCP","hostPort":8080},{"containerPort":81,"protocol":"TCP","name":"x"}])");
  c["resources"] = Document::parse(R"({"limits":{"memory":"100m"}})");
  p["spec"]["nodeSelector"] = {{"beta.kubernetes.io/os", "linux"}};
  p["spec"]["volumes"] = Document::parse(R"([{"name":"v","configMap":{"name":"m","items":[{"key":"a","path":"d"},{"key":"b","path":"d/e"}]}},{"name":"g","gitRepo":{"repository":"r"}}])");
  p["spec"]["topologySpreadConstraints"] = Document::parse(R"([{"topologyKey":"z"}])");
  CHECK(warnings_of("", p) == Texts{
      "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]",
      "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
      "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
      "spec.volumes[1].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
      "volume \"v\" (ConfigMap \"m\"): overlapping paths: \"d/e\" with \"d\"",
      "spec.containers[0].resources.limits[memory]: fractional byte value \"100m\" is invalid, must be an integer",
      "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
      "spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]",
      "spec.containers[0].ports[2]: duplicate port name \"x\" with spec.containers[0].ports[0], services and probes that select ports by name will use spec.containers[0].ports[0]"});
  CHECK(warnings_of("", p, &p).empty());
}

TEST_CASE("templates are warned of where they change") {
  Document d = Document::parse(R"({"kind":"Deployment","metadata":{"name":"d","generation":1},"spec":{"template":{"spec":{"imagePullSecrets":[{"name":""}]}}}})");
  Texts one{"spec.template.spec.imagePullSecrets[0].name: invalid empty name \"\""};
  CHECK(warnings_of("apps", d) == one);
  CHECK(warnings_of("apps", d, &d).empty());
  Document changed = d;
  changed["metadata"]["generation"] = 2;
  CHECK(warnings_of("apps", changed, &d) == one);
}

TEST_CASE("services and secrets are warned of") {
  Document s = Document::parse(R"({"kind":"Service","spec":{"type":"ClusterIP","clusterIP":"None","sessionAffinity":"ClientIP","externalIPs":["2001:DB8::1"],"trafficDistribution":"PreferClose"}})");
  CHECK(warnings_of("", s) == Texts{"spec.externalIPs is ignored for headless services", "spec.SessionAffinity is ignored for headless services",
                                    "spec.externalIPs[0]: IPv6 address \"2001:DB8::1\" should be in RFC 5952 canonical format (\"2001:db8::1\")",
                                    "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\""});
  Document t = Document::parse(R"({"kind":"Secret","type":"kubernetes.io/tls","data":{"tls.crt":"","tls.key":""}})");
  CHECK(warnings_of("", t) == Texts{"tls: failed to find any PEM data in certificate input"});
}

TEST_CASE("the options of lists, watches and collections are refused in upstream's words") {
  Fixture f;
  auto said = [&](const char* method, const std::string& query) {
    Answer a = f.send(method, kMaps + "?" + query);
    return std::to_string(a.code) + " " + a.body.value("message", "");
  };
  const std::string no_version = "resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax";
  for (const char* method : {"GET", "DELETE"}) {
    CHECK(said(method, "resourceVersion=x") == "400 invalid resource version: " + no_version);
    CHECK(said(method, "limit=") == "400 strconv.ParseInt: parsing \"\": invalid syntax");
    CHECK(said(method, "timeoutSeconds=99999999999999999999") == "400 strconv.ParseInt: parsing \"99999999999999999999\": value out of range");
    CHECK(said(method, "continue=!") == "400 invalid continue token: continue key is not valid: illegal base64 data at input byte 0");
    CHECK(said(method, "continue=e30") == "400 invalid continue token: continue key is not valid: server does not recognize this encoded version ");
    CHECK(said(method, "resourceVersionMatch=Exact") == "422 ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided");
    CHECK(said(method, "resourceVersion=x&labelSelector=a%20b").find("400 unable to parse requirement") == 0);
  }
  Answer one = f.get(kMaps + "/a?resourceVersion=x");
  CHECK(one.code == 500);
  CHECK(one.body["message"] == no_version);
  CHECK(said("GET", "fieldSelector=metadata.name%3Da,metadata.name!%3Db").find("200") == 0);
}

TEST_CASE("a collection is deleted in pages where a limit is given") {
  Fixture f;
  for (const char* name : {"a", "b", "c"}) REQUIRE(f.post(kMaps, config_map(name)).code == 201);
  Answer first = f.send("DELETE", kMaps + "?limit=2");
  REQUIRE(first.code == 200);
  CHECK(first.body["items"].size() == 2);
  CHECK(first.body["metadata"]["remainingItemCount"] == 1);
  CHECK(f.get(kMaps + "/c").code == 200);
  CHECK(f.send("DELETE", kMaps + "?limit=2&continue=" + first.body["metadata"].value("continue", "")).body["items"].size() == 1);
  CHECK(f.get(kMaps + "/c").code == 404);
}

TEST_CASE("an applied scale owns the parent's replicas") {
  Fixture f;
  const std::string path = "/apis/apps/v1/namespaces/default/deployments";
  Document d = Document::parse(R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"replicas":2,"selector":{"matchLabels":{"a":"b"}},
    "template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}})");
  REQUIRE(f.send("PATCH", path + "/d?fieldManager=owner", d, "application/apply-patch+yaml").code == 201);
  Document scale = {{"apiVersion", "autoscaling/v1"}, {"kind", "Scale"}, {"spec", {{"replicas", 5}}}};
  Answer refused = f.send("PATCH", path + "/d/scale?fieldManager=scaler", scale, "application/apply-patch+yaml");
  CHECK(refused.code == 409);
  CHECK(refused.body["message"] == "Apply failed with 1 conflict: conflict with \"owner\": .spec.replicas");
  REQUIRE(f.send("PATCH", path + "/d/scale?fieldManager=scaler&force=true", scale, "application/apply-patch+yaml").code == 200);
  Answer now = f.get(path + "/d");
  CHECK(now.body["spec"]["replicas"] == 5);
  for (const auto& m : now.body["metadata"]["managedFields"]) CHECK((m["manager"] == "scaler") == m["fieldsV1"]["f:spec"].contains("f:replicas"));
  CHECK(managers(now.body) == Texts{"scaler/Apply/scale", "owner/Apply/"});
}

TEST_CASE("a namespace's finalizers have a domain") {
  Fixture f;
  Document ns = {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", "n"}}}, {"spec", {{"finalizers", {"bad"}}}}};
  Answer refused = f.post("/api/v1/namespaces", ns);
  CHECK(refused.code == 422);
  CHECK(refused.body["message"] == "Namespace \"n\" is invalid: spec.finalizers: Invalid value: \"bad\": name is neither a standard finalizer name nor is it fully qualified");
  ns["spec"]["finalizers"] = {"example.com/f"};
  REQUIRE(f.post("/api/v1/namespaces", ns).code == 201);
  ns["spec"]["finalizers"] = {"example.com/f", "bad name"};
  ns["metadata"]["labels"] = {{"a", "b"}};
  Answer second = f.send("PUT", "/api/v1/namespaces/n/finalize", ns);
  CHECK(second.code == 422);
  CHECK(second.body["details"]["causes"][0]["field"] == "spec.finalizers[1]");
  ns["spec"]["finalizers"] = {"example.com/f"};
  REQUIRE(f.send("PUT", "/api/v1/namespaces/n/finalize", ns).code == 200);
  CHECK(f.get("/api/v1/namespaces/n").body["spec"]["finalizers"] == Document::array({"example.com/f"}));
  CHECK(f.get("/api/v1/namespaces/n").body["metadata"]["labels"]["a"] == "b");
}

TEST_CASE("a resize takes resources and nothing else") {
  Fixture f;
  Document p = pod("p");
  p["spec"]["containers"][0]["resources"] = {{"requests", {{"cpu", "100m"}}}, {"limits", {{"cpu", "200m"}}}};
  REQUIRE(f.post(kPods, p).code == 201);
  const std::string name = p["spec"]["containers"][0]["name"], image = p["spec"]["containers"][0]["image"];
  auto resize = [&](Document container) {
    container["name"] = name;
    return f.send("PATCH", kPods + "/p/resize", {{"metadata", {{"labels", {{"l", "m"}}}}}, {"spec", {{"containers", Document::array({container})}}}}, "application/strategic-merge-patch+json");
  };
  Answer a = resize({{"image", "other"}, {"resources", {{"requests", {{"cpu", "150m"}}}}}});
  INFO(a.text);
  REQUIRE(a.code == 200);
  CHECK(a.body["spec"]["containers"][0]["image"] == image);
  CHECK(a.body["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "150m");
  CHECK_FALSE(a.body["metadata"]["labels"].contains("l"));
  CHECK(a.body["metadata"]["generation"] == 2);
  CHECK(resize({{"resources", {{"limits", nullptr}}}}).code == 422);
  CHECK(resize({{"resources", {{"requests", {{"example.com/x", "1"}}}}}}).code == 422);
}

TEST_CASE("a path and a method are answered as upstream's router answers them") {
  Fixture f;
  CHECK(f.send("POST", "/api/v1/configmaps", config_map("a")).code == 405);  // of all namespaces there are only lists
  CHECK(f.get("/api/v1/configmaps/a").code == 404);
  CHECK(f.send("PUT", "/api/v1/componentstatuses", config_map("a")).code == 405);
  CHECK(f.send("POST", "/api/v1/namespaces/default/configmaps/a", config_map("a")).code == 405);
  CHECK(f.get("/apis/authentication.k8s.io/v1/tokenreviews").code == 405);
  CHECK(f.get("/apis/authentication.k8s.io/v1/tokenreviews/a").code == 404);
  CHECK(f.send("DELETE", kPods + "/none/log").code == 405);
  CHECK(f.send("HEAD", kPods + "/none/status").code == 405);
  CHECK(f.send("POST", "/healthz").code == 200);
  CHECK(f.get("/healthz/").code == 404);
  CHECK(f.send("POST", "/version").code == 405);
  CHECK(f.get("/version/").code == 200);
  CHECK(f.get("/apis/apps/v2/deployments").content_type == "application/json");
  Answer scale = f.send("PUT", "/apis/apps/v1/namespaces/default/deployments/none/scale", {{"metadata", Document::object()}});
  CHECK(scale.code == 400);
}

TEST_CASE("what is not stored has no rows") {
  Fixture f;
  const std::string kTable = "application/json;as=Table;v=v1;g=meta.k8s.io", kReviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  Document review = {{"spec", {{"nonResourceAttributes", {{"path", "/"}, {"verb", "get"}}}}}};
  CHECK(f.send("POST", kReviews, review, "application/json", kTable).code == 406);
  auto plain = f.send("POST", kReviews, review, "application/json", kTable + ", application/json");
  CHECK(plain.code == 201);
  CHECK(plain.body["kind"] == "SelfSubjectAccessReview");
}

TEST_CASE("what cannot be sent in the form that is accepted is told in upstream's words") {
  Fixture f;
  auto asked = [&](std::string accept, std::string path = kMaps) { return f.send("GET", std::move(path), nullptr, "", std::move(accept)); };
  REQUIRE(f.post(kMaps, config_map("a")).code == 201);
  Answer none = asked("application/xml");
  CHECK(none.code == 406);
  CHECK(none.body["message"].get<std::string>().ends_with("protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"));
  CHECK(none.body.contains("details"));
  Answer odd = asked("application/json;as=Table;v=v9;g=meta.k8s.io");
  CHECK(odd.body["message"] == "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf");
  CHECK_FALSE(odd.body.contains("details"));
  CHECK(asked("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io").body["message"] ==
        "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)");
  CHECK(asked("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", kMaps + "/a").body["message"] ==
        "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)");
}

TEST_CASE("what is no pointer in Go counts as unset where it is zero, and as there where it is absent") {
  Fixture f;
  const std::string schemas = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", scalers = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
  Document schema = Document::parse(R"({"metadata":{"name":"s"},"spec":{"matchingPrecedence":0,"priorityLevelConfiguration":{"name":"global-default"}}})");
  CHECK(f.post(schemas, schema).body["spec"]["matchingPrecedence"] == 1000);
  std::string why = f.post(scalers, Document::parse(R"({"metadata":{"name":"s"},"spec":{"maxReplicas":3}})")).body["message"];
  INFO(why);
  CHECK(why.find("spec.scaleTargetRef.kind: Required value") != std::string::npos);
  const std::string roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
  CHECK(f.post(roles, Document::parse(R"({"metadata":{"name":"r"},"rules":[]})")).body["rules"].is_null());
  const std::string ranges = "/api/v1/namespaces/default/limitranges";
  Answer range = f.post(ranges, Document::parse(R"({"spec":{"limits":[{"type":"Container","max":{"cpu":"1500001n"}}]}})"));
  INFO(range.text);
  REQUIRE(range.code == 201);
  CHECK(range.body["metadata"]["name"].get<std::string>().size() == 36);
  CHECK(range.body["spec"]["limits"][0]["max"]["cpu"] == "2m");
}

TEST_CASE("a priority class has one generation, an autoscaler's first version shows what it keeps in annotations") {
  Fixture f;
  const std::string classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
  REQUIRE(f.post(classes, Document::parse(R"({"metadata":{"name":"p"},"value":5})")).code == 201);
  CHECK(f.send("PATCH", classes + "/p", {{"description", "d"}}, "application/merge-patch+json").body["metadata"]["generation"] == 1);
  Document odd = Document::parse(R"({"metadata":{"name":"system-node-critical"},"value":5})");
  CHECK(f.send("PUT", classes + "/system-node-critical", odd).code == 422);
  odd["metadata"]["name"] = "system-x";
  CHECK(f.post(classes, odd).body["message"].get<std::string>().ends_with("error: system-x is not a known system priority class"));
  const std::string scalers = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
  REQUIRE(f.post(scalers, Document::parse(R"({"metadata":{"name":"s"},"spec":{"maxReplicas":3,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"}}})")).code == 201);
  Answer now = f.send("PATCH", scalers + "/s/status", Document::parse(R"({"status":{"currentCPUUtilizationPercentage":5}})"), "application/merge-patch+json");
  INFO(now.text);
  CHECK(now.body["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/current-metrics"] ==
        R"([{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":5,"currentAverageValue":"0"}}])");
}

TEST_CASE("a patch may not make an object into nothing, and its uid is no precondition") {
  Fixture f;
  const std::string deployments = "/apis/apps/v1/namespaces/default/deployments", smp = "application/strategic-merge-patch+json";
  REQUIRE(f.post(kMaps, config_map("a")).code == 201);
  CHECK(f.send("PATCH", kMaps + "/a", Document::parse(R"([{"op":"replace","path":"","value":{}}])"), "application/json-patch+json").body["message"] ==
        "the name of the object (a based on URL) was undeterminable: name must be provided");
  CHECK(f.send("PATCH", kMaps + "/a", Document::parse(R"({"metadata":{"uid":"x"}})"), "application/merge-patch+json").code == 422);
  Document d = Document::parse(R"({"metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}})");
  REQUIRE(f.post(deployments, d).code == 201);
  auto why = [&](const char* patch) {
    std::string text = f.send("PATCH", deployments + "/d", Document::parse(patch), smp).body["message"];
    return text.substr(text.rfind("]]\": ") == std::string::npos ? text.rfind("\": ") + 3 : text.rfind("]]\": ") + 5);
  };
  CHECK(why(R"({"spec":{"replicas":"x"}})") == "unrecognized type: int32");
  CHECK(why(R"({"spec":{"paused":1}})") == "unrecognized type: bool");
  CHECK(why(R"({"spec":{"template":{"spec":{"hostname":5}}}})") == "cannot convert int64 to string");
  CHECK(why(R"({"spec":{"strategy":"x"}})") == "cannot restore struct from: string");
}
