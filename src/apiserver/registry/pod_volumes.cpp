// Validation of a pod's volumes: one source each, and what that source needs.
#include "apiserver/registry/check.hpp"
#include "apiserver/registry/pod_certificates.hpp"
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <re2/re2.h>

#include <algorithm>
#include <set>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::string_at;

namespace {

void need_each(const Check& at, std::initializer_list<const char*> fields) {
  for (const char* f : fields) at[f].need();
}

void check_mode(const Check& at) {
  if (at.set() && (at.number() < 0 || at.number() > 0777)) at.invalid("must be a number between 0 and 0777 (octal), both inclusive");
}

void check_user(const Check& at) {
  if (at.set()) at.each_problem(apimachinery::is_valid_user_id(at.number()));
}

void check_reference_name(const Check& at) {
  if (at.set()) at["name"].need();
}

void check_items(const Check& source) {
  check_mode(source["defaultMode"]);
  check_user(source["defaultUser"]);
  Check items = source["items"];
  for (std::size_t i = 0; i < items.size(); ++i) check_key_to_path(items[i]);
}

void check_empty_dir(const Check& at) {
  auto limit = apimachinery::Quantity::parse(at["sizeLimit"].text());
  if (at["sizeLimit"].set() && limit && limit->sign() < 0) at["sizeLimit"].forbidden("SizeLimit field must be a valid resource quantity");
  Check mode = at["mode"];
  if (mode.set() && (mode.number() < 0 || mode.number() > 01777)) mode.invalid("must be a number between 0 and 01777 (octal), both inclusive");
}

void check_git_repo(const Check& at) {
  at["repository"].need();
  check_descending_path(at["directory"]);
}

void check_partition(const Check& at) {
  if (at.number() < 0 || at.number() > 255) at.invalid_as(at.number(), "must be between 1 and 255, inclusive");
}

void check_gce(const Check& at) {
  at["pdName"].need();
  check_partition(at["partition"]);
}

void check_aws(const Check& at) {
  at["volumeID"].need();
  check_partition(at["partition"]);
}

void check_secret(const Check& at) {
  at["secretName"].need();
  check_items(at);
}

void check_config_map(const Check& at) {
  at["name"].need();
  check_items(at);
}

void check_nfs(const Check& at) {
  need_each(at, {"server", "path"});
  if (!starts_with(at["path"].text(), "/")) at["path"].invalid("must be an absolute path");
}

bool iscsi_name(std::string_view name) {
  static const RE2 iqn(R"(iqn\.\d{4}-\d{2}\.([[:alnum:]-.]+)(:[^,;*&$|\s]+)$)"), eui(R"(^eui.[[:alnum:]]{16}$)"), naa(R"(^naa.[[:alnum:]]{32}$)");
  re2::StringPiece text(name.data(), name.size());
  return RE2::PartialMatch(text, starts_with(name, "iqn") ? iqn : starts_with(name, "eui") ? eui : naa);
}

void check_iscsi_name(const Check& at) {
  std::string_view name = at.text();
  if (!starts_with(name, "iqn") && !starts_with(name, "eui") && !starts_with(name, "naa")) at.invalid("must be valid format starting with iqn, eui, or naa");
  else if (!iscsi_name(name)) at.invalid("must be valid format");
}

void check_lun(const Check& at) {
  if (at.number() < 0 || at.number() > 255) at.invalid_as(at.number(), "must be between 0 and 255, inclusive");
}

void check_iscsi(const Check& at) {
  at["targetPortal"].need();
  if (at["iqn"].need()) check_iscsi_name(at["iqn"]);
  check_lun(at["lun"]);
  if ((at["chapAuthDiscovery"].flag() || at["chapAuthSession"].flag()) && !at["secretRef"].set()) at["secretRef"].required();
  if (Check initiator = at["initiatorName"]; initiator.set()) check_iscsi_name(initiator.as(at.path().child("initiatorname")));
}

void check_flocker(const Check& at) {
  std::string_view name = at["datasetName"].text();
  bool named = !name.empty(), numbered = !at["datasetUUID"].text().empty();
  if (!named && !numbered) at.required("one of datasetName and datasetUUID is required");
  if (named && numbered) at.invalid_as("resource", "datasetName and datasetUUID can not be specified simultaneously");
  if (name.find('/') != std::string_view::npos) at["datasetName"].invalid("must not contain '/'");
}

void check_rbd(const Check& at) { need_each(at, {"monitors", "image"}); }

void check_cinder(const Check& at) {
  at["volumeID"].need();
  check_reference_name(at["secretRef"]);
}

bool host_and_port(std::string_view text) {
  std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  if (starts_with(text, "[")) return colon > 0 && text[colon - 1] == ']';
  return text.substr(0, colon).find(':') == std::string_view::npos && text.find(']') == std::string_view::npos;
}

void check_quobyte(const Check& at) {
  Check registry = at["registry"];
  const char* pairs = "must be a host:port pair or multiple pairs separated by commas";
  if (registry.text().empty()) registry.required(pairs);
  else if (at["tenant"].text().size() >= 65) at["tenant"].required("must be a UUID and may not exceed a length of 64 characters");
  else
    for (auto pair : split(registry.text(), ','))
      if (!host_and_port(pair)) registry.invalid(pairs);
  at["volume"].need();
}

void check_fc(const Check& at) {
  Check names = at["targetWWNs"], ids = at["wwids"], lun = at["lun"];
  if (names.empty() && ids.empty()) names.required("must specify either targetWWNs or wwids, but not both");
  if (!names.empty() && !ids.empty()) names.invalid("targetWWNs and wwids can not be specified simultaneously");
  if (names.empty()) return;
  if (!lun.set()) lun.required("lun is required if targetWWNs is specified");
  else check_lun(lun);
}

void check_flex(const Check& at) {
  at["driver"].need();
  Check options = at["options"];
  if (!options.value().is_object()) return;
  for (const auto& [key, value] : options.value().items()) {
    std::string domain = "." + to_lower(key.substr(0, key.find('/')));
    if (ends_with(domain, ".kubernetes.io") || ends_with(domain, ".k8s.io")) options.key(key).invalid_as(key, "kubernetes.io and k8s.io namespaces are reserved");
  }
}

void check_azure_disk(const Check& at) {
  need_each(at, {"diskName", "diskURI"});
  Check kind = at["kind"], uri = at["diskURI"];
  if (at["cachingMode"].set()) at["cachingMode"].one_of({"None", "ReadOnly", "ReadWrite"});
  if (!kind.set()) return;
  kind.one_of({"Dedicated", "Managed", "Shared"});
  if (kind.is("Managed") && !starts_with(uri.text(), "/subscriptions/"))
    uri.unsupported({"/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"});
  if (!kind.is("Managed") && !starts_with(uri.text(), "https://")) uri.unsupported({"https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"});
}

void check_storageos(const Check& at) {
  at["volumeName"].need(apimachinery::is_dns1123_label);
  if (!at["volumeNamespace"].empty()) at["volumeNamespace"].format(apimachinery::is_dns1123_label);
  check_reference_name(at["secretRef"]);
}

void check_csi(const Check& at) {
  check_csi_driver_name(at["driver"]);
  Check ref = at["nodePublishSecretRef"];
  if (ref.set() && ref["name"].need()) ref["name"].as(at.path().child("name")).format(apimachinery::is_dns1123_subdomain);
}

void check_ephemeral(const Check& at) {
  Check claim = at["volumeClaimTemplate"];
  if (!claim.set()) return claim.required();
  const Document& meta = claim["metadata"].value();
  FieldPath path = claim.path().child("metadata");
  if (const Document* labels = find_member(meta, "labels")) claim.add(apimachinery::validate_labels(*labels, path.child("labels")));
  if (const Document* notes = find_member(meta, "annotations")) claim.add(apimachinery::validate_annotations(*notes, path.child("annotations")));
  validate_claim_spec(claim["spec"].value(), claim.path().child("spec"), claim.errors());
}

void check_image(const Check& at) {
  at["reference"].need();
  Check policy = at["pullPolicy"];
  if (policy.empty()) policy.required();
  else policy.one_of({"Always", "IfNotPresent", "Never"});
}

void check_downward(const Check& at) {
  check_mode(at["defaultMode"]);
  check_user(at["defaultUser"]);
  Check items = at["items"];
  for (std::size_t i = 0; i < items.size(); ++i) check_downward_file(items[i].as(at.path()));
}

void check_projected(const Check& at) {
  check_mode(at["defaultMode"]);
  check_user(at["defaultUser"]);
  validate_projected(at.value(), at.path(), at.errors());
}

void check_host_path(const Check& at) { check_host_path_volume(at); }
void check_claim(const Check& at) { at["claimName"].need(); }
void check_glusterfs(const Check& at) { need_each(at, {"endpoints", "path"}); }
void check_cephfs(const Check& at) { at["monitors"].need(); }
void check_azure_file(const Check& at) { need_each(at, {"secretName", "shareName"}); }
void check_vsphere(const Check& at) { at["volumePath"].need(); }
void check_photon(const Check& at) { at["pdID"].need(); }
void check_portworx(const Check& at) { at["volumeID"].need(); }
void check_scaleio(const Check& at) { need_each(at, {"gateway", "system", "volumeName"}); }

// The sources in the order in which upstream looks for them: the first counts, the others are too many. `second` and
// `place` are upstream's paths where they are not the field's name.
struct Source {
  const char* field;
  void (*check)(const Check&);
  const char* second = nullptr;
  const char* place = nullptr;
};
constexpr Source kSources[] = {
    {"emptyDir", check_empty_dir},
    {"hostPath", check_host_path},
    {"gitRepo", check_git_repo},
    {"gcePersistentDisk", check_gce, nullptr, "persistentDisk"},
    {"awsElasticBlockStore", check_aws},
    {"secret", check_secret},
    {"nfs", check_nfs},
    {"iscsi", check_iscsi},
    {"glusterfs", check_glusterfs},
    {"flocker", check_flocker},
    {"persistentVolumeClaim", check_claim},
    {"rbd", check_rbd},
    {"cinder", check_cinder},
    {"cephfs", check_cephfs, "cephFS"},
    {"quobyte", check_quobyte},
    {"downwardAPI", check_downward, "downwarAPI"},
    {"fc", check_fc},
    {"flexVolume", check_flex},
    {"configMap", check_config_map},
    {"azureFile", check_azure_file},
    {"vsphereVolume", check_vsphere},
    {"photonPersistentDisk", check_photon},
    {"portworxVolume", check_portworx},
    {"azureDisk", check_azure_disk},
    {"storageos", check_storageos},
    {"projected", check_projected},
    {"scaleIO", check_scaleio},
    {"csi", check_csi},
    {"ephemeral", check_ephemeral},
    {"image", check_image},
};

// ---- of PersistentVolumes

void check_secret_reference(const Check& ref) {
  if (!ref.set()) return;
  ref["name"].need();
  ref["namespace"].need();
}

void check_persistent_glusterfs(const Check& at) {
  check_glusterfs(at);
  if (Check ns = at["endpointsNamespace"]; ns.set()) {
    if (ns.empty()) ns.invalid("if the endpointnamespace is set, it must be a valid namespace name");
    else ns.format(apimachinery::is_dns1123_label);
  }
}
void check_persistent_cinder(const Check& at) {
  at["volumeID"].need();
  check_secret_reference(at["secretRef"]);
}
void check_persistent_azure_file(const Check& at) {
  check_azure_file(at);
  if (at["secretNamespace"].set()) at["secretNamespace"].need();
}
void check_persistent_storageos(const Check& at) {
  check_storageos(at);
  if (at["secretRef"].set()) at["secretRef"]["namespace"].need();
}
void check_persistent_csi(const Check& at) {
  check_csi_driver_name(at["driver"]);
  at["volumeHandle"].need();
  for (const char* f : {"controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"}) check_secret_reference(at[f]);
}
void check_local(const Check& at) {
  at["path"].need();
  check_no_backsteps(at["path"]);
}

constexpr Source kPersistentSources[] = {
    {"hostPath", check_host_path},
    {"gcePersistentDisk", check_gce, nullptr, "persistentDisk"},
    {"awsElasticBlockStore", check_aws},
    {"glusterfs", check_persistent_glusterfs},
    {"flocker", check_flocker},
    {"nfs", check_nfs},
    {"rbd", check_rbd},
    {"quobyte", check_quobyte},
    {"cephfs", check_cephfs, "cephFS"},
    {"iscsi", check_iscsi},
    {"cinder", check_persistent_cinder},
    {"fc", check_fc},
    {"flexVolume", check_flex, ""},
    {"azureFile", check_persistent_azure_file},
    {"vsphereVolume", check_vsphere},
    {"photonPersistentDisk", check_photon},
    {"portworxVolume", check_portworx},
    {"azureDisk", check_azure_disk},
    {"scaleIO", check_scaleio},
    {"local", check_local},
    {"storageos", check_persistent_storageos},
    {"csi", check_persistent_csi},
};

// Whether there is one, and what it lacks.
template <std::size_t N>
bool check_sources(const Check& holder, const Source (&sources)[N]) {
  bool found = false;
  for (const Source& s : sources) {
    Check at = holder[s.field];
    if (!at.value().is_object()) continue;
    bool alone = s.second && !*s.second;  // upstream does not look whether it is the only one
    if (std::exchange(found, true) && !alone) at.as(holder.path().child(s.second ? s.second : s.field)).forbidden("may not specify more than 1 volume type");
    else s.check(s.place ? at.as(holder.path().child(s.place)) : at);
  }
  if (!found) holder.required("must specify a volume type");
  return found;
}

void check_source(const Check& volume, const std::string& name, const std::string& pod_name) {
  check_sources(volume, kSources);
  if (Check iscsi = volume["iscsi"]; iscsi["initiatorName"].set() && name.size() + 1 + iscsi["targetPortal"].text().size() > 64)
    volume["name"].invalid("Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.");
  if (!volume["ephemeral"].set() || pod_name.empty() || name.empty()) return;
  std::string claim = pod_name + "-" + name;
  for (const auto& m : apimachinery::is_dns1123_subdomain(claim)) volume["name"].invalid("PVC name " + apimachinery::go_quote(claim) + ": " + m);
}

}  // namespace

void validate_persistent_source(const Check& spec, bool node_affinity) {
  check_sources(spec, kPersistentSources);
  if (spec["local"].value().is_object() && !node_affinity) spec["nodeAffinity"].required("Local volume requires node affinity");
}

void check_descending_path(const Check& at) {
  std::string_view path = at.text();
  if (starts_with(path, "/")) at.invalid("must be a relative path");
  check_no_backsteps(at);
}

void check_no_backsteps(const Check& at) {
  auto parts = split(at.text(), '/');
  if (std::find(parts.begin(), parts.end(), "..") != parts.end()) at.invalid("must not contain '..'");
}

void check_local_path(const Check& at) {
  check_descending_path(at);
  if (starts_with(at.text(), "..") && !starts_with(at.text(), "../")) at.invalid("must not start with '..'");
}

void check_key_to_path(const Check& at) {
  at["key"].need();
  at["path"].need();
  check_local_path(at["path"]);
  check_mode(at["mode"]);
  check_user(at["user"]);
}

void check_volume_user(const Check& at) { check_user(at); }

void check_host_path_volume(const Check& at) {
  if (!at["path"].need()) return;
  check_no_backsteps(at["path"]);
  Check type = at["type"];
  if (type.set()) type.one_of({"", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"});
}

// Upstream's paths are those of the volume, whichever file it is.
void check_downward_file(const Check& at) {
  at["path"].need();
  check_local_path(at["path"]);
  Check field = at["fieldRef"], resource = at["resourceFieldRef"];
  if (field.set()) {
    check_field_selector(field, {"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"});
    if (resource.set()) at.invalid_as("resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
  } else if (resource.set()) {
    check_resource_selector(resource, true);
  } else {
    at.required("one of fieldRef and resourceFieldRef is required");
  }
  check_mode(at["mode"]);
  check_user(at["user"]);
}

Volumes validate_volumes(const Document& spec, const FieldPath& path, FieldErrors& errors, const std::string& pod_name) {
  Volumes out;
  std::set<std::string> created;
  for (const auto& v : each(spec, "volumes"))
    if (!pod_name.empty() && find_member(v, "ephemeral")) created.insert(pod_name + "-" + std::string(string_at(v, "name")));
  std::size_t i = 0;
  for (const auto& v : each(spec, "volumes")) {
    Check volume(v, path.child("volumes").index(i++), errors);
    std::string name(string_at(v, "name"));
    std::size_t before = errors.size();
    check_source(volume, name, pod_name);
    volume["name"].need(apimachinery::is_dns1123_label);
    if (out.count(name)) volume["name"].duplicate();
    if (errors.size() == before) out.emplace(name, &v);
    if (Check claim = volume["persistentVolumeClaim"]["claimName"]; created.count(std::string(claim.text())))
      claim.invalid("must not reference a PVC that gets created for an ephemeral volume");
  }
  return out;
}

}  // namespace onebin::apiserver
