#include "apiserver/registry/limit_range.hpp"

#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/quantity.hpp>
#include <onebin/base/bytes.hpp>

#include <cstdio>
#include <limits>
#include <map>
#include <optional>
#include <set>

namespace onebin::apiserver {

using apimachinery::member;
using apimachinery::Quantity;
using apimachinery::string_at;

namespace {

constexpr std::int64_t kMaxMilli = std::numeric_limits<std::int64_t>::max() / 1000;

void check_type(const std::string& type, const FieldPath& path, FieldErrors& errors) {
  auto problems = apimachinery::is_qualified_name(type);
  for (auto& m : problems) errors.push_back(field_invalid(path, type, m));
  if (!problems.empty() || type.find('/') != std::string::npos) return;
  if (type != "Pod" && type != "Container" && type != "PersistentVolumeClaim") errors.push_back(field_invalid(path, type, "must be a standard limit type or fully qualified"));
}

// What one limit says of one resource.
struct Amounts {
  std::optional<Quantity> min, max, standard, request, ratio;
};

class Limit {
 public:
  Limit(const Document& limit, FieldPath path, FieldErrors& errors) : limit_(limit), path_(std::move(path)), errors_(errors), type_(string_at(limit, "type")) {}

  void check() {
    take("max", &Amounts::max);
    take("min", &Amounts::min);
    if (type_ == "Pod") {
      for (const char* f : {"default", "defaultRequest"})
        if (!member(limit_, f).empty()) errors_.push_back(field_forbidden(path_.child(f), "may not be specified when `type` is 'Pod'"));
    } else {
      take("default", &Amounts::standard);
      take("defaultRequest", &Amounts::request);
    }
    if (type_ == "PersistentVolumeClaim" && !member(limit_, "min").contains("storage") && !member(limit_, "max").contains("storage"))
      errors_.push_back(field_required(path_.child("limits"), "either minimum or maximum storage value is required, but neither was provided"));
    take("maxLimitRequestRatio", &Amounts::ratio);
    for (const auto& [name, a] : amounts_) check_one(name, a);
  }

 private:
  void take(const char* list, std::optional<Quantity> Amounts::*slot) {
    const Document& values = member(limit_, list);
    if (!values.is_object()) return;
    for (const auto& [name, value] : values.items()) {
      bool container = type_ == "Pod" || type_ == "Container";
      validate_resource_name(name, container, path_.child(list).key(name), errors_);
      auto q = Quantity::parse(value.is_string() ? value.get_ref<const std::string&>() : std::string());
      if (q) amounts_[name].*slot = *q;
    }
  }
  // An error at list[name] where `low` is above `high`.
  void order(const char* list, const std::string& name, const std::optional<Quantity>& low, const std::optional<Quantity>& high, const Quantity* shown, const char* what, const char* than) {
    if (!low || !high || *low <= *high) return;
    errors_.push_back(field_invalid(path_.child(list).key(name), shown->to_string(), std::string(what) + " " + low->to_string() + " is greater than " + than + " " + high->to_string()));
  }
  void check_one(const std::string& name, const Amounts& a) {
    order("min", name, a.min, a.max, a.min ? &*a.min : nullptr, "min value", "max value");
    order("defaultRequest", name, a.min, a.request, a.request ? &*a.request : nullptr, "min value", "default request value");
    order("defaultRequest", name, a.request, a.max, a.request ? &*a.request : nullptr, "default request value", "max value");
    order("defaultRequest", name, a.request, a.standard, a.request ? &*a.request : nullptr, "default request value", "default limit value");
    order("default", name, a.min, a.standard, a.min ? &*a.min : nullptr, "min value", "default value");
    order("default", name, a.standard, a.max, a.max ? &*a.max : nullptr, "default value", "max value");
    if (a.ratio) check_ratio(name, a);
    bool overcommit = name.find('/') == std::string::npos && !starts_with(name, "hugepages-");
    if (name.find('/') != std::string::npos) overcommit = name.find("kubernetes.io/") != std::string::npos;
    if (!overcommit && a.standard && a.request && *a.standard != *a.request)
      errors_.push_back(field_invalid(path_.child("defaultRequest").key(name), a.request->to_string(),
                                      "default value " + a.standard->to_string() + " must equal to defaultRequest value " + a.request->to_string() + " in " + name));
  }
  void check_ratio(const std::string& name, const Amounts& a) {
    FieldPath at = path_.child("maxLimitRequestRatio").key(name);
    if (*a.ratio < Quantity(1)) errors_.push_back(field_invalid(at, a.ratio->to_string(), "ratio " + a.ratio->to_string() + " is less than 1"));
    if (!a.min || !a.max) return;
    double ratio = static_cast<double>(a.ratio->value()), low = static_cast<double>(a.min->value()), high = static_cast<double>(a.max->value());
    if (a.ratio->value() < kMaxMilli && a.min->value() < kMaxMilli && a.max->value() < kMaxMilli) {
      ratio = static_cast<double>(a.ratio->milli_value()) / 1000;
      low = static_cast<double>(a.min->milli_value());
      high = static_cast<double>(a.max->milli_value());
    }
    if (!(ratio > high / low)) return;
    char text[64];
    std::snprintf(text, sizeof text, "%f", high / low);
    errors_.push_back(field_invalid(at, a.ratio->to_string(), "ratio " + a.ratio->to_string() + " is greater than max/min = " + text));
  }

  const Document& limit_;
  FieldPath path_;
  FieldErrors& errors_;
  std::string type_;
  std::map<std::string, Amounts> amounts_;
};

}  // namespace

void validate_limit_range(const Document& object, FieldErrors& errors) {
  FieldPath path = FieldPath("spec").child("limits");
  std::set<std::string> types;
  std::size_t i = 0;
  for (const auto& limit : each(member(object, "spec"), "limits")) {
    FieldPath at = path.index(i++);
    std::string type(string_at(limit, "type"));
    check_type(type, at.child("type"), errors);
    if (!types.insert(type).second) errors.push_back(field_duplicate(at.child("type"), type));
    Limit(limit, at, errors).check();
  }
}

}  // namespace onebin::apiserver
