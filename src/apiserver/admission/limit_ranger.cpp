// LimitRanger: a namespace's LimitRanges give containers their default requests and limits, and bound what is asked for.
#include "apiserver/admission/plugins.hpp"
#include "apiserver/admission/pod_documents.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/base/bytes.hpp>

#include <cstdio>

namespace onebin::apiserver {
namespace {

namespace core = api::core::v1;
using apimachinery::at_path;
using apimachinery::member;
using apimachinery::object_at;
using apimachinery::Quantity;
using apimachinery::string_at;
using Resources = std::map<std::string, Quantity>;

// Past this many units, thousandths do not fit in 64 bits, and whole units are compared.
constexpr std::int64_t kMaxMilli = INT64_MAX / 1000;

Resources resources(const Document& list) {
  Resources out;
  if (!list.is_object()) return out;
  for (const auto& [k, v] : list.items())
    if (v.is_string())
      if (auto q = Quantity::parse(v.get_ref<const std::string&>())) out[k] = *q;
  return out;
}

const Quantity* find(const Resources& r, const std::string& name) {
  auto it = r.find(name);
  return it == r.end() ? nullptr : &it->second;
}

struct Asked {
  Resources requests, limits;
};

std::string minimum(const std::string& type, const std::string& name, const Quantity& bound, const Asked& asked) {
  std::string head = "minimum " + name + " usage per " + type + " is " + bound.to_string();
  const Quantity *request = find(asked.requests, name), *limit = find(asked.limits, name);
  if (!request) return head + ".  No request is specified";
  if (*request < bound) return head + ", but request is " + request->to_string();
  if (limit && *limit < bound) return head + ", but limit is " + limit->to_string();
  return {};
}

std::string maximum(const std::string& type, const std::string& name, const Quantity& bound, const Asked& asked, bool of_limits) {
  std::string head = "maximum " + name + " usage per " + type + " is " + bound.to_string();
  const Quantity *request = find(asked.requests, name), *limit = find(asked.limits, name);
  if (of_limits && !limit) return head + ".  No limit is specified";
  if (!of_limits && !request) return head + ".  No request is specified";
  if (of_limits && *limit > bound) return head + ", but limit is " + limit->to_string();
  if (request && *request > bound) return head + ", but request is " + request->to_string();
  return {};
}

std::string ratio(const std::string& type, const std::string& name, const Quantity& bound, const Asked& asked) {
  std::string head = name + " max limit to request ratio per " + type + " is " + bound.to_string();
  const Quantity *request = find(asked.requests, name), *limit = find(asked.limits, name);
  if (!request || request->is_zero()) return head + ", but no request is specified or request is 0";
  if (!limit || limit->is_zero()) return head + ", but no limit is specified or limit is 0";
  bool milli = request->value() <= kMaxMilli && limit->value() <= kMaxMilli && bound.value() <= kMaxMilli;
  double observed = milli ? static_cast<double>(limit->milli_value()) / static_cast<double>(request->milli_value())
                          : static_cast<double>(limit->value()) / static_cast<double>(request->value());
  if (observed <= bound.as_double()) return {};
  char text[64];
  std::snprintf(text, sizeof text, "%f", observed);
  return head + ", but provided ratio is " + text;
}

void add(Resources& to, const Resources& more) {
  for (const auto& [k, v] : more) {
    auto [it, fresh] = to.emplace(k, v);
    if (!fresh) it->second += v;
  }
}
void raise(Resources& to, const Resources& other) {
  for (const auto& [k, v] : other) {
    auto [it, fresh] = to.emplace(k, v);
    if (!fresh && it->second < v) it->second = v;
  }
}

// What a pod needs of `field` ("requests", "limits"): its containers and sidecars together, or what an init container needs
// beside the sidecars before it, whichever is more; what the pod states for itself goes before.
Resources of_pod(const Document& spec, std::string_view field) {
  Resources total, sidecars, initial;
  for (const auto& c : items(spec, "containers")) add(total, resources(at_path(c, {"resources", field})));
  for (const auto& c : items(spec, "initContainers")) {
    Resources its = resources(at_path(c, {"resources", field}));
    if (string_at(c, "restartPolicy") == "Always") {
      add(total, its);
      add(sidecars, its);
      raise(initial, sidecars);
    } else {
      add(its, sidecars);
      raise(initial, its);
    }
  }
  raise(total, initial);
  for (const auto& [k, v] : resources(at_path(spec, {"resources", field})))
    if (k == "cpu" || k == "memory") total[k] = v;
  return total;
}

class LimitRanger final : public AdmissionPlugin {
 public:
  explicit LimitRanger(const Lister& lister) : lister_(lister) {}
  std::string_view name() const override { return "LimitRanger"; }
  bool handles(Operation op) const override { return op == Operation::Create || op == Operation::Update; }
  bool concerns(const AdmissionAttributes& a) const override {
    if (!a.object) return false;
    if (a.is("", "pods")) return a.operation == Operation::Create;
    if (a.is("", "pods", "resize")) return a.operation == Operation::Update;
    return a.is("", "persistentvolumeclaims");
  }

  async::Task<Result<void>> admit(AdmissionAttributes& a) override {
    if (a.resource == "pods" && !going(a))
      lister_.for_each<core::LimitRange>(a.ns, [&](const core::LimitRange& r) {
        set_defaults(*a.object, r);
        return true;
      });
    co_return Result<void>();
  }

  async::Task<Result<void>> validate(const AdmissionAttributes& a) override {
    if (going(a)) co_return Result<void>();
    Status refused;
    lister_.for_each<core::LimitRange>(a.ns, [&](const core::LimitRange& r) {
      std::vector<std::string> errors;
      for (const auto& item : r.spec.limits) check(item, a, errors);
      if (errors.empty()) return true;
      refused = admission_forbidden(a, errors.size() == 1 ? errors[0] : "[" + join(errors, ", ") + "]");
      return false;
    });
    co_return Result<void>(refused);
  }

 private:
  // An object on its way out may lose finalizers whatever it asks for.
  static bool going(const AdmissionAttributes& a) {
    const Document* old = a.operation == Operation::Update ? a.old_object() : nullptr;
    return old && !apimachinery::deletion_timestamp_of(*old).empty();
  }

  static void merge(Document& container, const core::LimitRange& r, const char* what, std::vector<std::string>& told) {
    std::vector<std::string> requests, limits;
    for (const auto& item : r.spec.limits) {
      if (item.type != "Container") continue;
      auto fill = [&](const char* field, const Resources& from, std::vector<std::string>& set) {
        for (const auto& [k, v] : from) {
          Document& list = object_at(object_at(container, "resources"), field);
          if (list.contains(k)) continue;
          list[k] = v.to_string();
          set.push_back(k);
        }
      };
      fill("limits", item.default_, limits);
      fill("requests", item.default_request, requests);
    }
    std::string name(string_at(container, "name"));
    if (!requests.empty()) told.push_back(join(requests, ", ") + " request for " + what + " " + name);
    if (!limits.empty()) told.push_back(join(limits, ", ") + " limit for " + what + " " + name);
  }

  static void set_defaults(Document& pod, const core::LimitRange& r) {
    std::vector<std::string> told;
    Document& spec = object_at(pod, "spec");
    for (auto [field, what] : {std::pair("containers", "container"), std::pair("initContainers", "init container")})
      if (Document* list = apimachinery::find_member(spec, field); list && list->is_array())
        for (auto& c : *list) merge(c, r, what, told);
    if (!told.empty()) apimachinery::set_annotation(pod, "kubernetes.io/limit-ranger", "LimitRanger plugin set: " + join(told, "; "));
  }

  static void check_one(const core::LimitRangeItem& item, const Asked& asked, bool claim, std::vector<std::string>& errors) {
    auto note = [&](std::string why) { if (!why.empty()) errors.push_back(std::move(why)); };
    for (const auto& [k, v] : item.min) note(minimum(item.type, k, v, asked));
    for (const auto& [k, v] : item.max) note(maximum(item.type, k, v, asked, !claim));
    if (!claim)
      for (const auto& [k, v] : item.max_limit_request_ratio) note(ratio(item.type, k, v, asked));
  }

  static void check(const core::LimitRangeItem& item, const AdmissionAttributes& a, std::vector<std::string>& errors) {
    const Document& spec = member(*a.object, "spec");
    if (a.resource == "persistentvolumeclaims") {
      if (item.type == "PersistentVolumeClaim") check_one(item, {resources(at_path(spec, {"resources", "requests"})), {}}, true, errors);
      return;
    }
    if (item.type == "Pod") check_one(item, {of_pod(spec, "requests"), of_pod(spec, "limits")}, false, errors);
    if (item.type != "Container") return;
    for (const char* field : {"containers", "initContainers"})
      for (const auto& c : items(spec, field))
        check_one(item, {resources(at_path(c, {"resources", "requests"})), resources(at_path(c, {"resources", "limits"}))}, false, errors);
  }

  const Lister& lister_;
};

}  // namespace

std::unique_ptr<AdmissionPlugin> make_limit_ranger(const Lister& lister) { return std::make_unique<LimitRanger>(lister); }

}  // namespace onebin::apiserver
