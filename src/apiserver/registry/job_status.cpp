// What a Job's status may say. Each rule looks at what has changed, so that a status that was wrong before can still be written.
#include "apiserver/registry/job_validation.hpp"

#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>

#include <set>

namespace onebin::apiserver {

using apimachinery::find_member;
using apimachinery::int_at;
using apimachinery::member;
using apimachinery::semantically_equal;
using apimachinery::string_at;

namespace {

apimachinery::FieldError about(const FieldPath& path, std::string why) {
  apimachinery::FieldError e = field_invalid(path, Document(), std::move(why));
  e.omit_value = true;
  return e;
}

std::string_view condition(const Document& status, std::string_view type) {
  for (const auto& c : each(status, "conditions"))
    if (string_at(c, "type") == type) return string_at(c, "status");
  return {};
}

// The status of a Job and what follows from it.
struct State {
  const Document& status;
  bool complete, failed, finished, failure_target, success_met;

  explicit State(const Document& s) : status(s), complete(is("Complete")), failed(is("Failed")), finished(complete || failed), failure_target(is("FailureTarget")), success_met(is("SuccessCriteriaMet")) {}
  bool is(std::string_view type) const { return condition(status, type) == "True"; }
  const Document* get(const char* field) const {
    const Document* v = find_member(status, field);
    return v && !v->is_null() ? v : nullptr;
  }
};

class JobStatus {
 public:
  JobStatus(const Document& job, const Document& old, FieldErrors& errors) : spec_(member(job, "spec")), now_(member(job, "status")), was_(member(old, "status")), errors_(errors) {}

  void check() {
    numbers();
    uncounted();
    conditions();
    times();
    if (now_.finished && (ended_ || changed("active")) && int_at(now_.status, "active") > 0) invalid("active", "active>0 is invalid for finished job");
    bool nothing_to_do = apimachinery::bool_at(spec_, "suspend") && find_member(spec_, "completions") && int_at(spec_, "completions") == 0;
    if (now_.finished && (ended_ || changed("startTime")) && !nothing_to_do && !now_.get("startTime")) errors_.push_back(field_required(at("startTime"), "startTime is required for finished job"));
    if (now_.finished && (ended_ || changed("uncountedTerminatedPods"))) {
      const Document& u = member(now_.status, "uncountedTerminatedPods");
      if (!each(u, "succeeded").empty() || !each(u, "failed").empty()) invalid("uncountedTerminatedPods", "must be empty for finished job");
    }
    indexes();
    if (now_.finished && (ended_ || changed("terminating")) && int_at(now_.status, "terminating") > 0) invalid("terminating", "terminating>0 is invalid for finished job");
    if ((changed("ready") || changed("active")) && now_.get("ready") && int_at(now_.status, "ready") > int_at(now_.status, "active")) invalid("ready", "cannot set more ready pods than active");
    what_was();
  }

 private:
  FieldPath at(const char* field) const { return FieldPath("status").child(field); }
  void invalid(const char* field, std::string why) {
    const Document* v = now_.get(field);
    errors_.push_back(field_invalid(at(field), v ? *v : Document(), std::move(why)));
  }
  bool changed(const char* field) const { return !semantically_equal(now_.get(field), was_.get(field)); }
  bool indexed() const { return string_at(spec_, "completionMode") == "Indexed"; }

  void numbers() {
    for (const char* f : {"active", "succeeded", "failed", "ready", "terminating"})
      if (now_.get(f)) apimachinery::append(errors_, apimachinery::validate_nonnegative(int_at(now_.status, f), at(f)));
  }
  void uncounted() {
    std::set<std::string> seen;
    for (const char* f : {"succeeded", "failed"}) {
      std::size_t i = 0;
      for (const auto& uid : each(member(now_.status, "uncountedTerminatedPods"), f)) {
        FieldPath p = at("uncountedTerminatedPods").child(f).index(i++);
        std::string text = uid.is_string() ? uid.get<std::string>() : "";
        if (text.empty()) errors_.push_back(field_invalid(p, text, "must not be empty"));
        else if (!seen.insert(text).second) errors_.push_back(field_duplicate(p, text));
      }
    }
  }
  void conditions() {
    FieldPath p = at("conditions");
    bool completed = now_.complete != was_.complete, failed = now_.failed != was_.failed;
    if ((completed || failed) && now_.complete && now_.failed) errors_.push_back(about(p, "cannot set Complete=True and Failed=true conditions"));
    if ((completed || now_.failure_target != was_.failure_target) && now_.complete && now_.failure_target) errors_.push_back(about(p, "cannot set Complete=True and FailureTarget=true conditions"));
  }
  void times() {
    bool completed = now_.complete != was_.complete || changed("completionTime");
    const Document *start = now_.get("startTime"), *end = now_.get("completionTime");
    if (completed && end && !now_.complete) invalid("completionTime", "cannot set completionTime when there is no Complete=True condition");
    if (completed && !end && now_.complete) errors_.push_back(field_required(at("completionTime"), "completionTime is required for Complete jobs"));
    // Texts of one form order as the times do.
    if ((changed("startTime") || changed("completionTime")) && start && end && end->is_string() && start->is_string() && *end < *start) invalid("completionTime", "must be equal to or after `startTime`");
    FieldPath p = at("conditions");
    if ((now_.failed != was_.failed || changed("failedIndexes")) && now_.failed && !now_.failure_target) errors_.push_back(about(p, "cannot set Failed=True condition without the FailureTarget=true condition"));
    if ((now_.complete != was_.complete || now_.success_met != was_.success_met) && now_.complete && !now_.success_met) errors_.push_back(about(p, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"));
  }
  void indexes() {
    std::string done(string_at(now_.status, "completedIndexes")), failed(string_at(now_.status, "failedIndexes"));
    bool has_failed = now_.get("failedIndexes");
    const Document* n = find_member(spec_, "completions");
    std::int64_t completions = int_at(spec_, "completions");
    bool limited = find_member(spec_, "backoffLimitPerIndex");
    if (changed("completedIndexes") && n)
      if (auto why = index_problem(done, completions)) errors_.push_back(field_invalid(at("completedIndexes"), done, "error parsing completedIndexes: " + *why));
    if (changed("failedIndexes") && n && limited && has_failed)
      if (auto why = index_problem(failed, completions)) errors_.push_back(field_invalid(at("failedIndexes"), failed, "error parsing failedIndexes: " + *why));
    if (changed("completedIndexes") && !done.empty() && !indexed()) errors_.push_back(field_invalid(at("completedIndexes"), done, "cannot set non-empty completedIndexes when non-indexed completion mode"));
    if (changed("failedIndexes") && has_failed && !limited) errors_.push_back(field_invalid(at("failedIndexes"), failed, "cannot set non-null failedIndexes when backoffLimitPerIndex is null"));
    if ((changed("failedIndexes") || changed("completedIndexes")) && n && has_failed)
      if (auto both = common_index(done, failed, completions)) errors_.push_back(field_invalid(at("failedIndexes"), failed, "failedIndexes and completedIndexes overlap at index: " + std::to_string(*both)));
  }
  void what_was() {
    FieldPath p = at("conditions");
    for (const char* type : {"Failed", "Complete", "FailureTarget"})
      if (was_.is(type) && !now_.is(type)) errors_.push_back(about(p, "cannot disable the terminal " + std::string(type) + "=True condition"));
    if (int_at(now_.status, "failed") < int_at(was_.status, "failed")) errors_.push_back(field_invalid(at("failed"), int_at(now_.status, "failed"), "cannot decrease the failed counter"));
    // An Indexed Job whose completions are its parallelism can be scaled down.
    bool elastic = indexed() && semantically_equal(find_member(spec_, "completions"), find_member(spec_, "parallelism"));
    if (!elastic && int_at(now_.status, "succeeded") < int_at(was_.status, "succeeded"))
      errors_.push_back(field_invalid(at("succeeded"), int_at(now_.status, "succeeded"), "cannot decrease the succeeded counter"));
    if (now_.get("completionTime") && was_.get("completionTime") && changed("completionTime")) invalid("completionTime", "field is immutable");
    bool resuming = was_.is("Suspended") && condition(now_.status, "Suspended") == "False";
    if (was_.get("startTime") && changed("startTime") && !resuming && !apimachinery::bool_at(spec_, "suspend")) invalid("startTime", "field is immutable for unsuspended job once set");
    if (was_.success_met && !now_.success_met) errors_.push_back(about(p, "cannot disable the SuccessCriteriaMet=True condition"));
    if (was_.complete && !was_.success_met && now_.success_met) errors_.push_back(about(p, "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"));
  }

  const Document& spec_;
  State now_, was_;
  bool ended_ = now_.finished != was_.finished;
  FieldErrors& errors_;
};

}  // namespace

void validate_job_status(const Document& job, const Document& old, FieldErrors& errors) { JobStatus(job, old, errors).check(); }

}  // namespace onebin::apiserver
