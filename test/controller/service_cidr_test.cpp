#include "cluster.hpp"
#include "controller/service_cidr_plan.hpp"

using namespace onebin;
using namespace onebin::controller;
using namespace onebin::controller::test;

namespace {

ServiceCIDR cidr(const std::string& name, std::vector<std::string> ranges) {
  ServiceCIDR c;
  c.metadata.name = name;
  c.spec.cidrs = std::move(ranges);
  return c;
}
const std::string kNet = "/apis/networking.k8s.io/v1/";

}  // namespace

TEST_CASE("which range holds an address, and which may go") {
  CHECK(Prefix::parse("10.0.0.0/8")->contains(*Prefix::parse("10.1.2.3")));
  CHECK_FALSE(Prefix::parse("10.0.0.0/16")->contains(*Prefix::parse("10.1.2.3")));
  CHECK_FALSE(Prefix::parse("10.0.0.0/16")->contains(*Prefix::parse("10.0.0.0/8")));
  CHECK(Prefix::parse("fd00::/108")->contains(*Prefix::parse("fd00::f:ffff")));
  CHECK_FALSE(Prefix::parse("10.0.0.0/33"));
  CHECK_FALSE(Prefix::parse("ten"));

  ServiceCIDR a = cidr("a", {"10.0.0.0/24"}), b = cidr("b", {"10.0.1.0/24"}), all = cidr("all", {"10.0.0.0/16"});
  CHECK(can_go(a, {a, b}, {"10.0.1.7"}));
  CHECK_FALSE(can_go(a, {a, b}, {"10.0.0.7"}));
  CHECK(can_go(a, {a, b, all}, {"10.0.0.7"}));
}

TEST_CASE("each address of a Service has its object, and more ranges can be added and used up") {
  Cluster c({"service-cidr-controller"});
  auto kubernetes = c.get("/api/v1/namespaces/default/services/kubernetes").body;
  std::string ip = kubernetes["spec"]["clusterIP"];
  auto object_of_it = c.get(kNet + "ipaddresses/" + ip).body;
  CHECK(object_of_it["spec"]["parentRef"]["name"] == "kubernetes");
  CHECK(object_of_it["metadata"]["labels"]["ipaddress.kubernetes.io/managed-by"] == "ipallocator.k8s.io");

  auto service = [&](const std::string& name, const std::string& address) {
    return c.post("/api/v1/namespaces/default/services", object("v1", "Service", name, {{"clusterIP", address}, {"ports", Document::array({{{"port", 80}}})}}));
  };
  CHECK(service("far", "10.99.0.5").code == 422);
  c.create(kNet + "servicecidrs", object("networking.k8s.io/v1", "ServiceCIDR", "more", {{"cidrs", Document::array({"10.99.0.0/24"})}}));
  auto more = c.get(kNet + "servicecidrs/more").body;
  CHECK(more["status"]["conditions"][0]["type"] == "Ready");
  CHECK(more["status"]["conditions"][0]["status"] == "True");
  CHECK(service("far", "10.99.0.5").code == 201);
  c.settle();
  CHECK(c.get(kNet + "ipaddresses/10.99.0.5").code == 200);

  // In use: it stays, and says so, until the address is free.
  c.remove(kNet + "servicecidrs/more");
  more = c.get(kNet + "servicecidrs/more").body;
  REQUIRE(more["metadata"].contains("deletionTimestamp"));
  CHECK(more["status"]["conditions"][0]["status"] == "False");
  CHECK(more["status"]["conditions"][0]["reason"] == "Terminating");
  CHECK(service("late", "10.99.0.6").code == 422);
  c.remove("/api/v1/namespaces/default/services/far");
  CHECK(c.get(kNet + "ipaddresses/10.99.0.5").code == 404);
  c.settle(15s);
  CHECK(c.get(kNet + "servicecidrs/more").code == 404);
}

TEST_CASE("an address that somebody has reserved is not given to a Service") {
  Cluster c({"service-cidr-controller"});
  c.create(kNet + "ipaddresses", object("networking.k8s.io/v1", "IPAddress", "10.43.0.77",
                                        {{"parentRef", {{"group", "example.com"}, {"resource", "gateways"}, {"namespace", "default"}, {"name", "g"}}}}));
  auto a = c.post("/api/v1/namespaces/default/services", object("v1", "Service", "s", {{"clusterIP", "10.43.0.77"}, {"ports", Document::array({{{"port", 80}}})}}));
  CHECK(a.code == 422);
  CHECK(a.text.find("provided IP is already allocated") != std::string::npos);
  CHECK(c.get(kNet + "ipaddresses/10.43.0.77").code == 200);
}
