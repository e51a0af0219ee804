// The tables hang together: every kind, type and rule says something that the others can hold.
#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/document.hpp>

#include <catch2/catch.hpp>
#include <set>

using namespace onebin;
using namespace onebin::apimachinery;

TEST_CASE("kinds and resources are found") {
  const KindSchema* pods = api::find_resource("", "v1", "pods");
  REQUIRE(pods);
  CHECK(pods == api::find_kind("", "v1", "Pod"));
  CHECK(pods->namespaced);
  CHECK(pods->list_kind == "PodList");
  CHECK(pods->short_names[0] == "po");
  CHECK(pods->has_verb("deletecollection"));
  CHECK(pods->subresource("eviction")->kind == "Eviction");
  CHECK(pods->storage_prefix == "/registry/pods/");
  CHECK(pods->type->field("spec")->message->field("nodeName")->proto_number == 10);
  CHECK(api::find_resource("", "v1", "nodes")->storage_prefix == "/registry/minions/");
  CHECK(api::find_resource("events.k8s.io", "v1", "events")->storage_group == "");
  CHECK(api::find_resource("autoscaling", "v1", "horizontalpodautoscalers")->storage_version == "v2");
  CHECK(api::find_kind("", "v1", "Status"));
  CHECK(api::find_kind("", "v1", "DeleteOptions"));
  CHECK(api::find_kind("autoscaling", "v1", "Scale"));
  CHECK(api::find_kind("policy", "v1", "Eviction")->plural.empty());
  CHECK(api::find_kind("", "v1", "PodList")->plural.empty());
  CHECK_FALSE(api::find_kind("", "v1", "Nope"));
  CHECK_FALSE(api::find_resource("apps", "v1", "pods"));
  CHECK(api::all_kinds().size() > 60);
}

TEST_CASE("a kind's list, subresources and storage exist") {
  for (const KindSchema* k : api::all_kinds()) {
    INFO(k->group << "/" << k->version << " " << k->kind);
    REQUIRE(k->type);
    CHECK(k->type->has_type_meta);
    CHECK(api::find_kind(k->group, k->version, k->kind) == k);
    if (k->has_verb("list")) {
      REQUIRE(!k->list_kind.empty());
      const KindSchema* list = api::find_kind(k->group, k->version, k->list_kind);
      REQUIRE(list);
      CHECK(list->type->field("items")->message == k->type);
      CHECK(list->type->field("items")->proto_number == 2);
      CHECK(k->type->field("metadata")->proto_number == 1);
    }
    for (const auto& s : k->subresources) {
      INFO(s.name);
      CHECK(api::find_kind(s.group, s.version, s.kind));
    }
    CHECK(k->storage_prefix.substr(0, 10) == "/registry/");
    bool stored_here = k->storage_group == k->group && k->storage_version == k->version;
    CHECK((stored_here || api::find_kind(k->storage_group, k->storage_version, k->kind)));
  }
}

TEST_CASE("fields, numbers and rules are sound") {
  for (const TypeSchema* t : api::all_types()) {
    INFO(t->name);
    CHECK(api::find_type(t->name) == t);
    std::set<int> covered;
    for (const ProtoEntry& e : t->proto) {
      CHECK(t->entry(e.number) == &e);
      if (!e.embedded) covered.insert(e.first);
      else
        for (std::size_t i = 0; i < e.embedded->fields.size(); ++i) {
          covered.insert(static_cast<int>(e.first + i));
          CHECK(t->fields[e.first + i].json_name == e.embedded->fields[i].json_name);
        }
    }
    for (std::size_t i = 0; i < t->fields.size(); ++i) {
      const FieldSchema& f = t->fields[i];
      INFO(f.json_name);
      CHECK(t->index_of(f.json_name) == static_cast<int>(i));
      CHECK((f.kind == FieldKind::Message) == (f.message != nullptr));
      bool type_meta = f.json_name == "kind" || f.json_name == "apiVersion";
      CHECK((covered.count(static_cast<int>(i)) == 1 || (t->has_type_meta && type_meta && i < 2)));
      for (auto key : f.rules->list_map_keys) {
        REQUIRE(f.message);
        CHECK(f.message->field(key));
      }
      if (!f.rules->patch_merge_key.empty() && f.message) CHECK(f.message->field(f.rules->patch_merge_key));
      if (!f.rules->default_json.empty() && t->shape == Shape::Object) {
        auto v = decode_json("{\"" + std::string(f.json_name) + "\":" + std::string(f.rules->default_json) + "}", t);
        if (!v) FAIL(v.status().to_string());
      }
      if (f.rules->minimum || f.rules->maximum) CHECK((f.kind == FieldKind::Int32 || f.kind == FieldKind::Int64));
      if (!f.rules->enum_values.empty()) CHECK(f.kind == FieldKind::String);
    }
  }
}

TEST_CASE("an empty object of every type encodes and reads back") {
  for (const TypeSchema* t : api::all_types()) {
    if (t->shape != Shape::Object) continue;
    INFO(t->name);
    auto bytes = encode_message(Document::object(), *t);
    REQUIRE(bytes);
    auto tree = decode_message(*bytes, *t);
    REQUIRE(tree);
    CHECK((*encode_message(*tree, *t) == *bytes));
    std::string json;
    REQUIRE(append_json_from_message(json, *bytes, *t));
    CHECK(json == encode_json(*tree, t));
    CHECK(json == encode_json(Document::object(), t));
  }
}

TEST_CASE("a schema built at run time is read like a built-in one") {
  SchemaArena arena;
  TypeSchema* node = arena.declare("com.example.v1.Node");
  FieldSchema name;
  name.json_name = arena.keep("name");
  name.omitempty = true;
  FieldSchema children;
  children.json_name = arena.keep("children");
  children.kind = FieldKind::Message;
  children.message = node;
  children.cardinality = Cardinality::List;
  children.omitempty = true;
  arena.define(node, {name, children});
  CHECK(node->go_name == "Node");
  DecodeOptions strict;
  strict.validation = FieldValidation::Strict;
  auto r = decode_json(R"({"children":[{"name":"a","children":[{"nam":"b"}]}],"name":"r"})", node, strict);
  REQUIRE_FALSE(r);
  CHECK(r.status().message() == "strict decoding error: unknown field \"children[0].children[0].nam\"");
  auto v = decode_json(R"({"children":[{"name":"a"}],"name":"r"})", node);
  REQUIRE(v);
  CHECK(encode_json(*v, node) == R"({"name":"r","children":[{"name":"a"}]})");
}
