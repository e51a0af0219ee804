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
    auto fixed = [&](const char* f) { apimachinery::append(errors, apimachinery::validate_immutable_field(find_member(now, f), find_member(was, f), path.child(f))); };
    fixed("selector");
    validate_template_update(now, old, errors);
    for (const char* f : {"completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"}) fixed(f);
    validate_pod_names(o, errors);
  }
  void validate_status_update(WriteContext&, const Document& o, const Document& old, FieldErrors& errors) const override { validate_job_status(o, old, errors); }

 private:
  // A suspended Job that has no pods may still be told where they run and what they may use.
  static void validate_template_update(const Document& now, const Document& old, FieldErrors& errors) {
    const Document& was = member(old, "spec");
    const Document& status = member(old, "status");
    bool suspended = apimachinery::bool_at(was, "suspend"), said = false;
    for (const auto& c : each(status, "conditions")) said = said || (string_at(c, "type") == "Suspended" && string_at(c, "status") == "True");
    bool open = suspended && (!given(status, "startTime") || said) && apimachinery::int_at(status, "active") == 0;
    // Of the template's metadata labels and annotations count.
    Document a = Document::object(), b = Document::object();
    for (auto [to, from] : {std::pair<Document*, const Document*>{&a, &member(now, "template")}, {&b, &member(was, "template")}}) {
      if (const Document* s = find_member(*from, "spec")) (*to)["spec"] = *s;
      if (open) continue;
      for (const char* f : {"labels", "annotations"})
        if (const Document* v = find_member(member(*from, "metadata"), f)) apimachinery::object_at(*to, "metadata")[f] = *v;
    }
    FieldPath at = FieldPath("spec").child("template");
    if (!open) {
      if (!semantically_equal(a, b)) apimachinery::append(errors, apimachinery::validate_immutable_field(&a, &b, at));
      return;
    }
    Document &x = apimachinery::object_at(a, "spec"), &y = apimachinery::object_at(b, "spec");
    for (Document* s : {&x, &y}) {
      for (const char* f : {"nodeSelector", "tolerations", "schedulingGates"}) s->erase(f);
      if (Document* affinity = find_member(*s, "affinity"); affinity && affinity->is_object()) {
        affinity->erase("nodeAffinity");
        if (affinity->empty()) s->erase("affinity");
      }
    }
    for (const char* list : {"containers", "initContainers"}) {
      Document *l = find_member(x, list), *m = find_member(y, list);
      if (!l || !m || !l->is_array() || !m->is_array() || l->size() != m->size()) continue;
      for (std::size_t i = 0; i < l->size(); ++i)
        if (string_at((*l)[i], "name") == string_at((*m)[i], "name"))
          for (Document* c : {&(*l)[i], &(*m)[i]}) c->erase("resources");
    }
    if (!semantically_equal(x, y)) apimachinery::append(errors, apimachinery::validate_immutable_field(&x, &y, at.child("spec")));
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
