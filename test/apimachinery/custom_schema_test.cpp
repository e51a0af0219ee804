#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/custom_schema.hpp>
#include <onebin/apimachinery/managed_fields.hpp>
#include <onebin/apimachinery/prune.hpp>

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::apimachinery;

namespace {

// A type with every form of structure that a schema can have.
const char* kSchema = R"({"type":"object","properties":{
  "spec":{"type":"object","properties":{
    "name":{"type":"string"},
    "size":{"type":"integer","default":3},
    "port":{"x-kubernetes-int-or-string":true},
    "maybe":{"type":"string","nullable":true,"default":"x"},
    "ports":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["port"],
             "items":{"type":"object","properties":{"port":{"type":"integer"},"protocol":{"type":"string","default":"TCP"}}}},
    "labels":{"type":"object","additionalProperties":{"type":"string"}},
    "grid":{"type":"array","items":{"type":"array","items":{"type":"object","properties":{"x":{"type":"integer"}}}}},
    "open":{"type":"object","x-kubernetes-preserve-unknown-fields":true,"properties":{"known":{"type":"object","properties":{"a":{"type":"string"}}}}},
    "inner":{"type":"object","x-kubernetes-embedded-resource":true,"properties":{"spec":{"type":"object","properties":{"v":{"type":"integer"}}}}}}},
  "status":{"type":"object","properties":{"ready":{"type":"boolean"}}}}})";

const TypeSchema& object_meta() { return *api::find_type("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"); }

struct Custom {
  SchemaArena arena;
  Document schema = Document::parse(kSchema);
  const TypeSchema& type = *make_custom_type(arena, "com.example.v1.Foo", &schema, object_meta());
};

Document parse(const char* text) { return Document::parse(text); }

}  // namespace

TEST_CASE("a custom resource is pruned to its schema") {
  Custom c;
  Document d = parse(R"({"apiVersion":"example.com/v1","kind":"Foo","metadata":{"name":"a","odd":1},"other":1,
    "spec":{"name":"n","x":1,"ports":[{"port":1,"y":2}],"labels":{"a":"b"},"grid":[[{"x":1,"z":2}]],
            "open":{"free":{"any":1},"known":{"a":"1","b":2}},"inner":{"apiVersion":"v1","kind":"X","metadata":{"name":"i","odd":2},"w":1,"spec":{"v":1,"u":2}}}})");
  std::vector<std::string> dropped;
  prune(c.type, d, &dropped);
  CHECK(d == parse(R"({"apiVersion":"example.com/v1","kind":"Foo","metadata":{"name":"a"},
    "spec":{"name":"n","ports":[{"port":1}],"labels":{"a":"b"},"grid":[[{"x":1}]],
            "open":{"free":{"any":1},"known":{"a":"1"}},"inner":{"apiVersion":"v1","kind":"X","metadata":{"name":"i"},"spec":{"v":1}}}})"));
  CHECK(dropped.size() == 9);
}

TEST_CASE("decoding tells what a custom resource's schema does not know, and converts nothing") {
  Custom c;
  Document d = parse(R"({"apiVersion":"example.com/v1","kind":"Foo","metadata":{"name":"a","odd":1},
    "spec":{"size":"not a number","x":1,"maybe":null,"ports":{"wrong":"form"},"inner":{"metadata":{"odd":2}}}})");
  DecodeReport report;
  DecodeOptions options;
  options.validation = FieldValidation::Warn;
  REQUIRE(conform(d, c.type, options, &report));
  CHECK(report.problems == std::vector<std::string>{"unknown field \"metadata.odd\"", "unknown field \"spec.inner.metadata.odd\"", "unknown field \"spec.x\""});
  CHECK(d["spec"]["size"] == "not a number");
  CHECK(d["spec"]["maybe"].is_null());
  Document bad = parse(R"({"metadata":{"labels":"x"}})");
  CHECK(conform(bad, c.type).is(Reason::BadRequest));
}

TEST_CASE("a custom resource's defaults fill what is absent or null") {
  Custom c;
  Document d = parse(R"({"spec":{"size":null,"maybe":null,"name":null,"ports":[{"port":1},{"port":2,"protocol":"UDP"}]}})");
  default_custom(c.type, d);
  CHECK(d == parse(R"({"spec":{"size":3,"maybe":null,"ports":[{"port":1,"protocol":"TCP"},{"port":2,"protocol":"UDP"}]}})"));
  Document none = parse(R"({"metadata":{"name":"a"}})");
  default_custom(c.type, none);
  CHECK(none == parse(R"({"metadata":{"name":"a"}})"));
  CHECK(has_defaults(c.schema));
  CHECK_FALSE(has_defaults(parse(R"({"type":"object","properties":{"a":{"type":"string"}}})")));
}

TEST_CASE("without a schema a custom resource keeps all") {
  SchemaArena arena;
  const TypeSchema& type = *make_custom_type(arena, "com.example.v1.Foo", nullptr, object_meta());
  Document d = parse(R"({"metadata":{"name":"a"},"x":{"y":[1,{"z":null}]}})"), same = d;
  prune(type, d);
  CHECK(d == same);
  CHECK(is_custom(type));
  CHECK_FALSE(is_custom(object_meta()));
}

TEST_CASE("a custom resource is written with its members sorted") {
  Custom c;
  Document d = parse(R"({"kind":"Foo","apiVersion":"example.com/v1","spec":{"name":"<a>"},"metadata":{"uid":"u","name":"a"}})");
  CHECK(encode_json(d, &c.type) == R"({"apiVersion":"example.com/v1","kind":"Foo","metadata":{"name":"a","uid":"u"},"spec":{"name":"\u003ca\u003e"}})");
}

TEST_CASE("apply merges a custom resource's lists by their keys") {
  Custom c;
  ManagedResource r;
  r.api_version = "example.com/v1";
  r.kind = "Foo";
  r.type = &c.type;
  Document first = parse(R"({"apiVersion":"example.com/v1","kind":"Foo","metadata":{"name":"a"},"spec":{"ports":[{"port":1,"protocol":"TCP"}]}})");
  Document second = parse(R"({"apiVersion":"example.com/v1","kind":"Foo","metadata":{"name":"a"},"spec":{"ports":[{"port":2,"protocol":"UDP"}],"labels":{"a":"b"}}})");
  auto one = server_side_apply(r, nullptr, first, "one", false, from_unix(1));
  REQUIRE(one);
  auto two = server_side_apply(r, &*one, second, "two", false, from_unix(2));
  REQUIRE(two);
  CHECK((*two)["spec"]["ports"].size() == 2);
  Document clash = second;
  clash["spec"]["labels"]["a"] = "c";
  auto three = server_side_apply(r, &*two, clash, "three", false, from_unix(3));
  REQUIRE(!three);
  CHECK(three.is(Reason::Conflict));
  Document unknown = first;
  unknown["spec"]["nope"] = 1;
  auto bad = server_side_apply(r, &*two, unknown, "one", false, from_unix(3));
  REQUIRE(!bad);
  CHECK(bad.status().message().find(".spec.nope: field not declared in schema") != std::string::npos);
}
