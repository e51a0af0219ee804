// Jobs and CronJobs.
#include "apiserver/registry/kinds.hpp"
#include "apiserver/registry/pod_spec.hpp"

#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/validation.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/cron.hpp>

namespace onebin::apiserver {

using apimachinery::at_path;
using apimachinery::find_member;
using apimachinery::member;
using apimachinery::semantically_equal;
using apimachinery::string_at;

namespace {

template <class S>
StrategyPtr make(const KindSchema& k) { return std::make_shared<S>(k); }

bool given(const Document& spec, const char* field) {
  const Document* v = find_member(spec, field);
  return v && !v->is_null();
}

void validate_job_spec(const Document& spec, const FieldPath& path, FieldErrors& errors) {
  validate_pod_template(member(spec, "template"), path.child("template"), errors);
  std::string restart(apimachinery::get_string(spec, {"template", "spec", "restartPolicy"}));
  if (restart == "Always")
    errors.push_back(field_required(path.child("template").child("spec").child("restartPolicy"), "valid values: \"OnFailure\", \"Never\""));
  if (string_at(spec, "completionMode") == "Indexed") {
    if (!given(spec, "completions")) errors.push_back(field_required(path.child("completions"), "when completion mode is Indexed"));
  } else {
    for (const char* f : {"backoffLimitPerIndex", "maxFailedIndexes"})
      if (given(spec, f)) errors.push_back(field_invalid(path.child(f), spec[f], "requires indexed completion mode"));
  }
  if (given(spec, "maxFailedIndexes") && !given(spec, "backoffLimitPerIndex")) errors.push_back(field_required(path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"));
  if (given(spec, "podFailurePolicy") && restart != "Never")
    errors.push_back(field_invalid(path.child("template").child("spec").child("restartPolicy"), restart, "only \"Never\" is supported when podFailurePolicy is specified"));
}

class JobStrategy final : public Strategy {
 public:
  explicit JobStrategy(const KindSchema& k) : Strategy(k) {
    set_flags(*this);
    select("status.successful", "status.succeeded");
  }
  void apply_defaults(Document& o) const override {
    Document& spec = apimachinery::object_at(o, "spec");
    bool counts = given(spec, "completions") || given(spec, "parallelism");
    Strategy::apply_defaults(o);
    Document& s = o["spec"];
    if (!counts) s["completions"] = s["parallelism"] = 1;
    if (!given(s, "completionMode")) s["completionMode"] = "NonIndexed";
    if (!given(s, "suspend")) s["suspend"] = false;
    if (!given(s, "manualSelector")) s["manualSelector"] = false;
    if (!given(s, "parallelism")) s["parallelism"] = 1;
    if (!given(s, "backoffLimit")) s["backoffLimit"] = given(s, "backoffLimitPerIndex") ? 2147483647 : 6;
    if (!given(s, "podReplacementPolicy")) s["podReplacementPolicy"] = given(s, "podFailurePolicy") ? "Failed" : "TerminatingOrFailed";
    default_pod_template(s);
    const Document labels = at_path(s, {"template", "metadata", "labels"});
    if (labels.is_object() && !labels.empty() && apimachinery::labels_of(o).empty()) apimachinery::object_at(o, "metadata")["labels"] = labels;
  }
  void prepare_for_create(WriteContext& c, Document& o) const override {
    Strategy::prepare_for_create(c, o);
    Document& spec = apimachinery::object_at(o, "spec");
    if (!apimachinery::bool_at(spec, "manualSelector")) select_own_pods(o, spec);
    const Document own = at_path(spec, {"template", "metadata", "labels"});
    if (apimachinery::labels_of(o).empty() && own.is_object() && !own.empty()) apimachinery::object_at(o, "metadata")["labels"] = own;
  }
  static void select_own_pods(const Document& o, Document& spec) {
    std::string uid(apimachinery::uid_of(o)), name(apimachinery::name_of(o));
    Document& labels = apimachinery::object_at(apimachinery::object_at(apimachinery::object_at(spec, "template"), "metadata"), "labels");
    for (const char* key : {"batch.kubernetes.io/job-name", "job-name"})
      if (!labels.contains(key)) labels[key] = name;
    for (const char* key : {"batch.kubernetes.io/controller-uid", "controller-uid"})
      if (!labels.contains(key)) labels[key] = uid;
    Document& match = apimachinery::object_at(apimachinery::object_at(spec, "selector"), "matchLabels");
    if (!match.contains("batch.kubernetes.io/controller-uid")) match["batch.kubernetes.io/controller-uid"] = uid;
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    const Document& spec = member(o, "spec");
    validate_job_spec(spec, FieldPath("spec"), errors);
    const Document& selector = member(spec, "selector");
    if (!selector.is_object()) {
      errors.push_back(field_required(FieldPath("spec").child("selector")));
      return;
    }
    auto parsed = apimachinery::LabelSelector::from_document(selector);
    const Document& labels = at_path(spec, {"template", "metadata", "labels"});
    if (parsed && !parsed->matches(labels))
      errors.push_back(field_invalid(FieldPath("spec").child("template").child("metadata").child("labels"), labels, "`selector` does not match template `labels`"));
  }
  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    const Document& now = member(o, "spec");
    const Document& was = member(old, "spec");
    FieldPath path("spec");
    validate_job_spec(now, path, errors);
    if (!semantically_equal(find_member(now, "completions"), find_member(was, "completions"))) {
      bool elastic = string_at(now, "completionMode") == "Indexed" && semantically_equal(find_member(now, "completions"), find_member(now, "parallelism"));
      if (!elastic) apimachinery::append(errors, apimachinery::validate_immutable_field(find_member(now, "completions"), find_member(was, "completions"), path.child("completions")));
    }
    Document a = member(now, "template"), b = member(was, "template");
    if (apimachinery::bool_at(was, "suspend") && !apimachinery::get_string(old, {"status", "startTime"}).size()) {
      // A job that has not begun may still be told where to run.
      for (Document* d : {&a, &b}) {
        if (Document* meta = find_member(*d, "metadata")) { meta->erase("labels"); meta->erase("annotations"); }
        if (Document* s = find_member(*d, "spec"))
          for (const char* f : {"nodeSelector", "affinity", "tolerations", "schedulingGates"}) s->erase(f);
      }
    }
    if (!semantically_equal(a, b)) apimachinery::append(errors, apimachinery::validate_immutable_field(&a, &b, path.child("template")));
  }
};

class CronJobStrategy final : public Strategy {
 public:
  explicit CronJobStrategy(const KindSchema& k) : Strategy(k) { set_flags(*this); }
  // The Job's own defaults wait until there is a Job.
  void apply_defaults(Document& o) const override {
    static constexpr const char* kJobOnly[] = {"parallelism", "completionMode", "suspend", "manualSelector"};
    std::vector<const char*> absent;
    {
      const Document& spec = at_path(o, {"spec", "jobTemplate", "spec"});
      for (const char* f : kJobOnly)
        if (!given(spec, f)) absent.push_back(f);
    }
    Strategy::apply_defaults(o);
    Document* outer = find_member(o, "spec");
    Document* job = outer ? find_member(*outer, "jobTemplate") : nullptr;
    Document* spec = job ? find_member(*job, "spec") : nullptr;
    if (!spec || !spec->is_object()) return;
    for (const char* f : absent) spec->erase(f);
    default_pod_template(*spec);
  }
  void validate(WriteContext&, const Document& o, FieldErrors& errors) const override {
    const Document& spec = member(o, "spec");
    FieldPath path("spec");
    validate_schedule(std::string(string_at(spec, "schedule")), path.child("schedule"), errors);
    if (const Document* zone = find_member(spec, "timeZone"); zone && zone->is_string()) validate_zone(zone->get<std::string>(), path.child("timeZone"), errors);
    validate_job_spec(at_path(spec, {"jobTemplate", "spec"}), path.child("jobTemplate").child("spec"), errors);
    if (apimachinery::name_of(o).size() > 52) errors.push_back(field_invalid(FieldPath("metadata").child("name"), apimachinery::name_of(o), "must be no more than 52 characters"));
  }

 private:
  static void validate_schedule(const std::string& schedule, const FieldPath& path, FieldErrors& errors) {
    if (schedule.empty()) return;  // required, which the schema says
    if (auto parsed = CronSchedule::parse(schedule); !parsed) errors.push_back(field_invalid(path, schedule, parsed.status().message()));
    if (schedule.find("TZ") != std::string::npos) errors.push_back(field_invalid(path, schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"));
  }
  static void validate_zone(const std::string& zone, const FieldPath& path, FieldErrors& errors) {
    if (zone.empty()) errors.push_back(field_invalid(path, zone, "timeZone must be nil or non-empty string"));
    else if (to_lower(zone) == "local") errors.push_back(field_invalid(path, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"));
    else if (auto known = TimeZone::load(zone); !known) errors.push_back(field_invalid(path, zone, known.status().message()));
  }
};

}  // namespace

StrategyMaker batch_strategy(std::string_view kind) {
  if (kind == "Job") return make<JobStrategy>;
  if (kind == "CronJob") return make<CronJobStrategy>;
  return nullptr;
}

}  // namespace onebin::apiserver
