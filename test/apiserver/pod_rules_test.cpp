// What the API server makes of a pod, and which of its changes it takes. The texts are upstream's.
#include "support.hpp"

using namespace onebin;
using namespace onebin::apiserver::test;

namespace {

const std::string kPods = "/api/v1/namespaces/default/pods";
using Texts = std::vector<std::string>;

Texts causes(const Answer& a) {
  Texts out;
  if (a.code < 300) return out;
  if (!a.body.is_object() || !a.body.contains("details")) return {a.text};
  for (const auto& c : a.body["details"].value("causes", Document::array())) out.push_back(c.value("field", "") + ": " + c.value("message", ""));
  return out;
}

Document with(Document object, const char* pointer, Document value) {
  object[Document::json_pointer(pointer)] = std::move(value);
  return object;
}

Document made(Fixture& f, const Document& pod) {
  Answer a = f.post(kPods + "?dryRun=All", pod);
  REQUIRE(a.code == 201);
  return a.body;
}

}  // namespace

TEST_CASE("a pod's label keys become part of its selectors") {
  Fixture f;
  Document p = with(pod("a"), "/metadata/labels", {{"app", "x"}, {"tier", "y"}});
  p["spec"]["topologySpreadConstraints"] = Document::parse(
      R"([{"maxSkew":1,"topologyKey":"z","whenUnsatisfiable":"DoNotSchedule","labelSelector":{},"matchLabelKeys":["app","none"]}])");
  p["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
      Document::parse(R"([{"topologyKey":"z","labelSelector":{"matchLabels":{"a":"b"}},"mismatchLabelKeys":["tier"]},{"topologyKey":"z"}])");
  Document spec = made(f, p)["spec"];
  CHECK(spec["topologySpreadConstraints"][0]["labelSelector"]["matchExpressions"] == Document::parse(R"([{"key":"app","operator":"In","values":["x"]}])"));
  const Document& terms = spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
  CHECK(terms[0]["labelSelector"]["matchExpressions"] == Document::parse(R"([{"key":"tier","operator":"NotIn","values":["y"]}])"));
  CHECK_FALSE(terms[1].contains("labelSelector"));
}

TEST_CASE("what a pod asks for as a whole is completed from its containers and holds them") {
  Fixture f;
  Document p = with(pod("a"), "/spec/containers/0/resources", Document::parse(R"({"limits":{"cpu":"1","memory":"1Gi"}})"));
  Document whole = made(f, with(p, "/spec/resources", {{"requests", {{"cpu", "2"}}}}));
  CHECK(whole["spec"]["resources"] == Document::parse(R"({"limits":{"cpu":"2","memory":"1Gi"},"requests":{"cpu":"2","memory":"1Gi"}})"));
  CHECK(whole["status"]["qosClass"] == "Guaranteed");
  auto refused = [&](const char* resources) { return causes(f.post(kPods + "?dryRun=All", with(p, "/spec/resources", Document::parse(resources)))); };
  CHECK(refused(R"({"requests":{"cpu":"500m"}})") == Texts{"spec.resources.requests[cpu]: Invalid value: \"500m\": must be greater than or equal to aggregate container requests of 1"});
  CHECK(refused(R"({"limits":{"pods":"1"}})")[0] == "spec.resources.limits[pods]: Unsupported value: \"pods\": supported values: \"cpu\", \"hugepages-\", \"memory\"");
}

TEST_CASE("annotations of before agree with the fields that came after them") {
  Fixture f;
  const char* kArmor = "container.apparmor.security.beta.kubernetes.io/";
  std::string name = pod("a")["spec"]["containers"][0]["name"];
  Document p = with(pod("a"), "/metadata/annotations", {{kArmor + name, "localhost/p"}});
  CHECK(made(f, p)["spec"]["containers"][0]["securityContext"]["appArmorProfile"] == Document::parse(R"({"type":"Localhost","localhostProfile":"p"})"));
  Document other = with(p, "/spec/containers/0/securityContext", Document::parse(R"({"appArmorProfile":{"type":"RuntimeDefault"}})"));
  CHECK(causes(f.post(kPods + "?dryRun=All", other)) ==
        Texts{"spec.containers[0].securityContext.appArmorProfile.type: Forbidden: apparmor type in annotation and field must match"});
  Document cost = with(pod("a"), "/metadata/annotations", {{"controller.kubernetes.io/pod-deletion-cost", "+1"}});
  CHECK(causes(f.post(kPods + "?dryRun=All", cost)) == Texts{"metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"+1\": must be a 32bit integer"});
}

TEST_CASE("a container that ended and may not restart stays ended") {
  Fixture f;
  Document p = with(pod("a"), "/spec/restartPolicy", "OnFailure");
  std::string name = p["spec"]["containers"][0]["name"];
  REQUIRE(f.post(kPods, p).code == 201);
  auto status = [&](const char* state) {
    Document s = {{"status", {{"containerStatuses", Document::array({{{"name", name}, {"image", "i"}, {"imageID", ""}, {"ready", false}, {"restartCount", 0}, {"state", Document::parse(state)}}})}}}};
    return causes(f.send("PATCH", kPods + "/a/status", s, "application/merge-patch+json"));
  };
  REQUIRE(status(R"({"terminated":{"exitCode":1}})").empty());
  REQUIRE(status(R"({"running":{},"terminated":null})").empty());
  REQUIRE(status(R"({"terminated":{"exitCode":0},"running":null})").empty());
  CHECK(status(R"({"running":{},"terminated":null})") == Texts{"status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"});
}

TEST_CASE("an image's name says how it is pulled") {
  Fixture f;
  auto policy = [&](const char* image) { return made(f, with(pod("a"), "/spec/containers/0/image", image))["spec"]["containers"][0].value("imagePullPolicy", ""); };
  CHECK(policy("busybox") == "Always");
  CHECK(policy("r.example:5000/a/b:latest") == "Always");
  CHECK(policy("r.example:5000/a/b:v1") == "IfNotPresent");
  CHECK(policy("Bad_Name!") == "IfNotPresent");
  CHECK(policy("busybox@sha256:0000000000000000000000000000000000000000000000000000000000000000") == "IfNotPresent");
}

TEST_CASE("amounts of resources are whole thousandths") {
  Fixture f;
  Document p = with(pod("a"), "/spec/containers/0/resources", Document::parse(R"({"requests":{"cpu":"1n","memory":"1500u","ephemeral-storage":"2"}})"));
  CHECK(made(f, p)["spec"]["containers"][0]["resources"]["requests"] == Document::parse(R"({"cpu":"1m","memory":"2m","ephemeral-storage":"2"})"));
}

TEST_CASE("a StatefulSet's name is a label, and its claims come before its volumes") {
  Fixture f;
  const std::string kSets = "/apis/apps/v1/namespaces/default/statefulsets";
  Document set = Document::parse(R"({"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"s"},"spec":{"selector":{"matchLabels":{"a":"b"}},
    "volumeClaimTemplates":[{"metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}],
    "template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}],"volumes":[{"name":"v","projected":{"sources":[]}}]}}}})");
  Answer a = f.post(kSets + "?dryRun=All", set);
  REQUIRE(a.code == 201);
  CHECK(a.body["spec"]["template"]["spec"]["volumes"][0]["projected"]["sources"].is_null());
  CHECK(causes(f.post(kSets + "?dryRun=All", with(set, "/metadata/name", "s.t")))[0].substr(0, 14) == "metadata.name:");
  Document mode = with(set, "/spec/template/spec/volumes/0", Document::parse(
      R"({"name":"v","ephemeral":{"volumeClaimTemplate":{"spec":{"volumeMode":"x","accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}}})"));
  CHECK(causes(f.post(kSets + "?dryRun=All", mode)) ==
        Texts{"spec.template.spec.volumes[1].ephemeral.volumeClaimTemplate.spec.volumeMode: Unsupported value: \"x\": supported values: \"Block\", \"Filesystem\""});
}

TEST_CASE("an object without a name is told all that it lacks") {
  Fixture f;
  Document p = with(pod("a"), "/spec/containers", Document::array());
  p["metadata"].erase("name");
  CHECK(causes(f.post(kPods + "?dryRun=All", p)) == Texts{"metadata.name: Required value: name or generateName is required", "spec.containers: Required value"});
}
