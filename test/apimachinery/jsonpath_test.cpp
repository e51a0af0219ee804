#include <onebin/apimachinery/jsonpath.hpp>
#include <onebin/apimachinery/table.hpp>

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::apimachinery;

namespace {
const Document kObject = Document::parse(R"({
  "spec":{"replicas":3,"ratio":0.5,"a.b":"dotted","on":true,"list":[10,20,30,40]},
  "status":{"conditions":[{"type":"Ready","status":"True","n":1},{"type":"Synced","status":"False","n":2}],"nested":{"name":"deep"}},
  "metadata":{"name":"x","labels":{"example.com/tier":"web"}}})");

std::string got(std::string_view path) {
  auto p = JsonPath::parse(path);
  if (!p) return "error";
  return p->print(kObject);
}
}  // namespace

TEST_CASE("JSONPath finds") {
  CHECK(got(".spec.replicas") == "3");
  CHECK(got("{.spec.replicas}") == "3");
  CHECK(got("$.spec.replicas") == "3");
  CHECK(got("spec.replicas") == "3");
  CHECK(got(".spec.ratio") == "0.5");
  CHECK(got(".spec.on") == "true");
  CHECK(got(".spec['a.b']") == "dotted");
  CHECK(got(".spec.a\\.b") == "dotted");
  CHECK(got(".metadata.labels['example\\.com/tier']") == "web");
  CHECK(got(".metadata.labels.example\\.com/tier") == "web");
  CHECK(got(".spec.list[0]") == "10");
  CHECK(got(".spec.list[-1]") == "40");
  CHECK(got(".spec.list[1:3]") == "20 30");
  CHECK(got(".spec.list[::2]") == "10 30");
  CHECK(got(".spec.list[:-1]") == "10 20 30");
  CHECK(got(".spec.list[0,2]") == "10 30");
  CHECK(got(".spec.list[*]") == "10 20 30 40");
  CHECK(got(".spec.list") == "[10,20,30,40]");
  CHECK(got(".status.conditions[?(@.type==\"Ready\")].status") == "True");
  CHECK(got(".status.conditions[?(@.type=='Synced')].status") == "False");
  CHECK(got(".status.conditions[?(@.type!='Synced')].status") == "True");
  CHECK(got(".status.conditions[?(@.n>1)].type") == "Synced");
  CHECK(got(".status.conditions[?(@.n)].type") == "Ready Synced");
  CHECK(got(".status.conditions[?(@.none)].type") == "");
  CHECK(got(".status.conditions[*]['type','status']") == "Ready True Synced False");
  CHECK(got("..name") == "x deep");
  CHECK(got(".status.nested.*") == "deep");
}

TEST_CASE("JSONPath finds nothing where there is nothing") {
  for (auto path : {".none", ".spec.none.more", ".spec.list[9]", ".spec.list[9:10]", ".spec.replicas[0]", ".spec.replicas.x", ".spec[?(@.x==1)]"})
    CHECK(got(path) == "");
}

TEST_CASE("JSONPaths that cannot be parsed") {
  for (auto path : {".a[", ".a[]", ".a[x]", ".a[1:2:0]", ".a[1:2:3:4]", ".a[?(@.b==)]", "..[?", ".a}"}) CHECK(got(path) == "error");
}

TEST_CASE("plain paths are told from others") {
  CHECK(simple_json_path(".spec.replicas") == std::vector<std::string>{"spec", "replicas"});
  CHECK(simple_json_path("spec").empty());
  CHECK(simple_json_path(".spec[0]").empty());
  CHECK(simple_json_path(".").empty());
  CHECK(simple_json_path(".a..b").empty());
}

TEST_CASE("printer cells take their column's type") {
  auto now = *parse_rfc3339("2026-01-01T01:00:00Z");
  auto cell = [&](const char* type, const char* path, const Document& object) {
    return printer_cell({{"C", type, "", "", 0}, *JsonPath::parse(path)}, object, now);
  };
  CHECK(cell("integer", ".spec.replicas", kObject) == 3);
  CHECK(cell("number", ".spec.replicas", kObject) == 3.0);
  CHECK(cell("string", ".spec.replicas", kObject) == "3");
  CHECK(cell("string", ".spec.list", kObject) == "[10,20,30,40]");
  CHECK(cell("boolean", ".spec.on", kObject) == true);
  CHECK(cell("boolean", ".spec.replicas", kObject).is_null());
  CHECK(cell("integer", ".none", kObject).is_null());
  CHECK(cell("date", ".t", Document{{"t", "2026-01-01T00:55:00Z"}}) == "5m");
  CHECK(cell("date", ".t", Document{{"t", "soon"}}) == "<invalid>");
}

TEST_CASE("tables") {
  TableRow row{Document::array({"x", "1h"}), &kObject};
  auto t = make_table({{"Name", "string", "name", "the name", 0}, {"Age", "string", "", "the age", 1}}, {row}, IncludeObject::Metadata, {"7", "", -1});
  CHECK(t["kind"] == "Table");
  CHECK(t["apiVersion"] == "meta.k8s.io/v1");
  CHECK(t["metadata"] == Document::parse(R"({"resourceVersion":"7"})"));
  CHECK(t["columnDefinitions"][1] == Document::parse(R"({"name":"Age","type":"string","format":"","description":"the age","priority":1})"));
  CHECK(t["rows"][0]["cells"] == Document::array({"x", "1h"}));
  CHECK(t["rows"][0]["object"]["kind"] == "PartialObjectMetadata");
  CHECK(t["rows"][0]["object"]["metadata"] == kObject["metadata"]);
  CHECK_FALSE(make_table({}, {row}, IncludeObject::None)["rows"][0].contains("object"));
  CHECK(make_table({}, {row}, IncludeObject::Object)["rows"][0]["object"] == kObject);
}

TEST_CASE("ages as kubectl prints them") {
  auto now = *parse_rfc3339("2026-01-01T00:00:10Z");
  CHECK(age("2026-01-01T00:00:00Z", now) == "10s");
  CHECK(age("", now) == "<unknown>");
  CHECK(age("x", now) == "<invalid>");
  CHECK(age("2026-01-01T00:00:11Z", now) == "0s");
  CHECK(age("2026-01-02T00:00:00Z", now) == "<invalid>");
}
