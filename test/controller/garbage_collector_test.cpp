// Owners and dependents, custom resources among them.
#include "cluster.hpp"

using namespace onebin;
using namespace onebin::controller::test;

namespace {

const std::string kMaps = "/api/v1/namespaces/default/configmaps", kFoos = "/apis/example.com/v1/namespaces/default/foos";
const std::string kDefinitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

Document owned_by(Document object, const Document& owner) {
  object["metadata"]["ownerReferences"] = Document::array({{{"apiVersion", owner["apiVersion"]}, {"kind", owner["kind"]}, {"name", owner["metadata"]["name"]},
                                                            {"uid", owner["metadata"]["uid"]}, {"blockOwnerDeletion", true}}});
  return object;
}

Document foo(const std::string& name) { return {{"apiVersion", "example.com/v1"}, {"kind", "Foo"}, {"metadata", {{"name", name}}}}; }

void define(Cluster& c) {
  Document version = {{"name", "v1"}, {"served", true}, {"storage", true}, {"schema", {{"openAPIV3Schema", {{"type", "object"}}}}}};
  Document spec = {{"group", "example.com"}, {"scope", "Namespaced"}, {"names", {{"plural", "foos"}, {"kind", "Foo"}}}, {"versions", Document::array({version})}};
  c.create(kDefinitions, object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "foos.example.com", spec));
  c.settle();
}

}  // namespace

TEST_CASE("custom resources go with their owners, and take their dependents along") {
  Cluster c({"garbage-collector"});
  define(c);
  c.create(kMaps, apiserver::test::config_map("owner"));
  c.create(kFoos, owned_by(foo("middle"), c.get(kMaps + "/owner").body));
  c.create(kMaps, owned_by(apiserver::test::config_map("leaf"), c.get(kFoos + "/middle").body));
  REQUIRE(c.get(kMaps + "/leaf").code == 200);
  SECTION("in the background") {
    c.remove(kMaps + "/owner");
    c.settle(std::chrono::seconds(1));
    CHECK(c.get(kFoos + "/middle").code == 404);
    CHECK(c.get(kMaps + "/leaf").code == 404);
  }
  SECTION("in the foreground") {
    c.remove(kMaps + "/owner?propagationPolicy=Foreground");
    c.settle(std::chrono::seconds(1));
    CHECK(c.get(kMaps + "/owner").code == 404);
    CHECK(c.get(kFoos + "/middle").code == 404);
    CHECK(c.get(kMaps + "/leaf").code == 404);
  }
  SECTION("left as orphans") {
    c.remove(kFoos + "/middle?propagationPolicy=Orphan");
    c.settle(std::chrono::seconds(1));
    CHECK(c.get(kFoos + "/middle").code == 404);
    REQUIRE(c.get(kMaps + "/leaf").code == 200);
    CHECK_FALSE(c.get(kMaps + "/leaf").body["metadata"].contains("ownerReferences"));
  }
  SECTION("with their definition") {
    c.remove(kDefinitions + "/foos.example.com");
    c.settle(std::chrono::seconds(1));
    CHECK(c.get(kFoos).code == 404);
    CHECK(c.get(kMaps + "/leaf").code == 404);
    CHECK(c.get(kMaps + "/owner").code == 200);
  }
}
