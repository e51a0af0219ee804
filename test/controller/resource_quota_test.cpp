// The resource quota controller against a server over the memory store.
#include "apiserver/support.hpp"
#include "controller/resource_quota.hpp"

using namespace onebin;
using namespace onebin::apiserver::test;

namespace {

const std::string kNs = "/api/v1/namespaces/default";

struct Quotas : Fixture {
  Quotas() {
    context.options = &options;
    context.rng = &rng;
    context.transport_of = [this](const std::string&) -> client::Transport& { return *transport; };
    reader = std::make_unique<client::Client>(*transport, "test");
    informers = std::make_unique<controller::Informers>(*reader);
    context.informers = informers.get();
    quota_controller = controller::make_resource_quota_controller(context);
    quota_controller->start();
    informers->start();
    settle();
  }
  ~Quotas() {
    run(quota_controller->stop());
    run(informers->stop());
    quota_controller.reset();
    informers.reset();
    reader.reset();
  }
  void settle(Duration d = 100ms) { loop->run_for(d); }
  void quota(const std::string& name, Document hard, Document spec = Document::object()) {
    spec["hard"] = std::move(hard);
    REQUIRE(post(kNs + "/resourcequotas", {{"metadata", {{"name", name}}}, {"spec", spec}}).code == 201);
    settle();
  }
  Document status(const std::string& name) { return get(kNs + "/resourcequotas/" + name).body["status"]; }
  Document used(const std::string& name) { return status(name)["used"]; }

  controller::Options options;
  controller::Context context;
  std::unique_ptr<client::Client> reader;
  std::unique_ptr<controller::Informers> informers;
  std::unique_ptr<controller::Controller> quota_controller;
};

Document asking(std::string name, const char* cpu) {
  Document p = pod(std::move(name));
  p["spec"]["containers"][0]["resources"]["requests"]["cpu"] = cpu;
  return p;
}

}  // namespace

TEST_CASE_METHOD(Quotas, "a quota tells what was there before it, and follows what comes and goes") {
  // The one Service is `kubernetes`.
  REQUIRE(post(kNs + "/configmaps", config_map("old")).code == 201);
  REQUIRE(post(kNs + "/pods", asking("p", "250m")).code == 201);
  quota("q", {{"configmaps", "5"}, {"pods", "3"}, {"requests.cpu", "1"}, {"count/deployments.apps", "1"}, {"services", "2"}});
  CHECK(status("q")["hard"] == Document({{"configmaps", "5"}, {"pods", "3"}, {"requests.cpu", "1"}, {"count/deployments.apps", "1"}, {"services", "2"}}));
  CHECK(used("q") == Document({{"configmaps", "1"}, {"pods", "1"}, {"requests.cpu", "250m"}, {"count/deployments.apps", "0"}, {"services", "1"}}));
  REQUIRE(post(kNs + "/configmaps", config_map("new")).code == 201);
  CHECK(used("q")["configmaps"] == "2");
  REQUIRE(send("DELETE", kNs + "/configmaps/old").code == 200);
  REQUIRE(send("DELETE", kNs + "/pods/p?gracePeriodSeconds=0").code == 200);
  settle(1s);
  CHECK(used("q") == Document({{"configmaps", "1"}, {"pods", "0"}, {"requests.cpu", "0"}, {"count/deployments.apps", "0"}, {"services", "1"}}));
}

TEST_CASE_METHOD(Quotas, "a changed spec is measured anew; scopes select") {
  REQUIRE(post(kNs + "/pods", asking("p", "250m")).code == 201);
  REQUIRE(post(kNs + "/pods", pod("best")).code == 201);
  quota("q", {{"pods", "3"}}, {{"scopes", {"BestEffort"}}});
  CHECK(used("q") == Document({{"pods", "1"}}));
  Document patch = {{"spec", {{"hard", {{"pods", "10"}, {"count/pods", "7"}}}}}};
  REQUIRE(send("PATCH", kNs + "/resourcequotas/q", patch, "application/merge-patch+json").code == 200);
  settle();
  CHECK(status("q") == Document({{"hard", {{"count/pods", "7"}, {"pods", "10"}}}, {"used", {{"count/pods", "1"}, {"pods", "1"}}}}));
}

TEST_CASE_METHOD(Quotas, "pods that are over, and pods whose grace is over, count no longer") {
  REQUIRE(post(kNs + "/pods", pod("done")).code == 201);
  Document stuck = pod("stuck");
  stuck["spec"]["nodeName"] = "n";
  REQUIRE(post(kNs + "/pods", stuck).code == 201);
  quota("q", {{"pods", "3"}, {"count/pods", "3"}});
  CHECK(used("q") == Document({{"count/pods", "2"}, {"pods", "2"}}));
  REQUIRE(send("PATCH", kNs + "/pods/done/status", {{"status", {{"phase", "Succeeded"}}}}, "application/merge-patch+json").code == 200);
  settle(1s);
  CHECK(used("q") == Document({{"count/pods", "2"}, {"pods", "1"}}));
  REQUIRE(send("DELETE", kNs + "/pods/stuck").code == 200);
  settle(30s);
  CHECK(used("q")["pods"] == "1");
  settle(35s);
  CHECK(used("q") == Document({{"count/pods", "2"}, {"pods", "0"}}));
}

TEST_CASE_METHOD(Quotas, "a charge for what never came is given back") {
  quota("q", {{"configmaps", "3"}});
  Document q = get(kNs + "/resourcequotas/q").body;
  q["status"]["used"]["configmaps"] = "2";
  REQUIRE(send("PUT", kNs + "/resourcequotas/q/status", q).code == 200);
  settle(50ms);
  CHECK(used("q")["configmaps"] == "2");  // it may be on its way
  settle(1s);
  CHECK(used("q")["configmaps"] == "0");
}

TEST_CASE_METHOD(Quotas, "a name that nothing is measured by stays without usage") {
  quota("q", {{"count/widgets.example.com", "1"}, {"secrets", "1"}});
  CHECK(used("q") == Document({{"secrets", "0"}}));
}
