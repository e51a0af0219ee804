#include "apiserver/admission/rule_matching.hpp"
#include "apiserver/rbac/fake_lister.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/storage/store.hpp>

using namespace onebin;
using namespace onebin::apiserver;

namespace {

Document parse(const char* text) { return Document::parse(text); }

struct Fixture : fakes::Sim {
  std::unique_ptr<storage::Store> store = storage::make_memory_store();
  Cacher cacher{*store};
  Registry registry;
  fakes::FakeLister lister;
  UserInfo joe = fakes::user("joe");
  RuleMatcher matcher{registry, lister};

  Fixture() {
    registry.add_builtins(cacher);
    api::core::v1::Namespace ns;
    ns.metadata.name = "a";
    ns.metadata.labels["team"] = "blue";
    lister.put(ns);
  }
  // How the request was matched: "group/version/resource version/Kind", "no", or the error's text.
  std::string match(const MatchCriteria& c, const AdmissionAttributes& a) {
    Result<std::optional<Match>> m = matcher.match(c, a);
    if (!m) return m.status().message();
    if (!*m) return "no";
    return (*m)->resource.group + "/" + (*m)->resource.version + "/" + (*m)->resource.resource + " " + (*m)->kind.api_version() + "/" + (*m)->kind.kind;
  }
  std::string match(const char* webhook, const AdmissionAttributes& a) {
    Document d = parse(webhook);
    for (const char* s : {"namespaceSelector", "objectSelector"})
      if (!d.contains(s)) d[s] = Document::object();
    return match(MatchCriteria::of_webhook(d), a);
  }
};

constexpr const char* kPods = R"({"rules":[{"operations":["CREATE","UPDATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["pods"]}]})";

}  // namespace

TEST_CASE_METHOD(Fixture, "a rule names operations, groups, versions, resources and subresources") {
  Document pod = parse(R"({"metadata":{"name":"p"}})");
  AdmissionAttributes a = fakes::create_of("", "pods", "Pod", "a", &pod, &joe);
  CHECK(match(kPods, a) == "/v1/pods v1/Pod");
  a.operation = Operation::Connect;
  CHECK(match(kPods, a) == "no");
  a.operation = Operation::Update;
  a.subresource = "status";
  CHECK(match(kPods, a) == "no");
  auto with = [](const char* resources) {
    return std::string(R"({"rules":[{"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":[")") + resources + "\"]}]}";
  };
  for (const char* r : {"pods/status", "*/status", "*/*", "pods/*"}) CHECK(match(with(r).c_str(), a) == "/v1/pods v1/Pod");
  for (const char* r : {"pods", "*", "services/status", "*/scale"}) CHECK(match(with(r).c_str(), a) == "no");
  a.subresource.clear();
  for (const char* r : {"pods", "*", "*/*", "pods/*"}) CHECK(match(with(r).c_str(), a) == "/v1/pods v1/Pod");
}

TEST_CASE_METHOD(Fixture, "scope: a Namespace is in no namespace") {
  auto scoped = [](const char* scope) {
    return std::string(R"({"rules":[{"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*"],"scope":")") + scope + "\"}]}";
  };
  Document object = parse(R"({"metadata":{"name":"a"}})");
  AdmissionAttributes pod = fakes::create_of("", "pods", "Pod", "a", &object, &joe), ns = fakes::create_of("", "namespaces", "Namespace", "", &object, &joe);
  CHECK(match(scoped("Namespaced").c_str(), pod) == "/v1/pods v1/Pod");
  CHECK(match(scoped("Cluster").c_str(), pod) == "no");
  CHECK(match(scoped("Namespaced").c_str(), ns) == "no");
  CHECK(match(scoped("Cluster").c_str(), ns) == "/v1/namespaces v1/Namespace");
  CHECK(match(scoped("*").c_str(), ns) == "/v1/namespaces v1/Namespace");
  CHECK(namespace_of_request(ns) == "a");
}

TEST_CASE_METHOD(Fixture, "Equivalent finds other versions of what is stored as one, Exact does not") {
  Document object = parse(R"({"metadata":{"name":"x"}})");
  AdmissionAttributes a = fakes::create_of("autoscaling", "horizontalpodautoscalers", "HorizontalPodAutoscaler", "a", &object, &joe);
  const char* v2 = R"({"matchPolicy":"%","rules":[{"operations":["*"],"apiGroups":["autoscaling"],"apiVersions":["v2"],"resources":["horizontalpodautoscalers"]}]})";
  auto by = [&](const char* policy) {
    std::string t = v2;
    return t.replace(t.find('%'), 1, policy);
  };
  CHECK(match(by("Exact").c_str(), a) == "no");
  CHECK(match(by("Equivalent").c_str(), a) == "autoscaling/v2/horizontalpodautoscalers autoscaling/v2/HorizontalPodAutoscaler");
  a = fakes::create_of("", "events", "Event", "a", &object, &joe);
  CHECK(match(R"({"matchPolicy":"Equivalent","rules":[{"operations":["*"],"apiGroups":["events.k8s.io"],"apiVersions":["*"],"resources":["events"]}]})", a) ==
        "events.k8s.io/v1/events events.k8s.io/v1/Event");
}

TEST_CASE_METHOD(Fixture, "namespaces are selected by labels, and what is in none by nothing") {
  Document object = parse(R"({"metadata":{"name":"x","labels":{"team":"red"}}})");
  std::string rules = R"("rules":[{"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*"]}])";
  auto selecting = [&](const char* team) { return "{" + rules + R"(,"namespaceSelector":{"matchLabels":{"team":")" + team + "\"}}}"; };
  AdmissionAttributes pod = fakes::create_of("", "pods", "Pod", "a", &object, &joe);
  CHECK(match(selecting("blue").c_str(), pod) == "/v1/pods v1/Pod");
  CHECK(match(selecting("red").c_str(), pod) == "no");
  pod.ns = "gone";
  CHECK(match(selecting("red").c_str(), pod) == "namespaces \"gone\" not found");
  AdmissionAttributes node = fakes::create_of("", "nodes", "Node", "", &object, &joe);
  CHECK(match(selecting("red").c_str(), node) == "/v1/nodes v1/Node");
  // One that is written is judged by what it will be, one that is deleted by what it is.
  AdmissionAttributes ns = fakes::create_of("", "namespaces", "Namespace", "", &object, &joe);
  ns.name = "a";
  CHECK(match(selecting("red").c_str(), ns) == "/v1/namespaces v1/Namespace");
  ns.operation = Operation::Delete;
  ns.object = nullptr;
  CHECK(match(selecting("red").c_str(), ns) == "no");
  CHECK(match(selecting("blue").c_str(), ns) == "/v1/namespaces v1/Namespace");
  // An error of the namespace is none of a webhook that is not concerned.
  pod.subresource = "status";
  CHECK(match(selecting("red").c_str(), pod) == "no");
}

TEST_CASE_METHOD(Fixture, "objects are selected by the labels that they have or had") {
  Document now = parse(R"({"metadata":{"name":"x","labels":{"team":"red"}}})"), before = parse(R"({"metadata":{"name":"x","labels":{"team":"blue"}}})");
  std::string rules = R"("rules":[{"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*/*"]}])";
  auto selecting = [&](const char* team) { return "{" + rules + R"(,"objectSelector":{"matchLabels":{"team":")" + team + "\"}}}"; };
  AdmissionAttributes a = fakes::create_of("", "pods", "Pod", "a", &now, &joe);
  CHECK(match(selecting("blue").c_str(), a) == "no");
  a.operation = Operation::Update;
  a.load_old = [&] { return &before; };
  CHECK(match(selecting("blue").c_str(), a) == "/v1/pods v1/Pod");
  CHECK(match(selecting("green").c_str(), a) == "no");
  Document options = parse(R"({"kind":"PodExecOptions"})");
  AdmissionAttributes exec = fakes::create_of("", "pods", "PodExecOptions", "a", &options, &joe);
  exec.operation = Operation::Connect;
  exec.subresource = "exec";
  std::string not_green = "{" + rules + R"(,"objectSelector":{"matchExpressions":[{"key":"team","operator":"DoesNotExist"}]}})";
  CHECK(match(not_green.c_str(), exec) == "no");
  CHECK(match(("{" + rules + "}").c_str(), exec) == "/v1/pods v1/PodExecOptions");
}

TEST_CASE_METHOD(Fixture, "policies have names and exceptions, and without rules they are about everything") {
  Document object = parse(R"({"metadata":{"name":"x"}})");
  AdmissionAttributes a = fakes::create_of("", "pods", "Pod", "a", &object, &joe);
  auto policy = [&](const char* text) {
    Document d = parse(text);
    d["namespaceSelector"] = d["objectSelector"] = Document::object();
    return match(MatchCriteria::of_policy(d), a);
  };
  CHECK(policy("{}") == "/v1/pods v1/Pod");
  const char* rule = R"({"resourceRules":[{"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["pods"],"resourceNames":["%"]}]})";
  auto named = [&](const char* name) {
    std::string t = rule;
    return policy(t.replace(t.find('%'), 1, name).c_str());
  };
  CHECK(named("x") == "/v1/pods v1/Pod");
  CHECK(named("y") == "no");
  CHECK(policy(R"({"excludeResourceRules":[{"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["pods"]}]})") == "no");
}

TEST_CASE_METHOD(Fixture, "what a cluster is repaired with is left alone") {
  AdmissionAttributes a = fakes::create_of("admissionregistration.k8s.io", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", "", nullptr, &joe);
  CHECK(is_exempt_from_admission_configuration(a));
  a = fakes::create_of("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview", "", nullptr, &joe);
  CHECK(is_exempt_from_admission_configuration(a));
  a = fakes::create_of("", "pods", "Pod", "a", nullptr, &joe);
  CHECK_FALSE(is_exempt_from_admission_configuration(a));
}
