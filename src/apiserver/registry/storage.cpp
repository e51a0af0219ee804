// storage.k8s.io.
#include "apiserver/registry/check.hpp"
#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/pod_spec.hpp"
#include "apiserver/registry/volumes.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/selectors.hpp>
#include <onebin/apimachinery/validation.hpp>

#include <map>
#include <set>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::semantically_equal;
using apimachinery::string_at;

namespace {

class StorageStrategy : public Strategy {
 public:
  explicit StorageStrategy(const KindSchema& k) : Strategy(k) { set_flags(*this); }
};

void check_provisioner(const Check& p) {
  if (!p.need()) return;
  for (const auto& m : apimachinery::is_qualified_name(to_lower(p.text()))) p.invalid_as(to_lower(p.text()), m);
}

void check_parameters(const Check& p, bool may_be_empty) {
  if (p.size() > 512) return p.too_long(512);
  std::size_t bytes = 0;
  for (const auto& [k, v] : p.value().items()) {
    if (k.empty()) p.invalid_as(k, "field can not be empty.");
    bytes += k.size() + (v.is_string() ? v.get_ref<const std::string&>().size() : 0);
  }
  if (bytes > 256 * 1024) p.too_long(256 * 1024);
  if (!may_be_empty && p.empty()) p.required("must contain at least one key/value pair");
}

// ---- classes

void check_topologies(const Check& terms) {
  std::vector<std::map<std::string, std::set<std::string>>> seen;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    Check list = terms[i]["matchLabelExpressions"];
    std::map<std::string, std::set<std::string>> expressions;
    for (std::size_t j = 0; j < list.size(); ++j) {
      Check key = list[j]["key"], values = list[j]["values"];
      std::set<std::string> set;
      values.need();
      for (std::size_t v = 0; v < values.size(); ++v)
        if (!set.insert(std::string(values[v].text())).second) values[v].duplicate();
      key.add(apimachinery::validate_label_name(key.text(), key.path()));
      if (expressions.count(std::string(key.text()))) key.duplicate();
      expressions[std::string(key.text())] = std::move(set);
    }
    // Upstream compares with as many empty terms as there are terms.
    if (expressions.empty()) list.duplicate_of("");
    for (const auto& other : seen)
      if (other == expressions) list.duplicate_of("");
    seen.push_back(std::move(expressions));
  }
}

class StorageClassStrategy final : public StorageStrategy {
 public:
  using StorageStrategy::StorageStrategy;
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    Check top(o, FieldPath(), errors);
    auto at = [&](const char* f) { return top[f].as(FieldPath(f)); };
    if (!at("provisioner").empty()) check_provisioner(at("provisioner"));
    check_parameters(at("parameters"), true);
    if (!at("reclaimPolicy").empty()) at("reclaimPolicy").one_of({"Delete", "Retain"});
    if (at("volumeBindingMode").set()) at("volumeBindingMode").one_of({"Immediate", "WaitForFirstConsumer"});
    check_topologies(at("allowedTopologies"));
  }
};

class VolumeAttributesClassStrategy final : public StorageStrategy {
 public:
  using StorageStrategy::StorageStrategy;
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    Check top(o, FieldPath(), errors);
    check_provisioner(top["driverName"].as(FieldPath("driverName")));
    check_parameters(top["parameters"].as(FieldPath("parameters")), false);
  }
  void validate_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    for (const char* f : {"driverName", "parameters"})
      if (!semantically_equal(find_member(o, f), find_member(old, f))) errors.push_back(field_forbidden(FieldPath(f), "updates to " + std::string(f) + " are forbidden."));
    validate(c, o, errors);
  }
};

// ---- VolumeAttachment

void check_volume_error(const Check& e) {
  if (!e.set()) return;
  e["message"].at_most_bytes(1024);
  if (e["errorCode"].number() < 0) e["errorCode"].invalid(apimachinery::inclusive_range_error(0, 2147483647));
}

void check_attachment_status(const Check& status) {
  std::size_t bytes = 0;
  Check metadata = status["attachmentMetadata"];
  for (const auto& [k, v] : metadata.value().items()) bytes += k.size() + (v.is_string() ? v.get_ref<const std::string&>().size() : 0);
  if (bytes > 256 * 1024) metadata.too_long(256 * 1024);
  check_volume_error(status["attachError"]);
  check_volume_error(status["detachError"]);
}

class VolumeAttachmentStrategy final : public StorageStrategy {
 public:
  using StorageStrategy::StorageStrategy;
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    Check source = spec["source"], volume = source["persistentVolumeName"], spec_inline = source["inlineVolumeSpec"];
    constexpr const char* kOne = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    if (!volume.set() && !spec_inline.set()) source.required(kOne);
    else if (volume.set() && spec_inline.set()) source.forbidden(kOne);
    else if (volume.set() && volume.empty()) volume.required("must specify non empty persistentVolumeName");
    else if (spec_inline.set()) validate_volume_spec(spec_inline.value(), spec_inline.path(), errors, true);
    spec["nodeName"].named(apimachinery::name_is_dns_subdomain);
    check_attachment_status(Check(member(o, "status"), FieldPath("status"), errors));
    if (volume.set()) volume.named(apimachinery::name_is_dns_subdomain);
  }
  void validate_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    validate(c, o, errors);
    // A spec that has changed is told of by the tables, which then say no more of it.
    if (!semantically_equal(*kind->type->field("spec")->message, member(o, "spec"), member(old, "spec")))
      check_csi_driver_name(Check(member(o, "spec"), FieldPath("spec"), errors)["attacher"]);
  }
  void validate_status_update(WriteContext& c, const Document& o, const Document&, FieldErrors& errors) const override { validate(c, o, errors); }
};

// ---- CSI

class CsiNodeStrategy final : public StorageStrategy {
 public:
  using StorageStrategy::StorageStrategy;
  // Health of volumes is told behind a feature that is off.
  void prepare_for_create(WriteContext&, Document& o) const override { o.erase("status"); }
  void prepare_for_update(WriteContext&, Document& o, const Document& old) const override {
    if (const Document* status = find_member(old, "status")) o["status"] = *status;
    else o.erase("status");
  }
  void prepare_for_status_update(WriteContext& c, Document& o, const Document& old) const override {
    Strategy::prepare_for_status_update(c, o, old);
    Document* status = find_member(o, "status");
    if (status && each(member(old, "status"), "storageHealth").empty()) status->erase("storageHealth");
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    Check drivers = Check(member(o, "spec"), FieldPath("spec"), errors)["drivers"];
    std::set<std::string_view> names;
    for (std::size_t i = 0; i < drivers.size(); ++i) {
      Check d = drivers[i], id = d["nodeID"], keys = d["topologyKeys"];
      check_csi_driver_name(d["name"]);
      if (id.need() && id.text().size() > 256) id.invalid("must be 256 characters or less");
      d["allocatable"]["count"].nonnegative();
      if (!names.insert(d["name"].text()).second) d["name"].duplicate();
      std::set<std::string_view> seen;
      for (std::size_t j = 0; j < keys.size(); ++j) {
        std::string_view key = keys[j].text();
        if (key.empty()) d.required();
        if (!seen.insert(key).second) d.duplicate_of(std::string(key));
        for (const auto& m : apimachinery::is_qualified_name(key)) d.invalid_as(std::string(key), m);
      }
    }
  }
  // A driver's entry stays as it is, but for how many volumes it takes.
  void validate_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    validate(c, o, errors);
    for (const auto& before : each(member(old, "spec"), "drivers"))
      for (const auto& now : each(member(o, "spec"), "drivers")) {
        if (string_at(before, "name") != string_at(now, "name")) continue;
        Document a = before, b = now;
        a.erase("allocatable");
        b.erase("allocatable");
        if (!semantically_equal(*kind->type->field("spec")->message->field("drivers")->message, a, b)) errors.push_back(field_invalid(FieldPath("spec").child("drivers"), b, "field is immutable"));
      }
  }
};

class CsiDriverStrategy final : public StorageStrategy {
 public:
  explicit CsiDriverStrategy(const KindSchema& k) : StorageStrategy(k) {}
  // Counted from the first change on only.
  void prepare_for_create(WriteContext&, Document&) const override {}
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    if (spec["fsGroupPolicy"].set()) spec["fsGroupPolicy"].one_of({"File", "None", "ReadWriteOnceWithFSType"});
    Check requests = spec["tokenRequests"], modes = spec["volumeLifecycleModes"], period = spec["nodeAllocatableUpdatePeriodSeconds"], secrets = spec["serviceAccountTokenInSecrets"];
    std::set<std::string_view> audiences;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      Check audience = requests[i]["audience"], seconds = requests[i]["expirationSeconds"];
      if (!audiences.insert(audience.text()).second) {
        audience.duplicate();
        continue;
      }
      if (!seconds.set()) continue;
      if (seconds.number() < 600) seconds.invalid("may not specify a duration less than 10 minutes");
      if (seconds.number() > (std::int64_t{1} << 32)) seconds.invalid("may not specify a duration larger than 2^32 seconds");
    }
    for (std::size_t i = 0; i < modes.size(); ++i)
      if (!modes[i].is("Persistent") && !modes[i].is("Ephemeral")) errors.push_back(field_not_supported(modes.path(), modes[i].value(), {"Persistent", "Ephemeral"}));
    if (period.set() && period.number() < 10) period.invalid("must be greater than or equal to 10 seconds");
    if (secrets.set() && requests.empty()) secrets.invalid("serviceAccountTokenInSecrets is set but no tokenRequests are specified");
  }
  void validate_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    validate(c, o, errors);
    FieldPath path("spec");
    const Document &now = member(o, "spec"), &before = member(old, "spec");
    apimachinery::append(errors, apimachinery::validate_immutable_field(find_member(now, "attachRequired"), find_member(before, "attachRequired"), path.child("attachedRequired")));
    apimachinery::append(errors, apimachinery::validate_immutable_field(find_member(now, "volumeLifecycleModes"), find_member(before, "volumeLifecycleModes"), path.child("volumeLifecycleModes")));
  }
  void warnings_on_create(WriteContext& c, const Document& o) const override {
    const Document& spec = member(o, "spec");
    if (!each(spec, "tokenRequests").empty() && !find_member(spec, "serviceAccountTokenInSecrets")) c.warn(kWarning);
  }
  void warnings_on_update(WriteContext& c, const Document& o, const Document& old) const override {
    if (!semantically_equal(find_member(member(o, "spec"), "tokenRequests"), find_member(member(old, "spec"), "tokenRequests"))) warnings_on_create(c, o);
  }

 private:
  static constexpr const char* kWarning =
      "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes";
};

class CsiStorageCapacityStrategy final : public StorageStrategy {
 public:
  using StorageStrategy::StorageStrategy;
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    Check top(o, FieldPath(), errors);
    if (const Document* topology = find_member(o, "nodeTopology")) apimachinery::append(errors, apimachinery::validate_label_selector(*topology, FieldPath("nodeTopology")));
    top["storageClassName"].as(FieldPath("storageClassName")).named(apimachinery::name_is_dns_subdomain);
    if (top["capacity"].set()) check_quantity_nonnegative(top["capacity"].as(FieldPath("capacity")));
  }
};

}  // namespace

StrategyMaker storage_strategy(std::string_view kind) {
  if (kind == "StorageClass") return make<StorageClassStrategy>;
  if (kind == "VolumeAttributesClass") return make<VolumeAttributesClassStrategy>;
  if (kind == "VolumeAttachment") return make<VolumeAttachmentStrategy>;
  if (kind == "CSINode") return make<CsiNodeStrategy>;
  if (kind == "CSIDriver") return make<CsiDriverStrategy>;
  if (kind == "CSIStorageCapacity") return make<CsiStorageCapacityStrategy>;
  return nullptr;
}

}  // namespace onebin::apiserver
