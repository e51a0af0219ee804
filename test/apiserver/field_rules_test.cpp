// What fields may say, where the differential test found upstream to say something else. The texts are upstream's.
#include "support.hpp"


using namespace onebin;
using namespace onebin::apiserver::test;

namespace {

const std::string kDefault = "/api/v1/namespaces/default/";
using Texts = std::vector<std::string>;

// The causes of a refusal as "field: message"; those of an object that is taken, none.
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

Texts created(Fixture& f, const std::string& path, const Document& object) { return causes(f.post(path + "?dryRun=All", object)); }

}  // namespace

TEST_CASE("containers and volumes are refused in upstream's words") {
  Fixture f;
  auto refused = [&](const char* pointer, const char* value) { return created(f, kDefault + "pods", with(pod("a"), pointer, Document::parse(value))); };
  CHECK(created(f, kDefault + "pods", pod("a")).empty());
  CHECK(refused("/spec/containers/0/name", R"("")") == Texts{"spec.containers[0].name: Required value"});
  CHECK(refused("/spec/containers/0/ports", R"([{"containerPort":0}])") == Texts{"spec.containers[0].ports[0].containerPort: Required value"});
  CHECK(refused("/spec/containers/0/ports", R"([{"containerPort":99999}])") ==
        Texts{"spec.containers[0].ports[0].containerPort: Invalid value: 99999: must be between 1 and 65535, inclusive"});
  CHECK(refused("/spec/containers/0/volumeMounts", R"([{"name":"none","mountPath":"/m"}])") == Texts{"spec.containers[0].volumeMounts[0].name: Not found: \"none\""});
  CHECK(refused("/spec/volumes", R"([{"name":"v","emptyDir":{},"gitRepo":{"repository":"r"}}])") ==
        Texts{"spec.volumes[0].gitRepo: Forbidden: may not specify more than 1 volume type"});
  CHECK(refused("/spec/volumes", R"([{"name":"v","secret":{}}])") == Texts{"spec.volumes[0].secret.secretName: Required value"});
}

TEST_CASE("fields whose feature is off are dropped, and kept where they were") {
  Fixture f;
  Document o = with(pod("a"), "/spec/volumes", Document::parse(R"([{"name":"v","secret":{"secretName":"s","defaultUser":-1}}])"));
  Answer made = f.post(kDefault + "pods", o);
  REQUIRE(made.code == 201);
  CHECK_FALSE(made.body["spec"]["volumes"][0]["secret"].contains("defaultUser"));
}

TEST_CASE("limit ranges bound in order, of resources that are known") {
  Fixture f;
  Document o = {{"apiVersion", "v1"}, {"kind", "LimitRange"}, {"metadata", {{"name", "l"}}}, {"spec", {{"limits", Document::array({{{"type", "Container"}, {"max", {{"cpu", "2"}}}, {"min", {{"cpu", "1"}}}}})}}}};
  CHECK(created(f, kDefault + "limitranges", o).empty());
  Texts over = created(f, kDefault + "limitranges", with(o, "/spec/limits/0/min/cpu", "3"));
  REQUIRE_FALSE(over.empty());
  CHECK(over[0] == "spec.limits[0].min[cpu]: Invalid value: \"3\": min value 3 is greater than max value 2");
}

TEST_CASE("roles and their bindings name what is there") {
  Fixture f;
  const std::string kBindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
  Document o = {{"apiVersion", "rbac.authorization.k8s.io/v1"}, {"kind", "RoleBinding"}, {"metadata", {{"name", "b"}}},
                {"roleRef", {{"apiGroup", "rbac.authorization.k8s.io"}, {"kind", "ClusterRole"}, {"name", "view"}}},
                {"subjects", Document::array({{{"kind", "User"}, {"apiGroup", "rbac.authorization.k8s.io"}, {"name", "u"}}})}};
  CHECK(created(f, kBindings, o).empty());
  CHECK(created(f, kBindings, with(o, "/subjects/0/name", "")) == Texts{"subjects[0].name: Required value"});
  CHECK(created(f, kBindings, with(o, "/subjects/0/kind", "Dog")) == Texts{"subjects[0].kind: Unsupported value: \"Dog\": supported values: \"ServiceAccount\", \"User\", \"Group\""});
}

TEST_CASE("a Job's template stands, unless the Job waits") {
  Fixture f;
  const std::string kJobs = "/apis/batch/v1/namespaces/default/jobs";
  auto job = [](bool suspend) {
    return Document{{"apiVersion", "batch/v1"}, {"kind", "Job"}, {"metadata", {{"name", suspend ? "waits" : "runs"}}},
                    {"spec", {{"suspend", suspend}, {"template", {{"spec", {{"restartPolicy", "Never"}, {"containers", Document::array({{{"name", "c"}, {"image", "i"}}})}}}}}}}};
  };
  REQUIRE(f.post(kJobs, job(true)).code == 201);
  REQUIRE(f.post(kJobs, job(false)).code == 201);
  auto patched = [&](const char* name, const char* patch) {
    Texts out;
    for (const auto& c : causes(f.send("PATCH", kJobs + "/" + name + "?dryRun=All", Document::parse(patch), "application/strategic-merge-patch+json"))) out.push_back(c.substr(0, c.find(": ")));
    return out;
  };
  const char* cpu = R"({"spec":{"template":{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}}}})";
  const char* image = R"({"spec":{"template":{"spec":{"containers":[{"name":"c","image":"other"}]}}}})";
  const char* place = R"({"spec":{"template":{"spec":{"nodeSelector":{"a":"b"}}}}})";
  CHECK(patched("waits", cpu).empty());
  CHECK(patched("waits", place).empty());
  CHECK(patched("waits", image) == Texts{"spec.template.spec"});
  CHECK(patched("runs", cpu) == Texts{"spec.template"});
  CHECK(patched("runs", place) == Texts{"spec.template"});
  CHECK(patched("runs", R"({"spec":{"completionMode":"Indexed","completions":1}})") == Texts{"spec.completionMode"});
}

TEST_CASE("a Job's status goes forward") {
  Fixture f;
  const std::string kJobs = "/apis/batch/v1/namespaces/default/jobs";
  Document o = {{"apiVersion", "batch/v1"}, {"kind", "Job"}, {"metadata", {{"name", "j"}}},
                {"spec", {{"completionMode", "Indexed"}, {"completions", 5}, {"backoffLimitPerIndex", 1}, {"template", {{"spec", {{"restartPolicy", "Never"}, {"containers", Document::array({{{"name", "c"}, {"image", "i"}}})}}}}}}}};
  REQUIRE(f.post(kJobs, o).code == 201);
  auto refused = [&](const char* status, const char* query = "?dryRun=All") {
    return causes(f.send("PATCH", kJobs + "/j/status" + query, Document{{"status", Document::parse(status)}}, "application/merge-patch+json"));
  };
  CHECK(refused(R"({"completedIndexes":"0-2","failedIndexes":"4"})").empty());
  CHECK(refused(R"({"completedIndexes":"x"})") == Texts{"status.completedIndexes: Invalid value: \"x\": error parsing completedIndexes: cannot convert string to integer for index: \"x\""});
  CHECK(refused(R"({"completedIndexes":"0-2","failedIndexes":"2"})") == Texts{"status.failedIndexes: Invalid value: \"2\": failedIndexes and completedIndexes overlap at index: 2"});
  CHECK(refused(R"({"ready":1})") == Texts{"status.ready: Invalid value: 1: cannot set more ready pods than active"});
  CHECK(refused(R"({"completionTime":"2026-01-01T00:00:00Z"})").size() == 1);
  CHECK(refused(R"({"conditions":[{"type":"Complete","status":"True"}]})").size() == 3);
  CHECK(refused(R"({"failed":2})", "").empty());
  CHECK(refused(R"({"failed":1})") == Texts{"status.failed: Invalid value: 1: cannot decrease the failed counter"});
}

TEST_CASE("a Service's ports, addresses and policies fit its type") {
  Fixture f;
  const std::string kServices = kDefault + "services";
  Document o = {{"apiVersion", "v1"}, {"kind", "Service"}, {"metadata", {{"name", "s"}}}, {"spec", {{"selector", {{"a", "b"}}}, {"ports", Document::array({{{"port", 80}}})}}}};
  auto refused = [&](const char* pointer, const char* value) { return created(f, kServices, with(o, pointer, Document::parse(value))); };
  CHECK(created(f, kServices, o).empty());
  CHECK(refused("/spec/ports/0/port", "0") == Texts{"spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive", "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive"});
  CHECK(refused("/spec/trafficDistribution", R"("x")") == Texts{"spec.trafficDistribution: Unsupported value: \"x\": supported values: \"PreferClose\", \"PreferSameZone\", \"PreferSameNode\""});
  CHECK(refused("/spec/loadBalancerSourceRanges", R"(["x"])") == Texts{"spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
                                                                     "spec.LoadBalancerSourceRanges[0]: Invalid value: \"x\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"});
  CHECK(refused("/spec/externalIPs", R"(["127.0.0.1"])") == Texts{"spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)"});
  CHECK(refused("/spec/ipFamilies", R"(["IPv5"])") == Texts{"spec.ipFamilies[0]: Unsupported value: \"IPv5\": supported values: \"IPv4\", \"IPv6\""});
  CHECK(refused("/spec/externalTrafficPolicy", R"("Local")") == Texts{"spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services"});
  REQUIRE(f.post(kServices, o).code == 201);
  Document status = {{"status", {{"loadBalancer", {{"ingress", Document::array({{{"ip", "1.2.3.4"}}})}}}}}};
  CHECK(causes(f.send("PATCH", kServices + "/s/status", status, "application/merge-patch+json")) == Texts{"status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"});
}

TEST_CASE("a generation counts structs that say nothing and a Deployment's annotations") {
  Fixture f;
  const std::string kDeployments = "/apis/apps/v1/namespaces/default/deployments";
  Document o = {{"apiVersion", "apps/v1"}, {"kind", "Deployment"}, {"metadata", {{"name", "d"}}},
                {"spec", {{"selector", {{"matchLabels", {{"a", "b"}}}}}, {"template", {{"metadata", {{"labels", {{"a", "b"}}}}}, {"spec", {{"containers", Document::array({{{"name", "c"}, {"image", "i"}}})}}}}}}}};
  REQUIRE(f.post(kDeployments, o).code == 201);
  auto generation = [&](const char* patch) {
    Answer a = f.send("PATCH", kDeployments + "/d", Document::parse(patch), "application/strategic-merge-patch+json");
    INFO(a.text);
    REQUIRE(a.code == 200);
    return a.body["metadata"]["generation"].get<int>();
  };
  CHECK(generation(R"({"metadata":{"labels":{"x":"y"}}})") == 1);
  CHECK(generation(R"({"metadata":{"annotations":{"x":"y"}}})") == 2);
  CHECK(generation(R"({"spec":{"template":{"spec":{"containers":[{"name":"c","securityContext":{}}]}}}})") == 3);
}

TEST_CASE("reviews have no name, and selectors that can be read or are left out") {
  Fixture f;
  const std::string kReviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  Document o = {{"apiVersion", "authorization.k8s.io/v1"}, {"kind", "SelfSubjectAccessReview"}, {"spec", {{"resourceAttributes", {{"verb", "list"}, {"resource", "pods"}}}}}};
  CHECK(created(f, kReviews, o).empty());
  CHECK(f.get(kReviews).code == 405);
  CHECK(f.get(kReviews + "/a").code == 404);
  CHECK(created(f, kReviews, with(o, "/metadata", {{"name", "a"}})).size() == 1);
  CHECK(created(f, kReviews, with(o, "/spec/resourceAttributes/fieldSelector", Document::object())) ==
        Texts{"spec.resourceAttributes.fieldSelector.requirements: Required value: when spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required"});
  Answer a = f.post(kReviews, with(o, "/spec/resourceAttributes/labelSelector", {{"rawSelector", "a in"}}));
  REQUIRE(a.code == 201);
  CHECK(a.body["status"]["evaluationError"] == "spec.resourceAttributes.labelSelector ignored due to parse error");
}

TEST_CASE("a Service's families follow its type and its addresses") {
  Fixture f;
  const std::string kServices = kDefault + "services";
  Document o = {{"apiVersion", "v1"}, {"kind", "Service"}, {"metadata", {{"name", "s"}}}, {"spec", {{"selector", {{"a", "b"}}}, {"ports", Document::array({{{"port", 80}}})}}}};
  Document external = {{"apiVersion", "v1"}, {"kind", "Service"}, {"metadata", {{"name", "s"}}}, {"spec", {{"type", "ExternalName"}, {"externalName", "a.example"}, {"ipFamilyPolicy", "SingleStack"}}}};
  CHECK(created(f, kServices, external) == Texts{"spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services"});
  CHECK(created(f, kServices, with(o, "/spec/ipFamilies", {"IPv6"})).size() == 1);
  CHECK(created(f, kServices, with(o, "/spec/clusterIPs", {"None"})).size() == 1);
  REQUIRE(f.post(kServices, o).code == 201);
  Document stored = f.get(kServices + "/s").body;
  CHECK(stored["spec"]["ipFamilies"] == Document::array({"IPv4"}));
  CHECK(causes(f.send("PUT", kServices + "/s", with(stored, "/spec/clusterIPs", {"None"}))).size() >= 1);
  // What becomes an external name gives up its addresses.
  Document changed = with(with(stored, "/spec/type", "ExternalName"), "/spec/externalName", "a.example");
  for (const char* field : {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}) changed["spec"].erase(field);
  Answer now = f.send("PUT", kServices + "/s", changed);
  INFO(now.text);
  REQUIRE(now.code == 200);
  CHECK_FALSE(now.body["spec"].contains("clusterIP"));
}
