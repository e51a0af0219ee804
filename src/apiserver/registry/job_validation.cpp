#include "apiserver/registry/job_validation.hpp"

#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/time_zone.hpp>

#include <charconv>
#include <set>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::go_quote;
using apimachinery::int_at;
using apimachinery::member;
using apimachinery::string_at;

namespace {

constexpr std::int64_t kMaxIndexed = 100'000, kMaxWithHighCompletions = 10'000;
constexpr int kMaxIndexes = 64 * 1024;  // of a list of indexes, in bytes

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

// One index or two with "-" between them, or why it is neither.
std::optional<std::string> parse_interval(std::string_view part, std::int64_t completions, std::int64_t (&ends)[2]) {
  auto limits = split(part, '-');
  if (limits.empty() || limits.size() > 2) return "the fragment " + go_quote(part) + " violates the requirement that an index interval can have at most two parts separated by '-'";
  for (std::size_t i = 0; i < limits.size(); ++i) {
    auto r = std::from_chars(limits[i].data(), limits[i].data() + limits[i].size(), ends[i]);
    if (r.ec != std::errc() || r.ptr != limits[i].data() + limits[i].size() || limits[i].empty())
      return "cannot convert string to integer for index: " + go_quote(limits[i]);
    if (ends[i] >= completions) return "too large index: " + go_quote(limits[i]);
  }
  if (limits.size() == 1) ends[1] = ends[0];
  else if (ends[0] >= ends[1]) return "non-increasing order, previous: " + std::to_string(ends[0]) + ", current: " + std::to_string(ends[1]);
  return std::nullopt;
}

// "1,3-5": how many indexes, or why it is none.
std::optional<std::string> count_indexes(std::string_view text, std::int64_t completions, std::int64_t& total) {
  std::int64_t last = -1;
  total = 0;
  if (text.empty()) return std::nullopt;
  for (const auto& part : split(text, ',')) {
    std::int64_t ends[2] = {0, 0};
    if (auto why = parse_interval(part, completions, ends)) return why;
    if (last >= ends[0]) return "non-increasing order, previous: " + std::to_string(last) + ", current: " + std::to_string(ends[0]);
    total += ends[1] - ends[0] + 1;
    last = ends[1];
  }
  return std::nullopt;
}

void validate_success_policy(const Document& spec, const FieldPath& path, FieldErrors& errors) {
  const Document& rules = each(member(spec, "successPolicy"), "rules");
  FieldPath at = path.child("rules");
  if (rules.empty()) errors.push_back(field_required(at, "at least one rules must be specified when the successPolicy is specified"));
  if (rules.size() > 20) errors.push_back(field_too_many(at, static_cast<int>(rules.size()), 20));
  std::int64_t completions = int_at(spec, "completions");
  std::size_t i = 0;
  for (const auto& rule : rules) {
    FieldPath p = at.index(i++);
    const Document* count = find_member(rule, "succeededCount");
    const Document* indexes = find_member(rule, "succeededIndexes");
    std::int64_t total = 0;
    if (!count && !indexes) errors.push_back(field_required(p, "at least one of succeededCount or succeededIndexes must be specified"));
    if (indexes && indexes->is_string() && indexes->get_ref<const std::string&>().size() > kMaxIndexes) errors.push_back(field_too_long(p.child("succeededIndexes"), kMaxIndexes));
    if (indexes && indexes->is_string())
      if (auto why = count_indexes(indexes->get_ref<const std::string&>(), completions, total))
        errors.push_back(field_invalid(p.child("succeededIndexes"), *indexes, "error parsing succeededIndexes: " + *why));
    if (!count || !count->is_number_integer()) continue;
    std::int64_t n = count->get<std::int64_t>();
    FieldPath c = p.child("succeededCount");
    apimachinery::append(errors, apimachinery::validate_nonnegative(n, c));
    if (n > completions) errors.push_back(field_invalid(c, n, "must be less than or equal to " + std::to_string(completions) + " (the number of specified completions)"));
    if (indexes && n > total) errors.push_back(field_invalid(c, n, "must be less than or equal to " + std::to_string(total) + " (the number of indexes in the specified succeededIndexes field)"));
  }
}

void validate_indexed(const Document& spec, const FieldPath& path, FieldErrors& errors) {
  std::int64_t completions = int_at(spec, "completions"), parallelism = int_at(spec, "parallelism"), failed = int_at(spec, "maxFailedIndexes");
  auto at_most = [&](const char* field, std::int64_t max, const std::string& more) {
    if (given(spec, field) && int_at(spec, field) > max)
      errors.push_back(field_invalid(path.child(field), int_at(spec, field), "must be less than or equal to " + std::to_string(max) + more));
  };
  if (!given(spec, "completions")) errors.push_back(field_required(path.child("completions"), "when completion mode is Indexed"));
  at_most("parallelism", kMaxIndexed, " when completion mode is Indexed");
  if (given(spec, "completions") && given(spec, "maxFailedIndexes") && failed > completions)
    errors.push_back(field_invalid(path.child("maxFailedIndexes"), failed, "must be less than or equal to completions"));
  at_most("maxFailedIndexes", kMaxIndexed, "");
  if (completions <= kMaxIndexed || !given(spec, "backoffLimitPerIndex")) return;
  std::string high = " when completions are above " + std::to_string(kMaxIndexed) + " and used with backoff limit per index";
  if (!given(spec, "maxFailedIndexes")) errors.push_back(field_required(path.child("maxFailedIndexes"), "must be specified when completions is above " + std::to_string(kMaxIndexed)));
  if (parallelism > kMaxWithHighCompletions) at_most("parallelism", kMaxWithHighCompletions, high);
  at_most("maxFailedIndexes", kMaxWithHighCompletions, high);
}

}  // namespace

std::optional<std::string> index_problem(std::string_view text, std::int64_t completions) {
  std::int64_t total = 0;
  return count_indexes(text, completions, total);
}

std::optional<std::int64_t> common_index(std::string_view a, std::string_view b, std::int64_t completions) {
  if (a.empty() || b.empty()) return std::nullopt;
  for (const auto& one : split(a, ',')) {
    std::int64_t x[2] = {0, 0};
    if (parse_interval(one, completions, x)) continue;  // told where the list itself is checked
    for (const auto& other : split(b, ',')) {
      std::int64_t y[2] = {0, 0};
      if (!parse_interval(other, completions, y) && x[0] <= y[1] && y[0] <= x[1]) return std::max(x[0], y[0]);
    }
  }
  return std::nullopt;
}

void validate_job_spec(const Document& spec, const FieldPath& path, FieldErrors& errors) {
  bool indexed = string_at(spec, "completionMode") == "Indexed";
  if (given(spec, "maxFailedIndexes") && !given(spec, "backoffLimitPerIndex")) errors.push_back(field_required(path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"));
  if (Check by = Check(spec, path, errors)["managedBy"]; by.set()) {
    check_domain_prefixed_path(by);
    by.at_most_bytes(63);
  }
  if (indexed) validate_indexed(spec, path, errors);
  if (!indexed)
    for (const char* f : {"backoffLimitPerIndex", "maxFailedIndexes"})
      if (given(spec, f)) errors.push_back(field_invalid(path.child(f), spec[f], "requires indexed completion mode"));
  bool failure_policy = given(spec, "podFailurePolicy");
  if (failure_policy) validate_pod_failure_policy(spec, path.child("podFailurePolicy"), errors);
  if (given(spec, "successPolicy")) {
    if (!indexed) errors.push_back(field_invalid(path.child("successPolicy"), spec["successPolicy"], "requires indexed completion mode"));
    else validate_success_policy(spec, path.child("successPolicy"), errors);
  }
  if (Check policy = Check(spec, path, errors)["podReplacementPolicy"]; policy.set() && !policy.is("Failed")) {
    if (failure_policy) policy.unsupported({"Failed"});
    else policy.one_of({"Failed", "TerminatingOrFailed"});
  }
  validate_pod_template(member(spec, "template"), path.child("template"), errors);
  std::string restart(apimachinery::get_string(spec, {"template", "spec", "restartPolicy"}));
  FieldPath at = path.child("template").child("spec").child("restartPolicy");
  if (restart == "Always" || restart.empty()) errors.push_back(field_required(at, "valid values: \"OnFailure\", \"Never\""));
  else if (restart != "OnFailure" && restart != "Never") errors.push_back(field_not_supported(at, restart, {"OnFailure", "Never"}));
  else if (failure_policy && restart != "Never") errors.push_back(field_invalid(at, restart, "only \"Never\" is supported when podFailurePolicy is specified"));
}

void validate_time_zone(const Document& spec, const FieldPath& path, FieldErrors& errors) {
  const Document* zone = find_member(spec, "timeZone");
  if (!zone || !zone->is_string()) return;
  const std::string& text = zone->get_ref<const std::string&>();
  if (text.empty()) {
    errors.push_back(field_invalid(path, text, "timeZone must be nil or non-empty string"));
    return;
  }
  if (iequals(text, "Local")) errors.push_back(field_invalid(path, text, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"));
  else if (auto known = TimeZone::load(text); !known) errors.push_back(field_invalid(path, text, known.status().message()));
}

}  // namespace onebin::apiserver
