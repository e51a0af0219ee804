// The persistent volume controller: its decisions, and what it writes.
#include "cluster.hpp"
#include "controller/volume_plan.hpp"

using namespace onebin;
using namespace onebin::controller;
using namespace onebin::controller::test;

namespace {

const std::string kVolumes = "/api/v1/persistentvolumes", kClaims = "/api/v1/namespaces/default/persistentvolumeclaims";

Claim claim(const std::string& name = "data", const char* size = "1Gi") {
  Claim c;
  c.metadata.name = name;
  c.metadata.namespace_ = "default";
  c.metadata.uid = "uid-" + name;
  c.spec.storage_class_name = "";
  c.spec.access_modes = {"ReadWriteOnce"};
  c.spec.resources.requests["storage"] = apimachinery::Quantity::must_parse(size);
  c.status.phase = "Pending";
  return c;
}
Volume volume(const std::string& name, const char* size = "1Gi") {
  Volume v;
  v.metadata.name = name;
  v.spec.access_modes = {"ReadWriteOnce"};
  v.spec.capacity["storage"] = apimachinery::Quantity::must_parse(size);
  v.spec.persistent_volume_reclaim_policy = "Retain";
  v.status.phase = "Available";
  return v;
}
std::string chosen(const Claim& c, const std::vector<Volume>& volumes) {
  ClaimView view;
  for (const auto& v : volumes) view.volumes.push_back(&v);
  ClaimPlan p = plan_claim(c, view);
  return p.action == ClaimPlan::Do::Bind ? p.name : "";
}
Document volume_object(const std::string& name, const std::string& policy = "Retain") {
  return object("v1", "PersistentVolume", name, {{"capacity", {{"storage", "1Gi"}}}, {"accessModes", Document::array({"ReadWriteOnce"})},
                                                 {"persistentVolumeReclaimPolicy", policy}, {"hostPath", {{"path", "/data"}}}});
}
Document claim_object(const std::string& name, Document more = Document::object()) {
  Document spec = {{"storageClassName", ""}, {"accessModes", Document::array({"ReadWriteOnce"})}, {"resources", {{"requests", {{"storage", "1Gi"}}}}}};
  spec.update(more);
  return object("v1", "PersistentVolumeClaim", name, std::move(spec));
}

}  // namespace

TEST_CASE("a claim takes the smallest volume that fits it in every respect") {
  CHECK(chosen(claim(), {volume("big", "10Gi"), volume("fit", "2Gi"), volume("small", "500Mi")}) == "fit");
  Volume other_class = volume("classy");
  other_class.spec.storage_class_name = "fast";
  Volume block = volume("block");
  block.spec.volume_mode = "Block";
  Volume read_only = volume("ro");
  read_only.spec.access_modes = {"ReadOnlyMany"};
  Volume taken = volume("taken");
  client::bind_to_claim(taken, claim("other"));
  Volume released = volume("released");
  released.status.phase = "Released";
  CHECK(chosen(claim(), {other_class, block, read_only, taken, released}) == "");
  Claim picky = claim();
  picky.spec.selector.ensure().match_labels["disk"] = "ssd";
  Volume ssd = volume("ssd", "5Gi");
  ssd.metadata.labels["disk"] = "ssd";
  CHECK(chosen(picky, {volume("plain"), ssd}) == "ssd");
  // One that is reserved for the claim comes before all others.
  Volume reserved = volume("reserved", "100Gi");
  reserved.spec.claim_ref.ensure().name = "data";
  reserved.spec.claim_ref->namespace_ = "default";
  CHECK(chosen(claim(), {volume("fit"), reserved}) == "reserved");
}

TEST_CASE("a claim without a volume says what it waits for") {
  Claim c = claim();
  CHECK(plan_claim(c, {}).notes[0].message == "no persistent volumes available for this claim and no storage class is set");
  c.spec.storage_class_name = "gone";
  CHECK(plan_claim(c, {}).notes[0].message == "storageclass.storage.k8s.io \"gone\" not found");
  StorageClass sc;
  sc.volume_binding_mode = "WaitForFirstConsumer";
  ClaimView view;
  view.storage_class = &sc;
  CHECK(plan_claim(c, view).notes[0].reason == "WaitForFirstConsumer");
  view.waiting_pods = {"p", "q"};
  CHECK(plan_claim(c, view).notes[0].message == "waiting for pods p,q to be scheduled");
  c.metadata.annotations[client::kSelectedNode] = "node";
  CHECK(plan_claim(c, view).action == ClaimPlan::Do::Provision);
  c.spec.storage_class_name.reset();
  view.storage_class = nullptr;
  view.default_class = "standard";
  CHECK(plan_claim(c, view).action == ClaimPlan::Do::SetClass);
}

TEST_CASE("a claim that names its volume: bound, refused with the reason, or lost later") {
  Claim c = claim();
  c.spec.volume_name = "v";
  Volume v = volume("v", "500Mi");
  ClaimView view;
  view.named = &v;
  CHECK(plan_claim(c, view).notes[0].message == "Cannot bind to requested volume \"v\": requested PV is too small");
  v = volume("v");
  CHECK(plan_claim(c, view).action == ClaimPlan::Do::Bind);
  client::bind_to_claim(v, claim("other"));
  CHECK(plan_claim(c, view).notes[0].message == "volume \"v\" already bound to a different claim.");
  c.metadata.annotations[client::kBindCompleted] = "yes";
  CHECK(plan_claim(c, view).notes[0].reason == "ClaimMisbound");
  view.named = nullptr;
  CHECK(plan_claim(c, view).phase == "Lost");
}

TEST_CASE("a volume follows its claim; what is left of it, its policy") {
  Volume v = volume("v");
  CHECK(plan_volume(v, nullptr).phase == "Available");
  Claim c = claim();
  client::bind_to_claim(v, c);
  CHECK(plan_volume(v, &c).action == VolumePlan::Do::AskClaim);
  c.spec.volume_name = "v";
  CHECK(plan_volume(v, &c).phase == "Bound");
  CHECK(plan_volume(v, nullptr).action == VolumePlan::Do::Reclaim);
  Claim namesake = c;
  namesake.metadata.uid = "another";
  CHECK(plan_volume(v, &namesake).action == VolumePlan::Do::Reclaim);
  c.spec.volume_name = "elsewhere";
  CHECK(plan_volume(v, &c).action == VolumePlan::Do::Unbind);
  unbind(v);
  CHECK_FALSE(v.spec.claim_ref);

  CHECK(plan_reclaim(v).action == ReclaimPlan::Do::Keep);
  v.spec.persistent_volume_reclaim_policy = "Recycle";
  CHECK(plan_reclaim(v).reason == "VolumeFailedRecycle");
  v.spec.persistent_volume_reclaim_policy = "Delete";
  CHECK(plan_reclaim(v).message == "error getting deleter volume plugin for volume \"v\": no deletable volume plugin matched");
  v.metadata.annotations[client::kProvisionedBy] = "csi.example.com";
  CHECK(plan_reclaim(v).action == ReclaimPlan::Do::External);
  v.metadata.annotations[client::kProvisionedBy] = kLocalPathProvisioner;
  v.spec.host_path.ensure().path = "/data";
  CHECK(plan_reclaim(v).action == ReclaimPlan::Do::DeleteLocalPath);
}

TEST_CASE("the local-path provisioner: what it makes, what it refuses") {
  StorageClass sc;
  sc.provisioner = kLocalPathProvisioner;
  sc.reclaim_policy = "Delete";
  Claim c = claim();
  CHECK(local_path_refusal(c, sc).find("WaitForFirstConsumer") != std::string::npos);
  c.metadata.annotations[client::kSelectedNode] = "node";
  CHECK(local_path_refusal(c, sc).empty());
  Volume v = local_path_volume(c, sc, "node", "host", "/storage/pvc-uid-data");
  CHECK(v.metadata.name == "pvc-uid-data");
  CHECK(v.spec.host_path->path == "/storage/pvc-uid-data");
  CHECK(v.spec.node_affinity->required->node_selector_terms[0].match_expressions[0].values[0] == "host");
  CHECK(client::is_bound_to(v, c));
  CHECK(v.metadata.finalizers == std::vector<std::string>{kControllerFinalizer});
  c.spec.access_modes = {"ReadWriteMany"};
  CHECK_FALSE(local_path_refusal(c, sc).empty());
  sc.provisioner = "kubernetes.io/no-provisioner";
  CHECK(provisioner_of(sc).error == "no volume plugin matched name: kubernetes.io/no-provisioner");
  sc.provisioner = "kubernetes.io/aws-ebs";
  CHECK(provisioner_of(sc).external == "ebs.csi.aws.com");
}

TEST_CASE("claims and volumes find each other, and a volume outlives its claim as Released") {
  Cluster c({"persistentvolume-binder-controller"});
  c.create(kClaims, claim_object("first"));
  CHECK(c.get(kClaims + "/first").body["status"]["phase"] == "Pending");
  CHECK(c.has_event("FailedBinding"));
  c.create(kVolumes, volume_object("v1"));
  auto claim = c.get(kClaims + "/first").body;
  CHECK(claim["status"]["phase"] == "Bound");
  CHECK(claim["spec"]["volumeName"] == "v1");
  CHECK(claim["status"]["capacity"]["storage"] == "1Gi");
  CHECK(claim["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"] == "yes");
  auto volume = c.get(kVolumes + "/v1").body;
  CHECK(volume["status"]["phase"] == "Bound");
  CHECK(volume["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"]);

  // Two claims, one volume: one of them gets it.
  c.create(kVolumes, volume_object("v2", "Delete"));
  c.create(kClaims, claim_object("second"));
  c.create(kClaims, claim_object("third"));
  CHECK(c.get(kClaims + "/second").body["status"]["phase"] == "Bound");
  CHECK(c.get(kClaims + "/third").body["status"]["phase"] == "Pending");

  // Finalizers are the protection controllers', which do not run here.
  auto let_go = [&](const char* name) {
    c.patch(kClaims + "/" + name, {{"metadata", {{"finalizers", nullptr}}}});
    c.remove(kClaims + "/" + name);
  };
  let_go("first");
  CHECK(c.get(kVolumes + "/v1").body["status"]["phase"] == "Released");
  let_go("second");
  volume = c.get(kVolumes + "/v2").body;
  CHECK(volume["status"]["phase"] == "Failed");
  CHECK(volume["status"]["message"] == "error getting deleter volume plugin for volume \"v2\": no deletable volume plugin matched");

  // A volume goes under its claim: lost.
  c.create(kVolumes, volume_object("v3"));
  CHECK(c.get(kClaims + "/third").body["status"]["phase"] == "Bound");
  c.patch(kVolumes + "/v3", {{"metadata", {{"finalizers", nullptr}}}});
  c.remove(kVolumes + "/v3");
  CHECK(c.get(kClaims + "/third").body["status"]["phase"] == "Lost");
  CHECK(c.has_event("ClaimLost"));
}

TEST_CASE("an external provisioner is told by annotation, when the pod has a node") {
  Cluster c({"persistentvolume-binder-controller"});
  c.create("/apis/storage.k8s.io/v1/storageclasses", {{"apiVersion", "storage.k8s.io/v1"}, {"kind", "StorageClass"}, {"metadata", {{"name", "ext"}}},
                                                      {"provisioner", "csi.example.com"}, {"volumeBindingMode", "WaitForFirstConsumer"}});
  c.create(kClaims, claim_object("data", {{"storageClassName", "ext"}}));
  CHECK(c.has_event("WaitForFirstConsumer"));
  c.patch(kClaims + "/data", {{"metadata", {{"annotations", {{"volume.kubernetes.io/selected-node", "n"}}}}}});
  CHECK(c.get(kClaims + "/data").body["metadata"]["annotations"]["volume.kubernetes.io/storage-provisioner"] == "csi.example.com");
  CHECK(c.has_event("ExternalProvisioning"));
}
