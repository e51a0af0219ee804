// Jobs and CronJobs.
#include "apiserver/registry/job_validation.hpp"
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

bool given(const Document& spec, const char* field) {
  const Document* v = find_member(spec, field);
  return v && !v->is_null();
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
    if (!apimachinery::bool_at(member(o, "spec"), "manualSelector")) validate_generated(o, errors);
    validate_spec(o, errors);
    validate_pod_names(o, errors);
  }
  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override {
    const Document& now = member(o, "spec");
    const Document& was = member(old, "spec");
    FieldPath path("spec");
    validate_spec(o, errors);
    const Document *completions = find_member(now, "completions"), *before = find_member(was, "completions");
    if (string_at(now, "completionMode") != "Indexed") {
      apimachinery::append(errors, apimachinery::validate_immutable_field(completions, before, path.child("completions")));
    } else if (completions && !semantically_equal(completions, before) && *completions != member(now, "parallelism")) {
      errors.push_back(field_invalid(path.child("completions"), *completions, "can only be modified in tandem with spec.parallelism"));
    }
    auto fixed = [&](const char* f) {
      const Document &x = member(now, f), &y = member(was, f);
      if (!semantically_equal(type_at({"spec"}), Document{{f, x}}, Document{{f, y}})) errors.push_back(field_invalid(path.child(f), x, "field is immutable"));
    };
    fixed("selector");
    validate_template_update(o, old, errors);
    for (const char* f : {"completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"}) fixed(f);
    validate_pod_names(o, errors);
  }
  void validate_status_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override { validate_job_status(o, old, errors); }

 private:
  // A suspended Job that has no pods may still be told where they run and what they may use.
  void validate_template_update(const Document& o, const Document& old, FieldErrors& errors) const {
    const Document& status = member(old, "status");
    bool suspended = apimachinery::bool_at(member(old, "spec"), "suspend"), said = false;
    for (const auto& c : each(status, "conditions")) said = said || (string_at(c, "type") == "Suspended" && string_at(c, "status") == "True");
    bool open = suspended && (!given(status, "startTime") || said) && apimachinery::int_at(status, "active") == 0;
    FieldPath at = FieldPath("spec").child("template");
    const Document& now = at_path(o, {"spec", "template"});
    if (!open) {
      if (!same_at({"spec", "template"}, o, old)) errors.push_back(field_invalid(at, now, "field is immutable"));
      return;
    }
    const Document& spec = member(now, "spec");
    Document was = at_path(old, {"spec", "template", "spec"});
    take_open_fields(spec, was);
    if (!semantically_equal(type_at({"spec", "template", "spec"}), spec, was)) errors.push_back(field_invalid(at.child("spec"), spec, "field is immutable"));
  }
  static void take(Document& to, const Document& from, const char* field) {
    if (const Document* v = find_member(from, field)) to[field] = *v;
    else to.erase(field);
  }
  static void take_open_fields(const Document& spec, Document& was) {
    for (const char* f : {"nodeSelector", "tolerations", "schedulingGates"}) take(was, spec, f);
    const Document* affinity = find_member(spec, "affinity");
    if (affinity || find_member(was, "affinity")) {
      Document& a = apimachinery::object_at(was, "affinity");
      take(a, affinity ? *affinity : Document(), "nodeAffinity");
      if (!affinity && a.empty()) was.erase("affinity");
    }
    for (const char* list : {"containers", "initContainers"}) {
      const Document& containers = each(spec, list);
      Document* before = find_member(was, list);
      if (!before || !before->is_array() || before->size() != containers.size()) continue;
      for (std::size_t i = 0; i < containers.size(); ++i)
        if (string_at(containers[i], "name") == string_at((*before)[i], "name")) take((*before)[i], containers[i], "resources");
    }
  }
  // Who writes a Job may not take its generated labels.
  static void validate_generated(const Document& o, FieldErrors& errors) {
    const Document& labels = apimachinery::at_path(o, {"spec", "template", "metadata", "labels"});
    FieldPath at = FieldPath("spec").child("template").child("metadata").child("labels");
    std::string uid(apimachinery::uid_of(o)), name(apimachinery::name_of(o));
    for (auto [key, want] : {std::pair<const char*, const std::string*>{"controller-uid", &uid}, {"job-name", &name}, {"batch.kubernetes.io/controller-uid", &uid}, {"batch.kubernetes.io/job-name", &name}}) {
      const Document* v = find_member(labels, key);
      if (!v) errors.push_back(field_required(at.key(key), "must be '" + *want + "'"));
      else if (*v != *want) errors.push_back(field_invalid(at.key(key), labels, "must be '" + *want + "'"));
    }
    const Document& selector = apimachinery::at_path(o, {"spec", "selector"});
    auto parsed = apimachinery::LabelSelector::from_document(selector);
    Document generated = {{"controller-uid", uid}, {"job-name", name}, {"batch.kubernetes.io/controller-uid", uid}, {"batch.kubernetes.io/job-name", name}};
    if (parsed && !parsed->matches(generated)) errors.push_back(field_invalid(FieldPath("spec").child("selector"), selector, "`selector` not auto-generated"));
  }
  static void validate_spec(const Document& o, FieldErrors& errors) {
    const Document& spec = member(o, "spec");
    FieldPath path("spec");
    validate_job_spec(spec, path, errors);
    const Document& selector = member(spec, "selector");
    const Document& labels = at_path(spec, {"template", "metadata", "labels"});
    if (!selector.is_object()) errors.push_back(field_required(path.child("selector")));
    else apimachinery::append(errors, apimachinery::validate_label_selector(selector, path.child("selector")));
    auto parsed = apimachinery::LabelSelector::from_document(selector);
    if (!selector.is_object() || (parsed && !parsed->matches(labels)))
      errors.push_back(field_invalid(path.child("template").child("metadata").child("labels"), labels, "`selector` does not match template `labels`"));
  }
  // The pods of an Indexed Job are named after it, with their index.
  static void validate_pod_names(const Document& o, FieldErrors& errors) {
    const Document& spec = member(o, "spec");
    std::int64_t n = apimachinery::int_at(spec, "completions");
    if (string_at(spec, "completionMode") != "Indexed" || n <= 0) return;
    std::string name(apimachinery::name_of(o)), last = name + "-" + std::to_string(n - 1);
    if (!apimachinery::is_dns1123_label(last).empty())
      errors.push_back(field_invalid(FieldPath("metadata").child("name"), name, "will not able to create pod with invalid DNS label: " + last));
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
    validate_spec(o, nullptr, errors);
    if (apimachinery::name_of(o).size() > 52) errors.push_back(field_invalid(FieldPath("metadata").child("name"), apimachinery::name_of(o), "must be no more than 52 characters"));
  }
  void validate_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override { validate_spec(o, &old, errors); }

 private:
  static void validate_spec(const Document& o, const Document* old, FieldErrors& errors) {
    const Document& spec = member(o, "spec");
    FieldPath path("spec");
    std::string schedule(string_at(spec, "schedule"));
    bool zone_in_it = schedule.find("TZ") != std::string::npos;
    bool zone_was = old && apimachinery::get_string(*old, {"spec", "schedule"}).find("TZ") != std::string_view::npos;
    if (!schedule.empty()) {
      if (auto parsed = CronSchedule::parse(schedule); !parsed) errors.push_back(field_invalid(path.child("schedule"), schedule, parsed.status().message()));
      if (zone_in_it && zone_was && given(spec, "timeZone")) errors.push_back(field_invalid(path.child("schedule"), schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule"));
      if (zone_in_it && !zone_was) errors.push_back(field_invalid(path.child("schedule"), schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"));
    }
    if (!old || !semantically_equal(find_member(spec, "timeZone"), find_member(member(*old, "spec"), "timeZone"))) validate_time_zone(spec, path.child("timeZone"), errors);
    const Document& job = at_path(spec, {"jobTemplate", "spec"});
    FieldPath at = path.child("jobTemplate").child("spec");
    if (const Document* selector = find_member(job, "selector")) errors.push_back(field_invalid(at.child("selector"), *selector, "`selector` will be auto-generated"));
    if (apimachinery::bool_at(job, "manualSelector")) errors.push_back(field_not_supported(at.child("manualSelector"), true, {"nil", "false"}));
    validate_job_spec(job, at, errors);
  }
};

}  // namespace

StrategyMaker batch_strategy(std::string_view kind) {
  if (kind == "Job") return make<JobStrategy>;
  if (kind == "CronJob") return make<CronJobStrategy>;
  return nullptr;
}

}  // namespace onebin::apiserver
