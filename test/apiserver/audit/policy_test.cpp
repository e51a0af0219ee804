#include "apiserver/audit/policy.hpp"
#include "apiserver/rbac/fake_lister.hpp"

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::apiserver;

namespace {

const char* kPolicy = R"(
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, users: ["system:quiet"]}
- {level: None, userGroups: [probes], nonResourceURLs: ["/healthz*", /version]}
- level: RequestResponse
  resources: [{group: "", resources: [secrets], resourceNames: [top]}]
  omitManagedFields: false
- level: Request
  verbs: [create, update]
  namespaces: [prod]
  resources: [{group: apps}, {group: "", resources: ["pods/*", "*/status"]}]
  omitStages: [ResponseStarted]
- {level: Metadata, namespaces: [prod]}
)";

}  // namespace

TEST_CASE("the first rule of an audit policy that matches decides") {
  auto p = AuditPolicy::parse(kPolicy);
  INFO(p.status().message());
  REQUIRE(p);
  UserInfo anna{"anna", "", {"people"}, {}}, probe{"probe", "", {"x", "probes"}, {}}, quiet{"system:quiet", "", {}, {}};
  auto level = [&](const Attributes& a) { return p->decide(a).level; };
  CHECK(level(fakes::asks(quiet, "get", "", "secrets", "prod", "top")) == AuditLevel::None);
  CHECK(level(fakes::asks(anna, "get", "", "secrets", "any", "top")) == AuditLevel::RequestResponse);
  CHECK(level(fakes::asks(anna, "get", "", "secrets", "any", "other")) == AuditLevel::None);
  CHECK(level(fakes::asks(anna, "get", "", "secrets", "prod", "other")) == AuditLevel::Metadata);
  CHECK(level(fakes::asks(anna, "create", "apps", "deployments", "prod")) == AuditLevel::Request);
  CHECK(level(fakes::asks(anna, "patch", "apps", "deployments", "prod")) == AuditLevel::Metadata);
  CHECK(level(fakes::asks(anna, "create", "", "pods", "prod", "a", "exec")) == AuditLevel::Request);
  CHECK(level(fakes::asks(anna, "create", "", "pods", "prod")) == AuditLevel::Request);  // pods/* is pods too, as upstream reads it
  CHECK(level(fakes::asks(anna, "update", "", "services", "prod", "a", "status")) == AuditLevel::Request);
  CHECK(level(fakes::asks(anna, "update", "", "services", "prod", "a")) == AuditLevel::Metadata);
  Attributes url;
  url.verb = "get";
  url.user = &probe;
  url.path = "/healthz/ping";
  CHECK(level(url) == AuditLevel::None);
  CHECK(p->decide(fakes::asks(anna, "get", "", "secrets", "", "top")).omit_managed_fields == false);
  AuditDecision d = p->decide(fakes::asks(anna, "create", "apps", "deployments", "prod"));
  CHECK(d.omit_managed_fields);
  CHECK(d.omitted == std::array<bool, kAuditStages>{true, true, false, false});
}

TEST_CASE("an audit policy that cannot be used says why") {
  auto refused = [](const char* rules) {
    auto p = AuditPolicy::parse(std::string("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: ") + rules);
    REQUIRE_FALSE(p);
    return p.status().message();
  };
  CHECK(refused("[]") == "a policy without rules would log nothing");
  CHECK(refused("[{level: Loud}]") == "rules[0].level: want None, Metadata, Request or RequestResponse");
  CHECK(refused("[{level: None}, {level: None, user: [x]}]") == "unknown field \"rules[1].user\"");
  CHECK(refused("[{level: None, omitStages: [Now]}]") == "rules[0].omitStages: Now is no stage");
  CHECK(refused("[{level: None, nonResourceURLs: [/a], namespaces: [b]}]") == "rules[0].nonResourceURLs: a rule applies to resources or to other URLs, not to both");
  CHECK(refused("[{level: None, nonResourceURLs: ['/a*b']}]") == "rules[0].nonResourceURLs: /a*b: want a path, with '*' at most at its end");
  CHECK(refused("[{level: None, resources: [{resourceNames: [a]}]}]") == "rules[0].resources: resourceNames need resources");
  CHECK(AuditPolicy::parse("kind: Pod\n").status().message() == "want a Policy of audit.k8s.io/v1");
}
