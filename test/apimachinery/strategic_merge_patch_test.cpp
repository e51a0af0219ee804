#include "tables.hpp"

#include <onebin/apimachinery/strategic_merge_patch.hpp>

using namespace onebin;
using namespace onebin::apimachinery;
using tables::json;

namespace {
const char* kDeployment = R"({"metadata":{"name":"d","labels":{"a":"1","b":"2"},"finalizers":["a/b","c/d"]},
 "spec":{"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1}},
  "template":{"spec":{"tolerations":[{"key":"a"}],
   "containers":[{"name":"c1","image":"a","args":["1","2"],"env":[{"name":"A","value":"1"},{"name":"B","value":"2"},{"name":"C","value":"3"}],
                  "ports":[{"containerPort":80,"name":"h"},{"containerPort":81}]},{"name":"c2","image":"b"},{"name":"c3","image":"c"}],
   "volumes":[{"name":"v1","emptyDir":{}},{"name":"v2","configMap":{"name":"q"}}]}}}})";

Result<Document> patched(const char* patch) { return apply_strategic_merge_patch(tables::deployment(), json(kDeployment), json(patch)); }
std::string failure(const char* patch) {
  auto r = patched(patch);
  return r ? "no error" : r.status().message();
}
// The pod spec after a patch of the pod spec.
Document pod_spec(const std::string& patch) {
  auto r = patched((R"({"spec":{"template":{"spec":)" + patch + "}}}").c_str());
  INFO(r.status().message());
  REQUIRE(r);
  return (*r)["spec"]["template"]["spec"];
}
std::vector<std::string> names(const Document& list) {
  std::vector<std::string> out;
  for (const auto& v : list) out.push_back(v["name"]);
  return out;
}
using Names = std::vector<std::string>;
}  // namespace

TEST_CASE("strategic merge of maps") {
  CHECK((*patched(R"({"metadata":{"labels":{"a":null,"c":"3"}}})"))["metadata"]["labels"] == json(R"({"b":"2","c":"3"})"));
  CHECK((*patched(R"({"metadata":{"labels":{"$patch":"replace","z":"1"}}})"))["metadata"]["labels"] == json(R"({"z":"1"})"));
  CHECK((*patched(R"({"metadata":{"labels":{"$patch":"delete"}}})"))["metadata"]["labels"] == json("{}"));
  CHECK_FALSE((*patched(R"({"metadata":{"labels":null}})"))["metadata"].contains("labels"));
  CHECK((*patched(R"({"metadata":{"annotations":{"x":null,"y":"1"}}})"))["metadata"]["annotations"] == json(R"({"y":"1"})"));
  CHECK(failure(R"({"metadata":{"labels":{"$patch":"nope"}}})") == "unknown patch type: nope in map: map[$patch:nope]");
  CHECK(*patched(R"({"$patch":"replace","metadata":{"name":"d"}})") == json(R"({"metadata":{"name":"d"}})"));
}

TEST_CASE("strategic merge of lists of objects by key") {
  auto spec = pod_spec(R"({"containers":[{"name":"c2","image":"z"}]})");
  CHECK(names(spec["containers"]) == Names{"c1", "c2", "c3"});
  CHECK(spec["containers"][1]["image"] == "z");
  CHECK(names(pod_spec(R"({"containers":[{"name":"c9"}]})")["containers"]) == Names{"c9", "c1", "c2", "c3"});
  CHECK(names(pod_spec(R"({"containers":[{"name":"c2","$patch":"delete"}]})")["containers"]) == Names{"c1", "c3"});
  CHECK(names(pod_spec(R"({"containers":[{"name":"x"},{"$patch":"replace"}]})")["containers"]) == Names{"x"});
  auto env = pod_spec(R"({"containers":[{"name":"c1","env":[{"name":"B","$patch":"delete"},{"name":"C","value":"9"},{"name":"D"}]}]})");
  CHECK(names(env["containers"][0]["env"]) == Names{"A", "C", "D"});
  CHECK(env["containers"][0]["env"][1]["value"] == "9");
  auto ports = pod_spec(R"({"containers":[{"name":"c1","ports":[{"containerPort":81,"name":"new"}]}]})");
  CHECK(ports["containers"][0]["ports"] == json(R"([{"containerPort":80,"name":"h"},{"containerPort":81,"name":"new"}])"));
}

TEST_CASE("lists without a merge strategy are replaced") {
  CHECK(pod_spec(R"({"tolerations":[{"key":"z"}]})")["tolerations"] == json(R"([{"key":"z"}])"));
  CHECK(pod_spec(R"({"containers":[{"name":"c1","args":["9"]}]})")["containers"][0]["args"] == json(R"(["9"])"));
  CHECK_FALSE(pod_spec(R"({"containers":[{"name":"c1","env":null}]})")["containers"][0].contains("env"));
}

TEST_CASE("lists of scalars that merge") {
  auto finalizers = [](const char* patch) { return (*patched(patch))["metadata"]["finalizers"]; };
  CHECK(finalizers(R"({"metadata":{"finalizers":["e/f","a/b"]}})") == json(R"(["e/f","a/b","c/d"])"));
  CHECK(finalizers(R"({"metadata":{"$deleteFromPrimitiveList/finalizers":["a/b"]}})") == json(R"(["c/d"])"));
  CHECK(finalizers(R"({"metadata":{"$setElementOrder/finalizers":["c/d","x/y","a/b"],"finalizers":["x/y"]}})") == json(R"(["c/d","x/y","a/b"])"));
}

TEST_CASE("the order of list items can be set") {
  CHECK(names(pod_spec(R"({"$setElementOrder/containers":[{"name":"c3"},{"name":"c2"},{"name":"c1"}]})")["containers"]) == Names{"c3", "c2", "c1"});
  CHECK(names(pod_spec(R"({"$setElementOrder/containers":[{"name":"c3"},{"name":"c1"}],"containers":[{"name":"c1","image":"k"}]})")["containers"]) ==
        Names{"c2", "c3", "c1"});
  CHECK(names(pod_spec(
            R"({"$setElementOrder/containers":[{"name":"n"},{"name":"c1"},{"name":"c2"},{"name":"c3"}],"containers":[{"name":"n"}]})")["containers"]) ==
        Names{"n", "c1", "c2", "c3"});
}

TEST_CASE("retainKeys keeps one member of a union") {
  auto strategy = *patched(R"({"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}})");
  CHECK(strategy["spec"]["strategy"] == json(R"({"type":"Recreate"})"));
  auto volumes = pod_spec(R"({"volumes":[{"name":"v1","hostPath":{"path":"/x"},"$retainKeys":["name","hostPath"]}]})")["volumes"];
  CHECK(volumes[0] == json(R"({"name":"v1","hostPath":{"path":"/x"}})"));
}

TEST_CASE("strategic merge patches that cannot be applied") {
  auto spec = [](const char* patch) { return failure((std::string(R"({"spec":{"template":{"spec":)") + patch + "}}}").c_str()); };
  CHECK(spec(R"({"containers":[{"image":"z"}]})") == "map: map[image:z] does not contain declared merge key: name");
  CHECK(spec(R"({"containers":[{"$patch":"delete"}]})") == "map: map[$patch:delete] does not contain declared merge key: name");
  CHECK(spec(R"({"containers":[{"name":"c1","$patch":"merge"}]})") == "merging lists cannot yet be specified in the patch");
  CHECK(spec(R"({"volumes":[{"name":"v1","hostPath":{},"$retainKeys":["name"]}]})") == "invalid patch format of retainKeys");
  CHECK(spec(R"({"volumes":[{"name":"v1","$retainKeys":"name"}]})") == "invalid patch format of retainKeys");
  CHECK(spec(R"({"$setElementOrder/containers":[{"name":"c3"}],"containers":[{"name":"c1"}]})").rfind("The order in patch list:\n[map[name:c1]]", 0) == 0);
  CHECK(spec(R"({"$setElementOrder/containers":"x"})") == "expected a []interface {}, but received a string");
  CHECK(failure(R"({"metadata":{"$deleteFromPrimitiveListx":["a"]}})") == "invalid patch format of primitive list");
  CHECK(failure(R"({"spec":{"$setElementOrder/nope":[1]}})") == "unable to find api field in struct DeploymentSpec for the json field \"nope\"");
  CHECK(failure(R"({"metadata":{"finalizers":["x/y",{"a":1}]}})").rfind("list element types are not identical: [[a/b c/d] [x/y map[a:1]]]", 0) == 0);
  CHECK(patched(R"({"metadata":{"$deleteFromPrimitiveListx":["a"]}})").is(Reason::BadRequest));
  CHECK(patched("[]").is(Reason::BadRequest));
}

TEST_CASE("what the object did not have comes without directives and nulls") {
  auto r = apply_strategic_merge_patch(
      tables::deployment(), json("{}"),
      json(R"({"spec":{"template":{"spec":{"nodeSelector":{"a":null,"b":"c"},"containers":[{"name":"x"},{"name":"y","$patch":"delete"}]}}}})"));
  REQUIRE(r);
  CHECK((*r)["spec"]["template"]["spec"] == json(R"({"nodeSelector":{"b":"c"},"containers":[{"name":"x"}]})"));
}
