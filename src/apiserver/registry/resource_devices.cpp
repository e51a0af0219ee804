#include "apiserver/registry/resource_devices.hpp"

#include "apiserver/registry/pod_spec.hpp"
#include "apiserver/registry/volumes.hpp"

#include <onebin/apimachinery/quantity.hpp>
#include <onebin/apimachinery/selectors.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>

#include <re2/re2.h>

#include <cstdint>
#include <set>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::Quantity;
using apimachinery::semantically_equal;

void check_unique(const Check& list, const char* key) {
  std::set<std::string> seen;
  for (std::size_t i = 0; i < list.size(); ++i) {
    std::string name((key ? list[i][key] : list[i]).text());
    if (!seen.insert(name).second) (key ? list[i][key] : list[i]).as(list[i].path()).duplicate_of(name);
  }
}

void check_unique_items(const Check& list, std::initializer_list<const char*> keys) {
  std::set<std::vector<std::string_view>> seen;
  for (std::size_t i = 0; i < list.size(); ++i) {
    std::vector<std::string_view> key;
    for (const char* k : keys) key.push_back(list[i][k].text());
    if (!seen.insert(std::move(key)).second) list[i].duplicate();
  }
}

void check_binding(const Check& holder) {
  Check wanted = holder["bindingConditions"], failures = holder["bindingFailureConditions"];
  std::set<std::string_view> first;
  for (const Check& list : {wanted, failures}) {
    std::set<std::string_view> seen;
    for (std::size_t i = 0; i < list.size(); ++i) {
      std::string_view text = list[i].text();
      list.add(apimachinery::validate_label_name(text, list[i].path()));
      if (!seen.insert(text).second) list[i].duplicate();
      if (first.count(text)) list[i].invalid("bindingFailureConditions must not overlap with bindingConditions");
    }
    if (first.empty()) first = std::move(seen);
  }
  if (wanted.empty() && !failures.empty()) wanted.invalid_as(wanted.value(), "bindingConditions are required to use bindingFailureConditions");
  if (failures.empty() && !wanted.empty()) failures.invalid_as(failures.value(), "bindingFailureConditions are required to use bindingConditions");
}

std::vector<std::string> node_selection(const Check& at, std::initializer_list<const char*> flags, const char* empty_name) {
  std::vector<std::string> set;
  Check name = at["nodeName"], selector = at["nodeSelector"];
  if (name.set() && name.empty()) name.invalid(empty_name);
  else if (name.set()) {
    set.push_back("`nodeName`");
    name.named(apimachinery::name_is_dns_subdomain);
  }
  if (selector.set()) {
    set.push_back("`nodeSelector`");
    validate_node_selector(selector.value(), selector.path(), selector.errors());
  }
  for (const char* f : flags) {
    if (!at[f].set()) continue;
    if (at[f].flag()) set.push_back("`" + std::string(f) + "`");
    else at[f].invalid("must be either unset or set to true");
  }
  return set;
}

void check_taint(const Check& t) {
  t.add(apimachinery::validate_label_name(t["key"].text(), t["key"].path()));
  if (!t["value"].empty()) t["value"].format(apimachinery::is_valid_label_value);
}

namespace {

// "name" or "example.com/name"; what is wrong is told of the map, not of its key.
void check_attribute_name(const std::string& key, const Check& map) {
  auto identifier = [&](const std::string& id) {
    Document text = id;
    Check at(text, map.path(), map.errors());
    at.at_most_bytes(32);
    at.format(apimachinery::is_c_identifier);
  };
  auto parts = split(key, '/');
  if (parts.size() == 1) return identifier(parts[0]);
  if (parts.size() != 2) return;
  Document domain = parts[0];
  if (parts[0].empty()) map.invalid_as("", "the domain must not be empty");
  else check_csi_driver_name(Check(domain, map.path(), map.errors()));
  if (parts[1].empty()) map.invalid_as("", "the name must not be empty");
  else identifier(parts[1]);
}

// A key in a path, shortened in its middle.
Check at_key(const Check& map, const std::string& key) {
  constexpr std::size_t kMost = 96;
  if (key.size() <= kMost) return map.key(key);
  constexpr std::size_t kLeft = kMost - 3;
  return map.key(key).as(map.path().key(key.substr(0, (kLeft + 1) / 2) + "..." + key.substr(key.size() - kLeft / 2)));
}

void check_attribute(const Check& a) {
  static const RE2 kVersion(
      "(0|[1-9]\\d*)\\.(0|[1-9]\\d*)\\.(0|[1-9]\\d*)(-(0|[1-9]\\d*|\\d*[a-zA-Z-][0-9a-zA-Z-]*)(\\.(0|[1-9]\\d*|\\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\\+[0-9a-zA-Z-]+(\\.[0-9a-zA-Z-]+)*)?");
  int values = 0;
  for (const char* f : {"bool", "int", "string", "version"}) values += a[f].set();
  if (a["version"].set() && !RE2::FullMatch(a["version"].text(), kVersion)) a["version"].invalid("must be a string compatible with semver.org spec 2.0.0");
  for (const char* f : {"string", "version"})
    if (a[f].set()) a[f].at_most_bytes(64);
  constexpr const char* kWays = "`int`, `bool`, `string`, `version`, `ints`, `bools`, `strings`, `versions`";
  if (values == 0) a.invalid_as("", std::string("must specify one of: ") + kWays);
  if (values > 1) a.invalid_as(a.value(), std::string("must specify exactly one of: ") + kWays);
}

// ---- how much may be asked for of what several may use

using Int128 = Quantity::Int128;
constexpr Int128 kNano = 1000000000;

Quantity quantity_of(const Check& at) {
  auto q = Quantity::parse(at.text());
  return q ? *q : Quantity();
}

void check_valid_values(const Check& list, const Quantity& fallback, const Quantity& most) {
  if (list.size() > 10) return list.too_many(10);
  bool found = false;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < list.size(); ++i) {
    Quantity q = quantity_of(list[i]);
    if (i && quantity_of(list[i - 1]) > q) list[i].invalid_as(q.to_string(), "values must be sorted in ascending order");
    if (q > most) list[i].invalid_as(q.to_string(), "option is larger than capacity value: " + most.to_string());
    found = found || q == fallback;
    std::string key = std::to_string(q.value());  // whole numbers: 1.5 is 2
    if (!seen.insert(key).second) list[i].duplicate_of(key);
  }
  if (!found) list.invalid_as(fallback.to_string(), "default value is not valid according to the requestPolicy");
}

// Steps are counted in whole numbers: fractions of them are a feature that is off.
void check_steps(const Check& range, const Quantity& fallback, const Quantity& most) {
  Check min = range["min"], max = range["max"], step = range["step"], none = range["default"];
  Quantity low = quantity_of(min), high = quantity_of(max), each_step = quantity_of(step);
  if (!step.set()) return;
  if (each_step.sign() <= 0) return step.invalid_as(each_step.to_string(), "must be greater than zero");
  Quantity added = low + each_step;
  if (added > most) step.invalid_as(each_step.to_string(), "one step " + added.to_string() + " is larger than capacity value: " + most.to_string());
  struct Bound {
    const Check& at;
    const Quantity& q;
    bool set;
  };
  const Bound bounds[] = {{none, fallback, true}, {min, low, true}, {max, high, max.set()}, {step, each_step, true}};
  bool unsafe = false;
  for (const auto& b : bounds) {
    if (!b.set) continue;
    const char* why = b.q.sign() < 0 ? "must be greater than or equal to 0" : b.q.nano() / kNano > INT64_MAX ? "must not be larger than 9223372036854775807" : nullptr;
    if (!why) continue;
    b.at.invalid_as(b.q.to_string(), why);
    unsafe = true;
  }
  if (unsafe) return;
  auto check = [&](const Quantity& q) {
    if ((q.value() - low.value()) % each_step.value() != 0)
      step.invalid_as(q.to_string(), "value is not a multiple of a given step (" + each_step.to_string() + ") from (" + low.to_string() + ")");
  };
  check(fallback);
  if (max.set()) check(high);
}

void check_valid_range(const Check& range, const Quantity& fallback, const Quantity& most) {
  Check min = range["min"], max = range["max"], none = range["default"];
  if (!min.set()) return min.required("required when validRange is defined");
  Quantity low = quantity_of(min), high = quantity_of(max);
  if (low > most) min.invalid_as(low.to_string(), "min is larger than capacity value: " + most.to_string());
  if (fallback < low) none.invalid_as(fallback.to_string(), "default is less than min: " + low.to_string());
  if (max.set()) {
    if (low > high) max.invalid_as(low.to_string(), "min is larger than max: " + high.to_string());
    if (high > most) max.invalid_as(high.to_string(), "max is larger than capacity value: " + most.to_string());
    if (fallback > high) none.invalid_as(fallback.to_string(), "default is more than max: " + high.to_string());
  }
  check_steps(range, fallback, most);
}

void check_capacity(const Check& capacity, bool shared) {
  Check policy = capacity["requestPolicy"], values = policy["validValues"], range = policy["validRange"];
  if (!policy.set()) return;
  if (!shared) return policy.forbidden("allowMultipleAllocations must be true");
  Quantity most = quantity_of(capacity["value"]), fallback = quantity_of(policy["default"]);
  if (!values.empty() && range.set())
    return policy.forbidden("exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time");
  if (values.empty() && !range.set()) return;
  if (!policy["default"].set()) return policy["default"].required(values.empty() ? "required when validRange is defined" : "required when validValues is defined");
  if (!values.empty()) check_valid_values(values, fallback, most);
  else check_valid_range(range, fallback, most);
}

}  // namespace

void check_counters(const Check& counters) {
  if (counters.size() > 32) return counters.too_many(32);
  if (!counters.value().is_object()) return;
  for (const auto& [name, value] : counters.value().items()) {
    Document text = name;
    Check(text, counters.path(), counters.errors()).format(apimachinery::is_dns1123_label);
  }
}

void check_device(const Check& d, const apimachinery::TypeSchema& type, const Document* old, bool selects_nodes) {
  d["name"].format(apimachinery::is_dns1123_label);
  Check attributes = d["attributes"], capacity = d["capacity"], taints = d["taints"], consumes = d["consumesCounters"];
  if (attributes.size() + capacity.size() > 32)
    d.invalid_as(attributes.size() + capacity.size(), "the total number of attributes and capacities must not exceed 32");
  if (attributes.size() > 48) d.invalid_as(attributes.size(), "the total number of attribute values must not exceed 48");
  auto only = [](const Document& device, const char* f) { return Document{{f, apimachinery::member(device, f)}}; };
  auto unchanged = [&](const char* f) { return old && semantically_equal(type, only(d.value(), f), only(*old, f)); };
  if (attributes.value().is_object())
    for (const auto& [k, v] : attributes.value().items()) {
      check_attribute_name(k, attributes);
      check_attribute(at_key(attributes, k));
    }
  if (capacity.value().is_object() && !unchanged("capacity"))
    for (const auto& [k, v] : capacity.value().items()) {
      check_attribute_name(k, capacity);
      check_capacity(at_key(capacity, k), d["allowMultipleAllocations"].flag());
    }
  if (!unchanged("taints")) {
    if (taints.size() > 16) taints.too_many(16);
    for (std::size_t i = 0; i < taints.size() && taints.size() <= 16; ++i) check_taint(taints[i]);
  }
  for (std::size_t i = 0; i < consumes.size(); ++i) check_counters(consumes[i]["counters"]);
  check_unique_items(consumes, {"counterSet"});
  if (selects_nodes) {
    constexpr const char* kOne =
        "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    auto set = node_selection(d, {"allNodes"}, "must not be empty");
    if (set.empty()) d.required(kOne);
    else if (set.size() > 1) d.invalid_as("{" + join(set, ", ") + "}", kOne);
  } else if (d["nodeName"].set() || d["nodeSelector"].set() || d["allNodes"].set()) {
    d.invalid_as(nullptr, "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec");
  }
  check_binding(d);
}

}  // namespace onebin::apiserver
