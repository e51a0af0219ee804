#include "tables.hpp"

#include <onebin/apimachinery/defaulting.hpp>
#include <onebin/api/published.hpp>
#include <onebin/apimachinery/openapi.hpp>
#include <onebin/apimachinery/prune.hpp>
#include <onebin/apimachinery/schema.hpp>
#include <onebin/apimachinery/validation.hpp>

using namespace onebin;
using namespace onebin::apimachinery;
using tables::json;

namespace {

// A custom resource's table: spec{count 1..5 default 3, mode enum, name required immutable, items[key,...], tags}, open{...}.
struct Custom {
  SchemaArena arena;
  TypeSchema* root = nullptr;
  Custom() {
    auto field = [](const char* name, FieldKind kind, Cardinality c = Cardinality::Single) {
      FieldSchema f;
      f.json_name = name;
      f.kind = kind;
      f.cardinality = c;
      return f;
    };
    auto* item = arena.declare("Item");
    auto key = field("key", FieldKind::String), value = field("value", FieldKind::String);
    key.required = true;
    value.immutable = true;
    arena.define(item, {key, value});
    auto count = field("count", FieldKind::Int32), mode = field("mode", FieldKind::String), name = field("name", FieldKind::String);
    FieldRules r;
    r.minimum = 1;
    r.maximum = 5;
    r.default_json = "3";
    count.rules = arena.keep(r);
    FieldRules e;
    static const std::vector<std::string> kModes = {"Slow", "Fast"};
    e.enum_values = arena.keep(kModes);
    mode.rules = arena.keep(e);
    name.required = true;
    name.immutable = true;
    FieldRules n;
    n.max_length = 4;
    n.pattern = "^[a-z]+$";
    name.rules = arena.keep(n);
    auto items = field("items", FieldKind::Message, Cardinality::List);
    items.message = item;
    items.list_type = ListType::Map;
    FieldRules l;
    static const std::vector<std::string> kKeys = {"key"};
    l.list_map_keys = arena.keep(kKeys);
    l.max_items = 2;
    items.rules = arena.keep(l);
    auto maybe = field("maybe", FieldKind::String);
    maybe.nullable = true;
    auto* spec = arena.declare("Spec");
    arena.define(spec, {count, mode, name, items, maybe});
    auto* open = arena.declare("Open");
    open->preserve_unknown = true;
    arena.define(open, {});
    root = arena.declare("Root");
    auto s = field("spec", FieldKind::Message), o = field("open", FieldKind::Message);
    s.message = spec;
    o.message = open;
    arena.define(root, {s, o});
  }
};

std::vector<std::string> problems(const TypeSchema& type, const char* object, const char* old = nullptr) {
  Document before = old ? json(old) : Document();
  std::vector<std::string> out;
  for (const auto& e : validate_schema(type, json(object), old ? &before : nullptr)) out.push_back(e.to_string());
  return out;
}
using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("what the tables state is validated") {
  Custom c;
  CHECK(problems(*c.root, R"({"spec":{"name":"abc","count":2,"mode":"Fast","items":[{"key":"k"}]}})").empty());
  CHECK(problems(*c.root, R"({"spec":{"count":9,"mode":"Odd"}})") ==
        Texts{"spec.count: Invalid value: 9: must be between 1 and 5, inclusive",
              "spec.mode: Unsupported value: \"Odd\": supported values: \"Fast\", \"Slow\"", "spec.name: Required value"});
  CHECK(problems(*c.root, R"({"spec":{"name":"ABCDE"}})") ==
        Texts{"spec.name: Too long: may not be more than 4 characters", "spec.name: Invalid value: \"ABCDE\": must match '^[a-z]+$'"});
  CHECK(problems(*c.root, R"({"spec":{"name":"a","items":[{},{"key":"a"},{"key":"b"}]}})") ==
        Texts{"spec.items: Too many: 3: must have at most 2 items", "spec.items[0].key: Required value"});
}

TEST_CASE("what the tables call immutable may not change, in lists by key") {
  Custom c;
  const char* old = R"({"spec":{"name":"a","items":[{"key":"x","value":"1"},{"key":"y","value":"2"}]}})";
  CHECK(problems(*c.root, R"({"spec":{"name":"a","items":[{"key":"y","value":"2"},{"key":"x","value":"1"}]}})", old).empty());
  CHECK(problems(*c.root, R"({"spec":{"name":"b","items":[{"key":"y","value":"3"}]}})", old) ==
        Texts{"spec.name: Invalid value: \"b\": field is immutable", "spec.items[0].value: Invalid value: \"3\": field is immutable"});
}

TEST_CASE("built-in kinds: absent numbers and texts are Go's zero values") {
  CHECK(problems(tables::deployment(), R"({"spec":{"selector":{},"template":{"spec":{"containers":[{"name":"a"}]}}},"status":{}})").empty());
  CHECK(problems(tables::deployment(), R"({"spec":{"template":{"spec":{}}}})") ==
        Texts{"spec.selector: Required value"});
}

TEST_CASE("defaults") {
  Custom c;
  auto d = json(R"({"spec":{"name":"a"}})");
  apply_defaults(*c.root, d);
  CHECK(d == json(R"({"spec":{"name":"a","count":3}})"));
  d = json("{}");
  apply_defaults(*c.root, d);
  CHECK(d == json("{}"));  // a custom resource's absent object stays absent
  auto p = json(R"({"spec":{"containers":[{"name":"a","ports":[{"containerPort":1}]}]}})");
  apply_defaults(tables::pod(), p);
  CHECK(p["spec"]["restartPolicy"] == "Always");
  CHECK(p["spec"]["terminationGracePeriodSeconds"] == 30);
  CHECK(p["spec"]["containers"][0]["ports"][0]["protocol"] == "TCP");
  CHECK(p["spec"]["containers"][0]["terminationMessagePath"] == "/dev/termination-log");
  CHECK_FALSE(p["spec"].contains("initContainers"));
  auto again = p;
  apply_defaults(tables::pod(), again);
  CHECK(again == p);
}

TEST_CASE("unknown members are pruned and told") {
  Custom c;
  auto d = json(R"({"spec":{"name":"a","what":1,"items":[{"key":"k","x":{}}]},"open":{"any":{"thing":1}},"more":2})");
  std::vector<std::string> dropped;
  prune(*c.root, d, &dropped);
  CHECK(d == json(R"({"spec":{"name":"a","items":[{"key":"k"}]},"open":{"any":{"thing":1}}})"));
  CHECK(dropped == Texts{"more", "spec.items[0].x", "spec.what"});
  auto n = json(R"({"spec":{"name":null,"maybe":null,"items":[{"value":null}]}})");
  drop_nulls(*c.root, n);
  CHECK(n == json(R"({"spec":{"maybe":null,"items":[{}]}})"));
}

namespace {
OpenApiTypes common() {
  auto meta = [](const char* kind) { return api::find_type(std::string("io.k8s.apimachinery.pkg.apis.meta.v1.") + kind); };
  OpenApiTypes t;
  t.status = meta("Status");
  t.delete_options = meta("DeleteOptions");
  t.object_meta = meta("ObjectMeta");
  t.list_meta = meta("ListMeta");
  t.api_resource_list = meta("APIResourceList");
  t.api_versions = meta("APIVersions");
  t.api_group = meta("APIGroup");
  t.api_group_list = meta("APIGroupList");
  t.watch_event = meta("WatchEvent");
  t.published = api::published_fields();
  t.kinds = api::all_kinds();
  return t;
}
OpenApiResource deployments() {
  OpenApiResource r;
  r.group = "apps";
  r.version = "v1";
  r.kind = "Deployment";
  r.plural = "deployments";
  r.verbs = {"create", "get", "list", "watch", "update", "patch", "delete", "deletecollection"};
  r.type = &tables::deployment();
  r.list_type = api::find_kind("apps", "v1", "DeploymentList")->type;
  return r;
}
}  // namespace

TEST_CASE("OpenAPI v3 of a built-in kind") {
  auto status = deployments();
  status.subresource = "status";
  status.parent_kind = "Deployment";
  status.verbs = {"get", "patch", "update"};
  auto d = json(openapi_v3_json({deployments(), status}, common()).c_str());
  const auto& schemas = d["components"]["schemas"];
  const auto& containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
  CHECK(containers == json(R"({"type":"array","items":{"$ref":"#/components/schemas/io.k8s.api.core.v1.Container"},"x-kubernetes-list-type":"map",
    "x-kubernetes-list-map-keys":["name"],"x-kubernetes-patch-strategy":"merge","x-kubernetes-patch-merge-key":"name"})"));
  CHECK(schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"] == json(R"([{"group":"apps","version":"v1","kind":"Deployment"}])"));
  CHECK(schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["affinity"]["$ref"] == "#/components/schemas/io.k8s.api.core.v1.Affinity");
  CHECK(schemas["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["template"] ==
        json(R"({"default":{},"allOf":[{"$ref":"#/components/schemas/io.k8s.api.core.v1.PodTemplateSpec"}]})"));
  CHECK(schemas["io.k8s.api.core.v1.LocalObjectReference"]["properties"]["name"] == json(R"({"type":"string","default":""})"));
  const auto& item = d["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"];
  CHECK(item["patch"]["x-kubernetes-action"] == "patch");
  CHECK(item["patch"]["x-kubernetes-group-version-kind"]["kind"] == "Deployment");
  CHECK(item["patch"]["requestBody"]["content"].contains("application/apply-patch+yaml"));
  CHECK(d["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments"]["get"]["x-kubernetes-action"] == "list");
  CHECK(d["paths"].contains("/apis/apps/v1/deployments"));
  CHECK(d["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/status"].contains("put"));
  CHECK(d["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/status"]["put"]["operationId"] == "replaceAppsV1NamespacedDeploymentStatus");
  CHECK(d["paths"]["/apis/apps/v1/watch/deployments"]["get"]["operationId"] == "watchAppsV1DeploymentListForAllNamespaces");
  // What is enforced and what is published of a field differ: a container's name is there, if empty; its protocol has a default.
  const auto& port = schemas["io.k8s.api.core.v1.ContainerPort"];
  CHECK(port["properties"]["protocol"]["default"] == "TCP");
  CHECK(port["required"] == json(R"(["containerPort"])"));
  CHECK(schemas["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["replicas"] == json(R"({"type":"integer","format":"int32"})"));
  CHECK(schemas["io.k8s.api.core.v1.SeccompProfile"]["x-kubernetes-unions"] ==
        json(R"([{"discriminator":"type","fields-to-discriminateBy":{"localhostProfile":"LocalhostProfile"}}])"));
  // Every reference leads somewhere.
  std::function<void(const Document&)> check = [&](const Document& v) {
    if (v.is_object() && v.contains("$ref") && v["$ref"].is_string()) {
      auto name = v["$ref"].get<std::string>().substr(std::string("#/components/schemas/").size());
      INFO(name);
      CHECK(schemas.contains(name));
    }
    if (v.is_structured())
      for (const auto& e : v) check(e);
  };
  check(d);
}

TEST_CASE("OpenAPI v2 of a built-in and of a custom kind, and its protobuf form") {
  auto schema = json(R"({"type":"object","properties":{"spec":{"type":"object","properties":{
    "port":{"x-kubernetes-int-or-string":true,"anyOf":[{"type":"integer"},{"type":"string"}]},"n":{"type":"integer","nullable":true,"default":3}}}}})");
  OpenApiResource foo;
  foo.group = "example.com";
  foo.version = "v1";
  foo.kind = "Foo";
  foo.plural = "foos";
  foo.verbs = {"get", "list"};
  foo.schema = std::make_shared<Document>(schema);
  auto text = openapi_v2_json({deployments(), foo}, {"apis/apps", "version"}, common());
  auto d = json(text.c_str());
  CHECK(d["swagger"] == "2.0");
  const auto& spec = d["definitions"]["com.example.v1.Foo"]["properties"]["spec"]["properties"];
  CHECK(spec["port"] == json(R"({"x-kubernetes-int-or-string":true})"));
  CHECK(spec["n"] == json(R"({"default":3})"));
  CHECK(d["definitions"]["com.example.v1.Foo"]["x-kubernetes-group-version-kind"][0]["kind"] == "Foo");
  CHECK(d["definitions"]["com.example.v1.FooList"]["properties"]["items"]["items"]["$ref"] == "#/definitions/com.example.v1.Foo");
  CHECK(d["paths"]["/apis/example.com/v1/namespaces/{namespace}/foos"]["parameters"][0]["$ref"] == "#/parameters/namespace");
  CHECK(d["parameters"]["namespace"]["in"] == "path");
  // kubectl of old finds out so whether the server knows dry runs and field validation.
  const auto& patch = d["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]["parameters"];
  CHECK(patch[0]["name"] == "dryRun");
  CHECK(patch[1]["$ref"] == "#/parameters/fieldManager");
  CHECK(patch[2]["name"] == "fieldValidation");
  CHECK_FALSE(d["parameters"].contains("dryRun"));
  CHECK(d["paths"]["/apis/apps/"]["get"]["operationId"] == "getAppsAPIGroup");
  CHECK(d["paths"]["/version/"]["get"]["responses"]["200"]["schema"]["$ref"] == "#/definitions/io.k8s.apimachinery.pkg.version.Info");
  CHECK(d["paths"]["/apis/example.com/v1/namespaces/{namespace}/foos/{name}"]["get"]["produces"] == json(R"(["application/json","application/yaml"])"));
  auto v3 = json(openapi_v3_json({foo}, common()).c_str());
  CHECK(v3["components"]["schemas"]["com.example.v1.Foo"]["properties"]["spec"]["properties"]["n"]["default"] == 3);
  CHECK(v3["components"]["schemas"]["com.example.v1.Foo"]["properties"].contains("apiVersion"));
  auto bytes = openapi_v2_protobuf(text);
  CHECK(bytes.substr(0, 5) == std::string("\x0a\x03" "2.0"));
  CHECK(bytes.size() > 50000);
  CHECK(openapi_v2_protobuf("no JSON").empty());
}

TEST_CASE("OpenAPI v3 in protobuf") {
  // Field by field, as OpenAPIv3.proto numbers them.
  auto field = [](int number, std::string text) { return std::string(1, static_cast<char>(number << 3 | 2)) + static_cast<char>(text.size()) + text; };
  auto flag = [](int number) { return std::string(1, static_cast<char>(number << 3)) + '\1'; };
  CHECK(openapi_v3_protobuf(R"({"openapi":"3.0.0","info":{"title":"t","version":"v"},"security":[{"B":[]}]})") ==
        field(1, "3.0.0") + field(2, field(1, "t") + field(6, "v")) + field(6, field(1, field(1, "B") + field(2, ""))));
  std::string ref = field(2, field(1, "#/r")), named = field(1, "p");
  CHECK(openapi_v3_protobuf(R"({"paths":{"p":{"parameters":[{"$ref":"#/r"},{"name":"n","in":"query","required":true,"schema":{"title":"t"}}]}}})") ==
        field(4, field(1, named + field(2, field(13, ref) + field(13, field(1, field(1, "n") + field(2, "query") + flag(4) + field(10, field(1, field(9, "t")))))))));
  CHECK(openapi_v3_protobuf(R"({"paths":{"p":{"get":{"requestBody":{"content":{"*/*":{"schema":{"$ref":"#/r"}}}},"responses":{"200":{"description":"OK"},"default":{"$ref":"#/r"}},"x-a":["b"]}}}})") ==
        field(4, field(1, named + field(2, field(4, field(7, field(1, field(2, field(1, field(1, "*/*") + field(2, field(1, ref)))))) +
                                                       field(8, field(1, ref) + field(2, field(1, "200") + field(2, field(1, field(1, "OK"))))) +
                                                       field(13, field(1, "x-a") + field(2, field(2, R"(["b"])"))))))));
  CHECK(openapi_v3_protobuf("no JSON").empty());
}
