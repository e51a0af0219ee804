#include <onebin/apimachinery/json_patch.hpp>
#include <onebin/apimachinery/merge_patch.hpp>

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::apimachinery;

namespace {
std::string patched(const char* target, const char* patch) {
  auto r = apply_json_patch(Document::parse(target), Document::parse(patch));
  return r ? r->dump() : std::string(to_string(r.reason()));
}
std::string merged(const char* target, const char* patch) { return apply_merge_patch(Document::parse(target), Document::parse(patch)).dump(); }
}  // namespace

TEST_CASE("JSON patch operations") {
  CHECK(patched(R"({"a":1})", R"([{"op":"add","path":"/b","value":2}])") == R"({"a":1,"b":2})");
  CHECK(patched(R"({"a":[1,3]})", R"([{"op":"add","path":"/a/1","value":2},{"op":"add","path":"/a/-","value":4}])") == R"({"a":[1,2,3,4]})");
  CHECK(patched(R"({"a":[1,2]})", R"([{"op":"add","path":"/a/-1","value":9}])") == R"({"a":[1,2,9]})");
  CHECK(patched(R"({"a":[1,2]})", R"([{"op":"add","path":"/a/5","value":9}])") == "Invalid");
  CHECK(patched(R"({"a":1})", R"([{"op":"add","path":"/b/c","value":9}])") == "Invalid");
  CHECK(patched(R"({"a":1})", R"([{"op":"add","path":"","value":{}}])") == "Invalid");
  CHECK(patched(R"({"a":[1,2,3]})", R"([{"op":"remove","path":"/a/1"}])") == R"({"a":[1,3]})");
  CHECK(patched(R"({"a":1})", R"([{"op":"remove","path":"/b"}])") == "Invalid");
  CHECK(patched(R"({"a":1})", R"([{"op":"replace","path":"/a","value":null}])") == R"({"a":null})");
  CHECK(patched(R"({"a":1})", R"([{"op":"replace","path":"/new","value":2}])") == R"({"a":1,"new":2})");
  CHECK(patched(R"({"a":[]})", R"([{"op":"replace","path":"/a/0","value":2}])") == "Invalid");
  CHECK(patched(R"({"a":1})", R"([{"op":"replace","path":"","value":{"b":2}}])") == R"({"b":2})");
  CHECK(patched(R"({"a":{"x":1},"b":{}})", R"([{"op":"move","from":"/a/x","path":"/b/y"}])") == R"({"a":{},"b":{"y":1}})");
  CHECK(patched(R"({"a":{"x":1}})", R"([{"op":"copy","from":"/a","path":"/b"}])") == R"({"a":{"x":1},"b":{"x":1}})");
  CHECK(patched(R"({"a":1})", R"([{"op":"move","from":"/x","path":"/y"}])") == "Invalid");
  CHECK(patched(R"({"a/b":{"c~d":1}})", R"([{"op":"replace","path":"/a~1b/c~0d","value":2}])") == R"({"a/b":{"c~d":2}})");
}

TEST_CASE("JSON patch tests values") {
  CHECK(patched(R"({"a":{"b":[1,"x"]}})", R"([{"op":"test","path":"/a","value":{"b":[1,"x"]}}])") == R"({"a":{"b":[1,"x"]}})");
  CHECK(patched(R"({"a":1})", R"([{"op":"test","path":"/a","value":1.0}])") == "Invalid");
  CHECK(patched(R"({"a":1})", R"([{"op":"test","path":"/none","value":null}])") == R"({"a":1})");
  CHECK(patched(R"({"a":1})", R"([{"op":"test","path":"/none","value":1}])") == "Invalid");
  CHECK(patched(R"({"a":1})", R"([{"op":"test","path":"","value":{"a":1}}])") == R"({"a":1})");
}

TEST_CASE("JSON patches that make no sense, or too much work") {
  CHECK(patched("{}", R"([{"op":"invent","path":"/a"}])") == "Invalid");
  CHECK(patched("{}", R"([{"path":"/a"}])") == "Invalid");
  CHECK(patched("{}", R"({"op":"add"})") == "BadRequest");
  CHECK(patched("{}", R"(["add"])") == "BadRequest");
  Document many = Document::array();
  for (int i = 0; i < 10001; ++i) many.push_back({{"op", "add"}, {"path", "/a"}, {"value", 1}});
  CHECK(apply_json_patch(Document::object(), many).is(Reason::RequestEntityTooLarge));
  // Copies that double each time are stopped.
  Document target = {{"a", std::string(1 << 20, 'x')}}, doubling = Document::array();
  for (int i = 0; i < 30; ++i) doubling.push_back({{"op", "copy"}, {"from", "/a"}, {"path", "/b" + std::to_string(i)}});
  CHECK(apply_json_patch(target, doubling).is(Reason::Invalid));
}

TEST_CASE("JSON pointers") {
  auto d = Document::parse(R"({"a":[{"b/c":1}],"":2})");
  CHECK(*resolve_json_pointer(d, "") == d);
  CHECK(*resolve_json_pointer(d, "/a/0/b~1c") == 1);
  CHECK(*resolve_json_pointer(d, "/") == 2);
  CHECK(resolve_json_pointer(d, "/a/1") == nullptr);
  CHECK(resolve_json_pointer(d, "a") == nullptr);
}

TEST_CASE("JSON merge patch") {
  CHECK(merged(R"({"a":"b"})", R"({"a":"c"})") == R"({"a":"c"})");
  CHECK(merged(R"({"a":"b","b":"c"})", R"({"a":null})") == R"({"b":"c"})");
  CHECK(merged(R"({"a":["b"]})", R"({"a":"c"})") == R"({"a":"c"})");
  CHECK(merged(R"({"a":{"b":"c","d":1}})", R"({"a":{"b":null,"e":{"f":null,"g":2}}})") == R"({"a":{"d":1,"e":{"g":2}}})");
  CHECK(merged(R"({"a":1})", R"({"b":[{"c":null,"d":1}]})") == R"({"a":1,"b":[{"d":1}]})");
  CHECK(merged(R"({"a":1})", R"([1])") == "[1]");
  CHECK(merged(R"([1])", R"({"a":null,"b":1})") == R"({"b":1})");
}

TEST_CASE("a merge patch between two documents leads from one to the other") {
  auto from = Document::parse(R"({"a":1,"b":{"c":1,"d":[1]},"e":"x"})"), to = Document::parse(R"({"a":2,"b":{"d":[2]},"f":{"g":1}})");
  auto patch = create_merge_patch(from, to);
  CHECK(patch == Document::parse(R"({"a":2,"b":{"c":null,"d":[2]},"e":null,"f":{"g":1}})"));
  CHECK(apply_merge_patch(from, patch) == to);
  CHECK(create_merge_patch(from, from).empty());
}
