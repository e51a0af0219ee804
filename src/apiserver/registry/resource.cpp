// resource.k8s.io (dynamic resource allocation). Expressions of selectors are bounded here and compiled by whoever allocates.
#include "apiserver/registry/check.hpp"
#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <map>
#include <set>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::member;
using apimachinery::semantically_equal;
using apimachinery::string_at;

namespace {

void check_unique(const Check& list, const char* key) {
  std::set<std::string> seen;
  for (std::size_t i = 0; i < list.size(); ++i) {
    std::string name((key ? list[i][key] : list[i]).text());
    if (!seen.insert(name).second) (key ? list[i][key] : list[i]).as(list[i].path()).duplicate_of(name);
  }
}

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
  bool exists = t["operator"].is("Exists");
  if (exists && !t["value"].empty()) t["value"].invalid("must be empty for operator `Exists`");
  if (!exists && t["key"].empty() && t["operator"].is("Equal")) t["operator"].invalid("must be `Exists` when `key` is empty");
  if (!t["value"].empty()) t["value"].format(apimachinery::is_valid_label_value);
}

// The members that `exactly` and an item of `firstAvailable` have in common.
void check_device_request(const Check& r, bool alternative) {
  Check name = r["deviceClassName"], mode = r["allocationMode"], count = r["count"], tolerations = r["tolerations"];
  if (name.need() && !alternative) name.format(apimachinery::is_dns1123_subdomain);
  check_selectors(r["selectors"]);
  if (mode.is("All")) {
    if (count.number() != 0) count.invalid("must not be specified when allocationMode is 'All'");
  } else if (mode.is("ExactCount") && count.number() <= 0) {
    count.invalid_as(count.number(), "must be greater than zero");
  }
  for (std::size_t i = 0; i < tolerations.size(); ++i) check_toleration(tolerations[i]);
}

void check_configuration(const Check& c) {
  Check opaque = c["opaque"];
  if (!opaque.set()) return opaque.required();
  opaque["driver"].need();
  Check parameters = opaque["parameters"];
  if (!parameters.set()) parameters.required();
  else if (!parameters.value().is_object()) parameters.invalid_as("<value omitted>", "must be a valid JSON object");
  else if (parameters.value().dump().size() > 10240) parameters.too_long(10240);
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
      check_unique(first, "name");
    } else {
      r.required("exactly one of `exactly` or `firstAvailable` is required");
    }
  }
  check_unique(requests, "name");
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
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override { check_claim_spec(Check(member(o, "spec"), FieldPath("spec"), errors)); }
  // The spec doesn't change, so there is nothing to say of it.
  void validate_update(WriteContext&, const Document&, const Document&, FieldErrors&) const override {}

  // What was told of devices goes with their allocation.
  void prepare_for_status_update(WriteContext& c, Document& o, const Document& old) const override {
    Strategy::prepare_for_status_update(c, o, old);
    Document* status = find_member(o, "status");
    Document* devices = status ? find_member(*status, "devices") : nullptr;
    if (!devices || !devices->is_array()) return;
    std::set<std::string> held = allocated(*status), before = allocated(member(old, "status"));
    Document kept = Document::array();
    for (const auto& d : *devices)
      if (held.count(id(d)) || !before.count(id(d))) kept.push_back(d);
    if (kept.empty()) status->erase("devices");
    else *devices = std::move(kept);
  }

  void validate_status_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    Check status(member(o, "status"), FieldPath("status"), errors);
    const Document& before = member(old, "status");
    Check reserved = status["reservedFor"], devices = status["devices"], allocation = status["allocation"];
    for (std::size_t i = 0; i < reserved.size(); ++i)
      for (const char* f : {"resource", "name", "uid"}) reserved[i][f].need();
    check_unique(reserved, "uid");
    std::set<std::string> held = allocated(status.value()), seen;
    for (std::size_t i = 0; i < devices.size(); ++i) {
      Check d = devices[i];
      check_csi_driver_name(d["driver"]);
      check_pool_name(d["pool"]);
      d["device"].format(apimachinery::is_dns1123_label);
      if (!held.count(id(d.value()))) d.invalid_as(id(d.value()), "must be an allocated device in the claim");
      d.add(apimachinery::validate_conditions(d["conditions"].value(), d["conditions"].path()));
      if (d["conditions"].size() > 8) d["conditions"].too_many(8);
      if (!seen.insert(id(d.value())).second) d.duplicate_of(id(d.value()));
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
      results[i]["driver"].need();
      results[i]["pool"].need();
      results[i]["device"].format(apimachinery::is_dns1123_label);
    }
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
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    check_claim_spec(Check(member(o, "spec"), FieldPath("spec"), errors)["spec"]);
  }
  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    Check(member(o, "spec"), FieldPath("spec"), errors).unchanged(Check(member(old, "spec"), FieldPath("spec"), errors));
  }
};

class DeviceClassStrategy final : public Strategy {
 public:
  explicit DeviceClassStrategy(const KindSchema& k) : Strategy(k) { set_flags(*this); }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    check_selectors(spec["selectors"]);
    for (std::size_t i = 0; i < spec["config"].size(); ++i) check_configuration(spec["config"][i]);
  }
};

// ---- what a driver offers

// Exactly one of several ways to say which nodes; names of those that are set, in backquotes.
std::vector<std::string> node_selection(const Check& at, const char* empty_name) {
  std::vector<std::string> set;
  Check name = at["nodeName"], selector = at["nodeSelector"];
  if (name.set() && name.empty()) name.invalid(empty_name);
  else if (name.set()) {
    set.push_back("`nodeName`");
    name.named(apimachinery::name_is_dns_subdomain);
  }
  if (selector.set()) set.push_back("`nodeSelector`");
  for (const char* f : {"allNodes", "perDeviceNodeSelection"}) {
    if (!at[f].set()) continue;
    if (at[f].flag()) set.push_back("`" + std::string(f) + "`");
    else at[f].invalid("must be either unset or set to true");
  }
  return set;
}

void check_taint(const Check& t) {
  t["key"].need(apimachinery::is_qualified_name);
  if (!t["value"].empty()) t["value"].format(apimachinery::is_valid_label_value);
  t["effect"].need();
}

void stamp_taint(Document& taint, WallTime now) {
  if (taint.is_object() && string_at(taint, "timeAdded").empty()) taint["timeAdded"] = format_rfc3339(now);
}

void check_attribute(const Check& a) {
  int values = 0;
  for (const char* f : {"bool", "int", "string", "version", "bools", "ints", "strings", "versions"}) {
    if (!a[f].set()) continue;
    ++values;
    if (a[f].value().is_array() && a[f].value().empty()) a[f].invalid("must not be empty if specified");
  }
  for (const char* f : {"string", "version"})
    if (a[f].set()) a[f].at_most_bytes(64);
  if (values != 1) a.invalid_as(values ? a.value() : Document(""), "exactly one value must be specified");
}

class SliceStrategy final : public Strategy {
 public:
  explicit SliceStrategy(const KindSchema& k) : Strategy(k) {
    set_flags(*this);
    select("spec.nodeName");
    select("spec.driver");
  }
  void prepare_for_create(WriteContext& c, Document& o) const override {
    Strategy::prepare_for_create(c, o);
    stamp_taints(o, c.now);
  }
  void prepare_for_update(WriteContext& c, Document& o, const Document& old) const override {
    stamp_taints(o, c.now);
    Strategy::prepare_for_update(c, o, old);
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override { check(o, errors); }
  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    Check now(member(o, "spec"), FieldPath("spec"), errors), before(member(old, "spec"), FieldPath("spec"), errors);
    now["pool"]["name"].unchanged(before["pool"]["name"]);
    now["driver"].unchanged(before["driver"]);
    now["nodeName"].unchanged(before["nodeName"]);
    check(o, errors);
  }

 private:
  static void stamp_taints(Document& o, WallTime now) {
    Document* spec = find_member(o, "spec");
    Document* devices = spec ? find_member(*spec, "devices") : nullptr;
    if (!devices || !devices->is_array()) return;
    for (auto& d : *devices)
      if (Document* taints = find_member(d, "taints"); taints && taints->is_array())
        for (auto& t : *taints) stamp_taint(t, now);
  }

  static void check(const Document& o, FieldErrors& errors) {
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    Check pool = spec["pool"], devices = spec["devices"], counters = spec["sharedCounters"];
    check_csi_driver_name(spec["driver"]);
    check_pool_name(pool["name"]);
    if (pool["resourceSliceCount"].number() <= 0) pool["resourceSliceCount"].invalid_as(pool["resourceSliceCount"].number(), "must be greater than zero");
    if (pool["generation"].number() < 0) pool["generation"].invalid("must be greater than or equal to zero");
    constexpr const char* kOne = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    auto set = node_selection(spec, "must be either unset or set to a non-empty string");
    if (set.empty()) spec.required(kOne);
    else if (set.size() > 1) spec.invalid_as("{" + join(set, ", ") + "}", std::string(kOne) + ", but multiple fields are set");
    Check terms = spec["nodeSelector"]["nodeSelectorTerms"];
    if (spec["nodeSelector"].set() && terms.size() != 1) terms.invalid("must have exactly one node selector term");
    if (devices.set() && counters.set()) spec.invalid_as("", "only one of `sharedCounters` or `devices` is allowed");
    bool advanced = false;
    for (std::size_t i = 0; i < devices.size(); ++i) {
      check_device(devices[i], spec["perDeviceNodeSelection"].flag());
      advanced = advanced || !devices[i]["taints"].empty() || !devices[i]["consumesCounters"].empty();
    }
    int most = advanced ? 64 : 128;
    if (devices.size() > static_cast<std::size_t>(most)) devices.too_many(most);
    check_unique(devices, "name");
    check_unique(counters, "name");
  }

  static void check_device(const Check& d, bool selects_nodes) {
    d["name"].format(apimachinery::is_dns1123_label);
    Check attributes = d["attributes"], capacity = d["capacity"], taints = d["taints"];
    if (attributes.size() + capacity.size() > 32)
      d.invalid_as(attributes.size() + capacity.size(), "the total number of attributes and capacities must not exceed 32");
    for (const auto& [k, v] : attributes.value().items()) check_attribute(attributes.key(k));
    for (std::size_t i = 0; i < taints.size(); ++i) check_taint(taints[i]);
    check_unique(d["consumesCounters"], "counterSet");
    if (selects_nodes) {
      constexpr const char* kOne =
          "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
      auto set = node_selection(d, "must not be empty");
      if (set.empty()) d.required(kOne);
      else if (set.size() > 1) d.invalid_as("{" + join(set, ", ") + "}", kOne);
    } else if (d["nodeName"].set() || d["nodeSelector"].set() || d["allNodes"].set()) {
      d.invalid_as(nullptr, "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec");
    }
  }
};

class TaintRuleStrategy final : public Strategy {
 public:
  explicit TaintRuleStrategy(const KindSchema& k) : Strategy(k) { set_flags(*this); }
  void prepare_for_create(WriteContext& c, Document& o) const override {
    Strategy::prepare_for_create(c, o);
    stamp_taint(apimachinery::object_at(apimachinery::object_at(o, "spec"), "taint"), c.now);
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    Check spec(member(o, "spec"), FieldPath("spec"), errors);
    Check selector = spec["deviceSelector"];
    if (selector["driver"].set()) check_csi_driver_name(selector["driver"]);
    if (selector["pool"].set()) check_pool_name(selector["pool"]);
    if (selector["device"].set()) selector["device"].format(apimachinery::is_dns1123_label);
    check_taint(spec["taint"]);
  }
};

}  // namespace

StrategyMaker resource_strategy(std::string_view kind) {
  if (kind == "ResourceClaim") return make<ClaimStrategy>;
  if (kind == "ResourceClaimTemplate") return make<ClaimTemplateStrategy>;
  if (kind == "DeviceClass") return make<DeviceClassStrategy>;
  if (kind == "ResourceSlice") return make<SliceStrategy>;
  if (kind == "DeviceTaintRule") return make<TaintRuleStrategy>;
  return nullptr;
}

}  // namespace onebin::apiserver
