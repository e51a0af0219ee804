// CustomResourceDefinitions through the API: from the definition to its objects and back.
#include "support.hpp"

#include <algorithm>

using namespace onebin;
using namespace onebin::apiserver::test;

namespace {

const std::string kDefinitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const std::string kFoos = "/apis/example.com/v1/namespaces/default/foos";

Document parse(const char* text) { return Document::parse(text); }

Document foo_schema() {
  return parse(R"({"type":"object","properties":{
    "spec":{"type":"object","required":["color"],"properties":{
      "color":{"type":"string","enum":["red","blue"]},"size":{"type":"integer","minimum":0,"default":3},"replicas":{"type":"integer"},
      "ports":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["port"],
               "items":{"type":"object","required":["port"],"properties":{"port":{"type":"integer"},"name":{"type":"string"}}}}}},
    "status":{"type":"object","properties":{"ready":{"type":"boolean"},"replicas":{"type":"integer"},"selector":{"type":"string"}}}}})");
}

Document definition(const std::string& plural = "foos", const std::string& kind = "Foo", Document schema = foo_schema()) {
  Document version = {{"name", "v1"}, {"served", true}, {"storage", true}, {"schema", {{"openAPIV3Schema", schema}}}};
  return {{"apiVersion", "apiextensions.k8s.io/v1"},
          {"kind", "CustomResourceDefinition"},
          {"metadata", {{"name", plural + ".example.com"}}},
          {"spec", {{"group", "example.com"}, {"scope", "Namespaced"}, {"names", {{"plural", plural}, {"kind", kind}}}, {"versions", Document::array({version})}}}};
}

Document foo(const std::string& name, Document spec = {{"color", "red"}}) {
  return {{"apiVersion", "example.com/v1"}, {"kind", "Foo"}, {"metadata", {{"name", name}}}, {"spec", spec}};
}

std::string condition(const Document& d, const std::string& type, const char* member = "status") {
  for (const auto& c : d["status"]["conditions"])
    if (c["type"] == type) return c[member];
  return "none";
}

// Waits until the definition has the condition.
Document await(Fixture& f, const std::string& name, const std::string& type, const std::string& status = "True") {
  Answer a;
  for (int i = 0; i < 50; ++i) {
    a = f.get(kDefinitions + "/" + name);
    if (a.code == 200 && condition(a.body, type) == status) return a.body;
    f.loop->run_for(std::chrono::milliseconds(20));
  }
  FAIL(name + " has no " + type + "=" + status + ": " + a.text);
  return {};
}

Document define(Fixture& f, Document d = definition()) {
  Answer made = f.post(kDefinitions, d);
  INFO(made.text);
  REQUIRE(made.code == 201);
  return await(f, d["metadata"]["name"], "Established");
}

Document version_of(Document& d, std::size_t i = 0) { return d["spec"]["versions"][i]; }

bool mentions(const Answer& a, const std::string& text) { return a.text.find(text) != std::string::npos; }

}  // namespace

TEST_CASE("a defined kind is served, with what its schema says") {
  Fixture f;
  CHECK(f.get(kFoos).code == 404);
  Document d = define(f);
  CHECK(d["status"]["acceptedNames"] == parse(R"({"plural":"foos","singular":"foo","kind":"Foo","listKind":"FooList"})"));
  CHECK(condition(d, "NamesAccepted", "reason") == "NoConflicts");
  CHECK(condition(d, "Established", "reason") == "InitialNamesAccepted");
  CHECK(d["status"]["storedVersions"] == Document::array({"v1"}));
  CHECK(d["spec"]["conversion"]["strategy"] == "None");

  Document sent = foo("a");
  sent["spec"]["unknown"] = 1;
  Answer made = f.post(kFoos, sent);
  INFO(made.text);
  REQUIRE(made.code == 201);
  CHECK(made.body["spec"] == parse(R"({"color":"red","size":3})"));
  CHECK(made.body["metadata"]["generation"] == 1);
  CHECK(made.body["metadata"]["namespace"] == "default");
  CHECK(f.get(kFoos + "/a").body == made.body);

  Answer list = f.get(kFoos);
  REQUIRE(list.code == 200);
  CHECK(list.body["kind"] == "FooList");
  CHECK(list.body["apiVersion"] == "example.com/v1");
  CHECK(list.body["items"].size() == 1);
  CHECK(list.body["items"][0]["kind"] == "Foo");

  Answer bad = f.post(kFoos, foo("b", {{"color", "green"}, {"size", -1}}));
  CHECK(bad.code == 422);
  CHECK(bad.body["reason"] == "Invalid");
  CHECK(mentions(bad, "spec.color: Unsupported value: \\\"green\\\": supported values: \\\"red\\\", \\\"blue\\\""));
  CHECK(mentions(bad, "spec.size in body should be greater than or equal to 0"));

  Document changed = made.body;
  changed["spec"]["size"] = 5;
  Answer put = f.send("PUT", kFoos + "/a", changed);
  REQUIRE(put.code == 200);
  CHECK(put.body["metadata"]["generation"] == 2);
  Answer patched = f.send("PATCH", kFoos + "/a", parse(R"({"metadata":{"labels":{"a":"b"}}})"), "application/merge-patch+json");
  REQUIRE(patched.code == 200);
  CHECK(patched.body["metadata"]["generation"] == 2);
  CHECK(f.send("PATCH", kFoos + "/a", parse("{}"), "application/strategic-merge-patch+json").code == 415);
  CHECK(f.get(kFoos + "?labelSelector=a%3Db").body["items"].size() == 1);
  CHECK(f.get(kFoos + "?labelSelector=a%3Dc").body["items"].empty());
  CHECK(f.send("DELETE", kFoos + "/a").code == 200);
  CHECK(f.get(kFoos + "/a").body["message"] == "foos.example.com \"a\" not found");
}

TEST_CASE("a custom resource's unknown and repeated fields are told") {
  Fixture f;
  define(f);
  std::string text = R"({"apiVersion":"example.com/v1","kind":"Foo","metadata":{"name":"a","odd":1},"spec":{"color":"red","color":"blue","x":1}})";
  Answer strict = f.send_text("POST", kFoos + "?fieldValidation=Strict", text);
  CHECK(strict.code == 400);
  CHECK(mentions(strict, "strict decoding error: duplicate field \\\"spec.color\\\", unknown field \\\"metadata.odd\\\", unknown field \\\"spec.x\\\""));
  CHECK(f.send_text("POST", kFoos + "?fieldValidation=Ignore", text).code == 201);
  CHECK(f.send_text("POST", kFoos, R"({"kind":"Foo","metadata":{"name":"b"}})").code == 400);
  Answer kind = f.send_text("POST", kFoos, R"({"apiVersion":"example.com/v1","kind":"Bar","metadata":{"name":"b"},"spec":{"color":"red"}})");
  CHECK(kind.code == 422);
  CHECK(f.send_text("POST", kFoos, "k8s\0", "application/vnd.kubernetes.protobuf").code == 415);
  CHECK(f.send("GET", kFoos, nullptr, "", "application/vnd.kubernetes.protobuf").code == 406);
  CHECK(f.send("GET", kFoos, nullptr, "", "application/vnd.kubernetes.protobuf,application/json").code == 200);
}

TEST_CASE("a changed definition is what the next request is read by") {
  Fixture f;
  Document d = define(f);
  REQUIRE(f.post(kFoos, foo("a")).code == 201);
  Document schema = version_of(d)["schema"]["openAPIV3Schema"];
  schema["properties"]["spec"]["properties"]["shape"] = parse(R"({"type":"string","default":"round"})");
  schema["properties"]["spec"]["properties"].erase("size");
  d["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema;
  Answer put = f.send("PUT", kDefinitions + "/foos.example.com", d);
  INFO(put.text);
  REQUIRE(put.code == 200);
  CHECK(put.body["metadata"]["generation"] == 2);
  // From storage, too.
  CHECK(f.get(kFoos + "/a").body["spec"] == parse(R"({"color":"red","shape":"round"})"));
  CHECK(f.post(kFoos, foo("b")).body["spec"]["shape"] == "round");
}

TEST_CASE("status and scale are apart") {
  Fixture f;
  Document d = definition();
  d["spec"]["versions"][0]["subresources"] = parse(R"({"status":{},"scale":{"specReplicasPath":".spec.replicas","statusReplicasPath":".status.replicas","labelSelectorPath":".status.selector"}})");
  define(f, d);
  Document sent = foo("a", {{"color", "red"}, {"replicas", 2}});
  sent["status"] = {{"ready", true}};
  Answer made = f.post(kFoos, sent);
  REQUIRE(made.code == 201);
  CHECK_FALSE(made.body.contains("status"));
  Document status = made.body;
  status["status"] = {{"ready", true}, {"replicas", 1}, {"selector", "a=b"}};
  status["spec"]["color"] = "blue";
  status["metadata"]["labels"] = {{"x", "y"}};
  Answer put = f.send("PUT", kFoos + "/a/status", status);
  INFO(put.text);
  REQUIRE(put.code == 200);
  CHECK(put.body["spec"]["color"] == "red");
  CHECK_FALSE(put.body["metadata"].contains("labels"));
  CHECK(put.body["status"]["ready"] == true);
  CHECK(put.body["metadata"]["generation"] == 1);
  Document wrong = put.body;
  wrong["status"]["ready"] = "yes";
  Answer bad = f.send("PUT", kFoos + "/a/status", wrong);
  CHECK(bad.code == 422);
  CHECK(mentions(bad, "status.ready"));

  Answer scale = f.get(kFoos + "/a/scale");
  REQUIRE(scale.code == 200);
  CHECK(scale.body["kind"] == "Scale");
  CHECK(scale.body["spec"]["replicas"] == 2);
  CHECK(scale.body["status"] == parse(R"({"replicas":1,"selector":"a=b"})"));
  Answer table = f.send("GET", kFoos + "/a/scale", nullptr, "", "application/json;as=Table;v=v1;g=meta.k8s.io");
  REQUIRE(table.body["columnDefinitions"].size() == 4);
  CHECK(table.body["rows"][0]["cells"] == parse(R"(["a",2,1,"0s"])"));
  CHECK(table.body["rows"][0]["object"]["metadata"]["name"] == "a");
  Answer scaled = f.send("PATCH", kFoos + "/a/scale", parse(R"({"spec":{"replicas":5}})"), "application/merge-patch+json");
  INFO(scaled.text);
  REQUIRE(scaled.code == 200);
  CHECK(f.get(kFoos + "/a").body["spec"]["replicas"] == 5);
}

TEST_CASE("several versions of one kind") {
  Fixture f;
  Document d = definition();
  Document second = version_of(d);
  second["name"] = "v2beta1";
  second["storage"] = false;
  second["deprecated"] = true;
  second["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["extra"] = parse(R"({"type":"string","default":"e"})");
  d["spec"]["versions"].push_back(second);
  define(f, d);
  REQUIRE(f.post(kFoos, foo("a")).code == 201);
  Answer other = f.get("/apis/example.com/v2beta1/namespaces/default/foos/a");
  REQUIRE(other.code == 200);
  CHECK(other.body["apiVersion"] == "example.com/v2beta1");
  CHECK(other.body["spec"]["extra"] == "e");
  other.body["spec"]["color"] = "blue";
  REQUIRE(f.send("PUT", "/apis/example.com/v2beta1/namespaces/default/foos/a", other.body).code == 200);
  Answer first = f.get(kFoos + "/a");
  CHECK(first.body["apiVersion"] == "example.com/v1");
  CHECK(first.body["spec"]["color"] == "blue");
  Answer group = f.get("/apis/example.com");
  CHECK(group.body["preferredVersion"]["version"] == "v1");
  REQUIRE(group.body["versions"].size() == 2);
  CHECK(group.body["versions"][1]["version"] == "v2beta1");
}

TEST_CASE("discovery and OpenAPI tell of a custom resource at once") {
  Fixture f;
  Document d = definition();
  d["spec"]["names"]["shortNames"] = {"fo"};
  d["spec"]["names"]["categories"] = {"all"};
  define(f, d);
  Answer list = f.get("/apis/example.com/v1");
  REQUIRE(list.code == 200);
  CHECK(list.body["resources"][0]["name"] == "foos");
  CHECK(list.body["resources"][0]["shortNames"] == Document::array({"fo"}));
  CHECK(list.body["resources"][0]["categories"] == Document::array({"all"}));
  Answer groups = f.get("/apis");
  CHECK(groups.body["groups"].back()["name"] == "example.com");
  Answer v3 = f.fetch("/openapi/v3/apis/example.com/v1");
  REQUIRE(v3.code == 200);
  CHECK(v3.body["components"]["schemas"]["com.example.v1.Foo"]["properties"]["spec"]["properties"]["size"]["default"] == 3);
  Answer v2 = f.fetch("/openapi/v2");
  CHECK(v2.body["definitions"]["com.example.v1.Foo"]["properties"]["spec"]["properties"]["color"]["type"] == "string");
  CHECK(v2.body["paths"].contains("/apis/example.com/v1/namespaces/{namespace}/foos"));
  Document now = f.get(kDefinitions + "/foos.example.com").body;
  now["spec"]["versions"][0]["served"] = false;
  REQUIRE(f.send("PUT", kDefinitions + "/foos.example.com", now).code == 200);
  CHECK(f.get("/apis/example.com").code == 404);
  CHECK(f.get(kFoos).code == 404);
  CHECK_FALSE(f.fetch("/openapi/v2").body["definitions"].contains("com.example.v1.Foo"));
}

TEST_CASE("names that are taken are not given again") {
  Fixture f;
  define(f);
  Document other = definition("bars", "Foo");
  REQUIRE(f.post(kDefinitions, other).code == 201);
  Document d = await(f, "bars.example.com", "NamesAccepted", "False");
  CHECK(condition(d, "NamesAccepted", "reason") == "ListKindConflict");
  CHECK(condition(d, "NamesAccepted", "message") == "\"FooList\" is already in use");
  CHECK(condition(d, "Established") == "False");
  CHECK(f.get("/apis/example.com/v1/namespaces/default/bars").code == 404);
  REQUIRE(f.send("DELETE", kDefinitions + "/foos.example.com").code == 200);
  await(f, "bars.example.com", "Established");
  CHECK(f.get("/apis/example.com/v1/namespaces/default/bars").code == 200);
}

TEST_CASE("a definition's objects go before it, and it can come again") {
  Fixture f;
  define(f);
  Document held = foo("held");
  held["metadata"]["finalizers"] = {"example.com/wait"};
  REQUIRE(f.post(kFoos, held).code == 201);
  REQUIRE(f.post(kFoos, foo("free")).code == 201);
  Answer deleted = f.send("DELETE", kDefinitions + "/foos.example.com");
  REQUIRE(deleted.code == 200);
  CHECK(deleted.body["metadata"]["finalizers"] == Document::array({"customresourcecleanup.apiextensions.k8s.io"}));
  f.loop->run_for(std::chrono::milliseconds(200));
  CHECK(condition(f.get(kDefinitions + "/foos.example.com").body, "Terminating", "reason") == "InstanceDeletionInProgress");
  CHECK(f.get(kFoos + "/free").code == 404);
  Answer late = f.post(kFoos, foo("late"));
  CHECK(late.code == 403);
  CHECK(mentions(late, "create not allowed while custom resource definition is terminating"));
  REQUIRE(f.send("PATCH", kFoos + "/held", parse(R"({"metadata":{"finalizers":null}})"), "application/merge-patch+json").code == 200);
  for (int i = 0; i < 50 && f.get(kDefinitions + "/foos.example.com").code != 404; ++i) f.loop->run_for(std::chrono::milliseconds(20));
  CHECK(f.get(kDefinitions + "/foos.example.com").code == 404);
  CHECK(f.get(kFoos).code == 404);
  define(f);
  CHECK(f.get(kFoos).body["items"].empty());
}

TEST_CASE("printer columns and selectable fields of a definition") {
  Fixture f;
  Document d = definition();
  d["spec"]["versions"][0]["additionalPrinterColumns"] = parse(R"([{"name":"Color","type":"string","jsonPath":".spec.color"},{"name":"Size","type":"integer","jsonPath":".spec.size","priority":1}])");
  d["spec"]["versions"][0]["selectableFields"] = parse(R"([{"jsonPath":".spec.color"},{"jsonPath":".spec.size"}])");
  define(f, d);
  REQUIRE(f.post(kFoos, foo("a")).code == 201);
  REQUIRE(f.post(kFoos, foo("b", {{"color", "blue"}, {"size", 7}})).code == 201);
  Answer table = f.send("GET", kFoos, nullptr, "", "application/json;as=Table;v=v1;g=meta.k8s.io");
  REQUIRE(table.code == 200);
  CHECK(table.body["columnDefinitions"][1]["name"] == "Color");
  CHECK(table.body["rows"][1]["cells"] == parse(R"(["b","blue",7])"));
  CHECK(f.get(kFoos + "?fieldSelector=spec.color%3Dblue").body["items"].size() == 1);
  CHECK(f.get(kFoos + "?fieldSelector=spec.size%3D3,spec.color%3Dred").body["items"].size() == 1);
  CHECK(f.get(kFoos + "?fieldSelector=spec.shape%3Dx").code == 400);
}

TEST_CASE("server-side apply of a custom resource") {
  Fixture f;
  define(f);
  auto apply = [&](const char* manager, Document spec, const char* more = "") {
    return f.send("PATCH", kFoos + "/a?fieldManager=" + manager + more, foo("a", std::move(spec)), "application/apply-patch+yaml");
  };
  Answer one = apply("one", parse(R"({"color":"red","ports":[{"port":1,"name":"x"}]})"));
  INFO(one.text);
  REQUIRE(one.code == 201);
  REQUIRE(apply("two", parse(R"({"ports":[{"port":2}]})")).code == 200);
  CHECK(f.get(kFoos + "/a").body["spec"]["ports"].size() == 2);
  Answer clash = apply("two", parse(R"({"color":"blue"})"));
  CHECK(clash.code == 409);
  CHECK(apply("two", parse(R"({"color":"blue"})"), "&force=true").body["spec"]["color"] == "blue");
  CHECK(mentions(apply("one", parse(R"({"nope":1})")), ".spec.nope: field not declared in schema"));
}

TEST_CASE("definitions that cannot be are refused") {
  Fixture f;
  auto refused = [&](Document d) {
    Answer a = f.post(kDefinitions, d);
    INFO(a.text);
    CHECK(a.code == 422);
    return a;
  };
  Document d = definition();
  d["metadata"]["name"] = "other.example.com";
  CHECK(mentions(refused(d), "must be spec.names.plural+"));
  d = definition();
  d["metadata"]["generateName"] = "foos-";
  CHECK(mentions(refused(d), "must be spec.names.plural+"));  // its name is as it must be
  d = definition("foos", "Foo", parse(R"({"type":"object","properties":{"a":{}}})"));
  CHECK(mentions(refused(d), "spec.validation.openAPIV3Schema.properties[a].type: Required value: must not be empty for specified object fields"));
  d = definition("foos", "Foo", parse(R"({"type":"object","properties":{"a":{"type":"integer","default":"x"}}})"));
  CHECK(mentions(refused(d), "properties[a].default"));
  d = definition("foos", "Foo", parse(R"({"type":"object","properties":{"a":{"type":"array"}}})"));
  CHECK(mentions(refused(d), "properties[a].items: Required value: must be specified"));
  d = definition();
  d["spec"]["versions"][0].erase("schema");
  CHECK(mentions(refused(d), "spec.versions[0].schema.openAPIV3Schema: Required value"));
  d = definition();
  d["spec"]["versions"][0]["storage"] = false;
  CHECK(mentions(refused(d), "must have exactly one version marked as storage version"));
  d = definition("foos", "Foo", parse(R"({"type":"object","anyOf":[{"properties":{"b":{"minimum":1}}}]})"));
  CHECK(mentions(refused(d), "properties[b]: Required value: because it is defined in spec.validation.openAPIV3Schema.anyOf[0].properties[b]"));
  d = definition();
  d["spec"]["group"] = "example.k8s.io";
  d["metadata"]["name"] = "foos.example.k8s.io";
  CHECK(mentions(refused(d), "api-approved.kubernetes.io"));
  Document made = define(f);
  made["spec"]["scope"] = "Cluster";
  CHECK(f.send("PUT", kDefinitions + "/foos.example.com", made).code == 422);
}
