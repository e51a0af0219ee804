// Inputs made to take more memory, stack or time than their size: each is refused or done. Work that grew with the square of
// the size would last until the test runner's limit ends it.
#include <onebin/apimachinery/cbor.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/field_set.hpp>
#include <onebin/apimachinery/json_patch.hpp>
#include <onebin/apimachinery/jsonpath.hpp>
#include <onebin/apimachinery/managed_fields.hpp>
#include <onebin/apimachinery/merge_patch.hpp>
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/apimachinery/selectors.hpp>
#include <onebin/apimachinery/strategic_merge_patch.hpp>

#include <catch2/catch.hpp>

#include "tables.hpp"

using namespace onebin;
using namespace onebin::apimachinery;

namespace {

constexpr std::size_t kBody = 1u << 20;  // of the three megabytes that a request may carry

std::string repeat(std::string_view piece, std::size_t size) {
  std::string out;
  out.reserve(size + piece.size());
  while (out.size() < size) out += piece;
  return out;
}

}  // namespace

TEST_CASE("hostile: nesting in every format") {
  for (const char* open : {"[", "{\"a\":", "[{\"a\":"}) {
    CHECK(decode_json(repeat(open, kBody), nullptr).is(Reason::BadRequest));
    CHECK(decode_json(repeat(open, kBody), &tables::pod()).is(Reason::BadRequest));
  }
  for (const char* open : {"[", "{a: ", "- ", "? ", "&x [", "!!map {? "}) CHECK(decode_yaml(repeat(open, kBody), nullptr).is(Reason::BadRequest));
  CHECK(decode_cbor(repeat("\x81", kBody), nullptr).is(Reason::BadRequest));
  std::string message;
  for (int i = 0; i < 2000; ++i) {
    std::string outer;
    append_bytes_field(outer, 2, message);
    message = outer;
  }
  (void)decode_message(message, tables::pod());
  CHECK_FALSE(decode_message(repeat("\x0b", 1 << 20), tables::pod()));  // groups
  CHECK_FALSE(JsonPath::parse(repeat("{[?(@", 1 << 16)));
  CHECK_FALSE(JsonPath::parse("{." + repeat("[?(@.a==", 1 << 16)));
}

TEST_CASE("hostile: texts that hold nested JSON") {
  std::string deep = std::string(500000, '[') + std::string(500000, ']');
  CHECK_FALSE(PathElement::parse("v:" + deep));
  CHECK_FALSE(PathElement::parse("k:{\"a\":" + deep + "}"));
  const auto& type = tables::config_map();
  ManagedResource r;
  r.api_version = "v1";
  r.kind = "ConfigMap";
  r.type = &type;
  Document live = {{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", {{"name", "a"}}}, {"data", {{"k", "v"}}}};
  live["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = "{\"apiVersion\":\"v1\",\"data\":" + deep + "}";
  Document wanted = {{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", {{"name", "a"}}}, {"data", {{"k", "w"}}}};
  auto applied = server_side_apply(r, &live, wanted, "kubectl", true, from_unix(0));
  REQUIRE(applied);
  CHECK(at_path(*applied, {"data", "k"}) == "w");
}

TEST_CASE("hostile: YAML that is larger than it looks") {
  std::string laughs = "a: &a [\"lol\",\"lol\",\"lol\",\"lol\",\"lol\",\"lol\",\"lol\",\"lol\",\"lol\"]\n";
  for (char c = 'b'; c <= 'i'; ++c) {
    std::string before(1, static_cast<char>(c - 1));
    laughs += std::string(1, c) + ": &" + c + " [" + repeat("*" + before + ",", 24) + "*" + before + "]\n";
  }
  CHECK(decode_yaml(laughs, nullptr).is(Reason::BadRequest));
  // One long text many times; a large list kept for each of many anchors; merges of merges.
  CHECK(decode_yaml("a: &a " + std::string(1 << 20, 'x') + "\nb: [" + repeat("*a,", 1 << 20) + "*a]\n", nullptr).is(Reason::BadRequest));
  std::string anchors;
  for (int i = 0; i < 100; ++i) anchors += "&a" + std::to_string(i) + " [";
  CHECK(decode_yaml(anchors + repeat("1,", 1 << 20), nullptr).is(Reason::BadRequest));
  CHECK(decode_yaml("a: &a {" + repeat("k: 1, ", 1 << 16) + "}\nb: {<<: [" + repeat("*a,", 1 << 18) + "*a]}\n", nullptr).is(Reason::BadRequest));
  // What people write stays possible.
  auto good = decode_yaml("base: &b {image: x, env: [a, b]}\nlist: [" + repeat("{<<: *b, n: 1},", 30000) + "{}]\n", nullptr);
  REQUIRE(good);
  CHECK((*good)["list"].size() > 1000);
}

TEST_CASE("hostile: YAML that is slow to scan") {
  for (const char* piece : {"a: b\n", "- a\n", "? a\n", "[", "{", "\"", "'", "#", "|\n", ": ", "- ", "\n", " ", "\t", "%", "&a ", "*a ", "!", "!!", "--- \n", "a,", "{a,", "[a: ", "a: [\n"})
    (void)decode_yaml(repeat(piece, 1 << 16), nullptr);
}

TEST_CASE("hostile: JSON patches") {
  Document target = {{"a", Document::object()}};
  Document doubling = Document::array();
  std::string path = "/a";
  for (int i = 0; i < 18; ++i) {
    doubling.push_back({{"op", "copy"}, {"from", "/a"}, {"path", path + "/a"}});
    for (int k = 0; k < 1 << i && path.size() < kBody; ++k) path += "/a";
  }
  CHECK_FALSE(apply_json_patch(target, doubling));
  Document chain = Document::array();
  path = "/a";
  for (int i = 0; i < 1500; ++i) chain.push_back({{"op", "add"}, {"path", path += "/a"}, {"value", Document::object()}});
  CHECK_FALSE(apply_json_patch(target, chain));
  Document growing = Document::array({{{"op", "add"}, {"path", "/l"}, {"value", std::string(1 << 20, 'x')}}});
  for (int i = 0; i < 9000; ++i) growing.push_back({{"op", "copy"}, {"from", "/l"}, {"path", "/l" + std::to_string(i)}});
  CHECK_FALSE(apply_json_patch(target, growing));
  Document shifting = Document::array({{{"op", "add"}, {"path", "/l"}, {"value", std::vector<int>(1 << 20)}}});
  for (int i = 0; i < 9900; ++i) shifting.push_back({{"op", "add"}, {"path", "/l/0"}, {"value", 1}});
  CHECK_FALSE(apply_json_patch(target, shifting));
  Document moving = Document::array({{{"op", "add"}, {"path", "/l"}, {"value", std::vector<int>(1 << 20)}}});
  for (int i = 0; i < 9900; ++i) moving.push_back({{"op", "move"}, {"from", "/l/0"}, {"path", "/l/9"}});
  CHECK_FALSE(apply_json_patch(target, moving));
  Document many = Document::array();
  for (std::size_t i = 0; i <= kMaxJsonPatchOperations; ++i) many.push_back({{"op", "test"}, {"path", "/a"}, {"value", nullptr}});
  CHECK(apply_json_patch(target, many).is(Reason::RequestEntityTooLarge));
  many = Document::array();
  for (int i = 0; i < 9999; ++i) many.push_back({{"op", "add"}, {"path", "/a/k" + std::to_string(i)}, {"value", i}});
  auto done = apply_json_patch(target, many);
  REQUIRE(done);
  CHECK((*done)["a"].size() == 9999);
}

TEST_CASE("hostile: merges of long lists") {
  auto containers = [](int n, const char* prefix) {
    Document list = Document::array();
    for (int i = 0; i < n; ++i) list.push_back({{"name", prefix + std::to_string(i)}, {"image", "x"}});
    return list;
  };
  Document live = {{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", {{"name", "a"}}}, {"spec", {{"containers", containers(5000, "a")}}}};
  Document patch = {{"spec", {{"containers", containers(5000, "b")}}}};
  auto merged = apply_strategic_merge_patch(tables::pod(), live, patch);
  REQUIRE(merged);
  CHECK((*merged)["spec"]["containers"].size() == 10000);
  Document ordered = {{"spec", {{"$setElementOrder/containers", containers(5000, "a")}, {"containers", containers(5000, "a")}}}};
  (void)apply_strategic_merge_patch(tables::pod(), live, ordered);
  Document finalizers = {{"metadata", {{"finalizers", Document::array()}, {"$deleteFromPrimitiveList/finalizers", Document::array()}}}};
  for (int i = 0; i < 20000; ++i) {
    finalizers["metadata"]["finalizers"].push_back("f" + std::to_string(i));
    finalizers["metadata"]["$deleteFromPrimitiveList/finalizers"].push_back("g" + std::to_string(i));
  }
  live["metadata"]["finalizers"] = finalizers["metadata"]["finalizers"];
  (void)apply_strategic_merge_patch(tables::pod(), live, finalizers);
  live["metadata"].erase("finalizers");
  ManagedResource r;
  r.api_version = "v1";
  r.kind = "Pod";
  r.type = &tables::pod();
  Document wanted = live;
  wanted["spec"]["containers"] = containers(5000, "c");
  auto once = server_side_apply(r, &live, wanted, "m", true, from_unix(0));
  REQUIRE(once);
  auto twice = server_side_apply(r, &*once, live, "m", true, from_unix(0));
  REQUIRE(twice);
  Document same = live;
  same["spec"]["containers"] = containers(5000, "a");
  for (auto& c : same["spec"]["containers"]) c["name"] = "one";
  CHECK_FALSE(server_side_apply(r, &live, same, "m", true, from_unix(0)));  // duplicate keys
}

TEST_CASE("hostile: selectors, paths and numbers") {
  std::string values = repeat("v,", 1 << 19);
  (void)LabelSelector::parse("a in (" + values + "v)");
  (void)LabelSelector::parse(repeat("a=b,", 1 << 19) + "a=b");
  (void)LabelSelector::parse(repeat("!", 1 << 20));
  (void)LabelSelector::parse(repeat("a in (", 1 << 20));
  (void)FieldSelector::parse(repeat("metadata.name=a,", 1 << 19) + "metadata.name=a");
  (void)FieldSelector::parse(repeat("\\", 1 << 20));
  auto all = JsonPath::parse("{" + repeat("..*", 60) + "}");
  Document object = Document::object();
  for (int i = 0; i < 100; ++i) object["k" + std::to_string(i)] = {{"a", {1, 2, {{"b", 3}}}}};
  if (all) (void)all->print(object);
  auto unions = JsonPath::parse("{" + repeat("[*,*,*,*]", 90) + "}");
  Document lists = Document::parse("[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]");
  if (unions) (void)unions->print(lists);
  CHECK_FALSE(Quantity::parse(std::string(kBody, '9') + "x"));
  (void)Quantity::parse(std::string(kBody, '9'));
  (void)Quantity::parse("1e" + std::string(kBody, '9'));
  (void)Quantity::parse("0." + std::string(kBody, '0') + "1");
  (void)Quantity::parse("1e-99999999999");
  auto number = decode_json("{\"a\":" + std::string(1 << 20, '9') + "}", nullptr);
  (void)number;
  CHECK_FALSE(decode_json("[1e99999]", nullptr));
  (void)decode_json("[0." + std::string(1 << 20, '1') + "]", nullptr);
}
