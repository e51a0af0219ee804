// The audit log of a server over the memory store.
#include "apiserver/support.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/file.hpp>

#include <cstdlib>

using namespace onebin;
using namespace onebin::apiserver;
using namespace onebin::apiserver::test;

namespace {

std::string temporary_folder() {
  char path[] = "/tmp/onebin-audit-XXXXXX";
  REQUIRE(::mkdtemp(path));
  return path;
}

struct Audited {
  explicit Audited(std::string rules, int max_size_mb = 100, int max_backups = 0)
      : folder(temporary_folder()), server(nullptr, [&](Options& o) {
          o.audit.policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: " + rules;
          o.audit.path = folder + "/audit.log";
          o.audit.max_size_mb = max_size_mb;
          o.audit.max_backups = max_backups;
        }) {
    (void)lines();
  }
  ~Audited() { (void)remove_all(folder); }

  // What was logged since the last call.
  std::vector<Document> lines() {
    std::string text = *read_file(folder + "/audit.log", 64u << 20);
    std::vector<Document> out;
    for (const auto& line : split(text.substr(read_), '\n'))
      if (!line.empty()) out.push_back(Document::parse(line));
    read_ = text.size();
    return out;
  }

  std::string folder;
  Fixture server;

 private:
  std::size_t read_ = 0;
};

const std::string kMaps = "/api/v1/namespaces/default/configmaps";

}  // namespace

TEST_CASE("a write is logged at its stages, with who, what and how it ended") {
  Audited a("[{level: RequestResponse, verbs: [create, patch], resources: [{resources: [configmaps]}]}, {level: Metadata, verbs: [delete, get]}]");
  REQUIRE(a.server.post(kMaps, config_map("m")).code == 201);
  auto events = a.lines();
  REQUIRE(events.size() == 2);
  const Document &received = events[0], &complete = events[1];
  CHECK(received["stage"] == "RequestReceived");
  CHECK(received["kind"] == "Event");
  CHECK(received["apiVersion"] == "audit.k8s.io/v1");
  CHECK_FALSE(received.contains("responseStatus"));
  CHECK(complete["stage"] == "ResponseComplete");
  CHECK(complete["auditID"] == received["auditID"]);
  CHECK(complete["level"] == "RequestResponse");
  CHECK(complete["verb"] == "create");
  CHECK(complete["requestURI"] == kMaps);
  CHECK(complete["user"]["username"] == "admin");
  CHECK(complete["objectRef"] == Document({{"resource", "configmaps"}, {"namespace", "default"}, {"name", "m"}, {"apiVersion", "v1"}}));
  CHECK(complete["responseStatus"] == Document({{"metadata", Document::object()}, {"code", 201}}));
  CHECK(complete["requestObject"]["data"]["k"] == "v");
  CHECK(complete["responseObject"]["metadata"]["uid"].is_string());
  CHECK(complete["annotations"]["authorization.k8s.io/decision"] == "allow");
  CHECK(complete["requestReceivedTimestamp"].get<std::string>().size() == 27);

  REQUIRE(a.server.send("PATCH", kMaps + "/m", {{"data", {{"k", "w"}}}}, "application/merge-patch+json").code == 200);
  events = a.lines();
  REQUIRE(events.size() == 2);
  CHECK(events[1]["requestObject"] == Document({{"data", {{"k", "w"}}}}));
  CHECK(events[1]["responseObject"]["data"]["k"] == "w");

  CHECK(a.server.get(kMaps + "/none").code == 404);
  events = a.lines();
  REQUIRE(events.size() == 2);
  CHECK(events[1]["responseStatus"]["reason"] == "NotFound");
  CHECK(events[1]["responseStatus"]["code"] == 404);
  CHECK(events[1]["responseStatus"]["details"]["name"] == "none");
  CHECK_FALSE(events[1].contains("responseObject"));

  REQUIRE(a.server.send("DELETE", kMaps + "/m").code == 200);
  events = a.lines();
  REQUIRE(events.size() == 2);
  CHECK(events[1]["responseStatus"]["status"] == "Success");
  CHECK_FALSE(events[1].contains("requestObject"));

  CHECK(a.server.get(kMaps).code == 200);  // list: no rule
  CHECK(a.lines().empty());
}

TEST_CASE("stages and managed fields are left out where the policy says so") {
  Audited a("[{level: RequestResponse, omitStages: [RequestReceived], omitManagedFields: true, verbs: [create, list], resources: [{resources: [configmaps]}]}]");
  REQUIRE(a.server.post(kMaps, config_map("m")).code == 201);
  REQUIRE(a.server.get(kMaps).code == 200);
  auto events = a.lines();
  REQUIRE(events.size() == 2);
  CHECK(events[0]["responseObject"]["metadata"].contains("uid"));
  CHECK_FALSE(events[0]["responseObject"]["metadata"].contains("managedFields"));
  REQUIRE(events[1]["responseObject"]["items"].size() >= 1);
  for (const auto& item : events[1]["responseObject"]["items"]) CHECK_FALSE(item["metadata"].contains("managedFields"));
}

TEST_CASE("policies and pod security tell the audit log what they found") {
  Audited a("[{level: Metadata, omitStages: [RequestReceived], verbs: [create], namespaces: [default], resources: [{resources: [configmaps, pods]}]}]");
  std::string registration = "/apis/admissionregistration.k8s.io/v1/";
  Document rules = Document::parse(R"([{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE"],"resources":["configmaps"]}])");
  Document policy = {{"metadata", {{"name", "p"}}},
                     {"spec", {{"matchConstraints", {{"resourceRules", rules}}},
                               {"validations", Document::parse(R"([{"expression":"true"},{"expression":"object.data.k == 'w'","message":"k is not w"}])")},
                               {"auditAnnotations", Document::parse(R"([{"key":"value","valueExpression":"'k=' + object.data.k"}])")}}}};
  REQUIRE(a.server.post(registration + "validatingadmissionpolicies", policy).code == 201);
  Document binding = {{"metadata", {{"name", "b"}}}, {"spec", {{"policyName", "p"}, {"validationActions", {"Audit"}}}}};
  REQUIRE(a.server.post(registration + "validatingadmissionpolicybindings", binding).code == 201);
  REQUIRE(a.server.post(kMaps, config_map("m")).code == 201);
  auto events = a.lines();
  REQUIRE(events.size() == 1);
  CHECK(events[0]["annotations"]["p/value"] == "k=v");
  Document failures = Document::parse(events[0]["annotations"]["validation.policy.admission.k8s.io/validation_failure"].get<std::string>());
  CHECK(failures == Document::parse(R"([{"message":"k is not w","policy":"p","binding":"b","expressionIndex":1,"validationActions":["Audit"]}])"));

  Document ns = a.server.get("/api/v1/namespaces/default").body;
  ns["metadata"]["labels"]["pod-security.kubernetes.io/audit"] = "restricted";
  REQUIRE(a.server.send("PUT", "/api/v1/namespaces/default", ns).code == 200);
  REQUIRE(a.server.post("/api/v1/namespaces/default/pods", pod("p")).code == 201);
  events = a.lines();
  REQUIRE(events.size() == 1);
  CHECK(events[0]["annotations"]["pod-security.kubernetes.io/enforce-policy"] == "privileged:latest");
  CHECK(events[0]["annotations"]["pod-security.kubernetes.io/audit-violations"].get<std::string>().find("would violate PodSecurity \"restricted:latest\": ") == 0);
}

TEST_CASE("a full audit log becomes a backup, and old backups go") {
  Audited a("[{level: Request, omitStages: [RequestReceived], verbs: [create], resources: [{resources: [configmaps]}]}]", 1, 2);
  Document big = config_map("m", std::string(700 * 1024, 'x'));
  for (int i = 0; i < 6; ++i) {
    big["metadata"]["name"] = "m" + std::to_string(i);
    REQUIRE(a.server.post(kMaps, big).code == 201);
    a.server.loop->run_for(std::chrono::seconds(1));
  }
  auto files = list_dir(a.folder);
  REQUIRE(files);
  CHECK(files->size() == 3);  // the log and two of five backups
  for (const auto& f : *files) CHECK((f == "audit.log" || (starts_with(f, "audit-2026-") && ends_with(f, ".log") && f.size() == 33)));
}
