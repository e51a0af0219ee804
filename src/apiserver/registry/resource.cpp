// resource.k8s.io (dynamic resource allocation). Expressions of selectors are bounded here and compiled by whoever allocates.
#include "apiserver/registry/addresses.hpp"
#include "apiserver/registry/check.hpp"
#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/pod_spec.hpp"
#include "apiserver/registry/volumes.hpp"
#include "apiserver/registry/resource_devices.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::semantically_equal;
using apimachinery::string_at;

namespace {

void check_pool_name(const Check& name) {
  if (!name.need()) return;
  if (name.text().size() > 253) name.too_long(253);
  for (const auto& part : split(name.text(), '/'))
    for (const auto& p : apimachinery::is_dns1123_subdomain(part)) name.invalid_as(part, p);
}

// ---- what a claim asks for

using RequestNames = std::map<std::string, std::set<std::string>, std::less<>>;  // request -> its alternatives

RequestNames request_names(const Document& devices) {
  RequestNames out;
  for (const auto& r : each(devices, "requests")) {
    auto& subs = out[std::string(string_at(r, "name"))];
    for (const auto& s : each(r, "firstAvailable")) subs.emplace(string_at(s, "name"));
  }
  return out;
}

void check_request_reference(const Check& name, const RequestNames& names) {
  constexpr const char* kWhat = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
  auto parts = split(name.text(), '/');
  if (parts.size() > 2) return name.invalid(kWhat);
  for (const auto& part : parts)
    for (const auto& p : apimachinery::is_dns1123_label(part)) name.invalid_as(part, p);
  auto r = names.find(parts[0]);
  if (r == names.end() || (parts.size() == 2 && !r->second.count(parts[1]))) name.invalid(kWhat);
}

void check_request_references(const Check& list, const RequestNames& names) {
  for (std::size_t i = 0; i < list.size(); ++i) check_request_reference(list[i], names);
  check_unique(list, nullptr);
}

void check_selectors(const Check& list) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    Check cel = list[i]["cel"];
    if (!cel.set()) cel.required();
    else if (cel["expression"].need()) cel["expression"].at_most_bytes(10240);
  }
}

void check_toleration(const Check& t) {
  if (t["operator"].is("Exists")) {
    if (!t["value"].empty()) t["value"].invalid("must be empty for operator `Exists`");
  } else if (t["operator"].is("Equal")) {
    t["value"].format(apimachinery::is_valid_label_value);
  }
}

void check_tolerations_of(const Check& list) {
  for (std::size_t i = 0; i < list.size(); ++i) check_toleration(list[i]);
}

// The members that `exactly` and an item of `firstAvailable` have in common.
void check_device_request(const Check& r, bool alternative) {
  Check name = r["deviceClassName"], mode = r["allocationMode"], count = r["count"];
  if (!alternative && name.need()) name.format(apimachinery::is_dns1123_subdomain);
  check_selectors(r["selectors"]);
  if (mode.is("All")) {
    if (count.number() != 0) count.invalid("must not be specified when allocationMode is 'All'");
  } else if (mode.is("ExactCount") && count.number() <= 0) {
    count.invalid_as(count.number(), "must be greater than zero");
  }
  check_tolerations_of(r["tolerations"]);
}

// JSON of a driver's own: an object.
void check_raw(const Check& raw) {
  if (raw.value().dump().size() > 10240) raw.too_long(10240);
  else if (!raw.value().is_object()) raw.invalid_as("<value omitted>", "must be a valid JSON object");
}

void check_configuration(const Check& c) {
  Check opaque = c["opaque"];
  if (!opaque.set()) return opaque.required();
  Check parameters = opaque["parameters"];
  if (!parameters.set()) parameters.required();
  else check_raw(parameters);
}

void check_claim_spec(const Check& spec) {
  Check devices = spec["devices"], requests = devices["requests"], constraints = devices["constraints"], config = devices["config"];
  RequestNames names = request_names(devices.value());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    Check r = requests[i], exactly = r["exactly"], first = r["firstAvailable"];
    r["name"].format(apimachinery::is_dns1123_label);
    if (exactly.set() && !first.empty()) {
      r.invalid_as(nullptr, "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set");
    } else if (exactly.set()) {
      check_device_request(exactly, false);
    } else if (!first.empty()) {
      for (std::size_t j = 0; j < first.size(); ++j) {
        first[j]["name"].format(apimachinery::is_dns1123_label);
        check_device_request(first[j], true);
      }
      check_unique_items(first, {"name"});
    } else {
      r.required("exactly one of `exactly` or `firstAvailable` is required");
    }
  }
  check_unique_items(requests, {"name"});
  for (std::size_t i = 0; i < constraints.size(); ++i) {
    check_request_references(constraints[i]["requests"], names);
    if (!constraints[i]["matchAttribute"].set() && !constraints[i]["distinctAttribute"].set())
      constraints[i].required("exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set");
  }
  for (std::size_t i = 0; i < config.size(); ++i) {
    check_request_references(config[i]["requests"], names);
    check_configuration(config[i]);
  }
}

// Devices in use by others are for those whom the namespace's label allows it.
void check_admin_access(WriteContext& c, const Document& o, const FieldPath& path, FieldErrors& errors) {
  constexpr const char* kLabel = "resource.kubernetes.io/admin-access";
  std::string ns(apimachinery::namespace_of(o));
  auto found = c.lister ? c.lister->get<api::core::v1::Namespace>("", ns) : std::nullopt;
  if (found)
    for (const auto& [key, value] : found->metadata.labels)
      if (key == kLabel && value == "true") return;
  errors.push_back(field_forbidden(path, "admin access to devices requires the `" + std::string(kLabel) + ": true` label on the containing namespace"));
}

void check_admin_requests(WriteContext& c, const Document& o, const Document& spec, FieldErrors& errors) {
  std::size_t i = 0;
  for (const auto& r : each(member(spec, "devices"), "requests")) {
    if (apimachinery::bool_at(member(r, "exactly"), "adminAccess"))
      return check_admin_access(c, o, FieldPath("spec").child("devices").child("requests").index(i).child("adminAccess"), errors);
    ++i;
  }
}

Document* array_in(Document& holder, const char* name) {
  Document* v = find_member(holder, name);
  return v && v->is_array() ? v : nullptr;
}

// Attributes that a claim derives are a feature that is off.
void drop_derived(Document& spec) {
  Document* devices = find_member(spec, "devices");
  Document* requests = devices ? array_in(*devices, "requests") : nullptr;
  if (!requests) return;
  for (auto& r : *requests) {
    if (Document* exactly = find_member(r, "exactly"); exactly && exactly->is_object()) exactly->erase("derivedAttributes");
    if (Document* first = array_in(r, "firstAvailable"))
      for (auto& s : *first)
        if (s.is_object()) s.erase("derivedAttributes");
  }
}

void default_claim_spec(Document& spec) {
  auto request = [](Document& r) {
    if (string_at(r, "allocationMode").empty()) r["allocationMode"] = "ExactCount";
    if (string_at(r, "allocationMode") == "ExactCount" && apimachinery::int_at(r, "count") == 0) r["count"] = 1;
  };
  Document* devices = find_member(spec, "devices");
  Document* requests = devices ? find_member(*devices, "requests") : nullptr;
  if (!requests || !requests->is_array()) return;
  for (auto& r : *requests) {
    if (Document* exactly = find_member(r, "exactly"); exactly && exactly->is_object()) request(*exactly);
    if (Document* first = find_member(r, "firstAvailable"); first && first->is_array())
      for (auto& s : *first) request(s);
  }
}

class ClaimStrategy final : public Strategy {
 public:
  explicit ClaimStrategy(const KindSchema& k) : Strategy(k) { set_flags(*this); }
  void set_defaults(Document& o) const override {
    if (Document* spec = find_member(o, "spec")) default_claim_spec(*spec);
  }
  void prepare_for_create(WriteContext& c, Document& o) const override {
    Strategy::prepare_for_create(c, o);
    drop_derived(apimachinery::object_at(o, "spec"));
  }
  void prepare_for_update(WriteContext& c, Document& o, const Document& old) const override {
    Strategy::prepare_for_update(c, o, old);
    drop_derived(apimachinery::object_at(o, "spec"));
  }
  void validate(WriteContext& c, const Document& o, FieldErrors& errors) const override {
    check_admin_requests(c, o, member(o, "spec"), errors);
    check_claim_spec(Check(member(o, "spec"), FieldPath("spec"), errors));
  }
  // The spec doesn't change, so there is nothing to say of it.
  void validate_update(WriteContext&, const Document&, const Document&, FieldErrors&) const override {}

  // What was told of devices goes with their allocation.
  void prepare_for_status_update(WriteContext& c, Document& o, const Document& old) const override {
    Strategy::prepare_for_status_update(c, o, old);
    Document* status = find_member(o, "status");
    Document* allocation = status ? find_member(*status, "allocation") : nullptr;
    Document* chosen = allocation ? find_member(*allocation, "devices") : nullptr;
    if (Document* results = chosen ? array_in(*chosen, "results") : nullptr)
      for (auto& r : *results)
        if (r.is_object()) r.erase("skipNodeOperations");  // a feature that is off
    Document* devices = status ? find_member(*status, "devices") : nullptr;
    if (!devices || !devices->is_array()) return;
    std::set<std::string> held = allocated(*status), before = allocated(member(old, "status"));
    Document kept = Document::array();
    for (const auto& d : *devices)
      if (held.count(id(d)) || !before.count(id(d))) kept.push_back(d);
    if (kept.empty()) status->erase("devices");
    else *devices = std::move(kept);
  }

  void validate_status_update(WriteContext& c, const Document& o, const Document& old, FieldErrors& errors) const override {
    Check status(member(o, "status"), FieldPath("status"), errors);
    if (auto i = admin_result(old); !i)
      if (i = admin_result(o); i)
        check_admin_access(c, o, FieldPath("status").child("allocation").child("devices").child("results").index(*i).child("adminAccess"), errors);
    const Document& before = member(old, "status");
    Check reserved = status["reservedFor"], devices = status["devices"], allocation = status["allocation"];
    for (std::size_t i = 0; i < reserved.size(); ++i)
      for (const char* f : {"resource", "name", "uid"}) reserved[i][f].need();
    check_unique_items(reserved, {"uid"});
    check_unique_items(devices, {"driver", "device", "pool", "shareID"});
    std::set<std::string> held = allocated(status.value());
    for (std::size_t i = 0; i < devices.size(); ++i) {
      Check d = devices[i];
      check_csi_driver_name(d["driver"]);
      check_pool_name(d["pool"]);
      d["device"].format(apimachinery::is_dns1123_label);
      if (!held.count(id(d.value()))) d.invalid_as(Document{{"device", id(d.value())}}, "must be an allocated device in the claim");
      d.add(apimachinery::validate_conditions(d["conditions"].value(), d["conditions"].path()));
      if (d["conditions"].size() > 8) d["conditions"].too_many(8);
      if (d["data"].set()) check_raw(d["data"]);
      Check ips = d["networkData"]["ips"];
      for (std::size_t j = 0; j < ips.size(); ++j) check_interface_address(ips[j]);
    }
    if (!reserved.empty() && !allocation.set()) reserved.forbidden("may not be specified when `allocated` is not set");
    else if (!reserved.empty() && !apimachinery::deletion_timestamp_of(o).empty()) {
      for (const auto& r : reserved.value()) {
        const Document& known = each(before, "reservedFor");
        if (std::find(known.begin(), known.end(), r) != known.end()) continue;
        reserved.forbidden("new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set");
        break;
      }
    }
    const Document* was = find_member(before, "allocation");
    if (!allocation.set()) return;
    if (was) allocation.unchanged(Check(*was, allocation.path(), errors));
    else check_allocation(allocation, request_names(apimachinery::at_path(o, {"spec", "devices"})));
  }

 private:
  static std::optional<std::size_t> admin_result(const Document& o) {
    std::size_t i = 0;
    for (const auto& r : each(apimachinery::at_path(o, {"status", "allocation", "devices"}), "results")) {
      if (apimachinery::bool_at(r, "adminAccess")) return i;
      ++i;
    }
    return std::nullopt;
  }
  // "192.168.1.5/24": an address and its subnet's length, as they are written best.
  static void check_interface_address(const Check& at) {
    auto n = parse_network(at.text());
    if (!n) return at.invalid("must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)");
    auto ip = parse_address(at.text().substr(0, at.text().find('/')));
    int prefix = n->base.v6 && !ip->v6 && n->prefix > 32 ? n->prefix - 96 : n->prefix;
    std::string canonical = ip->to_string() + "/" + std::to_string(prefix);
    if (canonical != at.text()) at.invalid("must be in canonical form (\"" + canonical + "\")");
  }
  static std::string id(const Document& d) {
    std::string out = std::string(string_at(d, "driver")) + "/" + std::string(string_at(d, "pool")) + "/" + std::string(string_at(d, "device"));
    std::string_view share = string_at(d, "shareID");
    return share.empty() ? out : out + "/" + std::string(share);
  }
  static std::set<std::string> allocated(const Document& status) {
    std::set<std::string> out;
    for (const auto& r : each(apimachinery::at_path(status, {"allocation", "devices"}), "results")) out.insert(id(r));
    return out;
  }
  static void check_allocation(const Check& allocation, const RequestNames& names) {
    Check results = allocation["devices"]["results"], config = allocation["devices"]["config"];
    for (std::size_t i = 0; i < results.size(); ++i) {
      check_request_reference(results[i]["request"], names);
      results[i]["device"].format(apimachinery::is_dns1123_label);
      check_binding(results[i]);
      check_tolerations_of(results[i]["tolerations"]);
    }
    if (Check nodes = allocation["nodeSelector"]; nodes.set()) validate_node_selector(nodes.value(), nodes.path(), nodes.errors());
    for (std::size_t i = 0; i < config.size(); ++i) {
      check_request_references(config[i]["requests"], names);
      check_configuration(config[i]);
    }
  }
};

class ClaimTemplateStrategy final : public Strategy {
 public:
  explicit ClaimTemplateStrategy(const KindSchema& k) : Strategy(k) { set_flags(*this); }
  void set_defaults(Document& o) const override {
    if (Document* spec = find_member(o, "spec"))
      if (Document* inner = find_member(*spec, "spec")) default_claim_spec(*inner);
  }
  void prepare_for_create(WriteContext& c, Document& o) const override {
    Strategy::prepare_for_create(c, o);
    drop_derived(apimachinery::object_at(apimachinery::object_at(o, "spec"), "spec"));
  }
  void prepare_for_update(WriteContext& c, Document& o, const Document& old) const override {
    Strategy::prepare_for_update(c, o, old);
    drop_derived(apimachinery::object_at(apimachinery::object_at(o, "spec"), "spec"));
  }
  void validate(WriteContext& c, const Document& o, FieldErrors& errors) const override {
    check_admin_requests(c, o, member(member(o, "spec"), "spec"), errors);
    check(o, errors);
  }
  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    check(o, errors);
    if (!semantically_equal(*kind->type->field("spec")->message, member(o, "spec"), member(old, "spec")))
      errors.push_back(field_invalid(FieldPath("spec"), member(o, "spec"), "field is immutable"));
  }

 private:
  static void check(const Document& o, FieldErrors& errors) {
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    check_template_metadata(spec["metadata"]);
    check_claim_spec(spec["spec"]);
  }
};

class DeviceClassStrategy final : public Strategy {
 public:
  explicit DeviceClassStrategy(const KindSchema& k) : Strategy(k) { set_flags(*this); }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    Check prefix = Check(member(o, "metadata"), FieldPath("metadata"), errors)["generateName"];
    prefix.each_problem(apimachinery::name_is_path_segment(prefix.text(), true));
    check(o, errors);
  }
  void validate_update(WriteContext&, const Document& o, const Document&, FieldErrors& errors) const override { check(o, errors); }

 private:
  static void check(const Document& o, FieldErrors& errors) {
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    check_selectors(spec["selectors"]);
    for (std::size_t i = 0; i < spec["config"].size(); ++i) check_configuration(spec["config"][i]);
  }
};

// ---- what a driver offers

void stamp_taint(Document& taint, WallTime now) {
  if (taint.is_object() && string_at(taint, "timeAdded").empty()) taint["timeAdded"] = format_rfc3339(now);
}

Document* devices_of(Document& o) {
  Document* spec = find_member(o, "spec");
  return spec && spec->is_object() ? array_in(*spec, "devices") : nullptr;
}

class SliceStrategy final : public Strategy {
 public:
  explicit SliceStrategy(const KindSchema& k) : Strategy(k) {
    set_flags(*this);
    select("spec.nodeName");
    select("spec.driver");
    select("spec.pool.name");
  }
  void prepare_for_create(WriteContext& c, Document& o) const override {
    Strategy::prepare_for_create(c, o);
    drop_disabled(o);
  }
  void prepare_for_update(WriteContext& c, Document& o, const Document& old) const override {
    Strategy::prepare_for_update(c, o, old);
    drop_disabled(o);
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override { check_slice(Check(member(o, "spec"), FieldPath("spec"), errors), device_type(), Document()); }
  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    Check now(member(o, "spec"), FieldPath("spec"), errors), before(member(old, "spec"), FieldPath("spec"), errors);
    now["pool"]["name"].unchanged(before["pool"]["name"]);
    now["driver"].unchanged(before["driver"]);
    now["nodeName"].unchanged(before["nodeName"]);
    check_slice(now, device_type(), before.value());
  }
  void warnings_on_create(WriteContext& c, const Document& o) const override {
    std::string_view driver = string_at(member(o, "spec"), "driver");
    if (driver != to_lower(driver)) c.warn("spec.driver: driver names should be lowercase; " + apimachinery::go_quote(driver) + " contains uppercase characters");
  }
  void warnings_on_update(WriteContext& c, const Document& o, const Document&) const override { warnings_on_create(c, o); }

 private:
  // What this release has turned off.
  static void drop_disabled(Document& o) {
    if (Document* spec = find_member(o, "spec"); spec && spec->is_object())
      for (const char* f : {"partitionTypeAttribute", "skipNodeOperations"}) spec->erase(f);
    Document* devices = devices_of(o);
    if (!devices) return;
    for (auto& d : *devices) {
      if (!d.is_object()) continue;
      d.erase("nodeAllocatableResources");
      if (Document* list = array_in(d, "consumesCounters"))
        for (auto& c : *list)
          if (c.is_object()) c.erase("compatibilityGroups");
      if (Document* attributes = find_member(d, "attributes"); attributes && attributes->is_object())
        for (auto& a : *attributes)
          if (a.is_object())
            for (const char* f : {"bools", "ints", "strings", "versions"}) a.erase(f);
    }
  }

  const apimachinery::TypeSchema& device_type() const { return *kind->type->field("spec")->message->field("devices")->message; }
  static void check_slice(const Check& spec, const apimachinery::TypeSchema& type, const Document& before) {
    Check pool = spec["pool"], devices = spec["devices"], counters = spec["sharedCounters"];
    check_csi_driver_name(spec["driver"]);
    check_pool_name(pool["name"]);
    if (pool["resourceSliceCount"].number() <= 0) pool["resourceSliceCount"].invalid_as(pool["resourceSliceCount"].number(), "must be greater than zero");
    if (pool["generation"].number() < 0) pool["generation"].invalid("must be greater than or equal to zero");
    constexpr const char* kOne = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    auto set = node_selection(spec, {"allNodes", "perDeviceNodeSelection"}, "must be either unset or set to a non-empty string");
    if (set.empty()) spec.required(kOne);
    else if (set.size() > 1) spec.invalid_as("{" + join(set, ", ") + "}", std::string(kOne) + ", but multiple fields are set");
    Check terms = spec["nodeSelector"]["nodeSelectorTerms"];
    if (spec["nodeSelector"].set() && terms.size() != 1) terms.invalid_as(terms.value(), "must have exactly one node selector term");
    if (devices.set() && counters.set()) spec.invalid_as("", "only one of `sharedCounters` or `devices` is allowed");
    bool advanced = false;
    for (std::size_t i = 0; i < devices.size(); ++i) advanced = advanced || !devices[i]["taints"].empty() || !devices[i]["consumesCounters"].empty();
    int most = advanced ? 64 : 128;
    if (devices.size() > static_cast<std::size_t>(most)) {
      devices.too_many(most);
    } else {
      for (std::size_t i = 0; i < devices.size(); ++i) {
        const Document* old = nullptr;
        for (const auto& d : each(before, "devices"))
          if (string_at(d, "name") == devices[i]["name"].text()) old = &d;
        check_device(devices[i], type, old, spec["perDeviceNodeSelection"].flag());
      }
      check_unique(devices, "name");
    }
    for (std::size_t i = 0; i < counters.size(); ++i) check_counters(counters[i]["counters"]);
    check_unique_items(counters, {"name"});
  }
};

class TaintRuleStrategy final : public Strategy {
 public:
  explicit TaintRuleStrategy(const KindSchema& k) : Strategy(k) { set_flags(*this); }
  // Another effect begins anew.
  void prepare_for_update(WriteContext& c, Document& o, const Document& old) const override {
    Document& taint = taint_of(o);
    const Document& was = member(member(old, "spec"), "taint");
    if (string_at(taint, "effect") != string_at(was, "effect") && string_at(taint, "timeAdded") == string_at(was, "timeAdded")) taint["timeAdded"] = format_rfc3339(c.now);
    Strategy::prepare_for_update(c, o, old);
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    Check selector = spec["deviceSelector"];
    if (selector["driver"].set()) check_csi_driver_name(selector["driver"]);
    if (selector["pool"].set()) check_pool_name(selector["pool"]);
    if (selector["device"].set()) selector["device"].format(apimachinery::is_dns1123_label);
    check_taint(spec["taint"]);
  }
  void validate_status_update(WriteContext&, const Document& o, const Document&, FieldErrors& errors) const override {
    Check list = Check(member(o, "status"), FieldPath("status"), errors)["conditions"];
    list.add(apimachinery::validate_conditions(list.value(), list.path()));
    if (list.size() > 8) list.too_many(8);
  }

 private:
  static Document& taint_of(Document& o) { return apimachinery::object_at(apimachinery::object_at(o, "spec"), "taint"); }
};

}  // namespace

void stamp_device_taints(const KindSchema& kind, Document& o, WallTime now) {
  if (kind.kind == "DeviceTaintRule") stamp_taint(apimachinery::object_at(apimachinery::object_at(o, "spec"), "taint"), now);
  Document* devices = kind.kind == "ResourceSlice" ? devices_of(o) : nullptr;
  if (!devices) return;
  for (auto& d : *devices)
    if (Document* taints = array_in(d, "taints"))
      for (auto& t : *taints) stamp_taint(t, now);
}

StrategyMaker resource_strategy(std::string_view kind) {
  if (kind == "ResourceClaim") return make<ClaimStrategy>;
  if (kind == "ResourceClaimTemplate") return make<ClaimTemplateStrategy>;
  if (kind == "DeviceClass") return make<DeviceClassStrategy>;
  if (kind == "ResourceSlice") return make<SliceStrategy>;
  if (kind == "DeviceTaintRule") return make<TaintRuleStrategy>;
  return nullptr;
}

}  // namespace onebin::apiserver
