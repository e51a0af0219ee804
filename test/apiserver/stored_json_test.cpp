#include "apiserver/cache/stored_json.hpp"

#include <catch2/catch.hpp>

using namespace onebin::apiserver;

TEST_CASE("members of stored JSON are found without a tree") {
  std::string_view t = R"({"a":"x\"},","b":{"c":[1,{"d":"}"}],"e":null},"f":-1.5})";
  CHECK(json_member(t, "a") == R"("x\"},")");
  CHECK(json_member(json_member(t, "b"), "c") == R"([1,{"d":"}"}])");
  CHECK(json_member(json_member(t, "b"), "e") == "null");
  CHECK(json_member(t, "f") == "-1.5");
  CHECK(json_member(t, "c").empty());
  CHECK(json_member("", "a").empty());
  CHECK(json_member("[1]", "a").empty());
  CHECK(json_member(R"({"a":)", "a").empty());
  CHECK(json_member(R"({"a":"x)", "a").empty());
  CHECK(json_member("{}", "a").empty());
}

TEST_CASE("the revision goes to its place in stored JSON") {
  CHECK(json_with_revision(R"({"kind":"A","metadata":{"name":"n","uid":"u"},"spec":{}})", "7") ==
        R"({"kind":"A","metadata":{"name":"n","resourceVersion":"7","uid":"u"},"spec":{}})");
  CHECK(json_with_revision(R"({"metadata":{"name":"n"}})", "7") == R"({"metadata":{"name":"n","resourceVersion":"7"}})");
  CHECK(json_with_revision(R"({"metadata":{"resourceVersion":"6","uid":"u"},"z":1})", "7") == R"({"metadata":{"resourceVersion":"7","uid":"u"},"z":1})");
  CHECK(json_with_revision(R"({"metadata":{}})", "7") == R"({"metadata":{"resourceVersion":"7"}})");
  CHECK(json_with_revision(R"({"spec":{"metadata":{}}})", "7").empty());
  CHECK(json_with_revision(R"({"metadata": {"name":"n"}})", "7").empty());
  CHECK(json_with_revision(R"({"metadata":{ "name":"n"}})", "7").empty());
}
