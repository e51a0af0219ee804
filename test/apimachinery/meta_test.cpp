#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/random.hpp>

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::apimachinery;

namespace {
Document meta(const char* text) { return Document::parse(text); }
std::vector<std::string> texts(const FieldErrors& errors) {
  std::vector<std::string> out;
  for (const auto& e : errors) out.push_back(e.to_string());
  return out;
}
using Texts = std::vector<std::string>;
}  // namespace

TEST_CASE("metadata is read, and absent metadata reads as zero") {
  auto o = meta(R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a","namespace":"n","uid":"u","generation":3,
    "labels":{"x":"y"},"finalizers":["f"],"ownerReferences":[{"uid":"1"},{"uid":"2","controller":true}],"deletionGracePeriodSeconds":30}})");
  CHECK(api_version_of(o) == "apps/v1");
  CHECK(name_of(o) == "a");
  CHECK(generation_of(o) == 3);
  CHECK(string_map(labels_of(o)) == std::map<std::string, std::string>{{"x", "y"}});
  CHECK(finalizers_of(o) == std::vector<std::string>{"f"});
  CHECK(is_controlled_by(o, "2"));
  CHECK_FALSE(is_controlled_by(o, "1"));
  CHECK(deletion_grace_period_of(o) == 30);
  Document none = 5;
  CHECK(name_of(none) == "");
  CHECK(labels_of(none).empty());
  CHECK(controller_of(none) == nullptr);
  CHECK_FALSE(deletion_grace_period_of(none));
}

TEST_CASE("metadata is written") {
  Document o = Document::object();
  set_annotation(o, "a", "b");
  set_finalizers(o, {"x"});
  CHECK(o == meta(R"({"metadata":{"annotations":{"a":"b"},"finalizers":["x"]}})"));
  set_finalizers(o, {});
  erase_path(o, {"metadata", "annotations", "a"});
  erase_path(o, {"no", "such"});
  CHECK(o == meta(R"({"metadata":{"annotations":{}}})"));
}

TEST_CASE("versions of groups and of resources") {
  CHECK(parse_group_version("v1") == GroupVersion{"", "v1"});
  CHECK(parse_group_version("apps/v1") == GroupVersion{"apps", "v1"});
  CHECK_FALSE(parse_group_version("a/b/c"));
  CHECK(parse_resource_version("") == 0u);
  CHECK(parse_resource_version("17") == 17u);
  CHECK_FALSE(parse_resource_version("x1"));
  CHECK_FALSE(parse_resource_version("-1"));
}

TEST_CASE("generated names are cut so that they stay labels") {
  SeededRng rng(1);
  auto name = generate_name("web-", rng);
  CHECK(name.size() == 9);
  CHECK(name.rfind("web-", 0) == 0);
  CHECK(generate_name(std::string(100, 'a'), rng).size() == 63);
}

TEST_CASE("field paths and errors read as upstream writes them") {
  auto p = FieldPath("spec").child("containers").index(0).child("ports").key("x");
  CHECK(p.text() == "spec.containers[0].ports[x]");
  CHECK(FieldPath().to_string() == "<nil>");
  CHECK(field_invalid(p, "a\"b", "must be c").to_string() == "spec.containers[0].ports[x]: Invalid value: \"a\\\"b\": must be c");
  CHECK(field_invalid(p, 5, "no").body() == "Invalid value: 5: no");
  CHECK(field_invalid(p, 0.5, "no").body() == "Invalid value: 0.5: no");
  CHECK(field_invalid(p, Document{{"a", "<"}}, "no").body() == "Invalid value: {\"a\":\"\\u003c\"}: no");
  CHECK(field_required(p).body() == "Required value");
  CHECK(field_not_supported(p, "x", {"A", "B"}).body() == "Unsupported value: \"x\": supported values: \"A\", \"B\"");
  CHECK(field_too_long(p, 1).body() == "Too long: may not be more than 1 byte");
  CHECK(field_too_many(p, 3, 2).body() == "Too many: 3: must have at most 2 items");
  CHECK(field_forbidden(p, "why").body() == "Forbidden: why");
  CHECK(field_duplicate(p, "x").body() == "Duplicate value: \"x\"");
}

TEST_CASE("an invalid object's status") {
  auto one = invalid("apps", "Deployment", "web", {field_required(FieldPath("spec.selector"))});
  CHECK(one.code() == 422);
  CHECK(one.message() == "Deployment.apps \"web\" is invalid: spec.selector: Required value");
  REQUIRE(one.details().causes.size() == 1);
  CHECK(one.details().causes[0].type == "FieldValueRequired");
  CHECK(one.details().causes[0].message == "Required value");
  CHECK(one.details().causes[0].field == "spec.selector");
  auto two = invalid("", "Pod", "p", {field_required(FieldPath("a")), field_required(FieldPath("a")), field_required(FieldPath("b"), "x")});
  CHECK(two.message() == "Pod \"p\" is invalid: [a: Required value, b: Required value: x]");
  CHECK(two.details().causes.size() == 3);
}

TEST_CASE("Go's quoting") {
  CHECK(go_quote("a\n\t\x01\x7f") == "\"a\\n\\t\\x01\\x7f\"");
  CHECK(go_quote("é\u200b") == "\"é\\u200b\"");
  CHECK(go_quote("\xff") == "\"\\xff\"");
  CHECK(go_float(1e21) == "1e+21");
  CHECK(go_float(100000) == "100000");
  CHECK(go_float(0.00001) == "1e-05");
}

TEST_CASE("metadata of a create is validated") {
  FieldPath p("metadata");
  CHECK(validate_object_meta(meta(R"({"name":"a","namespace":"n","labels":{"x":"y"},"finalizers":["example.com/f"]})"), true,
                             name_is_dns_subdomain, p).empty());
  CHECK(texts(validate_object_meta(meta("{}"), true, name_is_dns_subdomain, p)) ==
        Texts{"metadata.name: Required value: name or generateName is required", "metadata.namespace: Required value"});
  CHECK(texts(validate_object_meta(meta(R"({"name":"a","namespace":"n"})"), false, name_is_dns_subdomain, p)) ==
        Texts{"metadata.namespace: Forbidden: not allowed on this type"});
  CHECK(validate_object_meta(meta(R"({"name":"A","generateName":"BB-","namespace":"n"})"), true, name_is_dns_subdomain, p).size() == 2);
  CHECK(texts(validate_object_meta(meta(R"({"name":"a","namespace":"n","generation":-1})"), true, name_is_dns_subdomain, p)) ==
        Texts{"metadata.generation: Invalid value: -1: must be greater than or equal to 0"});
  Document big = {{"name", "a"}, {"namespace", "n"}, {"annotations", {{"k", std::string(kTotalAnnotationSizeLimit, 'x')}}}};
  CHECK(texts(validate_object_meta(big, true, name_is_dns_subdomain, p)) ==
        Texts{"metadata.annotations: Too long: may not be more than 262144 bytes"});
  CHECK(validate_annotations(meta(R"({"Example.COM/Key":"any thing"})"), p).empty());
}

TEST_CASE("owner references and finalizers are validated") {
  FieldPath p("metadata");
  CHECK(texts(validate_owner_references(meta(R"([{"apiVersion":"a/b/c"}])"), p)) ==
        Texts{"metadata[0].apiVersion: Invalid value: \"a/b/c\": must be <group>/<version> or <version>",
              "metadata[0].kind: Required value: must not be empty", "metadata[0].name: Required value: must not be empty",
              "metadata[0].uid: Required value: must not be empty"});
  auto two = validate_owner_references(meta(R"([{"apiVersion":"v1","kind":"A","name":"x","uid":"1","controller":true},
                                                {"apiVersion":"v1","kind":"B","name":"y","uid":"2","controller":true}])"), p);
  REQUIRE(two.size() == 1);
  CHECK(two[0].detail == "Only one reference can have Controller set to true. Found \"true\" in references for A/x and B/y");
  CHECK(validate_owner_references(meta(R"([{"apiVersion":"v1","kind":"Event","name":"x","uid":"1"}])"), p)[0].detail ==
        "/v1, Kind=Event is disallowed from being an owner");
  CHECK(texts(validate_finalizers(meta(R"(["orphan","foregroundDeletion"])"), p)) ==
        Texts{"metadata: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer orphan and foregroundDeletion cannot be both set"});
}

TEST_CASE("built-in kinds take finalizers with a domain, or Kubernetes' own") {
  auto with = [](const char* finalizer) { return Document{{"name", "a"}, {"finalizers", {finalizer}}}; };
  FieldPath p("metadata");
  CHECK(validate_object_meta(with("example.com/f"), false, name_is_dns_subdomain, p).empty());
  CHECK(validate_object_meta(with("foregroundDeletion"), false, name_is_dns_subdomain, p).empty());
  CHECK(texts(validate_object_meta(with("mine"), false, name_is_dns_subdomain, p)) ==
        Texts{"metadata.finalizers[0]: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified"});
  CHECK(validate_object_meta(with("mine"), false, name_is_dns_subdomain, p, false).empty());
}

TEST_CASE("what an update may not change") {
  FieldPath p("metadata");
  auto old = meta(R"({"name":"a","namespace":"n","uid":"u","creationTimestamp":"2026-01-01T00:00:00Z","resourceVersion":"1","generation":2})");
  CHECK(validate_object_meta_update(old, old, p).empty());
  auto now = old;
  now["uid"] = "v";
  now.erase("creationTimestamp");
  now["generation"] = 1;
  now.erase("resourceVersion");
  now["name"] = "b";
  CHECK(texts(validate_object_meta_update(now, old, p)) ==
        Texts{"metadata.resourceVersion: Invalid value: \"\": must be specified for an update",
              "metadata.generation: Invalid value: 1: must not be decremented", "metadata.name: Invalid value: \"b\": field is immutable",
              "metadata.uid: Invalid value: \"v\": field is immutable", "metadata.creationTimestamp: Invalid value: null: field is immutable"});
  auto dying = old;
  dying["deletionTimestamp"] = "2026-01-02T00:00:00Z";
  dying["finalizers"] = {"x.y/b"};
  auto more = dying;
  more["finalizers"] = {"x.y/b", "x.y/a"};
  CHECK(texts(validate_object_meta_update(more, dying, p)) ==
        Texts{"metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"x.y/a\"}"});
}

TEST_CASE("request options are validated") {
  CHECK(texts(validate_patch_options(true, "", false, {}, "")) == Texts{"fieldManager: Required value: is required for apply patch"});
  CHECK(texts(validate_patch_options(false, "m", true, {}, "")) == Texts{"force: Forbidden: may not be specified for non-apply patch"});
  CHECK(texts(validate_dry_run({"Some"}, FieldPath("dryRun"))) == Texts{"dryRun: Unsupported value: [\"Some\"]: supported values: \"All\""});
  CHECK(texts(validate_field_validation("Hard", FieldPath("fieldValidation"))) ==
        Texts{"fieldValidation: Unsupported value: \"Hard\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\""});
  CHECK(validate_field_manager(std::string(129, 'x'), FieldPath("fieldManager")).size() == 1);
  CHECK(validate_field_manager("a\tb", FieldPath("fieldManager"))[0].detail == "invalid character U+0009 (at position 1)");
  CHECK(validate_delete_options(meta(R"({"propagationPolicy":"Sideways"})")).size() == 1);
  CHECK(validate_delete_options(meta(R"({"propagationPolicy":"Orphan","orphanDependents":true})")).size() == 1);
  CHECK(validate_delete_options(meta(R"({"propagationPolicy":"Foreground","dryRun":["All"]})")).empty());
}

TEST_CASE("absent, null and empty are semantically equal") {
  CHECK(semantically_equal(meta(R"({"a":null,"b":[],"c":{}})"), meta("{}")));
  CHECK(semantically_equal(meta(R"({"a":{"b":[],"c":{"d":null}},"d":1})"), meta(R"({"d":1})")));
  CHECK(semantically_equal(meta(R"([1,{"a":null}])"), meta(R"([1,{}])")));
  CHECK_FALSE(semantically_equal(meta(R"({"a":""})"), meta("{}")));
}

TEST_CASE("values of a built-in type are equal as Go's structs are") {
  const auto& resource = *api::find_type("io.k8s.apimachinery.pkg.apis.meta.v1.GroupResource");
  CHECK(semantically_equal(resource, meta(R"({"group":"","resource":"pods"})"), meta(R"({"resource":"pods"})")));
  CHECK_FALSE(semantically_equal(resource, meta(R"({"group":"a","resource":"pods"})"), meta(R"({"resource":"pods"})")));
  const auto& volume = *api::find_type("io.k8s.api.core.v1.Volume");
  CHECK_FALSE(semantically_equal(volume, meta(R"({"name":"v","emptyDir":{}})"), meta(R"({"name":"v"})")));  // a pointer to an empty struct
  const auto& claim = *api::find_type("io.k8s.api.core.v1.PersistentVolumeClaimSpec");
  CHECK_FALSE(semantically_equal(claim, meta(R"({"storageClassName":""})"), meta("{}")));  // a pointer to an empty text
}
