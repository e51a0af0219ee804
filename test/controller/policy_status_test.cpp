// What policies' statuses tell of the types in their expressions.
#include "cluster.hpp"

#include <thread>

using namespace onebin;
using namespace onebin::controller::test;

namespace {

const std::string kPolicies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";

Document status_of(Cluster& c, const char* name, Document spec) {
  spec["matchConstraints"] = Document::parse(R"j({"resourceRules":[{"apiGroups":["apps"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["deployments"]}]})j");
  c.create(kPolicies, object("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", name, spec));
  Document status;
  for (int i = 0; i < 4000; ++i) {  // schemas are published by threads, which simulated time does not wait for
    status = c.get(kPolicies + "/" + name).body.value("status", Document());
    if (status.contains("typeChecking")) break;
    c.settle(std::chrono::milliseconds(20));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return status;
}

}  // namespace

TEST_CASE("types in a policy's expressions are checked against what it matches") {
  Cluster c({"validatingadmissionpolicy-status-controller"});
  Document good = status_of(c, "good", Document::parse(R"j({"variables":[{"name":"n","expression":"object.spec.replicas"}],"validations":[{"expression":"variables.n > 1 && object.metadata.labels['a'] == 'b' && object.spec.template.spec.containers.all(c, c.image != '')"}]})j"));
  CHECK(good["observedGeneration"] == 1);
  CHECK(good["typeChecking"] == Document::object());
  Document bad = status_of(c, "bad", Document::parse(R"j({"validations":[{"expression":"object.spec.replicas > '1'","messageExpression":"'got ' + object.spec.replicas"},{"expression":"object.nosuch == 1"}]})j"));
  const Document& warnings = bad["typeChecking"]["expressionWarnings"];
  REQUIRE(warnings.size() == 3);
  CHECK(warnings[0]["fieldRef"] == "spec.validations[0].expression");
  CHECK(warnings[0]["warning"] == "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'\n | object.spec.replicas > '1'\n | .....................^\n");
  CHECK(warnings[1]["fieldRef"] == "spec.validations[0].messageExpression");
  CHECK(warnings[1]["warning"].get<std::string>().find("found no matching overload for '_+_' applied to '(string, int)'") != std::string::npos);
  CHECK(warnings[2]["warning"].get<std::string>().find("undefined field 'nosuch'") != std::string::npos);
}
