// Admission policies through the API.
#include "../support.hpp"

using namespace onebin;
using namespace onebin::apiserver::test;

namespace {

const std::string kRegistration = "/apis/admissionregistration.k8s.io/v1/";
const std::string kConfigMaps = "/api/v1/namespaces/default/configmaps";

Document parse(const std::string& text) { return Document::parse(text); }

Document policy(const char* spec) {
  Document d = {{"apiVersion", "admissionregistration.k8s.io/v1"}, {"kind", "ValidatingAdmissionPolicy"}, {"metadata", {{"name", "p"}}}, {"spec", parse(spec)}};
  if (!d["spec"].contains("matchConstraints"))
    d["spec"]["matchConstraints"] = parse(R"j({"resourceRules":[{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE","UPDATE"],"resources":["configmaps"]}]})j");
  return d;
}

void bind(Fixture& f, const char* policy_spec, const char* binding_spec = R"j({"validationActions":["Deny"]})j") {
  Answer made = f.post(kRegistration + "validatingadmissionpolicies", policy(policy_spec));
  INFO(made.text);
  REQUIRE(made.code == 201);
  Document b = {{"apiVersion", "admissionregistration.k8s.io/v1"}, {"kind", "ValidatingAdmissionPolicyBinding"}, {"metadata", {{"name", "b"}}}, {"spec", parse(binding_spec)}};
  b["spec"]["policyName"] = "p";
  Answer bound = f.post(kRegistration + "validatingadmissionpolicybindings", b);
  INFO(bound.text);
  REQUIRE(bound.code == 201);
}

Document config(const char* data, const char* name = "c") {
  Document d = config_map(name);
  d["data"] = parse(data);
  return d;
}

Answer make(Fixture& f, const char* data) { return f.post(kConfigMaps + "?dryRun=All", config(data)); }
std::string message(const Answer& a) { return a.code < 300 ? "made" : a.body.value("message", ""); }

const std::string kDenied = "configmaps \"c\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: ";

std::string cause(Fixture& f, const char* spec) {
  Answer a = f.post(kRegistration + "validatingadmissionpolicies?dryRun=All", policy(spec));
  if (a.code < 300) return "made";
  const auto& c = a.body["details"]["causes"][0];
  return c.value("field", "") + ": " + c.value("message", "");
}

}  // namespace

TEST_CASE("a policy's expressions must compile with what they will see") {
  Fixture f;
  CHECK(cause(f, R"j({"validations":[{"expression":"variables.v > 1 && object.x == 1","messageExpression":"'a' + string(variables.v)"}],"variables":[{"name":"v","expression":"2"}],
    "auditAnnotations":[{"key":"k","valueExpression":"null"}],"matchConditions":[{"name":"n","expression":"request.namespace == 'x'"}]})j") == "made");
  CHECK(cause(f, R"j({"validations":[{"expression":"1"}]})j") == "spec.validations[0].expression: Invalid value: \"1\": must evaluate to bool but got int");
  CHECK(cause(f, R"j({"validations":[{"expression":"params.x"}]})j").find("undeclared reference to 'params'") != std::string::npos);
  CHECK(cause(f, R"j({"paramKind":{"apiVersion":"v1","kind":"ConfigMap"},"validations":[{"expression":"params.x == 1"}]})j") == "made");
  CHECK(cause(f, R"j({"validations":[{"expression":"true","messageExpression":"authorizer.path('/').check('get').reason()"}]})j").find("undeclared reference to 'authorizer'") != std::string::npos);
  CHECK(cause(f, R"j({"validations":[{"expression":"variables.v == 'x'"}],"variables":[{"name":"v","expression":"2"}]})j").find("applied to '(int, string)'") != std::string::npos);
  CHECK(cause(f, R"j({"validations":[{"expression":"true"}],"matchConditions":[{"name":"n","expression":"variables.v"}],"variables":[{"name":"v","expression":"true"}]})j").find("spec.matchConditions[0].expression: ") == 0);
  CHECK(cause(f, R"j({"validations":[{"expression":"request.nosuch"}]})j").find("undefined field 'nosuch'") != std::string::npos);
}

TEST_CASE("a bound policy refuses in its words and with its reason") {
  Fixture f;
  bind(f, R"j({"validations":[{"expression":"object.data.v != 'bad'"},{"expression":"object.data.v != 'worse'","message":" no worse ","reason":"Forbidden"},
    {"expression":"object.data.v != 'worst'","messageExpression":"'not ' + object.data.v + ' in ' + request.namespace"},{"expression":"object.data.v != 'odd'","messageExpression":"string(object.data.none)","message":"the other"}]})j");
  CHECK(message(make(f, R"j({"v":"good"})j")) == "made");
  Answer bad = make(f, R"j({"v":"bad"})j");
  CHECK(bad.code == 422);
  CHECK(bad.body["reason"] == "Invalid");
  CHECK(message(bad) == kDenied + "failed expression: object.data.v != 'bad'");
  Answer worse = make(f, R"j({"v":"worse"})j");
  CHECK(worse.code == 403);
  CHECK(message(worse) == kDenied + "no worse");
  CHECK(message(make(f, R"j({"v":"worst"})j")) == kDenied + "not worst in default");
  CHECK(message(make(f, R"j({"v":"odd"})j")) == kDenied + "the other");
  CHECK(message(make(f, R"j({"w":"x"})j")) == kDenied + "expression 'object.data.v != 'bad'' resulted in error: no such key: v");
  CHECK(f.send("DELETE", kRegistration + "validatingadmissionpolicybindings/b").code == 200);
  CHECK(message(make(f, R"j({"v":"bad"})j")) == "made");
}

TEST_CASE("conditions, failure policies and actions of policies") {
  Fixture f;
  SECTION("a condition that is false decides") {
    bind(f, R"j({"validations":[{"expression":"false"}],"matchConditions":[{"name":"a","expression":"object.none == 1"},{"name":"b","expression":"object.data.v == 'x'"}]})j");
    CHECK(message(make(f, R"j({"v":"y"})j")) == "made");
    CHECK(message(make(f, R"j({"v":"x"})j")) == kDenied + "expression 'object.none == 1' resulted in error: no such key: none");
  }
  SECTION("errors are forgiven") {
    bind(f, R"j({"failurePolicy":"Ignore","validations":[{"expression":"object.none == 1"}]})j");
    CHECK(message(make(f, R"j({"v":"y"})j")) == "made");
  }
  SECTION("a warning") {
    bind(f, R"j({"validations":[{"expression":"false","message":"well"}]})j", R"j({"validationActions":["Warn","Audit"]})j");
    CHECK(message(make(f, R"j({"v":"y"})j")) == "made");
  }
  SECTION("variables, the namespace and the authorizer") {
    bind(f, R"j({"variables":[{"name":"one","expression":"1"},{"name":"two","expression":"variables.one + int(object.data.v)"}],
      "validations":[{"expression":"variables.two == 3"},{"expression":"namespaceObject.metadata.name == 'default'"},{"expression":"authorizer.group('').resource('pods').check('create').allowed()"},
      {"expression":"!authorizer.serviceAccount('default', 'nobody').group('').resource('secrets').check('get').allowed()"}]})j");
    CHECK(message(make(f, R"j({"v":"2"})j")) == "made");
    CHECK(message(make(f, R"j({"v":"3"})j")) == kDenied + "failed expression: variables.two == 3");
  }
  SECTION("a namespace that the binding does not select") {
    bind(f, R"j({"validations":[{"expression":"false"}]})j", R"j({"validationActions":["Deny"],"matchResources":{"namespaceSelector":{"matchLabels":{"a":"b"}}}})j");
    CHECK(message(make(f, R"j({"v":"y"})j")) == "made");
  }
}

TEST_CASE("a binding's parameters") {
  Fixture f;
  const char* spec = R"j({"paramKind":{"apiVersion":"v1","kind":"ConfigMap"},"matchConditions":[{"name":"n","expression":"has(object.data) && has(object.data.n)"}],
    "validations":[{"expression":"int(object.data.n) >= int(params.data.least)","messageExpression":"'at least ' + params.data.least"}]})j";
  for (const char* n : {"one", "two"}) {
    Document d = config(std::string(n) == "one" ? R"j({"least":"3"})j" : R"j({"least":"5"})j", n);
    d["metadata"]["labels"] = {{"role", "parameters"}};
    REQUIRE(f.post(kConfigMaps, d).code == 201);
  }
  SECTION("by name") {
    bind(f, spec, R"j({"validationActions":["Deny"],"paramRef":{"name":"one","parameterNotFoundAction":"Deny"}})j");
    CHECK(message(make(f, R"j({"n":"3"})j")) == "made");
    CHECK(message(make(f, R"j({"n":"2"})j")) == kDenied + "at least 3");
  }
  SECTION("all that a selector finds") {
    bind(f, spec, R"j({"validationActions":["Deny"],"paramRef":{"selector":{"matchLabels":{"role":"parameters"}},"parameterNotFoundAction":"Deny"}})j");
    CHECK(message(make(f, R"j({"n":"5"})j")) == "made");
    CHECK(message(make(f, R"j({"n":"4"})j")) == kDenied + "at least 5");
  }
  SECTION("none, which denies") {
    bind(f, spec, R"j({"validationActions":["Deny"],"paramRef":{"name":"none","namespace":"default","parameterNotFoundAction":"Deny"}})j");
    CHECK(message(make(f, R"j({"n":"5"})j")) == kDenied + "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction");
  }
  SECTION("none, which allows") {
    bind(f, spec, R"j({"validationActions":["Deny"],"paramRef":{"name":"none","namespace":"default","parameterNotFoundAction":"Allow"}})j");
    CHECK(message(make(f, R"j({"n":"0"})j")) == "made");
  }
}
