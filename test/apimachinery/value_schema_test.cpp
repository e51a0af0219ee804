#include <onebin/apimachinery/value_schema.hpp>

#include <catch2/catch.hpp>

using namespace onebin::apimachinery;

namespace {

// The errors of a value against a schema, as clients read them.
std::vector<std::string> errors_of(const char* schema, const char* value, const char* old = nullptr) {
  ValueSchema s(Document::parse(schema));
  Document before = old ? Document::parse(old) : Document();
  std::vector<std::string> out;
  for (const auto& e : s.validate(Document::parse(value), old ? &before : nullptr)) out.push_back(e.to_string());
  return out;
}
using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("types of values") {
  const char* schema = R"({"type":"object","properties":{"s":{"type":"string"},"i":{"type":"integer"},"n":{"type":"number"},"b":{"type":"boolean"},
    "x":{"x-kubernetes-int-or-string":true},"q":{"type":"string","nullable":true}}})";
  CHECK(errors_of(schema, R"({"s":"a","i":1,"n":1.5,"b":true,"x":"a","q":null})").empty());
  CHECK(errors_of(schema, R"({"i":2.0,"n":3,"x":4})").empty());
  CHECK(errors_of(schema, R"({"s":1})") == Texts{R"(s: Invalid value: "integer": s in body must be of type string: "integer")"});
  CHECK(errors_of(schema, R"({"i":1.5})") == Texts{R"(i: Invalid value: "number": i in body must be of type integer: "number")"});
  CHECK(errors_of(schema, R"({"b":null})") == Texts{R"(b: Invalid value: "null": b in body must be of type boolean: "null")"});
  CHECK(errors_of(schema, R"({"x":true})") == Texts{R"(x: Invalid value: "boolean": x in body must be of type integer,string: "boolean")"});
}

TEST_CASE("bounds, lengths and patterns") {
  const char* schema = R"({"type":"object","required":["must"],"properties":{"must":{"type":"string"},
    "i":{"type":"integer","minimum":1,"maximum":10,"multipleOf":2},"e":{"type":"number","minimum":0,"exclusiveMinimum":true},
    "t":{"type":"string","minLength":2,"maxLength":3,"pattern":"^a+$"},"l":{"type":"array","maxItems":1,"minItems":1,"items":{"type":"string"}},
    "m":{"type":"object","maxProperties":1,"additionalProperties":{"type":"integer"}},"c":{"type":"string","enum":["red","blue"]}}})";
  CHECK(errors_of(schema, R"({"must":"","i":2,"e":0.5,"t":"aa","l":["x"],"m":{"a":1},"c":"red"})").empty());
  CHECK(errors_of(schema, "{}") == Texts{"must: Required value"});
  CHECK(errors_of(schema, R"({"must":"","i":12})") == Texts{"i: Invalid value: 12: i in body should be less than or equal to 10"});
  CHECK(errors_of(schema, R"({"must":"","i":0})") == Texts{"i: Invalid value: 0: i in body should be greater than or equal to 1"});
  CHECK(errors_of(schema, R"({"must":"","i":3})") == Texts{"i: Invalid value: 3: i in body should be a multiple of 2"});
  CHECK(errors_of(R"({"type":"object","properties":{"i":{"type":"integer","multipleOf":-2}}})", R"({"i":4})") ==
        Texts{"i: Invalid value: -2: factor MultipleOf declared for i must be positive: -2"});
  CHECK(errors_of(schema, R"({"must":"","e":0})") == Texts{"e: Invalid value: 0: e in body should be greater than 0"});
  CHECK(errors_of(schema, R"({"must":"","t":"aaaa"})") == Texts{"t: Too long: may not be more than 3 bytes"});
  CHECK(errors_of(schema, R"({"must":"","t":"a"})") == Texts{"t: Invalid value: \"a\": t in body should be at least 2 chars long"});
  CHECK(errors_of(schema, R"({"must":"","t":"ab"})") == Texts{"t: Invalid value: \"ab\": t in body should match '^a+$'"});
  CHECK(errors_of(schema, R"({"must":"","l":[]})") == Texts{"l: Invalid value: 0: l in body should have at least 1 items"});
  CHECK(errors_of(schema, R"({"must":"","l":["a","b"]})") == Texts{"l: Too many: 2: must have at most 1 item"});
  CHECK(errors_of(schema, R"({"must":"","m":{"a":"x"}})") == Texts{R"(m.a: Invalid value: "string": m.a in body must be of type integer: "string")"});
  CHECK(errors_of(schema, R"({"must":"","c":"green"})") == Texts{R"(c: Unsupported value: "green": supported values: "red", "blue")"});
}

TEST_CASE("formats of strings") {
  CHECK(matches_format("date-time", "2026-01-02T03:04:05Z"));
  CHECK_FALSE(matches_format("date-time", "yesterday"));
  CHECK(matches_format("date", "2026-02-28"));
  CHECK_FALSE(matches_format("date", "2026-02-31"));
  CHECK(matches_format("ipv4", "10.0.0.1"));
  CHECK_FALSE(matches_format("ipv4", "::1"));
  CHECK(matches_format("ipv6", "::1"));
  CHECK(matches_format("cidr", "10.0.0.0/8"));
  CHECK_FALSE(matches_format("cidr", "10.0.0.0/33"));
  CHECK(matches_format("uuid", "6BA7B810-9dad-11d1-80b4-00c04fd430c8"));
  CHECK_FALSE(matches_format("uuid4", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"));
  CHECK(matches_format("byte", "aGk="));
  CHECK_FALSE(matches_format("byte", "a b"));
  CHECK(matches_format("duration", "1h30m"));
  CHECK(matches_format("duration", "3 days"));
  CHECK_FALSE(matches_format("duration", "soon"));
  CHECK(matches_format("mac", "01:23:45:67:89:ab"));
  CHECK(matches_format("isbn10", "0321751043"));
  CHECK(matches_format("isbn13", "978-0321751041"));
  CHECK(matches_format("email", "a@example.com"));
  CHECK_FALSE(matches_format("email", "example.com"));
  CHECK(matches_format("made-up", "anything"));
  CHECK(is_known_format("integer", "int32"));
  CHECK_FALSE(is_known_format("string", "made-up"));
  CHECK(errors_of(R"({"type":"object","properties":{"t":{"type":"string","format":"date"}}})", R"({"t":"x"})") ==
        Texts{R"(t: Invalid value: "x": t in body must be of type date: "x")"});
  CHECK(errors_of(R"({"type":"object","properties":{"t":{"type":"integer","format":"int32"}}})", R"({"t":3000000000})") ==
        Texts{R"(<nil>: Invalid value: "": Checked value must be of type integer with format int32 in t)"});
}

TEST_CASE("schemas combined") {
  const char* one = R"({"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}},"oneOf":[{"required":["a"]},{"required":["b"]}]})";
  CHECK(errors_of(one, R"({"a":"1"})").empty());
  CHECK(errors_of(one, R"({"a":"1","b":"2"})") == Texts{R"(<nil>: Invalid value: "": "" must validate one and only one schema (oneOf). Found 2 valid alternatives)"});
  CHECK(errors_of(one, "{}") == Texts{R"(<nil>: Invalid value: "": "" must validate one and only one schema (oneOf). Found none valid)", "a: Required value"});
  const char* any = R"({"type":"object","properties":{"v":{"type":"integer","anyOf":[{"minimum":10},{"maximum":1}]}}})";
  CHECK(errors_of(any, R"({"v":0})").empty());
  CHECK(errors_of(any, R"({"v":5})").size() == 2);
  CHECK(errors_of(R"({"type":"object","properties":{"v":{"type":"integer","not":{"minimum":10}}}})", R"({"v":11})") ==
        Texts{R"(<nil>: Invalid value: "": "v" must not validate the schema (not))"});
  CHECK(errors_of(R"({"type":"object","properties":{"v":{"type":"integer","allOf":[{"minimum":10},{"maximum":1}]}}})", R"({"v":5})").size() == 3);
}

TEST_CASE("what did not change is not held against an update") {
  const char* schema = R"({"type":"object","properties":{"a":{"type":"string","maxLength":1},"b":{"type":"string"},
    "l":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],"items":{"type":"object","properties":{"k":{"type":"string"},"v":{"type":"integer","maximum":1}}}}}})";
  CHECK(errors_of(schema, R"({"a":"long","b":"2"})", R"({"a":"long","b":"1"})").empty());
  CHECK(errors_of(schema, R"({"a":"longer","b":"2"})", R"({"a":"long","b":"1"})").size() == 1);
  CHECK(errors_of(schema, R"({"l":[{"k":"y","v":1},{"k":"x","v":5}]})", R"({"l":[{"k":"x","v":5}]})").empty());
}

TEST_CASE("lists hold nothing twice, and embedded resources are resources") {
  ValueSchema s(Document::parse(R"({"type":"object","properties":{"s":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}},
    "m":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["a","b"],"items":{"type":"object"}},
    "r":{"type":"object","x-kubernetes-embedded-resource":true,"x-kubernetes-preserve-unknown-fields":true}}})"));
  auto repeats = s.validate_lists(Document::parse(R"({"s":["x","y","x","x"],"m":[{"a":1,"b":2,"c":3},{"a":1,"b":2}]})"));
  REQUIRE(repeats.size() == 2);
  CHECK(repeats[0].to_string() == R"(m[1]: Duplicate value: {"a":1,"b":2})");
  CHECK(repeats[1].to_string() == R"(s[2]: Duplicate value: "x")");
  CHECK(s.validate_lists(Document::parse(R"({"s":["x"],"m":[{"a":1},{"a":1,"b":2}]})")).empty());
  auto bad = s.validate_embedded(Document::parse(R"({"r":{"apiVersion":"a/b/c","metadata":{"name":"x/y"}}})"));
  REQUIRE(bad.size() == 3);
  CHECK(bad[1].to_string() == "r.kind: Required value");
  CHECK(s.validate_embedded(Document::parse(R"({"r":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"}}})")).empty());
}
