// x-kubernetes-validations through the API: what a definition is told of its rules, and its objects of theirs.
#include "support.hpp"

using namespace onebin;
using namespace onebin::apiserver::test;

namespace {

const std::string kDefinitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const std::string kGadgets = "/apis/rules.example.com/v1/namespaces/default/gadgets";

Document parse(const std::string& text) { return Document::parse(text); }

Document definition(const Document& spec) {
  Document schema = {{"type", "object"}, {"properties", {{"spec", spec}, {"status", parse(R"j({"type":"object","properties":{"n":{"type":"integer"}},
    "x-kubernetes-validations":[{"rule":"!has(self.n) || self.n > 0","message":"positive"}]})j")}}}};
  Document version = {{"name", "v1"}, {"served", true}, {"storage", true}, {"schema", {{"openAPIV3Schema", schema}}}, {"subresources", {{"status", Document::object()}}}};
  return {{"apiVersion", "apiextensions.k8s.io/v1"}, {"kind", "CustomResourceDefinition"}, {"metadata", {{"name", "gadgets.rules.example.com"}}},
          {"spec", {{"group", "rules.example.com"}, {"scope", "Namespaced"}, {"names", {{"plural", "gadgets"}, {"kind", "Gadget"}}}, {"versions", Document::array({version})}}}};
}

Document gadget(Document spec) { return {{"apiVersion", "rules.example.com/v1"}, {"kind", "Gadget"}, {"metadata", {{"name", "g"}}}, {"spec", std::move(spec)}}; }

// The causes of a refusal, one a line; "made" where there is none.
std::string told(const Answer& a) {
  if (a.code < 300) return "made";
  std::string out;
  for (const auto& c : a.body["details"].value("causes", Document::array()))
    out += (out.empty() ? "" : "\n") + c.value("field", "") + ": " + c.value("reason", "") + ": " + c.value("message", "");
  return out.empty() ? a.text : out;
}

// What is told of a rule of an object with fields of every kind.
std::string told_of(Fixture& f, const Document& rule) {
  Document spec = parse(R"j({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"},"c":{"type":"array","items":{"type":"string"}}}})j");
  spec["x-kubernetes-validations"] = Document::array({rule});
  return told(f.post(kDefinitions + "?dryRun=All", definition(spec)));
}

bool holds(const std::string& text, const std::string& part) {
  INFO(text << "\nlacks " << part);
  CHECK(text.find(part) != std::string::npos);
  return true;
}

void define(Fixture& f, const char* spec) {
  Answer made = f.post(kDefinitions, definition(parse(spec)));
  INFO(made.text);
  REQUIRE(made.code == 201);
  for (int i = 0; i < 50 && f.get(kGadgets).code != 200; ++i) f.loop->run_for(std::chrono::milliseconds(20));
  REQUIRE(f.get(kGadgets).code == 200);
}

}  // namespace

TEST_CASE("a definition's rules must compile and be cheap enough") {
  Fixture f;
  CHECK(told_of(f, {{"rule", "self.a > 1"}, {"messageExpression", "'not ' + self.b"}, {"fieldPath", ".a"}, {"reason", "FieldValueForbidden"}}) == "made");
  const std::string path = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0]";
  std::string text = told_of(f, {{"rule", "self.a == 'x'"}});
  holds(text, path + ".rule: FieldValueInvalid: Invalid value: ");
  holds(text, "compilation failed: ERROR: <input>:1:8: found no matching overload for '_==_' applied to '(int, string)'\n | self.a == 'x'\n | .......^");
  holds(told_of(f, {{"rule", "self.a"}}), "must evaluate to a bool");
  holds(told_of(f, {{"rule", "self.a > 1"}, {"messageExpression", "self.a"}}), path + ".messageExpression: FieldValueInvalid");
  holds(told_of(f, {{"rule", "self.a > 1"}, {"fieldPath", ".nosuch"}}), path + ".fieldPath: FieldValueInvalid");
  holds(told_of(f, {{"rule", "self.c.all(x, self.c.all(y, self.c.all(z, x == y && y == z)))"}}), "estimated rule cost exceeds budget by factor of more than 100x");
  Document items = parse(R"j({"type":"object","properties":{"l":{"type":"array","items":{"type":"string","maxLength":5,"x-kubernetes-validations":[{"rule":"self == oldSelf"}]},"maxItems":5}}})j");
  holds(told(f.post(kDefinitions + "?dryRun=All", definition(items))), "oldSelf cannot be used on the uncorrelatable portion of the schema");
}

TEST_CASE("objects obey their rules") {
  Fixture f;
  define(f, R"j({"type":"object","properties":{"min":{"type":"integer"},"max":{"type":"integer"},"fixed":{"type":"string","default":"f","x-kubernetes-validations":[{"rule":"self == oldSelf","message":"is fixed"}]},
    "items":{"type":"array","maxItems":5,"x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],"items":{"type":"object","required":["k"],"properties":{"k":{"type":"string"},"v":{"type":"integer"}},
      "x-kubernetes-validations":[{"rule":"self.v < 100","fieldPath":".v","reason":"FieldValueForbidden"},{"rule":"self.v >= oldSelf.v","message":"must not shrink"}]}},
    "once":{"type":"string","x-kubernetes-validations":[{"rule":"oldSelf.hasValue() || self == 'first'","optionalOldSelf":true,"messageExpression":"'not ' + self"}]}},
    "x-kubernetes-validations":[{"rule":"!has(self.min) || self.min <= self.max","messageExpression":"'%d is above %d'.format([self.min, self.max])"}]})j");
  CHECK(told(f.post(kGadgets + "?dryRun=All", gadget(parse(R"j({"min":3,"max":2})j")))) == "spec: FieldValueInvalid: Invalid value: 3 is above 2");
  CHECK(told(f.post(kGadgets + "?dryRun=All", gadget(parse(R"j({"min":3})j")))).find("no such key: max evaluating rule") != std::string::npos);
  CHECK(told(f.post(kGadgets + "?dryRun=All", gadget(parse(R"j({"items":[{"k":"a","v":1},{"k":"b","v":100}]})j")))) == "spec.items[1].v: FieldValueForbidden: Forbidden: failed rule: self.v < 100");
  CHECK(told(f.post(kGadgets + "?dryRun=All", gadget(parse(R"j({"once":"second"})j")))) == "spec.once: FieldValueInvalid: Invalid value: \"second\": not second");
  REQUIRE(told(f.post(kGadgets, gadget(parse(R"j({"min":1,"max":2,"once":"first","items":[{"k":"a","v":5}]})j")))) == "made");
  auto patch = [&](const char* spec, const char* sub = "") {
    return told(f.send("PATCH", kGadgets + "/g" + sub, parse(std::string(*sub ? R"j({"status":)j" : R"j({"spec":)j") + spec + "}"), "application/merge-patch+json"));
  };
  CHECK(patch(R"j({"min":9})j") == "spec: FieldValueInvalid: Invalid value: 9 is above 2");
  CHECK(patch(R"j({"fixed":"g"})j") == "spec.fixed: FieldValueInvalid: Invalid value: \"g\": is fixed");
  CHECK(patch(R"j({"items":[{"k":"b","v":1},{"k":"a","v":4}]})j") == "spec.items[1]: FieldValueInvalid: Invalid value: must not shrink");
  CHECK(patch(R"j({"items":[{"k":"b","v":1},{"k":"a","v":6}],"once":"second"})j") == "made");
  CHECK(patch(R"j({"n":0})j", "/status") == "status: FieldValueInvalid: Invalid value: positive");
  CHECK(patch(R"j({"n":1})j", "/status") == "made");
}

TEST_CASE("what was there before a rule may stay") {
  Fixture f;
  define(f, R"j({"type":"object","properties":{"name":{"type":"string"},"other":{"type":"string"}}})j");
  REQUIRE(told(f.post(kGadgets, gadget({{"name", "short"}, {"other", "x"}}))) == "made");
  Document stricter = definition(parse(R"j({"type":"object","properties":{"name":{"type":"string","x-kubernetes-validations":[{"rule":"self.size() > 9","message":"longer"}]},"other":{"type":"string"}}})j"));
  REQUIRE(f.send("PATCH", kDefinitions + "/gadgets.rules.example.com", {{"spec", {{"versions", stricter["spec"]["versions"]}}}}, "application/merge-patch+json").code == 200);
  auto patch = [&](const char* text) { return told(f.send("PATCH", kGadgets + "/g", parse(text), "application/merge-patch+json")); };
  std::string changed = "made";
  for (int i = 0; i < 50 && changed == "made"; ++i) {
    f.loop->run_for(std::chrono::milliseconds(20));
    changed = told(f.send("PATCH", kGadgets + "/g?dryRun=All", parse(R"j({"spec":{"name":"tiny"}})j"), "application/merge-patch+json"));
  }
  CHECK(changed == "spec.name: FieldValueInvalid: Invalid value: \"tiny\": longer");
  CHECK(patch(R"j({"spec":{"other":"y"}})j") == "made");
  CHECK(patch(R"j({"spec":{"name":"a longer name"}})j") == "made");
}
