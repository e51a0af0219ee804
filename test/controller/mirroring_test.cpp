#include "cluster.hpp"

using namespace onebin;
using namespace onebin::controller::test;

TEST_CASE("Endpoints kept by hand are mirrored as they come, change and go") {
  Cluster c({"endpoints-controller", "endpointslice-controller", "endpointslicemirroring-controller"});
  const std::string base = "/api/v1/namespaces/default/";
  const std::string slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name%3Dmine";
  c.create(base + "services", object("v1", "Service", "mine", {{"ports", Document::array({{{"name", "example"}, {"port", 80}}})}}));
  CHECK(c.items(slices).empty());
  auto endpoints = [](const char* ip) {
    Document subset = {{"ports", Document::array({{{"port", 80}}})}, {"addresses", Document::array({{{"ip", ip}}})}};
    return Document{{"apiVersion", "v1"}, {"kind", "Endpoints"}, {"metadata", {{"name", "mine"}}}, {"subsets", Document::array({subset})}};
  };
  c.create(base + "endpoints", endpoints("10.1.2.3"));
  auto mirrored = c.items(slices);
  REQUIRE(mirrored.size() == 1);
  CHECK(mirrored[0]["endpoints"][0]["addresses"][0] == "10.1.2.3");
  CHECK(mirrored[0]["ports"][0]["port"] == 80);
  CHECK(c.send("PUT", base + "endpoints/mine", endpoints("10.2.3.4")).code == 200);
  c.settle();
  mirrored = c.items(slices);
  REQUIRE(mirrored.size() == 1);
  CHECK(mirrored[0]["endpoints"][0]["addresses"][0] == "10.2.3.4");
  c.remove(base + "endpoints/mine");
  CHECK(c.items(slices).empty());
}

TEST_CASE("a namespace goes with all that is in it, pods first") {
  Cluster c({"namespace-controller"});
  c.create("/api/v1/namespaces", {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", "gone"}}}});
  auto pod = [](const char* name) {
    return Document{{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", {{"name", name}, {"namespace", "gone"}}}, {"spec", pod_template("x")["spec"]}};
  };
  c.create("/api/v1/namespaces/gone/serviceaccounts", {{"apiVersion", "v1"}, {"kind", "ServiceAccount"}, {"metadata", {{"name", "default"}}}});
  c.create("/api/v1/namespaces/gone/pods", pod("a"));
  Document kept = {{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", {{"name", "kept"}, {"finalizers", Document::array({"example.com/hold"})}}}};
  c.create("/api/v1/namespaces/gone/configmaps", kept);
  c.remove("/api/v1/namespaces/gone");
  c.settle(2s);
  CHECK(c.items("/api/v1/namespaces/gone/pods").empty());
  auto ns = c.get("/api/v1/namespaces/gone").body;
  CHECK(ns["status"]["phase"] == "Terminating");
  bool told = false;
  for (const auto& k : ns["status"]["conditions"]) told = told || (k["type"] == "NamespaceFinalizersRemaining" && k["status"] == "True");
  CHECK(told);
  c.patch("/api/v1/namespaces/gone/configmaps/kept", {{"metadata", {{"finalizers", nullptr}}}});
  c.settle(60s);
  CHECK(c.get("/api/v1/namespaces/gone").code == 404);
}
