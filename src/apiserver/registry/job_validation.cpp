#include "apiserver/registry/job_validation.hpp"

#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/time_zone.hpp>

#include <set>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::go_quote;
using apimachinery::int_at;
using apimachinery::member;
using apimachinery::string_at;

namespace {

constexpr std::int64_t kMaxIndexed = 100'000, kMaxWithHighCompletions = 10'000;

bool given(const Document& spec, const char* field) {
  const Document* v = find_member(spec, field);
  return v && !v->is_null();
}

void validate_exit_codes(const Document& codes, const Document& job, const FieldPath& path, FieldErrors& errors) {
  std::string op(string_at(codes, "operator"));
  if (op.empty()) errors.push_back(field_required(path.child("operator"), "valid values: [\"In\" \"NotIn\"]"));
  else if (op != "In" && op != "NotIn") errors.push_back(field_not_supported(path.child("operator"), op, {"In", "NotIn"}));
  if (const Document* name = find_member(codes, "containerName")) {
    bool known = false;
    for (const char* list : {"containers", "initContainers"})
      for (const auto& c : each(apimachinery::at_path(job, {"template", "spec"}), list)) known = known || (name->is_string() && string_at(c, "name") == name->get_ref<const std::string&>());
    if (!known) errors.push_back(field_invalid(path.child("containerName"), *name, "must be one of the container or initContainer names in the pod template"));
  }
  const Document& values = each(codes, "values");
  FieldPath at = path.child("values");
  if (values.empty()) errors.push_back(field_invalid(at, find_member(codes, "values") ? values : Document(), "at least one value is required"));
  else if (values.size() > 255) errors.push_back(field_too_many(at, static_cast<int>(values.size()), 255));
  std::set<std::int64_t> seen;
  bool ordered = true;
  std::int64_t before = 0;
  std::size_t i = 0;
  for (const auto& v : values) {
    std::int64_t code = v.is_number_integer() ? v.get<std::int64_t>() : 0;
    if (op == "In" && code == 0) errors.push_back(field_invalid(at.index(i), code, "must not be 0 for the In operator"));
    if (!seen.insert(code).second) errors.push_back(field_duplicate(at.index(i), code));
    ordered = ordered && (i == 0 || before <= code);
    before = code;
    ++i;
  }
  if (!ordered) errors.push_back(field_invalid(at, values, "must be ordered"));
}

apimachinery::FieldError about(const FieldPath& path, const char* why) {
  apimachinery::FieldError e = field_invalid(path, Document(), why);
  e.omit_value = true;
  return e;
}

void validate_pod_failure_policy(const Document& spec, const FieldPath& path, FieldErrors& errors) {
  const Document& rules = each(member(spec, "podFailurePolicy"), "rules");
  if (rules.size() > 20) errors.push_back(field_too_many(path.child("rules"), static_cast<int>(rules.size()), 20));
  static const std::vector<std::string> kActions = {"Count", "FailIndex", "FailJob", "Ignore"};
  std::size_t i = 0;
  for (const auto& rule : rules) {
    FieldPath at = path.child("rules").index(i++);
    std::string action(string_at(rule, "action"));
    if (action.empty()) errors.push_back(field_required(at.child("action"), "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]"));
    else if (action == "FailIndex" && !given(spec, "backoffLimitPerIndex")) errors.push_back(field_invalid(at.child("action"), action, "requires the backoffLimitPerIndex to be set"));
    else if (std::find(kActions.begin(), kActions.end(), action) == kActions.end()) errors.push_back(field_not_supported(at.child("action"), action, kActions));
    const Document* codes = find_member(rule, "onExitCodes");
    const Document& conditions = each(rule, "onPodConditions");
    if (codes) validate_exit_codes(*codes, spec, at.child("onExitCodes"), errors);
    FieldPath on = at.child("onPodConditions");
    if (conditions.size() > 20) errors.push_back(field_too_many(on, static_cast<int>(conditions.size()), 20));
    std::size_t j = 0;
    for (const auto& c : conditions) {
      FieldPath p = on.index(j++);
      std::string type(string_at(c, "type")), status(string_at(c, "status"));
      for (auto& m : apimachinery::is_qualified_name(type)) errors.push_back(field_invalid(p.child("type"), type, m));
      if (status.empty()) errors.push_back(field_required(p.child("status"), "valid values: [\"False\" \"True\" \"Unknown\"]"));
      else if (status != "True" && status != "False" && status != "Unknown") errors.push_back(field_not_supported(p.child("status"), status, {"False", "True", "Unknown"}));
    }
    if (codes && !conditions.empty()) errors.push_back(about(at, "specifying both OnExitCodes and OnPodConditions is not supported"));
    if (!codes && conditions.empty()) errors.push_back(about(at, "specifying one of OnExitCodes and OnPodConditions is required"));
  }
}

// "1,3-5": how many indexes, or why it is none.
std::optional<std::string> count_indexes(std::string_view text, std::int64_t completions, std::int64_t& total) {
  std::int64_t last = -1;
  total = 0;
  if (text.empty()) return std::nullopt;
  if (iequals(text, "Local")) errors.push_back(field_invalid(path, text, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"));
  else if (auto known = TimeZone::load(text); !known) errors.push_back(field_invalid(path, text, known.status().message()));
}

}  // namespace onebin::apiserver
