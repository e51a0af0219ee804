#include <onebin/api/registry.hpp>
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/field_mask.hpp>

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::apimachinery;

namespace {

Document pod() {
  return Document::parse(R"({"apiVersion":"v1","kind":"Pod",
    "metadata":{"name":"a","namespace":"b","labels":{"x":"y"},"creationTimestamp":"2026-01-02T03:04:05Z",
      "managedFields":[{"manager":"m","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{}}}]},
    "spec":{"nodeName":"n","containers":[{"name":"one","image":"i"},{"name":"two","image":"j","env":[{"name":"E","value":"v"}]}],
      "volumes":[{"name":"v","emptyDir":{}}]},
    "status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":null}]}})");
}

Document decoded(const FieldMask& mask) {
  const KindSchema* kind = api::find_kind("", "v1", "Pod");
  auto bytes = encode_message(pod(), *kind->type);
  REQUIRE(bytes);
  auto d = decode_masked(*bytes, *kind->type, mask);
  REQUIRE(d);
  return std::move(*d);
}

}  // namespace

TEST_CASE("a masked decode gives what the mask names, and nothing else") {
  const KindSchema* kind = api::find_kind("", "v1", "Pod");
  std::vector<std::string_view> paths = {"metadata.name", "spec.nodeName", "spec.containers.name", "spec.volumes", "status.conditions.type", "no.such.field"};
  Document d = decoded(FieldMask::of(*kind->type, paths));
  CHECK(d["metadata"] == Document({{"name", "a"}}));
  CHECK(d["spec"]["nodeName"] == "n");
  CHECK(d["spec"]["containers"] == Document::parse(R"([{"name":"one"},{"name":"two"}])"));
  // From inside an embedded struct (a volume's source), whole.
  CHECK(d["spec"]["volumes"] == Document::parse(R"([{"name":"v","emptyDir":{}}])"));
  CHECK(d["status"] == Document::parse(R"({"conditions":[{"type":"Ready"}]})"));
  CHECK(d["spec"].size() == 3);
}

TEST_CASE("a mask narrower than one that came before does not narrow it") {
  const KindSchema* kind = api::find_kind("", "v1", "Pod");
  std::vector<std::string_view> paths = {"spec.containers", "spec.containers.name", "spec.volumes.emptyDir"};
  Document d = decoded(FieldMask::of(*kind->type, paths));
  CHECK(d["spec"]["containers"][1]["env"][0]["value"] == "v");
  CHECK(d["spec"]["volumes"] == Document::parse(R"([{"emptyDir":{}}])"));
  CHECK(!d.contains("metadata"));
}

TEST_CASE("all but managedFields") {
  const KindSchema* kind = api::find_kind("", "v1", "Pod");
  Document whole = pod(), d = decoded(FieldMask::without_managed_fields(*kind->type));
  CHECK(!d["metadata"].contains("managedFields"));
  CHECK(d["metadata"]["labels"] == whole["metadata"]["labels"]);
  CHECK(d["spec"]["containers"][0]["image"] == "i");
  CHECK(d["status"]["phase"] == "Running");
}
