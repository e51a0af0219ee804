// What pods get made for them: claims of ephemeral volumes and of devices.
#include "cluster.hpp"

using namespace onebin;
using namespace onebin::controller::test;

namespace {
const std::string kCore = "/api/v1/namespaces/default/", kDra = "/apis/resource.k8s.io/v1/namespaces/default/";

Document pod_with(const std::string& name, const char* field, Document value) {
  Document p = {{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", {{"name", name}}}, {"spec", pod_template("x")["spec"]}};
  p["spec"][field] = std::move(value);
  return p;
}
}  // namespace

TEST_CASE("an ephemeral volume's claim is the pod's; a namesake is not taken for it") {
  Cluster c({"ephemeral-volume-controller"});
  Document spec = {{"accessModes", Document::array({"ReadWriteOnce"})}, {"resources", {{"requests", {{"storage", "1Gi"}}}}}};
  Document volume = {{"name", "scratch"}, {"ephemeral", {{"volumeClaimTemplate", {{"metadata", {{"labels", {{"k", "v"}}}}}, {"spec", spec}}}}}};
  c.create(kCore + "pods", pod_with("a", "volumes", Document::array({volume})));
  auto claim = c.get(kCore + "persistentvolumeclaims/a-scratch").body;
  CHECK(claim["metadata"]["ownerReferences"][0]["name"] == "a");
  CHECK(claim["metadata"]["labels"]["k"] == "v");
  c.create(kCore + "persistentvolumeclaims", object("v1", "PersistentVolumeClaim", "b-scratch", spec));
  c.create(kCore + "pods", pod_with("b", "volumes", Document::array({volume})));
  CHECK(c.has_event("FailedBinding"));
}

TEST_CASE("a claim by template: made when its template is there, told to the pod, gone when the pod is over") {
  Cluster c({"resourceclaim-controller"});
  c.create(kCore + "pods", pod_with("p", "resourceClaims", Document::array({{{"name", "gpu"}, {"resourceClaimTemplateName", "t"}}})));
  CHECK(c.has_event("FailedResourceClaimCreation"));
  CHECK(c.items(kDra + "resourceclaims").empty());
  Document request = {{"name", "r"}, {"exactly", {{"deviceClassName", "gpu.example.com"}}}};
  c.create(kDra + "resourceclaimtemplates", object("resource.k8s.io/v1", "ResourceClaimTemplate", "t", {{"spec", {{"devices", {{"requests", Document::array({request})}}}}}}));
  auto claims = c.items(kDra + "resourceclaims");
  REQUIRE(claims.size() == 1);
  std::string name = claims[0]["metadata"]["name"];
  CHECK(name.starts_with("p-gpu-"));
  CHECK(claims[0]["metadata"]["annotations"]["resource.kubernetes.io/pod-claim-name"] == "gpu");
  auto pod = c.get(kCore + "pods/p").body;
  CHECK(pod["status"]["resourceClaimStatuses"][0]["resourceClaimName"] == name);

  auto a = c.send("PATCH", kDra + "resourceclaims/" + name + "/status",
                  {{"status", {{"allocation", Document::object()}, {"reservedFor", Document::array({{{"resource", "pods"}, {"name", "p"}, {"uid", pod["metadata"]["uid"]}}})}}}},
                  "application/merge-patch+json");
  INFO(a.text);
  CHECK(a.code == 200);
  c.settle();
  CHECK(c.get(kDra + "resourceclaims/" + name).body["status"]["reservedFor"].size() == 1);
  c.set_pod("p", "Succeeded", false);
  CHECK(c.get(kDra + "resourceclaims/" + name).code == 404);
}

TEST_CASE("nodes are told how long they may trust what they have cached") {
  Cluster c({"ttl-controller"});
  c.create("/api/v1/nodes", {{"apiVersion", "v1"}, {"kind", "Node"}, {"metadata", {{"name", "n"}}}});
  CHECK(c.get("/api/v1/nodes/n").body["metadata"]["annotations"]["node.alpha.kubernetes.io/ttl"] == "0");
}
