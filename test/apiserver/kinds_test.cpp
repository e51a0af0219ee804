// Kinds outside core, apps and batch: defaults, conversion, validation, status and what there is from the start.
#include "support.hpp"

#include <map>
#include <set>

using namespace onebin;
using namespace onebin::apiserver;
using test::Answer;
using test::Document;

namespace {

Document object(const char* api_version, const char* kind, const char* name, const char* rest = "{}") {
  Document o = Document::parse(rest);
  o["apiVersion"] = api_version;
  o["kind"] = kind;
  o["metadata"]["name"] = name;
  return o;
}

// field -> message of the causes.
std::map<std::string, std::string> causes(const Answer& a) {
  std::map<std::string, std::string> out;
  INFO(a.text);
  CHECK(a.code == 422);
  if (a.body.contains("details") && a.body["details"].contains("causes"))
    for (const auto& c : a.body["details"]["causes"]) out[c.value("field", "")] = c.value("message", "");
  return out;
}
using Causes = std::map<std::string, std::string>;

}  // namespace

TEST_CASE("a HorizontalPodAutoscaler is one object in two versions") {
  test::Fixture f;
  const std::string v1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers", v2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
  Document old = object("autoscaling/v1", "HorizontalPodAutoscaler", "a",
                        R"({"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"},"maxReplicas":5,"targetCPUUtilizationPercentage":60}})");
  CHECK(f.post(v1, old).code == 201);
  Document a = f.get(v2 + "/a").body;
  CHECK(a["spec"]["minReplicas"] == 1);
  CHECK(a["spec"]["metrics"] == Document::parse(R"([{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":60}}}])"));
  // Without any goal the processor's use is one.
  old["metadata"]["name"] = "b";
  old["spec"].erase("targetCPUUtilizationPercentage");
  CHECK(f.post(v1, old).code == 201);
  CHECK(f.get(v1 + "/b").body["spec"]["targetCPUUtilizationPercentage"] == 80);
  // What v1 has no fields for is in its annotations, and comes back from them.
  Document full = object("autoscaling/v2", "HorizontalPodAutoscaler", "c", R"({"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"},"maxReplicas":5,
    "metrics":[{"type":"Pods","pods":{"metric":{"name":"requests"},"target":{"type":"AverageValue","averageValue":"10"}}},
               {"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}}],
    "behavior":{"scaleDown":{"policies":[{"type":"Pods","value":2,"periodSeconds":60}]}}}})");
  CHECK(f.post(v2, full).code == 201);
  Document c1 = f.get(v1 + "/c").body, c2 = f.get(v2 + "/c").body;
  CHECK(c1["spec"]["targetCPUUtilizationPercentage"] == 50);
  CHECK(c1["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"] == R"([{"type":"Pods","pods":{"metricName":"requests","targetAverageValue":"10"}}])");
  CHECK(c1["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/behavior"] ==
        R"({"ScaleUp":{"StabilizationWindowSeconds":0,"SelectPolicy":"Max","Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":15},{"Type":"Percent","Value":100,"PeriodSeconds":15}],"Tolerance":null},"ScaleDown":{"StabilizationWindowSeconds":null,"SelectPolicy":"Max","Policies":[{"Type":"Pods","Value":2,"PeriodSeconds":60}],"Tolerance":null}})");
  CHECK_FALSE(c2["metadata"].contains("annotations"));
  c1["spec"]["maxReplicas"] = 6;
  CHECK(f.send("PUT", v1 + "/c", c1).code == 200);
  Document after = f.get(v2 + "/c").body;
  c2["spec"]["maxReplicas"] = 6;
  CHECK(after["spec"] == c2["spec"]);
  CHECK(after["metadata"]["generation"] == 2);
  full["metadata"]["name"] = "d";
  full["spec"]["metrics"][0]["type"] = "External";
  full["spec"]["maxReplicas"] = 0;
  auto e = causes(f.post(v2, full));
  CHECK(e["spec.maxReplicas"].find("must be greater than or equal to `minReplicas`") != std::string::npos);
  CHECK(e["spec.metrics[0].external"] == "Required value: must populate information for the given metric source");
}

TEST_CASE("priority levels, flow schemas and APIServices are there from the start") {
  test::Fixture f;
  Document levels = f.get("/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations").body["items"];
  Document flows = f.get("/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas").body["items"];
  CHECK(levels.size() == 8);
  CHECK(flows.size() == 11);
  std::set<std::string> names;
  for (const auto& l : levels) names.insert(l["metadata"]["name"]);
  for (const auto& s : flows) CHECK(names.count(s["spec"]["priorityLevelConfiguration"]["name"]) == 1);
  Document exempt = f.get("/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations/catch-all").body;
  CHECK(exempt["spec"]["limited"]["nominalConcurrencyShares"] == 5);
  exempt["spec"]["limited"]["nominalConcurrencyShares"] = 6;
  CHECK(f.send("PUT", "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations/catch-all", exempt).text.find("spec of 'catch-all' must equal the fixed value") != std::string::npos);
  Document services = f.get("/apis/apiregistration.k8s.io/v1/apiservices").body["items"];
  CHECK(services.size() == 22);
  for (const auto& s : services) {
    CHECK(s["status"]["conditions"][0]["type"] == "Available");
    CHECK(s["status"]["conditions"][0]["reason"] == "Local");
  }
  CHECK(causes(f.post("/apis/apiregistration.k8s.io/v1/apiservices",
                      object("apiregistration.k8s.io/v1", "APIService", "v1.other", R"({"spec":{"group":"example.com","version":"v1","groupPriorityMinimum":1,"versionPriority":0}})"))) ==
        Causes{{"metadata.name", "Invalid value: \"v1.other\": must be `spec.version+\".\"+spec.group`: \"v1.example.com\""},
               {"spec.versionPriority", "Invalid value: 0: must be positive and less than 1000"}});
}

TEST_CASE("Ingresses, classes and policies of the network are checked") {
  test::Fixture f;
  const std::string base = "/apis/networking.k8s.io/v1/";
  CHECK(causes(f.post(base + "namespaces/default/ingresses", object("networking.k8s.io/v1", "Ingress", "a", R"({"spec":{"rules":[{"host":"1.2.3.4","http":{"paths":[
          {"path":"x","pathType":"Prefix","backend":{"service":{"name":"s","port":{}}}},{"path":"/a//b","pathType":"Exact","backend":{}}]}}]}})"))) ==
        Causes{{"spec.rules[0].host", "Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address"},
               {"spec.rules[0].http.paths[0].path", "Invalid value: \"x\": must be an absolute path"},
               {"spec.rules[0].http.paths[0].backend", "Required value: port name or number is required"},
               {"spec.rules[0].http.paths[1].path", "Invalid value: \"/a//b\": must not contain '//'"},
               {"spec.rules[0].http.paths[1].backend", "Invalid value: \"\": resource or service backend is required"}});
  CHECK(causes(f.post(base + "ingressclasses", object("networking.k8s.io/v1", "IngressClass", "a",
                                                     R"({"spec":{"controller":"nginx","parameters":{"kind":"K","name":"n","scope":"Namespace"}}})"))) ==
        Causes{{"spec.controller", "Invalid value: \"nginx\": must be a domain-prefixed path (such as \"acme.io/foo\")"},
               {"spec.parameters.namespace", "Required value: `parameters.scope` is set to 'Namespace'"}});
  CHECK(causes(f.post(base + "namespaces/default/networkpolicies", object("networking.k8s.io/v1", "NetworkPolicy", "a", R"({"spec":{"podSelector":{},"ingress":[
          {"ports":[{"endPort":5}],"from":[{},{"ipBlock":{"cidr":"10.0.0.0/8","except":["10.0.0.0/8","11.0.0.0/16"]}}]}]}})"))) ==
        Causes{{"spec.ingress[0].ports[0].endPort", "Invalid value: 5: may not be specified when `port` is not specified"},
               {"spec.ingress[0].from[0]", "Required value: must specify a peer"},
               {"spec.ingress[0].from[1].ipBlock.except[0]", "Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`"},
               {"spec.ingress[0].from[1].ipBlock.except[1]", "Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`"}});
  CHECK(causes(f.post(base + "servicecidrs", object("networking.k8s.io/v1", "ServiceCIDR", "a", R"({"spec":{"cidrs":["10.1.2.3/16","010.0.0.0/8"]}})")))["spec.cidrs[0]"] ==
        "Invalid value: \"10.1.2.3/16\": must not have bits set beyond the prefix length");
  CHECK(f.post(base + "servicecidrs", object("networking.k8s.io/v1", "ServiceCIDR", "b", R"({"spec":{"cidrs":["10.8.0.0/16"]}})")).code == 201);
  Document cidr = f.get(base + "servicecidrs/b").body;
  cidr["spec"]["cidrs"] = {"10.8.0.0/16", "fd00::/64"};
  CHECK(f.send("PUT", base + "servicecidrs/b", cidr).code == 200);
  cidr["spec"]["cidrs"] = {"10.9.0.0/16"};
  cidr["metadata"].erase("resourceVersion");
  CHECK(causes(f.send("PUT", base + "servicecidrs/b", cidr)).count("spec.cidrs") == 1);
  CHECK(f.post(base + "ipaddresses", object("networking.k8s.io/v1", "IPAddress", "fd00:0::1", R"({"spec":{"parentRef":{"resource":"services","name":"s"}}})")).code == 422);
  CHECK(f.post(base + "ipaddresses", object("networking.k8s.io/v1", "IPAddress", "fd00::1", R"({"spec":{"parentRef":{"resource":"services","name":"s"}}})")).code == 201);
}

TEST_CASE("storage's kinds are checked") {
  test::Fixture f;
  const std::string base = "/apis/storage.k8s.io/v1/";
  Answer driver = f.post(base + "csidrivers", object("storage.k8s.io/v1", "CSIDriver", "a.example.com", R"({"spec":{"tokenRequests":[{"audience":"x"}]}})"));
  CHECK(driver.code == 201);
  CHECK(driver.body["spec"]["attachRequired"] == true);
  CHECK(driver.body["spec"]["volumeLifecycleModes"] == Document::array({"Persistent"}));
  CHECK_FALSE(driver.body["metadata"].contains("generation"));
  Answer empty = f.post(base + "csidrivers", object("storage.k8s.io/v1", "CSIDriver", "e.example.com", R"({"spec":{"volumeLifecycleModes":[]}})"));
  CHECK(empty.body["spec"]["volumeLifecycleModes"] == Document::array({"Persistent"}));
  driver.body["spec"]["attachRequired"] = false;
  CHECK(causes(f.send("PUT", base + "csidrivers/a.example.com", driver.body)) == Causes{{"spec.attachedRequired", "Invalid value: false: field is immutable"}});
  CHECK(causes(f.post(base + "csidrivers", object("storage.k8s.io/v1", "CSIDriver", "b", R"({"spec":{"tokenRequests":[{"audience":"x","expirationSeconds":5},{"audience":"x"}],"fsGroupPolicy":"No"}})"))) ==
        Causes{{"spec.fsGroupPolicy", "Unsupported value: \"No\": supported values: \"File\", \"None\", \"ReadWriteOnceWithFSType\""},
               {"spec.tokenRequests[0].expirationSeconds", "Invalid value: 5: may not specify a duration less than 10 minutes"},
               {"spec.tokenRequests[1].audience", "Duplicate value: \"x\""}});
  CHECK(causes(f.post(base + "volumeattributesclasses", object("storage.k8s.io/v1", "VolumeAttributesClass", "v", R"({"driverName":"d"})"))) ==
        Causes{{"parameters", "Required value: must contain at least one key/value pair"}});
  CHECK(causes(f.post(base + "volumeattachments", object("storage.k8s.io/v1", "VolumeAttachment", "v", R"({"spec":{"attacher":"a","nodeName":"n","source":{}}})"))) ==
        Causes{{"spec.source", "Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"}});
  CHECK(causes(f.post(base + "csinodes", object("storage.k8s.io/v1", "CSINode", "n", R"({"spec":{"drivers":[{"name":"a","nodeID":"1"},{"name":"a","nodeID":""}]}})"))) ==
        Causes{{"spec.drivers[1].name", "Duplicate value: \"a\""}, {"spec.drivers[1].nodeID", "Required value"}});
}

TEST_CASE("claims of devices: defaults, requests, allocation") {
  test::Fixture f;
  const std::string base = "/apis/resource.k8s.io/v1/", claims = base + "namespaces/default/resourceclaims";
  Answer claim = f.post(claims, object("resource.k8s.io/v1", "ResourceClaim", "a", R"({"spec":{"devices":{"requests":[{"name":"r","exactly":{"deviceClassName":"c"}}]}}})"));
  CHECK(claim.code == 201);
  CHECK(claim.body["spec"]["devices"]["requests"][0]["exactly"]["allocationMode"] == "ExactCount");
  CHECK(claim.body["spec"]["devices"]["requests"][0]["exactly"]["count"] == 1);
  CHECK(causes(f.post(claims, object("resource.k8s.io/v1", "ResourceClaim", "b", R"({"spec":{"devices":{"requests":[{"name":"r"},{"name":"s","exactly":{"deviceClassName":"c","allocationMode":"All","count":2}}],
          "constraints":[{"requests":["t"],"matchAttribute":"x/y"}]}}})"))) ==
        Causes{{"spec.devices.requests[0]", "Required value: exactly one of `exactly` or `firstAvailable` is required"},
               {"spec.devices.requests[1].exactly.count", "Invalid value: 2: must not be specified when allocationMode is 'All'"},
               {"spec.devices.constraints[0].requests[0]",
                "Invalid value: \"t\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"}});
  Document changed = claim.body;
  changed["spec"]["devices"]["requests"][0]["name"] = "other";
  CHECK(causes(f.send("PUT", claims + "/a", changed)).count("spec") == 1);
  Document reserved = claim.body;
  reserved["status"] = Document::parse(R"({"reservedFor":[{"resource":"pods","name":"p","uid":"1"}]})");
  CHECK(causes(f.send("PUT", claims + "/a/status", reserved)) == Causes{{"status.reservedFor", "Forbidden: may not be specified when `allocated` is not set"}});
  reserved["status"]["allocation"] = Document::parse(R"({"devices":{"results":[{"request":"r","driver":"d.example.com","pool":"p","device":"x"}]}})");
  CHECK(f.send("PUT", claims + "/a/status", reserved).code == 200);
  Answer slice = f.post(base + "resourceslices", object("resource.k8s.io/v1", "ResourceSlice", "s", R"({"spec":{"driver":"d.example.com","pool":{"name":"p","generation":1,"resourceSliceCount":0}}})"));
  CHECK(causes(slice) == Causes{{"spec", "Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"},
                                {"spec.pool.resourceSliceCount", "Invalid value: 0: must be greater than zero"}});
  Answer rule = f.post(base + "devicetaintrules", object("resource.k8s.io/v1", "DeviceTaintRule", "t", R"({"spec":{"taint":{"key":"example.com/k","effect":"NoSchedule"}}})"));
  CHECK(rule.code == 201);
  CHECK(rule.body["spec"]["taint"].contains("timeAdded"));
}

TEST_CASE("webhooks and policies are checked") {
  test::Fixture f;
  const std::string base = "/apis/admissionregistration.k8s.io/v1/";
  CHECK(causes(f.post(base + "validatingwebhookconfigurations", object("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "a", R"({"webhooks":[{"name":"short",
          "clientConfig":{"url":"http://x?q"},"sideEffects":"Some","admissionReviewVersions":["v9"],"rules":[{"operations":["*","CREATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["*/*","pods"]}]}]})"))) ==
        Causes{{"webhooks[0].name", "Invalid value: \"short\": should be a domain with at least three segments separated by dots"},
               {"webhooks[0].clientConfig.url", "Invalid value: \"q\": query parameters are not permitted in the URL"},
               {"webhooks[0].sideEffects", "Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\""},
               {"webhooks[0].admissionReviewVersions", "Invalid value: [\"v9\"]: must include at least one of v1, v1beta1"},
               {"webhooks[0].rules[0].operations", "Invalid value: [\"*\",\"CREATE\"]: if '*' is present, must not specify other operations"},
               {"webhooks[0].rules[0].resources", "Invalid value: [\"*/*\",\"pods\"]: if '*/*' is present, must not specify other resources"}});
  CHECK(causes(f.post(base + "validatingadmissionpolicies", object("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "a", R"({"spec":{"matchConstraints":{}}})"))) ==
        Causes{{"spec.matchConstraints.resourceRules", "Required value"},
               {"spec.validations", "Required value: validations or auditAnnotations must contain at least one item"},
               {"spec.auditAnnotations", "Required value: validations or auditAnnotations must contain at least one item"}});
}

TEST_CASE("certificate requests and bundles are checked") {
  test::Fixture f;
  const std::string base = "/apis/certificates.k8s.io/v1/";
  auto e = causes(f.post(base + "certificatesigningrequests", object("certificates.k8s.io/v1", "CertificateSigningRequest", "a",
                                                                    R"({"spec":{"request":"eA==","signerName":"example","usages":["client auth","flying"]}})")));
  CHECK(e["spec.signerName"] == "Invalid value: \"example\": must be a fully qualified domain and path of the form 'example.com/signer-name'");
  CHECK(e.count("spec.usages[1]") == 1);
  CHECK(e.count("spec.request") == 1);
  CHECK(causes(f.post(base + "clustertrustbundles", object("certificates.k8s.io/v1", "ClusterTrustBundle", "a:b", R"({"spec":{"trustBundle":"nothing"}})"))) ==
        Causes{{"metadata.name", "Invalid value: \"a:b\": ClusterTrustBundle without signer name must not have \":\" in its name"},
               {"spec.trustBundle", "Invalid value: \"<value omitted>\": at least one trust anchor must be provided"}});
}

TEST_CASE("values that an enumeration does not have") {
  test::Fixture f;
  auto refused = [&f](const char* path, const char* object) { return f.post(path, Document::parse(object)).body["message"].get<std::string>(); };
  for (std::string type : {"Wrong", ""})
    CHECK(refused("/apis/networking.k8s.io/v1/namespaces/default/ingresses",
                  (R"({"metadata":{"name":"a"},"spec":{"rules":[{"http":{"paths":[{"path":"/x","pathType":")" + type + R"(","backend":{"service":{"name":"a","port":{"number":80}}}}]}}]}})").c_str()) ==
          "Ingress.networking.k8s.io \"a\" is invalid: spec.rules[0].http.paths[0].pathType: Unsupported value: \"" + type + "\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\"");
  CHECK(refused("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", R"({"metadata":{"name":"a"},"addressType":"IPv9","endpoints":[]})") ==
        "EndpointSlice.discovery.k8s.io \"a\" is invalid: addressType: Unsupported value: \"IPv9\": supported values: \"FQDN\", \"IPv4\", \"IPv6\"");
  CHECK(refused("/apis/resource.k8s.io/v1/namespaces/default/resourceclaims",
                R"({"metadata":{"name":"a"},"spec":{"devices":{"requests":[{"name":"a","exactly":{"deviceClassName":"b","allocationMode":"Some"}}]}}})") ==
        "ResourceClaim.resource.k8s.io \"a\" is invalid: spec.devices.requests[0].exactly.allocationMode: Unsupported value: \"Some\": supported values: \"All\", \"ExactCount\"");
}
