// The workload controllers' shells: what they make of the API's objects.
#include "cluster.hpp"

using namespace onebin;
using namespace onebin::controller::test;

namespace {
const std::string kApps = "/apis/apps/v1/namespaces/default/", kCore = "/api/v1/namespaces/default/", kBatch = "/apis/batch/v1/namespaces/default/";
}

TEST_CASE("a Deployment rolls from one template to the next, and records its revisions") {
  Cluster c({"deployment-controller", "replicaset-controller"});
  c.create(kApps + "deployments", object("apps/v1", "Deployment", "web", {{"replicas", 2}, {"selector", selector("web")}, {"template", pod_template("web")}}));
  REQUIRE(c.pods().size() == 2);
  for (const auto& p : c.pods()) c.run_pod(p);
  auto d = c.get(kApps + "deployments/web").body;
  CHECK(d["status"]["availableReplicas"] == 2);
  CHECK(d["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1");
  CHECK(c.has_event("ScalingReplicaSet"));
  CHECK(c.has_event("SuccessfulCreate"));

  c.patch(kApps + "deployments/web", {{"spec", {{"template", pod_template("web", "busybox:2")}}}});
  for (int i = 0; i < 6; ++i)
    for (const auto& p : c.items(kCore + "pods"))
      if (p["status"]["phase"] != "Running") c.run_pod(p["metadata"]["name"]);
  auto pods = c.items(kCore + "pods");
  REQUIRE(pods.size() == 2);
  for (const auto& p : pods) CHECK(p["spec"]["containers"][0]["image"] == "busybox:2");
  d = c.get(kApps + "deployments/web").body;
  CHECK(d["status"]["updatedReplicas"] == 2);
  CHECK(d["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2");
  CHECK(c.items(kApps + "replicasets").size() == 2);
}

TEST_CASE("a DaemonSet has one pod on each node that takes it") {
  Cluster c({"daemonset-controller"});
  for (std::string name : {"a", "b"}) {
    c.create("/api/v1/nodes", {{"apiVersion", "v1"}, {"kind", "Node"}, {"metadata", {{"name", name}, {"labels", {{"disk", name}}}}}});
    c.patch("/api/v1/nodes/" + name, {{"spec", {{"taints", nullptr}}}});  // not ready, from its creation
  }
  Document t = pod_template("ds");
  t["spec"]["nodeSelector"] = {{"disk", "a"}};
  c.create(kApps + "daemonsets", object("apps/v1", "DaemonSet", "ds", {{"selector", selector("ds")}, {"template", t}}));
  REQUIRE(c.pods().size() == 1);
  CHECK(c.has_event("SuccessfulCreate"));
  auto d = c.get(kApps + "daemonsets/ds").body;
  CHECK(d["status"]["desiredNumberScheduled"] == 1);
  c.patch("/api/v1/nodes/b", {{"metadata", {{"labels", {{"disk", "a"}}}}}});
  CHECK(c.pods().size() == 2);
  CHECK(c.items(kApps + "controllerrevisions").size() == 1);
  c.patch("/api/v1/nodes/a", {{"metadata", {{"labels", {{"disk", "x"}}}}}});
  CHECK(c.get(kApps + "daemonsets/ds").body["status"]["desiredNumberScheduled"] == 1);
  CHECK(c.has_event("SuccessfulDelete"));
}

TEST_CASE("a Job counts what has succeeded and ends") {
  Cluster c({"job-controller"});
  Document t = pod_template("job");
  t["spec"]["restartPolicy"] = "Never";
  c.create(kBatch + "jobs", object("batch/v1", "Job", "once", {{"completions", 2}, {"parallelism", 1}, {"template", t}}));
  REQUIRE(c.pods().size() == 1);
  c.set_pod(c.pods()[0], "Succeeded", false);
  c.settle(2s);
  REQUIRE(c.pods().size() == 2);
  for (const auto& p : c.items(kCore + "pods"))
    if (p["status"]["phase"] != "Succeeded") c.set_pod(p["metadata"]["name"], "Succeeded", false);
  c.settle(2s);
  auto j = c.get(kBatch + "jobs/once").body;
  CHECK(j["status"]["succeeded"] == 2);
  bool complete = false;
  for (const auto& k : j["status"]["conditions"]) complete = complete || (k["type"] == "Complete" && k["status"] == "True");
  CHECK(complete);
  CHECK(c.has_event("SuccessfulCreate"));
  CHECK(c.has_event("Completed"));
  c.create(kBatch + "jobs", object("batch/v1", "Job", "held", {{"suspend", true}, {"template", t}}));
  CHECK(c.has_event("Suspended"));
  CHECK_FALSE(c.has_event("Resumed"));
  c.patch(kBatch + "jobs/held", {{"spec", {{"suspend", false}}}});
  CHECK(c.has_event("Resumed"));
}

TEST_CASE("a Job takes a pod back that has lost its owner, and lets go of one that no longer matches") {
  Cluster c({"job-controller"});
  Document t = pod_template("job");
  t["spec"]["restartPolicy"] = "Never";
  c.create(kBatch + "jobs", object("batch/v1", "Job", "two", {{"completions", 2}, {"parallelism", 2}, {"template", t}}));
  auto pods = c.pods();
  REQUIRE(pods.size() == 2);
  c.patch(kCore + "pods/" + pods[0], {{"metadata", {{"ownerReferences", nullptr}}}});
  auto p = c.get(kCore + "pods/" + pods[0]).body;
  REQUIRE(p["metadata"].contains("ownerReferences"));
  CHECK(p["metadata"]["ownerReferences"][0]["name"] == "two");
  CHECK(c.pods().size() == 2);
  c.patch(kCore + "pods/" + pods[1], {{"metadata", {{"labels", nullptr}}}});
  p = c.get(kCore + "pods/" + pods[1]).body;
  CHECK_FALSE(p["metadata"].contains("ownerReferences"));
  CHECK_FALSE(p["metadata"].contains("finalizers"));
  CHECK(c.pods().size() == 3);
}

TEST_CASE("a ReplicationController makes pods, adopts what matches and lets go of what does not") {
  Cluster c({"replicationcontroller-controller"});
  c.create(kCore + "pods", {{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", {{"name", "orphan"}, {"labels", {{"app", "rc"}}}}}, {"spec", pod_template("rc")["spec"]}});
  c.create(kCore + "replicationcontrollers", object("v1", "ReplicationController", "rc", {{"replicas", 2}, {"selector", {{"app", "rc"}}}, {"template", pod_template("rc")}}));
  REQUIRE(c.pods().size() == 2);
  auto orphan = c.get(kCore + "pods/orphan").body;
  CHECK(orphan["metadata"]["ownerReferences"][0]["kind"] == "ReplicationController");
  CHECK(c.get(kCore + "replicationcontrollers/rc").body["status"]["replicas"] == 2);
  c.patch(kCore + "pods/orphan", {{"metadata", {{"labels", {{"app", "free"}}}}}});
  CHECK_FALSE(c.get(kCore + "pods/orphan").body["metadata"].contains("ownerReferences"));
  CHECK(c.pods().size() == 3);
  c.patch(kCore + "replicationcontrollers/rc/scale", {{"spec", {{"replicas", 0}}}});
  CHECK(c.pods() == std::vector<std::string>{"orphan"});
  CHECK(c.has_event("SuccessfulDelete"));
}

TEST_CASE("a StatefulSet makes its pods in order with volumes of their own, and gives them up from the last") {
  Cluster c({"statefulset-controller"});
  Document claim = {{"metadata", {{"name", "data"}}},
                    {"spec", {{"accessModes", Document::array({"ReadWriteOnce"})}, {"resources", {{"requests", {{"storage", "1Gi"}}}}}}}};
  c.create(kApps + "statefulsets", object("apps/v1", "StatefulSet", "db", {{"replicas", 3}, {"serviceName", "db"}, {"selector", selector("db")}, {"template", pod_template("db")},
                                                                            {"volumeClaimTemplates", Document::array({claim})},
                                                                            {"persistentVolumeClaimRetentionPolicy", {{"whenDeleted", "Delete"}, {"whenScaled", "Retain"}}}}));
  CHECK(c.pods() == std::vector<std::string>{"db-0"});
  CHECK(c.names(kCore + "persistentvolumeclaims") == std::vector<std::string>{"data-db-0"});
  c.run_pod("db-0");
  c.run_pod("db-1");
  c.run_pod("db-2");
  CHECK(c.pods().size() == 3);
  auto pod = c.get(kCore + "pods/db-1").body;
  CHECK(pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "1");
  CHECK(pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == "db-1");
  CHECK(pod["spec"]["hostname"] == "db-1");
  CHECK(pod["spec"]["subdomain"] == "db");
  auto claims = c.items(kCore + "persistentvolumeclaims");
  REQUIRE(claims.size() == 3);
  CHECK(claims[0]["metadata"]["ownerReferences"][0]["kind"] == "StatefulSet");
  auto s = c.get(kApps + "statefulsets/db").body;
  CHECK(s["status"]["readyReplicas"] == 3);
  CHECK(s["status"]["currentRevision"] == s["status"]["updateRevision"]);
  CHECK(pod["metadata"]["labels"]["controller-revision-hash"] == s["status"]["updateRevision"]);

  // An update goes from the last to the first, one at a time.
  c.patch(kApps + "statefulsets/db", {{"spec", {{"template", pod_template("db", "busybox:2")}}}});
  auto image = [&](const char* name) { return c.get(std::string(kCore) + "pods/" + name).body["spec"]["containers"][0]["image"]; };
  CHECK(image("db-2") == "busybox:2");
  CHECK(image("db-1") == "busybox:1");
  s = c.get(kApps + "statefulsets/db").body;
  CHECK(s["status"]["currentRevision"] != s["status"]["updateRevision"]);
  c.run_pod("db-2");
  c.run_pod("db-1");
  c.run_pod("db-0");
  CHECK(image("db-0") == "busybox:2");
  s = c.get(kApps + "statefulsets/db").body;
  CHECK(s["status"]["currentRevision"] == s["status"]["updateRevision"]);
  CHECK(s["status"]["updatedReplicas"] == 3);
  CHECK(c.items(kApps + "controllerrevisions").size() == 2);

  c.patch(kApps + "statefulsets/db/scale", {{"spec", {{"replicas", 1}}}});
  CHECK(c.pods() == std::vector<std::string>{"db-0"});
  CHECK(c.items(kCore + "persistentvolumeclaims").size() == 3);
  CHECK(c.has_event("SuccessfulCreate"));
  CHECK(c.has_event("SuccessfulDelete"));
}

TEST_CASE("a CronJob sleeps until its time, makes a Job, and keeps no more than its history") {
  Cluster c({"cronjob-controller"});
  Document t = pod_template("cron");
  t["spec"]["restartPolicy"] = "Never";
  c.create(kBatch + "cronjobs", object("batch/v1", "CronJob", "tick", {{"schedule", "* * * * *"}, {"successfulJobsHistoryLimit", 1}, {"jobTemplate", {{"spec", {{"template", t}}}}}}));
  CHECK(c.names(kBatch + "jobs").empty());
  c.settle(70s);
  auto jobs = c.names(kBatch + "jobs");
  REQUIRE(jobs.size() == 1);
  auto tick = c.get(kBatch + "cronjobs/tick").body;
  CHECK(tick["status"]["active"].size() == 1);
  CHECK(tick["status"].contains("lastScheduleTime"));
  std::string now = format_rfc3339(c.loop->clock().wall());
  auto finish = [&](const std::string& name) {
    auto a = c.send("PATCH", kBatch + "jobs/" + name + "/status",
                    {{"status", {{"startTime", now}, {"completionTime", now}, {"succeeded", 1},
                                 {"conditions", Document::array({{{"type", "SuccessCriteriaMet"}, {"status", "True"}}, {{"type", "Complete"}, {"status", "True"}}})}}}},
                    "application/merge-patch+json");
    INFO(a.text);
    CHECK(a.code == 200);
    c.settle();
  };
  finish(jobs[0]);
  tick = c.get(kBatch + "cronjobs/tick").body;
  CHECK_FALSE(tick["status"].contains("active"));
  CHECK(tick["status"].contains("lastSuccessfulTime"));
  CHECK(c.has_event("SawCompletedJob"));
  c.settle(60s);
  jobs = c.names(kBatch + "jobs");
  REQUIRE(jobs.size() == 2);
  finish(jobs[1]);
  CHECK(c.names(kBatch + "jobs") == std::vector<std::string>{jobs[1]});

  c.patch(kBatch + "cronjobs/tick", {{"spec", {{"suspend", true}}}});
  c.settle(180s);
  CHECK(c.names(kBatch + "jobs").size() == 1);
}
