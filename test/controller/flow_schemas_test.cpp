// What FlowSchemas say of their priority level.
#include "cluster.hpp"

using namespace onebin;
using namespace onebin::controller::test;

namespace {

const std::string kApi = "/apis/flowcontrol.apiserver.k8s.io/v1/";

Document condition(Cluster& c, const std::string& schema) {
  Document status = c.get(kApi + "flowschemas/" + schema).body["status"];
  REQUIRE(status["conditions"].size() == 1);
  Document out = status["conditions"][0];
  CHECK(out["type"] == "Dangling");
  return out;
}

}  // namespace

TEST_CASE("a FlowSchema says whether its priority level is there") {
  Cluster c({"flow-schema-status-controller"});
  c.settle();
  Document found = condition(c, "catch-all");
  CHECK(found["status"] == "False");
  CHECK(found["reason"] == "Found");
  CHECK(found["message"] == "This FlowSchema references the PriorityLevelConfiguration object named \"catch-all\" and it exists");
  Document managers = c.get(kApi + "flowschemas/catch-all").body["metadata"]["managedFields"];
  bool named = false;
  for (const auto& m : managers) named = named || (m["manager"] == "api-priority-and-fairness-config-consumer-v1" && m["subresource"] == "status" && m["operation"] == "Apply");
  CHECK(named);

  Document spec = Document::parse(R"({"matchingPrecedence":900,"priorityLevelConfiguration":{"name":"mine"},"rules":[{"subjects":[{"kind":"User","user":{"name":"u"}}],
    "nonResourceRules":[{"verbs":["*"],"nonResourceURLs":["*"]}]}]})");
  c.create(kApi + "flowschemas", object("flowcontrol.apiserver.k8s.io/v1", "FlowSchema", "s", spec));
  c.settle();
  CHECK(condition(c, "s")["reason"] == "NotFound");
  Document level = Document::parse(R"({"type":"Limited","limited":{"nominalConcurrencyShares":1,"limitResponse":{"type":"Reject"}}})");
  c.create(kApi + "prioritylevelconfigurations", object("flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration", "mine", level));
  c.settle();
  CHECK(condition(c, "s")["status"] == "False");
  CHECK(c.send("DELETE", kApi + "prioritylevelconfigurations/mine").code == 200);
  c.settle();
  Document gone = condition(c, "s");
  CHECK(gone["status"] == "True");
  CHECK(gone["message"] == "This FlowSchema references the PriorityLevelConfiguration object named \"mine\" but there is no such object");
}
