#include "tables.hpp"

#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/managed_fields.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/schema.hpp>

using namespace onebin;
using namespace onebin::apimachinery;
using tables::json;

namespace {

const WallTime kThen = *parse_rfc3339("2026-01-01T00:00:00Z");
const WallTime kLater = *parse_rfc3339("2026-01-02T00:00:00Z");

ManagedResource resource(const TypeSchema* type, const char* api_version, const char* kind, const char* subresource = "") {
  ManagedResource r;
  r.api_version = api_version;
  r.kind = kind;
  r.type = type;
  r.subresource = subresource;
  r.reset_fields.insert({PathElement::field(*subresource ? "spec" : "status")});
  return r;
}
ManagedResource config_maps() { return resource(&tables::config_map(), "v1", "ConfigMap"); }
ManagedResource deployments(const char* subresource = "") { return resource(&tables::deployment(), "apps/v1", "Deployment", subresource); }
ManagedResource custom() { return resource(nullptr, "example.com/v1", "Foo"); }

Document config_map(const char* data, const char* metadata = R"({"name":"a"})") {
  return {{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", json(metadata)}, {"data", json(data)}};
}
Document deployment(const char* spec) { return {{"apiVersion", "apps/v1"}, {"kind", "Deployment"}, {"metadata", {{"name", "d"}}}, {"spec", json(spec)}}; }

Document applied(const ManagedResource& r, const Document* live, const Document& configuration, const char* manager, bool force = false,
                 WallTime now = kThen) {
  auto result = server_side_apply(r, live, configuration, manager, force, now);
  INFO(result.status().message());
  REQUIRE(result);
  set_meta(*result, "uid", "u");
  return *result;
}
Status refused(const ManagedResource& r, const Document& live, const Document& configuration, const char* manager) {
  auto result = server_side_apply(r, &live, configuration, manager, false, kThen);
  REQUIRE_FALSE(result);
  return result.status();
}
// The fields of a manager; null where it has no entry.
Document fields_of(const Document& object, std::string_view manager, std::string_view operation = "Apply", std::string_view subresource = "") {
  for (const auto& e : managed_fields_of(object))
    if (string_at(e, "manager") == manager && string_at(e, "operation") == operation && string_at(e, "subresource") == subresource)
      return e["fieldsV1"];
  return nullptr;
}

}  // namespace

TEST_CASE("field sets are read and written as FieldsV1") {
  const char* text =
      R"({"f:a":{},"f:b":{".":{},"f:c":{}},"f:l":{"k:{\"name\":\"x\",\"port\":80}":{".":{},"f:name":{}}},"f:s":{"v:\"x\"":{}},"f:i":{"i:3":{}}})";
  auto set = FieldSet::parse(json(text));
  REQUIRE(set);
  CHECK(set->serialize() == json(text));
  CHECK(set->size() == 7);
  CHECK(set->to_json() == set->serialize().dump());
  std::vector<std::string> paths;
  for (const auto& p : set->paths()) paths.push_back(to_string(p));
  CHECK(paths == std::vector<std::string>{".a", ".b", ".b.c", ".i[3]", ".l[name=\"x\",port=80]", ".l[name=\"x\",port=80].name", ".s[=\"x\"]"});
  // Keys are the same whatever their spelling.
  CHECK(*FieldSet::parse(json(R"({"f:l":{"k:{ \"port\": 80.0, \"name\":\"x\"}":{}}})")) ==
        *FieldSet::parse(json(R"({"f:l":{"k:{\"name\":\"x\",\"port\":80}":{}}})")));
  CHECK_FALSE(FieldSet::parse(json(R"({"a":{}})")));
  CHECK_FALSE(FieldSet::parse(json(R"({"k:x":{}})")));
  CHECK(FieldSet::parse(json(R"({"z:future":{}})"))->empty());
}

TEST_CASE("field sets as text are their JSON") {
  auto same = [](std::initializer_list<FieldPathElements> paths) {
    FieldSet set;
    for (const auto& p : paths) set.insert(p);
    CHECK(set.to_json() == set.serialize().dump(-1, ' ', false, Document::error_handler_t::replace));
  };
  auto f = [](const char* name) { return PathElement::field(name); };
  same({});
  same({{f("a")}});
  same({{f("a")}, {f("a"), f("b")}, {f("a"), PathElement::index(2)}, {f("a"), PathElement::index(10), f("c")}});
  same({{f("l"), PathElement::key("name", "x\"\\y")}, {f("l"), PathElement::key(json(R"({"name":"x","port":80})")), f("name")}});
  same({{f("s"), PathElement::value("v")}, {f("s"), PathElement::value("\n\x7f\xc3\xa4")}, {f("s"), PathElement::value(3)}, {f("s"), PathElement::index(1)}});
  same({{f("b\"\\\t\xff"), f("")}, {f(".")}, {f("~")}});
}

TEST_CASE("managed fields as text are stored as their trees are") {
  Document tree = {{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", {{"name", "p"}, {"labels", {{"app", "x"}}}}},
                   {"spec", {{"containers", {{{"name", "c"}, {"image", "i"}, {"ports", {{{"containerPort", 80}, {"protocol", "TCP"}}}}}}}}}};
  Document text = tree;
  auto pods = resource(&tables::pod(), "v1", "Pod");
  track_update(pods, nullptr, tree, "m", kThen);
  track_update(pods, nullptr, text, "m", kThen, true);
  REQUIRE(fields_of(text, "m", "Update").is_binary());
  CHECK(*encode_protobuf(text, tables::pod()) == *encode_protobuf(tree, tables::pod()));
  CHECK(conform(text, tables::pod()).is_ok());
  expand_managed_fields(text);
  CHECK(text == tree);
  CHECK(fields_of(text, "m", "Update")["f:spec"]["f:containers"].contains(R"(k:{"name":"c"})"));
}

TEST_CASE("field sets as sets") {
  auto set = [](const char* t) { return *FieldSet::parse(json(t)); };
  auto a = set(R"({"f:a":{},"f:b":{".":{},"f:c":{},"f:d":{}}})"), b = set(R"({"f:b":{"f:c":{}},"f:e":{}})");
  CHECK(a.union_with(b) == set(R"({"f:a":{},"f:b":{".":{},"f:c":{},"f:d":{}},"f:e":{}})"));
  CHECK(a.intersection(b) == set(R"({"f:b":{"f:c":{}}})"));
  CHECK(a.difference(b) == set(R"({"f:a":{},"f:b":{".":{},"f:d":{}}})"));
  CHECK(a.recursive_difference(set(R"({"f:b":{}})")) == set(R"({"f:a":{}})"));
  CHECK(a.difference(a).empty());
}

TEST_CASE("a create is tracked as its manager's update") {
  auto o = deployment(R"({"replicas":2,"selector":{"matchLabels":{"app":"w"}},"template":{"metadata":{"labels":{"app":"w"}},
    "spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80,"protocol":"TCP"}]}]}}})");
  o["metadata"]["labels"] = {{"x", "y"}};
  track_update(deployments(), nullptr, o, "creator", kThen);
  const auto& entries = managed_fields_of(o);
  REQUIRE(entries.size() == 1);
  CHECK(entries[0]["operation"] == "Update");
  CHECK(entries[0]["apiVersion"] == "apps/v1");
  CHECK(entries[0]["time"] == "2026-01-01T00:00:00Z");
  CHECK(entries[0]["fieldsType"] == "FieldsV1");
  CHECK(entries[0]["fieldsV1"] == json(R"({
    "f:metadata":{"f:labels":{".":{},"f:x":{}}},
    "f:spec":{"f:replicas":{},"f:selector":{},"f:template":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":{
      "k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{},"f:resources":{},
        "f:ports":{".":{},"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}}}}}}}})"));
}

TEST_CASE("an update takes fields over, and loses those that it removes") {
  auto live = config_map(R"({"a":"1","b":"2"})", R"({"name":"a","uid":"u"})");
  track_update(config_maps(), nullptr, live, "one", kThen);
  auto next = live;
  next["data"] = {{"a", "9"}, {"c", "3"}};
  track_update(config_maps(), &live, next, "two", kLater);
  CHECK(fields_of(next, "one", "Update") == json(R"({"f:data":{}})"));
  CHECK(fields_of(next, "two", "Update") == json(R"({"f:data":{"f:a":{},"f:c":{}}})"));
  // The same again changes nothing, not even a time.
  auto same = next;
  track_update(config_maps(), &next, same, "three", kLater);
  CHECK(same == next);
}

TEST_CASE("a write through a subresource owns what lies in its reach") {
  auto live = deployment(R"({"replicas":1})");
  set_meta(live, "uid", "u");
  track_update(deployments(), nullptr, live, "one", kThen);
  auto next = live;
  next["status"] = {{"replicas", 1}};
  next["spec"]["replicas"] = 5;  // which the status strategy resets
  track_update(deployments("status"), &live, next, "kubelet", kThen);
  CHECK(fields_of(next, "kubelet", "Update", "status") == json(R"({"f:status":{"f:replicas":{}}})"));
  CHECK_FALSE(fields_of(next, "one", "Update").is_null());
}

TEST_CASE("an object that nobody tracks stays so until it is applied to") {
  auto live = config_map(R"({"a":"1"})", R"({"name":"a","uid":"u"})");
  auto next = live;
  next["data"]["a"] = "2";
  track_update(config_maps(), &live, next, "one", kThen);
  CHECK_FALSE(next["metadata"].contains("managedFields"));
  CHECK(refused(config_maps(), next, config_map(R"({"a":"3"})"), "two").message() ==
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.a");
  auto after = applied(config_maps(), &next, config_map(R"({"a":"2","b":"x"})"), "two");
  CHECK(fields_of(after, "before-first-apply", "Update") == json(R"({"f:data":{".":{},"f:a":{}}})"));
}

TEST_CASE("managedFields in a request: reset, kept, or nonsense that is ignored") {
  auto live = config_map(R"({"a":"1"})", R"({"name":"a","uid":"u"})");
  track_update(config_maps(), nullptr, live, "one", kThen);
  auto reset = live;
  reset["metadata"]["managedFields"] = json("[{}]");
  track_update(config_maps(), &live, reset, "two", kThen);
  CHECK_FALSE(reset["metadata"].contains("managedFields"));
  for (const char* entries : {"null", R"([{"manager":"x"}])", R"([{"manager":"x","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV9"}])"}) {
    auto next = live;
    next["metadata"]["managedFields"] = json(entries);
    track_update(config_maps(), &live, next, "two", kThen);
    CHECK(managed_fields_of(next) == managed_fields_of(live));
  }
}

TEST_CASE("the oldest update managers are merged past ten") {
  auto live = config_map(R"({"z":"1"})", R"({"name":"a","uid":"u"})");
  track_update(config_maps(), nullptr, live, "creator", kThen);
  for (int i = 0; i < 15; ++i) {
    auto next = live;
    next["data"]["k" + std::to_string(i)] = "v";
    track_update(config_maps(), &live, next, "m" + std::to_string(10 + i), kThen + (i + 1) * 1s);
    live = next;
  }
  CHECK(managed_fields_of(live).size() == 10);
  CHECK(fields_of(live, "ancient-changes", "Update")["f:data"].size() == 8);  // itself, z, k0 to k5
  CHECK(fields_of(live, "m24", "Update") == json(R"({"f:data":{"f:k14":{}}})"));
}

TEST_CASE("apply creates, changes, and removes what is no longer applied") {
  auto r = config_maps();
  auto o = applied(r, nullptr, config_map(R"({"a":"1","b":"2"})", R"({"name":"a","labels":{"x":"y"}})"), "m1");
  CHECK(o["data"] == json(R"({"a":"1","b":"2"})"));
  CHECK(fields_of(o, "m1") == json(R"({"f:data":{"f:a":{},"f:b":{}},"f:metadata":{"f:labels":{"f:x":{}}}})"));
  auto next = applied(r, &o, config_map(R"({"a":"3"})"), "m1", false, kLater);
  CHECK(next["data"] == json(R"({"a":"3"})"));
  CHECK_FALSE(next["metadata"].contains("labels"));
  CHECK(managed_fields_of(next)[0]["time"] == "2026-01-02T00:00:00Z");
  // Nothing new: nothing changes, the time neither.
  CHECK(applied(r, &next, config_map(R"({"a":"3"})"), "m1", false, kLater + 1h) == next);
  // An empty configuration gives all up.
  auto none = applied(r, &next, Document{{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", {{"name", "a"}}}}, "m1");
  CHECK_FALSE(none.contains("data"));
  CHECK_FALSE(none["metadata"].contains("managedFields"));
}

TEST_CASE("apply conflicts with what others set, unless the value is the same or force is given") {
  auto r = config_maps();
  auto o = applied(r, nullptr, config_map(R"({"a":"1","b":"2"})"), "m1");
  auto status = refused(r, o, config_map(R"({"a":"9"})"), "m2");
  CHECK(status.code() == 409);
  CHECK(status.reason() == Reason::Conflict);
  CHECK(status.message() == "Apply failed with 1 conflict: conflict with \"m1\": .data.a");
  REQUIRE(status.details().causes.size() == 1);
  CHECK(status.details().causes[0].type == "FieldManagerConflict");
  CHECK(status.details().causes[0].message == "conflict with \"m1\"");
  CHECK(status.details().causes[0].field == ".data.a");
  CHECK(refused(r, o, config_map(R"({"a":"9","b":"9"})"), "m2").message() ==
        "Apply failed with 2 conflicts: conflicts with \"m1\":\n- .data.a\n- .data.b");
  auto shared = applied(r, &o, config_map(R"({"a":"1"})"), "m2");
  CHECK(fields_of(shared, "m1") == json(R"({"f:data":{"f:a":{},"f:b":{}}})"));
  CHECK(fields_of(shared, "m2") == json(R"({"f:data":{"f:a":{}}})"));
  // One owner lets go, the other's value stays.
  auto left = applied(r, &shared, config_map(R"({"b":"2"})"), "m1");
  CHECK(left["data"] == json(R"({"a":"1","b":"2"})"));
  auto forced = applied(r, &shared, config_map(R"({"a":"9"})"), "m3", true);
  CHECK(forced["data"]["a"] == "9");
  CHECK(fields_of(forced, "m2").is_null());
  CHECK(fields_of(forced, "m1") == json(R"({"f:data":{"f:b":{}}})"));
  // Updates are named with their version, and through what they came.
  auto updated = o;
  updated["data"]["b"] = "5";
  track_update(r, &o, updated, "kubectl-edit", kThen);
  CHECK(refused(r, updated, config_map(R"({"b":"6"})"), "m2").message() ==
        "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using v1: .data.b");
}

TEST_CASE("apply merges lists by key and sets by value; atomic values go whole") {
  auto r = deployments();
  auto spec = [](const char* containers) {
    return deployment((std::string(R"({"selector":{"matchLabels":{"app":"w"}},"template":{"spec":{"containers":)") + containers + "}}}").c_str());
  };
  auto containers = [](const Document& o) { return o["spec"]["template"]["spec"]["containers"]; };
  auto o = applied(r, nullptr,
                   spec(R"([{"name":"a","image":"1","ports":[{"containerPort":80},{"containerPort":80,"protocol":"UDP"}]},{"name":"b","image":"1"}])"), "m1");
  auto two = applied(r, &o, spec(R"([{"name":"c","image":"2"},{"name":"b"}])"), "m2");
  CHECK(containers(two).size() == 3);
  CHECK(containers(two)[0]["name"] == "a");
  CHECK(containers(two)[1]["name"] == "c");
  CHECK(containers(two)[2]["image"] == "1");
  auto dropped = applied(r, &two, spec(R"([{"name":"a","image":"1","ports":[{"containerPort":80}]}])"), "m1");
  CHECK(containers(dropped).size() == 3);  // b is still m2's, without m1's image
  CHECK_FALSE(containers(dropped)[2].contains("image"));
  CHECK(containers(dropped)[0]["ports"].size() == 1);
  CHECK(refused(r, o, deployment(R"({"selector":{"matchLabels":{"x":"y"}}})"), "m3").message() ==
        "Apply failed with 1 conflict: conflict with \"m1\": .spec.selector");
  auto finalizers = [&](const Document* live, const char* list, const char* manager) {
    return applied(config_maps(), live, config_map("{}", (std::string(R"({"name":"a","finalizers":)") + list + "}").c_str()), manager, true);
  };
  auto f = finalizers(nullptr, R"(["a/b","c/d"])", "m1");
  f = finalizers(&f, R"(["c/d","e/f"])", "m2");
  CHECK(f["metadata"]["finalizers"] == json(R"(["a/b","c/d","e/f"])"));
  f = finalizers(&f, R"(["e/f"])", "m2");
  CHECK(f["metadata"]["finalizers"] == json(R"(["a/b","c/d","e/f"])"));
  f = finalizers(&f, "[]", "m1");
  CHECK(f["metadata"]["finalizers"] == json(R"(["e/f"])"));
}

TEST_CASE("configurations that cannot be applied") {
  auto o = applied(config_maps(), nullptr, config_map("{}"), "m1");
  auto message = [&](const Document& c) { return refused(config_maps(), o, c, "m2").message(); };
  auto unknown = config_map("{}");
  unknown["foo"] = 1;
  CHECK(message(unknown) == "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .foo: field not declared in schema");
  CHECK(message(config_map("5")) == "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .data: expected map, got &{5}");
  CHECK(message(config_map(R"({"a":1})")) ==
        "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .data.a: expected string, got &value.valueUnstructured{Value:1}");
  CHECK(message(config_map("{}", R"({"name":"a","managedFields":[]})")) == "metadata.managedFields must be nil");
  CHECK(message(Document{{"apiVersion", "v1"}, {"kind", "Secret"}}) == "invalid object type: /v1, Kind=Secret");
  auto twice = deployment(R"({"template":{"spec":{"containers":[{"name":"a"},{"name":"a"}]}}})");
  CHECK(server_side_apply(deployments(), nullptr, twice, "m", false, kThen).status().message() ==
        "failed to create typed patch object (/d; apps/v1, Kind=Deployment): .spec.template.spec.containers: duplicate entries for key [name=\"a\"]");
  CHECK(server_side_apply(deployments(), nullptr, deployment(R"({"replicas":"2"})"), "m", false, kThen).status().message() ==
        "failed to create typed patch object (/d; apps/v1, Kind=Deployment): .spec.replicas: expected numeric (int or float), got string");
}

TEST_CASE("kubectl takes over what its client-side apply had set") {
  auto live = config_map(R"({"a":"1","o":"p"})", R"({"name":"a","uid":"u"})");
  set_annotation(live, kLastAppliedAnnotation, R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":"1"}})");
  track_update(config_maps(), nullptr, live, "kubectl-client-side-apply", kThen);
  CHECK(refused(config_maps(), live, config_map(R"({"a":"2"})"), "other").is(Reason::Conflict));
  CHECK(refused(config_maps(), live, config_map(R"({"a":"2","o":"q"})"), "kubectl").message() ==
        "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using v1: .data.o");
  auto o = applied(config_maps(), &live, config_map(R"({"a":"2"})"), "kubectl");
  CHECK(o["data"] == json(R"({"a":"2","o":"p"})"));
  CHECK(annotations_of(o)[std::string(kLastAppliedAnnotation)] ==
        "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"2\"},\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}\n");
}

TEST_CASE("kinds without a schema merge objects by member and lists whole") {
  auto foo = [](const char* spec) { return Document{{"apiVersion", "example.com/v1"}, {"kind", "Foo"}, {"metadata", {{"name", "f"}}}, {"spec", json(spec)}}; };
  auto o = applied(custom(), nullptr, foo(R"({"a":{"b":1},"list":[1,2]})"), "m1");
  CHECK(fields_of(o, "m1") == json(R"({"f:spec":{".":{},"f:a":{".":{},"f:b":{}},"f:list":{}}})"));
  auto two = applied(custom(), &o, foo(R"({"a":{"c":2}})"), "m2");
  CHECK(two["spec"] == json(R"({"a":{"b":1,"c":2},"list":[1,2]})"));
  CHECK(refused(custom(), two, foo(R"({"list":[3]})"), "m2").message() == "Apply failed with 1 conflict: conflict with \"m1\": .spec.list");
  auto gone = applied(custom(), &two, foo(R"({"a":{"b":1}})"), "m1");
  CHECK(gone["spec"] == json(R"({"a":{"b":1,"c":2}})"));
}

TEST_CASE("managers of other versions keep their version; those of versions no longer served are dropped") {
  auto r = custom();
  r.type_of_version = [](std::string_view) -> const TypeSchema* { return nullptr; };
  auto o = applied(r, nullptr, json(R"({"apiVersion":"example.com/v1","kind":"Foo","metadata":{"name":"f"},"spec":{"a":1}})"), "m1");
  o["metadata"]["managedFields"][0]["apiVersion"] = "example.com/v0";
  auto next = applied(r, &o, json(R"({"apiVersion":"example.com/v1","kind":"Foo","metadata":{"name":"f"},"spec":{"a":2}})"), "m2");
  CHECK(managed_fields_of(next).size() == 1);
  CHECK(fields_of(next, "m2") == json(R"({"f:spec":{".":{},"f:a":{}}})"));

  SchemaArena arena;
  auto* spec = arena.declare("Spec");
  FieldSchema a;
  a.json_name = "a";
  arena.define(spec, {a});
  auto* foo = arena.declare("Foo");
  std::vector<FieldSchema> fields(4);
  fields[0].json_name = "apiVersion";
  fields[1].json_name = "kind";
  fields[2].json_name = "metadata";
  fields[2].kind = FieldKind::Json;
  fields[3].json_name = "spec";
  fields[3].kind = FieldKind::Message;
  fields[3].message = spec;
  arena.define(foo, fields);
  r.type = foo;
  r.type_of_version = [foo](std::string_view) -> const TypeSchema* { return foo; };
  r.convert = [](const Document& d, std::string_view version) -> Result<Document> {
    Document out = d;
    out["apiVersion"] = std::string(version);
    return out;
  };
  auto kept = server_side_apply(r, &o, json(R"({"apiVersion":"example.com/v1","kind":"Foo","metadata":{"name":"f"},"spec":{"a":"2"}})"), "m2", false, kThen);
  CHECK(kept.status().message() == "Apply failed with 1 conflict: conflict with \"m1\": .spec.a");
}

TEST_CASE("the manager of a write without a name") {
  CHECK(manager_from_user_agent("kubectl/v1.37 (linux)") == "kubectl");
  CHECK(manager_from_user_agent("plain") == "plain");
  CHECK(manager_from_user_agent(std::string(200, 'x')).size() == 128);
  CHECK(manager_from_user_agent("a\nb/1") == "ab");
}

TEST_CASE("the scale shows its parent's managers of the replicas, and gives them back") {
  const ReplicasPaths paths{{"apps/v1", {PathElement::field("spec"), PathElement::field("replicas")}}};
  const Document parent = Document::parse(R"([
    {"manager":"applier","operation":"Apply","apiVersion":"apps/v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:replicas":{},"f:paused":{}}}},
    {"manager":"other","operation":"Update","apiVersion":"apps/v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:paused":{}}}},
    {"manager":"old","operation":"Update","apiVersion":"apps/v1beta1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:replicas":{}}}}])");
  auto scale = scale_managers(parent, paths);
  REQUIRE(scale);
  REQUIRE(scale->size() == 1);
  CHECK((*scale)[0]["manager"] == "applier");
  CHECK((*scale)[0]["apiVersion"] == "autoscaling/v1");
  CHECK((*scale)[0]["fieldsV1"] == Document::parse(R"({"f:spec":{"f:replicas":{}}})"));

  auto same = parent_managers(parent, *scale, "apps/v1", paths);
  REQUIRE(same);
  CHECK(same->size() == 2);  // that of a version which is no more is gone
  CHECK((*same)[0] == parent[0]);

  const Document taken = Document::parse(R"([{"manager":"hpa","operation":"Update","apiVersion":"autoscaling/v1","subresource":"scale","time":"2026-01-02T00:00:00Z","fieldsType":"FieldsV1",
    "fieldsV1":{"f:spec":{"f:replicas":{}}}}])");
  auto after = parent_managers(parent, taken, "apps/v1", paths);
  REQUIRE(after);
  REQUIRE(after->size() == 3);
  CHECK((*after)[0]["fieldsV1"] == Document::parse(R"({"f:spec":{"f:paused":{}}})"));
  for (const auto& m : *after)
    if (m["manager"] == "hpa") {
      CHECK(m["apiVersion"] == "apps/v1");
      CHECK(m["subresource"] == "scale");
      CHECK(m["fieldsV1"] == Document::parse(R"({"f:spec":{"f:replicas":{}}})"));
    }
}
